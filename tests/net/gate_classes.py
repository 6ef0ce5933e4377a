"""Classes that are earned, and clusters with addresses of their own behind the gate."""
import socket

import pytest

import gate_world as w
import harness

PORT, SERVICE = 8443, 7600
NOORD, ZUID = "192.0.2.50", "192.0.2.51"  # "the site behind": this machine has these addresses, too


@pytest.fixture(scope="module")
def app():
    def answer(call):
        """A page for those who are logged in."""
        call.body()
        call.answer(200 if call.request.fields.get("authorization") else 401, b"page")
    with harness.Application(answer=answer) as application:
        yield application


@pytest.fixture(scope="module")
def gate(outside, app):
    for address in (NOORD, ZUID):
        w.ip(f"addr add {address}/32 dev lo")
    c = w.config(app.port, PORT, {"addresses": [{"address": NOORD, "cluster": "noord"}, {"address": ZUID, "cluster": "zuid"},
                                                w.GATE]})
    c["listeners"][0]["address"] = f"{w.GATE}:{PORT}"
    c["clusters"].append({"name": "zuid", "hosts": ["zuid.test"], "routes": [{"path": "/", "upstream": "app"}]})
    with harness.Gate(c) as g:
        yield g


def reaches(outside, source, address):
    with outside.socket(source, timeout=0.4) as s:
        return s.connect_ex((address, SERVICE)) == 0


def test_a_cluster_is_shut_and_its_neighbour_is_not(gate, outside):
    with socket.create_server(("0.0.0.0", SERVICE), backlog=16):
        assert reaches(outside, w.STRANGER, NOORD) and reaches(outside, w.STRANGER, ZUID)
        w.polder(gate, "isolate", "partners", "--cluster", "noord", "--reason", "test", "--yes")
        assert not reaches(outside, w.STRANGER, NOORD) and reaches(outside, w.STRANGER, ZUID)
        assert reaches(outside, w.PARTNER, NOORD)
        old = gate.pids("filter")[0]
        w.polder(gate, "upgrade")
        harness.until(lambda: gate.pids("filter").get(0) not in (None, old), "another filter")
        harness.until(lambda: "mode" in w.ask(gate, {"filter": "show"}), "the filter answers")
        assert not reaches(outside, w.STRANGER, NOORD) and reaches(outside, w.STRANGER, ZUID)
        w.polder(gate, "isolate", "open", "--cluster", "noord", "--reason", "test", "--yes")
        assert reaches(outside, w.STRANGER, NOORD)
    shown = {a["address"]: a for a in w.ask(gate, {"filter": "show"})["addresses"]}
    assert shown[NOORD]["dropped_in"] > 0 and shown[ZUID]["dropped_in"] == 0 and shown[ZUID]["cluster"] == "zuid"


def class_of(gate, address):
    return w.ask(gate, {"filter": "class", "address": address})["class"]


def test_who_logs_in_becomes_known_to_the_kernel(gate, outside):
    assert class_of(gate, w.SECOND) == "unknown"
    assert outside.get(w.STRANGER, PORT, "/record") == 401
    with outside.client(w.SECOND, PORT) as client:
        assert client.get("/record").status == 401
        for _ in range(40):
            assert client.get("/record", [("Authorization", f"Bearer {'abcdefgh' * 8}")]).status == 200
    harness.until(lambda: class_of(gate, w.SECOND) == "known", "the address is known")
    assert class_of(gate, w.STRANGER) == "unknown"
    w.polder(gate, "filter", "block", w.SECOND, "--for", "1m", "--reason", "x")
    assert class_of(gate, w.SECOND) == "blocked"  # a person may
    w.polder(gate, "filter", "unblock", w.SECOND)
