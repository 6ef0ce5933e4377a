"""Subscriptions: who listens hears what happened, in order, none missing whoever dies, and nothing that is not theirs."""
import http.client
import json
import os
import signal
import threading

import pytest

import harness
import records_kit
import records_people
from records_kit import refusal, resource
from records_people import GP, PHARMACIST, VIJZEL, ref

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"


def subscription(topic="prescription", filters=(), payload="id-only", heartbeat=None, **more):
    channel = {"_type": {"extension": [{"url": BACKPORT + "channel-type", "valueCoding": {
        "system": "urn:polder:channel", "code": "server-sent-events"}}]}, "payload": "application/fhir+json",
        "_payload": {"extension": [{"url": BACKPORT + "payload-content", "valueCode": payload}]}}
    if heartbeat is not None:
        channel["extension"] = [{"url": BACKPORT + "heartbeat-period", "valueUnsignedInt": heartbeat}]
    made = {"resourceType": "Subscription", "status": "requested", "reason": "werklijst", "criteria": f"urn:polder:topic:{topic}",
            "channel": channel, **more}
    if filters:
        made["_criteria"] = {"extension": [{"url": BACKPORT + "filter-criteria", "valueString": f} for f in filters]}
    return made


def prescription(patient, performer=VIJZEL, **more):
    made = {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": ref("Patient", patient),
            "medicationCodeableConcept": {"text": "paracetamol\n500 mg"}, **more}
    if performer:
        made["dispenseRequest"] = {"performer": ref("Organization", performer)}
    return made


class Listener:
    """A stream of events: [(id, kind, bundle)] as they come."""

    def __init__(self, records, id, after=None, cluster=None, port=None, **fields):
        self.http = http.client.HTTPConnection("127.0.0.1", port or records.port, timeout=harness.WITHIN_S)
        headers = {"accept": "text/event-stream", **{k.replace("_", "-"): v for k, v in fields.items()}}
        if after is not None:
            headers["last-event-id"] = str(after)
        self.http.request("GET", f"{records.base(cluster)}/Subscription/{id}/$events", headers=headers)
        self.socket = self.http.sock
        self.answer = self.http.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer.close()
        self.http.close()

    def next(self):
        """The next message that is not a comment; None: the end."""
        fields = {}
        while True:
            line = self.answer.readline()
            if not line:
                return None
            text = line.decode().rstrip("\n")
            if text.startswith(":"):
                continue
            if not text:
                if fields:
                    return int(fields["id"]), fields["event"], json.loads(fields["data"])
                continue
            name, _, value = text.partition(": ")
            fields[name] = fields[name] + "\n" + value if name == "data" and name in fields else value

    def handshake(self):
        id, kind, bundle = self.next()
        assert kind == "handshake", bundle
        return id

    def event(self):
        while True:
            message = self.next()
            if message is None or message[1] == "event-notification":
                return message


def focus(message):
    return [next(p["valueReference"]["reference"] for p in e["part"] if p["name"] == "focus").split("/fhir/")[1]
            for e in message[2]["entry"][0]["resource"]["parameter"] if e["name"] == "notification-event"]


@pytest.fixture(scope="module")
def records():
    with records_kit.Records(workers=1) as running:
        running.ask("PUT", "Patient/p", {"resourceType": "Patient", "id": "p", "active": True})
        yield running


@pytest.fixture(scope="module")
def world():
    with records_people.World() as running:
        yield running


def test_a_prescription_is_heard_of(records):
    made = records.create(subscription())
    assert made["status"] == "active"
    with Listener(records, made["id"]) as listener:
        assert listener.answer.status == 200 and listener.answer.headers["content-type"] == "text/event-stream"
        listener.handshake()
        records.create(prescription("p", performer=None))
        one = records.create(prescription("p"))
        id, _, bundle = listener.event()
        status = bundle["entry"][0]["resource"]
        told = {p["name"]: p for p in status["parameter"]}
        assert bundle["type"] == "history" and told["type"]["valueCode"] == "event-notification"
        assert told["subscription"]["valueReference"]["reference"].endswith(f"/noord/fhir/Subscription/{made['id']}")
        assert told["topic"]["valueCanonical"] == "urn:polder:topic:prescription"
        assert focus((id, "", bundle)) == [f"MedicationRequest/{one['id']}"]
        assert bundle["entry"][1]["request"] == {"method": "POST", "url": "MedicationRequest"} and "resource" not in bundle["entry"][1]
        changed = resource(records.ask("PUT", f"MedicationRequest/{one['id']}", {**one, "status": "stopped"}))
        message = listener.event()
        assert message[2]["entry"][1]["request"]["method"] == "PUT" and message[0] > id and changed
        records.ask("DELETE", f"MedicationRequest/{one['id']}")
        two = records.create(prescription("p"))
        assert focus(listener.event()) == [f"MedicationRequest/{two['id']}"]
    lines = [line for line in records_kit.check_chain(records.audit_lines()) if line.get("operation") == "events"]
    assert lines[0]["objects"][0].startswith("Subscription/") and any("p" in line.get("patients", []) for line in lines[1:])


