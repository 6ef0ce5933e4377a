"""HTTP/1 as clients and applications use it every day: keep-alive, pipelining, HEAD, 204, 304, interim answers,
Expect, trailers, HTTP/1.0; and what the gate answers itself."""
import json
import re

import pytest

import harness

HOST_LINE = b"Host: noord.test\r\n"


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


@pytest.fixture(scope="module")
def gate(app, tmp_path_factory):
    page = tmp_path_factory.mktemp("pages") / "404.html"
    page.write_text("<h1>Zoek $cluster</h1><p>$status $reference <b>$contact</b></p>")
    config = harness.simple_config(app.port, cluster={"contact": "058-<1234>", "error_pages": {"404": str(page)}})
    config["clusters"][0]["routes"] = [
        {"path": "/", "upstream": "app", "exact": True}, {"path": "/a", "upstream": "app"},
        {"path": "/fhir", "upstream": "app", "rewrite": "/base/R4"}, {"path": "/fhir/Special", "upstream": "app"},
        {"path": "/strip", "upstream": "app", "rewrite": "/"}, {"path": "/exact", "upstream": "app", "exact": True},
        {"path": "/slash/", "upstream": "app", "rewrite": "/to/"},
    ]
    config["listeners"] += [{"name": "redirect", "redirect_to_https": 8443}, {"name": "redirect443", "redirect_to_https": 443}]
    config["clusters"].append({"name": "zuid", "hosts": ["zuid.test", "*.zuid.test"],
                               "routes": [{"path": "/", "upstream": "app"}]})
    with harness.Gate(config) as gate:
        yield gate


# ---- the connection

def test_keep_alive(gate, app):
    before = gate.counter("polder_connections_accepted_total")
    with gate.connect() as client:
        assert [client.get(f"/a/{i}").json()["target"] for i in range(100)] == [f"/a/{i}" for i in range(100)]
    assert gate.counter("polder_connections_accepted_total") == before + 1
    assert gate.counter("polder_upstream_reuses_total") >= 99


def test_close_is_kept(gate):
    with gate.connect() as client:
        answer = client.get("/a", [("Connection", "close")])
        assert answer.status == 200 and answer.fields.get("connection") == "close"
        assert client.is_closed()


def test_pipelining(gate, app):
    """All at once, answers in order, each body in its place."""
    data = b""
    for i in range(40):
        body = b"x" * i
        data += b"POST /a/%d HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (i, HOST_LINE, i, body)
    data += b"GET /a/last HTTP/1.1\r\n" + HOST_LINE + b"Connection: close\r\n\r\n"
    with gate.connect() as client:
        client.send(data)
        for i in range(40):
            answer = client.response().json()
            assert (answer["target"], answer["length"]) == (f"/a/{i}", i)
        assert client.response().json()["target"] == "/a/last"
        assert client.is_closed()


def test_thousands_pipelined(gate):
    """More than any buffer holds, while the answers are read only later: nobody waits for each other for ever."""
    import threading
    count = 3000
    with gate.connect(rcvbuf=8192) as client:
        sending = threading.Thread(target=client.send, args=(b"".join(
            b"GET /a/%d HTTP/1.1\r\n%sX-Fill: %s\r\n\r\n" % (i, HOST_LINE, b"f" * (i % 300)) for i in range(count)),))
        sending.start()
        sending.join(0.3)
        for i in range(count):
            assert client.response().json()["target"] == f"/a/{i}"
        sending.join()


def test_cookies_in_several_fields(gate):
    """They are one list, and go on as one field."""
    with gate.connect() as client:
        fields = harness.Fields(map(tuple, client.get("/a", [("Cookie", "a=1"), ("X-Y", "z"), ("Cookie", "b=2; c=3")]).json()["fields"]))
        assert fields.get("cookie") == "a=1; b=2; c=3"


