#!/usr/bin/python3
"""Debian 12's own kernel, 6.1: do the walls stand on it?

Boots the kernel of linux-image-amd64 in QEMU, in software, with the programs of the breach build in its memory and no
disk and no network. Inside: every attack of tests/breach, the unit test of the sandbox, and a gate that answers a request
over TLS and tells which walls it stands behind. Prints what came of it and writes docs/kernels.md. The kernel is
downloaded and unpacked below build/, not installed.

    tools/kernel61.py [--no-record]
"""
import os
import re
import shutil
import subprocess
import sys
import time

import build
import certificates

HERE = build.ROOT / "build/kernel61"
VARIANT = build.folder("clang")
DOCUMENT = build.ROOT / "docs/kernels.md"
WITHIN_S = 600
MEMORY_MIB = 1024

PROGRAMS = {  # name inside: where it is from
    "bin/breach": VARIANT / "tests/breach/breach",
    "bin/breach_helper": VARIANT / "tests/breach/breach_helper",
    "bin/test_sys_sandbox": VARIANT / "tests/unit/sys_sandbox/test_sys_sandbox",
    "bin/test_bpf_packets": VARIANT / "tests/bpf/test_bpf_packets",
    "bin/test_bpf_levels": VARIANT / "tests/bpf/test_bpf_levels",
    "bin/test_net_filter": VARIANT / "tests/net/test_net_filter",
    "sbin/ip": "/sbin/ip",
    "usr/sbin/nft": "/usr/sbin/nft",
    "bin/polder-gate": VARIANT / "src/gate/polder-gate",
    "bin/polder": VARIANT / "src/cli/polder",
    "bin/openssl": "/usr/bin/openssl",
    "bin/busybox": "/bin/busybox",
    "bin/echo": "/bin/echo",
}
# What the filter's tests need beside the kernel: links, hooks, nftables. In the order in which they can be loaded.
MODULES = ["drivers/net/veth", "net/sched/sch_ingress", "net/sched/cls_bpf", "net/ipv4/inet_diag", "net/ipv4/tcp_diag",
           "crypto/crc32c_generic", "lib/libcrc32c", "net/netfilter/nfnetlink", "net/netfilter/nf_tables", "net/ipv4/netfilter/nf_defrag_ipv4",
           "net/ipv6/netfilter/nf_defrag_ipv6", "net/netfilter/nf_conntrack", "net/netfilter/nft_ct"]
TEXTS = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/resolv.conf": "nameserver 127.0.0.1\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "www/index.html": "the application behind the gate\n",
    "etc/polder.yaml": """gate: { workers: 2, run_directory: /run/polder, state_directory: /tmp/state, access_log: /tmp/access.jsonl }
certificates: [{ name: here, chain: /etc/tls/here.pem, key: /etc/tls/here.key }]
upstreams: [{ name: app, endpoints: ["localhost:8101"] }]
listeners: [{ name: https, address: "127.0.0.1:8443", tls: { certificates: [here] } }]
clusters: [{ name: here, hosts: [localhost], routes: [{ path: /, upstream: app }] }]
""",
}
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts
mount -t tmpfs -o mode=1777 none /tmp
mount -t tmpfs none /run
mkdir -p /run/polder
chmod 600 /etc/shadow /etc/tls/here.key
ip link set lo up
echo "== kernel $(uname -r)"
echo "== breach"
timeout 400 breach /bin/breach_helper
echo "== sandbox"
timeout 100 test_sys_sandbox 2>&1
for module in $(cat /modules/order); do insmod "/modules/$module.ko" || echo "no module $module"; done
echo "== packets"
timeout 100 test_bpf_packets 2>&1
echo "== levels"
timeout 100 test_bpf_levels 2>&1
echo "== filter"
timeout 300 test_net_filter 2>&1
echo "== gate"
httpd -p 127.0.0.1:8101 -h /www
polder isolation init --state /tmp/state
polder-gate --config /etc/polder.yaml >/tmp/gate.log 2>&1 &
gate=$!
for i in $(seq 100); do grep -q ready /tmp/gate.log && break; sleep 0.2; done
for i in $(seq 50); do
    printf 'GET /index.html HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' |
        timeout 20 openssl s_client -quiet -tls1_3 -connect 127.0.0.1:8443 -servername localhost -CAfile /etc/tls/here.pem \\
        -verify_return_error >/tmp/answer 2>&1
    grep -q 'HTTP/1.1 200' /tmp/answer && break
    sleep 0.2
