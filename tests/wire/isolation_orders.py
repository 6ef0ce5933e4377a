"""Orders about isolation at a gate that runs: given, refused, first looked at, confirmed, approved, ended by time."""
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

import harness
import isolation_kit as kit
from isolation_kit import answered, level, order, polder, refused, status
from waf_patches import ENGINE


@pytest.fixture(scope="module")
def app():
    with harness.Application() as application:
        yield application


@pytest.fixture
def gate(app):
    with harness.Gate(kit.config(app)) as running:
        yield running


def test_a_level_is_in_force_when_the_command_returns(gate):
    assert answered(gate) == 200
    done = order(gate, "isolate", "closed")
    assert done["outcome"] == "done" and done["level"] == "closed" and done["order"] == 1
    assert done["effective_us"] < 1_000_000 and done["workers_ended"] == 0
    assert answered(gate) == 503
    order(gate, "isolate", "open")
    assert answered(gate) == 200
    print("effective after us:", done["effective_us"])


def test_a_person_is_told_what_happened_in_words(gate):
    done = polder(gate, "isolate", "closed", "--reason", "gateway not trusted", "--for", "8h")
    assert done.returncode == 0, done.stderr
    assert "Level closed is in force (order 1), effective after " in done.stdout and "It ends by itself on " in done.stdout
    shown = polder(gate, "isolation", "status").stdout
    assert "Site: level closed, since " in shown and "gateway not trusted" in shown and "then open" in shown
    assert "isolation closed" in polder(gate, "status").stdout


def test_record_and_journal_are_on_disk_when_the_command_returns(gate):
    order(gate, "isolate", "partners", reason="first")
    lines = kit.journal(gate)
    assert [line["kind"] for line in lines] == ["order", "done"]
    assert lines[0]["parameters"]["who"] == f"uid {os.getuid()}" and lines[0]["parameters"]["reason"] == "first"
    assert lines[1]["outcome"] == "done" and kit.recorded_level(gate) == "partners"
    mode = kit.folder(gate).stat().st_mode & 0o777
    assert mode == 0o700 and (kit.folder(gate) / "journal").stat().st_mode & 0o777 == 0o600


def test_the_event_log_has_each_order(gate):
    order(gate, "isolate", "closed", reason="seen in the log")
    harness.until(lambda: any(event["event.action"] == "isolation" and "seen in the log" in event["message"]
                              for event in map(json.loads, gate.event_log.read_text().splitlines())), "an event")


