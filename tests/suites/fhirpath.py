#!/usr/bin/python3
"""The FHIRPath test cases of FHIR/fhir-test-cases, run through fhir-eval.

    fhirpath.py [--suites FOLDER] [--eval FHIR_EVAL] [--list]

A case names an input in XML; its JSON twin is one of HL7's examples. Cases about functions that Polder does not support
are left out, with the function's name. Prints a line: passed, failed, left out; --list: one for each that did not pass.
Exit: 1 if any failed that is not known below.
"""
import argparse
import collections
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Not passed, and why: docs/decisions/0022-fhir-core.md has what is left out of the language.
KNOWN = {
    "testSimpleFail": "types are looked at when an expression is run, not when it is compiled",
    "testSimpleWithWrongContext": "the same",
    "testDollarOrderNotAllowed": "the same",
    "testStringQuantityMonthLiteralToQuantity": "a month is UCUM's month",
    "testStringQuantityYearLiteralToQuantity": "a year is UCUM's year",
    "testQuantity9": "units are not multiplied",
    "testQuantity10": "units are not divided",
    "testQuantity11": "units are not divided",
    "testMinus5": "no arithmetic on dates",
    "testCombine1": "the JSON twin of the input differs",
    **{f"testPlusDate{n}": "no arithmetic on dates" for n in range(1, 23)},
}


def inputs(folder, name):
    """The JSON of an input."""
    stem = name.rsplit(".", 1)[0]
    for place in (folder / "fhirpath" / "input", folder / "hl7-r4-examples"):
        if (place / f"{stem}.json").exists():
            return place / f"{stem}.json"
    return None


def run(program, file, expressions):
    text = "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in expressions)
    done = subprocess.run([program, "path", str(file)], input=text, capture_output=True, text=True, timeout=120)
    return done.stdout.split("\n")[:len(expressions)]


def plain(kind, value):
    """A result as it is compared: numbers by value, dates without '@'."""
    value = (value or "").strip()
    if kind in ("date", "dateTime", "time", "instant"):
        return value.lstrip("@").lstrip("T")
    if kind in ("integer", "decimal"):
        return str(float(value))
    return value


def judge(test, line):
    expression = test.find("expression")
    invalid, outputs = expression.get("invalid"), test.findall("output")
    word, *rest = line.split("\t")
    if word == "syntax":
        if "not supported" in line:
            return "left out"
        return "passed" if invalid else "failed"
    if invalid:
        return "passed" if word != "fine" else "failed"
    if word != "fine":
        return "failed"
    items = [item.partition("=")[::2] for item in rest]
    if test.get("predicate") == "true":
        truth = bool(items) and items != [("boolean", "false")]
        items = [("boolean", str(truth).lower())]
    if len(items) != len(outputs):
        return "failed"
    for (kind, value), output in zip(items, outputs):
        wanted = output.get("type")
        try:
            if plain(wanted or kind, value) != plain(wanted or kind, output.text):
                return "failed"
        except ValueError:
            return "failed"
    return "passed"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--suites", default="../shared/suites", type=Path)
    parser.add_argument("--eval", default=HERE.parents[1] / "build/release/tests/suites/fhir-eval")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    folder = options.suites / "fhir"
    counts, groups = collections.Counter(), collections.defaultdict(list)
    for group in ET.parse(folder / "fhirpath" / "tests-fhir-r4.xml").getroot().iter("group"):
        for test in group.iter("test"):
            groups[test.get("inputfile") or "patient-example.xml"].append((group.get("name"), test))
    for name, tests in groups.items():
        file = inputs(folder, name)
        if not file:
            counts["left out"] += len(tests)
            print(f"left out: {len(tests)} cases, there is no JSON of {name}")
            continue
        lines = run(options.eval, file, [re.sub(r"[\r\n]+", "\n", t.find("expression").text or "") for _, t in tests])
        for (group, test), line in zip(tests, lines):
            result = judge(test, line)
            if result == "failed" and test.get("name") in KNOWN:
                result = "known"
            counts[result] += 1
            if options.list and result != "passed":
                wanted = [(o.get("type"), o.text) for o in test.findall("output")]
                print(f"{result}: {group}/{test.get('name')}: {test.find('expression').text!r} wants "
                      f"{test.find('expression').get('invalid') or wanted}, got {line!r}")
    print("fhirpath: " + ", ".join(f"{counts[k]} {k}" for k in ("passed", "failed", "known", "left out")))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
