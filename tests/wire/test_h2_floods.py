"""Clients that keep to the letter of HTTP/2 to wear a server out. Each is ended with ENHANCE_YOUR_CALM (or what RFC 9113
names) and counted, other connections notice nothing, and the worker keeps no memory of it."""
import struct
import threading

import pytest
from hpack import Encoder
from hyperframe import frame as frames

import h2peer
import harness
from h2peer import CANCEL, ENHANCE_YOUR_CALM, raw_frame

HEADER_TIMEOUT_S, STALL_S = 1, 1

measured = pytest.mark.skipif(not harness.memory_is_shown(), reason="memory cannot be measured")


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        app.on("/stalls", lambda call: call.stall())
        app.on("/large", lambda call: call.answer(body=b"x" * 1_000_000))
        yield app
    assert not app.wrong


@pytest.fixture(scope="module")
def gate(app, certificates):
    limits = {"header_timeout": f"{HEADER_TIMEOUT_S}s", "stall_timeout": f"{STALL_S}s", "idle_timeout": "2s"}
    config = h2peer.config(app.port, certificates, limits)
    config["listeners"].append({"name": "patient", "http2": True, "limits": {
        "stall_timeout": "60s", "header_timeout": "60s", "idle_timeout": "90s", "min_body_rate": "1000"}})
    with harness.Gate(config, workers=1) as gate:
        pids = gate.pids("worker")
        yield gate
        assert gate.pids("worker") == pids


@pytest.fixture(autouse=True)
def others_go_on(gate, app):
    app.clear()
    with h2peer.Peer(gate.connect("patient")) as other, gate.connect("patient") as http1:
        yield
        assert other.get("/other").status == 200
        assert http1.get("/other").status == 200
    harness.until(lambda: gate.counter("polder_requests_active") == 0, "no request is left over")


@pytest.fixture(params=["h2c", "https"])
def connect(request, gate, certificates):
    def connect(**more):
        tls = h2peer.tls(certificates) if request.param == "https" else None
        return h2peer.Peer(gate.connect(request.param, tls=tls), **more)
    return connect


@pytest.fixture
def clear(gate):
    return lambda **more: h2peer.Peer(gate.connect("h2c"), **more)


def block(path, *fields):
    """A head that does not touch the table of the decoder: it can be sent at any time, by any connection."""
    def text(s):
        s = s.encode("latin-1")
        return (bytes([len(s)]) if len(s) < 127 else b"\x7f" + integer(len(s) - 127)) + s
    return b"\x82\x87" + b"\x01" + text("noord.test") + b"\x04" + text(path) + \
        b"".join(b"\x00" + text(name) + text(value) for name, value in fields)


def integer(n):
    out = b""
    while n >= 128:
        out += bytes([n % 128 + 128])
        n //= 128
    return out + bytes([n])


def heads(path, count, flags=0x5, first=1):
    return [raw_frame(1, flags, first + 2 * i, block(path)) for i in range(count)]


