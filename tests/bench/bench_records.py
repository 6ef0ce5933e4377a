#!/usr/bin/python3
"""polder-records over HTTP on loopback: import, create, read, search by patient and code.

    tests/bench/bench_records.py [--build DIR] [--seconds S] [--patients N] [--workers N] [--connections N] [--only KIND ...]

Everything is durable, validated and logged, as in use. The service runs on core 0, wrk on core 1 (with more cores:
on the others). CPU is user and system time of all its processes (/proc/PID/stat), for each resource or request.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/wire"))
TICKS = os.sysconf("SC_CLK_TCK")
CODES = ["8867-4", "8480-6", "8462-4", "29463-7", "8302-2", "2339-0", "718-7", "2093-3"]
GOALS = {"import": 8_000, "create": 8_000, "read": 40_000, "search": 25_000}
PER_BUNDLE = 100


def observation(patient, number):
    return {"resourceType": "Observation", "id": f"o{patient}-{number}", "status": "final",
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                      "code": "vital-signs", "display": "vital-signs"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": CODES[number % 8], "display": "Measured"}],
                     "text": "Measured"},
            "subject": {"reference": f"Patient/p{patient}"},
            "effectiveDateTime": f"20{10 + number % 16}-0{1 + number % 9}-1{number % 9}T09:41:07+01:00",
            "issued": "2026-03-01T09:41:07.123+01:00",
            "valueQuantity": {"value": 50 + number % 150, "unit": "/min", "system": "http://unitsofmeasure.org",
                              "code": "/min"}}


def patient(number):
    return {"resourceType": "Patient", "id": f"p{number}", "active": True, "gender": "female", "birthDate": "1970-01-31",
            "name": [{"family": f"Jansen{number}", "given": ["Anna", "Maria"]}],
            "identifier": [{"system": "http://voorbeeld.nl/nummer", "value": f"{number:09}"}]}


def write_bundles(path, patients, each):
    """One bundle for each patient: itself, and its observations."""
    with open(path, "w", encoding="utf-8") as out:
        for number in range(1, patients + 1):
            entries = [patient(number)] + [observation(number, n) for n in range(1, each + 1)]
            out.write(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
                for r in entries]}, separators=(",", ":")) + "\n")


def cpu_s(pids):
    total = {}
    for name, pid in pids.items():
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total[name.split()[0]] = total.get(name.split()[0], 0) + (int(words[11]) + int(words[12])) / TICKS
    return total


def wrk(port, kind, options, bundles, seconds):
    cores = sorted(os.sched_getaffinity(0))
    command = ["taskset", "-c", ",".join(map(str, cores[1:] or cores)), "wrk", "-t1", f"-c{options.connections}",
               f"-d{seconds}s", "-s", str(ROOT / "tests/bench/records.lua"), f"http://127.0.0.1:{port}", "--", kind,
               str(options.patients), str(options.each), str(bundles), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"wrk failed: {done.stdout}{done.stderr}")
    return json.loads(lines[-1])


def import_all(records, options, bundles):
    """Each bundle once, over several connections: what comes twice would be updates."""
    import threading
    lines, lock, bad = open(bundles, encoding="utf-8").read().splitlines(), threading.Lock(), []

    def send():
        with records.client() as client:
            while True:
                with lock:
                    if not lines:
                        return
                    line = lines.pop()
                answer = client.ask("POST", "", line, prefer="return=minimal")
                if answer.status != 200:
                    bad.append(answer)
    threads = [threading.Thread(target=send) for _ in range(4)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if bad:
        raise SystemExit(f"an import was refused: {bad[0]}")
    return {"requests": options.patients, "us": (time.monotonic() - begin) * 1e6, "bad": 0, "p50_us": 0, "p99_us": 0}


def measure(records, kind, options, bundles):
    pids = {**records.roles(), "master 0": records.process.pid}
    before = cpu_s(pids)
    result = import_all(records, options, bundles) if kind == "import" else \
        wrk(records.port, kind, options, bundles, options.seconds)
    after = cpu_s(pids)
    count = result["requests"] * (options.each + 1 if kind == "import" else 1)
    spent = {role: after[role] - before[role] for role in after}
    rate, total = count / result["us"] * 1e6, sum(spent.values())
    parts = " ".join(f"{role} {seconds / count * 1e6:.1f}" for role, seconds in spent.items() if seconds)
    print(f"| {kind} | {rate:,.0f} | {GOALS[kind]:,} | {result['p50_us'] / 1000:.2f} | {result['p99_us'] / 1000:.2f} | "
          f"{total / count * 1e6:.1f} ({parts}) | {result['bad']} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=str(ROOT / "build/release"))
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--each", type=int, default=PER_BUNDLE)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--only", nargs="*", default=["import", "create", "read", "search"])
    options = parser.parse_args()
    os.environ["POLDER_BUILD"] = options.build
    import records_kit
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder, records_kit.Records(workers=options.workers) as records:
        core = sorted(os.sched_getaffinity(0))[0]
        for pid in [records.process.pid, *records.roles().values()]:
            os.sched_setaffinity(pid, {core})
        bundles = Path(folder) / "bundles.jsonl"
        write_bundles(bundles, options.patients, options.each)
        print("| what | per second | goal | p50 ms | p99 ms | CPU us each | bad |\n|---|---|---|---|---|---|---|")
        for kind in ["import", *[k for k in options.only if k != "import"]]:
            measure(records, kind, options, bundles)
        files = [p for p in records.data.rglob("*") if p.is_file()]
        size, stored = sum(p.stat().st_size for p in files), options.patients * (options.each + 1)
        print(f"\n{size / 1e6:.0f} MB on disk; {stored:,} resources imported")


if __name__ == "__main__":
    main()
