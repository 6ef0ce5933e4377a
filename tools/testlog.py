"""Counts what a `meson test` run did: cmocka cases, TAP lines, pytest cases, and one for every other program."""
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

CMOCKA_RAN = re.compile(r"^\[==========\] Running (\d+) test\(s\)", re.M)
CMOCKA_OUTCOME = re.compile(r"^\[  (PASSED|FAILED|SKIPPED) +\] (\d+) test\(s\)", re.M)
TAP_LINE = re.compile(r"^(not )?ok\b[^#\n]*(#\s*skip)?", re.M | re.I)
BAD = {"FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"}


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    @property
    def ran(self):
        return self.passed + self.failed

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count_junit(path):
    """A junit file as pytest writes it."""
    count = Count()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed += 1
            count.failures.append(name)
        elif case.find("skipped") is not None:
            count.skipped += 1
        else:
            count.passed += 1
    return count


def count_cmocka(text):
    outcomes = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
    for outcome, number in CMOCKA_OUTCOME.findall(text):
        outcomes[outcome] += int(number)
    return Count(outcomes["PASSED"], outcomes["FAILED"], outcomes["SKIPPED"])


def count_tap(text):
    count = Count()
    for is_not, is_skip in TAP_LINE.findall(text):
        if is_skip:
            count.skipped += 1
        elif is_not:
            count.failed += 1
        else:
            count.passed += 1
    return count


def count_one(test, junit_folder):
    """One row of testlog.json. A program that failed counts as at least one failure, whatever it printed."""
    text = test.get("stdout", "") + "\n" + test.get("stderr", "")
    name = test["name"].split(" / ")[-1]
    junit = junit_folder / f"{name}.xml"
    if junit.exists():
        count = count_junit(junit)
    elif CMOCKA_RAN.search(text):
        count = count_cmocka(text)
    elif TAP_LINE.search(test.get("stdout", "")):
        count = count_tap(test["stdout"])
    elif test["result"] == "SKIP":
        count = Count(skipped=1)
    else:
        count = Count(passed=0 if test["result"] in BAD else 1)
    if test["result"] in BAD:
        count.failed = max(count.failed, 1)
        if not count.failures:
            count.failures.append(f"{test['name']} ({test['result'].lower()})")
    return count


def count_meson(build_folder):
    total = Count()
    log = build_folder / "meson-logs" / "testlog.json"
    for line in log.read_text(errors="replace").splitlines():
        total.add(count_one(json.loads(line), build_folder / "junit"))
    return total
