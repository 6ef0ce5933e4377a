#!/usr/bin/python3
"""Polder at work, as root: `make run`. A small world of network namespaces around one gate, in the foreground until
interrupted:

    patients, a partner hospital, strangers who flood --- the internet --- [packet filter] the gate --- the ward
                                                                                             '--- management

Two clusters' applications of fixed capacity stand behind the gate; regular users are logged in at one of them.

    tools/demo.py           runs, with a flood now and then, and prints how to look
    tools/demo.py --check   runs, plays through what must hold, and ends: status 0 when all of it held

Everything lives in namespaces of this process's own, the BPF file system with the pinned programs too: whatever ends
it, nothing of it stays but run/demo. Floods are bounded in number and time, and reach no other namespace."""
import json
import os
import signal
import subprocess
import sys
import threading
import time

import build
import certificates
import first_record
import records
from demo_world import GATE, GATE6, INSIDE, MANAGEMENT, World, must, program, quietly
from run import CLUSTERS, Children, Trouble, interrupted

DEMO = build.ROOT / "run" / "demo"
HTTPS, HTTP, METRICS, SITE = 8443, 8080, 9464, 2575
PLACES, SERVICE_MS = 10, 50  # of each application: 200 requests a second, of which regular users need 40
REGULARS = ["users=20", "from=198.51.100.101", "rate=40", "path=/dossier", "login=1", "patience=3"]
FLOOD = ["connections=200", "addresses=200", "connects=500", "from=198.18.1.1", "path=/"]
SYN_PER_S, SYN_S, REST_S = 20_000, 5, 15
READY_WITHIN_S = 40
BUSY = os.getloadavg()[0]  # before any of this
KEPT, SERVED = 2.0, 99.0  # regular users during a flood: p99 at most so many times the quiet one; % answered
NOISE_MS, LATE_MS = 30, 10  # of a machine that runs all of this on a core or two

CONFIG = """# Made by `make run`, anew each time. man polder.yaml says what may stand here.
gate:
  workers: 2
  run_directory: {run}
  state_directory: {demo}/state
  access_log: {demo}/access.jsonl
  event_log: {demo}/events.jsonl
  management: 127.0.0.1:{metrics}

waf:
  rules:
    - {root}/share/waf/polder.conf
    - /etc/modsecurity/crs/crs-setup.conf
    - /etc/modsecurity/crs/REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf
    - {root}/share/waf/fhir.conf
    - {root}/share/waf/care-language.conf
    - /usr/share/modsecurity-crs/rules/*.conf
    - /etc/modsecurity/crs/RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf
    - {root}/share/waf/fhir-after.conf
  patches:
    - {root}/share/patches/*.yaml

filter:
  interfaces: [out0]
  pins: {pins}
  ports:
    - {{ port: {site}, serves: link }}

networks:
  inside: [10.0.0.0/24]
  management: [192.168.200.0/24]
partners:
{partners}isolation:
  site: Medisch Centrum Noord
  stage: 0s
  quiet: 1m
notice:
  name: Medisch Centrum Noord
  phone: "058 - 286 66 66"
  message: {{ nl: "De polikliniek is gewoon open.", en: "The outpatient clinic is open as usual.",
             fy: "De poliklinyk is gewoan iepen." }}

certificates:
{certificates}
upstreams:
{upstreams}
listeners:
  - {{ name: outside, address: "{gate}:{https}",
      tls: {{ certificates: [{names}], client_certificates: optional, client_ca: {demo}/tls/client-ca.pem }} }}
  - {{ name: outside6, address: "[{gate6}]:{https}", tls: {{ certificates: [{names}] }} }}
  - {{ name: plain, address: "{gate}:{http}", redirect_to_https: {https} }}
  - {{ name: inside, address: "{inside}:{https}", tls: {{ certificates: [{names}] }} }}
  - {{ name: management, address: "{management}:{https}", tls: {{ certificates: [{names}] }} }}

clusters:
{clusters}
{records}"""


LINK = """import socketserver, sys
class Hello(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"site")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("0.0.0.0", int(sys.argv[1])), Hello).serve_forever()
"""

# ---- the site

