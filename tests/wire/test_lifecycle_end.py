"""How the gate starts and ends: drains, exit statuses, what it says when it cannot, sd_notify(3), names of endpoints."""
import http.server
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

import harness
from lifecycle_load import Load
from test_lifecycle_reload import config, order

IS_ROOT = os.geteuid() == 0
NOBODY = 65534


@pytest.fixture
def load():
    with Load(harness.free_port()) as one:
        yield one


class Ended:
    """Asserts on leaving that the gate ended by itself, cleanly, within so many seconds, and left nothing behind."""

    def __init__(self, gate, at_least=0.0, within=4.0):
        self.gate, self.at_least, self.within = gate, at_least, within

    def __enter__(self):
        self.roles, self.began = self.gate.role_processes(), time.monotonic()

    def __exit__(self, kind, *_):
        if kind:
            return
        assert self.gate.process.wait(harness.WITHIN_S) == 0
        took = time.monotonic() - self.began
        assert self.at_least <= took <= self.within, took
        assert not [pid for pid, began in self.roles if harness._start_time(pid) == began]
        assert os.listdir(self.gate.folder / "run") == []
        self.gate.process = None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_answers_what_is_open(load, certificates, number):
    """Idle connections are closed at once, the open request is answered, then it ends: it does not wait for its 5 s."""
    with harness.Gate(config(load, certificates)) as gate:
        idle, tls = gate.connect("http"), gate.connect("https", tls=harness.tls_context())
        assert idle.get("/x").status == tls.get("/x").status == 200
        busy = gate.connect("http")
        busy.send(b"GET /slow1 HTTP/1.1\r\nHost: noord.test\r\n\r\n")
        gate.wait_counter("polder_requests_active", 1)
        with Ended(gate, at_least=0.5):
            began = time.monotonic()
            gate.process.send_signal(number)
            assert idle.is_closed() and tls.is_closed()
            assert time.monotonic() - began < 0.5
            with pytest.raises(ConnectionRefusedError):
                for _ in range(100):
                    gate.open_socket("http").close()
                    time.sleep(0.01)
            answer = busy.response()
            assert answer.body == b"/slow1" and answer.fields.get("connection") == "close"


def test_signal_ends_tunnels_after_five_seconds(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, keep=2, fresh=0, tunnels=2)
        with Ended(gate, at_least=4.5, within=8):
            gate.process.send_signal(signal.SIGTERM)


def test_drain_by_order_waits(load, certificates):
    """As long as drain_timeout lets it; idle connections may still send a request."""
    with harness.Gate(config(load, certificates, gate={"drain_timeout": "1h"})) as gate:
        idle, busy = gate.connect("http"), gate.connect("http")
        assert idle.get("/x").status == 200
        busy.send(b"GET /slow0.5 HTTP/1.1\r\nHost: noord.test\r\n\r\n")
        gate.wait_counter("polder_requests_active", 1)
        with Ended(gate, at_least=0.3):
            assert "ok" in order(gate, "drain")
            assert busy.response().body == b"/slow0.5"
            answer = idle.get("/last")
            assert answer.status == 200 and answer.fields.get("connection") == "close"


def test_drain_has_an_end(load, certificates):
    with harness.Gate(config(load, certificates, gate={"drain_timeout": "1s"})) as gate:
        load.start(gate, keep=2, fresh=0, tunnels=2)
        with Ended(gate, at_least=0.9, within=4):
            gate.process.send_signal(signal.SIGQUIT)


def test_second_signal_ends_at_once(load, certificates):
    with harness.Gate(config(load, certificates, gate={"drain_timeout": "1h"})) as gate:
        gate.may_say = "killed by signal 9"
        load.start(gate, keep=2, fresh=0, tunnels=2)
        with Ended(gate, within=2):
            gate.process.send_signal(signal.SIGQUIT)
            gate.wait_said("draining")
            gate.process.send_signal(signal.SIGTERM)


