"""Moving a hub from SQLite to PostgreSQL: every row in one transaction, then both logs are verified and compared."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import asyncpg as postgres_dialect
from sqlalchemy.dialects.sqlite import aiosqlite as sqlite_dialect
from sqlmodel import SQLModel

import crm.tables  # noqa: F401  # declares the CRM's tables
from core.database import Database
from core.errors import Conflict
from core.log.verify import Verdict, verify
from core.moments import from_micros
from workers.backup.postgres import Connection, connect, refuse_while_used
from workers.migrations import upgrade
from workers.migrations.partitions import partitions

Told = Callable[[str, int, int], None]
"""Told what is under way, how much of it is done, and of how much."""

_BATCH = 10_000  # rows a COPY: they are held in memory once
_MARK = "moved"  # the setting that says: this database came by a move, and up to where

_SQLITE: Any = sqlite_dialect.dialect()
_POSTGRES: Any = postgres_dialect.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a move brought over. `complaints` is empty when the two hubs are the same."""

    tables: Mapping[str, int]
    verdict: Verdict
    complaints: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(self.tables.values())


async def move(source: Path, target_url: str, at: datetime, *, again: bool = False, told: Told) -> Moved:
    """Copy a hub whose folder's lock the caller holds. A move that breaks off leaves an empty target.

    Raises Conflict where the target holds anything, except with `again` what an earlier move left there untouched.
    """
    source_url = f"sqlite+aiosqlite:///{source}"
    await asyncio.to_thread(upgrade, source_url)
    await asyncio.to_thread(upgrade, target_url)
    db = await connect(target_url)
    try:
        await refuse_while_used(db)
        with closing(_opened(source)) as old:
            counts = {table.name: _count(old, table) for table in _tables()}
            async with db.transaction():
                await db.execute("LOCK TABLE log_head IN ACCESS EXCLUSIVE MODE")
                await (_empty_again(db) if again else _refuse_unless_empty(db))
                await _copy_all(old, db, counts, told)
                arrived = {name: await db.fetchval(f'SELECT count(*) FROM "{name}"') for name in counts}
                await _mark(db, at)
        await db.execute("ANALYZE")
    finally:
        await db.close()
    before = await _verified(source_url, "Verifying what was there", told)
    after = await _verified(target_url, "Verifying what has arrived", told)
    return Moved(
        tables=counts, verdict=after, complaints=(*_miscounted(counts, arrived), *_unlike(before, after))
    )


def _opened(source: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)


def _tables() -> Sequence[Table]:
    return SQLModel.metadata.sorted_tables


def _count(old: sqlite3.Connection, table: Table) -> int:
    (found,) = old.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()
    return int(found)


# The target.


async def _refuse_unless_empty(db: Connection) -> None:
    filled = [table.name for table in _tables() if await _holds_rows(db, table.name)]
    if filled:
        moved = (
            " It came by an earlier move; --again does it anew." if await _moved_head(db) is not None else ""
        )
        raise Conflict(
            f"The target database is not empty ({', '.join(filled[:5])}…); name an empty one.{moved}"
        )


async def _empty_again(db: Connection) -> None:
    """Empty what an earlier move left. Raises Conflict where somebody has worked with it since."""
    head = await db.fetchval("SELECT seq FROM log_head")
    moved = await _moved_head(db)
    if moved is None and any([await _holds_rows(db, table.name) for table in _tables()]):
        raise Conflict("The target database holds a hub that did not come by a move; it is left as it is.")
    if moved is not None and head != moved:
        raise Conflict(
            f"A hub has worked on the target since the move (its log goes to {head}, the move brought {moved});"
            " it is left as it is."
        )
    await db.execute(f"TRUNCATE {', '.join(_quoted(table) for table in _tables())}")
    await db.execute("INSERT INTO log_head (id, seq) VALUES (1, 0)")


