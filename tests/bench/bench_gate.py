#!/usr/bin/python3
"""polder-gate beside Debian's nginx and HAProxy, in one run on one machine.

    tests/bench/bench_gate.py [--seconds S] [--rounds N] [--only WORD ...] [--proxies NAME ...] [--no-file]

The proxies share core 0, origin and load share core 1. The measure is requests per CPU-second of all of a proxy's
processes, user and system time (/proc/PID/stat): what the load generator could not offer costs nobody anything. The
order of the proxies rotates from round to round. A round with one wrong or missing answer does not count, and
is said so. The table goes to docs/benchmarks.md and into README.md.
"""
import argparse
import datetime
import http.client
import json
import os
import platform
import re
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from peers import LOAD_CORE, ORIGIN_PORT, PROXY_CORE, ROOT, all_proxies, wait_turn  # noqa: E402

BUILD = ROOT / "build/release"
GATE = BUILD / "src/gate/polder-gate"
ORIGIN, LOAD, RELAY = (BUILD / f"tests/bench/bench-{name}" for name in ("origin", "load", "relay"))
LUA = ROOT / "tests/bench/report.lua"
BODY = b"x" * 1000
IDLE_CONNECTIONS, IDLE_WARM_UP, IDLE_CLEAR_MAX = 2000, 50, 512
TICKS = os.sysconf("SC_CLK_TCK")


class Void(Exception):
    """A round that does not count, and why."""


# ---- processes and what they cost

