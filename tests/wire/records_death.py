"""What was acknowledged is there, whoever is killed while it was written; and every answer has its line in the log."""
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import harness
import records_kit

PATIENT = {"resourceType": "Patient", "active": True}


class Writers:
    """Clients that create, one after another, and note what was acknowledged."""

    def __init__(self, records, count=8):
        self.records, self.acknowledged, self.refused, self.over = records, [], 0, False
        self.threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self.threads:
            thread.join(harness.WITHIN_S)

    def _write(self, number):
        client, sequence = self.records.client(), 0
        while not self.over:
            sequence += 1
            name = f"w{number}-{sequence}"
            try:
                answer = client.ask("PUT", f"Patient/{name}", {**PATIENT, "id": name})
            except (OSError, records_kit.http.client.HTTPException):
                client.http.close()
                client = self.records.client()
                time.sleep(0.01)  # nobody listens while the whole service is down
                continue
            if answer.status == 201:
                self.acknowledged.append(name)
            else:
                assert answer.status == 503, (answer.status, answer.body)
                self.refused += 1

    def wait_for(self, count):
        harness.until(lambda: len(self.acknowledged) >= count, f"{count} writes, not {len(self.acknowledged)}")


def check_all(records, names):
    """Every acknowledged write is read, and stands in the log of accesses, whose chain is whole."""
    with records.client() as client:
        for name in names:
            assert client.ask("GET", f"Patient/{name}").status == 200, name
    lines = records_kit.check_chain(records.audit_lines())
    created = {line["objects"][0] for line in lines if line["action"] == "U" and line["status"] == 201}
    assert {f"Patient/{name}/_history/1" for name in names} <= created


@pytest.mark.parametrize("role", ["owner 0", "audit 0", "worker 0"])
def test_a_role_is_killed(role):
    with records_kit.Records(workers=2) as records:
        records.may_say = "killed by signal 9|started again"
        with Writers(records) as writers:
            for round_number in range(1, 4):
                writers.wait_for(len(writers.acknowledged) + 50)
                os.kill(harness.until(lambda: records.roles().get(role), f"{role} is back"), signal.SIGKILL)
                records.wait_said(f"the {role}", times=round_number)
            writers.wait_for(len(writers.acknowledged) + 50)
        check_all(records, writers.acknowledged)


def test_everything_is_killed():
    with records_kit.Records(workers=2) as records:
        with Writers(records) as writers:
            for _ in range(2):
                writers.wait_for(len(writers.acknowledged) + 100)
                records.kill()
                records.start()
            writers.wait_for(len(writers.acknowledged) + 20)
        check_all(records, writers.acknowledged)


def test_log_is_cut_at_its_end():
    """A line that was half written when the power went was never confirmed: it goes, and the chain goes on."""
    with records_kit.Records(workers=1) as records:
        records.create(PATIENT)
        records.kill()
        path = records.data / "noord" / "audit" / "accesses.jsonl"
        whole = path.read_bytes()
        path.write_bytes(whole + b'{"n":2,"at":"20')
        records.start()
        records.create(PATIENT)
        assert len(records_kit.check_chain(records.audit_lines())) == 2


def test_log_that_is_none():
    with records_kit.Records(workers=1) as records:
        records.create(PATIENT)
        records.stop()
        path = records.data / "noord" / "audit" / "accesses.jsonl"
        path.write_bytes(b"iets anders\n")
        records.start("does not end like a log")
        records.kill()
        path.unlink()
        records.start()


def test_ends_in_order():
    with records_kit.Records(workers=2) as records:
        with records.client() as client:
            assert client.ask("POST", "Patient", PATIENT).status == 201
            roles = records.roles()
            assert sorted(roles) == ["audit 0", "exporter 0", "owner 0", "worker 0", "worker 1"]
            records.process.send_signal(signal.SIGTERM)
            assert records.process.wait(harness.WITHIN_S) == 0
        for pid in roles.values():
            assert not os.path.exists(f"/proc/{pid}")


