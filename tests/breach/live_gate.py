"""A gate of a breach build whose roles attack on command (live.c says how), and the scene they attack."""
import collections
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "wire"))
import harness  # noqa: E402

WORKERS = 2
BUILD = Path(os.environ.get("POLDER_BUILD", Path(__file__).resolve().parents[2] / "build/clang"))
BREACH = os.environ.get("POLDER_BREACH", str(BUILD / "tests/breach/breach"))
HELPER = os.environ.get("POLDER_BREACH_HELPER", str(BUILD / "tests/breach/breach_helper"))

# -- attacks.def, as the program made from it tells it

Attack = collections.namedtuple("Attack", "name profiles walls also needs absent")
PROFILES = {"worker": 1, "signer": 2, "observer": 4, "dialer": 8, "filter": 16}
NEEDS_ROOT, NEEDS_VICTIM, NEEDS_TERMINAL = 1, 2, 4
SPOIL_LISTENER = {"shut_listener", "fastopen_sendto", "fastopen_sendmsg"}
# After these the role is not what it was, or not at all.
SPOIL_ROLE = {"change_root", "join_namespace", "user_namespace", "raise_limits", "become_root", "take_capability",
              "reading_is_executing", "execute", "execute_memfd", "execute_setuid", "reconnect", *SPOIL_LISTENER}
NOT_LIVE = {"open_pinned"} # the scene of the program `breach` has a pinned table
NEED_SOCKETS = {"reconnect", "attach_filter", *SPOIL_LISTENER}
VICTIMS = {"worker": "signer", "signer": "worker", "observer": "signer", "dialer": "signer", "filter": "signer"}


def _read_table():
    attacks, walls = [], {}
    for line in subprocess.run([BREACH, "--list"], check=True, capture_output=True, text=True).stdout.splitlines():
        words = line.split()
        if words[0] == "wall":
            walls[words[1]] = int(words[2])
        else:
            attacks.append(Attack(words[0], *map(int, words[1:])))
    return attacks, walls


ATTACKS, WALLS = _read_table()


def is_for(attack, role):
    """No role has a terminal; the signer and the filter have no connection, and the dialer hands its own on."""
    has_means = attack.name not in NEED_SOCKETS or role in ("worker", "observer")
    return attack.profiles & PROFILES[role] and not attack.needs & NEEDS_TERMINAL and has_means and attack.name not in NOT_LIVE


def walls_to_remove(attack):
    """Here the victim is a role of another user: that wall goes too."""
    removed = attack.walls | attack.also
    return removed | (WALLS["user"] | WALLS["capabilities"] if attack.needs & NEEDS_VICTIM else 0)


def is_own_machine():
    """Not a container that has part of root's powers taken away."""
    bounding = next(line for line in Path("/proc/self/status").read_text().split("\n") if line.startswith("CapBnd"))
    return int(bounding.split()[1], 16) >> 21 & 1 == 1


# -- roles

Outcome = collections.namedtuple("Outcome", "end errno")  # end: succeeded, refused, killed


class Actor:
    """A role that attacks on command: its successor too, when it was killed."""

    def __init__(self, role, slot=0):
        self.role, self.slot, self.pid, self.secret = role, slot, 0, 0
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(harness.WITHIN_S)

    def __str__(self):
        return f"{self.role} {self.slot}"

    def hear(self):
        try:
            words = self.ours.recv(65536).decode().split()
        except socket.timeout:
            raise harness.Trouble(f"the {self} says nothing") from None
        if words[0] == "up":
            self.pid, self.secret = int(words[1]), int(words[2])
        return words

    def ask(self, text):
        self.ours.send(text.encode())
        return self.hear()

    def wait_up(self, but):
        """Until another process than that one plays the role."""
        while self.pid == but:
            self.hear()

    def close(self):
        self.ours.close()
        self.theirs.close()


def disguised(secret):
    return bytes(byte ^ 0xa5 for byte in secret).hex()


# -- what lies around

