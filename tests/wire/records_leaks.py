"""What somebody may not see does not come out, whatever is asked: every interaction, chain, include, history, count,
operation, condition and error is tried for what is hidden, by everybody from whom something is.

Every resource has a mark of its own (meta.tag) that no reference repeats. Who may see what is worked out here once more,
from the resources themselves; then no answer may hold the mark or the address of anything else, and no answer about what is
hidden may differ from one about what never was.
"""
import json
import re

import pytest

from records_kit import resource
from records_people import GONE, GP, LOCUM, NIGHT, OTHER_GP, PHARMACIST, World

MARKS = "urn:polder:mark"
MARK = re.compile(rb"MARK-[a-z]+-[A-Za-z]+-[A-Za-z0-9.-]+?-KRAM")
EVERY_TYPE = ["Organization", "OrganizationAffiliation", "Practitioner", "PractitionerRole", "Patient", "AllergyIntolerance",
              "Condition", "EpisodeOfCare", "Encounter", "Observation", "Composition", "MedicationRequest",
              "MedicationDispense", "Immunization", "DocumentReference", "Consent", "Communication"]
COMMON = {"Organization", "OrganizationAffiliation", "Practitioner", "PractitionerRole"}
PHARMACY_TYPES = {"Organization", "Practitioner", "PractitionerRole", "Patient", "AllergyIntolerance", "Condition", "Observation",
                  "MedicationRequest", "MedicationDispense", "Immunization"}
NEVER = "nooit-geweest"


def mark(cluster, name):
    return f"MARK-{cluster}-{name.replace('/', '-')}-KRAM"


def patients_of(r):
    if r["resourceType"] == "Patient":
        return {r["id"]}
    return set(re.findall(r'"reference": "Patient/([^"]+)"', json.dumps(r)))


class Marked(World):
    def load(self, cluster, list):
        for r in list:
            r["meta"] = {**r.get("meta", {}), "tag": [{"system": MARKS, "code": mark(cluster, f"{r['resourceType']}/{r['id']}")}]}
        super().load(cluster, list)

    def visible(self, who, cluster="noord"):
        """{"Type/id"} that somebody may see, by the rules as people say them."""
        if cluster != "noord":
            return set()
        return {name for name, r in self.all["noord"].items() if self.may_see(who, name, r)}

    def may_see(self, who, name, r):
        kind, whose = r["resourceType"], patients_of(r)
        secret = r["id"].startswith("geheim-")
        if who in (None, GONE):
            return False
        if kind in COMMON:
            return True
        if who == PHARMACIST:
            lets = kind in PHARMACY_TYPES and not secret and whose & (set(self.own + self.other) - {self.own[1]})
            if kind == "Condition":
                return bool(lets) and r["id"] == "contra-indicatie"
            return bool(lets) and (kind != "Observation" or "laboratory" in json.dumps(r["category"]))
        if who == GP:
            return bool(whose & set(self.own))
        if who in (LOCUM, NIGHT):
            return bool(whose & set(self.own)) and not secret
        if who == OTHER_GP:
            return bool(whose & set(self.other))
        return whose == {who.split("/")[1]}


@pytest.fixture(scope="module")
def world():
    with Marked() as world:
        yield world


def askers(world):
    return {"pharmacist": PHARMACIST, "practice": GP, "other practice": OTHER_GP, "locum": LOCUM, "post": NIGHT,
            "expired locum": GONE, "patient": f"Patient/{world.own[0]}"}


NAMES = ["pharmacist", "practice", "other practice", "locum", "post", "expired locum", "patient"]


