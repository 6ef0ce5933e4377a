"""Answers through the firewall: what leaks is stopped before any of it left, what nobody looks into streams."""
import gzip
import threading

import pytest

import h2peer
import harness
import waf_kit

PLAIN, HTML, EVENTS = [("Content-Type", "text/plain")], [("Content-Type", "text/html; charset=utf-8")], \
    [("Content-Type", "text/event-stream")]
LONG = b"word " * 10_000  # more than is looked at
GO_ON = threading.Event()


def chunked(fields, *pieces):
    """An answer in chunks, with a pause before the last one until GO_ON."""
    def behave(call):
        call.body()
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        call.send(f"HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for piece in pieces[:-1]:
            call.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        call.wait(GO_ON)
        call.send(b"%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(pieces[-1]), pieces[-1]))
    return behave


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        app.on("/plain", lambda call: call.answer(body=b"fine words", fields=PLAIN))
        app.on("/leaks", lambda call: call.answer(body=b"a secret", fields=HTML))
        app.on("/head", lambda call: call.answer(body=b"x", fields=[*PLAIN, ("X-Leak", "1")]))
        app.on("/json", lambda call: call.answer(body=b'"a secret"', fields=[("Content-Type", "application/json")]))
        app.on("/gzip", lambda call: call.answer(body=gzip.compress(b"a secret"), fields=[*PLAIN, ("Content-Encoding", "gzip")]))
        app.on("/late", lambda call: call.answer(body=LONG + b"secret", fields=PLAIN))
        app.on("/early", lambda call: call.answer(body=b"secret" + LONG, fields=PLAIN))
        app.on("/empty", lambda call: call.answer(204, reason="No Content"))
        app.on("/chunks", chunked(PLAIN, b"fine ", b"words"))
        app.on("/leaky-chunks", chunked(PLAIN, b"a sec", b"ret"))
        app.on("/long-chunks", chunked(PLAIN, LONG[:30_000], LONG[30_000:]))
        app.on("/events", chunked(EVENTS, b"data: secret\n\n", b"data: more\n\n"))
        app.on("/close", harness.says(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nfine until the end", "close"))
        app.on("/breaks", harness.says(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf", "close"))
        yield app
    assert not app.wrong


@pytest.fixture(scope="module")
def gate(app):
    config = waf_kit.config(app.port, {"responses": "on"}, clusters={
        "watched": {"mode": "detect", "responses": "on"}, "without": {}})
    config["listeners"].append({"name": "h2c", "http2": True})
    config["clusters"][0]["routes"].append({"path": "/json", "upstream": "app", "waf": {"responses": "off"}})
    with waf_kit.Gate(config, workers=1) as gate:
        yield gate


@pytest.fixture(autouse=True)
def nothing_left(gate, app):
    GO_ON.clear()
    app.clear()
    yield
    GO_ON.set()
    gate.waf_is_quiet()


@pytest.fixture(params=["h1", "h2"])
def ask(request, gate):
    def ask(method, path, host="noord.test"):
        if request.param == "h1":
            with gate.connect(host=host) as client:
                return client.ask(method, path)
        with h2peer.Peer(gate.connect("h2c")) as peer:
            return peer.ask(method, path, host=host, scheme="http")
    return ask


def test_fine_answers_come_whole(ask):
    assert ask("GET", "/plain").body == b"fine words"
    assert ask("GET", "/empty").status == 204
    assert ask("HEAD", "/plain").status == 200
    assert ask("GET", "/close").body == b"fine until the end"
    assert ask("POST", "/plain").status == 200


def test_what_leaks_is_replaced(gate, app, ask):
    answer = ask("GET", "/leaks")
    assert answer.status == 403 and b"secret" not in answer.body and b"answer was stopped" in answer.body
    answer = ask("GET", "/head")
    assert answer.status == 500 and "x-leak" not in answer.fields
    assert gate.refusals("waf_answer") > 0
    assert len(app.seen("/leaks")) == 1


def test_the_connection_goes_on_after_a_stopped_answer(gate):
    with gate.connect() as client:
        assert client.get("/leaks").status == 403
        assert client.get("/plain").status == 200


def test_only_where_it_is_wanted(ask):
    assert b"secret" in ask("GET", "/leaks", "without.test").body
    assert b"secret" in ask("GET", "/leaks", "watched.test").body
    assert b"secret" in ask("GET", "/json").body


def test_applications_are_asked_not_to_compress(gate, app):
    with gate.connect() as client:
        client.get("/a", [("Accept-Encoding", "gzip, br")])
    with gate.connect(host="without.test") as client:
        client.get("/b", [("Accept-Encoding", "gzip, br")])
    assert app.seen("/a")[0].fields.all("accept-encoding") == ["identity"]
    assert app.seen("/b")[0].fields.all("accept-encoding") == ["gzip, br"]


def test_what_was_compressed_all_the_same_streams(ask):
    assert gzip.decompress(ask("GET", "/gzip").body) == b"a secret"


def test_of_a_long_answer_the_beginning_is_looked_at(ask):
    assert ask("GET", "/late").body == LONG + b"secret"
    assert ask("GET", "/early").status == 403


def test_nothing_of_a_wanted_type_leaves_before_all_was_seen(gate):
    for path, status in (("/chunks", 200), ("/leaky-chunks", 403)):
        GO_ON.clear()
        with gate.connect() as client:
            client.request("GET", path)
            harness.until(lambda: gate.waf("held_bytes") >= 5, "the answer is held")
            assert client.is_silent()
            GO_ON.set()
            answer = client.response()
            assert answer.status == status
            if status == 200:
                assert answer.body == b"fine words" and answer.trailers.get("x-sum") == "1"


def test_a_long_answer_goes_on_from_where_it_was_judged(gate):
    with gate.connect() as client:
        client.request("GET", "/long-chunks")
        head = client.response_head()
        assert head.status == 200  # before the end came
        GO_ON.set()
        body, trailers = client.chunked_body()
        assert body == LONG and trailers.get("x-sum") == "1"


def test_event_streams_are_not_held(gate):
    with gate.connect() as client:
        client.request("GET", "/events")
        client.response_head()
        assert b"secret" in client.until(b"\n\n")
        assert not GO_ON.is_set()
        GO_ON.set()


def test_an_answer_that_breaks_off_while_it_is_held(ask):
    assert ask("GET", "/breaks").status == 502


def test_a_client_that_leaves_while_its_answer_is_held(gate):
    with gate.connect() as client:
        client.request("GET", "/chunks")
        harness.until(lambda: gate.waf("held_bytes") >= 5, "the answer is held")
        client.reset()
    gate.waf_is_quiet()
    GO_ON.set()
