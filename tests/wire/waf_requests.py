"""The firewall in the way of requests: what is blocked, what only written down, what passes, and what is too much."""
import gzip
import json
import threading
import zlib

import pytest

import h2peer
import harness
import waf_kit
from waf_kit import FORM, JSON, TEXT

EXCLUSIONS = "SecRuleRemoveById 4\nSecRuleRemoveByTag head\n"


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        app.on("/socket", lambda call: call.websocket_echo())
        yield app
    assert not app.wrong


@pytest.fixture(scope="module")
def gate(app):
    config = waf_kit.config(app.port, clusters={
        "watched": {"mode": "detect"},
        "open": {"mode": "off"},
        "careful": {"paranoia": 2},
        "excepted": {"exclusions": "exclusions.conf"},
        "inline": {"exclusions": "SecRuleUpdateTargetById 4 !ARGS:free"},
        "small": {"body_limit": "1k"},
    })
    config["listeners"].append({"name": "h2c", "http2": True})
    config["clusters"][0]["routes"] += [{"path": "/off", "upstream": "app", "waf": {"mode": "off"}},
                                       {"path": "/watch", "upstream": "app", "waf": {"mode": "detect"}},
                                       {"path": "/tiny", "upstream": "app", "waf": {"body_limit": 10}}]
    with waf_kit.Gate(config, {"exclusions.conf": EXCLUSIONS}, workers=1) as gate:
        yield gate


@pytest.fixture(autouse=True)
def nothing_left(gate, app):
    app.clear()
    yield
    gate.waf_is_quiet()


@pytest.fixture
def ask(gate):
    """One request on a connection of its own; cluster by its name."""
    def ask(method, target, fields=(), body=None, cluster="noord"):
        with gate.connect(host=f"{cluster}.test") as client:
            return client.ask(method, target, fields, body)
    return ask


# ---- verdicts

def test_a_clean_request_passes_and_the_connection_goes_on(gate, app):
    with gate.connect() as client:
        for n in range(3):
            assert client.get(f"/clean?n={n}").status == 200
            assert client.ask("POST", "/clean", [FORM], b"a=fine").json()["body"] == "a=fine"
    assert len(app.seen("/clean")) == 6


@pytest.mark.parametrize("where", ["header", "argument", "name", "form", "cookie"])
def test_an_attack_is_blocked_before_the_application_sees_it(gate, app, ask, where):
    before = gate.blocked()
    answer = {"header": lambda: ask("GET", "/x", [("X-Evil", "1")]),
              "argument": lambda: ask("GET", "/x?a=so+evil"),
              "name": lambda: ask("GET", "/x?evil=1"),
              "form": lambda: ask("POST", "/x", [FORM], b"a=b&c=%65vil"),
              "cookie": lambda: ask("GET", "/x", [("Cookie", "a=b; c=evil")])}[where]()
    assert answer.status == 403
    assert gate.blocked() == before + 1
    assert not app.seen("/x")


def test_the_page_says_what_to_do_in_two_languages_with_the_reference(gate, ask):
    page = ask("GET", "/x", [("X-Evil", "1")])
    reference = page.fields.get("x-request-id")
    assert reference.encode() in page.body and b"looks like an attack" in page.body and b"lijkt op een aanval" in page.body
    line = gate.wait_log(reference)
    assert line["http.response.status_code"] == 403
    as_json = ask("GET", "/x", [("X-Evil", "1"), ("Accept", "application/json")]).json()
    assert as_json["status"] == 403 and len(as_json["reference"]) == 32
    as_fhir = ask("GET", "/x", [("X-Evil", "1"), ("Accept", "application/fhir+json")]).json()
    assert as_fhir["issue"][0]["code"] == "forbidden"


def test_a_blocked_request_whose_body_was_read_leaves_the_connection_open(gate):
    with gate.connect() as client:
        assert client.ask("POST", "/x", [FORM], b"a=evil").status == 403
        assert client.get("/x?a=evil").status == 403
        assert client.get("/fine").status == 200


def test_a_rule_may_ask_for_another_status(ask):
    assert ask("GET", "/x", [("X-Teapot", "1")]).status == 418


