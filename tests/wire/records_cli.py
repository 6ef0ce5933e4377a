"""`polder records`: what operators do with the records of a cluster, against the real service."""
import contextlib
import json
import os
import pty
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import harness
import records_kit
from records_kit import resource

ROOT = Path(__file__).resolve().parents[2]
POLDER = os.environ.get("POLDER") or str(Path(os.environ["POLDER_BUILD"]) / "src/cli/polder")


def polder(*words, within_s=60, **more):
    return subprocess.run([POLDER, "records", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=within_s, **more)


def said(done, status=0):
    """The JSON it printed."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def count(records, query, cluster=None):
    return resource(records.ask("GET", f"{query}{'&' if '?' in query else '?'}_summary=count", cluster=cluster))["total"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Two clusters' records, some hundred resources each."""
    folder = tmp_path_factory.mktemp("sample")
    subprocess.run([sys.executable, ROOT / "tools/sample/make.py", folder, "--patients", "4", "--years", "4"], check=True,
                   stderr=subprocess.DEVNULL, timeout=60)
    return folder


@pytest.fixture
def data(sample, tmp_path):
    """A copy of its own: loading leaves a mark there."""
    return Path(shutil.copytree(sample, tmp_path / "sample"))


def lines_of(folder):
    return [line for path in sorted(folder.glob("*.ndjson")) for line in path.read_text().splitlines()]


def by_name(lines):
    found = {}
    for line in lines:
        one = json.loads(line)
        one.pop("meta", None)
        found[f"{one['resourceType']}/{one['id']}"] = one
    return found


# ---- load


def test_load_and_load_again(data):
    lines = lines_of(data / "noord")
    with records_kit.Records(clusters=("noord", "zuid")) as records:
        words = ("load", data / "noord", "--cluster", "noord", "--config", records.config_path, "--json")
        first = said(polder(*words))
        assert (first["loaded"], first["failed"], first["complete"]) == (len(lines), 0, True)
        for kind in ("Patient", "Encounter", "Composition"):
            assert count(records, kind) == sum(f'"resourceType":"{kind}"' in line for line in lines)
        assert count(records, "Patient", cluster="zuid") == 0
        second = said(polder(*words))
        assert second["loaded"] == 0 and second["skipped_bytes"] == sum(f.stat().st_size for f in data.glob("noord/*.ndjson"))
        # Without its mark it does all of it again, which changes nothing but versions.
        (data / "noord/.polder-loaded").unlink()
        assert said(polder(*words))["loaded"] == len(lines)
        assert count(records, "Patient") == 4


def test_load_by_url_goes_on_after_what_is_new(data):
    with records_kit.Records() as records:
        words = ("load", data / "noord", "--url", f"http://localhost:{records.port}/noord/fhir/", "--json")
        all_of_it = said(polder(*words))["loaded"]
        with open(data / "noord/03-Patient.ndjson", "a") as out:
            out.write('{"resourceType":"Patient","id":"erbij"}\n')
        # That file is another one now; the others are passed over.
        assert said(polder(*words))["loaded"] == 5 < all_of_it
        assert records.get("Patient/erbij").status == 200


def test_marks_are_not_believed_of_another_service(data):
    with records_kit.Records() as records:
        words = ("load", data / "noord", "--config", records.config_path, "--json")
        loaded = said(polder(*words))["loaded"]
        records.stop()
        shutil.rmtree(records.data)
        records.start()
        assert said(polder(*words))["loaded"] == loaded
        assert count(records, "Patient") == 4


BAD = '''{"resourceType":"Patient","id":"p1"}
{"resourceType":"Patient","id":"p2","nmae":[{"family":"X"}]}
{"resourceType":"Patient"}

{"resourceType":"Patient","id":"p3",
{"resourceType":"Patiënt","id":"p4"}
{"resourceType":"Patient","id":"a b"}
{"resourceType":"Patient","id":"p5","birthDate":"1970-02-31"}
{"resourceType":"Patient","id":"p6"}'''
WRONG = {2: "nmae", 3: "without \"id\"", 5: "no JSON", 6: "no type of resource", 7: "no id", 8: "1970-02-31"}


def check_errors(answer, path):
    assert {e["line"]: e["file"] for e in answer["errors"]} == {line: str(path) for line in WRONG}
    for error in answer["errors"]:
        assert WRONG[error["line"]] in error["text"], error


def test_refusals_are_told_with_their_lines(tmp_path):
    path = tmp_path / "fout.ndjson"
    path.write_text(BAD)
    with records_kit.Records() as records:
        dry = said(polder("load", path, "--config", records.config_path, "--dry-run", "--json"), 1)
        assert (dry["loaded"], dry["failed"], dry["dry_run"]) == (2, 6, True)
        check_errors(dry, path)
        assert count(records, "Patient") == 0 and not (tmp_path / ".polder-loaded").exists()
        done = polder("load", path, "--config", records.config_path, "--json")
        answer = said(done, 1)
        assert (answer["loaded"], answer["failed"], answer["complete"]) == (2, 6, False)
        check_errors(answer, path)
        assert f"{path}:8: Patient/p5: 422" in done.stderr
        assert records.get("Patient/p6").status == 200
        path.write_text('{"resourceType":"Patient","id":"p9"}')
        assert said(polder("load", path, "--config", records.config_path, "--json"))["loaded"] == 1


def test_bundles(tmp_path):
    (tmp_path / "1.json").write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:1f2e3d4c-0000-4000-8000-000000000001", "resource": {"resourceType": "Patient", "active": True},
         "request": {"method": "POST", "url": "Patient"}},
        {"resource": {"resourceType": "Flag", "status": "active", "code": {"text": "let op"},
                      "subject": {"reference": "urn:uuid:1f2e3d4c-0000-4000-8000-000000000001"}},
         "request": {"method": "POST", "url": "Flag"}}]}))
    people = [{"resource": {"resourceType": "Patient", "id": f"c{n}", **({"gender": "x"} if n == 300 else {})}}
              for n in range(600)]
    (tmp_path / "2.json").write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": people}, indent=1))
    (tmp_path / "3.json").write_text('{"resourceType": "Organization",\n "id": "o1", "name": "Een"}')
    with records_kit.Records() as records:
        answer = said(polder("load", tmp_path, "--config", records.config_path, "--json"), 1)
        assert (answer["loaded"], answer["failed"]) == (602, 1)
        assert "Patient/c300" in answer["errors"][0]["text"] and answer["errors"][0]["line"] > 300
        assert count(records, "Patient") == 600 and records.get("Organization/o1").status == 200
        flag = resource(records.get("Flag"))["entry"][0]["resource"]
        assert records.get(flag["subject"]["reference"]).status == 200
        # The transaction is not carried out twice.
        assert said(polder("load", tmp_path, "--config", records.config_path, "--json"), 1)["failed"] == 1
        assert count(records, "Flag") == 1


