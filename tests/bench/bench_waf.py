#!/usr/bin/python3
"""polder-gate's firewall beside Debian's nginx + libmodsecurity, with the same rules: OWASP CRS 3.3.4, detection only.

    tests/bench/bench_waf.py [--rounds N] [--only WORD ...] [--gate FILE] [--no-file]

Each has one worker, on core 0; origin and load are on core 1. The measure is CPU time for a request, of all of a
program's processes, as the kernel counts it (/proc/PID/schedstat, nanoseconds). Rounds are interleaved; median, lowest and
highest round. Then a neighbour: what one client's requests take while another posts bundles without pause. The tables go to
docs/benchmarks.md and README.md.
"""
import argparse
import datetime
import http.client
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, Optional

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import waf_bodies  # noqa: E402
from bench_gate import (GATE, ORIGIN, WAF_BEGIN, WAF_END, Void, cpu_model, on_load_core, stop, tree,  # noqa: E402
                        with_rows)
from peers import LOAD_CORE, ORIGIN_PORT, PROXY_CORE, ROOT, first_record, wait_turn  # noqa: E402

GOAL = 20.0
LEVELS = ["none", "PL1", "PL4"]
HOSTS = {"none": "geen.example", "PL1": "noord.example", "PL4": "zuid.example"}
NGINX_PORTS = {"none": 21_120, "PL1": 21_121, "PL4": 21_124}
POLDER_PORT = 21_111
JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"
# CPU time that a cell of one round should take: enough that counting it is no part of the noise.
ROUND_S = {"none": 0.12, "PL1": 0.15, "PL4": 0.15}
NEIGHBOUR_S, QUIET_S, POSTERS = 12, 4, 4
LOADS, LOAD_GOAL_MS, KEY_DIGITS = 5, 100, 64

RULES = r"""
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 1048576
SecRequestBodyLimitAction Reject
SecArgumentsLimit 50000
SecRequestBodyJsonDepthLimit 512
SecPcreMatchLimit 500000
SecPcreMatchLimitRecursion 500000
SecResponseBodyAccess Off
SecAuditEngine Off
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/(?:[a-z0-9.-]+\+)?json" \
    "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecAction "id:200100,phase:1,pass,nolog,t:none,setvar:tx.paranoia_level={level},setvar:tx.executing_paranoia_level={level},\
setvar:'tx.allowed_request_content_type=|application/x-www-form-urlencoded| |multipart/form-data| |application/json| |text/plain|'"
Include /etc/modsecurity/crs/crs-setup.conf
Include /usr/share/modsecurity-crs/rules/*.conf
"""

NGINX = """
load_module /usr/lib/nginx/modules/ngx_http_modsecurity_module.so;
{user}
daemon off;
worker_processes 1;
worker_cpu_affinity 01;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_max_body_size 16m;
    client_body_buffer_size 1m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 1000000000; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
{servers}
}}
"""
NGINX_SERVER = "    server {{ listen 127.0.0.1:{port}; {waf} location / {{ proxy_pass http://origin; }} }}\n"


class Input(NamedTuple):
    name: str
    words: str
    path: str
    content_type: Optional[str]
    body: Optional[bytes]


def inputs():
    plain, hostile = waf_bodies.Maker(waf_bodies.NOTES), waf_bodies.Maker(waf_bodies.ATTACKS)
    return [
        Input("get", "GET", "/dossier", None, None),
        Input("get10", "GET with 10 arguments", waf_bodies.ten_arguments(), None, None),
        Input("form", "form, 1 KiB", "/formulier", FORM, plain.form(1024)),
        Input("fhir10", "FHIR bundle, 10 KiB", "/fhir", JSON, plain.bundle(10 << 10)),
        Input("fhir100", "FHIR bundle, 100 KiB", "/fhir", JSON, plain.bundle(100 << 10)),
        Input("letter", "letter, 100 KiB in a form", "/brief", FORM, b"brief=" + plain.form(100 << 10).replace(b"&", b"+").replace(b"=", b"+")),
        Input("attack", "attack bundle, 100 KiB", "/fhir", JSON, hostile.bundle(100 << 10)),
    ]


# ---- the two of them

def cpu_ns(root):
    total = 0
    for pid in tree(root):
        total += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return total


def nginx_config(folder):
    servers = []
    for level in LEVELS:
        waf = "modsecurity off;"
        if level != "none":
            (folder / f"{level}.conf").write_text(RULES.format(level=level[2:]))
            waf = f"modsecurity on; modsecurity_rules_file {folder}/{level}.conf;"
        servers.append(NGINX_SERVER.format(port=NGINX_PORTS[level], waf=waf))
    user = "user root;" if os.geteuid() == 0 else ""
    return NGINX.format(folder=folder, origin=ORIGIN_PORT, user=user, servers="".join(servers))


