"""Handshakes of strangers wait for their turn, and all of them come to it; what is closed or says nothing meanwhile
leaves nothing behind."""
import os
import signal
import ssl
import threading

import pytest

import harness


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


@pytest.fixture(scope="module")
def gate(app, certificates):
    config = harness.simple_config(app.port)
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    tls = {"certificates": ["noord"], "http2": False, "client_certificates": "optional", "client_ca": certificates.client_ca.path}
    config["listeners"] = [{"name": "tls", "tls": tls, "limits": {"handshake_timeout": "20s"}}]
    config["partners"] = [{"name": "mcl", "networks": ["127.0.0.9/32"]}]
    with harness.Gate(config, workers=1) as gate:
        yield gate


@pytest.fixture(autouse=True)
def nothing_is_left(gate):
    yield
    harness.until(lambda: gate.counter("polder_handshakes_waiting") == 0, "nobody waits any more")
    harness.until(lambda: gate.counter("polder_connections_open") == 0, "every connection is gone")


def hello(ca):
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = harness.tls_context(ca).wrap_bio(incoming, outgoing, server_hostname=harness.HOST)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def all_at_once(gate, count, make):
    """Opens so many while the worker stands still, then lets it go on."""
    [pid] = gate.pids("worker").values()
    os.kill(pid, signal.SIGSTOP)
    try:
        return [make() for _ in range(count)]
    finally:
        os.kill(pid, signal.SIGCONT)


def test_all_come_to_their_turn(gate, certificates):
    results = []
    sockets = all_at_once(gate, 150, gate.open_socket)

    def ask(s):
        tls = harness.tls_context(certificates.ca.path).wrap_socket(s, server_hostname=harness.HOST)
        with harness.Client(tls) as client:
            results.append(client.get("/x").status)
    threads = [threading.Thread(target=ask, args=(s,)) for s in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [200] * 150


def test_who_leaves_while_waiting(gate, certificates):
    words = hello(certificates.ca.path)

    def leaves():
        s = gate.open_socket()
        s.sendall(words)
        return s
    for s in all_at_once(gate, 100, leaves):
        s.close()


def test_who_says_nothing_waits_for_nothing(gate, certificates):
    silent = [gate.open_socket() for _ in range(50)]
    tls = harness.tls_context(certificates.ca.path)
    with gate.connect(tls=tls) as client:
        assert client.get("/x").status == 200
    assert gate.counter("polder_handshakes_waiting") == 0
    for s in silent:
        s.close()


def test_garbage_and_closing_at_once(gate):
    for data in (b"", b"\x16", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 100):
        sockets = all_at_once(gate, 20, gate.open_socket)
        for s in sockets:
            s.sendall(data)
            s.close()


def test_partner_beside_a_crowd(gate, certificates):
    """It is served while hellos of strangers pour in."""
    words, going, said = hello(certificates.ca.path), threading.Event(), []

    def pour():
        while not going.is_set():
            s = gate.open_socket()
            s.sendall(words)
            s.close()
            said.append(1)
    crowd = [threading.Thread(target=pour) for _ in range(3)]
    for thread in crowd:
        thread.start()
    tls = harness.tls_context(certificates.ca.path)
    harness.until(lambda: len(said) > 50, "the crowd is there")
    try:
        for _ in range(20):
            with gate.connect(tls=tls, source="127.0.0.9") as client:
                assert client.get("/x").status == 200
    finally:
        going.set()
        for thread in crowd:
            thread.join(20)
    assert gate.counter("polder_requests_partner_total") >= 20
