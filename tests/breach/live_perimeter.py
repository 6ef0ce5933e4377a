"""The perimeter of a gate whose roles were taken over, in a machine of its own with packet programs attached.

Memory: what holds can be written by the filter only. Messages: a worker that tells the filter what it may not is
replaced, and nothing has changed; what it may tell changes nobody who is listed, and is rationed. A filter that its
sandbox ends opens nothing.
"""
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

from live_gate import ATTACKS, LiveGate, Scene, harness
from live_messages import PEERS, assert_ends_the_role, numbered, restarts

sys.path.append(str(Path(__file__).resolve().parents[1] / "net"))
import gate_world as w  # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: name spaces, packet programs")
ISOLATE, CLASSIFY, QUEUE, END_ADOPTED, OVERDUE = 60, 62, 65, 63, 68 # src/ipc/messages.def
PARTNER, KNOWN, UNKNOWN, SUSPECT, BLOCKED = range(5) # enum admission_class
SERVICE = 7600 # of this machine, not of the gate: there nobody sees a notice


@pytest.fixture(scope="module")
def outside():
    return w.make()


@pytest.fixture(scope="module")
def scene(outside):
    one = Scene()
    yield one
    one.close()


@pytest.fixture
def gate(scene):
    config = scene.config()
    config["partners"] = [{"name": "mcl", "networks": ["198.51.100.0/24"]}]
    config["networks"] = {"management": ["10.9.0.0/24"], "inside": ["10.1.0.0/24"]}
    config["filter"] = {"interfaces": ["g0"], "addresses": [w.GATE]}
    with socket.create_server((w.GATE, SERVICE), backlog=64), LiveGate(scene, config=config) as one:
        yield one


# ---- memory

def test_only_the_filter_can_write_what_holds(gate):
    seized = {}
    for actor in gate.actors:
        words = actor.ask("perimeter")
        assert words[0] == "perimeter", words
        seized[str(actor)] = tuple(int(word) for word in words[1:])
    blind = {"signer 0", "dialer 0"} # nobody gave them any
    assert {name for name, (seen, _) in seized.items() if not seen} == blind, seized
    assert {name for name, (_, changed) in seized.items() if changed} == {"filter 0"}, seized # the canary


# ---- messages

def ip(address):
    return bytes(10) + b"\xff\xff" + bytes(int(part) for part in address.split("."))


def classify(address, kind, seconds):
    raw = address if isinstance(address, bytes) else ip(address)
    return numbered(CLASSIFY, struct.pack("<H", len(raw)) + raw + struct.pack("<BI", kind, seconds))


def isolate(request):
    return numbered(ISOLATE, struct.pack("<QIH", 1, 0, len(request)) + request)


TO_FILTER = {
    **PEERS,
    "an order": isolate(b'{"order":"open","reason":"I am the observer"}'),
    "a question": isolate(b'{"filter":"show"}'),
    "a listening socket": numbered(QUEUE, struct.pack("<BBB", 0, 2, 1)),
    "the end of older roles": numbered(END_ADOPTED, struct.pack("<Q", 1)),
    "another worker is overdue": numbered(OVERDUE, b"\1"),
    "half an address": classify(bytes(8), SUSPECT, 60), "no address": classify(b"", SUSPECT, 60),
    "an address that is too long": classify(bytes(17), SUSPECT, 60),
    "a report, and more": classify(w.STRANGER, SUSPECT, 60) + b"!", "half a report": classify(w.STRANGER, SUSPECT, 60)[:-1],
    "it is a partner": classify(w.STRANGER, PARTNER, 60), "class 5": classify(w.STRANGER, 5, 60),
    "class 255": classify(w.STRANGER, 255, 60), "known for no time": classify(w.STRANGER, KNOWN, 0),
    "known for longer than a day": classify(w.STRANGER, KNOWN, 86_401),
    "suspect for longer than an hour": classify(w.STRANGER, SUSPECT, 3_601),
    "blocked for longer than an hour": classify(w.STRANGER, BLOCKED, 3_601),
    "blocked for ever": classify(w.STRANGER, BLOCKED, 2**32 - 1),
}
LAWFUL = classify(w.SECOND, SUSPECT, 60)
EVERYBODY = {w.STRANGER: "unknown", w.PARTNER: "partner", w.MANAGER: "management", w.INSIDE: "inside"}


