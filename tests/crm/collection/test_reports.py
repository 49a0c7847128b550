"""Reports by SMS: figures with their words, corrections, withdrawals, doubts and the answers to them."""

from datetime import timedelta

import pytest

from core.tables import Line
from crm.receipts import receipt
from tests.support.hub import BEVERAGE, SHOP_PHONE, WEDNESDAY, DeskHub, desk_hub


async def test_a_report_becomes_figures_that_name_their_characters(hub: DeskHub) -> None:
    shop = await hub.shop()
    text = "库存 楚岚硬三条，楚岚软12条5包"
    heard = await hub.sms(text)
    assert await hub.figures(shop) == {
        ("101", "wt_stock"): (30, "accepted"),
        ("102", "wt_stock"): (125, "accepted"),
    }
    spans = {row.sku: text[row.span_start : row.span_end] for row in await hub.observations(shop)}
    assert spans == {"101": "三条", "102": "12条5包"}
    (reply,) = heard.replies
    assert "楚岚(软)12条5盒" in reply
    (submission,) = await hub.submissions(shop)
    assert (submission.seq, submission.period, submission.state) == (heard.seq, "2026-W47", "accepted")
    assert f"#{submission.receipt}" in reply


async def test_the_conversation_shows_the_report_and_needs_nobody(hub: DeskHub) -> None:
    shop = await hub.shop()
    heard = await hub.sms("KC 101 3")
    row = await hub.conversation(shop)
    assert (row.state, row.unread, row.preview, row.last_seq) == ("auto", 0, "KC 101 3", heard.seq)
    assert [line.seq for line in await hub.rows(Line, Line.party_id == shop)] == [heard.seq]


async def test_the_same_message_delivered_twice_is_one_report(hub: DeskHub) -> None:
    shop = await hub.shop()
    first = await hub.sms("KC 101 3", id="SM1")
    again = await hub.sms("KC 101 3", id="SM1")
    assert again.seq == first.seq
    assert len(await hub.submissions(shop)) == 1


async def test_the_same_words_sent_again_within_minutes_are_answered_and_not_stored_twice(
    hub: DeskHub,
) -> None:
    shop = await hub.shop()
    first = await hub.sms("KC 101 3")
    again = await hub.sms("KC 101 3")
    assert len(await hub.submissions(shop)) == 1
    (submission,) = await hub.submissions(shop)
    assert f"#{submission.receipt}" in first.replies[0]
    assert f"#{submission.receipt}" in again.replies[0]
    assert "无需重发" in again.replies[0]


async def test_a_report_after_another_one_is_a_report_of_its_own(hub: DeskHub) -> None:
    shop = await hub.shop()
    for text in ("KC 101 3", "KC 101 4", "KC 101 3"):
        await hub.sms(text)
    assert len(await hub.submissions(shop)) == 3
    assert await hub.figures(shop) == {("101", "wt_stock"): (30, "accepted")}


