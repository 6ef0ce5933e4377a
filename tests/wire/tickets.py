"""Session tickets: good at every worker, bound to their listener, and dead when their keys are."""
import ssl

import pytest

import harness


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


def config_for(app, certificates, **tls):
    config = harness.simple_config(app.port)
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    config["listeners"] = [{"name": "https", "tls": {"certificates": ["noord"], "http2": False, "versions": [1.2, 1.3], **tls}}]
    return config


@pytest.fixture(scope="module")
def gate(app, certificates):
    with harness.Gate(config_for(app, certificates), workers=2) as gate:
        yield gate


def session_of(gate, context):
    with gate.connect(tls=context) as client:
        assert client.get("/x").status == 200
        return client.sock.session


def is_resumed(gate, context, session):
    with gate.connect(tls=context, session=session) as client:
        answer = client.get("/x")
        assert answer.status == 200
        line = gate.wait_log(answer.fields.get("x-request-id"))
        assert line.get("tls.resumed", False) == client.sock.session_reused
        return client.sock.session_reused


@pytest.mark.parametrize("maximum", [None, ssl.TLSVersion.TLSv1_2])
def test_at_every_worker(gate, certificates, maximum):
    context = harness.tls_context(certificates.ca.path, maximum=maximum)
    session = session_of(gate, context)
    def by_worker():
        return {dict(labels)["worker"]: v for (n, labels), v in gate.metrics().items() if n == "polder_handshakes_resumed_total"}
    before = by_worker()
    def both():
        assert is_resumed(gate, context, session)
        now = by_worker()
        return len([w for w in now if now[w] > before[w]]) == 2
    harness.until(both, "both workers resumed it")


def test_replaced_worker_knows_them(gate, certificates):
    """Keys come from the master: a worker that is started anew opens the tickets of before."""
    import os
    import signal
    context = harness.tls_context(certificates.ca.path)
    session = session_of(gate, context)
    pids, gate.may_say = gate.pids("worker"), r"worker \d was killed by signal 9"
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    harness.until(lambda: len(gate.pids("worker")) == 2 and not set(pids.values()) & set(gate.pids("worker").values()),
                  "both workers were replaced")
    harness.until(lambda: _resumes(gate, context, session), "the ticket is good at a new worker")


def _resumes(gate, context, session):
    try:
        return is_resumed(gate, context, session)
    except (OSError, harness.Trouble):
        return False


def test_after_a_reload(gate, certificates):
    context = harness.tls_context(certificates.ca.path)
    session = session_of(gate, context)
    gate.reload()
    assert is_resumed(gate, context, session)


def test_of_another_gate(gate, app, certificates):
    """Keys are random and die with their gate: nothing that was recorded can be used at the next."""
    context = harness.tls_context(certificates.ca.path)
    session = session_of(gate, context)
    with harness.Gate(config_for(app, certificates), workers=1) as other:
        assert not is_resumed(other, context, session)


def test_switched_off(app, certificates):
    with harness.Gate(config_for(app, certificates, session_tickets=False), workers=1) as gate:
        for maximum in (None, ssl.TLSVersion.TLSv1_2):
            context = harness.tls_context(certificates.ca.path, maximum=maximum)
            session = session_of(gate, context)
            assert session is None or not session.has_ticket or not is_resumed(gate, context, session)


def test_garbled(gate, certificates):
    """A ticket that was tampered with is no ticket: a full handshake follows, nothing else."""
    context = harness.tls_context(certificates.ca.path)
    before = gate.counter("polder_handshakes_total")
    for _ in range(5):
        session_of(gate, context)
    assert gate.counter("polder_handshakes_total") == before + 5
