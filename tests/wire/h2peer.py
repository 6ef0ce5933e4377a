"""A client that speaks HTTP/2 frame by frame: as polite as asked, or not at all.

    with h2peer.Peer(gate.connect("h2c")) as peer:
        assert peer.get("/x").status == 200

Frames are those of hyperframe, fields are packed by hpack; nothing here checks what a test wants to send. What comes
back is read strictly. Nothing waits without a bound."""
import ssl
import struct
import time

from hpack import Decoder, Encoder
from hyperframe import frame as frames

import harness

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, \
    REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(12)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_HEADER_LIST, CONNECT_PROTOCOL = 1, 2, 3, 4, 5, 6, 8
FRAME = 16384


class Reset(AssertionError):
    def __init__(self, code):
        super().__init__(f"the stream was reset with code {code}")
        self.code = code


class Gone(AssertionError):
    """The gate ended the connection."""


class Answer:
    def __init__(self):
        self.status, self.fields, self.trailers = None, harness.Fields(), harness.Fields()
        self.pieces, self.length, self.interim, self.ended, self.code = [], 0, [], False, None

    @property
    def body(self):
        return b"".join(self.pieces)

    def json(self):
        return harness.json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.length} bytes, ended {self.ended}, code {self.code}>"


def head(method, path, host=harness.HOST, scheme="https", fields=()):
    return [(":method", method), (":scheme", scheme), (":authority", host), (":path", path), *fields]