def test_a_dry_run_changes_nothing(gate):
    before = status(gate)
    done = polder(gate, "isolate", "closed", "--reason", "x", "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert done.returncode == 0 and plan["outcome"] == "dry-run"
    assert {row["name"]: row["change"] for row in plan["partners"]} == {"mcl": "cuts", "ncsc": "cuts"}
    assert {row["name"]: row["change"] for row in plan["clusters"]} == {"noord": "cuts"}
    assert plan["partners_cut"] == 2 and plan["clusters_cut"] == 1
    after = status(gate)
    assert after["last"] == before["last"] and kit.journal(gate) == [] and answered(gate) == 200
    assert "nothing has changed" in polder(gate, "isolate", "closed", "--reason", "x", "--dry-run").stdout


@pytest.mark.parametrize("words,why", [
    (["isolate", "closed", "--reason", "x", "--cluster", "zuid"], "cluster"),
    (["isolate", "closed", "--reason", "x", "--except", "umcg"], "partner"),
    (["isolate", "sealed", "--reason", "x", "--except", "mcl"], "exception_sealed"),
    (["isolate", "guarded", "--reason", "x", "--except", "mcl"], "exception_needless"),
    (["isolate", "closed", "--reason", "x", "--until", "2020-01-01T00:00"], "past"),
    (["isolate", "closed", "--reason", "x", "--for", "100d"], "far"),
    (["isolate", "closed", "--reason", "x", "--confirm-within", "2d"], "confirm_time"),
    (["isolate", "closed", "--reason", "x", "--partners-back"], "back_closed"),
    (["isolate", "confirm"], "nothing_provisional"),
    (["isolate", "approve", "7"], "proposal_none"),
    (["isolate", "revoke", "mcl", "--reason", "x"], "exception_none"),
    (["reconnect", "next", "mcl", "--reason", "x"], "stage_last"),
    (["reconnect", "next", "umcg", "--reason", "x"], "partner"),
    (["isolate", "closed", "--reason", "x" * 256], "request"),
])
def test_what_makes_no_sense_is_refused_before_anything_changes(gate, words, why):
    assert refused(gate, *words) == why
    assert level(gate) == "open" and kit.recorded_level(gate) == "open" and answered(gate) == 200
    assert not [line for line in kit.journal(gate) if line["kind"] != "refused"]


@pytest.mark.parametrize("words", [
    ["isolate"], ["isolate", "shut", "--reason", "x"], ["isolate", "closed"], ["isolate", "closed", "--reason", "x", "--for", "soon"],
    ["isolate", "closed", "--reason", "x", "--until", "25:00"], ["isolate", "closed", "--reason", "x", "--for", "1h", "--until", "18:00"],
    ["isolate", "closed", "--reason", "x", "--except", "mcl:sideways"], ["isolate", "closed", "--reason", "x", "--except", "mcl:in:70000"],
    ["isolate", "closed", "--reason", "x", "--except", "mcl:in:443-80"], ["isolate", "approve"], ["isolate", "approve", "seven"],
    ["isolation"], ["isolation", "drill"], ["reconnect", "next"], ["reconnect", "next", "mcl"],
    ["reconnect", "next", "mcl", "--reason", "x", "--rate", "0"], ["journal"], ["journal", "burn"]])
def test_wrong_usage_is_told_and_nothing_is_asked(gate, words):
    done = polder(gate, *words)
    assert done.returncode == 2 and done.stderr.startswith("polder: "), (done.stdout, done.stderr)
    assert kit.journal(gate) == []


def ask_raw(gate, line):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(gate.folder / "run/control.sock"))
        s.settimeout(harness.WITHIN_S)
        s.sendall(line)
        return json.loads(b"".join(iter(lambda: s.recv(65536), b"")))


@pytest.mark.parametrize("request_", [
    b"isolation\n", b"isolation {\n", b"isolation []\n", b'isolation {"ask":"order"}\n', b'isolation {"ask":7}\n',
    b'isolation {"ask":"order","event":"time","reason":"x"}\n', b'isolation {"ask":"order","event":"recover","reason":"x"}\n',
    b'isolation {"ask":"order","event":"isolate","level":"ajar","reason":"x"}\n',
    b'isolation {"ask":"order","event":"isolate","level":"closed","reason":"x\\u0007"}\n',
    b'isolation {"ask":"order","event":"isolate","level":"closed","reason":"x","until_us":1}\n',
    b'isolation {"ask":"order","event":"isolate","level":"closed","reason":"x","except":[7]}\n',
    b'isolation {"ask":"order","event":"isolate","level":"closed","reason":"x","except":[{"partner":"mcl","network":"10.0.0.0/8"}]}\n',
    b'isolation {"ask":"order","event":"isolate","level":"closed","reason":"x","except":[{"partner":"mcl","port_from":99999}]}\n',
    b'isolation {"ask":"order","event":"isolate","level":"closed","reason":"x","except":[' + b",".join([b"{}"] * 17) + b"]}\n",
    b"isolation " + b"[" * 2000 + b"\n", b"isolation " + b'{"ask":' * 500 + b"\n", b"isolation \xff\xfe\n",
    b"isolation " + b"x" * 7500 + b"\n"])
def test_no_question_breaks_the_desk(gate, request_):
    assert "error" in ask_raw(gate, request_)
    assert level(gate) == "open" and gate.pids("filter")


def test_who_orders_is_what_the_kernel_says(gate):
    ask_raw(gate, b'isolation {"ask":"order","event":"isolate","level":"closed","reason":"x","who":"uid 4711","uid":4711,'
                  b'"name":"the director"}\n')
    line = kit.journal(gate)[0]["parameters"]
    assert line["who"] == f"uid {os.getuid()}" and line["role"] == "the director"