async def _holds_rows(db: Connection, name: str) -> bool:
    where = "WHERE seq > 0" if name == "log_head" else ""
    return bool(await db.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{name}" {where})'))


async def _moved_head(db: Connection) -> int | None:
    value = await db.fetchval("SELECT value FROM setting WHERE key = $1", _MARK)
    return None if value is None else int(json.loads(value)["head"])


async def _mark(db: Connection, at: datetime) -> None:
    head = await db.fetchval("SELECT seq FROM log_head")
    await db.execute(
        "INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        _MARK,
        json.dumps({"head": head, "at": at.isoformat()}),
    )


# Copying.


async def _copy_all(old: sqlite3.Connection, db: Connection, counts: Mapping[str, int], told: Told) -> None:
    for statement in _partitions(old):
        await db.execute(statement)
    await db.execute("DELETE FROM log_head")
    done, total = 0, sum(counts.values())
    for table in _tables():
        for rows in _batches(_rows(old, table)):
            try:
                await db.copy_records_to_table(
                    table.name, records=rows, columns=[column.name for column in table.columns]
                )
            except (asyncpg.PostgresError, ValueError, TypeError, OverflowError) as error:
                raise Conflict(
                    f"A row of {table.name} does not fit PostgreSQL: {error}. Nothing was moved."
                ) from error
            done += len(rows)
            told(f"Copying {table.name}", done, total)
        await _go_on_counting(db, table)


def _partitions(old: sqlite3.Connection) -> Iterator[str]:
    """The months that occur in the log, so that none of its rows falls into the default partition."""
    month = "strftime('%Y-%m', recorded_at / 1000000, 'unixepoch')"
    for (first,) in old.execute(f"SELECT min(recorded_at) FROM log GROUP BY {month} ORDER BY 1"):
        yield from partitions(from_micros(first))


def _rows(old: sqlite3.Connection, table: Table) -> Iterator[Sequence[Any]]:
    """The rows as PostgreSQL's driver takes them: read and written through the columns' own types."""
    converted = [
        (place, convert)
        for place, column in enumerate(table.columns)
        if (convert := _conversion(column.type))
    ]
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    for row in old.execute(f'SELECT {names} FROM "{table.name}"'):
        if not converted:
            yield row
            continue
        values = list(row)
        for place, convert in converted:
            values[place] = convert(values[place])
        yield values


def _conversion(kind: Any) -> Callable[[Any], Any] | None:
    reads = kind.result_processor(_SQLITE, None)
    writes = kind.bind_processor(_POSTGRES)
    if reads is None or writes is None:
        return reads or writes  # type: ignore[no-any-return]  # SQLAlchemy leaves them untyped
    return lambda value: writes(reads(value))


def _batches(rows: Iterator[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


async def _go_on_counting(db: Connection, table: Table) -> None:
    """A column that PostgreSQL numbers goes on after the numbers that were brought."""
    for column in table.primary_key.columns:
        sequence = await db.fetchval("SELECT pg_get_serial_sequence($1, $2)", table.name, column.name)
        if sequence is not None:
            await db.execute(
                f'SELECT setval($1, (SELECT max("{column.name}") FROM {_quoted(table)}))'
                f' WHERE EXISTS (SELECT 1 FROM {_quoted(table)} WHERE "{column.name}" > 0)',
                sequence,
            )


def _quoted(table: Table) -> str:
    return f'"{table.name}"'


# Proving.


async def _verified(url: str, what: str, told: Told) -> Verdict:
    db = Database(url)
    try:
        return await verify(db, lambda done, end: told(what, done, end))
    finally:
        await db.close()


def _miscounted(expected: Mapping[str, int], arrived: Mapping[str, int]) -> Iterator[str]:
    for name, count in expected.items():
        if arrived[name] != count:
            yield f"{name}: {count} rows were there, {arrived[name]} have arrived"


def _unlike(before: Verdict, after: Verdict) -> Iterator[str]:
    """What the two logs do not have in common; what was wrong before is no fault of the move."""
    if before.chains != after.chains:
        yield "the hash chains differ"
    if (before.head, before.entries, before.erased) != (after.head, after.entries, after.erased):
        yield f"the log had {before.entries} entries up to {before.head}, it has {after.entries} up to {after.head}"
    for problem in after.problems:
        if problem not in before.problems:
            yield f"{problem.seq} [{problem.code}] {problem.message}"
