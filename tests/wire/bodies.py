"""Bodies as they stream through: large ones both ways in each framing, with bounded memory however slow the reader."""
import hashlib
import os
import threading

import pytest

import harness

HOST_LINE = b"Host: noord.test\r\n"
MANY = 20 << 20
BLOCK = os.urandom(1 << 16)
DIGEST = hashlib.sha256(BLOCK * (MANY // len(BLOCK))).hexdigest()


def read_body(call):
    """The request body without keeping it: (length, digest)."""
    digest, length, stream = hashlib.sha256(), 0, call.stream
    def take(n):
        nonlocal length
        while n:
            if not stream.waiting and not stream.fill():
                raise harness.Trouble("the body broke off")
            piece, stream.waiting = stream.waiting[:n], stream.waiting[n:]
            stream.raw.clear()
            digest.update(piece)
            length += len(piece)
            n -= len(piece)
    if call.request.framing == "chunked":
        while size := int(stream.until(b"\r\n"), 16):
            take(size)
            stream.exactly(2)
        stream.until(b"\r\n")
    else:
        take(call.request.length)
    call.request.body, call.request.is_complete = b"", True
    return length, digest.hexdigest()


def swallow(call):
    length, digest = read_body(call)
    call.answer(body=f"{call.request.framing} {length} {digest}".encode())


def pour(call):
    """MANY bytes in the framing that the query names, as fast as the gate takes them."""
    blocks = MANY // len(BLOCK)
    head = {"length": b"Content-Length: %d\r\n" % MANY, "chunked": b"Transfer-Encoding: chunked\r\n", "close": b""}
    call.send(b"HTTP/1.1 200 OK\r\n" + head[call.request.query] + b"\r\n")
    for _ in range(blocks):
        call.send(b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if call.request.query == "chunked" else BLOCK)
        poured["blocks"] += 1
    if call.request.query == "chunked":
        call.send(b"0\r\n\r\n")
    if call.request.query == "close":
        call.close()


poured = {"blocks": 0}


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app.on("/swallow", swallow).on("/pour", pour)


@pytest.fixture(scope="module")
def gate(app, certificates):
    config = harness.simple_config(app.port)
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    config["listeners"].append({"name": "https", "tls": {"certificates": ["noord"], "http2": False}})
    config["clusters"][0]["routes"].append({"path": "/small", "upstream": "app", "body_limit": "1k"})
    with harness.Gate(config, workers=1) as gate:
        yield gate


@pytest.fixture(params=["http", "https"])
def connect(request, gate, certificates):
    tls = harness.tls_context(certificates.ca.path) if request.param == "https" else None
    return lambda **more: gate.connect(request.param, tls=tls, **more)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_to_the_application(connect, framing):
    with connect() as client:
        client.send(b"PUT /swallow HTTP/1.1\r\n" + HOST_LINE +
                    (b"Content-Length: %d\r\n\r\n" % MANY if framing == "length" else b"Transfer-Encoding: chunked\r\n\r\n"))
        for _ in range(MANY // len(BLOCK)):
            client.send(BLOCK if framing == "length" else b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK))
        if framing == "chunked":
            client.send(b"0\r\n\r\n")
        assert client.response().body.decode() == f"{framing} {MANY} {DIGEST}"
        assert client.get("/x").status == 200


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_large_to_the_client(connect, framing):
    with connect() as client:
        answer = client.get(f"/pour?{framing}")
        assert answer.framing == ("chunked" if framing == "close" else framing)
        assert hashlib.sha256(answer.body).hexdigest() == DIGEST
        assert client.get("/x").status == 200


def test_slow_reader(connect, gate):
    """A client that does not read makes the application wait, not the gate's memory grow."""
    before = gate.pss_kib() if harness.memory_is_shown() else None
    poured["blocks"] = 0
    with connect(rcvbuf=8192) as client:
        client.request("GET", "/pour?length")
        client.response_head()
        seen = [-1]
        def stands_still():
            seen.append(poured["blocks"])
            return len(seen) > 10 and seen[-1] == seen[-10]
        harness.until(stands_still, "the application had to wait")
        assert poured["blocks"] * len(BLOCK) < MANY * 3 // 4
        assert before is None or gate.pss_kib() - before < 1024
        assert hashlib.sha256(client.exactly(MANY)[:MANY]).hexdigest() == DIGEST


def test_slow_application(connect, gate, app):
    """Likewise the other way: an application that does not read makes the client wait."""
    go, sent = threading.Event(), 0
    before = gate.pss_kib() if harness.memory_is_shown() else None
    def later(call):
        call.wait(go)
        swallow(call)
    app.on("/later", later)
    with connect() as client:
        client.send(b"PUT /later HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: %d\r\n\r\n" % MANY)
        client.sock.settimeout(0.4)
        try:
            while sent < MANY:
                sent += client.sock.send(BLOCK[sent % len(BLOCK):])
        except TimeoutError:
            pass
        assert sent < MANY
        assert before is None or gate.pss_kib() - before < 1024
        client.sock.settimeout(harness.WITHIN_S)
        go.set()
        while sent < MANY:
            sent += client.sock.send(BLOCK[sent % len(BLOCK):])
        assert client.response().body.decode() == f"length {MANY} {DIGEST}"


def test_answer_before_the_body(connect, app):
    """The application answers early and wants no more: the client gets the answer, and the connection ends after it."""
    app.on("/early", lambda call: (call.answer(413, b"too much", reason="No"), call.close()))
    with connect() as client:
        client.send(b"POST /early HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000)
        answer = client.response()
        assert (answer.status, answer.body) == (413, b"too much")
        assert client.is_closed()


def test_answer_while_the_body_comes(connect, app):
    """An application may answer as it reads; both streams run to their end and the connection is kept."""
    def both(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(4):
            call.send(b"4\r\n%s\r\n" % call.stream.exactly(4))
        call.request.body = b""
        call.send(b"0\r\n\r\n")
    app.on("/both", both)
    with connect() as client:
        client.send(b"POST /both HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 16\r\n\r\n")
        for i in range(4):
            client.send(b"%04d" % i)
            if i == 0:
                assert client.head()[0] == 200
            assert client.until(b"\r\n") == b"4" and client.exactly(6) == b"%04d\r\n" % i
        assert client.until(b"\r\n\r\n") == b"0"


def test_small_pieces_arrive_at_once(connect, app):
    """What an application sends piece by piece (events, progress) is not held back to fill a buffer."""
    go = [threading.Event() for _ in range(5)]
    def drip(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n")
        for i, event in enumerate(go):
            call.wait(event)
            call.send(b"1\r\n%d\r\n" % i)
        call.send(b"0\r\n\r\n")
    app.on("/drip", drip)
    with connect() as client:
        client.request("GET", "/drip")
        assert client.head()[0] == 200
        for i, event in enumerate(go):
            event.set()
            assert client.until(b"\r\n") == b"1" and client.exactly(3) == b"%d\r\n" % i


def test_client_goes_away(connect, gate, app):
    """A client that resets in mid-answer ends its request at the application too, and is counted."""
    ended = threading.Event()
    def endless(call):
        try:
            call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not call.app.closing.is_set():
                call.send(b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK))
        finally:
            ended.set()
    app.on("/endless", endless)
    before = gate.counter("polder_client_aborts_total")
    client = connect()
    client.request("GET", "/endless")
    client.response_head()
    client.reset()
    assert ended.wait(harness.WITHIN_S)
    gate.wait_counter("polder_client_aborts_total", before + 1)
    harness.until(lambda: gate.counter("polder_requests_active") == 0, "no request is active")


@pytest.mark.parametrize("by", ["application", "gate"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_answer_reaches_a_client_that_still_sends(connect, app, by, framing):
    """Too much, is the answer; the client is told so even when it goes on sending for a while (RFC 9112 9.6)."""
    app.on("/refuses", lambda call: (call.answer(413, b"too much", reason="No"), call.close()))
    path = b"/refuses" if by == "application" else b"/small"
    with connect() as client:
        tls = hasattr(client.sock, "cipher")
        client.send(b"PUT " + path + b" HTTP/1.1\r\n" + HOST_LINE +
                    (b"Content-Length: %d\r\n\r\n" % MANY if framing == "length" else b"Transfer-Encoding: chunked\r\n\r\n"))
        def send():
            try:
                for _ in range((1 << 20 if tls else MANY) // len(BLOCK)):
                    client.send(BLOCK if framing == "length" else b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK))
            except OSError:
                pass
        if tls:
            send()
        else:
            sending = threading.Thread(target=send)
            sending.start()
        try:
            assert client.response().status == 413
        finally:
            if not tls:
                client.close()
                sending.join()


def test_nothing_is_left_over(gate):
    """After all of the above: no request, no connection, no chunk of memory kept by them."""
    harness.until(lambda: gate.counter("polder_requests_active") == 0 and gate.counter("polder_connections_open") == 0,
                  "all connections ended")
    assert all(e["active"] == 0 for e in gate.status()["endpoints"])