def test_old_workers_of_an_upgrade_end_too(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, keep=2, fresh=0, tunnels=2)
        seen = len(gate.said)
        gate.process.send_signal(signal.SIGUSR2)
        gate.wait_said("ready", since=seen)
        with Ended(gate, at_least=3, within=9):
            gate.process.send_signal(signal.SIGTERM)


def test_roles_are_replaced_while_it_drains(load, certificates):
    """A signer or dialer that dies during a long drain must not take the open tunnels' neighbours along."""
    wanted = config(load, certificates, gate={"drain_timeout": "1h"})
    wanted["upstreams"][0]["keepalive"] = 0
    with harness.Gate(wanted) as gate:
        gate.may_say = "dialer 0 was killed by signal 9"
        with gate.connect("http") as client:
            assert client.get("/x").status == 200
            dialer = gate.pids("dialer")[0]
            with Ended(gate):
                assert "ok" in order(gate, "drain")
                os.kill(dialer, signal.SIGKILL)
                assert client.get("/y").body == b"/y"


# ---- starts that fail

def fails(gate, expected):
    done = subprocess.run([harness.program(), "--config", str(gate.config_path)], capture_output=True, text=True, timeout=15)
    assert done.returncode == 1 and expected in done.stderr, done
    assert not list((gate.folder / "run").glob("control.sock*"))


def test_starts_that_fail_say_why(load, certificates, tmp_path):
    with harness.Gate(config(load, certificates), start=False) as gate:
        with socket.socket() as other:
            harness.bind_free_port(other, gate.port("http"))
            other.listen()
            fails(gate, "http cannot listen on 127.0.0.1:%d" % gate.port("http"))
        gate.write_config(config(load, certificates, gate={"access_log": "/nowhere/log"}))
        fails(gate, "the log /nowhere/log cannot be opened")
        gate.write_config(config(load, certificates, gate={"run_directory": "/nowhere/run"}))
        fails(gate, "the folder /nowhere/run cannot be made")
        wrong = config(load, certificates)
        wrong["certificates"][0]["key"] = certificates.zuid.key
        gate.write_config(wrong)
        fails(gate, "does not belong to the certificate")


