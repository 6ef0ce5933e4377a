"""Accept queues by class: a crowd of strangers that came first does not stand in front of a partner or a known user.

The worker is stopped while people connect, so that the kernel alone decides who waits where; then it goes on with a
limit on connections that the crowd alone would fill.
"""
import os
import signal
import subprocess

import pytest

import gate_world as w
import harness

PORT, CROWD, CONNECTIONS = 8443, 150, 24


@pytest.fixture(scope="module")
def app():
    with harness.Application() as application:
        yield application


def config(app, **filter):
    limits = {"connections_per_address": 0, "connections": CONNECTIONS}
    return w.config(app.port, PORT, {"rates": {"open": {"unknown_source": 0}}, "syn_per_s": 0, **filter}, limits)


@pytest.fixture(scope="module")
def gate(outside, app):
    with harness.Gate(config(app), workers=1) as g:
        yield g


def waiting():
    """How many wait in each queue."""
    shown = subprocess.run(["ss", "-ltnH", "sport", "=", f":{PORT}"], check=True, capture_output=True, text=True, timeout=20)
    return sorted((int(line.split()[1]) for line in shown.stdout.splitlines()), reverse=True)


class Stopped:
    """The worker does nothing."""

    def __init__(self, gate):
        self.pid = gate.pids("worker")[0]

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def crowd_and(gate, outside, late):
    """The status that each of the late gets who came after CROWD strangers; None: it was sent away."""
    with Stopped(gate):
        crowd = [outside.client(w.STRANGER, PORT) for _ in range(CROWD)]
        clients = [outside.client(source, PORT) for source in late]
    statuses = []
    for client in clients:
        try:
            statuses.append(client.get("/").status)
        except (OSError, harness.Trouble):
            statuses.append(None)
    for client in (*crowd, *clients):
        client.close()
    harness.until(lambda: gate.status()["totals"]["connections_open"] == 0, "all are gone")
    return statuses


def keeps_its_place(gate, outside):
    return crowd_and(gate, outside, [w.PARTNER, w.PARTNER6, w.MANAGER, w.INSIDE]) == [200] * 4


def test_everybody_waits_where_his_class_waits(gate, outside):
    everybody = [(w.STRANGER, 5), (w.STRANGER6, 3), (w.PARTNER, 1), (w.PARTNER6, 2), (w.MANAGER, 4), (w.INSIDE, 5)]
    with Stopped(gate):
        clients = [outside.client(source, PORT) for source, n in everybody for _ in range(n)]
        assert waiting() == [12, 8]
        w.ask(gate, {"filter": "block", "address": w.SECOND, "seconds": 60, "reason": "x"})
        assert not outside.reaches(w.SECOND, PORT)
    for client in clients:
        assert client.get("/").status == 200
        client.close()


def test_a_crowd_that_came_first_does_not_stand_in_front(gate, outside):
    assert keeps_its_place(gate, outside)


def test_a_stranger_who_came_last_is_sent_away(gate, outside):
    assert crowd_and(gate, outside, ["203.0.113.3"]) == [None]


def test_after_a_reload_it_is_the_same(gate, outside):
    w.polder(gate, "reload")
    assert keeps_its_place(gate, outside)


def test_after_the_worker_and_the_filter_were_killed_it_is_the_same(gate, outside):
    gate.may_say = r"killed by signal 9"
    for role in ("worker", "filter"):
        pid = gate.pids(role)[0]
        os.kill(pid, signal.SIGKILL)
        harness.until(lambda: gate.pids(role).get(0) not in (None, pid), f"another {role}")
    harness.until(lambda: "mode" in w.ask(gate, {"filter": "show"}), "the filter answers")
    assert keeps_its_place(gate, outside)


def test_after_an_upgrade_it_is_the_same(gate, outside):
    old = gate.pids("worker")[0]
    w.polder(gate, "upgrade")
    harness.until(lambda: gate.pids("worker").get(0) not in (None, old), "a new worker")
    harness.until(lambda: w.ask(gate, {"filter": "show"}).get("accept_queues"), "the filter answers")
    assert keeps_its_place(gate, outside)


def test_without_queues_a_partner_waits_like_everybody(gate, outside, app):
    gate.write_config(config(app, accept_queues="off"))
    w.polder(gate, "reload")
    assert crowd_and(gate, outside, [w.PARTNER]) == [None] and len(waiting()) == 1
