"""The history of one figure: everything that was said about it, by whom, in which words, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.log import reader
from core.log.entries import Logged
from core.values import Address
from crm.collection.figures import choose
from crm.forms.text import Span
from crm.tables import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The interaction that a figure came from; `span` are the code points of its text that say the figure."""

    seq: int
    id: UUID
    channel: str
    at: datetime
    sender: Address
    text: str | None  # None once the person was erased
    span: Span | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One observation. `by` corrected or settled it; empty: the party itself did."""

    seq: int
    number: int
    value: int
    text: str
    state: str  # as stored, but a correction that stands is "corrected"
    warn: str
    at: datetime
    by: UUID | None
    reason: str
    supersedes: tuple[int, int] | None
    settled_seq: int | None
    source: Source | None  # None: a person at the desk wrote it

    @property
    def said(self) -> int | str:
        return self.text or self.value


@dataclass(frozen=True, slots=True)
class FigureHistory:
    current: Said | None
    history: list[Said]  # newest first


async def history(
    session: AsyncSession, parties: Sequence[UUID], form: str, period: str, sku: str, field: str
) -> FigureHistory:
    """All that the parties (one, and those merged into it) have said about the figure."""
    rows = (
        (
            await session.execute(
                select(Observation)
                .where(
                    col(Observation.party_id).in_(parties),
                    col(Observation.form) == form,
                    col(Observation.period) == period,
                    col(Observation.sku) == sku,
                    col(Observation.field) == field,
                )
                .order_by(col(Observation.seq).desc(), col(Observation.number).desc())
            )
        )
        .scalars()
        .all()
    )
    entries = {entry.seq: entry for entry in await reader.at(session, sorted({row.seq for row in rows}))}
    said = {(row.seq, row.number): _said(row, entries.get(row.seq)) for row in rows}
    chosen = choose(rows)
    return FigureHistory(said[chosen.seq, chosen.number] if chosen else None, list(said.values()))


def _said(row: Observation, entry: Logged | None) -> Said:
    is_correction = row.state == "accepted" and row.supersedes_seq is not None
    supersedes = (row.supersedes_seq, row.supersedes_number or 0) if row.supersedes_seq is not None else None
    return Said(
        seq=row.seq,
        number=row.number,
        value=row.value,
        text=row.text,
        state="corrected" if is_correction else row.state,
        warn=row.warn,
        at=entry.recorded_at if entry and row.span_start < 0 else row.at,
        by=row.by,
        reason=row.reason,
        supersedes=supersedes,
        settled_seq=row.settled_seq,
        source=_source(row, entry),
    )


def _source(row: Observation, entry: Logged | None) -> Source | None:
    if entry is None or entry.kind == "act":
        return None
    has_span = row.span_start >= 0 and not entry.is_erased
    return Source(
        seq=entry.seq,
        id=entry.id,
        channel=entry.channel,
        at=entry.occurred_at,
        sender=entry.address,
        text=None if entry.is_erased else entry.text,
        span=(row.span_start, row.span_end) if has_span else None,
    )
