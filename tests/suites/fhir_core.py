#!/usr/bin/python3
"""Resources of others through the FHIR core (fhir-eval): those that are valid pass, and what was broken in them is refused.

    fhir_core.py [--suites FOLDER] [--eval FHIR_EVAL] [--rounds N] [--seed N] [--list]

Every example of HL7, of Synthea and of nl-core is validated; KNOWN says which of them break a rule of R4, and which rule.
Then each one that passed is broken in N ways that no resource survives: an unknown element, a list for a single value
and the reverse, text for a number, null, an empty object, a day that does not exist, a code nobody defined. Last, the
index rows of all are compared with those that FHIRPath gives without the tree of elements. Prints lines of numbers, and one
for each failure. Exit: 1 if there was any.
"""
import argparse
import collections
import copy
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BATCH = 400

# Examples of HL7 that are not valid R4, by name, and the rule they break. Questionnaires that were made by a program
# (name-questionnaire.json) have items without a linkId, or the same one twice.
KNOWN = {
    "definition.json": "sdf-4", "fivews.json": "sdf-4",
    "deviceusestatement-example.json": "reference",
    "questionnaireresponse-extensions-QuestionnaireResponse-item-subject.json": "syntax",
    "package-min-ver.json": "no resource",
}
RULES_OF_QUESTIONNAIRES = {"cardinality", "que-2", "issues"}
# DSTU1's parameters without a base.
RULES_OF_PARAMETERS = {"cardinality"}

DATES = {"birthDate", "effectiveDateTime", "issued", "authoredOn", "recordedDate", "onsetDateTime", "performedDateTime", "occurrenceDateTime"}
CODES = {"status", "gender", "intent", "use"}


def validate(program, files):
    """File: its errors, as (rule, location, text)."""
    errors = {str(file): [] for file in files}
    names = list(errors)
    for at in range(0, len(names), BATCH):
        done = subprocess.run([program, "validate", *names[at:at + BATCH]], capture_output=True, text=True, timeout=600)
        if done.returncode:
            sys.exit(f"fhir-eval ended with {done.returncode}: {done.stderr}")
        for line in done.stdout.splitlines():
            word = line.split("\t")
            if len(word) == 6 and word[1] == "error":
                errors[word[0]].append((word[3], word[4], word[5]))
            elif len(word) == 3:
                errors[word[0]].append(("no resource", "", ""))
    return errors


def is_known(name, errors, resource_type):
    rules = {rule for rule, _, _ in errors}
    if resource_type == "Questionnaire" and rules <= RULES_OF_QUESTIONNAIRES:
        return True
    if resource_type == "SearchParameter" and rules <= RULES_OF_PARAMETERS:
        return True
    return rules == {KNOWN.get(name)}


# ---- breaking

def objects(value, inside=None):
    """All objects that are elements; not what is inside a narrative's text, which is a string."""
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from objects(child)
    elif isinstance(value, list):
        for child in value:
            yield from objects(child)


def pick(random_, resource, wanted):
    places = [(o, k) for o in objects(resource) for k in o if k not in ("resourceType", "fhir_comments") and wanted(k, o[k])]
    return random_.choice(places) if places else (None, None)


def is_scalar(value):
    return isinstance(value, (str, int, float, bool))


def break_name(random_, resource):
    random_.choice(list(objects(resource)))["xyzzy"] = "x"
    return True


def break_by(wanted, change):
    def broken(random_, resource):
        owner, key = pick(random_, resource, wanted)
        if owner is None:
            return False
        owner[key] = change(owner[key])
        return True
    return broken