def test_drop_ends_the_connection_without_an_answer(gate, app):
    with gate.connect() as client:
        client.request("GET", "/x", [("X-Drop", "1")])
        assert client.is_closed()
    with h2peer.Peer(gate.connect("h2c")) as peer:
        stream = peer.request("GET", "/x", [("x-drop", "1")], scheme="http")
        peer.wait_reset(stream)
        assert peer.get("/fine", scheme="http").status == 200
    assert not app.seen("/x")


def test_the_rules_see_the_target_as_it_came(gate, app, ask):
    assert ask("GET", "/a/../b").status == 403
    assert ask("GET", "/b").status == 200


# ---- clusters and routes

def test_detect_writes_down_and_forwards(gate, app, ask):
    before = gate.waf("detected_total")
    assert ask("POST", "/x?a=evil", [FORM], b"b=evil", cluster="watched").json()["body"] == "b=evil"
    assert gate.waf("detected_total") == before + 1


def test_off_does_not_look(gate, ask):
    before = gate.waf("requests_total")
    assert ask("GET", "/x?a=evil", cluster="open").status == 200
    assert gate.waf("requests_total") == before


def test_a_route_has_a_mode_of_its_own(gate, ask):
    assert ask("GET", "/off/x?a=evil").status == 200
    assert ask("GET", "/watch/x?a=evil").status == 200
    assert ask("GET", "/other/x?a=evil").status == 403


def test_each_cluster_has_its_own_paranoia(ask):
    assert ask("GET", "/x?a=doubtful").status == 200
    assert ask("GET", "/x?a=doubtful", cluster="careful").status == 403


def test_exclusions_count_in_their_cluster_only(ask):
    assert ask("GET", "/x?a=evil", [("X-Evil", "1")], cluster="excepted").status == 200
    assert ask("GET", "/x", [("Cookie", "c=evil")], cluster="excepted").status == 403
    assert ask("GET", "/x?free=evil", cluster="inline").status == 200
    assert ask("GET", "/x?bound=evil", cluster="inline").status == 403
    assert ask("GET", "/x?free=evil").status == 403


# ---- bodies

MULTIPART = ("Content-Type", "multipart/form-data; boundary=b")


def multipart(value, file_name="f"):
    return (f'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n{value}\r\n'
            f'--b\r\nContent-Disposition: form-data; name="f"; filename="{file_name}"\r\n'
            'Content-Type: text/plain\r\n\r\nbytes\r\n--b--\r\n').encode()


