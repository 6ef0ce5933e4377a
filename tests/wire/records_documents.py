"""Documents made of a Composition, labels put on and taken off, content as it is, bodies that come compressed."""
import base64
import gzip
import json
import zlib

import pytest

import records_kit
import records_people
from records_kit import refusal, resource
from records_people import GP, PHARMACIST, ref

PDF = b"%PDF-1.7\r\n\x00\xff binary \x80"
LABEL = {"system": "urn:test", "code": "a"}


@pytest.fixture(scope="module")
def records():
    with records_kit.Records(workers=1) as running:
        yield running


def meta(*tags, **more):
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": list(tags), **more}}]}


# -- Composition/$document


def composition(records, **more):
    made = {kind: records.create({"resourceType": kind, "active": True})["id"] for kind in ("Patient", "Practitioner")}
    seen = records.create({"resourceType": "Observation", "status": "final", "code": {"text": "a"},
                           "subject": ref("Patient", made["Patient"])})
    entry = [ref("Observation", seen["id"]), ref("Observation", seen["id"]), ref("Observation", "nergens"),
             {"reference": "#binnen"}, {"reference": "https://elders.example/fhir/Patient/1"}]
    return records.create({
        "resourceType": "Composition", "status": "final", "type": {"text": "brief"}, "date": "2026-01-31", "title": "Brief",
        "subject": ref("Patient", made["Patient"]), "author": [ref("Practitioner", made["Practitioner"])],
        "contained": [{"resourceType": "Organization", "id": "binnen", "name": "x"}],
        "custodian": {"reference": "#binnen"}, "section": [{"title": "s", "entry": entry}], **more}), made, seen