def test_a_bundle_among_lines(tmp_path):
    """It is carried out by itself, and the lines around it are lines still."""
    work = {"resourceType": "Bundle", "type": "batch", "entry": [
        {"resource": {"resourceType": "Basic", "code": {"text": "een"}}, "request": {"method": "POST", "url": "Basic"}}]}
    lines = [{"resourceType": "Patient", "id": "a1"}, work, {"resourceType": "Patient", "id": "a2"}, work,
             {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Patient", "id": "a3"}}]},
             {"resourceType": "Patient", "id": "a4", "gender": "x"}]
    (tmp_path / "door-elkaar.ndjson").write_text("\n".join(map(json.dumps, lines)))
    with records_kit.Records() as records:
        told = said(polder("load", tmp_path, "--config", records.config_path, "--json"), 1)
        assert (told["loaded"], told["failed"], told["errors"][0]["line"]) == (5, 1, 6)
        assert count(records, "Patient") == 3 and count(records, "Basic") == 2


def test_load_waits_for_a_service_that_restarts(tmp_path):
    """The owner dies while it loads: what was on its way is sent again."""
    with open(tmp_path / "veel.ndjson", "w") as out:
        for n in range(20_000):
            out.write(json.dumps({"resourceType": "Basic", "id": f"b{n}", "code": {"text": f"nummer {n}"}}) + "\n")
    with records_kit.Records() as records:
        records.may_say = "owner"
        under_way = {}
        loading = threading.Thread(target=lambda: under_way.update(
            done=polder("load", tmp_path, "--config", records.config_path, "--json")))
        loading.start()
        harness.until(lambda: count(records, "Basic") > 500, "it loads")
        os.kill(records.roles()["owner 0"], 9)
        loading.join()
        answer = json.loads(under_way["done"].stdout)
        if not answer["complete"]:  # whatever the refusal, the next run makes it whole
            answer = said(polder("load", tmp_path, "--config", records.config_path, "--json"))
        assert answer["complete"] and count(records, "Basic") == 20_000


def test_load_says_what_is_wrong_with_its_words(tmp_path, data):
    for words, status, text in (
            ((data / "noord", "--url", "http://127.0.0.1:1/x"), 1, "nobody answers"),
            ((data / "noord", "--url", "https://127.0.0.1/x"), 2, "plain http"),
            ((data / "noord", "--url", "127.0.0.1"), 2, "base URL"),
            ((tmp_path / "nix", "--url", "http://127.0.0.1:1/x"), 1, "cannot read"),
            ((data, "--url", "http://127.0.0.1:1/x"), 1, "nothing to load"),
            ((data / "noord", "--config", tmp_path / "nix"), 1, "cannot read"),
            ((), 2, "usage: polder records load")):
        done = polder("load", *words)
        assert done.returncode == status and text in done.stderr, (words, done)
    with records_kit.Records() as records:
        done = polder("load", data / "noord", "--url", f"http://127.0.0.1:{records.port}/oost/fhir")
        assert done.returncode == 1 and "answers 404" in done.stderr


def test_progress_on_a_terminal(data):
    with records_kit.Records() as records:
        with open(data / "noord/99-Basic.ndjson", "w") as out:
            for n in range(6_000):
                out.write(json.dumps({"resourceType": "Basic", "id": f"b{n}", "code": {"text": f"nummer {n}"}}) + "\n")
        ours, its = pty.openpty()
        done = subprocess.run([POLDER, "records", "load", data / "noord", "--config", records.config_path],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=its, timeout=60)
        os.close(its)
        shown = os.read(ours, 1 << 16).decode()
        os.close(ours)
        assert done.returncode == 0 and "\r" in shown and "resources, " in shown and "/s" in shown and "[#" in shown


# ---- keeping


@pytest.fixture(scope="module")
def filled(sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    with records_kit.Records(clusters=("noord", "zuid")) as records:
        for name in records.clusters:
            data = shutil.copytree(sample / name, folder / name)
            said(polder("load", data, "--cluster", name, "--config", records.config_path, "--json"))
        yield records


def keep(records, part, *words, status=0, cluster="noord"):
    """With --json, of one cluster of that service."""
    return said(polder(part, "--cluster", cluster, "--config", records.config_path, "--json", *words), status)


def test_status(filled, sample):
    answer = said(polder("status", "--config", filled.config_path, "--json"))
    assert [c["name"] for c in answer["clusters"]] == ["noord", "zuid"] and answer["disk_free_bytes"] > 0
    for one in answer["clusters"]:
        assert one["state"] == "in use" and one["resources"] == len(lines_of(sample / one["name"])) > 100
        assert one["file_bytes"] > 100_000 and one["versions"] >= one["resources"]
    shown = polder("status", "--cluster", "zuid", "--config", filled.config_path).stdout
    assert "zuid" in shown and "noord" not in shown and "Free on the disk" in shown


def test_backup_while_it_is_written(filled, sample, tmp_path):
    """Others write all the time; the copy is of one moment, and another service goes on with it."""
    over = threading.Event()

    def write():
        with filled.client("noord") as client:
            number = 0
            while not over.is_set():
                client.ask("PUT", f"Basic/x{number % 50}",
                           {"resourceType": "Basic", "id": f"x{number % 50}", "code": {"text": str(number)}})
                number += 1

    writing = threading.Thread(target=write)
    writing.start()
    try:
        harness.until(lambda: count(filled, "Basic") > 5, "it is written to")
        keep(filled, "backup", "--out", tmp_path / "noord.backup")
    finally:
        over.set()
        writing.join()
    assert (tmp_path / "noord.backup").stat().st_mode & 0o077 == 0
    done = polder("backup", "--cluster", "noord", "--out", tmp_path / "noord.backup", "--config", filled.config_path)
    assert done.returncode == 1 and "never overwrites" in done.stderr
    with records_kit.Records(start=False) as other:
        keep(other, "restore", "--from", tmp_path / "noord.backup")
        other.start()
        assert count(other, "Basic") > 5 and count(other, "Patient") == 4
        assert keep(other, "verify")["faults"] == 0
        other.create({"resourceType": "Basic", "code": {"text": "en verder"}})
        again = polder("restore", "--cluster", "noord", "--from", tmp_path / "noord.backup", "--config", other.config_path)
        assert again.returncode == 1 and "never overwrites" in again.stderr


def test_a_wrong_backup_is_refused(filled, tmp_path):
    keep(filled, "backup", "--out", tmp_path / "zuid.backup", cluster="zuid")
    damaged = bytearray((tmp_path / "zuid.backup").read_bytes())
    middle = len(damaged) // 2 & ~4095
    damaged[middle:middle + 8192] = os.urandom(8192)
    (tmp_path / "damaged").write_bytes(damaged)
    (tmp_path / "text").write_text("dit is geen kopie")
    with records_kit.Records(clusters=("noord", "zuid"), start=False) as other:
        for name, cluster, text in (("zuid.backup", "noord", "no backup of the records of noord"),
                                    ("damaged", "zuid", "damaged"), ("text", "zuid", "no backup"),
                                    ("nix", "zuid", "cannot read")):
            done = polder("restore", "--cluster", cluster, "--from", tmp_path / name, "--config", other.config_path)
            assert done.returncode == 1 and text in done.stderr, (name, done)
            assert not (other.data / cluster / "records.db").exists()
        other.start()  # and nothing that was left behind is in the way


def test_export_is_what_was_loaded(filled, sample, tmp_path):
    answer = keep(filled, "export", "--out", tmp_path / "uit", cluster="zuid")
    lines = lines_of(sample / "zuid")
    assert answer["resources"] == len(lines) and sum(t["count"] for t in answer["types"]) == len(lines)
    assert by_name(lines_of(tmp_path / "uit")) == by_name(lines)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["uit"]
    done = polder("export", "--cluster", "zuid", "--out", tmp_path / "uit", "--config", filled.config_path)
    assert done.returncode == 1 and "never overwrites" in done.stderr


def test_export_writes_each_resource_on_one_line(filled, tmp_path):
    filled.ask("PUT", "Basic/regels", '{\r\n "resourceType" : "Basic",\n"id":"regels", "code":{"text":"een\\ntwee"}\n}')
    keep(filled, "export", "--out", tmp_path / "uit")
    found = by_name((tmp_path / "uit/Basic.ndjson").read_text().splitlines())
    assert found["Basic/regels"]["code"]["text"] == "een\ntwee"


def test_move_only_while_it_is_stopped(data, tmp_path):
    with records_kit.Records(clusters=("noord", "zuid")) as records:
        tmp_path.chmod(0o755)
        new = records.folder / "nieuw"
        polder("load", data / "noord", "--cluster", "noord", "--config", records.config_path)
        done = polder("move", "--cluster", "noord", "--to", new, "--config", records.config_path)
        assert done.returncode == 1 and "stop it first" in done.stderr and not new.exists()
        done = polder("reindex", "--cluster", "noord", "--config", records.config_path)
        assert done.returncode == 1 and "stop it first" in done.stderr
        audit = records.audit_lines("noord")
        records.stop()
        keep(records, "reindex")
        answer = keep(records, "move", "--to", new)
        assert Path(answer["old_folder"]).is_dir() and not (records.data / "noord").exists()
        records.config_path.write_text(records.config_path.read_text().replace(str(records.data), str(new)))
        records.data = new
        records.start()
        assert count(records, "Patient") == 4 and keep(records, "verify")["faults"] == 0
        lines = records.audit_lines("noord")  # the log went along, and its chain goes on
        assert lines[:len(audit)] == audit and len(lines) > len(audit)
        records_kit.check_chain(lines)


def test_verify_names_faults(data):
    with records_kit.Records(start=False) as records:
        records.start()
        polder("load", data / "noord", "--config", records.config_path)
        records.stop()
        assert keep(records, "verify")["faults"] == 0
        path = records.data / "noord/records.db"
        with contextlib.closing(sqlite3.connect(path)) as database:  # else pages of the log hide those of the file
            database.execute("pragma wal_checkpoint(truncate)")
        bytes_ = bytearray(path.read_bytes())
        middle = len(bytes_) // 2 & ~4095
        bytes_[middle + 100:middle + 3000] = os.urandom(2900)
        path.write_bytes(bytes_)
        done = polder("verify", "--config", records.config_path)
        assert done.returncode == 1 and "noord: page: " in done.stdout and " faults" in done.stdout
        # What is damaged so much that resources are lost is not exported at all.
        for at in range(16 * 4096, len(bytes_) - 4096, 2 * 4096):
            bytes_[at:at + 4096] = os.urandom(4096)
        path.write_bytes(bytes_)
        done = polder("export", "--cluster", "noord", "--out", records.folder / "uit", "--config", records.config_path)
        assert done.returncode == 1 and done.stderr and not (records.folder / "uit").exists()


def test_export_counts(data):
    """One resource less than the store says there are is no export."""
    with records_kit.Records(start=False) as records:
        records.start()
        polder("load", data / "noord", "--config", records.config_path)
        records.stop()
        with sqlite3.connect(records.data / "noord/records.db") as store:
            counters = bytearray(store.execute("SELECT value FROM info WHERE name = 'counters'").fetchone()[0])
            counters[8:16] = (int.from_bytes(counters[8:16], "big") + 1).to_bytes(8, "big")
            store.execute("UPDATE info SET value = ? WHERE name = 'counters'", (bytes(counters),))
        store.close()
        out = records.folder / "uit"
        done = polder("export", "--cluster", "noord", "--out", out, "--config", records.config_path)
        assert done.returncode == 1 and "nothing is exported" in done.stderr and not out.exists()


def test_words_are_missing(filled):
    for words, text in ((("backup",), "--out FILE is missing"), (("restore",), "--from FILE is missing"),
                        (("export",), "--out DIR is missing"), (("move",), "--to DIR is missing"),
                        (("backup", "--out", "x", "--config", filled.config_path), "say which cluster"),
                        (("verify", "--cluster", "oost", "--config", filled.config_path), "no cluster 'oost'"),
                        ((), "polder records load"), (("nix",), "polder records load")):
        done = polder(*words)
        assert done.returncode == 2 and text in done.stderr, (words, done)


# ---- load against services that are not well


def has_taken(connection):
    """Whether the other end has read all there is: its queue, as the kernel tells it."""
    ours, its = (f"0100007F:{end[1]:04X}" for end in (connection.getsockname(), connection.getpeername()))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1:3] == [its, ours]:
            return words[4].endswith(":00000000")
    return True  # it is gone


class Odd:
    """A service that answers each request with the next of these bytes; each part of a list arrives by itself. None ends the
    connection without an answer. At the end the last one is repeated."""

    def __init__(self, *answers):
        self.answers, self.asked, self.bodies = list(answers), 0, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/x/fhir"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with connection, connection.makefile("rb") as stream:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                length, line = 0, stream.readline()
                while line.strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = stream.readline()
                if not line:
                    return
                self.bodies.append(stream.read(length))
                answer = self.answers[min(self.asked, len(self.answers) - 1)]
                self.asked += 1
                if answer is None:
                    return
                for part in answer if isinstance(answer, list) else [answer]:
                    connection.sendall(part)
                    harness.until(lambda: has_taken(connection), "what was sent is read")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def answer(status, body=b"{}", fields=b""):
    return b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s" % (status, fields, len(body), body)


def outcome(text):
    return json.dumps({"resourceType": "OperationOutcome", "issue": [{"diagnostics": text, "expression": ["Patient.id"]}]}).encode()


@pytest.fixture
def one(tmp_path):
    (tmp_path / "een.ndjson").write_text('{"resourceType":"Patient","id":"p1"}\n{"resourceType":"Patient","id":"p2"}\n')
    return tmp_path


BATCH = json.dumps({"resourceType": "Bundle", "entry": [{"response": {"status": "200 OK"}}, {"response": {
    "status": "422 Nee", "outcome": json.loads(outcome("zo niet"))}}]}).encode()
PIECES = [b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\n" + BATCH[:5] + b"\r\n",
          b"%x\r\n" % (len(BATCH) - 5) + BATCH[5:40], BATCH[40:] + b"\r\n0\r", b"\n\r", b"\n"]


def test_a_busy_service_is_waited_for(one):
    with Odd(answer(503, outcome("vol"), b"Retry-After: 1\r\n"), None, answer(200)) as odd:
        assert said(polder("load", one, "--url", odd.url, "--json"))["loaded"] == 2
        assert odd.asked == 3 and len(set(odd.bodies)) == 1


def test_what_a_batch_says_in_pieces(one):
    with Odd(answer(422, outcome("een van beide")), PIECES) as odd:
        told = said(polder("load", one, "--url", odd.url, "--json"), 1)
        assert (told["loaded"], told["failed"]) == (1, 1) and odd.asked == 2
        assert told["errors"][0]["line"] == 2 and "Patient/p2: 422 Nee: zo niet (Patient.id)" == told["errors"][0]["text"]
        kinds = [json.loads(body)["type"] for body in odd.bodies]
        assert kinds == ["transaction", "batch"]


@pytest.mark.parametrize("last, text", [
    (b"nonsense\r\n\r\n", "ends every connection"), (None, "ends every connection"),
    (answer(401, outcome("een token graag")), "--token"), (answer(404, outcome("hier niet")), "base URL"),
    (answer(413, outcome("te groot")), "te groot"), (answer(422, b"[1,"), "does not say why"),
    (answer(200, b"no json at all"), ""),
])
def test_odd_answers_end_it_with_a_reason(one, last, text):
    with Odd(last) as odd:
        done = polder("load", one, "--url", odd.url)
        if text:
            assert done.returncode == 1 and text in done.stderr, done
        else:  # a transaction that was taken is taken, whatever else is said
            assert done.returncode == 0


def test_it_stops_when_it_is_told_to(one):
    """What is not answered is not done: the next run begins there."""
    with Odd([]) as odd:
        loading = subprocess.Popen([POLDER, "records", "load", one, "--url", odd.url], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        harness.until(lambda: odd.asked, "it has asked")
        loading.terminate()
        _, told = loading.communicate(timeout=30)
        assert loading.returncode == 1 and "goes on where it stopped" in told and not (one / ".polder-loaded").exists()


def test_where_no_mark_can_be_left(one):
    (one / ".polder-loaded.part").mkdir()
    with Odd(answer(200)) as odd:
        done = polder("load", one, "--url", odd.url)
        assert done.returncode == 0 and "will begin from the beginning" in done.stderr
