"""Inspections in slices: nobody waits for somebody else's long one. Nothing here is timed: the gate counts its slices."""
import os
import signal
import threading

import pytest

import h2peer
import harness
import waf_kit
from waf_kit import FORM, JSON

HUGE = waf_kit.huge(12_000)


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app
    assert not app.wrong


@pytest.fixture(scope="module")
def gate(app):
    config = waf_kit.config(app.port, clusters={"zuid": {}})
    config["listeners"].append({"name": "h2c", "http2": True})
    with waf_kit.Gate(config, {"rules.conf": waf_kit.SLOW_RULES}, workers=1) as gate:
        yield gate


@pytest.fixture(autouse=True)
def nothing_left(gate, app):
    app.clear()
    yield
    gate.waf_is_quiet()


def test_a_long_inspection_takes_many_slices(gate):
    before = gate.waf("slices_total")
    with gate.connect() as client:
        assert client.ask("POST", "/x", [JSON], HUGE).json()["length"] == len(HUGE)
    assert gate.waf("slices_total") - before > 20


def test_a_short_one_takes_one_and_never_waits(gate):
    with gate.connect() as client:
        client.get("/x")
        slices, waits = gate.waf("slices_total"), gate.waf("waits_total")
        for n in range(20):
            assert client.get(f"/x?a={n}").status == 200
        assert gate.waf("slices_total") - slices == 20
        assert gate.waf("waits_total") - waits <= 1  # the machine may have taken the CPU away in the middle of one


def test_others_are_served_meanwhile(gate, app):
    """noord posts huge bodies over ten connections; each request of zuid is answered before any of those is."""
    order, posts = [], []

    def post(n):
        with gate.connect() as client:
            assert client.ask("POST", f"/huge{n}", [JSON], HUGE).status == 200
            order.append("huge")
    posts = [threading.Thread(target=post, args=(n,)) for n in range(10)]
    with gate.connect(host="zuid.test") as client:
        for thread in posts:
            thread.start()
        harness.until(lambda: gate.waf("inspections") >= 10, "all are under way")
        for _ in range(20):
            assert client.get("/small?a=b").status == 200
            order.append("small")
            if "huge" in order:
                break
        assert order.count("small") >= 5, order
    for thread in posts:
        thread.join()
    assert order.count("huge") == 10


def test_a_cluster_that_posts_much_gets_no_more_turns_than_one_that_posts_little(gate):
    """Nine huge bodies of noord and one of zuid: with a turn for each cluster zuid's is over among the first, with a turn
    for each body it would be about the last."""
    order = []

    def post(host, n):
        with gate.connect(host=host) as client:
            assert client.ask("POST", f"/x{n}", [JSON], HUGE).status == 200
            order.append(host)
    many = [threading.Thread(target=post, args=("noord.test", n)) for n in range(9)]
    for thread in many:
        thread.start()
    harness.until(lambda: gate.waf("inspections") >= 9, "all are under way")
    post("zuid.test", 0)
    for thread in many:
        thread.join()
    assert order.index("zuid.test") <= 4, order


def test_a_client_that_leaves_in_mid_inspection(gate, app):
    before = gate.waf("slices_total")
    with gate.connect() as client:
        client.request("POST", "/gone", [JSON], HUGE)
        harness.until(lambda: gate.waf("slices_total") > before + 2, "it is under way")
        client.reset()
    gate.waf_is_quiet()
    with h2peer.Peer(gate.connect("h2c")) as peer:
        before = gate.waf("slices_total")
        stream = peer.request("POST", "/gone", [("content-type", "application/json")], HUGE, scheme="http")
        harness.until(lambda: gate.waf("slices_total") > before + 2, "it is under way")
        peer.reset(stream)
        gate.waf_is_quiet()
        assert peer.get("/fine", scheme="http").status == 200
    assert not app.seen("/gone")


def test_more_inspections_than_there_are_stacks(gate):
    """Each cluster has 16; the others wait without one."""
    wrong = []

    def post(n):
        with gate.connect() as client:
            word = b"evil" if n % 5 == 0 else b"good"
            answer = client.ask("POST", f"/x{n}", [JSON], waf_kit.huge(300)[:-1] + b', "last": "%s"}' % word)
            if answer.status != (403 if n % 5 == 0 else 200):
                wrong.append((n, answer))
    threads = [threading.Thread(target=post, args=(n,)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_worker_that_is_killed_in_mid_inspection(gate):
    before = gate.waf("slices_total")
    gate.may_say = "the worker 0 was killed by signal 9"
    with gate.connect() as client:
        client.request("POST", "/killed", [JSON], HUGE)
        harness.until(lambda: gate.waf("slices_total") > before + 2, "it is under way")
        pid = gate.pids("worker")[0]
        os.kill(pid, signal.SIGKILL)
        assert client.is_closed()
    harness.until(lambda: gate.pids("worker").get(0) not in (None, pid), "there is another worker")
    gate.waf_is_quiet()
    with gate.connect() as client:
        assert client.ask("POST", "/x", [FORM], b"a=evil").status == 403
