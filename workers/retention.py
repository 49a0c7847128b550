"""Retention: what the house has set an age for is emptied, as an erasure empties it; the chain stays valid."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.database import Database, Tx
from core.erasure import Erased, Eraser, empty_entries
from core.files import FileStore
from core.log import reader
from core.outbox import ItemState
from core.positions import shards_of
from core.tables import Content, Feed, LogEntry, OutboxItem, Setting, SignIn
from core.values import EntryKind
from crm.consumer import CrmConsumer
from crm.tables import Case, Conversation
from workers.replay.reading import positions

EMPTIED_TO = "retention.emptied_to"
"""The setting that names the newest entry which retention has emptied: up to there a replay cannot read."""

OUTBOX_KEPT = timedelta(days=90)
SIGN_INS_KEPT = timedelta(days=7)  # after they have ended
FEED_KEPT = timedelta(hours=24)

_CHUNK = 200  # rows a transaction: the write gate is shared with the intake
_YEAR = timedelta(days=365.25)


@dataclass(slots=True)
class Report:
    """What was emptied or taken away; on a dry run, what would be."""

    entries: dict[str, int] = field(default_factory=dict)  # by kind
    files: int = 0
    outbox: int = 0
    sign_ins: int = 0
    feed: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Retention:
    """Applies the rules to one database. Everything may run twice, and be broken off at any chunk."""

    def __init__(
        self, db: Database, store: FileStore, rules: Mapping[EntryKind, int], erasers: Sequence[Eraser]
    ) -> None:
        self._db = db
        self._store = store
        self._rules = rules
        self._erasers = (*erasers, forget_copies)

    async def look(self, at: datetime) -> Report:
        """Count what `apply` would take; changes nothing."""
        report = Report()
        async with self._db.read() as session:
            for kind, years in self._rules.items():
                query = select(func.count()).select_from(LogEntry).join(Content, _same_entry())
                old = await _old(session, kind, at - years * _YEAR)
                report.entries[kind.value] = int(await session.scalar(query.where(old)) or 0)
            report.outbox, report.sign_ins, report.feed = [
                int(await session.scalar(select(func.count()).select_from(table).where(old)) or 0)
                for table, _, old in _outlived(at)
            ]
        return report

    async def apply(self, at: datetime) -> Report:
        report = Report()
        for kind, years in self._rules.items():
            report.entries[kind.value] = await self._empty(kind, at - years * _YEAR, at, report)
        report.outbox, report.sign_ins, report.feed = [
            await self._drop(table, key, old) for table, key, old in _outlived(at)
        ]
        return report

    async def _empty(self, kind: EntryKind, before: datetime, at: datetime, report: Report) -> int:
        async with self._db.read() as session:
            old = await _old(session, kind, before)
        done = emptied = 0
        while True:
            async with self._db.read() as session:
                query = select(col(LogEntry.seq)).join(Content, _same_entry()).where(old)
                newer = query.where(col(LogEntry.seq) > done).order_by(col(LogEntry.seq)).limit(_CHUNK)
                seqs = list(await session.scalars(newer))
            if not seqs:
                return emptied
            async with self._db.begin() as tx:
                taken = await empty_entries(tx, self._store, seqs, at, self._erasers)
                await _note(tx, seqs[-1])
            emptied += taken.entries
            report.files += taken.files
            done = seqs[-1]

    async def _drop(self, table: Any, key: Any, old: ColumnElement[bool]) -> int:
        dropped = 0
        while True:
            async with self._db.read() as session:
                keys = list(await session.scalars(select(key).where(old).limit(_CHUNK)))
            if not keys:
                return dropped
            async with self._db.begin() as tx:
                await tx.session.execute(delete(table).where(key.in_(keys)))
            dropped += len(keys)


async def forget_copies(tx: Tx, erased: Erased) -> None:
    """What the desk shows of an entry outside its timeline: the last words of a conversation, a case's title."""
    await tx.session.execute(
        update(Conversation).where(col(Conversation.last_seq).in_(erased.seqs)).values(preview="")
    )
    await tx.session.execute(update(Case).where(col(Case.id).in_(erased.seqs)).values(title=""))


def _same_entry() -> ColumnElement[bool]:
    return col(Content.seq) == col(LogEntry.seq)


def _outlived(at: datetime) -> tuple[tuple[Any, Any, ColumnElement[bool]], ...]:
    """Tables, their keys and which of their rows nobody needs. What failed or is unknown waits for a person."""
    settled = (ItemState.DONE.value, ItemState.CANCELLED.value)
    is_settled = and_(col(OutboxItem.state).in_(settled), col(OutboxItem.created_at) < at - OUTBOX_KEPT)
    return (
        (OutboxItem, col(OutboxItem.id), is_settled),
        (SignIn, col(SignIn.token_digest), col(SignIn.expires_at) < at - SIGN_INS_KEPT),
        (Feed, col(Feed.number), col(Feed.at) < at - FEED_KEPT),
    )


async def _old(session: AsyncSession, kind: EntryKind, before: datetime) -> ColumnElement[bool]:
    """Entries of the kind that were recorded before the moment, are digested, and still say something."""
    lanes = await positions(session, CrmConsumer.name)
    is_digested = or_(
        *(
            and_(col(LogEntry.shard).between(*shards_of(lane)), col(LogEntry.seq) <= seq)
            for lane, seq in enumerate(lanes)
        )
    )
    return and_(
        col(LogEntry.seq) <= await _newest_before(session, before),
        col(LogEntry.kind) == kind.value,
        is_digested,
        col(Content.erased_at).is_(None),
    )


async def _newest_before(session: AsyncSession, moment: datetime) -> int:
    """The newest entry that was recorded before the moment: by halving, since numbers follow the clock."""
    low, high = 0, await reader.head(session)
    while low < high:
        middle = (low + high + 1) // 2
        recorded = await session.scalar(
            select(col(LogEntry.recorded_at))
            .where(col(LogEntry.seq) >= middle)
            .order_by(col(LogEntry.seq))
            .limit(1)
        )
        if recorded is not None and recorded < moment:
            low = middle
        else:
            high = middle - 1
    return low


async def _note(tx: Tx, seq: int) -> None:
    known = await tx.session.get(Setting, EMPTIED_TO)
    if known is None or int(known.value) < seq:
        await tx.session.merge(Setting(key=EMPTIED_TO, value=str(seq)))
