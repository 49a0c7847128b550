"""A dump loaded into PostgreSQL: all of it or nothing, and what was there before keeps a schema of its own."""

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlmodel import SQLModel

import crm.tables  # noqa: F401  # declares the CRM's tables
from core.errors import Conflict
from workers.backup.archive import Manifest
from workers.backup.copying import ASIDE
from workers.backup.postgres import (
    Connection,
    connect,
    environment_of,
    find_program,
    refuse_while_used,
    run,
)


async def load(database_url: str, dump: Path, manifest: Manifest, mark: str, replace: bool) -> str:
    """Load the dump; returns the schema in which the data lie that were there before, if any.

    Raises Conflict where somebody works on the database, or where it holds rows and `replace` was not said.
    """
    db = await connect(database_url)
    try:
        await refuse_while_used(db)
        server = db.get_server_version().major
        dumped = int(manifest.engine_version.partition(".")[0])
        program = await find_program("pg_restore", max(server, dumped))
        aside = await _make_room(db, mark, replace)
        try:
            await run(
                [
                    str(program),
                    *(
                        "--single-transaction",
                        "--exit-on-error",
                        "--no-owner",
                        "--no-privileges",
                        "--no-password",
                    ),
                    f"--dbname={make_url(database_url).database}",
                    str(dump),
                ],
                environment_of(database_url),
            )
        except BaseException:
            if aside:
                await db.execute(f"DROP SCHEMA public CASCADE; ALTER SCHEMA {aside} RENAME TO public")
            raise
        await db.execute("ANALYZE")
    finally:
        await db.close()
    return f"the schema {aside}" if aside else ""


async def _make_room(db: Connection, mark: str, replace: bool) -> str:
    rows = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tables = [row["tablename"] for row in rows]
    ours = {*SQLModel.metadata.tables, "alembic_version"}
    if not tables:
        return ""
    if await _is_empty(db, tables):
        names = ", ".join(f'"{name}"' for name in tables if name in ours)
        await db.execute(f"DROP TABLE {names} CASCADE")
        return ""
    if not replace:
        raise Conflict(
            "The database is not empty: name an empty one in SWITCHBOARD_DATABASE, or set aside what it holds with"
            " --replace."
        )
    aside = f"{ASIDE}{mark.lower()}"
    await db.execute(f"ALTER SCHEMA public RENAME TO {aside}; CREATE SCHEMA public")
    return aside


async def _is_empty(db: Connection, tables: list[str]) -> bool:
    """Whether nothing but freshly made tables lies there. Strangers' tables count as something."""
    for name in tables:
        if name == "alembic_version" or name.startswith("log_2") or name == "log_default":
            continue
        if name not in SQLModel.metadata.tables:
            return False
        where = "WHERE seq > 0" if name == "log_head" else ""
        if await db.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{name}" {where})'):
            return False
    return True
