"""A hub that is made once a session and copied for each flow."""

import asyncio
from pathlib import Path

import pytest

from tests.support.serve import prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("prepared") / "data"
    asyncio.run(prepare(data))
    return data
