"""Bulk exports: asked for, followed, fetched, deleted; whole or not at all, whoever dies; and for administrators alone."""
import json
import os
import signal

import pytest

import harness
import records_kit
import records_people
from records_kit import refusal, resource
from records_people import GP, PHARMACIST, ref

PATIENTS, EACH = 30, 40


def fill(records, patients=PATIENTS, each=EACH):
    for n in range(patients):
        entries = [{"resource": {"resourceType": "Patient", "id": f"p{n}", "active": True},
                    "request": {"method": "PUT", "url": f"Patient/p{n}"}}]
        entries += [{"resource": {"resourceType": "Observation", "id": f"o{n}-{k}", "status": "final", "code": {"text": "a\nb"},
                                  "subject": ref("Patient", f"p{n}")},
                     "request": {"method": "PUT", "url": f"Observation/o{n}-{k}"}} for k in range(each)]
        body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}, indent=1)
        assert resource(records.ask("POST", "", body))["type"] == "transaction-response"
    records.ask("PUT", "Organization/huis", {"resourceType": "Organization", "id": "huis", "name": "Huis"})
    records.ask("PUT", "Group/g", {"resourceType": "Group", "id": "g", "type": "person", "actual": True, "member": [
        {"entity": ref("Patient", "p1")}, {"entity": ref("Patient", "p2")}, {"entity": ref("Patient", "p3"), "inactive": True},
        {"entity": ref("Patient", "nergens")}]})


class Export:
    def __init__(self, records, path="$export", **fields):
        self.records, self.fields = records, fields
        answer = records.get(path, prefer="respond-async", **fields)
        assert answer.status == 202 and not answer.body, answer
        self.status_path = answer.headers["content-location"].split("/fhir/", 1)[1]

    def status(self):
        return self.records.get(self.status_path, **self.fields)

    def manifest(self):
        def done():
            answer = self.status()
            if answer.status == 202:
                assert "resources" in answer.headers["x-progress"]
                return None
            return answer
        answer = harness.until(done, "the export is done")
        assert answer.status == 200 and answer.headers["content-type"] == "application/json", answer
        return json.loads(answer.body)

    def lines(self, manifest):
        found = {}
        for output in manifest["output"]:
            answer = self.records.get(output["url"].split("/fhir/", 1)[1], accept="application/fhir+ndjson", **self.fields)
            assert answer.status == 200 and answer.headers["content-type"] == "application/fhir+ndjson", answer
            rows = [json.loads(line) for line in answer.body.splitlines()]
            assert len(rows) == output["count"] and all(r["resourceType"] == output["type"] for r in rows)
            found.setdefault(output["type"], []).extend(rows)
        return found

    def all(self):
        return self.lines(self.manifest())

    def delete(self):
        return self.records.ask("DELETE", self.status_path, **self.fields)


@pytest.fixture(scope="module")
def records():
    with records_kit.Records(workers=2, clusters=("noord", "zuid")) as running:
        fill(running)
        yield running


def ids(found, kind):
    return sorted(r["id"] for r in found.get(kind, []))


def test_all_of_a_cluster(records):
    export = Export(records)
    manifest = export.manifest()
    assert manifest["requiresAccessToken"] is False and manifest["error"] == [] and manifest["request"].endswith("/noord/fhir/$export")
    found = export.lines(manifest)
    assert ids(found, "Patient") == sorted(f"p{n}" for n in range(PATIENTS))
    assert ids(found, "Observation") == sorted(f"o{n}-{k}" for n in range(PATIENTS) for k in range(EACH))
    assert ids(found, "Organization") == ["huis"] and ids(found, "Group") == ["g"]
    assert found["Patient"][0] == resource(records.get(f"Patient/{found['Patient'][0]['id']}"))
    assert export.delete().status == 202
    refusal(export.status(), 404)
    refusal(records.get(manifest["output"][0]["url"].split("/fhir/", 1)[1]), 404)
    assert not list((records.data / "noord" / "export").iterdir())
    assert not list((records.data / "zuid" / "export").iterdir())


def test_of_patients_and_of_a_group(records):
    export = Export(records, "Patient/$export")
    found = export.all()
    export.delete()
    # The group is of its members' files: one of several patients stands there once for each.
    assert set(found) == {"Patient", "Observation", "Group"} and len(found["Patient"]) == PATIENTS and len(found["Observation"]) == PATIENTS * EACH
    export = Export(records, "Group/g/$export")
    found = export.all()
    export.delete()
    assert ids(found, "Patient") == ["p1", "p2"] and len(found["Observation"]) == 2 * EACH
    refusal(records.get("Group/nergens/$export", prefer="respond-async"), 404)


def test_types_and_since(records):
    export = Export(records, "$export?_type=Patient,Organization&_outputFormat=application/fhir%2Bndjson")
    assert set(export.all()) == {"Patient", "Organization"}
    export.delete()
    moment = resource(records.get("Organization/huis"))["meta"]["lastUpdated"]
    made = records.create({"resourceType": "Patient", "active": False})
    for path, kinds in (("$export", {"Patient"}), ("Patient/$export", {"Patient"})):
        after = resource(records.get(f"Patient/{made['id']}"))["meta"]["lastUpdated"]
        export = Export(records, f"{path}?_since={after}")
        found = export.all()
        export.delete()
        assert set(found) == kinds and ids(found, "Patient") == [made["id"]]
    export = Export(records, "Patient/$export?_type=Observation")
    assert set(export.all()) == {"Observation"} and moment
    export.delete()
    records.ask("DELETE", f"Patient/{made['id']}")