class Site:
    def __init__(self, world, children):
        self.world, self.children, self.gate = world, children, None
        self.records = records.Records(DEMO, program, HTTPS, CLUSTERS, self.inside())

    def prepare(self):
        for folder in (DEMO, DEMO / "state", DEMO / "bpf"):
            folder.mkdir(parents=True, exist_ok=True)
        must("mount", "-t", "bpf", "bpf", DEMO / "bpf")
        os.makedirs(run_directory(), mode=0o700, exist_ok=True)
        quietly("rm", "-rf", DEMO / "state" / "isolation")  # each time from the beginning
        self.ca = certificates.make_all(DEMO / "tls", {name: names for name, (_, _, names) in CLUSTERS.items()})
        first_record.write(program("src/gate/polder-gate"), DEMO / "state")
        self.records.prepare()
        self._write_config()
        self.records.start(self.children)
        for name, (port, _, _) in CLUSTERS.items():
            self.children.start(f"The application of {name}", [*self.inside(), "chrt", "-f", "10",
                                                                program("tests/bench/bench-application"), port, PLACES, SERVICE_MS])
        # Something of the site that is not the gate: what the packet filter alone guards.
        self.children.start("The link to other sites", [*self.inside(), sys.executable, "-c", LINK, SITE])

    def inside(self):
        return [*self.world.enter("gate"), "setpriv", "--pdeathsig", "TERM", "--"]

    def _write_config(self):
        names = [f"{name}-{kind}" for name in CLUSTERS for kind in ("ecdsa", "rsa")]
        (DEMO / "polder.yaml").write_text(CONFIG.format(
            run=run_directory(), demo=DEMO, root=build.ROOT, gate=GATE, gate6=GATE6, inside=INSIDE, management=MANAGEMENT, metrics=METRICS, https=HTTPS, http=HTTP,
            pins=DEMO / "bpf" / "polder", site=SITE, names=", ".join(names),
            certificates="".join(f"  - {{ name: {name}, chain: {DEMO}/tls/{name}.pem, key: {DEMO}/tls/{name}.key }}\n"
                                 for name in names),
            upstreams="".join(f"  - {{ name: {name}, endpoints: [\"127.0.0.1:{port}\"] }}\n" for name, (port, _, _) in CLUSTERS.items()) +
                      self.records.upstream(),
            partners=self.records.partner(), records=self.records.section(),
            clusters="".join(f"  - {{ name: {name}, hosts: [{', '.join(json.dumps(host) for host in hosts)}], "
                             f"waf: {{ mode: block, profile: fhir }}, routes: [{self.records.route(name)}, {{ path: /, upstream: {name} }}] }}\n"
                             for name, (_, hosts, _) in CLUSTERS.items())))

    def start(self):
        self.gate = self.children.start("The gate", [*self.inside(), program("src/gate/polder-gate"), "--config",
                                                     DEMO / "polder.yaml"])
        end = time.monotonic() + READY_WITHIN_S
        while self.status() is None:
            self.children.check()
            if time.monotonic() > end:
                raise Trouble(f"The gate does not answer after {READY_WITHIN_S} s.")
            time.sleep(0.1)

    def kill_everything(self):
        """Master and roles, with signal 9: nobody is told, nobody cleans up."""
        pids = [role["pid"] for role in self.status()["roles"] if role["state"] == "up" and role["role"] != "master"]
        self.children.list = [(words, process) for words, process in self.children.list if process is not self.gate]
        self.gate.kill()  # setpriv became the gate: this is the master
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.gate.wait()

    def polder(self, *words):
        return quietly(program("src/cli/polder"), "--config", DEMO / "polder.yaml", *words)

    def status(self):
        done = self.polder("status", "--json")
        try:
            return json.loads(done.stdout) if done.returncode == 0 else None
        except ValueError:
            return None

    def order(self, *words, reason):
        done = self.polder(*words, "--reason", reason, "--yes")
        if done.returncode != 0:
            raise Trouble(f"polder {' '.join(words)}: {done.stdout.strip()}")
        return done.stdout.strip()


def run_directory():
    inside = DEMO / "sockets"
    return str(inside) if len(str(inside)) <= 80 else "/tmp/polder-demo"


# ---- who comes

