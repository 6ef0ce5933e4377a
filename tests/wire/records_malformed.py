"""Whatever is malformed gets its 4xx, an OperationOutcome that says where, and harms nobody else."""
import json
import re

import pytest

import records_kit
from records_kit import refusal, resource

PATIENT = {"resourceType": "Patient", "name": [{"family": "Jansen"}]}


@pytest.fixture(scope="module")
def records():
    with records_kit.Records(workers=1, body_limit="64k") as running:
        running.known = running.create(PATIENT)["id"]
        yield running
        assert running.get(f"Patient/{running.known}").status == 200  # and it serves on


BODIES = [
    ("", 400, "empty"), ("{", 400, "line 1"), ("[]", 400, "object"), ("null", 400, "object"),
    ("{}", 400, "resourceType"), ('{"resourceType":7}', 400, "resourceType"),
    ('{"resourceType":"Patiënt"}', 400, "resource type"), ('{"resourceType":"Patient",}', 400, "line 1"),
    ('{"resourceType":"Patient"}x', 400, "column 27"), ('{"resourceType":"Patient","id":7}', 422, ""),
    ('{"resourceType":"Patient","name":{"family":"x"}}', 422, ""), ('{"resourceType":"Patient","nmae":[]}', 422, ""),
    ('{"resourceType":"Patient","birthDate":"1970-02-30"}', 422, ""),
    ('{"resourceType":"Patient","meta":7}', 422, ""), ('{"resourceType":"Patient","meta":{"versionId":[]}}', 422, ""),
    ('{"resourceType":"Patient","contained":[{}]}', 422, ""),
    ('{"resourceType":"Patient","name":[{"family":"\\ud800"}]}', 400, ""),
    ('{"resourceType":"Patient","gender":"male","gender":"female"}', 422, ""),
    ('{"resourceType":"Patient","name":' + "[" * 5000 + "]" * 5000 + "}", 400, ""),
]


@pytest.mark.parametrize("body, status, words", BODIES)
def test_bodies(records, body, status, words):
    issue = refusal(records.ask("POST", "Patient", body.encode()), status)
    assert words in issue["diagnostics"]


def test_not_utf8(records):
    refusal(records.ask("POST", "Patient", b'{"resourceType":"Patient","name":[{"family":"\xff"}]}'), 400)


@pytest.mark.parametrize("method, path, status", [
    ("GET", "Patiënt/1".encode().decode("latin-1"), 404), ("GET", "patient/1", 404), ("GET", "Patient/a_b", 400),
    ("GET", "Patient/" + "a" * 65, 400), ("GET", "Patient/1/_history/0", 404), ("GET", "Patient/1/_history/x", 404),
    ("GET", "Patient/1/2/3/4/5/6", 404), ("GET", "Resource/1", 404), ("GET", "HumanName/1", 404),
    ("GET", "Patient/1/Nonsense", 404), ("POST", "Patient/1", 405), ("PUT", "metadata", 405), ("DELETE", "", 405),
    ("GET", "Patient?birthdate=gisteren", 400), ("GET", "Patient?birthdate:exact=1970", 400),
    ("GET", "Patient?_count=-1", 400), ("GET", "Patient?_count=x", 400), ("GET", "Patient?_sort=kleur", 400),
    ("GET", "Patient?_include=Patient:kleur", 400), ("GET", "Patient?_summary=veel", 400),
    ("GET", "Patient?general-practitioner.kleur=x", 400), ("GET", "Observation?value-quantity=zwaar", 400),
    ("GET", "Patient?_page=onzin", 400), ("GET", "Patient/1/_history?_since=gisteren", 400),
    ("GET", "Patient/1/_history?_count=0", 400), ("GET", "Patient/1?_format=pdf", 406),
    ("GET", "Patient/1?_pretty=misschien", 400), ("GET", "$onbekend", 501), ("POST", "Patient/1/$everything2", 501),
    ("GET", "Observation/$lastn", 400), ("GET", "Observation/$lastn?patient=1&max=0", 400),
])
def test_paths_and_parameters(records, method, path, status):
    path = path.replace("ë", "%C3%AB").encode("ascii", "ignore").decode()
    answer = records.ask(method, path, "{}" if method in ("POST", "PUT") else None)
    refusal(answer, status)
    assert status != 405 or re.fullmatch(r"[A-Z, ]+", answer.headers["allow"])


