"""Admission: who waits at a busy application, who goes first, who is told to come back, and what a worker's end or a
client's leaving does to the places they held. Several workers share one limit."""
import json
import os
import signal
import threading
import time

import pytest

import harness

FHIR = ("Accept", "application/fhir+json")
BROWSER = ("User-Agent", "Mozilla/5.0")


class Desk:
    """An application that holds every request until the test lets it go, and knows the order in which they came."""

    def __init__(self, app):
        self.app, self.lock, self.held, self.order, self.most, self.open = app, threading.Condition(), [], [], 0, False

    def __call__(self, call):
        event = threading.Event()
        with self.lock:
            self.held.append(event)
            self.order.append((call.request.fields.get("host"), call.request.target))
            self.most = max(self.most, len(self.held))
            if self.open:
                event.set()
            self.lock.notify_all()
        call.body()
        call.wait(event)
        with self.lock:
            self.held.remove(event)
            self.lock.notify_all()
        call.answer(body=b"done")

    def let_go(self, count=None):
        with self.lock:
            for event in [e for e in self.held if not e.is_set()][:count]:
                event.set()

    def let_all_go(self):
        with self.lock:
            self.open = True
        self.let_go()

    def wait_held(self, count):
        harness.until(lambda: len(self.held) >= count, f"{count} requests at the application, not {len(self.held)}")


@pytest.fixture
def app():
    with harness.Application() as app:
        yield app


def config_for(app, **more):
    config = harness.simple_config(app.port, **more)
    config["listeners"][0].setdefault("limits", {})
    config["clusters"].append({"name": "zuid", "hosts": ["zuid.test"], "routes": [{"path": "/", "upstream": "app"}]})
    return config


def limit(gate):
    [row] = gate.status()["admission"]["upstreams"]
    return row


class Asker(threading.Thread):
    """One request on a connection of its own."""

    def __init__(self, gate, target="/slow", fields=(BROWSER,), host=harness.HOST, method="GET", body=None):
        super().__init__(daemon=True)
        self.gate, self.target, self.fields, self.host = gate, target, list(fields), host
        self.method, self.payload, self.answer = method, body, None
        self.client = gate.connect(host=host)
        self.client.sock.settimeout(40)
        self.start()

    def run(self):
        try:
            self.answer = self.client.ask(self.method, self.target, self.fields, self.payload)
        except (OSError, harness.Trouble) as trouble:
            self.answer = trouble

    def result(self):
        self.join(40)
        return self.answer


def statuses(askers):
    return [getattr(a.result(), "status", a.result()) for a in askers]


def waiting(gate):
    return gate.counter("polder_admission_waiting")


def test_all_workers_share_the_limit(app):
    desk = Desk(app)
    app.on("/slow", desk)
    with harness.Gate(config_for(app), workers=3) as gate:
        first = limit(gate)["limit"]
        askers = [Asker(gate) for _ in range(first + 12)]
        harness.until(lambda: waiting(gate) >= 12, "the others wait")
        assert desk.most <= first
        row = limit(gate)
        assert row["in_use"] <= row["limit"]
        for _ in range(200):
            desk.let_go()
            if all(not a.is_alive() for a in askers):
                break
            time.sleep(0.02)
        desk.let_all_go()
        assert statuses(askers) == [200] * len(askers)
        assert limit(gate)["in_use"] == 0 and waiting(gate) == 0


def test_who_waits_in_vain_hears_it_in_time(app):
    """A stranger is not kept longer than it would wait; it is told when to come back, as what it asked for."""
    config = config_for(app, upstream={"response_timeout": "1s"})
    app.on("/slow", lambda call: call.stall())
    with harness.Gate(config, workers=2) as gate:
        first = limit(gate)["limit"]
        began = time.monotonic()
        askers = [Asker(gate, fields=[FHIR]) for _ in range(first + 20)]
        answers = [a.result() for a in askers]
        assert time.monotonic() - began < 6
        overloaded = [a for a in answers if a.status == 503]
        assert overloaded and all(a.status in (503, 504) for a in answers)
        for answer in overloaded:
            assert 1 <= int(answer.fields.get("retry-after")) <= 60
            outcome = json.loads(answer.body)
            assert outcome["resourceType"] == "OperationOutcome"
            assert outcome["issue"][0]["code"] == "throttled"
        assert gate.counter("polder_refusals_total", reason="overload") == len(overloaded)