def polder_config(folder, has_rules=True):
    (folder / "rules.conf").write_text(RULES.format(level=1))

    def cluster(name, level):
        waf = {"mode": "off"} if level == "none" else {"mode": "detect", "paranoia": int(level[2:])}
        return {"name": name, "hosts": [HOSTS[level] if name == level else f"{name}.example"],
                **({"waf": waf} if has_rules else {}), "routes": [{"path": "/", "upstream": "origin"}]}

    rules = {"waf": {"rules": [f"{folder}/rules.conf"], "patches": [], "cache_directory": f"{folder}/cache"}}
    return json.dumps({
        "gate": {"workers": 1, "run_directory": f"{folder}/run", "state_directory": f"{folder}/state", "access_log": "off",
                 "event_log": f"{folder}/events.jsonl", "waf_log": f"{folder}/waf.jsonl"},
        "limits": {"connections_per_address": 0},
        **(rules if has_rules else {}),
        "upstreams": [{"name": "origin", "endpoints": [f"127.0.0.1:{ORIGIN_PORT}"], "keepalive": 64}],
        "listeners": [{"name": "clear", "address": f"127.0.0.1:{POLDER_PORT}"}],
        "clusters": [cluster(level, level) for level in LEVELS] + [cluster("buren", "PL1")],
    })


class Peer(NamedTuple):
    name: str
    process: subprocess.Popen
    ports: dict


def on_proxy_core(command, log):
    return subprocess.Popen(["taskset", "-c", str(PROXY_CORE), *map(str, command)], stdin=subprocess.DEVNULL, stdout=log,
                            stderr=log, start_new_session=True)


def start(name, scratch, gate):
    folder = scratch / name
    for part in (folder, folder / "run", folder / "state", folder / "cache"):
        part.mkdir(parents=True, exist_ok=True)
    log = open(folder / "output", "w")
    if name == "nginx":
        (folder / "nginx.conf").write_text(nginx_config(folder))
        return Peer(name, on_proxy_core(["/usr/sbin/nginx", "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"],
                                        log), NGINX_PORTS)
    (folder / "polder.yaml").write_text(polder_config(folder))
    first_record.write(gate, folder / "state")
    return Peer(name, on_proxy_core([gate, "--config", folder / "polder.yaml"], log), dict.fromkeys(LEVELS, POLDER_PORT))


def wait_ready(peer, scratch, within_s=60):
    end = time.monotonic() + within_s
    for level in LEVELS:
        while True:
            if peer.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"bench: {peer.name} does not start:\n" + (scratch / peer.name / "output").read_text()[-2000:])
            try:
                connection = http.client.HTTPConnection("127.0.0.1", peer.ports[level], timeout=5)
                connection.request("GET", "/", headers={"Host": HOSTS[level], **BROWSER})
                if connection.getresponse().status == 200:
                    break
            except OSError:
                pass
            time.sleep(0.05)


def make_cache(scratch, gate, within_s=120):
    """Lets a gate make what it keeps of the rules, which takes seconds, and ends it: the next one finds it."""
    peer, end = start("polder", scratch, gate), time.monotonic() + within_s
    try:
        while not any(len(path.name) == KEY_DIGITS for path in (scratch / "polder/cache").iterdir()):
            if peer.process.poll() is not None or time.monotonic() > end:
                sys.exit("bench: the cache of the rules was not made:\n" + (scratch / "polder/output").read_text()[-2000:])
            time.sleep(0.1)
    finally:
        stop(peer.process)


