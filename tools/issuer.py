#!/usr/bin/python3
r"""A development issuer of tokens: for `make run` and for tests, never installed. It asks nobody for a password.

    tools/issuer.py keys FOLDER                 makes FOLDER/key.pem and FOLDER/jwks.json, where they are not there yet
    tools/issuer.py token FOLDER USER --audience BASE-URL [--minutes N] [--scope S] [--organisation ID] [--patient ID]
                                      [--client ID] [--issuer URL]

USER is whom the token speaks for: Practitioner/huisarts-hoekstra, Patient/noord-0001, or a client ("-": see --client).
The token goes to standard output:

    curl -H "Authorization: Bearer $(tools/issuer.py token build/issuer Practitioner/apotheker-wiersma \
        --audience https://noord.localhost/fhir)" https://noord.localhost/fhir/MedicationRequest
"""
import argparse
import base64
import json
import os
import time
import uuid
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

URL = "http://127.0.0.1/development-issuer"


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """A P-256 key and what it signs (RFC 7515, RFC 7518 3.4)."""

    def __init__(self, key=None, url=URL, audience=None):
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.url, self.audience, self.id = url, audience, "development"

    def jwks(self):
        numbers = self.key.public_key().public_numbers()
        return json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "alg": "ES256",
                                     "x": text(numbers.x.to_bytes(32, "big")), "y": text(numbers.y.to_bytes(32, "big"))}]})

    def token(self, user=None, seconds=3600, **claims):
        """user: fhirUser; claims with None are left out."""
        now = int(time.time())
        scope = "patient/*.cruds" if user and user.startswith("Patient/") else "user/*.cruds" if user else "system/*.cruds"
        said = {"iss": self.url, "aud": self.audience, "sub": user or claims.get("client_id") or "client", "iat": now,
                "exp": now + seconds, "jti": uuid.uuid4().hex, "fhirUser": user, "scope": scope, **claims}
        head = {"alg": "ES256", "typ": "at+jwt", "kid": self.id}
        said = {name: value for name, value in said.items() if value is not None}
        signed = ".".join(text(json.dumps(part, separators=(",", ":")).encode()) for part in (head, said))
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{text(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        pem = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption())
        with open(os.open(folder / "key.pem", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(pem)
        (folder / "jwks.json").write_text(self.jwks() + "\n")

    @classmethod
    def read(cls, folder, **options):
        key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
        return cls(key, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("keys").add_argument("folder", type=Path)
    token = commands.add_parser("token")
    token.add_argument("folder", type=Path)
    token.add_argument("user")
    token.add_argument("--issuer", default=URL)
    token.add_argument("--audience", required=True, help="the base URL of the cluster")
    token.add_argument("--minutes", type=int, default=60)
    token.add_argument("--scope")
    token.add_argument("--organisation")
    token.add_argument("--patient")
    token.add_argument("--client")
    options = parser.parse_args()
    if options.command == "keys":
        if not (options.folder / "key.pem").exists():
            Issuer().write(options.folder)
        return
    claims = {"organization": options.organisation, "patient": options.patient, "client_id": options.client}
    if options.scope:
        claims["scope"] = options.scope
    issuer = Issuer.read(options.folder, url=options.issuer, audience=options.audience)
    print(issuer.token(None if options.user == "-" else options.user, 60 * options.minutes, **claims))


if __name__ == "__main__":
    main()
