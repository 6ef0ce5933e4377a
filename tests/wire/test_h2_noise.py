"""Random frames, most of them nearly right: whatever comes, the worker lives, and others are served."""
import os
import random
import struct

import pytest

import h2peer
import harness
from h2peer import raw_frame

CONNECTIONS = int(os.environ.get("POLDER_NOISE", "1000"))
# Pieces of heads in HPACK: indexed, literal, never indexed, table sizes, and some that are wrong.
PIECES = [b"\x82", b"\x83", b"\x84", b"\x86", b"\x87", b"\x04\x02/x", b"\x04\x07/stalls", b"\x01\x0anoord.test", b"\x01\x09zuid.test",
          b"\x00\x01a\x01b", b"\x40\x01c\x01d", b"\xbe", b"\xbf", b"\x10\x06cookie\x03a=b", b"\x0f\x0d\x015", b"\x0f\x0d\x010", b"\x20", b"\x3f\xe1\x1f",
          b"\x00\x09:protocol\x09websocket", b"\x02\x07CONNECT", b"\x02\x04POST", b"\x00\x02te\x08trailers", b"\x00\x06expect\x0c100-continue",
          b"\x00\x01A\x01b", b"\x00\x01a\x01\0", b"\x00\x04host\x0anoord.test", b"\x80", b"\xff\xff\xff\xff\xff", b"\x40\x84\xff\xff\xff\xff\x01x"]
USUAL = b"\x82\x87\x01\x0anoord.test\x04\x02/x"


def head(rng):
    if rng.random() < 0.6:
        return USUAL.replace(b"\x82", rng.choice([b"\x82", b"\x83"])) + b"".join(rng.choices(PIECES[:-3], k=rng.randrange(3)))
    return b"".join(rng.choices(PIECES, k=rng.randrange(8)))


def one(rng, stream):
    kind = rng.choice([0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 0x10, 0x42])
    flags = rng.choice([0, 1, 4, 5, 5, 5, 8, 0x20, rng.randrange(256)])
    number = struct.pack(">I", rng.choice([0, 1, 8, 65535, 1 << 20, 0x7fffffff, rng.randrange(1 << 32)]))
    body = {0: rng.randbytes(rng.choice([0, 1, 5, 300, 16384])), 1: head(rng), 2: number + b"\x10", 3: number,
            4: b"".join(struct.pack(">HI", rng.randrange(10), rng.choice([0, 1, 100, 4096, 65535, 1 << 31])) for _ in range(rng.randrange(4))),
            6: b"12345678", 7: struct.pack(">II", stream, 0), 8: number, 9: head(rng)}.get(kind, rng.randbytes(rng.randrange(20)))
    if rng.random() < 0.05:
        body = body[:rng.randrange(len(body) + 1)]
    on = 0 if kind in (4, 6, 7) else rng.choice([stream, stream, stream, 0, max(stream - 2, 1), stream + 1])
    if rng.random() < 0.02:
        on = rng.randrange(1 << 32)
    return raw_frame(kind, flags, on, body, length=len(body) + rng.choice([0] * 60 + [1, -1]) if body else None)


def noise(rng):
    data, stream = raw_frame(4, 0, 0), 1
    for _ in range(rng.choice([3, 10, 40])):
        if rng.random() < 0.6:  # mostly right, so that it goes deep
            data += raw_frame(1, rng.choice([4, 5]), stream, USUAL if rng.random() < 0.5 else head(rng))
            if rng.random() < 0.5:
                data += raw_frame(0, rng.choice([0, 1]), stream, rng.randbytes(rng.randrange(100)))
        if rng.random() < 0.4:
            data += one(rng, stream)
        stream += 2
    return data


@pytest.fixture(scope="module")
def gate(certificates):
    with harness.Application() as app:
        app.on("/stalls", lambda call: call.stall())
        with harness.Gate(h2peer.config(app.port, certificates, {"stall_timeout": "1s", "header_timeout": "1s"}), workers=1) as gate:
            yield gate
        assert not [wrong for wrong in app.wrong if "malformed" in wrong or "together" in wrong]  # only cut off


def test_noise(gate):
    seed = int(os.environ.get("POLDER_NOISE_SEED", "1"))
    pids = gate.pids("worker")
    for number in range(CONNECTIONS):
        rng = random.Random(seed * 1_000_003 + number)
        data = h2peer.PREFACE + noise(rng)
        with gate.connect("h2c") as client:
            step = rng.choice([len(data), len(data), 1000, 50])
            try:
                for at in range(0, len(data), step):
                    client.send(data[at:at + step])
                client.sock.settimeout(rng.choice([0.001, 0.02]))
                while client.sock.recv(65536):
                    pass
            except OSError:
                pass
        assert gate.process.poll() is None
    with h2peer.Peer(gate.connect("h2c")) as peer:
        assert peer.get("/x").status == 200
    assert gate.pids("worker") == pids
    harness.until(lambda: gate.counter("polder_requests_active") == 0 and gate.counter("polder_tunnels_open") == 0, "nothing is left")
