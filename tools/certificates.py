"""Certificates for development: a CA that can vouch for localhost only, two certificates for each cluster (ECDSA
P-256 and RSA 3072), and a second CA with one client certificate. Kept while they are valid for another week."""
import subprocess
from pathlib import Path

DAYS = "397"  # what browsers accept of a server certificate
WEEK_S = str(7 * 24 * 3600)

CA_EXTENSIONS = """[ext]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
# Whoever trusts this CA in a browser trusts it for these names, not for the rest of the world.
NAME_CONSTRAINTS = ("nameConstraints = critical, permitted;DNS:localhost, permitted;IP:127.0.0.0/255.0.0.0, "
                    "permitted;IP:::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n")
LEAF_EXTENSIONS = """[ext]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{names}
"""
EC = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
RSA = ["rsa", "-pkeyopt", "rsa_keygen_bits:3072"]


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stdout.strip()}")


def is_valid(certificate, issuer):
    """It is there, lasts another week and was signed by that CA."""
    if not certificate.exists() or not certificate.with_suffix(".key").exists():
        return False
    checks = (["x509", "-in", certificate, "-noout", "-checkend", WEEK_S],
              ["verify", "-CAfile", issuer, certificate])
    return all(subprocess.run(["openssl", *map(str, check)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0 for check in checks)


def make_key(path, kind):
    path.touch(mode=0o600)
    path.chmod(0o600)
    openssl("genpkey", "-algorithm", *kind, "-out", path)


def make_ca(folder, name, subject, constraints=""):
    certificate = folder / f"{name}.pem"
    if is_valid(certificate, certificate):
        return certificate
    make_key(folder / f"{name}.key", EC)
    (folder / "ca.cnf").write_text(f"[req]\ndistinguished_name = dn\n[dn]\n{CA_EXTENSIONS}{constraints}")
    openssl("req", "-x509", "-new", "-key", folder / f"{name}.key", "-days", DAYS, "-subj", subject,
            "-config", folder / "ca.cnf", "-extensions", "ext", "-out", certificate)
    return certificate


def make_leaf(folder, name, kind, subject, ca, usage, names):
    certificate = folder / f"{name}.pem"
    if is_valid(certificate, ca):
        return certificate
    make_key(folder / f"{name}.key", kind)
    (folder / "leaf.cnf").write_text(LEAF_EXTENSIONS.format(usage=usage, names=names))
    openssl("req", "-new", "-key", folder / f"{name}.key", "-subj", subject, "-out", folder / f"{name}.csr")
    openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-days", DAYS,
            "-CAcreateserial", "-extfile", folder / "leaf.cnf", "-extensions", "ext", "-out", certificate)
    return certificate


def make_all(folder, clusters):
    """clusters: name -> subject alternative names. Files: NAME-ecdsa.pem, NAME-rsa.pem, ca.pem, client.pem, ..."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    ca = make_ca(folder, "ca", "/O=Polder development/CN=Polder development CA", NAME_CONSTRAINTS)
    for cluster, names in clusters.items():
        for word, kind in (("ecdsa", EC), ("rsa", RSA)):
            make_leaf(folder, f"{cluster}-{word}", kind, f"/O=Polder development/CN={cluster}", ca, "serverAuth",
                      f"subjectAltName = {names}")
    client_ca = make_ca(folder, "client-ca", "/O=Polder development/CN=Polder development client CA")
    make_leaf(folder, "client", EC, "/O=Polder development/CN=A practice", client_ca, "clientAuth", "")
    return ca
