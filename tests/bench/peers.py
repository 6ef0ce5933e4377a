"""The proxies that are measured: the same job for each, configured as somebody who knows it would for this job: one
worker, keep-alive on both sides, no access log, TLS 1.3, X-Forwarded-For and -Proto added as a gate must."""
import fcntl
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
import first_record  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
PROXY_CORE, LOAD_CORE = 0, 1
ORIGIN_PORT = 21000

POLDER = """
gate:
  workers: 1
  run_directory: {folder}/run
  state_directory: {folder}/state
  access_log: off
  event_log: off
  signatures_per_second: 1000000
limits:
  connections_per_address: 0
certificates:
  - {{ name: bench, chain: {tls}/bench.pem, key: {tls}/bench.key }}
upstreams:
  - name: origin
    endpoints: ["127.0.0.1:{origin}"]
    keepalive: 256
listeners:
  - name: clear
    address: 127.0.0.1:{clear}
  - name: tls
    address: 127.0.0.1:{secure}
    tls: {{ certificates: [bench] }}
clusters:
  - name: bench
    hosts: ["*"]
    routes: [{{ path: /, upstream: origin }}]
"""

NGINX = """
{user}
daemon off;
worker_processes 1;
worker_cpu_affinity 01;
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
    ssl_protocols TLSv1.3;
    ssl_certificate {tls}/bench.pem;
    ssl_certificate_key {tls}/bench.key;
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{clear} backlog=4096;
        listen 127.0.0.1:{secure} ssl http2 backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    cpu-map 1 0
    maxconn 8000
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    timeout connect 3s
    timeout client 75s
    timeout server 60s
    timeout http-keep-alive 75s
    http-reuse always
    option forwardfor
frontend bench
    bind 127.0.0.1:{clear} backlog 4096
    bind 127.0.0.1:{secure} ssl crt {tls}/bench-both.pem alpn h2,http/1.1 backlog 4096
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    default_backend origin
backend origin
    server origin 127.0.0.1:{origin}
"""


def wait_turn():
    """One of these runs at a time on a machine: they share ports and cores. It is over with the process."""
    lock = open(Path(tempfile.gettempdir()) / "polder-bench.lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another benchmark runs: waiting for it", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


class Proxy:
    """One of them, in a folder of its own; start() gives the process at the root of its tree.
    before: a command that runs the command after it."""

    def __init__(self, name, clear, secure, config, suffix, command, version):
        self.name, self.clear, self.secure = name, clear, secure
        self.config, self.suffix, self.command, self.version_command = config, suffix, command, version

    def start(self, folder, tls, is_root, log, before=()):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run").mkdir(exist_ok=True)
        (folder / "state").mkdir(exist_ok=True)
        path = folder / f"config{self.suffix}"
        path.write_text(self.config.format(folder=folder, tls=tls, origin=ORIGIN_PORT, clear=self.clear,
                                           secure=self.secure, user="user root;" if is_root else ""))
        if self.name == "polder":
            first_record.write(self.command[0], folder / "state")
        command = [part.format(config=path, folder=folder) for part in self.command]
        return subprocess.Popen([*before, "taskset", "-c", str(PROXY_CORE), *command], stdin=subprocess.DEVNULL, stdout=log,
                                stderr=log, start_new_session=True)

    def version(self):
        done = subprocess.run(self.version_command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return done.stdout.splitlines()[0].strip() if done.stdout else "?"


def all_proxies(gate, relay):
    return [
        Proxy("polder", 21011, 21012, POLDER, ".yaml", [str(gate), "--config", "{config}"], [str(gate), "--version"]),
        Proxy("nginx", 21021, 21022, NGINX, ".conf",
              ["/usr/sbin/nginx", "-p", "{folder}", "-e", "{folder}/error.log", "-c", "{config}"],
              ["/usr/sbin/nginx", "-v"]),
        Proxy("haproxy", 21031, 21032, HAPROXY, ".cfg", ["/usr/sbin/haproxy", "-db", "-f", "{config}"],
              ["/usr/sbin/haproxy", "-v"]),
        Proxy("relay", 21041, None, "", ".none", [str(relay), "21041", str(ORIGIN_PORT)], ["true"]),
    ]


