"""The work of a cluster, from end to end, with access on: each of the people only does what is theirs to do.

A GP opens a file, writes a note, measures and prescribes; the pharmacy finds the prescription and dispenses; the patient
reads it and asks for a repeat; a hospital is notified, fetches the agreed set and sends a letter back; a locum takes over a
weekend. The tests run in this order, on one service; each goes on where the one before it ended."""
import base64
import datetime
import json
import os
import subprocess
from pathlib import Path

import pytest

import harness
import records_events
import records_kit
from records_kit import refusal, resource
from records_people import GP, OTHER_GP, PHARMACIST, TERP, VIJZEL, ROOT, consent, ref

POLDER = os.environ.get("POLDER") or str(Path(os.environ["POLDER_BUILD"]) / "src/cli/polder")
HOSPITAL, LOCUM = "ziekenhuis-mcl", "waarnemer-bakker"
ICPC, LOINC, ATC = "http://hl7.org/fhir/sid/icpc-1-nl", "http://loinc.org", "http://www.whocc.no/atc"
NOW = datetime.datetime.now(datetime.timezone.utc)


def moment(**later):
    return (NOW + datetime.timedelta(**later)).isoformat(timespec="seconds")


def concept(system, code, text):
    return {"coding": [{"system": system, "code": code, "display": text}], "text": text}


class Person:
    """Somebody at work: what is asked goes with a token of one's own; a hospital comes with its certificate."""

    def __init__(self, records, **fields):
        self.client, self.fields = records.client("noord"), fields

    def ask(self, method, path, body=None, **more):
        return self.client.ask(method, path, body, **self.fields, **more)

    def get(self, path):
        return resource(self.ask("GET", path))

    def found(self, path):
        """Resources of a search, or of any other bundle."""
        return [entry["resource"] for entry in self.get(path).get("entry", [])]

    def post(self, body):
        return resource(self.ask("POST", body["resourceType"], body), 201)

    def put(self, body):
        return resource(self.ask("PUT", f"{body['resourceType']}/{body['id']}", body, if_match=f'W/"{body["meta"]["versionId"]}"'))

    def transact(self, *entries):
        """Entries (urn, resource) are made; the addresses they got."""
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
            {"fullUrl": urn, "resource": body, "request": {"method": "POST", "url": body["resourceType"]}}
            for urn, body in entries]}
        answer = resource(self.ask("POST", "", bundle))
        return [entry["response"]["location"].partition("/_history")[0] for entry in answer["entry"]]


class Cluster:
    """The service, the sample in it, and what those who run a cluster have arranged with others."""

    def __init__(self, folder):
        self.records = records_kit.Records(clusters=("noord", "zuid"), guarded=True, start=False)
        config = json.loads(self.records.config_path.read_text())
        config["records"]["listeners"] = [{"address": f"127.0.0.1:{self.records.port}", "behind_gate": True}]
        config["records"]["partners"] = [{"partner": "mcl", "organisation": HOSPITAL}]
        config["partners"] = [{"name": "mcl", "networks": ["192.0.2.0/24"], "certificates": [HOSPITAL]}]
        self.records.config_path.write_text(json.dumps(config))
        self.records.start()
        try:
            self.fill(folder)
        except BaseException:
            self.records.__exit__(BaseException)
            raise

    def fill(self, folder):
        self.load(folder)
        admin = Person(self.records, authorization=self.records.token())
        for kind, id, name in (("Organization", HOSPITAL, "Ziekenhuis MCL"), ("Practitioner", LOCUM, [{"family": "Bakker"}])):
            assert admin.ask("PUT", f"{kind}/{id}", {"resourceType": kind, "id": id, "active": True, "name": name}).status == 201
        self.gp, self.other_gp = self.person(GP), self.person(OTHER_GP)
        self.pharmacist, self.locum = self.person(PHARMACIST), self.person(f"Practitioner/{LOCUM}")
        self.id = next(p["id"] for p in self.gp.found("Patient?_count=50"))
        self.patient = self.person(f"Patient/{self.id}")
        self.hospital = Person(self.records, x_polder_client_verified="yes", x_polder_client_subject=f"CN={HOSPITAL}")

    def person(self, user):
        return Person(self.records, authorization=self.records.token(user))

    def load(self, folder):
        subprocess.run(["/usr/bin/python3", ROOT / "tools/sample/make.py", folder, "--patients", "6", "--years", "3",
                        "--cluster", "noord"], check=True, timeout=60, stderr=subprocess.DEVNULL)
        token = folder / "token"
        token.write_text(self.records.token().partition(" ")[2])
        done = subprocess.run([POLDER, "records", "load", folder / "noord", "--cluster", "noord", "--config",
                               self.records.config_path, "--token", token, "--json"], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode == 0, (done.stdout, done.stderr)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("sample"))
    try:
        yield made
    except BaseException:
        made.records.__exit__(BaseException)
        raise
    made.records.__exit__(None)


