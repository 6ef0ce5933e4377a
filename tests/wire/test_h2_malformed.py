"""What is wrong in an HTTP/2 message is answered and counted as in HTTP/1 (RFC 9113 8.1.1), the connection goes on;
what is wrong in its frames ends the stream or the connection with the code that RFC 9113 names."""
import struct

import pytest
from hyperframe import frame as frames

import h2peer
import harness
from h2peer import raw_frame


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app
    assert not app.wrong


@pytest.fixture(scope="module")
def gate(app, certificates):
    limits = {"h2_resets_per_minute": 20, "h2_streams": 10}
    with harness.Gate(h2peer.config(app.port, certificates, limits), workers=1) as gate:
        yield gate


@pytest.fixture
def peer(gate):
    with h2peer.Peer(gate.connect("h2c")) as peer:
        yield peer


@pytest.fixture(autouse=True)
def others_go_on(gate, app):
    app.clear()
    with h2peer.Peer(gate.connect("h2c")) as other:
        yield
        assert other.get("/other").status == 200
    harness.until(lambda: gate.counter("polder_requests_active") == 0, "no request is left over")


# ---- messages

GET = [(":method", "GET"), (":scheme", "https"), (":authority", "noord.test"), (":path", "/x")]


def without(name):
    return [field for field in GET if field[0] != name]


def instead(name, value):
    return [(n, value if n == name else v) for n, v in GET]