def start_ms(scratch, gate, has_rules):
    """From the start of the program until it says that it is ready: time, and CPU time of all its processes."""
    folder = scratch / "polder"
    path = folder / f"start-{has_rules}.yaml"
    path.write_text(polder_config(folder, has_rules))
    begin = time.monotonic()
    process = subprocess.Popen(["taskset", "-c", str(PROXY_CORE), str(gate), "--config", str(path)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        for line in process.stderr:
            if "ready" in line:
                return (time.monotonic() - begin) * 1000, cpu_ns(process.pid) / 1e6
        raise Void("the gate did not say that it is ready")
    finally:
        stop(process)


def load_table(scratch, gate):
    rounds = [(start_ms(scratch, gate, False), start_ms(scratch, gate, True)) for _ in range(LOADS)]
    (without, without_cpu), (loaded, loaded_cpu) = (
        [statistics.median(values) for values in zip(*side)] for side in zip(*rounds))
    took = loaded - without
    return ["", "| ms until the gate is ready (CPU time of all its processes) | without rules | with rules, from the cache "
            "| what the rules take |", "|---|---|---|---|",
            f"| CRS 3.3.4, one worker, all processes on one core | {without:.0f} ({without_cpu:.0f}) | {loaded:.0f} "
            f"({loaded_cpu:.0f}) | {took:.0f} ({loaded_cpu - without_cpu:.0f}), "
            f"{'reached' if took < LOAD_GOAL_MS else 'short of'} {LOAD_GOAL_MS} |"]


# ---- loads

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Accept": "*/*"}


def h2load_command(peer, level, case, scratch):
    command = ["h2load", "--h1", "-t1", f"--connect-to=127.0.0.1:{peer.ports[level]}", f"http://{HOSTS[level]}{case.path}"]
    for name, value in BROWSER.items():
        command += ["-H", f"{name}: {value}"]
    if case.body:
        path = scratch / f"{case.name}.body"
        path.write_bytes(case.body)
        command += ["-H", f"Content-Type: {case.content_type}", "-d", str(path)]
    return command


def cost_of(peer, level, case, count, scratch):
    """Nanoseconds of CPU for one of `count` requests."""
    command = h2load_command(peer, level, case, scratch) + [f"-n{count}", f"-c{min(8, count)}"]
    before = cpu_ns(peer.process.pid)
    output = on_load_core(command)
    spent = cpu_ns(peer.process.pid) - before
    status = re.search(r"status codes: (\d+) 2xx", output)
    if not status or int(status.group(1)) != count:
        raise Void(f"not {count} good answers: {' '.join(re.findall('^(?:requests|status codes):.*', output, re.M)) or output[-300:]}")
    return spent / count


def requests_for(peer, level, case, scratch):
    """How many requests take about as much CPU as a round wants; the first ones also warm up."""
    count, cost = 1, cost_of(peer, level, case, 1, scratch)
    while count < 4096 and cost * count < ROUND_S[level] * 1e9 / 4:
        count *= 8
        cost = cost_of(peer, level, case, count, scratch)
    return max(1, min(20_000, round(ROUND_S[level] * 1e9 / cost)))


def measure(peers, cases, rounds, scratch, voids):
    """{(case, level, peer): [µs...]}"""
    counts, results = {}, {}
    for number in range(rounds):
        for case in cases:
            for level in LEVELS:
                for peer in peers if number % 2 == 0 else peers[::-1]:
                    key = case.name, level, peer.name
                    try:
                        if key not in counts:
                            counts[key] = requests_for(peer, level, case, scratch)
                        results.setdefault(key, []).append(cost_of(peer, level, case, counts[key], scratch) / 1000)
                    except (Void, OSError, subprocess.TimeoutExpired) as why:
                        voids.append(f"{key}, round {number + 1}: {why}")
        print(f"  waf: round {number + 1} of {rounds}", flush=True)
    return results


# ---- the neighbour

def latencies(peer, host, seconds):
    """What each of one client's requests took, one after the other on one connection, in ms."""
    connection, found, end = http.client.HTTPConnection("127.0.0.1", peer.ports["PL1"], timeout=60), [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        connection.request("GET", waf_bodies.ten_arguments(), headers={"Host": host, **BROWSER})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise Void(f"the neighbour got {answer.status}")
        found.append((time.monotonic() - begin) * 1000)
    return found


def beside_a_poster(peer, host, case, scratch):
    os.sched_setaffinity(0, {LOAD_CORE})
    quiet = latencies(peer, host, QUIET_S)
    command = h2load_command(peer, "PL1", case, scratch) + [f"-c{POSTERS}", "-D", str(NEIGHBOUR_S + 3)]
    poster = subprocess.Popen(["taskset", "-c", str(LOAD_CORE), *command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)  # until its connections are up
        return quiet, latencies(peer, host, NEIGHBOUR_S)
    finally:
        stop(poster)


def p99(values):
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


# ---- tables

def cell(values):
    if not values:
        return "void"
    middle = statistics.median(values)
    return f"{middle:,.0f} ({min(values) / middle * 100 - 100:+.0f}..{max(values) / middle * 100 - 100:+.0f} %)"


def ratio(mine, other):
    if not mine or not other:
        return "-"
    found = statistics.median(other) / statistics.median(mine)
    return f"{found:.0f} ({'reached' if found >= GOAL else 'short of'} {GOAL:.0f})"


def cost_table(cases, results):
    lines = ["| microseconds of CPU for a request | level | polder | nginx + libmodsecurity | times less |", "|---|---|---|---|---|"]
    for level in ("PL1", "PL4", "none"):
        for case in cases:
            mine, other = (results.get((case.name, level, name), []) for name in ("polder", "nginx"))
            less = ratio(mine, other) if level != "none" else "no firewall"
            lines.append(f"| {case.words} | {level if level != 'none' else '-'} | {cell(mine)} | {cell(other)} | {less} |")
    return lines


def neighbour_table(rows):
    lines = ["", f"| ms for a GET with 10 arguments (PL1), while {POSTERS} connections post 100 KiB bundles | quiet: median, p99 "
             "| beside the poster: median, p99 | times the quiet median |", "|---|---|---|---|"]
    for words, quiet, loaded in rows:
        times = statistics.median(loaded) / statistics.median(quiet)
        goal = f" ({'reached' if times <= 2 else 'short of'} 2)" if words.startswith("polder") else ""
        lines.append(f"| {words} | {statistics.median(quiet):.2f}, {p99(quiet):.2f} | {statistics.median(loaded):.2f}, "
                     f"{p99(loaded):.2f} | {times:.1f}{goal} |")
    return lines


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="inputs by name, and neighbour")
    parser.add_argument("--peers", nargs="*", default=["polder", "nginx"])
    parser.add_argument("--gate", type=Path, default=GATE, help="another polder-gate")
    parser.add_argument("--origin", type=Path, default=ORIGIN)
    parser.add_argument("--no-file", action="store_true", help="print only")
    return parser.parse_args()


def run(options, scratch, running, voids):
    cases = inputs()
    origin = subprocess.Popen(["taskset", "-c", str(LOAD_CORE), str(options.origin), str(ORIGIN_PORT)], stdin=subprocess.DEVNULL)
    running.append(origin)
    peers, loads = [], []
    if "polder" in options.peers:
        make_cache(scratch, options.gate)
        loads = load_table(scratch, options.gate)
    for name in options.peers:
        peers.append(start(name, scratch, options.gate))
        running.append(peers[-1].process)
    for peer in peers:
        wait_ready(peer, scratch)
    wanted = [case for case in cases if not options.only or case.name in options.only]
    results = measure(peers, wanted, options.rounds, scratch, voids)
    lines = cost_table(wanted, results)
    if not options.only or "neighbour" in options.only:
        bundle, rows = next(case for case in cases if case.name == "fhir100"), []
        for peer in peers:
            hosts = [("", HOSTS["PL1"])] if peer.name == "nginx" else [(", another cluster", "buren.example"), (", the same cluster", HOSTS["PL1"])]
            for words, host in hosts:
                try:
                    rows.append((peer.name + words, *beside_a_poster(peer, host, bundle, scratch)))
                except (Void, OSError) as why:
                    voids.append(f"neighbour, {peer.name}{words}: {why}")
        lines += neighbour_table(rows)
    return "\n".join(lines + loads)


def versions():
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}; ", "nginx", "libmodsecurity3", "modsecurity-crs"],
                          stdout=subprocess.PIPE, text=True).stdout
    return said.strip("; ")


def page(rows, options, voids):
    void_text = "".join(f"- {void}\n" for void in voids) or "None.\n"
    return f"""Made by `make bench` (tests/bench/bench_waf.py) on {datetime.date.today().isoformat()}. {cpu_model()}, {os.cpu_count()} CPUs, Linux
{platform.release()}. {versions()}.

{rows}

How: the same rules and settings for both (OWASP CRS 3.3.4, detection only, so that an attack is looked at to its end), one worker
each on core {PROXY_CORE}, load and origin on core {LOAD_CORE}. CPU time is that of all of a program's processes, as the kernel counts it in
nanoseconds (/proc/PID/schedstat), over as many requests as take about {ROUND_S['PL1']} s; {options.rounds} rounds, interleaved; median, lowest and
highest. Bodies are made by tests/bench/waf_bodies.py from a seed, bundles as application/json, for that is what ModSecurity looks
into. The neighbour asks one request after the other on one connection for {NEIGHBOUR_S} s; the poster is h2load. Configurations stand in
tests/bench/bench_waf.py.

Rounds that did not count:

{void_text.rstrip()}"""


def main():
    options = parse_arguments()
    voids, running, turn = [], [], wait_turn()
    scratch = Path(tempfile.mkdtemp(prefix="polder-bench-waf-"))
    scratch.chmod(0o755)
    try:
        rows = run(options, scratch, running, voids)
    except KeyboardInterrupt:
        return 130
    finally:
        for process in reversed(running):
            stop(process)
        shutil.rmtree(scratch, ignore_errors=True)
    turn.close()
    print("\n" + rows)
    for void in voids:
        print(f"void: {void}")
    if not options.no_file:
        for name, text in (("docs/benchmarks.md", page(rows, options, voids)), ("README.md", rows)):
            path = ROOT / name
            path.write_text(with_rows(path.read_text(), text, WAF_BEGIN, WAF_END))
        print("written to docs/benchmarks.md and README.md")
    return 1 if voids else 0


if __name__ == "__main__":
    sys.exit(main())