class Scene:
    """Services that are nobody's upstream, and files."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="polder-live-"))
        self.folder.chmod(0o777)
        self.certificates = self.folder / "keys"
        authority = harness.Authority(self.certificates)
        self.ec, self.rsa = authority.issue("ec", [harness.HOST]), authority.issue("rsa", [harness.HOST], kind="rsa")
        self.file, self.new, self.setuid = (self.folder / name for name in ("file", "new", "setuid"))
        shutil.copy(HELPER, self.setuid)
        self.setuid.chmod(0o4755)
        self.abstract = self.folder.name
        self.tcp, self.udp = harness.free_port(), harness.free_port()
        self.services = [self._open(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", self.tcp)),
                         self._open(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", self.udp)),
                         self._open(socket.AF_UNIX, socket.SOCK_STREAM, str(self.folder / "socket")),
                         self._open(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + self.abstract)]
        (self.folder / "socket").chmod(0o777)
        self.app = harness.Application()

    @staticmethod
    def _open(family, kind, address):
        s = socket.socket(family, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(address)
        if kind == socket.SOCK_STREAM:
            s.listen(512)
            s.setblocking(False)
        return s

    def prepare(self, uid):
        """What an attack may use up."""
        with contextlib.suppress(FileNotFoundError):
            self.new.rmdir() if self.new.is_dir() and not self.new.is_symlink() else self.new.unlink()
        self.file.unlink(missing_ok=True)
        self.file.write_text("what it was before\n")
        self.file.chmod(0o666)
        if os.geteuid() == 0:
            os.chown(self.file, uid, uid)

    def words(self):
        return (f"tcp={self.tcp} udp={self.udp} unix={self.folder}/socket abstract={self.abstract} "
                f"key={self.ec.key} directory={self.folder} file={self.file} new={self.new} setuid={self.setuid}")

    def config(self, **gate):
        certificates = [{"name": name, "chain": issued.chain, "key": issued.key}
                        for name, issued in (("ec", self.ec), ("rsa", self.rsa))]
        return {
            "gate": gate,
            "limits": {"connections_per_address": 0},
            "certificates": certificates,
            "upstreams": [{"name": "app", "endpoints": [f"127.0.0.1:{self.app.port}"]}],
            "listeners": [{"name": "https", "tls": {"certificates": ["ec"], "versions": [1.3]}},
                          {"name": "older", "tls": {"certificates": ["rsa"], "versions": [1.2, 1.3]}}],
            "clusters": [{"name": "noord", "hosts": [harness.HOST], "routes": [{"path": "/", "upstream": "app"}]}],
        }

    def close(self):
        self.app.close()
        for s in self.services:
            s.close()
        shutil.rmtree(self.folder, ignore_errors=True)


# -- the gate

class LiveGate(harness.Gate):
    """Every worker holds a TLS connection of a client and one to the application; the observer one to its pages."""

    def __init__(self, scene, without=0, config=None):
        self.scene, self.without, self.held = scene, without, []
        self.workers_acting = [Actor("worker", slot) for slot in range(WORKERS)]
        self.signer, self.observer, self.dialer, self.filter = map(Actor, ("signer", "observer", "dialer", "filter"))
        self.actors = [*self.workers_acting, self.signer, self.observer, self.dialer, self.filter]
        self.inherited = [actor.theirs.fileno() for actor in self.actors]
        arguments = [f"--breach={actor.role}:{actor.slot}:{actor.theirs.fileno()}" for actor in self.actors]
        super().__init__(config or scene.config(), workers=WORKERS, arguments=[f"--without={without}", *arguments])
        self.may_say = "it is started again"
        for actor in self.actors:
            actor.wait_up(but=0)
        self.settle()

    def close(self):
        for s in self.held:
            s.close()
        try:
            super().close()
        finally:
            for actor in self.actors:
                actor.close()

    def ports(self, actor):
        listener = {"worker": self.port("https"), "observer": self.management}.get(actor.role, 0)
        return f"listener={listener} app={self.scene.app.port} record={self.folder}/state/isolation/record.0"

    def holds(self, actor):
        """[listener, client, upstream]: descriptors of the role, -1 for none."""
        words = actor.ask(f"holds {self.ports(actor)}")
        assert words[0] == "holds", words
        return [int(word) for word in words[1:]]

    def serves(self):
        """A new connection, a handshake, a request that reaches the application."""
        client = self.connect("https", tls=harness.tls_context())
        self.held.append(client)
        assert client.get("/alive").status == 200

    def settle(self):
        """Until every worker and the observer hold what somebody who takes them over would find."""
        def all_hold():
            if all(-1 not in self.holds(actor) for actor in self.workers_acting):
                return True
            self.serves()
            return False
        harness.until(all_hold, "every worker holds a client and an upstream")
        def observer_holds():
            if -1 not in self.holds(self.observer)[:2]:
                return True
            self.held.append(socket.create_connection(("127.0.0.1", self.management), harness.WITHIN_S))
            return False
        harness.until(observer_holds, "the observer holds a client")

    def victim_of(self, actor):
        return self.signer if VICTIMS[actor.role] == "signer" else self.workers_acting[0]

    def end_role(self, actor):
        """Puts another process in its place."""
        pid = actor.pid
        with contextlib.suppress(ProcessLookupError): # the attack was deadly
            os.kill(pid, signal.SIGKILL)
        actor.wait_up(but=pid)

    def attack(self, actor, attack):
        """The role is up again when this returns."""
        victim, pid, lines = self.victim_of(actor), actor.pid, len(self.said)
        uid = int(next(line for line in Path(f"/proc/{pid}/status").read_text().split("\n") if line.startswith("Uid")).split()[1])
        self.scene.prepare(uid)
        words = actor.ask(f"attack {attack.name} {self.ports(actor)} {self.scene.words()} victim={victim.pid} "
                          f"secret={victim.secret}")
        if words[0] == "attack":
            assert words[1] == attack.name
            return Outcome("refused" if int(words[2]) else "succeeded", int(words[2]))
        if words[0] == "breach":
            actor.wait_up(but=pid)
            return Outcome("succeeded", 0)
        assert words[0] == "up", words
        self.wait_said(f"the {actor} was killed by its sandbox", since=lines)
        return Outcome("killed", 0)
