"""Two sample clusters under guard, and who asks them: the same for the tests of access and of leaks.

Cluster noord is the sample's, and beside it: an episode that its practice shields with all that hangs at it, a patient who
denies the pharmacy, a hospital that one patient lets in, an out-of-hours post, locums whose time is now or was.
"""
import json
import subprocess
import sys
from pathlib import Path

import records_kit
from records_kit import resource

ROOT = Path(__file__).resolve().parents[2]
TERP, HAVEN, VIJZEL = "huisartsenpraktijk-de-terp", "huisartsenpraktijk-havenzicht", "apotheek-de-vijzel"
POST, HOSPITAL = "huisartsenpost", "ziekenhuis"
GP, OTHER_GP, PHARMACIST = "Practitioner/huisarts-hoekstra", "Practitioner/huisarts-postma", "Practitioner/apotheker-wiersma"
LOCUM, GONE, NIGHT = "Practitioner/waarnemer", "Practitioner/waarnemer-toen", "Practitioner/dienstdoende"
ROLE_SYSTEM = "http://fhir.nl/fhir/NamingSystem/uzi-rolcode"
RESTRICTED = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]}


def sample(folder):
    subprocess.run([sys.executable, str(ROOT / "tools/sample/make.py"), str(folder), "--patients", "8", "--years", "2"],
                   check=True, timeout=120, stderr=subprocess.DEVNULL)
    return {cluster: [json.loads(line) for path in sorted((folder / cluster).iterdir()) for line in path.open(encoding="utf-8")]
            for cluster in ("noord", "zuid")}


def ref(kind, id):
    return {"reference": f"{kind}/{id}"}


def role(id, practitioner, organisation, code="01.015", **rest):
    return {"resourceType": "PractitionerRole", "id": id, "active": True, "practitioner": {"reference": practitioner},
            "organization": ref("Organization", organisation), "code": [{"coding": [{"system": ROLE_SYSTEM, "code": code}]}],
            **rest}


def consent(id, patient, organisation, kind, **provision):
    return {"resourceType": "Consent", "id": id, "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}], "patient": ref("Patient", patient),
            "policy": [{"uri": "https://wetten.overheid.nl/BWBR0023864"}],
            "provision": {"type": kind, "actor": [{"role": {"text": "ontvanger"},
                                                   "reference": ref("Organization", organisation)}], **provision}}


