#!/usr/bin/python3
"""Runs the fuzz targets, each for FUZZ_SECONDS (30), all of them or those in FUZZ_TARGETS.

What is found new stays in build/fuzz/corpus, what breaks in build/fuzz/crashes. A target that covers
implausibly little fails too: it fuzzes something that is not instrumented.
"""
import os
import re
import subprocess
import sys

import build

SEEN_LEAST = 60  # edges; a library that is not instrumented shows 4 to 10
COVERAGE = re.compile(r"\bcov: (\d+)")


def targets():
    wanted = os.environ.get("FUZZ_TARGETS", "").split()
    names = sorted(path.stem for path in (build.ROOT / "tests/fuzz").glob("fuzz_*.c"))
    return [name for name in names if not wanted or name in wanted]


def fuzz(name, seconds):
    found = build.folder("fuzz") / "corpus" / name
    crashes = build.folder("fuzz") / "crashes"
    found.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    seeds = build.ROOT / "tests/fuzz/corpus" / name
    command = [str(build.folder("fuzz") / "tests/fuzz" / name), str(found), *([str(seeds)] if seeds.is_dir() else []),
               f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={crashes}/{name}-"]
    try:
        done = subprocess.run(command, cwd=build.ROOT, stdin=subprocess.DEVNULL, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 120)
    except subprocess.TimeoutExpired:
        return "did not end in its time"
    edges = max((int(number) for number in COVERAGE.findall(done.stdout)), default=0)
    ran = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    print(f"{name}: {edges} edges, {ran.group(1) if ran else '?'} inputs, {seconds} s", flush=True)
    if done.returncode != 0:
        print(done.stdout[-6000:])
        return f"found something: see {crashes.relative_to(build.ROOT)}/{name}-*"
    if edges < SEEN_LEAST:
        return f"covered only {edges} edges, fewer than {SEEN_LEAST}: is the code under test instrumented?"
    return None


def main():
    names = targets()
    if not build.build("fuzz", targets=[f"tests/fuzz/{name}" for name in names]):
        return 1
    seconds = int(os.environ.get("FUZZ_SECONDS", "30"))
    failed = [(name, problem) for name in names if (problem := fuzz(name, seconds))]
    for name, problem in failed:
        print(f"failed: {name}: {problem}")
    print(f"{len(names) - len(failed)} passed, {len(failed)} failed, 0 skipped")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
