"""An application that breaks off, lies, stalls or talks nonsense ends its own request, with 502 or 504, and nothing else."""
import threading

import pytest

import harness

HOST_LINE = b"Host: noord.test\r\n"


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


@pytest.fixture(scope="module")
def gate(app):
    config = harness.simple_config(app.port, upstream={"retries": {"max": 0}, "outlier": {"failures": 0}})
    config["upstreams"] += [
        {"name": "quick", "endpoints": [f"127.0.0.1:{app.port}"], "response_timeout": "300ms", "outlier": {"failures": 0},
         "retries": {"max": 0}},
        {"name": "none", "endpoints": [f"127.0.0.1:{harness.free_port()}"], "outlier": {"failures": 0}},
        {"name": "retry", "endpoints": [f"127.0.0.1:{app.port}"], "retries": {"max": 2, "budget": "100%"},
         "outlier": {"failures": 0}},
    ]
    config["clusters"][0]["routes"] += [{"path": "/quick", "upstream": "quick"}, {"path": "/none", "upstream": "none"},
                                        {"path": "/retry", "upstream": "retry"},
                                        {"path": "/patient", "upstream": "quick", "response_timeout": "10s"}]
    config["limits"] = {"stall_timeout": "600ms"}
    with harness.Gate(config) as gate:
        yield gate