def test_document_holds_all_that_is_referred_to(records):
    letter, made, seen = composition(records)
    answer = records.get(f"Composition/{letter['id']}/$document")
    document = resource(answer)
    assert document["type"] == "document" and document["timestamp"] and "etag" not in answer.headers
    assert document["identifier"] == {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:" + document["id"]}
    kinds = [entry["resource"]["resourceType"] for entry in document["entry"]]
    assert kinds[0] == "Composition" and sorted(kinds[1:]) == ["Observation", "Patient", "Practitioner"]
    assert document["entry"][0]["resource"] == letter
    for entry in document["entry"]:
        assert entry["fullUrl"].endswith(f"/noord/fhir/{entry['resource']['resourceType']}/{entry['resource']['id']}")
    judged = resource(records.ask("POST", "Bundle/$validate", document))["issue"]
    assert all(issue["severity"] in ("information", "warning") for issue in judged), judged
    assert resource(records.get(f"Composition/{letter['id']}/$document"))["id"] != document["id"]
    xml = records.get(f"Composition/{letter['id']}/$document", accept="application/fhir+xml")
    assert xml.status == 200 and b'<type value="document"/>' in xml.body
    lines = [line for line in records_kit.check_chain(records.audit_lines()) if line.get("operation") == "document"]
    assert len(lines[0]["objects"]) == 4 and lines[0]["patients"] == [made["Patient"]]


def test_document_of_a_version(records):
    letter, made, seen = composition(records)
    records.ask("PUT", f"Observation/{seen['id']}", {**seen, "status": "amended"})
    letter["section"][0]["entry"] = [{"reference": f"Observation/{seen['id']}/_history/1"}]
    resource(records.ask("PUT", f"Composition/{letter['id']}", letter))
    document = resource(records.get(f"Composition/{letter['id']}/$document"))
    assert document["entry"][-1]["resource"]["status"] == "final"


def test_document_refusals(records):
    letter, *_ = composition(records)
    refusal(records.get("Composition/nergens/$document"), 404)
    refusal(records.get(f"Composition/{letter['id']}/$document?persist=true"), 501)
    refusal(records.get("Patient/x/$document"), 501)
    records.ask("DELETE", f"Composition/{letter['id']}")
    refusal(records.get(f"Composition/{letter['id']}/$document"), 410)
    entry = [ref("Observation", f"o{n}") for n in range(10_100)]
    many = records.create({**{k: v for k, v in letter.items() if k not in ("id", "meta")}, "section": [{"entry": entry}]})
    assert refusal(records.get(f"Composition/{many['id']}/$document"), 403)["code"] == "too-costly"


def test_document_shows_nothing_hidden():
    with records_people.World() as world:
        patient = world.own[0]
        letter = {"resourceType": "Composition", "id": "brief", "status": "final", "type": {"text": "b"}, "date": "2026-01-01",
                  "title": "Brief", "subject": ref("Patient", patient), "author": [{"reference": GP}],
                  "section": [{"entry": [ref("Observation", "geheim-meting"), ref("Condition", "geheim-probleem"),
                                         ref("Patient", world.own[1]), ref("Observation", "is-er-niet")]}]}
        world.load("noord", [letter])
        seen = {e["resource"]["id"] for e in resource(world.asker(f"Patient/{patient}").get("Composition/brief/$document"))["entry"]}
        assert "brief" in seen and patient in seen and world.own[1] not in seen
        locum = resource(world.asker(records_people.LOCUM).get("Composition/brief/$document"))
        assert "GEHEIM" not in json.dumps(locum)
        assert world.asker(PHARMACIST).get("Composition/brief/$document").status in (403, 404)
        gp = world.asker(GP)
        found = gp.found(f"Patient?_id={patient}")
        assert gp.ask("POST", f"Patient/{patient}/$meta-add", meta(LABEL)).status == 200 and found
        assert world.asker(PHARMACIST).ask("POST", f"Patient/{patient}/$meta-add", meta(LABEL)).status == 403
        assert world.asker(PHARMACIST).ask("POST", "Condition/geheim-probleem/$meta-delete", meta(LABEL)).status in (403, 404)


# -- labels


def test_labels_are_added_and_taken_off(records):
    made = records.create({"resourceType": "Patient", "meta": {"tag": [{**LABEL, "display": "A"}], "source": "urn:x"}, "active": True})
    path = f"Patient/{made['id']}"
    answer = records.ask("POST", f"{path}/$meta-add", meta(LABEL, {"code": "b"}, security=[{"system": "s", "code": "R"}],
                                                           profile=["http://example.org/p"]))
    returned = resource(answer)["parameter"][0]
    assert returned["name"] == "return" and returned["valueMeta"] == resource(records.get(path))["meta"]
    now = returned["valueMeta"]
    assert now["tag"] == [{**LABEL, "display": "A"}, {"code": "b"}] and now["versionId"] == "2" and now["source"] == "urn:x"
    assert now["profile"] == ["http://example.org/p"] and now["security"] == [{"system": "s", "code": "R"}]
    assert answer.headers["etag"] == 'W/"2"'
    assert resource(records.get(f"Patient?_tag=urn:test|a&_id={made['id']}"))["total"] == 1
    left = resource(records.ask("POST", f"{path}/$meta-delete", meta(LABEL, profile=["http://example.org/p"])))["parameter"][0]["valueMeta"]
    assert left["tag"] == [{"code": "b"}] and "profile" not in left and left["security"]
    assert resource(records.get(f"Patient?_tag=urn:test|a&_id={made['id']}&_total=accurate"))["total"] == 0
    plain = records.ask("PUT", "Patient/kaal", {"resourceType": "Patient", "id": "kaal"})
    assert plain.status == 201
    assert resource(records.ask("POST", "Patient/kaal/$meta-add", meta(LABEL)))["parameter"][0]["valueMeta"]["tag"] == [LABEL]


def test_label_refusals(records):
    made = records.create({"resourceType": "Patient", "active": True})
    path = f"Patient/{made['id']}/$meta-add"
    assert records.get(path).status == 405
    refusal(records.ask("POST", "Patient/nergens/$meta-add", meta(LABEL)), 404)
    refusal(records.ask("POST", path, {"resourceType": "Patient"}), 400)
    refusal(records.ask("POST", path, {"resourceType": "Parameters"}), 400)
    refusal(records.ask("POST", path, "{"), 400)
    refusal(records.ask("POST", path, meta({"system": 7})), 422)
    refusal(records.ask("POST", path, meta(*[{"code": f"c{n}"} for n in range(1_100)])), 413)
    assert refusal(records.ask("POST", path, meta(LABEL), if_match='W/"9"'), 412)["code"] == "conflict"
    assert resource(records.get(f"Patient/{made['id']}"))["meta"]["versionId"] == "1"
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": meta(LABEL), "request": {"method": "POST", "url": path}}]}
    refusal(records.ask("POST", "", bundle), 501)
    bundle["type"] = "batch"
    assert resource(records.ask("POST", "", bundle))["entry"][0]["response"]["status"] == "200 OK"


def test_metadata_tells_them(records):
    stated = resource(records.get("metadata"))["rest"][0]["resource"]
    named = {r["type"]: {o["name"] for o in r.get("operation", [])} for r in stated}
    assert {"document", "meta-add", "meta-delete"} <= named["Composition"] and "document" not in named["Patient"]


# -- Binary


def test_binary_is_served_as_what_it_is(records):
    answer = records.ask("POST", "Binary", PDF, content_type="application/pdf", x_security_context="DocumentReference/1")
    made = resource(answer, 201)
    assert made["contentType"] == "application/pdf" and base64.b64decode(made["data"]) == PDF
    assert made["securityContext"] == {"reference": "DocumentReference/1"}
    path = f"Binary/{made['id']}"
    for accept in ("application/pdf", "*/*", "image/png"):
        raw = records.get(path, accept=accept)
        assert (raw.status, raw.body, raw.headers["content-type"]) == (200, PDF, "application/pdf")
        assert raw.headers["x-content-type-options"] == "nosniff" and "sandbox" in raw.headers["content-security-policy"]
        assert raw.headers["content-disposition"] == "attachment" and raw.headers["etag"] == 'W/"1"'
    assert records.get(path).body == PDF
    assert records.get(f"{path}/_history/1", accept="application/pdf").body == PDF
    assert resource(records.get(path, accept="application/fhir+json")) == made
    assert resource(records.get(f"{path}?_format=json")) == made
    assert b"<Binary" in records.get(path, accept="application/fhir+xml").body
    head = records.ask("HEAD", path, accept="application/pdf")
    assert head.status == 200 and head.headers["content-length"] == str(len(PDF)) and not head.body
    refusal(records.get("Binary/nergens", accept="application/pdf"), 404)
    refusal(records.get("Patient/nergens", accept="application/pdf"), 406)
    again = resource(records.ask("PUT", path, b"nieuw", content_type="text/plain; charset=utf-8"))
    assert again["meta"]["versionId"] == "2" and records.get(path).body == b"nieuw"
    assert records.get(path).headers["content-type"] == "text/plain; charset=utf-8"
    assert records.ask("DELETE", path).status == 204
    refusal(records.get(path, accept="text/plain"), 410)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1_000, 100_001])
