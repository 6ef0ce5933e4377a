"""Which endpoint gets a request: turns, weights, load, hashes, stickiness; and which gets none: drained, ejected, down."""
import collections
import threading
import time

import pytest

import harness


@pytest.fixture(scope="module")
def apps():
    with harness.Application("a") as a, harness.Application("b") as b, harness.Application("c") as c:
        yield {"a": a, "b": b, "c": c}


@pytest.fixture(autouse=True)
def all_well(apps):
    yield
    for app in apps.values():
        app.behaviours.clear()
        if not app.listening:
            app.open()


def config_for(apps, endpoints=None, **upstream):
    config = harness.simple_config(0)
    config["upstreams"] = [{"name": "app", "endpoints": endpoints or [f"127.0.0.1:{a.port}" for a in apps.values()], **upstream}]
    return config


def running(apps, workers=1, **upstream):
    return harness.Gate(config_for(apps, **upstream), workers=workers)


def ask(client, path="/x", fields=()):
    answer = client.get(path, fields)
    return answer.json()["app"] if answer.status == 200 else answer.status


def count(client, n, path="/x", fields=()):
    return collections.Counter(ask(client, path, fields) for _ in range(n))


def endpoint(apps, name, **more):
    return {"address": f"127.0.0.1:{apps[name].port}", **more}


def test_round_robin(apps):
    with running(apps) as gate, gate.connect() as client:
        assert [ask(client) for _ in range(6)] in (["a", "b", "c"] * 2, ["b", "c", "a"] * 2, ["c", "a", "b"] * 2)


def test_weights(apps):
    with running(apps, endpoints=[endpoint(apps, "a", weight=3), endpoint(apps, "b")]) as gate, gate.connect() as client:
        assert count(client, 40) == {"a": 30, "b": 10}


def test_least_requests(apps):
    """An endpoint that is busy is left alone (of two drawn at random, the less busy one is taken)."""
    go = threading.Event()
    apps["a"].on("/busy", lambda call: (call.wait(go), call.answer(body=b'{"app": "a"}')))
    with running(apps, endpoints=[endpoint(apps, "a"), endpoint(apps, "b")], balance="least_requests") as gate:
        waiting = []
        while len(waiting) < 40 and gate.counter("polder_requests_active") < 4:
            waiting.append(gate.connect())
            waiting[-1].request("GET", "/busy")
            time.sleep(0.01)
        with gate.connect() as client:
            shares = count(client, 60)
        go.set()
        for client in waiting:
            assert client.response().status == 200
            client.close()
        assert shares["b"] > 35


@pytest.mark.parametrize("balance, field", [("header:X-Practice", "X-Practice"), ("cookie:practice", "Cookie")])
def test_hash(apps, balance, field):
    """The same value comes to the same endpoint, at every worker; values spread; one that goes moves only its own."""
    def value(i):
        return [(field, f"practice=p{i}" if field == "Cookie" else f"p{i}")]
    with running(apps, workers=2, balance={"hash": balance}, outlier={"failures": 1, "eject": "1m"}, retries={"max": 2, "budget": "100%"}) as gate:
        with gate.connect() as one, gate.connect() as two:
            before = {i: ask(one, fields=value(i)) for i in range(60)}
            assert before == {i: ask(two, fields=value(i)) for i in range(60)}
            shares = collections.Counter(before.values())
            assert len(shares) == 3 and min(shares.values()) >= 8, shares
            apps["b"].shut()
            after = {i: ask(one, fields=value(i)) for i in range(60)}
        assert all(after[i] == before[i] for i in before if before[i] != "b")
        assert set(after.values()) == {"a", "c"}


def test_hash_of_source_and_path(apps):
    with running(apps, balance={"hash": "source"}) as gate:
        with gate.connect() as client:
            assert len(count(client, 10)) == 1
        names = set()
        for i in range(2, 30):
            with gate.connect(source=f"127.0.0.{i}") as client:
                names.add(ask(client))
        assert names == {"a", "b", "c"}
    with running(apps, balance={"hash": "path"}) as gate, gate.connect() as client:
        assert len(count(client, 10, "/one")) == 1
        assert {ask(client, f"/{i}") for i in range(30)} == {"a", "b", "c"}


