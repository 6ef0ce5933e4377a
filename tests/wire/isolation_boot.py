"""A machine that starts anew, in network namespaces of the test's own: before any process of the gate runs, the level that
was recorded is put back with nftables; the gate's programs take over from it. What cannot be read is closed."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import harness
import isolation_kit as kit

pytestmark = pytest.mark.skipif(os.getuid() != 0 or not shutil.which("nft") or not shutil.which("ip"),
                                reason="needs root, nftables and iproute2, for namespaces of its own")
GATE, STRANGER, PARTNER = "10.77.0.1", "10.77.0.2", "10.77.0.130"
CONNECT = """import socket, sys
s = socket.socket()
s.settimeout(float(sys.argv[4]))
s.bind((sys.argv[1], 0))
try:
    s.connect((sys.argv[2], int(sys.argv[3])))
    print("connected")
except OSError as error:
    print(error)
"""
LISTEN = """import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(16)
print("listening", flush=True)
sys.stdin.read()
"""


def run(*words, check=True, **more):
    return subprocess.run([str(word) for word in words], check=check, capture_output=True, text=True, timeout=60, **more)


class House:
    """A namespace with the machine the gate runs on, one outside it, and a service that is not the gate's."""
    PORT = 2222

    def __init__(self):
        self.inside, self.outside = f"polder-in-{os.getpid()}", f"polder-out-{os.getpid()}"
        for name in (self.inside, self.outside):
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "pd0", "netns", self.inside, "type", "veth", "peer", "name", "pd1", "netns", self.outside)
        for name, link, addresses in ((self.inside, "pd0", [GATE]), (self.outside, "pd1", [STRANGER, PARTNER])):
            for address in addresses:
                run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        self.service = subprocess.Popen([*self.enter(self.inside), sys.executable, "-c", LISTEN, GATE, str(self.PORT)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.service.stdout.readline() == "listening\n"

    @staticmethod
    def enter(name):
        return ["nsenter", f"--net=/run/netns/{name}"]  # not `ip netns exec`, which hides the BPF file system

    def reaches(self, source=STRANGER, port=None, within_s=1):
        done = run(*self.enter(self.outside), sys.executable, "-c", CONNECT, source, GATE, port or self.PORT, within_s)
        return done.stdout.strip() == "connected"

    def table(self):
        return run(*self.enter(self.inside), "nft", "list", "ruleset").stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.service.kill()
        self.service.wait()
        for name in (self.inside, self.outside):
            run("ip", "netns", "del", name, check=False)


class Machine:
    """Configuration and state of a gate in that house."""

    def __init__(self, folder, house, app_port, has_programs):
        self.folder, self.house, self.bpf = Path(folder), house, Path(folder) / "bpf"
        self.has_programs = has_programs
        self.bpf.mkdir()
        self.mount()
        self.port = harness.free_port()
        config = {"gate": {"workers": 1, "run_directory": str(self.folder / "run"), "state_directory": str(self.folder / "state"),
                           "access_log": "off", "event_log": str(self.folder / "events.jsonl")},
                  "filter": {"interfaces": ["pd0"], "pins": str(self.bpf / "polder")},
                  "partners": [{"name": "mcl", "networks": ["10.77.0.128/25"]}],
                  "upstreams": [{"name": "app", "endpoints": [f"127.0.0.1:{app_port}"]}],
                  "listeners": [{"name": "http", "address": f"{GATE}:{self.port}"}],
                  "clusters": [{"name": "noord", "hosts": ["noord.test"], "routes": [{"path": "/", "upstream": "app"}]}]}
        (self.folder / "run").mkdir()
        self.config = self.folder / "polder.yaml"
        self.config.write_text(json.dumps(config))
        run(kit.POLDER, "isolation", "init", "--config", self.config)
        self.gate = None

    def start(self):
        with open(self.folder / "said", "a+") as said:
            self.gate = subprocess.Popen([*House.enter(self.house.inside), harness.program(), "--config", str(self.config)],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        harness.until(lambda: "ready" in (self.folder / "said").read_text() or self.gate.poll() is not None, "it is ready")
        assert self.gate.poll() is None, (self.folder / "said").read_text()

    def kill_everything(self):
        """As a machine that loses its power: no process, no program, no table is left."""
        roles = [line.split()[1] for line in (self.folder / "run/gate.state").read_text().split("\n") if line.startswith("role ")]
        self.gate.kill()
        self.gate.wait()
        for pid in roles:
            with contextlib.suppress(OSError):
                os.kill(int(pid), 9)
        harness.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in roles), "all are gone")
        self.forget()
        shutil.rmtree(self.folder / "run")
        (self.folder / "run").mkdir()
        (self.folder / "said").unlink()

    def mount(self):
        """A BPF file system that is empty; without one the gate filters by nftables."""
        if self.has_programs:
            run("mount", "-t", "bpf", "none", self.bpf)

    def forget(self):
        if self.has_programs:
            run("umount", self.bpf)
            self.mount()
        run(*House.enter(self.house.inside), "nft", "flush", "ruleset")
        run("ip", "-n", self.house.inside, "link", "set", "pd0", "xdp", "off", check=False)
        run("tc", "-n", self.house.inside, "qdisc", "del", "dev", "pd0", "clsact", check=False)

    def boot(self, config=None):
        return run(*House.enter(self.house.inside), harness.program(), "--boot", "--config", config or self.config, check=False)

    def order(self, *words):
        done = run(kit.POLDER, "--config", self.config, *words, "--reason", "a test", check=False)
        assert done.returncode == 0, done.stderr

    def close(self):
        if self.gate and self.gate.poll() is None:
            self.gate.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.gate.wait(20)
            self.gate.kill()
        if self.has_programs:
            run("umount", self.bpf, check=False)


@pytest.fixture(params=["programs", "nftables"])
def machine(tmp_path, request):
    with harness.Application() as app, House() as house:
        made = Machine(tmp_path, house, app.port, request.param == "programs")
        try:
            yield made
        finally:
            made.close()


def test_the_recorded_level_is_back_before_the_gate(machine):
    house = machine.house
    assert house.reaches()
    machine.start()
    assert house.reaches() and house.reaches(port=machine.port)
    machine.order("isolate", "partners")
    assert not house.reaches() and house.reaches(PARTNER)
    machine.kill_everything()
    assert house.reaches(), "a machine that started anew, and nothing was put back"
    booted = machine.boot()
    assert booted.returncode == 0 and "level partners is in force" in booted.stderr, booted.stderr
    assert not house.reaches() and house.reaches(PARTNER)
    assert house.reaches(port=machine.port) is False, "nobody listens yet, but the packet came: refused, not dropped"
    machine.start()
    assert not house.reaches() and house.reaches(PARTNER)
    mode = json.loads(run(kit.POLDER, "--config", machine.config, "status", "--json").stdout)["packets"]["mode"]
    assert mode == ("programs" if machine.has_programs else "nftables")
    assert ("polder_filter" in house.table()) == (mode == "nftables"), "where programs hold, the table of the start is gone"
    machine.order("isolate", "open", "--partners-back")
    assert house.reaches() and house.reaches(PARTNER)


def test_what_cannot_be_read_is_closed(machine, tmp_path):
    house = machine.house
    (machine.folder / "state/isolation/record.0").write_text("torn")
    booted = machine.boot()
    assert booted.returncode == 0 and "at least closed" in booted.stderr, booted.stderr
    assert not house.reaches() and not house.reaches(PARTNER)
    machine.forget()
    assert house.reaches()
    broken = tmp_path / "broken.yaml"
    broken.write_text("gate: [")
    booted = machine.boot(broken)
    assert "everything is closed" in booted.stderr
    assert not house.reaches() and not house.reaches(PARTNER)


def test_at_level_open_nothing_is_in_the_way(machine):
    assert machine.boot().returncode == 0
    assert machine.house.reaches() and machine.house.reaches(PARTNER)
