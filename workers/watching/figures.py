"""Figures: one snapshot of what is behind, waiting, parked or missing, read from the database every few seconds."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.clock import Clock, now
from core.database import Database, is_outage
from core.log import reader
from core.outbox import Lane
from core.positions import LANES, shards_of
from core.tables import (
    AccountRow,
    Cursor,
    LeaseRow,
    LogEntry,
    OutboxItem,
    Parked,
    ProcessRow,
    Seal,
)
from core.values import ChannelKind, Direction
from crm.tables import Conversation
from workers.watching.silence import silent_accounts

CONSUMERS = ("crm", "search")
UNDERSTANDS = "crm"
"""The consumer whose backlog is a channel's: what it has not digested, nobody has read, answered or assigned."""

_COUNTED = 5_000  # entries of a lane; beyond that the rest is estimated
_PATIENCE = 10.0  # seconds for one snapshot; a database that takes longer counts as away
_SELDOM = 60.0  # seconds between two looks at what takes long or changes seldom

_log = LogEntry.__table__  # type: ignore[attr-defined]  # SQLModel adds the attribute without declaring it
_outbox = OutboxItem.__table__  # type: ignore[attr-defined]
_LANES = {lane.number: lane.value for lane in Lane}
_WAITING: ColumnElement[bool] = literal_column(
    "state = 'waiting'"
)  # written out, so that both engines see which index serves it
_RUNNING: ColumnElement[bool] = literal_column("state = 'running'")
_ENDED_BADLY: ColumnElement[bool] = literal_column("state IN ('failed', 'unknown', 'cancelled')")


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and for how many seconds the oldest of it has."""

    number: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSeen:
    name: str
    role: str
    host: str
    pid: int
    seconds: float  # since it was last heard of
    up_for: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    name: str
    holder: str
    over_for: float  # seconds since it ran out; below zero while it is held


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of the whole hub at one moment. Without a database there are none, only that it is away."""

    at: datetime
    database_is_up: bool = True
    bus_is_up: bool = True
    head: int = 0
    consumers: Mapping[str, Backlog] = field(default_factory=dict)
    channels: Mapping[str, Backlog] = field(default_factory=dict)  # inbound entries nobody has digested
    queues: Mapping[str, Backlog] = field(default_factory=dict)  # open conversations that wait for an answer
    outbox: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by state and lane
    due: Mapping[str, float] = field(default_factory=dict)  # by lane: seconds that the oldest is overdue
    parked: Mapping[str, int] = field(default_factory=dict)
    unsealed: Backlog = Backlog()
    default_partition: int = 0  # rows, counted up to a thousand
    missing_partitions: tuple[str, ...] = ()
    processes: tuple[ProcessSeen, ...] = ()
    leases: tuple[LeaseSeen, ...] = ()
    accounts: tuple[str, ...] = ()  # those in use
    silent: tuple[str, ...] = ()  # accounts from which nothing comes where usually something does

    def sends(self, state: str) -> int:
        return sum(number for (each, _), number in self.outbox.items() if each == state)


@dataclass(slots=True)
class _Seldom:
    """What is not asked for each time."""

    until: float = 0.0
    ended_badly: Mapping[tuple[str, str], int] = field(default_factory=dict)
    default_partition: int = 0
    missing_partitions: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    silent_at: datetime | None = None


