"""One world for the tests of a file, which all run in one process; gates start and end in it."""
import os

import pytest

import gate_world


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root: name spaces, packet programs"))


@pytest.fixture(scope="session")
def outside():
    return gate_world.make()
