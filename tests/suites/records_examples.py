#!/usr/bin/python3
"""Resources of others through the whole record service, over HTTP: Synthea's transactions, HL7's and Nictiz's examples.

    records_examples.py [--suites FOLDER] [--build FOLDER] [--list]

Every bundle of Synthea is stored, and each of its references leads somewhere. Every example of HL7 that is valid (KNOWN
says which are not) is accepted by PUT with its own id and comes back as it was but for meta; each of nl-core by POST and
by PUT. Prints lines of numbers, and one for each failure. Exit: 1 if there was any.
"""
import argparse
import json
import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests/wire"), str(ROOT / "tests/suites")]
from fhir_core import KNOWN, RULES_OF_PARAMETERS, RULES_OF_QUESTIONNAIRES  # noqa: E402

NO_ID = "questionnaireresponse-extensions-QuestionnaireResponse-item-subject.json"  # its id is longer than an id may be


def resources(folder):
    for path in sorted(Path(folder).rglob("*.json")):
        content = json.loads(path.read_bytes())
        if "resourceType" in content:
            yield path, content


def is_known(path, content, answer):
    if path.name in KNOWN or path.name == NO_ID:
        return True
    rules = {issue.get("details", {}).get("text", "") for issue in json.loads(answer.body)["issue"]
             if issue["severity"] == "error"}
    return (content["resourceType"] == "Questionnaire" and rules <= RULES_OF_QUESTIONNAIRES) or \
        (content["resourceType"] == "SearchParameter" and rules <= RULES_OF_PARAMETERS)


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def everything(client, types):
    """All resources of those types, page by page."""
    for name in types:
        path = f"{name}?_count=1000"
        while path:
            page = json.loads(client.ask("GET", path).body)
            yield from (entry["resource"] for entry in page.get("entry", []))
            links = {link["relation"]: link["url"] for link in page["link"]}
            path = links["next"].partition(client.base + "/")[2] if "next" in links else None


def load_synthea(client, folder, failures):
    """Each reference of what is stored is an address, and something is there."""
    places, count = [], 0
    for path in sorted(folder.glob("*.json")):
        answer = client.ask("POST", "", path.read_bytes())
        if answer.status != 200:
            failures.append(f"{path.name}: {answer.status} {answer.body[:300]}")
            continue
        places += [entry["response"]["location"].partition("/_history")[0] for entry in json.loads(answer.body)["entry"]]
    there, seen = set(places), 0
    for resource in everything(client, sorted({place.partition("/")[0] for place in places})):
        seen += 1
        for reference in references(resource):
            count += 1
            if reference not in there and not reference.startswith("#"):
                failures.append(f"{resource['resourceType']}/{resource['id']} refers to {reference}, which is not there")
    if seen != len(places):
        failures.append(f"of {len(places)} resources {seen} are found")
    print(f"synthea: {len(places)} resources, {count} references")


def without_meta(resource):
    return {name: value for name, value in resource.items() if name != "meta"}


def store_examples(client, folder, failures):
    stored = known = 0
    for path, content in resources(folder):
        if "id" not in content:
            continue
        place = f"{content['resourceType']}/{content['id']}"
        answer = client.ask("PUT", place, path.read_bytes(), prefer="return=minimal")
        if answer.status not in (200, 201):
            known += is_known(path, content, answer)
            if not is_known(path, content, answer):
                failures.append(f"{path.name}: {answer.status} {answer.body[:300]}")
            continue
        stored += 1
        back = json.loads(client.ask("GET", place).body)
        if without_meta(back) != without_meta(content):
            failures.append(f"{path.name} came back changed")
    print(f"hl7-r4-examples: {stored} stored and read back, {known} known not to be valid")


def store_dutch(client, folder, failures):
    stored = 0
    for path, content in resources(folder):
        for method, place in (("POST", content["resourceType"]), ("PUT", f"{content['resourceType']}/{content['id']}")):
            answer = client.ask(method, place, path.read_bytes(), prefer="return=minimal")
            stored += answer.status in (200, 201)
            if answer.status not in (200, 201):
                failures.append(f"{path.name} by {method}: {answer.status} {answer.body[:300]}")
    print(f"nl-core: {stored} stored")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--suites", default=str(ROOT.parent / "shared/suites"))
    parser.add_argument("--build", default=str(ROOT / "build/release"))
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("POLDER_BUILD", options.build)
    import records_kit
    folder, failures = Path(options.suites) / "fhir", []
    with records_kit.Records(workers=1, body_limit="64m") as records, records.client() as client:
        client.http.timeout = 120
        load_synthea(client, folder / "synthea", failures)
        store_examples(client, folder / "hl7-r4-examples", failures)
        store_dutch(client, folder / "nl-core", failures)
    print(f"records: {len(failures)} failures")
    print("\n".join(failures if options.list else failures[:20]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
