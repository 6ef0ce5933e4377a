"""What must never be written down: query strings, cookies, tokens, citizen numbers, keys. Looked for in everything the
gate writes while it is given plenty of them: access log, event log, standard error, metrics, status, its folders."""
import pytest

import harness

CANARY = "Kanarie77"
BSN = "123456782"  # passes the eleven-test, belongs to nobody


@pytest.fixture(scope="module")
def gate(certificates):
    with harness.Application() as app:
        config = harness.simple_config(app.port)
        config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
        config["listeners"].append({"name": "https", "tls": {"certificates": ["noord"], "http2": False}})
        with harness.Gate(config) as gate:
            yield gate


def everything_written(gate):
    texts = {"standard error": gate.stderr(), "metrics": gate.manage("/metrics"), "status": gate.manage("/status")}
    for path in gate.folder.rglob("*"):
        if path.is_file():
            texts[str(path)] = path.read_bytes().decode("latin-1")
    return texts


def ask_for_trouble(gate, client):
    """Requests of every outcome, with secrets wherever there is room for one."""
    secret = [("Cookie", f"session={CANARY}"), ("Authorization", f"Bearer {CANARY}"), ("X-Api-Key", CANARY), ("Referer", f"https://x/?{CANARY}"),
              ("Proxy-Authorization", f"Basic {CANARY}"), ("X-Forwarded-For", CANARY), ("X-Request-Id", CANARY), ("Traceparent", CANARY)]
    ids = []
    for target in (f"/Patient?identifier={BSN}&x={CANARY}", f"/x?{CANARY}"):
        answer = client.get(target, secret)
        assert answer.status == 200
        ids.append(answer.fields.get("x-request-id"))
    answer = client.ask("POST", "/x", secret, body=CANARY.encode())
    ids.append(answer.fields.get("x-request-id"))
    return ids


def test_query_cookie_token(gate, certificates):
    ids = []
    for listener, tls in (("http", None), ("https", harness.tls_context(certificates.ca.path))):
        with gate.connect(listener, tls=tls) as client:
            ids += ask_for_trouble(gate, client)
    for bad in (f"GET /x?{CANARY} HTTP/1.1\r\nHost: noord.test\r\nCookie : {CANARY}\r\n\r\n", f"GET ?{CANARY} HTTP/1.1\r\n\r\n",
                f"{CANARY}\r\n\r\n", f"GET /x HTTP/1.1\r\nHost: noord.test\r\nAuthorization: {CANARY}\x01\r\n\r\n",
                f"GET /x#{CANARY} HTTP/1.1\r\nHost: noord.test\r\n\r\n", f"GET http://u:{CANARY}@noord.test/ HTTP/1.1\r\nHost: noord.test\r\n\r\n"):
        answer = gate.raw(bad.encode("latin-1"))
        assert CANARY.encode() not in answer
    for request_id in ids:
        gate.wait_log(request_id)
    for where, text in everything_written(gate).items():
        assert CANARY not in text, where
        assert BSN not in text, where


def test_has_query_is_all_that_is_said(gate):
    with gate.connect() as client:
        answer = client.get(f"/Patient?identifier={BSN}")
    line = gate.wait_log(answer.fields.get("x-request-id"))
    assert line["url.path"] == "/Patient" and line["polder.has_query"] is True
    assert "url.query" not in line


@pytest.mark.parametrize("path", [f"/Patient/{BSN}", f"/Patient/{BSN}/$everything", f"/bsn-{BSN}", f"/Patient/%31{BSN[1:]}", f"/a/{BSN}.pdf"])
def test_citizen_number_in_a_path(gate, path):
    """The access log keeps the path's shape, not the number in it; the application gets it whole."""
    with gate.connect() as client:
        answer = client.get(path)
    assert BSN in answer.json()["target"]
    line = gate.wait_log(answer.fields.get("x-request-id"))
    assert BSN not in str(line), line["url.path"]


def test_ordinary_numbers_in_a_path_stay(gate):
    with gate.connect() as client:
        for path in ("/Encounter/12345678", "/v2/2026-11-21", "/x/123456789012"):
            answer = client.get(path)
            assert gate.wait_log(answer.fields.get("x-request-id"))["url.path"] == path


def test_private_keys(gate, certificates):
    """Neither the key's text nor its folder's listing goes anywhere."""
    key = certificates.noord.key.read_text().split("\n")[1]
    for where, text in everything_written(gate).items():
        assert key not in text and "PRIVATE KEY" not in text, where


def test_log_lines_are_whole(gate):
    """Whatever a client writes, a line of the log is one JSON object, and no field of it is the client's invention."""
    for agent in ('"},{"x":"', "\\", '\\"', "\t", "\x80\xff", "\u00e9", "{}", "a" * 500):
        with gate.connect() as client:
            client.send(b"GET /x HTTP/1.1\r\nHost: noord.test\r\nUser-Agent: " + agent.encode("latin-1") + b"\r\n\r\n")
            answer = client.response()
            line = gate.wait_log(answer.fields.get("x-request-id"))
            assert line["http.response.status_code"] == answer.status
            assert set(line) <= KNOWN, set(line) - KNOWN


KNOWN = {"@timestamp", "ecs.version", "event.dataset", "event.duration", "http.request.id", "http.version", "http.request.method",
         "url.domain", "url.path", "http.response.status_code", "http.request.body.bytes", "http.response.body.bytes",
         "user_agent.original", "source.ip", "source.port", "polder.listener", "polder.cluster", "polder.route", "polder.upstream",
         "polder.endpoint.address", "polder.endpoint.port", "polder.upstream_duration", "polder.upstream_reused", "polder.retries",
         "polder.by_gate", "polder.has_query", "polder.refusal"}
