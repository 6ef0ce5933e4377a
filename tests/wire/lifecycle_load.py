"""Load that notices everything: keep-alive connections, fresh ones, and tunnels, with an application behind the gate.

It runs as a process of its own (asyncio), so that the test can do things to the gate meanwhile. What counts:
  failed   a request without its answer: refused, reset, cut, timed out, or not 200 with the body that was sent for
  closed   a kept connection that the gate closed between two requests
  told     a kept connection that the gate ended in order, with Connection: close on an answer

    with Load() as load:                  # the application's port is load.port
        load.start(gate, keep=100, ...)
        ...
        report = load.stop()
        assert report["failed"] == []
"""
import asyncio
import json
import ssl
import subprocess
import sys
import time

ANSWER_S = 12


class Origin(asyncio.Protocol):
    """Answers every request with its path; a WebSocket upgrade becomes an echo."""

    def connection_made(self, transport):
        self.transport, self.waiting, self.is_tunnel = transport, b"", False

    def data_received(self, data):
        if self.is_tunnel:
            self.transport.write(data)
            return
        self.waiting += data
        while b"\r\n\r\n" in self.waiting:
            head, _, self.waiting = self.waiting.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if b"\r\nupgrade: websocket" in head.lower():
                self.is_tunnel = True
                self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                     b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
                self.transport.write(self.waiting)
                return
            if path.startswith(b"/slow"):
                asyncio.get_running_loop().call_later(float(path[5:]), self.answer, path)
            else:
                self.answer(path)

    def answer(self, path):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))


class Connection:
    def __init__(self, load, is_tls):
        self.load, self.is_tls, self.reader, self.writer, self.number = load, is_tls, None, None, 0

    async def open(self):
        port = self.load.tls_port if self.is_tls else self.load.clear_port
        more = {"ssl": self.load.tls, "server_hostname": "noord.test", "ssl_handshake_timeout": ANSWER_S} if self.is_tls else {}
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, **more)
        self.port = self.writer.get_extra_info("sockname")[1]

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None

    async def ask(self, path):
        """True: the gate keeps the connection."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: noord.test\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise ValueError(head.split(b"\r\n")[0].decode())
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        if await self.reader.readexactly(length) != path.encode():
            raise ValueError("somebody else's answer")
        return b"\r\nconnection: close" not in head

    async def tunnel(self):
        self.writer.write(b"GET /tunnel HTTP/1.1\r\nHost: noord.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                          b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ValueError(head.split(b"\r\n")[0].decode())

    async def echo(self, text):
        self.writer.write(text)
        if await self.reader.readexactly(len(text)) != text:
            raise ValueError("another echo")


class Loader:
    def __init__(self):
        self.stopping = asyncio.Event()
        self.kept, self.tasks = [], []
        self.clear_counts()

    def clear_counts(self):
        self.requests = self.fresh = self.resumed = self.closed = self.told = self.echoes = 0
        self.failed, self.broken_tunnels, self.slowest = [], [], 0.0

    async def timed(self, what):
        began = time.monotonic()
        value = await asyncio.wait_for(what, ANSWER_S)
        self.slowest = max(self.slowest, time.monotonic() - began)
        return value

    def fail(self, kind, connection, error):
        port = getattr(connection, "port", 0)
        self.failed.append([kind, port, f"{type(error).__name__}: {error}"])
        connection.close()

    async def pause(self, seconds):
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def keep(self, is_tls, pace):
        c = Connection(self, is_tls)
        self.kept.append(c)
        while not self.stopping.is_set():
            try:
                if c.writer and c.reader.at_eof():
                    self.closed += 1
                    c.close()
                if not c.writer:
                    await self.timed(c.open())
                c.number += 1
                is_kept = await self.timed(c.ask(f"/{id(c)}/{c.number}"))
                self.requests += 1
                if not is_kept:
                    self.told += 1
                    c.close()
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                self.fail("tls" if is_tls else "clear", c, error)
            await self.pause(pace)
        c.close()

    async def fresh_ones(self, is_tls, pace):
        while not self.stopping.is_set():
            c = Connection(self, is_tls)
            try:
                await self.timed(c.open())
                await self.timed(c.ask("/fresh"))
                self.fresh += 1
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                self.fail("fresh tls" if is_tls else "fresh clear", c, error)
            c.close()
            await self.pause(pace)

    async def tunnel(self, is_tls, pace):
        c = Connection(self, is_tls)
        try:
            await self.timed(c.open())
            await self.timed(c.tunnel())
            while not self.stopping.is_set():
                await self.timed(c.echo(b"%d" % self.echoes))
                self.echoes += 1
                await self.pause(pace)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            self.broken_tunnels.append([getattr(c, "port", 0), f"{type(error).__name__}: {error}"])
        c.close()

    def start(self, order):
        self.clear_port, self.tls_port = order["clear"], order["tls"]
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        for n in range(order["keep"]):
            self.tasks.append(asyncio.create_task(self.keep(n % 2 == 1, order["pace"])))
        for n in range(order["fresh"]):
            self.tasks.append(asyncio.create_task(self.fresh_ones(n % 2 == 1, order["fresh_pace"])))
        for n in range(order["tunnels"]):
            self.tasks.append(asyncio.create_task(self.tunnel(n % 2 == 1, order["pace"])))

    def report(self):
        return {"requests": self.requests, "fresh": self.fresh, "closed": self.closed, "told": self.told, "failed": self.failed,
                "echoes": self.echoes, "broken_tunnels": self.broken_tunnels, "slowest": self.slowest,
                "ports": [c.port for c in self.kept if c.writer]}

    async def run(self):
        server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", int(sys.argv[1]), backlog=1024)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        print("ready", flush=True)
        while line := await lines.readline():
            order = json.loads(line)
            if order["do"] == "start":
                self.start(order)
            elif order["do"] == "clear":
                self.clear_counts()
            elif order["do"] == "stop":
                self.stopping.set()
                await asyncio.gather(*self.tasks)
            print(json.dumps(self.report()), flush=True)
        server.close()


class Load:
    """The same from outside."""

    def __init__(self, port):
        self.port = port
        self.process = subprocess.Popen([sys.executable, __file__, str(port)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def _order(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, gate, keep=100, fresh=4, tunnels=6, pace=0.1, fresh_pace=0.02):
        """Every second one over TLS."""
        self._order(do="start", clear=gate.port("http"), tls=gate.port("https"), keep=keep, fresh=fresh, tunnels=tunnels,
                    pace=pace, fresh_pace=fresh_pace)
        end = time.monotonic() + ANSWER_S
        while len(self.report()["ports"]) < keep or self.report()["requests"] < 2 * keep:
            assert time.monotonic() < end, self.report()
            time.sleep(0.02)
        self._order(do="clear")

    def report(self):
        return self._order(do="report")

    def go_on(self, requests=100):
        """Until so many more requests, and fresh connections, were made."""
        was, end = self.report(), time.monotonic() + ANSWER_S
        while (now := self.report())["requests"] < was["requests"] + requests or now["fresh"] < was["fresh"] + 4:
            assert time.monotonic() < end, now
            time.sleep(0.02)
        return now

    def stop(self):
        return self._order(do="stop")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


def assert_unharmed(report, told=False):
    """No request failed and no connection or tunnel was cut; none was even ended in order, unless told says so."""
    assert report["failed"] == [] and report["broken_tunnels"] == [] and report["closed"] == 0, report
    assert report["requests"] > 0 and report["fresh"] > 0
    if not told:
        assert report["told"] == 0, report


if __name__ == "__main__":
    asyncio.run(Loader().run())
