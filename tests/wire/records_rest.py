"""The record service over HTTP: what is written is read, versions and conditions hold, refusals say where."""
import json

import pytest

import harness
import records_kit
from records_kit import refusal, resource

PATIENT = {"resourceType": "Patient", "name": [{"family": "Jansen", "given": ["Anna"]}], "birthDate": "1970-01-31"}


@pytest.fixture(scope="module")
def records():
    with records_kit.Records(clusters=("noord", "zuid")) as running:
        yield running


def test_create_and_read(records):
    answer = records.ask("POST", "Patient", PATIENT)
    made = resource(answer, 201)
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.headers["location"].endswith(f"/noord/fhir/Patient/{made['id']}/_history/1")
    assert made["meta"]["versionId"] == "1" and made["name"] == PATIENT["name"]
    read = records.get(f"Patient/{made['id']}")
    assert resource(read) == made
    assert read.headers["etag"] == 'W/"1"' and read.headers["content-type"].startswith("application/fhir+json")
    assert "last-modified" in read.headers


def test_bytes_stay_as_they_came(records):
    body = '{ "resourceType":"Observation",\n "status" : "final","code":{"text":"K\\u00f6rper"},' \
           '"valueQuantity":{"value":5.400,"unit":"mmol/l"} }'
    answer = records.ask("POST", "Observation", body)
    text = answer.body.decode()
    assert answer.status == 201
    for part in ('{ "resourceType":"Observation"', '\n "status" : "final","code":{"text":"K\\u00f6rper"}',
                 '"value":5.400,"unit":"mmol/l"} }'):
        assert part in text


def test_update_versions_and_history(records):
    made = records.create(PATIENT)
    path = f"Patient/{made['id']}"
    second = resource(records.ask("PUT", path, {**PATIENT, "id": made["id"], "gender": "female"}))
    assert second["meta"]["versionId"] == "2"
    assert refusal(records.ask("PUT", path, {**second}, if_match='W/"1"'), 412)["code"] == "conflict"
    third = resource(records.ask("PUT", path, {**second, "active": True}, if_match='W/"2"'))
    assert third["meta"]["versionId"] == "3"
    assert resource(records.get(f"{path}/_history/1"))["meta"]["versionId"] == "1"
    history = resource(records.get(f"{path}/_history"))
    assert history["type"] == "history" and history["total"] == 3
    assert [e["response"]["etag"] for e in history["entry"]] == ['W/"3"', 'W/"2"', 'W/"1"']
    assert history["entry"][2]["request"] == {"method": "POST", "url": "Patient"}


def test_client_assigned_id(records):
    answer = records.ask("PUT", "Patient/eigen-1", {**PATIENT, "id": "eigen-1"})
    assert resource(answer, 201)["id"] == "eigen-1"
    issue = refusal(records.ask("PUT", "Patient/eigen-2", {**PATIENT, "id": "anders"}), 400)
    assert issue["expression"] == ["Patient.id"]
    assert "missing" in refusal(records.ask("PUT", "Patient/eigen-2", PATIENT), 400)["diagnostics"]


def test_delete(records):
    made = records.create(PATIENT)
    path = f"Patient/{made['id']}"
    assert records.ask("DELETE", path).status == 204
    assert refusal(records.get(path), 410)["code"] == "deleted"
    assert records.ask("DELETE", path).status == 204
    assert records.ask("DELETE", "Patient/nooit-geweest").status == 204
    assert resource(records.get(f"{path}/_history"))["entry"][0]["request"]["method"] == "DELETE"
    assert resource(records.get(f"{path}/_history/1"))["id"] == made["id"]
    back = resource(records.ask("PUT", path, {**PATIENT, "id": made["id"]}), 201)
    assert back["meta"]["versionId"] == "3"


def test_not_modified(records):
    made = records.create(PATIENT)
    path = f"Patient/{made['id']}"
    assert records.get(path, if_none_match='W/"1"').status == 304
    assert records.get(path, if_none_match='W/"2", W/"1"').status == 304
    assert records.get(path, if_none_match='W/"7"').status == 200
    moment = records.get(path).headers["last-modified"]
    assert records.get(path, if_modified_since=moment).status == 304
    assert records.get(path, if_modified_since="Sun, 06 Nov 1994 08:49:37 GMT").status == 200


def test_prefer(records):
    minimal = records.ask("POST", "Patient", PATIENT, prefer="return=minimal")
    assert minimal.status == 201 and minimal.body == b"" and "location" in minimal.headers
    outcome = resource(records.ask("POST", "Patient", PATIENT, prefer="return=OperationOutcome"), 201)
    assert outcome["resourceType"] == "OperationOutcome" and outcome["issue"][0]["severity"] == "information"


