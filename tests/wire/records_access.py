"""Who sees what in a cluster: practices, pharmacy, locums, patients, a hospital; tokens, scopes, emergencies."""
import json
import os
import subprocess

import pytest

import records_kit
from records_kit import refusal, resource
from records_people import (GONE, GP, HOSPITAL, LOCUM, NIGHT, OTHER_GP, PHARMACIST, TERP, VIJZEL, World, consent, ref, role)


@pytest.fixture(scope="module")
def world():
    with World() as world:
        yield world


def ids(world, kind, patients=None):
    return {name for name, r in world.all["noord"].items() if r["resourceType"] == kind and
            (patients is None or r.get("subject", r.get("patient", {})).get("reference", "").split("/")[-1] in patients)}


def test_pharmacy_sees_medication_and_no_notes(world):
    pharmacist = world.asker(PHARMACIST)
    seen = set(world.own + world.other) - {world.own[1]}
    assert pharmacist.found("MedicationRequest?_count=50") == ids(world, "MedicationRequest", seen) - {
        "MedicationRequest/geheim-recept"}
    assert pharmacist.found("Condition") == {"Condition/contra-indicatie"}
    assert pharmacist.found("Patient") == {f"Patient/{id}" for id in seen}
    for kind in ("Composition", "Encounter", "EpisodeOfCare", "Communication", "DocumentReference"):
        assert refusal(pharmacist.get(kind), 403)["code"] == "forbidden"


def test_practice_sees_its_own_patients(world):
    for user, patients in ((GP, world.own), (OTHER_GP, world.other)):
        asker = world.asker(user)
        assert asker.found("Patient") == {f"Patient/{id}" for id in patients}
        assert asker.found("Composition?_count=50") == ids(world, "Composition", patients)
    other = world.asker(OTHER_GP)
    refusal(other.get(f"Patient/{world.own[0]}"), 404)
    assert resource(other.get("Composition?_summary=count"))["total"] == len(ids(world, "Composition", world.other))


def test_locum(world):
    locum = world.asker(LOCUM)
    assert locum.found("Patient") == {f"Patient/{id}" for id in world.own}
    assert locum.found("Composition?_count=50") == ids(world, "Composition", world.own) - {"Composition/geheim-notitie"}
    assert world.asker(NIGHT).found("Patient") == {f"Patient/{id}" for id in world.own}
    assert "role" in refusal(world.asker(GONE).get("Patient"), 403)["diagnostics"]


def test_patient_sees_the_own_file(world):
    asker = world.asker(f"Patient/{world.own[0]}")
    assert asker.found("Patient") == {f"Patient/{world.own[0]}"}
    assert asker.found("Composition?_count=50") == ids(world, "Composition", world.own[:1])
    refusal(asker.get(f"Patient/{world.own[1]}"), 404)
    assert asker.get("Organization/" + TERP).status == 200


