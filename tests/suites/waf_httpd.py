"""Debian's Apache httpd with ModSecurity 2.9 on loopback, as an engine to hold ours against.

What it matched is read out of its audit log. It is the truth for what rules mean; its own HTTP layer answers some
requests before a rule saw the body, which run() tells by returning None.
"""
import contextlib
import json
import os
import random
import re
import socket
import subprocess
import time
from pathlib import Path

PROGRAM, MODULES = Path("/usr/sbin/apache2"), Path("/usr/lib/apache2/modules")
MARKER = 9_999_999  # logged at the end of phase 2: the rules have seen the whole request
WITHIN_S = 20

CONFIGURATION = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog /dev/null
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule unique_id_module {modules}/mod_unique_id.so
LoadModule security2_module {modules}/mod_security2.so
{user}
Mutex sem
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 600
Timeout 60
HttpProtocolOptions Unsafe
AllowEncodedSlashes NoDecode
LimitRequestLine 60000
LimitRequestFieldSize 60000
DocumentRoot {folder}
<Directory />
Require all granted
</Directory>
Include {rules}
SecAuditEngine On
SecAuditLogParts ABHZ
SecAuditLogType Serial
SecAuditLogFormat JSON
SecAuditLog {folder}/audit.log
SecTmpDir {folder}
SecDataDir {folder}
SecAction "id:{marker},phase:2,pass,log,msg:'all seen'"
"""


def is_installed():
    return PROGRAM.exists() and (MODULES / "mod_security2.so").exists()


def plain(text):
    """The bytes of a text that the log escapes."""
    out = bytearray()
    for part in re.findall(r"\\x[0-9a-f]{2}|\\[ntrbv\\\"]|.", text, re.S):
        out.append(int(part[2:], 16) if len(part) == 4 else b"\n\t\r\b\v\\"["ntrbv\\".index(part[1])]
                   if len(part) == 2 else ord(part[-1]))
    return bytes(out)


def match_of(message):
    found = re.search(r'\[id "(\d+)"\]', message)
    data = re.search(r'\[data "((?:[^"\\]|\\.)*)"\]', message, re.S)
    return int(found.group(1)) if found else None, plain(data.group(1)) if data else b""


def wire(request):
    """The bytes of a request as waf-eval takes it."""
    head = [request["line"]] + [f"{name}: {value}" for name, value in request["fields"]]
    names = {name.lower() for name, _ in request["fields"]}
    body = request["body"].encode("latin-1")
    if body and not names & {"content-length", "transfer-encoding"}:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def free_port():
    """Below those that the kernel gives to outgoing connections."""
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no port is free")


class Httpd:
    def __init__(self, rules, folder):
        self.folder, self.port, self.socket = Path(folder), free_port(), None
        self.folder.chmod(0o777)
        self.log_path = self.folder / "audit.log"
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        conf = self.folder / "httpd.conf"
        conf.write_text(CONFIGURATION.format(folder=self.folder, port=self.port, modules=MODULES, rules=rules, user=user,
                                             marker=MARKER))
        self.output = open(self.folder / "output", "w+")
        self.process = subprocess.Popen([PROGRAM, "-X", "-f", str(conf)], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.output)
        self._connect(time.monotonic() + WITHIN_S)
        self.log = open(self.log_path, encoding="utf-8", errors="surrogateescape")

    def _connect(self, end):
        while True:
            if self.process.poll() is not None:
                self.output.seek(0)
                raise SystemExit(f"httpd ended by itself: {self.output.read()[-2000:]}")
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port), WITHIN_S)
                self.reader = self.socket.makefile("rb")
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _answer(self):
        """Reads one answer; True if the connection goes on."""
        status = self.reader.readline()
        fields = {}
        while (line := self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip().lower()
        if b" 100 " in status[:14]:
            return self._answer()
        if fields.get(b"transfer-encoding") == b"chunked":
            while (size := int(self.reader.readline(), 16)) > 0:
                self.reader.read(size + 2)
            self.reader.readline()
        else:
            self.reader.read(int(fields.get(b"content-length") or 0))
        return status.startswith(b"HTTP/1.1") and fields.get(b"connection") != b"close"

    def _record(self):
        end, line = time.monotonic() + WITHIN_S, ""
        while not line.endswith("\n"):
            line += self.log.readline()
            if not line.endswith("\n"):
                if time.monotonic() > end:
                    raise SystemExit("httpd wrote no audit record")
                time.sleep(0.0005)
        return json.loads(line)

    def run(self, request):
        """[(rule id, logdata)...] in order; None: answered before the rules had seen it all."""
        self.socket.sendall(wire(request))
        if request["method"] == "HEAD" or not self._answer():
            self.socket.close()
            self._connect(time.monotonic() + WITHIN_S)
        record = self._record()
        matches = [match_of(message) for message in record.get("audit_data", {}).get("messages", [])]
        if (MARKER, b"") not in matches:
            return None
        return [match for match in matches if match[0] not in (MARKER, None)]

    def close(self):
        self.socket.close()
        self.process.kill()  # one process with nothing to lose; told to end it would wait for its connection
        self.process.wait(WITHIN_S)
        self.output.close()
