"""Clients that take their time: every wait has a limit, and what runs into it is told so and counted."""
import threading
import time

import pytest

import harness

HOST_LINE = b"Host: noord.test\r\n"


def pour(call):
    call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
    for _ in range(500):
        call.send(b"x" * 100_000)


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app.on("/pour", pour)


@pytest.fixture(scope="module")
def gate(app, certificates):
    config = harness.simple_config(app.port, listener={"limits": {
        "header_timeout": "400ms", "idle_timeout": "300ms", "stall_timeout": "500ms", "tunnel_idle_timeout": "300ms"}})
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    config["listeners"] += [
        {"name": "https", "tls": {"certificates": ["noord"], "http2": False}, "limits": {"handshake_timeout": "300ms"}},
        {"name": "proxied", "proxy_protocol": {}, "limits": {"handshake_timeout": "300ms"}},
        {"name": "rate", "limits": {"min_body_rate": "200"}},
        {"name": "few", "limits": {"connections_per_address": 3}},
        {"name": "small", "limits": {"header_count": 10, "header_bytes": "2k", "target_bytes": "256", "body_bytes": "1k"}},
    ]
    with harness.Gate(config) as gate:
        yield gate


def drip(client, data, every_s, ended):
    """Byte by byte until all is sent or the gate has had enough."""
    for byte in data:
        try:
            client.send(bytes([byte]))
        except OSError:
            return
        if ended.wait(every_s):
            return


def test_dripping_head(gate):
    """The limit is for the whole head: one byte now and then does not extend it."""
    before, ended = gate.refusals("header_timeout"), threading.Event()
    with gate.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        dripping = threading.Thread(target=drip, args=(client, b"X: " + b"y" * 1000, 0.02, ended))
        dripping.start()
        began = time.monotonic()
        answer = client.response()
        ended.set()
        dripping.join()
        assert answer.status == 408 and answer.fields.get("connection") == "close"
        assert time.monotonic() - began < 3
        assert client.is_closed()
    assert gate.refusals("header_timeout") == before + 1


def test_nothing_at_all(gate):
    """A connection without a request ends without a word."""
    with gate.connect() as client:
        assert client.is_closed()


def test_idle(gate):
    with gate.connect() as client:
        assert client.get("/x").status == 200
        assert client.is_closed()


def test_idle_is_counted_from_the_answer(gate, app):
    go = threading.Event()
    app.on("/wait", lambda call: (call.wait(go), call.answer()))
    with gate.connect() as client:
        client.request("GET", "/wait")
        assert client.is_silent(0.7), "waiting for the application is not idling"
        go.set()
        assert client.response().status == 200
        assert client.get("/x").status == 200


def test_stalled_body(gate, app):
    app.clear()
    with gate.connect() as client:
        client.send(b"POST /stalled HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 100\r\n\r\nhello")
        answer = client.response()
        assert answer.status == 408 and client.is_closed()
    assert not any(r.is_complete for r in app.seen("/stalled"))
    assert gate.refusals("body_timeout") >= 1


def test_stalled_chunked_body(gate):
    with gate.connect() as client:
        client.send(b"POST /stalled HTTP/1.1\r\n" + HOST_LINE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel")
        assert client.response().status == 408
        assert client.is_closed()


def test_body_below_the_rate(gate, app):
    """It moves, so it does not stall, but 20 bytes a second are too few from the 6th second on."""
    ended = threading.Event()
    with gate.connect("rate") as client:
        client.send(b"POST /slow HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 100000\r\n\r\n")
        dripping = threading.Thread(target=drip, args=(client, b"x" * 100_000, 0.05, ended))
        dripping.start()
        began = time.monotonic()
        answer = client.response()
        took = time.monotonic() - began
        ended.set()
        dripping.join()
        assert answer.status == 408 and 5 < took < 10


def test_reader_that_stops(gate):
    """A client that asks and does not read is dropped; the application is not held for it."""
    before = gate.counter("polder_timeouts_total")
    with gate.connect(rcvbuf=8192) as client:
        client.request("GET", "/pour")
        client.response_head()
        gate.wait_counter("polder_timeouts_total", before + 1)
        harness.until(lambda: gate.counter("polder_requests_active") == 0, "the request ended")
        assert len(client.rest()) < 50_000_000


def test_handshake(gate):
    """TLS, and the PROXY protocol, that never come, or come in drops."""
    before = gate.counter("polder_timeouts_total")
    for listener, first in [("https", b""), ("https", b"\x16\x03\x01\x02\x00\x01"), ("proxied", b""), ("proxied", b"PROXY TCP4 1.2")]:
        with gate.connect(listener) as client:
            client.send(first)
            assert client.is_closed()
    assert gate.counter("polder_timeouts_total") == before + 4


def test_tunnel_without_traffic(gate, app):
    app.on("/ws", lambda call: call.websocket_echo())
    with gate.connect() as client:
        answer = client.get("/ws", [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                                    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
        assert answer.status == 101
        assert client.is_closed()
    harness.until(lambda: gate.counter("polder_tunnels_open") == 0, "the tunnel ended")


# ---- limits

def test_connections_per_address(gate):
    """Over all workers; those of another address are not touched, and a place that becomes free can be used."""
    clients = [gate.connect("few") for _ in range(3)]
    try:
        for client in clients:
            assert client.get("/x").status == 200
        before = gate.counter("polder_connections_refused_total")
        with gate.connect("few") as one_more:
            assert one_more.is_closed()
        assert gate.counter("polder_connections_refused_total") == before + 1
        with gate.connect("few", source="127.0.0.9") as other:
            assert other.get("/x").status == 200
        clients.pop().close()
        def fits():
            with gate.connect("few") as client:
                try:
                    return client.get("/x").status == 200
                except (harness.Trouble, OSError):
                    return False
        harness.until(fits, "the place is free again")
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("request_bytes, status", [
    (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n" + HOST_LINE + b"\r\n", 414),
    (b"GET / HTTP/1.1\r\n" + HOST_LINE + b"A: b\r\n" * 11 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + HOST_LINE + b"A: " + b"b" * 3000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + HOST_LINE + b"A: " + b"b" * 3000, 431),
    (b"POST / HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 1025\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\n" + HOST_LINE + b"Transfer-Encoding: chunked\r\n\r\n401\r\n" + b"x" * 1025, 413),
    (b"GET /" + b"a" * 5000, 414),
], ids=["target", "count", "bytes", "bytes_open", "body", "body_chunked", "target_open"])
def test_limits_of_a_listener(gate, request_bytes, status):
    with gate.connect("small") as client:
        client.send(request_bytes)
        assert client.response().status == status
        assert client.is_closed()


def test_just_within_the_limits(gate):
    with gate.connect("small") as client:
        assert client.get("/" + "a" * 255).status == 200
        assert client.get("/", [("A", "b")] * 9).status == 200
        assert client.ask("POST", "/", body=b"x" * 1024).status == 200
