"""Isolation when processes die between any two steps of an order.

strace stops the filter role at its n-th system call of a kind, before that call is made: so it dies, or the whole gate
with it, at a place that is the same in every run. What is then on disk says what must hold afterwards."""
import contextlib
import os
import shutil
import signal
import subprocess

import pytest

import harness
import isolation_kit as kit
from isolation_kit import Tampering, answered, journal, order, recorded_level, recorded_stages, start_again, status, state_of, strictness, wait_status

ROLES = r"filter|master|observer|worker|signer|dialer"
# (system call, which one of them): wakes of the workers; the record's and the journal's bytes; their end; their sync; messages.
POINTS = [("write", 1), ("write", 2), ("pwrite64", 1), ("ftruncate", 1), ("fdatasync", 1), ("pwrite64", 2), ("fdatasync", 2),
          ("pwrite64", 3), ("ftruncate", 2), ("fdatasync", 3), ("pwrite64", 4), ("fdatasync", 4), ("sendmsg", 1)]

pytestmark = pytest.mark.skipif(os.getuid() != 0 or not shutil.which("strace"),
                                reason="needs root and strace, to stop a process at a system call")


@pytest.fixture(scope="module")
def app():
    with harness.Application() as application:
        yield application


def start_order(gate, words):
    command = [kit.POLDER, "--socket", str(gate.folder / "run/control.sock"), *words, "--reason", "interrupted"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_all(gate):
    roles = gate.role_processes()
    gate.process.kill()
    gate.process.wait()
    for pid, began in roles:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    harness.until(lambda: not any(harness._start_time(pid) == began for pid, began in roles), "all are gone")


def stop_at(gate, words, call, nth, then):
    """The order, given until the filter stops at that call. None: it was done before that."""
    pid = gate.pids("filter")[0]
    with Tampering(pid, call, f"signal=SIGSTOP:when={nth}") as point:
        asker = start_order(gate, words)
        harness.until(lambda: point.is_stopped() or asker.poll() is not None, "it stops, or the order is done")
        if not point.is_stopped():
            return None
        found = {"record": recorded_level(gate), "stages": recorded_stages(gate), "asker": asker}
        then(pid)
    return found


def end_filter(pid):
    os.kill(pid, signal.SIGKILL)


def begin(app, word):
    """A gate at the level before an order of that level."""
    gate = harness.Gate(kit.config(app))
    gate.may_say = ROLES
    if word == "open":
        order(gate, "isolate", "closed")
    return gate


def check_after(gate, word, found, was_all):
    """What was closed on disk is closed; what the workers were told of is kept while one of them lives; the journal is whole,
    and says what became of the order; a second start finds nothing to do."""
    now = wait_status(gate)
    reached = now["level"]
    assert reached in ("open", "closed")
    assert strictness(reached) >= strictness(found["record"] or "closed")
    if word == "closed" and not was_all:
        assert reached == "closed", "it was in force before it was on disk"
    assert answered(gate) == (200 if reached == "open" else 503)
    verify = kit.files(gate, "journal", "verify")
    assert verify.returncode == 0, verify.stdout
    assert recorded_level(gate) == reached
    lines = journal(gate)
    opens = [line for line in lines if line["kind"] == "order" and line["parameters"]["level"] == "open" and
             line["parameters"]["event"] == "isolate"]
    assert reached == "closed" or word == "closed" or opens, "nothing opens that does not stand in the journal"
    return now["start"]["meaning"]


def settled(gate):
    pid = gate.pids("filter")[0]
    os.kill(pid, signal.SIGKILL)
    harness.until(lambda: state_of(pid) in (None, "Z", "X"), "it is gone")
    return wait_status(gate)["start"]["meaning"] == "The last order had been carried out."


MEANINGS = {}


@pytest.mark.parametrize("who", ["filter", "all"])
@pytest.mark.parametrize("word", ["closed", "open"])
@pytest.mark.parametrize("call,nth", POINTS)
def test_dies_at_a_step(app, call, nth, word, who):
    gate = begin(app, word)
    try:
        found = stop_at(gate, ["isolate", word], call, nth, end_filter)
        assert found, "the order makes that call"
        if who == "all":
            kill_all(gate)
            start_again(gate)
        else:
            asker = found["asker"]
            said = asker.communicate(timeout=30)
            assert asker.returncode in (0, 1), said
            if call != "sendmsg":
                assert asker.returncode == 1 and "ended before it answered" in said[1], said
        meaning = check_after(gate, word, found, who == "all")
        MEANINGS.setdefault(meaning, []).append((who, word, call, nth, found["record"]))
        assert settled(gate)
    finally:
        with contextlib.suppress(OSError):
            found["asker"].kill()
        gate.close()


def test_the_points_lead_to_every_kind_of_recovery():
    """Else the test above would not look where it says it does."""
    if not MEANINGS:
        pytest.skip("runs with the test before it")
    said = " ".join(MEANINGS)
    for part in ("found stricter than the record", "before it stood in the journal", "carried out after all", "was dropped",
                 "had been carried out"):
        assert part in said, MEANINGS


# ---- others die while the filter is in the middle of it

@pytest.mark.parametrize("who", ["observer", "master"])
@pytest.mark.parametrize("word", ["closed", "open"])
@pytest.mark.parametrize("call,nth", [("write", 1), ("fdatasync", 1), ("fdatasync", 2), ("fdatasync", 4)])
def test_somebody_else_dies_at_a_step(app, call, nth, word, who):
    """The filter goes on with the order, and it is carried out."""
    gate = begin(app, word)

    def end_other(pid):
        if who == "master":
            gate.process.kill()
            gate.process.wait()
        else:
            os.kill(gate.pids("observer")[0], signal.SIGKILL)
        os.kill(pid, signal.SIGCONT)

    try:
        found = stop_at(gate, ["isolate", word], call, nth, end_other)
        assert found, "the order makes that call"
        said = found["asker"].communicate(timeout=30)
        assert found["asker"].returncode == (0 if who == "master" else 3), said
        harness.until(lambda: recorded_level(gate) == word, "it is recorded")
        if who == "master":
            start_again(gate)
        harness.until(lambda: wait_status(gate)["level"] == word, "the order is carried out")
        assert answered(gate) == (200 if word == "open" else 503)
        assert kit.files(gate, "journal", "verify").returncode == 0
    finally:
        with contextlib.suppress(OSError):
            found["asker"].kill()
        gate.close()
