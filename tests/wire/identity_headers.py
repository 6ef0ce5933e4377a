"""Who a client is, where it comes from and which practice it belongs to is never taken from the client: such fields
are removed, and written by the gate from what it knows. What is meant for one hop ends here."""
import re

import pytest

import harness


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


@pytest.fixture(scope="module")
def gate(app, certificates):
    config = harness.simple_config(app.port)
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    config["listeners"].append({"name": "https", "tls": {"certificates": ["noord"], "http2": False}})
    config["clusters"][0]["routes"].append({
        "path": "/edited", "upstream": "app",
        "request_headers": {"set": {"x-site": "noord", "authorization": "Basic Z2F0ZQ=="}, "add": {"x-more": "gate"},
                            "remove": ["x-debug", "user-agent"]},
        "response_headers": {"set": {"x-frame-options": "DENY"}, "add": {"x-more": "gate"}, "remove": ["server"]}})
    with harness.Gate(config) as gate:
        yield gate


def received(client, fields, path="/x"):
    return harness.Fields(map(tuple, client.get(path, fields).json()["fields"]))


FORGED = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server",
          "X-Forwarded-Client-Cert", "X-Forwarded-User", "Forwarded", "X-Real-IP", "X-Request-Id", "X-Polder-Client-Subject",
          "X-Polder-Client-Verified", "X-Polder-Client-Sha256", "X-Polder-Client-Serial", "X-Polder-Cluster",
          "x-polder-anything", "X-POLDER-", "x-forwarded-"]


@pytest.mark.parametrize("name", FORGED)
def test_forged(gate, name):
    with gate.connect() as client:
        fields = received(client, [(name, "forged"), (name.lower(), "forged")])
        assert not [pair for pair in fields if "forged" in pair[1]]


def test_issued_anew(gate):
    with gate.connect() as client:
        answer = client.get("/x")
        fields = harness.Fields(map(tuple, answer.json()["fields"]))
        assert fields.get("forwarded") == 'for=127.0.0.1;host="noord.test";proto=http'
        assert fields.get("x-forwarded-for") == "127.0.0.1"
        assert fields.get("x-forwarded-proto") == "http"
        assert fields.get("x-forwarded-host") == "noord.test"
        assert re.match("[0-9a-f]{32}$", fields.get("x-request-id"))
        assert answer.fields.get("x-request-id") == fields.get("x-request-id")
        assert fields.get("via") == "1.1 polder"
        assert "x-polder-client-subject" not in fields


def test_issued_anew_over_tls(gate, certificates):
    with gate.connect("https", tls=harness.tls_context(certificates.ca.path)) as client:
        fields = received(client, [("X-Forwarded-Proto", "http"), ("Host-", "x")])
        assert fields.get("x-forwarded-proto") == "https"
        assert fields.get("forwarded").endswith("proto=https")


def test_request_ids_differ(gate):
    with gate.connect() as client:
        ids = {client.get("/x").fields.get("x-request-id") for _ in range(50)}
    assert len(ids) == 50


def test_request_id_of_the_log(gate):
    with gate.connect() as client:
        answer = client.get("/logged")
    line = gate.wait_log(answer.fields.get("x-request-id"))
    assert line["url.path"] == "/logged" and line["http.response.status_code"] == 200


def test_trace(gate):
    """W3C Trace Context: the trace goes on under a new parent; what is malformed begins a new one."""
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with gate.connect() as client:
        fields = received(client, [("traceparent", good), ("tracestate", "a=1")])
        assert re.match("00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$", fields.get("traceparent"))
        assert fields.get("tracestate") == "a=1"
        for bad in ["00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
                    good.upper(), good[:-1], good + "x", "ff" + good[2:], good.replace("-", "_")]:
            fields = received(client, [("traceparent", bad)])
            assert re.match("00-[0-9a-f]{32}-[0-9a-f]{16}-00$", fields.get("traceparent")), bad
            assert "4bf92f3577b34da6a3ce929d0e0e4736" not in fields.get("traceparent").lower()
            assert fields.get("traceparent")[3:35] != "0" * 32


