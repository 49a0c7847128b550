"""A log with a past: rows through the log's own appender, their index and lines in bulk, the newest for real."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import insert, select, update
from sqlmodel import col

from core.clock import now
from core.database import Database
from core.intake import entry_of
from core.log import reader
from core.log.appenders import prepare
from core.log.entries import Entry
from core.log.seals import Sealer
from core.search import SearchConsumer
from core.tables import Content, Cursor, Line
from core.values import Address, ChannelKind, Inbound
from crm.tables import ReadingRow
from tests.bench.messages import ACCOUNT, phone, text
from tests.bench.world import settings_of, shop_id
from tests.support.fake_twilio import NUMBER, message_fields
from workers.assemble import assemble, running

NEWEST = 2_000
"""So many messages at the end are read, stored and answered by the hub itself."""

_ROWS_EACH = 3  # a message, its answer, the answer's receipt
_TEXTS = 2_000
_APPENDED = 5_000  # a commit
_INDEXED = 100_000
_PAST = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    body: bytes


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
    keeping = asyncio.create_task(db.keep())
    try:
        for start in range(0, count, _APPENDED):
            at = began + step * start
            batch = [
                prepare(_entry(rng.choice(said), rng.randrange(shops), at), 1)
                for _ in range(min(_APPENDED, count - start))
            ]
            await appender.append(batch, at)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await appender.close()


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


async def _show(db: Database, first: int) -> None:
    """Timelines of what was appended, with the reading that the hub made of the same words."""
    owners = {f"tel:{phone(shop)}": shop_id(shop) for shop in range(10_000)}
    async with db.begin(is_durable=False) as tx:
        head = await reader.head(tx.session)
        readings = await _readings(tx.session, first)
        for start in range(first, head, _INDEXED):
            found = await tx.session.execute(
                select(col(Content.seq), col(Content.address), col(Content.text))
                .where(col(Content.seq) > start, col(Content.seq) <= start + _INDEXED)
                .order_by(col(Content.seq))
            )
            rows = [(seq, owners[f"tel:{number}"], words) for seq, number, words in found]
            await tx.session.execute(
                insert(Line), [{"party_id": owner, "seq": seq} for seq, owner, _ in rows]
            )
            await tx.write(
                insert(ReadingRow),
                [
                    {**readings[words], "seq": seq, "party_id": owner}
                    for seq, owner, words in rows
                    if words in readings
                ],
            )
        await tx.write(update(Cursor).values(seq=head))


async def _readings(session: Any, upto: int) -> dict[str, dict[str, Any]]:
    rows = await session.execute(
        select(col(Content.text), ReadingRow)
        .join(Content, col(Content.seq) == col(ReadingRow.seq))
        .where(col(ReadingRow.seq) <= upto)
    )
    names = [name for name in ReadingRow.model_fields if name not in ("seq", "party_id")]
    return {words: {name: getattr(row, name) for name in names} for words, row in rows}


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
