"""Isolation outlives each process, an upgrade, and a disk that fails in the middle of an order."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess

import pytest

import harness
import isolation_kit as kit
from isolation_kit import Tampering, answered, level, order, polder, recorded_level, start_again, status, wait_status

# A call that is kept from happening becomes another one that the sandbox lets through.
INSTEAD = "syscall=getpid"
ROLES = r"filter|master|observer|worker|signer|dialer"

pytestmark = pytest.mark.skipif(os.getuid() != 0 or not shutil.which("strace"),
                                reason="needs root and strace, to keep a disk from working")


@pytest.fixture(scope="module")
def app():
    with harness.Application() as application:
        yield application


@pytest.mark.parametrize("role", ["master", "observer", "worker", "filter"])
def test_a_level_outlives_each_process(app, role):
    with harness.Gate(kit.config(app)) as gate:
        gate.may_say = ROLES
        order(gate, "isolate", "closed")
        if role == "master":
            gate.process.kill()
            gate.process.wait()
            assert answered(gate) == 503
            start_again(gate)
        else:
            pid = gate.pids(role)[0]
            os.kill(pid, signal.SIGKILL)
            assert answered(gate) in (503, 0)
            harness.until(lambda: gate.pids(role).get(0, pid) != pid, "it is replaced")
        assert wait_status(gate)["level"] == "closed" and answered(gate) == 503
        order(gate, "isolate", "open")
        assert answered(gate) == 200


def test_a_level_outlives_an_upgrade(app):
    with harness.Gate(kit.config(app)) as gate:
        order(gate, "isolate", "closed")
        before = gate.pids("filter")[0]
        assert polder(gate, "upgrade").returncode == 0
        harness.until(lambda: gate.pids("filter").get(0, before) != before, "the new filter is up")
        assert wait_status(gate)["level"] == "closed" and answered(gate) == 503


def begin_upload(client):
    """A request that keeps its worker: an upgrade waits for it."""
    client.send(b"POST /x HTTP/1.1\r\nHost: noord.test\r\nContent-Length: 10\r\n\r\n12345")


def upgraded(gate):
    old = set(gate.pids("worker").values())
    assert polder(gate, "upgrade").returncode == 0
    harness.until(lambda: not old & set(gate.pids("worker").values()), "new workers are up")
    return old


def test_an_order_that_closes_ends_what_an_upgrade_left(app):
    """A worker of the gate before cannot hear of the new level: it is ended before the order is reported as done."""
    with harness.Gate(kit.config(app)) as gate:
        gate.may_say = ROLES
        with gate.connect() as client:
            begin_upload(client)
            old = upgraded(gate)
            assert any(kit.state_of(pid) not in (None, "Z", "X") for pid in old), "one of them still has the upload"
            order(gate, "isolate", "closed")
            assert all(kit.state_of(pid) in (None, "Z", "X") for pid in old)
            with contextlib.suppress(OSError, harness.Trouble):
                client.send(b"67890")
                assert not client.rest()


def test_an_order_to_the_gate_before_an_upgrade_is_refused(app):
    """Its filter still runs, and so does its observer: two that write one record would undo each other's orders."""
    with harness.Gate(kit.config(app)) as gate, gate.connect() as client, socket.socket(socket.AF_UNIX) as old_socket:
        gate.may_say = ROLES
        begin_upload(client)
        old_socket.connect(str(gate.folder / "run/control.sock"))
        old_socket.settimeout(harness.WITHIN_S)
        harness.until(lambda: gate.pids("filter"), "it is served")
        old_filter = gate.pids("filter")[0]
        upgraded(gate)
        harness.until(lambda: gate.pids("filter").get(0, old_filter) != old_filter, "the new filter is up")
        assert kit.state_of(old_filter) not in (None, "Z", "X")
        old_socket.sendall(b'isolation {"ask":"order","event":"isolate","level":"closed","reason":"to the old one"}\n')
        answer = json.loads(b"".join(iter(lambda: old_socket.recv(65536), b"")))
        assert answer["refusal"] == "succeeded", answer
        assert wait_status(gate)["level"] == "open" and recorded_level(gate) == "open" and kit.journal(gate) == []
        order(gate, "isolate", "closed")
        assert answered(gate) == 503