def test_conditional_create_and_update(records):
    person = {**PATIENT, "identifier": [{"system": "http://voorbeeld.nl/nr", "value": "cond-1"}]}
    condition = "identifier=http://voorbeeld.nl/nr|cond-1"
    first = records.ask("POST", "Patient", person, if_none_exist=condition)
    second = records.ask("POST", "Patient", person, if_none_exist=condition)
    assert (first.status, second.status) == (201, 200)
    assert json.loads(first.body)["id"] == json.loads(second.body)["id"]
    updated = resource(records.ask("PUT", f"Patient?{condition}", {**person, "active": True}))
    assert updated["id"] == json.loads(first.body)["id"] and updated["meta"]["versionId"] == "2"
    records.create(person)
    assert refusal(records.ask("PUT", f"Patient?{condition}", person), 412)["code"] == "multiple-matches"
    assert records.ask("DELETE", f"Patient?{condition}").status == 412
    made = resource(records.ask("PUT", "Patient?identifier=http://voorbeeld.nl/nr|cond-2", PATIENT), 201)
    assert made["meta"]["versionId"] == "1"


def test_search(records):
    patient = records.create({**PATIENT, "name": [{"family": "Zoekman"}]})
    for value in (60, 70, 80):
        records.create({"resourceType": "Observation", "status": "final",
                        "subject": {"reference": f"Patient/{patient['id']}"},
                        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
                        "effectiveDateTime": f"2026-01-{value // 10:02}",
                        "valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": "/min"}})
    found = resource(records.get("Patient?family=zoekman"))
    assert found["type"] == "searchset" and [e["resource"]["id"] for e in found["entry"]] == [patient["id"]]
    query = f"Observation?patient={patient['id']}&code=http://loinc.org|8867-4"
    found = resource(records.get(f"{query}&_total=accurate"))
    assert found["total"] == 3 and all(e["search"]["mode"] == "match" for e in found["entry"])
    form = resource(records.ask("POST", "Observation/_search", query.partition("?")[2],
                                content_type="application/x-www-form-urlencoded"))
    assert len(form["entry"]) == 3
    found = resource(records.get(f"{query}&value-quantity=gt65&_sort=-date&_include=Observation:patient"))
    values = [e["resource"]["valueQuantity"]["value"] for e in found["entry"] if e["search"]["mode"] == "match"]
    assert values == [80, 70]
    assert [e["search"]["mode"] for e in found["entry"]] == ["match", "match", "include"]
    assert len(resource(records.get(f"Patient/{patient['id']}/Observation"))["entry"]) == 3
    assert "entry" not in resource(records.get("Patient?family=bestaatniet"))


def test_pages(records):
    patient = records.create(PATIENT)
    for number in range(7):
        records.create({"resourceType": "Flag", "status": "active", "code": {"text": f"vlag {number}"},
                        "subject": {"reference": f"Patient/{patient['id']}"}})
    path, seen = f"Flag?patient={patient['id']}&_count=3", []
    while path:
        page = resource(records.get(path))
        seen += [e["resource"]["code"]["text"] for e in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        path = links["next"].partition("/noord/fhir/")[2] if "next" in links else None
    assert sorted(seen) == [f"vlag {n}" for n in range(7)]


def test_unknown_parameters(records):
    issue = refusal(records.get("Patient?nmae=x"), 400)
    assert "nmae" in issue["diagnostics"] and "name" in issue["diagnostics"]
    found = resource(records.get("Patient?nmae=x&family=bestaatniet", prefer="handling=lenient"))
    assert found["entry"][-1]["search"]["mode"] == "outcome"
    assert refusal(records.get("Patient/x?welke=ja"), 400)["expression"] == ["http.welke"]


def test_transaction(records):
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:1f2e3d4c-0000-4000-8000-000000000001", "resource": PATIENT,
         "request": {"method": "POST", "url": "Patient"}},
        {"fullUrl": "urn:uuid:1f2e3d4c-0000-4000-8000-000000000002",
         "resource": {"resourceType": "Observation", "status": "final", "code": {"text": "pols"},
                      "subject": {"reference": "urn:uuid:1f2e3d4c-0000-4000-8000-000000000001"}},
         "request": {"method": "POST", "url": "Observation"}}]}
    answer = resource(records.ask("POST", "", bundle))
    assert answer["type"] == "transaction-response"
    assert [e["response"]["status"] for e in answer["entry"]] == ["201 Created", "201 Created"]
    patient, observation = (e["response"]["location"].partition("/_history")[0] for e in answer["entry"])
    assert resource(records.get(observation))["subject"]["reference"] == patient
    # Again, with a reference by condition, and one that fits nothing: then nothing at all is stored.
    bundle["entry"][1]["resource"]["subject"]["reference"] = f"Patient?_id={patient.partition('/')[2]}"
    answer = resource(records.ask("POST", "", bundle))
    other = answer["entry"][1]["response"]["location"].partition("/_history")[0]
    assert resource(records.get(other))["subject"]["reference"] == patient
    before = resource(records.get("Patient?_summary=count"))["total"]
    bundle["entry"][1]["resource"]["subject"]["reference"] = "Patient?_id=bestaat-niet"
    issue = refusal(records.ask("POST", "", bundle), 412)
    assert issue["expression"] == ["Bundle.entry[1].resource"]
    assert resource(records.get("Patient?_summary=count"))["total"] == before