done
cat /tmp/answer
echo "== status"
polder --no-color status
kill $gate
wait $gate
echo "== gate ended with status $?"
cat /tmp/gate.log
echo "== end"
poweroff -f
"""


class Archive:
    """An initramfs: the "newc" format of Documentation/driver-api/early-userspace/buffer-format.rst."""

    def __init__(self, file):
        self.file, self.inode, self.folders = file, 1, set()

    def _add(self, name, mode, data=b"", device=(0, 0)):
        numbers = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
        self.inode += 1
        self._write(b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0")
        self._write(data)

    def _write(self, data):
        self.file.write(data + bytes(-len(data) % 4))

    def folder(self, name):
        if name and name not in self.folders:
            self.folder(name.rpartition("/")[0])
            self.folders.add(name)
            self._add(name, 0o040755)

    def put(self, name, data, mode=0o644):
        self.folder(name.rpartition("/")[0])
        self._add(name, 0o100000 | mode, data)

    def device(self, name, major, minor):
        self.folder(name.rpartition("/")[0])
        self._add(name, 0o020600, device=(major, minor))

    def end(self):
        self._add("TRAILER!!!", 0)


def libraries(program):
    """What the dynamic linker would load, itself included."""
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True)
    return set(re.findall(r"(/\S+) \(0x", told.stdout))


def unpack_kernel():
    """The path of vmlinuz. The newest that the package lists know."""
    told = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=True).stdout
    package = re.search(r"Depends: (linux-image-6\.1\.\S+)", told)
    if not package:
        raise SystemExit(f"the package lists know no linux-image-6.1 (is this Debian 12?):\n{told}")
    folder = HERE / package[1]
    if not list(folder.glob("boot/vmlinuz-*")) or not list(folder.glob("lib/modules/*/kernel/net")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        subprocess.run(["apt-get", "-q", "download", package[1]], cwd=folder, check=True, stdin=subprocess.DEVNULL,
                       timeout=WITHIN_S)
        archive = next(folder.glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
        archive.unlink()
    return next(folder.glob("boot/vmlinuz-*"))


def make_certificate():
    key, chain = HERE / "here.key", HERE / "here.pem"
    certificates.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext",
                         "keyUsage=critical,digitalSignature,keyCertSign", "-addext", "extendedKeyUsage=serverAuth",
                         "-keyout", key, "-out", chain)
    return {"etc/tls/here.key": key.read_bytes(), "etc/tls/here.pem": chain.read_bytes()}


def put_modules(archive):
    kernel = next(HERE.glob("linux-image-*/lib/modules/*/kernel"))
    names = [module.rpartition("/")[2] for module in MODULES]
    archive.put("modules/order", "\n".join(names).encode())
    for module, name in zip(MODULES, names):
        archive.put(f"modules/{name}.ko", (kernel / f"{module}.ko").read_bytes())


def make_initramfs():
    path = HERE / "initramfs"
    with path.open("wb") as file:
        archive = Archive(file)
        for folder in ("proc", "sys", "tmp", "run", "mnt"):
            archive.folder(folder)
        put_modules(archive)
        archive.device("dev/console", 5, 1)
        archive.device("dev/null", 1, 3)
        archive.put("init", INIT.encode(), 0o755)
        for name, source in PROGRAMS.items():
            with open(source, "rb") as program:
                archive.put(name, program.read(), 0o755)
        for library in sorted(set().union(*(libraries(source) for source in PROGRAMS.values()))):
            with open(library, "rb") as bytes_of:
                archive.put(library[1:], bytes_of.read(), 0o755)
        for name, text in {**{name: text.encode() for name, text in TEXTS.items()}, **make_certificate()}.items():
            archive.put(name, text)
        archive.end()
    return path


def boot(kernel, initramfs):
    """What the guest said on its serial line."""
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", str(MEMORY_MIB), "-smp",
               str(min(2, build.jobs())), "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
               "-kernel", str(kernel), "-initrd", str(initramfs), "-append", "console=ttyS0 quiet loglevel=3 panic=-1"]
    with (HERE / "log").open("w+", errors="replace") as log:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, timeout=WITHIN_S)
        except subprocess.TimeoutExpired:
            print(f"the guest did not end within {WITHIN_S} s")
        log.seek(0)
        return log.read().replace("\r", "")


def sections(text):
    """{first word: (the rest of the line, the lines that follow)} of what stands between lines of "== "."""
    found = {}
    for part in re.split(r"^== ", text, flags=re.M)[1:]:
        head, _, body = part.partition("\n")
        word, _, rest = head.partition(" ")
        found.setdefault(word, (rest, body.strip("\n")))
    return found


def judge(said):
    """[(what, did it pass, in words)]"""
    breach, sandbox = said.get("breach", ("", ""))[1], said.get("sandbox", ("", ""))[1]
    answer = said.get("gate", ("", ""))[1]
    tally = re.search(r"^# (\d+ attacks: .*)$", breach, re.M)
    passed = re.search(r"\[  PASSED  \] (\d+) test", sandbox)
    blocked = tally is not None and " 0 failed" in tally[1] and not re.search(r"^not ok", breach, re.M)
    unit = lambda name: re.search(r"\[  PASSED  \] (\d+) test", said.get(name, ("", ""))[1])
    whole = lambda name: unit(name) is not None and "FAILED" not in said[name][1]
    flips = re.search(r"^\d+ flips: .*$", said.get("filter", ("", ""))[1], re.M)
    return [
        ("frames and verdicts of the packet filter (`bpf_packets`, `bpf_levels`)", whole("packets") and whole("levels"),
         f"{unit('packets')[1]} and {unit('levels')[1]} tests passed" if unit("packets") and unit("levels") else "failed"),
        ("the packet filter between two hosts (`net_filter`)", whole("filter"), flips[0] if flips else "failed"),
        ("every attack from every role (`breach`)", blocked, tally[1] if tally else "it did not end"),
        ("the sandbox's unit test (`sys_sandbox`)", passed is not None and "FAILED" not in sandbox,
         f"{passed[1]} tests passed" if passed else "failed"),
        ("a request over TLS through a gate of two workers", "HTTP/1.1 200" in answer and
         TEXTS["www/index.html"].strip() in answer, next(iter(re.findall(r"HTTP/1.1 .*", answer)), "no answer")),
    ]


def document(said, outcomes):
    status = said["status"][1]
    rows = "".join(f"| {what} | {'passed' if ok else '**failed**'} | {words} |\n" for what, ok, words in outcomes)
    absent = sorted(set(re.findall(r"^ok .*? - \w+/(\w+) # SKIP inconclusive: (.*)$", said["breach"][1], re.M)))
    skips = "".join(f"- `{name}`: {why}\n" for name, why in absent) or "- none\n"
    return f"""# Kernels

