"""A snapshot finds what is behind, waiting, parked or missing, on both engines, and says when there is no database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from core.database import Database
from core.log.seals import Sealer
from core.log.verify import verify
from core.outbox import ItemState, Lane
from core.tables import AccountRow, LeaseRow, OutboxItem, Parked, ProcessRow
from crm.tables import Conversation
from tests.support.entries import message, running
from tests.support.hub import DeskHub, StandingClock, desk_hub
from workers.watching.figures import Backlog, Figures, Measurer
from workers.watching.silence import first_since

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
async def hub(database_url: str) -> AsyncIterator[DeskHub]:
    """Its log fills and nobody reads it."""
    async with desk_hub(database_url, is_digesting=False) as hub:
        yield hub


async def _measured(hub: DeskHub) -> Figures:
    return await Measurer(hub.db, hub.clock).measure()


async def test_what_nobody_has_digested_is_behind(hub: DeskHub) -> None:
    await hub.put_shop()
    for number in range(3):
        await hub.accept_sms(f"KC 101 {number}", f"+861390000000{number}")
    hub.clock.forward(1.5 * MINUTE)
    figures = await _measured(hub)
    assert figures.consumers == {"crm": Backlog(4, 90), "search": Backlog(4, 90)}
    assert figures.channels["sms"] == Backlog(3, 90)
    assert figures.channels["email"] == Backlog()
    assert (figures.head, figures.unsealed) == (4, Backlog(4, 90))


async def test_what_was_digested_is_not_behind_though_a_quiet_lane_stands_far_back(hub: DeskHub) -> None:
    measurer = Measurer(hub.db, hub.clock)
    await hub.put_shop()
    async with running(hub.consumer.run()):
        for number in range(3):
            await hub.sms(f"KC 101 {number}")
    assert (await measurer.measure()).consumers["crm"] == Backlog()
    await hub.accept_sms("KC 101 9")
    hub.clock.forward(MINUTE)
    assert (await measurer.measure()).consumers["crm"] == Backlog(1, 60)
    assert (await measurer.measure()).channels["sms"] == Backlog(1, 60)


async def test_a_long_backlog_is_estimated(hub: DeskHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.watching.figures._COUNTED", 10)
    for number in range(40):
        await hub.accept_sms(f"KC 101 {number}")
    assert (await _measured(hub)).consumers["crm"].number == 40


async def test_conversations_wait_in_their_queues(hub: DeskHub) -> None:
    at = hub.clock()
    async with hub.db.begin() as tx:
        for queue, state, since in (
            ("complaint", "open", at - 5 * MINUTE),
            ("complaint", "open", at - 3 * MINUTE),
            ("complaint", "open", None),
            ("order", "resolved", at - 9 * MINUTE),
        ):
            tx.session.add(
                Conversation(party_id=uuid4(), queue=queue, state=state, last_at=at, waiting_since=since)
            )
    assert (await _measured(hub)).queues == {"complaint": Backlog(2, 300)}


async def test_the_outbox_is_counted_by_state_and_lane(hub: DeskHub) -> None:
    at = hub.clock()
    rows = (
        (Lane.REPLY, ItemState.WAITING, at - 2 * MINUTE),
        (Lane.REPLY, ItemState.WAITING, at + HOUR),
        (Lane.BROADCAST, ItemState.WAITING, at + HOUR),
        (Lane.JOB, ItemState.RUNNING, at),
        (Lane.REPLY, ItemState.UNKNOWN, at),
        (Lane.REPLY, ItemState.FAILED, at),
        (Lane.REPLY, ItemState.DONE, at),
    )
    async with hub.db.begin() as tx:
        for lane, state, due_at in rows:
            tx.session.add(
                OutboxItem(key=str(uuid4()), job="send", lane=lane.number, state=state, due_at=due_at)
            )
    figures = await _measured(hub)
    assert {place: number for place, number in figures.outbox.items() if number} == {
        ("waiting", "reply"): 2,
        ("waiting", "broadcast"): 1,
        ("running", "job"): 1,
        ("unknown", "reply"): 1,
        ("failed", "reply"): 1,
    }
    assert figures.due == {"reply": 120, "job": 0, "broadcast": 0}
    assert figures.sends("unknown") == 1


async def test_who_runs_what_is_held_and_what_was_put_aside_is_seen(hub: DeskHub) -> None:
    at = hub.clock()
    async with hub.db.begin() as tx:
        tx.session.add(
            ProcessRow(
                name="web-1",
                role="web",
                host="a",
                pid=7,
                started_at=at - HOUR,
                seen_at=at - MINUTE,
                detail={"lag": 3},
            )
        )
        tx.session.add(LeaseRow(name="sealer", holder="digest-1", epoch=3, until=at - 2 * MINUTE))
        tx.session.add(Parked(consumer="crm", seq=4, error="ValueError", parked_at=at))
        tx.session.add(AccountRow(slug="main", provider="sms.gateway", title="Main"))
        tx.session.add(AccountRow(slug="old", provider="sms.gateway", title="Old", is_enabled=False))
    figures = await _measured(hub)
    (process,) = figures.processes
    assert (process.name, process.seconds, process.up_for, process.detail) == ("web-1", 60, 3600, {"lag": 3})
    assert [(lease.name, lease.over_for) for lease in figures.leases] == [("sealer", 120)]
    assert figures.parked == {"crm": 1, "search": 0}
    assert figures.accounts == ("main",)


async def test_partitions_that_are_missing_and_rows_that_found_none_are_seen(postgres_url: str) -> None:
    far = StandingClock()
    async with desk_hub(postgres_url, clock=far, is_digesting=False) as hub:
        far.at = far.at.replace(year=2041, month=12, day=31)
        await hub.accept_sms("KC 101 3")
        figures = await _measured(hub)
    assert figures.missing_partitions == ("log_2041_12", "log_2042_01")
    assert figures.default_partition == 1


async def test_the_guide_moves_rows_out_of_the_default_partition(postgres_url: str) -> None:
    """The statements as they stand in docs/watching.md, with entries before, of and after the month."""
    guide = (Path(__file__).parents[3] / "docs" / "watching.md").read_text()
    statements = guide.partition("```sql\n")[2].partition("```")[0]
    clock = StandingClock()
    async with desk_hub(postgres_url, clock=clock, is_digesting=False) as hub:
        for at in (datetime(2041, 11, 30, 23, 59), datetime(2041, 12, 31, 23, 59), datetime(2042, 1, 1)):
            clock.at = at.replace(tzinfo=UTC)
            await hub.accept_sms("KC 101 3")
        await Sealer(hub.db, clock).seal()
        connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
        await connection.execute(statements)
        await connection.close()
        assert (await _measured(hub)).default_partition == 2
        assert (await verify(hub.db)).is_sound
        assert (await hub.accept_sms("KC 101 4")).seq == 4


async def test_an_account_is_silent_when_it_says_nothing_at_its_usual_hour(sqlite_url: str) -> None:
    """`busy` wrote in this hour of both weeks and now, `quiet` not now, `young` not two weeks ago."""
    clock = StandingClock()
    now = clock.at
    async with desk_hub(sqlite_url, clock=clock, is_digesting=False) as hub:
        async with hub.db.begin() as tx:
            for slug in ("busy", "quiet", "young"):
                tx.session.add(AccountRow(slug=slug, provider="sms.gateway", title=slug))
        for ago, accounts in (
            (14 * DAY, ("busy", "quiet")),
            (7 * DAY, ("busy", "quiet", "young")),
            (timedelta(), ("busy",)),
        ):
            clock.at = now - ago - MINUTE
            await hub.writer.write_all([message(account=account) for account in accounts])
        clock.at = now
        assert (await _measured(hub)).silent == ("quiet",)


async def test_the_first_entry_since_a_moment_is_found(sqlite_url: str) -> None:
    clock = StandingClock()
    start = clock.at
    async with desk_hub(sqlite_url, clock=clock, is_digesting=False) as hub:
        for _ in range(9):
            await hub.accept_sms("KC 101 3")
            clock.forward(MINUTE)
        async with hub.db.read() as session:
            found = [await first_since(session, start + step * MINUTE, 9) for step in (-1, 0, 3, 8, 99)]
    assert found == [1, 1, 4, 9, 10]


async def test_a_database_that_is_away_is_a_figure_too() -> None:
    db = Database("postgresql+asyncpg://nobody@127.0.0.1:9/nowhere")
    figures = await Measurer(db).measure(bus_is_up=False)
    await db.close()
    assert (figures.database_is_up, figures.bus_is_up) == (False, False)
