"""The database as of one moment, copied beside a working hub: by SQLite's backup, by pg_dump of a held snapshot."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.engine import make_url

from workers.backup.archive import POSTGRES, SQLITE, ChainEnd
from workers.backup.postgres import Connection, connect, environment_of, find_program, run

Told = Callable[[str, int, int], None]
"""Told what is under way, how much of it is done, and of how much."""

ASIDE = "replaced_"
"""How the schemas begin that a restore set aside: they are no part of the hub any more."""

_PAGES = 4_096  # a step of SQLite's backup

_HEAD = "SELECT seq FROM log_head WHERE id = 1"
_REVISION = "SELECT version_num FROM alembic_version"
_FILES = "SELECT DISTINCT sha256 FROM file WHERE sha256 <> '' ORDER BY 1"
_CHAINS = (
    "SELECT s.account, s.number, s.last_seq, s.hash FROM seal s JOIN"
    " (SELECT account, max(number) AS number FROM seal GROUP BY account) newest"
    " ON s.account = newest.account AND s.number = newest.number ORDER BY s.account"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A copy of the database, and what it says of itself."""

    path: Path
    engine: Literal["sqlite", "postgresql"]
    engine_version: str
    revision: str
    head: int
    chains: tuple[ChainEnd, ...]
    files: tuple[str, ...]  # digests of the stored files that its rows name

    @property
    def name(self) -> str:
        return SQLITE if self.engine == "sqlite" else POSTGRES


async def copy_database(database_url: str, folder: Path, told: Told) -> Copied:
    """Copy into the folder. Nobody has to stop: no lock is held that a writer would wait for."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return await asyncio.to_thread(_copy_sqlite, Path(url.database or ""), folder / SQLITE, told)
    return await _dump_postgres(database_url, folder / POSTGRES, told)


def _copy_sqlite(source: Path, target: Path, told: Told) -> Copied:
    uri = f"{source.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=30.0, isolation_level=None)) as live:
        # An open read transaction pins the moment; without it every commit of the hub would begin the copy anew.
        live.execute("BEGIN")
        live.execute(_HEAD).fetchone()
        with closing(sqlite3.connect(target)) as copy:
            live.backup(
                copy,
                pages=_PAGES,
                sleep=0,
                progress=lambda status, left, total: told("Copying the database", total - left, total),
            )
        live.execute("ROLLBACK")
    with closing(sqlite3.connect(f"{target.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
        [(head,)] = copy.execute(_HEAD)
        [(revision,)] = copy.execute(_REVISION)
        return Copied(
            path=target,
            engine="sqlite",
            engine_version=sqlite3.sqlite_version,
            revision=revision,
            head=head,
            chains=_ends(copy.execute(_CHAINS).fetchall()),
            files=tuple(digest for (digest,) in copy.execute(_FILES)),
        )


async def _dump_postgres(database_url: str, target: Path, told: Told) -> Copied:
    db = await connect(database_url)
    try:
        server = db.get_server_version()
        program = await find_program("pg_dump", server.major)
        told("Dumping the database", 0, 1)
        # What we read here and what pg_dump writes are of one moment.
        async with db.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await db.fetchval("SELECT pg_export_snapshot()")
            await run(
                [
                    str(program),
                    "--format=custom",
                    "--no-password",
                    f"--exclude-schema={ASIDE}*",
                    f"--snapshot={snapshot}",
                    f"--file={target}",
                ],
                environment_of(database_url),
            )
            copied = await _described(db, target, f"{server.major}.{server.minor}")
        told("Dumping the database", 1, 1)
        return copied
    finally:
        await db.close()


async def _described(db: Connection, path: Path, version: str) -> Copied:
    return Copied(
        path=path,
        engine="postgresql",
        engine_version=version,
        revision=await db.fetchval(_REVISION),
        head=await db.fetchval(_HEAD),
        chains=_ends([tuple(row) for row in await db.fetch(_CHAINS)]),
        files=tuple(row[0] for row in await db.fetch(_FILES)),
    )


def _ends(rows: Sequence[Any]) -> tuple[ChainEnd, ...]:
    return tuple(
        ChainEnd(account=account, number=number, last_seq=last_seq, hash=bytes(hash).hex())
        for account, number, last_seq, hash in rows
    )