RESET = {
    "reset_at_once": lambda: b"".join(h + raw_frame(3, 0, 1 + 2 * i, struct.pack(">I", CANCEL))
                                      for i, h in enumerate(heads("/stalls", 1000))),
    "reset_uploads": lambda: b"".join(h + raw_frame(0, 0, 1 + 2 * i, b"x") + raw_frame(3, 0, 1 + 2 * i, struct.pack(">I", 0))
                                      for i, h in enumerate(heads("/stalls", 1000, flags=0x4))),
    "reset_twice": lambda: heads("/x", 1)[0] + raw_frame(3, 0, 1, struct.pack(">I", CANCEL)) * 1000,
}
# Frames on a connection whose stream 1 is open, waiting for its body.
CONTROL = {
    "ping": lambda: raw_frame(6, 0, 0, b"12345678") * 1000,
    "ping_acknowledged": lambda: raw_frame(6, 1, 0, b"12345678") * 1000,
    "settings": lambda: raw_frame(4, 0, 0, struct.pack(">HI", 3, 100)) * 1000,
    "empty_settings": lambda: raw_frame(4, 0, 0) * 1000,
    "large_settings": lambda: raw_frame(4, 0, 0, struct.pack(">HI", 3, 100) * 2000) * 10,
    "tables": lambda: (raw_frame(4, 0, 0, struct.pack(">HI", 1, 0)) + raw_frame(4, 0, 0, struct.pack(">HI", 1, 4096))) * 500,
    "windows": lambda: (raw_frame(4, 0, 0, struct.pack(">HI", 4, 0)) + raw_frame(4, 0, 0, struct.pack(">HI", 4, 65535))) * 500,
    "empty_data": lambda: raw_frame(0, 0, 1) * 1000,
    "padded_data": lambda: raw_frame(0, 8, 1, b"\xff" + bytes(255)) * 1000,
    "continuation": lambda: raw_frame(1, 1, 3, block("/x")[:10]) + raw_frame(9, 0, 3, b"") * 5000,
    "small_continuation": lambda: raw_frame(1, 1, 3) + b"".join(raw_frame(9, 0, 3, bytes([b])) for b in block("/x") * 100),
    "large_continuation": lambda: raw_frame(1, 1, 3, block("/x")) + raw_frame(9, 0, 3, b"\x00\x01a\x01b" * 3000) * 200,
    "priority": lambda: b"".join(raw_frame(2, 0, 3 + 2 * (i % 1000), b"\0\0\0\1\x10") for i in range(70_000)),
    "window_update": lambda: raw_frame(8, 0, 0, struct.pack(">I", 1)) * 70_000,
    "window_update_of_stream": lambda: raw_frame(8, 0, 1, struct.pack(">I", 1)) * 70_000,
    "end_of_closed_stream": lambda: raw_frame(3, 0, 1, struct.pack(">I", 8)) + raw_frame(1, 5, 1, block("/x")) * 1000,
}


@pytest.mark.parametrize("make", [*RESET.values(), *CONTROL.values()], ids=[*RESET, *CONTROL])
def test_flood(connect, gate, app, make, request):
    floods = gate.counter("polder_h2_floods_total")
    flood = make()
    with connect() as peer:
        if make in CONTROL.values():
            peer.request("POST", "/stalls", end=False)
        peer.updates = False
        for i in range(1, 2003, 2):
            peer.answers.setdefault(i, h2peer.Answer())
        for at in range(0, len(flood), 4000):
            if not peer.try_send(flood[at:at + 4000]):
                break
        assert peer.wait_gone() == ENHANCE_YOUR_CALM
    assert gate.counter("polder_h2_floods_total") == floods + 1
    assert len(app.seen("/stalls")) <= 201


def test_regular_use_is_no_flood(connect, gate):
    """What the busiest of browsers does in a minute."""
    floods = gate.counter("polder_h2_floods_total")
    with connect() as peer:
        for i in range(50):
            peer.ping()
            streams = [peer.request("GET", "/x") for _ in range(20)]
            for stream in streams[:2]:
                peer.reset(stream)
            for _ in range(50):
                peer.send(frames.PriorityFrame(streams[5], depends_on=0, stream_weight=10))
            assert all(peer.wait(stream).status == 200 for stream in streams[2:])
    assert gate.counter("polder_h2_floods_total") == floods


@pytest.mark.parametrize("frame", [raw_frame(0x42, 0xff, 0), raw_frame(0x10, 0, 0, b"\0\0\0\1u=1"), raw_frame(0xa, 0, 1, b"\0\0")])
def test_unknown_frames_do_nothing(gate, frame):
    with h2peer.Peer(gate.connect("h2c")) as peer:
        peer.send(frame * 10_000)
        assert peer.get("/x").status == 200


def test_large_cookie_on_many_streams(gate, app):
    """A table's worth of cookie on every one of 100 streams is regular use."""
    app.on("/holds", lambda call: (call.wait(go), call.answer()))
    go = threading.Event()
    with h2peer.Peer(gate.connect("patient")) as peer:
        streams = [peer.request("GET", "/holds", [("cookie", "c" * 3800)]) for _ in range(100)]
        app.wait_for("/holds", 100, complete=False)
        go.set()
        assert all(peer.wait(stream).status == 200 for stream in streams)


def bomb(per_stream, streams, peer=None):
    """One field of 4 kB, then one byte for each time it is said again."""
    encoder = Encoder()
    first = encoder.encode([(b"x-bomb", b"b" * 4000)], huffman=False)
    data = raw_frame(1, 5, 1, block("/stalls") + first)
    for i in range(1, streams):
        data += raw_frame(1, 5, 1 + 2 * i, block("/stalls") + b"\xbe" * per_stream)
    for i in range(streams if peer else 0):
        peer.answers[1 + 2 * i] = h2peer.Answer()
    return data


