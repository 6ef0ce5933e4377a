"""What each class of peers gets at each level, through the real gate: both protocols, with TLS and without, IPv4 and
IPv6, the site and one cluster; read-only partners and partners on probation; and that it is counted and told."""
import json
import subprocess
import threading

import pytest

import guard_kit
import h2peer
import harness
import waf_kit
from guard_kit import HOSPITAL, HOSPITAL6, MANAGEMENT, MANAGEMENT6, PHARMACY, STRANGER, STRANGER6, WARD, WARD6

SHUT = None  # the connection is closed without a word
# level: strangers, partners, inside, management. At closed partners were cut off with the others.
EXPECTED = {"open": (200, 200, 200, 200), "guarded": (200, 200, 200, 200), "partners": (503, 200, 200, 200),
            "closed": (503, 503, 200, 200), "sealed": (SHUT, SHUT, SHUT, 200)}
PEERS = (STRANGER, HOSPITAL, WARD, MANAGEMENT)
PEERS6 = (STRANGER6, HOSPITAL6, WARD6, MANAGEMENT6)


@pytest.fixture(scope="module")
def gate(certificates):
    quick = {"stage": "0", "quiet": "0"}
    with guard_kit.site(certificates, isolation=quick) as gate:
        yield gate


@pytest.fixture(autouse=True)
def opened(gate):
    yield
    gate.order("isolate", "open", "--partners-back", expect=None)
    for cluster in ("noord", "zuid"):
        gate.order("isolate", "open", "--partners-back", "--cluster", cluster, expect=None)


def h2_status(gate, source, listener, certificates):
    tls = h2peer.tls(certificates) if listener == "https" else None
    try:
        with h2peer.Peer(gate.peer(source, listener, tls=tls)) as peer:
            return peer.get("/x").status
    except (h2peer.Gone, h2peer.Reset, harness.Trouble, OSError):
        return SHUT


@pytest.mark.parametrize("level", guard_kit.LEVELS)
def test_site(gate, certificates, level):
    gate.isolate(level)
    h1 = harness.tls_context(certificates.ca.path)
    for source, source6, status in zip(PEERS, PEERS6, EXPECTED[level]):
        assert gate.status_of(source) == status
        assert gate.status_of(source, listener="https", tls=h1) == status
        assert gate.status_of(source6) == status
        assert h2_status(gate, source, "h2c", certificates) == status
        assert h2_status(gate, source, "https", certificates) == status
    seen = {r.fields.get("x-forwarded-for") for r in gate.app.seen("/x")}
    gate.app.clear()
    refused = {source for peers in (PEERS, PEERS6) for source, status in zip(peers, EXPECTED[level]) if status != 200}
    assert not seen & refused and len(seen) == 8 - len(refused), "who is kept out must not reach the application"


@pytest.mark.parametrize("level", guard_kit.LEVELS[1:])
def test_one_cluster(gate, level):
    """The other cluster feels nothing."""
    gate.isolate(level, "--cluster", "noord")
    for source, status in zip(PEERS, EXPECTED[level]):
        assert gate.status_of(source) == status
        assert gate.status_of(source, host="zuid.test") == 200
    status = gate.status()["isolation"]
    assert status["level"] == "open"
    assert [(c["name"], c["level"], c["reason"]) for c in status["clusters"]] == [("noord", level, "a test")]


def test_stricter_of_the_two(gate):
    gate.isolate("partners")
    gate.isolate("closed", "--cluster", "zuid")
    assert gate.status_of(HOSPITAL) == 200 and gate.status_of(HOSPITAL, host="zuid.test") == 503


def test_who_is_kept_out_learns_nothing(gate):
    """The same notice for what is there and for what is not; no route is told from none, no host from another."""
    gate.isolate("closed")
    bodies = {gate.answer(target=target, method=method, fields=[("Accept", "text/plain")]).body
              for target in ("/x", "/closed", "/no/such/thing") for method in ("GET", "POST", "DELETE", "OPTIONS")}
    assert len(bodies) == 1
    assert gate.answer(host="unknown.test").status == 503
    assert gate.status_of(WARD, host="unknown.test") == 421


def test_the_way_back(gate):
    """Cut, read-only, on probation, full; the other partner stays where he is."""
    gate.isolate("closed")
    gate.isolate("partners")
    assert gate.status_of(HOSPITAL) == 503, "lowering the level reconnects nobody"
    gate.order("reconnect", "next", "umc")
    for method, status in (("GET", 200), ("HEAD", 200), ("OPTIONS", 200), ("POST", 403), ("PUT", 403), ("PATCH", 403), ("DELETE", 403)):
        assert gate.status_of(HOSPITAL, method=method) == status
    refused = gate.answer(HOSPITAL, method="POST", fields=[("Accept", "application/fhir+json")])
    assert refused.json()["issue"][0]["code"] == "forbidden" and "may read only" in refused.json()["issue"][0]["diagnostics"]
    page = gate.answer(HOSPITAL, method="POST").body.decode()
    assert "alleen worden gelezen" in page and "nothing was stored" in page
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
               ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    assert gate.answer(HOSPITAL, fields=upgrade).status == 403, "a tunnel can write"
    gate.order("reconnect", "next", "umc", "--rate", "3")
    with gate.peer(HOSPITAL) as client:
        statuses = [client.get("/x").status for _ in range(12)]
        assert statuses[:3] == [200] * 3 and 429 in statuses, statuses
    limited = gate.answer(HOSPITAL)
    if limited.status == 429:
        assert limited.fields.get("retry-after")
    assert gate.status_of(PHARMACY) == 503
    gate.order("reconnect", "next", "umc")
    with gate.peer(HOSPITAL) as client:
        assert [client.ask("POST", "/x", body=b"1").status for _ in range(12)] == [200] * 12


