"""What the gate tells: access log, metrics, status, and the command `polder` over the control socket; and that nothing
of it hurts: stalled, broken and unwelcome clients of the observer, and its death under load."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

import harness

BSN = "123456782"  # passes the eleven-test


def polder():
    return os.environ.get("POLDER") or str(Path(harness.program()).parents[1] / "cli/polder")


def run(gate, *arguments, user=None):
    command = [polder(), "--socket", str(gate.folder / "run/control.sock"), *arguments]
    if user is not None:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def answer(gate, *arguments):
    done = run(gate, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


@pytest.fixture(scope="module")
def gate(app):
    with harness.Gate(harness.simple_config(app.port)) as gate:
        yield gate


# -- the access log

def test_access_line(gate):
    with gate.connect() as client:
        reply = client.get("/labs/2026?x=1", fields=[("User-Agent", 'probe "1"')])
        assert reply.status == 200
    line = gate.wait_log(lambda l: l.get("url.path") == "/labs/2026")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["@timestamp"])
    assert re.fullmatch(r"[0-9a-f]{32}", line["http.request.id"])
    expected = {"http.version": "1.1", "http.request.method": "GET", "url.domain": harness.HOST,
                "http.response.status_code": 200, "user_agent.original": 'probe "1"', "source.ip": "127.0.0.1",
                "polder.listener": "http", "polder.cluster": "noord", "polder.route": "/", "polder.upstream": "app",
                "polder.has_query": True}
    assert {key: line.get(key) for key in expected} == expected
    assert 0 < line["event.duration"] < 60e9


def test_no_secret_reaches_the_log(gate):
    with gate.connect() as client:
        client.get(f"/patient/{BSN}/dossier?bsn={BSN}&token=geheim",
                   fields=[("Cookie", "session=geheim"), ("Authorization", "Bearer geheim"), ("Referer", "/?geheim")])
    gate.wait_log(lambda l: l.get("url.path") == "/patient/*********/dossier")
    text = gate.access_log.read_text()
    assert BSN not in text and "geheim" not in text and "token" not in text


def test_a_refusal_is_logged_with_its_reason(gate):
    gate.raw(b"GET /double HTTP/1.1\r\nHost: noord.test\r\nHost: noord.test\r\n\r\n")
    line = gate.wait_log(lambda l: l.get("polder.refusal") == "host_repeated")
    assert line["http.response.status_code"] == 400 and line["polder.by_gate"] is True


# -- the management address

def test_promtool_agrees(gate):
    if not shutil.which("promtool"):
        pytest.skip("promtool comes with Debian's package prometheus")
    done = subprocess.run(["promtool", "check", "metrics"], input=gate.manage("/metrics"), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_metrics_count(gate):
    before = gate.counter("polder_cluster_requests_total", cluster="noord", code="2xx")
    with gate.connect() as client:
        for _ in range(5):
            client.get("/count")
    gate.wait_counter("polder_cluster_requests_total", before + 5, cluster="noord", code="2xx")
    buckets = gate.counter("polder_cluster_request_duration_seconds_bucket", cluster="noord", le="+Inf")
    assert buckets == gate.counter("polder_cluster_request_duration_seconds_count", cluster="noord") >= 5


def test_health(gate):
    assert gate.manage("/healthz") == "ok\n"


def ask_management(gate, data):
    with socket.create_connection(("127.0.0.1", gate.management), timeout=harness.WITHIN_S) as s:
        s.sendall(data)
        return s.makefile("rb").read()


@pytest.mark.parametrize("request_bytes, status", [
    (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
    (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"405"),
    (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
    (b"GET /metrics HTTP/3.0\r\nHost: x\r\n\r\n", b"505"),
    (b"\x16\x03\x01\x02\x00" + b"x" * 600, b"400"),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 9000 + b"\r\n\r\n", b"431"),
])
def test_bad_questions_get_an_answer(gate, request_bytes, status):
    assert ask_management(gate, request_bytes).split(b" ", 2)[1] == status


def test_idle_clients_do_not_shut_others_out_for_long(gate):
    """More than it takes at once: those beyond are closed, and when the others are gone it answers again."""
    idle = [socket.create_connection(("127.0.0.1", gate.management)) for _ in range(40)]
    closed = 0
    for s in idle:
        s.settimeout(0.05)
        try:
            closed += s.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionResetError:
            closed += 1
    assert closed >= 8
    for s in idle:
        s.close()
    harness.until(lambda: _answers(gate), "the management address answers again")


def _answers(gate):
    try:
        return gate.manage("/healthz") == "ok\n"
    except OSError:
        return False


# -- the command

def test_status(gate):
    status = answer(gate, "status", "--json")
    roles = {(r["role"], r["slot"]): r for r in status["roles"]}
    assert {("worker", 0), ("worker", 1), ("signer", 0), ("observer", 0)} <= set(roles)
    for role in roles.values():
        os.kill(role["pid"], 0)
        assert role["role"] == "master" or role["walls"], role
    assert status["config"]["generation"] >= 1 and len(status["config"]["digest"]) == 64
    assert [e["health"] for e in status["endpoints"]] and status["listeners"][0]["name"] == "http"
    text = run(gate, "status").stdout
    for word in ("worker 0", "signer", "noord", "app", "WALLS", "http"):
        assert word in text


def test_top(gate):
    with gate.connect() as client:
        client.get("/top")
    picture = answer(gate, "top", "--once", "--json")
    assert picture["clusters"][0]["name"] == "noord" and 0.5 < picture["interval_s"] < 10
    assert {r["role"] for r in picture["roles"]} >= {"worker", "observer"}
    assert "P99" in run(gate, "top", "--once").stdout


def test_metrics_are_the_same_over_both_ways(gate):
    names = lambda text: {line.split()[2] for line in text.split("\n") if line.startswith("# TYPE")}
    assert names(run(gate, "metrics").stdout) == names(gate.manage("/metrics"))


def test_reload_says_why_not(gate):
    good = gate.config_path.read_text()
    assert run(gate, "reload").returncode == 0
    generation = gate.status()["config"]["generation"]
    gate.config_path.write_text(good.replace('"listeners"', '"listerners"'))
    try:
        done = run(gate, "reload")
        assert done.returncode == 1 and "listerners" in done.stderr and "listeners" in done.stderr
        told = run(gate, "reload", "--json")
        assert told.returncode == 1 and "listerners" in json.loads(told.stdout)["error"]
        status = gate.status()["config"]
        assert status["generation"] == generation and "listerners" in status["last_error"]
        assert gate.counter("polder_config_last_load_successful") == 0
    finally:
        gate.config_path.write_text(good)
    assert run(gate, "reload").returncode == 0
    assert gate.status()["config"]["last_error"] == ""


def test_usage(gate):
    assert run(gate, "statsu").returncode == 2
    assert run(gate, "check").returncode == 2
    assert run(gate, "--nothing", "status").returncode == 2
    nowhere = subprocess.run([polder(), "--socket", str(gate.folder / "nowhere"), "status"], capture_output=True, text=True)
    assert nowhere.returncode == 3 and "not running" in nowhere.stderr


def test_check(gate):
    assert run(gate, "check", str(gate.config_path)).returncode == 0
    bad = gate.folder / "bad.yaml"
    bad.write_text(gate.config_path.read_text().replace('"listeners"', '"listerners"'))
    assert run(gate, "check", str(bad)).returncode == 1
    report = json.loads(run(gate, "check", "--json", str(bad)).stdout)
    assert not report["ok"] and any(p["level"] == "error" and p["line"] > 0 for p in report["problems"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_strangers_may_not_ask(gate):
    path = gate.folder / "run/control.sock"
    assert run(gate, "status", user=65534).returncode == 3  # by the mode of the socket
    mode = path.stat().st_mode & 0o777
    path.chmod(0o666)
    try:
        refused = run(gate, "status", user=65534)  # and by who asks
        assert refused.returncode == 3 and "may not" in refused.stderr
    finally:
        path.chmod(mode)


def control(gate):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(harness.WITHIN_S)
    s.connect(str(gate.folder / "run/control.sock"))
    return s


def test_the_control_socket_bears_anything(gate):
    with control(gate) as s:
        s.sendall(b"no such command\n")
        assert "not known" in json.loads(s.makefile().read())["error"]
    with control(gate) as s:
        s.sendall(b"x" * 20000)
        assert "error" in json.loads(s.makefile().read())
    with control(gate) as s:
        s.sendall(b"sta")
        with control(gate) as other:  # one that is slow holds up nobody
            other.sendall(b"status\n")
            assert "roles" in json.loads(other.makefile().read())
        s.sendall(b"tus\n")
        assert "roles" in json.loads(s.makefile().read())
    with control(gate) as s:
        s.sendall(b"metrics\n")  # and goes away without reading
    assert answer(gate, "status", "--json")["version"]


# -- the life of the observer

def test_logs_are_opened_anew(gate):
    rotated = gate.access_log.with_suffix(".1")
    gate.access_log.rename(rotated)
    gate.process.send_signal(signal.SIGHUP)
    harness.until(gate.access_log.exists, "a new access log")
    with gate.connect() as client:
        client.get("/after-rotation")
    gate.wait_log(lambda l: l.get("url.path") == "/after-rotation")
    assert "/after-rotation" not in rotated.read_text()


def test_killed_under_load_no_line_is_lost(app):
    """The rings outlive the observer: what was answered meanwhile is logged by the next one."""
    with harness.Gate(harness.simple_config(app.port)) as gate:
        gate.may_say = "observer"
        sent = 0
        old = gate.pids("observer")[0]
        with gate.connect() as client:
            for i in range(600):
                if i == 200:
                    os.kill(old, signal.SIGKILL)
                assert client.get(f"/load/{i}").status == 200
                sent += 1
        lines = gate.wait_log(lambda l: l.get("url.path", "").startswith("/load/"), count=sent)
        paths = [l["url.path"] for l in lines]
        assert len(paths) == len(set(paths)) == sent
        assert _new_observer(gate, old)
        assert gate.counter("polder_events_lost_total") == 0
        assert gate.counter("polder_role_restarts_total", role="observer") >= 1


def _new_observer(gate, old):
    def found():
        try:
            return gate.pids("observer").get(0) not in (None, old)
        except OSError:
            return False
    return harness.until(found, "a new observer")
