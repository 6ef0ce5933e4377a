"""A gate under test, and everything that stands around it: certificates, clients, an application that does as told.

Nothing here sleeps for a fixed time: whatever must come is waited for with a bound (`until`), and a test that
waits in vain says what it saw. Configurations are Python dicts, written as JSON, which YAML contains. Everything
listens on loopback, on ports below the range that the kernel gives to outgoing connections.

    with harness.Application() as app, harness.Gate(harness.simple_config(app.port)) as gate:
        with gate.connect() as client:
            assert client.get("/x").status == 200
"""
import collections
import contextlib
import datetime
import ipaddress
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
import first_record as tools_first_record  # noqa: E402

WITHIN_S = 15  # for whatever must happen; only a failing test waits this long
HOST = "noord.test"
# What a gate must never say on standard error.
TROUBLE = re.compile(r"internal error|AddressSanitizer|LeakSanitizer|runtime error|killed by its sandbox|"
                     r"killed by signal|must be|Assertion|Segmentation|died")


class Trouble(AssertionError):
    """What was waited for did not come, or what came cannot be read."""


def until(condition, what, within_s=WITHIN_S):
    """Calls condition until it is true, and returns its value."""
    end = time.monotonic() + within_s
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise Trouble(f"not within {within_s} s: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


# ---- ports

class _Ports:
    """Ports of a block that this process holds for as long as it lives: its first port is listened on."""
    FIRST, LAST, BLOCK = 20_000, 32_000, 60

    def __init__(self):
        self.guards, self.next, self.end = [], 0, 0

    def _take_block(self):
        for base in random.sample(range(self.FIRST, self.LAST, self.BLOCK), (self.LAST - self.FIRST) // self.BLOCK):
            guard = socket.socket()
            try:
                guard.bind(("127.0.0.1", base))
                guard.listen(1)
            except OSError:
                guard.close()
                continue
            self.guards.append(guard)
            self.next, self.end = base + 1, base + self.BLOCK
            return
        raise Trouble("no block of ports is free")

    def take(self):
        while True:
            if self.next == self.end:
                self._take_block()
            port = self.next
            self.next += 1
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    probe.bind(("0.0.0.0", port))
                    return port


_ports = _Ports()


def free_port():
    return _ports.take()


def bind_free_port(s, port=None):
    """Binds a stream socket to a free port. A port that a closed connection of another test still lingers on counts
    as free, which only SO_REUSEADDR lets a socket have."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port or free_port()))


# ---- certificates

def _new_key(kind):
    return rsa.generate_private_key(public_exponent=65537, key_size=3072) if kind == "rsa" else \
        ec.generate_private_key(ec.SECP256R1())


def _pem_key(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


Issued = collections.namedtuple("Issued", "chain key certificate")  # paths of PEM files, and the object


class Authority:
    """A certificate authority whose files lie in a folder: NAME.pem is itself."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = Path(folder), name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.private, self.subject = _new_key("ec"), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self.subject, self.private.public_key(), 3650)
        builder = builder.add_extension(x509.BasicConstraints(True, 0), True)
        builder = builder.add_extension(self._usage(sign_certificates=True), True)
        self.certificate = builder.sign(self.private, hashes.SHA256())
        self.path = self.folder / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject, public_key, days):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.subject).public_key(public_key)
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=2))
                .not_valid_after(now + datetime.timedelta(days=days))
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private.public_key()), False))

    @staticmethod
    def _usage(sign_certificates=False):
        return x509.KeyUsage(digital_signature=not sign_certificates, content_commitment=False, key_encipherment=False,
                             data_encipherment=False, key_agreement=False, key_cert_sign=sign_certificates,
                             crl_sign=sign_certificates, encipher_only=False, decipher_only=False)

    def issue(self, file_name, names=(), kind="ec", client=False, subject=None, days=30):
        """A certificate for names (DNS or IP); for a client: with a subject, [(NameOID..., text)] or a common name.
        days below 0: it has expired."""
        key = _new_key(kind)
        if subject is None or isinstance(subject, str):
            subject = [(NameOID.COMMON_NAME, subject or file_name)]
        builder = self._builder(x509.Name([x509.NameAttribute(oid, text) for oid, text in subject]),
                                key.public_key(), days)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(self._usage(), True).add_extension(x509.ExtendedKeyUsage([usage]), False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), False)
        certificate = builder.sign(self.private, hashes.SHA256())
        chain, key_path = self.folder / f"{file_name}.pem", self.folder / f"{file_name}.key"
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.touch(mode=0o600)
        key_path.write_bytes(_pem_key(key))
        return Issued(chain, key_path, certificate)

    def revocation_list(self, file_name, revoked=()):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.subject)
                   .last_update(now - datetime.timedelta(days=1)).next_update(now + datetime.timedelta(days=30)))
        for certificate in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
                .revocation_date(now - datetime.timedelta(hours=1)).build())
        path = self.folder / f"{file_name}.pem"
        path.write_bytes(builder.sign(self.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path


def _general_name(name):
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


# ---- HTTP/1.1 as bytes, read strictly: what this cannot read must not have been sent

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")


class Fields(list):
    """(name, value) as they came; looked up without regard to case."""

    def all(self, name):
        return [value for n, value in self if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        if len(values) > 1:
            raise Trouble(f"{name} came {len(values)} times: {values}")
        return values[0] if values else default

    def __contains__(self, name):
        return bool(self.all(name)) if isinstance(name, str) else list.__contains__(self, name)

    def names(self):
        return {name.lower() for name, _ in self}


def parse_fields(lines):
    fields = Fields()
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name) or not VALUE.match(value[1:] if value[:1] == b" " else value):
            raise Trouble(f"malformed field: {line!r}")
        fields.append((name.decode("ascii"), value.strip(b" \t").decode("latin-1")))
    return fields


class Stream:
    """A socket with what was read from it and not used yet. Everything has a time limit."""

    def __init__(self, sock, within_s=WITHIN_S):
        self.sock, self.waiting, self.raw, self.ended = sock, b"", bytearray(), False
        sock.settimeout(within_s)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.sock.sendall(data if isinstance(data, (bytes, bytearray, memoryview)) else data.encode("latin-1"))

    def fill(self):
        """False: the peer closed its side, or broke off."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b""
        except socket.timeout:
            raise Trouble(f"nothing came; so far: {bytes(self.waiting[:200])!r}") from None
        self.waiting += data
        self.raw += data
        self.ended = not data
        return bool(data)

    def until(self, mark, limit=1 << 20):
        while mark not in self.waiting:
            if len(self.waiting) > limit or not self.fill():
                raise Trouble(f"{mark!r} never came after {bytes(self.waiting[:200])!r}")
        taken, _, self.waiting = self.waiting.partition(mark)
        return taken

    def exactly(self, n):
        pieces, left = [], n
        while left:
            if not self.waiting and not self.fill():
                raise Trouble(f"it ended {left} of {n} bytes early")
            pieces.append(self.waiting[:left])
            self.waiting = self.waiting[left:]
            left -= len(pieces[-1])
        return b"".join(pieces)

    def rest(self):
        while self.fill():
            pass
        taken, self.waiting = self.waiting, b""
        return taken

    def is_closed(self, within_s=WITHIN_S):
        """True once the peer closed, with nothing more said; False when it says something."""
        self.sock.settimeout(within_s)
        return not self.waiting and not self.fill()

    def is_silent(self, for_s=0.2):
        """Nothing comes and the connection stays open, for that long."""
        self.sock.settimeout(for_s)
        try:
            return not self.waiting and self.sock.recv(1) is None
        except (socket.timeout, ssl.SSLWantReadError):
            return True
        finally:
            self.sock.settimeout(WITHIN_S)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def chunked_body(self):
        body = []
        while True:
            size = self.until(b"\r\n")
            if not re.match(rb"[0-9A-Fa-f]{1,16}\Z", size):
                raise Trouble(f"malformed chunk size: {size!r}")
            if int(size, 16) == 0:
                break
            body.append(self.exactly(int(size, 16)))
            if self.exactly(2) != b"\r\n":
                raise Trouble("a chunk does not end in CR LF")
        trailers = []
        while (line := self.until(b"\r\n")) != b"":
            trailers.append(line)
        return b"".join(body), parse_fields(trailers)


class Response:
    def __init__(self, status, reason, fields, interim):
        self.status, self.reason, self.fields, self.interim = status, reason, fields, interim
        self.body, self.trailers, self.framing = b"", Fields(), "none"

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r}>"

    def json(self):
        return json.loads(self.body)


def _framing(fields):
    length, coding = fields.get("content-length"), fields.get("transfer-encoding")
    if length is not None and coding is not None:
        raise Trouble("Content-Length and Transfer-Encoding together")
    if coding is not None:
        if coding.lower() != "chunked":
            raise Trouble(f"Transfer-Encoding: {coding}")
        return "chunked", 0
    if length is not None:
        if not re.match(r"[0-9]{1,18}\Z", length):
            raise Trouble(f"Content-Length: {length!r}")
        return "length", int(length)
    return "none", 0


class Client(Stream):
    """A client's connection to the gate: raw bytes, or whole requests."""

    def __init__(self, sock, host=HOST, within_s=WITHIN_S):
        super().__init__(sock, within_s)
        self.host = host

    def head(self):
        lines = self.until(b"\r\n\r\n").split(b"\r\n")
        match = re.match(rb"HTTP/1\.1 ([1-9][0-9][0-9]) ([\x20-\x7e]*)\Z", lines[0])
        if not match:
            raise Trouble(f"malformed status line: {lines[0]!r}")
        return int(match[1]), match[2].decode(), parse_fields(lines[1:])

    def response_head(self):
        """The head of the final answer (or of 101), with the interim ones before it."""
        interim = []
        while True:
            status, reason, fields = self.head()
            if status >= 200 or status == 101:
                return Response(status, reason, fields, interim)
            interim.append(Response(status, reason, fields, []))

    def response(self, method="GET"):
        r = self.response_head()
        r.framing, length = _framing(r.fields)
        if method == "HEAD" or r.status in (101, 204, 304):
            if r.status in (101, 204) and r.framing != "none":
                raise Trouble(f"{r.status} with a body's framing: {r.fields}")
        elif r.framing == "chunked":
            r.body, r.trailers = self.chunked_body()
        elif r.framing == "length":
            r.body = self.exactly(length)
        else:
            r.framing, r.body = "close", self.rest()
        return r

    def request(self, method, target, fields=(), body=None, version="1.1", host=True):
        head = f"{method} {target} HTTP/{version}\r\n"
        if host:
            head += f"Host: {self.host}\r\n"
        for name, value in fields:
            head += f"{name}: {value}\r\n"
        if body is not None:
            head += f"Content-Length: {len(body)}\r\n"
        self.send(head.encode("latin-1") + b"\r\n" + (body or b""))

    def ask(self, method, target, fields=(), body=None, **more):
        self.request(method, target, fields, body, **more)
        return self.response(method)

    def get(self, target, fields=(), **more):
        return self.ask("GET", target, fields, **more)

    def send_slowly(self, data, piece=1):
        for at in range(0, len(data), piece):
            self.send(data[at:at + piece])


def chunks(*pieces, trailers=()):
    """A chunked body."""
    text = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n"
    return text + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n"


def tls_context(ca=None, client=None, alpn=("http/1.1",), maximum=None, check=True):
    """What a client needs for TLS. ca: path of the authority; client: an Issued."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check and ca is not None
    context.verify_mode = ssl.CERT_REQUIRED if ca is not None else ssl.CERT_NONE
    if ca is not None:
        context.load_verify_locations(str(ca))
    if client:
        context.load_cert_chain(str(client.chain), str(client.key))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if maximum:
        context.maximum_version = maximum
    return context


# ---- the application behind the gate

class Request:
    """What the application received: the head's very bytes, and how they read."""

    def __init__(self, head, connection):
        lines = head.split(b"\r\n")
        match = re.match(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.1\Z", lines[0])
        if not match:
            raise Trouble(f"malformed request line: {lines[0]!r}")
        self.raw_head, self.connection = head + b"\r\n\r\n", connection
        self.method, self.target = match[1].decode(), match[2].decode()
        self.path, _, self.query = self.target.partition("?")
        self.fields = parse_fields(lines[1:])
        self.framing, self.length = _framing(self.fields)
        if len(self.fields.all("host")) != 1:
            raise Trouble(f"Host came {len(self.fields.all('host'))} times")
        self.body, self.trailers, self.is_complete = None, Fields(), False

    def __repr__(self):
        return f"<{self.method} {self.target} {self.fields} {self.body!r}>"


class Call:
    """One request, in the hands of a behaviour."""

    def __init__(self, app, stream, request):
        self.app, self.stream, self.request = app, stream, request
        self.is_over = False

    def body(self):
        """The whole request body; read once, also when nobody asks."""
        if self.request.body is None:
            if self.request.framing == "chunked":
                self.request.body, self.request.trailers = self.stream.chunked_body()
            else:
                self.request.body = self.stream.exactly(self.request.length)
            self.request.is_complete = True
            self.app.changed()
        return self.request.body

    def send(self, data):
        self.stream.send(data)

    def answer(self, status=200, body=b"", fields=(), reason="OK"):
        self.send(answer_bytes(status, body, fields, reason))

    def wait(self, event, within_s=WITHIN_S):
        """For a threading.Event of the test; also ends with the application."""
        end = time.monotonic() + within_s
        while not event.is_set() and not self.app.closing.is_set() and time.monotonic() < end:
            event.wait(0.02)

    def stall(self):
        """Until the gate closes, or the application ends."""
        self.stream.sock.settimeout(0.05)
        while not self.app.closing.is_set():
            try:
                if not self.stream.sock.recv(65536):
                    break
            except socket.timeout:
                continue
            except OSError:
                break
        self.is_over = True

    def close(self):
        self.stream.close()
        self.is_over = True

    def reset(self):
        self.stream.reset()
        self.is_over = True

    def websocket_echo(self):
        """Agrees to an upgrade, then sends back whatever comes."""
        self.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        while self.stream.waiting or self.stream.fill():
            taken, self.stream.waiting = self.stream.waiting, b""
            self.send(taken)
        self.close()


def answer_bytes(status=200, body=b"", fields=(), reason="OK"):
    text = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
    return text.encode("latin-1") + b"Content-Length: %d\r\n\r\n" % len(body) + body


def echo(call):
    """What came, as JSON: the behaviour of paths that have none of their own."""
    body, r = call.body(), call.request
    call.answer(body=json.dumps({"app": call.app.name, "method": r.method, "target": r.target, "fields": r.fields,
                                 "body": body.decode("latin-1")[:4096], "length": len(body), "trailers": r.trailers,
                                 "connection": r.connection}).encode(),
                fields=[("Content-Type", "application/json")])


def says(data, then="keep"):
    """Reads the body, sends these bytes, and keeps, closes or resets the connection, or stalls."""
    def behave(call):
        call.body()
        call.send(data)
        if then != "keep":
            getattr(call, then)()
    return behave


class Application:
    """A server in this process. on(path, behaviour) tells it what to do; it keeps every request it received and, for
    each connection, every byte (`bytes_of`). Requests that are not canonical HTTP/1.1 are kept in `wrong`."""

    def __init__(self, name="app", port=None, tls=None, proxy_protocol=False, answer=echo):
        self.name, self.port, self.tls, self.proxy_protocol, self.default = name, port or free_port(), tls, proxy_protocol, answer
        self.behaviours, self.requests, self.wrong, self.proxy_headers = {}, [], [], []
        self.streams, self.connections = {}, 0
        self.condition, self.closing = threading.Condition(), threading.Event()
        self.listening = None
        self.open()

    def open(self):
        """Listens (again)."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", self.port))
        s.listen(512)
        self.listening = s
        threading.Thread(target=self._accept, args=(s,), daemon=True).start()

    def shut(self):
        """Refuses from now on, and breaks off what there is."""
        s, self.listening = self.listening, None
        if s:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        self.drop_connections()

    def drop_connections(self):
        with self.condition:
            streams = list(self.streams.values())
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.sock.shutdown(socket.SHUT_RDWR)

    def on(self, path, behaviour):
        self.behaviours[path] = behaviour
        return self

    def changed(self):
        with self.condition:
            self.condition.notify_all()

    def clear(self):
        with self.condition:
            self.requests.clear()
            self.wrong.clear()
            self.proxy_headers.clear()

    def seen(self, path):
        """Requests for this path (without the query)."""
        with self.condition:
            return [r for r in self.requests if r.path == path]

    def wait_for(self, path, count=1, complete=True, within_s=WITHIN_S):
        """Until so many requests for the path came, in whole unless told otherwise."""
        def enough():
            found = [r for r in self.seen(path) if r.is_complete or not complete]
            return found if len(found) >= count else None
        return until(enough, f"{count} requests for {path} at {self.name}", within_s)

    def bytes_of(self, connection):
        return bytes(self.streams[connection].raw)

    def _accept(self, listening):
        while True:
            try:
                s, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._connection, args=(s,), daemon=True).start()

    def _connection(self, s):
        try:
            stream = Stream(s)
            stream.sock.settimeout(120)
            with self.condition:
                self.connections += 1
                number = self.connections
                self.streams[number] = stream
            if self.proxy_protocol:
                self._read_proxy_header(stream)
            if self.tls:
                stream.sock = self.tls.wrap_socket(s, server_side=True)
            self._serve(stream, number)
        except (OSError, ValueError):
            pass
        except Trouble as trouble:
            with self.condition:
                self.wrong.append(str(trouble))
        finally:
            stream.close()
            with self.condition:
                self.condition.notify_all()

    def _read_proxy_header(self, stream):
        first = stream.sock.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL)
        if first == b"\r\n\r\n\0\r\nQUIT\n":
            head = stream.sock.recv(16, socket.MSG_WAITALL)
            header = head + stream.sock.recv(struct.unpack(">H", head[14:])[0], socket.MSG_WAITALL)
        else:
            header = b""
            while not header.endswith(b"\r\n"):
                header += stream.sock.recv(1)
        with self.condition:
            self.proxy_headers.append(header)

    def _serve(self, stream, number):
        while True:
            if not stream.waiting and not stream.fill():
                return
            request = Request(stream.until(b"\r\n\r\n"), number)
            with self.condition:
                self.requests.append(request)
                self.condition.notify_all()
            call = Call(self, stream, request)
            self.behaviours.get(request.path, self.default)(call)
            if call.is_over:
                return
            call.body()

    def close(self):
        self.closing.set()
        self.shut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- the gate

def program():
    if "POLDER_GATE" in os.environ:
        return os.environ["POLDER_GATE"]
    root = Path(__file__).resolve().parents[2]
    return str(Path(os.environ.get("POLDER_BUILD", root / "build/release")) / "src/gate/polder-gate")


def memory_is_shown():
    """Another process's memory is shown to root only when it is not dumpable; a sanitizer's is not the program's own."""
    return os.geteuid() == 0 and b"__asan_init" not in Path(program()).read_bytes()


def simple_config(app_port, listener=None, upstream=None, route=None, cluster=None, **more):
    """One clear-text listener "http", one upstream "app", one cluster "noord". Each part can be added to."""
    return {
        "upstreams": [{"name": "app", "endpoints": [f"127.0.0.1:{app_port}"], **(upstream or {})}],
        "listeners": [{"name": "http", **(listener or {})}],
        "clusters": [{"name": "noord", "hosts": [HOST],
                      "routes": [{"path": "/", "upstream": "app", **(route or {})}], **(cluster or {})}],
        **more,
    }


class Gate:
    """A running gate. Listeners without an address are given one; gate.port("http") tells it."""

    inherited = ()  # descriptors it gets

    def __init__(self, config, workers=2, start=True, arguments=(), first_record=True):
        self.folder = Path(tempfile.mkdtemp(prefix="polder-wire-"))
        self.folder.chmod(0o755)
        self.access_log, self.event_log = self.folder / "access.jsonl", self.folder / "events.jsonl"
        self.config_path = self.folder / "polder.yaml"
        self.management, self.workers, self.arguments = free_port(), workers, list(arguments)
        self.process, self.said, self.said_changed = None, [], threading.Condition()
        self.may_say = None  # pattern of trouble that a test provokes
        self.addresses = {}
        (self.folder / "run").mkdir()
        (self.folder / "state").mkdir()
        if first_record:
            tools_first_record.write(program(), self.folder / "state")
        self.write_config(config)
        if start:
            try:
                self.start()
            except BaseException:
                shutil.rmtree(self.folder, ignore_errors=True)
                raise

    # -- configuration

    def write_config(self, config):
        """Fills in the gate's own part and the addresses of listeners. Text is written as it is."""
        if isinstance(config, str):
            self.config_path.write_text(config)
            return
        config = json.loads(json.dumps(config, default=str))
        own = {"workers": self.workers, "run_directory": str(self.folder / "run"),
               "state_directory": str(self.folder / "state"), "access_log": str(self.access_log),
               "event_log": str(self.event_log), "management": f"127.0.0.1:{self.management}"}
        config["gate"] = {**own, **config.get("gate", {})}
        for listener in config["listeners"]:
            if "address" not in listener:
                if listener["name"] not in self.addresses:
                    self.addresses[listener["name"]] = free_port()
                listener["address"] = f"127.0.0.1:{self.addresses[listener['name']]}"
            else:
                self.addresses[listener["name"]] = int(listener["address"].rpartition(":")[2])
        self.config = config
        self.config_path.write_text(json.dumps(config, indent=1))

    def port(self, listener=None):
        return self.addresses[listener or next(iter(self.addresses))]

    # -- the process

    def start(self):
        self.process = subprocess.Popen([program(), "--config", str(self.config_path), *self.arguments],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        cwd=self.folder, start_new_session=True, pass_fds=self.inherited)
        threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True).start()
        try:
            self.wait_said("ready")
        except BaseException:
            self.kill()
            raise
        return self

    def _listen(self, pipe):
        for line in pipe:
            with self.said_changed:
                self.said.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.said_changed.notify_all()

    def stderr(self):
        with self.said_changed:
            return "\n".join(self.said)

    def wait_said(self, pattern, within_s=WITHIN_S, since=0):
        """Until a line on standard error matches; returns it."""
        end = time.monotonic() + within_s
        with self.said_changed:
            while True:
                for line in self.said[since:]:
                    if re.search(pattern, line):
                        return line
                left = end - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    raise Trouble(f"the gate never said {pattern!r} (exit status {self.process.poll()}):\n" +
                                  "\n".join(self.said[-30:]))
                self.said_changed.wait(min(left, 0.1))

    def stop(self, number=signal.SIGTERM, within_s=WITHIN_S):
        """Asks it to end and sees to it that it did so cleanly, leaving nobody behind."""
        roles = self.role_processes()
        self.process.send_signal(number)
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Trouble(f"the gate did not end within {within_s} s of {number!r}:\n{self.stderr()}") from None
        until(lambda: not any(_start_time(pid) == began for pid, began in roles), "every role ended")
        self.check_said()
        if status != 0:
            raise Trouble(f"the gate ended with status {status}:\n{self.stderr()}")

    def check_said(self):
        for line in self.stderr().split("\n"):
            if TROUBLE.search(line) and not (self.may_say and re.search(self.may_say, line)):
                raise Trouble(f"the gate said {line!r}:\n{self.stderr()}")

    def kill(self):
        """The hard way: master and roles, each only if it is still the process that was started."""
        for pid, began in self.role_processes():
            if _start_time(pid) == began:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def role_processes(self):
        """[(pid, start time)] as the gate's own state file has them."""
        with contextlib.suppress(OSError):
            lines = (self.folder / "run/gate.state").read_text().split("\n")
            return [(int(words[1]), int(words[2])) for words in map(str.split, lines) if words and words[0] == "role"]
        return []

    def pids(self, role):
        """Of a role, by slot."""
        return {r["slot"]: r["pid"] for r in self.status()["roles"] if r["role"] == role and r["state"] == "up"}

    def pss_kib(self, role="worker"):
        """Proportional memory of a role's processes."""
        total = 0
        for pid in self.pids(role).values():
            total += int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])
        return total

    def close(self):
        try:
            if self.process and self.process.poll() is None:
                self.stop()
            elif self.process:
                self.check_said()
                raise Trouble(f"the gate ended by itself, status {self.process.returncode}:\n{self.stderr()}")
        finally:
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
            return
        with contextlib.suppress(Trouble):
            self.close()
        print(f"-- the gate said:\n{self.stderr()}")

    # -- clients

    def open_socket(self, listener=None, source=None, rcvbuf=None):
        s = socket.socket()
        s.settimeout(WITHIN_S)
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            s.bind((source, 0))
        s.connect(("127.0.0.1", self.port(listener)))
        return s

    def connect(self, listener=None, host=HOST, tls=None, server_name=HOST, session=None, first=b"", **more):
        """A client. tls: a tls_context; first: bytes to send before all else (the PROXY protocol)."""
        s = self.open_socket(listener, **more)
        if first:
            s.sendall(first)
        if tls:
            s = tls.wrap_socket(s, server_hostname=server_name, session=session)
        return Client(s, host)

    def raw(self, data, listener=None):
        """Sends these bytes on a connection of their own and returns all that comes back until the gate closes."""
        with self.connect(listener) as client:
            client.send(data)
            return client.rest()

    # -- what it tells

    def manage(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.management}{path}", timeout=WITHIN_S) as answer:
            return answer.read().decode()

    def status(self):
        return json.loads(self.manage("/status"))

    def metrics(self):
        """{(name, frozenset of labels): value}."""
        found = {}
        for line in self.manage("/metrics").split("\n"):
            match = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$", line)
            if match:
                labels = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
                found[match[1], labels] = float(match[3])
        return found

    def counter(self, name, **labels):
        """The sum over all whose labels include these; 0 when there is none."""
        wanted = {(key, str(value)) for key, value in labels.items()}
        return sum(value for (n, have), value in self.metrics().items() if n == name and wanted <= have)

    def refusals(self, reason):
        return self.counter("polder_refusals_total", reason=reason)

    def wait_counter(self, name, at_least, **labels):
        return until(lambda: self.counter(name, **labels) >= at_least and self.counter(name, **labels),
                     f"{name}{labels} >= {at_least}")

    def log_lines(self):
        """The access log. A line that is being written counts only when it is whole."""
        if not self.access_log.exists():
            return []
        return [json.loads(line) for line in self.access_log.read_text().split("\n")[:-1]]

    def wait_log(self, matches, count=1):
        """Until so many lines match: a function of the line, or a request id."""
        if isinstance(matches, str):
            wanted = matches
            matches = lambda line: line["http.request.id"] == wanted
        def enough():
            found = [line for line in self.log_lines() if matches(line)]
            return found if len(found) >= count else None
        found = until(enough, f"{count} matching lines in the access log")
        return found[0] if count == 1 else found

    def reload(self, config=None, expect_ok=True):
        """SIGHUP, and waits for what comes of it. Returns the status' "config"."""
        before = self.status()["config"]
        if config is not None:
            self.write_config(config)
        self.process.send_signal(signal.SIGHUP)
        def done():
            now = self.status()["config"]
            return now if now["generation"] != before["generation"] or now["last_error"] != before["last_error"] else None
        now = until(done, "the reload had an outcome")
        if expect_ok and now["generation"] == before["generation"]:
            raise Trouble(f"the reload failed: {now['last_error']}")
        return now


def _start_time(pid):
    """Of a process that lives, from /proc; None: none, or it is a corpse."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    words = text.rpartition(")")[2].split()
    return None if words[0] in "ZX" else int(words[19])
