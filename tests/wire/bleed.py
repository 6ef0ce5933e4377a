"""What one client says, another never hears: secrets are planted in every place that a request has, and looked for in
all that others get back, however odd their requests and whatever memory they are given (CVE-2023-4966, -2025-5777)."""
import random

import pytest

import harness

CANARY = b"Kanarie77"


@pytest.fixture(scope="module")
def app():
    with harness.Application(answer=lambda call: (call.body(), call.answer(body=b"fine"))) as app:
        yield app


@pytest.fixture(scope="module")
def gate(app, certificates):
    config = harness.simple_config(app.port, limits={"header_bytes": "63k", "target_bytes": "32k"})
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    config["listeners"] += [{"name": "https", "tls": {"certificates": ["noord"], "http2": False}}, {"name": "redirect", "redirect_to_https": 443}]
    with harness.Gate(config, workers=1) as gate:  # one worker: everybody shares its memory
        yield gate


def victim(client, size):
    """A request full of secrets, of about that size."""
    secret = (CANARY * (size // len(CANARY) + 1))[:max(size, len(CANARY))].decode()
    for target, fields, body in [(f"/s?q={secret[:8000]}", [], None), ("/s", [("Cookie", secret)], None),
                                 ("/s", [("Authorization", secret), (secret[:500], "x")], None), ("/s", [], secret.encode())]:
        assert client.ask("POST", target, fields, body).status in (200, 431)


def probes():
    rng = random.Random(77)
    host = b"Host: noord.test\r\n"
    for length in (0, 1, 64, 255, 256, 4096, 16_383, 16_384, 24_812, 40_000, 63_000, 70_000):
        yield b"GET / HTTP/1.1\r\nHost: " + b"a" * length + b"\r\n\r\n"
        yield b"GET /" + b"b" * length + b" HTTP/1.1\r\n" + host + b"\r\n"
        yield b"GET / HTTP/1.1\r\n" + host + b"C: " + b"c" * length + b"\r\n\r\n"
        yield b"GET / HTTP/1.1\r\n" + host + b"Accept: application/json\r\n" + b"d" * length + b"\r\n\r\n"
        yield b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % length + b"e" * length + b"\r\n0\r\n\r\n"
        yield b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n0\r\nT: " + b"f" * length + b"\r\n\r\n"
    for _ in range(60):
        yield b"GET / HTTP/1.1\r\n" + host + rng.randbytes(rng.randrange(1, 400)) + b"\r\n\r\n"


@pytest.mark.parametrize("listener", ["http", "https", "redirect"])
def test_others_requests(gate, certificates, listener):
    tls = harness.tls_context(certificates.ca.path) if listener == "https" else None
    for i, probe in enumerate(probes()):
        with gate.connect("https", tls=harness.tls_context(certificates.ca.path)) as https, gate.connect("http") as http:
            victim(https if i % 2 else http, (100, 5000, 16_300, 40_000)[i % 4])
        with gate.connect(listener, tls=tls) as client:
            client.send(probe)
            if not tls:
                client.half_close()
            else:
                client.sock.settimeout(1)
                client.send(b"GET / HTTP/1.1\r\nHost: noord.test\r\nConnection: close\r\n\r\n")
            got = client.rest()
        assert CANARY not in got and CANARY[2:] not in got, (probe[:80], got[:300])
        assert b"\0" not in got


def test_others_answers(gate, app):
    """Answers that are cut, or that announce more than they hold: nothing is filled in for what is missing."""
    app.on("/cut", harness.says(b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\nabc", "close"))
    app.on("/cut-chunk", harness.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7000\r\nabc", "close"))
    app.on("/trailers", harness.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\nX-Long: " +
                                     b"t" * 3000 + b"\r\n\r\n"))
    for path in ("/cut", "/cut-chunk", "/trailers") * 4:
        with gate.connect() as client:
            victim(client, 16_300)
        with gate.connect() as client:
            client.request("GET", path, [("Connection", "close")])
            head, _, body = client.rest().partition(b"\r\n\r\n")
            assert CANARY not in body and b"\0" not in body
            assert body.replace(b"7000\r\n", b"").replace(b"3\r\n", b"").startswith(b"abc")
            if path == "/trailers":
                assert body.endswith(b"0\r\nX-Sum: 3\r\nX-Long: " + b"t" * 3000 + b"\r\n\r\n")
