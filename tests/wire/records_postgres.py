"""The records in PostgreSQL: what is of that database alone. The other tests of the records run on it as they are, with
POLDER_TEST_STORE=postgresql."""
import os
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
    with records_kit.Records(clusters=("noord", "zuid"), start=False) as records:
        text = records.config_path.read_text()
        config = __import__("json").loads(text)
        for cluster in config["records"]["clusters"]:
            cluster["store"] = uri
        records.config_path.write_text(__import__("json").dumps(config))
        done = subprocess.run([records_kit.program(), "--config", str(records.config_path)], capture_output=True, timeout=60,
                              check=False)
        assert done.returncode != 0 and b"cannot be opened" in done.stderr
        records.process = subprocess.Popen(["true"])
        records.process.wait()
