"""Migrations: they make what the models declare, on both engines, once, and a second run costs nothing."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlmodel import SQLModel

from core.database import Database
from workers.migrations import FOLDER, newest, upgrade
from workers.migrations.environment import METADATA, configuration
from workers.migrations.partitions import ensure_partitions, partitions


async def migrated(url: str) -> Database:
    await asyncio.to_thread(upgrade, url)
    return Database(url)


def differences(connection: Connection) -> list[Any]:
    """What autogenerate would change; the log's partitions are none of its business."""

    def is_ours(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        return not (kind == "table" and str(name).startswith(("log_default", "log_2")))

    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "include_object": is_ours, "target_metadata": METADATA}
    )
    return list(compare_metadata(context, METADATA))


async def test_the_migrated_tables_are_those_that_the_models_declare(database_url: str) -> None:
    db = await migrated(database_url)
    async with db.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        tables = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    await db.close()
    assert tables >= set(SQLModel.metadata.tables)


async def test_a_migrated_sqlite_schema_reads_like_a_declared_one(sqlite_url: str, tmp_path: Any) -> None:
    """Also what autogenerate does not compare: rowid-less tables, defaults, uniqueness."""
    ours = await migrated(sqlite_url)
    declared = Database(f"sqlite+aiosqlite:///{tmp_path / 'declared.db'}")
    async with declared.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    said = []
    for db in (ours, declared):
        async with db.read() as session:
            rows = await session.execute(
                text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%' ORDER BY name")
            )
            said.append({name: plain(sql) for name, sql in rows if "alembic" not in name})
        await db.close()
    assert said[0] == said[1]


def plain(sql: str | None) -> list[str]:
    return sorted((sql or "").replace(",", " ").split())


async def test_the_head_of_the_log_stands_at_zero(database_url: str) -> None:
    db = await migrated(database_url)
    async with db.read() as session:
        assert (await session.execute(text("SELECT id, seq FROM log_head"))).all() == [(1, 0)]
    await db.close()


async def test_a_second_upgrade_is_quick_and_changes_nothing(database_url: str) -> None:
    db = await migrated(database_url)
    started = time.perf_counter()
    await asyncio.to_thread(upgrade, database_url)
    assert time.perf_counter() - started < 0.15
    async with db.read() as session:
        assert (await session.execute(text("SELECT version_num FROM alembic_version"))).scalar() == newest()
    await db.close()


async def test_of_upgrades_that_start_together_one_does_the_work(database_url: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(upgrade, database_url) for _ in range(3)))
    db = Database(database_url)
    async with db.read() as session:
        assert (await session.execute(text("SELECT count(*) FROM log_head"))).scalar() == 1
    await db.close()


async def test_a_database_of_a_newer_program_is_left_as_it_is(database_url: str) -> None:
    db = await migrated(database_url)
    async with db.begin() as tx:
        await tx.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await asyncio.to_thread(upgrade, database_url)
    async with db.read() as session:
        assert (await session.execute(text("SELECT version_num FROM alembic_version"))).scalar() == "9999"
    await db.close()


# From an earlier release, with rows in place.

EARLIER = sorted(path.stem.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))[:-1]

# A value for each type that a column of ours has, by the engine's own name for it.
SAMPLES: dict[str, Any] = {
    "BIGINT": 7,
    "INTEGER": 7,
    "SMALLINT": 7,
    "TEXT": "七",
    "BOOLEAN": True,
    "BLOB": b"0123456789abcdef",
    "BYTEA": b"0123456789abcdef",
    "UUID": UUID(int=7),
    "TIMESTAMP": datetime.now(UTC),
    "JSON": '{"seven": 7}',
    "JSONB": '{"seven": 7}',
}


async def at_revision(url: str, revision: str) -> Database:
    """A database as an earlier release left it."""
    db = Database(url)
    async with db.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(configuration(sync), revision))
    return db


async def rows_of(db: Database, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The one row of each table, as the bare driver gives it."""
    async with db.read() as session:
        found = {}
        for name in names:
            [row] = (await session.execute(text(f'SELECT * FROM "{name}"'))).mappings()
            found[name] = dict(row)
        return found


async def fill(db: Database) -> list[str]:
    """A row in every table, without a word of today's models; returns the tables' names."""
    async with db.engine.begin() as connection:
        columns = await connection.run_sync(_columns)
        for name, kinds in columns.items():
            values = ", ".join(
                f"CAST(:{column} AS jsonb)" if kind == "JSONB" else f":{column}"
                for column, kind in kinds.items()
            )
            names = ", ".join(f'"{column}"' for column in kinds)
            await connection.execute(
                text(f'INSERT INTO "{name}" ({names}) VALUES ({values})'),
                {column: SAMPLES[kind] for column, kind in kinds.items()},
            )
    return [*columns, "log_head"]


def _columns(connection: Connection) -> dict[str, dict[str, str]]:
    seen = inspect(connection)
    ours = [
        name for name in seen.get_table_names() if not name.startswith(("alembic", "log_2", "log_default"))
    ]
    return {
        name: {each["name"]: str(each["type"]).partition("(")[0] for each in seen.get_columns(name)}
        for name in ours
        if name != "log_head"  # it has its one row
    }


@pytest.mark.parametrize("revision", EARLIER)
async def test_rows_of_an_earlier_release_are_all_there_after_the_upgrade(
    database_url: str, revision: str
) -> None:
    old = await at_revision(database_url, revision)
    names = await fill(old)
    before = await rows_of(old, names)
    await old.close()
    db = await migrated(database_url)
    after = await rows_of(db, names)
    assert {name: {column: after[name][column] for column in row} for name, row in before.items()} == before
    async with db.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    async with db.read() as session:  # and today's models can read them
        for table in METADATA.sorted_tables:
            await session.execute(table.select())
    await db.close()


@pytest.mark.parametrize(
    ("at", "months"),
    [
        (datetime(2026, 1, 31, 23, tzinfo=UTC), ["2026_01", "2026_02", "2026_03"]),
        (datetime(2026, 11, 5, tzinfo=UTC), ["2026_11", "2026_12", "2027_01"]),
    ],
)
def test_partitions_are_made_for_this_month_and_the_next_two(at: datetime, months: list[str]) -> None:
    made = [statement.split()[5] for statement in partitions(at)]
    assert made == ["log_default", *(f"log_{month}" for month in months)]


async def test_a_month_without_partition_falls_into_the_default_one_and_later_months_get_theirs(
    postgres_url: str,
) -> None:
    db = await migrated(postgres_url)
    await ensure_partitions(db, datetime(2031, 5, 1, tzinfo=UTC))
    await ensure_partitions(db, datetime(2031, 5, 1, tzinfo=UTC))
    async with db.read() as session:
        rows = await session.execute(
            text("SELECT relname FROM pg_class WHERE relname LIKE 'log_2031%' AND relkind = 'r' ORDER BY 1")
        )
        assert rows.scalars().all() == ["log_2031_05", "log_2031_06", "log_2031_07"]
    await db.close()
