"""The inbox: what stands in which view, in which order, over pages, with counts and marks."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from core.errors import BadInput
from crm.desk import inbox
from crm.desk.inbox import View, belongs
from crm.desk.viewer import Viewer
from tests.support.hub import AGENT, CLERK, LINE, SHOP_PHONE, DeskHub

STRANGER = "+8613900099999"


def viewer(hub: DeskHub, **changes: Any) -> Viewer:
    fields: dict[str, Any] = {
        "user_id": AGENT, "locale": "en", "published": hub.published, "sees_numbers": True,
        "people": {AGENT: "林小满", CLERK: "沈芸"},
    }  # fmt: skip
    return Viewer(**{**fields, **changes})


async def looked(
    hub: DeskHub, view: View = View.OPEN, queue: str = "", after: str = "", limit: int = 50, **changes: Any
) -> tuple[list[dict[str, Any]], str | None]:
    async with hub.db.read() as session:
        return await inbox.page(session, viewer(hub, **changes), view, queue, after, limit, hub.clock())


async def names(hub: DeskHub, view: View, queue: str = "") -> list[str]:
    rows, _ = await looked(hub, view, queue)
    return [row["name"] for row in rows]


async def counts(hub: DeskHub, user: UUID = AGENT) -> dict[str, Any]:
    async with hub.db.read() as session:
        return (await inbox.count_table(session)).for_user(user)


async def morning(hub: DeskHub) -> dict[str, UUID]:
    """A report, a complaint, a question, a snoozed one and a resolved one, a minute apart."""
    shops = {}
    texts = {
        "报": "KC 101 3",
        "诉": "投诉 102 受潮",
        "问": "咨询 新品什么时候到",
        "睡": "投诉 断支",
        "完": "投诉 服务态度差",
    }
    for number, (name, text) in enumerate(texts.items(), start=1):
        phone = f"+861390000000{number}"
        shops[name] = await hub.shop(name, phone, f"42990110000{number}")
        await hub.sms(text, phone)
        hub.clock.forward(timedelta(minutes=1))
    await hub.act("snooze", party=shops["睡"], until=(hub.clock() + timedelta(hours=3)).isoformat())
    await hub.act("resolve", party=shops["完"])
    await hub.act("assign", party=shops["问"], user=str(AGENT))
    return shops


async def test_each_view_shows_its_own(hub: DeskHub) -> None:
    await morning(hub)
    assert {view.value: set(await names(hub, view)) for view in View} == {
        "open": {"诉", "问"},
        "mine": {"问"},
        "unassigned": {"诉"},
        "snoozed": {"睡"},
        "resolved": {"完"},
        "all": {"报", "诉", "问", "睡", "完"},
    }


async def test_counts_agree_with_the_views(hub: DeskHub) -> None:
    shops = await morning(hub)
    await hub.act("merge", party=shops["完"], into=str(shops["报"]))
    found = await counts(hub)
    assert found["views"] == {view.value: len(await names(hub, view)) for view in View}
    assert found["queues"] == {"complaint": 1, "consult": 1}
    assert (await counts(hub, CLERK))["views"]["mine"] == 0


async def test_what_is_due_first_comes_first_and_everything_else_newest_first(hub: DeskHub) -> None:
    await morning(hub)
    rows, _ = await looked(hub, View.OPEN)
    due = [row["due_at"] for row in rows]
    assert due == sorted(due)
    assert await names(hub, View.ALL) == ["完", "睡", "问", "诉", "报"]


@pytest.mark.parametrize("view", [View.OPEN, View.ALL])
async def test_pages_hold_every_conversation_once(hub: DeskHub, view: View) -> None:
    for number in range(5):
        await hub.sms("投诉 受潮", f"+861390000100{number}")
    seen = []
    after = ""
    for _ in range(3):
        rows, following = await looked(hub, view, after=after, limit=2)
        seen += [row["party"] for row in rows]
        after = following or ""
    assert len(seen) == len(set(seen)) == 5
    assert after == ""


async def test_a_queue_shows_its_own(light_hub: DeskHub) -> None:
    await morning(light_hub)
    assert await names(light_hub, View.OPEN, "complaint") == ["诉"]
    assert await names(light_hub, View.OPEN, "suggest") == []


@pytest.mark.parametrize("after", ["rubbish", "e30", "WyJ4Il0", "WzFd", "WzEsMl0", "WzEsMiwgIngiXQ"])
async def test_a_cursor_that_is_not_of_this_view_is_refused(light_hub: DeskHub, after: str) -> None:
    with pytest.raises(BadInput, match="first page"):
        await looked(light_hub, View.OPEN, after=after)


async def test_a_row_says_what_the_list_shows(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    heard = await light_hub.sms("投诉 102 有几盒受潮")
    await light_hub.act("assign", party=shop, user=str(CLERK))
    (row,), _ = await looked(light_hub)
    (case,) = await light_hub.cases()
    assert (row["party"], row["name"], row["kind"], row["territory"]) == (
        str(shop),
        "顺发便民店",
        "retailer",
        "Qingdu",
    )
    assert (row["queue"], row["state"], row["assignee"]) == (
        "complaint",
        "open",
        {"id": str(CLERK), "name": "沈芸"},
    )
    assert (row["last_seq"], row["preview"], row["channel"], row["direction"]) == (
        heard.seq, "投诉 102 有几盒受潮", "sms", "in",
    )  # fmt: skip
    assert row["case"]["number"] == case.number
    assert row["badges"] == [{"code": "case", "label": "Quality", "tone": "indigo"}]
    assert row["waiting_since"] == "2026-11-18T04:00:00Z"


async def test_what_stands_out_is_marked_the_most_urgent_first(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    await light_hub.sms("投诉 买到假烟")
    await light_hub.sms("KC 103 158")
    light_hub.clock.forward(timedelta(days=3))
    await light_hub.sms("绑定 429901100099", STRANGER)
    marks = {
        row["party"]: [badge["code"] for badge in row["badges"]]
        for row in (await looked(light_hub, View.ALL))[0]
    }
    assert marks[str(shop)] == ["overdue", "case", "held"]
    assert marks[str(await light_hub.owner(STRANGER))][-1] == "unknown"


async def test_an_unknown_number_is_masked_for_whoever_may_not_see_it(light_hub: DeskHub) -> None:
    await light_hub.sms("投诉 受潮", STRANGER)
    (whole,), _ = await looked(light_hub)
    (masked,), _ = await looked(light_hub, sees_numbers=False)
    assert (whole["name"], masked["name"]) == (STRANGER, "+86139****9999")


async def test_a_binding_to_verify_a_loop_and_a_failed_reply_are_marked(light_hub: DeskHub) -> None:
    await light_hub.shop("老街烟酒行", None, "429901100025")
    await light_hub.sms("绑定 429901100025", STRANGER)
    (row,), _ = await looked(light_hub)
    assert [badge["code"] for badge in row["badges"]] == ["verify", "unknown"]


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("user", [AGENT, CLERK])
async def test_live_rows_belong_to_a_view_by_the_same_rule_as_the_query(
    light_hub: DeskHub, view: View, user: UUID
) -> None:
    await morning(light_hub)
    rows, _ = await looked(light_hub, view, user_id=user)
    async with light_hub.db.read() as session:
        shops = [UUID(row["party"]) for row in (await looked(light_hub, View.ALL))[0]]
        live = await inbox.rows_of(session, viewer(light_hub), shops, light_hub.clock())
    assert {row["party"] for row in rows} == {
        shown["party"] for conversation, shown in live if belongs(conversation, view, "", user)
    }
    assert not any(belongs(conversation, view, "elsewhere", user) for conversation, _ in live)


async def test_a_reply_that_failed_is_marked(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    await light_hub.sms("投诉 受潮")
    to = {"scheme": "tel", "value": SHOP_PHONE}
    await light_hub.act("reply", party=shop, text="您好", to=to, account=LINE, seen_seq=99)
    light_hub.provider.fail()
    await light_hub.send_queued()
    (row,), _ = await looked(light_hub)
    assert row["badges"][0]["code"] == "send_failed"
