"""Two requests in the coat of one. Whatever the framing of what comes in, the application receives one canonical
request, byte for byte as the gate writes it, or nothing at all; and an answer never leaks into the next one."""
import re
import threading

import pytest

import harness

H = b"Host: noord.test\r\n"
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: noord.test\r\n\r\n"
# What the gate writes for a request whose own fields are none.
OWN = (rb"Forwarded: for=127\.0\.0\.1;host=\"noord\.test\";proto=http\r\nX-Forwarded-For: 127\.0\.0\.1\r\n"
       rb"X-Forwarded-Proto: http\r\nX-Forwarded-Host: noord\.test\r\nX-Request-Id: [0-9a-f]{32}\r\n"
       rb"Traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00\r\n")
END = rb"Via: 1\.1 polder\r\n\r\n"


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


@pytest.fixture(scope="module")
def gate(app):
    with harness.Gate(harness.simple_config(app.port)) as gate:
        yield gate


def post(fields, body):
    return b"POST /s HTTP/1.1\r\n" + H + fields + b"\r\n\r\n" + body


CHUNKED_ZERO = b"0\r\n\r\n" + HIDDEN
REFUSED = {
    "cl_te": post(b"Content-Length: 6\r\nTransfer-Encoding: chunked", CHUNKED_ZERO),
    "te_cl": post(b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"2c\r\n" + HIDDEN + b"\r\n0\r\n\r\n"),
    "cl_cl": post(b"Content-Length: 0\r\nContent-Length: 44", HIDDEN),
    "cl_cl_same": post(b"Content-Length: 44\r\nContent-Length: 44", HIDDEN),
    "cl_list": post(b"Content-Length: 0, 44", HIDDEN),
    "cl_leading_plus": post(b"Content-Length: +44", HIDDEN),
    "cl_space_before_colon": post(b"Content-Length : 44", HIDDEN),
    "cl_underscore": post(b"Content_Length: 44", HIDDEN),
    "cl_folded": post(b"Content-Length:\r\n 44", HIDDEN),
    "te_x": post(b"Transfer-Encoding: xchunked", CHUNKED_ZERO),
    "te_x_and_cl": post(b"Content-Length: 5\r\nTransfer-Encoding: xchunked", CHUNKED_ZERO),
    "te_space_before_colon": post(b"Transfer-Encoding : chunked", CHUNKED_ZERO),
    "te_vertical_tab": post(b"Transfer-Encoding:\x0bchunked", CHUNKED_ZERO),
    "te_form_feed": post(b"Transfer-Encoding: chunked\x0c", CHUNKED_ZERO),
    "te_nul": post(b"Transfer-Encoding: chunked\0", CHUNKED_ZERO),
    "te_quoted": post(b'Transfer-Encoding: "chunked"', CHUNKED_ZERO),
    "te_then_identity": post(b"Transfer-Encoding: chunked, identity", CHUNKED_ZERO),
    "te_identity_then": post(b"Transfer-Encoding: identity, chunked", CHUNKED_ZERO),
    "te_parameter": post(b"Transfer-Encoding: chunked;q=1", CHUNKED_ZERO),
    "te_comma": post(b"Transfer-Encoding: chunked, chunked", CHUNKED_ZERO),
    "te_twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", CHUNKED_ZERO),
    "te_empty_and_cl": post(b"Content-Length: 5\r\nTransfer-Encoding:", CHUNKED_ZERO),
    "te_folded": post(b"Transfer-Encoding:\r\n chunked", CHUNKED_ZERO),
    "te_behind_lf": post(b"X: y\nTransfer-Encoding: chunked", CHUNKED_ZERO),
    "te_behind_cr": post(b"X: y\rTransfer-Encoding: chunked", CHUNKED_ZERO),
    "te_underscore": post(b"Transfer_Encoding: chunked", CHUNKED_ZERO),
    "te_name_split": post(b"Transfer-Encoding\r\n: chunked", CHUNKED_ZERO),
    "te_kelvin": post("Transfer-Encoding: chun\u212aed".encode(), CHUNKED_ZERO),
    "te_in_1.0": b"POST /s HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED_ZERO,
    "chunk_size_lf": post(b"Transfer-Encoding: chunked", b"2\nxx\r\n0\r\n\r\n"),
    "chunk_size_cr": post(b"Transfer-Encoding: chunked", b"2\rxx\r\n0\r\n\r\n"),
    "chunk_size_wraps": post(b"Transfer-Encoding: chunked", b"10000000000000000\r\n\r\n" + HIDDEN),
    "chunk_size_minus": post(b"Transfer-Encoding: chunked", b"-0\r\n\r\n" + HIDDEN),
    "chunk_size_underscore": post(b"Transfer-Encoding: chunked", b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"),
    "chunk_end_missing": post(b"Transfer-Encoding: chunked", b"2\r\nxxxx0\r\n\r\n" + HIDDEN),
    "chunk_end_spill": post(b"Transfer-Encoding: chunked", b"2\r\nxx\n\n0\r\n\r\n" + HIDDEN),
    "chunk_extension_lf": post(b"Transfer-Encoding: chunked", b"2;\nxx\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
    "chunk_extension_cr": post(b"Transfer-Encoding: chunked", b"2;a=\rb\r\nxx\r\n0\r\n\r\n"),
    "last_chunk_lf": post(b"Transfer-Encoding: chunked", b"0\n\r\n" + HIDDEN),
    "trailer_te": post(b"Transfer-Encoding: chunked", b"0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "trailer_cl": post(b"Transfer-Encoding: chunked", b"0\r\nContent-Length: 44\r\n\r\n" + HIDDEN),
    "connection_length": post(b"Connection: content-length\r\nContent-Length: 44", HIDDEN),
    "connection_coding": post(b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked", CHUNKED_ZERO),
    "host_in_two": b"GET http://noord.test/s HTTP/1.1\r\nHost: zuid.test\r\n\r\n",
    "line_in_target": b"GET /s HTTP/1.1\r\nX: GET /smuggled HTTP/1.1\r\n\r\n",
    "upgrade_with_body": b"GET /s HTTP/1.1\r\n" + H + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 44\r\n"
                         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + HIDDEN,
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_refused_and_closed(gate, app, data):
    app.clear()
    with gate.connect() as client:
        client.send(data)
        answer = client.response()
        assert answer.status == 400, answer
        assert client.is_closed(), "nothing that follows may be read as a request"
    assert not app.seen("/smuggled") and not app.wrong
    assert not any(r.is_complete for r in app.seen("/s"))


# What is legal, however odd: exactly one request, framed anew. (sent, what the application received after the head)
LEGAL = {
    "te_capitals": (post(b"Transfer-Encoding: CHUNKED", b"2\r\nxx\r\n0\r\n\r\n"), rb"Transfer-Encoding: chunked\r\n",
                    b"2\r\nxx\r\n0\r\n\r\n"),
    "te_tab": (post(b"Transfer-Encoding:\tchunked\t", b"2\r\nxx\r\n0\r\n\r\n"), rb"Transfer-Encoding: chunked\r\n",
               b"2\r\nxx\r\n0\r\n\r\n"),
    "zeros_in_size": (post(b"Transfer-Encoding: chunked", b"00000002\r\nxx\r\n000\r\n\r\n"),
                      rb"Transfer-Encoding: chunked\r\n", b"2\r\nxx\r\n0\r\n\r\n"),
    "extension": (post(b"Transfer-Encoding: chunked", b'2;a=b;c="d;\\"e"\r\nxx\r\n0;z\r\n\r\n'),
                  rb"Transfer-Encoding: chunked\r\n", b"2\r\nxx\r\n0\r\n\r\n"),
    "length_spaces": (post(b"Content-Length:  \t 2  ", b"xx"), rb"Content-Length: 2\r\n", b"xx"),
    "length_zeros": (post(b"Content-Length: 002", b"xx"), rb"Content-Length: 2\r\n", b"xx"),
    "h2c_upgrade": (post(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
                         b"Content-Length: 2", b"xx"), rb"Content-Length: 2\r\n", b"xx"),
    "request_in_body": (post(b"Content-Length: %d" % len(HIDDEN), HIDDEN), rb"Content-Length: %d\r\n" % len(HIDDEN), HIDDEN),
}


@pytest.mark.parametrize("data, framing, body", LEGAL.values(), ids=LEGAL.keys())
def test_written_anew(gate, app, data, framing, body):
    app.clear()
    with gate.connect() as client:
        client.send(data)
        assert client.response().status == 200
    (request,) = app.wait_for("/s")
    expected = rb"POST /s HTTP/1\.1\r\nHost: noord\.test\r\n" + OWN + framing + END + re.escape(body) + rb"\Z"
    assert re.search(expected, app.bytes_of(request.connection)), app.bytes_of(request.connection)
    assert len(app.requests) == 1 and not app.wrong


def test_body_of_get(gate, app):
    """A GET may have a body (RFC 9110 9.3.1): it stays a body, and the request behind it is one of its own."""
    app.clear()
    with gate.connect() as client:
        client.send(b"GET /s HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN +
                    b"GET /next HTTP/1.1\r\n" + H + b"\r\n")
        assert client.response().json()["length"] == len(HIDDEN)
        assert client.response().json()["target"] == "/next"
    assert [r.path for r in app.requests] == ["/s", "/next"]


def test_chunk_by_byte(gate, app):
    """Every split of the bytes reads the same."""
    data = post(b"Transfer-Encoding: chunked", b'3;a="b"\r\nabc\r\n00a\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n')
    app.clear()
    with gate.connect() as client:
        client.send_slowly(data)
        answer = client.response().json()
        assert (answer["body"], answer["trailers"]) == ("abc0123456789", [["X-T", "1"]])
        for cut in range(len(data) - 52, len(data)):
            client.send(data[:cut])
            client.send(data[cut:])
            assert client.response().json()["body"] == "abc0123456789"


def test_refused_upgrade_is_no_tunnel(gate, app):
    """The application declines the upgrade: what the client sends next is a request, not the application's input."""
    app.on("/declined", harness.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"))
    app.clear()
    with gate.connect() as client:
        client.send(b"GET /declined HTTP/1.1\r\n" + H + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                    b"GET /a/%2e%2e/%2e%2e/x HTTP/1.1\r\n" + H + b"\r\n")
        assert client.response().body == b"no"
        assert client.response().status == 400
    assert [r.path for r in app.requests] == ["/declined"]


ANSWERS = {
    "length_and_coding": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n0\r\n\r\n", 502),
    "two_lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nxxx", 502),
    "space_before_colon": (b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nxx", 502),
    "folded": (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nxx", 502),
    "bare_lf": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nxx", 502),
    "unknown_coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nxx", 502),
    "nul_in_value": (b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nxx", 502),
    "length_in_204": (b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nxx", None),
}


@pytest.mark.parametrize("answer, status", ANSWERS.values(), ids=ANSWERS.keys())
def test_answers_of_two_readings(gate, app, answer, status):
    app.on("/answer", harness.says(answer))
    with gate.connect() as client:
        got = client.get("/answer")
        assert got.status == status if status else got.status in (204, 502)
        assert client.get("/after").json()["target"] == "/after"


def test_second_answer_reaches_nobody(gate, app):
    """An application (or who poses as it) sends one answer too many: it is not given to the next request."""
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    dropped = threading.Event()
    def later(call):
        call.answer(body=b"ok")
        call.send(extra)
        call.stall()
        dropped.set()
    app.on("/extra", harness.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)).on("/extra-later", later)
    for path in ("/extra", "/extra-later") * 5:
        with gate.connect() as client:
            dropped.clear()
            assert client.get(path).body == b"ok"
            if path == "/extra-later":
                assert dropped.wait(harness.WITHIN_S), "a kept connection on which something comes is closed"
            assert client.get("/after").json()["target"] == "/after"
            assert client.ask("HEAD", "/after").status == 200
            assert client.get("/after").json()["method"] == "GET"


def test_length_of_a_head_answer_is_no_body(gate, app):
    app.on("/head", harness.says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"))
    with gate.connect() as client:
        assert client.ask("HEAD", "/head").fields.get("content-length") == "1000"
        assert client.get("/after").json()["target"] == "/after"
