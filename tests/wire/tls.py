"""TLS at the listeners and towards the applications: versions, certificates by name, ALPN, HSTS, verification."""
import socket
import ssl

import pytest

import harness

HOST_LINE = b"Host: noord.test\r\n"


@pytest.fixture(scope="module")
def secure_app(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificates.zuid.chain), str(certificates.zuid.key))
    with harness.Application(name="secure", tls=context) as app:
        yield app


@pytest.fixture(scope="module")
def picky_app(certificates):
    """It wants to see the gate's own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificates.zuid.chain), str(certificates.zuid.key))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(str(certificates.client_ca.path))
    with harness.Application(name="picky", tls=context) as app:
        yield app


@pytest.fixture(scope="module")
def gate(secure_app, picky_app, certificates, tmp_path_factory):
    other_ca = harness.Authority(tmp_path_factory.mktemp("other"), "other-ca")
    c = certificates
    def upstream(name, port=secure_app.port, **tls):
        return {"name": name, "endpoints": [f"127.0.0.1:{port}"], "tls": tls, "outlier": {"failures": 0}, "retries": {"max": 0}}
    upstreams = [
        upstream("good", ca=c.ca.path, server_name="zuid.test"), upstream("wrong-name", ca=c.ca.path),
        upstream("wrong-ca", ca=other_ca.path, server_name="zuid.test"), upstream("unverified", verify=False),
        upstream("login", picky_app.port, ca=c.ca.path, server_name="zuid.test", certificate="client"),
        upstream("no-login", picky_app.port, ca=c.ca.path, server_name="zuid.test")]
    config = harness.simple_config(secure_app.port)
    config["upstreams"] = upstreams
    config["certificates"] = [{"name": n, "chain": i.chain, "key": i.key} for n, i in
                              [("noord", c.noord), ("noord-rsa", c.noord_rsa), ("zuid", c.zuid), ("client", c.client)]]
    config["listeners"] = [
        {"name": "https", "tls": {"certificates": ["noord", "noord-rsa", "zuid"], "http2": False, "hsts": "1y"}},
        {"name": "https12", "tls": {"certificates": ["noord", "noord-rsa", "zuid"], "http2": False, "versions": [1.2, 1.3]}},
        {"name": "h2", "tls": {"certificates": ["noord"]}}, {"name": "http"}]
    config["clusters"] = [{"name": "noord", "hosts": ["noord.test", "zuid.test"],
                           "routes": [{"path": "/", "upstream": "good"}] + [{"path": f"/{u['name']}", "upstream": u["name"]} for u in upstreams]}]
    with harness.Gate(config) as gate:
        yield gate


def test_defaults(gate, certificates):
    with gate.connect("https", tls=harness.tls_context(certificates.ca.path)) as client:
        assert client.sock.version() == "TLSv1.3"
        assert client.sock.cipher()[0] in ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        answer = client.get("/x")
        assert answer.status == 200
        assert answer.fields.get("strict-transport-security") == "max-age=31536000"
    with gate.connect("http") as client:
        assert "strict-transport-security" not in client.get("/x").fields


def test_hsts_on_own_answers(gate, certificates):
    with gate.connect("https", tls=harness.tls_context(certificates.ca.path), host="nowhere.test") as client:
        assert client.get("/x").fields.get("strict-transport-security") == "max-age=31536000"


def test_applications_hsts_gives_way(gate, certificates, secure_app):
    secure_app.on("/hsts", lambda call: call.answer(fields=[("Strict-Transport-Security", "max-age=1")]))
    with gate.connect("https", tls=harness.tls_context(certificates.ca.path)) as client:
        assert client.get("/hsts").fields.all("strict-transport-security") == ["max-age=31536000"]


def test_tls12_off_and_on(gate, certificates):
    old = harness.tls_context(certificates.ca.path, maximum=ssl.TLSVersion.TLSv1_2)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        gate.connect("https", tls=old)
    with gate.connect("https12", tls=old) as client:
        assert client.sock.version() == "TLSv1.2"
        assert client.get("/x").status == 200


@pytest.mark.parametrize("ciphers, accepted", [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", True), ("ECDHE-RSA-AES256-GCM-SHA384", True), ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
    ("ECDHE-RSA-AES256-SHA384", False), ("AES256-GCM-SHA384", False), ("DHE-RSA-AES256-GCM-SHA384", False)])
def test_tls12_ciphers(gate, certificates, ciphers, accepted):
    context = harness.tls_context(certificates.ca.path, maximum=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(ciphers + ":@SECLEVEL=0")
    if not accepted:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            gate.connect("https12", tls=context)
        return
    with gate.connect("https12", tls=context) as client:
        assert client.get("/x").status == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_than_1_2_never(gate, certificates):
    context = harness.tls_context(certificates.ca.path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        gate.connect("https12", tls=context)


def subject_of(gate, name, **more):
    context = harness.tls_context(more.pop("ca", None), **more)
    with gate.connect("https", tls=context, server_name=name, host=name or harness.HOST) as client:
        assert client.get("/x").status == 200
        return client.sock.getpeercert(binary_form=True)


def test_certificate_by_name(gate, certificates):
    """By the client's server name; the first for clients that give none. Checked by the client itself where it can."""
    from cryptography.hazmat.primitives.serialization import Encoding
    der = {n: getattr(certificates, n).certificate.public_bytes(Encoding.DER) for n in ("noord", "noord_rsa", "zuid")}
    assert subject_of(gate, "noord.test", ca=certificates.ca.path) == der["noord"]
    assert subject_of(gate, "zuid.test", ca=certificates.ca.path) == der["zuid"]
    assert subject_of(gate, None) == der["noord"]
    with gate.connect("https", tls=harness.tls_context(certificates.ca.path), server_name="a.noord.test") as client:
        assert client.sock.getpeercert(binary_form=True) == der["noord"]
    rsa_only = harness.tls_context(certificates.ca.path, maximum=ssl.TLSVersion.TLSv1_2)
    rsa_only.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
    with gate.connect("https12", tls=rsa_only) as client:
        assert client.sock.getpeercert(binary_form=True) == der["noord_rsa"]


