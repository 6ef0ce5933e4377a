"""Changes of configuration, all or nothing, under load: no request fails and no connection is closed."""
import json
import os
import signal
import socket
import ssl
import time
from pathlib import Path

import pytest

import harness
from lifecycle_load import Load, assert_unharmed

RELOADS, LEAK_RELOADS = 10, 50


def config(load, certificates, **more):
    tls = {"certificates": ["noord"], "versions": [1.3], "session_tickets": True}
    return {
        "limits": {"connections_per_address": 0},
        "certificates": [{"name": "noord", "chain": certificates.noord.chain, "key": certificates.noord.key}],
        "upstreams": [{"name": "app", "endpoints": [f"127.0.0.1:{load.port}"]}],
        "listeners": [{"name": "http"}, {"name": "https", "tls": tls}],
        "clusters": [{"name": "noord", "hosts": [harness.HOST], "routes": [{"path": "/", "upstream": "app"}]}], **more}


@pytest.fixture
def load():
    with Load(harness.free_port()) as one:
        yield one


def order(gate, command):
    """What the control socket answers."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(harness.WITHIN_S)
        s.connect(str(gate.folder / "run/control.sock"))
        s.sendall(command.encode() + b"\n")
        return json.loads(b"".join(iter(lambda: s.recv(65536), b"")))


def peer_certificate(gate):
    with gate.connect("https", tls=harness.tls_context()) as client:
        return client.sock.getpeercert(binary_form=True)


def der(issued):
    return ssl.PEM_cert_to_DER_cert(Path(issued.chain).read_text())


def test_ten_reloads_in_a_row(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, pace=0.03)
        for n in range(RELOADS):
            if n % 2:
                assert "ok" in order(gate, "reload")
            else:
                gate.reload()
            load.go_on(200)
        report = load.stop()
        assert_unharmed(report)
        assert gate.status()["config"]["generation"] == 1 + RELOADS
        print(f"\n{RELOADS} reloads: {report['requests']} requests, {report['fresh']} fresh connections, "
              f"{report['echoes']} echoes, 0 failed, 0 closed")


def test_reloads_as_fast_as_they_go(load, certificates):
    """A signal that comes while a change is under way is not forgotten: the last file written is the one in force."""
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate)
        for _ in range(40):
            gate.process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        last = config(load, certificates)
        last["listeners"].append({"name": "last"})
        gate.process.send_signal(signal.SIGHUP)
        gate.write_config(last)
        gate.process.send_signal(signal.SIGHUP)
        harness.until(lambda: "last" in [listener["name"] for listener in gate.status()["listeners"]], "the last one is in force")
        load.go_on(200)
        assert_unharmed(load.stop())


def test_certificate_changes_for_new_handshakes_only(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, keep=40)
        assert peer_certificate(gate) == der(certificates.noord)
        new = config(load, certificates)
        new["certificates"][0].update(chain=certificates.noord_rsa.chain, key=certificates.noord_rsa.key)
        gate.reload(new)
        assert peer_certificate(gate) == der(certificates.noord_rsa)
        gate.reload(config(load, certificates))
        assert peer_certificate(gate) == der(certificates.noord)
        load.go_on()
        assert_unharmed(load.stop())


def test_revocation_list_changes(load, certificates):
    crl = certificates.client_ca.revocation_list("life-crl")
    with harness.Gate({"listeners": [], "placeholder": 0}, start=False) as gate:
        wanted = config(load, certificates)
        wanted["listeners"].append({"name": "clients", "tls": {
            "certificates": ["noord"], "versions": [1.3], "client_certificates": "required",
            "client_ca": certificates.client_ca.path, "client_crl": crl}})
        gate.write_config(wanted)
        gate.start()
        def may_in(who):
            try:
                with gate.connect("clients", tls=harness.tls_context(client=who)) as client:
                    return client.get("/x").status == 200
            except (OSError, harness.Trouble):
                return False
        assert may_in(certificates.client) and may_in(certificates.other_client)
        before = gate.connect("clients", tls=harness.tls_context(client=certificates.client))
        assert before.get("/before").status == 200
        certificates.client_ca.revocation_list("life-crl", [certificates.client.certificate])
        gate.reload()
        assert not may_in(certificates.client) and may_in(certificates.other_client)
        assert before.get("/after").status == 200
        before.close()


def test_listeners_come_and_go(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, keep=40)
        new = config(load, certificates)
        new["listeners"].append({"name": "more"})
        gate.reload(new)
        client = gate.connect("more")
        assert client.get("/x").status == 200
        waiting = gate.connect("more")
        waiting.send(b"GET /slow0.5 HTTP/1.1\r\nHost: noord.test\r\n\r\n")
        gate.wait_counter("polder_requests_active", 1)
        gate.reload(config(load, certificates))
        assert waiting.response().body == b"/slow0.5"
        answer = client.get("/last")
        assert answer.status == 200 and answer.fields.get("connection") == "close"
        assert client.is_closed()
        with pytest.raises(ConnectionRefusedError):
            gate.open_socket("more")
        load.go_on()
        assert_unharmed(load.stop())


def test_upstream_changes(load, certificates):
    with harness.Gate(config(load, certificates)) as gate, harness.Application("other") as other:
        with gate.connect("http") as client:
            assert client.get("/1").body == b"/1"
            new = config(load, certificates)
            new["upstreams"][0]["endpoints"] = [f"127.0.0.1:{other.port}"]
            gate.reload(new)
            assert client.get("/2").json()["app"] == "other"
            gate.reload(config(load, certificates))
            assert client.get("/3").body == b"/3"


def _broken(kind, load, certificates, folder):
    new = config(load, certificates)
    text = {"syntax": "listeners: [\n", "key": None}.get(kind)
    if kind == "syntax":
        return text, r"polder\.yaml:\d+"
    if kind == "unknown key":
        new["listners"] = []
        return new, "listners"
    if kind == "missing file":
        new["certificates"][0]["chain"] = "/nowhere/chain.pem"
        return new, "/nowhere/chain.pem"
    if kind == "missing key":
        new["certificates"][0]["key"] = "/nowhere/chain.key"
        return new, "/nowhere/chain.key"
    if kind == "key of another":
        new["certificates"][0]["key"] = certificates.zuid.key
        return new, "does not belong"
    if kind == "key that is none":
        (folder / "none.key").write_text("hello\n")
        new["certificates"][0]["key"] = folder / "none.key"
        return new, "none.key"
    if kind == "key that is a folder":
        new["certificates"][0]["key"] = folder
        return new, "regular file"
    if kind == "log":
        new["gate"] = {"access_log": "/nowhere/access.jsonl"}
        return new, "/nowhere/access.jsonl"
    raise AssertionError(kind)


BROKEN = ["syntax", "unknown key", "missing file", "missing key", "key of another", "key that is none", "key that is a folder",
          "log"]


def test_broken_configurations_change_nothing(load, certificates, tmp_path):
    with harness.Gate(config(load, certificates)) as gate:
        load.start(gate, keep=40)
        for kind in BROKEN:
            text, reason = _broken(kind, load, certificates, tmp_path)
            gate.write_config(text)
            answer = order(gate, "reload")
            assert "error" in answer and harness.re.search(reason, answer["error"]), (kind, answer)
            status = gate.status()["config"]
            assert status["generation"] == 1 and harness.re.search(reason, status["last_error"]), (kind, status)
        load.go_on()
        assert_unharmed(load.stop())
        gate.write_config(config(load, certificates))
        assert "ok" in order(gate, "reload")
        assert gate.status()["config"]["last_error"] == ""


def test_port_of_another_program(load, certificates):
    """Also when that program would share it (SO_REUSEPORT). What was opened before it was found is closed again."""
    with harness.Gate(config(load, certificates)) as gate:
        for shares in (False, True):
            with socket.socket() as other:
                if shares:
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                harness.bind_free_port(other)
                other.listen()
                new = config(load, certificates)
                free = harness.free_port()
                new["listeners"] += [{"name": "free", "address": f"127.0.0.1:{free}"},
                                     {"name": "taken", "address": f"127.0.0.1:{other.getsockname()[1]}"}]
                gate.write_config(new)
                answer = order(gate, "reload")
                assert "taken cannot listen" in answer.get("error", ""), answer
                assert "taken cannot listen" in gate.status()["config"]["last_error"]
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", free))


def test_logs_are_opened_anew(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        with gate.connect("http") as client:
            client.get("/one")
            gate.wait_log(lambda line: line["url.path"] == "/one")
            gate.access_log.rename(gate.folder / "access.jsonl.1")
            gate.reload()
            client.get("/two")
            gate.wait_log(lambda line: line["url.path"] == "/two")
            new = config(load, certificates, gate={"access_log": gate.folder / "elsewhere.jsonl"})
            gate.reload(new)
            client.get("/three")
            harness.until(lambda: "/three" in (gate.folder / "elsewhere.jsonl").read_text(), "the other log is written")


def test_sessions_resume_everywhere(load, certificates):
    """On whichever worker the next connection lands, after a reload, and on a worker that was replaced."""
    with harness.Gate(config(load, certificates)) as gate:
        gate.may_say = r"worker \d was killed by signal 9"
        context = harness.tls_context()
        def session():
            with gate.connect("https", tls=context) as client:
                client.get("/x")
                return client.sock.session
        def resumes(tries=8):
            count = 0
            for _ in range(tries):
                with gate.connect("https", tls=context, session=session()) as client:
                    count += client.sock.session_reused
                    client.get("/x")
            return count
        assert resumes() == 8
        old = [session() for _ in range(8)]
        gate.reload()
        for one in old:
            with gate.connect("https", tls=context, session=one) as client:
                assert client.sock.session_reused
                client.get("/x")
        old = [session() for _ in range(8)]
        for pid in gate.pids("worker").values():
            os.kill(pid, signal.SIGKILL)
            harness.until(lambda pid=pid: len(gate.pids("worker")) == 2 and pid not in gate.pids("worker").values(), "a new worker")
        for one in old:
            with gate.connect("https", tls=context, session=one) as client:
                assert client.sock.session_reused
                client.get("/x")


def fd_counts(gate):
    pids = {(role, slot): pid for role in ("worker", "signer", "dialer", "observer", "filter")
            for slot, pid in gate.pids(role).items()}
    pids["master", 0] = gate.process.pid
    return {who: len(os.listdir(f"/proc/{pid}/fd")) for who, pid in pids.items()}


def rss_kib(gate):
    pids = [pid for role in ("worker", "signer", "dialer", "observer") for pid in gate.pids(role).values()]
    def rss(pid):
        return int(harness.re.search(r"^Rss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), harness.re.M)[1])
    return sum(map(rss, pids + [gate.process.pid]))


def test_nothing_leaks(load, certificates):
    """Descriptors and memory, over fifty reloads of which every fifth is refused."""
    with harness.Gate(config(load, certificates)) as gate:
        good, bad = config(load, certificates), config(load, certificates)
        bad["certificates"][0]["key"] = certificates.zuid.key
        def reloads(count):
            for n in range(count):
                gate.write_config(bad if n % 5 == 4 else good)
                assert ("error" if n % 5 == 4 else "ok") in order(gate, "reload")
        with gate.connect("http") as client:
            assert client.get("/x").status == 200
        reloads(10)
        fds, memory = fd_counts(gate), rss_kib(gate)
        reloads(LEAK_RELOADS)
        harness.until(lambda: fd_counts(gate) == fds, f"as many descriptors as before: {fds}, now {fd_counts(gate)}")
        grown = rss_kib(gate) - memory
        is_instrumented = b"__asan_init" in Path(harness.program()).read_bytes()
        assert is_instrumented or grown < 1024, f"{grown} KiB more after {LEAK_RELOADS} reloads"


def test_a_role_holds_what_it_needs(load, certificates):
    with harness.Gate(config(load, certificates)) as gate:
        control = {line.split()[6] for line in Path("/proc/net/unix").read_text().split("\n") if str(gate.folder) in line}
        def holds(role):
            pid = gate.pids(role)[0]
            return [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
        # Standard streams, epoll, signals, the channel to the master; signer and dialer: one to each of two workers; a
        # worker: one to each of them and to the filter, two listeners, and the eventfds of all workers; the filter: the
        # same eventfds, a channel to each worker and one to the observer, four files of isolation and two sockets of
        # the kernel's; the observer: two sockets, two logs and the channel to the filter.
        expected = {"signer": 6 + 2, "dialer": 6 + 2, "filter": 6 + 2 + 3 + 4 + 2, "worker": 6 + 3 + 2 + 2, "observer": 6 + 4 + 1}
        harness.until(lambda: {role: len(holds(role)) for role in expected} == expected,
                      f"{expected} descriptors: {[(role, holds(role)) for role in expected]}")
        for role in ("worker", "signer", "dialer", "filter"):
            assert not {f"socket:[{inode}]" for inode in control} & set(holds(role)), role
            own = str(gate.folder / "state/isolation") if role == "filter" else "\0"
            assert not [f for f in holds(role) if "memfd" in f or (str(gate.folder) in f and own not in f)], role
