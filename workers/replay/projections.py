"""Which tables follow from the log, what of their rows is a fact, and which rows no replay can make again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from core import erasure, tables
from core.search import SearchConsumer
from core.tables import Content, Party
from crm import tables as crm
from crm.consumer import CrmConsumer

# What counts changes, or says when we made a row, differs from run to run and means nothing by itself.
_BOOKKEEPING = frozenset({"version", "row_version", "changed_seq", "created_at", "updated_at", "blueprint"})

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A table that one consumer writes and the log determines."""

    table: Table
    told: str  # what its rows are called
    owner: str = ""  # the column that names a party
    entry: str = ""  # the column that names the entry a row stands for
    # Columns that stay as they are when the rest of a row changes: the number of a case was told to people, and a
    # replay, which knows nothing of erased cases and takes the lanes in another order, would count otherwise.
    kept: frozenset[str] = frozenset()
    ignored: frozenset[str] = _BOOKKEEPING

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.primary_key.columns)

    @property
    def facts(self) -> tuple[str, ...]:
        names = (column.name for column in self.table.columns)
        return tuple(name for name in names if name not in self.key and name not in self.ignored | self.kept)


def _of(kind: type[SQLModel], told: str, **more: Any) -> Projection:
    return Projection(table=kind.__table__, told=told, **more)  # type: ignore[attr-defined]  # undeclared there


PROJECTIONS: Mapping[str, tuple[Projection, ...]] = {
    # In the order in which their differences are told. Not among them: the outbox and what was fetched (done is done),
    # what was parked, and the counters of case numbers.
    CrmConsumer.name: (
        _of(crm.ReadingRow, "readings", owner="party_id", entry="seq", kept=frozenset({"receipt"})),
        _of(crm.Submission, "submissions", owner="party_id", entry="seq"),
        _of(crm.Observation, "observations", owner="party_id", entry="seq"),
        _of(crm.Figure, "figures", owner="party_id", entry="seq"),
        _of(crm.Normal, "confirmed values", owner="party_id"),
        _of(crm.Case, "cases", owner="party_id", entry="id", kept=frozenset({"number"})),
        _of(crm.Conversation, "conversations", owner="party_id"),
        _of(crm.Person, "persons", owner="party_id"),
        _of(crm.PendingQuestion, "open questions", entry="seq"),
        _of(crm.LoopGuard, "answer counts"),
        _of(tables.Party, "parties", owner="id"),
        _of(tables.PartyKey, "party keys", owner="party_id"),
        _of(tables.Endpoint, "addresses", owner="party_id", entry="evidence_seq"),
        _of(tables.Consent, "consents", entry="seq"),
        _of(tables.Merge, "merges", owner="party_id", entry="act_seq"),
        _of(tables.Line, "timeline lines", owner="party_id", entry="seq"),
        _of(tables.Delivery, "deliveries"),
        _of(tables.Sent, "sent messages", entry="seq"),
        _of(tables.ActOutcome, "refused acts", entry="seq"),
    ),
    SearchConsumer.name: (_of(tables.Posting, "index entries", entry="seq"),),
}


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was emptied: rows that it led to stay, since the log no longer says enough to make them again."""

    entries: Collection[int]
    parties: Collection[UUID]

    @classmethod
    async def read(cls, session: AsyncSession) -> "Forgotten":
        entries = await session.scalars(select(col(Content.seq)).where(col(Content.erased_at).is_not(None)))
        parties = await session.scalars(select(col(Party.id)).where(col(Party.erased_at).is_not(None)))
        return cls(frozenset(entries), frozenset(parties))

    def keeps(self, projection: Projection, row: Values) -> bool:
        return bool(
            (projection.entry and row[projection.entry] in self.entries)
            or (projection.owner and row[projection.owner] in self.parties)
            or row.get("scheme") == erasure.ERASED
        )


def changed(
    projection: Projection, before: Values, after: Values, *, at: datetime, seq: int
) -> dict[str, Any]:
    """The columns to write where a live row becomes what the replay made of it; everybody sees that it changed."""
    row = {name: after[name] for name in projection.facts}
    for column in projection.table.columns:
        match column.name:
            case "version" | "row_version":
                row[column.name] = before[column.name] + 1
            case "changed_seq":
                row[column.name] = seq
            case "updated_at":
                row[column.name] = at
            case "blueprint":
                row[column.name] = after[column.name]
    return row