def test_levels_lie_over_each_other_and_clusters_have_their_own(app):
    config = kit.config(app)
    config["clusters"].append({"name": "zuid", "hosts": ["zuid.test"], "routes": [{"path": "/", "upstream": "app"}]})
    with harness.Gate(config) as gate:
        def of(host):
            with gate.connect(host=host) as client:
                return client.get("/x").status
        order(gate, "isolate", "closed", "--cluster", "zuid")
        assert (of("noord.test"), of("zuid.test"), level(gate)) == (200, 503, "open")
        order(gate, "isolate", "closed")
        order(gate, "isolate", "open", "--cluster", "zuid")
        assert (of("noord.test"), of("zuid.test")) == (503, 503)
        order(gate, "isolate", "open")
        assert (of("noord.test"), of("zuid.test")) == (200, 200)


# ---- partners and exceptions

MCL = "127.0.0.65"


def test_partners_are_kept_cut_and_brought_back_by_stages(gate):
    order(gate, "isolate", "partners")
    assert answered(gate) == 503 and answered(gate, source=MCL) == 200
    order(gate, "isolate", "closed")
    assert answered(gate, source=MCL) == 503
    order(gate, "isolate", "partners")
    assert answered(gate, source=MCL) == 503, "lowering reconnects nobody"
    stages = [order(gate, "reconnect", "next", "mcl")["stage"] for _ in range(3)]
    assert stages == ["read-only", "probation", "full"] and answered(gate, source=MCL) == 200
    assert order(gate, "reconnect", "back", "mcl")["stage"] == "probation"
    assert order(gate, "reconnect", "alarm", "mcl")["stage"] == "read-only"
    plan = json.loads(polder(gate, "reconnect", "plan", "--json").stdout)
    assert {row["partner"]: row["stage"] for row in plan["partners"]} == {"mcl": "read-only", "ncsc": "cut"}
    with gate.connect(source=MCL) as client:
        assert client.get("/x").status == 200
    with gate.connect(source=MCL) as client:
        assert client.ask("POST", "/x", body=b"a").status == 403, "it may only read"


def test_a_pause_brings_nobody_further(app):
    with harness.Gate(kit.config(app, stage="1h", quiet="24h")) as gate:
        order(gate, "isolate", "closed")
        assert refused(gate, "reconnect", "next", "mcl", "--reason", "x") == "stage_soon"


def test_an_exception_lets_one_partner_in_and_ends(gate):
    order(gate, "isolate", "closed", "--except", f"mcl:in:{gate.port()}", "--for", "1h")
    shown = status(gate)["exceptions"]
    assert [(e["partner"], e["direction"], e["port_from"]) for e in shown] == [("mcl", "in", gate.port())]
    assert shown[0]["until"] and answered(gate, source=MCL) == 200 and answered(gate) == 503
    order(gate, "isolate", "revoke", "mcl")
    assert status(gate)["exceptions"] == [] and answered(gate, source=MCL) == 503


def raw_order(gate, **members):
    return ask_raw(gate, b"isolation " + json.dumps({"ask": "order", "event": "isolate", "reason": "x", **members}).encode() + b"\n")


def test_what_has_an_end_ends_by_itself(gate):
    """The command has no exception or level of seconds; the desk has."""
    raw_order(gate, level="closed", **{"except": [{"partner": "mcl", "direction": "in", "for_ms": 1500}]})
    assert answered(gate, source=MCL) == 200
    harness.until(lambda: answered(gate, source=MCL) == 503, "the exception ended")
    harness.until(lambda: not status(gate)["exceptions"], "and is gone")
    raw_order(gate, level="sealed", for_ms=1500)
    assert level(gate) == "sealed"
    harness.until(lambda: level(gate) == "closed", "the level beneath holds again")
    assert [line["outcome"] for line in kit.journal(gate) if line["kind"] == "done"] == ["done"] * 4


def test_nothing_ends_by_time_that_was_ordered_before_a_restart_on_a_clock_nobody_vouches_for(gate):
    import ctypes
    timex = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None).adjtimex(timex) not in (5, -1):
        pytest.skip("the clock of this machine is synchronised")
    raw_order(gate, level="closed", for_ms=1000)
    os.kill(gate.pids("filter")[0], 9)
    gate.may_say = "filter"
    kit.wait_status(gate)
    time.sleep(2.5)  # more than two ticks of the desk, in which nothing may happen
    assert level(gate) == "closed"


