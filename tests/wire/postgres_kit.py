"""A PostgreSQL of the tests' own: a fresh cluster in a temporary folder, as an ordinary user, on a socket in that folder
and no port, with fsync on. One for all tests of a process; it ends with them."""
import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

import harness


def programs():
    """Debian's folder of the newest version from 15 on."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb") if int(path.parts[4]) >= 15]
    return max(found, key=lambda path: int(path.parts[4]), default=None)


class Server:
    def __init__(self):
        self.bin = programs()
        if not self.bin:
            pytest.skip("PostgreSQL 15 is not installed")
        self.folder = Path(tempfile.mkdtemp(prefix="polder-pg-"))
        self.count = 0
        if os.getuid() == 0:  # it refuses to run as root
            shutil.chown(self.folder, "nobody", "nogroup")
        self.run([self.bin / "initdb", "-D", self.folder / "data", "-U", "polder", "-A", "trust", "--no-sync", "-E", "UTF8",
                  "--locale=C", "--data-checksums"])
        self.start()
        atexit.register(self.remove)

    def command(self, words):
        ordinary = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        return ["setpriv", *ordinary, "--pdeathsig=QUIT", *map(str, words)]

    def run(self, words):
        subprocess.run(self.command(words), check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def start(self):
        self.process = subprocess.Popen(
            self.command([self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=",
                          "-c", "max_connections=60", "-c", "fsync=on", "-c", "log_checkpoints=off"]),
            cwd=self.folder, stdin=subprocess.DEVNULL, stderr=(self.folder / "log").open("wb"))
        harness.until(lambda: subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder], check=False).returncode == 0,
                      "PostgreSQL is ready")

    def crash(self):
        """All its processes at once, as by a power cut; what was not synced is lost with its memory."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(harness.WITHIN_S)

    def remove(self):
        self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self):
        """The URI of a new one."""
        self.count += 1
        subprocess.run([self.bin / "psql", "-q", "-h", self.folder, "-U", "polder", "-d", "postgres", "-c",
                        f"CREATE DATABASE d{self.count}"], check=True)
        return f"postgresql://polder@/d{self.count}?host={self.folder}"


_server = None


def server():
    global _server
    if _server is None:
        _server = Server()
    return _server
