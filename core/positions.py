"""How far a consumer has come: its lanes, those who wait for them to move, and the same seen from other processes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from zlib import crc32

import asyncpg
from sqlalchemy import func, select
from sqlmodel import col

from core.addresses import SHARDS
from core.database import Database, Tx
from core.log import reader
from core.tables import Cursor, Parked

log = logging.getLogger(__name__)

LANES = 4
"""How many lanes a consumer has; stored with its cursors, so changing it needs the consumer's rebuild."""

_RESTING = 0x5B0A3000  # PostgreSQL's advisory locks of this kind; a consumer's own number is added
_ASKED_EVERY = 0.1  # seconds, while somebody waits
_LOOKED_EVERY = 2.0
_RESTED = 0.25  # between two looks while nobody waits: under load there is a wake-up for every batch
_BEGINS_AGAIN = 0.5


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

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiters)

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


class Positions:
    """A consumer as its readers see it: how far it is, when it has passed an entry, and how to make it rest."""

    def __init__(self, db: Database, name: str, turn: asyncio.Lock | None = None) -> None:
        self._db = db
        self.name = name
        # One batch at a time: what it has read must still hold when it writes.
        self.turn = turn or asyncio.Lock()
        self.lanes = [Lane(number) for number in range(LANES)]
        self.head = 0
        self.digested = 0
        self.parked = 0
        self._passed = 0

    @property
    def passed(self) -> int:
        """Every entry up to here has been digested, in every lane. It never goes back."""
        self._passed = max(self._passed, self.head - self.lag)
        return self._passed

    @property
    def lag(self) -> int:
        """How many entries of the log lie beyond the slowest lane that still has work."""
        return max(0, self.head - min(lane.position for lane in self.lanes))

    async def run(self) -> None:
        """Keep the positions true, until cancelled."""
        raise NotImplementedError

    def wake(self, lanes: Iterable[int] = range(LANES)) -> None:
        """There may be something new for these lanes."""
        for lane in lanes:
            self.lanes[lane].woken.set()

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
        """No batch is under way inside the block, in no process: what it changes, none has read before."""
        async with all_resting((self,)):
            yield

    @asynccontextmanager
    async def resting_elsewhere(self) -> AsyncIterator[None]:
        """The part of `resting` that binds other processes."""
        if self._db.is_sqlite:
            yield
            return
        # The lock belongs to a connection of its own, and goes with it when this process dies.
        dsn = self._db.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = await asyncpg.connect(dsn, timeout=5)
        try:
            await connection.execute(f"SELECT pg_advisory_lock({rest_key(self.name)})")
            yield
        finally:
            await connection.close(timeout=2)


def rest_key(consumer: str) -> int:
    return _RESTING + crc32(consumer.encode()) % 0x1000


async def at_work(tx: Tx, consumer: str) -> None:
    """Say inside a digest's transaction that a batch is under way: `resting` waits for its end, and it for that."""
    if not tx.is_sqlite:
        await tx.session.execute(select(func.pg_advisory_xact_lock_shared(rest_key(consumer))))


class FollowedConsumer(Positions):
    """A consumer that another process runs: its positions are read from the database."""

    async def run(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:
                log.warning(
                    "positions unknown", extra={"consumer": self.name, "reason": type(error).__name__}
                )
                await asyncio.sleep(_BEGINS_AGAIN)
                continue
            await self._sleep()

    async def _sleep(self) -> None:
        """Until woken. Who begins to wait meanwhile gets a look of its own when the rest is over."""
        woken = self.lanes[0].woken
        if not self._is_awaited:
            await asyncio.sleep(_RESTED)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ASKED_EVERY if self._is_awaited else _LOOKED_EVERY):
                await woken.wait()
        woken.clear()

    @property
    def _is_awaited(self) -> bool:
        return any(lane.is_awaited for lane in self.lanes)

    async def _look(self) -> None:
        async with self._db.read() as session:
            rows = await session.execute(
                select(col(Cursor.lane), col(Cursor.seq)).where(col(Cursor.consumer) == self.name)
            )
            positions = {row.lane: row.seq for row in rows}
            self.head = max(self.head, await reader.head(session))
            self.parked = int(
                await session.scalar(
                    select(func.count()).select_from(Parked).where(col(Parked.consumer) == self.name)
                )
                or 0
            )
        for lane in self.lanes:
            lane.move(positions.get(lane.number, 0))


@asynccontextmanager
async def all_resting(consumers: Sequence[Positions]) -> AsyncIterator[None]:
    """No batch of any of these is under way inside the block. They may share their turn, which is held once only."""
    async with AsyncExitStack() as stack:
        for turn in {id(consumer.turn): consumer.turn for consumer in consumers}.values():
            await stack.enter_async_context(turn)
        for consumer in consumers:
            await stack.enter_async_context(consumer.resting_elsewhere())
        yield
