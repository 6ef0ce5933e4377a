"""Rules that change, rules that are broken, and what is made out of them and kept."""
import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

import harness
import waf_kit
from waf_kit import FORM
from lifecycle_load import Load, assert_unharmed

POLDER = os.environ.get("POLDER", str(Path(harness.program()).parents[1] / "cli/polder"))


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app
    assert not app.wrong


def status_of(gate, target, fields=(), host=harness.HOST):
    with gate.connect(host=host) as client:
        return client.get(target, fields).status


def test_a_gate_without_waf_looks_at_nothing(app):
    with harness.Gate(harness.simple_config(app.port), workers=1) as gate:
        assert status_of(gate, "/x?a=%3Cscript%3E") == 200
        assert gate.counter("polder_waf_requests_total") == 0
        said = subprocess.run([POLDER, "--config", str(gate.config_path), "status"], capture_output=True, text=True).stdout
        assert "off: the configuration has no `waf`" in said
        assert "compiler" not in {role["role"] for role in gate.status()["roles"]}


def test_a_start_with_broken_rules_is_refused(app):
    gate = waf_kit.Gate(waf_kit.config(app.port), {"rules.conf": waf_kit.RULES + "\nSecNonsense 1\n"}, start=False)
    line = (waf_kit.RULES + "\nSecNonsense 1\n").split("\n").index("SecNonsense 1") + 1
    with pytest.raises(harness.Trouble, match=rf'rules\.conf:{line}:1: unknown directive "SecNonsense"'):
        gate.start()
    answer = subprocess.run([POLDER, "check", str(gate.config_path)], capture_output=True, text=True)
    assert answer.returncode == 1 and f"rules.conf:{line}:1: unknown directive" in answer.stdout


def test_a_reload_with_broken_rules_is_refused_and_the_old_ones_stay(app):
    with waf_kit.Gate(waf_kit.config(app.port), workers=2) as gate:
        good = gate.files["rules.conf"]
        for broken, says in [(good + "SecRule ARGS \"@rx (\" \"id:900\"\n", r"rules\.conf:\d+:\d+: regular expression"),
                             (good + "Include nowhere.conf\n", r'rules\.conf:\d+:\d+: no file matches'),
                             (good.replace("@streq evil", "@foo evil"), r'rules\.conf:\d+:\d+: unknown operator "@foo"')]:
            gate.files["rules.conf"] = broken
            now = gate.reload(gate.config, expect_ok=False)
            assert re.search(says, now["last_error"]), now
            assert status_of(gate, "/x?a=evil") == 403 and status_of(gate, "/x?a=good") == 200
        gate.files["rules.conf"] = good
        gate.reload(gate.config)


def test_exclusions_that_are_broken_are_refused(app):
    config = waf_kit.config(app.port)
    with waf_kit.Gate(config, workers=1) as gate:
        gate.files["exclusions.conf"] = "SecRuleRemoveById 4\nSecRule ARGS foo id:1\n"
        config["clusters"][0]["waf"] = {"exclusions": "exclusions.conf"}
        now = gate.reload(config, expect_ok=False)
        assert "noord" in now["last_error"] and "2:1" in now["last_error"]
        config["clusters"][0]["waf"] = {"body_limit": "20m"}
        assert "body_limit" in gate.reload(config, expect_ok=False)["last_error"]


@pytest.mark.parametrize("change, says", [
    ({"waf": {"rules": "nowhere.conf"}}, "there is no file of rules 'nowhere.conf'"),
    ({"waf": {"rules": ["*.rules"]}}, "no file of rules matches"),
    ({"waf": {"rules": "rules.conf", "mode": "block"}}, "unknown key 'mode' in waf"),
    ({"waf": {"rules": "rules.conf", "memory": "1k"}}, "memory"),
    ({"clusters/waf": {"mode": "blok"}}, "'mode' must be off, detect or block"),
    ({"clusters/waf": {"paranoia": 5}}, "paranoia"),
    ({"waf": None, "clusters/waf": {"mode": "block"}}, "a cluster cannot be inspected without rules"),
    ({"waf": None, "routes/waf": {"mode": "detect"}}, "a route cannot be inspected without rules"),
])
def test_settings_that_cannot_be(app, change, says):
    config = waf_kit.config(app.port)
    for place, value in change.items():
        where = {"waf": config, "clusters/waf": config["clusters"][0], "routes/waf": config["clusters"][0]["routes"][0]}[place]
        where["waf"] = value
        if value is None:
            del where["waf"]
    gate = waf_kit.Gate(config, start=False)
    answer = subprocess.run([POLDER, "check", str(gate.config_path)], capture_output=True, text=True)
    assert answer.returncode == 1 and says in answer.stdout, answer.stdout
    assert re.search(r"polder\.yaml:\d+:\d+: error", answer.stdout)


def test_a_reload_takes_new_rules(app):
    with waf_kit.Gate(waf_kit.config(app.port), workers=2) as gate:
        assert status_of(gate, "/x?a=foul") == 200
        with gate.connect() as kept:
            assert kept.get("/x?a=foul").status == 200
            gate.files["rules.conf"] = waf_kit.RULES + 'Include more.conf\n'
            gate.files["more.conf"] = 'SecRule ARGS "@pmFromFile words.data" "id:500,phase:2,deny,log"\n'
            gate.files["words.data"] = "foul\nnasty\n"
            gate.reload(gate.config)
            assert kept.get("/x?a=foul").status == 403
            gate.files["words.data"] = "nasty\n"
            gate.reload(gate.config)
            assert kept.get("/x?a=foul").status == 200
            assert kept.get("/x?a=nasty").status == 403


