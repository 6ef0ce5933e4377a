"""Fields of every length, up to far over the limit: an answer is never longer than it should be, and never holds what
was not meant for it. The Host of 24,812 bytes is the one that made another gateway bleed (CVE-2023-4966)."""
import pytest

import harness


@pytest.fixture(scope="module")
def app():
    with harness.Application(answer=lambda call: (call.body(), call.answer(body=b"fine"))) as app:
        yield app


@pytest.fixture(scope="module")
def gate(app):
    config = harness.simple_config(app.port, limits={"header_bytes": "63k", "target_bytes": "32k"})
    config["clusters"][0]["hosts"].append("*.noord.test")
    config["listeners"].append({"name": "redirect", "redirect_to_https": 443})
    with harness.Gate(config) as gate:
        yield gate


LENGTHS = [1, 60, 63, 64, 65, 95, 96, 97, 127, 128, 239, 240, 241, 253, 255, 256, 257, 511, 512, 1023, 1024, 4095, 4096, 4097,
           8000, 8191, 8192, 8193, 16_000, 16_383, 16_384, 16_385, 24_812, 30_000, 32_000, 32_768, 40_000, 60_000, 64_000, 65_536, 70_000]


def ask(gate, data, listener="http"):
    with gate.connect(listener) as client:
        client.send(data)
        answer = client.response()
        assert b"\0" not in answer.body and "\0" not in str(answer.fields)
        return answer


@pytest.mark.parametrize("length", LENGTHS)
def test_host(gate, length):
    for accept in (b"text/html", b"application/json"):
        answer = ask(gate, b"GET / HTTP/1.1\r\nAccept: " + accept + b"\r\nHost: " + b"a" * length + b"\r\n\r\n")
        assert answer.status in (400, 421, 431) and len(answer.body) < 1500


@pytest.mark.parametrize("length", LENGTHS)
def test_field_and_name(gate, app, length):
    app.clear()
    answer = ask(gate, b"GET /v HTTP/1.1\r\nHost: noord.test\r\nUser-Agent: " + b"a" * length + b"\r\n\r\n")
    assert answer.status == (200 if length <= 64_000 else 431)
    answer = ask(gate, b"GET /n HTTP/1.1\r\nHost: noord.test\r\n" + b"a" * length + b": b\r\n\r\n")
    assert answer.status == (200 if length <= 64_000 else 431)
    for request in app.seen("/v"):
        assert request.fields.get("user-agent") == "a" * length


@pytest.mark.parametrize("length", LENGTHS)
def test_path(gate, app, length):
    """The log cuts it to its place; the application gets it whole; a redirect says it whole or not at all."""
    path = b"/" + b"p" * (length - 1)
    answer = ask(gate, b"GET " + path + b" HTTP/1.1\r\nHost: noord.test\r\n\r\n")
    assert answer.status == (200 if length <= 32_768 else 414)
    if answer.status == 200:
        assert app.seen(path.decode())
        line = gate.wait_log(answer.fields.get("x-request-id"))
        assert path.decode().startswith(line["url.path"].rstrip("\u2026")) and len(line["url.path"]) <= 241
    answer = ask(gate, b"GET " + path + b" HTTP/1.1\r\nHost: noord.test\r\n\r\n", "redirect")
    if answer.status == 301:
        assert answer.fields.get("location") == "https://noord.test" + path.decode()
    else:
        assert answer.status in (414, 431, 500)


@pytest.mark.parametrize("length", [n for n in LENGTHS if n < 17_000])
def test_encoded_path(gate, app, length):
    path = "/" + "%c3%a9" * (length // 6)
    answer = ask(gate, f"GET {path} HTTP/1.1\r\nHost: noord.test\r\n\r\n".encode())
    assert answer.status == 200 and app.seen(path.upper().replace("%C3", "%C3"))


@pytest.mark.parametrize("length", LENGTHS)
def test_method(gate, length):
    assert ask(gate, b"M" * length + b" / HTTP/1.1\r\nHost: noord.test\r\n\r\n").status in (200, 400, 405, 414, 431, 501)


@pytest.mark.parametrize("length", LENGTHS)
def test_trailer_and_extension(gate, length):
    head = b"POST /t HTTP/1.1\r\nHost: noord.test\r\nTransfer-Encoding: chunked\r\n\r\n1"
    assert ask(gate, head + b"\r\nx\r\n0\r\nX-T: " + b"a" * length + b"\r\n\r\n").status in (200, 400, 431, 502)
    assert ask(gate, head + b";a=" + b"b" * length + b"\r\nx\r\n0\r\n\r\n").status in (200, 400)


@pytest.mark.parametrize("length", LENGTHS)
def test_answer_field(gate, app, length):
    """A long field of the application's comes out as it was, or its request ends with 502."""
    app.on("/long", lambda call: call.answer(body=b"fine", fields=[("X-Long", "a" * length)]))
    answer = ask(gate, b"GET /long HTTP/1.1\r\nHost: noord.test\r\n\r\n")
    if answer.status == 200:
        assert answer.fields.get("x-long") == "a" * length and answer.body == b"fine"
    else:
        assert answer.status == 502 and length > 60_000
