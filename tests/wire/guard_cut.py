"""What is under way at the moment of an order that closes: when the command has returned nothing of an application's
answer reaches who is kept out any more, and whoever may stay feels nothing.

A connection counts as ended when the client's own kernel says so (TCP_CLOSE): no byte can come after that."""
import contextlib
import os
import socket
import struct
import threading
import time

import pytest

import guard_kit
import h2peer
import harness
from guard_kit import HOSPITAL, MANAGEMENT, STRANGER, WARD

TCP_CLOSE = 7
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
PIECE = b"x" * 8192


def stream(call):
    """An answer that never ends, as fast as it is taken."""
    call.body()
    call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while not call.app.closing.is_set():
            call.send(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
    call.close()


def secret(call):
    """Answers when it is told to, with what nobody may see."""
    call.body()
    call.wait(call.app.go)
    with contextlib.suppress(OSError):
        call.answer(body=b"a patient's file")


@pytest.fixture(scope="module")
def gate(certificates):
    with guard_kit.site(certificates, isolation={"stage": "0", "quiet": "0"}) as gate:
        gate.app.go = threading.Event()
        gate.app.on("/stream", stream).on("/secret", secret).on("/ws", lambda call: call.websocket_echo())
        yield gate
        gate.app.wrong.clear()  # uploads that were broken off


@pytest.fixture(autouse=True)
def opened(gate):
    gate.app.go.clear()
    yield
    gate.app.go.set()
    gate.order("isolate", "open", "--partners-back", expect=None)
    gate.order("isolate", "open", "--partners-back", "--cluster", "noord", expect=None)


def kernel_state(client):
    sock = client.stream.sock if hasattr(client, "stream") else client.sock
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def is_dead(client):
    return kernel_state(client) == TCP_CLOSE


@pytest.fixture(params=["http", "https"])
def come(request, gate, certificates):
    """Opens a connection from there, in clear or with TLS."""
    def opener(source=STRANGER, **more):
        tls = harness.tls_context(certificates.ca.path) if request.param == "https" else None
        return gate.peer(source, request.param, tls=tls, **more)
    return opener


def begin_stream(client, read=200_000):
    client.request("GET", "/stream")
    assert client.response_head().status == 200
    client.exactly(read)


@pytest.mark.parametrize("level", ["partners", "closed", "sealed"])
def test_streaming(gate, come, level):
    """Fast readers and one that does not read at all, whose answer waits in every buffer on the way."""
    with contextlib.ExitStack() as all_of_them:
        fast = [all_of_them.enter_context(come()) for _ in range(6)]
        lazy = all_of_them.enter_context(come(rcvbuf=4096))
        for client in (*fast, lazy):
            begin_stream(client, 1000)
        gate.isolate(level)
        assert all(map(is_dead, (*fast, lazy)))


def test_who_may_stay_goes_on(gate, come):
    with come(HOSPITAL) as hospital, come(WARD) as ward, come(MANAGEMENT) as management:
        for client in (hospital, ward, management):
            begin_stream(client)
        gate.isolate("partners")
        for client in (hospital, ward, management):
            client.exactly(300_000)
        gate.isolate("closed")
        assert is_dead(hospital)
        for client in (ward, management):
            client.exactly(300_000)
        gate.isolate("sealed")
        assert is_dead(ward)
        management.exactly(300_000)


def test_guarded_cuts_nobody(gate, come):
    with come() as client:
        begin_stream(client)
        gate.isolate("guarded")
        client.exactly(300_000)


def test_kept_connections(gate, come):
    """One that was served is reset; one that asked nothing yet sees the notice when it asks."""
    with come() as served, come() as fresh, come(WARD) as ward:
        assert served.get("/x").status == ward.get("/x").status == 200
        gate.isolate("closed")
        assert is_dead(served)
        assert fresh.get("/x").status == 503
        assert ward.get("/x").status == 200


def test_waiting_for_an_answer(gate, come):
    """The application is still at it: the client gets the notice at once, and never what comes later."""
    with come() as client, come(WARD) as ward:
        for waiting in (client, ward):
            waiting.request("GET", "/secret", [("Accept", "text/html")])
        gate.app.wait_for("/secret", 2)
        gate.isolate("closed")
        answer = client.response()
        assert answer.status == 503 and b"Tijdelijk niet bereikbaar" in answer.body
        gate.app.go.set()
        assert client.is_closed()
        assert ward.response().body == b"a patient's file"
        gate.app.clear()


def test_second_request_of_a_slow_reader(gate, come):
    """An earlier answer still lies in the kernel's buffer: that goes too, notice or not."""
    gate.app.on("/large", lambda call: (call.body(), call.answer(body=b"y" * 300_000)))
    with come(rcvbuf=4096) as client:
        client.request("GET", "/large")
        client.request("GET", "/secret")
        gate.app.wait_for("/secret")
        gate.isolate("closed")
        assert is_dead(client)
    gate.app.clear()


def test_upload(gate, come):
    """Half of a body: the application gets no more of it, the client the notice in its own language."""
    with come() as client:
        client.send("POST /upload HTTP/1.1\r\nHost: noord.test\r\nAccept-Language: fy\r\nContent-Length: 1000000\r\n\r\n")
        client.send(b"z" * 500_000)
        (request,) = gate.app.wait_for("/upload", complete=False)
        gate.isolate("closed")
        answer = client.response()
        assert answer.status == 503 and b"Tydlik net te berikken" in answer.body
        harness.until(lambda: gate.app.streams[request.connection].ended or gate.app.wrong, "the application sees the end")
        assert not request.is_complete
    gate.app.clear()


def test_tunnel(gate, come):
    with come() as client, come(WARD) as ward:
        for one in (client, ward):
            one.request("GET", "/ws", UPGRADE)
            assert one.response().status == 101
            one.send(b"ping")
            assert one.exactly(4) == b"ping"
        gate.isolate("partners")
        assert is_dead(client)
        ward.send(b"pong")
        assert ward.exactly(4) == b"pong"


def test_tunnel_of_a_partner_that_may_only_read(gate, come):
    """Back from full to probation goes on; what may write does not at read-only."""
    gate.isolate("closed")
    gate.isolate("guarded")
    for _ in range(2):
        gate.order("reconnect", "next", "umc")
    with come(HOSPITAL) as client:
        client.request("GET", "/ws", UPGRADE)
        assert client.response().status == 101
        gate.order("reconnect", "back", "umc")
        assert is_dead(client)


# ---- HTTP/2

@pytest.fixture(params=["h2c", "https"])
def peer(request, gate, certificates):
    def opener(source=STRANGER, **more):
        tls = h2peer.tls(certificates) if request.param == "https" else None
        return h2peer.Peer(gate.peer(source, request.param, tls=tls), **more)
    opener.is_clear = request.param == "h2c"
    return opener


def bytes_received(peer):
    """By the client's kernel, ever (struct tcp_info)."""
    return struct.unpack_from("Q", peer.stream.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 128)[0]


def test_h2_streaming(gate, peer):
    """Reset as a whole, or, where everything that was sent has arrived, the stream by its own frame: 100 bytes with GOAWAY
    and TLS, and none of them the application's."""
    with peer() as stranger, peer(WARD) as ward:
        for one in (stranger, ward):
            number = one.request("GET", "/stream")
            one.pump_until(lambda: one.answers[number].length > 100_000)
        gate.isolate("closed")
        if not is_dead(stranger):
            before = bytes_received(stranger)
            with pytest.raises((h2peer.Reset, h2peer.Gone)):
                stranger.wait(number)
            with contextlib.suppress(h2peer.Gone):
                stranger.wait_gone()
            assert bytes_received(stranger) - before < 200
        number = next(iter(ward.answers))
        before = ward.answers[number].length
        ward.pump_until(lambda: ward.answers[number].length > before + 100_000)


def test_h2_waiting_and_uploading(gate, peer):
    """Every stream that has no answer yet gets the notice; the connection ends in order."""
    with peer() as stranger:
        waiting = [stranger.request("GET", "/secret") for _ in range(5)]
        upload = stranger.request("POST", "/upload", body=b"z" * 20_000, end=False)
        gate.app.wait_for("/secret", 5)
        gate.app.wait_for("/upload", complete=False)
        stranger.pump_while_busy()
        gate.isolate("closed")
        for number in (*waiting, upload):
            answer = stranger.wait(number)
            assert answer.status == 503 and b"Tijdelijk niet bereikbaar" in answer.body
        stranger.wait_goaway()
        gate.app.go.set()
        stranger.wait_gone()
    gate.app.clear()


def test_h2_idle(gate, peer):
    with peer() as served, peer() as fresh:
        assert served.get("/x").status == 200
        fresh.pump_while_busy()
        gate.isolate("closed")
        assert is_dead(served)
        assert fresh.get("/x").status == 503


def test_h2_of_two_clusters(gate, peer):
    """One cluster is shut: streams of the other one on the same connection go on."""
    if not peer.is_clear:
        pytest.skip("the certificate covers one cluster only")
    with peer() as stranger:
        shut = stranger.request("GET", "/secret")
        other = stranger.request("GET", "/secret", host="zuid.test")
        gate.app.wait_for("/secret", 2)
        stranger.pump_while_busy()
        gate.isolate("closed", "--cluster", "noord")
        assert stranger.wait(shut).status == 503
        gate.app.go.set()
        assert stranger.wait(other).body == b"a patient's file"
    gate.app.clear()


# ---- again and again, under load

class Load:
    """Clients that ask on and on, on kept and on new connections; each request carries the moment when it was sent."""

    def __init__(self, gate, source, threads):
        self.gate, self.source, self.over = gate, source, threading.Event()
        self.answers, self.trouble = [], []
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        client = None
        while not self.over.is_set():
            try:
                client = client or self.gate.peer(self.source)
                sent = time.monotonic()
                status = client.get("/load", [("X-Sent", repr(sent))]).status
                self.answers.append((sent, time.monotonic(), status))
                if status != 200 or (number % 2 and len(self.answers) % 50 == 0):
                    client.close()
                    client = None
            except (harness.Trouble, OSError) as trouble:
                self.trouble.append((time.monotonic(), trouble))
                client = None

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(10)
        return self


FLIPS = int(os.environ.get("POLDER_FLIPS", "120"))


def test_flips_under_load(gate):
    """Closed and open again, many times: a request of a stranger that was sent after the command returned never reaches
    the application before the gate is open again, and never does one of the ward fail. The moments are those before a
    request is sent and after it has reached the application, so that nothing in between can excuse it."""
    came = []

    def note(call):
        if call.request.fields.get("x-forwarded-for") == STRANGER:
            came.append((float(call.request.fields.get("x-sent")), time.monotonic()))
        call.body()
        call.answer(body=b"ok")

    gate.app.on("/load", note)
    strangers, ward = Load(gate, STRANGER, 4), Load(gate, WARD, 2)
    shut, end = [], time.monotonic() + 100
    while len(shut) < FLIPS and time.monotonic() < end:
        gate.isolate("closed")
        returned = time.monotonic()
        assert {gate.status_of(STRANGER) for _ in range(3)} <= {503, None}
        shut.append((returned, time.monotonic()))
        gate.order("isolate", "open", "--partners-back")
    strangers.stop()
    ward.stop()
    assert len(shut) == FLIPS and not ward.trouble and {status for _, _, status in ward.answers} == {200}
    assert len(came) > FLIPS, "strangers were served in between"
    through = [(sent - began, at - began) for began, ended in shut for sent, at in came if sent >= began and at <= ended]
    assert not through, through
    print(f"{FLIPS} flips, {len(came)} requests of strangers came through while open, {len(ward.answers)} of the ward")
    gate.app.clear()
