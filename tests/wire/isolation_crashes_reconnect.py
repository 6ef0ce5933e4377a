"""As isolation_crashes.py, for the way back of a partner: whoever dies at whatever step, nobody is reconnected further than
the record says, and nobody at all who does not stand in the journal."""
import contextlib
import json

import pytest

import harness
import isolation_kit as kit
from isolation_crashes import POINTS, ROLES, app, end_filter, kill_all, pytestmark, settled, stop_at  # noqa: F401
from isolation_kit import journal, order, start_again, wait_status

STAGES = ["cut", "read-only", "probation", "full"]


def stage(gate):
    rows = json.loads(kit.polder(gate, "reconnect", "plan", "--json").stdout)["partners"]
    return {row["partner"]: row["stage"] for row in rows}["mcl"]


@pytest.mark.parametrize("who", ["filter", "all"])
@pytest.mark.parametrize("event,before,after", [("next", "cut", "read-only"), ("back", "read-only", "cut")])
@pytest.mark.parametrize("call,nth", POINTS)
def test_dies_at_a_step(app, call, nth, event, before, after, who):  # noqa: F811
    gate = harness.Gate(kit.config(app))
    gate.may_say = ROLES
    found = None
    try:
        order(gate, "isolate", "closed")
        if event == "back":
            order(gate, "reconnect", "next", "mcl")
        assert stage(gate) == before
        found = stop_at(gate, ["reconnect", event, "mcl"], call, nth, end_filter)
        assert found, "the order makes that call"
        if who == "all":
            kill_all(gate)
            start_again(gate)
        assert wait_status(gate)["level"] == "closed"
        reached, on_disk = stage(gate), found["stages"].get("mcl", "cut")
        assert reached in (before, after)
        assert STAGES.index(reached) <= STAGES.index(on_disk), "no further than the record said when it died"
        ordered = [line for line in journal(gate) if line["kind"] == "order" and line["parameters"]["event"] == "reconnect-next"]
        assert reached == "cut" or ordered
        assert kit.files(gate, "journal", "verify").returncode == 0
        assert settled(gate) and stage(gate) == reached
    finally:
        with contextlib.suppress(OSError, TypeError):
            found["asker"].kill()
        gate.close()
