"""WebSockets over HTTP/1.1 (RFC 6455): agreed upon by both ends, then bytes both ways until one side ends."""
import os
import threading

import pytest

import harness

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASKED = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY)]


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app.on("/ws", lambda call: call.websocket_echo())


@pytest.fixture(scope="module")
def gate(app, certificates):
    config = harness.simple_config(app.port)
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    config["listeners"].append({"name": "https", "tls": {"certificates": ["noord"], "http2": False}})
    config["clusters"][0]["routes"].append({"path": "/closed", "upstream": "app", "websocket": False})
    with harness.Gate(config, workers=1) as gate:
        yield gate


@pytest.fixture(params=["http", "https"])
def connect(request, gate, certificates):
    tls = harness.tls_context(certificates.ca.path) if request.param == "https" else None
    return lambda **more: gate.connect(request.param, tls=tls, **more)


def test_echo(connect, gate, app):
    app.clear()
    with connect() as client:
        answer = client.get("/ws", ASKED + [("Sec-WebSocket-Protocol", "fhir"), ("Cookie", "a=b")])
        assert answer.status == 101 and answer.fields.get("upgrade").lower() == "websocket"
        assert answer.fields.get("connection").lower() == "upgrade"
        assert answer.fields.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        for text in (b"\x81\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000):
            client.send(text)
            assert client.exactly(len(text)) == text
        assert gate.counter("polder_tunnels_open") == 1
    (request,) = app.seen("/ws")
    assert request.fields.get("upgrade") == "websocket" and request.fields.get("connection") == "Upgrade"
    assert request.fields.get("sec-websocket-key") == KEY and request.fields.get("sec-websocket-protocol") == "fhir"
    assert request.fields.get("cookie") == "a=b"
    line = gate.wait_log(answer.fields.get("x-request-id"))
    assert line["http.response.status_code"] == 101
    harness.until(lambda: gate.counter("polder_tunnels_open") == 0, "the tunnel is counted as ended")


def test_frames_behind_the_request(connect):
    """A client may send its first frames with the request: they wait for the agreement."""
    with connect() as client:
        text = "GET /ws HTTP/1.1\r\nHost: noord.test\r\n" + "".join(f"{n}: {v}\r\n" for n, v in ASKED) + "\r\n"
        client.send(text.encode() + b"early frame")
        assert client.response().status == 101
        assert client.exactly(11) == b"early frame"


def test_frames_behind_the_answer(connect, app):
    app.on("/greets", lambda call: (call.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n"
                                              b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nwelcome"), call.stall()))
    with connect() as client:
        assert client.get("/greets", ASKED).status == 101
        assert client.exactly(7) == b"welcome"


def test_much_both_ways(connect):
    data = os.urandom(3 << 20)
    with connect() as client:
        assert client.get("/ws", ASKED).status == 101
        if hasattr(client.sock, "cipher"):  # a TLS socket is not for two threads at once
            for at in range(0, len(data), 1 << 15):
                client.send(data[at:at + (1 << 15)])
                assert client.exactly(len(data[at:at + (1 << 15)])) == data[at:at + (1 << 15)]
            return
        sending = threading.Thread(target=client.send, args=(data,))
        sending.start()
        assert client.exactly(len(data)) == data
        sending.join()


def test_client_half_closes(gate, app):
    """What the application still has to say arrives after the client has said its last."""
    def last_word(call):
        call.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        said = call.stream.rest()
        call.send(b"you said " + said)
        call.close()
    app.on("/last", last_word)
    with gate.connect() as client:
        assert client.get("/last", ASKED).status == 101
        client.send(b"goodbye")
        client.half_close()
        assert client.rest() == b"you said goodbye"


@pytest.mark.parametrize("then", ["close", "reset"])
def test_application_ends(connect, app, then):
    app.on("/ends", lambda call: (call.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                                            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nbye"),
                                  call.stream.exactly(2), getattr(call, then)()))
    with connect() as client:
        assert client.get("/ends", ASKED).status == 101
        assert client.exactly(3) == b"bye"
        client.send(b"ok")
        assert client.is_closed()


def test_client_goes_away(gate, app):
    gone = threading.Event()
    app.on("/left", lambda call: (call.websocket_echo(), gone.set()))
    client = gate.connect()
    assert client.get("/left", ASKED).status == 101
    client.reset()
    assert gone.wait(harness.WITHIN_S)
    harness.until(lambda: gate.counter("polder_tunnels_open") == 0, "the tunnel ended")


def test_reader_that_stops(gate, app):
    """Back-pressure in a tunnel: what one side does not read, the other cannot go on sending."""
    sent = [0]
    def pour(call):
        call.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        while sent[0] < 30 << 20:
            call.send(b"x" * 65536)
            sent[0] += 65536
        call.close()
    app.on("/pour", pour)
    before = gate.pss_kib() if harness.memory_is_shown() else None
    with gate.connect(rcvbuf=8192) as client:
        assert client.get("/pour", ASKED).status == 101
        seen = [-1]
        def stands_still():
            seen.append(sent[0])
            return len(seen) > 10 and seen[-1] == seen[-10]
        harness.until(stands_still, "the application had to wait")
        assert sent[0] < 20 << 20
        assert before is None or gate.pss_kib() - before < 1024
        assert len(client.exactly(30 << 20)) == 30 << 20
        assert client.is_closed()


def test_not_allowed_here(gate, app):
    app.clear()
    with gate.connect() as client:
        assert client.get("/closed/ws", ASKED).status == 403
        assert client.get("/closed/x").status == 200
    assert not app.seen("/closed/ws")


WRONG = {
    "no_key": [f for f in ASKED if f[0] != "Sec-WebSocket-Key"],
    "short_key": ASKED[:3] + [("Sec-WebSocket-Key", "c2hvcnQ=")],
    "two_keys": ASKED + [("Sec-WebSocket-Key", KEY)],
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG.keys())
def test_malformed(gate, fields):
    with gate.connect() as client:
        assert client.get("/ws", fields).status == 400
        assert client.get("/x").status == 200


def test_version_is_the_applications_to_refuse(gate, app):
    app.on("/v8", harness.says(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"
                               b"Content-Length: 0\r\n\r\n"))
    with gate.connect() as client:
        answer = client.get("/v8", ASKED[:2] + [("Sec-WebSocket-Version", "8"), ASKED[3]])
        assert answer.status == 426 and answer.fields.get("sec-websocket-version") == "13"


def test_by_post(gate):
    with gate.connect() as client:
        assert client.ask("POST", "/ws", ASKED).status in (400, 405)


def test_application_without_accept(gate, app):
    """101 without the fields that RFC 6455 4.2.2 asks for is no agreement."""
    app.on("/bare", harness.says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"))
    with gate.connect() as client:
        assert client.get("/bare", ASKED).status == 502