BODIES = {
    "form": (FORM, b"a=%s"),
    "json": (JSON, b'{"a": {"b": ["fine", "%s"]}}'),
    "fhir": (("Content-Type", "application/fhir+json; charset=utf-8"), b'{"resourceType": "Patient", "text": "%s"}'),
    "xml": (("Content-Type", "application/fhir+xml"), b"<Patient><text>%s</text></Patient>"),
    "multipart": (MULTIPART, multipart("%s")),
    "plain": (TEXT, b"words and %s"),
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("way", ["length", "chunked", "h2", "h2 without length", "gzip", "deflate", "slow"])
def test_bodies_of_every_kind_on_every_way(gate, app, kind, way):
    content_type, text = BODIES[kind]
    for word, status in (("good", 200), ("evil", 403)):
        body = text.replace(b"%s", word.encode())
        fields, sent = [content_type], body
        if way == "gzip":
            sent = gzip.compress(body)
            fields.append(("Content-Encoding", "gzip"))
        elif way == "deflate":
            sent = zlib.compress(body)
            fields.append(("Content-Encoding", "deflate"))
        if way.startswith("h2"):
            with h2peer.Peer(gate.connect("h2c")) as peer:
                lower = [(name.lower(), value) for name, value in fields]
                if way == "h2":
                    lower.append(("content-length", str(len(sent))))
                answer = peer.ask("POST", "/body", lower, sent, scheme="http")
        else:
            with gate.connect() as client:
                if way == "chunked":
                    client.request("POST", "/body", [*fields, ("Transfer-Encoding", "chunked")])
                    client.send(harness.chunks(sent[:3], sent[3:], trailers=[("X-Sum", "1")]))
                elif way == "slow":
                    client.request("POST", "/body", [*fields, ("Content-Length", len(sent))])
                    client.send_slowly(sent, 5)
                else:
                    client.request("POST", "/body", fields, sent)
                answer = client.response("POST")
        assert answer.status == status, (kind, way, word)
        if status == 200:
            request = app.wait_for("/body")[-1]
            assert request.body == sent
            if way == "chunked":
                assert request.trailers.get("x-sum") == "1"
    assert len(app.seen("/body")) == 1


def test_nothing_is_sent_before_all_was_looked_at(gate, app):
    with gate.connect() as client:
        client.request("POST", "/held", [JSON, ("Content-Length", 20_000)])
        client.send(b'{"a": "' + b"x" * 19_000)
        harness.until(lambda: gate.waf("held_bytes") >= 19_000, "the body is held")
        assert not app.seen("/held") and gate.counter("polder_upstream_connects_total") >= 0
        client.send(b"x" * (20_000 - 19_007 - 2) + b'"}')
        assert client.response("POST").status == 200
    assert app.wait_for("/held")[0].length == 20_000


def test_the_upstream_is_not_held_by_a_slow_upload(gate, app):
    with gate.connect() as client:
        active = sum(e["active"] for e in gate.status()["endpoints"])
        client.request("POST", "/stalls", [FORM, ("Content-Length", 100)])
        client.send(b"a=")
        harness.until(lambda: gate.waf("held_bytes") > 0, "the body is held")
        assert sum(e["active"] for e in gate.status()["endpoints"]) == active
        client.reset()
    gate.waf_is_quiet()
    assert not app.seen("/stalls")


def test_100_continue_is_said_once_the_head_is_fine(gate):
    with gate.connect() as client:
        client.request("POST", "/x", [FORM, ("Expect", "100-continue"), ("Content-Length", 6)])
        assert client.head()[0] == 100
        client.send(b"a=evil")
        assert client.response("POST").status == 403
    with gate.connect() as client:
        client.request("POST", "/x", [FORM, ("Expect", "100-continue"), ("Content-Length", 6), ("X-Evil", "1")])
        assert client.head()[0] == 403


def test_a_head_that_is_blocked_wants_no_body(gate, app):
    with gate.connect() as client:
        client.request("POST", "/x", [FORM, ("X-Evil", "1"), ("Content-Length", 100_000)])
        answer = client.response("POST")
        assert answer.status == 403 and answer.fields.get("connection") == "close"
    assert not app.seen("/x")


def test_a_body_that_is_not_what_it_says(ask, app):
    assert ask("POST", "/x", [JSON], b'{"a": ').status == 400
    assert ask("POST", "/x", [("Content-Type", "text/xml")], b"<a>").status == 400
    assert not app.seen("/x")


# ---- limits

@pytest.mark.parametrize("way", ["length", "chunked", "h2"])
def test_a_body_over_the_limit_is_refused(gate, app, way):
    body = b"a" * (waf_kit.BODY_LIMIT + 1)
    if way == "h2":
        with h2peer.Peer(gate.connect("h2c")) as peer:
            assert peer.ask("POST", "/x", [("content-type", "text/plain")], body, scheme="http").status == 413
    else:
        with gate.connect() as client:
            if way == "length":
                client.request("POST", "/x", [TEXT, ("Content-Length", len(body))])
            else:
                client.request("POST", "/x", [TEXT, ("Transfer-Encoding", "chunked")])
                client.send(b"%x\r\n" % len(body) + body)
            assert client.response("POST").status == 413
    assert not app.seen("/x") and gate.refusals("waf_body") > 0


def test_a_body_at_the_limit_passes(gate, ask):
    assert ask("POST", "/x", [TEXT], b"a" * waf_kit.BODY_LIMIT).json()["length"] == waf_kit.BODY_LIMIT


def test_files_may_be_larger(ask):
    large = multipart("fine").replace(b"bytes", b"b" * (waf_kit.BODY_LIMIT + 1))
    assert ask("POST", "/x", [MULTIPART], large).json()["length"] == len(large)
    assert ask("POST", "/x", [MULTIPART], large.replace(b"bbb", b"b" * 200_000, 1)).status == 413


def test_a_cluster_and_a_route_may_have_a_smaller_limit(ask):
    assert ask("POST", "/x", [TEXT], b"a" * 1024, cluster="small").status == 200
    assert ask("POST", "/x", [TEXT], b"a" * 1025, cluster="small").status == 413
    assert ask("POST", "/tiny/x", [TEXT], b"a" * 11).status == 413
    assert ask("POST", "/tiny/x", [TEXT], b"a" * 10).status == 200


def test_too_many_arguments_and_too_deep_are_refused(gate, app, ask):
    many = b"&".join(b"a%d=1" % n for n in range(waf_kit.ARGUMENTS + 1))
    deep = b'{"a":' * (waf_kit.DEPTH + 2) + b"1" + b"}" * (waf_kit.DEPTH + 2)
    assert ask("POST", "/x", [FORM], many).status == 400
    assert ask("GET", "/x?" + many.decode()).status == 400
    assert ask("POST", "/x", [JSON], deep).status == 400
    assert ask("POST", "/x", [FORM], many.rpartition(b"&")[0]).status == 200
    assert gate.refusals("waf_parts") >= 1 and len(app.seen("/x")) == 1


def test_in_mode_detect_what_is_too_much_passes_and_is_counted(gate, app, ask):
    before = gate.waf("limited_total")
    body = b"a" * (waf_kit.BODY_LIMIT + 5000)
    assert ask("POST", "/x", [TEXT], body, cluster="watched").json()["length"] == len(body)
    with gate.connect(host="watched.test") as client:
        client.request("POST", "/y", [TEXT, ("Transfer-Encoding", "chunked")])
        client.send(harness.chunks(body[:100_000], body[100_000:], trailers=[("X-Sum", "1")]))
        assert client.response("POST").json()["length"] == len(body)
    assert app.wait_for("/y")[0].trailers.get("x-sum") == "1"
    assert ask("POST", "/x?" + "&".join(f"a{n}=1" for n in range(waf_kit.ARGUMENTS + 1)), cluster="watched").status == 200
    assert gate.waf("limited_total") == before + 3


@pytest.mark.parametrize("coding, body, status", [
    ("gzip", b"this is not gzip", 400),
    ("gzip", gzip.compress(b"a=b") + b"more", 400),
    ("gzip", gzip.compress(b"a=" + b"b" * 5_000_000), 413),
    ("br", b"whatever", 415),
    ("gzip, gzip, gzip", b"whatever", 415),
])
def test_codings_that_cannot_be_taken_off(app, ask, coding, body, status):
    assert ask("POST", "/x", [FORM, ("Content-Encoding", coding)], body).status == status
    assert not app.seen("/x")


def test_a_coding_nobody_knows_passes_in_mode_detect(app, ask):
    assert ask("POST", "/x", [FORM, ("Content-Encoding", "br")], b"what", cluster="watched").json()["length"] == 4


def test_memory_for_bodies_is_bounded(app):
    config = waf_kit.config(app.port, clusters={"watched": {"mode": "detect"}})
    config["waf"]["memory"] = "1m"
    with waf_kit.Gate(config, workers=1) as gate:
        held = []
        for _ in range(5):
            client = gate.connect()
            client.request("POST", "/x", [TEXT, ("Content-Length", 190_000)])
            client.send(b"a" * 189_999)
            held.append(client)
        harness.until(lambda: gate.waf("held_bytes") >= 5 * 189_999, "five bodies are held")
        with gate.connect() as client:
            client.request("POST", "/x", [TEXT, ("Content-Length", 190_000)])
            client.send(b"a" * 189_999)
            answer = client.response("POST")
            assert answer.status == 503 and answer.fields.get("retry-after") == "5"
        assert gate.refusals("waf_busy") == 1
        with gate.connect(host="watched.test") as client:
            assert client.ask("POST", "/x", [TEXT], b"a" * 190_000).json()["length"] == 190_000
        with gate.connect() as client:
            assert client.get("/x").status == 200
        for client in held:
            client.send(b"a")
            assert client.response("POST").status == 200
            client.close()
        gate.waf_is_quiet()


# ---- HTTP/2, WebSocket

def test_many_streams_of_one_connection(gate, app):
    with h2peer.Peer(gate.connect("h2c")) as peer:
        streams = [(n, peer.request("POST", f"/s{n}", [("content-type", "application/json")],
                                    b'{"a": "%s"}' % (b"evil" if n % 3 == 0 else b"good"), scheme="http"))
                   for n in range(60)]
        for n, stream in streams:
            assert peer.wait(stream).status == (403 if n % 3 == 0 else 200)


def test_host_and_cookies_of_http2_are_seen(gate):
    with h2peer.Peer(gate.connect("h2c")) as peer:
        assert peer.get("/x", [("cookie", "a=b"), ("cookie", "c=evil")], scheme="http").status == 403
        assert peer.get("/x", [("cookie", "a=b"), ("cookie", "c=good")], scheme="http").status == 200


KEY = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), KEY]


