"""Consumers of the log: each reads it in order, in lanes by shard, and keeps its own tables in step with it."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col

from core.clock import Clock, now
from core.database import Database, Tx, is_outage
from core.jobs import PRESSED
from core.leases import Lease, LeaseLost
from core.log import reader
from core.log.appenders import Prepared
from core.log.entries import Logged
from core.positions import Lane, Positions, at_work, lane_of, shards_of
from core.tables import ActOutcome, Cursor, Parked

log = logging.getLogger(__name__)

_LARGEST_BATCH = 400
_SMALLEST_BATCH = 24
# Seconds that one batch should take: long enough to share its queries, short enough to wait for.
_TARGET = 0.15
_PRESSED_BATCH = 4  # so that no sender waits long for the write gate that a batch holds
_RESTS = 15.0  # when pressed, a consumer rests so many times as long as it worked
_GATHER = 0.004  # seconds between batches of a lane, in which the next one grows
_TRIES = 3
_SHOWN_EVERY = 1.0  # seconds


class Consumer(Protocol):
    """Keeps tables in step with the log. `digest` may run twice for the same entries and must then add nothing."""

    name: str

    async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None:
        """Take entries of one lane, in order. What it writes is committed together with the lane's cursor."""
        ...


class ActRefused(Exception):
    """An act that no longer fits when its turn comes. Its outcome is stored; nothing else of it is."""

    def __init__(self, code: str, message: str, **detail: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


class ConsumerRunner(Positions):
    """Runs one consumer in this process. `pressure` gives the intake's entries a second."""

    def __init__(
        self,
        db: Database,
        consumer: Consumer,
        *,
        pressure: Callable[[], float] = lambda: 0.0,
        turn: asyncio.Lock | None = None,
        moved: Callable[[], None] = lambda: None,
        clock: Clock = now,
    ) -> None:
        super().__init__(db, consumer.name, turn)
        self._clock = clock
        self.consumer = consumer
        self._pressure = pressure
        self._moved = moved  # told after each batch, for those who wait in other processes
        self._lease: Lease | None = None
        self._stored: dict[int, int] = {}

    def woken(self, entries: Sequence[Prepared], recorded_at: datetime) -> None:
        """A commit listener: wake the lanes that the entries fall into."""
        self.head = entries[-1].seq
        self.wake({lane_of(item.shard) for item in entries})

    @property
    def lag(self) -> int:
        busy = [lane for lane in self.lanes if lane.woken.is_set() or lane.is_working]
        return max((self.head - lane.position for lane in busy), default=0)

    async def run(self, lease: Lease | None = None) -> None:
        """Digest until cancelled. With a lease: until it is lost; nothing is committed without it."""
        self._lease = lease
        async with self._db.read() as session:
            rows = await session.execute(select(Cursor).where(col(Cursor.consumer) == self.name))
            self._stored = {cursor.lane: cursor.seq for cursor in rows.scalars()}
            head = await reader.head(session)
        for lane in self.lanes:
            lane.position = self._stored.get(lane.number, 0)
            lane.woken.set()
        # Only now: a head without lanes that are awake would say that everything has been digested.
        self.head = max(self.head, head)
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes:
                group.create_task(self._run_lane(lane))
            if lease is not None:
                group.create_task(self._show())

    async def _show(self) -> None:
        """Store the positions of lanes that have nothing to do, so that other processes do not take them for late."""
        while True:
            await asyncio.sleep(_SHOWN_EVERY)
            idle = [
                lane
                for lane in self.lanes
                if not (lane.woken.is_set() or lane.is_working)
                and lane.position > self._stored.get(lane.number, 0)
            ]
            if not idle:
                continue
            try:
                async with self._db.begin(is_durable=False) as tx:
                    for lane in idle:
                        await self._mark(tx, lane, lane.position)
                    await self._fence(tx)
            except LeaseLost:
                raise
            except Exception as error:
                log.warning("positions not stored", extra={"reason": type(error).__name__})
                continue
            self._moved()

    async def _run_lane(self, lane: Lane) -> None:
        while True:
            await lane.woken.wait()
            try:
                lane.is_working = True
                async with self.turn:
                    started = time.perf_counter()
                    await self._step(lane)
                    spent = time.perf_counter() - started
                    if self._pressure() > PRESSED:
                        await asyncio.sleep(spent * _RESTS)
                lane.is_working = False
                await asyncio.sleep(_GATHER)
            except LeaseLost:
                raise
            except Exception:
                # The lane outlives whatever the database says; its entries stay where they are, in the log.
                log.exception("consumer waits", extra={"consumer": self.name, "lane": lane.number})
                lane.woken.set()
                await asyncio.sleep(0.5)

    async def _step(self, lane: Lane) -> None:
        """Digest one batch; the lane stays woken while it has more."""
        lane.woken.clear()
        is_short = self._db.is_sqlite and self._pressure() > PRESSED
        asked = min(lane.batch, _PRESSED_BATCH) if is_short else lane.batch
        async with self._db.read() as session:
            head = await reader.head(session)
            batch = await reader.after(session, lane.position, asked, shards_of(lane.number))
        self.head = max(self.head, head)
        if not batch:
            lane.move(head)
            return
        started = time.perf_counter()
        await self._digest(lane, batch)
        self._adapt(lane, len(batch), time.perf_counter() - started)
        is_drained = len(batch) < asked
        # On PostgreSQL the batch may reach beyond the head, which was read a moment before it.
        lane.move(max(head, batch[-1].seq) if is_drained else batch[-1].seq)
        self._moved()
        if not is_drained:
            lane.woken.set()

    def _adapt(self, lane: Lane, entries: int, seconds: float) -> None:
        if not self._db.is_sqlite:
            # A batch holds up nobody there, and each of its queries costs a round trip: where those are slow, a batch
            # that shrank for it would make the consumer slower still.
            lane.batch = _LARGEST_BATCH
            return
        fitting = int(_TARGET / max(seconds / entries, 1e-6))
        lane.batch = max(_SMALLEST_BATCH, min(_LARGEST_BATCH, (lane.batch + fitting) // 2))

    async def _digest(self, lane: Lane, batch: Sequence[Logged]) -> None:
        try:
            await self._attempt(lane, batch)
        except Exception as error:
            if is_outage(error):
                raise
            if not isinstance(error, ActRefused):
                log.warning("batch taken one by one", exc_info=error, extra={"consumer": self.name})
            await self._one_by_one(lane, batch)
        self.digested += len(batch)

    async def _attempt(self, lane: Lane, batch: Sequence[Logged]) -> None:
        async with self._db.digesting() as tx:
            await at_work(tx, self.name)
            await self.consumer.digest(tx, batch)
            await self._mark(tx, lane, batch[-1].seq)
            await self._fence(tx)

    async def _fence(self, tx: Tx) -> None:
        if self._lease is not None:
            await self._lease.guard(tx)

    async def _one_by_one(self, lane: Lane, batch: Sequence[Logged]) -> None:
        """After a failure: every entry on its own, so that one that cannot be digested stops no other."""
        for entry in batch:
            for attempt in range(1, _TRIES + 1):
                try:
                    await self._attempt(lane, [entry])
                except ActRefused as refusal:
                    await self._refuse(lane, entry, refusal)
                except Exception as error:
                    if is_outage(error):
                        raise
                    if attempt < _TRIES:
                        continue
                    log.exception("entry parked", extra={"consumer": self.name, "seq": entry.seq})
                    await self._park(lane, entry, error)
                break

    async def _refuse(self, lane: Lane, entry: Logged, refusal: ActRefused) -> None:
        async with self._db.begin(is_durable=False) as tx:
            await tx.session.merge(
                ActOutcome(
                    seq=entry.seq, code=refusal.code, message=refusal.message, detail=dict(refusal.detail)
                )
            )
            await self._mark(tx, lane, entry.seq)
            await self._fence(tx)

    async def _park(self, lane: Lane, entry: Logged, error: Exception) -> None:
        self.parked += 1
        async with self._db.begin(is_durable=False) as tx:
            await tx.session.merge(
                Parked(
                    consumer=self.name,
                    seq=entry.seq,
                    error=f"{type(error).__name__}: {error}"[:2000],
                    parked_at=self._clock(),
                )
            )
            await self._mark(tx, lane, entry.seq)
            await self._fence(tx)

    async def _mark(self, tx: Tx, lane: Lane, seq: int) -> None:
        insert = (sqlite.insert if tx.is_sqlite else postgresql.insert)(Cursor)
        statement = insert.values(consumer=self.name, lane=lane.number, seq=seq)
        await tx.write(
            statement.on_conflict_do_update(
                index_elements=["consumer", "lane"], set_={"seq": insert.excluded.seq}
            )
        )
        tx.after_commit(lambda: self._stored.__setitem__(lane.number, seq))


def lanes_of(entries: Sequence[Prepared]) -> bytes:
    """The lanes that new entries fall into, a byte each, for those who wake consumers elsewhere."""
    return bytes(sorted({lane_of(item.shard) for item in entries}))
