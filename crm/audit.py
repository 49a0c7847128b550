"""The audit trail: who did what when. The log's acts in a small table that is asked by person, kind, period, object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import repeat
from typing import Any, Final

import orjson
from sqlalchemy import func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.database import Database
from core.tables import ActRow, Content, LogEntry

HUB: Final = "hub"
"""In place of a person: the hub itself, or somebody at the command line."""

_BATCH = 2_000  # acts a commit
_UNEVEN = 1_000  # entries by which the order of the log and of the processes' clocks may differ
_ACTS = col(LogEntry.kind) == literal_column(
    "'act'"
)  # written out, so that both engines see the index of acts
_PUT = {
    "sqlite": sqlite.insert(ActRow).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(ActRow).on_conflict_do_nothing(),
}


class Family(StrEnum):
    """Kinds of acts as people ask for them. Stored: never renamed."""

    USER = "user"
    ACCOUNT = "account"
    BLUEPRINT = "blueprint"
    OUTBOX = "outbox"
    FIGURE = "figure"
    PARTY = "party"
    CONSENT = "consent"
    ERASURE = "erasure"
    CASE = "case"
    CONVERSATION = "conversation"


_FAMILIES: Final[Mapping[str, Family]] = {
    **{family.value: family for family in Family},
    "parked": Family.OUTBOX,
    "merge": Family.PARTY,
    "unmerge": Family.PARTY,
    "bind": Family.PARTY,
    "erase": Family.ERASURE,
}


def family_of(name: str) -> Family:
    return _FAMILIES.get(name.partition(".")[0], Family.CONVERSATION)


def object_of(name: str, data: Mapping[str, Any]) -> str:
    """What the act was done to, as "kind:id"; empty where it was nothing in particular."""
    match family_of(name):
        case Family.USER:
            kind, id = "user", data.get("user")
        case Family.ACCOUNT:
            kind, id = "account", data.get("account")
        case Family.BLUEPRINT:
            kind, id = "blueprint", data.get("version")
        case Family.OUTBOX if "item" not in data:
            kind, id = "entry", data.get("seq")
        case Family.OUTBOX:
            kind, id = "outbox", data["item"]
        case _:
            kind, id = "party", data.get("party")
    return f"{kind}:{id}" if id else ""


async def catch_up(db: Database, batches: int | None = None) -> bool:
    """Bring the table up to the log's end; False when that takes more than so many batches, which are kept.

    Several may do so at once: each writes ranges that join the last one.
    """
    for _ in repeat(None) if batches is None else repeat(None, batches):
        async with db.read() as session:
            newest = await session.scalar(select(func.max(col(ActRow.seq))))
            rows = await session.execute(
                select(col(LogEntry.seq), col(LogEntry.recorded_at), col(Content.data))
                .join_from(LogEntry, Content, col(Content.seq) == col(LogEntry.seq))
                .where(_ACTS, col(LogEntry.seq) > (newest or 0))
                .order_by(col(LogEntry.seq))
                .limit(_BATCH)
            )
            acts = [_row(seq, at, orjson.loads(data)) for seq, at, data in rows]
        if acts:
            async with db.begin(is_durable=False) as tx:
                await tx.write(_PUT["sqlite" if tx.is_sqlite else "postgresql"], acts)
        if len(acts) < _BATCH:
            return True
    return False


def _row(seq: int, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    name = str(data.get("act", ""))
    return {
        "seq": seq,
        "at": at,
        "name": name,
        "family": family_of(name).value,
        "person": str(data.get("by", "")),
        "object": object_of(name, data),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for; what is left out does not matter. `person` is a user's id or `HUB`."""

    person: str = ""
    family: Family | None = None
    objects: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None  # before this moment
    before: int | None = None  # acts with smaller numbers than this


async def page(session: AsyncSession, wanted: Wanted, limit: int) -> list[ActRow]:
    """The newest acts that fit, newest first."""
    query = select(ActRow).order_by(col(ActRow.seq).desc()).limit(limit)
    if wanted.person:
        query = query.where(col(ActRow.person) == ("" if wanted.person == HUB else wanted.person))
    if wanted.family is not None:
        query = query.where(col(ActRow.family) == wanted.family.value)
    if wanted.objects:
        query = query.where(col(ActRow.object).in_(wanted.objects))
    if wanted.before is not None:
        query = query.where(col(ActRow.seq) < wanted.before)
    # The period is found over its own index and then bounds the numbers, by which everything else is ordered.
    if wanted.since is not None:
        first = await _first_from(session, wanted.since)
        if first is None:
            return []
        query = query.where(col(ActRow.seq) > first - _UNEVEN, col(ActRow.at) >= wanted.since)
    if wanted.until is not None:
        after = await _first_from(session, wanted.until)
        if after is not None:
            query = query.where(col(ActRow.seq) < after + _UNEVEN)
        query = query.where(col(ActRow.at) < wanted.until)
    return list((await session.execute(query)).scalars())


async def _first_from(session: AsyncSession, at: datetime) -> int | None:
    query = select(col(ActRow.seq)).where(col(ActRow.at) >= at).order_by(col(ActRow.at)).limit(1)
    found: int | None = await session.scalar(query)
    return found
