"""WebSockets over HTTP/2 (RFC 8441): an extended CONNECT, then a stream's DATA both ways."""
import base64
import hashlib
import os
import threading

import pytest

import h2peer
import harness

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def agree(call, accept=None, more=b""):
    key = call.request.fields.get("sec-websocket-key")
    accept = accept or base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    call.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n" + more)


def echo(call):
    agree(call)
    while call.stream.waiting or call.stream.fill():
        taken, call.stream.waiting = call.stream.waiting, b""
        call.send(taken)
    call.close()


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app.on("/ws", echo)
    assert not app.wrong


@pytest.fixture(scope="module")
def gate(app, certificates):
    limits = {"tunnel_idle_timeout": "1500ms"}
    with harness.Gate(h2peer.config(app.port, certificates, limits), workers=1) as gate:
        yield gate


@pytest.fixture(params=["h2c", "https"])
def peer(request, gate, certificates):
    tls = h2peer.tls(certificates) if request.param == "https" else None
    with h2peer.Peer(gate.connect(request.param, tls=tls)) as peer:
        yield peer


@pytest.fixture
def clear(gate):
    with h2peer.Peer(gate.connect("h2c")) as peer:
        yield peer


@pytest.fixture(autouse=True)
def no_tunnel_left(gate, app):
    app.clear()
    yield
    harness.until(lambda: gate.counter("polder_tunnels_open") == 0, "every tunnel ended")


def ask(peer, path="/ws", fields=(), protocol="websocket", end=False):
    return peer.headers([(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":authority", "noord.test"),
                         (":path", path), ("sec-websocket-version", "13"), *fields], end=end)


def opened(peer, path="/ws", fields=()):
    stream = ask(peer, path, fields)
    answer = peer.wait_head(stream)
    assert answer.status == 200 and not answer.ended, answer
    return stream, answer


def receive(peer, stream, n):
    answer = peer.answers[stream]
    peer.pump_until(lambda: answer.length >= n or answer.ended, f"{n} bytes")
    return answer.body


