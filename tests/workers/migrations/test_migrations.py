"""Migrations: they make what the models declare, on both engines, once, and a second run costs nothing."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlmodel import SQLModel

from core.database import Database
from workers.migrations import newest, upgrade
from workers.migrations.environment import METADATA
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
