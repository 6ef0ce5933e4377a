"""The PROXY protocol, versions 1 and 2, from balancers in front of the gate and to applications behind it."""
import socket
import ssl
import struct

import pytest

import harness

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REQUEST = b"GET /x HTTP/1.1\r\nHost: noord.test\r\n\r\n"


def v2(source="192.0.2.7", port=4711, command=1, family=socket.AF_INET, extra=b"", destination="198.51.100.1"):
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination) + struct.pack(">HH", port, 443)
    body = addresses + extra
    return SIGNATURE + bytes([0x20 | command, 0x21 if family == socket.AF_INET6 else 0x11]) + struct.pack(">H", len(body)) + body


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


@pytest.fixture(scope="module")
def told():
    """An application that expects the PROXY protocol; one for each version, since they share nothing."""
    with harness.Application(name="v1", proxy_protocol=True) as one, harness.Application(name="v2", proxy_protocol=True) as two:
        yield {"v1": one, "v2": two}


@pytest.fixture(scope="module")
def gate(app, told, certificates):
    config = harness.simple_config(app.port)
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    config["listeners"] = [
        {"name": "proxied", "proxy_protocol": {}, "limits": {"handshake_timeout": "2s", "connections_per_address": 4}},
        {"name": "trusted", "proxy_protocol": {"from": ["10.0.0.0/8", "127.0.0.1/32"]}},
        {"name": "strangers", "proxy_protocol": {"from": ["10.0.0.0/8"]}},
        {"name": "https", "proxy_protocol": {}, "tls": {"certificates": ["noord"], "http2": False}},
        {"name": "http"}]
    for version, application in told.items():
        config["upstreams"].append({"name": version, "endpoints": [f"127.0.0.1:{application.port}"], "proxy_protocol": version})
        config["clusters"][0]["routes"].append({"path": f"/{version}", "upstream": version})
    with harness.Gate(config) as gate:
        yield gate


def source_of(gate, client):
    """As the application is told, which must be what the log says."""
    answer = client.get("/x")
    assert answer.status == 200
    fields = harness.Fields(map(tuple, answer.json()["fields"]))
    line = gate.wait_log(answer.fields.get("x-request-id"))
    assert fields.get("x-forwarded-for") == line["source.ip"]
    return line["source.ip"], line["source.port"], fields.get("forwarded").split(";")[0]


HEADERS = {
    "v1": (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", "192.0.2.7", 4711, "for=192.0.2.7"),
    "v1_tcp6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", "2001:db8::7", 4711, 'for="[2001:db8::7]"'),
    "v2": (v2(), "192.0.2.7", 4711, "for=192.0.2.7"),
    "v2_tcp6": (v2("2001:db8::7", family=socket.AF_INET6, destination="::1"), "2001:db8::7", 4711, 'for="[2001:db8::7]"'),
    "v2_with_extras": (v2(extra=b"\x01\x00\x02h2\x04\x00\x03\0\0\0"), "192.0.2.7", 4711, "for=192.0.2.7"),
}


@pytest.mark.parametrize("header, ip, port, forwarded", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("listener", ["proxied", "trusted"])
def test_source(gate, listener, header, ip, port, forwarded):
    with gate.connect(listener, first=header) as client:
        assert source_of(gate, client) == (ip, port, forwarded)


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", v2(command=0),
                                    SIGNATURE + b"\x20\x00\x00\x00"], ids=["unknown", "unknown_more", "local", "local_empty"])
def test_of_the_balancer_itself(gate, header):
    """Its own health checks: the balancer is the client."""
    with gate.connect("proxied", first=header) as client:
        assert source_of(gate, client)[0] == "127.0.0.1"


def test_header_in_drops(gate):
    for header in (HEADERS["v1"][0], HEADERS["v2"][0]):
        with gate.connect("proxied") as client:
            client.send_slowly(header)
            client.send_slowly(REQUEST)
            assert client.response().status == 200


def test_header_and_request_at_once(gate):
    with gate.connect("proxied") as client:
        client.send(HEADERS["v2"][0] + REQUEST * 2)
        assert client.response().status == client.response().status == 200


def test_over_tls(gate, certificates):
    with gate.connect("https", first=HEADERS["v2"][0], tls=harness.tls_context(certificates.ca.path)) as client:
        assert source_of(gate, client)[0] == "192.0.2.7"


BAD = {
    "none": REQUEST, "v1_lower": b"proxy TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", "v1_lf": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\n",
    "v1_port": b"PROXY TCP4 192.0.2.7 198.51.100.1 70000 443\r\n", "v1_mixed": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "v1_two_spaces": b"PROXY  TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", "v1_octet": b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
    "v1_zero_octet": b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n", "v1_long": b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
    "v2_version": SIGNATURE + b"\x31\x11\x00\x0c" + b"\0" * 12, "v2_command": SIGNATURE + b"\x22\x11\x00\x0c" + b"\0" * 12,
    "v2_short": SIGNATURE + b"\x21\x11\x00\x04" + b"\0" * 4, "v2_huge": SIGNATURE + b"\x21\x11\xff\xff" + b"\0" * 20_000,
    "v2_family": SIGNATURE + b"\x21\x41\x00\x0c" + b"\0" * 12,
}


@pytest.mark.parametrize("header", BAD.values(), ids=BAD.keys())
def test_refused(gate, app, header):
    before = gate.counter("polder_connections_refused_total")
    app.clear()
    with gate.connect("proxied") as client:
        try:
            client.send(header + REQUEST)
        except OSError:
            pass
        assert client.rest() == b""
    gate.wait_counter("polder_connections_refused_total", before + 1)
    assert not app.requests


def test_of_strangers(gate, app):
    """Only the configured balancers are believed."""
    app.clear()
    with gate.connect("strangers", first=HEADERS["v1"][0]) as client:
        assert client.is_closed()
    assert not app.requests


def test_not_believed_where_it_is_not_expected(gate):
    with gate.connect("http") as client:
        client.send(HEADERS["v1"][0] + REQUEST)
        assert client.response().status == 400


def test_connections_are_counted_by_the_told_address(gate):
    """Many clients come through one balancer; each has its own share, and only its own."""
    open_ones = [gate.connect("proxied", first=v2("203.0.113.5")) for _ in range(4)]
    try:
        for client in open_ones:
            assert client.get("/x").status == 200
        with gate.connect("proxied", first=v2("203.0.113.5")) as client:
            assert client.is_closed()
        with gate.connect("proxied", first=v2("203.0.113.6")) as client:
            assert client.get("/x").status == 200
    finally:
        for client in open_ones:
            client.close()


# ---- towards applications

@pytest.mark.parametrize("version, header", [
    ("v1", lambda port, own: b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 %d\r\n" % own),
    ("v2", lambda port, own: v2(destination="127.0.0.1")[:-2] + struct.pack(">H", own))])
def test_told_to_the_application(gate, told, version, header):
    with gate.connect("proxied", first=HEADERS["v1"][0]) as client:
        for _ in range(3):
            assert client.get(f"/{version}/x").status == 200
    got = told[version].proxy_headers
    assert len(got) == 3, "a connection of its own for each request, or one client could pass for another"
    assert set(got) == {header(4711, gate.port("proxied"))}


def test_ipv6_told_to_the_application(gate, told):
    told["v1"].clear()
    with gate.connect("proxied", first=HEADERS["v1_tcp6"][0]) as client:
        assert client.get("/v1/x").status == 200
    assert told["v1"].proxy_headers[0].startswith(b"PROXY TCP6 2001:db8::7 ")