BREAKS = {
    "unknown name": break_name,
    "list for one": break_by(lambda k, v: isinstance(v, (str, int, float, bool, dict)), lambda v: [v]),
    "one for list": break_by(lambda k, v: isinstance(v, list) and v, lambda v: v[0]),
    "text for number": break_by(lambda k, v: isinstance(v, (int, float, bool)), lambda v: str(v).lower()),
    "number for text": break_by(lambda k, v: isinstance(v, str), lambda v: 1),
    "null": break_by(lambda k, v: True, lambda v: None),
    "empty object": break_by(lambda k, v: True, lambda v: {}),
    "empty list": break_by(lambda k, v: True, lambda v: []),
    "empty text": break_by(lambda k, v: isinstance(v, str), lambda v: ""),
    "no such day": break_by(lambda k, v: k in DATES and isinstance(v, str), lambda v: "2023-02-30"),
    "no such code": break_by(lambda k, v: k in CODES and isinstance(v, str), lambda v: "xyzzy"),
}


def breakages(files, rounds, seed):
    for file in files:
        resource = json.loads(file.read_text(encoding="utf-8-sig"))
        random_ = random.Random(f"{seed} {file.name}")
        for kind in random_.sample(sorted(BREAKS), min(rounds, len(BREAKS))):
            broken = copy.deepcopy(resource)
            if BREAKS[kind](random_, broken):
                yield file, kind, broken


def refused(program, files, options):
    counts, passed = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        kinds = {}
        for number, (file, kind, broken) in enumerate(breakages(files, options.rounds, options.seed)):
            place = Path(folder) / f"{number}.json"
            place.write_text(json.dumps(broken))
            kinds[str(place)] = (file.name, kind)
        for place, errors in validate(program, [Path(p) for p in kinds]).items():
            counts["refused" if errors else "passed"] += 1
            if not errors:
                passed.append((*kinds[place], Path(place).read_text()))
    return counts, passed


# ---- index

def rows(program, way, files):
    """File: its rows, sorted."""
    found, current = {}, []
    for at in range(0, len(files), BATCH):
        done = subprocess.run([program, way, *map(str, files[at:at + BATCH])], capture_output=True, text=True, timeout=600)
        for line in done.stdout.splitlines():
            if line.startswith("# "):
                current = found[line.split(": ")[0]] = []
            else:
                current.append(line)
    return {name: sorted(lines) for name, lines in found.items()}


def index_differences(program, files):
    quick, slow = rows(program, "index", files), rows(program, "index-slowly", files)
    return [(name, set(quick[name]) ^ set(slow[name])) for name in quick if quick[name] != slow[name]], \
        sum(map(len, quick.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--suites", default="../shared/suites", type=Path)
    parser.add_argument("--eval", default=HERE.parents[1] / "build/release/tests/suites/fhir-eval")
    parser.add_argument("--rounds", default=4, type=int)
    parser.add_argument("--seed", default=1)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    failed = 0
    for suite in ("hl7-r4-examples", "synthea", "nl-core"):
        files = sorted((options.suites / "fhir" / suite).rglob("*.json"))
        counts, good = collections.Counter(), []
        for name, errors in validate(options.eval, files).items():
            file = Path(name)
            kind = json.loads(file.read_text(encoding="utf-8-sig")).get("resourceType")
            result = "valid" if not errors else "known" if is_known(file.name, errors, kind) else "refused"
            counts[result] += 1
            if result == "valid":
                good.append(file)
            elif result == "refused":
                print(f"refused: {suite}/{file.name}: {errors[0]}")
        broken, passed = refused(options.eval, good if suite != "synthea" else [], options)
        for name, kind, text in passed if options.list else []:
            print(f"passed though broken ({kind}): {suite}/{name} {text[:2000]}")
        differences, count = index_differences(options.eval, files)
        for name, lines in differences:
            print(f"index: {name}: {sorted(lines)[:3]}")
        print(f"{suite}: {count} index rows, of {len(differences)} resources others than FHIRPath by itself gives")
        failed += len(differences)
        print(f"{suite}: {counts['valid']} valid, {counts['known']} known not to be, {counts['refused']} failed; of what was broken "
              f"{broken['refused']} refused, {broken['passed']} passed")
        failed += counts["refused"] + broken["passed"]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