FIELDS = {
    "no_method": (without(":method"), 400, "pseudo_field"),
    "no_scheme": (without(":scheme"), 400, "pseudo_field"),
    "no_path": (without(":path"), 400, "pseudo_field"),
    "no_authority": (without(":authority"), 400, "host_missing"),
    "empty_method": (instead(":method", ""), 400, "method"),
    "empty_path": (instead(":path", ""), 400, "target"),
    "empty_authority": (instead(":authority", ""), 400, "host_missing"),
    "empty_scheme": (instead(":scheme", ""), 400, "pseudo_field"),
    "strange_scheme": (instead(":scheme", "ftp"), 400, "pseudo_field"),
    "scheme_with_more": (instead(":scheme", "https://a.test/"), 400, "pseudo_field"),
    "method_twice": (GET + [(":method", "GET")], 400, "pseudo_field"),
    "path_twice": (GET + [(":path", "/x")], 400, "pseudo_field"),
    "authority_twice": (GET + [(":authority", "noord.test")], 400, "pseudo_field"),
    "unknown": (GET + [(":what", "x")], 400, "pseudo_field"),
    "of_an_answer": (GET + [(":status", "200")], 400, "pseudo_field"),
    "bare_colon": (GET + [(":", "x")], 400, "pseudo_field"),
    "upper_case_pseudo": (without(":path") + [(":Path", "/x")], 400, "pseudo_field"),
    "pseudo_behind": ([("accept", "*/*")] + GET, 400, "pseudo_field"),
    "pseudo_between": (GET[:3] + [("accept", "*/*")] + GET[3:], 400, "pseudo_field"),
    "protocol_with_get": (GET + [(":protocol", "websocket")], 400, "pseudo_field"),
    "upper_case_name": (GET + [("X-Name", "y")], 400, "field_name"),
    "empty_name": (GET + [("", "y")], 400, "field_name"),
    "space_in_name": (GET + [("x name", "y")], 400, "field_name"),
    "colon_in_name": (GET + [("x:name", "y")], 400, "field_name"),
    "crlf_in_name": (GET + [("x\r\nhost", "y")], 400, "field_name"),
    "nul_in_name": (GET + [("x\0", "y")], 400, "field_name"),
    "underscore": (GET + [("x_name", "y")], 400, "field_underscore"),
    "nul_in_value": (GET + [("x", "a\0b")], 400, "field_value"),
    "cr_in_value": (GET + [("x", "a\rb")], 400, "field_value"),
    "lf_in_value": (GET + [("x", "a\nb: c")], 400, "field_value"),
    "space_before_value": (GET + [("x", " a")], 400, "field_value"),
    "tab_behind_value": (GET + [("x", "a\t")], 400, "field_value"),
    "connection": (GET + [("connection", "close")], 400, "connection"),
    "keep_alive": (GET + [("keep-alive", "timeout=5")], 400, "connection"),
    "proxy_connection": (GET + [("proxy-connection", "close")], 400, "connection"),
    "upgrade": (GET + [("upgrade", "websocket")], 400, "connection"),
    "transfer_encoding": (GET + [("transfer-encoding", "chunked")], 400, "connection"),
    "te": (GET + [("te", "gzip")], 400, "connection"),
    "te_and_more": (GET + [("te", "trailers, gzip")], 400, "connection"),
    "host_differs": (GET + [("host", "zuid.test")], 400, "host_mismatch"),
    "host_twice": (GET + [("host", "noord.test"), ("host", "noord.test")], 400, "host_repeated"),
    "host_empty": (GET + [("host", "")], 400, "authority"),
    "userinfo": (instead(":authority", "user@noord.test"), 400, "authority"),
    "authority_with_path": (instead(":authority", "noord.test/x"), 400, "authority"),
    "authority_with_space": (instead(":authority", "noord test"), 400, "authority"),
    "authority_with_crlf": (instead(":authority", "noord.test\r\nx: y"), 400, "authority"),
    "relative_path": (instead(":path", "x"), 400, "target"),
    "absolute_path": (instead(":path", "https://noord.test/x"), 400, "target"),
    "fragment": (instead(":path", "/x#y"), 400, "target"),
    "fragment_in_query": (instead(":path", "/x?a#y"), 400, "target"),
    "space_in_path": (instead(":path", "/x y"), 400, "target"),
    "line_in_path": (instead(":path", "/x HTTP/1.1\r\nx: y"), 400, "target"),
    "nul_in_path": (instead(":path", "/x\0"), 400, "target"),
    "encoded_nul": (instead(":path", "/x%00"), 400, "target"),
    "high_byte": (instead(":path", "/x\xff"), 400, "target"),
    "encoded_slash": (instead(":path", "/x%2fy"), 400, "target_ambiguous"),
    "backslash": (instead(":path", "/x\\..\\y"), 400, "target_ambiguous"),
    "star_with_get": (instead(":path", "*"), 400, "target"),
    "long_path": (instead(":path", "/" + "x" * 9000), 414, "target_too_long"),
    "method_with_space": (instead(":method", "GET /"), 400, "method"),
    "method_with_line": (instead(":method", "GET\r\n"), 400, "method"),
    "trace": (instead(":method", "TRACE"), 405, "method_not_allowed"),
    "connect": ([(":method", "CONNECT"), (":authority", "noord.test:22")], 405, "method_not_allowed"),
    "connect_udp": (instead(":method", "CONNECT") + [(":protocol", "connect-udp")], 405, "method_not_allowed"),
    "length_and_no_body": (GET + [("content-length", "5")], 400, "body_length"),
    "length_twice": (GET + [("content-length", "0"), ("content-length", "0")], 400, "length"),
    "length_with_plus": (GET + [("content-length", "+0")], 400, "length"),
    "length_list": (GET + [("content-length", "0, 0")], 400, "length"),
    "length_huge": (GET + [("content-length", "9" * 30)], 400, "length"),
    "length_empty": (GET + [("content-length", "")], 400, "length"),
    "many_fields": (GET + [("x", "y")] * 101, 431, "too_many_fields"),
    "many_crumbs": (GET + [("cookie", "a=b")] * 101, 431, "too_many_fields"),
    "large_crumbs": (GET + [("cookie", "a=" + "b" * 400)] * 90, 431, "head_too_large"),
    "large_field": (GET + [("x", "y" * 33000)], 431, "head_too_large"),
}