def test_transaction_order_and_doubles(records):
    made = records.create(PATIENT)
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"request": {"method": "GET", "url": f"Patient/{made['id']}"}},
        {"resource": {**PATIENT, "id": "nieuw-1"}, "request": {"method": "PUT", "url": "Patient/nieuw-1"}},
        {"request": {"method": "DELETE", "url": f"Patient/{made['id']}"}}]}
    answer = resource(records.ask("POST", "", bundle))
    assert [e["response"]["status"][:3] for e in answer["entry"]] == ["410", "201", "204"]
    bundle["entry"][0] = {"resource": {**PATIENT, "id": "nieuw-1"},
                          "request": {"method": "PUT", "url": "Patient/nieuw-1"}}
    assert refusal(records.ask("POST", "", bundle), 400)["code"] == "duplicate"


def test_batch(records):
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [
        {"resource": PATIENT, "request": {"method": "POST", "url": "Patient"}},
        {"resource": {"resourceType": "Patient", "gender": "x"}, "request": {"method": "POST", "url": "Patient"}},
        {"request": {"method": "GET", "url": "Patient?family=bestaatniet"}}]}
    answer = resource(records.ask("POST", "", bundle))
    assert [e["response"]["status"][:3] for e in answer["entry"]] == ["201", "422", "200"]
    assert answer["entry"][1]["response"]["outcome"]["issue"][0]["expression"] == ["Patient.gender"]
    assert answer["entry"][2]["resource"]["type"] == "searchset"


def test_patch(records):
    made = records.create(PATIENT)
    path = f"Patient/{made['id']}"
    patch = [{"op": "replace", "path": "/birthDate", "value": "1971-02-01"}]
    changed = resource(records.ask("PATCH", path, patch, content_type="application/json-patch+json"))
    assert changed["birthDate"] == "1971-02-01" and changed["meta"]["versionId"] == "2"
    patch[0]["value"] = "gisteren"
    assert records.ask("PATCH", path, patch, content_type="application/json-patch+json").status == 422
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": "gender"}, {"name": "value", "valueCode": "female"}]}]}
    changed = resource(records.ask("PATCH", path, parameters, if_match='W/"2"'))
    assert changed["gender"] == "female" and changed["meta"]["versionId"] == "3"
    assert records.ask("PATCH", path, parameters, if_match='W/"2"').status == 412
    parameters["parameter"][0]["part"][0]["valueCode"] = "replace"
    parameters["parameter"][0]["part"][1]["valueString"] = "Patient.gender"
    parameters["parameter"][0]["part"][3]["valueCode"] = "other"
    del parameters["parameter"][0]["part"][2]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": parameters, "request": {"method": "PATCH", "url": path, "ifMatch": 'W/"3"'}},
        {"resource": PATIENT, "request": {"method": "POST", "url": "Patient"}}]}
    answer = resource(records.ask("POST", "", bundle))
    assert [e["response"]["status"][:3] for e in answer["entry"]] == ["200", "201"]
    assert resource(records.get(path))["gender"] == "other"
    assert refusal(records.ask("POST", "", bundle), 412)["expression"] == ["Bundle.entry[0]"]


def test_formats(records):
    made = records.create(PATIENT)
    path = f"Patient/{made['id']}"
    xml = records.get(path, accept="application/fhir+xml")
    assert xml.status == 200 and xml.headers["content-type"].startswith("application/fhir+xml")
    assert b'<family value="Jansen"/>' in xml.body
    again = records.ask("POST", "Patient", xml.body, content_type="application/fhir+xml", accept="application/fhir+xml")
    assert again.status == 201 and b'<birthDate value="1970-01-31"/>' in again.body
    assert b"\n  " in records.get(f"{path}?_pretty=true").body
    assert json.loads(records.get(f"{path}?_pretty=true").body) == made
    assert records.get(f"{path}?_format=xml").headers["content-type"].startswith("application/fhir+xml")
    assert records.get(path, accept="image/png").status == 406
    assert records.ask("POST", "Patient", "x", content_type="text/plain").status == 415
    assert "line 1" in refusal(records.ask("POST", "Patient", "<Patient", content_type="application/fhir+xml"),
                               400)["diagnostics"]


