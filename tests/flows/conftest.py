"""A hub that is made once a session and copied for each flow, and the demo that newcomers walk through."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.demo import Demo, load_once
from tests.support.serve import prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("prepared") / "data"
    asyncio.run(prepare(data))
    return data


@pytest.fixture(scope="session")
def loaded_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's data, loaded once for all test processes; copy it before use."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    return load_once(shared / "loaded-demo")


@pytest.fixture(scope="module")
def demo(loaded_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo that is running, for the tests of one file."""
    with Demo(loaded_demo, tmp_path_factory.mktemp("demo") / "data") as running:
        yield running
