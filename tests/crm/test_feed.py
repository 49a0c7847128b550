"""The feed: another process sees what a batch changed, in order, after it was committed."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from core.database import Database
from crm import feed
from crm.desk.work import Changes
from crm.feed import FeedReader
from crm.tables import Figure
from tests.support.hub import WEDNESDAY
from tests.support.schema import create_schema

SHOP = UUID(int=7)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    await create_schema(db)
    yield db
    await db.close()


class Follower:
    """A reader that began before anything was put."""

    def __init__(self, db: Database) -> None:
        self.seen: list[Changes] = []
        self._arrived = asyncio.Event()
        self.reader = FeedReader(db, self._take)

    def _take(self, changes: Changes) -> None:
        self.seen.append(changes)
        self._arrived.set()

    async def count(self, wanted: int) -> list[Changes]:
        async with asyncio.timeout(10):
            while len(self.seen) < wanted:
                self._arrived.clear()
                self.reader.wake()
                await self._arrived.wait()
        return self.seen


@pytest.fixture
async def follower(db: Database) -> AsyncIterator[Follower]:
    follower = Follower(db)
    follower.reader.position = 0
    running = asyncio.create_task(follower.reader.run())
    yield follower
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def put(db: Database, changes: Changes) -> None:
    async with db.begin() as tx:
        await feed.put(tx, changes, WEDNESDAY)


def figure(value: int) -> Figure:
    return Figure(
        form="weekly", period="2026-W47", party_id=SHOP, sku="101", field="stock", value=value, text="3条",
        state="accepted", seq=5, number=0, changed_seq=5,
    )  # fmt: skip


async def test_what_was_put_is_what_another_process_is_told(db: Database, follower: Follower) -> None:
    await put(db, Changes(parties={SHOP}, lines={5: SHOP}, figures=[figure(30)]))
    (told,) = await follower.count(1)
    assert (told.parties, told.lines) == ({SHOP}, {5: SHOP})
    assert [each.model_dump() for each in told.figures] == [figure(30).model_dump()]


async def test_batches_are_told_in_their_order_and_once(db: Database, follower: Follower) -> None:
    for seq in range(1, 451):
        await put(db, Changes(lines={seq: SHOP}))
    told = await follower.count(450)
    assert [next(iter(each.lines)) for each in told] == list(range(1, 451))


async def test_a_batch_that_changed_nothing_to_look_at_is_not_stored(db: Database) -> None:
    await put(db, Changes(queued=True))
    assert await FeedReader(db, lambda changes: None)._newest() == 0


async def test_what_nobody_can_still_resume_goes(db: Database) -> None:
    await put(db, Changes(parties={SHOP}))
    async with db.begin() as tx:
        await feed.forget_old(tx, WEDNESDAY + feed.KEPT * 2)
    assert await FeedReader(db, lambda changes: None)._newest() == 0
