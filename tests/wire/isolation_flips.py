"""A thousand changes of the level under load: whoever asks after an order that closes was answered gets no answer of the
application any more, on no connection, old or new."""
import json
import os
import socket
import statistics
import threading
import time

import harness
import isolation_kit as kit

FLIPS = int(os.environ.get("POLDER_FLIPS", "1000"))
CLIENTS = 4
REQUEST = b"GET /x HTTP/1.1\r\nHost: noord.test\r\n\r\n"


class Desk:
    """Orders straight over the control socket: a connection each, as the command does it."""

    def __init__(self, gate):
        self.path = str(gate.folder / "run/control.sock")

    def order(self, level, **more):
        question = {"ask": "order", "event": "isolate", "level": level, "reason": "flip", **more}
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            s.settimeout(harness.WITHIN_S)
            s.sendall(b"isolation " + json.dumps(question).encode() + b"\n")
            answer = json.loads(b"".join(iter(lambda: s.recv(65536), b"")))
        assert answer.get("outcome") == "done", answer
        return answer


class Hammer(threading.Thread):
    """One client that never stops asking, on kept connections and new ones: (before it was sent, after it was answered,
    status) of each request."""

    def __init__(self, port, per_connection):
        super().__init__(daemon=True)
        self.port, self.per_connection, self.answers, self.stop = port, per_connection, [], threading.Event()

    def run(self):
        while not self.stop.is_set():
            with socket.socket() as s:
                s.settimeout(harness.WITHIN_S)
                try:
                    s.connect(("127.0.0.1", self.port))
                    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for _ in range(self.per_connection):
                        if self.stop.is_set() or not self.ask(s):
                            break
                except OSError:
                    pass

    def ask(self, s):
        sent = time.monotonic()
        s.sendall(REQUEST)
        head = b""
        while b"\r\n\r\n" not in head:
            data = s.recv(65536)
            if not data:
                return False
            head += data
        status = int(head[9:12])
        self.answers.append((sent, time.monotonic(), status))
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        left = length - len(head.partition(b"\r\n\r\n")[2])
        while left > 0:
            data = s.recv(65536)
            if not data:
                return False
            left -= len(data)
        return b"connection: close" not in head.lower()


def answers_within(hammers, spans):
    """Statuses of requests that were sent and answered within one of the spans (from, to), in order."""
    statuses = []
    for hammer in hammers:
        at = 0
        for sent, answered, status in hammer.answers:
            while at < len(spans) and spans[at][1] < sent:
                at += 1
            if at < len(spans) and spans[at][0] <= sent and answered <= spans[at][1]:
                statuses.append(status)
    return statuses


def test_nobody_is_served_after_an_order_that_closes_was_answered():
    with harness.Application() as app, harness.Gate(kit.config(app)) as gate:
        desk = Desk(gate)
        hammers = [Hammer(gate.port(), 1 if n == 0 else 50) for n in range(CLIENTS)]
        for hammer in hammers:
            hammer.start()
        harness.until(lambda: all(any(answer[-1] == 200 for answer in h.answers) for h in hammers), "all are served")
        closed, opened, took = [], [], []
        for _ in range(FLIPS // 2):
            done = desk.order("closed")
            began = time.monotonic()
            took.append(done["effective_us"])
            time.sleep(0.003)
            closed.append((began, time.monotonic()))
            desk.order("open")
            began = time.monotonic()
            time.sleep(0.003)
            opened.append((began, time.monotonic()))
        harness.until(lambda: all(h.answers[-1][-1] == 200 for h in hammers), "all are served again")
        for hammer in hammers:
            hammer.stop.set()
        for hammer in hammers:
            hammer.join(harness.WITHIN_S)
        while_closed, while_open = answers_within(hammers, closed), answers_within(hammers, opened)
        print(f"{FLIPS} flips; asked while closed {len(while_closed)}, while open {len(while_open)}; effective after "
              f"{statistics.median(took) / 1000:.2f} ms (median), {sorted(took)[len(took) * 99 // 100] / 1000:.2f} ms (99 %), "
              f"{max(took) / 1000:.2f} ms (most)")
        assert while_closed.count(200) == 0
        assert len(while_closed) > FLIPS // 20 and 503 in while_closed, "the load did not reach into the time that was closed"
        assert while_open.count(200) > len(while_open) // 2
        assert set(while_open) <= {200, 503}
        lines = kit.journal(gate)
        assert len(lines) == 2 * FLIPS and kit.files(gate, "journal", "verify").returncode == 0


def test_nobody_is_served_by_what_an_upgrade_left():
    """Kept connections stay with the old workers, which know of no newer level: an order that closes ends them."""
    with harness.Application() as app, harness.Gate(kit.config(app)) as gate:
        gate.may_say = "worker|filter|observer|signer|dialer"
        desk, closed = Desk(gate), []
        hammers = [Hammer(gate.port(), 10_000) for _ in range(CLIENTS)]
        for hammer in hammers:
            hammer.start()
        for _ in range(3):
            harness.until(lambda: all(h.answers and h.answers[-1][-1] == 200 for h in hammers), "all are served")
            old = set(gate.pids("worker").values())
            assert kit.polder(gate, "upgrade").returncode == 0
            harness.until(lambda: not old & set(gate.pids("worker").values()), "new workers are up")
            desk.order("closed")
            began = time.monotonic()
            harness.until(lambda: all(h.answers[-1][0] > began for h in hammers), "all asked again")
            closed.append((began, time.monotonic()))
            desk.order("open")
        for hammer in hammers:
            hammer.stop.set()
            hammer.join(harness.WITHIN_S)
        statuses = answers_within(hammers, closed)
        assert statuses.count(200) == 0 and statuses.count(503) >= 3


def test_an_answer_that_is_under_way_is_cut():
    """The application answers what came before the order only after it: nothing of that may reach the client."""
    with harness.Application() as app, harness.Gate(kit.config(app)) as gate:
        desk = Desk(gate)
        with gate.connect() as client:
            client.send(b"POST /x HTTP/1.1\r\nHost: noord.test\r\nContent-Length: 10\r\n\r\n12345")
            app.wait_for("/x", complete=False)
            desk.order("closed")
            try:
                client.send(b"67890")
                got = client.rest()
            except (OSError, harness.Trouble):
                got = b""
            assert not got.startswith(b"HTTP/1.1 200"), got
