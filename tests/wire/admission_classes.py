"""Who counts as whom: partners by network and by certificate, users by what the application answered to their
credentials, suspects by what they do. And that nothing a client says of itself makes it anybody."""
import threading

import pytest

import harness

BROWSER = ("User-Agent", "Mozilla/5.0")
CLASSES = ("partner", "known", "unknown", "suspect")


@pytest.fixture
def app():
    with harness.Application() as app:
        yield app


def wants_token(token):
    """401 without it, 401 with a wrong one."""
    def behave(call):
        call.body()
        if call.request.fields.get("authorization") == f"Bearer {token}":
            call.answer(body=b"record")
        else:
            call.answer(401, fields=[("WWW-Authenticate", "Bearer")])
    return behave


def wants_session(value):
    """To the login page without it."""
    def behave(call):
        call.body()
        if f"JSESSIONID={value}" in (call.request.fields.get("cookie") or ""):
            call.answer(body=b"record")
        else:
            call.answer(302, fields=[("Location", "/login"), ("Set-Cookie", "JSESSIONID=0123456789abcdef0123")])
    return behave


class Counts:
    """How many requests were of which class since the last look."""

    def __init__(self, gate):
        self.gate = gate
        self.before = self._read()

    def _read(self):
        return {name: self.gate.counter(f"polder_requests_{name}_total") for name in CLASSES}

    def new(self):
        now = self._read()
        found = {name: now[name] - self.before[name] for name in CLASSES if now[name] != self.before[name]}
        self.before = now
        return found


def class_of(gate, client, target="/x", fields=()):
    """The class of one request."""
    counts = Counts(gate)
    client.get(target, [BROWSER, *fields])
    found = counts.new()
    assert len(found) == 1, found
    return next(iter(found))


def bearer(token):
    return ("Authorization", f"Bearer {token}")


GOOD, BAD, WORSE = "a" * 40, "b" * 40, "c" * 40


def test_strangers_are_unknown(app):
    with harness.Gate(harness.simple_config(app.port)) as gate, gate.connect() as client:
        assert class_of(gate, client) == "unknown"


def test_headers_make_nobody(app):
    """Not the fields that proxies use, nor those of the gate itself, nor a credential that is merely there."""
    config = harness.simple_config(app.port)
    config["partners"] = [{"name": "mcl", "networks": ["192.0.2.0/24"], "certificates": ["gateway.mcl.example"]}]
    claims = [("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=192.0.2.7"), ("X-Real-IP", "192.0.2.7"),
              ("X-Polder-Client-Verified", "yes"), ("X-Polder-Client-Subject", "CN=gateway.mcl.example"),
              ("X-Client-Cert", "gateway.mcl.example"), ("Cookie", "session=0123456789abcdef0123456789abcdef")]
    with harness.Gate(config) as gate, gate.connect() as client:
        for claim in claims:
            assert class_of(gate, client, fields=[claim]) == "unknown", claim
        assert class_of(gate, client, fields=[bearer(GOOD)]) == "unknown"
        assert class_of(gate, client, fields=[bearer(GOOD)]) == "unknown"


def test_partner_by_network(app):
    config = harness.simple_config(app.port)
    config["partners"] = [{"name": "wide", "networks": ["127.0.0.0/8"]}, {"name": "else", "networks": ["127.0.0.0/28"]}]
    with harness.Gate(config) as gate:
        with gate.connect() as client:
            assert class_of(gate, client) == "partner"
        config["partners"] = [{"name": "one", "networks": ["127.0.0.9/32"]}]
        gate.write_config(config)
        gate.reload()
        with gate.connect() as client:
            assert class_of(gate, client) == "unknown"
        with gate.connect(source="127.0.0.9") as client:
            assert class_of(gate, client) == "partner"


def test_partner_loses_its_name_with_the_configuration(app):
    """Also on a connection that was open before."""
    config = harness.simple_config(app.port)
    config["partners"] = [{"name": "house", "networks": ["127.0.0.0/8"]}]
    with harness.Gate(config, workers=1) as gate, gate.connect() as client:
        assert class_of(gate, client) == "partner"
        del config["partners"]
        gate.write_config(config)
        gate.reload()
        assert class_of(gate, client) == "unknown"


