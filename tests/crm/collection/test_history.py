"""The history of a figure: who said what in which words, and what became of it."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import update
from sqlmodel import col

from core import parties
from core.tables import Content
from core.values import Address
from crm.collection.history import FigureHistory, history
from tests.support.hub import CLERK, SHOP_PHONE, DeskHub


async def told(hub: DeskHub, shop: UUID, sku: str = "101") -> FigureHistory:
    async with hub.db.read() as session:
        family = await parties.family(session, shop)
        return await history(session, family, "weekly_terminal", "2026-W47", sku, "wt_stock")


async def test_a_figure_names_the_message_and_the_characters_it_came_from(hub: DeskHub) -> None:
    shop = await hub.shop()
    text = "库存 楚岚硬 12条"
    heard = await hub.sms(text)
    (said,) = (await told(hub, shop)).history
    assert said.source is not None
    assert said.source.span is not None
    start, end = said.source.span
    assert (said.source.seq, said.source.text, text[start:end]) == (heard.seq, text, "12条")
    assert (said.source.sender, said.source.channel, said.source.at) == (
        Address("tel", SHOP_PHONE),
        "sms",
        said.at,
    )
    assert (said.state, said.by, said.said) == ("accepted", None, 120)


async def test_corrections_come_newest_first_with_person_and_reason(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 101 3")
    hub.clock.forward(timedelta(hours=1))
    seq = await hub.act(
        "figure.correct", party=shop, by=CLERK, observation=f"{report.seq}.0", value=40, text="电话核实"
    )
    found = await told(hub, shop)
    corrected, first = found.history
    assert found.current == corrected
    assert (corrected.state, corrected.by, corrected.reason, corrected.source) == (
        "corrected",
        CLERK,
        "电话核实",
        None,
    )
    assert (corrected.supersedes, corrected.at) == ((report.seq, 0), hub.clock())
    assert (first.state, first.settled_seq) == ("replaced", seq)


async def test_a_figure_that_was_only_rejected_has_a_history_and_no_present(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 158")
    await hub.sms("N")
    found = await told(hub, shop)
    assert found.current is None
    assert [said.state for said in found.history] == ["rejected"]


async def test_merged_shops_share_a_history(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3")
    second = await hub.shop("老街烟酒行", "+8613900000002", "429901100025")
    await hub.sms("KC 101 5", "+8613900000002")
    await hub.act("merge", party=second, into=str(shop))
    assert [said.value for said in (await told(hub, shop)).history] == [50, 30]


async def test_after_an_erasure_the_figure_stays_and_the_words_are_gone(hub: DeskHub) -> None:
    shop = await hub.shop()
    heard = await hub.sms("KC 101 3")
    async with hub.db.begin() as tx:
        await tx.write(
            update(Content)
            .where(col(Content.seq) == heard.seq)
            .values(text="", address="", erased_at=hub.clock())
        )
    (said,) = (await told(hub, shop)).history
    assert said.value == 30
    assert said.source is not None
    assert (said.source.text, said.source.span, said.source.sender.value) == (None, None, "")


async def test_nothing_said_is_an_empty_history(hub: DeskHub) -> None:
    shop = await hub.shop()
    assert await told(hub, shop) == FigureHistory(None, [])