def test_echo(peer, gate, app):
    stream, answer = opened(peer, fields=[("sec-websocket-protocol", "fhir"), ("cookie", "a=b")])
    assert not {"sec-websocket-accept", "upgrade", "connection"} & answer.fields.names()
    for text in (b"\x81\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000):
        had = peer.answers[stream].length
        peer.body(stream, text, end=False)
        assert receive(peer, stream, had + len(text))[had:] == text
    assert gate.counter("polder_tunnels_open") == 1
    (request,) = app.seen("/ws")
    assert request.method == "GET" and request.fields.get("upgrade") == "websocket"
    assert len(base64.b64decode(request.fields.get("sec-websocket-key"))) == 16
    assert request.fields.get("sec-websocket-protocol") == "fhir" and request.fields.get("cookie") == "a=b"
    peer.body(stream, b"")
    peer.pump_until(lambda: peer.answers[stream].ended)
    assert peer.answers[stream].code is None
    assert peer.get("/x").status == 200


def test_keys_differ(peer, app):
    for _ in range(3):
        stream, _ = opened(peer)
        peer.body(stream, b"")
        peer.wait(stream)
    assert len({r.fields.get("sec-websocket-key") for r in app.seen("/ws")}) == 3


def test_large_frames(peer):
    data = os.urandom(1 << 20) * 3
    stream, _ = opened(peer)
    for at in range(0, len(data), 1 << 17):
        peer.body(stream, data[at:at + (1 << 17)], end=False)
    assert receive(peer, stream, len(data)) == data
    peer.body(stream, b"")
    peer.wait(stream)


def test_many_tunnels(clear, gate):
    streams = [opened(clear)[0] for _ in range(50)]
    for i, stream in enumerate(streams):
        clear.body(stream, b"%03d" % i, end=False)
    for i, stream in enumerate(streams):
        assert receive(clear, stream, 3) == b"%03d" % i
    assert gate.counter("polder_tunnels_open") == 50


@pytest.mark.parametrize("then", ["close", "reset"])
def test_application_ends(peer, app, then):
    app.on("/ends", lambda call: (agree(call, more=b"bye"), call.stream.exactly(2), getattr(call, then)()))
    stream, _ = opened(peer, "/ends")
    assert receive(peer, stream, 3) == b"bye"
    peer.body(stream, b"ok", end=False)
    peer.pump_until(lambda: peer.answers[stream].ended)
    assert peer.answers[stream].body == b"bye"
    assert peer.get("/x").status == 200


def test_client_half_closes(peer, app):
    def last_word(call):
        agree(call)
        call.send(b"you said " + call.stream.rest())
        call.close()
    app.on("/last", last_word)
    stream, _ = opened(peer, "/last")
    peer.body(stream, b"goodbye")
    assert peer.wait(stream).body == b"you said goodbye"


@pytest.mark.parametrize("how", ["reset", "close"])
def test_client_goes_away(clear, app, how):
    gone = threading.Event()
    app.on("/left", lambda call: (echo(call), gone.set()))
    stream, _ = opened(clear, "/left")
    clear.reset(stream) if how == "reset" else clear.close()
    assert gone.wait(harness.WITHIN_S)


def test_nothing_before_it_is_agreed(peer, app):
    """What a client sends too early must not reach an application that has not agreed: it would read it as a request."""
    go = threading.Event()
    def refuse(call):
        call.wait(go)
        call.stream.sock.settimeout(0.2)
        with pytest.raises(OSError):
            call.stream.sock.recv(1)
        call.stream.sock.settimeout(60)
        call.answer(403, b"no")
    app.on("/refuses", refuse)
    stream = ask(peer, "/refuses")
    peer.body(stream, b"GET /smuggled HTTP/1.1\r\nHost: noord.test\r\n\r\n", end=False)
    assert peer.get("/x").status == 200
    go.set()
    assert peer.wait_head(stream).status == 403
    peer.body(stream, b"GET /smuggled HTTP/1.1\r\nHost: noord.test\r\n\r\n")
    assert peer.wait(stream).status == 403
    assert peer.get("/x").status == 200
    assert not app.seen("/smuggled")


def test_early_bytes_arrive_once_it_is_agreed(peer, app):
    go = threading.Event()
    app.on("/late", lambda call: (call.wait(go), echo(call)))
    stream = ask(peer, "/late")
    peer.body(stream, b"early" * 10000)
    assert peer.get("/x").status == 200
    go.set()
    assert peer.wait(stream).body == b"early" * 10000


def test_ended_from_the_start(peer, app):
    stream = ask(peer, end=True)
    assert peer.wait(stream).status == 200


def test_not_allowed_here(peer, gate, app):
    before = gate.refusals("upgrade_not_allowed")
    stream = ask(peer, "/closed/ws")
    assert peer.wait_head(stream).status == 403
    assert gate.refusals("upgrade_not_allowed") == before + 1 and not app.seen("/closed/ws")
    assert peer.get("/closed/x").status == 200


@pytest.mark.parametrize("fields, protocol, status", [
    ([("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")], "websocket", 400),
    ([("content-length", "5")], "websocket", 400),
    ([("upgrade", "websocket")], "websocket", 400),
    ([], "WebSocket", 405), ([], "connect-ip", 405), ([], "", 405)])
def test_malformed(peer, app, fields, protocol, status):
    assert peer.wait_head(ask(peer, fields=fields, protocol=protocol)).status == status
    assert peer.get("/x").status == 200 and not app.seen("/ws")


@pytest.mark.parametrize("accept", ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "x"])
def test_wrong_accept(peer, app, accept):
    """An application that did not understand the question (or a cache) has not agreed."""
    app.on("/wrong", lambda call: (agree(call, accept), call.stall()))
    stream = ask(peer, "/wrong")
    try:
        assert peer.wait_head(stream).status == 502
    except h2peer.Reset as reset:
        assert reset.code == h2peer.CONNECT_ERROR
    assert peer.get("/x").status == 200


def test_refused_by_the_application(peer, app):
    app.on("/v8", harness.says(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 3\r\n\r\nold"))
    stream = ask(peer, "/v8")
    peer.pump_until(lambda: peer.answers[stream].ended)
    answer = peer.answers[stream]
    assert answer.status == 426 and answer.fields.get("sec-websocket-version") == "13" and answer.body == b"old"


def test_idle(clear, gate):
    before = gate.counter("polder_timeouts_total")
    stream, _ = opened(clear)
    assert clear.wait_reset(stream) == h2peer.CANCEL
    assert gate.counter("polder_timeouts_total") == before + 1


def test_reader_that_stops(gate, app, clear):
    """Back-pressure: what the client does not take, the application cannot go on sending."""
    sent = [0]
    def pour(call):
        agree(call)
        while sent[0] < 30 << 20:
            call.send(b"x" * 65536)
            sent[0] += 65536
        call.close()
    app.on("/pour", pour)
    clear.updates = False
    stream, _ = opened(clear, "/pour")
    seen = [-1]
    def stands_still():
        seen.append(sent[0])
        return len(seen) > 10 and seen[-1] == seen[-10]
    harness.until(stands_still, "the application had to wait")
    assert sent[0] < 20 << 20
    clear.updates = True
    clear.send(h2peer.raw_frame(8, 0, 0, (1 << 20).to_bytes(4, "big")), h2peer.raw_frame(8, 0, stream, (1 << 20).to_bytes(4, "big")))
    clear.pump_until(lambda: clear.answers[stream].ended)
    assert clear.answers[stream].length == 30 << 20
