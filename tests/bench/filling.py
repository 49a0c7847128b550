"""A log with a past: rows through the log's own appender, their index and lines in bulk, the newest for real."""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from urllib.parse import urlencode

from sqlalchemy import text as sql
from sqlalchemy import update

from core.clock import now
from core.database import Database
from core.intake import entry_of
from core.log import reader
from core.log.appenders import prepare
from core.log.entries import Entry
from core.log.seals import Sealer
from core.search import SearchConsumer
from core.tables import Cursor
from core.values import Address, ChannelKind, Inbound
from crm.tables import ReadingRow
from tests.bench.messages import ACCOUNT, phone, text
from tests.bench.world import settings_of
from tests.support.fake_twilio import NUMBER, message_fields
from workers.assemble import assemble, running

NEWEST = 2_000
"""So many messages at the end are read, stored and answered by the hub itself."""

_ROWS_EACH = 3  # a message, its answer, the answer's receipt
_TEXTS = 2_000
_APPENDED = 50_000  # a commit; small ones would write every page of the key index many times over
_INDEXED = 100_000
_PAST = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    body: bytes


def _of_reading(table: str = "") -> str:
    """The columns of a reading that depend on its words alone."""
    names = [name for name in ReadingRow.model_fields if name not in ("seq", "party_id")]
    return ", ".join(f"{table}.{name}" if table else name for name in names)


_SID = "SM" + "0" * 32
_FROM = "+10000000000"


async def fill(folder: Path, rows: int, shops: int) -> int:
    """Bring the log of a new world to about so many rows; returns how many there are."""
    said = _texts()
    db = Database(settings_of(folder).database_url)
    try:
        await _digested(folder, said, shops)
        async with db.read() as session:
            first = await reader.head(session)
        await _append(db, said, rows - first - _ROWS_EACH * NEWEST, shops)
        await _index(db, first)
        await _show(db, first)
        await _seal(db)
    finally:
        await db.close()
    await _digested(folder, said, shops)
    return await _head(folder)


def _texts() -> list[_Said]:
    rng = Random(21)
    texts = [text(rng) for _ in range(_TEXTS)]
    return [_Said(each, urlencode(message_fields(_SID, each, _FROM)).encode()) for each in texts]


def _message(said: _Said, shop: int, at: datetime) -> Inbound:
    sid = f"SM{os.urandom(16).hex()}"
    number = phone(shop)
    return Inbound(
        external_id=sid,
        dedupe_key=f"in:{sid}",
        sender=Address("tel", number),
        recipient=Address("tel", NUMBER),
        occurred_at=at,
        text=said.text,
        raw=said.body.replace(_SID.encode(), sid.encode()).replace(
            b"%2B10000000000", f"%2B{number[1:]}".encode()
        ),
    )


async def _append(db: Database, said: Sequence[_Said], count: int, shops: int) -> None:
    """Months of messages, in commits as the intake makes them, only larger."""
    appender = await db.appender()
    rng = Random(22)
    began, step = now() - _PAST, _PAST / max(count, 1)
    try:
        for start in range(0, count, _APPENDED):
            at = began + step * start
            batch = [
                prepare(_entry(rng.choice(said), rng.randrange(shops), at), 1)
                for _ in range(min(_APPENDED, count - start))
            ]
            await appender.append(batch, at)
            await asyncio.to_thread(_checkpoint, db.path)
    finally:
        await appender.close()


def _checkpoint(path: str) -> None:
    """Keep the write-ahead log short, so that the next commits do not read through it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _entry(said: _Said, shop: int, at: datetime) -> Entry:
    return entry_of(ACCOUNT, ChannelKind.SMS, _message(said, shop, at), at)


async def _index(db: Database, first: int) -> None:
    """The search index by its own consumer, in batches that a rebuild would take."""
    consumer = SearchConsumer()
    after = first
    while True:
        async with db.read() as session:
            batch = await reader.after(session, after, _INDEXED)
        if not batch:
            return
        after = batch[-1].seq
        async with db.begin(is_durable=False) as tx:
            await consumer.digest(tx, batch)
        await asyncio.to_thread(_checkpoint, db.path)


_READ_ALIKE = f"""
CREATE TEMP TABLE alike AS
SELECT c.text AS words, {_of_reading("r")} FROM reading r JOIN content c ON c.seq = r.seq
WHERE c.seq <= :first GROUP BY c.text
"""
_LINES = """
INSERT INTO line (party_id, seq)
SELECT e.party_id, c.seq FROM content c JOIN endpoint e ON e.scheme = c.scheme AND e.value = c.address
WHERE c.seq > :first ORDER BY e.party_id, c.seq
"""
_READINGS = f"""
INSERT INTO reading (seq, party_id, {_of_reading()})
SELECT c.seq, e.party_id, {_of_reading("alike")} FROM content c
JOIN endpoint e ON e.scheme = c.scheme AND e.value = c.address JOIN alike ON alike.words = c.text
WHERE c.seq > :first ORDER BY c.seq
"""


async def _show(db: Database, first: int) -> None:
    """Timelines of what was appended, with the reading that the hub made of the same words."""
    async with db.begin(is_durable=False) as tx:
        await tx.writing()
        await tx.session.execute(sql(_READ_ALIKE), {"first": first})
        await tx.session.execute(sql("CREATE INDEX temp.alike_words ON alike (words)"))
        await tx.session.execute(sql(_LINES), {"first": first})
        await tx.session.execute(sql(_READINGS), {"first": first})
        await tx.session.execute(update(Cursor).values(seq=await reader.head(tx.session)))


async def _seal(db: Database) -> None:
    sealer = Sealer(db)
    while await sealer.seal():
        pass


async def _digested(folder: Path, said: Sequence[_Said], shops: int) -> None:
    """Let the hub itself take one message of each text."""
    rng = Random(23)
    async with assemble(settings_of(folder)) as hub, running(hub):
        for start in range(0, NEWEST, 500):
            some = said[start : start + 500]
            await asyncio.gather(
                *(hub.intake.accept(ACCOUNT, _message(each, rng.randrange(shops), now())) for each in some)
            )
            await hub.caught_up()


async def _head(folder: Path) -> int:
    db = Database(settings_of(folder).database_url)
    async with db.read() as session:
        head = await reader.head(session)
    await db.close()
    return head
