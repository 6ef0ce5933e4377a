"""kill -9 of each role, of the master, and of everybody, under load."""
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import harness
from lifecycle_load import Load, assert_unharmed
from test_lifecycle_reload import config, order

KILLED = r"was killed by signal 9"


@pytest.fixture
def load():
    with Load(harness.free_port()) as one:
        yield one


def config_that_dials(load, certificates):
    """Every request needs a new connection upstream."""
    wanted = config(load, certificates)
    wanted["upstreams"][0]["keepalive"] = 0
    return wanted


def kill(gate, role, slot=0):
    """And waits for the successor, which is told by pid."""
    pid = gate.pids(role)[slot]
    os.kill(pid, signal.SIGKILL)
    return harness.until(lambda: gate.pids(role).get(slot, pid) != pid and gate.pids(role)[slot], f"a new {role}")


@pytest.mark.parametrize("role", ["signer", "dialer", "filter"])
def test_role_dies(load, certificates, role):
    with harness.Gate(config_that_dials(load, certificates)) as gate:
        gate.may_say = role + r" 0 " + KILLED
        load.start(gate)
        for _ in range(3):
            kill(gate, role)
            load.go_on(60)
        assert_unharmed(load.stop())
        assert {r["role"]: r["restarts"] for r in gate.status()["roles"]}[role] == 3


def test_signer_dies_after_its_key_was_replaced(load, certificates, tmp_path):
    """The files of the configuration in force no longer fit each other: a reload must still be able to bring the new pair."""
    chain, key = tmp_path / "pair.pem", tmp_path / "pair.key"
    def install(issued):
        chain.write_bytes(Path(issued.chain).read_bytes())
        key.write_bytes(Path(issued.key).read_bytes())
    install(certificates.noord)
    wanted = config(load, certificates)
    wanted["certificates"][0].update(chain=str(chain), key=str(key))
    with harness.Gate(wanted) as gate:
        gate.may_say = r"signer 0 |not taken over"
        install(certificates.noord_rsa)
        os.kill(gate.pids("signer")[0], signal.SIGKILL)
        harness.until(lambda: {r["role"]: r["restarts"] for r in gate.status()["roles"]}["signer"] >= 2, "it cannot take the old key")
        harness.until(lambda: "ok" in order(gate, "reload"), "the reload brings the new pair")
        with gate.connect("https", tls=harness.tls_context()) as client:
            assert client.get("/").status == 200