def test_the_sample_is_not_loaded_without_a_token(cluster, tmp_path):
    (tmp_path / "x.ndjson").write_text('{"resourceType":"Patient","id":"x"}')
    done = subprocess.run([POLDER, "records", "load", tmp_path, "--cluster", "noord", "--config", cluster.records.config_path],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 1 and "--token" in done.stderr


def test_the_pharmacy_subscribes_to_its_prescriptions(cluster):
    """Who listens hears of each prescription as it is made; the tests below make one."""
    cluster.subscription = cluster.pharmacist.post(records_events.subscription(
        filters=[f"MedicationRequest?intended-dispenser=Organization/{VIJZEL}"]))
    cluster.events = records_events.Listener(cluster.records, cluster.subscription["id"], **cluster.pharmacist.fields)
    assert cluster.events.handshake() > 0


def test_the_gp_opens_a_file_in_one_request(cluster):
    file = cluster.gp.found(f"Patient/{cluster.id}/$everything?_count=1000")
    kinds = {one["resourceType"] for one in file}
    assert {"Patient", "Encounter", "Composition"} <= kinds
    assert {one["id"] for one in file if one["resourceType"] == "Patient"} == {cluster.id}
    # The same in the parts that a screen shows, as one batch.
    wanted = [f"Patient/{cluster.id}", f"EpisodeOfCare?patient={cluster.id}&status=active&_include=EpisodeOfCare:condition",
              f"Composition?patient={cluster.id}&_sort=-date&_count=10",
              f"MedicationRequest?patient={cluster.id}&_sort=-authoredon&_count=20",
              f"AllergyIntolerance?patient={cluster.id}", f"Observation/$lastn?patient={cluster.id}&category=vital-signs,laboratory"]
    answer = resource(cluster.gp.ask("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": url}} for url in wanted]}))
    assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["200"] * len(wanted)
    refusal(cluster.other_gp.ask("GET", f"Patient/{cluster.id}/$everything"), 404)
    assert not cluster.other_gp.found(f"Composition?patient={cluster.id}")