def test_many_handshakes_at_once(gate, certificates):
    """Each waits for its signature without keeping the others waiting."""
    context, clients = harness.tls_context(certificates.ca.path), []
    sockets = [gate.open_socket("https") for _ in range(60)]
    for s in sockets:
        clients.append(harness.Client(context.wrap_socket(s, server_hostname=harness.HOST)))
    for client in clients:
        client.request("GET", "/x")
    for client in clients:
        assert client.response().status == 200
        client.close()


def test_no_common_alpn(gate, certificates):
    context = harness.tls_context(certificates.ca.path, alpn=("spdy/3",))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        gate.connect("https", tls=context)
    with gate.connect("https", tls=harness.tls_context(certificates.ca.path, alpn=())) as client:
        assert client.get("/x").status == 200


def test_alpn_offers_h2(gate, certificates):
    with gate.connect("h2", tls=harness.tls_context(certificates.ca.path, alpn=("h2", "http/1.1"))) as client:
        assert client.sock.selected_alpn_protocol() == "h2"
    with gate.connect("h2", tls=harness.tls_context(certificates.ca.path, alpn=("http/1.1",))) as client:
        assert client.get("/x").status == 200


NOT_TLS = {"http": b"GET / HTTP/1.1\r\n" + HOST_LINE + b"\r\n", "garbage": b"\xff" * 300, "ssl2": b"\x80\x2e\x01\x00\x02" + b"\0" * 60,
           "huge_record": b"\x16\x03\x01\xff\xff" + b"\x01" * 20_000, "empty_records": b"\x16\x03\x01\x00\x00" * 2000,
           "cut_hello": b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff"}


@pytest.mark.parametrize("data", NOT_TLS.values(), ids=NOT_TLS.keys())
def test_not_tls(gate, data):
    pids, before = gate.pids("worker"), gate.counter("polder_handshakes_failed_total")
    with gate.connect("https") as client:
        try:
            client.send(data)
            client.half_close()
        except OSError:
            pass
        assert not client.rest().startswith(b"HTTP")
    gate.wait_counter("polder_handshakes_failed_total", before + 1)
    assert gate.pids("worker") == pids


def test_close_notify(gate, certificates):
    """The gate ends a TLS connection with a word, so that the client can tell the end from a cut."""
    with gate.connect("https", tls=harness.tls_context(certificates.ca.path)) as client:
        assert client.get("/x", [("Connection", "close")]).status == 200
        assert client.sock.recv(1) == b"", "SSLEOFError would mean that it was cut"


# ---- towards the applications

@pytest.mark.parametrize("path, status", [("good", 200), ("unverified", 200), ("wrong-name", 502), ("wrong-ca", 502),
                                          ("login", 200), ("no-login", 502)])
def test_upstream(gate, path, status):
    with gate.connect("http") as client:
        for _ in range(3):
            assert client.get(f"/{path}/x").status == status


def test_upstream_server_name(gate, certificates, secure_app):
    names = []
    secure_app.tls.sni_callback = lambda _socket, name, _context: names.append(name)
    secure_app.drop_connections()
    with gate.connect("http") as client:
        assert client.get("/good/x").status == 200
    secure_app.tls.sni_callback = None
    assert names == ["zuid.test"]


def test_upstream_that_speaks_clear(certificates):
    with harness.Application() as app:
        config = harness.simple_config(app.port, upstream={"tls": {"ca": str(certificates.ca.path)}, "connect_timeout": "500ms"})
        with harness.Gate(config, workers=1) as gate:
            with gate.connect() as client:
                assert client.get("/x").status in (502, 504)


def test_upstream_that_never_answers_the_hello(certificates):
    with socket.socket() as silent:
        harness.bind_free_port(silent)
        silent.listen(8)
        config = harness.simple_config(silent.getsockname()[1], upstream={
            "tls": {"ca": str(certificates.ca.path)}, "connect_timeout": "300ms", "retries": {"max": 0}})
        with harness.Gate(config, workers=1) as gate:
            with gate.connect() as client:
                assert client.get("/x").status == 504
