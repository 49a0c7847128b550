"""What every test may ask for: an empty database of either engine or of both in turn, Redis, and a browser."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.async_api import Browser

from tests.support.browser import BrowserMissing, open_browser
from tests.support.postgres import Cluster, PostgresMissing
from tests.support.redis import RedisMissing, RedisServer


def skip_unless_ci(missing: Exception) -> NoReturn:
    """A developer may lack a program that a test needs; where changes are judged, nothing is left out."""
    if os.environ.get("CI") == "true":
        raise missing
    pytest.skip(str(missing))


@pytest.fixture(autouse=True, scope="session")
def nothing_is_frozen() -> Iterator[None]:
    """A hub keeps what stands when it begins from the collector; of the hundreds of one test run nothing would go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc.freeze", lambda: None)
        yield


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """The session's own PostgreSQL; don't stop it, make a `Cluster()` for that. One a process under xdist."""
    try:
        cluster = Cluster()
    except PostgresMissing as missing:
        skip_unless_ci(missing)
    with cluster:
        yield cluster


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite database that does not exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'switchboard.db'}"


@pytest.fixture
def postgres_url(postgres_cluster: Cluster) -> Iterator[str]:
    """An empty PostgreSQL database."""
    name = postgres_cluster.create_database()
    yield postgres_cluster.url(name)
    postgres_cluster.discard_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of the one engine, then of the other."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's own Redis; don't stop it, make a `RedisServer()` for that."""
    try:
        server = RedisServer()
    except RedisMissing as missing:
        skip_unless_ci(missing)
    with server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium of the test's own; pages are opened with `tests.support.browser.open_page`."""
    try:
        async with open_browser() as opened:
            yield opened
    except BrowserMissing as missing:
        skip_unless_ci(missing)
