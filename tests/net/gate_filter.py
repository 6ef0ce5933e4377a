"""What the packet filter of a running gate does to real traffic: lists, ports, rates, cookies, levels, both ways."""
import socket
import struct

import pytest

import gate_world as w
import harness

PORT, MANAGE, OTHER = 8443, 9464, 7000
FLOOD = 6000  # packets, at most


@pytest.fixture(scope="module")
def app():
    with harness.Application() as application:
        application.on("/large", harness.says(harness.answer_bytes(body=b"x" * 300_000)))
        yield application


@pytest.fixture(scope="module")
def gate(outside, app):
    c = w.config(app.port, PORT, {
        "block": ["203.0.113.0/28", {"network": "203.0.113.0/24", "ports": 7100, "protocol": "tcp"}],
        "allow": ["203.0.113.0/30"],
        "ports": [{"port": MANAGE, "serves": "manage"}],
        "rates": {"open": {"unknown_source": 2000, "unknown_network": 0, "unknown_total": 0}},
    })
    with harness.Gate(c) as g:
        yield g


def counts(gate):
    """{reason: (in, out, dry in, dry out)}"""
    shown = w.ask(gate, {"filter": "show"})
    return {r["name"]: (r["in"], r["out"], r["dry_in"], r["dry_out"]) for r in shown["reasons"]}


def grown(gate, before, reason, column=0):
    return counts(gate).get(reason, (0, 0, 0, 0))[column] - before.get(reason, (0, 0, 0, 0))[column]


def level(gate, word):
    back = ["--partners-back"] if word == "open" else []
    w.polder(gate, "isolate", word, "--reason", "test", "--yes", *back)


class Listener:
    """Somebody on this machine who listens beside the gate."""

    def __init__(self, port, address="::", kind=socket.SOCK_STREAM):
        self.sock = socket.socket(socket.AF_INET6, kind)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.settimeout(harness.WITHIN_S)
        self.sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            self.sock.listen(64)

    def __enter__(self):
        return self.sock

    def __exit__(self, *_):
        self.sock.close()


def udp(outside, source, port, n=1, target=None):
    with outside.socket(source, socket.SOCK_DGRAM) as s:
        for _ in range(n):
            s.sendto(b"x", (target or (w.GATE6 if ":" in source else w.GATE), port))


def received(sock, within_s=0.3):
    """How many datagrams come until there is silence."""
    n = 0
    sock.settimeout(within_s)
    try:
        while True:
            sock.recv(2048)
            n += 1
    except TimeoutError:
        return n


def test_programs_filter_at_the_interface(gate):
    shown = w.ask(gate, {"filter": "show"})
    assert shown["mode"] == "programs" and shown["accept_queues"] is True
    assert [i["name"] for i in shown["interfaces"]] == ["g0"]
    assert shown["interfaces"][0]["in"] in ("native", "generic") and shown["interfaces"][0]["out"] in ("tcx", "clsact")
    assert gate.status()["packets"]["mode"] == "programs"
    assert "packets programs  g0" in w.polder(gate, "status")


def test_lists_hold_for_connections(gate, outside):
    assert outside.get(w.STRANGER, PORT) == 200  # allowed within what is blocked
    assert outside.get(w.PARTNER, PORT) == 200 and outside.get(w.STRANGER6, PORT) == 200
    before = counts(gate)
    assert not outside.reaches("203.0.113.4", PORT)
    assert grown(gate, before, "BLOCKED") > 0


def test_a_port_is_blocked_and_others_are_not(gate, outside):
    with Listener(7100), Listener(7101):
        assert not outside.reaches(w.STRANGER, 7100) and outside.reaches(w.STRANGER, 7101)
        assert outside.reaches(w.PARTNER, 7100)


def test_management_is_for_management_alone(gate, outside):
    with Listener(MANAGE):
        assert outside.reaches(w.MANAGER, MANAGE) and not outside.reaches(w.STRANGER, MANAGE)
        assert not outside.reaches(w.PARTNER, MANAGE)


def test_a_source_that_sends_too_much_is_limited_and_its_neighbour_is_not(gate, outside):
    with Listener(OTHER, kind=socket.SOCK_DGRAM) as sock:
        before = counts(gate)
        udp(outside, w.SECOND, OTHER, FLOOD)
        received(sock)
        assert grown(gate, before, "RATE_SOURCE") > FLOOD / 4
        udp(outside, w.STRANGER, OTHER, 10)
        assert received(sock) == 10
        before = counts(gate)
        udp(outside, w.PARTNER, OTHER, FLOOD)
        assert grown(gate, before, "RATE_SOURCE") == 0 and grown(gate, before, "PASSED") >= FLOOD