def test_two_in_one_folder():
    with records_kit.Records(workers=1) as records:
        second = subprocess.run([records_kit.program(), "--config", str(records.config_path)], capture_output=True,
                                text=True, timeout=harness.WITHIN_S, check=False)
        assert second.returncode == 1 and "another polder-records works in" in second.stderr


def test_the_master_is_killed():
    """Nobody works on without a master: what is under way ends, and the roles with it."""
    with records_kit.Records(workers=1) as records:
        made = records.create(PATIENT)
        pids = records.roles().values()
        os.kill(records.process.pid, signal.SIGKILL)
        records.process.wait(harness.WITHIN_S)
        harness.until(lambda: not any(map(records_kit.is_alive, pids)), "the roles end")
        records.start()
        assert records.get(f"Patient/{made['id']}").status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own needs root")
def test_the_disk_is_full():
    """Refused with 507 or 503, never acknowledged and lost; and what is there can be read when there is room again."""
    with records_kit.Records(workers=1, disk_kb=8_000) as records:
        records.may_say = "killed by signal|started again"
        disk = Path(f"/proc/{records.process.pid}/root{records.data}")
        (disk / "ballast").write_bytes(bytes(2_000_000))
        large = {**PATIENT, "name": [{"text": os.urandom(100_000).hex()}]}
        acknowledged, refused = [], 0
        with records.client() as client:
            while refused < 2:
                name = f"groot-{len(acknowledged)}-{refused}"
                answer = client.ask("PUT", f"Patient/{name}", {**large, "id": name}, prefer="return=minimal")
                if answer.status == 201:
                    acknowledged.append(name)
                    continue
                records_kit.refusal(answer, answer.status)
                assert answer.status in (507, 503), answer
                refused += 1
            assert len(acknowledged) > 5
            assert any("cannot be written" in line for line in records.said), records.said
            (disk / "ballast").unlink()
            harness.until(lambda: client.ask("GET", f"Patient/{acknowledged[0]}").status == 200, "reading goes on")
            for name in acknowledged:
                assert client.ask("GET", f"Patient/{name}").status == 200, name
            harness.until(lambda: client.ask("PUT", "Patient/klein", {**PATIENT, "id": "klein"}).status in (200, 201),
                          "writing goes on")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives roles users of their own")
def test_walls():
    """No role is root, may gain anything, or make a call it does not need; each sees no network but what it was given."""
    with records_kit.Records(workers=1) as records:
        own_network = os.readlink("/proc/self/ns/net")
        for role, pid in records.roles().items():
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            assert set(status["Uid"].split()) == {"64421" if role.startswith("audit") else "64420"}, role
            assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, role
            assert status["NoNewPrivs"].strip() == "1" and status["Groups"].strip() == "", role
            assert os.readlink(f"/proc/{pid}/ns/net") != own_network, role
            if "asan" not in os.environ["POLDER_BUILD"]:
                assert status["Seccomp"].strip() == "2", role


@pytest.mark.parametrize("role", ["owner 0", "audit 0"])
def test_who_does_not_answer(role):
    """A role that hangs: waiting has an end, and nothing is told that is not in the log."""
    with records_kit.Records(workers=1) as records, records.client() as client:
        client.http.timeout = 40
        assert client.ask("PUT", "Patient/a", {**PATIENT, "id": "a", "name": [{"text": "geheim"}]}).status == 201
        os.kill(records.roles()[role], signal.SIGSTOP)
        try:
            answer = client.ask("PUT", "Patient/b", {**PATIENT, "id": "b"}) if role == "owner 0" else \
                client.ask("GET", "Patient/a")
        finally:
            os.kill(records.roles()[role], signal.SIGCONT)
        records_kit.refusal(answer, 503)
        assert answer.headers["retry-after"] and b"geheim" not in answer.body
        harness.until(lambda: client.ask("GET", "Patient/a").status == 200, "it is answered again")
        records_kit.check_chain(records.audit_lines())
