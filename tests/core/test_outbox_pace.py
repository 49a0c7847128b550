"""An account's rate and window hold over all workers, order is kept, and a provider's pause stops the whole account."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from core import outbox
from core.adapter import Limits
from core.claims import claim
from core.database import Database
from core.outbox import Item, ItemState, Lane, Retry, Settled
from core.pace import AHEAD, freed, slots
from tests.support.entries import NOON
from tests.support.outbox import fill, free_at, put, states

SECOND = timedelta(seconds=1)
LONG_AGO = NOON - timedelta(days=1)


def ms(*marks: int) -> list[datetime]:
    return [NOON + timedelta(milliseconds=mark) for mark in marks]


@pytest.mark.parametrize(
    ("limits", "free", "running", "most", "given"),
    [
        (Limits(rate=10), LONG_AGO, 0, 100, ms(0, 100, 200)),  # what was not sent before is not saved up
        (Limits(rate=10), ms(50)[0], 0, 100, ms(50, 150, 250)),
        (Limits(rate=10), ms(126)[0], 0, 100, []),  # enough is given away already
        (Limits(rate=10), LONG_AGO, 0, 2, ms(0, 100)),
        (Limits(rate=0.5), LONG_AGO, 0, 100, ms(0)),
        (Limits(window=5), LONG_AGO, 2, 100, ms(0, 0, 0)),
        (Limits(window=5), LONG_AGO, 5, 100, []),
        (Limits(window=5), LONG_AGO, 9, 100, []),  # it was made smaller meanwhile
        (Limits(rate=10, window=2), LONG_AGO, 0, 100, ms(0, 100)),
        (Limits(), ms(1000)[0], 0, 100, []),  # the provider asked for a pause
        (Limits(), LONG_AGO, 0, 2, ms(0, 0)),
    ],
)
def test_moments_are_given_away_by_rate_and_window(
    limits: Limits, free: datetime, running: int, most: int, given: list[datetime]
) -> None:
    assert slots(limits, free, running, NOON, most) == given


def test_after_the_moments_that_were_given_the_account_is_busy_for_one_step() -> None:
    assert freed(Limits(rate=10), LONG_AGO, ms(0, 100)) == ms(200)[0]
    assert freed(Limits(rate=10), LONG_AGO, []) == LONG_AGO


async def drained(db: Database, limits: Limits, seconds: float, start: datetime = NOON) -> list[Item]:
    """What one worker gets that looks every 50 ms and is done with each at once."""
    taken: list[Item] = []
    for tick in range(int(seconds * 20)):
        items = (
            await claim(db, start + tick * timedelta(milliseconds=50), 64, limits=lambda _: limits)
        ).items
        await outbox.settle(db, [(item, Settled(ItemState.DONE)) for item in items])
        taken += items
    return taken


async def test_two_workers_keep_an_accounts_rate_together(database_url: str, db: Database) -> None:
    await fill(db, 500)
    other = Database(database_url)
    limits = Limits(rate=50)
    both = await asyncio.gather(drained(db, limits, 2), drained(other, limits, 2))
    await other.close()
    starts = sorted(item.starts_at for items in both for item in items)
    assert 100 <= len(starts) <= 100 + AHEAD / SECOND * 50 + 1
    assert min(after - before for before, after in pairwise(starts)) == SECOND / 50


async def test_two_workers_keep_an_accounts_window_together(database_url: str, db: Database) -> None:
    await fill(db, 200)
    other = Database(database_url)
    claims = await asyncio.gather(
        *(claim(worker, NOON, 64, limits=lambda _: Limits(window=7)) for worker in (db, other) * 4)
    )
    await other.close()
    assert sum(len(each.items) for each in claims) == 7
    assert await states(db) == {"running": 7, "waiting": 193}


async def test_a_place_in_the_window_is_free_again_when_one_is_settled(db: Database) -> None:
    await fill(db, 10)
    window = Limits(window=2)
    first, _ = (await claim(db, NOON, 64, limits=lambda _: window)).items
    assert (await claim(db, NOON, 64, limits=lambda _: window)).items == ()
    await outbox.settle(db, [(first, Settled(ItemState.DONE))])
    assert len((await claim(db, NOON, 64, limits=lambda _: window)).items) == 1


async def test_what_is_beyond_the_pace_waits_in_its_order_and_replies_pass_broadcasts(db: Database) -> None:
    await put(db, *(f"b{number}" for number in range(6)), lane=Lane.BROADCAST, due_at=NOON - SECOND)
    rate = Limits(rate=4)
    before = await drained(db, rate, 0.5)
    await put(db, "r0", "r1", lane=Lane.REPLY)
    after = await drained(db, rate, 2, NOON + SECOND / 2)
    said = [item.payload["text"] for item in (*before, *after)]
    assert said == ["b0", "b1", "b2", "r0", "r1", "b3", "b4", "b5"]
    moments = [item.starts_at for item in (*before, *after)]
    assert moments == [NOON + SECOND / 4 * number for number in range(8)]


async def test_an_account_that_has_to_wait_says_when_to_look_again(db: Database) -> None:
    await fill(db, 10)
    limits = Limits(rate=1)
    taken = await claim(db, NOON, 64, limits=lambda _: limits)
    assert len(taken.items) == 1
    waiting = await claim(db, NOON, 64, limits=lambda _: limits)
    assert waiting.items == ()
    assert waiting.next_at is not None
    assert NOON + SECOND / 2 < waiting.next_at < NOON + SECOND
    assert len((await claim(db, waiting.next_at, 64, limits=lambda _: limits)).items) == 1


async def test_accounts_without_a_limit_are_not_held_up_by_one_with_a_limit(db: Database) -> None:
    await fill(db, 50, account="slow")
    await fill(db, 50, account="quick")
    limits = {"slow": Limits(rate=1)}
    taken = await claim(db, NOON, 256, limits=lambda account: limits.get(account, Limits()))
    by_account = [item.account for item in taken.items]
    assert (by_account.count("slow"), by_account.count("quick")) == (1, 50)


async def test_a_providers_pause_stops_the_whole_account_and_keeps_the_place_in_line(db: Database) -> None:
    await put(db, "first", "second", "third", due_at=NOON - SECOND)
    await put(db, "elsewhere", account="other")
    first, *_ = (await claim(db, NOON, 1)).items
    until = NOON + 30 * SECOND
    await outbox.settle(db, [(first, Retry(first.due_at, rests_until=until))])
    paused = await claim(db, NOON + SECOND, 64)
    assert [item.account for item in paused.items] == ["other"]
    assert await free_at(db) == until
    resumed = await claim(db, until, 64)
    assert [item.payload["text"] for item in resumed.items] == ["first", "second", "third"]
    assert resumed.items[0].attempts == 1  # to be asked to wait was no failure


async def test_a_shorter_pause_does_not_end_a_longer_one(db: Database) -> None:
    await put(db, "one", "two", due_at=NOON - SECOND)
    one, two = (await claim(db, NOON, 2)).items
    await outbox.settle(db, [(one, Retry(NOON, NOON + 60 * SECOND)), (two, Retry(NOON, NOON + SECOND))])
    assert await free_at(db) == NOON + 60 * SECOND


async def test_a_pause_outlasts_the_moments_that_the_rate_would_give(db: Database) -> None:
    await put(db, "one", "two", due_at=NOON - SECOND)
    limits = Limits(rate=10)
    one, two = (await claim(db, NOON, 64, limits=lambda _: limits)).items
    await outbox.settle(db, [(one, Retry(NOON, NOON + 5 * SECOND)), (two, Retry(NOON))])
    assert (await claim(db, NOON + SECOND, 64, limits=lambda _: limits)).items == ()
    assert len((await claim(db, NOON + 5 * SECOND, 64, limits=lambda _: limits)).items) == 2