def test_observer_dies(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        gate.may_say = "observer 0 " + KILLED
        load.start(gate)
        for _ in range(3):
            pid = harness.until(lambda: gate.pids("observer"), "an observer")[0]
            os.kill(pid, signal.SIGKILL)
            def new_one():
                try:
                    return gate.pids("observer").get(0, pid) != pid
                except (OSError, ValueError):
                    return False
            harness.until(new_one, "a new observer")
            load.go_on(60)
        report = load.stop()
        assert_unharmed(report)
        answered = report["requests"] + report["fresh"]
        harness.until(lambda: len(gate.log_lines()) >= answered, f"the log has all {answered} requests")
        assert gate.counter("polder_events_lost_total") == 0


def worker_of_ports(gate, ports):
    """{client port: pid of the worker that holds the connection}"""
    holders = {}
    for pid in gate.pids("worker").values():
        for n in os.listdir(f"/proc/{pid}/fd"):
            try:
                holders[os.readlink(f"/proc/{pid}/fd/{n}")] = pid
            except OSError:
                pass
    found = {}
    for line in Path("/proc/net/tcp").read_text().split("\n")[1:]:
        words = line.split()
        if words and int(words[2].rpartition(":")[2], 16) in ports and f"socket:[{words[9]}]" in holders:
            found[int(words[2].rpartition(":")[2], 16)] = holders[f"socket:[{words[9]}]"]
    return found


def test_worker_dies(load, certificates):
    """Only what it held is lost: its connections, and what it had accepted of the fresh ones."""
    fresh = 4
    with harness.Gate(config(load, certificates)) as gate:
        gate.may_say = "worker 0 " + KILLED
        load.start(gate, fresh=fresh)
        pid = gate.pids("worker")[0]
        holder = worker_of_ports(gate, set(load.report()["ports"]))
        kill(gate, "worker", 0)
        report = load.go_on(200)
        its_own = {port for port, of in holder.items() if of == pid}
        assert 10 < len(its_own) < 90
        for kind, port, error in report["failed"]:
            assert port in its_own or kind.startswith("fresh"), (kind, port, error)
        assert len([f for f in report["failed"] if f[0].startswith("fresh")]) <= fresh
        assert len(report["failed"]) + report["closed"] <= len(its_own) + fresh
        load._order(do="clear")
        load.go_on(200)
        report = load.stop()
        assert report["failed"] == [] and report["closed"] == 0


def test_queue_of_a_dead_worker_is_served(certificates, load):
    """Connections made while the worker is stopped wait in its queue, and its successor takes them."""
    with harness.Gate(config(load, certificates), workers=1) as gate:
        gate.may_say = "worker 0 " + KILLED
        pid = gate.pids("worker")[0]
        os.kill(pid, signal.SIGSTOP)
        waiting = [gate.connect("http") for _ in range(20)]
        for client in waiting:
            client.send(b"GET /queued HTTP/1.1\r\nHost: noord.test\r\n\r\n")
        os.kill(pid, signal.SIGKILL)
        for client in waiting:
            assert client.response().body == b"/queued"
            client.close()


def test_a_role_that_dies_again_and_again_is_given_time(certificates, load):
    with harness.Gate(config(load, certificates)) as gate:
        gate.may_say = "filter 0 " + KILLED
        for _ in range(6):
            kill(gate, "filter")
        waits = [int(ms) for ms in re.findall(r"filter 0 was killed.* again in (\d+) ms", gate.stderr())]
        assert waits == [0, 50, 100, 200, 400, 800]
        assert "it keeps dying" in gate.stderr()
        harness.until(lambda: "role_died" in gate.event_log.read_text(), "the event log tells it")
        assert [r["restarts"] for r in gate.status()["roles"] if r["role"] == "filter"] == [6]


# ---- the master

def kill_master(gate):
    gate.process.kill()
    gate.process.wait()


def start_another(gate):
    """A new master by hand; waits until it has taken over and the old workers are done, but for what they carry."""
    seen = len(gate.said)
    gate.start()
    gate.wait_said("taking over from", since=seen)
    gate.wait_said("ready", since=seen)


def test_master_dies(load, certificates):
    with harness.Gate(config_that_dials(load, certificates)) as gate:
        load.start(gate)
        workers = set(gate.pids("worker").values())
        for _ in range(2):
            kill_master(gate)
            load.go_on(200)
            assert_unharmed(load.report(), told=True)
            assert gate.status()["config"]["generation"] == 1  # the orphaned observer still answers
            assert "cannot be reached" in order(gate, "reload")["error"]
            start_another(gate)
            load.go_on(200)
        report = load.stop()
        assert_unharmed(report, told=True)
        assert report["told"] > 0
        assert not workers & set(gate.pids("worker").values())
        print(f"\nmaster killed twice: {report['requests']} requests, {report['fresh']} fresh connections, 0 failed, "
              f"{report['told']} connections ended in order")


def test_old_roles_end_when_their_work_is_done(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        old = gate.role_processes()
        with gate.connect("http") as client:
            client.send(b"GET /slow1 HTTP/1.1\r\nHost: noord.test\r\n\r\n")
            gate.wait_counter("polder_requests_active", 1)
            kill_master(gate)
            start_another(gate)
            answer = client.response()
            assert answer.body == b"/slow1" and answer.fields.get("connection") == "close"
        harness.until(lambda: not [pid for pid, began in old if harness._start_time(pid) == began], "the old roles ended")
        gate.wait_log(lambda line: line["url.path"] == "/slow1")  # their observer wrote it


def test_second_master_is_refused(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        second = subprocess.run([harness.program(), "--config", str(gate.config_path)], capture_output=True, text=True, timeout=15)
        assert second.returncode == 1
        assert f"a gate is running already in {gate.folder}/run (pid {gate.process.pid})" in second.stderr
        with gate.connect("http") as client:
            assert client.get("/x").status == 200
        assert "ok" in order(gate, "reload")


def test_everybody_dies(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        kill_master(gate)
        roles, seen = gate.role_processes(), len(gate.said)
        for pid, _ in roles:
            os.kill(pid, signal.SIGKILL)
        harness.until(lambda: not [pid for pid, began in roles if harness._start_time(pid) == began], "all are dead")
        assert (gate.folder / "run/control.sock").exists() and (gate.folder / "run/gate.state").exists()
        gate.start()
        gate.wait_said("ready", since=seen)
        assert "taking over" not in gate.stderr()
        with gate.connect("https", tls=harness.tls_context()) as client:
            assert client.get("/x").status == 200
        assert "ok" in order(gate, "reload")


def test_failed_start_leaves_the_orphans_alone(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        kill_master(gate)
        bad = config(load, certificates)
        bad["certificates"][0]["key"] = certificates.zuid.key
        gate.write_config(bad)
        failed = subprocess.run([harness.program(), "--config", str(gate.config_path)], capture_output=True, text=True, timeout=15)
        assert failed.returncode == 1 and "does not belong" in failed.stderr
        with gate.connect("https", tls=harness.tls_context()) as client:
            assert client.get("/x").status == 200
        assert gate.status()["config"]["generation"] == 1
        gate.write_config(config(load, certificates))
        start_another(gate)
