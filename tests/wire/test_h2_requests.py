"""HTTP/2 (RFC 9113) as regular clients speak it: over TLS with ALPN and in the clear with prior knowledge."""
import contextlib
import os
import shutil
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import pytest
from hyperframe import frame as frames

import h2peer
import harness

MUCH = os.urandom(1 << 20) * 20

measured = pytest.mark.skipif(not harness.memory_is_shown(), reason="memory cannot be measured")


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        app.on("/much", lambda call: (call.body(), call.answer(body=MUCH)))
        yield app
    assert not app.wrong


@pytest.fixture(scope="module")
def gate(app, certificates):
    with harness.Gate(h2peer.config(app.port, certificates), workers=1) as gate:
        yield gate


@pytest.fixture(params=["h2c", "https"])
def connect(request, gate, certificates):
    def connect(server_name=harness.HOST, rcvbuf=None, **more):
        context = h2peer.tls(certificates) if request.param == "https" else None
        stream = gate.connect(request.param, tls=context, server_name=server_name, rcvbuf=rcvbuf)
        assert not context or stream.sock.selected_alpn_protocol() == "h2"
        return h2peer.Peer(stream, **more)
    connect.scheme = "https" if request.param == "https" else "http"
    return connect


@pytest.fixture
def clear(gate):
    return lambda **more: h2peer.Peer(gate.connect("h2c"), **more)


@pytest.fixture(autouse=True)
def nothing_left(gate, app):
    app.clear()
    yield
    harness.until(lambda: gate.counter("polder_requests_active") == 0, "no request is left over")


def test_methods(connect, app):
    with connect() as peer:
        answer = peer.get("/x?a=1", [("x-seen", "yes"), ("accept", "text/html")])
        assert answer.status == 200 and len(answer.fields.get("x-request-id")) == 32
        seen = answer.json()
        fields = harness.Fields(map(tuple, seen["fields"]))
        assert (seen["method"], seen["target"]) == ("GET", "/x?a=1") and fields.get("x-seen") == "yes"
        assert fields.get("host") == "noord.test" and fields.get("x-forwarded-proto") == connect.scheme
        assert "content-length" not in fields and "transfer-encoding" not in fields
        head = peer.ask("HEAD", "/x")
        assert head.status == 200 and head.length == 0 and int(head.fields.get("content-length")) > 0
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"):
            seen = peer.ask(method, "/x", body=b"hello").json()
            assert (seen["method"], seen["body"]) == (method, "hello")
        assert peer.ask("OPTIONS", "*").status == 404  # there is no route to the server as a whole


def test_settings(connect):
    with connect() as peer:
        assert peer.get("/x").status == 200
        assert peer.gate_settings[h2peer.MAX_STREAMS] == 100 and peer.gate_settings[h2peer.CONNECT_PROTOCOL] == 1
        peer.ping(b"12345678")
        peer.pump_until(lambda: peer.pings)
        assert peer.pings == [b"12345678"]


def test_request_length(connect, app):
    with connect() as peer:
        peer.ask("POST", "/told", [("content-length", "5")], b"hello")
        peer.ask("POST", "/untold", body=b"hello")
        peer.ask("POST", "/empty", [("content-length", "0")])
        peer.ask("POST", "/none")
    (told,), (untold,), (empty,), (none,) = (app.wait_for(path) for path in ("/told", "/untold", "/empty", "/none"))
    assert told.fields.get("content-length") == "5" and told.framing == "length"
    assert untold.framing == "chunked" and untold.body == b"hello"
    assert empty.body == none.body == b"" and empty.framing != "chunked"


def test_answers(connect, app):
    app.on("/chunked", harness.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + harness.chunks(b"ab", b"cd")))
    app.on("/until-close", harness.says(b"HTTP/1.1 200 OK\r\n\r\nabcd", "close"))
    app.on("/none", harness.says(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"))
    app.on("/hop", harness.says(b"HTTP/1.1 200 OK\r\nConnection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n"
                                b"SET-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n"))
    with connect() as peer:
        assert peer.get("/chunked").body == peer.get("/until-close").body == b"abcd"
        answer = peer.get("/none")
        assert answer.status == 204 and answer.fields.get("x-a") == "b"
        answer = peer.get("/hop")
        assert "x-secret" not in answer.fields and answer.fields.all("set-cookie") == ["a=b", "c=d"]


def test_trailers(connect, app):
    app.on("/t", lambda call: (call.body(), call.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
        harness.chunks(b"data", trailers=[("X-Sum", "42"), ("X-More", "y")]))))
    app.on("/bare", lambda call: (call.body(), call.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + harness.chunks(trailers=[("X-Sum", "42")]))))
    with connect() as peer:
        stream = peer.request("POST", "/t", [("te", "trailers"), ("trailer", "x-sum")], b"hello", end=False)
        peer.headers([("x-sum", "7")], stream, trailers=True)
        answer = peer.wait(stream)
        assert answer.body == b"data" and answer.trailers == [("x-sum", "42"), ("x-more", "y")]
        assert peer.get("/bare").trailers == [("x-sum", "42")]
    (request,) = app.wait_for("/t")
    assert request.body == b"hello" and request.trailers == [("x-sum", "7")] and request.fields.get("te") == "trailers"