def test_the_gp_writes_a_note_in_an_episode_measures_and_prescribes(cluster):
    subject, author = ref("Patient", cluster.id), {"reference": GP}
    urn = "urn:uuid:8f2b7a10-0000-4000-8000-00000000000%d"
    when, kind = moment(), concept(ICPC, "K86", "Hypertensie")
    section = [{"title": title, "text": {"status": "generated",
                                         "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'}}
               for title, text in (("Subjectief", "Geen klachten."), ("Objectief", "RR 152/91."),
                                   ("Evaluatie", "Hypertensie."), ("Plan", "Start lisinopril."))]
    pressure = {"resourceType": "Observation", "status": "final", "subject": subject, "encounter": {"reference": urn % 3},
                "effectiveDateTime": when, "code": concept(LOINC, "85354-9", "Bloeddruk"),
                "category": [concept("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs", "Vital Signs")],
                "component": [{"code": concept(LOINC, code, code), "valueQuantity": {
                    "value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}}
                    for code, value in (("8480-6", 152), ("8462-4", 91))]}
    made = cluster.gp.transact(
        (urn % 1, {"resourceType": "Condition", "subject": subject, "code": kind, "onsetDateTime": when[:10],
                   "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active", "actief")}),
        (urn % 2, {"resourceType": "EpisodeOfCare", "status": "active", "patient": subject,
                   "managingOrganization": ref("Organization", TERP), "diagnosis": [{"condition": {"reference": urn % 1}}]}),
        (urn % 3, {"resourceType": "Encounter", "status": "finished", "subject": subject, "period": {"start": when},
                   "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                   "episodeOfCare": [{"reference": urn % 2}], "participant": [{"individual": author}]}),
        (urn % 4, {"resourceType": "Composition", "status": "final", "type": concept(LOINC, "34109-9", "Notitie"),
                   "category": [kind], "subject": subject, "encounter": {"reference": urn % 3}, "date": when,
                   "author": [author], "title": "SOEP Hypertensie", "section": section}),
        (urn % 5, pressure),
        (urn % 6, {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": subject,
                   "medicationCodeableConcept": concept(ATC, "C09AA03", "Lisinopril tablet 10 mg"), "authoredOn": when,
                   "encounter": {"reference": urn % 3}, "requester": author,
                   "dosageInstruction": [{"text": "1 maal per dag 1 tablet"}],
                   "dispenseRequest": {"quantity": {"value": 30}, "performer": ref("Organization", VIJZEL)}}))
    cluster.note, cluster.prescription = made[3], made[5]
    note = cluster.gp.get(cluster.note)
    assert note["encounter"]["reference"] == made[2]
    assert cluster.gp.get(made[2])["episodeOfCare"] == [{"reference": made[1]}]
    found = cluster.gp.found(f"Composition?patient={cluster.id}&encounter.episode-of-care={made[1]}")
    assert [one["id"] for one in found] == [note["id"]]
    high = cluster.gp.found(f"Observation?patient={cluster.id}&component-code-value-quantity={LOINC}|8480-6$gt150&date=ge{when[:10]}")
    assert f"Observation/{high[0]['id']}" == made[4]


def test_the_pharmacy_sees_the_prescription_appear(cluster):
    with cluster.events as events:
        assert records_events.focus(events.event()) == [cluster.prescription]


def test_the_pharmacy_finds_the_prescription_and_dispenses(cluster):
    worklist = f"MedicationRequest?status=active&intended-dispenser=Organization/{VIJZEL}&_include=MedicationRequest:patient"
    found = cluster.pharmacist.found(worklist)
    prescription = next(one for one in found if f"MedicationRequest/{one['id']}" == cluster.prescription)
    assert {"resourceType": "Patient", "id": cluster.id}.items() <= next(
        one for one in found if one["resourceType"] == "Patient").items()
    # What led to it is not the pharmacy's to read, by whatever way.
    assert cluster.pharmacist.ask("GET", cluster.note).status in (403, 404)
    assert cluster.pharmacist.ask("GET", f"Composition?patient={cluster.id}").status == 403
    included = cluster.pharmacist.found(f"{worklist}&_include=MedicationRequest:encounter")
    assert {one["resourceType"] for one in included} == {"MedicationRequest", "Patient"}
    given = cluster.pharmacist.post({
        "resourceType": "MedicationDispense", "status": "completed", "subject": prescription["subject"],
        "medicationCodeableConcept": prescription["medicationCodeableConcept"],
        "performer": [{"actor": ref("Organization", VIJZEL)}], "whenHandedOver": moment(),
        "authorizingPrescription": [{"reference": cluster.prescription}], "quantity": {"value": 30},
        "dosageInstruction": prescription["dosageInstruction"]})
    cluster.dispense = f"MedicationDispense/{given['id']}"
    done = cluster.pharmacist.put({**prescription, "status": "completed"})
    assert done["meta"]["versionId"] == "2"
    assert cluster.prescription not in [f"MedicationRequest/{one['id']}" for one in cluster.pharmacist.found(worklist)]
    # Who was slower does not overwrite it.
    late = cluster.gp.ask("PUT", cluster.prescription, {**prescription, "status": "stopped"}, if_match='W/"1"')
    assert refusal(late, 412)["code"] == "conflict"


def test_the_patient_reads_it_and_asks_for_a_repeat(cluster):
    given = cluster.patient.found(f"MedicationDispense?patient={cluster.id}&_sort=-whenhandedover&_count=1")
    assert f"MedicationDispense/{given[0]['id']}" == cluster.dispense
    assert cluster.patient.get(cluster.note)["title"] == "SOEP Hypertensie"
    assert cluster.patient.ask("PUT", cluster.prescription, {"resourceType": "MedicationRequest"}).status in (400, 403)
    task = cluster.patient.post({
        "resourceType": "Task", "status": "requested", "intent": "proposal", "code": {"text": "Herhaalrecept"},
        "focus": {"reference": cluster.prescription}, "for": ref("Patient", cluster.id), "authoredOn": moment(),
        "requester": ref("Patient", cluster.id), "owner": ref("Organization", TERP)})
    waiting = cluster.gp.found(f"Task?owner=Organization/{TERP}&status=requested&_include=Task:focus")
    assert {one["resourceType"] for one in waiting} == {"Task", "MedicationRequest"}
    old = next(one for one in waiting if one["resourceType"] == "MedicationRequest")
    again = {name: old[name] for name in ("medicationCodeableConcept", "subject", "dosageInstruction", "dispenseRequest")}
    made = cluster.gp.post({"resourceType": "MedicationRequest", "status": "active", "intent": "order", **again,
                            "authoredOn": moment(), "requester": {"reference": GP},
                            "priorPrescription": {"reference": cluster.prescription}})
    answered = cluster.gp.put({**task, "status": "completed", "output": [
        {"type": {"text": "recept"}, "valueReference": ref("MedicationRequest", made["id"])}]})
    assert cluster.patient.get(f"Task/{task['id']}")["output"] == answered["output"]
    worklist = cluster.pharmacist.found(f"MedicationRequest?status=active&intended-dispenser=Organization/{VIJZEL}")
    assert made["id"] in [one["id"] for one in worklist]


def test_a_hospital_fetches_what_was_agreed_and_sends_a_letter(cluster):
    wanted = [f"Patient/{cluster.id}", f"AllergyIntolerance?patient={cluster.id}", f"Condition?patient={cluster.id}",
              f"MedicationDispense?patient={cluster.id}", f"Observation/$lastn?patient={cluster.id}&category=vital-signs"]
    assert not cluster.hospital.found(f"Patient?_id={cluster.id}")
    cluster.gp.post({**consent("x", cluster.id, HOSPITAL, "permit"), "dateTime": moment()})
    task = cluster.gp.post({
        "resourceType": "Task", "status": "requested", "intent": "proposal", "for": ref("Patient", cluster.id),
        "code": {"text": "Verwijzing cardiologie: gegevens staan klaar"}, "authoredOn": moment(),
        "requester": ref("Organization", TERP), "owner": ref("Organization", HOSPITAL),
        "input": [{"type": {"text": "bevraging"}, "valueString": query} for query in wanted]})
    notified = cluster.hospital.found(f"Task?owner=Organization/{HOSPITAL}&status=requested")
    assert [one["id"] for one in notified] == [task["id"]]
    fetched = [cluster.hospital.get(asked["valueString"]) for asked in notified[0]["input"]]
    assert fetched[0]["id"] == cluster.id
    assert [entry["resource"]["id"] for entry in fetched[3]["entry"]] and fetched[4]["entry"]
    # What was not agreed is not there for it, nor is anybody else's file.
    assert cluster.hospital.ask("GET", f"Composition?patient={cluster.id}").status == 403
    assert [one["id"] for one in cluster.hospital.found("Patient")] == [cluster.id]
    cluster.hospital.put({**task, "status": "completed"})
    letter = "Uw patiënt werd gezien. Conclusie: essentiële hypertensie. Beleid: continueren."
    sent = cluster.hospital.post({
        "resourceType": "DocumentReference", "status": "current", "type": concept(LOINC, "34133-9", "Brief van specialist"),
        "subject": ref("Patient", cluster.id), "date": moment(), "custodian": ref("Organization", HOSPITAL),
        "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "language": "nl", "title": "Brief cardiologie",
                                    "data": base64.b64encode(letter.encode()).decode()}}]})
    arrived = cluster.gp.found(f"DocumentReference?patient={cluster.id}&custodian=Organization/{HOSPITAL}")
    assert [one["id"] for one in arrived] == [sent["id"]]
    assert base64.b64decode(arrived[0]["content"][0]["attachment"]["data"]).decode() == letter


def test_a_locum_takes_over_a_weekend(cluster):
    assert "role" in refusal(cluster.locum.ask("GET", f"Patient/{cluster.id}"), 403)["diagnostics"]
    role = {"resourceType": "PractitionerRole", "active": True, "practitioner": ref("Practitioner", LOCUM),
            "organization": ref("Organization", TERP),
            "code": [concept("http://fhir.nl/fhir/NamingSystem/uzi-rolcode", "01.015", "Huisarts")]}
    # Without an end it would be no standing in but a new colleague, which is the cluster's to decide.
    assert cluster.gp.ask("POST", "PractitionerRole", role).status == 403
    made = cluster.gp.post({**role, "period": {"start": moment(days=-1), "end": moment(days=2)}})
    assert cluster.locum.get(f"Patient/{cluster.id}")["id"] == cluster.id
    assert cluster.locum.get(cluster.note)["title"] == "SOEP Hypertensie"
    cluster.locum.post({"resourceType": "Composition", "status": "final", "type": concept(LOINC, "34109-9", "Notitie"),
                        "subject": ref("Patient", cluster.id), "date": moment(), "author": [ref("Practitioner", LOCUM)],
                        "title": "SOEP weekenddienst"})
    note = cluster.gp.found(f"Composition?patient={cluster.id}&author=Practitioner/{LOCUM}")
    assert [one["title"] for one in note] == ["SOEP weekenddienst"]
    admin = Person(cluster.records, authorization=cluster.records.token())
    over = {**admin.get(f"PractitionerRole/{made['id']}"), "period": {"start": moment(days=-3), "end": moment(days=-1)}}
    admin.put(over)
    refusal(cluster.locum.ask("GET", f"Patient/{cluster.id}"), 403)


def test_the_patient_sees_who_looked(cluster):
    who = [agent["who"].get("reference", "") for event in cluster.patient.found("AuditEvent?_count=200")
           for agent in event["agent"]]
    assert {GP, PHARMACIST, f"Practitioner/{LOCUM}"} <= set(who)
    # Whose request found nothing of this file looked at nothing; and nobody reads another's log.
    assert OTHER_GP not in who
    assert cluster.pharmacist.ask("GET", f"AuditEvent?patient={cluster.id}").status == 403


def test_every_access_stands_in_the_log(cluster):
    lines = records_kit.check_chain(cluster.records.audit_lines("noord"))
    text = "\n".join(json.dumps(line) for line in lines)
    for user in (GP, PHARMACIST, f"Practitioner/{LOCUM}", f"Patient/{cluster.id}", HOSPITAL):
        assert user in text, user
