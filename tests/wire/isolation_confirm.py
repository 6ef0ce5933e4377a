"""A level that nobody confirms goes back by itself. The least time to confirm is a minute, and this waits for it."""
import time

import harness
import isolation_kit as kit
from isolation_kit import answered, level, order


def test_a_level_that_nobody_confirms_goes_back():
    with harness.Application() as app, harness.Gate(kit.config(app)) as gate:
        order(gate, "isolate", "closed", "--confirm-within", "61s")
        end = time.monotonic() + 90
        while level(gate) == "closed":
            assert time.monotonic() < end, "it never went back"
            time.sleep(0.5)
        assert level(gate) == "open" and answered(gate) == 200
        assert kit.journal(gate)[-2]["parameters"]["event"] == "time"