HEAD = b"HTTP/1.1 200 OK\r\n"
# What the application says, and then does: the client gets 502.
NONSENSE = {
    "closed_at_once": (b"", "close"),
    "reset_at_once": (b"", "reset"),
    "closed_in_head": (HEAD + b"Content-Le", "close"),
    "reset_in_head": (HEAD + b"Content-Le", "reset"),
    "garbage": (b"\x00\x01\x02\x03 what is this\r\n\r\n", "keep"),
    "greeting": (b"220 smtp.example ESMTP\r\n\r\n", "keep"),
    "http_0.9": (b"<html>hello</html>", "close"),
    "version_2": (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "keep"),
    "status_short": (b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "keep"),
    "status_long": (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "keep"),
    "status_signed": (b"HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n", "keep"),
    "status_zero": (b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", "keep"),
    "length_words": (HEAD + b"Content-Length: many\r\n\r\n", "keep"),
    "length_negative": (HEAD + b"Content-Length: -1\r\n\r\n", "keep"),
    "name_space": (HEAD + b"X Y: 1\r\nContent-Length: 0\r\n\r\n", "keep"),
    "huge_head": (HEAD + b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n", "keep"),
    "many_fields": (HEAD + b"X: y\r\n" * 5_000 + b"Content-Length: 0\r\n\r\n", "keep"),
    "unasked_101": (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "keep"),
    "unasked_101_bare": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "keep"),
    "interim_then_closed": (b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", "close"),
    "interim_with_length": (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + HEAD + b"Content-Length: 0\r\n\r\n", "keep"),
    "interim_flood": (b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"a" * 500 + b">\r\n\r\n", "flood"),
}


@pytest.mark.parametrize("said, then", NONSENSE.values(), ids=NONSENSE.keys())
def test_502(gate, app, said, then):
    def behave(call):
        call.body()
        call.send(said)
        if then == "flood":
            for _ in range(20_000):
                call.send(said)
        elif then != "keep":
            getattr(call, then)()
    app.on("/fault", behave)
    pids = gate.pids("worker")
    with gate.connect() as client:
        answer = client.get("/fault", [("Accept", "application/json")])
        assert answer.status == 502, answer
        assert answer.json()["reference"] == answer.fields.get("x-request-id")
        assert client.get("/after").status == 200, "the client's connection goes on"
    assert gate.pids("worker") == pids
    line = gate.wait_log(answer.fields.get("x-request-id"))
    assert line["http.response.status_code"] == 502 and line["polder.by_gate"]


def test_answer_formats_after_a_body(gate, app):
    """The Accept field is still known when the body has taken the place of the head's bytes."""
    app.on("/fault", harness.says(b"", "close"))
    with gate.connect() as client:
        client.send(b"POST /fault HTTP/1.1\r\n" + HOST_LINE + b"Accept: application/fhir+json\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            client.send(b"x" * 1000)
        answer = client.response()
        assert answer.status == 502 and answer.json()["resourceType"] == "OperationOutcome"


BROKEN_OFF = {
    "length_short": HEAD + b"Content-Length: 10\r\n\r\nhello",
    "chunk_short": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\nhello",
    "last_chunk_missing": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "trailers_short": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: ",
}


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("said", BROKEN_OFF.values(), ids=BROKEN_OFF.keys())
def test_broken_off(gate, app, said, then):
    """The head is out: the client must see that the body is not whole. Never a clean end."""
    app.on("/short", harness.says(said, then))
    with gate.connect() as client:
        client.request("GET", "/short")
        with pytest.raises(harness.Trouble):
            client.response()
        assert bytes(client.raw).startswith(b"HTTP/1.1 200 OK\r\n") and b"hello" in bytes(client.raw), "cut short, not swallowed"
        assert not bytes(client.raw).endswith(b"\n0\r\n\r\n")


@pytest.mark.parametrize("body", [b"g\r\nx\r\n", b"5\r\nhello!!\r\n", b"5\nhello\r\n", b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"])
def test_bad_chunks(gate, app, body):
    app.on("/chunks", harness.says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body))
    with gate.connect() as client:
        client.request("GET", "/chunks")
        with pytest.raises(harness.Trouble):
            answer = client.response()
            assert answer.status == 502
            raise harness.Trouble("as good: nothing had been sent yet")


def test_more_than_the_length(gate, app):
    app.on("/long", harness.says(HEAD + b"Content-Length: 5\r\n\r\nhello world"))
    with gate.connect() as client:
        assert client.get("/long").body == b"hello"
        assert client.get("/after").status == 200


def test_stall_before_the_head(gate, app):
    app.on("/quick/stall", lambda call: call.stall())
    with gate.connect() as client:
        assert client.get("/quick/stall").status == 504
        assert client.get("/after").status == 200


def test_stall_in_the_head(gate, app):
    app.on("/quick/half", lambda call: (call.send(HEAD + b"X"), call.stall()))
    with gate.connect() as client:
        assert client.get("/quick/half").status == 504


def test_slow_head_within_the_time_of_its_route(gate, app):
    """A route's own response_timeout takes the place of its upstream's."""
    go = threading.Event()
    app.on("/patient/x", lambda call: (call.wait(go), call.answer(body=b"at last")))
    with gate.connect() as client:
        client.request("GET", "/patient/x")
        assert client.is_silent(0.6)
        go.set()
        assert client.response().body == b"at last"


def test_dripping_head(gate, app):
    """Bytes alone do not extend the time for the head."""
    def drip(call):
        for byte in HEAD + b"X: " + b"y" * 1000:
            call.send(bytes([byte]))
            if call.app.closing.wait(0.05):
                break
    app.on("/quick/drip", drip)
    with gate.connect() as client:
        assert client.get("/quick/drip").status == 504


def test_stall_in_the_body(gate, app):
    app.on("/half", lambda call: (call.send(HEAD + b"Content-Length: 10\r\n\r\nhello"), call.stall()))
    with gate.connect() as client:
        client.request("GET", "/half")
        with pytest.raises(harness.Trouble):
            client.response()


def test_nobody_listens(gate):
    with gate.connect() as client:
        answer = client.get("/none/x")
        assert answer.status == 502 and answer.fields.get("retry-after")
        assert client.get("/after").status == 200
        assert client.ask("POST", "/none/x", body=b"x" * 200_000).status == 502


def test_goes_away_and_comes_back(gate, app):
    with gate.connect() as client:
        assert client.get("/x").status == 200
        app.shut()
        assert client.get("/x").status == 502
        app.open()
        assert client.get("/x").status == 200


# ---- kept connections that the application closes under the next request (RFC 9110 9.2.2, RFC 9112 9.3.1)

def closes_the_second_time():
    served = set()
    def behave(call):
        if call.request.connection in served:
            call.close()
            return
        served.add(call.request.connection)
        call.body()
        call.answer(body=b"%d" % call.request.connection)
    return behave


def test_stale_connection_and_a_get(gate, app):
    app.on("/retry/stale", closes_the_second_time())
    with gate.connect() as client:
        for _ in range(6):
            assert client.get("/retry/stale").status == 200
    assert gate.counter("polder_upstream_retries_total") >= 1


def test_stale_connection_and_a_post(gate, app):
    """A POST that may have been acted upon is never sent a second time."""
    app.on("/retry/post", closes_the_second_time())
    app.clear()
    with gate.connect() as client:
        statuses = [client.ask("POST", "/retry/post", body=b"x").status for _ in range(6)]
    assert set(statuses) <= {200, 502} and 502 in statuses
    assert len(app.seen("/retry/post")) == len(statuses), "each came exactly once"


def test_body_is_never_sent_twice(gate, app):
    app.on("/retry/put", lambda call: (call.stream.exactly(1), call.close()))
    app.clear()
    with gate.connect() as client:
        assert client.ask("PUT", "/retry/put", body=b"x" * 10).status == 502
    assert len(app.seen("/retry/put")) == 1


def test_idempotent_is_tried_again(gate, app):
    tries = []
    def third_time(call):
        tries.append(call.request.method)
        if len(tries) < 3:
            call.close()
        else:
            call.answer(body=b"third time")
    app.on("/retry/third", third_time)
    with gate.connect() as client:
        answer = client.get("/retry/third")
        assert answer.body == b"third time"
        assert gate.wait_log(answer.fields.get("x-request-id"))["polder.retries"] == 2
        tries.clear()
        assert client.ask("POST", "/retry/third", body=b"").status == 502
        assert tries == ["POST"]


def test_retry_budget(app):
    """Retries are a share of the requests: a dead application is not asked three times as often."""
    config = harness.simple_config(app.port, upstream={"retries": {"max": 2, "budget": "10%"}, "outlier": {"failures": 0}})
    app.on("/dead", lambda call: call.close())
    app.clear()
    with harness.Gate(config, workers=1) as gate:
        with gate.connect() as client:
            for _ in range(100):
                assert client.get("/dead").status == 502
        assert 100 <= len(app.seen("/dead")) <= 100 + 10 + 10, "a tenth, and ten that every pool begins with"
        assert gate.counter("polder_upstream_retries_refused_total") > 0
