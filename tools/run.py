#!/usr/bin/python3
"""Polder on this machine, for trying out: two clusters' applications and the gate in front of them, in the
foreground until interrupted. Everything it makes lies in run/dev; it ends only what it started."""
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import build
import certificates
import first_record
import records
from records import Trouble

DEV = build.ROOT / "run" / "dev"
HTTPS, HTTP, MANAGEMENT = 8443, 8080, 9464
CLUSTERS = {  # name: (port of its application, host names, names in its certificate)
    "noord": (8101, ["noord.localhost", "localhost"],
              "DNS:localhost, DNS:noord.localhost, IP:127.0.0.1, IP:::1"),
    "zuid": (8102, ["zuid.localhost"], "DNS:zuid.localhost"),
}
READY_WITHIN_S = 20
END_WITHIN_S = 10

CONFIG = """# Made by `make run`, anew each time. man polder.yaml says what may stand here.
gate:
  run_directory: {run_directory}
  state_directory: {dev}/state
  access_log: {dev}/access.jsonl
  management: 127.0.0.1:{management}

# Debian's rules; an installed gate takes these by itself when `rules` is left out.
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

certificates:
{certificates}
upstreams:
{upstreams}
listeners:
  - name: https
    address: 127.0.0.1:{https}
    tls:
      certificates: [{certificate_names}]
      client_certificates: optional
      client_ca: {dev}/tls/client-ca.pem
  - name: http
    address: 127.0.0.1:{http}
    redirect_to_https: {https}

partners:
{partners}
clusters:
{clusters}
{records}"""
CERTIFICATE = """  - name: {name}
    chain: {dev}/tls/{name}.pem
    key: {dev}/tls/{name}.key
"""
UPSTREAM = """  - name: {name}
    endpoints: ["127.0.0.1:{port}"]
    check: {{ type: http, path: /health, interval: 2s }}
"""
CLUSTER = """  - name: {name}
    hosts: [{hosts}]
    waf: {{ mode: block, profile: fhir }}
    routes:
      - {records}
      - {{ path: /, upstream: {name} }}
"""


def run_directory():
    """Where the control socket lies. A socket's path has room for 107 bytes (unix(7))."""
    inside = DEV / "sockets"
    return str(inside) if len(str(inside)) <= 80 else f"/tmp/polder-dev-{os.getuid()}"


def check_ports():
    wanted = [(HTTPS, "the gate, https"), (HTTP, "the gate, http"), (MANAGEMENT, "the gate's metrics")]
    wanted += [(records.PORT, "the records")]
    wanted += [(port, f"the application of {name}") for name, (port, _, _) in CLUSTERS.items()]
    taken = []
    for port, what in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                taken.append(f"port {port} ({what}): {error.strerror.lower()}")
    if taken:
        raise Trouble("\n".join(taken) + "\nIs another `make run` going on? `ss -ltnp` shows who listens.")


def write_config(path, service):
    names = [f"{name}-{kind}" for name in CLUSTERS for kind in ("ecdsa", "rsa")]
    path.write_text(CONFIG.format(
        run_directory=run_directory(), dev=DEV, root=build.ROOT, management=MANAGEMENT, https=HTTPS, http=HTTP,
        certificates="".join(CERTIFICATE.format(name=name, dev=DEV) for name in names),
        certificate_names=", ".join(names),
        upstreams="".join(UPSTREAM.format(name=name, port=port) for name, (port, _, _) in CLUSTERS.items()) + service.upstream(),
        clusters="".join(CLUSTER.format(name=name, hosts=", ".join(f'"{host}"' for host in hosts), records=service.route(name))
                         for name, (_, hosts, _) in CLUSTERS.items()), partners=service.partner(),
        records=service.section()))