def test_client_that_leaves_gives_its_place(app):
    desk = Desk(app)
    app.on("/slow", desk)
    with harness.Gate(config_for(app), workers=1) as gate:
        first = limit(gate)["limit"]
        held = [Asker(gate) for _ in range(first)]
        desk.wait_held(first)
        gone = [gate.connect() for _ in range(5)]
        for client in gone:
            client.request("GET", "/slow/gone", [BROWSER])
        harness.until(lambda: waiting(gate) >= 1, "they wait")
        for client in gone:
            client.close()
        harness.until(lambda: waiting(gate) == 0, "nobody waits any more")
        desk.let_all_go()
        assert statuses(held) == [200] * first
        assert Asker(gate).result().status == 200
        harness.until(lambda: limit(gate)["in_use"] == 0, "every place is free again")


def test_body_waits_with_its_request(app):
    """What the client sends meanwhile is not lost, and not read without bound."""
    desk = Desk(app)
    app.on("/slow", desk)
    with harness.Gate(config_for(app), workers=1) as gate:
        first = limit(gate)["limit"]
        held = [Asker(gate) for _ in range(first)]
        desk.wait_held(first)
        payload = os.urandom(3_000_000)
        writers = [Asker(gate, "/echo", method="PUT", body=payload) for _ in range(2)]
        harness.until(lambda: waiting(gate) >= 1, "a writer waits")
        desk.let_all_go()
        for writer in writers:
            assert writer.result().status == 200 and writer.result().json()["length"] == len(payload)
        assert statuses(held) == [200] * first


def test_neighbour_takes_its_turn(app):
    """One cluster with sixty requests waiting, another with one: it does not go behind them."""
    desk, over = Desk(app), threading.Event()
    app.on("/slow", desk)

    def answers():
        while not over.wait(0.03):
            desk.let_go(1)
    with harness.Gate(config_for(app, upstream={"concurrency": {"most": 6}}), workers=2) as gate:
        crowd = [Asker(gate) for _ in range(66)]
        desk.wait_held(2)
        worker = threading.Thread(target=answers)
        worker.start()
        before = len(desk.order)
        quiet = Asker(gate, host="zuid.test")
        assert quiet.result().status == 200
        place = [host for host, _ in desk.order].index("zuid.test")
        over.set()
        worker.join()
        desk.let_all_go()
        assert statuses(crowd).count(200) >= 6
        assert place <= before + 15, (place, before)


def test_worker_that_dies_leaves_its_places(app):
    desk = Desk(app)
    app.on("/slow", desk)
    with harness.Gate(config_for(app), workers=2) as gate:
        gate.may_say = "killed by signal 9|died"
        first = limit(gate)["limit"]
        askers = [Asker(gate) for _ in range(first + 20)]
        harness.until(lambda: waiting(gate) >= 10, "many wait")
        victim = max(gate.pids("worker").items())[1]
        os.kill(victim, signal.SIGKILL)
        harness.until(lambda: len(gate.pids("worker")) == 2 and victim not in gate.pids("worker").values(), "a new one")
        desk.let_all_go()
        results = [a.result() for a in askers]
        assert any(getattr(r, "status", None) == 200 for r in results), "those of the other worker are served"
        assert Asker(gate).result().status == 200
        harness.until(lambda: limit(gate)["in_use"] == 0, "nothing is held by the dead")


def test_long_polls_do_not_shut_the_pool(app):
    """Every place is held by requests that wait for news: the others get through all the same."""
    app.on("/news", lambda call: call.stall())
    with harness.Gate(config_for(app, upstream={"response_timeout": "60s"}), workers=2) as gate:
        first = limit(gate)["limit"]
        polls = [gate.connect() for _ in range(first + 4)]
        for client in polls:
            client.request("GET", "/news", [BROWSER])
        app.wait_for("/news", first + 4, complete=False)
        assert Asker(gate, "/x").result().status == 200
        for client in polls:
            client.close()