@pytest.mark.parametrize("fields, status, reason", FIELDS.values(), ids=FIELDS.keys())
def test_fields(peer, gate, app, fields, status, reason):
    before = gate.counter("polder_refusals_total", reason=reason)
    all_before = gate.counter("polder_refusals_total")
    if reason in ("target", "target_ambiguous"):
        before = sum(gate.refusals(r) for r in ("target", "target_ambiguous"))
    answer = peer.wait(peer.headers(fields))
    assert answer.status == status, answer
    after = gate.refusals(reason) if not reason.startswith("target") or reason == "target_too_long" else \
        sum(gate.refusals(r) for r in ("target", "target_ambiguous"))
    assert after == before + 1, {key: value for key, value in gate.metrics().items() if "refus" in key[0] and value}
    assert gate.counter("polder_refusals_total") == all_before + 1
    assert peer.get("/x").status == 200
    assert [r.path for r in app.requests] == ["/x"]


def test_refused_with_body(peer, app):
    """The body of a request that was refused does not disturb what follows."""
    stream = peer.headers(GET[1:], end=False)
    assert peer.wait_head(stream).status == 400
    peer.body(stream, b"x" * 100_000)
    assert peer.wait(stream).status == 400
    assert peer.get("/x").status == 200


@pytest.mark.parametrize("length, body", [(5, b"four"), (5, b"sixsix"), (5, b"")])
def test_length_and_body(peer, gate, app, length, body):
    before = gate.refusals("body_length")
    stream = peer.headers(h2peer.head("POST", "/lies", fields=[("content-length", str(length))]), end=False)
    peer.body(stream, body)
    assert peer.wait(stream).status == 400
    assert gate.refusals("body_length") == before + 1
    assert peer.get("/x").status == 200
    assert not any(r.is_complete for r in app.seen("/lies"))


def test_length_and_trailers(peer):
    stream = peer.request("POST", "/lies", [("content-length", "5")], b"four", end=False)
    peer.headers([("x-sum", "7")], stream, trailers=True)
    assert peer.wait(stream).status == 400


TRAILERS = {
    "pseudo": [(":path", "/y")],
    "upper_case": [("X-Sum", "7")],
    "content_length": [("content-length", "5")],
    "transfer_encoding": [("transfer-encoding", "chunked")],
    "host": [("host", "zuid.test")],
    "authorization": [("authorization", "Basic eDp5")],
    "cookie": [("cookie", "a=b")],
    "polder": [("x-polder-client-subject", "me")],
    "forwarded": [("x-forwarded-for", "1.2.3.4")],
    "crlf": [("x-sum", "7\r\nx: y")],
    "underscore": [("x_sum", "7")],
    "many": [("x-sum", "7")] * 101,
    "large": [("x-sum", "7" * 33000)],
}


@pytest.mark.parametrize("trailers", TRAILERS.values(), ids=TRAILERS.keys())
def test_trailers(peer, app, trailers):
    stream = peer.request("POST", "/trailed", body=b"hello", end=False)
    peer.headers(trailers, stream, trailers=True)
    assert peer.wait(stream).status in (400, 431)
    assert peer.get("/x").status == 200
    assert not any(r.is_complete for r in app.seen("/trailed"))


def test_trailers_that_do_not_end(peer, app):
    stream = peer.request("POST", "/trailed", body=b"hello", end=False)
    peer.headers([("x-sum", "7")], stream, end=False, trailers=True)
    assert peer.wait_head(stream).status == 400
    assert not any(r.is_complete for r in app.seen("/trailed"))