def test_probation_holds_over_all_workers(gate):
    """Two workers together let no more through than the rate: connections are spread over them."""
    gate.isolate("closed")
    gate.isolate("partners")
    gate.order("reconnect", "next", "umc")
    gate.order("reconnect", "next", "umc", "--rate", "5")
    began, statuses = harness.time.monotonic(), []
    while statuses.count(200) < 12:
        statuses.append(gate.status_of(HOSPITAL))
    took_s = harness.time.monotonic() - began
    assert statuses.count(200) <= 5 + 5 * took_s + 1, took_s
    assert set(statuses) == {200, 429}


def test_strangers_are_limited_when_guarded(gate):
    gate.isolate("guarded")
    stranger6 = "2001:db8:77::1"
    statuses = [gate.status_of(stranger6) for _ in range(90)]
    assert statuses[:40] == [200] * 40 and 429 in statuses, "a page with all it shows comes through, a machine does not"
    assert {gate.status_of("2001:db8:78::1") for _ in range(5)} == {200}, "another network is another source"
    assert {gate.status_of(HOSPITAL6) for _ in range(90)} == {200}


def test_strangers_are_inspected_strictly_when_guarded(certificates):
    """A cluster whose firewall only detects: at level guarded it blocks for strangers, for nobody else, and nowhere else."""
    evil = [("X-Evil", "1")]
    with harness.Application() as app:
        config = guard_kit.config(app.port, certificates, waf={"rules": ["rules.conf"]})
        config["clusters"][0]["waf"] = {"mode": "detect"}
        config["clusters"][1]["waf"] = {"mode": "off"}
        gate = guard_kit.Site(config, start=False)
        (gate.folder / "rules.conf").write_text(waf_kit.RULES)
        with gate.start():
            assert gate.status_of(STRANGER, fields=evil) == 200
            gate.isolate("guarded")
            assert gate.status_of(STRANGER, fields=evil) == 403 and gate.status_of(STRANGER) == 200
            for source in (HOSPITAL, WARD, MANAGEMENT):
                assert gate.status_of(source, fields=evil) == 200
            assert gate.status_of(STRANGER, fields=evil, host="zuid.test") == 200, "where nobody looks nobody looks"
            gate.isolate("open")
            assert gate.status_of(STRANGER, fields=evil) == 200


def test_exception(gate):
    """A partner with an exception goes on at closed, by port; it ends by itself."""
    port = gate.port("http")
    gate.order("isolate", "closed", "--except", f"umc:in:{port}")
    assert gate.status_of(HOSPITAL) == 200 and gate.status_of(PHARMACY) == 503
    assert gate.status_of(HOSPITAL6) == 503, "that is another port"
    gate.order("isolate", "revoke", "umc")
    assert gate.status_of(HOSPITAL) == 503


def test_the_other_direction(certificates):
    """What the gate itself would call lies with a partner: refused while he is cut off, to the ward too; what is under
    way to him ends; reading comes back first."""
    laboratory = {"name": "lab", "networks": ["127.0.0.1/32"]}  # where the application is
    go = threading.Event()
    with guard_kit.site(certificates, partners=[laboratory], isolation={"stage": "0"}) as gate:
        gate.app.on("/held", lambda call: (call.body(), call.wait(go), call.answer(body=b"late")))
        gate.isolate("partners")
        assert gate.status_of(WARD) == 200
        with gate.peer(WARD) as waiting, h2peer.Peer(gate.peer(WARD, "h2c")) as peer:
            waiting.request("GET", "/held")
            stream = peer.request("GET", "/held")
            gate.app.wait_for("/held", 2)
            gate.isolate("closed")
            assert waiting.response().status == peer.wait(stream).status == 503
            assert peer.get("/x").status == 503 and peer.goaway is None, "the ward itself may stay"
            go.set()
        answer = gate.answer(WARD)
        assert answer.status == 503 and "voorlopig afgesloten" in answer.body.decode()
        gate.app.clear()
        gate.order("reconnect", "next", "lab")
        assert gate.status_of(WARD) == 200 and gate.status_of(WARD, method="POST") == 403
        assert gate.refusals("isolation_out") >= 4


def test_counted_and_told(gate):
    before = {name: gate.counter(f"polder_isolation_{name}_total") for name in ("notices", "read_only", "limited")}
    told = gate.counter("polder_isolation_requests_total", level="partners", answer="notice")
    gate.isolate("partners")
    answer = gate.answer()
    line = gate.wait_log(answer.fields.get("x-request-id"))
    assert line["polder.refusal"] == "isolation_notice" if "polder.refusal" in line else "isolation_notice" in json.dumps(line)
    gate.wait_counter("polder_isolation_notices_total", before["notices"] + 1)
    assert gate.counter("polder_isolation_requests_total", level="partners", answer="notice") == told + 1
    assert gate.counter("polder_isolation_level") == 2 * gate.workers
    status = gate.status()["isolation"]
    assert status["level"] == "partners" and status["reason"] == "a test" and status["who"] and status["since"]
    for what in ("status", "top"):
        text = subprocess.run([guard_kit.command(), "--config", str(gate.config_path), what, *(["--once"] if what == "top" else [])],
                              stdout=subprocess.PIPE, text=True, timeout=20, check=True).stdout
        assert "isolation partners  since " in text and ": a test" in text, text