# ---- the disk

@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "ftruncate"])
def test_what_closes_is_in_force_on_a_full_disk_and_is_told_as_not_recorded(app, call):
    with harness.Gate(kit.config(app)) as gate:
        pid = gate.pids("filter")[0]
        with Tampering(pid, call, f"error=ENOSPC:{INSTEAD}"):
            done = polder(gate, "isolate", "closed", "--reason", "disk is full")
            assert done.returncode == 1 and "NOT ON DISK" in done.stdout, (done.stdout, done.stderr)
            assert answered(gate) == 503 and level(gate) == "closed"
            assert "No space left" in status(gate)["disk_error"]
            opening = polder(gate, "isolate", "open", "--reason", "no")
            assert opening.returncode == 1 and "cannot be written" in opening.stderr
            assert answered(gate) == 503
            higher = polder(gate, "isolate", "sealed", "--reason", "still full", "--json")
            assert level(gate) == "sealed" and higher.returncode == 1
        harness.until(lambda: "disk_error" not in status(gate), "it is on disk once the disk takes it")
        assert level(gate) == "sealed" and recorded_level(gate) == "sealed"
        assert kit.files(gate, "journal", "verify").returncode == 0
        order(gate, "isolate", "open")


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_what_opens_is_dropped_when_the_disk_fails(app, nth):
    with harness.Gate(kit.config(app)) as gate:
        order(gate, "isolate", "closed")
        with Tampering(gate.pids("filter")[0], "fdatasync", f"error=EIO:{INSTEAD}:when={nth}"):
            done = polder(gate, "isolate", "open", "--reason", "x")
        assert done.returncode == 1, (done.stdout, done.stderr)
        harness.until(lambda: "disk_error" not in status(gate), "the disk works again")
        now = status(gate)
        assert now["level"] == recorded_level(gate)
        if nth < 3:
            assert now["level"] == "closed" and answered(gate) == 503
        assert kit.files(gate, "journal", "verify").returncode == 0


def test_a_disk_that_is_really_full(app):
    """A small tmpfs, filled by somebody else."""
    gate = harness.Gate(kit.config(app), start=False)
    state = gate.folder / "state"
    shutil.rmtree(state / "isolation")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=755", "none", str(state)]).returncode == 0
    try:
        if not mounted:
            pytest.skip("this container may not mount")
        assert kit.files(gate, "isolation", "init").returncode == 0
        gate.start()
        with open(state / "logs", "wb", buffering=0) as hog, contextlib.suppress(OSError):
            while hog.write(b"x" * 4096):
                pass
        for count in range(30):  # until the journal's last page is full, too
            done = polder(gate, "isolate", "closed" if count % 2 == 0 else "partners", "--reason", "y" * 250)
            if done.returncode:
                break
        assert done.returncode == 1, "the disk is full"
        order_is_in_force = answered(gate)
        assert order_is_in_force == 503
        (state / "logs").unlink()
        harness.until(lambda: "disk_error" not in status(gate), "there is room again")
        assert kit.files(gate, "journal", "verify").returncode == 0 and recorded_level(gate) == level(gate)
    finally:
        gate.may_say = ROLES
        with contextlib.suppress(harness.Trouble):
            if gate.process:
                gate.stop()
        if mounted:
            harness.until(lambda: subprocess.run(["umount", str(state)], capture_output=True).returncode == 0, "it is unmounted")
        gate.kill()
        shutil.rmtree(gate.folder, ignore_errors=True)


def test_a_state_directory_that_others_may_write_to_is_not_used(app):
    gate = harness.Gate(kit.config(app), start=False)
    (gate.folder / "state/isolation").chmod(0o777)
    with gate:
        gate.start()
        assert gate.wait_said("nobody else may write to")
        assert answered(gate) == 503 and level(gate) == "closed"


def test_both_slots_damaged_is_closed(app):
    gate = harness.Gate(kit.config(app), start=False)
    (kit.folder(gate) / "record.0").write_text("damaged\n")
    with gate:
        gate.start()
        assert answered(gate) == 503 and status(gate)["start"]["record"] == "none"