def test_partner_by_certificate(app, certificates):
    config = harness.simple_config(app.port)
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    config["listeners"] = [{"name": "tls", "tls": {"certificates": ["noord"], "http2": False,
                                                   "client_certificates": "optional",
                                                   "client_ca": certificates.client_ca.path}}]
    config["partners"] = [{"name": "mcl", "networks": [], "certificates": ["gateway.mcl.example", "Praktijk Jansen"]}]
    named = certificates.client_ca.issue("mcl", names=["other.example", "Gateway.MCL.example"], client=True, subject="x")
    common = certificates.client_ca.issue("jansen", client=True, subject="Praktijk Jansen")
    longer = certificates.client_ca.issue("longer", names=["gateway.mcl.example.evil.example"], client=True,
                                          subject="Praktijk Jansen B")
    with harness.Gate(config) as gate:
        def class_with(client):
            tls = harness.tls_context(certificates.ca.path, client=client)
            with gate.connect(tls=tls) as c:
                return class_of(gate, c)
        assert class_with(None) == "unknown"
        assert class_with(named) == "partner"
        assert class_with(common) == "partner"
        assert class_with(longer) == "known", "a certificate of the house's authority is no stranger's, but no partner's"
        assert class_with(None) == "unknown", "and nothing of it stays with the address"


def test_token_is_earned(app):
    app.on("/record", wants_token(GOOD))
    with harness.Gate(harness.simple_config(app.port), workers=1) as gate:
        with gate.connect(source="127.0.0.3") as client:
            assert client.get("/record", [bearer(GOOD)]).status == 200
            assert class_of(gate, client, fields=[bearer(GOOD)]) == "unknown", "nothing shows that it was looked at"
            assert client.get("/record").status == 401
            assert client.get("/record", [bearer(GOOD)]).status == 200
            assert class_of(gate, client, fields=[bearer(GOOD)]) == "known"
        with gate.connect(source="127.0.0.4") as client:
            assert class_of(gate, client) == "unknown", "another address"
            assert class_of(gate, client, fields=[bearer(GOOD)]) == "known", "the user is known wherever it is"
            assert class_of(gate, client, fields=[bearer(BAD)]) == "unknown"
        with gate.connect(source="127.0.0.3") as client:
            assert class_of(gate, client) == "known", "the address is, too"


def test_session_is_earned_only_against_another(app):
    """Without any cookie an application redirects everybody: that shows nothing."""
    session = "f" * 32
    app.on("/start", wants_session(session))
    with harness.Gate(harness.simple_config(app.port), workers=1) as gate:
        cookie = ("Cookie", f"theme=dark; JSESSIONID={session}; lang=nl")
        with gate.connect(source="127.0.0.5") as client:
            assert client.get("/start").status == 302
            assert client.get("/start", [cookie]).status == 200
            assert class_of(gate, client, fields=[cookie]) == "unknown"
        with gate.connect(source="127.0.0.6") as client:
            assert client.get("/start", [("Cookie", "JSESSIONID=" + "e" * 32)]).status == 302
        with gate.connect(source="127.0.0.5") as client:
            assert client.get("/start", [cookie]).status == 200
            assert class_of(gate, client, fields=[cookie]) == "known"
        with gate.connect(source="127.0.0.6") as client:
            assert class_of(gate, client) == "unknown", "who was refused has earned nothing"


@pytest.mark.parametrize("status, method", [(200, "POST"), (404, "GET"), (302, "GET"), (500, "GET")])
def test_what_proves_nothing(app, status, method):
    """Only a success of what changes nothing."""
    def behave(call):
        call.body()
        if call.request.fields.get("authorization") == f"Bearer {GOOD}":
            call.answer(status, fields=[("Location", "/")] if status == 302 else [])
        else:
            call.answer(401)
    app.on("/record", behave)
    with harness.Gate(harness.simple_config(app.port), workers=1) as gate, gate.connect() as client:
        assert client.get("/record").status == 401
        body = b"x" if method == "POST" else None
        assert client.ask(method, "/record", [bearer(GOOD)], body).status == status
        assert class_of(gate, client, fields=[bearer(GOOD)]) == "unknown"