def tree(root):
    """The process and all that descend from it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(root):
    """pid -> (user, system), of the whole tree."""
    costs = {}
    for pid in tree(root):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        costs[pid] = (int(fields[11]) / TICKS, int(fields[12]) / TICKS)
    return costs


def memory_bytes(root):
    """PSS of the tree without pages of files, whose share changes when others map the same library."""
    total = 0
    for pid in tree(root):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(int(kb) * 1024 for kb in re.findall(r"^Pss_(?:Anon|Shmem):\s+(\d+) kB", text, re.M))
    return total


# ---- the loads: each returns how many right answers came, or raises Void

def on_load_core(command, **more):
    return subprocess.run(["taskset", "-c", str(LOAD_CORE), *map(str, command)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **more).stdout


def wrk(url, seconds, connections=64):
    output = on_load_core(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", LUA, url])
    found = re.search(r"^wrk-json (.*)$", output, re.M)
    if not found:
        raise Void(output.strip()[-300:])
    numbers = json.loads(found.group(1))
    if numbers["failed"] or numbers["bytes"] < numbers["requests"] * len(BODY):
        raise Void(f"wrk: {numbers}")
    return numbers["requests"]


def load_clear(proxy, seconds):
    return wrk(f"http://127.0.0.1:{proxy.clear}/", seconds)


def load_tls(proxy, seconds):
    return wrk(f"https://127.0.0.1:{proxy.secure}/", seconds)


def load_h2(proxy, seconds):
    output = on_load_core(["h2load", "-t1", "-c16", "-m16", "-D", seconds, "--tls13-ciphers=TLS_AES_256_GCM_SHA384",
                           f"https://127.0.0.1:{proxy.secure}/"])
    requests = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    status = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    size = re.search(r"\((\d+)\) data", output)
    if not requests or not status or not size or "protocol: h2" not in output:
        raise Void(output.strip()[-300:])
    answers = int(status.group(1))
    wrong = sum(map(int, requests.groups()[1:])) + sum(map(int, status.groups()[1:]))
    if wrong or int(size.group(1)) < (answers - 16 * 16) * len(BODY):
        raise Void(f"h2load: {requests.group(0)}; {status.group(0)}; {size.group(0)}")
    return answers


def load_handshakes(proxy, seconds):
    numbers = json.loads(on_load_core([LOAD, "handshakes", proxy.secure, seconds, 32]).splitlines()[-1])
    if numbers["failed"] or numbers["resumed"] or not numbers["tls"].startswith("TLSv1.3 TLS_AES_256_GCM_SHA384 EC"):
        raise Void(f"bench-load: {numbers}")
    return numbers["requests"]


CASES = [  # name, words, load, what to reach beside nginx and HAProxy
    ("clear", "HTTP/1.1 clear, 64 connections", load_clear, (1.15, 1.40)),
    ("tls", "TLS 1.3, HTTP/1.1, 64 connections", load_tls, (1.15, 1.40)),
    ("h2", "TLS 1.3, HTTP/2, 16 connections of 16 streams", load_h2, (1.15, 1.40)),
    ("handshakes", "TLS 1.3, a full ECDSA P-256 handshake for each request", load_handshakes, (1.00, None)),
]


# ---- measuring

def measure_round(proxy, process, load, seconds):
    """(requests per CPU-second, user µs per request, system µs per request)"""
    load(proxy, 1)
    before = cpu_seconds(process.pid)
    answers = load(proxy, seconds)
    after = cpu_seconds(process.pid)
    if before.keys() != after.keys():
        raise Void("a process of the proxy died or was started during the round")
    user = sum(after[pid][0] - before[pid][0] for pid in after)
    system = sum(after[pid][1] - before[pid][1] for pid in after)
    if answers < 100 or user + system < 0.2:
        raise Void(f"only {answers} answers in {user + system:.2f} CPU-seconds")
    return answers / (user + system), user / answers * 1e6, system / answers * 1e6


def measure_case(name, load, proxies, processes, rounds, seconds, voids):
    results = {proxy.name: [] for proxy in proxies}
    for number in range(rounds):
        turn = number % len(proxies)
        for proxy in proxies[turn:] + proxies[:turn]:
            try:
                result = measure_round(proxy, processes[proxy.name], load, seconds)
                results[proxy.name].append(result)
                said = f"{result[0]:9.0f} /CPU-s, {result[1]:6.2f} us user, {result[2]:6.2f} us system"
            except (Void, subprocess.TimeoutExpired, OSError, ValueError, IndexError) as why:
                voids.append(f"{name}, {proxy.name}, round {number + 1}: {why}")
                said = f"void: {why}"
            print(f"  {name} {number + 1}/{rounds} {proxy.name:8} {said}", flush=True)
    return results


def measure_idle(proxy, process, kind):
    """Bytes of memory (PSS, all processes) for each idle connection."""
    port = proxy.secure if kind == "idle-tls" else proxy.clear
    wrk(f"http://127.0.0.1:{proxy.clear}/", 2, connections=1)  # buffers of a fixed size (logs, rings) are touched before the count begins
    for count in (IDLE_WARM_UP, IDLE_CONNECTIONS):  # the first ones touch code and make pools, and are closed again
        time.sleep(1)
        before = memory_bytes(process.pid)
        holder = subprocess.Popen(["taskset", "-c", str(LOAD_CORE), str(LOAD), kind, str(port), str(count)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            numbers = json.loads(holder.stdout.readline() or '{"failed": "no answer"}')
            time.sleep(1)
            after = memory_bytes(process.pid)
        finally:
            holder.stdin.close()
            holder.wait(30)
        if numbers["failed"]:
            raise Void(f"{numbers}")
    return (after - before) / IDLE_CONNECTIONS


# ---- putting it up and taking it down

def make_certificate(tls):
    tls.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", str(tls / "bench.key"), "-out", str(tls / "bench.pem")],
                   check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (tls / "bench-both.pem").write_bytes((tls / "bench.pem").read_bytes() + (tls / "bench.key").read_bytes())


def fetch(port, is_tls):
    if is_tls:
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=3, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    connection.request("GET", "/")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def wait_ready(name, ports, process, log):
    end = time.monotonic() + 15
    problem = "no answer"
    for port, is_tls in ports:
        while True:
            if process.poll() is not None:
                sys.exit(f"bench: {name} ended by itself:\n{log.read_text(errors='replace')[-2000:]}")
            try:
                status, body = fetch(port, is_tls)
                if (status, body) == (200, BODY):
                    break
                problem = f"status {status}, {len(body)} bytes"
            except (OSError, http.client.HTTPException) as error:
                problem = str(error)
            if time.monotonic() > end:
                sys.exit(f"bench: {name} does not answer on port {port}: {problem}\n"
                         f"{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)


def stop(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Bench:
    def __init__(self, scratch, proxies):
        self.scratch, self.proxies, self.running = scratch, proxies, []
        self.tls = scratch / "tls"
        make_certificate(self.tls)

    def start_origin(self):
        log = self.scratch / "origin.log"
        with open(log, "w") as out:
            process = subprocess.Popen(["taskset", "-c", str(LOAD_CORE), str(ORIGIN), str(ORIGIN_PORT)],
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.running.append(process)
        wait_ready("the origin", [(ORIGIN_PORT, False)], process, log)

    def start(self, proxy):
        log = self.scratch / f"{proxy.name}.log"
        with open(log, "w") as out:
            process = proxy.start(self.scratch / proxy.name, self.tls, os.geteuid() == 0, out)
        self.running.append(process)
        wait_ready(proxy.name, [(proxy.clear, False)] + ([(proxy.secure, True)] if proxy.secure else []), process, log)
        return process

    def stop(self, process):
        self.running.remove(process)
        stop(process)

    def stop_all(self):
        for process in reversed(self.running):
            stop(process)
        self.running = []

    def measure_speed(self, cases, rounds, seconds, voids):
        processes = {proxy.name: self.start(proxy) for proxy in self.proxies}
        results = {name: measure_case(name, load, [p for p in self.proxies if p.secure or name == "clear"], processes, rounds,
                                      seconds, voids)
                   for name, _, load, _ in cases}
        for process in processes.values():
            self.stop(process)
        return results

    def measure_memory(self, kind, voids):
        """name -> bytes; each proxy freshly started, alone."""
        found = {}
        for proxy in (p for p in self.proxies if p.secure):
            process = self.start(proxy)
            try:
                found[proxy.name] = measure_idle(proxy, process, kind)
                print(f"  {kind} {proxy.name:8} {found[proxy.name]:9.0f} bytes", flush=True)
            except (Void, PermissionError, ValueError) as why:
                voids.append(f"{kind}, {proxy.name}: {why}")
                print(f"  {kind} {proxy.name:8} void: {why}", flush=True)
            self.stop(process)
        return found


# ---- the table

def ratio_cell(mine, other, target, is_less_better=False):
    if not mine or not other:
        return "-"
    ratio = mine / other
    if target is None:
        return f"{ratio:.2f}"
    met = ratio <= target if is_less_better else ratio >= target
    return f"{ratio:.2f} ({'reached' if met else 'short of'} {target:.2f})"


def median_of(results, name):
    values = [value[0] for value in results.get(name, [])]
    return statistics.median(values) if values else None


def speed_cell(results, name):
    values = [value[0] for value in results.get(name, [])]
    if not values:
        return "void"
    middle = statistics.median(values)
    return f"{middle:,.0f} ({min(values) / middle * 100 - 100:+.0f}..{max(values) / middle * 100 - 100:+.0f} %)"


def cost_cell(results, name):
    values = results.get(name, [])
    if not values:
        return "-"
    return f"{statistics.median(v[1] for v in values):.1f} + {statistics.median(v[2] for v in values):.1f}"


def table(cases, speed, memory):
    lines = ["| requests per CPU-second | polder | nginx | HAProxy | polder : nginx | polder : HAProxy |",
             "|---|---|---|---|---|---|"]
    for name, words, _, (to_nginx, to_haproxy) in cases:
        results = speed[name]
        middle = {proxy: median_of(results, proxy) for proxy in ("polder", "nginx", "haproxy")}
        lines.append(f"| {words} | " + " | ".join(speed_cell(results, p) for p in ("polder", "nginx", "haproxy")) +
                     f" | {ratio_cell(middle['polder'], middle['nginx'], to_nginx)}"
                     f" | {ratio_cell(middle['polder'], middle['haproxy'], to_haproxy)} |")
    lines += ["", "| microseconds for a request, user + system | polder | nginx | HAProxy |", "|---|---|---|---|"]
    for name, words, _, _ in cases:
        lines.append(f"| {words} | " + " | ".join(cost_cell(speed[name], p) for p in ("polder", "nginx", "haproxy")) + " |")
    bound = median_of(speed.get("clear", {}), "relay")
    if bound:
        mine = median_of(speed["clear"], "polder")
        lines += ["", f"The bound, HTTP/1.1 clear in the same run: a relay that parses nothing does {bound:,.0f} requests per CPU-second "
                      f"({cost_cell(speed['clear'], 'relay')} microseconds)" +
                      (f"; polder reaches {100 * mine / bound:.0f} % of it." if mine else ".")]
    if memory:
        lines += ["", "| bytes of memory for an idle connection (PSS) | polder | nginx | HAProxy | polder : nginx |",
                  "|---|---|---|---|---|"]
        for kind, words, to_nginx in (("idle-clear", f"clear, keep-alive (to reach: at most {IDLE_CLEAR_MAX})", None), ("idle-tls", "TLS 1.3, keep-alive", 1.0)):
            found = memory.get(kind, {})
            cells = " | ".join(f"{found[p]:,.0f}" if p in found else "void" for p in ("polder", "nginx", "haproxy"))
            ratio = ratio_cell(found.get("polder"), found.get("nginx"), to_nginx, is_less_better=True)
            lines.append(f"| {words} | {cells} | {ratio} |")
    return "\n".join(lines)


def cpu_model():
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found.group(1) if found else platform.machine()


BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"


WAF_BEGIN, WAF_END = "<!-- benchmark-waf:begin -->", "<!-- benchmark-waf:end -->"
PERIMETER_BEGIN, PERIMETER_END = "<!-- benchmark-perimeter:begin -->", "<!-- benchmark-perimeter:end -->"


def marked(rows, begin=BEGIN, end=END):
    return f"{begin}\n{rows}\n{end}"


def between(text, begin, end):
    """What stands between two marks; None: they are not there."""
    _, found, rest = text.partition(begin)
    inside, ended, _ = rest.partition(end)
    return inside.strip("\n") if found and ended else None


def with_rows(text, rows, begin=BEGIN, end=END):
    """A page with its table replaced."""
    if between(text, begin, end) is None:
        raise SystemExit(f"bench: there is no {begin} and {end}")
    before, _, rest = text.partition(begin)
    return before + marked(rows, begin, end) + rest.partition(end)[2]


def page(rows, options, proxies, voids, waf_rows, perimeter_rows):
    versions = "; ".join(f"{proxy.name}: {proxy.version()}" for proxy in proxies if proxy.secure)
    openssl = subprocess.run(["openssl", "version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    void_text = "".join(f"- {void}\n" for void in voids) if voids else "None.\n"
    return f"""# Benchmarks

