"""What somebody in a worker can do with what it has by right: its memory, and its channels to the other roles.

Secrets: no private key lies in the memory of any role but the signer, which is searched in the same way and found out.
Signatures: whatever is asked, only what has the shape of a handshake is signed, at the rate that is configured.
Messages: what a role may not say ends it, and changes nothing else.
"""
import collections
import struct
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from live_gate import LiveGate, Scene, disguised, harness

ECDSA_P256, ECDSA_P384, RSA_PSS, RSA_PKCS1 = 0x0403, 0x0503, 0x0804, 0x0401
TLS13_SERVER, TLS13_CLIENT, TLS12_SERVER = 1, 2, 3
# src/ipc/messages.def
HELLO, PEER, DRAINED, MISBEHAVED, PREPARED, SIGN, SIGNATURE, DIAL, DIALED, ORDER = 1, 2, 4, 5, 11, 22, 23, 30, 31, 40
EINVAL = 22


@pytest.fixture(scope="module")
def scene():
    one = Scene()
    yield one
    one.close()


@pytest.fixture
def gate(scene):
    with LiveGate(scene) as one:
        yield one


# ---- memory

def private(issued):
    return serialization.load_pem_private_key(issued.key.read_bytes(), None)


def shapes(name, number):
    """As OpenSSL computes with it, as DER has it."""
    size = (number.bit_length() + 7) // 8
    return {f"{name}, limbs": number.to_bytes(size, "little"), f"{name}, DER": number.to_bytes(size, "big")}


def secrets(scene):
    of_ec, of_rsa = private(scene.ec).private_numbers(), private(scene.rsa).private_numbers()
    found = {**shapes("EC scalar", of_ec.private_value), **shapes("RSA p", of_rsa.p), **shapes("RSA q", of_rsa.q),
             **shapes("RSA d", of_rsa.d), **shapes("RSA d mod p-1", of_rsa.dmp1)}
    for which, issued in (("EC", scene.ec), ("RSA", scene.rsa)):
        found[f"{which} file"] = issued.key.read_bytes().split(b"\n")[1]
    return found


def scan(actor, secret):
    """How often it lies in what the role may write to."""
    words = actor.ask("scan " + disguised(secret))
    assert words[0] == "scan" and int(words[2]) > 1 << 18, words
    return int(words[1])


def test_private_keys_are_in_the_signer_only(scene, gate):
    for listener in "https", "older": # handshakes with both keys, in every worker
        for _ in range(16):
            with gate.connect(listener, tls=harness.tls_context()) as client:
                assert client.get("/x").status == 200
    found = collections.defaultdict(dict)
    for name, secret in secrets(scene).items():
        for actor in gate.actors:
            found[name][actor.role] = found[name].get(actor.role, 0) + scan(actor, secret)
    for name, counts in found.items():
        assert {role: n for role, n in counts.items() if n and role != "signer"} == {}, name
    for name in "EC scalar, limbs", "RSA p, limbs", "RSA q, limbs": # the canary: where keys are, they are found
        assert found[name]["signer"] >= 1, found
    for name in "EC file", "RSA file": # what was read is wiped when it was understood
        assert found[name]["signer"] == 0, found


# ---- signatures

