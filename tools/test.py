#!/usr/bin/python3
"""Builds everything and runs every test; with --fast only what takes seconds.

Prints what each part cost and ends with one line, "N passed, N failed, N skipped". Fails when anything
failed, when a build failed, or when a part that should have tests ran none.
"""
import os
import shutil
import sys
import time

import build
import testlog

# Parts: (words, variant, suites of `meson test`, timeout factor). None for the suites: only build.
FULL = [
    ("gcc, release: all tests", "release", ["unit", "fuzz", "lint", "bpf", "net", "wire"], 1),
    ("clang: the walls under attack", "clang", ["breach"], 1),
    ("gcc, ASan and UBSan: unit, fuzz corpora, wire", "asan", ["unit", "fuzz", "wire"], 4),
]
FAST = [("gcc, release: unit, lint", "release", ["unit", "lint"], 1)]

SANITIZERS = {
    "ASAN_OPTIONS": "halt_on_error=1:abort_on_error=1:detect_leaks=1:strict_string_checks=1:check_initialization_order=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
}


class Parts:
    """What ran, how long it took and what came of it."""

    def __init__(self):
        self.rows = []
        self.total = testlog.Count()
        self.broken = []

    def time(self, words, action):
        print(f"-- {words}", flush=True)
        start = time.monotonic()
        outcome = action()
        self.rows.append((words, time.monotonic() - start, outcome))
        return outcome

    def build(self, variant):
        if self.time(f"build {variant}", lambda: build.build(variant)):
            return True
        self.broken.append(f"build {variant}")
        return False

    def test(self, words, variant, suites, factor):
        count = self.time(words, lambda: run_tests(variant, suites, factor))
        count.failures = [f"{variant}: {failure}" for failure in count.failures]
        self.total.add(count)
        print(f"   {count}", flush=True)
        if count.ran == 0:
            self.broken.append(f"{words}: no test ran")

    def report(self):
        print("\nseconds  part")
        for words, seconds, outcome in self.rows:
            said = outcome if isinstance(outcome, testlog.Count) else "" if outcome else "FAILED"
            print(f"{seconds:7.1f}  {words}{': ' if said else ''}{said}")
        print(f"{sum(seconds for _, seconds, _ in self.rows):7.1f}  in all")
        for failure in self.total.failures + self.broken:
            print(f"failed: {failure}")
        self.total.failed += len(self.broken)
        print(self.total, flush=True)
        return 0 if self.total.failed == 0 and self.total.passed > 0 else 1


def run_tests(variant, suites, factor):
    where = build.folder(variant)
    shutil.rmtree(where / "junit", ignore_errors=True)
    (where / "junit").mkdir()
    log = where / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    command = ["meson", "test", "-C", str(where), "--no-rebuild", "--print-errorlogs", "--num-processes",
               str(build.jobs()), "-t", str(factor)]
    for suite in suites:
        command += ["--suite", suite]
    build.run(command, env=dict(SANITIZERS, PYTHONUNBUFFERED="1"), timeout=1200)
    return testlog.count_meson(where) if log.exists() else testlog.Count()


def main(arguments):
    os.chdir(build.ROOT)
    parts = Parts()
    for words, variant, suites, factor in FAST if "--fast" in arguments else FULL:
        if parts.build(variant):
            parts.test(words, variant, suites, factor)
    return parts.report()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