# ---- confirm

def test_a_level_that_is_confirmed_stays(gate):
    done = order(gate, "isolate", "closed", "--confirm-within", "5m")
    assert done["confirm_by"] and status(gate)["scopes"][0]["else"] == "open"
    order(gate, "isolate", "confirm", reason="")
    scope = status(gate)["scopes"][0]
    assert scope["level"] == "closed" and "confirm_by" not in scope


# ---- two persons

def test_an_order_that_takes_two_waits_for_somebody_else(app):
    with harness.Gate(kit.config(app, two_to_open=True)) as gate:
        order(gate, "isolate", "closed")
        done = order(gate, "isolate", "open")
        number = done["proposal"]
        assert done["outcome"] == "proposed" and level(gate) == "closed" and answered(gate) == 503
        assert refused(gate, "isolate", "approve", number) == "same_person"
        assert refused(gate, "isolate", "open", "--reason", "x") == "proposal_waits"
        assert status(gate)["proposal"]["number"] == number
        order(gate, "isolate", "sealed")  # what closes waits for nobody
        order(gate, "isolate", "withdraw", number, reason="")
        assert "proposal" not in status(gate) and level(gate) == "sealed"


def test_the_second_person_is_another_user_id(app):
    if os.getuid() != 0:
        pytest.skip("needs root, to be two persons")
    import grp
    group = next((entry for entry in grp.getgrall() if entry.gr_gid and entry.gr_name.isalnum() and len(entry.gr_name) < 20), None)
    config = kit.config(app, two_to_close=True)
    config["gate"] = {"user": group.gr_name}  # whose members may give orders
    with harness.Gate(config) as gate:
        done = order(gate, "isolate", "closed")
        assert done["outcome"] == "proposed" and level(gate) == "open" and answered(gate) == 200
        other = (4711, group.gr_gid)
        (gate.folder / "run").chmod(0o755)
        approved = polder(gate, "isolate", "approve", done["proposal"], "--json", user=other)
        assert approved.returncode == 0, (approved.stdout, approved.stderr)
        assert level(gate) == "closed" and answered(gate) == 503
        assert status(gate)["last"]["who"] == "uid 0" and status(gate)["last"]["approved_by"] == "uid 4711"


# ---- without a record

def test_a_gate_without_a_record_is_closed_and_says_what_to_do(app):
    with harness.Gate(kit.config(app), first_record=False) as gate:
        said = gate.wait_said("no record of the level of isolation")
        assert "polder isolate open --reason" in said and "polder isolation init" in said
        assert level(gate) == "closed" and answered(gate) == 503
        assert status(gate)["start"]["record"] == "none"
        harness.until(lambda: "isolation_recovered" in gate.event_log.read_text(), "an event")
        again = kit.files(gate, "isolation", "init")
        assert again.returncode == 1 and "already" in again.stderr
        order(gate, "isolate", "open", "--partners-back")
        assert answered(gate) == 200


def test_init_writes_the_first_record_once(tmp_path):
    command = [kit.POLDER, "isolation", "init", "--state", str(tmp_path / "state")]
    assert subprocess.run(command, capture_output=True).returncode == 0
    before = (tmp_path / "state/isolation/record.0").read_bytes()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "stays as it is" in again.stderr
    assert (tmp_path / "state/isolation/record.0").read_bytes() == before


# ---- drill, report, letter

def test_a_drill_leaves_everything_and_stands_in_the_journal(gate):
    before = status(gate)["scopes"]
    done = polder(gate, "isolation", "drill", "closed", "--reason", "yearly", "--json")
    drill = json.loads(done.stdout)
    assert done.returncode == 0 and drill["refused"] == 0 and drill["is_journalled"]
    assert [s["event"] for s in drill["steps"]].count("reconnect-next") == 6 and drill["plan"]["clusters_cut"] == 1
    assert status(gate)["scopes"] == before and answered(gate) == 200
    assert all(line["drill"] for line in kit.journal(gate)) and kit.recorded_level(gate) == "open"
    assert kit.files(gate, "journal", "verify").returncode == 0
    assert "DRILL: nothing has changed." in polder(gate, "isolation", "drill", "sealed", "--reason", "yearly").stdout


