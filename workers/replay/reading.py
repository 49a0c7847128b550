"""Reading the log anew into a scratch database, lane by lane as far as the live consumer has come."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.consumers import ActRefused, Consumer
from core.database import Database
from core.log import reader
from core.log.entries import Logged
from core.positions import LANES, lane_of
from core.search import SearchConsumer
from core.tables import ActOutcome, Cursor, Parked
from crm.blueprint.publishing import Book, Published
from crm.consumer import CrmConsumer

_PAGE = 200

Told = Callable[[int, int], None]


class CurrentBook(Book):
    """Gives one blueprint for every entry, whatever was in force at its time."""

    def __init__(self, published: Published) -> None:
        super().__init__()
        self._published = published

    @property
    def has_any(self) -> bool:
        return True

    @property
    def current(self) -> Published:
        return self._published

    def at(self, version: int) -> Published:
        return self._published


Positions = tuple[int, ...]
"""For each lane, the newest entry that is digested."""


def consumer_of(name: str, book: Book, *, as_then: bool) -> Consumer:
    """The consumer, reading with the blueprint in force now, or each entry with the version of its time."""
    if name == SearchConsumer.name:
        return SearchConsumer()
    return CrmConsumer(
        book if as_then or not book.has_any else CurrentBook(book.current), lambda changes: None
    )


@asynccontextmanager
async def moment(db: Database) -> AsyncIterator[AsyncSession]:
    """Everything that is read inside is of one moment, however long it takes."""
    async with db.read() as session:
        if not db.is_sqlite:
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session


async def positions(session: AsyncSession, consumer: str) -> Positions:
    rows = await session.execute(
        select(col(Cursor.lane), col(Cursor.seq)).where(col(Cursor.consumer) == consumer)
    )
    found = {row.lane: row.seq for row in rows}
    return tuple(found.get(lane, 0) for lane in range(LANES))


class Replay:
    """One consumer's second run. What it would send stays in the scratch outbox, which nobody looks into."""

    def __init__(self, scratch: Database, consumer: Consumer) -> None:
        self.scratch = scratch
        self.consumer = consumer
        self.undigested: list[int] = []

    async def done(self) -> Positions:
        async with self.scratch.read() as session:
            return await positions(session, self.consumer.name)

    async def follow(self, live: AsyncSession, told: Told = lambda done, end: None) -> None:
        """Digest what the live consumer has digested, as this session sees it, and what was not done before.

        What is parked there stays parked: trying it again, with all that follows outside, is another command.
        """
        done, goal = await self.done(), await positions(live, self.consumer.name)
        parked = set(
            await live.scalars(select(col(Parked.seq)).where(col(Parked.consumer) == self.consumer.name))
        )
        seq, end = min(done), max(goal)
        while seq < end:
            page = await reader.after(live, seq, _PAGE)
            if not page:
                break
            await self._take(
                [entry for entry in page if _is_due(entry, done, goal) and entry.seq not in parked]
            )
            seq = page[-1].seq
            told(min(seq, end), end)
        await self._mark(goal)

    async def _take(self, batch: Sequence[Logged]) -> None:
        if not batch:
            return
        try:
            await self._digest(batch)
        except Exception as error:
            # Whatever it was: by halves down to the entry that cannot be digested, so that its neighbours stay quick.
            if len(batch) == 1:
                await self._note(batch[0], error)
                return
            middle = len(batch) // 2
            await self._take(batch[:middle])
            await self._take(batch[middle:])

    async def _note(self, entry: Logged, error: Exception) -> None:
        if not isinstance(error, ActRefused):
            self.undigested.append(entry.seq)  # told by its number; its traceback would be one of a thousand
            return
        async with self.scratch.begin(is_durable=False) as tx:
            await tx.session.merge(
                ActOutcome(seq=entry.seq, code=error.code, message=error.message, detail=dict(error.detail))
            )

    async def _digest(self, batch: Sequence[Logged]) -> None:
        async with self.scratch.begin(is_durable=False) as tx:
            await self.consumer.digest(tx, batch)

    async def _mark(self, goal: Positions) -> None:
        async with self.scratch.begin(is_durable=False) as tx:
            for lane, seq in enumerate(goal):
                await tx.session.merge(Cursor(consumer=self.consumer.name, lane=lane, seq=seq))


def _is_due(entry: Logged, done: Positions, goal: Positions) -> bool:
    lane = lane_of(entry.shard)
    return done[lane] < entry.seq <= goal[lane]
