"""The watch tells what begins and ends, once over restarts and successors, and also that the database is away."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlmodel import col

from core.database import Database
from core.tables import AlarmRow, Parked, ProcessRow
from tests.support.hub import StandingClock
from tests.support.postgres import Cluster
from tests.support.schema import create_schema
from workers.watching.heartbeat import Heartbeat
from workers.watching.judging import CALM, Word
from workers.watching.watch import Watch

SECOND = timedelta(seconds=1)


class Listener:
    """Somebody who is told; deaf when asked to be."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.is_deaf = False

    async def __call__(self, words: Sequence[Word]) -> bool:
        if self.is_deaf:
            return False
        self.heard += [f"{word.state}: {word.alarm.name}" for word in words]
        return True


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await create_schema(database)
    yield database
    await database.close()


@pytest.fixture
async def lite(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    await create_schema(database)
    yield database
    await database.close()


async def _park(db: Database, seq: int, clock: StandingClock) -> None:
    async with db.begin() as tx:
        tx.session.add(Parked(consumer="crm", seq=seq, error="ValueError", parked_at=clock()))


async def _unpark(db: Database, seq: int) -> None:
    async with db.begin() as tx:
        await tx.session.delete(await tx.session.get(Parked, ("crm", seq)))


async def _stored(db: Database) -> list[str]:
    async with db.read() as session:
        return list(await session.scalars(select(col(AlarmRow.name))))


async def test_an_alarm_is_told_stored_and_over(db: Database) -> None:
    clock, listener = StandingClock(), Listener()
    watch = Watch(db, listener, clock)
    await watch.round()
    assert listener.heard == []
    await _park(db, 7, clock)
    await watch.round()
    await watch.round()
    assert listener.heard == ["begins: entries_parked:crm"]
    assert await _stored(db) == ["entries_parked:crm"]
    await _unpark(db, 7)
    await watch.round()
    clock.forward(CALM)
    await watch.round()
    assert listener.heard[1:] == ["over: entries_parked:crm"]
    assert await _stored(db) == []


async def test_a_successor_does_not_tell_again_and_tells_the_end(lite: Database) -> None:
    clock, listener = StandingClock(), Listener()
    await _park(lite, 7, clock)
    await Watch(lite, listener, clock).round()
    successor = Watch(lite, listener, clock)
    await successor.round()
    assert listener.heard == ["begins: entries_parked:crm"]
    await _unpark(lite, 7)
    await successor.round()
    clock.forward(CALM)
    await successor.round()
    assert listener.heard[1:] == ["over: entries_parked:crm"]


async def test_only_the_one_whose_turn_it_is_watches(lite: Database) -> None:
    clock, listener = StandingClock(), Listener()
    await _park(lite, 7, clock)
    mine = [False]
    watch = Watch(lite, listener, clock, is_mine=lambda: mine[0])
    await watch.round()
    assert (listener.heard, watch.figures, watch.rounds) == ([], None, 0)
    mine[0] = True
    await watch.round()
    assert (len(listener.heard), watch.rounds) == (1, 1)
    mine[0] = False
    await watch.round()
    assert (watch.figures, watch.standing) == (None, {})


async def test_what_nobody_took_is_told_in_the_next_round(lite: Database) -> None:
    clock, listener = StandingClock(), Listener()
    await _park(lite, 7, clock)
    watch = Watch(lite, listener, clock)
    listener.is_deaf = True
    await watch.round()
    listener.is_deaf = False
    await watch.round()
    assert listener.heard == ["begins: entries_parked:crm"]


async def test_a_process_that_was_killed_is_missing_and_one_that_stopped_is_not(lite: Database) -> None:
    clock, listener = StandingClock(), Listener()
    watch = Watch(lite, listener, clock)
    stopped, killed = (Heartbeat(lite, name, "web", dict, clock) for name in ("web-1", "web-2"))
    await stopped.beat()
    await killed.beat()
    await stopped._leave()
    clock.forward(21 * SECOND)
    await watch.round()
    clock.forward(15 * SECOND)
    await watch.round()
    assert listener.heard == ["begins: process_missing:web-2"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One that may be stopped."""
    with Cluster() as cluster:
        yield cluster


async def test_that_the_database_is_away_is_told_without_one(cluster: Cluster) -> None:
    """The lease cannot be held meanwhile; who watched goes on. Nobody is said to be missing when it is back."""
    clock, listener = StandingClock(), Listener()
    async with _stopped(cluster, listener, clock) as (watch, beat, mine):
        assert listener.heard == ["begins: database_away"]
        assert watch.figures is not None
        cluster.start()
        mine[0] = True
        await watch.round()
        await beat.beat()
        await watch.round()
        clock.forward(CALM)
        await beat.beat()
        await watch.round()
    assert listener.heard == ["begins: database_away", "over: database_away"]


async def test_that_it_is_back_is_told_by_whoever_said_that_it_was_away(cluster: Cluster) -> None:
    """Another process may be the first to get the lease, and knows nothing of it."""
    clock, listener = StandingClock(), Listener()
    async with _stopped(cluster, listener, clock) as (watch, _, _):
        cluster.start()
        listener.is_deaf = True
        await watch.round()
        listener.is_deaf = False
        await watch.round()
        await watch.round()
    assert listener.heard == ["begins: database_away", "over: database_away"]
    assert watch.figures is None


@asynccontextmanager
async def _stopped(
    cluster: Cluster, listener: Listener, clock: StandingClock
) -> AsyncIterator[tuple[Watch, Heartbeat, list[bool]]]:
    """A watch a minute after its database has stopped, and with it its lease."""
    db = Database(cluster.url(cluster.create_database()))
    await create_schema(db)
    mine = [True]
    watch = Watch(db, listener, clock, is_mine=lambda: mine[0])
    beat = Heartbeat(db, "web-1", "web", dict, clock)
    await beat.beat()
    await watch.round()
    cluster.stop()
    mine[0] = False
    for _ in range(3):
        clock.forward(20 * SECOND)
        await watch.round()
    yield watch, beat, mine
    await db.close()


# Heartbeats.


async def test_a_process_says_how_it_is(db: Database, tmp_path: Path) -> None:
    clock = StandingClock()
    folders = {"data": tmp_path, "none": tmp_path / "missing"}
    beat = Heartbeat(db, "web-1", "web", lambda: {"lag": {"crm": 3}}, clock, folders=folders)
    await beat.beat()
    clock.forward(5 * SECOND)
    await beat.beat()
    async with db.read() as session:
        row = await session.get(ProcessRow, "web-1")
    assert row is not None
    assert (row.role, row.seen_at - row.started_at) == ("web", 5 * SECOND)
    assert row.detail["lag"] == {"crm": 3}
    assert list(row.detail["disk"]) == ["data"]


async def test_nameless_processes_that_are_gone_are_forgotten_and_named_ones_are_not(lite: Database) -> None:
    nobody = 2**22 + 1  # beyond what Linux gives
    clock = StandingClock()
    nameless, named = (Heartbeat(lite, name, "jobs", dict, clock) for name in ("", "jobs-1"))
    host = nameless._host
    await nameless.beat()
    async with lite.begin() as tx:
        for name, pid in (
            (f"jobs@{host}:{nobody}", nobody),
            ("jobs-1", nobody),
            (f"jobs@other:{nobody}", nobody),
        ):
            tx.session.add(
                ProcessRow(
                    name=name,
                    role="jobs",
                    host="other" if "other" in name else host,
                    pid=pid,
                    started_at=clock(),
                    seen_at=clock(),
                )
            )
    await named.forget_dead()
    async with lite.read() as session:
        names = set(await session.scalars(select(col(ProcessRow.name))))
    assert names == {nameless.name, "jobs-1", f"jobs@other:{nobody}"}