def test_pipelined_by_byte(gate):
    data = b"GET /a/1 HTTP/1.1\r\n" + HOST_LINE + b"\r\nHEAD /a/2 HTTP/1.1\r\n" + HOST_LINE + b"\r\n"
    with gate.connect() as client:
        client.send_slowly(data)
        assert client.response().json()["target"] == "/a/1"
        assert client.response("HEAD").status == 200


def test_half_close(gate):
    """A client may close its side after its request (RFC 9112 9.6)."""
    with gate.connect() as client:
        client.request("GET", "/a")
        client.half_close()
        assert client.response().status == 200
        assert client.is_closed()


def test_http_1_0(gate, app):
    app.on("/a/chunked", harness.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + harness.chunks(b"abc", b"def")))
    with gate.connect() as client:
        answer = client.get("/a", version="1.0")
        assert answer.status == 200 and client.is_closed()
    with gate.connect() as client:
        answer = client.get("/a", [("Connection", "keep-alive")], version="1.0")
        assert answer.fields.get("connection") == "keep-alive"
        answer = client.get("/a/chunked", [("Connection", "keep-alive")], version="1.0")
        assert answer.framing == "close" and answer.body == b"abcdef"
    with gate.connect() as client:
        assert client.get("/a", version="1.0", host=False).status in (400, 421)


def test_absolute_form(gate):
    with gate.connect() as client:
        assert client.get("http://noord.test/a/b?c").json()["target"] == "/a/b?c"
        assert client.get("HTTP://NOORD.test/a").json()["target"] == "/a"


def test_options_star(gate):
    with gate.connect() as client:
        assert client.ask("OPTIONS", "*").status in (200, 204, 404)
        assert client.get("/a").status == 200


# ---- answers

@pytest.mark.parametrize("status", [200, 204, 304, 404, 500])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_and_empty_answers(gate, app, method, status):
    body = b"" if status in (204, 304) else b"12345"
    def behave(call):
        length = b"" if status == 204 else b"Content-Length: 5\r\n"
        call.send(b"HTTP/1.1 %d X\r\nETag: \"a\"\r\n%s\r\n" % (status, length) + (b"" if call.request.method == "HEAD" else body))
    app.on("/a/empty", behave)
    with gate.connect() as client:
        answer = client.ask(method, "/a/empty")
        assert answer.status == status and answer.body == (body if method == "GET" else b"")
        assert answer.fields.get("etag") == '"a"'
        assert answer.fields.get("content-length") == (None if status == 204 else "5")
        assert client.get("/a/after").json()["target"] == "/a/after"


