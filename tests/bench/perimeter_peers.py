"""The gates that bench_perimeter.py measures, each with one worker, TLS 1.3, the same application behind it.

polder has no setting for any of it, but for the name of the outside interface in the flood of SYNs: what it does it does by
default. HAProxy comes as the first page of its
documentation has it; as an expert would set it up who knows the application's capacity; and, in the cases where regular users
and strangers want the same, as an expert would who knows the application as well. nginx has the limits that are usual."""
from peers import Proxy
from perimeter_world import PINS, World

CLUSTERS = 1000  # beside noord and zuid; c0.example to c999.example

POLDER = """
gate:
  workers: 1
  run_directory: {folder}/run
  state_directory: {folder}/state
  access_log: off
  event_log: off
certificates:
  - {{ name: bench, chain: {tls}/bench.pem, key: {tls}/bench.key }}
upstreams:
  - name: application
    endpoints: ["127.0.0.1:{origin}"]
listeners:
  - name: clear
    address: 127.0.0.1:{clear}
  - name: tls
    address: 127.0.0.1:{secure}
    tls: {{ certificates: [bench] }}
clusters:
  - {{ name: default, hosts: ["*"], routes: [{{ path: /, upstream: application }}] }}
""" + "".join(f'  - {{{{ name: {name}, hosts: ["{name}.example"], routes: [{{{{ path: /, upstream: application }}}}] }}}}\n'
              for name in ["noord", "zuid", *(f"c{number}" for number in range(CLUSTERS))])

HAPROXY = """
global
    nbthread 1
    cpu-map 1 0
    maxconn 9000
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    timeout connect 3s
    timeout client 75s
    timeout server 60s
    http-reuse always
    option forwardfor
frontend bench
    bind 127.0.0.1:{clear} backlog 4096
    bind 127.0.0.1:{secure} ssl crt {tls}/bench-both.pem alpn h2,http/1.1 backlog 4096
    default_backend application
backend application
    server application 127.0.0.1:{origin}
"""

HAPROXY_EXPERT = """
global
    nbthread 1
    cpu-map 1 0
    maxconn 9000
    ssl-default-bind-options ssl-min-ver TLSv1.3
    # a client gets fewer HTTP/2 streams at once than it may ask for by default
    tune.h2.max-concurrent-streams 32
defaults
    mode http
    timeout connect 3s
    timeout client 30s
    timeout server 60s
    # a whole head in five seconds, else 408: slowloris
    timeout http-request 5s
    timeout http-keep-alive 30s
    # a body is there before a place at the application is taken: slow bodies
    option http-buffer-request
    # who waits longer than this gets 503
    timeout queue 10s
    http-reuse always
    option forwardfor
# the state of an address, and of a cluster
backend addresses
    stick-table type ip size 200k expire 60s store conn_cur,conn_rate(10s),http_req_rate(10s),http_err_rate(10s)
backend tenants
    stick-table type string len 64 size 10k expire 60s store conn_cur
frontend bench
    bind 127.0.0.1:{clear} backlog 4096
    bind 127.0.0.1:{secure} ssl crt {tls}/bench-both.pem alpn h2,http/1.1 backlog 4096
    tcp-request connection track-sc1 src table addresses
    # more than an office full of people behind one address opens
    tcp-request connection reject if {{ sc1_conn_cur gt 100 }} or {{ sc1_conn_rate gt 300 }}
    # more than 20 requests a second from one address, over ten seconds
    http-request deny deny_status 429 if {{ sc1_http_req_rate gt 200 }} or {{ sc1_http_err_rate gt 100 }}
    # the more requests a cluster has under way, the later its next one comes from the queue
    http-request track-sc0 req.hdr(host),lower table tenants
    http-request set-priority-class sc_conn_cur(0)
    default_backend application
backend application
    # the application's capacity, known from elsewhere; what is beyond it waits here, by class
    server application 127.0.0.1:{origin} maxconn 20
"""

# What it takes to know the regular users: the name of the application's cookie, and a path that only they may read.
HAPROXY_TAILORED = HAPROXY_EXPERT.replace("frontend bench\n", """# the sessions that the application has accepted
backend sessions
    stick-table type string len 64 size 100k expire 1h store gpc0
frontend bench
""").replace("    default_backend application\n", """    http-request set-var(txn.personal) bool(true) if {{ path_beg /dossier }}
    http-request track-sc2 req.cook(session) table sessions if {{ req.cook(session) -m found }}
    # an accepted session goes before all others
    http-request set-priority-class int(-1000) if {{ sc2_get_gpc0 gt 0 }}
    http-response sc-inc-gpc0(2) if {{ status 200 }} {{ var(txn.personal) -m bool }}
    default_backend application
""")

NGINX = """
{user}
daemon off;
worker_processes 1;
worker_cpu_affinity 01;
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    # slowloris and slow bodies
    client_header_timeout 5s;
    client_body_timeout 5s;
    reset_timedout_connection on;
    # an address: so many requests at once, and so many a second
    limit_conn_zone $binary_remote_addr zone=at_once:16m;
    limit_req_zone $binary_remote_addr zone=each_second:16m rate=20r/s;
    limit_conn at_once 100;
    limit_req zone=each_second burst=100 nodelay;
    limit_req_status 429;
    ssl_protocols TLSv1.3;
    ssl_certificate {tls}/bench.pem;
    ssl_certificate_key {tls}/bench.key;
    upstream application {{
        zone application 128k;
        # the application's capacity, known from elsewhere; there is no queue in this edition
        server 127.0.0.1:{origin} max_conns=20 max_fails=0;
        keepalive 20;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{clear} backlog=4096;
        listen 127.0.0.1:{secure} ssl http2 backlog=4096;
        location / {{
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""

HAPROXY_COMMAND = ["/usr/sbin/haproxy", "-db", "-f", "{config}"]
TITLES = {"polder": "polder", "haproxy": "HAProxy, default", "haproxy-expert": "HAProxy, expert",
          "haproxy-tailored": "HAProxy, tailored", "nginx": "nginx, limits"}


def perimeter_peers(gate, address="127.0.0.1"):
    """address: where they listen for clients."""
    def peer(name, clear, config, suffix, command, version):
        for port in ("clear", "secure"):
            config = config.replace(f"127.0.0.1:{{{port}}}", f"{address}:{{{port}}}")
        return Proxy(name, clear, clear + 1, config, suffix, command, version)

    outside = "" if address == "127.0.0.1" else f"filter:\n  interfaces: [{World.GATE}]\n  pins: {PINS}\n"
    return [
        peer("polder", 21_211, POLDER + outside, ".yaml", [str(gate), "--config", "{config}"], [str(gate), "--version"]),
        peer("haproxy", 21_221, HAPROXY, ".cfg", HAPROXY_COMMAND, ["/usr/sbin/haproxy", "-v"]),
        peer("haproxy-expert", 21_231, HAPROXY_EXPERT, ".cfg", HAPROXY_COMMAND, ["/usr/sbin/haproxy", "-v"]),
        peer("haproxy-tailored", 21_251, HAPROXY_TAILORED, ".cfg", HAPROXY_COMMAND, ["/usr/sbin/haproxy", "-v"]),
        peer("nginx", 21_241, NGINX, ".conf",
             ["/usr/sbin/nginx", "-p", "{folder}", "-e", "{folder}/error.log", "-c", "{config}"], ["/usr/sbin/nginx", "-v"]),
    ]
