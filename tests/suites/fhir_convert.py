#!/usr/bin/python3
"""FHIR between XML and JSON, and patches (fhir-convert), over resources and cases of others.

    fhir_convert.py [--suites FOLDER] [--convert FHIR_CONVERT] [--list]

Every example of HL7, Synthea and nl-core in JSON is written as XML and read again: nothing may be lost, down to the
digits of a number and the bytes of a narrative. Every profile of nl-core in XML is read, written and compared as canonical
XML. An input that is there in both forms has to be the same in both. Then the cases of JSON Patch and FHIRPath Patch of
FHIR/fhir-test-cases. Prints lines of numbers, and one for each failure. Exit: 1 if there was any that is not known below.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent
BATCH = 300

# Not the same afterwards, and why.
KNOWN = {
    "package-min-ver.json": "no resource",
    "observation-example.xml": "an extension stands behind the status",
    "codesystem-example.xml": "its JSON twin is another example",
    "patient-example.xml": "its JSON twin has a meta of its own",
}
XHTML = "{http://www.w3.org/1999/xhtml}"


def run(program, how, files):
    """Of each file what came out: ("fine", text) or ("failed", what)."""
    results = []
    for at in range(0, len(files), BATCH):
        done = subprocess.run([program, how, *map(str, files[at:at + BATCH])], capture_output=True, text=True, timeout=600)
        if done.returncode:
            sys.exit(f"fhir-convert ended with {done.returncode}: {done.stderr}")
        for line in done.stdout.split("\n")[:-1]:
            word, rest = line.split("\t", 1)
            results.append((word, json.loads(rest) if word == "fine" else rest.replace("\t", ": ")))
    if len(results) != len(files):
        sys.exit(f"fhir-convert {how}: {len(results)} results for {len(files)} files")
    return results


def load(text):
    """Numbers as their text; DSTU2's comments, which nobody keeps, left out."""
    def without_comments(pairs):
        return {name: value for name, value in pairs if name != "fhir_comments" and not (name[0] == "_" and value == {})}
    return json.loads(text, parse_float=lambda t: ("number", t), parse_int=lambda t: ("number", t),
                      object_pairs_hook=without_comments)