class Watch:
    """Asks, and looks at every byte that comes back."""

    def __init__(self, world, name, cluster="noord", user=...):
        self.world, self.who = world, askers(world)[name] if user is ... else user
        self.asker = world.asker(self.who, cluster=cluster) if self.who else None
        self.visible = world.visible(self.who, cluster)
        self.allowed = {mark("noord", n).encode() for n in self.visible}
        self.hidden = {c: [n for n in all if c != cluster or n not in self.visible] for c, all in world.all.items()}
        self.asked = 0

    def ask(self, method, path, body=None, **fields):
        answer = self.asker.ask(method, path, body, **fields)
        self.asked += 1
        what = f"{method} {path} {json.dumps(body)[:300] if body else ''} -> {answer.status}"
        own = set(MARK.findall(f"{path} {json.dumps(body)} {fields}".encode()))  # links repeat the question
        more = set(MARK.findall(answer.body)) - own - self.allowed
        assert not more, (what, more)
        assert answer.status < 500 or answer.status == 501, (what, answer.body[:300])
        if answer.body[:1] == b"{":
            self.look(json.loads(answer.body), what)
        return answer

    def look(self, body, what):
        """No entry, and no address of one, that is hidden."""
        entries = body.get("entry", []) if body.get("resourceType") == "Bundle" else []
        for r in [body] + [e["resource"] for e in entries if "resource" in e]:
            name = f"{r.get('resourceType')}/{r.get('id')}"
            assert name in self.visible or name not in self.world.all["noord"], (what, name)
        for e in entries:
            for url in (e.get("fullUrl", ""), e.get("response", {}).get("location", ""), e.get("request", {}).get("url", "")):
                name = "/".join(url.split("/fhir/")[-1].split("/")[:2])
                assert name in self.visible or name not in self.world.all["noord"], (what, url)

    def total(self, path, expected, **fields):
        """A count says how many of what is seen, or nothing."""
        answer = self.ask("GET", path, **fields)
        if answer.status == 200:
            assert json.loads(answer.body).get("total", 0) == expected, (path, json.loads(answer.body).get("total"), expected)
        else:
            assert answer.status in (400, 403), (path, answer.status, answer.body[:200])


def some(names, kind, n=2):
    return [name for name in names if name.split("/")[0] == kind][:n]


@pytest.mark.parametrize("name", NAMES)
def test_searches_and_histories(world, name):
    watch = Watch(world, name)
    for kind in EVERY_TYPE:
        seen = sum(n.startswith(kind + "/") for n in watch.visible)
        for query in ("_count=1000", "_count=1000&_sort=-_lastUpdated", "_lastUpdated=ge2000-01-01&_count=1000", "_elements=id",
                      "_summary=true&_count=1000", "_count=3", "_total=accurate&_count=2", "_tag:not=x&_count=1000",
                      "_id:missing=false"):
            watch.ask("GET", f"{kind}?{query}")
        watch.ask("POST", f"{kind}/_search", "_count=1000", content_type="application/x-www-form-urlencoded")
        watch.ask("GET", f"{kind}/_history?_count=1000")
        watch.total(f"{kind}?_summary=count", seen)
        watch.total(f"{kind}?_count=0", seen)
        watch.total(f"{kind}?_total=accurate&_count=1", seen)
        watch.total(f"{kind}?_tag={MARKS}%7C&_summary=count", seen)
    watch.ask("GET", "_history?_count=1000")
    watch.ask("GET", "?_type=Patient,Composition,Observation&_count=1000")
    watch.ask("GET", "?_tag=" + ",".join(f"{MARKS}%7C{mark('noord', n)}" for n in watch.hidden["noord"][:40]))


@pytest.mark.parametrize("name", NAMES)
def test_one_by_one(world, name):
    """Of what is hidden the answers are those of what never was, word for word."""
    watch = Watch(world, name)
    for kind in EVERY_TYPE:
        for hidden in some(watch.hidden["noord"], kind) + some(watch.hidden["zuid"], kind, 1):
            id = hidden.split("/")[1]
            body = {"resourceType": kind, "id": id}
            patch = [{"op": "test", "path": "/id", "value": id}]
            for method, tail, sent, fields in (
                    ("GET", "", None, {}), ("GET", "/_history/1", None, {}), ("GET", "/_history", None, {}),
                    ("GET", "/$meta", None, {}), ("HEAD", "", None, {}), ("GET", "?_elements=id", None, {}),
                    ("GET", "", None, {"if_none_match": 'W/"1"'}),
                    ("GET", "", None, {"if_modified_since": "Sun, 06 Nov 2094 08:49:37 GMT"}),
                    ("DELETE", "", None, {}), ("DELETE", "", None, {"if_match": 'W/"1"'}),
                    ("PATCH", "", patch, {"content_type": "application/json-patch+json"}),
                    ("PUT", "", body, {}), ("PUT", "", body, {"if_match": 'W/"7"'}), ("PUT", "", body, {"if_none_match": "*"})):
                one = watch.ask(method, f"{kind}/{id}{tail}", sent, **fields)
                sent = json.loads(json.dumps(sent).replace(id, NEVER)) if sent else None
                other = watch.ask(method, f"{kind}/{NEVER}{tail}", sent, **fields)
                assert one.status in (400, 403, 404, 405, 422), (method, kind, id, tail, one.status)
                assert (one.status, one.body) == (other.status, other.body.replace(NEVER.encode(), id.encode())), (method, kind, id)
                assert "etag" not in one.headers and "last-modified" not in one.headers and "location" not in one.headers
            for query in (f"_id={id}", f"_tag={MARKS}%7C{mark('noord', hidden)}", f"_id={id}&_include=*&_revinclude=*"):
                watch.total(f"{kind}?{query}&_total=accurate", 0)
            watch.ask("GET", f"Patient/{id}/$everything")
            watch.ask("GET", f"Patient/{id}/*")
            watch.ask("GET", f"Patient/{id}/Composition")