def test_tunnels_and_event_streams_hold_no_place(app):
    def events(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"6\r\ndata\n\n\r\n")
        call.stall()
    app.on("/events", events)
    with harness.Gate(config_for(app), workers=1) as gate:
        clients = [gate.connect() for _ in range(3 * limit(gate)["limit"])]
        for client in clients:
            client.request("GET", "/events", [BROWSER])
            assert client.response_head().status == 200
        assert limit(gate)["in_use"] == 0
        for client in clients:
            client.close()


def test_places_survive_a_reload(app):
    desk = Desk(app)
    app.on("/slow", desk)
    config = config_for(app)
    with harness.Gate(config, workers=2) as gate:
        first = limit(gate)["limit"]
        askers = [Asker(gate) for _ in range(first + 6)]
        harness.until(lambda: waiting(gate) >= 6, "six wait")
        config["clusters"][0]["weight"] = 3
        gate.write_config(config)
        gate.reload()
        assert desk.most <= first + 1
        desk.let_all_go()
        assert statuses(askers) == [200] * len(askers)
        harness.until(lambda: limit(gate)["in_use"] == 0, "every place is free again")


def test_who_leaves_early_frees_no_place_early(app):
    """The application works on for a client that has gone: what it can do at once is not exceeded by leaving."""
    at_once, most, lock = [0], [0], threading.Lock()

    def works(call):
        call.body()
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.3)  # its work, which nobody can call back
        with lock:
            at_once[0] -= 1
        call.answer(body=b"done")
    app.on("/slow", works)
    with harness.Gate(config_for(app, upstream={"concurrency": {"most": 6}}), workers=1) as gate:
        assert Asker(gate).result().status == 200
        for _ in range(5):
            clients = [gate.connect() for _ in range(12)]
            for client in clients:
                client.request("GET", "/slow", [BROWSER])
            harness.until(lambda: at_once[0] >= 5, "they are at the application")
            for client in clients:
                client.close()
        harness.until(lambda: limit(gate)["in_use"] == 0, "every place is free again")
        assert most[0] <= 8, most


def test_slow_uploads_hold_no_place(app):
    """A body that does not move keeps nobody else out, is not lost, and ends only where there is a place for it."""
    begun, at_once, most, lock = [0], [0], [0], threading.Lock()

    def takes(call):
        with lock:
            begun[0] += 1
        length = len(call.body())
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.1)  # its work
        with lock:
            at_once[0] -= 1
        call.answer(body=b"%d" % length)
    app.on("/up", takes)
    with harness.Gate(config_for(app, upstream={"concurrency": {"least": 6, "most": 6}}), workers=1) as gate:
        clients = [gate.connect() for _ in range(30)]
        for i, client in enumerate(clients):
            framing = b"Content-Length: 1000\r\n\r\nbegun" if i % 2 else b"Transfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
            client.send(b"POST /up HTTP/1.1\r\nHost: " + harness.HOST.encode() + b"\r\n" + framing)
        harness.until(lambda: begun[0] and limit(gate)["in_use"] == 0, "those inside gave their places back")
        assert begun[0] <= 3, "half of the places at most"
        assert statuses([Asker(gate, "/x") for _ in range(12)]) == [200] * 12
        for i, client in enumerate(clients):
            client.send(b"x" * 995 if i % 2 else b"3e3\r\n" + b"x" * 995 + b"\r\n0\r\n\r\n")
        for client in clients:
            answer = client.response()
            assert (answer.status, answer.body) == (200, b"1000")
        assert most[0] <= 6
        harness.until(lambda: limit(gate)["in_use"] == 0, "every place is free again")


def test_strangers_are_not_told_at_once(app):
    """A refusal at once would bring them back at once."""
    app.on("/slow", lambda call: call.stall())
    with harness.Gate(config_for(app), workers=1) as gate:
        clients = [gate.connect() for _ in range(limit(gate)["limit"] + 1200)]
        for client in clients:
            client.request("GET", "/slow", [BROWSER])
        harness.until(lambda: gate.counter("polder_admission_refused_total") >= 1 or
                      gate.counter("polder_admission_refused_late_total") >= 1, "some come too late")
        assert gate.counter("polder_refusals_total", reason="overload") == 0
        harness.until(lambda: gate.counter("polder_refusals_total", reason="overload") >= 1, "they are told in the end")
        for client in clients:
            client.reset()
        harness.until(lambda: gate.counter("polder_connections_open") == 0, "nothing is left of them")
