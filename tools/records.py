"""The record service of `make run`: its part of the configuration, its start, sample data, and how to look.

The data lies in the folder `records` of the demonstration and is loaded once; SAMPLE_PATIENTS=N says how many patients each
cluster gets (40). Tokens come from the development issuer, whose key is made at the first start."""
import json
import os
import shutil
import subprocess
import sys
import time

import build
import issuer

PORT = 8103
READY_WITHIN_S = 20
LOAD_WITHIN_S = 900
PARTNER, HOSPITAL = "umc", "ziekenhuis-umc"  # who comes with the client certificate of certificates.py
PARTNER_ROW = "  - {{ name: {partner}, networks: [192.0.2.0/24, \"2001:db8:20::/64\"], certificates: [A practice] }}\n"
BESIDE = [  # the sample: whom its clusters work with
    {"resourceType": "Organization", "id": HOSPITAL, "active": True, "name": "Universitair Medisch Centrum"},
    {"resourceType": "Practitioner", "id": "waarnemer-bakker", "active": True, "name": [{"family": "Bakker"}]},
]
PEOPLE = {"GP": "Practitioner/huisarts-hoekstra", "PHARMACIST": "Practitioner/apotheker-wiersma", "PATIENT": "Patient/noord-0002"}

SECTION = """records:
  data_directory: {data}
  listeners: [{{ address: "127.0.0.1:{port}", behind_gate: true }}]
  issuers: [{{ url: "{issuer}", jwks: {keys}/jwks.json }}]
  administrators: [cluster-admin]
  partners: [{{ partner: {partner}, organisation: {hospital} }}]
  clusters:
{clusters}"""
CLUSTER = "    - {{ name: {name}, path: /{name}/fhir, url: \"{url}\", organisation: Zorgcluster {title} }}\n"
UPSTREAM = """  - name: records
    endpoints: ["127.0.0.1:{port}"]
    check: {{ type: http, path: /{name}/fhir/metadata, interval: 2s }}
"""
ROUTE = "{{ path: /fhir, upstream: records, rewrite: /{name}/fhir }}"


class Trouble(Exception):
    """Something the person who typed `make run` can do something about."""


def patients():
    words = os.environ.get("SAMPLE_PATIENTS", "40")
    if not words.isdigit() or not 1 <= int(words) <= 5000:
        raise Trouble(f"SAMPLE_PATIENTS is a number from 1 to 5000, not '{words}'")
    return int(words)


class Records:
    """folder: of the demonstration. before: what goes before a command that has to reach the service."""

    def __init__(self, folder, program, https, clusters, before=()):
        self.folder, self.program, self.before, self.https = folder, program, [str(word) for word in before], https
        self.clusters, self.keys, self.config = list(clusters), folder / "issuer", folder / "polder.yaml"
        self.count = patients()

    def url(self, name):
        """The base URL as clients see it."""
        return f"https://{name}.localhost:{self.https}/fhir"

    # ---- the configuration

    def section(self):
        clusters = "".join(CLUSTER.format(name=name, url=self.url(name), title=name.capitalize()) for name in self.clusters)
        return SECTION.format(data=self.folder / "records", port=PORT, issuer=issuer.URL, keys=self.keys, partner=PARTNER,
                              hospital=HOSPITAL, clusters=clusters)

    def upstream(self):
        return UPSTREAM.format(port=PORT, name=self.clusters[0])

    @staticmethod
    def partner():
        return PARTNER_ROW.format(partner=PARTNER)

    @staticmethod
    def route(name):
        return ROUTE.format(name=name)

    # ---- the service

    def prepare(self):
        """Before the configuration is read: it names the key."""
        self.keys.mkdir(parents=True, exist_ok=True)
        if not (self.keys / "key.pem").exists() or not (self.keys / "jwks.json").exists():
            issuer.Issuer().write(self.keys)

    def start(self, children):
        children.start("The records", [*self.before, self.program("src/records/polder-records"), "--config", self.config])
        end = time.monotonic() + READY_WITHIN_S
        while self.run("curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{PORT}/{self.clusters[0]}/fhir/metadata") != 0:
            children.check()
            if time.monotonic() > end:
                raise Trouble(f"The records do not answer on port {PORT} after {READY_WITHIN_S} s.")
            time.sleep(0.05)
        for name in self.clusters:
            self.load(name)

    def run(self, *command, **more):
        return subprocess.run([*self.before, *map(str, command)], stdin=subprocess.DEVNULL, timeout=LOAD_WITHIN_S,
                              **more).returncode

    # ---- what is in it

    def token(self, name, user, **claims):
        made = issuer.Issuer.read(self.keys, audience=self.url(name))
        return made.token(user, **claims)

    def sample(self, name):
        """The sample of a cluster: a folder that appears when it is whole."""
        folder = self.folder / "sample" / str(self.count) / name
        if folder.exists():
            return folder
        part = self.folder / "sample.part"
        shutil.rmtree(part, ignore_errors=True)
        done = subprocess.run([sys.executable, build.ROOT / "tools/sample/make.py", part, "--patients", str(self.count),
                               "--cluster", name], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              timeout=LOAD_WITHIN_S)
        if done.returncode != 0:
            raise Trouble(f"The sample data cannot be made: {done.stderr.strip()}")
        (part / name / "90-beside.ndjson").write_text("".join(json.dumps(one) + "\n" for one in BESIDE))
        folder.parent.mkdir(parents=True, exist_ok=True)
        (part / name).rename(folder)
        shutil.rmtree(part)
        return folder

    def load(self, name):
        words = self.folder / "token"
        with open(os.open(words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(self.token(name, None, client_id="cluster-admin"))
        print(f"Cluster {name}: ", end="", flush=True)
        status = self.run(self.program("src/cli/polder"), "records", "load", self.sample(name), "--cluster", name, "--config",
                          self.config, "--token", words)
        words.unlink()
        if status != 0:
            raise Trouble(f"The sample data of {name} cannot be loaded; the reasons stand above.")

    # ---- for who looks

    def how_to_look(self, polder, options, before=""):
        """options: of curl, to reach cluster noord. before: what goes before curl."""
        base, keys = self.url("noord"), os.path.relpath(self.keys, build.ROOT)
        people = "\n".join(f"    {name}=\"Authorization: Bearer $(tools/issuer.py token {keys} {user} --audience {base})\""
                           for name, user in PEOPLE.items())
        get = f"{before}curl -sg {options}"
        return f"""The records of both clusters are FHIR R4 at {base} and {self.url('zuid')}; {self.count} patients each
(SAMPLE_PATIENTS=N make run for others). README.md follows a GP, a pharmacy and a patient through a day. To begin with:
{people}
    {get} -H "$GP" "{base}/Patient?_count=3&_pretty=true"
    {get} -H "$GP" "{base}/Patient/noord-0002/\\$everything"
    {get} -H "$PHARMACIST" "{base}/Composition"        # 403: notes are the practice's
    {get} "{base}/Patient"                             # 401
    {polder} records status
    {polder} records backup --cluster noord --out /tmp/noord.backup
"""