@pytest.mark.parametrize("name", NAMES)
def test_chains_and_includes(world, name):
    watch = Watch(world, name)
    links = {("Observation", "encounter", "Encounter"), ("MedicationRequest", "encounter", "Encounter"),
             ("MedicationRequest", "subject", "Patient"), ("MedicationDispense", "prescription", "MedicationRequest"),
             ("Composition", "encounter", "Encounter"), ("Encounter", "episode-of-care", "EpisodeOfCare"),
             ("EpisodeOfCare", "condition", "Condition"), ("Immunization", "patient", "Patient"), ("Condition", "encounter", "Encounter"),
             ("AllergyIntolerance", "patient", "Patient"), ("DocumentReference", "subject", "Patient"), ("Consent", "patient", "Patient"),
             ("Communication", "subject", "Patient"), ("Observation", "patient", "Patient"), ("Composition", "subject", "Patient")}
    for source, parameter, target in sorted(links):
        for hidden in some(watch.hidden["noord"], target, 4):
            said = f"{MARKS}%7C{mark('noord', hidden)}"
            watch.total(f"{source}?{parameter}:{target}._tag={said}&_total=accurate", 0)
            watch.total(f"{source}?{parameter}:{target}._id={hidden.split('/')[1]}&_summary=count", 0)
        for hidden in some(watch.hidden["noord"], source, 4):
            said = f"{MARKS}%7C{mark('noord', hidden)}"
            watch.total(f"{target}?_has:{source}:{parameter}:_tag={said}&_total=accurate", 0)
            watch.total(f"Patient?_has:{source}:patient:_id={hidden.split('/')[1]}&_total=accurate", 0)
        for query in (f"{source}?_include={source}:{parameter}", f"{source}?_include=*", f"{source}?_include:iterate=*",
                      f"{target}?_revinclude={source}:{parameter}", f"{target}?_revinclude=*",
                      f"{target}?_revinclude={source}:{parameter}&_include:iterate=*",
                      f"{source}?_sort={parameter}", f"{source}?{parameter}:missing=false"):
            watch.ask("GET", query + "&_count=200")
    watch.ask("GET", "MedicationDispense?prescription:MedicationRequest.encounter:Encounter.reason-code=K86&_count=200")


@pytest.mark.parametrize("name", NAMES)
def test_operations(world, name):
    watch = Watch(world, name)
    for patient in [n.split("/")[1] for n in world.all["noord"] if n.startswith("Patient/")]:
        for path in (f"Patient/{patient}/$everything", f"Patient/{patient}/$everything?_type=Composition,Encounter&_count=500",
                     f"Patient/{patient}/$everything?_since=2000-01-01", f"Observation/$lastn?patient={patient}",
                     f"Observation/$lastn?subject=Patient/{patient}&category=vital-signs&max=9", f"Patient/{patient}/*?_count=500",
                     f"Patient/{patient}/Composition?_count=500", f"Patient/{patient}/Encounter?_summary=count"):
            watch.ask("GET", path)
    for composition in some(watch.hidden["noord"], "Composition"):
        watch.ask("GET", f"{composition}/$document")
    for path in ("$export", "Patient/$export", "Group/x/$export"):
        assert watch.ask("GET", path, prefer="respond-async").status >= 400


def entry(method, url, body=None, **request):
    return {"request": {"method": method, "url": url, **request}, **({"resource": body} if body else {})}


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