def test_hop_by_hop(gate):
    """RFC 9110 7.6.1: what Connection names, and what is for one hop by nature, ends at the gate, both ways."""
    with gate.connect() as client:
        fields = received(client, [("Connection", "X-Private, close-not, keep-alive"), ("X-Private", "1"), ("Close-Not", "1"),
                                   ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "gzip"),
                                   ("Upgrade", "foo/2"), ("X-Public", "1")])
        assert "x-public" in fields
        assert not fields.names() & {"connection", "x-private", "close-not", "keep-alive", "proxy-connection", "te", "upgrade"}


def test_connection_in_two_fields(gate):
    """Connection is a list: two fields are one list (RFC 9110 5.3)."""
    with gate.connect() as client:
        fields = received(client, [("Connection", "X-One"), ("X-One", "1"), ("Connection", "X-Two"), ("X-Two", "1")])
        assert not fields.names() & {"x-one", "x-two"}


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-For", "Forwarded", "X-Request-Id", "X-Polder-Client-Subject", "Cookie",
                                  "Content-Length", "Transfer-Encoding"])
def test_connection_names_what_it_may_not(gate, name):
    with gate.connect() as client:
        answer = client.get("/x", [("Connection", f"close, {name}")])
        assert answer.status == 400 and client.is_closed()


def test_connection_cannot_remove_what_the_gate_writes(gate):
    with gate.connect() as client:
        assert received(client, [("Connection", "Via, X-Other")]).get("via") == "1.1 polder"


def test_te_trailers(gate):
    with gate.connect() as client:
        assert received(client, [("TE", "trailers"), ("Connection", "TE")]).get("te") == "trailers"


def test_answer_fields(gate, app):
    app.on("/hop", harness.says(b"HTTP/1.1 200 OK\r\nConnection: X-Private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n"
                                b"Proxy-Connection: x\r\nX-Polder-Secret: 1\r\nX-Request-Id: theirs\r\nSet-Cookie: a=1\r\n"
                                b"Set-Cookie: b=2\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n"))
    with gate.connect() as client:
        fields = client.get("/hop").fields
        assert not fields.names() & {"x-private", "keep-alive", "proxy-connection", "x-polder-secret", "connection"}
        assert fields.all("set-cookie") == ["a=1", "b=2"]
        assert fields.get("x-request-id") != "theirs"
        assert fields.get("date") == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_order_and_case_are_kept(gate):
    sent = [("X-B", "1"), ("x-a", "2"), ("X-b", "3"), ("Accept", "*/*"), ("Cookie", "a=b"), ("X-C", "  padded  ")]
    with gate.connect() as client:
        fields = received(client, sent)
        assert [f for f in fields if f[0].lower().startswith("x-") and len(f[0]) == 3] == \
            [("X-B", "1"), ("x-a", "2"), ("X-b", "3"), ("X-C", "padded")]


def test_edits(gate, app):
    """The operator's edits: what is set replaces whatever the client sent, what is removed is gone."""
    app.on("/edited", lambda call: call.answer(body=repr(call.request.fields).encode(), fields=[
        ("Server", "secret/1.0"), ("X-Frame-Options", "ALLOW"), ("X-More", "app")]))
    with gate.connect() as client:
        answer = client.get("/edited", [("X-Site", "zuid"), ("x-site", "west"), ("X-Debug", "1"), ("User-Agent", "me"),
                                        ("Authorization", "Basic eA=="), ("X-More", "client")])
    (request,) = app.seen("/edited")
    assert request.fields.all("x-site") == ["noord"]
    assert request.fields.all("authorization") == ["Basic Z2F0ZQ=="]
    assert sorted(request.fields.all("x-more")) == ["client", "gate"]
    assert not request.fields.names() & {"x-debug", "user-agent"}
    assert answer.fields.all("x-frame-options") == ["DENY"]
    assert sorted(answer.fields.all("x-more")) == ["app", "gate"]
    assert "server" not in answer.fields