@measured
@pytest.mark.parametrize("per_stream, streams", [(7, 100), (99, 100), (4000, 100), (16000, 3)])
def test_header_bomb(gate, app, per_stream, streams):
    """Each byte in stands for 4,000: what is held stays near twice what was sent, beyond what regular use holds."""
    def explode():
        with h2peer.Peer(gate.connect("patient")) as peer:
            data = bomb(per_stream, streams, peer)
            peer.try_send(data)
            peer.pump_while_busy(0.1)
            held = gate.pss_kib()
            app.drop_connections()
        return held, len(data)
    explode()
    harness.until(lambda: gate.counter("polder_requests_active") == 0, "the bomb is gone")
    before = gate.pss_kib()
    held, sent = explode()
    assert held - before < 3000 + 2 * sent / 1024, (held, before)


def test_header_bomb_is_counted(connect, gate, app):
    floods = gate.counter("polder_h2_floods_total")
    with connect() as peer:
        peer.try_send(bomb(7, 100, peer))
        assert peer.wait_gone() == ENHANCE_YOUR_CALM
    assert gate.counter("polder_h2_floods_total") == floods + 1


def test_bomb_in_trailers(connect, gate):
    floods = gate.counter("polder_h2_floods_total")
    with connect() as peer:
        first = Encoder().encode([(b"x-bomb", b"b" * 4000)], huffman=False)
        peer.answers[1] = h2peer.Answer()
        peer.try_send(raw_frame(1, 4, 1, block("/x")) + raw_frame(1, 5, 1, first + b"\xbe" * 10_000))
        assert peer.wait_gone() == ENHANCE_YOUR_CALM
    assert gate.counter("polder_h2_floods_total") == floods + 1


# ---- time

def greeted(peer):
    """The settings are said and acknowledged: nothing of ours comes between."""
    peer.pump_until(lambda: peer.gate_settings)
    peer.answers[1] = h2peer.Answer()


def test_slow_head(clear, gate):
    """HEADERS without an end block the connection, so it is the connection that ends."""
    timeouts, refused = gate.counter("polder_timeouts_total"), gate.refusals("header_timeout")
    with clear() as peer:
        greeted(peer)
        peer.send(raw_frame(1, 1, 1, block("/x")[:5]))
        assert peer.wait_gone() == ENHANCE_YOUR_CALM
    assert gate.counter("polder_timeouts_total") == timeouts + 1 and gate.refusals("header_timeout") == refused + 1


def test_dripping_head(gate):
    with h2peer.Peer(gate.connect("h2c")) as peer:
        greeted(peer)
        data = raw_frame(1, 5, 1, block("/x", ("x", "y" * 1000)))
        for at in range(0, len(data)):
            if not peer.try_send(data[at:at + 1]) or peer.goaway:
                break
            peer.pump_while_busy(0.03)
        assert peer.goaway[1] == ENHANCE_YOUR_CALM
        assert at < 200


def test_slow_trailers(clear):
    with clear() as peer:
        greeted(peer)
        stream = peer.request("POST", "/x", body=b"hello", end=False)
        peer.send(raw_frame(1, 1, stream, b"\x00\x01x"))
        assert peer.wait_head(stream).status == 408


def test_idle(connect):
    with connect() as peer:
        assert peer.get("/x").status == 200
        assert peer.wait_gone() == h2peer.NO_ERROR


def test_silent_from_the_start(gate, certificates):
    with gate.connect("https", tls=h2peer.tls(certificates)) as client:
        client.rest()


def test_stalled_body(clear, gate, app):
    timeouts, refused = gate.counter("polder_timeouts_total"), gate.refusals("body_timeout")
    with clear() as peer:
        stream = peer.request("POST", "/stalls", body=b"some", end=False)
        assert peer.wait_head(stream).status == 408
        assert peer.get("/x").status == 200
    assert gate.refusals("body_timeout") == refused + 1 and gate.counter("polder_timeouts_total") == timeouts + 1


@pytest.mark.parametrize("window, streams", [(0, 3), (10, 3)])
def test_window_that_stays_shut(clear, gate, window, streams):
    """The answer is there; the client takes none of it, and holds it for no longer than the limit."""
    timeouts = gate.counter("polder_timeouts_total")
    with clear(window=window, updates=False) as peer:
        for stream in [peer.request("GET", "/large") for _ in range(streams)]:
            assert peer.wait_reset(stream) == CANCEL
        assert peer.ask("HEAD", "/x").status == 200
    assert gate.counter("polder_timeouts_total") == timeouts + streams