@pytest.mark.parametrize("fields, status", [
    ({"if_match": "1"}, 400), ({"if_match": 'W/"x"'}, 400), ({"if_match": "*"}, 400), ({"if_match": 'W/"99"'}, 412),
    ({"accept": "text/plain"}, 406), ({"content_type": "application/pdf"}, 415), ({"content_encoding": "br"}, 415),
])
def test_fields(records, fields, status):
    body = {**PATIENT, "id": records.known}
    refusal(records.ask("PUT", f"Patient/{records.known}", body, **fields), status)


@pytest.mark.parametrize("condition", ["", "kleur=x", "name:kleur=x", "name"])
def test_conditions(records, condition):
    answer = records.ask("PUT", f"Patient?{condition}", PATIENT)
    assert answer.status in (400, 412) and json.loads(answer.body)["issue"]


BUNDLES = [
    ({"type": "collection"}, 400, "Bundle.type"), ({}, 400, "Bundle.type"), ({"type": "transaction", "entry": [{}]}, 422, ""),
    ({"type": "transaction", "entry": [{"request": {"method": "POST", "url": "Patient"}}]}, 400, "Bundle.entry[0]"),
    ({"type": "transaction", "entry": [{"resource": PATIENT, "request": {"method": "POST", "url": "Observation"}}]}, 400,
     "Bundle.entry[0]"),
    ({"type": "transaction", "entry": [{"resource": PATIENT, "request": {"method": "PUT", "url": "Patient/a"}}]}, 400,
     "Bundle.entry[0]"),
    ({"type": "transaction", "entry": [{"request": {"method": "GET", "url": "Nonsense/1"}}]}, 404, "Bundle.entry[0]"),
    ({"type": "transaction", "entry": [{"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
                                                     "subject": {"reference": "urn:uuid:6e6a6b43-7f2f-4c0b-9d3a-6c0c6b6c6b6c"}},
                                        "request": {"method": "POST", "url": "Observation"}}]}, 400, "Bundle.entry[0]"),
]


@pytest.mark.parametrize("bundle, status, where", BUNDLES)
def test_bundles(records, bundle, status, where):
    before = resource(records.get("Patient?_summary=count"))["total"]
    issue = refusal(records.ask("POST", "", {"resourceType": "Bundle", **bundle}), status)
    assert where in issue.get("expression", [""])[0]
    assert resource(records.get("Patient?_summary=count"))["total"] == before


def test_too_large(records):
    body = json.dumps({**PATIENT, "name": [{"text": "x" * 70_000}]}).encode()
    assert records.raw(b"POST /noord/fhir/Patient HTTP/1.1\r\nHost: a\r\nContent-Type: application/fhir+json\r\n"
                       b"Content-Length: %d\r\n\r\n" % len(body) + body).startswith(b"HTTP/1.1 413 ")
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[i:i + 5000] for i in range(0, len(body), 5000)))
    assert records.raw(b"POST /noord/fhir/Patient HTTP/1.1\r\nHost: a\r\nContent-Type: application/fhir+json\r\n"
                       b"Transfer-Encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("data, status", [
    (b"GET\r\n\r\n", 400), (b"GET /noord/fhir/metadata HTTP/1.1\r\n\r\n", 400),
    (b"GET /noord/fhir/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    (b"GET /noord/fhir/../../../etc HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /noord/fhir/Patient HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"POST /noord/fhir/Patient HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"GET /noord/fhir/Patient%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
])
def test_http(records, data, status):
    answer = records.raw(data)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["resourceType"] == "OperationOutcome"


def test_chunked_and_pipelined(records):
    body = json.dumps(PATIENT).encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[i:i + 7] for i in range(0, len(body), 7))) + b"0\r\n\r\n"
    post = b"POST /noord/fhir/Patient HTTP/1.1\r\nHost: a\r\nContent-Type: application/fhir+json\r\n"
    read = b"GET /noord/fhir/Patient/%s HTTP/1.1\r\nHost: a\r\n" % records.known.encode()
    answer = records.raw(post + b"Transfer-Encoding: chunked\r\n\r\n" + chunked + read + b"\r\n" +
                         post + b"Content-Length: %d\r\n\r\n" % len(body) + body + read + b"Connection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"201", b"200", b"201", b"200"]
    assert answer.count(b"Connection: close") == 1


def test_head_and_expect(records):
    answer = records.raw(b"HEAD /noord/fhir/Patient/%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" %
                         records.known.encode())
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n") and b"ETag" in answer