def test_a_websocket_passes_and_its_head_is_looked_at(gate):
    with gate.connect() as client:
        client.request("GET", "/socket", UPGRADE)
        assert client.response_head().status == 101
        client.send(b"evil bytes of another protocol")
        assert client.exactly(30) == b"evil bytes of another protocol"
    with gate.connect() as client:
        client.request("GET", "/socket?a=evil", UPGRADE)
        assert client.response_head().status == 403


def test_pipelined_requests_are_each_looked_at(gate):
    with gate.connect() as client:
        client.send(b"".join(b"GET /p?a=%s HTTP/1.1\r\nHost: noord.test\r\n\r\n" % word
                             for word in (b"good", b"evil", b"fine", b"evil")))
        assert [client.response().status for _ in range(4)] == [200, 403, 200, 403]


def test_together(gate):
    """Many clients at once, each with its own answer."""
    wrong = []

    def one(n):
        with gate.connect() as client:
            for round in range(20):
                evil = (n + round) % 4 == 0
                word = b"evil" if evil else b"good%d" % n
                answer = client.ask("POST", f"/t{n}", [FORM], b"a=" + word)
                if answer.status != (403 if evil else 200) or (not evil and answer.json()["body"] != f"a=good{n}"):
                    wrong.append((n, round, answer))
    threads = [threading.Thread(target=one, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- the Core Rule Set

@pytest.fixture(scope="module")
def debian(app):
    config = waf_kit.config(app.port, rules=waf_kit.DEBIAN, clusters={"strict": {"paranoia": 4}})
    with waf_kit.Gate(config, workers=1) as gate:
        yield gate


BROWSER = [("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"), ("Accept", "*/*")]


def test_debians_rules(debian, app):
    def ask(method, target, fields=(), body=None):
        with debian.connect(host="noord.test") as client:
            return client.ask(method, target, [*BROWSER, *fields], body).status
    fhir = ("Content-Type", "application/fhir+json")
    assert ask("GET", "/Patient?name=Jansen&birthdate=ge1970-01-01") == 200
    assert ask("GET", "/x?q=%3Cscript%3Ealert(1)%3C/script%3E") == 403
    assert ask("POST", "/x", [FORM], b"id=1+union+select+1,password+from+users--") == 403
    assert ask("GET", "/x?file=../../../etc/passwd") == 403
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert ask(method, "/Patient/1", [fhir], b'{"resourceType": "Patient", "id": "1"}') == 200
    assert ask("POST", "/x", [JSON], json.dumps({"note": "1' or 1=1 union select 1,password from users -- "}).encode()) == 403
    assert ask("POST", "/x", [("Content-Type", "application/fhir+xml")],
               b"<Patient xmlns='http://hl7.org/fhir'><id value='x'/><text>&lt;script&gt;alert(1)&lt;/script&gt;</text></Patient>") == 403
    assert ask("POST", "/x", [("Content-Type", "application/x-java")], b"x") == 403
    assert ask("POST", "/x", [FORM, ("Content-Encoding", "gzip")], gzip.compress(b"a=fine+words")) == 200
    bundle = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Observation", "status": "final", "valueQuantity": {
        "value": n, "unit": "mmol/l"}}} for n in range(2000)]}
    assert ask("POST", "/", [fhir], json.dumps(bundle).encode()) == 200