def test_answers_framed_anew(gate, app):
    app.on("/a/close", harness.says(b"HTTP/1.1 200 OK\r\n\r\nuntil close", "close"))
    app.on("/a/chunks", harness.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                     b"3;x=y\r\nabc\r\n0003\r\ndef\r\n0\r\nX-Sum: 6\r\n\r\n"))
    app.on("/a/1.0", harness.says(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "close"))
    app.on("/a/none", harness.says(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"))
    with gate.connect() as client:
        answer = client.get("/a/close")
        assert (answer.framing, answer.body) == ("chunked", b"until close")
        answer = client.get("/a/chunks")
        assert (answer.framing, answer.body) == ("chunked", b"abcdef")
        assert answer.trailers == [("X-Sum", "6")]
        assert client.get("/a/1.0").body == b"ok"
        assert client.get("/a/none").body == b""
        assert client.get("/a/after").status == 200


def test_interim_answers(gate, app):
    app.on("/a/hints", harness.says(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
                                    b"HTTP/1.1 103 Early Hints\r\nLink: </x.js>; rel=preload\r\nConnection: Link2\r\nLink2: x\r\n\r\n"
                                    b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    with gate.connect() as client:
        answer = client.get("/a/hints")
        assert answer.status == 200 and answer.body == b"ok"
        assert [i.status for i in answer.interim] == [103, 103, 102]
        assert answer.interim[0].fields.get("link") == "</style.css>; rel=preload"
        assert "link2" not in answer.interim[1].fields
        assert client.get("/a/hints", version="1.0").interim == []


def test_interim_answers_come_at_once(gate, app):
    """103 is of use only before the answer is there."""
    import threading
    go = threading.Event()
    def behave(call):
        call.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        call.wait(go)
        call.answer(body=b"ok")
    app.on("/a/early", behave)
    with gate.connect() as client:
        client.request("GET", "/a/early")
        assert client.head()[0] == 103
        go.set()
        assert client.response().status == 200


def test_expect_continue(gate, app):
    with gate.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.head()[0] == 100
        client.send(b"hello")
        answer = client.response()
        assert answer.json()["body"] == "hello" and not answer.interim
        assert not [f for f in answer.json()["fields"] if f[0].lower() == "expect"]


def test_expect_continue_refused(gate):
    """No 100 for a request that is refused anyway, and the body need not come."""
    with gate.connect() as client:
        client.send(b"POST /nowhere HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        answer = client.response()
        assert answer.status == 404 and not answer.interim
        assert client.is_closed()


def test_expect_continue_not_waited_for(gate):
    with gate.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
        assert client.response().json()["body"] == "hello"


def test_trailers_to_the_application(gate, app):
    with gate.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\n" + HOST_LINE + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
                    harness.chunks(b"abc", trailers=[("X-Sum", "3"), ("X-Other", "y")]))
        assert client.response().json()["trailers"] == [["X-Sum", "3"], ["X-Other", "y"]]


def test_trailers_carry_no_identity(gate, app):
    """What may not come in a head may not come behind the body either."""
    with gate.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\n" + HOST_LINE + b"Transfer-Encoding: chunked\r\n\r\n" +
                    harness.chunks(b"abc", trailers=[("X-Forwarded-For", "1.2.3.4"), ("X-Polder-Client-Subject", "x"),
                                                     ("Cookie", "a=b"), ("Authorization", "x"), ("X-Fine", "1")]))
        answer = client.response()
        assert answer.status == 400 or answer.json()["trailers"] == [["X-Fine", "1"]]


# ---- paths, routes

@pytest.mark.parametrize("sent, received", [
    ("/", "/"), ("/a", "/a"), ("/a/./b", "/a/b"), ("/a/b/../c", "/a/c"), ("/a/%7euser", "/a/~user"), ("/a/%c3%a9", "/a/%C3%A9"),
    ("/a//b", "/a//b"), ("/a/b?x=%2F..%2f&y", "/a/b?x=%2F..%2f&y"), ("/a?", "/a?"), ("/a/%41", "/a/A"), ("/a/b%20c", "/a/b%20c"),
    ("/x/../a", "/a"), ("/a/;p=1", "/a/;p=1"), ("/fhir", "/base/R4"), ("/fhir/", "/base/R4/"), ("/fhir/Patient?_id=1", "/base/R4/Patient?_id=1"),
    ("/fhir/Special/x", "/fhir/Special/x"), ("/strip", "/"), ("/strip/x/y", "/x/y"), ("/exact", "/exact"), ("/slash/x", "/to/x"),
    ("/fhir/./Special", "/fhir/Special"), ("/fhir/x/../Special", "/fhir/Special"), ("/%66hir/x", "/base/R4/x"),
])
def test_paths(gate, sent, received):
    with gate.connect() as client:
        answer = client.get(sent)
        assert answer.status == 200, answer
        assert answer.json()["target"] in (received, received.replace("%2f", "%2F"))


@pytest.mark.parametrize("path", ["/b", "/ab", "/fhirx", "/exact/x", "/exact/", "/x/../b"])
def test_no_route(gate, path):
    with gate.connect() as client:
        assert client.get(path).status == 404
        assert client.get("/a").status == 200, "the connection goes on"


def test_hosts(gate):
    for host, cluster in [("zuid.test", "zuid"), ("ZUID.test", "zuid"), ("a.zuid.test:80", "zuid"), ("a.b.zuid.test", "zuid"),
                          ("noord.test:8080", "noord")]:
        with gate.connect(host=host) as client:
            answer = client.get("/a")
            assert answer.status == 200
            assert gate.wait_log(answer.fields.get("x-request-id"))["polder.cluster"] == cluster
    for host in ["xzuid.test", "zuid.test.evil.example", "localhost", "127.0.0.1"]:
        with gate.connect(host=host) as client:
            assert client.get("/a").status == 421


# ---- the gate's own answers

def test_error_page_formats(gate):
    with gate.connect(host="nowhere.test") as client:
        answer = client.get("/a", [("Accept", "text/html,*/*;q=0.8")])
        assert answer.status == 421 and answer.fields.get("content-type") == "text/html; charset=utf-8"
        assert answer.fields.get("x-request-id").encode() in answer.body
        answer = client.get("/a", [("Accept", "application/json")])
        assert answer.json()["status"] == 421 and answer.json()["reference"] == answer.fields.get("x-request-id")
        answer = client.get("/a", [("Accept", "application/fhir+json, application/json;q=0.5")])
        assert answer.fields.get("content-type").startswith("application/fhir+json")
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert answer.json()["issue"][0]["severity"] == "error"
        assert answer.fields.get("x-request-id") in answer.json()["issue"][0]["diagnostics"]
        answer = client.get("/a", [("Accept", "text/html;q=0.1, application/json;q=0.9")])
        assert answer.json()["status"] == 421
        assert client.ask("HEAD", "/a").body == b""


def test_own_error_page(gate):
    with gate.connect() as client:
        answer = client.get("/nowhere")
        assert re.match(rb"<h1>Zoek noord</h1><p>404 [0-9a-f]{32} <b>058-&lt;1234&gt;</b></p>$", answer.body), answer.body
        assert answer.fields.get("cache-control") == "no-store"
        assert client.get("/nowhere", [("Accept", "application/json")]).json()["status"] == 404


def test_error_pages_echo_nothing(gate):
    """Nothing of the request stands in an error page: not its path, not its host."""
    with gate.connect() as client:
        for accept in ("text/html", "application/json", "application/fhir+json"):
            answer = client.get("/nowhere/Canary-77?q=Canary-77", [("Accept", accept), ("X-A", "Canary-77")])
            assert b"Canary-77" not in answer.body and "Canary-77" not in str(answer.fields)


@pytest.mark.parametrize("listener, port", [("redirect", ":8443"), ("redirect443", "")])
def test_redirect(gate, app, listener, port):
    app.clear()
    with gate.connect(listener) as client:
        answer = client.get("/a/../a/b?q=1")
        assert answer.status == 301 and answer.fields.get("location") == f"https://noord.test{port}/a/b?q=1"
        assert client.ask("HEAD", "/").status == 301
        assert client.ask("POST", "/a", body=b"x").status == 308
    with gate.connect(listener, host="noord.test:8080") as client:
        assert client.get("/").fields.get("location") == f"https://noord.test{port}/"
    assert not app.requests


def test_redirects_only_to_hosts_it_serves(gate):
    """A redirect to whatever Host says would make the gate a signpost for others."""
    with gate.connect("redirect", host="evil.example") as client:
        answer = client.get("/")
        assert answer.status == 421 and "location" not in answer.fields


def test_circle_of_gates_ends(gate):
    """Each gate adds itself to Via: two behind one another are fine, a request that keeps coming back is not."""
    with gate.connect() as client:
        assert client.get("/a", [("Via", "1.1 polder, 1.1 polder")]).status == 200
        assert client.get("/a", [("Via", "1.1 polder, 1.1 polder"), ("Via", "1.1 other, 1.1 polder"),
                                 ("Via", "1.1 polder")]).status == 508