def test_guesses_earn_nothing(app):
    app.on("/record", wants_token(GOOD))
    with harness.Gate(harness.simple_config(app.port), workers=1) as gate, gate.connect() as client:
        for token in (BAD, WORSE, BAD):
            assert client.get("/record", [bearer(token)]).status == 401
            assert class_of(gate, client, fields=[bearer(token)]) == "unknown"


def test_broken_requests_make_suspect_and_users_stay_known(app):
    app.on("/record", wants_token(GOOD))
    with harness.Gate(harness.simple_config(app.port), workers=1) as gate:
        with gate.connect(source="127.0.0.7") as client:
            client.get("/record")
            client.get("/record", [bearer(GOOD)])
        for _ in range(10):
            with gate.connect(source="127.0.0.8") as client:
                client.send(b"GET /x HTTP/1.1\r\nHost: noord.test\r\nBad Name: x\r\n\r\n")
                assert client.response().status == 400
        with gate.connect(source="127.0.0.8") as client:
            assert class_of(gate, client) == "suspect"
            assert class_of(gate, client, fields=[bearer(GOOD)]) == "known", "a user's standing goes before"
            assert client.get("/x").status == 200, "with room for all, a suspect is served"
        with gate.connect(source="127.0.0.7") as client:
            assert class_of(gate, client) == "known"


def test_failed_handshakes_make_suspect(app, certificates):
    config = harness.simple_config(app.port)
    config["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    config["listeners"] = [{"name": "tls", "tls": {"certificates": ["noord"], "http2": False}}, {"name": "clear"}]
    with harness.Gate(config, workers=1) as gate:
        for _ in range(9):
            gate.raw(b"GET / HTTP/1.1\r\nHost: noord.test\r\n\r\n", "tls")
        with gate.connect("clear") as client:
            assert class_of(gate, client) == "suspect"


def test_firewall_hits_make_suspect(app, tmp_path):
    rules = tmp_path / "own.conf"
    rules.write_text('SecRuleEngine On\nSecRule ARGS "@contains evil" "id:1,phase:1,deny,status:403,log"\n')
    config = harness.simple_config(app.port)
    config["waf"] = {"rules": [str(rules)]}
    app.on("/record", wants_token(GOOD))
    with harness.Gate(config, workers=1) as gate:
        with gate.connect(source="127.0.0.7") as client:
            client.get("/record")
            client.get("/record", [bearer(GOOD)])
            for _ in range(3):
                assert client.get("/x?q=evil").status == 403
            assert class_of(gate, client) == "suspect", "this connection"
        with gate.connect(source="127.0.0.7") as client:
            assert class_of(gate, client) == "unknown", "a known address with suspicion: one behind it is at fault"
        with gate.connect() as client:
            for _ in range(3):
                assert client.get("/x?q=evil").status == 403
            assert class_of(gate, client) == "suspect"


def test_known_go_first(app):
    """Strangers and a known user wait in one cluster: the user does not go behind the strangers."""
    order, release = [], threading.Event()

    def held(call):
        call.body()
        order.append(call.request.target)
        call.wait(release)
        call.answer(body=b"done")
    app.on("/record", wants_token(GOOD)).on("/slow", held).on("/own", held)
    with harness.Gate(harness.simple_config(app.port), workers=1) as gate:
        with gate.connect(source="127.0.0.7") as client:
            client.get("/record")
            client.get("/record", [bearer(GOOD)])
        crowd = []
        for _ in range(40):
            client = gate.connect(source="127.0.0.2")
            client.request("GET", "/slow", [BROWSER])
            crowd.append(client)
        harness.until(lambda: gate.counter("polder_admission_waiting") >= 20, "strangers wait")
        user = gate.connect(source="127.0.0.7")
        user.request("GET", "/own", [BROWSER, bearer(GOOD)])
        harness.until(lambda: gate.counter("polder_requests_known_total") >= 1, "the user too")
        began = len(order)
        release.set()
        assert user.response().status == 200
        assert order.index("/own") <= began + 12, order  # those that go together come in any order
        for client in crowd:
            client.close()