def test_the_notification_is_valid(records):
    made = records.create(subscription(payload="full-resource"))
    with Listener(records, made["id"]) as listener:
        listener.handshake()
        one = records.ask("POST", "MedicationRequest", json.dumps(prescription("p"), indent=1))
        bundle = listener.event()[2]
        assert bundle["entry"][1]["resource"] == resource(one, 201)
        judged = resource(records.ask("POST", "Bundle/$validate", bundle))["issue"]
        assert all(issue["severity"] != "error" for issue in judged), judged


def test_empty_payload_names_nothing(records):
    made = records.create(subscription(payload="empty"))
    with Listener(records, made["id"]) as listener:
        listener.handshake()
        one = records.create(prescription("p"))
        bundle = listener.event()[2]
        assert len(bundle["entry"]) == 1 and one["id"] not in json.dumps(bundle)


def test_filters_narrow(records):
    made = records.create(subscription(filters=["MedicationRequest?intended-dispenser=Organization/b", "MedicationRequest?status=active"]))
    with Listener(records, made["id"]) as listener:
        listener.handshake()
        records.create(prescription("p", performer="a"))
        records.create(prescription("p", performer="b", status="draft"))
        right = records.create(prescription("p", performer="b"))
        assert focus(listener.event()) == [f"MedicationRequest/{right['id']}"]


