"""Virtual patches in a running gate: what the gate replays after a load and a reload, what it says of each cluster, and
that nothing of the replay reaches an application or a log."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import harness

SHIPPED = Path(__file__).resolve().parents[2] / "share/patches"
ENGINE = "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 1000000\nSecRequestBodyNoFilesLimit 1000000\n" \
    "SecRule REQUEST_HEADERS:Content-Type \"@rx json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n"


def polder(gate, *arguments):
    command = os.environ.get("POLDER") or str(Path(harness.program()).parents[1] / "cli/polder")
    return subprocess.run([command, "--socket", str(gate.folder / "run/control.sock"), *arguments],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def rules_file(folder, text=ENGINE):
    path = Path(folder) / "rules.conf"
    path.write_text(text)
    return path


def cluster(name, **waf):
    return {"name": name, "hosts": [f"{name}.test"], "routes": [{"path": "/", "upstream": "app"}], **({"waf": waf} if waf else {})}


def config(app, folder, patches, clusters):
    return {"waf": {"rules": [str(rules_file(folder))], "patches": patches},
            "upstreams": [{"name": "app", "endpoints": [f"127.0.0.1:{app.port}"]}],
            "listeners": [{"name": "http"}], "clusters": clusters}


def patches(gate):
    """{(patch, cluster): row} once every one was replayed under the configuration in force."""
    def all_tested():
        done = polder(gate, "patches", "--json")
        assert done.returncode in (0, 1), done.stderr
        rows = {(p["id"], c["cluster"]): c for p in json.loads(done.stdout)["patches"] for c in p["clusters"]}
        return rows if rows and all(row["state"] != "not tested yet" for row in rows.values()) else None
    return harness.until(all_tested, "every virtual patch was replayed")


@pytest.fixture(scope="module")
def app():
    with harness.Application() as app:
        yield app


def test_shipped_ones_are_effective(app, tmp_path):
    clusters = [cluster("noord"), cluster("zuid", mode="detect"), cluster("oost", mode="off"),
                cluster("west", patch_exceptions=["CVE-2020-5902"])]
    with harness.Gate(config(app, tmp_path, [str(SHIPPED / "*.yaml")], clusters), workers=2) as gate:
        rows = patches(gate)
        shipped = {re.search(r"^id: (\S+)", path.read_text(), re.M)[1] for path in SHIPPED.glob("*.yaml")}
        assert {patch for patch, _ in rows} == shipped and len(shipped) >= 6
        for patch in shipped:
            assert rows[patch, "noord"]["state"] == "effective", rows[patch, "noord"]
            assert re.fullmatch(r"20\d\d-\d\d-\d\dT.*Z", rows[patch, "noord"]["at"])
            assert rows[patch, "zuid"]["state"] == "not effective" and "mode is detect" in rows[patch, "zuid"]["reason"]
            assert rows[patch, "oost"]["state"] == "not effective" and "mode is off" in rows[patch, "oost"]["reason"]
            excepted = patch == "CVE-2020-5902"
            assert rows[patch, "west"]["state"] == ("not effective" if excepted else "effective")
        # nothing of it reached the application, the logs or the counters of traffic
        assert app.requests == []
        assert gate.log_lines() == [] and not (gate.folder / "waf.jsonl").read_text()
        assert gate.counter("polder_requests_total") == 0 and gate.counter("polder_waf_requests_total") == 0
        assert gate.counter("polder_refusals_total") == 0
        assert gate.counter("polder_patch_effective", cluster="noord") == len(shipped)
        assert "patch_not_effective" not in gate.event_log.read_text()
        assert gate.status()["waf"]["patches"]["effective"] == 2 * len(shipped) - 1
        # and it is true of real requests
        with gate.connect(host="noord.test") as client:
            assert client.get("/vpn/%252e%252e/vpns/cfg/smb.conf").status == 403
        with gate.connect(host="noord.test") as client:
            assert client.get("/vpn/index.html").status == 200
        with gate.connect(host="noord.test") as client:
            assert client.get("/tmui/a;b=c/x").status == 403
        with gate.connect(host="west.test") as client:
            assert client.get("/tmui/a;b=c/x").status == 200


PATCH = """
id: TEST-1
title: A patch of the test's own
severity: low
references: [https://example.org/1]
rules: |
  SecRule REQUEST_URI "@contains {word}" "id:8899000,phase:1,deny,status:403,log,msg:'test'"
must_block:
  - name: evil one
    request: |
      GET /evil HTTP/1.1
      Host: [[host]]
must_pass:
  - name: good one
    request: |
      GET {good} HTTP/1.1
      Host: [[host]]
"""


def test_broken_and_mended(app, tmp_path):
    file = tmp_path / "test.yaml"
    file.write_text(PATCH.format(word="nonsense", good="/good"))
    setup = config(app, tmp_path, [str(file)], [cluster("noord")])
    with harness.Gate(setup) as gate:
        row = patches(gate)["TEST-1", "noord"]
        assert row["state"] == "not effective" and "'evil one' is let through" in row["reason"]
        assert polder(gate, "patches").returncode == 1
        def told():
            return [line for line in map(json.loads, gate.event_log.read_text().split("\n")[:-1])
                    if line["event.action"] == "patch_not_effective"]
        line = harness.until(told, "the event log says so")[0]
        assert "TEST-1" in line["message"] and line["polder.cluster"] == "noord" and "look whether" in line["message"]
        assert gate.counter("polder_patch_effective", patch="TEST-1") == 0

        file.write_text(PATCH.format(word="evil", good="/good"))
        gate.reload()
        assert patches(gate)["TEST-1", "noord"]["state"] == "effective"
        assert polder(gate, "patches").returncode == 0
        assert len(told()) == 1

        file.write_text(PATCH.format(word="evil", good="/not-so-evil"))
        gate.reload()
        row = patches(gate)["TEST-1", "noord"]
        assert row["state"] == "not effective" and "regular request 'good one' is stopped" in row["reason"]

        file.write_text(PATCH.format(word="evil", good="/good").replace("8899000", "1234"))
        refused = gate.reload(expect_ok=False)
        assert "test.yaml:7" in refused["last_error"] and "8800000 to 8899999" in refused["last_error"]


def test_what_nobody_can_tell(app, tmp_path):
    """A cluster without a route for the patch's regular requests."""
    file = tmp_path / "test.yaml"
    file.write_text(PATCH.format(word="evil", good="/good"))
    only = {"name": "noord", "hosts": ["*.noord.test"], "routes": [{"path": "/app", "upstream": "app"}]}
    with harness.Gate(config(app, tmp_path, [str(file)], [only])) as gate:
        row = patches(gate)["TEST-1", "noord"]
        assert row["state"] == "cannot tell" and "no route" in row["reason"]
        assert gate.counter("polder_patch_effective", patch="TEST-1") == 0
        assert not [name for name, labels in gate.metrics() if name == "polder_patch_effective"]


def test_unknown_exception(app, tmp_path):
    setup = config(app, tmp_path, [], [cluster("noord")])
    with harness.Gate(setup) as gate:
        assert "no virtual patches" in polder(gate, "patches").stdout
        setup["clusters"] = [cluster("noord", patch_exceptions=["CVE-1"])]
        assert "no virtual patch has that id" in gate.reload(setup, expect_ok=False)["last_error"]