Made by `make bench` on {datetime.date.today().isoformat()}; run it to have these numbers for your machine. {cpu_model()},
{os.cpu_count()} CPUs, Linux {platform.release()}, {openssl}. {versions}.

{marked(rows)}

How: each proxy has one worker; all processes of a proxy share core {PROXY_CORE}; load generator and origin share core
{LOAD_CORE}. The origin answers 1,000 bytes and keeps connections. {options.rounds} rounds of {options.seconds} s for each,
interleaved, the order rotating; median, and lowest and highest round. Requests per CPU-second counts user and system time of
every process of the proxy (polder: master, worker, signer, dialer, observer). Access logs are off, TLS is 1.3 with
AES-256-GCM and X25519, nginx and HAProxy add X-Forwarded-For and -Proto; polder adds what it always adds. Load: wrk for
HTTP/1.1, h2load for HTTP/2, tests/bench/load.c for handshakes and idle connections. Configurations: tests/bench/peers.py.
Memory is what {IDLE_CONNECTIONS:,} idle connections, each after one request, add to the PSS of a proxy that has served
some thousands of requests over one connection before, pages of files left out; the kernel's own part (sockets) is in none of them.

Rounds that did not count:

{void_text}
## The firewall

{marked(waf_rows, WAF_BEGIN, WAF_END)}