class People:
    def __init__(self, site):
        self.site, self.world = site, site.world

    def ask(self, side, path="/", host="localhost", address=None, port=HTTPS, scheme="https", within_s=3):
        """The status of an answer, or 0."""
        address = address or {"ward": INSIDE, "management": MANAGEMENT}.get(side, GATE)
        resolve = f"{host}:{port}:[{address}]" if ":" in address else f"{host}:{port}:{address}"
        done = quietly(*self.world.enter(side), "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", within_s, "--cacert",
                       self.site.ca, "--resolve", resolve, f"{scheme}://{host}:{port}{path}")
        return int(done.stdout or 0)

    def link(self, side):
        """Whether the service beside the gate can be reached from there."""
        address = INSIDE if side == "ward" else GATE
        done = quietly(*self.world.enter(side), sys.executable, "-c",
                       f"import socket; print(socket.create_connection(('{address}', {SITE}), 2).recv(9))")
        return "b'site'" in done.stdout

    def _tool(self, side, name, *arguments, before=()):
        return subprocess.Popen([*map(str, self.world.enter(side)), "setpriv", "--pdeathsig", "KILL", "--", *before,
                                 program(f"tests/bench/bench-{name}"), *map(str, arguments)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def regulars(self, at, seconds):
        return self._tool("patients", "users", GATE, HTTPS, "host=localhost", *REGULARS, f"at={at}", f"for={seconds}",
                          before=("chrt", "-f", "10"))  # they stand for machines of their own

    def flood(self, at, seconds):
        """Requests of strangers as fast as they are answered, and SYNs from sources that are nobody's."""
        return [self._tool("strangers", "attack", "flood", GATE, HTTPS, "host=localhost", *FLOOD, f"at={at}", f"for={seconds}",
                           "count=0", before=("nice", "-n", "10")),
                self._tool("strangers", "syn-flood", "s0", self.world.router_mac, GATE, HTTPS, SYN_PER_S, at, seconds,
                           before=("nice", "-n", "10"))]


def percentile(samples, percent):
    times = sorted(ms for _, ms, _ in samples)
    return times[min(len(times) - 1, int(len(times) * percent / 100))] if times else 0.0


def served(samples):
    return 100.0 * sum(status == 200 for _, _, status in samples) / max(1, len(samples))


# ---- playing it through

class Checks:
    def __init__(self):
        self.failed = 0

    def say(self, held, words):
        self.failed += not held
        print(f"  {'holds ' if held else 'FAILS '} {words}", flush=True)

    def same(self, what, found, expected):
        self.say(found == expected, f"{what}: {found}" + ("" if found == expected else f", expected {expected}"))


def check_open(people, checks):
    print("Open", flush=True)
    for side in ("patients", "hospital", "strangers", "ward", "management"):
        checks.same(f"{side} get the application", people.ask(side), 200)
    checks.same("patients get the other cluster", people.ask("patients", host="zuid.localhost"), 200)
    checks.same("patients get the records", people.ask("patients", path="/fhir/metadata"), 200)
    checks.same("patients get records without saying who they are", people.ask("patients", path="/fhir/Patient"), 401)
    checks.same("patients over IPv6", people.ask("patients", address=GATE6), 200)
    checks.same("strangers reach what stands beside the gate, as long as all is open", people.link("strangers"), True)
    packets = (people.site.status() or {}).get("packets", {})
    if packets:
        print(f"         packet filter: {packets.get('mode')} {packets.get('why', '')}", flush=True)


def measure_flood(people):
    """(regular users when it is quiet, in the flood; how late the measuring itself was, in ms)"""
    at, quiet_s, flood_s = time.monotonic() + 4, 5, SYN_S
    users = people.regulars(at, quiet_s + 1 + flood_s)
    attackers = people.flood(at + quiet_s, flood_s + 1)
    try:
        report = json.loads(users.communicate(timeout=60)[0])
        attack = json.loads(attackers[0].communicate(timeout=60)[0])
        syns = json.loads(attackers[1].communicate(timeout=60)[0])
    except (ValueError, subprocess.TimeoutExpired) as error:
        raise Trouble(f"a load generator did not report: {error}") from error
    finally:
        for process in (users, *attackers):
            process.kill()
            process.wait()
    late = report["late_p99_ms"]
    print(f"         strangers asked {attack['asked']:,} times on {attack['most_up']} connections; {syns['opened']:,} SYNs; the "
          f"measuring itself was {late:.0f} ms late", flush=True)
    quiet = [s for s in report["samples"] if s[0] < quiet_s * 1000]
    during = [s for s in report["samples"] if s[0] >= (quiet_s + 1) * 1000]
    return quiet, during, late


def is_unharmed(quiet, during):
    return (len(during) > 50 and served(during) >= SERVED and served(quiet) == 100 and
            percentile(during, 99) <= KEPT * percentile(quiet, 99) + NOISE_MS)


def check_flood(people, checks):
    """On a machine that does other work too a measurement may be worth nothing: then once more."""
    print("A flood", flush=True)
    for tries_left in (2, 1, 0):
        quiet, during, late = measure_flood(people)
        if is_unharmed(quiet, during) or not tries_left:
            break
        print(f"         p99 {percentile(quiet, 99):.0f} and {percentile(during, 99):.0f} ms; the machine's load is "
              f"{os.getloadavg()[0]:.1f}: once more", flush=True)
    is_doubtful = late > LATE_MS or BUSY > len(os.sched_getaffinity(0))
    doubt = f" (worth little: other work keeps this machine busy, its load was {BUSY:.1f} before)" if is_doubtful else ""
    checks.say(is_unharmed(quiet, during), f"regular users: quiet {served(quiet):.1f} % of {len(quiet)} answered, p99 "
               f"{percentile(quiet, 99):.0f} ms; in the flood {served(during):.1f} % of {len(during)}, p99 "
               f"{percentile(during, 99):.0f} ms{doubt}")


def must_be_partners_only(people, checks, words):
    print(words, flush=True)
    for side, status in (("strangers", 503), ("patients", 503), ("hospital", 200), ("ward", 200), ("management", 200)):
        checks.same(f"{side} get", people.ask(side), status)
    checks.same("the hospital over IPv6 gets", people.ask("hospital", address=GATE6), 200)
    checks.same("patients over IPv6 get", people.ask("patients", address=GATE6), 503)
    checks.same("the plain listener says so too", people.ask("patients", port=HTTP, scheme="http"), 503)


def level_of(site):
    return ((site.status() or {}).get("isolation") or {}).get("level")


def check_isolation(site, people, checks):
    said = site.order("isolate", "partners", reason="a demonstration: a gateway that cannot be trusted")
    print(f"         {said.splitlines()[0]}", flush=True)
    must_be_partners_only(people, checks, "Isolated: partners")
    checks.same("strangers reach what stands beside the gate", people.link("strangers"), False)
    checks.same("the level is", level_of(site), "partners")


def check_death(site, people, checks):
    site.kill_everything()
    print("kill -9 of every process of the gate", flush=True)
    checks.same("strangers get from the gate", people.ask("strangers", within_s=2), 0)
    checks.same("strangers reach what stands beside the gate", people.link("strangers"), False)
    checks.same("the ward reaches what stands beside the gate", people.link("ward"), True)
    site.start()
    checks.same("after the next start the level is", level_of(site), "partners")
    must_be_partners_only(people, checks, "Started again")
    checks.same("strangers reach what stands beside the gate", people.link("strangers"), False)


def check_way_back(site, people, checks):
    site.order("isolate", "open", "--partners-back", reason="a demonstration: the hole is closed")
    print("Open again", flush=True)
    for side in ("strangers", "patients", "hospital", "ward"):
        checks.same(f"{side} get", people.ask(side), 200)
    done = site.polder("journal", "verify")
    checks.say(done.returncode == 0, f"the journal: {done.stdout.strip().splitlines()[0] if done.stdout.strip() else 'nothing was said'}")


def play(site, people):
    checks = Checks()
    check_open(people, checks)
    check_flood(people, checks)
    check_isolation(site, people, checks)
    check_death(site, people, checks)
    check_way_back(site, people, checks)
    print("Everything held." if not checks.failed else f"{checks.failed} of these did not hold.", flush=True)
    return 1 if checks.failed else 0


# ---- as a living demonstration

class Traffic(threading.Thread):
    """Regular users all the time, and a flood for some seconds out of every twenty."""

    def __init__(self, people):
        super().__init__(daemon=True)
        self.people, self.over, self.under_way = people, threading.Event(), []

    def run(self):
        while not self.over.is_set():
            at, seconds = time.monotonic() + 4, SYN_S + REST_S
            self.under_way = [self.people.regulars(at, seconds), *self.people.flood(at + REST_S, SYN_S)]
            while not self.over.wait(0.2) and any(process.poll() is None for process in self.under_way):
                pass
            self.end()

    def end(self):
        for process in self.under_way:
            process.kill()
            process.wait()
            process.stdout.close()

    def stop(self):
        self.over.set()
        self.join(10)


def print_how_to_look(site):
    polder = f"{os.path.relpath(program('src/cli/polder'), build.ROOT)} --config run/demo/polder.yaml"
    pids = {side: holder.pid for side, holder in site.world.holders.items()}
    ca = os.path.relpath(site.ca, build.ROOT)
    at = f"--resolve localhost:{HTTPS}:{GATE} https://localhost:{HTTPS}/"
    print(f"""
Polder guards two clusters in a world of network namespaces. Twenty regular users of noord are at work from
198.51.100.101-120; every {SYN_S + REST_S} s strangers from 198.18.0.0/15 flood it for {SYN_S} s, with requests and with
{SYN_PER_S:,} SYNs a second from sources that are nobody's.

In another terminal, as root, in this folder:
    {polder} top              # regular users stay fast; strangers share what is left
    {polder} status
    {polder} isolate partners --dry-run --reason "trying out"
    {polder} isolate partners --reason "a gateway that cannot be trusted"
    {polder} isolation status
    {polder} isolate open --partners-back --reason "the hole is closed"
    {polder} journal show

As a patient, the partner hospital, a stranger, the ward, management:
    nsenter --net=/proc/{pids['patients']}/ns/net curl --cacert {ca} {at}
    nsenter --net=/proc/{pids['hospital']}/ns/net curl --cacert {ca} {at}
    nsenter --net=/proc/{pids['strangers']}/ns/net curl --cacert {ca} {at}
    nsenter --net=/proc/{pids['ward']}/ns/net curl --cacert {ca} --resolve localhost:{HTTPS}:{INSIDE} https://localhost:{HTTPS}/
    nsenter --net=/proc/{pids['management']}/ns/net curl --cacert {ca} --resolve localhost:{HTTPS}:{MANAGEMENT} https://localhost:{HTTPS}/
    kill -9 the gate, all of it: what is pinned in the kernel goes on to hold; `make run` ends then.

{site.records.how_to_look(polder, f"--cacert {ca} --resolve noord.localhost:{HTTPS}:{GATE}", f"nsenter --net=/proc/{pids['patients']}/ns/net ")}
Ctrl-C ends all of it, and leaves nothing behind but run/demo.
""", flush=True)


def stay(site, people):
    traffic = Traffic(people)
    traffic.start()
    print_how_to_look(site)
    try:
        while True:
            site.children.check()
            time.sleep(0.5)
    finally:
        traffic.stop()


# ---- running

def begin_own_mounts():
    """A mount namespace of our own, so that the BPF file system ends with us: this program once more, inside one."""
    if os.environ.get("POLDER_DEMO_MOUNTS") == str(os.stat("/proc/self/ns/mnt").st_ino):
        return
    script = ["sh", "-c", 'POLDER_DEMO_MOUNTS=$(stat -Lc %i /proc/self/ns/mnt) exec "$@"', "sh"]
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--", *script, sys.executable, *sys.argv])


def main():
    is_check = "--check" in sys.argv[1:]
    if os.geteuid() != 0:
        print("tools/demo.py: network namespaces and the packet filter need root. As an ordinary user: tools/run.py",
              file=sys.stderr)
        return 2
    begin_own_mounts()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    children, world = Children(), None
    try:
        targets = ["src/gate/polder-gate", "src/cli/polder", "src/records/polder-records",
                   *(f"tests/bench/bench-{name}" for name in ("users", "attack", "application", "syn-flood"))]
        if "POLDER_BUILD" not in os.environ and not build.build("release", targets=targets):
            return 1
        world = World()
        site = Site(world, children)
        site.prepare()
        site.start()
        people = People(site)
        return play(site, people) if is_check else stay(site, people)
    except KeyboardInterrupt:
        print("\nEnding.", flush=True)
        return 0
    except (Trouble, RuntimeError, subprocess.TimeoutExpired) as trouble:
        print(f"\nmake run: {trouble}", file=sys.stderr, flush=True)
        return 1
    finally:
        children.end()
        if world:
            world.close()


if __name__ == "__main__":
    sys.exit(main())
