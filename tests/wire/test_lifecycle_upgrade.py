"""A new binary takes over: same process, same sockets, nothing lost."""
import os
import shutil
import signal

import pytest

import harness
from lifecycle_load import Load, assert_unharmed
from test_lifecycle_reload import config, order


@pytest.fixture
def load():
    with Load(harness.free_port()) as one:
        yield one


@pytest.fixture
def binary(tmp_path, monkeypatch):
    """A copy of the gate's program that may be replaced."""
    tmp_path.chmod(0o755)
    copy = tmp_path / "polder-gate"
    shutil.copy(harness.program(), copy)
    original = harness.program()
    monkeypatch.setenv("POLDER_GATE", str(copy))
    return copy, original


def replace(path, by):
    fresh = path.with_suffix(".new")
    shutil.copy(by, fresh)
    fresh.chmod(0o755)
    fresh.rename(path)


def exe_inode(pid):
    return os.stat(f"/proc/{pid}/exe").st_ino


def test_upgrade(load, certificates, binary):
    """By signal and by order. Connections are ended in order at most; tunnels go on in the old workers."""
    copy, original = binary
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate)
        for by_order in (False, True):
            old, pid, seen = exe_inode(gate.process.pid), gate.process.pid, len(gate.said)
            workers = set(gate.pids("worker").values())
            replace(copy, original)
            if by_order:
                assert "ok" in order(gate, "upgrade")
            else:
                gate.process.send_signal(signal.SIGUSR2)
            gate.wait_said("ready", since=seen)
            assert gate.process.pid == pid and gate.process.poll() is None
            assert exe_inode(pid) == os.stat(copy).st_ino != old
            harness.until(lambda: len(gate.pids("worker")) == 2 and not workers & set(gate.pids("worker").values()), "new workers")
            assert {exe_inode(p) for p in gate.pids("worker").values()} == {os.stat(copy).st_ino}
            load.go_on(200)
        report = load.stop()
        assert_unharmed(report, told=True)
        assert report["told"] > 0
        print(f"\ntwo upgrades: {report['requests']} requests, {report['fresh']} fresh connections, {report['echoes']} echoes, "
              f"0 failed, {report['told']} connections ended in order")
        harness.until(lambda: len(gate.role_processes()) == 6, "the old roles ended")


def test_tunnels_outlive_two_upgrades_and_a_reload(load, certificates, binary):
    copy, original = binary
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, keep=4, fresh=1)
        for _ in range(2):
            seen = len(gate.said)
            gate.process.send_signal(signal.SIGUSR2)
            gate.wait_said("ready", since=seen)
        gate.reload()
        was = load.report()["echoes"]
        harness.until(lambda: load.report()["echoes"] > was + 50, "the tunnels go on")
        assert_unharmed(load.stop(), told=True)


@pytest.mark.parametrize("what", ["exits", "is no program"])
def test_binary_that_is_none(load, certificates, binary, what, tmp_path):
    copy, _ = binary
    (tmp_path / "text").write_text("hello\n")
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, keep=20)
        replace(copy, {"exits": "/bin/false", "is no program": tmp_path / "text"}[what])
        answer = order(gate, "upgrade")
        assert "the old one goes on" in answer["error"]
        gate.process.send_signal(signal.SIGUSR2)
        gate.wait_said("the old one goes on")
        load.go_on()
        assert_unharmed(load.stop())
        assert "ok" in order(gate, "reload")


def test_configuration_that_the_new_binary_refuses(load, certificates, binary):
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, keep=20)
        gate.write_config("nonsense: [\n")
        assert "old binary goes on" in order(gate, "upgrade")["error"]
        load.go_on()
        assert_unharmed(load.stop())


def test_more_and_fewer_workers(load, certificates, binary):
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, keep=20)
        for workers in (3, 1):
            changed = config(load, certificates)
            gate.workers = workers
            gate.write_config(changed)
            assert "gate.workers" in order(gate, "reload")["ok"]
            seen = len(gate.said)
            gate.process.send_signal(signal.SIGUSR2)
            gate.wait_said("ready", since=seen)
            harness.until(lambda: len(gate.pids("worker")) == workers, f"{workers} workers")
            if workers == 3:
                load.go_on(50)
                assert_unharmed(load.report(), told=True)
        load.go_on(50)
        report = load.stop()
        assert report["broken_tunnels"] == [] and report["closed"] == 0
        # A socket that goes away takes along who is half way into its queue (tcp(7): no migration by default).
        assert len(report["failed"]) <= 1, report