@pytest.mark.parametrize("name", NAMES)
def test_bundles_and_conditions(world, name):
    watch = Watch(world, name)
    patient = next((n for n in watch.visible if n.startswith("Patient/")), f"Patient/{NEVER}")
    for kind in ("Patient", "Composition", "Encounter", "MedicationRequest", "Observation", "Condition"):
        for hidden in some(watch.hidden["noord"], kind) + some(watch.hidden["zuid"], kind, 1):
            id, said = hidden.split("/")[1], f"{MARKS}|{mark('noord', hidden)}"
            own = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": patient}}
            points = {**own, "hasMember": [{"reference": f"Observation?_tag={said}"}],
                      "focus": [{"reference": f"{kind}?_tag={said}"}]}
            for transaction in ("transaction", "batch"):
                for e in (entry("GET", hidden), entry("GET", f"{kind}?_tag={said}&_include=*"), entry("DELETE", hidden),
                          entry("DELETE", f"{kind}?_tag={said}"), entry("PUT", hidden, {"resourceType": kind, "id": id}),
                          entry("PUT", f"{kind}?_tag={said}", {"resourceType": kind}),
                          entry("GET", f"{hidden}/_history")):
                    watch.ask("POST", "", bundle(transaction, e))
            one = watch.ask("POST", "", bundle("transaction", entry("POST", "Observation", points)))
            assert one.status >= 400, one.body
            for method, path in (("DELETE", f"{kind}?_tag={said.replace('|', '%7C')}"), ("PUT", f"{kind}?_id={id}")):
                answer = watch.ask(method, path, {"resourceType": kind} if method == "PUT" else None)
                assert answer.status in (204, 400, 403, 404, 412, 422), answer
            made = watch.ask("POST", kind, {"resourceType": kind}, if_none_exist=f"_id={id}")
            assert made.status != 200 and "location" not in made.headers, made


def test_nothing_was_changed(world):
    """Whatever was tried, by whomever: what was there is there, in its first version."""
    for cluster, all in world.all.items():
        admin = world.asker(cluster=cluster)
        for name in all:
            if name.split("/")[0] in ("Patient", "Composition", "Encounter", "MedicationRequest", "Condition"):
                assert resource(admin.get(name))["meta"]["versionId"] == "1", name


def test_nobody_gets_into_another_cluster(world):
    for user in (GP, PHARMACIST, "Practitioner/huisarts-maas", f"Patient/{world.own[0]}"):
        token = world.records.token(user)
        for path in ("Patient", "Patient?_summary=count", "_history", "Observation/$lastn", "Organization"):
            answer = world.records.ask("GET", path, cluster="zuid", authorization=token)
            assert answer.status == 401 and not MARK.findall(answer.body), (user, path, answer)
    # a token of the other cluster itself, whose bearer is nobody there; and a page of one cluster asked of the other
    watch = Watch(world, None, cluster="zuid", user=GP)
    for path in ("Patient", "Organization", "_history"):
        assert watch.ask("GET", path).status == 403
    found = resource(world.asker(GP).get("Observation?_count=1"))
    page = next(link["url"] for link in found["link"] if link["relation"] == "next").split("/fhir/")[1]
    watch = Watch(world, None, cluster="zuid", user="Practitioner/huisarts-maas")
    watch.allowed = {mark("zuid", n).encode() for n in world.all["zuid"]}
    watch.visible = set(world.all["zuid"])
    watch.ask("GET", page)


def test_pages_are_the_askers_own(world):
    """A position that one was given shows another one nothing more."""
    found = resource(world.asker(GP).get("Observation?_count=1"))
    page = next(link["url"] for link in found["link"] if link["relation"] == "next").split("/fhir/")[1]
    for name in ("other practice", "pharmacist", "patient", "locum"):
        Watch(world, name).ask("GET", page)


def test_without_a_token_nothing(world):
    for path in ("Patient", "_history", "Organization", "$export", "Observation/$lastn?patient=1", f"Patient/{world.own[0]}"):
        answer = world.records.get(path)
        assert answer.status == 401 and not MARK.findall(answer.body)


def test_deleted_stays_hidden(world):
    """What was hidden while it was there is hidden when it is gone, with its history."""
    admin = world.asker()
    gone = "geheim-meting"
    assert admin.ask("DELETE", f"Observation/{gone}").status == 204
    for name in ("pharmacist", "other practice", "locum", "post", "patient"):
        watch = Watch(world, name)
        if name != "patient":
            watch.visible.discard(f"Observation/{gone}")
            for tail in ("", "/_history", "/_history/1", "/_history/2"):
                one, other = watch.ask("GET", f"Observation/{gone}{tail}"), watch.ask("GET", f"Observation/{NEVER}{tail}")
                assert (one.status, one.body.replace(gone.encode(), b"X")) == (other.status, other.body.replace(NEVER.encode(), b"X"))
        watch.ask("GET", "Observation/_history?_count=1000")
    assert admin.ask("DELETE", "EpisodeOfCare/geheim-episode").status in (204, 409)