def shielded(patient):
    """An episode that its practice keeps to itself, with all that hangs at it. Each says SECRET."""
    shared, text = {"subject": ref("Patient", patient)}, {"text": "GEHEIM afgeschermd"}
    encounter = ref("Encounter", "geheim-contact")
    return [
        {"resourceType": "Condition", "id": "geheim-probleem", **shared, "code": text, "encounter": encounter},
        {"resourceType": "EpisodeOfCare", "id": "geheim-episode", "meta": RESTRICTED, "status": "active",
         "patient": ref("Patient", patient), "managingOrganization": ref("Organization", TERP),
         "diagnosis": [{"condition": ref("Condition", "geheim-probleem")}]},
        {"resourceType": "Encounter", "id": "geheim-contact", "status": "finished", **shared, "class": {"code": "AMB"},
         "episodeOfCare": [ref("EpisodeOfCare", "geheim-episode")], "reasonCode": [text]},
        {"resourceType": "Composition", "id": "geheim-notitie", "status": "final", "type": text, **shared, "date": "2026-10-01",
         "encounter": encounter, "author": [{"reference": GP}], "title": "GEHEIM"},
        {"resourceType": "Observation", "id": "geheim-meting", "status": "final", "code": text, **shared, "encounter": encounter,
         "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                   "code": "laboratory"}]}]},
        {"resourceType": "MedicationRequest", "id": "geheim-recept", "status": "active", "intent": "order",
         "medicationCodeableConcept": text, **shared, "encounter": encounter},
        {"resourceType": "MedicationDispense", "id": "geheim-uitgifte", "status": "completed",
         "medicationCodeableConcept": text, **shared, "authorizingPrescription": [ref("MedicationRequest", "geheim-recept")]},
    ]


def extras(patients):
    own = [p["id"] for p in patients if p["managingOrganization"]["reference"].endswith(TERP)]
    other = [p["id"] for p in patients if p["managingOrganization"]["reference"].endswith(HAVEN)]
    people = [{"resourceType": "Practitioner", "id": name.split("/")[1], "active": True} for name in (LOCUM, GONE, NIGHT)]
    houses = [{"resourceType": "Organization", "id": id, "active": True, "name": id} for id in (POST, HOSPITAL)]
    return [
        *people, *houses,
        role("waarnemer-rol", LOCUM, TERP, period={"start": "2026-01-01", "end": "2999-12-31"}),
        role("waarnemer-toen-rol", GONE, TERP, period={"start": "2020-01-01", "end": "2020-12-31"}),
        role("dienstdoende-rol", NIGHT, POST),
        {"resourceType": "OrganizationAffiliation", "id": "post-terp", "active": True, "organization": ref("Organization", TERP),
         "participatingOrganization": ref("Organization", POST), "period": {"start": "2026-01-01"}},
        *shielded(own[0]),
        consent("weigert-apotheek", own[1], VIJZEL, "deny"),
        consent("laat-ziekenhuis-toe", own[0], HOSPITAL, "permit"),
        consent("laat-ziekenhuis-niet-meer-toe", other[0], HOSPITAL, "permit", period={"end": "2020-01-01"}),
        {"resourceType": "Communication", "id": "vraag-aan-huisarts", "status": "completed",
         "subject": ref("Patient", own[0]), "payload": [{"contentString": "Mag ik de huisarts iets vragen?"}]},
        {"resourceType": "Condition", "id": "contra-indicatie", "subject": ref("Patient", own[0]),
         "code": {"text": "nierfunctiestoornis"},
         "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "140401000146105"}]}]},
    ]


class World:
    """A running service with both clusters in it. all: {cluster: {"Type/id": resource}}."""

    def __init__(self, **settings):
        self.records = records_kit.Records(
            clusters=("noord", "zuid"), guarded=True, workers=1, behind_gate=True, partners=[{"partner": "hospital", "organisation": HOSPITAL}],
            top={"partners": [{"name": "hospital", "networks": ["192.0.2.0/24"], "certificates": ["gateway.ziekenhuis.example"]}]}, **settings)
        try:
            made = sample(self.records.folder / "sample")
            made["noord"] += extras([r for r in made["noord"] if r["resourceType"] == "Patient"])
            self.all = {cluster: {f"{r['resourceType']}/{r['id']}": r for r in list} for cluster, list in made.items()}
            for cluster, list in made.items():
                self.load(cluster, list)
        except BaseException:
            self.records.__exit__(BaseException)
            raise
        patients = [r for r in made["noord"] if r["resourceType"] == "Patient"]
        self.own = [p["id"] for p in patients if p["managingOrganization"]["reference"].endswith(TERP)]
        self.other = [p["id"] for p in patients if p["managingOrganization"]["reference"].endswith(HAVEN)]

    def load(self, cluster, list):
        entries = [{"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in list]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = self.records.ask("POST", "", bundle, cluster=cluster, authorization=self.records.token(cluster=cluster))
        assert resource(answer)["type"] == "transaction-response"

    def asker(self, user=None, cluster="noord", **claims):
        return Asker(self.records, self.records.token(user, cluster=cluster, **claims), cluster)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.records.__exit__(kind)


class Asker:
    def __init__(self, records, token, cluster):
        self.records, self.token, self.cluster = records, token, cluster
        self.client = records.client(cluster)

    def ask(self, method, path, body=None, **fields):
        return self.client.ask(method, path, body, authorization=self.token, **fields)

    def get(self, path, **fields):
        return self.ask("GET", path, **fields)

    def found(self, path):
        """{"Type/id"} of all pages of a search."""
        ids, bundle = set(), resource(self.get(path))
        while True:
            ids |= {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle.get("entry", [])
                    if e["resource"]["resourceType"] != "OperationOutcome"}
            more = [link["url"] for link in bundle.get("link", []) if link["relation"] == "next"]
            if not more:
                return ids
            bundle = resource(self.get(more[0].split("/fhir/", 1)[1]))
