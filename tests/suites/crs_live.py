"""The regression tests of the OWASP Core Rule Set through a running gate: each request byte for byte over TCP.

Only what every operator has is used: configuration keys, the answer's X-Request-Id, the log of the firewall and the access
log. What matched comes from the log of the firewall; a request that the gate's own parser refuses, before any rule sees it,
stands in the access log with its reason. Such a test counts as stopped when all that it misses are rules that would have
blocked.
"""
import collections
import contextlib
import json
import os
import re
import socket
import socketserver
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple, Optional

sys.path.append(str(Path(__file__).resolve().parent.parent / "wire"))
import harness  # noqa: E402

WITHIN_S = 20
ANSWER_S = 2.0  # for an answer; a request that announces more body than it has gets none
BATCH = 32  # requests between two looks whether the logs keep up: a ring that is full loses records
MARK = ("X-CRS-Test", "the end")
IDS_OF_RECORD = "polder.waf.matches"


class Told(NamedTuple):
    """What became of one request."""
    status: Optional[int]
    request_id: str


# ---- the application behind the gate

def serve(answer_of):
    """Answers as answer_of(method, target, body) says; returns its port."""

    class Handler(socketserver.StreamRequestHandler):
        timeout = 30

        def handle(self):
            with contextlib.suppress(OSError, ValueError):
                while self.one():
                    pass

        def body(self, fields):
            if fields.get("transfer-encoding", "").lower() != "chunked":
                return self.rfile.read(int(fields.get("content-length") or 0))
            body = b""
            while (size := int(self.rfile.readline().split(b";")[0], 16)) > 0:
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            return body

        def one(self):
            line = self.rfile.readline().decode("latin-1").split(" ")
            if len(line) < 3:
                return False
            fields = {}
            while (field := self.rfile.readline().decode("latin-1").rstrip("\r\n")):
                name, _, value = field.partition(":")
                fields[name.lower()] = value.strip()
            status, said, body = answer_of(line[0].encode("latin-1"), line[1].encode("latin-1"), self.body(fields))
            head = [f"HTTP/1.1 {status} Said".encode()]
            head += [name + b": " + value for name, value in said if name.lower() not in (b"content-length", b"connection")]
            empty = line[0] == "HEAD" or status in (204, 304) or status < 200
            if status not in (204, 304):
                head.append(b"Content-Length: %d" % len(body))
            self.wfile.write(b"\r\n".join(head) + b"\r\n\r\n" + (b"" if empty else body))
            return True

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads, request_queue_size = True, True, 64

    port = harness.free_port()
    threading.Thread(target=Server(("127.0.0.1", port), Handler).serve_forever, daemon=True).start()
    return port


# ---- the client

def status_and_fields(data):
    head, end, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not end or len(lines[0].split(" ")) < 2:
        return None
    fields = dict((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:]))
    return int(lines[0].split(" ")[1]), fields, rest


def is_whole(answer, is_head):
    _, fields, rest = answer
    length = fields.get("content-length")
    return is_head or (length is not None and len(rest) >= int(length))


def send(port, request):
    """The final answer to one request, sent as it is."""
    data, end = b"", time.monotonic() + ANSWER_S
    with socket.create_connection(("127.0.0.1", port), WITHIN_S) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request)
        while time.monotonic() < end:
            connection.settimeout(max(0.01, end - time.monotonic()))
            try:
                part = connection.recv(65536)
            except OSError:
                break
            data += part
            answer = status_and_fields(data)
            while answer and 100 <= answer[0] < 200:
                data = answer[2]
                answer = status_and_fields(data)
            if not part or (answer and is_whole(answer, request.startswith(b"HEAD "))):
                break
    answer = status_and_fields(data)
    return Told(answer[0], answer[1].get("x-request-id", "")) if answer else Told(None, "")


# ---- the gate and what it writes down

def configuration(rules, app_port, waf_log):
    return harness.simple_config(
        app_port, cluster={"hosts": ["*"], "waf": {"mode": "detect", "responses": "on", "profile": "plain"}},
        waf={"rules": [str(rules)], "patches": []}, gate={"waf_log": str(waf_log)},
        limits={"underscores": "keep", "header_count": 1000, "header_bytes": 64512, "target_bytes": 32768,
                "connections_per_address": 0})


def lines_of(path):
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def by_request(path):
    return {record["http.request.id"]: record for record in lines_of(path) if "http.request.id" in record}


def end_of(path):
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        return file.read().decode(errors="replace")


def settled(waf_log, access_log, port):
    """Until everything that was asked so far stands in the logs, which are written in order."""
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\n{MARK[0]}: {MARK[1]}\r\nConnection: close\r\n\r\n".encode()
    last = send(port, request).request_id
    harness.until(lambda: last in end_of(waf_log) and last in end_of(access_log), "the last request stands in the logs")


class Live:
    """A gate with these rules, and the application behind it."""

    def __init__(self, rules_text, answer_of, gate=None):
        if gate:
            os.environ["POLDER_GATE"] = str(gate)
        self.folder = tempfile.TemporaryDirectory()
        Path(self.folder.name).chmod(0o755)
        rules = Path(self.folder.name) / "rules.conf"
        rules.write_text(rules_text)
        self.waf_log = Path(self.folder.name) / "waf.jsonl"
        self.sent = 0
        self.gate = harness.Gate(configuration(rules, serve(answer_of), self.waf_log), workers=1)

    def send(self, request):
        self.sent += 1
        if self.sent % BATCH == 0:
            settled(self.waf_log, self.gate.access_log, self.gate.port())
        return send(self.gate.port(), request)

    def _hits(self):
        hits = collections.Counter()
        for (name, labels), value in self.gate.metrics().items():
            if name == "polder_waf_rule_hits_total":
                hits[int(dict(labels)["rule"])] += value
        return hits

    def counted(self, request):
        """What became of a request, and the rules whose counters it moved: all of them, where a record has an end."""
        before = self._hits()
        told = self.send(request)
        harness.until(lambda: told.request_id in end_of(self.gate.access_log), "the request stands in the access log")
        return told, set(self._hits() - before)

    def records(self):
        """Of all that was sent: (matches by request id, access records by request id)."""
        settled(self.waf_log, self.gate.access_log, self.gate.port())
        return by_request(self.waf_log), by_request(self.gate.access_log)

    def close(self):
        self.gate.stop()
        self.folder.cleanup()


def verdict_of(record):
    """A record of the log as waf-eval would have told it; a line for each match in the words of ModSecurity's log."""
    matches = (record or {}).get(IDS_OF_RECORD, [])
    said = [f'[id "{match["rule"]}"] [msg "{match.get("message", "")}"] [data "Matched Data: {match.get("excerpt", "")} found within '
            f'{match["target"]}: "]' for match in matches]
    return {"matches": [{"id": match["rule"], "logged": True, "text": text} for match, text in zip(matches, said)]}


def blocking_rules(folder):
    """Ids of the rules that block."""
    found = set()
    for path in Path(folder).glob("*.conf"):
        text = re.sub(r"\\\n\s*", "", path.read_text(errors="replace"))
        for line in text.splitlines():
            number = re.search(r"\bid:(\d+)", line)
            if number and re.search(r"[\",](?:block|deny|drop)[,\"]", line):
                found.add(int(number.group(1)))
    return found
