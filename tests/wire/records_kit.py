"""A record service under test: the real program in a folder of its own, and clients that speak FHIR to it.

    with records_kit.Records() as records:
        patient = records.create({"resourceType": "Patient"})
        assert records.get(f"Patient/{patient['id']}").status == 200
"""
import collections
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import harness
import postgres_kit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import issuer  # noqa: E402

Answer = collections.namedtuple("Answer", "status headers body")
FHIR = "application/fhir+json"
# What the service must never say on standard error.
TROUBLE = re.compile(r"internal error|AddressSanitizer|LeakSanitizer|runtime error|killed by its sandbox|"
                     r"killed by signal|must be|Assertion|Segmentation|nonsense|started again")


def program():
    return os.environ.get("POLDER_RECORDS") or str(Path(os.environ["POLDER_BUILD"]) / "src/records/polder-records")


def store_of_a_cluster():
    """With POLDER_TEST_STORE=postgresql the same tests run on a database of their own for each cluster."""
    if os.environ.get("POLDER_TEST_STORE") != "postgresql":
        return {}
    return {"store": postgres_kit.server().database()}


class Client:
    """One kept connection."""

    def __init__(self, port, base):
        self.base, self.http = base, http.client.HTTPConnection("127.0.0.1", port, timeout=harness.WITHIN_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def ask(self, method, path, body=None, **fields):
        """Fields by their names in lower case with '_': if_match. A dict becomes JSON."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("content-type", FHIR)
        self.http.request(method, f"{self.base}/{path}" if path else self.base, body=body, headers=headers)
        answer = self.http.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def resource(answer, status=200):
    """The JSON of an answer that has that status."""
    assert answer.status == status, (answer.status, answer.body[:2000])
    return json.loads(answer.body)


def refusal(answer, status):
    """The first issue of an OperationOutcome: every refusal is one, and says something."""
    outcome = resource(answer, status)
    assert outcome["resourceType"] == "OperationOutcome", outcome
    issue = outcome["issue"][0]
    assert issue["severity"] == "error" and len(issue["diagnostics"]) > 10, issue
    return issue


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Records:
    def __init__(self, workers=2, owners=1, clusters=("noord",), start=True, disk_kb=None, **settings):
        self.folder = Path(tempfile.mkdtemp(prefix="polder-records-"))
        self.folder.chmod(0o755)
        self.port, self.data = harness.free_port(), self.folder / "data"
        self.clusters, self.issuer = clusters, None
        if settings.pop("guarded", False):  # tokens of an issuer of our own: see token()
            self.issuer = issuer.Issuer()
            (self.folder / "jwks.json").write_text(self.issuer.jwks())
            settings["issuers"] = [{"url": self.issuer.url, "jwks": "jwks.json"}]
            settings["administrators"] = ["cluster-admin"]
        elif "access" not in settings:
            settings["access"] = "off"
        top = settings.pop("top", {})
        if settings.pop("behind_gate", False):
            settings["listeners"] = [{"address": f"127.0.0.1:{self.port}", "behind_gate": True}]
        config = {**top, "records": {"data_directory": str(self.data), "workers": workers, "owners": owners,
                              "listeners": [f"127.0.0.1:{self.port}"],
                              "clusters": [{"name": name, "path": f"/{name}/fhir", **store_of_a_cluster()} for name in clusters],
                              **settings}}
        self.config_path = self.folder / "polder.yaml"
        self.config_path.write_text(json.dumps(config))
        self.process, self.said, self.said_changed, self.may_say = None, [], threading.Condition(), None
        self.disk_kb = disk_kb
        if start:
            try:
                self.start()
            except BaseException:
                shutil.rmtree(self.folder, ignore_errors=True)
                raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.stop(quietly=kind is not None)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- the process

    def start(self, words="ready"):
        self.said.clear()
        command = [program(), "--config", str(self.config_path)]
        if self.disk_kb:  # a disk of its own, which only these processes see
            self.data.mkdir(exist_ok=True)
            command = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs -o mode=0755,size={self.disk_kb}k tmpfs "
                       f"'{self.data}' && exec \"$@\"", "sh", *command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, cwd=self.folder, start_new_session=True)
        threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True).start()
        try:
            self.wait_said(words)
        except BaseException:
            self.process.kill()
            raise

    def _listen(self, pipe):
        for line in pipe:
            with self.said_changed:
                self.said.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.said_changed.notify_all()

    def wait_said(self, words, times=1):
        def heard():
            return sum(words in line for line in self.said) >= times
        with self.said_changed:
            if not self.said_changed.wait_for(lambda: heard() or self.process.poll() is not None, harness.WITHIN_S) or \
                    not heard():
                raise harness.Trouble(f"it never said {words!r}; it said: " + "\n".join(self.said))

    def stop(self, quietly=False):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(harness.WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise harness.Trouble("it does not end") from None
        trouble = [line for line in self.said if TROUBLE.search(line) and
                   not (self.may_say and re.search(self.may_say, line))]
        if not quietly:
            assert not trouble, "\n".join(trouble)
            assert self.process.returncode == 0, "\n".join(self.said)

    def kill(self):
        """The master and all roles, at once: as if the power went."""
        pids = [self.process.pid, *self.roles().values()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(harness.WITHIN_S)
        harness.until(lambda: not any(map(is_alive, pids)), "all of them are gone")

    def roles(self):
        """{"worker 0": pid, ...} of the children of this master."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                words = (path / "cmdline").read_bytes().split(b"\0") if parent == self.process.pid else []
            except OSError:
                continue
            said = dict(word.decode().split("=", 1) for word in words if b"=" in word)
            if "role" in said:
                found[f"{said['role']} {said['slot']}"] = int(path.name)
        return found

    # -- clients

    def base(self, cluster=None):
        return f"/{cluster or self.clusters[0]}/fhir"

    def client(self, cluster=None):
        return Client(self.port, self.base(cluster))

    def ask(self, method, path, body=None, cluster=None, **fields):
        with self.client(cluster) as client:
            return client.ask(method, path, body, **fields)

    def get(self, path, **fields):
        return self.ask("GET", path, **fields)

    def token(self, user=None, cluster=None, **claims):
        """The field Authorization for somebody; without a user the administrators' client."""
        claims.setdefault("aud", f"http://127.0.0.1:{self.port}{self.base(cluster)}")
        if user is None and "client_id" not in claims and "patient" not in claims:
            claims["client_id"] = "cluster-admin"
        return "Bearer " + self.issuer.token(user, **claims)

    def create(self, body, **fields):
        return resource(self.ask("POST", body["resourceType"], body, **fields), 201)

    def raw(self, data):
        """Bytes as they are, on a connection of their own; all that comes back until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=harness.WITHIN_S) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            got = b""
            while True:
                part = s.recv(65536)
                if not part:
                    return got
                got += part

    # -- the log of accesses

    def audit_lines(self, cluster=None):
        path = self.data / (cluster or self.clusters[0]) / "audit" / "accesses.jsonl"
        return path.read_bytes().splitlines(keepends=True)


def check_chain(lines):
    """The lines as dicts; each is whole, counted, and chained to the one before."""
    chain, found = bytes(32), []
    for number, line in enumerate(lines, 1):
        assert line.endswith(b"\n"), line
        text, _, tail = line.rstrip(b"\n").rpartition(b',"chain":"')
        chain = hashlib.sha256(chain + text).digest()
        assert tail == chain.hex().encode() + b'"}', (number, line)
        found.append(json.loads(line))
        assert found[-1]["n"] == number
    return found
