"""Scripts for varnishtest (Debian's varnish): clear-text protocols, told line by line for client and application. Each
gets a gate of its own: ${gate_port} is where clients come, ${app_port} where the application must listen."""
import shutil
import subprocess
from pathlib import Path

import pytest

import harness

SCRIPTS = sorted(Path(__file__).with_name("vtc").glob("*.vtc"))


@pytest.mark.skipif(not shutil.which("varnishtest"), reason="varnishtest is not installed (Debian: varnish)")
@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test(script):
    app_port = harness.free_port()
    with harness.Gate(harness.simple_config(app_port), workers=1) as gate:
        done = subprocess.run(["varnishtest", "-t", "20", f"-Dgate_port={gate.port()}", f"-Dapp_port={app_port}", str(script)],
                              cwd=gate.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode == 0, done.stdout[-6000:]