async def test_what_was_said_later_stands_even_when_it_arrives_first(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 4", at=WEDNESDAY)
    await hub.sms("KC 101 3", at=WEDNESDAY - timedelta(hours=2))
    assert await hub.figures(shop) == {("101", "wt_stock"): (40, "accepted")}


async def test_a_correction_replaces_the_named_products_and_keeps_what_stood_before(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 101 3;102 12")
    correction = await hub.sms("GZ 101 5")
    assert await hub.figures(shop) == {
        ("101", "wt_stock"): (50, "corrected"),
        ("102", "wt_stock"): (120, "accepted"),
    }
    before, after = (row for row in await hub.observations(shop) if row.sku == "101")
    assert (before.state, before.settled_seq) == ("replaced", correction.seq)
    assert (after.submission, after.supersedes_seq) == (report.seq, report.seq)
    (submission,) = await hub.submissions(shop)
    assert submission.state == "corrected"


async def test_a_correction_with_nothing_to_correct_changes_nothing(hub: DeskHub) -> None:
    shop = await hub.shop()
    heard = await hub.sms("GZ 101 5")
    assert await hub.figures(shop) == {}
    assert "没有可更正的记录" in heard.replies[0]


async def test_a_withdrawn_report_leaves_no_figures_but_stays_in_the_records(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 101 3;102 158")
    heard = await hub.sms("QX")
    assert f"#{receipt(report.seq)}已撤销" in heard.replies[0]
    assert await hub.figures(shop) == {}
    assert {row.state for row in await hub.observations(shop)} == {"withdrawn"}
    (submission,) = await hub.submissions(shop)
    assert submission.state == "withdrawn"
    assert (await hub.conversation(shop)).state == "auto"


async def test_a_new_report_after_a_withdrawal_stands(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3")
    await hub.sms("QX")
    await hub.sms("KC 101 4")
    assert await hub.figures(shop) == {("101", "wt_stock"): (40, "accepted")}


async def test_a_doubtful_figure_is_held_and_asked_back(hub: DeskHub) -> None:
    shop = await hub.shop()
    heard = await hub.sms("KC 101 3;103 158")
    assert await hub.figures(shop) == {
        ("101", "wt_stock"): (30, "accepted"),
        ("103", "wt_stock"): (1580, "held"),
    }
    assert "楚岚(细支)158条，对吗？是回Y，否回N" in heard.replies[0]
    row = await hub.conversation(shop)
    assert (row.state, row.queue, row.flags["held"]) == ("open", "terminal", 1)


async def test_a_yes_makes_the_held_figure_stand_and_lets_the_conversation_rest(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 103 158")
    yes = await hub.sms("Y")
    assert await hub.figures(shop) == {("103", "wt_stock"): (1580, "accepted")}
    (observation,) = await hub.observations(shop)
    assert observation.settled_seq == yes.seq
    row = await hub.conversation(shop)
    assert (row.state, row.unread, row.flags) == ("auto", 0, {})
    (submission,) = await hub.submissions(shop)
    assert submission.state == "accepted"


async def test_what_a_shop_confirmed_once_is_its_normal_and_not_asked_again(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 103 158")
    await hub.sms("Y")
    hub.clock.forward(timedelta(days=7))
    await hub.sms("KC 103 170")
    assert await hub.figures(shop, "2026-W48") == {("103", "wt_stock"): (1700, "accepted")}


async def test_a_no_drops_what_was_held(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 103 158")
    await hub.sms("N")
    assert await hub.figures(shop) == {}
    (observation,) = await hub.observations(shop)
    assert observation.state == "rejected"
    assert (await hub.conversation(shop)).state == "auto"


async def test_a_new_report_of_the_product_settles_the_doubt(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 103 158")
    await hub.sms("KC 103 15")
    assert await hub.figures(shop) == {("103", "wt_stock"): (150, "accepted")}
    assert [row.state for row in await hub.observations(shop)] == ["withdrawn", "accepted"]


async def test_a_correction_of_a_held_product_settles_the_doubt(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3;103 158")
    await hub.sms("GZ 103 15")
    assert (await hub.figures(shop))["103", "wt_stock"][0] == 150
    assert "held" not in {row.state for row in await hub.observations(shop)}


async def test_a_yes_that_waits_in_one_batch_with_its_report_still_finds_it(database_url: str) -> None:
    async with desk_hub(database_url, is_digesting=False) as filling:
        await filling.accept_sms("KC 101 3;103 158")
        await filling.accept_sms("Y")
        await filling.accept_sms("GZ 101 5")
    async with desk_hub(database_url) as hub:
        await hub.consumer.caught_up()
        party = await hub.owner("+8613900000001")
        # Nobody knew the sender, so nothing is stored; the three lines are there all the same.
        assert len(await hub.rows(Line, Line.party_id == party)) == 3


async def test_a_shop_and_its_first_messages_may_come_in_one_batch(database_url: str) -> None:
    async with desk_hub(database_url, is_digesting=False) as filling:
        shop = await filling.put_shop()
        for text in ("KC 101 3;103 158", "Y", "GZ 101 5"):
            await filling.accept_sms(text)
    async with desk_hub(database_url) as hub:
        await hub.consumer.caught_up()
        assert await hub.figures(shop) == {
            ("101", "wt_stock"): (50, "corrected"),
            ("103", "wt_stock"): (1580, "accepted"),
        }


async def test_a_price_that_fits_only_as_that_of_the_larger_unit_is_held(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("JG 101 100")
    (observation,) = await hub.observations(shop)
    assert (observation.state, observation.warn, observation.value) == ("held", "W_PRICE_UNIT", 1000)


async def test_out_of_stock_is_a_figure_of_zero(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("DH 101 102")
    assert await hub.figures(shop) == {
        ("101", "wt_stock"): (0, "accepted"),
        ("102", "wt_stock"): (0, "accepted"),
    }


@pytest.mark.parametrize(
    ("text", "period", "is_late"),
    [
        ("KC 101 3", "2026-W47", False),
        ("KC 昨天 101 3", "2026-W47", False),
        ("KC 11-15 101 3", "2026-W46", True),  # the week ended on Sunday, and Tuesday 18:00 is over
    ],
)
async def test_a_report_falls_into_the_period_of_the_day_it_is_about(
    light_hub: DeskHub, text: str, period: str, is_late: bool
) -> None:
    shop = await light_hub.shop()
    await light_hub.sms(text)
    (submission,) = await light_hub.submissions(shop)
    assert (submission.period, submission.is_late) == (period, is_late)


async def test_another_trade_reports_by_the_same_code(database_url: str) -> None:
    async with desk_hub(database_url, BEVERAGE) as hub:
        shop = await hub.party(
            "outlet",
            "河口小卖部",
            SHOP_PHONE,
            keys={"outlet_no": "100001"},
            fields={"coolers": 1},
            stage="open",
        )
        await hub.sms("盘点 5001 3箱")
        await hub.sms("撤")
        await hub.sms("盘点 5001 2提")
        assert await hub.figures(shop) == {("5001", "sv_bottles"): (12, "accepted")}