def test_summary_and_elements(records):
    made = records.create({**PATIENT, "contact": [{"name": {"text": "Piet"}}]})
    path = f"Patient/{made['id']}"
    summary = resource(records.get(f"{path}?_summary=true"))
    assert "contact" not in summary and summary["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert set(resource(records.get(f"{path}?_elements=birthDate"))) == {"resourceType", "id", "meta", "birthDate"}
    found = resource(records.get(f"Patient?_id={made['id']}&_elements=name"))
    assert set(found["entry"][0]["resource"]) == {"resourceType", "id", "meta", "name"}


def test_capabilities(records):
    statement = resource(records.get("metadata"))
    assert statement["resourceType"] == "CapabilityStatement" and statement["fhirVersion"] == "4.0.1"
    types = {r["type"]: r for r in statement["rest"][0]["resource"]}
    assert len(types) > 140 and "birthdate" in {p["name"] for p in types["Patient"]["searchParam"]}
    assert "_lastUpdated" in {p["name"] for p in types["Observation"]["searchParam"]}


def test_operations(records):
    answer = resource(records.ask("POST", "Patient/$validate", {"resourceType": "Patient", "gender": "x"}))
    assert answer["issue"][0]["expression"] == ["Patient.gender"]
    patient = records.create(PATIENT)
    reference = {"reference": f"Patient/{patient['id']}"}
    for day, code in ((1, "a"), (2, "a"), (3, "b")):
        records.create({"resourceType": "Observation", "status": "final", "subject": reference,
                        "code": {"coding": [{"system": "http://x.nl", "code": code}]},
                        "effectiveDateTime": f"2026-01-0{day}"})
    everything = resource(records.get(f"Patient/{patient['id']}/$everything"))
    assert sorted(e["resource"]["resourceType"] for e in everything["entry"]) == ["Observation"] * 3 + ["Patient"]
    newest = resource(records.get(f"Observation/$lastn?patient=Patient/{patient['id']}"))
    assert [e["resource"]["effectiveDateTime"] for e in newest["entry"]] == ["2026-01-03", "2026-01-02"]
    newest = resource(records.get(f"Observation/$lastn?patient=Patient/{patient['id']}&max=2"))
    assert len(newest["entry"]) == 3
    meta = resource(records.get(f"Patient/{patient['id']}/$meta"))
    assert meta["parameter"][0]["valueMeta"]["versionId"] == "1"
    assert refusal(records.get("Patient/$match"), 501)["code"] == "not-supported"


def test_validation(records):
    issue = refusal(records.ask("POST", "Patient", {**PATIENT, "gender": "vrouw"}), 422)
    assert issue["expression"] == ["Patient.gender"] and issue["code"] == "code-invalid"
    assert refusal(records.ask("POST", "Patient", {"resourceType": "Observation"}), 400)["expression"] == ["resourceType"]


def test_clusters_are_apart(records):
    made = records.create(PATIENT, cluster="noord")
    assert records.get(f"Patient/{made['id']}", cluster="zuid").status == 404
    assert resource(records.get(f"Patient?_id={made['id']}&_total=accurate", cluster="zuid"))["total"] == 0
    assert records.ask("GET", "Patient/x", cluster="west").status == 404


def test_audit(records):
    made = records.create({**PATIENT, "name": [{"family": "Gelogd"}]}, cluster="zuid")
    records.get(f"Patient/{made['id']}", cluster="zuid", aorta_id="initialRequestID=begin-1; requestID=vraag-2")
    records.get("Patient?family=gelogd", cluster="zuid")
    lines = records_kit.check_chain(records.audit_lines("zuid"))[-3:]
    assert [line["action"] for line in lines] == ["C", "R", "E"]
    assert all(line["patients"] == [made["id"]] for line in lines)
    assert lines[1]["request"] == "vraag-2" and lines[1]["initial_request"] == "begin-1"
    assert lines[1]["objects"] == [f"Patient/{made['id']}/_history/1"]
    assert all(line["from"] == "127.0.0.1" and line["outcome"] == "Y---" for line in lines)


def test_system_history(records):
    records.create(PATIENT)
    history = resource(records.get("_history?_count=5"))
    assert len(history["entry"]) == 5
    assert [link["relation"] for link in history["link"]] == ["self", "next"]
    next_page = history["link"][1]["url"].partition("/noord/fhir/")[2]
    again = resource(records.get(next_page))
    assert not {e["fullUrl"] + e["response"]["etag"] for e in history["entry"]} & \
        {e["fullUrl"] + e["response"]["etag"] for e in again["entry"]}
