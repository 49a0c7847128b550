"""Claiming from the outbox: replies first, in order, each item for one worker, quick whatever waits behind."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import chain

import pytest
from sqlalchemy import text

from core import outbox
from core.claims import Claimed, adopt, claim
from core.database import Database
from core.outbox import CLAIM, ItemState, Lane, Retry, Settled
from tests.support.entries import NOON
from tests.support.outbox import fill, put, states

SECOND = timedelta(seconds=1)


async def texts(db: Database, limit: int = 100, at: timedelta = timedelta()) -> list[str]:
    return [item.payload["text"] for item in (await claim(db, NOON + at, limit)).items]


async def test_replies_are_taken_before_jobs_and_jobs_before_broadcasts(db: Database) -> None:
    await put(db, "b1", "b2", lane=Lane.BROADCAST)
    await put(db, "j1", lane=Lane.JOB, due_at=NOON - SECOND)
    await put(db, "r1", "r2", lane=Lane.REPLY)
    assert await texts(db, 4, at=SECOND) == ["r1", "r2", "j1", "b1"]
    assert await texts(db, at=SECOND) == ["b2"]


async def test_what_is_not_due_yet_says_when_to_look_again(db: Database) -> None:
    await put(db, "later", due_at=NOON + 5 * SECOND)
    assert await claim(db, NOON, 10) == Claimed((), NOON + 5 * SECOND)
    assert await texts(db, at=5 * SECOND) == ["later"]


async def test_an_empty_outbox_has_nothing_to_wait_for(db: Database) -> None:
    assert await claim(db, NOON, 10) == Claimed((), None)


async def test_an_item_is_given_to_one_worker_only(database_url: str, db: Database) -> None:
    await fill(db, 2_000, account="one")
    workers = [Database(database_url) for _ in range(4)]

    async def drain(worker: Database) -> list[str]:
        taken: list[str] = []
        while items := (await claim(worker, NOON, 64)).items:
            taken += [item.payload["text"] for item in items]
            await outbox.settle(worker, [(item, Settled(ItemState.DONE)) for item in items])
        return taken

    shares = await asyncio.gather(*(drain(worker) for worker in workers))
    for worker in workers:
        await worker.close()
    assert Counter(chain.from_iterable(shares)) == Counter(str(number) for number in range(2_000))
    assert await states(db) == {"done": 2_000}


@pytest.mark.parametrize("limit", [1, 50])
async def test_a_claim_takes_no_more_than_it_may(db: Database, limit: int) -> None:
    await fill(db, 200, account="one")
    await fill(db, 200, account="two")
    assert len((await claim(db, NOON, limit)).items) == limit
    assert (await states(db))["running"] == limit


async def test_the_claimed_items_of_a_dead_worker_are_adopted_as_interrupted(db: Database) -> None:
    await put(db, "lost", lane=Lane.REPLY)
    (lost,) = (await claim(db, NOON, 10)).items
    assert await adopt(db, NOON + CLAIM, 10) == []
    (adopted,) = await adopt(db, NOON + CLAIM + SECOND, 10)
    assert (adopted.id, adopted.was_interrupted, adopted.attempts) == (lost.id, True, 2)
    assert await adopt(db, NOON + CLAIM + SECOND, 10) == []


async def test_a_worker_does_not_adopt_what_it_still_works_on(db: Database) -> None:
    await put(db, "slow")
    (slow,) = (await claim(db, NOON, 10)).items
    assert await adopt(db, NOON + 2 * CLAIM, 10, own=[slow.id]) == []


@pytest.mark.parametrize("outcome", [Settled(ItemState.DONE), Retry(NOON), Retry(NOON, NOON + SECOND)])
async def test_a_worker_whose_item_was_adopted_settles_nothing(
    db: Database, outcome: Settled | Retry
) -> None:
    await put(db, "lost")
    (lost,) = (await claim(db, NOON, 10)).items
    (adopted,) = await adopt(db, NOON + CLAIM + SECOND, 10)
    await outbox.settle(db, [(lost, outcome)])
    assert await states(db) == {"running": 1}
    await outbox.settle(db, [(adopted, Settled(ItemState.UNKNOWN, "outcome_unknown"))])
    assert await states(db) == {"unknown": 1}


async def test_a_backlog_of_fifty_thousand_is_not_walked_through(db: Database) -> None:
    """By the engine's own account of its plan: all by the indexes of what waits and runs."""
    await fill(db, 50_000, account="sms", lane=Lane.BROADCAST)
    await fill(db, 2_000, account="mail", lane=Lane.REPLY, state="done")
    await put(db, "reply", account="sms", lane=Lane.REPLY)
    assert await texts(db, 1) == ["reply"]
    plans = await _plans(db)
    assert all("ix_outbox_" in plan for plan in plans), plans
    assert not any("Seq Scan" in plan or "SCAN outbox\n" in plan for plan in plans), plans
    assert (await outbox.counts(db)) == {"waiting": 50_000, "running": 1, "failed": 0, "unknown": 0}


async def _plans(db: Database) -> list[str]:
    explain = "EXPLAIN QUERY PLAN " if db.is_sqlite else "EXPLAIN "
    due = f"{int(NOON.timestamp()) * 1_000_000}" if db.is_sqlite else f"'{NOON.isoformat()}'"
    asked = (
        "SELECT min(account) FROM outbox WHERE state = 'waiting' AND lane = 9 AND account > 'a'",
        "SELECT min(due_at) FROM outbox WHERE state = 'waiting' AND lane = 9 AND account = 'sms'",
        "SELECT id FROM outbox WHERE state = 'waiting' AND lane = 9 AND account = 'sms' "
        f"AND due_at <= {due} ORDER BY due_at, id LIMIT 64",
        f"SELECT id FROM outbox WHERE state = 'running' AND claimed_until < {due} LIMIT 1",
        "SELECT id FROM outbox WHERE state IN ('failed', 'unknown', 'cancelled') AND state = 'failed' "
        "ORDER BY id DESC LIMIT 50",
    )
    async with db.begin() as tx:
        if not db.is_sqlite:
            await tx.session.execute(text("ANALYZE outbox"))
        found = [await tx.session.execute(text(explain + query)) for query in asked]
        return ["".join(f"{row[-1]}\n" for row in rows) for rows in found]
