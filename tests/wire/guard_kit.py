"""A gate whose outside can be shut, and peers of every class around it: strangers and known users, two partners, the
inside and the management line, told apart by the loopback address they come from, or by what the PROXY protocol says.

The level is ordered with `polder isolate`, as a person would."""
import contextlib
import os
import subprocess
from pathlib import Path

import h2peer
import harness

STRANGER, HOSPITAL, PHARMACY, WARD, MANAGEMENT = "127.0.0.1", "127.0.5.7", "127.0.8.7", "127.0.6.7", "127.0.7.7"
STRANGER6, HOSPITAL6, WARD6, MANAGEMENT6 = "2001:db8:9::1", "2001:db8:1::7", "fd00::7", "fd01::7"
LEVELS = ["open", "guarded", "partners", "closed", "sealed"]
NOTICE = {"name": "Medisch Centrum Noord", "phone": "+31 (0)58 - 286 66 66",
          "message": {"nl": "De polikliniek is open.", "en": "The clinic is open.", "fy": "De poliklinyk is iepen."}}


def command():
    root = Path(__file__).resolve().parents[2]
    return os.environ.get("POLDER") or str(Path(os.environ.get("POLDER_BUILD", root / "build/release")) / "src/cli/polder")


def config(app_port, certificates, **more):
    """Listeners: http (keep-alive, clear), h2c, https, proxied, and one that only redirects. Clusters noord and zuid."""
    given = h2peer.config(app_port, certificates)
    given["listeners"] = [{"name": "http"}, {"name": "h2c", "http2": True}, {"name": "https", "tls": {"certificates": ["noord"]}},
                          {"name": "proxied", "proxy_protocol": {"from": ["127.0.0.0/8"]}}]
    given["networks"] = {"inside": ["127.0.6.0/24", "fd00::/16"], "management": ["127.0.7.0/24", "fd01::/16"]}
    given["partners"] = [{"name": "umc", "networks": ["127.0.5.0/24", "2001:db8:1::/48"]},
                         {"name": "apotheek", "networks": ["127.0.8.0/24"]}]
    given["notice"] = NOTICE
    given.update(more)
    return given


class Site(harness.Gate):
    """A gate to whom a person gives orders."""

    def order(self, *words, expect=0, reason="a test"):
        done = subprocess.run([command(), "--config", str(self.config_path), *words, "--reason", reason, "--yes"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=30)
        if expect is not None and done.returncode != expect:
            raise harness.Trouble(f"polder {' '.join(words)}: status {done.returncode}\n{done.stdout}\n{self.stderr()}")
        return done.stdout

    def isolate(self, level, *words):
        return self.order("isolate", level, *words)

    def peer(self, source=STRANGER, listener="http", **more):
        """A client that comes from there; an IPv6 address through the PROXY protocol."""
        if ":" in source:
            first = f"PROXY TCP6 {source} ::1 40000 443\r\n".encode()
            return self.connect("proxied", first=first, **more)
        return self.connect(listener, source=source, **more)

    def answer(self, source=STRANGER, method="GET", target="/x", listener="http", fields=(), **more):
        """The answer on a connection of its own; None: it was closed without one."""
        try:
            with self.peer(source, listener, **more) as client:
                return client.ask(method, target, fields)
        except (harness.Trouble, OSError):
            return None

    def status_of(self, source=STRANGER, **more):
        answer = self.answer(source, **more)
        return answer.status if answer else None


@contextlib.contextmanager
def site(certificates, workers=2, **more):
    with harness.Application() as app:
        with Site(config(app.port, certificates, **more), workers=workers) as gate:
            gate.app = app
            yield gate
        assert not app.wrong