def test_an_answer_that_nobody_asked_for_is_dropped(gate, outside):
    with Listener(OTHER, kind=socket.SOCK_DGRAM) as sock:
        before = counts(gate)
        with outside.socket(w.STRANGER, socket.SOCK_DGRAM, port=123) as s:
            s.sendto(b"x" * 400, (w.GATE, OTHER))
        assert received(sock) == 0 and grown(gate, before, "AMPLIFICATION") == 1


def frame(world, source, port, vlan=None):
    """An Ethernet frame with a UDP packet to the gate, tagged when told so."""
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 29, 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(w.GATE))
    total = sum(struct.unpack(">10H", header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    header = header[:10] + struct.pack(">H", ~total & 0xffff) + header[12:]
    tag = struct.pack(">HH", 0x8100, vlan) if vlan is not None else b""
    return (w.hardware_address() + b"\2\0\0\0\0\1" + tag + b"\x08\0" + header + struct.pack(">HHHH", 4000, port, 9, 0) + b"x").ljust(60, b"\0")


def test_frames_with_a_tag_are_judged_like_others(gate, outside):
    with outside.raw() as raw:
        level(gate, "partners")
        try:
            before = counts(gate)
            raw.send(frame(outside, w.STRANGER, OTHER, vlan=5))
            raw.send(frame(outside, w.STRANGER, OTHER))
            harness.until(lambda: grown(gate, before, "LEVEL") >= 2, "both frames were refused by the level")
        finally:
            level(gate, "open")
        before = counts(gate)
        raw.send(frame(outside, w.STRANGER, OTHER, vlan=5))
        harness.until(lambda: grown(gate, before, "PASSED") >= 1, "a tagged frame passes when all is open")


def test_malformed_packets_are_dropped_and_counted(gate, outside):
    before = counts(gate)
    with outside.raw() as raw:
        short = bytearray(frame(outside, w.STRANGER, OTHER))
        short[14] = 0x4f  # a header longer than the packet
        raw.send(bytes(short))
        lies = bytearray(frame(outside, w.STRANGER, OTHER))
        lies[16:18] = b"\x40\0"  # a total length longer than the frame
        raw.send(bytes(lies))
        harness.until(lambda: grown(gate, before, "IP4_LENGTH") + grown(gate, before, "IP4_HEADER") >= 2,
                      "both lies were counted")


def test_cookies_let_strangers_in_and_carry_data(gate, outside, app):
    level(gate, "guarded")
    try:
        before = counts(gate)
        for source in (w.STRANGER, w.STRANGER6):
            with outside.client(source, PORT) as client:
                body = b"x" * 300_000
                assert client.ask("POST", "/echo", body=body).status == 200
                assert client.get("/large").body == body
        assert grown(gate, before, "COOKIE_SENT") >= 2
        assert outside.get(w.PARTNER, PORT) == 200
    finally:
        level(gate, "open")


def test_what_leaves_is_judged_too(gate, outside):
    def asks(source):
        """A connection that this machine begins."""
        with outside.socket(source, port=7300) as listening:
            listening.listen(4)
            with socket.socket() as s:
                s.settimeout(0.5)
                return s.connect_ex((source, 7300)) == 0
    assert asks(w.STRANGER)
    level(gate, "closed")
    try:
        before = counts(gate)
        assert not asks(w.STRANGER) and asks(w.INSIDE)
        assert grown(gate, before, "LEVEL", column=1) > 0
    finally:
        level(gate, "open")


def test_levels_keep_the_partner_and_cut_the_stranger(gate, outside):
    with Listener(7200) as listening:
        held = outside.connect(w.STRANGER, 7200)
        kept = outside.connect(w.PARTNER, 7200)
        ours = dict(reversed(listening.accept()) for _ in range(2))
        said = w.polder(gate, "isolate", "partners", "--reason", "test", "--yes")
        try:
            assert "1 session was cut" in said or "1 sessions were cut" in said, said
            held.settimeout(0.5)
            with pytest.raises(OSError):
                assert held.recv(1) == b""
                raise OSError("ended")
            kept.sendall(b"k")
            assert next(s for (peer, *_), s in ours.items() if peer.endswith(w.PARTNER)).recv(1) == b"k"
            assert not outside.reaches(w.STRANGER, 7200) and outside.reaches(w.PARTNER, 7200)
            assert not outside.reaches(w.STRANGER6, 7200) and outside.reaches(w.PARTNER6, 7200)
        finally:
            level(gate, "open")
        for s in (held, kept, *ours.values()):
            s.close()
        assert outside.reaches(w.STRANGER, 7200)


def test_a_person_blocks_an_address_for_a_time(gate, outside):
    w.polder(gate, "filter", "block", w.STRANGER6, "--for", "10m", "--reason", "scans")
    assert not outside.reaches(w.STRANGER6, PORT) and outside.get(w.STRANGER, PORT) == 200
    assert "blocked: a person ordered it" in w.polder(gate, "filter", "class", w.STRANGER6)
    assert "scans" in w.polder(gate, "filter", "show")
    w.polder(gate, "filter", "unblock", w.STRANGER6)
    assert outside.get(w.STRANGER6, PORT) == 200


@pytest.mark.parametrize("address, why", [(w.PARTNER, "partner"), (w.MANAGER, "managed from"), (w.INSIDE, "inside"),
                                          ("127.0.0.1", "upstream"), ("203.0.113.0/24", "no IP address")])
def test_nobody_is_blocked_whom_the_house_needs(gate, address, why):
    assert why in w.polder(gate, "filter", "block", address, "--for", "10m", "--reason", "x", may_fail=True)


def test_samples_become_a_capture(gate, outside, tmp_path):
    outside.reaches("203.0.113.4", PORT)  # dropped
    outside.get(w.STRANGER, PORT)
    path = tmp_path / "packets.pcapng"
    w.polder(gate, "capture", "--out", str(path))
    bytes_ = path.read_bytes()
    assert bytes_[:4] == b"\x0a\x0d\x0d\x0a" and socket.inet_aton("203.0.113.4") in bytes_
    assert "File exists" in w.polder(gate, "capture", "--out", str(path), may_fail=True)


def test_metrics_count_by_reason_and_class(gate):
    found = harness.until(lambda: {k: v for k, v in gate.metrics().items() if k[0] == "polder_packets_total"}, "counters")
    assert any(dict(labels).get("reason") == "BLOCKED" for _, labels in found)
    assert gate.metrics()[("polder_packets_mode", frozenset({("mode", "programs")}))] == 1


def reload(gate, config, may_fail=False):
    gate.write_config(config)
    return w.polder(gate, "reload", may_fail=may_fail)


def test_a_reload_changes_lists_and_dry_runs(gate, outside, app):
    c = w.config(app.port, PORT, {"block": ["203.0.113.2"], "dry_run": ["blocked", "rate_source"],
                                  "rates": {"open": {"unknown_source": 2000}}})
    reload(gate, c)
    before = counts(gate)
    assert outside.get(w.SECOND, PORT) == 200
    assert grown(gate, before, "BLOCKED", column=2) > 0
    c["filter"]["dry_run"] = ["rate_source"]
    reload(gate, c)
    assert not outside.reaches(w.SECOND, PORT) and outside.get("203.0.113.4", PORT) == 200


@pytest.mark.parametrize("change, why", [
    ({"interfaces": ["nosuch0"]}, "no interface nosuch0"),
    ({"dry_run": ["amplifikation"]}, "did you mean"),
    ({"block": ["198.51.100.7"]}, "would block the partner mcl"),
    ({"block": ["10.9.0.0/16"]}, None),  # wider: who is listed keeps his class
    ({"block": [{"network": "10.9.0.0/16", "ports": 443}]}, "would block management"),
    ({"block": ["127.0.0.1"]}, "would block the upstream app"),
    ({"block": ["203.0.113.1/24"]}, "is not a network"),
    ({"addresses": ["192.0.2.7"]}, "no listener can be at all addresses"),
    ({"interfaces": ["lo"]}, "not the name of an outside interface"),
])
def test_what_makes_no_sense_is_refused_and_nothing_changes(gate, outside, app, change, why):
    before = gate.status()["config"]["generation"] if "config" in gate.status() else None
    said = reload(gate, w.config(app.port, PORT, change), may_fail=True)
    if why is None:
        assert "would block" not in said
        return
    assert why in said, said
    if before is not None:
        assert gate.status()["config"]["generation"] == before
    assert outside.get(w.PARTNER, PORT) == 200


def test_an_interface_that_comes_back_is_filtered_at_once(gate, outside, app):
    reload(gate, w.config(app.port, PORT, {"block": ["203.0.113.2"]}))
    assert not outside.reaches(w.SECOND, PORT)
    w.ip("link del g0")
    since = len(gate.said)
    w.wire(outside)
    gate.wait_said("g0 is there again and is filtered", since=since)
    assert not outside.reaches(w.SECOND, PORT) and outside.get(w.STRANGER, PORT) == 200