def test_trailers_without_body(connect, app):
    with connect() as peer:
        stream = peer.request("POST", "/x", end=False)
        peer.headers([("x-sum", "7")], stream, trailers=True)
        assert peer.wait(stream).json()["trailers"] == [["x-sum", "7"]]


def test_continue(connect, app):
    with connect() as peer:
        stream = peer.request("POST", "/x", [("expect", "100-continue")], end=False)
        peer.pump_until(lambda: peer.answers[stream].interim)
        assert peer.answers[stream].interim[0][0] == 100
        peer.body(stream, b"hello")
        assert peer.wait(stream).json()["body"] == "hello" and len(peer.answers[stream].interim) == 1
        stream = peer.request("POST", "/small/x", [("expect", "100-continue"), ("content-length", "1001")], end=False)
        assert peer.wait_head(stream).status == 413 and not peer.answers[stream].interim
        assert peer.get("/x", [("expect", "100-continue")]).interim == []
        assert peer.get("/x", [("expect", "200-ok")]).status == 417


def test_interim(connect, app):
    app.on("/hints", harness.says(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n"
                                  b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    with connect() as peer:
        answer = peer.get("/hints")
        assert answer.body == b"ok" and [(status, fields.get("link")) for status, fields in answer.interim] == [
            (103, "</a.css>"), (103, "</b.css>")]


def test_much_down(connect):
    with connect() as peer:
        assert peer.get("/much").body == MUCH


def test_much_down_with_large_windows(connect):
    with connect(window=1 << 24, connection_window=1 << 25) as peer:
        streams = [peer.request("GET", "/much") for _ in range(2)]
        assert all(peer.wait(stream).body == MUCH for stream in streams)


def test_much_up(connect, app):
    with connect() as peer:
        assert peer.ask("POST", "/up", body=MUCH).json()["length"] == len(MUCH)
        assert peer.ask("POST", "/up", [("content-length", str(len(MUCH)))], MUCH).json()["length"] == len(MUCH)
    assert all(r.body == MUCH for r in app.wait_for("/up", 2))


def test_padding(clear, app):
    with clear() as peer:
        stream = peer.request("POST", "/padded", end=False)
        for _ in range(300):  # more padding than the windows hold: it is given back too
            peer.send(frames.DataFrame(stream, b"ab", pad_length=250, flags=["PADDED"]))
        peer.send(raw_end(stream))
        assert peer.wait(stream).json()["length"] == 600
        block = peer.encoder.encode(h2peer.head("GET", "/x"))
        peer.answers[5] = h2peer.Answer()
        peer.send(frames.HeadersFrame(5, block, pad_length=100, flags=["PADDED", "END_HEADERS", "END_STREAM"]))
        assert peer.wait(5).status == 200


def raw_end(stream):
    return h2peer.raw_frame(0, 1, stream)


@measured
def test_memory_with_slow_reader(gate, app, clear):
    """What nobody takes stays where it was: at the application, or at the client."""
    with clear() as warm:
        assert warm.get("/much").status == 200
    before = gate.pss_kib()
    with clear(updates=False, window=0) as peer:
        streams = [peer.request("GET", "/much") for _ in range(50)]
        harness.until(lambda: len(app.seen("/much")) >= 51, "the requests came")
        peer.pump_until(lambda: all(peer.answers[s].status for s in streams))
        peer.pump_while_busy(0.3)
        held = gate.pss_kib() - before
        assert held < 4096, held
        peer.updates = True
        peer.send(*[frames.WindowUpdateFrame(s, window_increment=1 << 20) for s in streams[:3]])
        assert peer.wait(streams[1]).body == MUCH
        for stream in streams:
            peer.reset(stream)
        assert peer.ask("HEAD", "/x").status == 200


@measured
def test_memory_with_slow_upstream(gate, app, clear):
    go = threading.Event()
    app.on("/slow", lambda call: (call.wait(go), call.body(), call.answer(body=b"ok")))
    before = gate.pss_kib()
    with clear() as peer:
        stream = peer.request("POST", "/slow", end=False)
        sent = 0
        with contextlib.suppress(harness.Trouble):
            while sent < 20 << 20:
                while min(peer.window, peer.stream_room(stream)) == 0:
                    peer.pump(0.3)
                peer.body(stream, MUCH[:min(peer.window, peer.stream_room(stream))], end=False)
                sent = -peer.stream_window.get(stream, 0)
        assert gate.pss_kib() - before < 1024
        assert peer.get("/x").status == 200  # the connection is not blocked by one stream
        go.set()
        peer.body(stream, MUCH)
        assert peer.wait(stream).body == b"ok"


def test_many_streams(connect, app):
    """100 at once, answered in another order than asked."""
    go = threading.Event()
    app.on("/first", lambda call: (call.wait(go), call.answer(body=b"late")))
    with connect(window=1 << 20, connection_window=1 << 24) as peer:
        first = peer.request("GET", "/first")
        streams = {peer.request("POST", f"/x?{i}", body=b"%d" % i): i for i in range(99)}
        for stream, i in reversed(streams.items()):
            seen = peer.wait(stream).json()
            assert seen["target"] == f"/x?{i}" and seen["body"] == str(i)
        assert not peer.answers[first].ended
        go.set()
        assert peer.wait(first).body == b"late"


def test_streams_take_turns(clear, app):
    """A small answer does not wait behind a large one of the same connection."""
    with clear(updates=False, window=1 << 25, connection_window=1 << 26) as peer:
        large = peer.request("GET", "/much")
        peer.wait_head(large)
        assert peer.get("/x").status == 200
        assert not peer.answers[large].ended
        assert peer.wait(large).body == MUCH


def test_many_requests(clear, gate):
    with clear() as peer:
        for _ in range(2000):
            assert peer.get("/x").status == 200
    assert gate.counter("polder_h2_errors_total") == gate.counter("polder_h2_floods_total") == 0


def test_many_answers_at_once(clear, app):
    """More ready than the gate sends in one go: none waits for the clock."""
    app.on("/15k", lambda call: call.answer(body=b"x" * 15000))
    with clear(window=1 << 20, connection_window=1 << 26) as peer:
        for _ in range(5):
            began = harness.time.monotonic()
            for stream in [peer.request("GET", "/15k") for _ in range(90)]:
                assert peer.wait(stream).length == 15000
            assert harness.time.monotonic() - began < 0.9


def test_cookies(connect, app):
    with connect() as peer:
        peer.get("/cookies", [("cookie", "a=b"), ("x-between", "1"), ("cookie", "c=d"), ("cookie", "e=f")])
    (request,) = app.wait_for("/cookies")
    assert request.fields.all("cookie") == ["a=b; c=d; e=f"]


def test_host_instead_of_authority(connect):
    with connect() as peer:
        fields = [(":method", "GET"), (":scheme", "https"), (":path", "/x"), ("host", "noord.test")]
        assert peer.wait(peer.headers(fields)).status == 200
        assert peer.get("/x", [("host", "NOORD.test")]).status == 200


@pytest.mark.parametrize("table", [0, 1, 4096, 1 << 31])
def test_header_table(connect, app, table):
    """Whatever size the client allows the gate's table, and however it uses its own."""
    with connect(settings={h2peer.HEADER_TABLE_SIZE: table}) as peer:
        peer.decoder.max_allowed_table_size = min(table, 1 << 20)
        peer.decoder.header_table_size = min(4096, table)
        for i in range(50):
            peer.encoder.header_table_size = (0, 4096, 100)[i % 3]
            large = "v" * (3000 + i % 2)
            seen = peer.get(f"/x?{i}", [("x-large", large), ("x-small", str(i))]).json()
            assert ["x-large", large] in seen["fields"] and seen["target"] == f"/x?{i}"


def test_large_head(connect):
    """CONTINUATION, as far as the limit (32k) goes; not once but as often as it is needed."""
    with connect() as peer:
        peer.encoder.header_table_size = 0
        for _ in range(100):
            assert peer.get("/x", [("x-large", "v" * 30000)]).status == 200
        assert peer.get("/x", [("x-large", "v" * 33000)]).status == 431
        assert peer.get("/x").status == 200


def test_pages_of_the_gate(connect, gate):
    with connect() as peer:
        answer = peer.get("/x", host="elsewhere.test")
        assert answer.status == 421 and b"<html" in answer.body
        answer = peer.get("/x", [("accept", "application/fhir+json")], host="elsewhere.test")
        assert answer.json()["resourceType"] == "OperationOutcome"
        answer = peer.ask("HEAD", "/x", host="elsewhere.test")
        assert answer.status == 421 and answer.length == 0


def test_host_of_another_certificate(gate, certificates):
    """zuid.test is served, but the certificate of this connection does not cover it (RFC 9113 9.1.1)."""
    before = gate.refusals("misdirected")
    with h2peer.Peer(gate.connect("https", tls=h2peer.tls(certificates))) as peer:
        assert peer.get("/x", host="zuid.test").status == 421
        assert peer.get("/x", host="more.noord.test").status == 421  # covered, but no cluster's
        assert peer.get("/x").status == 200
    with h2peer.Peer(gate.connect("h2c")) as peer:
        assert peer.get("/x", host="zuid.test").status == 200
    assert gate.refusals("misdirected") == before + 2


def test_too_large(connect, app, gate):
    with connect() as peer:
        assert peer.ask("POST", "/small/x", [("content-length", "1001")], b"x" * 1001).status == 413
        stream = peer.request("POST", "/small/y", body=b"x" * 900, end=False)
        app.wait_for("/small/y", complete=False)
        peer.body(stream, b"x" * 200, end=False)
        assert peer.wait_head(stream).status == 413
        peer.body(stream, b"x" * 200)
        assert peer.wait(stream).status == 413
        assert peer.get("/x").status == 200
    (request,) = app.seen("/small/y")
    assert not request.is_complete
    assert gate.refusals("body_too_large") >= 2


def test_early_answer(connect, app):
    """The application answers before it has the body: the rest is dropped, up to a bound, then the client is told."""
    app.on("/early", lambda call: (call.answer(403, b"no"), call.close()))
    with connect() as peer:
        stream = peer.request("POST", "/early", end=False)
        assert peer.wait(stream).status == 403
        with pytest.raises(h2peer.Reset) as reset:
            peer.body(stream, MUCH)
        assert reset.value.code == h2peer.NO_ERROR
        assert -peer.stream_window[stream] < 3 << 20
        assert peer.get("/x").status == 200


def test_early_answer_and_silence(clear, app):
    """It neither goes on nor ends: after a while it is told to stop."""
    app.on("/early", lambda call: (call.answer(403, b"no"), call.close()))
    with clear() as peer:
        stream = peer.request("POST", "/early", end=False)
        assert peer.wait(stream).status == 403
        assert peer.wait_reset(stream) == h2peer.NO_ERROR


def test_both_at_once(connect, app):
    """An application that answers while the request still comes gets all of it, without delay."""
    def talk(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            size = int(call.stream.until(b"\r\n"), 16)
            piece = call.stream.exactly(size)
            call.stream.exactly(2)
            call.send(b"%x\r\n%s\r\n" % (size, piece))
        call.send(b"0\r\n\r\n")
        call.body()
    app.on("/talk", talk)
    with connect() as peer:
        stream = peer.request("POST", "/talk", end=False)
        for i in range(1, 6):
            peer.body(stream, b"piece", end=False)
            peer.pump_until(lambda: peer.answers[stream].length == 5 * i)
        peer.body(stream, b"")
        assert peer.wait(stream).length == 25


@pytest.mark.parametrize("then", ["close", "reset"])
def test_application_dies(connect, app, then):
    app.on("/dies", harness.says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", then))
    app.on("/dies-at-once", harness.says(b"", then))
    with connect() as peer:
        stream = peer.request("GET", "/dies")
        assert peer.wait_reset(stream) == h2peer.INTERNAL_ERROR
        assert peer.ask("POST", "/dies-at-once").status == 502
        assert peer.get("/x").status == 200


def test_client_resets(connect, app, gate):
    """In mid-answer: the application is told by closing its connection, the others on this one go on."""
    gone = threading.Event()
    def pour(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                call.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        gone.set()
        call.close()
    app.on("/pour", pour)
    with connect() as peer:
        stream = peer.request("GET", "/pour")
        peer.pump_until(lambda: peer.answers[stream].length > 10000)
        peer.reset(stream)
        assert gone.wait(harness.WITHIN_S)
        assert peer.get("/x").status == 200
        upload = peer.request("POST", "/left", body=b"some", end=False)
        app.wait_for("/left", complete=False)
        peer.reset(upload)
        assert peer.get("/x").status == 200
    assert not app.seen("/left")[0].is_complete


def test_client_goes_away(connect, app, gate):
    stalled = threading.Event()
    app.on("/stall", lambda call: (call.stall(), stalled.set()))
    peer = connect()
    peer.request("GET", "/stall")
    app.wait_for("/stall", complete=False)
    peer.close()
    assert stalled.wait(harness.WITHIN_S)


def test_removed_listener(app, certificates):
    """A reload without this listener: requests under way are answered, then GOAWAY, then the end."""
    go = threading.Event()
    app.on("/wait", lambda call: (call.wait(go), call.answer(body=b"waited")))
    config = h2peer.config(app.port, certificates)
    with harness.Gate(config, workers=1) as gate, h2peer.Peer(gate.connect("h2c")) as peer:
        stream = peer.request("GET", "/wait")
        app.wait_for("/wait", complete=False)
        config["listeners"] = config["listeners"][1:]
        gate.reload(config)
        assert peer.get("/x").status == 200
        peer.pump_until(lambda: peer.goaway)
        assert peer.goaway[1] == h2peer.NO_ERROR
        go.set()
        assert peer.wait(stream).body == b"waited"
        assert peer.wait_gone() == h2peer.NO_ERROR


def test_reload_goes_unnoticed(app, certificates):
    config = h2peer.config(app.port, certificates)
    with harness.Gate(config, workers=1) as gate, h2peer.Peer(gate.connect("h2c")) as peer:
        go = threading.Event()
        app.on("/wait", lambda call: (call.wait(go), call.answer(body=b"waited")))
        stream = peer.request("GET", "/wait")
        app.wait_for("/wait", complete=False)
        config["clusters"][0]["routes"].append({"path": "/new", "upstream": "app", "rewrite": "/old"})
        gate.reload(config)
        assert peer.get("/new/x").json()["target"] == "/old/x"
        go.set()
        assert peer.wait(stream).body == b"waited" and peer.goaway is None


def test_drain(app, certificates):
    """The gate ends: what is under way is answered."""
    go = threading.Event()
    app.on("/wait", lambda call: (call.wait(go), call.answer(body=b"waited")))
    gate = harness.Gate(h2peer.config(app.port, certificates), workers=1)
    try:
        with h2peer.Peer(gate.connect("h2c")) as peer, h2peer.Peer(gate.connect("h2c")) as idle:
            stream = peer.request("GET", "/wait")
            app.wait_for("/wait", complete=False)
            assert idle.get("/x").status == 200
            ending = threading.Thread(target=gate.stop)
            ending.start()
            peer.pump_until(lambda: peer.goaway)
            go.set()
            assert peer.wait(stream).body == b"waited"
            assert peer.wait_gone() == idle.wait_gone() == h2peer.NO_ERROR
            ending.join()
    finally:
        gate.kill()
        shutil.rmtree(gate.folder)


# ---- other people's clients

def test_library_h2(gate, certificates):
    """python3-h2 checks what it receives far more strictly than browsers do."""
    stream = gate.connect("https", tls=h2peer.tls(certificates))
    with stream:
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        conn.initiate_connection()
        for _ in range(10):
            number = conn.get_next_available_stream_id()
            conn.send_headers(number, h2peer.head("POST", "/x"))
            conn.send_data(number, b"hello", end_stream=True)
        stream.send(conn.data_to_send())
        ended = set()
        while len(ended) < 10:
            for event in conn.receive_data(stream.sock.recv(65536)):
                if isinstance(event, h2.events.DataReceived):
                    conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if isinstance(event, h2.events.ResponseReceived):
                    assert (":status", "200") in event.headers
                if isinstance(event, h2.events.StreamEnded):
                    ended.add(event.stream_id)
            stream.send(conn.data_to_send())


@pytest.mark.skipif(not shutil.which("nghttp"), reason="no nghttp")
def test_nghttp(gate):
    told = subprocess.run(["timeout", "20", "nghttp", "-n", "-s", "-m", "10", f"http://127.0.0.1:{gate.port('h2c')}/much",
                           "-H", ":authority: noord.test"], capture_output=True, text=True, check=True).stdout
    assert told.count(" 200 ") == 10


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_curl(gate, certificates):
    port = gate.port("https")
    told = subprocess.run(["curl", "-sS", "--max-time", "20", "--http2", "--cacert", str(certificates.ca.path), "--resolve",
                           f"noord.test:{port}:127.0.0.1", f"https://noord.test:{port}/much", "-o", "/dev/null", "-w",
                           "%{http_version} %{http_code} %{size_download}"], capture_output=True, text=True, check=True).stdout
    assert told == f"2 200 {len(MUCH)}"
