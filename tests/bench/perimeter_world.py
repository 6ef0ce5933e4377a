"""Two network namespaces and a wire between them, for the flood of SYNs of bench_perimeter.py."""
import os
import subprocess
import sys

from peers import PROXY_CORE

SYN_GATE, SYN_NET = "192.0.2.1", "192.0.2"


PINS = "/sys/fs/bpf/bench"

# What answers with XDP_TX (a cookie) is thrown away by a virtual interface whose far end takes no such frames: one that
# carries any program does.
PASS_ALL = """import ctypes, signal, socket, struct, sys
bpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
pass_all = struct.pack("<BBhi", 0xb7, 0, 0, 2) + struct.pack("<BBhi", 0x95, 0, 0, 0)  # r0 = XDP_PASS; exit
program = bpf.bpf_prog_load(6, b"pass", b"GPL", pass_all, ctypes.c_size_t(2), None)
link = bpf.bpf_link_create(program, socket.if_nametoindex(sys.argv[1]), 37, None)
print("held" if program >= 0 and link >= 0 else "failed", flush=True)
signal.pause()
"""


class World:
    """A network namespace for gate and application, one for clients and flood, and a pair of virtual interfaces; what
    comes in at the gate's end is the work of the gate's core."""

    GATE, OUT = "pbgate0", "pbout0"

    def __init__(self):
        self.names = [f"polder-bench-{os.getpid()}-{side}" for side in ("gate", "out")]
        # With a BPF file system of its own, where polder keeps its programs, and which ends with it.
        mounted = ["unshare", "--mount", "--", "sh", "-c", 'mount -t bpf bpf /sys/fs/bpf && exec "$@"', "sh"]
        enter = [["nsenter", f"--net=/run/netns/{name}", "--"] for name in self.names]
        self.inside, self.outside = [*mounted, *enter[0]], enter[1]
        self.far_end = None
        try:
            self.wire(*self.names)
        except (subprocess.CalledProcessError, OSError):
            self.close()
            raise

    def ip(self, *words):
        return subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout

    def mac(self, name, device):
        return self.ip("-n", name, "-o", "link", "show", device).split("link/ether ")[1].split()[0]

    def wire(self, gate, out):
        for name in (gate, out):
            self.ip("netns", "add", name)
            self.ip("-n", name, "link", "set", "lo", "up")
        self.ip("-n", gate, "link", "add", self.GATE, "type", "veth", "peer", "name", self.OUT, "netns", out)
        self.ip("-n", gate, "addr", "add", f"{SYN_GATE}/24", "dev", self.GATE)
        for number in range(100, 120):
            self.ip("-n", out, "addr", "add", f"{SYN_NET}.{number}/24", "dev", self.OUT)
        self.ip("-n", gate, "link", "set", self.GATE, "up")
        self.ip("-n", out, "link", "set", self.OUT, "up")
        # Answers to made-up sources go to a machine that is not there.
        self.ip("-n", gate, "neigh", "add", f"{SYN_NET}.250", "lladdr", "02:00:00:00:00:63", "dev", self.GATE)
        self.ip("-n", gate, "route", "add", "default", "via", f"{SYN_NET}.250", "dev", self.GATE)
        self.gate_mac = self.mac(gate, self.GATE)
        self.set(["ip", "netns", "exec", gate], f"/sys/class/net/{self.GATE}/queues/rx-0/rps_cpus", f"{1 << PROXY_CORE:x}")
        self.far_end = subprocess.Popen([*self.outside, sys.executable, "-c", PASS_ALL, self.OUT], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        if self.far_end.stdout.readline() != "held\n":
            raise OSError("no program can be put at the far end of the wire")
        for path, value in (("conf/all/rp_filter", 0), (f"conf/{self.GATE}/rp_filter", 0), ("tcp_syncookies", 1)):
            self.set(self.inside, f"/proc/sys/net/ipv4/{path}", value)

    def set(self, where, path, value):
        subprocess.run([*where, "sh", "-c", f"echo {value} > {path}"], check=True, stdin=subprocess.DEVNULL)

    def close(self):
        if self.far_end:
            self.far_end.kill()
            self.far_end.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
