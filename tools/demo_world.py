"""The world of tools/demo.py: network namespaces around one gate, joined by pairs of virtual interfaces. All of it is
held by processes, and ends with them."""
import os
import subprocess
import sys
import time

import build
from run import Trouble

GATE, GATE6, INSIDE, MANAGEMENT = "203.0.113.1", "2001:db8:113::1", "10.0.0.1", "192.168.200.1"

PASS_ALL = """import ctypes, signal, socket, struct, sys
bpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
pass_all = struct.pack("<BBhi", 0xb7, 0, 0, 2) + struct.pack("<BBhi", 0x95, 0, 0, 0)  # r0 = XDP_PASS; exit
program = bpf.bpf_prog_load(6, b"pass", b"GPL", pass_all, ctypes.c_size_t(2), None)
link = bpf.bpf_link_create(program, socket.if_nametoindex(sys.argv[1]), 37, None)
print("held" if program >= 0 and link >= 0 else "failed", flush=True)
signal.pause()
"""


def program(path):
    return os.path.join(os.environ.get("POLDER_BUILD", build.folder("release")), path)


def quietly(*command, **more):
    return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, **more)


def must(*command):
    done = quietly(*command)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(map(str, command))}: {done.stdout.strip()}")
    return done.stdout


class World:
    """Namespaces are kept by processes that sleep in them, and end with those."""

    SIDES = ("gate", "internet", "patients", "hospital", "strangers", "ward", "management")
    WIRES = (  # (a, device, addresses) of both ends
        ("gate", "out0", [f"{GATE}/24", f"{GATE6}/64"], "internet", "rg0", ["203.0.113.2/24", "2001:db8:113::2/64"]),
        ("gate", "in0", [f"{INSIDE}/24"], "ward", "w0", ["10.0.0.10/24"]),
        ("gate", "mgmt0", [f"{MANAGEMENT}/24"], "management", "m0", ["192.168.200.10/24"]),
        ("internet", "rp0", ["198.51.100.1/24", "2001:db8:10::1/64"], "patients", "p0",
         ["198.51.100.10/24", "2001:db8:10::10/64", *(f"198.51.100.{n}/24" for n in range(101, 121))]),
        ("internet", "rh0", ["192.0.2.1/24", "2001:db8:20::1/64"], "hospital", "h0", ["192.0.2.10/24", "2001:db8:20::10/64"]),
        ("internet", "rs0", ["198.18.0.1/15"], "strangers", "s0",
         ["198.18.0.10/15", *(f"198.18.1.{n}/15" for n in range(1, 201))]),
    )

    def __init__(self):
        self.holders = {}
        for side in self.SIDES:
            self.holders[side] = subprocess.Popen(
                ["unshare", "--net", "--", "setpriv", "--pdeathsig", "KILL", "sleep", "infinity"],
                stdin=subprocess.DEVNULL, start_new_session=True)
        for side in self.SIDES:
            self._wait_apart(self.holders[side].pid)
            self.ip(side, "link", "set", "lo", "up")
        for wire in self.WIRES:
            self._join(*wire)
        self._route()

    @staticmethod
    def _wait_apart(pid):
        end = time.monotonic() + 10
        while os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
            if time.monotonic() > end:
                raise Trouble("no network namespace could be made")
            time.sleep(0.01)

    def enter(self, side):
        """What goes before a command that runs there."""
        return ["nsenter", f"--net=/proc/{self.holders[side].pid}/ns/net", "--"]

    def ip(self, side, *words):
        return must(*self.enter(side), "ip", *words)

    def set(self, side, path, value):
        must(*self.enter(side), "sh", "-c", f"echo {value} > /proc/sys/net/{path}")

    def _join(self, a, device_a, addresses_a, b, device_b, addresses_b):
        self.ip(a, "link", "add", device_a, "type", "veth", "peer", "name", device_b, "netns", str(self.holders[b].pid))
        for side, device, addresses in ((a, device_a, addresses_a), (b, device_b, addresses_b)):
            for address in addresses:
                self.ip(side, "addr", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
            self.ip(side, "link", "set", device, "up")

    def _answerable(self, side, device):
        """What XDP sends back over a pair of virtual interfaces is dropped unless the other end has a program too: one
        that lets everything pass, held by a process. A real interface needs none of this."""
        holder = subprocess.Popen([*self.enter(side), "setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-c", PASS_ALL, device],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.holders[device] = holder
        if holder.stdout.readline().strip() != "held":
            raise Trouble(f"no program can be put on {device}")

    def _route(self):
        self.set("internet", "ipv4/ip_forward", 1)
        self.set("internet", "ipv6/conf/all/forwarding", 1)
        self.set("internet", "ipv4/conf/all/rp_filter", 0)
        for side, hop, hop6 in (("gate", "203.0.113.2", "2001:db8:113::2"), ("patients", "198.51.100.1", "2001:db8:10::1"),
                                ("hospital", "192.0.2.1", "2001:db8:20::1"), ("strangers", "198.18.0.1", None)):
            self.ip(side, "route", "add", "default", "via", hop)
            if hop6:
                self.ip(side, "-6", "route", "add", "default", "via", hop6)
        self._answerable("internet", "rg0")
        # Answers to made-up sources end in the internet.
        self.ip("internet", "route", "add", "blackhole", "default")
        self.router_mac = self.ip("internet", "-o", "link", "show", "rs0").split("link/ether ")[1].split()[0]

    def close(self):
        for holder in self.holders.values():
            holder.kill()
            holder.wait()