def test_sticky_cookie(apps):
    with running(apps, workers=2, sticky_cookie="polder_node") as gate:
        for _ in range(6):
            with gate.connect() as client:
                answer = client.get("/x")
                name, cookie = answer.json()["app"], answer.fields.get("set-cookie")
                pair, _, attributes = cookie.partition("; ")
                assert pair.startswith("polder_node=") and "HttpOnly" in attributes and "SameSite" in attributes
                assert "127.0.0.1" not in cookie and str(apps[name].port) not in cookie
            with gate.connect() as client:
                again = client.get("/x", [("Cookie", f"other=1; {pair}; more=2")])
                assert again.json()["app"] == name
                assert "set-cookie" not in again.fields
                assert count(client, 5, fields=[("Cookie", pair)]) == {name: 5}


def test_sticky_cookie_in_a_later_field(apps):
    """HTTP/2 sends cookies in crumbs, a field each: the one that counts need not be in the first."""
    with running(apps, sticky_cookie="polder_node") as gate, gate.connect() as client:
        answer = client.get("/x")
        name, pair = answer.json()["app"], answer.fields.get("set-cookie").partition(";")[0]
        assert count(client, 9, fields=[("Cookie", "other=1"), ("Cookie", pair)]) == {name: 9}


def test_sticky_cookie_that_nobody_gave(apps):
    with running(apps, sticky_cookie="polder_node") as gate, gate.connect() as client:
        for forged in ("polder_node=", "polder_node=0000000000000000", "polder_node=" + "f" * 5000, "polder_node=127.0.0.1:22"):
            answer = client.get("/x", [("Cookie", forged)])
            assert answer.status == 200 and "set-cookie" in answer.fields


def test_sticky_to_one_that_is_gone(apps):
    with running(apps, sticky_cookie="polder_node", outlier={"failures": 1, "eject": "1m"}) as gate, gate.connect() as client:
        answer = client.get("/x")
        name, pair = answer.json()["app"], answer.fields.get("set-cookie").partition(";")[0]
        apps[name].shut()
        answer = client.get("/x", [("Cookie", pair)])
        assert answer.status == 200 and answer.json()["app"] != name
        assert answer.fields.get("set-cookie").partition(";")[0] != pair


def test_draining_endpoint(apps):
    """It takes no new sessions; those that have its cookie still come to it."""
    with running(apps, sticky_cookie="polder_node") as gate:
        with gate.connect() as client:
            pair = None
            while not pair:
                answer = client.get("/x")
                pair = answer.fields.get("set-cookie").partition(";")[0] if answer.json()["app"] == "a" else None
        gate.reload(config_for(apps, sticky_cookie="polder_node", endpoints=[endpoint(apps, "a", drain=True), endpoint(apps, "b")]))
        with gate.connect() as client:
            assert count(client, 10) == {"b": 10}
            assert count(client, 5, fields=[("Cookie", pair)]) == {"a": 5}


def test_outlier(apps):
    """An endpoint that fails in a row is left out for a while, and comes back."""
    apps["a"].on("/x", lambda call: call.answer(500, b"no", reason="No"))
    with running(apps, outlier={"failures": 3, "eject": "400ms"}) as gate, gate.connect() as client:
        seen = count(client, 30)
        assert seen[500] == 3, seen
        apps["a"].behaviours.clear()
        assert "a" not in count(client, 6)
        harness.until(lambda: ask(client) == "a", "it came back")


def test_outlier_leaves_some(apps):
    """Never more than max_percent: when all fail it is the application, not an endpoint."""
    for app in apps.values():
        app.on("/x", lambda call: call.answer(500, b"no", reason="No"))
    with running(apps, outlier={"failures": 2, "eject": "1m", "max_percent": "34%"}) as gate, gate.connect() as client:
        assert count(client, 40) == {500: 40}
        for app in apps.values():
            app.clear()
        assert count(client, 10) == {500: 10}
        assert len([a for a in apps.values() if a.seen("/x")]) == 2


def test_retry_goes_elsewhere(apps):
    """A request that found nobody is tried at another endpoint at once."""
    apps["a"].shut()
    with running(apps, outlier={"failures": 0}, retries={"max": 1, "budget": "100%"}) as gate, gate.connect() as client:
        assert set(count(client, 12)) == {"b", "c"}
        assert client.ask("POST", "/x", body=b"not yet sent").status == 200


