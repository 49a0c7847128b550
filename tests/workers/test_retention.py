"""What has outlived its years is emptied and stays provable; what waits for a person stays."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import update
from sqlmodel import col

from core import files
from core.files import FileStore
from core.log.seals import Sealer
from core.log.verify import verify
from core.tables import Content, OutboxItem, Setting, SignIn
from core.values import EntryKind
from crm.erasure import crm_eraser
from tests.support.hub import DeskHub, StandingClock, desk_hub
from workers.retention import EMPTIED_TO, Retention

OTHER = "+8613900000077"
YEARS = timedelta(days=366 * 3)


def retention(hub: DeskHub, folder: Path, **years: int) -> Retention:
    rules = {EntryKind(kind): count for kind, count in years.items()}
    return Retention(hub.db, FileStore(folder / "files"), rules, (crm_eraser(hub.book),))


async def _said(hub: DeskHub) -> dict[int, tuple[str, bool]]:
    rows = await hub.rows(Content)
    return {row.seq: (row.text, row.erased_at is not None) for row in rows}


async def test_old_messages_are_emptied_and_new_ones_stay(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.retention._CHUNK", 2)
    clock = StandingClock()
    async with desk_hub(database_url, clock=clock) as hub:
        shop = await hub.shop()
        old = [
            (await hub.sms(text)).seq for text in ("KC 101 3;102 12条5包", "投诉 假烟烫嘴", "请转告老板娘")
        ]
        stored = await FileStore(tmp_path / "files").store(b"\x89PNG\r\n\x1a\nold", "image/png", "x.png")
        async with hub.db.begin() as tx:
            await files.record(tx, old[2], 0, stored)
        figures = await hub.figures(shop)
        clock.forward(YEARS)
        new = (await hub.sms("投诉 漏气")).seq
        while await Sealer(hub.db, clock).seal():
            pass
        rules = retention(hub, tmp_path, message=2)
        before = await rules.look(clock())
        report = await rules.apply(clock())
        said = await _said(hub)
        assert {seq: said[seq] for seq in old} == dict.fromkeys(old, ("", True))
        assert said[new] == ("投诉 漏气", False)
        assert before.entries == report.entries == {"message": 3}
        assert report.files == 1
        assert await hub.figures(shop) == figures != {}
        assert [case.title for case in await hub.cases()] == ["", "漏气"]
        assert (await verify(hub.db)).problems == ()
        [mark] = await hub.rows(Setting, col(Setting.key) == EMPTIED_TO)
        assert int(mark.value) == old[2]
        assert (await rules.apply(clock())).entries == {"message": 0}


async def test_acts_stay_where_only_messages_have_an_age(sqlite_url: str, tmp_path: Path) -> None:
    clock = StandingClock()
    async with desk_hub(sqlite_url, clock=clock) as hub:
        shop = await hub.shop()
        note = await hub.act("note", party=shop, text="记得打座机")
        clock.forward(YEARS)
        await hub.sms("你好")
        assert (await retention(hub, tmp_path, message=2).apply(clock())).entries == {"message": 0}
        assert (await _said(hub))[note] == ("记得打座机", False)
        assert (await retention(hub, tmp_path, act=2).apply(clock())).entries["act"] >= 1
        assert (await _said(hub))[note] == ("", True)


async def test_the_last_words_of_a_conversation_go_with_their_entry(sqlite_url: str, tmp_path: Path) -> None:
    clock = StandingClock()
    async with desk_hub(sqlite_url, clock=clock) as hub:
        shop = await hub.shop()
        await hub.sms("请转告老板娘")
        assert (await hub.conversation(shop)).preview
        clock.forward(YEARS)
        await hub.sms("你好", OTHER)
        await retention(hub, tmp_path, message=2).apply(clock())
        assert (await hub.conversation(shop)).preview == ""


async def test_without_rules_nothing_is_emptied(sqlite_url: str, tmp_path: Path) -> None:
    clock = StandingClock()
    async with desk_hub(sqlite_url, clock=clock) as hub:
        await hub.sms("你好")
        clock.forward(50 * YEARS)
        report = await retention(hub, tmp_path).apply(clock())
        assert report.entries == {}
        assert await hub.rows(Content, col(Content.erased_at).is_not(None)) == []


async def test_what_no_consumer_has_digested_yet_is_not_emptied(sqlite_url: str, tmp_path: Path) -> None:
    clock = StandingClock()
    async with desk_hub(sqlite_url, clock=clock, is_digesting=False) as hub:
        await hub.accept_sms("KC 101 3")
        clock.forward(YEARS)
        assert (await retention(hub, tmp_path, message=1).apply(clock())).entries == {"message": 0}


async def test_settled_rows_of_the_outbox_go_and_what_a_person_must_see_stays(
    database_url: str, tmp_path: Path
) -> None:
    clock = StandingClock()
    async with desk_hub(database_url, clock=clock) as hub:
        await hub.shop()
        await hub.sms("KC 101 3;102 12条5包")
        await hub.send_queued()
        await hub.sms("KC 101 4")
        async with hub.db.begin() as tx:
            await tx.session.execute(
                update(OutboxItem).where(col(OutboxItem.state) == "waiting").values(state="unknown")
            )
        clock.forward(timedelta(days=91))
        await hub.sms("KC 101 5")
        report = await retention(hub, tmp_path).apply(clock())
        assert sorted(row.state for row in await hub.rows(OutboxItem)) == ["unknown", "waiting"]
        assert report.outbox == 1


async def test_sign_ins_that_ended_long_ago_go(sqlite_url: str, tmp_path: Path) -> None:
    clock = StandingClock()
    async with desk_hub(sqlite_url, clock=clock) as hub:
        async with hub.db.begin() as tx:
            for days in (-8, -1, 1):
                at = clock() + timedelta(days=days)
                tx.session.add(
                    SignIn(
                        token_digest=bytes([days % 256]),
                        user_id=uuid4(),
                        csrf="",
                        created_at=at,
                        seen_at=at,
                        expires_at=at,
                    )
                )
        assert (await retention(hub, tmp_path).look(clock())).sign_ins == 1
        assert (await retention(hub, tmp_path).apply(clock())).sign_ins == 1
        assert len(await hub.rows(SignIn)) == 2
