"""Consumers of the log: each reads it in order, in lanes by shard, and keeps its own tables in step with it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from core.addresses import SHARDS
from core.clock import Clock, now
from core.database import Database, Tx
from core.jobs import PRESSED
from core.log import reader
from core.log.appenders import Prepared
from core.log.entries import Logged
from core.tables import ActOutcome, Cursor, Parked

log = logging.getLogger(__name__)

LANES = 4
"""How many lanes a consumer has; stored with its cursors, so changing it needs the consumer's rebuild."""

_LARGEST_BATCH = 400
_SMALLEST_BATCH = 24
# Seconds that one batch should take: long enough to share its queries, short enough to wait for.
_TARGET = 0.15
_PRESSED_BATCH = 4  # so that no sender waits long for the write gate that a batch holds
_RESTS = 15.0  # when pressed, a consumer rests so many times as long as it worked
_GATHER = 0.004  # seconds between batches of a lane, in which the next one grows
_TRIES = 3


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


def lane_of(shard: int) -> int:
    return shard * LANES // SHARDS


def shards_of(lane: int) -> tuple[int, int]:
    return lane * SHARDS // LANES, (lane + 1) * SHARDS // LANES - 1


class Lane:
    """One lane of one consumer: its position in the log and those who wait for it to move."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.position = 0
        self.woken = asyncio.Event()
        self.batch = 32
        self.is_working = False
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def move(self, position: int) -> None:
        self.position = max(self.position, position)
        still = []
        for seq, waiter in self._waiters:
            if seq > self.position:
                still.append((seq, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = still

    async def reached(self, seq: int) -> None:
        if seq <= self.position:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((seq, waiter))
        await waiter


class ConsumerRunner:
    """Runs one consumer in this process. `pressure` gives the intake's entries a second."""

    def __init__(
        self,
        db: Database,
        consumer: Consumer,
        *,
        pressure: Callable[[], float] = lambda: 0.0,
        turn: asyncio.Lock | None = None,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._clock = clock
        self.consumer = consumer
        self._pressure = pressure
        # One batch at a time: what it has read must still hold when it writes.
        self.turn = turn or asyncio.Lock()
        self.lanes = [Lane(number) for number in range(LANES)]
        self.head = 0
        self.digested = 0
        self.parked = 0

    def woken(self, entries: Sequence[Prepared], recorded_at: datetime) -> None:
        """A commit listener: wake the lanes that the entries fall into."""
        self.head = entries[-1].seq
        for lane in {lane_of(item.shard) for item in entries}:
            self.lanes[lane].woken.set()

    @property
    def lag(self) -> int:
        """How many entries of the log lie beyond the slowest lane that still has work."""
        busy = [lane for lane in self.lanes if lane.woken.is_set() or lane.is_working]
        return max((self.head - lane.position for lane in busy), default=0)

    async def processed(self, shard: int, seq: int) -> None:
        """Return when the entry `seq` of that shard has been digested."""
        await self.lanes[lane_of(shard)].reached(seq)

    async def caught_up(self) -> None:
        """Return when everything that is in the log now has been digested."""
        async with self._db.read() as session:
            head = await reader.head(session)
        for lane in self.lanes:
            lane.woken.set()
            await lane.reached(head)

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """No batch is under way inside the block: what it changes, none has read before."""
        async with self.turn:
            yield

    async def run(self) -> None:
        async with self._db.read() as session:
            rows = await session.execute(select(Cursor).where(col(Cursor.consumer) == self.consumer.name))
            for cursor in rows.scalars():
                self.lanes[cursor.lane].position = cursor.seq
            self.head = await reader.head(session)
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes:
                lane.woken.set()
                group.create_task(self._run_lane(lane))

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
            except Exception:
                # The lane outlives whatever the database says; its entries stay where they are, in the log.
                log.exception("consumer waits", extra={"consumer": self.consumer.name, "lane": lane.number})
                lane.woken.set()
                await asyncio.sleep(0.5)

    async def _step(self, lane: Lane) -> None:
        """Digest one batch; the lane stays woken while it has more."""
        lane.woken.clear()
        asked = min(lane.batch, _PRESSED_BATCH) if self._pressure() > PRESSED else lane.batch
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
        lane.move(head if is_drained else batch[-1].seq)
        if not is_drained:
            lane.woken.set()

    def _adapt(self, lane: Lane, entries: int, seconds: float) -> None:
        fitting = int(_TARGET / max(seconds / entries, 1e-6))
        lane.batch = max(_SMALLEST_BATCH, min(_LARGEST_BATCH, (lane.batch + fitting) // 2))

    async def _digest(self, lane: Lane, batch: Sequence[Logged]) -> None:
        try:
            await self._attempt(lane, batch)
        except Exception as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            if not isinstance(error, ActRefused):
                log.warning("batch taken one by one", exc_info=error, extra={"consumer": self.consumer.name})
            await self._one_by_one(lane, batch)
        self.digested += len(batch)

    async def _attempt(self, lane: Lane, batch: Sequence[Logged]) -> None:
        async with self._db.digesting() as tx:
            await self.consumer.digest(tx, batch)
            await self._mark(tx, lane, batch[-1].seq)

    async def _one_by_one(self, lane: Lane, batch: Sequence[Logged]) -> None:
        """After a failure: every entry on its own, so that one that cannot be digested stops no other."""
        for entry in batch:
            for attempt in range(1, _TRIES + 1):
                try:
                    await self._attempt(lane, [entry])
                except ActRefused as refusal:
                    await self._refuse(lane, entry, refusal)
                except Exception as error:
                    if attempt < _TRIES:
                        continue
                    log.exception("entry parked", extra={"consumer": self.consumer.name, "seq": entry.seq})
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

    async def _park(self, lane: Lane, entry: Logged, error: Exception) -> None:
        self.parked += 1
        async with self._db.begin(is_durable=False) as tx:
            await tx.session.merge(
                Parked(
                    consumer=self.consumer.name,
                    seq=entry.seq,
                    error=f"{type(error).__name__}: {error}"[:2000],
                    parked_at=self._clock(),
                )
            )
            await self._mark(tx, lane, entry.seq)

    async def _mark(self, tx: Tx, lane: Lane, seq: int) -> None:
        insert = (sqlite.insert if tx.is_sqlite else postgresql.insert)(Cursor)
        statement = insert.values(consumer=self.consumer.name, lane=lane.number, seq=seq)
        await tx.write(
            statement.on_conflict_do_update(
                index_elements=["consumer", "lane"], set_={"seq": insert.excluded.seq}
            )
        )


@asynccontextmanager
async def all_resting(runners: Iterable[ConsumerRunner]) -> AsyncIterator[None]:
    """No batch of any of these is under way inside the block. They may share their turn, which is held once only."""
    async with AsyncExitStack() as stack:
        for turn in {id(runner.turn): runner.turn for runner in runners}.values():
            await stack.enter_async_context(turn)
        yield