def test_connection_window_that_stays_shut(clear):
    with clear(window=1 << 20, updates=False) as peer:
        streams = [peer.request("GET", "/large") for _ in range(3)]
        assert [peer.wait_reset(stream) for stream in streams] == [CANCEL] * 3


def test_crawling(gate):
    """A byte now and then, up or down, is not enough: 1000 bytes a second are asked for here."""
    with h2peer.Peer(gate.connect("patient"), window=100, updates=False) as peer:
        up = peer.request("POST", "/x", end=False)
        down = peer.request("GET", "/large")
        fast = peer.request("POST", "/x", end=False)
        while peer.answers[up].status is None or peer.answers[down].code is None:
            peer.send(raw_frame(0, 0, up, b"x"), frames.WindowUpdateFrame(down, window_increment=1))
            peer.send(raw_frame(0, 0, fast, b"x" * 300))
            peer.pump_while_busy(0.1)
            assert peer.goaway is None
        assert peer.answers[up].status == 408 and peer.answers[down].code == CANCEL
        assert peer.answers[fast].status is None
        peer.send(frames.WindowUpdateFrame(fast, window_increment=10000), raw_frame(0, 1, fast))
        assert peer.wait(fast).status == 200


def test_slow_application_is_not_the_clients_fault(gate, app):
    go = threading.Event()
    app.on("/slow", lambda call: (call.wait(go), call.body(), call.answer(body=b"ok")))
    with h2peer.Peer(gate.connect("h2c")) as peer:
        stream = peer.request("POST", "/slow", end=False)
        with pytest.raises(harness.Trouble):
            while True:
                while min(peer.window, peer.stream_room(stream)) == 0:
                    peer.pump(STALL_S + 1.2)
                peer.body(stream, bytes(min(peer.window, peer.stream_room(stream))), end=False)
        go.set()
        peer.body(stream, b"rest")
        assert peer.wait(stream).body == b"ok"


def test_slow_line(gate):
    """Many streams share a line that carries little: none is ended for that."""
    with h2peer.Peer(gate.connect("patient"), window=1 << 20, updates=False) as peer:
        streams = [peer.request("GET", "/large") for _ in range(50)]
        end = harness.time.monotonic() + 8
        while harness.time.monotonic() < end:
            peer.send(frames.WindowUpdateFrame(0, window_increment=300))
            peer.pump_while_busy(0.1)
        assert all(peer.answers[stream].code is None for stream in streams)


def test_client_that_does_not_read(gate, app):
    """Not even TCP goes on."""
    timeouts = gate.counter("polder_timeouts_total")
    with h2peer.Peer(gate.connect("h2c", rcvbuf=4096), window=1 << 24, connection_window=1 << 26) as peer:
        for _ in range(40):
            peer.request("GET", "/large")
        gate.wait_counter("polder_timeouts_total", timeouts + 1)
        harness.until(lambda: gate.counter("polder_requests_active") == 0, "its requests are ended")


def test_pings_by_a_client_that_does_not_read(gate):
    """Acknowledgements do not pile up."""
    with h2peer.Peer(gate.connect("h2c", rcvbuf=4096)) as peer:
        peer.try_send(raw_frame(6, 0, 0, b"12345678") * 100_000)
        harness.until(lambda: not peer.try_send(raw_frame(6, 0, 0, b"12345678") * 1000), "it is ended")


@measured
def test_no_leak(gate, app):
    """Each a hundred times: the worker is no larger after the second fifty than after the first."""
    floods = [RESET["reset_at_once"]()] + [CONTROL[name]() for name in (
        "ping", "settings", "empty_data", "continuation", "small_continuation")] + [bomb(99, 50)]
    def attack(times):
        for _ in range(times):
            for data in floods:
                with gate.connect("h2c") as client:
                    client.send(h2peer.PREFACE + raw_frame(4, 0, 0))
                    h2peer.Peer(client, greet=False).try_send(data)
        harness.until(lambda: gate.counter("polder_connections_open") <= 3, "all connections are gone")
    attack(50)
    after_some = gate.pss_kib()
    attack(50)
    harness.until(lambda: gate.pss_kib() < after_some + 256, "what was freed is given back, or used again")