class Measurer:
    """Takes snapshots. It remembers up to where a lane was found empty, so that a quiet lane is not searched again."""

    def __init__(self, db: Database, clock: Clock = now) -> None:
        self._db = db
        self._clock = clock
        self._empty_to: dict[tuple[str, int], int] = {}
        self._seldom = _Seldom()

    async def measure(self, *, bus_is_up: bool = True) -> Figures:
        at = self._clock()
        try:
            async with asyncio.timeout(_PATIENCE), self._db.read() as session:
                return await self._measure(session, at, bus_is_up)
        except Exception as error:
            if not is_outage(error):
                raise
            return Figures(at=at, database_is_up=False, bus_is_up=bus_is_up)

    async def _measure(self, session: AsyncSession, at: datetime, bus_is_up: bool) -> Figures:
        head = await reader.head(session)
        consumers, channels = await self._behind(session, head, at)
        accounts = await _accounts(session)
        outbox, due = await _outbox_now(session, at)
        if time.monotonic() >= self._seldom.until:
            await self._look_seldom(session, at, head, accounts)
        seldom = self._seldom
        return Figures(
            at=at,
            bus_is_up=bus_is_up,
            head=head,
            consumers=consumers,
            channels=channels,
            queues=await _queues(session, at),
            outbox={**outbox, **seldom.ended_badly},
            due=due,
            parked=await _parked(session),
            unsealed=await _unsealed(session, head, at),
            default_partition=seldom.default_partition,
            missing_partitions=seldom.missing_partitions,
            processes=await processes(session, at),
            leases=await _leases(session, at),
            accounts=accounts,
            silent=seldom.silent,
        )

    async def _look_seldom(
        self, session: AsyncSession, at: datetime, head: int, accounts: tuple[str, ...]
    ) -> None:
        seldom = self._seldom
        seldom.ended_badly = await _ended_badly(session)
        if not self._db.is_sqlite:
            seldom.default_partition, seldom.missing_partitions = await _partitions(session, at)
        hour = at.replace(minute=0, second=0, microsecond=0)
        if seldom.silent_at != hour:
            seldom.silent = await silent_accounts(session, hour, head, accounts)
            seldom.silent_at = hour
        seldom.until = time.monotonic() + _SELDOM

    async def _behind(
        self, session: AsyncSession, head: int, at: datetime
    ) -> tuple[dict[str, Backlog], dict[str, Backlog]]:
        """What each consumer has not digested; and of the one that understands, what came in by each channel."""
        rows = await session.execute(select(col(Cursor.consumer), col(Cursor.lane), col(Cursor.seq)))
        cursors = {(row.consumer, row.lane): row.seq for row in rows}
        consumers: dict[str, Backlog] = {}
        channels = {kind.value: Backlog() for kind in ChannelKind if kind is not ChannelKind.HUB}
        for consumer in sorted({name for name, _ in cursors} | set(CONSUMERS)):
            behind = Backlog()
            for lane in range(LANES):
                position = cursors.get((consumer, lane), 0)
                for channel, direction, found in await self._lane(
                    session, (consumer, lane), position, head, at
                ):
                    behind = _and(behind, found)
                    if consumer == UNDERSTANDS and direction == Direction.IN:
                        channels[channel] = _and(channels[channel], found)
            consumers[consumer] = behind
        return consumers, channels

    async def _lane(
        self, session: AsyncSession, lane: tuple[str, int], position: int, head: int, at: datetime
    ) -> list[tuple[str, str, Backlog]]:
        """By channel and direction. A cursor moves only with entries, so that a quiet lane's stands far behind."""
        start = max(position, self._empty_to.get(lane, 0))
        if start >= head:
            return []
        first, last = shards_of(lane[1])
        waiting = (
            select(_log.c.seq, _log.c.channel, _log.c.direction, _log.c.recorded_at)
            .where(_log.c.seq > start, _log.c.seq <= head, _log.c.shard.between(first, last))
            .order_by(_log.c.seq)
            .limit(_COUNTED)
            .subquery()
        )
        rows = (
            await session.execute(
                select(
                    waiting.c.channel,
                    waiting.c.direction,
                    func.count().label("number"),
                    func.min(waiting.c.recorded_at).label("oldest"),
                    func.min(waiting.c.seq).label("first"),
                    func.max(waiting.c.seq).label("last"),
                ).group_by(waiting.c.channel, waiting.c.direction)
            )
        ).all()
        self._empty_to[lane] = min((row.first for row in rows), default=head + 1) - 1
        if sum(row.number for row in rows) < _COUNTED:
            beyond = 1.0
        else:
            beyond = (head - start) / max(max(row.last for row in rows) - start, 1)
        return [
            (row.channel, row.direction, Backlog(round(row.number * beyond), _age(row.oldest, at)))
            for row in rows
        ]


def _and(one: Backlog, other: Backlog) -> Backlog:
    return Backlog(one.number + other.number, max(one.seconds, other.seconds))


def _age(since: datetime | None, at: datetime) -> float:
    return 0.0 if since is None else max(0.0, (at - since).total_seconds())