class Children:
    """What was started here, and only that, is ended here: in the opposite order."""

    def __init__(self):
        self.list = []

    def start(self, words, command):
        # A session of its own: Ctrl-C reaches this program, which ends the others in their order.
        try:
            process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            raise Trouble(f"{words} cannot be started: {command[0]}: {error.strerror}") from error
        self.list.append((words, process))
        return process

    def check(self):
        for words, process in self.list:
            if process.poll() is not None:
                raise Trouble(f"{words} ended by itself ({describe(process.returncode)}); its message stands above.")

    def end(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of them behind
        for words, process in reversed(self.list):
            if process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                print(f"{words} did not end in {END_WITHIN_S} s: killed")
                process.kill()
                process.wait()


def describe(status):
    return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"


def wait_for_application(children, name, port):
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end:
        children.check()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Trouble(f"The application of {name} does not listen on port {port} after {READY_WITHIN_S} s.")


def wait_for_gate(children, ca):
    context = ssl.create_default_context(cafile=str(ca))
    end = time.monotonic() + READY_WITHIN_S
    last = None
    while time.monotonic() < end:
        children.check()
        try:
            with urllib.request.urlopen(f"https://localhost:{HTTPS}/health", timeout=2, context=context) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.URLError) as error:
            last = error
        time.sleep(0.1)
    raise Trouble(f"The gate does not serve https://localhost:{HTTPS}/health after {READY_WITHIN_S} s: {last}")


def print_addresses(service):
    ca = (DEV / "tls/ca.pem").relative_to(build.ROOT)
    client = (DEV / "tls/client").relative_to(build.ROOT)
    polder = "build/release/src/cli/polder --config run/dev/polder.yaml"
    print(f"""
Polder serves two clusters:
    noord   https://localhost:{HTTPS}   https://noord.localhost:{HTTPS}
    zuid    https://zuid.localhost:{HTTPS}
    http://localhost:{HTTP} redirects; metrics are on http://127.0.0.1:{MANAGEMENT}/metrics

Try, in another terminal in this folder:
    curl --cacert {ca} https://localhost:{HTTPS}/
    curl --cacert {ca} --resolve zuid.localhost:{HTTPS}:127.0.0.1 https://zuid.localhost:{HTTPS}/echo
    curl --cacert {ca} "https://localhost:{HTTPS}/?q=<script>alert(1)</script>"   # 403: the firewall
    curl --cacert {ca} --cert {client}.pem --key {client}.key https://localhost:{HTTPS}/echo
    h2load -n 10000 -c 8 -m 8 https://localhost:{HTTPS}/
    {polder} status
    {polder} top
    edit run/dev/polder.yaml, then: {polder} reload

{service.how_to_look(polder, f"--cacert {ca}")}
A browser warns about the certificate until it trusts {ca}, which vouches for localhost only.
The access log is run/dev/access.jsonl. Ctrl-C ends all of it.
""", flush=True)


def say_what_is_off():
    if os.geteuid() != 0:
        print("You are not root. The gate runs, with these walls off: its roles share your user id instead of having\n"
              "each their own, and have no network namespace of their own. `polder status` shows what stands.")


def serve(children):
    check_ports()
    for folder in (DEV, DEV / "state"):
        folder.mkdir(parents=True, exist_ok=True)
    os.makedirs(run_directory(), mode=0o700, exist_ok=True)
    say_what_is_off()
    ca = certificates.make_all(DEV / "tls", {name: names for name, (_, _, names) in CLUSTERS.items()})
    for name, (port, _, _) in CLUSTERS.items():
        children.start(f"The application of {name}", [build.ROOT / "tools/application", name, port, DEV / name])
        wait_for_application(children, name, port)
    service = records.Records(DEV, lambda path: build.folder("release") / path, HTTPS, CLUSTERS)
    service.prepare()
    write_config(DEV / "polder.yaml", service)
    service.start(children)
    first_record.write(build.folder("release") / "src/gate/polder-gate", DEV / "state")
    children.start("The gate", [build.folder("release") / "src/gate/polder-gate", "--config", DEV / "polder.yaml"])
    wait_for_gate(children, ca)
    print_addresses(service)
    while True:
        children.check()
        time.sleep(0.5)


def interrupted(_signal, _frame):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    children = Children()
    try:
        if not build.build("release"):
            return 1
        serve(children)
    except KeyboardInterrupt:
        print("\nEnding.", flush=True)
        return 0
    except (Trouble, RuntimeError) as trouble:
        print(f"\nmake run: {trouble}", file=sys.stderr, flush=True)
        return 1
    except PermissionError as error:
        print(f"\nmake run: {error.filename}: {error.strerror}. Was it made by root before? Remove run/ and build/.",
              file=sys.stderr)
        return 1
    finally:
        children.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
