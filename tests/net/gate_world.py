"""A machine of its own for a real gate: a network with an outside, and a BPF file system.

The process that calls make() moves into name spaces of its own: interface g0 with 192.0.2.1 and 2001:db8::1 is the
outside interface of the gate that it starts; at the far end of the wire everybody lives behind o0, told apart by
their addresses. All of it goes with the process. Sockets are made in the outside by `outside`.
"""
import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "wire"))
import harness  # noqa: E402

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC_PRIVATE = (1 << 14) | (1 << 18)
GATE, GATE6 = "192.0.2.1", "2001:db8::1"
STRANGER, SECOND, PARTNER, MANAGER, INSIDE = "203.0.113.1", "203.0.113.2", "198.51.100.1", "10.9.0.1", "10.1.0.1"
STRANGER6, PARTNER6 = "2001:db8:1::1", "2001:db8:4::1"
PINS = "/sys/fs/bpf/polder"

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def ip(line, namespace=None):
    command = ["/sbin/ip", *line.split()]
    if namespace is not None:
        command = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{namespace}", *command]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=20)


def answer_program(interface):
    """Loads a program that passes everything and attaches it: without one, a veth drops what XDP_TX sends back."""
    sys_bpf = 321
    code = struct.pack("<BBhiBBhi", 0xb7, 0, 0, 2, 0x95, 0, 0, 0)  # r0 = XDP_PASS; exit
    instructions, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    load = struct.pack("<IIQQIIQI", 6, 2, ctypes.addressof(instructions), ctypes.addressof(licence), 0, 0, 0, 0)
    attributes = ctypes.create_string_buffer(load, 120)
    program = check(libc.syscall(sys_bpf, 5, attributes, 120), "BPF_PROG_LOAD")
    attributes = ctypes.create_string_buffer(struct.pack("<IIII", program, interface, 37, 0), 120)
    return check(libc.syscall(sys_bpf, 28, attributes, 120), "BPF_LINK_CREATE")


def in_namespace(namespace, act):
    """What act returns, called in a thread that lives in that network."""
    kept = {}

    def run():
        try:
            check(libc.setns(namespace, CLONE_NEWNET), "setns")
            kept["value"] = act()
        except BaseException as error:  # told to who asked
            kept["error"] = error
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if "error" in kept:
        raise kept["error"]
    return kept["value"]


class Outside:
    """The far end of the wire."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.link = None

    def run(self, act):
        return in_namespace(self.namespace, act)

    def socket(self, source, kind=socket.SOCK_STREAM, port=0, timeout=harness.WITHIN_S):
        def make():
            s = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, kind)
            s.settimeout(timeout)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((source, port))
            return s
        return self.run(make)

    def connect(self, source, port, timeout=harness.WITHIN_S):
        """A connected socket, or None when nobody answers."""
        s = self.socket(source, timeout=timeout)
        try:
            s.connect((GATE6 if ":" in source else GATE, port))
            return s
        except OSError:
            s.close()
            return None

    def client(self, source, port):
        s = self.connect(source, port)
        assert s, f"{source} does not reach port {port}"
        return harness.Client(s)

    def get(self, source, port, target="/"):
        """The status that a fresh connection gets."""
        with self.client(source, port) as client:
            return client.get(target).status

    def reaches(self, source, port, patience_s=0.4):
        """Whether a connection comes about. What is dropped is silent, so silence is all there is to see."""
        s = self.connect(source, port, patience_s)
        if s:
            s.close()
        return s is not None

    def raw(self):
        """Sends and takes whole frames at o0."""
        def make():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.bind(("o0", 0))
            s.settimeout(harness.WITHIN_S)
            return s
        return self.run(make)


def hardware_address():
    """Of g0, as bytes. /sys shows the interfaces of the machine, not those of this network."""
    shown = subprocess.run(["/sbin/ip", "-o", "link", "show", "g0"], check=True, capture_output=True, text=True, timeout=20)
    return bytes.fromhex(shown.stdout.split("link/ether ")[1].split()[0].replace(":", ""))


def prefix(address):
    return f"{address}/{128 if ':' in address else 32}"


def make():
    """Moves this process into its own world; returns the outside."""
    check(libc.unshare(CLONE_NEWNET), "unshare")
    outside = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    check(libc.unshare(CLONE_NEWNET | CLONE_NEWNS), "unshare")
    check(libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None), "mount")
    check(libc.mount(b"bpf", b"/sys/fs/bpf", b"bpf", 0, None), "mount")
    world = Outside(outside)
    ip("link set lo up", outside)
    ip("link set lo up")
    wire(world)
    return world


def wire(world):
    """The cable between the two, new."""
    ip(f"link add g0 type veth peer name o0 netns /proc/{os.getpid()}/fd/{world.namespace}")
    for address in (STRANGER, SECOND, "203.0.113.3", "203.0.113.4", PARTNER, MANAGER, INSIDE, STRANGER6, PARTNER6):
        family, more = ("-6 ", " nodad") if ":" in address else ("", "")
        ip(f"{family}addr add {prefix(address)} dev o0{more}", world.namespace)
    ip("link set o0 up", world.namespace)
    world.run(lambda: answer_program(socket.if_nametoindex("o0")))
    ip("route add 192.0.2.0/24 dev o0", world.namespace)
    ip("-6 route add 2001:db8::/64 dev o0", world.namespace)
    gate_side()


def gate_side():
    ip(f"addr add {GATE}/24 dev g0")
    ip(f"-6 addr add {GATE6}/64 dev g0 nodad")
    ip("link set g0 up")
    for network in ("203.0.113.0/24", "198.51.100.0/24", "10.9.0.0/24", "10.1.0.0/24"):
        ip(f"route add {network} dev g0")
    for network in ("2001:db8:1::/64", "2001:db8:4::/64"):
        ip(f"-6 route add {network} dev g0")


def config(app_port, port, filter=None, listener_limits=None, **more):
    """A gate that listens on all addresses, filtered at g0."""
    listener = {"address": f"[::]:{port}", **({"limits": listener_limits} if listener_limits else {})}
    c = harness.simple_config(app_port, listener=listener, **more)
    c["partners"] = [{"name": "mcl", "networks": ["198.51.100.0/24", "2001:db8:4::/48"]}]
    c["networks"] = {"management": ["10.9.0.0/24"], "inside": ["10.1.0.0/24"]}
    c["filter"] = {"interfaces": ["g0"], **(filter or {})}
    return c


def start_again(gate):
    """After everything was killed."""
    with gate.said_changed:
        gate.said.clear()
    gate.start()


def forget_pins():
    """What a reboot does to a BPF file system. No gate may run; the interfaces lose their programs with it."""
    for folder, _, files in os.walk(PINS, topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def polder(gate, *arguments, may_fail=False):
    """The operator's command; what it printed."""
    program = Path(harness.program()).parent.parent / "cli/polder"
    if not program.exists():
        program = os.environ.get("POLDER", "polder")
    done = subprocess.run([str(program), "--socket", str(gate.folder / "run/control.sock"), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    if done.returncode != 0 and not may_fail:
        raise harness.Trouble(f"polder {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + (done.stderr if may_fail else "")


def ask(gate, request):
    """A question to the filter, as its JSON."""
    import json
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(harness.WITHIN_S)
        s.connect(str(gate.folder / "run/control.sock"))
        s.sendall(b"isolation " + json.dumps(request).encode() + b"\n")
        text = b""
        while piece := s.recv(1 << 16):
            text += piece
    return json.loads(text)
