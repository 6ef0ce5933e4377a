"""Where packet programs may not be loaded: the same policy and levels by nftables, and `polder status` says so."""
import os
import signal
import socket
import subprocess

import pytest

import gate_world as w
import harness

PORT = 8443


@pytest.fixture(scope="module")
def app():
    with harness.Application() as application:
        yield application


@pytest.fixture
def gate(outside, app, tmp_path, monkeypatch):
    """Started without the capabilities for packet programs, and with none there from before."""
    w.forget_pins()
    wrapper = tmp_path / "polder-gate"
    wrapper.write_text(f'#!/bin/sh\nexec setpriv --bounding-set=-bpf,-sys_admin,-perfmon "{harness.program()}" "$@"\n')
    wrapper.chmod(0o755)
    c = w.config(app.port, PORT, {"block": ["203.0.113.2"]})
    g = harness.Gate(c, start=False)
    monkeypatch.setenv("POLDER", str(os.path.join(os.path.dirname(harness.program()), "../cli/polder")))
    monkeypatch.setenv("POLDER_GATE", str(wrapper))
    with g.start():
        yield g


def table():
    return subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True, timeout=20).stdout


def test_nftables_filters_instead(gate, outside):
    packets = harness.until(lambda: (lambda p: p if p["mode"] == "nftables" else None)(gate.status()["packets"]), "nftables")
    assert "nftables filters instead" in packets["notice"]
    assert "packets nftables" in w.polder(gate, "status")
    assert "polder_filter" in table()
    assert outside.get(w.STRANGER, PORT) == 200 and outside.get(w.PARTNER6, PORT) == 200
    assert not outside.reaches(w.SECOND, PORT)
    with socket.create_server(("::", 7500), family=socket.AF_INET6, backlog=16, dualstack_ipv6=True):
        assert outside.reaches(w.STRANGER, 7500)
        w.polder(gate, "isolate", "partners", "--reason", "test", "--yes")
        assert not outside.reaches(w.STRANGER, 7500) and not outside.reaches(w.STRANGER6, 7500)
        assert outside.reaches(w.PARTNER, 7500) and outside.reaches(w.PARTNER6, 7500)
        gate.may_say = "killed by signal 9"
        os.kill(gate.pids("filter")[0], signal.SIGKILL)
        assert not outside.reaches(w.STRANGER, 7500)
        gate.kill()
        assert not outside.reaches(w.STRANGER, 7500) and outside.reaches(w.PARTNER, 7500)
        w.start_again(gate)
        assert not outside.reaches(w.STRANGER, 7500) and outside.get(w.PARTNER, PORT) == 200
        w.polder(gate, "isolate", "open", "--reason", "test", "--yes")
        assert outside.reaches(w.STRANGER, 7500) and not outside.reaches(w.SECOND, 7500)


def test_programs_take_the_table_away_once_they_hold(outside, app):
    assert "polder_filter" in table()  # left by the gate above
    with harness.Gate(w.config(app.port, PORT)):
        assert "polder_filter" not in table()
        assert outside.get(w.STRANGER, PORT) == 200