def test_no_token_and_bad_tokens(world):
    records = world.records
    answer = records.get("Patient")
    assert refusal(answer, 401)["code"] == "login"
    assert answer.headers["www-authenticate"] == 'Bearer realm="noord"'
    good = records.token(GP)
    for bad, words in ((good[:-6] + "AAAAAA", "signature"), (records.token(GP, seconds=-60), "expired"),
                       (records.token(GP, aud="elsewhere"), "another service"), ("Bearer x", "not a signed JWT"),
                       (records.token(GP, iss="https://other.example"), "not trusted")):
        answer = records.get("Patient", authorization=bad)
        assert words in refusal(answer, 401)["diagnostics"]
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    refusal(records.get("Patient", authorization="Basic eDp5"), 401)
    assert records.get("metadata").status == 200
    smart = json.loads(records.get(".well-known/smart-configuration").body)
    assert smart["issuer"] == records.issuer.url
    security = resource(records.get("metadata"))["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"


HOSPITAL_CERTIFICATE = {"x_polder_client_verified": "yes", "x_polder_client_subject": "CN=gateway.ziekenhuis.example,O=Ziekenhuis"}


def test_hospital_sees_whom_consent_lets(world):
    records, (patient, other) = world.records, world.own[:2]
    found = resource(records.get("Patient", **HOSPITAL_CERTIFICATE))
    assert [e["resource"]["id"] for e in found["entry"]] == [patient]
    refusal(records.get(f"Patient/{other}", **HOSPITAL_CERTIFICATE), 404)
    refusal(records.get("Composition", **HOSPITAL_CERTIFICATE), 403)
    assert records.get("Observation/geheim-meting", **HOSPITAL_CERTIFICATE).status == 404
    given = consent("laat-ziekenhuis-deels-toe", other, HOSPITAL, "permit", **{"class": [
        {"system": "http://hl7.org/fhir/resource-types", "code": "MedicationRequest"}]})
    assert world.asker().ask("PUT", f"Consent/{given['id']}", given).status == 201
    assert records.get(f"Patient/{other}", **HOSPITAL_CERTIFICATE).status == 200
    for kind, seen in (("MedicationRequest", True), ("MedicationDispense", False), ("Condition", False)):
        some = [n for n in ids(world, kind, [other])]
        answer = resource(records.get(f"{kind}?patient={other}", **HOSPITAL_CERTIFICATE))
        assert answer.get("total", 0) == (len(some) if seen else 0), kind
    line = records_kit.check_chain(records.audit_lines())[-1]
    assert line["user"] == f"Organization/{HOSPITAL}" and line["outcome"] == "Y-YN"
    assert world.asker().ask("DELETE", f"Consent/{given['id']}").status == 204
    refusal(records.get(f"Patient/{other}", **HOSPITAL_CERTIFICATE), 404)


def test_certificates_count_behind_the_gate_only():
    partners = {"top": {"partners": [{"name": "hospital", "networks": ["192.0.2.0/24"], "certificates": ["gateway.ziekenhuis.example"]}]}}
    with records_kit.Records(guarded=True, **partners) as records:
        refusal(records.get("Patient", **HOSPITAL_CERTIFICATE), 401)
    with World() as world:
        for subject in ("CN=somebody.example", "O=CN=gateway.ziekenhuis.example", "CN=gateway.ziekenhuis.example\\,x", ""):
            refusal(world.records.get("Patient", **{**HOSPITAL_CERTIFICATE, "x_polder_client_subject": subject}), 401)
        refusal(world.records.get("Patient", **{**HOSPITAL_CERTIFICATE, "x_polder_client_verified": "no"}), 401)


def test_scopes_narrow(world):
    asker = world.asker(GP, scope="user/Patient.r user/Observation.rs?category=laboratory")
    assert asker.get(f"Patient/{world.own[0]}").status == 200
    answer = asker.get("Patient")
    assert "insufficient_scope" in answer.headers["www-authenticate"] and answer.status == 403
    refusal(asker.get("Composition"), 403)
    labs = {f"Observation/{r['id']}" for r in world.all["noord"].values() if r["resourceType"] == "Observation" and
            r["subject"]["reference"].split("/")[1] in world.own and "laboratory" in json.dumps(r["category"])}
    assert labs and asker.found("Observation?_count=50") == labs
    refusal(asker.ask("POST", "Observation", {"resourceType": "Observation"}), 403)
    refusal(world.asker(GP, scope="user/Patient.rz").get("Patient"), 403)
    refusal(world.asker(GP, scope="openid").get("Patient"), 403)
    launched = world.asker(GP, scope="patient/*.rs", patient=world.own[0])
    assert launched.found("Patient") == {f"Patient/{world.own[0]}"}
    assert world.asker(GP, scope="patient/*.rs", patient=world.other[0]).found("Patient") == set()


def observation(patient):
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": ref("Patient", patient)}


def test_writing(world):
    gp, other, pharmacist = world.asker(GP), world.asker(OTHER_GP), world.asker(PHARMACIST)
    made = resource(gp.ask("POST", "Observation", observation(world.own[0])), 201)
    path = f"Observation/{made['id']}"
    refusal(gp.ask("POST", "Observation", observation(world.other[0])), 403)
    refusal(gp.ask("POST", "Observation", {**observation("x"), "subject": None} | {"subject": {"display": "x"}}), 403)
    assert refusal(other.ask("PUT", path, {**observation(world.other[0]), "id": made["id"]}), 404)
    refusal(other.ask("DELETE", path), 404)
    refusal(other.ask("DELETE", "Observation/nooit-geweest"), 404)
    refusal(other.ask("PUT", "Observation/nooit-geweest", {**observation(world.other[0]), "id": "nooit-geweest"}), 404)
    refusal(pharmacist.ask("POST", "Observation", observation(world.own[0])), 403)
    refusal(pharmacist.ask("POST", "Composition", {"resourceType": "Composition"}), 403)
    moved = {**made, "subject": ref("Patient", world.other[0])}
    refusal(gp.ask("PUT", path, moved), 403)
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": {**observation(world.other[0]), "id": made["id"]}, "request": {"method": "PUT", "url": path}}]}
    refusal(other.ask("POST", "", bundle), 404)
    bundle["type"] = "batch"
    assert resource(other.ask("POST", "", bundle))["entry"][0]["response"]["status"].startswith("404")
    assert resource(gp.get(path))["meta"]["versionId"] == "1"
    refusal(gp.ask("POST", "PractitionerRole", role("x", GP, "huisartsenpraktijk-havenzicht")), 403)
    refusal(gp.ask("POST", "PractitionerRole", role("x", GP, TERP)), 403)
    lent = role("x", "Practitioner/huisarts-postma", TERP, period={"end": "2999-01-01"})
    assert gp.ask("POST", "PractitionerRole", lent).status == 201
    assert other.found("Patient") == {f"Patient/{id}" for id in world.other}  # in the own capacity
    lent = world.asker(OTHER_GP, organization=f"Organization/{TERP}")
    assert lent.found("Patient") == {f"Patient/{id}" for id in world.own}


def test_new_patient_in_one_transaction(world):
    def bundle(practice):
        patient = {"resourceType": "Patient", "managingOrganization": ref("Organization", practice)}
        entries = [("Patient", patient, "urn:uuid:11111111-1111-4111-8111-111111111111"),
                   ("Observation", {**observation("x"), "subject": {
                       "reference": "urn:uuid:11111111-1111-4111-8111-111111111111"}}, None)]
        return {"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": r, "request": {"method": "POST", "url": kind}, **({"fullUrl": url} if url else {})}
            for kind, r, url in entries]}
    gp = world.asker(OTHER_GP)
    refusal(gp.ask("POST", "", bundle(TERP)), 403)
    answer = resource(gp.ask("POST", "", bundle("huisartsenpraktijk-havenzicht")))
    place = answer["entry"][0]["response"]["location"].split("/_history")[0]
    path = "Patient/" + place.split("Patient/")[1]
    assert gp.get(path).status == 200
    refusal(world.asker(GP).get(path), 404)
    world.asker().ask("DELETE", "Observation/" + answer["entry"][1]["response"]["location"].split("/")[-3])
    world.asker().ask("DELETE", path)