async def _queues(session: AsyncSession, at: datetime) -> dict[str, Backlog]:
    since = col(Conversation.waiting_since)
    rows = await session.execute(
        select(col(Conversation.queue), func.count(), func.min(since))
        .where(col(Conversation.state) == "open", since.is_not(None))
        .group_by(col(Conversation.queue))
    )
    return {queue: Backlog(number, _age(oldest, at)) for queue, number, oldest in rows}


async def _outbox_now(
    session: AsyncSession, at: datetime
) -> tuple[dict[tuple[str, str], int], dict[str, float]]:
    waiting = await session.execute(
        select(_outbox.c.lane, func.count(), func.min(_outbox.c.due_at))
        .where(_WAITING)
        .group_by(_outbox.c.lane)
    )
    counts = {(state, lane): 0 for state in ("waiting", "running") for lane in _LANES.values()}
    due = dict.fromkeys(_LANES.values(), 0.0)
    for number, count, oldest in waiting:
        lane = _LANES.get(number, str(number))
        counts["waiting", lane], due[lane] = count, _age(oldest, at)
    running = select(_outbox.c.lane, func.count()).where(_RUNNING).group_by(_outbox.c.lane)
    for number, count in await session.execute(running):
        counts["running", _LANES.get(number, str(number))] = count
    return counts, due


async def _ended_badly(session: AsyncSession) -> dict[tuple[str, str], int]:
    states = ("failed", "unknown")
    found = await session.execute(
        select(_outbox.c.state, _outbox.c.lane, func.count())
        .where(_ENDED_BADLY, _outbox.c.state.in_(states))
        .group_by(_outbox.c.state, _outbox.c.lane)
    )
    counts = {(state, lane): 0 for state in states for lane in _LANES.values()}
    return counts | {(state, _LANES.get(number, str(number))): count for state, number, count in found}


async def _parked(session: AsyncSession) -> dict[str, int]:
    rows = await session.execute(
        select(col(Parked.consumer), func.count().label("number")).group_by(col(Parked.consumer))
    )
    return dict.fromkeys(CONSUMERS, 0) | {row.consumer: row.number for row in rows}


async def _unsealed(session: AsyncSession, head: int, at: datetime) -> Backlog:
    sealed = int(await session.scalar(select(func.max(col(Seal.last_seq)))) or 0)
    if sealed >= head:
        return Backlog()
    first = select(_log.c.recorded_at).where(_log.c.seq > sealed).order_by(_log.c.seq).limit(1)
    return Backlog(head - sealed, _age(await session.scalar(first), at))


async def _partitions(session: AsyncSession, at: datetime) -> tuple[int, tuple[str, ...]]:
    """Rows that lie in no month's partition; and the partitions of this month and the next that do not exist."""
    rows = await session.scalar(text("SELECT count(*) FROM (SELECT 1 FROM log_default LIMIT 1000) AS found"))
    missing = [
        name
        for name in (f"log_{month:%Y_%m}" for month in _this_and_next(at))
        if await session.scalar(text("SELECT to_regclass(:name)::text"), {"name": name}) is None
    ]
    return int(rows or 0), tuple(missing)


def _this_and_next(at: datetime) -> Iterable[datetime]:
    this = at.astimezone(UTC).replace(day=1)
    return this, (this + timedelta(days=31)).replace(day=1)


async def _accounts(session: AsyncSession) -> tuple[str, ...]:
    rows = await session.scalars(
        select(col(AccountRow.slug)).where(col(AccountRow.is_enabled)).order_by(col(AccountRow.slug))
    )
    return tuple(rows)


async def processes(session: AsyncSession, at: datetime) -> tuple[ProcessSeen, ...]:
    rows = await session.scalars(select(ProcessRow).order_by(col(ProcessRow.name)))
    return tuple(
        ProcessSeen(
            name=row.name,
            role=row.role,
            host=row.host,
            pid=row.pid,
            seconds=_age(row.seen_at, at),
            up_for=_age(row.started_at, at),
            detail=row.detail,
        )
        for row in rows
    )


async def _leases(session: AsyncSession, at: datetime) -> tuple[LeaseSeen, ...]:
    rows = await session.scalars(select(LeaseRow).order_by(col(LeaseRow.name)))
    return tuple(LeaseSeen(row.name, row.holder, (at - row.until).total_seconds()) for row in rows)