@pytest.mark.parametrize("query", ["_type=Nergens", "_since=gisteren", "_since=12:00:00", "_outputFormat=csv", "_typeFilter=Patient%3Fname=a",
                                   "_type=Patient&_type=Group", "a=b", "_since=%ff", "_elements=id"])
def test_what_cannot_be_asked(records, query):
    assert records.get(f"$export?{query}", prefer="respond-async").status in (400, 501)


def test_refusals(records):
    refusal(records.get("$export"), 400)
    refusal(records.ask("POST", "$export", {"resourceType": "Parameters"}, prefer="respond-async"), 501)
    refusal(records.get("Observation/$export", prefer="respond-async"), 501)
    assert records.ask("DELETE", "$validate").status == 405 and records.ask("DELETE", "$export").status == 405
    for job in ("", "x", "../1", "1" * 2000):
        refusal(records.get(f"$export-status?job={job}"), 404)
    export = Export(records)
    export.manifest()
    job = export.status_path.partition("=")[2]
    for file in ("", "Patient", "Patient.1", "Patient.99999999999999999999", "../noord.0", "job", "Patient.0.ndjson", "%00"):
        refusal(records.get(f"$export-file?job={job}&file={file}"), 404)
    # Another cluster knows nothing of it.
    refusal(records.ask("GET", f"$export-status?job={job}", cluster="zuid"), 404)
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "$export"}}]}
    assert resource(records.ask("POST", "", bundle))["entry"][0]["response"]["status"].startswith("400")
    more = [Export(records) for _ in range(7)]
    refusal(records.get("$export", prefer="respond-async"), 429)
    for one in [export, *more]:
        assert one.delete().status == 202


def test_metadata_tells_it(records):
    rest = resource(records.get("metadata"))["rest"][0]
    assert "export" in {o["name"] for o in rest["operation"]}
    assert "export" in {o["name"] for r in rest["resource"] if r["type"] in ("Patient", "Group") for o in r["operation"]}


@pytest.mark.parametrize("role", ["exporter 0", "worker 0", "owner 0"])
def test_a_role_is_killed_while_it_exports(role):
    with records_kit.Records(workers=1) as records:
        records.may_say = "killed by signal 9|started again"
        fill(records, patients=60, each=100)
        done = Export(records, "$export?_type=Organization")
        kept = done.manifest()
        export = Export(records, "Patient/$export")
        os.kill(records.roles()[role], signal.SIGKILL)
        records.wait_said(f"the {role}")
        harness.until(lambda: answers(export), "somebody answers again")
        final = harness.until(lambda: (lambda a: a if a.status in (200, 500) else None)(answers(export) or export.status()), "it ended")
        if role != "exporter 0":
            assert final.status == 200
        if final.status == 500:
            assert "broken off" in refusal(final, 500)["diagnostics"]
        else:
            assert len(export.lines(json.loads(final.body))["Observation"]) == 6_000
        # One that was done before is there, whole.
        assert json.loads(done.status().body) == kept and len(done.lines(kept)["Organization"]) == 1
        assert export.delete().status == 202 and done.delete().status == 202
        assert not list((records.data / "noord" / "export").iterdir())


def answers(export):
    try:
        answer = export.status()
        return answer if answer.status in (200, 202, 500) else None
    except (OSError, records_kit.http.client.HTTPException):
        return None


def test_a_full_disk_ends_it():
    with records_kit.Records(workers=1, disk_kb=3_000) as records:
        for n in range(10):
            records.create({"resourceType": "Basic", "code": {"text": "x" * 100_000}})
        jobs = []
        for _ in range(6):
            answer = records.get("$export", prefer="respond-async")
            if answer.status != 202:
                assert answer.status in (500, 507)
                break
            jobs.append(answer.headers["content-location"].split("/fhir/", 1)[1])
            final = harness.until(lambda: (lambda a: a if a.status != 202 else None)(records.get(jobs[-1])), "it ended")
            if final.status == 500:
                assert "disk is full" in refusal(final, 500)["diagnostics"]
                break
        else:
            raise AssertionError("the disk was never full")
        for job in jobs:
            assert records.ask("DELETE", job).status == 202
        assert records.get("metadata").status == 200


def test_for_administrators_alone():
    with records_people.World() as world:
        admin = world.records.token()
        export = Export(world.records, authorization=admin)
        manifest = export.manifest()
        assert manifest["requiresAccessToken"] is True
        found = {f"{r['resourceType']}/{r['id']}" for rows in export.lines(manifest).values() for r in rows}
        assert set(world.all["noord"]) <= found and not found & {n for n in world.all["zuid"] if n not in world.all["noord"]}
        file = manifest["output"][0]["url"].split("/fhir/", 1)[1]
        for user in (GP, PHARMACIST, f"Patient/{world.own[0]}"):
            asker = world.asker(user)
            for path in ("$export", "Patient/$export", export.status_path, file):
                refusal(asker.get(path, prefer="respond-async"), 403)
            refusal(asker.ask("DELETE", export.status_path), 403)
        for path in ("$export", export.status_path, file):
            refusal(world.records.get(path, prefer="respond-async"), 401)
        lines = [line for line in records_kit.check_chain(world.records.audit_lines("noord")) if line.get("operation") == "export-file"]
        assert any("file=" in line["query"] and line["status"] == 200 for line in lines)