def test_emergency(world):
    gp, patient = world.asker(OTHER_GP), world.own[0]
    refusal(gp.get(f"Patient/{patient}"), 404)
    refusal(gp.get(f"Patient/{patient}", emergency_reason="kort"), 403)
    refusal(gp.get("Patient", emergency_reason="bewusteloos op straat gevonden"), 403)
    refusal(gp.ask("POST", "Observation", observation(patient), emergency_reason="bewusteloos op straat gevonden"), 403)
    answer = gp.get(f"Patient/{patient}/$everything", emergency_reason="bewusteloos op straat gevonden")
    names = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in resource(answer)["entry"]}
    assert f"Patient/{patient}" in names and "Composition/geheim-notitie" in names
    assert not names & {f"Patient/{id}" for id in world.other + world.own[1:]}
    refusal(world.asker(PHARMACIST).get(f"Patient/{patient}", emergency_reason="bewusteloos op straat gevonden"), 403)
    line = records_kit.check_chain(world.records.audit_lines())[-2]
    assert line["outcome"] == "YN-Y" and line["purpose"] == "BTG" and "bewusteloos" in line["reason"]
    told = resource(world.asker(GP).get("Communication?category=BTG"))["entry"]
    assert len(told) == 1 and "bewusteloos" in told[0]["resource"]["payload"][0]["contentString"]
    assert told[0]["resource"]["recipient"] == [{"reference": f"Organization/{TERP}"}]
    refusal(gp.get(f"Patient/{patient}"), 404)  # the glass is whole again


def test_audit_says_who(world):
    world.asker(PHARMACIST).get("MedicationRequest", aorta_id="initialRequestID=een; requestID=twee")
    line = records_kit.check_chain(world.records.audit_lines())[-1]
    assert line["user"] == PHARMACIST and line["organisation"] == VIJZEL and line["role"] == "pharmacy 17.000"
    assert line["outcome"].startswith("Y") and line["request"] == "twee" and line["initial_request"] == "een"
    world.asker(PHARMACIST).get("Composition/x")
    line = records_kit.check_chain(world.records.audit_lines())[-1]
    assert line["user"] == PHARMACIST and line["status"] == 403 and line["outcome"].startswith("N")
    world.asker(GP).get("Patient?identifier=http://fhir.nl/fhir/NamingSystem/bsn%7C999990019")
    assert b"999990019" not in world.records.audit_lines()[-1]


def test_change_counts_at_once(world):
    """A role that is withdrawn is withdrawn, a consent that is given is given."""
    admin, asker = world.asker(), world.asker("Practitioner/tijdelijk")
    refusal(asker.get("Patient"), 403)
    admin.ask("PUT", "PractitionerRole/tijdelijk-rol", role("tijdelijk-rol", "Practitioner/tijdelijk", TERP))
    assert asker.found("Patient") == {f"Patient/{id}" for id in world.own}
    admin.ask("PUT", "PractitionerRole/tijdelijk-rol",
              {**role("tijdelijk-rol", "Practitioner/tijdelijk", TERP), "active": False})
    refusal(asker.get("Patient"), 403)


