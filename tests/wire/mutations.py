"""Requests and answers with random damage, both at once, on many connections: the gate lives, whatever the application
receives begins with a canonical request, and in the end nothing is held that should have been let go. The seed is
fixed, so that a failure comes back; which request meets which answer is up to the threads."""
import random
import threading

import harness

THREADS, ROUNDS = 6, 150
HOST_LINE = b"Host: noord.test\r\n"
REQUESTS = [
    b"GET /a?b=c HTTP/1.1\r\n" + HOST_LINE + b"Accept: */*\r\nCookie: a=b\r\n\r\n",
    b"POST /x HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 5\r\n\r\nhello",
    b"POST /x HTTP/1.1\r\n" + HOST_LINE + b"Transfer-Encoding: chunked\r\n\r\n" + harness.chunks(b"hello", trailers=[("X-T", "1")]),
    b"GET /ws HTTP/1.1\r\n" + HOST_LINE + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x05hello",
    b"PUT /x HTTP/1.1\r\n" + HOST_LINE + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + harness.chunks(b"hello", trailers=[("X-T", "1")]),
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\n\r\nuntil close",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhi",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
]
PIECES = [b"\r\n", b"\n", b" ", b"\0", b"0\r\n\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"a" * 5000,
          b"x" * 70_000, b"Connection: close\r\n"]


def damaged(rng, data, more):
    data = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        at, other = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
        what = rng.randrange(5)
        if what == 0:
            data[at:at + 1] = rng.randbytes(1)
        elif what == 1:
            del data[at:at + rng.randrange(8)]
        elif what == 2:
            data[at:at] = rng.choice(PIECES)
        elif what == 3:
            data[at:at] = data[min(at, other):max(at, other)]
        else:
            data += rng.choice(more)
    return bytes(data)


class Unreliable(harness.Application):
    """Answers each read with something, whole or in part, and then keeps, closes or resets the connection."""
    rng = random.Random(7)

    def _serve(self, stream, number):
        first = True
        while stream.fill():
            if first:
                harness.Request(stream.until(b"\r\n\r\n"), number)
            first, stream.waiting = False, b""
            answer, then = damaged(self.rng, self.rng.choice(ANSWERS), ANSWERS), self.rng.randrange(4)
            stream.send(answer[:self.rng.randrange(len(answer) + 1)] if then == 0 else answer)
            if then == 1:
                return
            if then == 2:
                stream.reset()
                return


def one_exchange(gate, rng):
    with gate.connect() as client:
        data = damaged(rng, rng.choice(REQUESTS), REQUESTS)
        client.send_slowly(data, rng.choice([1, 3, 50]) if len(data) < 2000 else 100_000)
        end = rng.randrange(10)
        if end < 3:
            client.half_close()
        elif end < 5:
            client.reset()
            return
        client.rest()


def test_lives():
    with Unreliable() as app:
        times = {"header_timeout": "100ms", "stall_timeout": "100ms", "idle_timeout": "100ms", "tunnel_idle_timeout": "100ms"}
        config = harness.simple_config(app.port, limits=times, upstream={
            "outlier": {"failures": 0}, "response_timeout": "100ms", "sticky_cookie": "node"})
        with harness.Gate(config) as gate:
            pids = gate.pids("worker")
            def work(seed):
                rng = random.Random(seed)
                for _ in range(ROUNDS):
                    try:
                        one_exchange(gate, rng)
                    except OSError:
                        pass
            threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert gate.pids("worker") == pids and not app.wrong
            for gauge in ("requests_active", "connections_open", "tunnels_open"):
                harness.until(lambda: gate.counter(f"polder_{gauge}") == 0, f"{gauge} came back to 0")
            assert gate.counter("polder_requests_total") > THREADS * ROUNDS / 3
            harness.until(lambda: all(e["active"] == 0 for e in gate.status()["endpoints"]), "no request is at an endpoint")
