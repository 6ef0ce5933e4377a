"""The first record of the level of isolation, which an installation writes: a gate without one begins closed."""
import os
import subprocess
from pathlib import Path


def write(gate, state):
    """For a gate (the path of its program in a build folder) with that state directory. One that is there stays."""
    if (Path(state) / "isolation").exists():
        return
    built = Path(gate).resolve().parent.parent / "cli/polder"
    polder = str(built) if built.exists() else os.environ.get("POLDER", "polder")
    done = subprocess.run([polder, "isolation", "init", "--state", str(state)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"{polder} isolation init: {done.stderr.strip()}")