def first_difference(a, b, path=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(a.keys() | b.keys()):
            if name not in a or name not in b:
                return f"{path}.{name} is only {'behind' if name in b else 'before'}"
            found = first_difference(a[name], b[name], f"{path}.{name}")
            if found:
                return found
        return None
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{path}: {len(a)} and {len(b)} elements"
        for index, (x, y) in enumerate(zip(a, b)):
            found = first_difference(x, y, f"{path}[{index}]")
            if found:
                return found
        return None
    return None if a == b else f"{path}: {a!r:.120} became {b!r:.120}"


def report(name, files, problems):
    known = [(file, why) for file, why in problems if file in KNOWN]
    bad = [(file, why) for file, why in problems if file not in KNOWN]
    for file, why in bad:
        print(f"failed: {name}/{file}: {why}")
    print(f"{name}: {files - len(problems)} the same, {len(known)} known not to be, {len(bad)} failed")
    return len(bad)


def round_trips(options, suite):
    files = sorted((options.suites / "fhir" / suite).rglob("*.json"))
    problems = []
    for file, (word, text) in zip(files, run(options.convert, "round", files)):
        before = file.read_text(encoding="utf-8-sig")
        why = text if word != "fine" else first_difference(load(before), load(text))
        if why:
            problems.append((file.name, why))
    return report(suite, len(files), problems)


def canonical(text):
    """XML without comments, and without white space between FHIR's elements."""
    def strip(element):
        if element.tag.startswith(XHTML):
            return
        if not (element.text or "").strip():
            element.text = None
        for child in element:
            if not (child.tail or "").strip():
                child.tail = None
            strip(child)
    root = ET.fromstring(text)
    root.attrib.pop("{http://www.w3.org/2001/XMLSchema-instance}schemaLocation", None)
    strip(root)
    root.tail = None
    return ET.canonicalize(ET.tostring(root, encoding="unicode"))


def xml_round_trips(options):
    files = sorted((options.suites / "fhir" / "nl-core-profiles").glob("*.xml")) + \
        sorted((options.suites / "fhir" / "fhirpath" / "input").glob("*.xml"))
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        places, fine = [], []
        for number, (file, (word, text)) in enumerate(zip(files, run(options.convert, "json", files))):
            if word != "fine":
                problems.append((file.name, text))
                continue
            places.append(Path(folder) / f"{number}.json")
            places[-1].write_text(text)
            fine.append(file)
        for file, (word, text) in zip(fine, run(options.convert, "xml", places)):
            if word != "fine":
                problems.append((file.name, text))
            elif canonical(file.read_text(encoding="utf-8-sig")) != canonical(text):
                problems.append((file.name, "is other XML"))
    return report("XML, read and written", len(files), problems)


def same_text(value):
    """Narratives differ in white space and in how characters are escaped between the two forms of one example."""
    if isinstance(value, dict):
        return {name: ET.canonicalize(child, strip_text=True) if name == "div" else same_text(child) for name, child in value.items()}
    return [same_text(child) for child in value] if isinstance(value, list) else value


def twins(options):
    problems, pairs = [], []
    for file in sorted((options.suites / "fhir" / "fhirpath" / "input").glob("*.xml")):
        twin = options.suites / "fhir" / "hl7-r4-examples" / f"{file.stem}.json"
        if twin.exists():
            pairs.append((file, twin))
    for (file, twin), (word, text) in zip(pairs, run(options.convert, "json", [file for file, _ in pairs])):
        why = text if word != "fine" else first_difference(same_text(load(twin.read_text())), same_text(load(text)))
        if why:
            problems.append((file.name, why))
    return report("XML and its JSON twin", len(pairs), problems)


# ---- patches

def run_cases(program, cases):
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([program, "patch"], input=lines, capture_output=True, text=True, timeout=60)
    return [line.split("\t", 1) for line in done.stdout.split("\n")[:-1]]


def json_of(options, texts):
    """Resources in XML as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / f"{number}.xml" for number in range(len(texts))]
        for place, text in zip(places, texts):
            place.write_text(text.strip())
        results = run(options.convert, "json", places)
    for text, (word, result) in zip(texts, results):
        if word != "fine":
            sys.exit(f"{result}: {text}")
    return [json.loads(result) for _, result in results]


def path_cases(options):
    """(name, case, expected): expected None is an error."""
    text = (options.suites / "fhir" / "patch" / "fhir-patch-tests.xml").read_text()
    for name, case in re.findall(r'<case name="([^"]*)"[^>]*>(.*?)</case>', text, re.S):
        parts = re.findall(r"<(input|diff|output)>(.*?)</\1>", case, re.S)
        value = dict(zip([tag for tag, _ in parts], json_of(options, [part for _, part in parts])))
        yield name, {"kind": "path", "document": value["input"], "patch": value["diff"]}, value.get("output")


def json_cases(options):
    for case in json.loads((options.suites / "fhir" / "patch" / "json-patch-tests.json").read_text()):
        yield case["comment"], {"kind": "json", "document": case["doc"], "patch": case["patch"]}, case.get("expected")


def patches(options, name, cases):
    cases, problems = list(cases), []
    for (title, _, expected), (word, text) in zip(cases, run_cases(options.convert, [case for _, case, _ in cases])):
        if options.list:
            print(f"{title}: {word} {text}")
        why = None
        if (word == "fine") != (expected is not None):
            why = f"{word} {text}"
        elif expected is not None:
            why = first_difference(same_text(expected), same_text(json.loads(json.loads(text))))
        if why:
            problems.append((title, why))
    return report(name, len(cases), problems)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--suites", default="../shared/suites", type=Path)
    parser.add_argument("--convert", default=HERE.parents[1] / "build/release/tests/suites/fhir-convert")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    failed = sum(round_trips(options, suite) for suite in ("hl7-r4-examples", "synthea", "nl-core"))
    failed += xml_round_trips(options) + twins(options)
    failed += patches(options, "JSON Patch", json_cases(options)) + patches(options, "FHIRPath Patch", path_cases(options))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
