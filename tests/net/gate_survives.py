"""What was closed stays closed while the filter, or everything, is killed and replaced, with packets coming all the time.

A stranger sends to a port that level partners refuses; somebody on this machine listens there. Nothing may arrive.
"""
import contextlib
import os
import signal
import socket
import threading

import pytest

import gate_world as w
import harness

PORT, CLOSED = 8443, 7400
PER_S, AT_MOST = 4000, 200_000


@pytest.fixture(scope="module")
def app():
    with harness.Application() as application:
        yield application


@pytest.fixture(autouse=True)
def fresh(outside):
    w.forget_pins()


class Stream:
    """Datagrams of a stranger, bounded in rate and number, and who counts what arrives."""

    def __init__(self, outside):
        self.sender = outside.socket(w.STRANGER, socket.SOCK_DGRAM)
        self.receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.receiver.bind(("::", CLOSED))
        self.receiver.setblocking(False)
        self.sent, self.ends = 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.ends.is_set() and self.sent < AT_MOST:
            for _ in range(PER_S // 100):
                self.sender.sendto(b"x", (w.GATE, CLOSED))
                self.sent += 1
            self.ends.wait(0.01)

    def received(self):
        n = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.receiver.recv(16)
                n += 1
        return n

    def more(self, n=400):
        """So many more were sent."""
        target = self.sent + n
        harness.until(lambda: self.sent >= target, "more packets were sent")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ends.set()
        if self.thread.is_alive():
            self.thread.join()
        self.sender.close()
        self.receiver.close()


def answers(gate):
    return harness.until(lambda: (lambda a: a if "mode" in a else None)(w.ask(gate, {"filter": "show"})), "the filter answers")


def refused(gate):
    return sum(r["in"] for r in answers(gate)["reasons"] if r["name"] == "LEVEL")


def replaced(gate, role, act):
    old = gate.pids(role)[0]
    act(old)
    harness.until(lambda: gate.pids(role).get(0) not in (None, old), f"another {role}")
    return answers(gate)


def test_nothing_passes_whatever_dies(outside, app):
    with harness.Gate(w.config(app.port, PORT)) as gate, Stream(outside) as stream:
        gate.may_say = "killed by signal 9"
        stream.thread.start()
        stream.more()
        assert stream.received() > 0  # open: it does arrive
        w.polder(gate, "isolate", "partners", "--reason", "test", "--yes")
        stream.received()  # what arrived before the command returned
        stream.more()
        assert stream.received() == 0
        before = refused(gate)
        replaced(gate, "filter", lambda pid: os.kill(pid, signal.SIGKILL))
        assert stream.received() == 0 and outside.get(w.PARTNER, PORT) == 200
        w.polder(gate, "reload")
        replaced(gate, "filter", lambda _: w.polder(gate, "upgrade"))
        stream.more()
        assert stream.received() == 0
        assert refused(gate) > before  # one count, carried on by each
        assert answers(gate)["level"] == "partners"
        w.polder(gate, "isolate", "open", "--reason", "test", "--yes")
        stream.more()
        assert stream.received() > 0


def test_everything_is_killed_and_the_door_stays_shut(outside, app):
    with Stream(outside) as stream, harness.Gate(w.config(app.port, PORT)) as gate:
        w.polder(gate, "isolate", "closed", "--reason", "test", "--yes")
        stream.thread.start()
        stream.more()
        stream.received()
        gate.kill()
        stream.more()
        assert stream.received() == 0
        w.start_again(gate)
        assert answers(gate)["level"] == "closed"
        stream.more()
        assert stream.received() == 0
        w.polder(gate, "isolate", "open", "--reason", "test", "--yes")
        stream.more()
        assert stream.received() > 0


def test_a_start_from_the_record_alone_is_as_strict(outside, app):
    """Empty pins, as after a reboot: the recorded level is in force before a packet passes."""
    with Stream(outside) as stream, harness.Gate(w.config(app.port, PORT)) as gate:
        w.polder(gate, "isolate", "partners", "--reason", "test", "--yes")
        gate.kill()
        w.forget_pins()
        w.start_again(gate)
        stream.thread.start()
        stream.more()
        assert stream.received() == 0 and answers(gate)["level"] == "partners"
        assert outside.get(w.PARTNER, PORT) == 200
        w.polder(gate, "isolate", "open", "--reason", "test", "--yes")


def test_an_interface_cannot_be_left_out_while_the_level_is_closed(outside, app):
    with harness.Gate(w.config(app.port, PORT)) as gate:
        c = w.config(app.port, PORT, {"interfaces": []})
        c["filter"].pop("interfaces")
        w.polder(gate, "isolate", "partners", "--reason", "test", "--yes")
        gate.write_config(c)
        assert "would open it" in w.polder(gate, "reload", may_fail=True)
        w.polder(gate, "isolate", "open", "--reason", "test", "--yes")
        w.polder(gate, "reload")
        harness.until(lambda: gate.status()["packets"]["mode"] == "off", "the filter is off")
        with Stream(outside) as stream:
            stream.thread.start()
            stream.more()
            assert stream.received() > 0
