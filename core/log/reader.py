"""Reading the log back: by position, for consumers and live pages; by party, for timelines."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.log.entries import Logged
from core.tables import Content, LogEntry, LogHead
from core.values import Address

_log = LogEntry.__table__  # type: ignore[attr-defined]  # SQLModel adds the attribute without declaring it
_content = Content.__table__  # type: ignore[attr-defined]

_COLUMNS = (
    _log.c.seq,
    _log.c.id,
    _log.c.account,
    _log.c.channel,
    _log.c.direction,
    _log.c.kind,
    _log.c.shard,
    _log.c.external_id,
    _log.c.occurred_at,
    _log.c.recorded_at,
    _log.c.thread,
    _log.c.in_reply_to,
    _log.c.blueprint,
    _content.c.scheme,
    _content.c.address,
    _content.c.own,
    _content.c.text,
    _content.c.data,
    _content.c.erased_at,
)
_ENTRIES: Select[Any] = select(*_COLUMNS).join_from(_log, _content, _log.c.seq == _content.c.seq)


def logged(row: Row[Any]) -> Logged:
    return Logged(
        seq=row.seq,
        id=row.id,
        account=row.account,
        channel=row.channel,
        direction=row.direction,
        kind=row.kind,
        shard=row.shard,
        external_id=row.external_id,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
        thread=row.thread,
        in_reply_to=row.in_reply_to,
        blueprint=row.blueprint,
        address=Address(row.scheme, row.address),
        own=row.own,
        text=row.text,
        data=orjson.loads(row.data),
        is_erased=row.erased_at is not None,
    )


async def head(session: AsyncSession) -> int:
    """The newest sequence number; 0 when the log is empty."""
    found = await session.execute(select(col(LogHead.seq)).where(col(LogHead.id) == 1))
    return int(found.scalar_one())


async def after(
    session: AsyncSession, seq: int, limit: int, shards: tuple[int, int] | None = None
) -> list[Logged]:
    """The next entries in order; `shards` = (first, last) keeps those of a lane."""
    query = _ENTRIES.where(_log.c.seq > seq).order_by(_log.c.seq).limit(limit)
    if shards is not None:
        query = query.where(_log.c.shard.between(*shards))
    return [logged(row) for row in await session.execute(query)]


async def at(session: AsyncSession, seqs: Sequence[int]) -> list[Logged]:
    """The entries with these sequence numbers, in order."""
    if not seqs:
        return []
    query = _ENTRIES.where(_log.c.seq.in_(seqs)).order_by(_log.c.seq)
    return [logged(row) for row in await session.execute(query)]


async def raw(session: AsyncSession, id: Any) -> tuple[bytes, str] | None:
    """The provider's bytes of an interaction and their type; None when there is no such interaction."""
    query = (
        select(_content.c.raw, _content.c.raw_type)
        .join_from(_log, _content, _log.c.seq == _content.c.seq)
        .where(_log.c.id == id)
    )
    row = (await session.execute(query)).first()
    return (row.raw, row.raw_type) if row else None