def test_report_and_letter_rest_on_the_files(app):
    with harness.Gate(kit.config(app)) as gate:
        order(gate, "isolate", "closed", reason="gateway not trusted")
        order(gate, "reconnect", "next", "mcl", reason="patched")
        config = ["--config", str(gate.config_path)]
        report = polder(gate, *config, "isolation", "report").stdout
        assert "Timeline of isolation, Ziekenhuis Noord" in report and "gateway not trusted" in report
        letter = polder(gate, *config, "isolation", "report", "--letter", "mcl")
        assert letter.returncode == 0, letter.stderr
        for words in ("To: mcl", "The chain of hashes is whole.", "may read", "Configuration, SHA-256"):
            assert words in letter.stdout
        assert "gateway not trusted" not in letter.stdout, "why is the house's own business"
        assert polder(gate, *config, "isolation", "report", "--letter", "umcg").returncode == 1
        shown = polder(gate, *config, "journal", "show").stdout.splitlines()
        assert len(shown) == 4 and "isolate closed" in shown[0]
        state = gate.folder / "state"
        kept = shutil.copytree(state, gate.folder / "kept")
    offline = subprocess.run([kit.POLDER, "isolation", "report", "--state", str(kept)], capture_output=True, text=True) \
        if kept.exists() else None
    assert offline is None or offline.returncode == 0


def test_a_letter_tells_which_patches_are_effective(app, tmp_path):
    patch = next((Path(__file__).resolve().parents[2] / "share/patches").glob("*.yaml"))
    rules = tmp_path / "rules.conf"
    rules.write_text(ENGINE)
    config = {**kit.config(app), "waf": {"rules": [str(rules)], "patches": [str(patch)]}}
    with harness.Gate(config) as gate:
        harness.until(lambda: '"effective"' in polder(gate, "patches", "--json").stdout, "the patch is found effective")
        letter = polder(gate, "--config", str(gate.config_path), "isolation", "report", "--letter", "mcl").stdout
        assert f"Virtual patch {patch.stem}" in letter and "[effective]" in letter, letter


# ---- tampering

def tampered(gate, change):
    """The chain after `change` of the journal's lines, as the command and as the next filter see it."""
    path = kit.folder(gate) / "journal"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(lines)))
    found = json.loads(kit.files(gate, "journal", "verify", "--json").stdout)
    gate.may_say = "filter"
    os.kill(gate.pids("filter")[0], 9)
    kit.wait_status(gate)
    return found


@pytest.mark.parametrize("change,line,chain", [
    (lambda l: [l[0].replace("first", "frist"), *l[1:]], 1, "changed"),
    (lambda l: l[:1] + l[2:], 2, "missing"),
    (lambda l: [l[0], l[2], l[1], *l[3:]], 2, "reordered"),
    (lambda l: l[:2], 2, "shortened"),
    (lambda l: ["nonsense\n", *l[1:]], 1, "unreadable"),
])
def test_a_journal_that_was_tampered_with_is_reported_and_changes_nothing(gate, change, line, chain):
    order(gate, "isolate", "partners", reason="first")
    order(gate, "isolate", "closed", reason="second")
    found = tampered(gate, change)
    assert (found["whole"], found["line"], found["chain"]) == (False, line, chain)
    assert gate.wait_said(f"Line {line}: ") and level(gate) == "closed" and answered(gate) == 503
    assert kit.files(gate, "journal", "verify").returncode == 1


def test_a_line_that_was_being_written_does_not_count(gate):
    order(gate, "isolate", "closed")
    path = kit.folder(gate) / "journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"sequence":3,"time":"20')
    verify = kit.files(gate, "journal", "verify")
    assert verify.returncode == 0 and "do not count" in verify.stdout
    gate.may_say = "filter"
    os.kill(gate.pids("filter")[0], 9)
    kit.wait_status(gate)
    assert path.read_bytes() == whole and level(gate) == "closed"
