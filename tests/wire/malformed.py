"""Requests that RFC 9112 and RFC 9110 let a recipient reject, one by one, through the running gate: each gets its own
status, is counted under its own reason, ends the connection, and reaches no application."""
import pytest

import harness

H = b"Host: noord.test\r\n"  # what every request here has, unless it is its Host that is wrong


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


@pytest.fixture(scope="module")
def gate(app):
    with harness.Gate(harness.simple_config(app.port)) as gate:
        yield gate


def line(target, method=b"GET", version=b"HTTP/1.1"):
    return method + b" " + target + b" " + version + b"\r\n" + H + b"\r\n"


def field(text):
    return b"GET /never HTTP/1.1\r\n" + H + text + b"\r\n\r\n"


def post(text, body=b""):
    return b"POST /never HTTP/1.1\r\n" + H + text + b"\r\n\r\n" + body


CASES = [
    # the request line (RFC 9112 3)
    ("no_version", b"GET /never\r\n" + H + b"\r\n", 400, "request_line"),
    ("two_spaces", b"GET  /never HTTP/1.1\r\n" + H + b"\r\n", 400, "request_line"),
    ("tab_between", b"GET\t/never HTTP/1.1\r\n" + H + b"\r\n", 400, "method"),
    ("space_after_version", b"GET /never HTTP/1.1 \r\n" + H + b"\r\n", 400, "request_line"),
    ("leading_space", b" GET /never HTTP/1.1\r\n" + H + b"\r\n", 400, "request_line"),
    ("method_with_colon", line(b"/never", b"GE:T"), 400, "method"),
    ("method_not_ascii", line(b"/never", b"G\xc9T"), 400, "method"),
    ("no_target", b"GET HTTP/1.1\r\n" + H + b"\r\n", 400, "request_line"),
    ("lower_case_http", line(b"/never", version=b"http/1.1"), 400, "request_line"),
    ("version_1.2", line(b"/never", version=b"HTTP/1.2"), 505, "version"),
    ("version_2.0", line(b"/never", version=b"HTTP/2.0"), 505, "version"),
    ("version_0.9", line(b"/never", version=b"HTTP/0.9"), 505, "version"),
    ("version_1.10", line(b"/never", version=b"HTTP/1.10"), 400, "request_line"),
    ("version_1,1", line(b"/never", version=b"HTTP/1,1"), 400, "request_line"),
    ("h2_preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version"),
    ("tls_hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "method"),
    ("connect", b"CONNECT noord.test:443 HTTP/1.1\r\n" + H + b"\r\n", 405, "method_not_allowed"),
    ("trace", line(b"/never", b"TRACE"), 405, "method_not_allowed"),
    # the target (RFC 9112 3.2, RFC 3986)
    ("target_without_slash", line(b"never"), 400, "target"),
    ("target_fragment", line(b"/never#x"), 400, "target"),
    ("target_control", line(b"/ne\x01ver"), 400, "target"),
    ("target_delete", line(b"/ne\x7fver"), 400, "target"),
    ("target_bad_utf8", line(b"/n\xc3ver"), 400, "target_ambiguous"),
    ("target_encoded_nul", line(b"/never%00"), 400, "target_ambiguous"),
    ("target_encoded_slash", line(b"/a%2fb"), 400, "target_ambiguous"),
    ("target_encoded_backslash", line(b"/a%5cb"), 400, "target_ambiguous"),
    ("target_backslash", line(b"/a\\b"), 400, "target_ambiguous"),
    ("target_overlong", line(b"/%c0%af"), 400, "target_ambiguous"),
    ("target_encoded_dots", line(b"/%2e%2e/x"), 400, "target_ambiguous"),
    ("target_semicolon_dots", line(b"/a/..;/b"), 400, "target_ambiguous"),
    ("target_encoded_newline", line(b"/a%0d%0ab"), 400, "target_ambiguous"),
    ("target_above_root", line(b"/../etc"), 400, "target_ambiguous"),
    ("target_half_escape", line(b"/a%4"), 400, "target_ambiguous"),
    ("target_bad_escape", line(b"/a%zz"), 400, "target_ambiguous"),
    ("target_star_get", line(b"*"), 400, "target"),
    ("target_userinfo", line(b"http://u:p@noord.test/never"), 400, "authority"),
    ("target_ftp", line(b"ftp://noord.test/never"), 400, "target"),
    ("target_other_host", line(b"http://zuid.test/never"), 400, "host_mismatch"),
    ("target_too_long", line(b"/" + b"a" * 9000), 414, "target_too_long"),
    # Host (RFC 9112 3.2)
    ("host_missing", b"GET /never HTTP/1.1\r\n\r\n", 400, "host_missing"),
    ("host_empty", b"GET /never HTTP/1.1\r\nHost:\r\n\r\n", 400, "host_missing"),
    ("host_twice", b"GET /never HTTP/1.1\r\n" + H + H + b"\r\n", 400, "host_repeated"),
    ("host_list", b"GET /never HTTP/1.1\r\nHost: noord.test, zuid.test\r\n\r\n", 400, "authority"),
    ("host_userinfo", b"GET /never HTTP/1.1\r\nHost: u@noord.test\r\n\r\n", 400, "authority"),
    ("host_path", b"GET /never HTTP/1.1\r\nHost: noord.test/x\r\n\r\n", 400, "authority"),
    ("host_port_zero", b"GET /never HTTP/1.1\r\nHost: noord.test:x\r\n\r\n", 400, "authority"),
    ("host_port_big", b"GET /never HTTP/1.1\r\nHost: noord.test:65536\r\n\r\n", 400, "authority"),
    ("host_unknown", b"GET /never HTTP/1.1\r\nHost: nowhere.test\r\n\r\n", 421, "misdirected"),
    ("host_tail_dot", b"GET /never HTTP/1.1\r\nHost: noord.test..\r\n\r\n", 400, "authority"),
    # lines and fields (RFC 9112 2.2, 5)
    ("bare_lf_line", b"GET /never HTTP/1.1\n" + H + b"\r\n", 400, "line_end"),
    ("bare_lf_field", b"GET /never HTTP/1.1\r\n" + H + b"A: b\nC: d\r\n\r\n", 400, "line_end"),
    ("bare_lf_end", b"GET /never HTTP/1.1\r\n" + H + b"\n", 400, "line_end"),
    ("bare_cr_field", field(b"A: b\rC: d"), 400, "line_end"),
    ("space_before_colon", field(b"A : b"), 400, "field_name"),
    ("tab_before_colon", field(b"A\t: b"), 400, "field_name"),
    ("no_colon", field(b"Abc"), 400, "field_name"),
    ("empty_name", field(b": b"), 400, "field_name"),
    ("name_bracket", field(b"A[b]: c"), 400, "field_name"),
    ("name_not_ascii", field(b"A\xe9: c"), 400, "field_name"),
    ("fold_space", field(b"A: b\r\n c"), 400, "field_folded"),
    ("fold_tab", field(b"A: b\r\n\tc"), 400, "field_folded"),
    ("first_field_indented", b"GET /never HTTP/1.1\r\n Host: noord.test\r\n\r\n", 400, "field_folded"),
    ("value_nul", field(b"A: b\0c"), 400, "field_value"),
    ("value_bell", field(b"A: b\x07c"), 400, "field_value"),
    ("value_delete", field(b"A: b\x7fc"), 400, "field_value"),
    ("underscore", field(b"X_Real_Ip: 1"), 400, "field_underscore"),
    ("too_many", field(b"\r\n".join(b"A%d: b" % i for i in range(120))), 431, "too_many_fields"),
    ("too_large", field(b"A: " + b"b" * 40_000), 431, "head_too_large"),
    # lengths (RFC 9112 6)
    ("length_twice_same", post(b"Content-Length: 1\r\nContent-Length: 1", b"x"), 400, "length"),
    ("length_twice_other", post(b"Content-Length: 1\r\nContent-Length: 2", b"xx"), 400, "length"),
    ("length_list", post(b"Content-Length: 1, 1", b"x"), 400, "length"),
    ("length_negative", post(b"Content-Length: -1"), 400, "length"),
    ("length_plus", post(b"Content-Length: +1", b"x"), 400, "length"),
    ("length_hex", post(b"Content-Length: 0x1", b"x"), 400, "length"),
    ("length_space", post(b"Content-Length: 1 1", b"x"), 400, "length"),
    ("length_empty", post(b"Content-Length:"), 400, "length"),
    ("length_huge", post(b"Content-Length: 99999999999999999999"), 400, "length"),
    ("length_and_chunked", post(b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"), 400,
     "length_and_transfer_encoding"),
    ("coding_identity", post(b"Transfer-Encoding: identity"), 400, "transfer_encoding"),
    ("coding_gzip", post(b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"), 400, "transfer_encoding"),
    ("coding_twice", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"), 400,
     "transfer_encoding"),
    ("coding_in_1.0", b"POST /never HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
     "transfer_encoding"),
    ("length_over_limit", post(b"Content-Length: 99999999999"), 413, "body_too_large"),
    ("expectation_unknown", post(b"Content-Length: 1\r\nExpect: 200-ok", b"x"), 417, "expectation"),
]


@pytest.mark.parametrize("data, status, reason", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_refused(gate, app, data, status, reason):
    before = gate.refusals(reason)
    with gate.connect() as client:
        client.send(data)
        answer = client.response()
        assert answer.status == status, answer
        assert answer.fields.get("connection") == "close" or reason == "misdirected"
        if reason not in ("misdirected", "method_not_allowed"):
            assert client.is_closed()
    assert gate.refusals(reason) == before + 1
    assert not app.seen("/never") and not app.wrong
    assert gate.wait_log(answer.fields.get("x-request-id"))["http.response.status_code"] == status


# Chunked bodies (RFC 9112 7.1): refused wherever they go wrong, and the application never sees them as complete.
CHUNKED = [
    ("size_not_hex", b"g\r\nx\r\n0\r\n\r\n", "chunk"),
    ("size_empty", b"\r\nx\r\n0\r\n\r\n", "chunk"),
    ("size_signed", b"+1\r\nx\r\n0\r\n\r\n", "chunk"),
    ("size_0x", b"0x1\r\nx\r\n0\r\n\r\n", "chunk"),
    ("size_space_before", b" 1\r\nx\r\n0\r\n\r\n", "chunk"),
    ("size_space_after", b"1 \r\nx\r\n0\r\n\r\n", "chunk"),
    ("size_overflow", b"10000000000000001\r\nx\r\n0\r\n\r\n", "chunk"),
    ("size_bare_lf", b"1\nx\r\n0\r\n\r\n", "chunk"),
    ("data_too_long", b"1\r\nxy\r\n0\r\n\r\n", "chunk"),
    ("data_bare_lf", b"1\r\nx\n0\r\n\r\n", "chunk"),
    ("extension_control", b"1;a=\x01\r\nx\r\n0\r\n\r\n", "chunk"),
    ("extension_bare_lf", b"1;a\nb\r\nx\r\n0\r\n\r\n", "chunk"),
    ("extension_no_name", b"1;\r\nx\r\n0\r\n\r\n", "chunk"),
    ("trailer_length", b"1\r\nx\r\n0\r\nContent-Length: 1\r\n\r\n", "trailer"),
    ("trailer_host", b"1\r\nx\r\n0\r\nHost: zuid.test\r\n\r\n", "trailer"),
    ("trailer_space", b"1\r\nx\r\n0\r\nA : b\r\n\r\n", "trailer"),
    ("trailer_bare_lf", b"1\r\nx\r\n0\r\nA: b\n\r\n", "trailer"),
]


@pytest.mark.parametrize("body, reason", [case[1:] for case in CHUNKED], ids=[case[0] for case in CHUNKED])
def test_refused_in_the_body(gate, app, body, reason):
    before = gate.refusals(reason)
    app.clear()
    with gate.connect() as client:
        client.send(post(b"Transfer-Encoding: chunked", body))
        assert client.response().status == 400
        assert client.is_closed()
    assert gate.refusals(reason) == before + 1
    assert not any(r.is_complete for r in app.seen("/never"))


def test_body_over_the_limit(app):
    """413 for both framings; a length that is told is not waited for."""
    with harness.Gate(harness.simple_config(app.port, route={"body_limit": "10k"}), workers=1) as gate:
        with gate.connect() as client:
            assert client.ask("POST", "/fits", body=b"x" * 10_240).status == 200
            client.send(post(b"Content-Length: 10241"))
            assert client.response().status == 413
            assert client.is_closed()
        with gate.connect() as client:
            client.send(post(b"Transfer-Encoding: chunked", b"5000\r\n" + b"x" * 0x5000))
            assert client.response().status == 413
            assert client.is_closed()
        assert gate.refusals("body_too_large") == 2


def test_underscores_kept_by_choice(app):
    """... except in names that the gate alone may set: an application that reads _ as - would believe the client."""
    with harness.Gate(harness.simple_config(app.port, listener={"limits": {"underscores": "keep"}}), workers=1) as gate:
        with gate.connect() as client:
            fields = client.get("/x", [("X_Site", "noord")]).json()["fields"]
            assert ["X_Site", "noord"] in fields
            for name in ("X_Forwarded_For", "X_Real_Ip", "X_Polder_Client_Subject", "X_Request_Id", "Forwarded_"):
                client.get("/y", [(name, "forged")])
        for request in app.seen("/y"):
            same = {n.lower().replace("_", "-") for n, v in request.fields if v == "forged"}
            assert not same - {"forwarded-"}


def test_silence_and_blank_lines(gate):
    """A CR LF before the request line is let pass (RFC 9112 2.2); a connection that ends inside a head gets no answer."""
    with gate.connect() as client:
        client.send(b"\r\nGET /x HTTP/1.1\r\n" + H + b"\r\n")
        assert client.response().status == 200
    with gate.connect() as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: no")
        client.half_close()
        assert client.rest() == b""
