"""Migrations: they bring a database to the shape that this program's tables have."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.engine import URL, make_url

FOLDER = Path(__file__).parent
_LOCK = 0x5B0A2D  # PostgreSQL: of several processes that start together, one migrates and the others wait

_PATIENCE = "5s"


def newest() -> str:
    """The newest revision. Revisions are numbered files, so that nothing has to be imported to know it."""
    return max(path.stem.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py"))


def upgrade(database_url: str) -> None:
    """Bring the database up to date; quick when it is. Blocks and starts its own event loop: call it on a thread.

    A database that a newer program has brought further is left as it is: migrations work with the program before them.
    """
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        _upgrade_sqlite(url)
    else:
        asyncio.run(_upgrade_postgres(url))


def _upgrade_sqlite(url: URL) -> None:
    path = Path(url.database or "")
    if path.exists() and _sqlite_revision(path) >= newest():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    from sqlalchemy import create_engine, event, pool

    engine = create_engine(
        url.set(drivername="sqlite"), poolclass=pool.NullPool, connect_args={"timeout": 30.0}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # The driver would leave DDL outside of any transaction: a half-made schema after a power cut.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            _run(connection)
    finally:
        engine.dispose()


def _sqlite_revision(path: Path) -> str:
    with sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0) as db:
        try:
            row = db.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return ""
    db.close()
    return row[0] if row else ""


async def _upgrade_postgres(url: URL) -> None:
    db = await asyncpg.connect(
        url.set(drivername="postgresql").render_as_string(hide_password=False), timeout=10
    )
    try:
        has_table = await db.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        if has_table and (await db.fetchval("SELECT version_num FROM alembic_version") or "") >= newest():
            return
    finally:
        await db.close()
    from sqlalchemy import pool, text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url, poolclass=pool.NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            # Behind a change of a table that waits for a lock everybody queues: rather fail, and be run again.
            await connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


def _run(connection: Any) -> None:
    """Run Alembic inside the open transaction."""
    from alembic import command

    from workers.migrations.environment import configuration

    command.upgrade(configuration(connection), "head")