@pytest.mark.parametrize("check", [{"type": "tcp"}, {"type": "http", "path": "/health", "status": "200-299"}], ids=["tcp", "http"])
def test_active_checks(apps, check):
    """One that fails its checks gets nothing, without a single request lost; well again, it is used again."""
    def down():
        if check["type"] == "tcp":
            apps["a"].shut()
        else:
            apps["a"].on("/health", lambda call: call.answer(503, reason="No"))
    def health(gate):
        return {e["port"]: e["health"] for e in gate.status()["endpoints"]}[apps["a"].port]
    with running(apps, workers=2, check={"interval": "100ms", "timeout": "100ms", "rise": 2, "fall": 2, **check}, outlier={"failures": 0}) as gate:
        with gate.connect() as client:
            harness.until(lambda: health(gate) == "up", "the first check is over")
            down()
            harness.until(lambda: health(gate) == "down", "it is found to be down")
            assert set(count(client, 12)) == {"b", "c"}
            apps["a"].behaviours.clear()
            if not apps["a"].listening:
                apps["a"].open()
            harness.until(lambda: health(gate) == "up", "it is found to be well")
            assert "a" in count(client, 9)
            assert gate.counter("polder_upstream_endpoint_up", endpoint=f"127.0.0.1:{apps['a'].port}") == 1


@pytest.mark.parametrize("behaviour", ["stall", "close", "nonsense", "huge"])
def test_checks_of_a_sick_application(apps, behaviour):
    """A check that hangs, breaks off or gets nonsense is a failed one, and costs the gate nothing else."""
    apps["a"].on("/health", {"stall": lambda call: call.stall(), "close": lambda call: call.close(),
                             "nonsense": harness.says(b"\0\0\0\r\n\r\n"),
                             "huge": harness.says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n")}[behaviour])
    with running(apps, check={"type": "http", "path": "/health", "interval": "100ms", "timeout": "100ms", "fall": 1}) as gate:
        pids = gate.pids("worker")
        harness.until(lambda: {e["port"]: e["health"] for e in gate.status()["endpoints"]}[apps["a"].port] == "down", "it is down")
        with gate.connect() as client:
            assert set(count(client, 8)) == {"b", "c"}
        assert gate.pids("worker") == pids


def test_all_down(apps):
    for app in apps.values():
        app.on("/health", lambda call: call.answer(503, reason="No"))
    with running(apps, check={"type": "http", "path": "/health", "interval": "100ms", "timeout": "100ms", "fall": 1}) as gate:
        harness.until(lambda: all(e["health"] == "down" for e in gate.status()["endpoints"]), "all are down")
        with gate.connect() as client:
            answer = client.get("/x", [("Accept", "application/fhir+json")])
            assert answer.status == 503 and answer.fields.get("retry-after")
            assert answer.json()["issue"][0]["code"] == "transient"
        assert gate.counter("polder_pool_exhausted_total") >= 1


def test_keep_alive_towards_endpoints(apps):
    """Connections are used again, up to the number that may be kept; none is kept where keepalive is 0."""
    with running(apps, endpoints=[endpoint(apps, "a")], keepalive=0) as gate, gate.connect() as client:
        connections = {client.get("/x").json()["connection"] for _ in range(5)}
        assert len(connections) == 5
    with running(apps, endpoints=[endpoint(apps, "a")], keepalive_timeout="200ms") as gate, gate.connect() as client:
        first = {client.get("/x").json()["connection"] for _ in range(5)}
        assert len(first) == 1
        harness.until(lambda: gate.status()["endpoints"][0]["connections"] == 0, "it was closed when its time was over")
        assert client.get("/x").json()["connection"] not in first


def test_host_header(apps):
    with running(apps, host_header="app.noord.internal") as gate, gate.connect() as client:
        fields = harness.Fields(map(tuple, client.get("/x").json()["fields"]))
        assert fields.get("host") == "app.noord.internal" and fields.get("x-forwarded-host") == "noord.test"


def test_endpoint_by_name(apps):
    with running(apps, endpoints=[f"localhost:{apps['a'].port}"]) as gate, gate.connect() as client:
        harness.until(lambda: ask(client) == "a", "the name was resolved")
