"""A closed gate stays closed whatever dies or is replaced: workers, all roles together, the program itself; and a worker
that finds nothing published is closed."""
import os
import signal
import threading

import pytest

import guard_kit
import harness
from guard_kit import HOSPITAL, STRANGER, WARD
from test_lifecycle_upgrade import binary, replace  # noqa: F401  a copy of the program that may be replaced


@pytest.fixture
def gate(certificates):
    with guard_kit.site(certificates) as gate:
        gate.may_say = "killed by signal 9|died"
        yield gate


class Knocking:
    """Strangers who try on and on; whoever is answered with anything but the notice is remembered."""

    def __init__(self, gate):
        self.gate, self.over, self.let_in, self.tries = gate, threading.Event(), [], 0
        self.threads = [threading.Thread(target=self._knock, daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def _knock(self):
        while not self.over.is_set():
            status = self.gate.status_of(STRANGER)
            self.tries += 1
            if status not in (503, None):
                self.let_in.append(status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(20)
        assert self.tries > 20 and not self.let_in, self.let_in


def replaced(gate, role, old):
    return harness.until(lambda: set(gate.pids(role)) == set(old) and not set(gate.pids(role).values()) & set(old.values()),
                         f"every {role} was replaced")


def test_kill_of_workers(gate):
    gate.isolate("closed")
    with Knocking(gate):
        for _ in range(3):
            old = gate.pids("worker")
            for pid in old.values():
                os.kill(pid, signal.SIGKILL)
            replaced(gate, "worker", old)
            assert harness.until(lambda: gate.status_of(WARD) == 200, "the ward is served")
            assert gate.status_of(HOSPITAL) == 503
    assert not [r for r in gate.app.seen("/x") if r.fields.get("x-forwarded-for") == STRANGER]


@pytest.mark.parametrize("role", ["filter", "observer", "signer", "dialer"])
def test_kill_of_others(gate, role):
    gate.isolate("closed")
    with Knocking(gate):
        old = gate.pids(role)
        for pid in old.values():
            os.kill(pid, signal.SIGKILL)
        harness.until(lambda: gate.pids(role) and not set(gate.pids(role).values()) & set(old.values()), "it was replaced")
        workers = gate.pids("worker")
        os.kill(workers[0], signal.SIGKILL)  # its successor asks who has just come back
        harness.until(lambda: gate.pids("worker").get(0) not in (None, workers[0]), "a new worker")
    assert gate.status_of(STRANGER) == 503 and gate.status()["isolation"]["level"] == "closed"


def test_kill_of_everything(gate):
    """The next start begins where the level was."""
    gate.isolate("closed")
    gate.kill()
    gate.said.clear()
    gate.start()
    assert gate.status_of(STRANGER) == 503 and gate.status_of(WARD) == 200
    status = gate.status()["isolation"]
    assert status["level"] == "closed" and status["reason"] == "a test"


def test_upgrade_while_closed(certificates, binary):
    copy, original = binary
    with guard_kit.site(certificates) as gate:
        gate.isolate("closed")
        with Knocking(gate):
            seen, old = len(gate.said), gate.pids("worker")
            replace(copy, original)
            gate.process.send_signal(signal.SIGUSR2)
            gate.wait_said("ready", since=seen)
            replaced(gate, "worker", old)
        assert gate.status_of(STRANGER) == 503 and gate.status_of(WARD) == 200
        gate.order("isolate", "open", "--partners-back")
        assert gate.status_of(STRANGER) == 200


def test_reload_makes_a_partner_a_stranger(gate):
    """What is under way ends with the listing, not with the next request."""
    gate.isolate("partners")
    held = threading.Event()
    gate.app.on("/held", lambda call: (call.body(), call.wait(held), call.answer(body=b"late")))
    with gate.peer(HOSPITAL) as idle, gate.peer(HOSPITAL) as waiting:
        assert idle.get("/x").status == 200
        waiting.request("GET", "/held")
        gate.app.wait_for("/held")
        config = dict(gate.config, partners=gate.config["partners"][1:])
        gate.reload(config)
        assert idle.is_closed()
        assert waiting.response().status == 503
        held.set()
    assert gate.status_of(HOSPITAL) == 503
