"""The records in PostgreSQL: what is of that database alone. The other tests of the records run on it as they are, with
POLDER_TEST_STORE=postgresql."""
import json
import os
import shutil
import subprocess

import pytest

import harness
import postgres_kit
import records_kit
from records_kit import resource

pytestmark = pytest.mark.skipif(os.environ.get("POLDER_TEST_STORE") != "postgresql", reason="of PostgreSQL alone")


def test_what_was_acknowledged_survives_a_crash_of_the_database():
    server = postgres_kit.server()
    with records_kit.Records() as records:
        records.may_say = "started again|killed by signal|the connection to a database is lost"
        made = [records.create({"resourceType": "Patient", "name": [{"family": f"Jansen{i}"}]})["id"] for i in range(20)]
        server.crash()
        server.start()

        def is_back():
            try:
                return records.ask("PUT", "Patient/new", {"resourceType": "Patient", "id": "new"}).status in (200, 201)
            except OSError:
                return False
        harness.until(is_back, "it writes again")
        for one in made:
            harness.until(lambda one=one: records.ask("GET", f"Patient/{one}").status == 200, "it is read again")
        assert resource(records.ask("GET", "Patient?_summary=count"))["total"] == 21


def test_two_clusters_cannot_share_a_database(tmp_path):
    uri = postgres_kit.server().database()
    path = tmp_path / "polder.yaml"
    path.write_text(json.dumps({"records": {
        "data_directory": str(tmp_path / "data"), "listeners": [f"127.0.0.1:{harness.free_port()}"], "access": "off",
        "clusters": [{"name": name, "path": f"/{name}/fhir", "store": uri} for name in ("noord", "zuid")]}}))
    done = subprocess.run([records_kit.program(), "--config", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and "has this database already" in done.stderr, done.stderr


def test_it_says_why_a_database_cannot_be_reached():
    records = records_kit.Records(start=False)
    config = json.loads(records.config_path.read_text())
    config["records"]["clusters"][0]["store"] = f"postgresql://polder@/nobody-made-it?host={postgres_kit.server().folder}"
    records.config_path.write_text(json.dumps(config))
    try:
        records.start(words='database "nobody-made-it" does not exist')
    finally:
        records.kill()
        shutil.rmtree(records.folder, ignore_errors=True)


def polder(part, records, *words):
    return subprocess.run([os.environ["POLDER"], "records", part, "--cluster", "noord", "--config", str(records.config_path),
                           *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


def test_a_copy_goes_into_another_database_and_into_a_folder(tmp_path):
    """And a copy made of a folder into a database: the file is the same."""
    copy, again = tmp_path / "copy.db", tmp_path / "again.db"
    text = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Éénmalig bezoek</div>'}
    with records_kit.Records() as records:
        made = records.create({"resourceType": "Patient", "name": [{"family": "Jansen"}], "text": text})["id"]
        done = polder("backup", records, "--out", copy)
        assert done.returncode == 0, done.stderr
        done = polder("verify", records)
        assert done.returncode == 0 and "all is well" in done.stdout, done.stderr
    for is_folder in (True, False):
        other = records_kit.Records(start=False)
        if is_folder:
            config = json.loads(other.config_path.read_text())
            del config["records"]["clusters"][0]["store"]
            other.config_path.write_text(json.dumps(config))
        done = polder("restore", other, "--from", again if again.exists() else copy)
        assert done.returncode == 0, done.stderr
        other.start()
        with other:
            assert resource(other.ask("GET", f"Patient/{made}"))["name"][0]["family"] == "Jansen"
            assert resource(other.ask("GET", "Patient?_text=eenmalig"))["total"] == 1
            if is_folder:
                assert polder("backup", other, "--out", again).returncode == 0
            done = polder("restore", other, "--from", copy)
            assert done.returncode != 0
