"""An empty hub database on either engine, and a writer that fills it."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.database import Database
from core.log.writer import LogWriter
from tests.support.entries import running_writer
from tests.support.postgres import Cluster
from workers.migrations import upgrade

# The migrations run once a session. On SQLite each test gets a copy of what they made; on PostgreSQL, where a new
# database costs a second of fsync, all get the same one and leave it empty.

_EMPTY = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('DELETE FROM %I', name);
  END LOOP;
  INSERT INTO log_head (id, seq) VALUES (1, 0);
END $$
"""


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "switchboard.db"
    upgrade(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_cluster: Cluster) -> str:
    name = postgres_cluster.create_database()
    upgrade(postgres_cluster.url(name))
    return name


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """An SQLite database with the hub's empty tables."""
    path = tmp_path / "switchboard.db"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_cluster: Cluster, migrated_postgres: str) -> Iterator[str]:
    """The PostgreSQL database with the hub's empty tables."""
    yield postgres_cluster.url(migrated_postgres)
    postgres_cluster.execute(_EMPTY, database=migrated_postgres)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def lite(sqlite_url: str) -> AsyncIterator[Database]:
    """For what does not differ between the engines."""
    database = Database(sqlite_url)
    yield database
    await database.close()


@pytest.fixture
async def writer(db: Database) -> AsyncIterator[LogWriter]:
    async with running_writer(db) as running:
        yield running
