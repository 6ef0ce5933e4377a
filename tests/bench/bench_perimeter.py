#!/usr/bin/python3
"""Regular users of polder-gate beside those of HAProxy and nginx, while strangers attack.

    tests/bench/bench_perimeter.py [--only WORD ...] [--peers NAME ...] [--rounds N] [--quick] [--json FILE] [--gate FILE]
                                   [--no-file]

The gate has core 0. Strangers, regular users and the application share core 1; users and application go first there
(SCHED_FIFO, as root), so what they measure is not what the attackers take from them. Gates and strangers go before what else
the machine has to do. A run in which users or application were late nevertheless is void, and said so; and a flood of SYNs in
which something else had part of the gate's core, for that flood is the kernel's work first. Each case begins
with some seconds without an attack: those of all cases of a gate together, and a longer one of their own, are its quiet values.
Everything stays on loopback, bounded in count and time; the flood of SYNs in network namespaces that are made for it.
The tables go to docs/benchmarks.md and README.md.
"""
import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench_gate import (BUILD, GATE, PERIMETER_BEGIN, PERIMETER_END, TICKS, Void, cpu_model, make_certificate,  # noqa: E402
                        stop, wait_ready, with_rows)
from bench_waf import cpu_ns  # noqa: E402
from peers import LOAD_CORE, ORIGIN_PORT, PROXY_CORE, ROOT, wait_turn  # noqa: E402
from perimeter_cases import (ATTACK_S, CAPACITY, CASES, PLACES, QUIET_S, RAMP_S, SERVICE_MS, SYN_RATE, SYN_S,  # noqa: E402
                             TENANTS, WARM_S)
from perimeter_peers import TITLES, perimeter_peers  # noqa: E402
from perimeter_tables import percentile, served, tables, used  # noqa: E402
from perimeter_world import SYN_GATE, World  # noqa: E402

LOGIN_S, LOGIN_ALL_S, LAST_S, LATE_MAX_MS, OTHERS_MAX = 1, 2, 0.2, 5, 0.1
IS_ROOT = os.geteuid() == 0
# Ahead of other work on this machine. Linux shares a processor among sessions first, and by their own niceness.
AHEAD = ["sh", "-c", 'echo -15 2>/dev/null >/proc/self/autogroup; exec nice -n -15 "$@"', "sh"] if IS_ROOT else []


# ---- processes

def tool(name):
    return str(Path(os.environ.get("POLDER_BUILD", BUILD)) / f"tests/bench/bench-{name}")


def pinned(first):
    """first: goes before the others on this core."""
    return ["taskset", "-c", str(LOAD_CORE), *(["chrt", "-f", "10"] if first and IS_ROOT else AHEAD)]


class Run:
    """One gate, the application and who comes, in one case; all of them end with it."""

    def __init__(self, peer, scratch, world=None):
        self.peer, self.world, self.processes = peer, world, []
        self.inside = world.inside if world else []
        self.outside = world.outside if world else []
        folder = scratch / peer.name
        shutil.rmtree(folder, ignore_errors=True)
        self.application = self.start([*self.inside, *pinned(True), tool("application"), ORIGIN_PORT, PLACES, SERVICE_MS])
        self.log = scratch / f"{peer.name}.log"
        try:
            with open(self.log, "w") as out:
                self.gate = peer.start(folder, scratch / "tls", IS_ROOT, out, self.inside or AHEAD)
        except BaseException:
            self.close()
            raise
        self.processes.append(self.gate)

    def start(self, command):
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                   start_new_session=True)
        self.processes.append(process)
        return process

    def wait_ready(self):
        wait_ready(self.peer.name, [(self.peer.clear, False), (self.peer.secure, True)], self.gate, self.log)

    def users(self, group, at, seconds):
        address = SYN_GATE if self.world else "127.0.0.1"
        return self.start([*self.outside, *pinned(True), tool("users"), address, self.peer.secure, *group.words.split(),
                           f"at={at}", f"for={seconds}"])

    def attack(self, case, at, seconds, count_s):
        if self.world:
            return self.start([*self.outside, *pinned(False), tool("syn-flood"), World.OUT, self.world.gate_mac,
                               SYN_GATE, self.peer.secure, SYN_RATE, at, seconds])
        kind, *arguments = case.attack.split()
        port = self.peer.clear if "clear=1" in arguments else self.peer.secure
        return self.start([*pinned(False), tool("attack"), kind, "127.0.0.1", port, *arguments, f"at={at}",
                           f"for={seconds}", f"count={count_s}"])

    def application_report(self):
        self.application.send_signal(signal.SIGUSR1)
        return json.loads(self.application.stdout.readline())

    def close(self):
        for process in reversed(self.processes):
            stop(process)


