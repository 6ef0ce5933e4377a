"""Client certificates: asked for and required by listener and by route, revoked, resumed; and what the application is
told about them, which nobody else can say."""
import ssl

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

import harness


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


@pytest.fixture(scope="module")
def revoked(certificates):
    return certificates.client_ca.issue("revoked", client=True, subject="Ingetrokken")


def config_for(app, certificates, crl):
    config = harness.simple_config(app.port)
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    def tls(kind, **more):
        return {"certificates": ["noord"], "http2": False, "client_certificates": kind,
                "client_ca": certificates.client_ca.path, "client_crl": crl, **more}
    config["listeners"] = [
        {"name": "off", "tls": {"certificates": ["noord"], "http2": False, "versions": [1.2, 1.3]}},
        {"name": "optional", "tls": tls("optional")}, {"name": "required", "tls": tls("required")},
        {"name": "required12", "tls": tls("required", versions=[1.2, 1.3])}, {"name": "clear"}]
    config["clusters"][0]["routes"].append({"path": "/care", "upstream": "app", "client_certificates": "required"})
    return config


@pytest.fixture(scope="module")
def gate(app, certificates, revoked):
    crl = certificates.client_ca.revocation_list("crl", [revoked.certificate])
    config = config_for(app, certificates, crl)
    # The route needs a certificate, so every listener must be able to ask for one.
    config["listeners"] = [l for l in config["listeners"] if l["name"] not in ("off", "clear")]
    with harness.Gate(config) as gate:
        yield gate


def connect(gate, certificates, listener, client=None, **more):
    tls = harness.tls_context(certificates.ca.path, client=client, maximum=more.pop("maximum", None))
    return gate.connect(listener, tls=more.pop("context", tls), **more)


def refused(gate, certificates, listener, client=None, **more):
    """The handshake fails; with TLS 1.3 the client learns it only when it reads."""
    before = gate.counter("polder_handshakes_failed_total")
    try:
        with connect(gate, certificates, listener, client, **more) as c:
            c.request("GET", "/never")
            c.sock.recv(1)
            return False
    except (ssl.SSLError, ConnectionError):
        gate.wait_counter("polder_handshakes_failed_total", before + 1)
        return True


def fields_of(answer):
    return harness.Fields(map(tuple, answer.json()["fields"]))


def test_required(gate, certificates, app):
    app.clear()
    assert refused(gate, certificates, "required")
    assert refused(gate, certificates, "required12", maximum=ssl.TLSVersion.TLSv1_2)
    for listener, maximum in [("required", None), ("required12", ssl.TLSVersion.TLSv1_2)]:
        with connect(gate, certificates, listener, certificates.client, maximum=maximum) as client:
            assert client.get("/x").status == 200
    assert not app.seen("/never")


def test_of_a_stranger(gate, certificates, tmp_path):
    stranger = harness.Authority(tmp_path, "client-ca").issue("client", client=True, subject="Praktijk Noord")
    assert refused(gate, certificates, "required", stranger)
    assert refused(gate, certificates, "optional", stranger)


def test_server_certificate_is_no_client(gate, certificates):
    """The right authority, the wrong use."""
    server = certificates.client_ca.issue("posing", ["noord.test"])
    assert refused(gate, certificates, "required", server)


def test_expired(gate, certificates):
    assert refused(gate, certificates, "required", certificates.client_ca.issue("expired", client=True, days=-1))


def test_revoked(gate, certificates, revoked):
    assert refused(gate, certificates, "required", revoked)
    assert refused(gate, certificates, "optional", revoked)


def test_optional_and_route(gate, certificates, app):
    with connect(gate, certificates, "optional") as client:
        answer = client.get("/x")
        assert answer.status == 200 and not [n for n in fields_of(answer).names() if n.startswith("x-polder-client")]
        assert client.get("/care").status == 403
        assert client.get("/care/patient").status == 403
        assert client.get("/x/../care").status == 403
    assert not [r for r in app.requests if r.path.startswith("/care")]
    with connect(gate, certificates, "optional", certificates.client) as client:
        assert client.get("/care/patient").status == 200