def test_binary_of_any_size(records, size):
    content = bytes(n * 7 % 256 for n in range(size))
    if size == 0:
        refusal(records.ask("POST", "Binary", content, content_type="application/pdf"), 422)
        return
    made = resource(records.ask("POST", "Binary", content, content_type="image/png", prefer="return=representation"), 201)
    assert records.get(f"Binary/{made['id']}").body == content


def test_binary_as_a_resource_and_other_json(records):
    made = records.create({"resourceType": "Binary", "contentType": "text/html", "data": base64.b64encode(b"<b>").decode()})
    assert records.get(f"Binary/{made['id']}", accept="text/html").body == b"<b>"
    other = resource(records.ask("POST", "Binary", b'{"a": 1}', content_type="application/json"), 201)
    assert records.get(f"Binary/{other['id']}").body == b'{"a": 1}'
    page = resource(records.ask("POST", "Binary", b"<?xml version='1.0'?><!-- x --><a/>", content_type="text/xml"), 201)
    assert records.get(f"Binary/{page['id']}").headers["content-type"] == "text/xml"
    xml = b"<Binary xmlns='http://hl7.org/fhir'><contentType value='text/plain'/><data value='YQ=='/></Binary>"
    assert records.get(f"Binary/{resource(records.ask('POST', 'Binary', xml, content_type='application/fhir+xml'), 201)['id']}").body == b"a"


def test_binary_refusals(records):
    refusal(records.ask("POST", "Binary", b"x", content_type="nonsens"), 400)
    refusal(records.ask("POST", "Binary", b"x", content_type="a/b", x_security_context="nonsens"), 400)
    refusal(records.ask("POST", "Binary", b'{"resourceType":"Binary"', content_type="application/fhir+json"), 400)
    refusal(records.ask("POST", "Patient", b"x", content_type="application/pdf"), 415)
    refusal(records.ask("PUT", "Binary/a", {"resourceType": "Binary", "id": "b", "contentType": "a/b"}), 400)
    # No line of a header can be made of what a resource says.
    evil = records.create({"resourceType": "Binary", "contentType": "a/b\nx-evil: 1".replace(" ", ""), "data": "YQ=="})
    answer = records.get(f"Binary/{evil['id']}")
    assert answer.headers["content-type"] == "application/octet-stream" and "x-evil" not in answer.headers


# -- compressed


def test_compressed_bodies(records):
    body = json.dumps({"resourceType": "Patient", "name": [{"family": "Jansen"}]}).encode()
    for coding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body)), ("identity", body),
                           ("x-gzip", gzip.compress(body))):
        made = resource(records.ask("POST", "Patient", packed, content_encoding=coding), 201)
        assert made["name"] == [{"family": "Jansen"}], coding
    form = gzip.compress(b"family=Jansen")
    found = records.ask("POST", "Patient/_search", form, content_type="application/x-www-form-urlencoded", content_encoding="gzip")
    assert resource(found)["total"] >= 3
    image = resource(records.ask("POST", "Binary", gzip.compress(PDF), content_type="application/pdf", content_encoding="gzip"), 201)
    assert records.get(f"Binary/{image['id']}").body == PDF


def test_compressed_refusals(records):
    body = gzip.compress(b'{"resourceType":"Patient"}')
    refusal(records.ask("POST", "Patient", body[:-4], content_encoding="gzip"), 400)
    refusal(records.ask("POST", "Patient", body + b"x", content_encoding="gzip"), 400)
    refusal(records.ask("POST", "Patient", b"{}", content_encoding="gzip"), 400)
    refusal(records.ask("POST", "Patient", body, content_encoding="br"), 415)
    refusal(records.ask("POST", "Patient", body, content_encoding="gzip, gzip, gzip"), 415)
    bomb = gzip.compress(b" " * (80 << 20))
    refusal(records.ask("POST", "Patient", bomb, content_encoding="gzip"), 413)
    last = records_kit.check_chain(records.audit_lines())[-1]
    assert last["interaction"] == "create" and last["type"] == "Patient" and last["status"] == 413
