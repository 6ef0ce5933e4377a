"""What the test files share: one authority with certificates, made once for each run of pytest."""
import collections
import tempfile
from pathlib import Path

import pytest

import harness

Certificates = collections.namedtuple("Certificates", "ca client_ca noord noord_rsa zuid client other_client")


@pytest.fixture(scope="session")
def certificates():
    """ca vouches for noord (P-256 and RSA-3072) and zuid; client_ca for two clients, "Praktijk Noord" and "Ander"."""
    with tempfile.TemporaryDirectory(prefix="polder-wire-tls-") as folder:
        Path(folder).chmod(0o755)
        ca, client_ca = harness.Authority(folder, "ca"), harness.Authority(folder, "client-ca")
        noord = ["noord.test", "*.noord.test", "127.0.0.1"]
        yield Certificates(ca, client_ca, ca.issue("noord", noord), ca.issue("noord-rsa", noord, kind="rsa"),
                           ca.issue("zuid", ["zuid.test"]), client_ca.issue("client", client=True, subject="Praktijk Noord"),
                           client_ca.issue("other", client=True, subject="Ander"))
