"""A hub with the tobacco package, on an empty database of each engine."""

from collections.abc import AsyncIterator

import pytest

from tests.support.hub import DeskHub, desk_hub


@pytest.fixture
async def hub(database_url: str) -> AsyncIterator[DeskHub]:
    async with desk_hub(database_url) as hub:
        yield hub


@pytest.fixture
async def light_hub(sqlite_url: str) -> AsyncIterator[DeskHub]:
    """For what does not depend on the engine."""
    async with desk_hub(sqlite_url) as hub:
        yield hub