def public_sha256(issued):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(issued.certificate.public_key().public_bytes(serialization.Encoding.DER,
                                                               serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize()


def prefix(kind):
    side = b"client" if kind == TLS13_CLIENT else b"server"
    return b" " * 64 + b"TLS 1.3, " + side + b" CertificateVerify\0"


def sign_message(number, kind, scheme, key, text):
    return struct.pack("<HQBH", SIGN, number, kind, scheme) + struct.pack("<H", len(key)) + key + struct.pack("<H", len(text)) + text


class Channel:
    """Of a worker to another role: says bytes, hears answers to numbers that no real request has."""
    FIRST = 0xbad << 48

    def __init__(self, actor, role):
        self.actor, self.role, self.number = actor, role, self.FIRST

    def say(self, message, with_descriptor=False):
        self.actor.ours.send(f"say {self.role} {message.hex()}{' fd' if with_descriptor else ''}".encode())

    def hear(self, kind):
        """The next answer to one of ours: its bytes after the number."""
        while True:
            words = self.actor.hear()
            assert words[0] == "heard" and words[1] != "nobody", words
            data = bytes.fromhex(words[2])
            what, number = struct.unpack("<HQ", data[:10])
            if what == kind and number >= self.FIRST:
                return data[10:]

    def sign(self, kind, scheme, key, text):
        """The signature; empty when it was refused."""
        self.number += 1
        self.say(sign_message(self.number, kind, scheme, key, text))
        answer = self.hear(SIGNATURE)
        assert len(answer) == 2 + struct.unpack("<H", answer[:2])[0]
        return answer[2:]

    def dial(self, generation, endpoint):
        """The errno; 0: a connection came."""
        self.number += 1
        self.say(struct.pack("<HQQI", DIAL, self.number, generation, endpoint))
        return struct.unpack("<I", self.hear(DIALED))[0]


HASH, X25519 = bytes(range(32)), bytes([3, 0, 29, 32]) + bytes(range(100, 132))
RANDOMS = bytes(range(64, 128))
REFUSED = {
    "a hash as TLS 1.2 parameters": (TLS12_SERVER, ECDSA_P256, None, HASH),
    "any text as TLS 1.2 parameters": (TLS12_SERVER, ECDSA_P256, None, b"Pay to the bearer" * 7),
    "parameters that go on": (TLS12_SERVER, ECDSA_P256, None, RANDOMS + X25519 + b"!"),
    "a group that nobody knows": (TLS12_SERVER, ECDSA_P256, None, RANDOMS + b"\3\0\x15" + X25519[3:]),
    "a compressed point": (TLS12_SERVER, ECDSA_P256, None, RANDOMS + bytes([3, 0, 23, 65, 2]) + bytes(64)),
    "a TLS 1.3 input as a TLS 1.2 one": (TLS12_SERVER, ECDSA_P256, None, prefix(TLS13_SERVER) + HASH),
    "a TLS 1.2 input that begins as one of TLS 1.3": (TLS12_SERVER, ECDSA_P256, None, b" " * 64 + X25519),
    "parameters as a transcript hash": (TLS13_SERVER, ECDSA_P256, None, RANDOMS + X25519),
    "no hash": (TLS13_SERVER, ECDSA_P256, None, b""),
    "a hash that is too short": (TLS13_SERVER, ECDSA_P256, None, HASH[:31]),
    "a hash that is too long": (TLS13_SERVER, ECDSA_P256, None, HASH + b"!"),
    "a SHA-512 hash": (TLS13_SERVER, ECDSA_P256, None, HASH * 2),
    "the largest input": (TLS13_SERVER, ECDSA_P256, None, HASH * 16),
    "kind 0": (0, ECDSA_P256, None, HASH),
    "kind 4": (4, ECDSA_P256, None, HASH),
    "kind 255": (255, ECDSA_P256, None, HASH),
    "a key that is not there": (TLS13_SERVER, ECDSA_P256, bytes(32), HASH),
    "no key": (TLS13_SERVER, ECDSA_P256, b"", HASH),
    "half a key's name": (TLS13_SERVER, ECDSA_P256, "half", HASH),
    "a scheme of RSA": (TLS13_SERVER, RSA_PSS, None, HASH),
    "a scheme of another curve": (TLS13_SERVER, ECDSA_P384, None, HASH),
    "RSA PKCS #1 v1.5": (TLS13_SERVER, RSA_PKCS1, "rsa", HASH),
    "ECDSA by the RSA key": (TLS13_SERVER, ECDSA_P256, "rsa", HASH),
    "scheme 0": (TLS13_SERVER, 0, None, HASH),
}


def test_only_handshakes_are_signed(scene, gate):
    signer, keys = Channel(gate.workers_acting[0], "signer"), {None: public_sha256(scene.ec), "rsa": public_sha256(scene.rsa)}
    keys["half"] = keys[None][:16]
    for name, (kind, scheme, key, text) in REFUSED.items():
        assert signer.sign(kind, scheme, keys.get(key, key), text) == b"", name
    public = scene.ec.certificate.public_key()
    for kind in TLS13_SERVER, TLS13_CLIENT: # the canary; and what was signed is nothing but a handshake's input
        signature = signer.sign(kind, ECDSA_P256, keys[None], HASH)
        public.verify(signature, prefix(kind) + HASH, ec.ECDSA(hashes.SHA256()))
        with pytest.raises(InvalidSignature):
            public.verify(signature, HASH, ec.ECDSA(hashes.SHA256()))
    signature = signer.sign(TLS12_SERVER, ECDSA_P256, keys[None], RANDOMS + X25519)
    public.verify(signature, RANDOMS + X25519, ec.ECDSA(hashes.SHA256()))
    assert all(r["restarts"] == 0 for r in gate.status()["roles"])
    gate.serves()


def test_tls12_is_not_signed_where_it_is_not_used(scene):
    config = scene.config()
    for listener in config["listeners"]:
        listener["tls"]["versions"] = [1.3]
    with LiveGate(scene, config=config) as gate:
        signer = Channel(gate.workers_acting[0], "signer")
        assert signer.sign(TLS12_SERVER, ECDSA_P256, public_sha256(scene.ec), RANDOMS + X25519) == b""
        assert signer.sign(TLS13_SERVER, ECDSA_P256, public_sha256(scene.ec), HASH) != b""


def test_signatures_are_rationed(scene):
    per_second, asked = 40, 160
    with LiveGate(scene, config=scene.config(signatures_per_second=per_second)) as gate:
        signer, key = Channel(gate.workers_acting[0], "signer"), public_sha256(scene.ec)
        start = time.monotonic()
        signed = sum(signer.sign(TLS13_SERVER, ECDSA_P256, key, HASH) != b"" for _ in range(asked))
        refilled = (time.monotonic() - start) * per_second
        assert per_second / 2 <= signed <= per_second + refilled + 1 # its own handshakes had some before
        other = Channel(gate.workers_acting[1], "signer")
        assert other.sign(TLS13_SERVER, ECDSA_P256, key, HASH) != b"", "one worker used up another's ration"


# ---- messages

def restarts(gate):
    return {(r["role"], r["slot"]): r["restarts"] for r in gate.status()["roles"] if r["restarts"]}


def assert_ends_the_role(gate, actor, to, message, with_descriptor=False):
    """The master replaces it; everybody else stays."""
    pid, before, generation = actor.pid, restarts(gate), gate.status()["config"]["generation"]
    Channel(actor, to).say(message, with_descriptor)
    actor.wait_up(but=pid)
    gate.settle()
    before[actor.role, actor.slot] = before.get((actor.role, actor.slot), 0) + 1
    assert restarts(gate) == before
    assert gate.status()["config"]["generation"] == generation
    gate.serves()


def numbered(number, rest=b""):
    return struct.pack("<H", number) + rest


TO_MASTER = {
    "half a number": b"\1", "number 0": numbered(0), "number 65535": numbered(65535),
    "a second hello": numbered(HELLO, struct.pack("<BBII", 2, 0, 1, 0)),
    "hello of the signer": numbered(HELLO, struct.pack("<BBII", 3, 0, 1, 0)),
    "prepared, of no configuration": numbered(PREPARED, struct.pack("<QBH", 99, 1, 0)),
    "a reload": numbered(ORDER, struct.pack("<QB", 1, 1)), "the end of the gate": numbered(ORDER, struct.pack("<QB", 1, 2)),
    "an upgrade": numbered(ORDER, struct.pack("<QB", 1, 3)),
    "an address for an upstream": numbered(32, struct.pack("<QIH", 1, 0, 11) + b"127.0.0.1:1"),
    "a key was loaded": numbered(21, struct.pack("<QHBH", 1, 0, 1, 32) + bytes(32) + b"\0\0"),
    "a peer": numbered(PEER, b"\3\0"), "a commit": numbered(12, struct.pack("<Q", 1)),
    "ticket keys": numbered(16, struct.pack("<H", 80) + bytes(80)), "sign": sign_message(1, 1, ECDSA_P256, bytes(32), HASH),
    "another worker misbehaved": numbered(MISBEHAVED, b"\1"), "drained, and more": numbered(DRAINED, b"\0\0"),
}
PEERS = {
    "number 0": numbered(0), "a commit": numbered(12, struct.pack("<Q", 99)),
    "the end": numbered(3, struct.pack("<I", 0)), "limits": numbered(24, struct.pack("<IB", 1, 1)),
    "a signature": numbered(SIGNATURE, struct.pack("<QH", 1, 0)), "an address": numbered(33, struct.pack("<QIH", 1, 0, 0)),
}
TO_SIGNER = {**PEERS, "dial": numbered(DIAL, struct.pack("<QQI", 1, 1, 0)),
             "a key": numbered(20, struct.pack("<QH", 1, 0)), "half a request": sign_message(1, 1, ECDSA_P256, bytes(32), HASH)[:-1],
             "a request, and more": sign_message(1, 1, ECDSA_P256, bytes(32), HASH) + b"!",
             "a name that is too long": sign_message(1, 1, ECDSA_P256, bytes(33), HASH),
             "an input that is too long": sign_message(1, 1, ECDSA_P256, bytes(32), bytes(513))}
TO_DIALER = {**PEERS, "sign": sign_message(1, 1, ECDSA_P256, bytes(32), HASH),
             "half a request": numbered(DIAL, bytes(19)), "a request, and more": numbered(DIAL, bytes(21))}


@pytest.mark.parametrize("to, messages, lawful", [("master", TO_MASTER, numbered(DRAINED, b"\0")),
                                                  ("signer", TO_SIGNER, sign_message(1, 1, ECDSA_P256, bytes(32), HASH)),
                                                  ("dialer", TO_DIALER, numbered(DIAL, struct.pack("<QQI", 1, 1, 0)))],
                         ids=["master", "signer", "dialer"])
def test_what_a_worker_may_not_say_ends_it(scene, to, messages, lawful):
    rest = [(message, False) for message in messages.values()] + [(lawful, True)] # a descriptor nobody asked for
    while rest:
        with LiveGate(scene) as gate:
            for actor in gate.workers_acting * 2: # the master waits longer after each death
                if rest:
                    assert_ends_the_role(gate, actor, to, *rest.pop())


@pytest.mark.parametrize("role", ["signer", "observer", "dialer", "filter"])
def test_what_another_role_may_not_tell_the_master_ends_it(gate, role):
    actor = getattr(gate, role)
    assert_ends_the_role(gate, actor, "master", numbered(DRAINED, b"\0"))
    assert_ends_the_role(gate, actor, "master", b"?")


def test_only_configured_endpoints_are_dialed(gate):
    dialer, generation = Channel(gate.workers_acting[0], "dialer"), gate.status()["config"]["generation"]
    for endpoint in 1, 2, 1000, 2**31, 2**32 - 1:
        assert dialer.dial(generation, endpoint) == EINVAL
    for of in 0, generation + 1, 2**63, 2**64 - 1:
        assert dialer.dial(of, 0) == EINVAL, f"generation {of}"
    assert dialer.dial(generation, 0) == 0 # the canary
    assert restarts(gate) == {}
    gate.serves()