def test_rules_change_under_load_and_no_request_fails(certificates):
    with Load(harness.free_port()) as load:
        config = waf_kit.config(load.port, limits={"connections_per_address": 0}, certificates=[
            {"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}])
        config["listeners"].append({"name": "https", "tls": {"certificates": ["noord"]}})
        with waf_kit.Gate(config, workers=2) as gate:
            load.start(gate, pace=0.03)
            for n in range(8):
                gate.files["rules.conf"] = waf_kit.RULES + f'SecRule ARGS "@streq {n}" "id:{600 + n},phase:2,deny,log"\n'
                gate.reload(gate.config)
                load.go_on(100)
                assert status_of(gate, f"/x?a={n}") == 403
            assert_unharmed(load.stop())


def test_workers_cannot_write_where_their_code_lies(app):
    with waf_kit.Gate(waf_kit.config(app.port), workers=1) as gate:
        maps = Path(f"/proc/{gate.pids('worker')[0]}/maps").read_text()
        assert not re.search(r"^\S+ .wx", maps, re.M)


# ---- what is made out of the rules

def start(gate):
    gate.said.clear()
    gate.start()


def restart(gate):
    gate.stop()
    start(gate)


def cached(gate):
    return sorted((gate.folder / "state/waf").glob("*"))


def wait_made(gate):
    def made():
        return [path for path in cached(gate) if re.fullmatch(r"[0-9a-f]{64}", path.name)]
    return harness.until(made, "it is in the cache", within_s=60)[0]


def roles(gate):
    return {role["role"]: role for role in gate.status()["roles"]}


def test_the_prefilter_is_made_once_and_kept(app):
    with waf_kit.Gate(waf_kit.config(app.port), workers=2) as gate:
        path = wait_made(gate)
        assert path.stat().st_mode & 0o077 == 0
        harness.until(lambda: roles(gate).get("compiler", {}).get("state") == "stopped", "the compiler has ended")
        assert status_of(gate, "/x?a=evil") == 403 and status_of(gate, "/x?a=good") == 200
        made = path.stat().st_mtime_ns
        config = gate.config
        for _ in range(2):
            gate.reload(config)
        assert path.stat().st_mtime_ns == made
        restart(gate)
        assert status_of(gate, "/x?a=evil") == 403
        assert "compiler" not in roles(gate) and path.stat().st_mtime_ns == made


def test_a_damaged_cache_is_told_once_and_made_anew(app):
    with waf_kit.Gate(waf_kit.config(app.port), workers=1) as gate:
        path = wait_made(gate)
        good = path.read_bytes()
        gate.stop()
        for damage in (good[:100], good[:-1] + bytes([good[-1] ^ 1]), b"nonsense", good[:2000] + b"\xff" * 8 + good[2008:]):
            path.write_bytes(damage)
            start(gate)
            assert status_of(gate, "/x?a=evil") == 403
            harness.until(lambda: path.read_bytes() == good, "it was made anew", within_s=60)
            assert len(re.findall("is damaged", gate.stderr())) == 1
            gate.stop()
        start(gate)


def test_a_compiler_that_dies_is_replaced_and_requests_feel_nothing(app):
    config = waf_kit.config(app.port, rules=waf_kit.DEBIAN)
    with waf_kit.Gate(config, workers=1) as gate:
        gate.may_say = "the compiler 0 was killed by signal 9"
        pid = harness.until(lambda: gate.pids("compiler").get(0), "the compiler runs")
        os.kill(pid, signal.SIGKILL)
        harness.until(lambda: roles(gate)["compiler"]["restarts"] >= 1, "it was started again")
        assert status_of(gate, "/x?q=%3Cscript%3Ealert(1)%3C/script%3E", [("User-Agent", "x"), ("Accept", "*/*")]) == 403
        detail = harness.until(lambda: re.match(r"\d+ of \d+ patterns", roles(gate)["compiler"]["detail"]),
                               "it tells how far it is", within_s=60)
        assert detail


def test_a_stop_does_not_wait_for_the_compiler(app):
    with waf_kit.Gate(waf_kit.config(app.port, rules=waf_kit.DEBIAN), workers=1) as gate:
        harness.until(lambda: gate.pids("compiler").get(0), "the compiler runs")


def test_a_worker_that_is_replaced_has_rules_and_prefilter(app):
    with waf_kit.Gate(waf_kit.config(app.port), workers=1) as gate:
        wait_made(gate)
        gate.may_say = "the worker 0 was killed by signal 9"
        pid = gate.pids("worker")[0]
        os.kill(pid, signal.SIGKILL)
        harness.until(lambda: gate.pids("worker").get(0) not in (None, pid), "there is another worker")
        assert status_of(gate, "/x?a=evil") == 403 and status_of(gate, "/x?a=good") == 200
        maps = Path(f"/proc/{gate.pids('worker')[0]}/maps").read_text()
        assert "memfd:polder-prefilter" in maps