## The perimeter

{marked(perimeter_rows, PERIMETER_BEGIN, PERIMETER_END)}
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[case[0] for case in CASES] + ["memory"])
    parser.add_argument("--proxies", nargs="*", help="measure only these")
    parser.add_argument("--gate", type=Path, default=GATE, help="another polder-gate")
    parser.add_argument("--no-file", action="store_true", help="print only")
    return parser.parse_args()


def main():
    options = parse_arguments()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench: this needs two CPUs: one for the proxy, one for origin and load")
    proxies = [p for p in all_proxies(options.gate, RELAY) if not options.proxies or p.name in options.proxies]
    cases = [case for case in CASES if not options.only or case[0] in options.only]
    voids, memory, turn = [], {}, wait_turn()
    scratch = Path(tempfile.mkdtemp(prefix="polder-bench-"))
    scratch.chmod(0o755)
    bench = Bench(scratch, proxies)
    try:
        bench.start_origin()
        speed = bench.measure_speed(cases, options.rounds, options.seconds, voids)
        if not options.only or "memory" in options.only:
            memory = {kind: bench.measure_memory(kind, voids) for kind in ("idle-clear", "idle-tls")}
    except KeyboardInterrupt:
        return 130
    finally:
        bench.stop_all()
        shutil.rmtree(scratch, ignore_errors=True)
    turn.close()
    rows = table(cases, speed, memory)
    print("\n" + rows)
    for void in voids:
        print(f"void: {void}")
    if not options.no_file:
        written = ROOT / "docs/benchmarks.md"
        before = written.read_text()
        waf_rows = between(before, WAF_BEGIN, WAF_END) or "Not measured yet: bench_waf.py."
        perimeter_rows = between(before, PERIMETER_BEGIN, PERIMETER_END) or "Not measured yet: bench_perimeter.py."
        written.write_text(page(rows, options, proxies, voids, waf_rows, perimeter_rows))
        readme = ROOT / "README.md"
        readme.write_text(with_rows(readme.read_text(), rows))
        print("written to docs/benchmarks.md and README.md")
    return 1 if voids else 0


if __name__ == "__main__":
    sys.exit(main())