def result_of(process, within_s):
    """The line of JSON of one that ends by itself."""
    try:
        said = process.communicate(timeout=within_s)[0]
    except subprocess.TimeoutExpired:
        raise Void("a load generator did not end in time") from None
    if process.returncode != 0 or not said.startswith("{"):
        raise Void(f"a load generator ended with {process.returncode}")
    return json.loads(said)


def core_seconds():
    """What all programs together have used of the gate's core."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{PROXY_CORE} "))
    return sum(map(int, line.split()[1:4])) / TICKS


def sleep_until(moment):
    time.sleep(max(0, moment - time.monotonic()))


# ---- one case

def split(result, warm_s, from_s, name):
    """Samples before the attack, and those that count during it; each [ms after the start, ms, status]."""
    if result["late_p99_ms"] > LATE_MAX_MS:
        raise Void(f"{name}: the users themselves were {result['late_p99_ms']} ms late at p99")
    before = [s for s in result["samples"] if s[0] < (warm_s - LAST_S) * 1000]  # and was answered before it
    during = [s for s in result["samples"] if s[0] >= from_s * 1000]
    return before, during


def measure(run, case, attack_s, quiet_s):
    """Warm-up, attack, and what was seen of both."""
    at = time.monotonic() + (LOGIN_ALL_S if case.users[0] is TENANTS else LOGIN_S)
    is_attacked = case.kind != "quiet"
    warm_s, ramp_s = (WARM_S, case.ramp_s) if is_attacked else (quiet_s, 0)
    seconds = warm_s + ramp_s + (attack_s if is_attacked else 0)
    users = [run.users(group, at, seconds) for group in case.users]
    attackers = run.attack(case, at + warm_s, ramp_s + attack_s, ramp_s) if is_attacked else None
    sleep_until(at + (warm_s + ramp_s if is_attacked else 0))
    run.application_report()
    begin, gate_begin, core_begin = time.monotonic(), cpu_ns(run.gate.pid), core_seconds()
    sleep_until(at + seconds)
    report = run.application_report()
    over = time.monotonic() - begin
    spent = (cpu_ns(run.gate.pid) - gate_begin) / 1e9 / over
    others = max(0, (core_seconds() - core_begin) / over - spent)
    found = {"application": report, "gate_cpu": spent, "others_cpu": others, "users": {}, "quiet": {}}
    if attackers:
        found["attack"] = result_of(attackers, 10)
        if not found["attack"]["opened"] + found["attack"]["most_up"]:
            raise Void("the attackers did not reach the gate")
    for group, process in zip(case.users, users):
        result = result_of(process, 15)
        found["quiet"][group.name], found["users"][group.name] = split(result, warm_s, warm_s + ramp_s, group.name)
        found["users_cpu"] = found.get("users_cpu", 0) + result["cpu_s"]
        if "login=1" in group.words and not result["sessions"]:
            raise Void(f"{group.name}: nobody could log in")
    if run.world and others > OTHERS_MAX:  # what the kernel does for the gate cannot be put ahead of them
        raise Void(f"others used {100 * others:.0f} % of the gate's core")
    if run.gate.poll() is not None:
        raise Void("the gate ended by itself")
    if report["late_p99_ms"] > LATE_MAX_MS:
        raise Void(f"the application was {report['late_p99_ms']} ms late at p99")
    return found


# ---- all of them

def run_case(case, peer, scratch, options):
    world = World() if case.kind == "syn" else None
    run = None
    try:
        run = Run(peer, scratch, world)
        if world:
            time.sleep(1.5)  # nobody can ask from here; who cannot log in makes the run void
        else:
            run.wait_ready()
        attack_s = SYN_S if world else 3 if options.quick else ATTACK_S
        return measure(run, case, attack_s, 3 if options.quick else QUIET_S)
    finally:
        if run:
            run.close()
        if world:
            world.close()


def peers_for(case, options):
    address = SYN_GATE if case.kind == "syn" else "127.0.0.1"
    return [peer for peer in perimeter_peers(options.gate, address) if (not options.peers or peer.name in options.peers) and
            (peer.name != "haproxy-tailored" or case.has_tailored)]


def run_all(options, scratch, voids):
    """case name -> peer name -> what was found, one entry a round."""
    results = {}
    cases = [case for case in CASES if not options.only or case.name in options.only or case.name == "quiet"]
    for number in range(options.rounds):
        for turn, case in enumerate(cases):
            if case.kind == "syn" and not IS_ROOT:
                voids.append(f"{case.words}: needs root")
                continue
            peers = peers_for(case, options)
            turn %= max(1, len(peers))
            for peer in peers[turn:] + peers[:turn]:
                try:
                    found = run_case(case, peer, scratch, options)
                    results.setdefault(case.name, {}).setdefault(peer.name, []).append(found)
                    print(f"  {case.name} {number + 1}/{options.rounds} {peer.name:14} {short(found)}", flush=True)
                except (Void, OSError, ValueError, KeyError, RuntimeError, subprocess.SubprocessError) as why:
                    voids.append(f"{case.words}, {TITLES[peer.name]}, round {number + 1}: {why}")
                    print(f"  {case.name} {number + 1}/{options.rounds} {peer.name:14} void: {why}", flush=True)
    return results


def short(found):
    parts = []
    for name, samples in {**found["users"], **({} if found.get("attack") else found["quiet"])}.items():
        parts.append(f"{name} {served(samples):.1f} % p50 {percentile(samples, 50):.0f} p99 {percentile(samples, 99):.0f} ms")
    parts.append(f"used {used(found['application']):.1f} %, gate {100 * found['gate_cpu']:.0f} % of its core, "
                 f"others {100 * found['others_cpu']:.0f} %")
    return "; ".join(parts + ([f"attack {found['attack']}"] if "attack" in found else []))


# ---- the page

def page(rows, options, voids):
    void_text = "".join(f"- {void}\n" for void in voids) or "None.\n"
    versions = "; ".join(f"{TITLES[peer.name]}: {peer.version()}" for peer in perimeter_peers(options.gate))
    return f"""Made by `make bench` (tests/bench/bench_perimeter.py) on {datetime.date.today().isoformat()}. {cpu_model()}, {os.cpu_count()} CPUs, Linux
{platform.release()}. {versions}.

