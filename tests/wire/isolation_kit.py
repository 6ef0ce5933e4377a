"""What the tests of isolation share: orders by the operator's command, and what is on disk."""
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import harness

BUILD = Path(os.environ.get("POLDER_BUILD", Path(__file__).resolve().parents[2] / "build/release"))
POLDER = os.environ.get("POLDER", str(BUILD / "src/cli/polder"))
LEVELS = ["open", "guarded", "partners", "closed", "sealed"]
PARTNERS = [{"name": "mcl", "networks": ["127.0.0.64/26"]}, {"name": "ncsc", "networks": ["198.51.100.0/24"]}]


def config(app, **isolation):
    made = harness.simple_config(app.port)
    made["partners"] = PARTNERS
    made["isolation"] = {"stage": "0", "quiet": "0", "site": "Ziekenhuis Noord", "time_zone": "UTC", **isolation}
    return made


def polder(gate, *words, user=None, within_s=60):
    """The command, as somebody who types it; user: another user id."""
    command = [POLDER, "--socket", str(gate.folder / "run/control.sock"), *map(str, words)]
    if user is not None:
        command = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", *command]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s,
                          env={**os.environ, "TZ": "UTC", "LANG": "C"})


def files(gate, *words):
    """A command that reads the files of the gate's state."""
    return subprocess.run([POLDER, *map(str, words), "--state", str(gate.folder / "state")], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, env={**os.environ, "TZ": "UTC", "LANG": "C"})


def order(gate, *words, reason="a test", **more):
    """An order that is carried out; its answer."""
    done = polder(gate, *words, "--reason", reason, "--json", **more)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


def refused(gate, *words, **more):
    """An order that is refused: the word that says why."""
    done = polder(gate, *words, "--json", **more)
    assert done.returncode == 1, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)["refusal"]


def status(gate):
    done = polder(gate, "isolation", "status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wait_status(gate):
    """When the filter may be on its way back."""
    def ask():
        done = polder(gate, "isolation", "status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None
    return harness.until(ask, "the filter answers again")


def level(gate):
    return status(gate)["level"]


def strictness(word):
    return LEVELS.index(word)


def answered(gate, path="/x", source=None):
    """The status with which a client is answered; 0: the connection was refused or broken off."""
    with contextlib.suppress(OSError, harness.Trouble):
        with gate.connect(source=source) as client:
            return client.get(path).status
    return 0


def folder(gate):
    return gate.folder / "state/isolation"


def journal(gate):
    return [json.loads(line) for line in (folder(gate) / "journal").read_text().split("\n")[:-1]]


def recorded(gate):
    """The newest slot that is whole; None: there is none."""
    best = (-1, None)
    for name in ("record.0", "record.1"):
        text = (folder(gate) / name).read_text(errors="replace")
        with contextlib.suppress(ValueError, KeyError, IndexError):
            line, check, rest = text.split("\n", 2)
            record = json.loads(line)
            if re.fullmatch("[0-9a-f]{16}", check) and rest == "":
                best = (record["sequence"], record) if record["sequence"] > best[0] else best
    return best[1]


def recorded_level(gate):
    record = recorded(gate)
    return record and record["scopes"][0]["now"][-1]["level"]


def recorded_stages(gate):
    """Of partners that have one of their own."""
    record = recorded(gate)
    return {row["partner"]: row["stage"] for row in record["partners"]} if record else None


# ---- processes that die, and disks that fail

def state_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return None


class Tampering:
    """strace at a process: what = ("fdatasync", "signal=SIGSTOP:when=2")."""

    def __init__(self, pid, call, what):
        self.pid = pid
        self.strace = subprocess.Popen(["strace", "-p", str(pid), "-e", f"trace={call}", "-e", f"inject={call}:{what}"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = self.strace.stderr.readline()
        assert "attached" in line, line
        self.said = []
        self.reader = threading.Thread(target=lambda: self.said.extend(self.strace.stderr), daemon=True)
        self.reader.start()

    def is_stopped(self):
        return state_of(self.pid) in ("T", "t") and any("stopped by SIGSTOP" in line for line in self.said)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.strace.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.strace.wait(5)
        self.strace.kill()
        self.strace.wait()


def start_again(gate):
    """Ready once more: that it said so before does not count."""
    before = len(gate.said)
    gate.start()
    gate.wait_said("ready", since=before)