def test_tasks_and_results(records):
    task = records.create(subscription("task"))
    result = records.create(subscription("result"))
    with Listener(records, task["id"]) as tasks, Listener(records, result["id"]) as results:
        tasks.handshake(), results.handshake()
        one = records.create({"resourceType": "Task", "status": "requested", "intent": "order"})
        lab = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        records.create({"resourceType": "Observation", "status": "final", "code": {"text": "pols"}})
        two = records.create({"resourceType": "Observation", "status": "final", "code": {"text": "K"}, "category": [lab]})
        three = records.create({"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "lab"}})
        assert focus(tasks.event()) == [f"Task/{one['id']}"]
        heard = []
        while len(heard) < 2:
            heard += focus(results.event())
        assert heard == [f"Observation/{two['id']}", f"DiagnosticReport/{three['id']}"]


def test_who_comes_back_misses_nothing(records):
    made = records.create(subscription())
    with Listener(records, made["id"]) as listener:
        first = listener.handshake()
        one = records.create(prescription("p"))
        heard = listener.event()
    later = [records.create(prescription("p"))["id"] for _ in range(120)]
    with Listener(records, made["id"], after=heard[0]) as listener:
        assert listener.handshake() == heard[0]
        got, last = [], 0
        while len(got) < len(later):
            message = listener.event()
            assert message[0] > last
            last = message[0]
            got += focus(message)
        assert got == [f"MedicationRequest/{id}" for id in later]
    with Listener(records, made["id"], after=first) as listener:
        assert focus(listener.event())[0] == f"MedicationRequest/{one['id']}"
    for odd in (10**12, "-1", "x", "18446744073709551616"):
        with Listener(records, made["id"], after=odd) as listener:
            listener.handshake()


def test_heartbeat(records):
    made = records.create(subscription(heartbeat=1))
    with Listener(records, made["id"]) as listener:
        listener.handshake()
        id, kind, bundle = listener.next()
        assert kind == "heartbeat" and len(bundle["entry"]) == 1
        assert {"name": "type", "valueCode": "heartbeat"} in bundle["entry"][0]["resource"]["parameter"]


def test_listeners_have_a_limit(records):
    made = records.create(subscription())
    listeners = [Listener(records, made["id"]) for _ in range(8)]
    for listener in listeners:
        listener.handshake()
    refusal(records.get(f"Subscription/{made['id']}/$events"), 429)
    for listener in listeners:
        listener.__exit__()
    assert records.ask("HEAD", f"Subscription/{made['id']}/$events").status == 400

    def again():
        with Listener(records, made["id"]) as listener:
            return listener.answer.status == 200
    harness.until(again, "the others are gone")


def test_status(records):
    made = records.create(subscription())
    bundle = resource(records.get(f"Subscription/{made['id']}/$status"))
    assert bundle["type"] == "searchset"
    told = {p["name"]: p for p in bundle["entry"][0]["resource"]["parameter"]}
    assert told["status"]["valueCode"] == "active" and told["type"]["valueCode"] == "query-status"
    resource(records.ask("PUT", f"Subscription/{made['id']}", {**made, "status": "off"}))
    bundle = resource(records.get(f"Subscription/{made['id']}/$status"))
    assert {"name": "status", "valueCode": "off"} in bundle["entry"][0]["resource"]["parameter"]
    refusal(records.get("Subscription/nergens/$status"), 404)


def test_one_that_is_switched_off_ends_its_streams(records):
    made = records.create(subscription())
    with Listener(records, made["id"]) as listener:
        listener.handshake()
        resource(records.ask("PUT", f"Subscription/{made['id']}", {**made, "status": "off"}))
        assert listener.event() is None
    refusal(records.get(f"Subscription/{made['id']}/$events"), 409)
    resource(records.ask("PUT", f"Subscription/{made['id']}", {**made, "status": "requested"}))
    with Listener(records, made["id"]) as listener:
        listener.handshake()
        records.ask("DELETE", f"Subscription/{made['id']}")
        assert listener.event() is None
    over = records.create(subscription(end="2020-01-01T00:00:00Z"))
    refusal(records.get(f"Subscription/{over['id']}/$events"), 409)


@pytest.mark.parametrize("change", [
    {"criteria": "urn:polder:topic:nergens"}, {"criteria": "Observation?code=1"},
    {"channel": {"type": "rest-hook", "endpoint": "http://example.org/"}}, {"channel": {"type": "websocket"}},
    {"_criteria": {"extension": [{"url": BACKPORT + "filter-criteria", "valueString": "Patient?name=a"}]}},
    {"_criteria": {"extension": [{"url": BACKPORT + "filter-criteria", "valueString": "MedicationRequest"}]}},
    {"_criteria": {"extension": [{"url": BACKPORT + "filter-criteria", "valueString": "MedicationRequest?_include=*"}]}},
    {"_criteria": {"extension": [{"url": BACKPORT + "filter-criteria", "valueString": "MedicationRequest?status=a"}] * 21}},
    {"channel": {**subscription()["channel"], "payload": "application/fhir+xml"}},
    {"channel": subscription(payload="alles")["channel"]}, {"channel": subscription(heartbeat=100_000)["channel"]}])
def test_what_cannot_be_subscribed_to(records, change):
    refusal(records.ask("POST", "Subscription", {**subscription(), **change}), 422)


def test_unknown_filters_are_refused(records):
    refusal(records.ask("POST", "Subscription", subscription(filters=["MedicationRequest?nergens=1"])), 400)
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": f"Subscription/{records.create(subscription())['id']}/$events"}}]}
    assert resource(records.ask("POST", "", bundle))["entry"][0]["response"]["status"].startswith("400")
    assert records.ask("POST", "Subscription/x/$events", {"resourceType": "Parameters"}).status in (400, 404)


def test_topics_stand_in_metadata(records):
    stated = next(r for r in resource(records.get("metadata"))["rest"][0]["resource"] if r["type"] == "Subscription")
    assert "urn:polder:topic:prescription" in [e["valueCanonical"] for e in stated["extension"]]
    assert {"status", "events"} <= {o["name"] for o in stated["operation"]}


# -- whoever dies


@pytest.mark.parametrize("role", ["worker 0", "owner 0", "audit 0", "all"])
def test_nothing_is_lost_when_it_is_killed(role):
    with records_kit.Records(workers=1) as records:
        records.may_say = "killed by signal 9|started again"
        records.ask("PUT", "Patient/p", {"resourceType": "Patient", "id": "p", "active": True})
        made, acknowledged, over = records.create(subscription()), [], threading.Event()

        def write():
            client = records.client()
            while not over.is_set():
                try:
                    answer = client.ask("POST", "MedicationRequest", prescription("p"))
                    if answer.status == 201:
                        acknowledged.append(f"MedicationRequest/{json.loads(answer.body)['id']}")
                except (OSError, http.client.HTTPException):
                    client.http.close()
                    client = records.client()

        with Listener(records, made["id"]) as listener:
            last = listener.handshake()
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        heard, kills = [], 0
        try:
            while kills < 3 or not set(acknowledged) <= set(heard):
                try:
                    with Listener(records, made["id"], after=last) as listener:
                        wanted = len(heard) + 30
                        while (kills < 3 and len(heard) < wanted) or (kills == 3 and not set(acknowledged) <= set(heard)):
                            message = listener.event()
                            if message is None:
                                break
                            heard += focus(message)
                            last = message[0]
                        if kills < 3:
                            kills += 1
                            if role == "all":
                                records.kill()
                                records.start()
                            else:
                                os.kill(harness.until(lambda: records.roles().get(role), f"{role} is back"), signal.SIGKILL)
                                records.wait_said(f"the {role}", times=kills)
                            if kills == 3:
                                over.set()
                                writer.join(harness.WITHIN_S)
                except (OSError, http.client.HTTPException, AssertionError, TypeError, ValueError, KeyError):
                    pass
        finally:
            over.set()
        assert set(acknowledged) <= set(heard) and acknowledged
        order = [one for n, one in enumerate(heard) if one not in heard[:n]]
        assert [one for one in order if one in set(acknowledged)] == acknowledged
        records_kit.check_chain(records.audit_lines())


def test_through_the_gate():
    with records_kit.Records(workers=1, behind_gate=True) as records, \
            harness.Gate(harness.simple_config(records.port)) as gate:
        records.ask("PUT", "Patient/p", {"resourceType": "Patient", "id": "p", "active": True})
        made = records.create(subscription())
        with Listener(records, made["id"], port=gate.port("http"), host=harness.HOST) as listener:
            listener.handshake()
            one = records.create(prescription("p"))
            assert focus(listener.event()) == [f"MedicationRequest/{one['id']}"]


# -- nothing hidden


def test_the_pharmacy_sees_the_prescription_appear(world):
    gp, pharmacist = world.asker(GP), world.asker(PHARMACIST)
    made = resource(pharmacist.ask("POST", "Subscription", subscription(
        payload="full-resource", filters=[f"MedicationRequest?intended-dispenser=Organization/{VIJZEL}"])), 201)
    assert {"system": "urn:polder:subscriber", "code": VIJZEL} in made["meta"]["tag"]
    with Listener(world.records, made["id"], authorization=pharmacist.token) as listener:
        listener.handshake()
        # Of one who denies the pharmacy, of a contact that is shielded, and one that is the pharmacy's to see.
        denied = resource(gp.ask("POST", "MedicationRequest", prescription(world.own[1])), 201)
        assert denied["id"]
        shielded = {**prescription(world.own[0]), "meta": records_people.RESTRICTED}
        assert gp.ask("POST", "MedicationRequest", shielded).status in (201, 403)
        seen = resource(gp.ask("POST", "MedicationRequest", prescription(world.own[0])), 201)
        message = listener.event()
        assert focus(message) == [f"MedicationRequest/{seen['id']}"] and message[2]["entry"][1]["resource"] == seen
    line = [one for one in records_kit.check_chain(world.records.audit_lines("noord")) if one.get("operation") == "events"][-1]
    assert line["user"] == PHARMACIST and line["patients"] == [world.own[0]]


def test_subscriptions_are_their_makers_own(world):
    gp, pharmacist = world.asker(GP), world.asker(PHARMACIST)
    made = resource(pharmacist.ask("POST", "Subscription", subscription()), 201)
    path = f"Subscription/{made['id']}"
    for other in (gp, world.asker(f"Patient/{world.own[0]}")):
        for answer in (other.get(path), other.get(f"{path}/$status"), other.get(f"{path}/$events"),
                       other.ask("PUT", path, made), other.ask("DELETE", path)):
            assert answer.status in (403, 404), answer
    assert f"Subscription/{made['id']}" not in gp.found("Subscription")
    assert f"Subscription/{made['id']}" in pharmacist.found("Subscription")
    assert world.asker(f"Patient/{world.own[0]}").ask("POST", "Subscription", subscription()).status == 403
    stolen = {**subscription(), "meta": {"tag": [{"system": "urn:polder:subscriber", "code": VIJZEL}]}}
    taken = gp.ask("POST", "Subscription", stolen)
    if taken.status == 201:  # it has both labels: then it must not be the pharmacy's
        assert f"Subscription/{json.loads(taken.body)['id']}" not in pharmacist.found("Subscription")
    refusal(world.records.get(f"{path}/$events"), 401)


def test_a_token_that_is_over_ends_the_stream(world):
    pharmacist = world.asker(PHARMACIST)
    made = resource(pharmacist.ask("POST", "Subscription", subscription()), 201)
    admin = world.asker()
    with Listener(world.records, made["id"], authorization=pharmacist.token) as listener:
        listener.handshake()
        role = next(r for r in world.all["noord"].values() if r["resourceType"] == "PractitionerRole" and
                    r["practitioner"]["reference"] == PHARMACIST)
        try:
            resource(admin.ask("PUT", f"PractitionerRole/{role['id']}", {**role, "active": False}))
            assert listener.event() is None
        finally:
            resource(admin.ask("PUT", f"PractitionerRole/{role['id']}", role))