@pytest.fixture
def as_nobody(monkeypatch):
    """The gate started by an ordinary user, whoever runs the tests."""
    if not IS_ROOT:
        return lambda gate: None
    def give(gate):
        for path in [gate.folder, *gate.folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        really = subprocess.Popen
        monkeypatch.setattr(harness.subprocess, "Popen",
                            lambda *a, **more: really(*a, **more, user=NOBODY, group=NOBODY, extra_groups=[]))
    return give


def test_ordinary_user(load, certificates, as_nobody):
    wanted = config(load, certificates)
    wanted["listeners"].pop()
    del wanted["certificates"]
    with harness.Gate(wanted, start=False) as gate:
        as_nobody(gate)
        gate.start()
        assert "not started as root" in gate.stderr()
        with gate.connect("http") as client:
            assert client.get("/x").status == 200
        gate.reload()
        wanted["gate"] = {"access_log": "/root/access.jsonl"}
        gate.write_config(wanted)
        gate.process.send_signal(signal.SIGHUP)
        gate.wait_said("/root/access.jsonl cannot be opened: Permission denied")
        old = gate.role_processes()
        del wanted["gate"]
        gate.write_config(wanted)
        gate.process.kill()
        gate.process.wait()
        seen = len(gate.said)
        gate.start()
        gate.wait_said("taking over from 6", since=seen)
        harness.until(lambda: not [pid for pid, began in old if harness._start_time(pid) == began], "the old roles ended")
        with gate.connect("http") as client:
            assert client.get("/x").status == 200


def test_port_that_only_root_may_open(load, certificates, as_nobody):
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if lowest < 2:
        pytest.skip("here every user may open every port")
    wanted = config(load, certificates)
    wanted["listeners"] = [{"name": "http", "address": f"127.0.0.1:{lowest - 1}"}]
    del wanted["certificates"]
    with harness.Gate(wanted, start=False) as gate:
        as_nobody(gate)
        fails(gate, "need root or CAP_NET_BIND_SERVICE")


# ---- the service manager

def test_notifications(load, certificates, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(harness.WITHIN_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        def says(*expected):
            assert [manager.recv(4096).decode() for _ in expected] == list(expected)
        with harness.Gate(config(load, certificates)) as gate:
            says("READY=1")
            gate.reload()
            says("RELOADING=1", "READY=1")
            gate.write_config("nonsense: [\n")
            assert "error" in order(gate, "reload")
            says("RELOADING=1", "READY=1")
            gate.write_config(config(load, certificates))
            gate.process.send_signal(signal.SIGUSR2)
            says("RELOADING=1", "READY=1")
            gate.stop()
            says("STOPPING=1")
            gate.process = None
            manager.settimeout(0.2)
            with pytest.raises(socket.timeout):
                manager.recv(4096)


def test_status_shows_everybody(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        roles = {(r["role"], r["slot"]): r for r in gate.status()["roles"]}
        assert set(roles) == {("master", 0), ("signer", 0), ("dialer", 0), ("observer", 0), ("filter", 0), ("worker", 0), ("worker", 1)}
        assert all(r["state"] == "up" and r["restarts"] == 0 for r in roles.values())
        assert roles["master", 0]["pid"] == gate.process.pid


# ---- names

class Named(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.server.server_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def named():
    """The same port on two addresses; each answers with its own."""
    port, servers = harness.free_port(), []
    for address in ("127.0.0.2", "127.0.0.3"):
        server = http.server.ThreadingHTTPServer((address, port), Named)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    yield port
    for server in servers:
        server.shutdown()
        server.server_close()


def test_name_of_this_machine(load, certificates):
    """localhost is often both ::1 and 127.0.0.1: the one that answers is taken."""
    wanted = config(load, certificates)
    wanted["upstreams"][0].update(endpoints=[f"localhost:{load.port}"], keepalive=0)
    with harness.Gate(wanted) as gate:
        gate.may_say = "dialer . was killed by signal 9"
        with gate.connect("http") as client:
            assert client.get("/first").body == b"/first"  # the very first request waits for the name
            for slot in (0, 1):
                pid = gate.pids("dialer")[slot]
                os.kill(pid, signal.SIGKILL)
                assert client.get("/next").body == b"/next"
                harness.until(lambda: gate.pids("dialer").get(slot, pid) != pid, "a new dialer")
                assert client.get("/next").body == b"/next"
            for _ in range(6):
                gate.reload()
                assert client.get("/again").body == b"/again"


def test_name_comes_with_a_reload(load, certificates):
    wanted = config(load, certificates)
    with harness.Gate(wanted) as gate:
        with gate.connect("http") as client:
            assert client.get("/x").status == 200
            wanted["upstreams"][0]["endpoints"] = [f"localhost:{load.port}"]
            gate.reload(wanted)
            assert client.get("/y").body == b"/y"
            assert len(gate.pids("dialer")) == 2


@pytest.mark.skipif(not IS_ROOT or not shutil.which("unshare"), reason="needs root, to give the gate a hosts file of its own")
def test_name_that_moves(load, certificates, named, tmp_path, monkeypatch):
    hosts, wrapper = tmp_path / "hosts", tmp_path / "gate"
    tmp_path.chmod(0o755)
    hosts.write_text("127.0.0.2 app.test\n")
    wrapper.write_text(f"#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {hosts} /etc/hosts && exec \"$0\" \"$@\"' "
                       f"{harness.program()} \"$@\"\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("POLDER_GATE", str(wrapper))
    wanted = config(load, certificates, gate={"resolve_interval": "1s"})
    wanted["upstreams"][0].update(endpoints=[f"app.test:{named}"], keepalive=0)
    with harness.Gate(wanted) as gate:
        with gate.connect("http") as client:
            assert client.get("/x").body == b"127.0.0.2"
            hosts.write_text("127.0.0.3 app.test\n")
            harness.until(lambda: client.get("/x").body == b"127.0.0.3", "the name is looked up again")
            hosts.write_text("")
            gate.reload()
            assert client.get("/x").body == b"127.0.0.3"  # a name that is not found keeps its address