def test_what_the_application_is_told(gate, certificates):
    with connect(gate, certificates, "optional", certificates.client) as client:
        answer = client.get("/x", [("X-Polder-Client-Subject", "CN=Huisarts"), ("X-Polder-Client-Verified", "no"),
                                   ("x-polder-client-sha256", "00"), ("X-Polder-Client-Serial", "1")])
    fields, certificate = fields_of(answer), certificates.client.certificate
    assert fields.get("x-polder-client-verified") == "yes"
    assert fields.get("x-polder-client-subject") == "CN=Praktijk Noord"
    assert fields.get("x-polder-client-sha256").lower() == certificate.fingerprint(hashes.SHA256()).hex()
    assert int(fields.get("x-polder-client-serial"), 16) == certificate.serial_number
    line = gate.wait_log(answer.fields.get("x-request-id"))
    assert "Praktijk" not in str(line), "who it was is the application's business"


SUBJECTS = {
    "several": [(NameOID.COUNTRY_NAME, "NL"), (NameOID.ORGANIZATION_NAME, "Huisartsen Noord B.V."), (NameOID.COMMON_NAME, "de Vries, J.")],
    "plus_and_equals": [(NameOID.COMMON_NAME, "a=b,CN=admin+OU=x;\"y\"")],
    "not_ascii": [(NameOID.COMMON_NAME, "Praktijk Curaçao 中")],
    "line_end": [(NameOID.COMMON_NAME, "x\r\nX-Polder-Client-Role: admin")],
    "nul": [(NameOID.COMMON_NAME, "noord\0.evil")],
    "long": [(NameOID.ORGANIZATIONAL_UNIT_NAME, "u" * 60)] * 30,
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_odd_subjects(gate, certificates, app, name):
    """A subject is text from outside: whatever stands in it, it stays one value of one field."""
    odd = certificates.client_ca.issue("odd", client=True, subject=SUBJECTS[name])
    app.clear()
    with connect(gate, certificates, "required", odd) as client:
        answer = client.get("/x")
    assert not app.wrong
    if answer.status == 200:
        fields = fields_of(answer)
        subject = fields.get("x-polder-client-subject")
        assert subject and all(" " <= c <= "~" for c in subject), subject
        assert "x-polder-client-role" not in fields
        assert fields.get("x-polder-client-serial")


def test_resumed(gate, certificates):
    """A resumed session is still that client."""
    context = harness.tls_context(certificates.ca.path, client=certificates.client)
    with connect(gate, certificates, "required", context=context) as client:
        assert client.get("/x").status == 200
        session = client.sock.session
    with connect(gate, certificates, "required", context=context, session=session) as client:
        assert fields_of(client.get("/x")).get("x-polder-client-subject") == "CN=Praktijk Noord"
        assert client.sock.session_reused


def test_session_of_another_listener(gate, certificates):
    """A session that was made without a certificate opens no door where one is required."""
    context = harness.tls_context(certificates.ca.path)
    with connect(gate, certificates, "optional", context=context) as client:
        assert client.get("/x").status == 200
        session = client.sock.session
    assert refused(gate, certificates, "required", context=context, session=session)


def test_revoked_by_a_reload(app, certificates):
    """A new list is taken into use by a reload, without a restart; also for a session from before."""
    late = certificates.client_ca.issue("late", client=True, subject="Laat")
    crl = certificates.client_ca.revocation_list("crl-late")
    config = config_for(app, certificates, crl)
    config["listeners"] = [l for l in config["listeners"] if l["name"] == "required"]
    context = harness.tls_context(certificates.ca.path, client=late)
    with harness.Gate(config) as gate:
        with connect(gate, certificates, "required", context=context) as client:
            assert client.get("/x").status == 200
            session = client.sock.session
            certificates.client_ca.revocation_list("crl-late", [late.certificate])
            gate.reload()
            assert refused(gate, certificates, "required", late)
            assert refused(gate, certificates, "required", context=context, session=session)


def test_a_route_that_no_listener_can_serve(app, certificates):
    """A route may require what its listener does not ask for: then nobody gets in, rather than everybody."""
    config = config_for(app, certificates, certificates.client_ca.revocation_list("crl-none"))
    config["listeners"] = [l for l in config["listeners"] if l["name"] in ("off", "clear")]
    try:
        gate = harness.Gate(config)
    except harness.Trouble as trouble:
        assert "client" in str(trouble)
        return
    with gate:
        with gate.connect("clear") as client:
            assert client.get("/care").status == 403
        with connect(gate, certificates, "off", certificates.client) as client:
            assert client.get("/care").status == 403