def test_patient_sees_who_looked(world):
    patient, other = world.own[0], world.own[1]
    world.asker(GP).get(f"Patient/{patient}")
    world.asker(GP).get(f"Patient/{other}")
    asker = world.asker(f"Patient/{patient}")
    for path in ("AuditEvent", f"AuditEvent?patient={patient}", f"AuditEvent?patient=Patient/{patient}&date=ge2000-01-01",
                 f"Patient/{patient}/AuditEvent", f"AuditEvent?agent={GP}&_count=1000&_sort=-date"):
        entries = resource(asker.get(path))["entry"]
        assert entries
        for event in (e["resource"] for e in entries):
            assert {"what": {"reference": f"Patient/{patient}"}} in event["entity"], event
        assert any(e["resource"]["agent"][0]["who"]["reference"] == GP for e in entries)
    first = resource(asker.get("AuditEvent"))["entry"][0]["resource"]
    assert resource(world.records.ask("POST", "AuditEvent/$validate", first, authorization=world.records.token()))[
        "issue"][0]["severity"] in ("information", "warning")  # it has no narrative
    assert "entry" not in resource(asker.get("AuditEvent?date=lt2000-01-01"))
    assert len(resource(asker.get("AuditEvent?_count=1"))["entry"]) == 2  # and that there are older ones
    refusal(asker.get(f"AuditEvent?patient={other}"), 403)
    refusal(asker.get(f"Patient/{other}/AuditEvent"), 403)
    refusal(asker.get("AuditEvent?entity=x"), 400)
    refusal(world.asker(GP).get(f"AuditEvent?patient={patient}"), 403)
    admin = world.asker()
    refusal(admin.get("AuditEvent"), 400)
    seen = resource(admin.get(f"AuditEvent?agent={GP}&_count=1000"))["entry"]
    assert {e["resource"]["agent"][0]["who"].get("reference") for e in seen if e["resource"]["resourceType"] == "AuditEvent"} == {GP}
    refusal(admin.ask("POST", "AuditEvent", first), 403)


@pytest.mark.parametrize("system, good, bad", [
    ("bsn", "999990019", ["999990018", "99999001", "9999900190", "000000000", "99999001a", ""]),
    ("agb-z", "01234567", ["1234567", "012345678"]), ("uzi-nr-pers", "012345678", ["12345678", "x12345678"]),
    ("big", "19012345601", ["1901234560"]), ("ura", "00012345", ["12345"])])
def test_numbers_of_people(world, system, good, bad):
    def patient(value):
        return {"resourceType": "Patient", "managingOrganization": ref("Organization", TERP),
                "identifier": [{"system": f"http://fhir.nl/fhir/NamingSystem/{system}", "value": value}]}
    gp = world.asker(GP)
    for value in bad:
        for answer in (gp.ask("POST", "Patient", patient(value)), gp.ask("POST", "", {
                "resourceType": "Bundle", "type": "transaction",
                "entry": [{"resource": patient(value), "request": {"method": "POST", "url": "Patient"}}]})):
            said = refusal(answer, 422)["diagnostics"]
            assert not value or value not in said
    made = resource(gp.ask("POST", "Patient", patient(good)), 201)
    world.asker().ask("DELETE", f"Patient/{made['id']}")


def test_audit_command(world):
    """Who looked at my file, who is that, and is the log whole: read from the files, by a program of its own."""
    world.asker(PHARMACIST).get(f"Patient/{world.own[0]}")
    world.asker(PHARMACIST).get(f"Patient/{world.other[0]}")

    def audit(*options):
        return subprocess.run([os.environ["POLDER"], "audit", "--config", str(world.records.config_path), "--cluster", "noord", *options],
                              capture_output=True, text=True, timeout=60)
    asked = audit("--patient", world.own[0], "--user", PHARMACIST, "--json")
    lines = [json.loads(line) for line in asked.stdout.splitlines()]
    assert asked.returncode == 0 and lines and all(line["user"] == PHARMACIST for line in lines)
    assert all(world.own[0] in line.get("patients", [line.get("id")]) for line in lines)
    assert "pharmacy 17.000" in audit("--patient", world.own[0]).stdout
    assert audit("--from", "2099-01-01T00:00", "--json").stdout == ""
    assert "is whole" in audit("--verify").stdout
    path = world.records.data / "noord" / "audit" / "accesses.jsonl"
    kept = path.read_bytes()
    try:
        for spoilt in (kept.replace(PHARMACIST.encode(), b"Practitioner/apotheker-anderen", 1), kept[kept.index(b"\n") + 1:]):
            path.write_bytes(spoilt)
            answer = audit("--verify")
            assert answer.returncode == 1 and "BROKEN" in answer.stderr
    finally:
        path.write_bytes(kept)