Written by `make kernel61`, which boots the kernel that Debian 12 installs under QEMU (in software, no disk, no network)
with the programs of this tree and lets the roles be attacked there. The kernel that `make test` runs on is whatever the
machine has.

## {said["kernel"][0]}

| what | result | in numbers |
|---|---|---|
{rows}
What cannot be had there, walls or not, and therefore proves nothing:

{skips}
`polder status` inside:

```
{status}
```
"""


def main(arguments):
    if not build.build("clang"):
        return 1
    HERE.mkdir(parents=True, exist_ok=True)
    kernel, initramfs = unpack_kernel(), make_initramfs()
    print(f"booting {kernel.name} in software; at most {WITHIN_S // 60} minutes", flush=True)
    start = time.monotonic()
    said = sections(boot(kernel, initramfs))
    outcomes = judge(said)
    print("\n".join(re.findall(r"^not ok.*", said.get("breach", ("", ""))[1], re.M)))
    print(said.get("status", ("", "(no status)"))[1])
    for what, ok, words in outcomes:
        print(f"{'passed' if ok else 'FAILED'}: {what}: {words}")
    print(f"{time.monotonic() - start:.0f} s; all that was said: {(HERE / 'log').relative_to(build.ROOT)}")
    if not all(ok for _, ok, _ in outcomes) or "end" not in said:
        return 1
    if "--no-record" not in arguments:
        DOCUMENT.write_text(document(said, outcomes))
    return 0


if __name__ == "__main__":
    os.chdir(build.ROOT)
    sys.exit(main(sys.argv[1:]))
