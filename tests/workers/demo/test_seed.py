"""Loading the demo: all of it through the log, the first day's inbox as told, and nothing beside real data."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlmodel import col

from core.database import Database
from core.errors import Conflict
from core.log.verify import verify
from core.outbox import ItemState
from core.settings import Settings
from core.tables import AccountRow, ActOutcome, LogEntry, OutboxItem, Parked, Party, User
from crm.tables import Case, Conversation, Figure, Submission
from workers.assemble import Hub, assemble
from workers.demo import mark, seed
from workers.demo.mark import Mark
from workers.demo.scenes import Scenes
from workers.demo.story import Step


async def rows(hub: Hub, query: Any) -> list[Any]:
    async with hub.db.read() as session:
        return list((await session.execute(query)).all())


async def test_the_inbox_holds_about_a_dozen_open_items(hub: Hub) -> None:
    found = await rows(
        hub,
        select(Conversation, Party).where(
            col(Conversation.party_id) == col(Party.id), col(Conversation.state) == "open"
        ),
    )
    assert 11 <= len(found) <= 15
    now = datetime.now(UTC)
    overdue = [row for row, _ in found if row.due_at is not None and row.due_at < now]
    assert len(overdue) == 1
    assert overdue[0].assignee is not None
    assert sum("CL0917B" in row.preview for row, _ in found) == 6
    assert sum("held" in row.flags for row, _ in found) == 1
    assert sum("verify" in row.flags for row, _ in found) == 1
    assert Counter(row.queue for row, _ in found) >= Counter({"complaint": 7, "care": 2, "consult": 2})
    assert sum(party.kind == "unknown" for _, party in found) == 2


async def test_some_items_are_snoozed_or_settled_and_the_rest_went_by_itself(hub: Hub) -> None:
    states = dict(
        await rows(hub, select(col(Conversation.state), func.count()).group_by(col(Conversation.state)))
    )
    assert states["snoozed"] == 2
    assert states["resolved"] >= 4
    assert states["auto"] > 150


async def test_everything_came_through_the_log_and_nothing_was_refused(hub: Hub) -> None:
    assert await rows(hub, select(Parked)) == []
    assert await rows(hub, select(ActOutcome)) == []
    await hub.sealer.seal()
    verdict = await verify(hub.db)
    assert verdict.is_sound
    puts = await rows(hub, select(func.count()).select_from(LogEntry).where(col(LogEntry.kind) == "act"))
    assert puts[0][0] > 330


async def test_every_message_was_answered_at_its_time(hub: Hub) -> None:
    left = await rows(
        hub,
        select(OutboxItem).where(
            col(OutboxItem.job) == "send", col(OutboxItem.state) != ItemState.DONE.value
        ),
    )
    assert left == []
    out = await rows(
        hub,
        select(col(LogEntry.occurred_at)).where(
            col(LogEntry.direction) == "out", col(LogEntry.kind) == "message"
        ),
    )
    days = {row.occurred_at.date() for row in out}
    assert len(days) > 7


async def test_two_weeks_of_reports_became_figures(hub: Hub) -> None:
    periods = await rows(
        hub,
        select(col(Submission.period), func.count(func.distinct(col(Submission.party_id)))).group_by(
            col(Submission.period)
        ),
    )
    assert [count for _, count in periods] >= [150, 150]
    figures = await rows(hub, select(func.count()).select_from(Figure))
    assert figures[0][0] > 1500


async def test_the_cluster_of_complaints_names_one_batch_and_is_told_apart_as_fakes(hub: Hub) -> None:
    found = await rows(hub, select(Case).where(col(Case.title).contains("CL0917B")))
    assert len(found) == 6
    assert len({case.number for (case,) in found}) == 6


async def test_nobody_in_the_demo_has_a_password(hub: Hub) -> None:
    hashes = await rows(hub, select(col(User.password_hash)))
    assert len(hashes) == 6
    assert {row[0] for row in hashes} == {""}


async def test_loading_again_adds_nothing(settings: Settings) -> None:
    assert await mark.is_loaded(settings)
    await seed.load(settings, weeks=2)
    db = Database(settings.database_url)
    async with db.read() as session:
        before = await session.scalar(select(func.count()).select_from(LogEntry))
    await seed.load(settings, weeks=2)
    async with db.read() as session:
        assert await session.scalar(select(func.count()).select_from(LogEntry)) == before
    await db.close()


async def test_the_demo_refuses_to_load_beside_a_real_account(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, is_demo=True)
    async with assemble(settings) as hub, hub.db.begin() as tx:
        tx.session.add(AccountRow(slug="main", provider="sms.gateway", title="Main"))
    with pytest.raises(Conflict, match="SWITCHBOARD_DATA"):
        await seed.load(settings)
    with pytest.raises(Conflict, match="SWITCHBOARD_DATA"):
        await mark.is_loaded(settings)


async def test_a_load_that_was_interrupted_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path, is_demo=True)
    only_scenes(monkeypatch)
    played = 0

    def stop(done: int, of: int) -> None:
        nonlocal played
        played += 1
        if played == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await seed.load(settings, weeks=1, progress=stop)
    assert not await mark.is_loaded(settings)
    await seed.load(settings, weeks=1)
    assert await mark.is_loaded(settings)
    db = Database(settings.database_url)
    async with db.read() as session:
        cases = (await session.scalars(select(Case))).all()
        twice = Counter(case.title for case in cases if "CL0917B" in case.title)
        assert set(twice.values()) == {1}
        assert len(twice) == 6
        open_items = select(func.count()).select_from(Conversation).where(col(Conversation.state) == "open")
        assert 11 <= int(await session.scalar(open_items) or 0) <= 15
    await db.close()


def only_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the weekly reports, which take most of the time."""

    def told(self: object, began: datetime, weeks: int, reports: object, scenes: Scenes) -> list[Step]:
        return list(scenes.steps())

    monkeypatch.setattr(seed._Loader, "_told", told)


def test_the_mark_keeps_the_story_present() -> None:
    at = datetime(2026, 11, 22, 13, tzinfo=UTC)
    assert Mark(seed=1, weeks=6, began=at.isoformat()).present == at