def raw_frame(kind, flags, stream, body=b"", length=None):
    return struct.pack(">I", len(body) if length is None else length)[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + body


class Peer:
    def __init__(self, stream, settings=None, connection_window=None, window=65535, greet=True, updates=True):
        """stream: a harness.Client. window: what a stream may send us before we say more (updates: we do)."""
        self.stream, self.encoder, self.decoder = stream, Encoder(), Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.answers, self.goaway, self.closed, self.updates = {}, None, False, updates
        self.next_id, self.gate_settings, self.pings, self.seen = 1, {}, [], []
        self.window, self.stream_window, self.initial, self.block = 65535, {}, 65535, None
        self.owed = {0: 0}
        if greet:
            settings = {ENABLE_PUSH: 0, INITIAL_WINDOW: window, **(settings or {})}
            self.stream.send(PREFACE + frames.SettingsFrame(0, settings=settings).serialize())
            if connection_window:
                self.send(frames.WindowUpdateFrame(0, window_increment=connection_window - 65535))

    # -- sending

    def send(self, *some):
        self.stream.send(b"".join(f if isinstance(f, bytes) else f.serialize() for f in some))

    def try_send(self, data):
        """False: the gate does not listen any more."""
        try:
            self.stream.send(data)
            return True
        except (OSError, ssl.SSLError):
            return False

    def new_id(self):
        self.next_id += 2
        return self.next_id - 2

    def headers(self, fields, stream=None, end=True, trailers=False):
        """A HEADERS frame (and CONTINUATION when it is large)."""
        stream = stream or self.new_id()
        if not trailers:
            self.answers[stream] = Answer()
        self.send(self.head_bytes(fields, stream, end))
        return stream

    def head_bytes(self, fields, stream, end=True):
        block = self.encoder.encode([(_bytes(n), _bytes(v)) for n, v in fields], huffman=False)
        pieces = [block[at:at + FRAME] for at in range(0, len(block), FRAME)] or [b""]
        data = b""
        for i, piece in enumerate(pieces):
            flags = (0x1 if end and i == 0 else 0) | (0x4 if i == len(pieces) - 1 else 0)
            data += raw_frame(0x1 if i == 0 else 0x9, flags, stream, piece)
        return data

    def request(self, method, path, fields=(), body=None, end=True, **more):
        stream = self.headers(head(method, path, fields=fields, **more), end=end and body is None)
        if body is not None:
            self.body(stream, body, end)
        return stream

    def body(self, stream, data, end=True):
        """Sends within the windows, reading as it waits."""
        view, at = memoryview(data), 0
        while True:
            room = min(self.window, self.stream_room(stream), FRAME, len(view) - at)
            if room == 0 and at < len(view):
                if self.answers[stream].code is not None:
                    raise Reset(self.answers[stream].code)
                self.pump()
                continue
            last = at + room == len(view)
            self.send(raw_frame(0x0, 0x1 if last and end else 0, stream, bytes(view[at:at + room])))
            self.window -= room
            self.stream_window[stream] = self.stream_window.get(stream, 0) - room
            at += room
            if last:
                return

    def stream_room(self, stream):
        return self.initial + self.stream_window.get(stream, 0)

    def ping(self, data=b"pingpong"):
        self.send(frames.PingFrame(0, opaque_data=data))

    def reset(self, stream, code=CANCEL):
        self.send(frames.RstStreamFrame(stream, error_code=code))

    # -- reading

    def pump(self, within_s=harness.WITHIN_S):
        """Reads one frame; raises Gone when there is none any more."""
        self.stream.sock.settimeout(within_s)
        try:
            header = self.stream.exactly(9)
            length, kind, flags = int.from_bytes(header[:3], "big"), header[3], header[4]
            stream = int.from_bytes(header[5:], "big")
            if length > FRAME:
                raise harness.Trouble(f"a frame of {length} bytes")
            body = self.stream.exactly(length)
        except harness.Trouble as trouble:
            if "early" not in str(trouble):
                raise
            self.closed = True
            raise Gone(f"the gate closed; GOAWAY {self.goaway}") from None
        self._take(kind, flags, stream, body)
        return kind, flags, stream, body

    def pump_until(self, condition, what="what was waited for", within_s=harness.WITHIN_S):
        end = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > end:
                raise harness.Trouble(f"not within {within_s} s: {what}; {self.answers}")
            self.pump(max(end - time.monotonic(), 0.05))

    def pump_while_busy(self, quiet_s=0.05):
        """Reads what there is."""
        try:
            while True:
                self.pump(quiet_s)
        except (harness.Trouble, Gone):
            pass

    def _take(self, kind, flags, stream, body):
        self.seen.append((kind, flags, stream, len(body)))
        if kind == 0x0:
            self._data(flags, stream, body)
        elif kind in (0x1, 0x9):
            self._headers(kind, flags, stream, body)
        elif kind == 0x3:
            self.answers[stream].code, self.answers[stream].ended = int.from_bytes(body, "big"), True
        elif kind == 0x4 and not flags & 1:
            self._settings(body)
        elif kind == 0x6:
            self.pings.append(body)
        elif kind == 0x7:
            self.goaway = struct.unpack(">II", body[:8])
        elif kind == 0x8:
            (more,) = struct.unpack(">I", body)
            if stream:
                self.stream_window[stream] = self.stream_window.get(stream, 0) + more
            else:
                self.window += more
        elif kind not in (0x4,):
            raise harness.Trouble(f"a frame of kind {kind}")

    def _settings(self, body):
        for at in range(0, len(body), 6):
            key, value = struct.unpack(">HI", body[at:at + 6])
            self.gate_settings[key] = value
        self.initial = self.gate_settings.get(INITIAL_WINDOW, 65535)
        self.try_send(frames.SettingsFrame(0, flags=["ACK"]).serialize())

    def _data(self, flags, stream, body):
        answer = self.answers[stream]
        if answer.ended or answer.status is None:
            raise harness.Trouble(f"DATA out of place: {answer}")
        answer.pieces.append(body)
        answer.length += len(body)
        answer.ended = bool(flags & 1)
        if self.updates and body:
            for which in (0, stream):
                self.owed[which] = self.owed.get(which, 0) + len(body)
                if self.owed[which] >= 16384 and not (which and answer.ended):
                    self.send(frames.WindowUpdateFrame(which, window_increment=self.owed.pop(which)))

    def _headers(self, kind, flags, stream, body):
        if kind == 0x1:
            self.block, self.block_ends = body, bool(flags & 1)
        else:
            self.block += body
        if not flags & 0x4:
            return
        fields = harness.Fields((n.decode("latin-1"), v.decode("latin-1")) for n, v in self.decoder.decode(self.block, raw=True))
        answer = self.answers[stream]
        for name, value in fields:
            if name != name.lower() or name in ("connection", "transfer-encoding", "keep-alive", "upgrade") or \
                    not harness.VALUE.match(value.encode("latin-1")):
                raise harness.Trouble(f"malformed: {fields}")
        if answer.ended:
            raise harness.Trouble(f"HEADERS after the end: {answer}")
        if answer.status is None:
            status = int(fields.pop(0)[1])
            if status < 200:
                answer.interim.append((status, fields))
                return
            answer.status, answer.fields = status, fields
        else:
            answer.trailers = fields
        answer.ended = self.block_ends

    # -- whole exchanges

    def wait_head(self, stream):
        self.pump_until(lambda: self.answers[stream].status or self.answers[stream].code is not None, f"answer on {stream}")
        if self.answers[stream].status is None:
            raise Reset(self.answers[stream].code)
        return self.answers[stream]

    def wait(self, stream, within_s=harness.WITHIN_S):
        self.pump_until(lambda: self.answers[stream].ended, f"end of {stream}", within_s)
        answer = self.answers[stream]
        if answer.code is not None:
            raise Reset(answer.code)
        length = answer.fields.get("content-length")
        if length is not None and answer.length not in (int(length), 0):
            raise harness.Trouble(f"{answer.length} bytes, but content-length: {length}")
        return answer

    def wait_reset(self, stream):
        """The code with which the gate reset the stream (perhaps after an answer)."""
        self.pump_until(lambda: self.answers[stream].code is not None, f"reset of {stream}")
        return self.answers[stream].code

    def wait_goaway(self, within_s=harness.WITHIN_S):
        self.pump_until(lambda: self.goaway, "GOAWAY", within_s)
        return self.goaway[1]

    def wait_gone(self, within_s=harness.WITHIN_S):
        """Until the gate closed; the code of its GOAWAY (None: it said none)."""
        try:
            self.pump_until(lambda: False, "the end of the connection", within_s)
        except Gone:
            return self.goaway and self.goaway[1]

    def ask(self, method, path, fields=(), body=None, **more):
        return self.wait(self.request(method, path, fields, body, **more))

    def get(self, path, fields=(), **more):
        return self.ask("GET", path, fields, **more)

    def close(self):
        self.stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def config(app_port, certificates, limits=None, **more):
    """Listeners "h2c" (clear, prior knowledge) and "https"; routes that refuse WebSockets and large bodies."""
    given = harness.simple_config(app_port, **more)
    given["upstreams"][0].setdefault("concurrency", {"least": 200})  # this application lets many requests wait
    given["limits"] = limits or {}
    given["certificates"] = [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}]
    given["listeners"] = [{"name": "h2c", "http2": True}, {"name": "https", "tls": {"certificates": ["noord"]}}]
    given["clusters"][0]["routes"] += [{"path": "/closed", "upstream": "app", "websocket": False},
                                       {"path": "/small", "upstream": "app", "body_limit": 1000}]
    given["clusters"].append({"name": "zuid", "hosts": ["zuid.test"], "routes": [{"path": "/", "upstream": "app"}]})
    return given


def tls(certificates):
    return harness.tls_context(certificates.ca.path, alpn=("h2",))
