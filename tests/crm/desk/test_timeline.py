"""The timeline: one stream of messages, acts and readings, with words, states and delivery."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from crm.desk import timeline
from tests.crm.desk.test_inbox import viewer
from tests.support.hub import AGENT, CLERK, LINE, SHOP_PHONE, DeskHub

TO_SHOP = {"scheme": "tel", "value": SHOP_PHONE}


async def lines(
    hub: DeskHub, party: UUID, before: int | None = None, limit: int = 50, **changes: Any
) -> list[dict[str, Any]]:
    async with hub.db.read() as session:
        found, _ = await timeline.page(session, viewer(hub, **changes), party, before, limit)
    return found


async def test_a_message_its_reading_and_the_answer_are_told_in_order(hub: DeskHub) -> None:
    shop = await hub.shop()
    text = "KC 101 3;103 158;999 4"
    await hub.sms(text)
    await hub.send_queued()
    asked, answered = await lines(hub, shop)
    assert (asked["kind"], asked["direction"], asked["from"], asked["text"]) == (
        "message",
        "in",
        SHOP_PHONE,
        text,
    )
    assert (answered["direction"], answered["to"], answered["automatic"]) == ("out", SHOP_PHONE, True)
    assert answered["delivery"] == {"state": "handed_over", "label": "Handed over", "error": None}
    reading = asked["reading"]
    assert (reading["intent"], reading["status"], reading["form"]) == ("report", "partial", "weekly_terminal")
    values = {item["sku"]: item["values"][0] for item in reading["items"]}
    assert values["101"]["display"] == "3条"
    assert text[slice(*values["103"]["span"])] == "158"
    assert (values["103"]["state"], values["103"]["warn_label"]) == ("held", "Outside the usual range")
    (error,) = reading["errors"]
    assert (error["code"], error["label"], text[slice(*error["span"])]) == (
        "E_PRODUCT",
        "Unknown product",
        "999",
    )


async def test_a_readings_figures_show_what_became_of_them(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3;103 158")
    await hub.sms("GZ 101 5")
    await hub.sms("N")
    report, *_ = await lines(hub, shop)
    states = {item["sku"]: item["values"][0]["state"] for item in report["reading"]["items"]}
    assert states == {"101": "corrected", "103": "rejected"}


async def test_acts_are_told_with_what_they_did(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 101 3")
    until = (hub.clock() + timedelta(hours=3)).isoformat()
    figure = {"form": "weekly_terminal", "sku": "101", "field": "wt_stock"}
    case = await hub.act("case.open", party=shop, kind="consult", text="问新品")
    acts: list[tuple[str, dict[str, Any]]] = [
        ("assign", {"user": str(CLERK)}),
        ("assign", {"user": None}),
        ("queue", {"queue": "complaint"}),
        ("snooze", {"until": until}),
        ("case.state", {"case": case, "kind": "consult", "state": "in_work"}),
        ("figure.correct", {**figure, "observation": f"{report.seq}.0", "value": 45, "text": "电话核实"}),
        ("note", {"text": "老板姓王"}),
        ("bind", {"address": TO_SHOP, "to": str(shop), "name": "顺发便民店"}),
    ]
    for name, detail in acts:
        await hub.act(name, party=shop, **detail)
    told = {line["seq"]: line for line in await lines(hub, shop) if line["act"]}
    assert [line["act"]["detail"] for line in told.values()] == [
        "Question 问新品",
        "沈芸",
        "nobody",
        "Complaints",
        "2026-11-18 15:00",
        "In work",
        "楚岚(硬) Stock 4条5盒 电话核实",
        "老板姓王",
        "顺发便民店",
    ]
    assert {line["kind"] for line in told.values()} == {"event", "note"}
    assert told[case]["case"]["number"] == "Z2611-0001"
    assert told[case]["author"] == {"id": str(AGENT), "name": "林小满"}


async def test_a_reply_is_one_line_the_message_itself(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.act("reply", party=shop, text="您好", to=TO_SHOP, account=LINE, seen_seq=0)
    await hub.send_queued()
    (line,) = await lines(hub, shop)
    assert (line["text"], line["automatic"], line["author"]["name"]) == ("您好", False, "林小满")


async def test_older_lines_come_page_by_page(hub: DeskHub) -> None:
    shop = await hub.shop()
    seqs = [await hub.act("note", party=shop, text=str(number)) for number in range(5)]
    async with hub.db.read() as session:
        newest, before = await timeline.page(session, viewer(hub), shop, None, 2)
        older, further = await timeline.page(session, viewer(hub), shop, before, 2)
        oldest, end = await timeline.page(session, viewer(hub), shop, further, 2)
    assert [line["seq"] for line in (*oldest, *older, *newest)] == seqs
    assert end is None


async def test_a_merged_partys_lines_stand_in_one_stream(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3")
    await hub.sms("投诉 受潮", "+8613900000002")
    second = await hub.owner("+8613900000002")
    await hub.act("merge", party=second, into=str(shop))
    told = await lines(hub, shop)
    assert [line["text"] for line in told[:2]] == ["KC 101 3", "投诉 受潮"]
    assert {line["party"] for line in told} == {str(shop)}


async def test_numbers_are_masked_for_whoever_may_not_see_them(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    await light_hub.sms("KC 101 3")
    (line,) = await lines(light_hub, shop, sees_numbers=False)
    assert line["from"] == "+86139****0001"


async def test_what_could_not_be_read_is_a_line_with_its_raw_bytes(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    await light_hub.unreadable("charset")
    (line,) = await lines(light_hub, shop)
    assert (line["kind"], line["text"], line["raw_available"]) == ("unreadable", None, True)