def class_of(gate, address):
    return w.ask(gate, {"filter": "class", "address": address})["class"]


def classes(gate):
    return {address: class_of(gate, address) for address in EVERYBODY}


@pytest.mark.parametrize("part", range(6))
def test_what_a_worker_may_not_tell_the_filter_ends_it(gate, part):
    """Four in each gate: the master waits longer after each death."""
    mine = ([(text, False) for text in TO_FILTER.values()] + [(LAWFUL, True)])[part::6]
    assert len(mine) <= 5
    for number, (text, with_descriptor) in enumerate(mine):
        assert_ends_the_role(gate, gate.workers_acting[number % 2], "filter", text, with_descriptor)
    assert classes(gate) == EVERYBODY and class_of(gate, w.SECOND) == "unknown"
    assert w.ask(gate, {"filter": "show"})["level"] == "open"


def say(actor, *messages):
    for text in messages:
        actor.ours.send(f"say filter {text.hex()}".encode())


def test_a_report_changes_nobody_who_is_listed_or_was_judged_by_a_person(gate):
    worker = gate.workers_acting[0]
    w.polder(gate, "filter", "block", w.SECOND, "--for", "1m", "--reason", "a person")
    needed = [w.PARTNER, w.MANAGER, w.INSIDE, w.GATE, "127.0.0.1"]
    before = {address: class_of(gate, address) for address in [*needed, w.SECOND]}
    for address in [*needed, w.SECOND]:
        say(worker, classify(address, KNOWN, 60), classify(address, UNKNOWN, 0), classify(address, SUSPECT, 60),
            classify(address, BLOCKED, 60))
    say(worker, classify(w.STRANGER, SUSPECT, 60)) # the canary, and the last
    harness.until(lambda: class_of(gate, w.STRANGER) == "suspect", "a report counts")
    after = {address: class_of(gate, address) for address in before}
    assert after == before and after[w.SECOND] == "blocked"
    say(worker, classify(w.STRANGER, UNKNOWN, 0))
    harness.until(lambda: class_of(gate, w.STRANGER) == "unknown", "it is taken back")
    assert restarts(gate) == {}


def test_a_flood_of_reports_is_rationed_and_hinders_nobody(gate, outside):
    flood, other = gate.workers_acting
    burst, per_second, count = 2000, 500, 8000
    for i in range(count):
        say(flood, classify(ip(f"100.64.{i >> 8}.{i & 255}"), BLOCKED, 600))
    w.polder(gate, "isolate", "partners", "--reason", "in the middle of it", "--yes")
    assert not outside.reaches(w.STRANGER, SERVICE) and outside.reaches(w.PARTNER, SERVICE)
    w.polder(gate, "isolate", "open", "--reason", "done", "--yes")
    say(other, classify(w.STRANGER, SUSPECT, 60))
    harness.until(lambda: class_of(gate, w.STRANGER) == "suspect", "the other worker is heard")
    taken = sum(class_of(gate, f"100.64.{i >> 8}.{i & 255}") == "blocked" for i in range(0, count, 20)) * 20
    assert burst / 2 <= taken < count, taken
    assert restarts(gate) == {}
    gate.serves()


# ---- the filter's end

def test_a_filter_that_its_sandbox_ends_opens_nothing(gate, outside):
    assert outside.reaches(w.STRANGER, SERVICE)
    w.polder(gate, "isolate", "partners", "--reason", "a test", "--yes")
    assert not outside.reaches(w.STRANGER, SERVICE)
    for name in "load_program", "execute", "read_shadow":
        attack = next(a for a in ATTACKS if a.name == name)
        assert gate.attack(gate.filter, attack).end in ("killed", "refused"), name
        assert not outside.reaches(w.STRANGER, SERVICE) and outside.reaches(w.PARTNER, SERVICE)
    harness.until(lambda: "mode" in w.ask(gate, {"filter": "show"}), "the filter answers again")
    assert not outside.reaches(w.STRANGER, SERVICE)
    w.polder(gate, "isolate", "open", "--reason", "done", "--yes")
    assert outside.reaches(w.STRANGER, SERVICE)
