"""`make run` with the records behind the gate, and the day of README.md followed there, line by line, by curl."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import build  # noqa: E402
import records  # noqa: E402
import run  # noqa: E402

POLDER = os.environ.get("POLDER") or str(Path(os.environ["POLDER_BUILD"]) / "src/cli/polder")
HEADING = "## A day in a cluster"
# What each line that begins with `fhir` is answered.
ANSWERS = """200 404 200 200  200 403 201  200 201 200  200 201 201 200 200 201 200  403 201 200  200""".split()


class Ready(Exception):
    pass


@pytest.fixture(scope="module")
def world(request):
    """The very functions of `make run`, in a folder and on ports of our own."""
    patch = pytest.MonkeyPatch()
    folder = Path(tempfile.mkdtemp(prefix="polder-run-"))
    folder.chmod(0o755)
    patch.setenv("SAMPLE_PATIENTS", "5")
    patch.setattr(build, "folder", lambda _variant: Path(os.environ["POLDER_BUILD"]))
    patch.setattr(run, "DEV", folder)
    for name in ("HTTPS", "HTTP", "MANAGEMENT"):
        patch.setattr(run, name, harness.free_port())
    patch.setattr(records, "PORT", harness.free_port())
    patch.setattr(run, "CLUSTERS", {name: (harness.free_port(), *rest) for name, (_, *rest) in run.CLUSTERS.items()})

    def ready(_service):
        raise Ready

    patch.setattr(run, "print_addresses", ready)
    children = run.Children()
    # Not its handlers of signals: those are for a program that ends.
    patch.setattr(run.signal, "signal", lambda *_: None)
    try:
        with pytest.raises(Ready):
            run.serve(children)
        yield folder
    finally:
        children.end()
        patch.undo()
        shutil.rmtree(folder, ignore_errors=True)


def curl(world, host, path):
    done = subprocess.run(["curl", "-sg", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", world / "tls/ca.pem",
                           f"https://{host}:{run.HTTPS}{path}"], capture_output=True, text=True, timeout=30)
    return done.stdout


def test_both_clusters_stand_behind_the_gate(world):
    for host in ("localhost", "noord.localhost", "zuid.localhost"):
        assert curl(world, host, "/fhir/metadata") == "200"
        assert curl(world, host, "/fhir/Patient") == "401"
        assert curl(world, host, "/fhir/Patient?name=<script>alert(1)</script>") == "403"
    assert curl(world, "noord.localhost", "/fhirx") == "404"


def day():
    """The lines of README.md."""
    _, _, rest = (ROOT / "README.md").read_text().partition(f"\n{HEADING}\n")
    return rest.partition("\n```\n")[2].partition("\n```\n")[0]


def test_the_day_of_the_readme(world):
    if not day():
        pytest.skip(f"README.md has no {HEADING}")
    told = ('fhir() { curl -sg -o "$dev/answer" -w "%{http_code}\\n" --cacert $dev/tls/ca.pem '
            '-H "Content-Type: application/fhir+json" "$@"; }')
    script = re.sub(r"^fhir\(\) .*$", lambda _: told, day(), flags=re.M)
    script = re.sub(r"\bdev=run/dev\b", f"dev={world}", script).replace(":8443/", f":{run.HTTPS}/")
    script = script.replace("build/release/src/cli/polder", POLDER).replace("/tmp/noord", f"{world}/made-noord")
    done = subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=100,
                          stdin=subprocess.DEVNULL)
    lines = done.stdout.splitlines()
    assert lines[:len(ANSWERS)] == ANSWERS, (lines, done.stderr)
    assert done.returncode == 0, done.stderr
    assert "all is well" in done.stdout and (world / "made-noord.backup").exists()
    assert (world / "made-noord/Patient.ndjson").exists()
