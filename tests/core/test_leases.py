"""Leases: one owner at a time, the next one soon, and nothing from an owner whose epoch is gone."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlmodel import col

from core.database import Database
from core.leases import Lease, LeaseLost, Leases, all_leases
from core.tables import Setting
from tests.support.schema import create_schema

SHORT = timedelta(seconds=0.3)
LONG = timedelta(seconds=60)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    await create_schema(db)
    yield db
    await db.close()


async def run_out(db: Database, lease: Lease) -> None:
    """As if its owner had not been heard of for too long."""
    await Leases(db, lease.holder).give_up(lease)


async def write_under(db: Database, lease: Lease, key: str) -> None:
    async with db.begin() as tx:
        tx.session.add(Setting(key=key, value=""))
        await lease.guard(tx)


async def written(db: Database) -> list[str]:
    async with db.read() as session:
        return list(await session.scalars(select(col(Setting.key)).order_by(col(Setting.key))))


async def test_only_one_process_gets_a_lease(db: Database) -> None:
    first = await Leases(db, "a", lasts=LONG).take("line")
    second = await Leases(db, "b", lasts=LONG).take("line")
    assert (first, second) == (Lease("line", "a", 1), None)


async def test_a_lease_that_ran_out_goes_to_the_next_with_a_higher_epoch(db: Database) -> None:
    first = await Leases(db, "a", lasts=LONG).take("line")
    assert first is not None
    await run_out(db, first)
    assert await Leases(db, "b", lasts=LONG).take("line") == Lease("line", "b", 2)


async def test_an_owner_renews_until_another_took_over(db: Database) -> None:
    mine = Leases(db, "a", lasts=LONG)
    lease = await mine.take("line")
    assert lease is not None
    assert await mine.renew(lease)
    await run_out(db, lease)
    assert await mine.renew(lease), "nobody has taken it: it is still ours"
    await run_out(db, lease)
    await Leases(db, "b", lasts=LONG).take("line")
    assert not await mine.renew(lease)


async def test_a_process_that_was_frozen_commits_nothing_afterwards(db: Database) -> None:
    frozen = await Leases(db, "a", lasts=LONG).take("line")
    assert frozen is not None
    await run_out(db, frozen)
    current = await Leases(db, "b", lasts=LONG).take("line")
    assert current is not None
    with pytest.raises(LeaseLost):
        await write_under(db, frozen, "frozen")
    await write_under(db, current, "current")
    assert await written(db) == ["current"]


async def test_who_takes_over_waits_for_what_the_owner_is_just_committing(postgres_url: str) -> None:
    db = Database(postgres_url)
    await create_schema(db)
    lease = await Leases(db, "a", lasts=SHORT).take("line")
    assert lease is not None
    await run_out(db, lease)
    async with db.begin() as tx:
        tx.session.add(Setting(key="last", value=""))
        await lease.guard(tx)
        takeover = asyncio.create_task(Leases(db, "b", lasts=LONG).take("line"))
        done, _ = await asyncio.wait({takeover}, timeout=0.2)
        assert not done
    assert await takeover == Lease("line", "b", 2)
    assert await written(db) == ["last"]
    await db.close()


async def test_work_goes_on_at_another_process_when_its_owner_stops(db: Database) -> None:
    working: list[str] = []
    begun = asyncio.Event()

    def work(who: str) -> object:
        async def run(lease: Lease) -> None:
            working.append(f"{who}{lease.epoch}")
            begun.set()
            await asyncio.Event().wait()

        return run

    owners = {
        who: asyncio.create_task(Leases(db, who, lasts=LONG).hold("line", work(who)))  # type: ignore[arg-type]
        for who in "ab"
    }
    async with asyncio.timeout(10):
        await begun.wait()
        begun.clear()
        first = working[0][0]
        owners[first].cancel()
        await begun.wait()
    assert working == [f"{first}1", f"{'b' if first == 'a' else 'a'}2"]
    for task in owners.values():
        task.cancel()
    await asyncio.gather(*owners.values(), return_exceptions=True)


async def test_work_ends_when_the_lease_is_lost(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.leases._RENEWED_EVERY", 0.02)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work(lease: Lease) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    mine = Leases(db, "a", lasts=LONG)
    holding = asyncio.create_task(mine.hold("line", work))
    async with asyncio.timeout(10):
        await begun.wait()
        await run_out(db, mine.held["line"])
        while await Leases(db, "b", lasts=LONG).take("line") is None:
            await run_out(db, mine.held["line"])
        await ended.wait()
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    assert [(row.holder, row.epoch) for row in await all_leases(db)] == [("b", 2)]