def test_wrong_after_the_answer_began(peer, app, gate):
    """Nothing can be said any more: the stream is reset, and the application's connection closed."""
    def begin(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        call.body()
    app.on("/begins", begin)
    for end in (lambda s: peer.body(s, b"four"), lambda s: peer.headers([(":x", "y")], s, trailers=True)):
        stream = peer.request("POST", "/begins", [("content-length", "5")], b"", end=False)
        peer.pump_until(lambda: peer.answers[stream].length == 2)
        end(stream)
        assert peer.wait_reset(stream) == h2peer.PROTOCOL_ERROR
    assert not any(r.is_complete for r in app.seen("/begins"))


# ---- frames

def settings(*pairs):
    return b"".join(struct.pack(">HI", *pair) for pair in pairs)


def number(n):
    return struct.pack(">I", n)


P, F, S, C = h2peer.PROTOCOL_ERROR, h2peer.FRAME_SIZE_ERROR, h2peer.STREAM_CLOSED, h2peer.FLOW_CONTROL_ERROR
# What ends the connection, by frame; on a connection that answered stream 1.
CONNECTION = {
    "data_on_0": (raw_frame(0, 1, 0, b"x"), P),
    "data_on_idle": (raw_frame(0, 1, 99, b"x"), P),
    "data_padding_too_long": (raw_frame(0, 0x9, 3, b"\x05abc"), P),
    "headers_on_0": (raw_frame(1, 5, 0, b"\x82"), P),
    "headers_on_even": (raw_frame(1, 5, 2, b"\x82"), P),
    "headers_padding_too_long": (raw_frame(1, 0xd, 3, b"\x05\x82"), P),
    "headers_on_themselves": (raw_frame(1, 0x25, 3, number(3) + b"\x10\x82"), P),
    "bad_index": (raw_frame(1, 5, 3, b"\xff\xff\xff\x0f"), h2peer.COMPRESSION_ERROR),
    "index_0": (raw_frame(1, 5, 3, b"\x80"), h2peer.COMPRESSION_ERROR),
    "huge_integer": (raw_frame(1, 5, 3, b"\xff" * 20), h2peer.COMPRESSION_ERROR),
    "bad_huffman": (raw_frame(1, 5, 3, b"\x40\x84\xff\xff\xff\xff\x01a"), h2peer.COMPRESSION_ERROR),
    "table_larger_than_allowed": (raw_frame(1, 5, 3, b"\x3f\xe2\x1f\x82"), h2peer.COMPRESSION_ERROR),
    "cut_block": (raw_frame(1, 5, 3, b"\x40\x05ab"), h2peer.COMPRESSION_ERROR),
    "priority_on_0": (raw_frame(2, 0, 0, number(1) + b"\x10"), P),
    "rst_on_0": (raw_frame(3, 0, 0, number(8)), P),
    "rst_on_idle": (raw_frame(3, 0, 99, number(8)), P),
    "rst_of_3_bytes": (raw_frame(3, 0, 1, b"abc"), F),
    "settings_on_1": (raw_frame(4, 0, 1, b""), P),
    "settings_of_5_bytes": (raw_frame(4, 0, 0, b"abcde"), F),
    "settings_ack_with_body": (raw_frame(4, 1, 0, settings((3, 1))), F),
    "settings_push_2": (raw_frame(4, 0, 0, settings((2, 2))), P),
    "settings_window_too_large": (raw_frame(4, 0, 0, settings((4, 1 << 31))), C),
    "settings_frame_too_small": (raw_frame(4, 0, 0, settings((5, 16383))), P),
    "settings_frame_too_large": (raw_frame(4, 0, 0, settings((5, 1 << 24))), P),
    "push_promise": (raw_frame(5, 4, 1, number(2) + b"\x82"), P),
    "ping_on_1": (raw_frame(6, 0, 1, b"12345678"), P),
    "ping_of_7_bytes": (raw_frame(6, 0, 0, b"1234567"), F),
    "goaway_on_1": (raw_frame(7, 0, 1, bytes(8)), P),
    "goaway_of_7_bytes": (raw_frame(7, 0, 0, bytes(7)), F),
    "window_of_3_bytes": (raw_frame(8, 0, 0, b"abc"), F),
    "window_by_0": (raw_frame(8, 0, 0, number(0)), P),
    "window_overflow": (raw_frame(8, 0, 0, number(0x7fffffff)), C),
    "window_on_idle": (raw_frame(8, 0, 99, number(1)), P),
    "continuation_alone": (raw_frame(9, 4, 1, b"\x82"), P),
    "continuation_on_0": (raw_frame(9, 4, 0, b"\x82"), P),
    "headers_then_data": (raw_frame(1, 1, 3, b"\x82") + raw_frame(0, 1, 3, b"x"), P),
    "headers_then_ping": (raw_frame(1, 1, 3, b"\x82") + raw_frame(6, 0, 0, b"12345678"), P),
    "headers_then_other_continuation": (raw_frame(1, 1, 3, b"\x82") + raw_frame(9, 4, 5, b"\x86"), P),
    "too_large": (raw_frame(0, 0, 1, b"", length=16385), F),
    "huge": (raw_frame(0x42, 0, 0, b"", length=(1 << 24) - 1), F),
    "frame_of_no_kind_within_head": (raw_frame(1, 1, 3, b"\x82") + raw_frame(0x42, 0, 3, b"x"), P),
}


@pytest.mark.parametrize("data, code", CONNECTION.values(), ids=CONNECTION.keys())
def test_connection_error(peer, gate, data, code):
    assert peer.get("/x").status == 200
    before = gate.counter("polder_h2_errors_total")
    peer.answers[3] = h2peer.Answer()
    peer.send(data)
    got = peer.wait_gone()
    assert got == code or (got in (P, F, S, C) and code in (P, F, S, C)), got
    assert gate.counter("polder_h2_errors_total") == before + 1


def test_frames_on_closed_streams(peer, app):
    """They may be late: the gate may have reset the stream. They reach nobody."""
    peer.next_id = 7
    assert peer.get("/x").status == 200
    peer.send(raw_frame(8, 0, 7, number(1)), raw_frame(3, 0, 7, number(8)), raw_frame(2, 0, 7, number(0) + b"\x10"))
    peer.send(raw_frame(0, 0, 7, b"x"), raw_frame(0, 1, 7, b"x"))
    peer.send(peer.head_bytes(GET, 7), peer.head_bytes(GET, 5))
    assert peer.get("/x").status == 200
    assert len(app.seen("/x")) == 2 and peer.goaway is None


def test_many_heads_on_closed_streams(peer, gate):
    before = gate.counter("polder_h2_floods_total")
    assert peer.get("/x").status == 200
    peer.send(peer.head_bytes(GET, 1) * 30)
    assert peer.wait_gone() == h2peer.ENHANCE_YOUR_CALM
    assert gate.counter("polder_h2_floods_total") == before + 1


def test_data_after_the_end(peer, app, gate):
    app.on("/stalls", lambda call: call.stall())
    stream = peer.request("GET", "/stalls")
    app.wait_for("/stalls", complete=False)
    peer.send(raw_frame(0, 0, stream, b"x"))
    peer.pump_until(lambda: peer.answers[stream].code is not None or peer.goaway)
    assert h2peer.STREAM_CLOSED in (peer.answers[stream].code, (peer.goaway or [0, 0])[1])


def test_window_of_stream_overflows(peer, app):
    app.on("/stalls", lambda call: call.stall())
    stream = peer.request("GET", "/stalls")
    app.wait_for("/stalls", complete=False)
    peer.send(raw_frame(8, 0, stream, number(0x7fffffff)))
    assert peer.wait_reset(stream) == C
    assert peer.get("/x").status == 200


def test_window_of_stream_by_nothing(peer, app):
    app.on("/stalls", lambda call: call.stall())
    stream = peer.request("GET", "/stalls")
    app.wait_for("/stalls", complete=False)
    peer.send(raw_frame(8, 0, stream, number(0)))
    assert peer.wait_gone() == P


def test_more_than_the_window(peer, app, gate):
    """A client that does not care for windows, while the application takes nothing."""
    go = harness.threading.Event()
    app.on("/holds", lambda call: (call.wait(go), call.close()))
    before = gate.counter("polder_h2_errors_total")
    stream = peer.request("POST", "/holds", end=False)
    with pytest.raises((OSError, h2peer.Gone)):
        for _ in range(100):
            peer.send(raw_frame(0, 0, stream, b"x" * 16384) * 50)
        peer.pump_until(lambda: peer.answers[stream].code == C or (peer.goaway or [0, 0])[1] == C)
        raise OSError("ended")
    assert gate.counter("polder_h2_errors_total") > before
    go.set()


def test_settings_change_the_windows(peer, app):
    """What is under way follows SETTINGS_INITIAL_WINDOW_SIZE, below zero too (RFC 9113 6.9.2)."""
    app.on("/30k", lambda call: call.answer(body=b"x" * 30000))
    peer.updates = False
    peer.send(frames.SettingsFrame(0, settings={4: 10000}))
    stream = peer.request("GET", "/30k")
    peer.pump_until(lambda: peer.answers[stream].length == 10000)
    peer.send(frames.SettingsFrame(0, settings={4: 0}))
    peer.send(frames.WindowUpdateFrame(stream, window_increment=5000))
    peer.pump_while_busy()
    assert peer.answers[stream].length == 10000
    peer.send(frames.SettingsFrame(0, settings={4: 30000}))
    assert peer.wait(stream).length == 30000


def test_more_streams_than_allowed(peer, app, gate):
    app.on("/stalls", lambda call: call.stall())
    peer.get("/x")  # the settings are agreed upon
    streams = [peer.request("GET", "/stalls") for _ in range(10)]
    app.wait_for("/stalls", 10, complete=False)
    more = peer.request("GET", "/stalls")
    peer.pump_until(lambda: peer.answers[more].code is not None or peer.goaway)
    assert peer.answers[more].code == h2peer.REFUSED_STREAM or peer.goaway[1] == P
    assert len(app.seen("/stalls")) == len(streams)


def test_more_streams_than_agreed(gate, app):
    """Before the client can know the limit, streams above it are refused one by one."""
    app.on("/stalls", lambda call: call.stall())
    with h2peer.Peer(gate.connect("h2c")) as peer:
        streams = [peer.request("GET", "/stalls") for _ in range(12)]
        assert [peer.wait_reset(s) for s in streams[10:]] == [h2peer.REFUSED_STREAM] * 2
        app.wait_for("/stalls", 10, complete=False)
        peer.reset(streams[0])
        assert peer.get("/x").status == 200


@pytest.mark.parametrize("listener", ["h2c", "https"])
@pytest.mark.parametrize("data", [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + bytes(100), b"\0" * 100,
                                  h2peer.PREFACE + raw_frame(6, 0, 0, b"12345678"), h2peer.PREFACE + b"GET / HTTP/1.1\r\n\r\n"],
                         ids=["almost", "zeros", "no_settings", "then_http1"])
def test_preface(gate, certificates, listener, data):
    tls = h2peer.tls(certificates) if listener == "https" else None
    before = gate.counter("polder_refusals_total") + gate.counter("polder_h2_errors_total")
    with gate.connect(listener, tls=tls) as client:
        client.send(data)
        client.rest()
    assert gate.counter("polder_refusals_total") + gate.counter("polder_h2_errors_total") > before


def test_http1_where_http2_was_agreed(gate, certificates):
    with gate.connect("https", tls=h2peer.tls(certificates)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: noord.test\r\n\r\n")
        assert b"HTTP/1.1" not in client.rest()


def test_preface_where_http1_is_spoken(gate, certificates):
    with gate.connect("https", tls=harness.tls_context(certificates.ca.path)) as client:
        client.send(h2peer.PREFACE + raw_frame(4, 0, 0))
        assert client.response().status in (400, 505)


def test_preface_in_pieces(gate):
    client = gate.connect("h2c")
    client.send_slowly(h2peer.PREFACE)
    client.send_slowly(raw_frame(4, 0, 0))
    with h2peer.Peer(client, greet=False) as peer:
        client.send_slowly(peer.head_bytes(GET, peer.new_id()))
        peer.answers[1] = h2peer.Answer()
        assert peer.wait(1).status == 200


def test_resets_by_breaking_rules(gate, app):
    """A client that makes the gate reset its streams (CVE-2025-8671) is no better than one that resets them itself."""
    app.on("/stalls", lambda call: call.stall())
    before = gate.counter("polder_h2_floods_total")
    with h2peer.Peer(gate.connect("h2c")) as peer:
        for _ in range(21):
            stream = peer.request("GET", "/stalls")
            peer.send(raw_frame(8, 0, stream, number(0x7fffffff)))
            if not peer.goaway:
                peer.pump_until(lambda: peer.answers[stream].code is not None or peer.goaway)
        assert peer.wait_gone() == h2peer.ENHANCE_YOUR_CALM
    assert gate.counter("polder_h2_floods_total") == before + 1