{rows}

How: behind each gate is an application that works on {PLACES} requests at once, {SERVICE_MS} ms each ({CAPACITY:.0f} requests/s;
tests/bench/application.c); what comes on top waits inside it. Gates have one worker, on core {PROXY_CORE}; strangers
(tests/bench/attack.c), regular users (tests/bench/users.c) and the application are on core {LOAD_CORE}, the latter two first.
Clients speak TLS 1.3 with full handshakes; the strangers of the cases about capacity do not. Regular users ask in an open
loop, and latency counts from when a request was due; one that has no answer in time (regular users 3 s, beyond the capacity 2 s,
a cluster's users 6 s) is not served, and p99 is of those that were. Regular users logged in before and show their session's
cookie; a cluster's users did not. Strangers ask again as soon as they have an answer, whatever it says. Each case:
{WARM_S} s quiet, the attack's beginning (up to {RAMP_S} s), then {ATTACK_S} s that count; {options.rounds} round(s). In the flood of
SYNs (up to {SYN_RATE:,}/s for {SYN_S} s, as fast as core {LOAD_CORE} makes them, from random sources, over virtual interfaces) 200
new connections a second ask, and the kernel's SYN cookies are on. polder has nothing set for any of it. Configurations:
tests/bench/perimeter_peers.py; cases: tests/bench/perimeter_cases.py.

Rounds that did not count:

{void_text.rstrip()}"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="shorter, and less to rely on")
    parser.add_argument("--only", nargs="*", choices=[case.name for case in CASES])
    parser.add_argument("--peers", nargs="*", choices=list(TITLES), help="measure only these")
    parser.add_argument("--gate", type=Path, default=GATE, help="another polder-gate")
    parser.add_argument("--json", type=Path, help="everything that was measured, each request of the users")
    parser.add_argument("--no-file", action="store_true", help="print only")
    return parser.parse_args()


def write_pages(rows, options, voids):
    for name, text in (("docs/benchmarks.md", page(rows, options, voids)), ("README.md", rows)):
        path = ROOT / name
        path.write_text(with_rows(path.read_text(), text, PERIMETER_BEGIN, PERIMETER_END))
    print("written to docs/benchmarks.md and README.md")


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was started, too
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench: this needs two CPUs: one for the gate, one for all others")
    voids, turn = [], wait_turn()
    scratch = Path(tempfile.mkdtemp(prefix="polder-bench-perimeter-"))
    scratch.chmod(0o755)
    try:
        make_certificate(scratch / "tls")
        results = run_all(options, scratch, voids)
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rows = "\n".join(tables(results, [peer for peer in TITLES if not options.peers or peer in options.peers]))
    print("\n" + rows)
    for void in voids:
        print(f"void: {void}")
    turn.close()
    if options.json:
        options.json.write_text(json.dumps({"voids": voids, "results": results}))
    if not options.no_file:
        write_pages(rows, options, voids)
    return 1 if voids else 0


if __name__ == "__main__":
    sys.exit(main())
