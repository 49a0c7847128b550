"""A demo that was loaded once for the whole run, with two weeks of history; each test gets a copy of its folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.settings import Settings
from workers.assemble import Hub, assemble, running
from workers.demo.seed import load


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a loaded demo; don't write into it."""
    data = tmp_path_factory.mktemp("demo")
    with ThreadPoolExecutor(1) as thread:  # no test's event loop runs there
        thread.submit(asyncio.run, load(Settings(data=data, is_demo=True), weeks=2)).result()
    return data


@pytest.fixture
def settings(loaded: Path, tmp_path: Path) -> Settings:
    """Of a copy that the test may change."""
    data = tmp_path / "data"
    shutil.copytree(loaded, data)
    return Settings(data=data, is_demo=True, port=0)


@pytest.fixture
async def hub(settings: Settings) -> AsyncIterator[Hub]:
    async with assemble(settings) as hub, running(hub):
        yield hub
