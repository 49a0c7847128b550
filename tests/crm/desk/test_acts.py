"""What people do at the desk, in turn with the messages."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from core.tables import Consent, Line, OutboxItem, Party, PartyKey
from crm.tables import Person
from tests.support.hub import AGENT, CLERK, LINE, SHOP_PHONE, WEDNESDAY, DeskHub

TO_SHOP = {"scheme": "tel", "value": SHOP_PHONE}


async def refused(hub: DeskHub, seq: int) -> str:
    refusal = await hub.refusal(seq)
    return refusal.code if refusal else ""


async def test_a_reply_waits_in_the_outbox_in_front_of_everything_else(hub: DeskHub) -> None:
    shop = await hub.shop()
    asked = await hub.sms("投诉 102 受潮")
    seq = await hub.act(
        "reply", party=shop, text="请问是哪一批？", to=TO_SHOP, account=LINE, seen_seq=asked.seq
    )
    (item,) = await hub.rows(OutboxItem, OutboxItem.cause_seq == seq)
    assert (item.key, item.lane, item.address) == (f"reply:{seq}", 1, SHOP_PHONE)
    assert item.payload["by"] == str(AGENT)


async def test_a_second_reply_is_refused_when_a_colleague_has_answered_meanwhile(hub: DeskHub) -> None:
    shop = await hub.shop()
    asked = await hub.sms("投诉 102 受潮")
    reply: dict[str, Any] = {"to": TO_SHOP, "account": LINE, "seen_seq": asked.seq}
    await hub.act("reply", party=shop, text="请问是哪一批？", by=AGENT, **reply)
    await hub.send_queued()
    seq = await hub.act("reply", party=shop, text="您好", by=CLERK, **reply)
    assert await refused(hub, seq) == "answered_meanwhile"
    assert await hub.replies(seq) == []
    assert await hub.rows(Line, Line.seq == seq) == []


async def test_whoever_has_seen_the_answer_or_insists_may_reply(hub: DeskHub) -> None:
    shop = await hub.shop()
    asked = await hub.sms("投诉 102 受潮")
    reply: dict[str, Any] = {"to": TO_SHOP, "account": LINE}
    await hub.act("reply", party=shop, text="请问是哪一批？", by=AGENT, seen_seq=asked.seq, **reply)
    await hub.send_queued()
    answered = (await hub.conversation(shop)).answered_seq
    again = await hub.act("reply", party=shop, text="在吗", by=AGENT, seen_seq=asked.seq, **reply)
    seen = await hub.act("reply", party=shop, text="您好", by=CLERK, seen_seq=answered, **reply)
    forced = await hub.act("reply", party=shop, text="您好", by=CLERK, seen_seq=0, force=True, **reply)
    assert [await refused(hub, seq) for seq in (again, seen, forced)] == ["", "", ""]


async def test_nobody_is_written_to_at_an_address_of_somebody_else(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.shop("老街烟酒行", "+8613900000002", "429901100025")
    elsewhere = {"scheme": "tel", "value": "+8613900000002"}
    seq = await hub.act("reply", party=shop, text="您好", to=elsewhere, account=LINE, seen_seq=0)
    assert await refused(hub, seq) == "not_theirs"


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("reply", {"to": TO_SHOP, "account": LINE, "seen_seq": 0}),
        ("note", {}),
        ("bind", {"address": TO_SHOP, "to": str(uuid4())}),
    ],
)
async def test_an_act_about_nobody_is_refused(hub: DeskHub, name: str, detail: dict[str, Any]) -> None:
    seq = await hub.act(name, party=uuid4(), text="?", **detail)
    assert await refused(hub, seq) == "not_found"


async def test_a_note_is_a_line_and_changes_nothing_else(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3")
    seq = await hub.act("note", party=shop, text="老板姓王")
    assert seq in [line.seq for line in await hub.rows(Line, Line.party_id == shop)]
    row = await hub.conversation(shop)
    assert (row.state, row.preview) == ("auto", "KC 101 3")


async def test_who_is_given_a_conversation_finds_it_open(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3")
    await hub.act("assign", party=shop, user=str(CLERK))
    row = await hub.conversation(shop)
    assert (row.assignee, row.state) == (CLERK, "open")
    await hub.act("assign", party=shop, user=None)
    row = await hub.conversation(shop)
    assert (row.assignee, row.state) == (None, "open")


async def test_a_resolved_conversation_waits_for_nobody_and_can_be_reopened(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("老板说让我问一下你们那个新的架子什么时候能送过来")
    await hub.act("resolve", party=shop, disposition="answered")
    row = await hub.conversation(shop)
    assert (row.state, row.unread, row.waiting_since, row.due_at) == ("resolved", 0, None, None)
    await hub.act("reopen", party=shop)
    assert (await hub.conversation(shop)).state == "open"


async def test_a_new_question_opens_a_resolved_conversation_again(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("投诉 102 受潮")
    await hub.act("resolve", party=shop)
    hub.clock.forward(timedelta(hours=1))
    await hub.sms("投诉 断支")
    row = await hub.conversation(shop)
    assert (row.state, row.unread, row.waiting_since) == ("open", 1, hub.clock())


async def test_moving_a_conversation_to_another_queue_takes_it_from_whoever_had_it(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3")
    await hub.act("assign", party=shop, user=str(CLERK))
    await hub.act("queue", party=shop, queue="complaint")
    row = await hub.conversation(shop)
    assert (row.queue, row.assignee, row.state) == ("complaint", None, "open")


async def test_a_snooze_ends_by_an_act_of_the_hub(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("投诉 102 受潮")
    until = (WEDNESDAY + timedelta(hours=3)).isoformat()
    await hub.act("snooze", party=shop, until=until)
    row = await hub.conversation(shop)
    assert (row.state, row.snoozed_until) == ("snoozed", WEDNESDAY + timedelta(hours=3))
    (item,) = await hub.rows(OutboxItem, OutboxItem.job == "wake")
    assert (item.due_at, item.payload["party"]) == (WEDNESDAY + timedelta(hours=3), str(shop))
    await hub.act("wake", party=shop, until=until)
    row = await hub.conversation(shop)
    assert (row.state, row.snoozed_until) == ("open", None)


async def test_the_end_of_a_snooze_that_was_changed_meanwhile_wakes_nobody(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("投诉 102 受潮")
    first, second = ((WEDNESDAY + timedelta(hours=hours)).isoformat() for hours in (3, 6))
    await hub.act("snooze", party=shop, until=first)
    await hub.act("snooze", party=shop, until=second)
    seq = await hub.act("wake", party=shop, until=first)
    assert (await hub.conversation(shop)).state == "snoozed"
    assert await hub.rows(Line, Line.seq == seq) == []


async def test_a_message_wakes_a_snoozed_conversation(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.act("snooze", party=shop, until=(WEDNESDAY + timedelta(days=1)).isoformat())
    await hub.sms("投诉 102 受潮")
    row = await hub.conversation(shop)
    assert (row.state, row.snoozed_until) == ("open", None)


async def test_a_person_records_a_consent_given_by_word_of_mouth(hub: DeskHub) -> None:
    shop = await hub.shop()
    seq = await hub.act("consent", party=shop, address=TO_SHOP, purpose="marketing", granted=True)
    (consent,) = await hub.rows(Consent)
    assert (consent.value, consent.granted, consent.seq) == (SHOP_PHONE, True, seq)


async def test_a_party_is_put_with_its_numbers_addresses_and_persons(hub: DeskHub) -> None:
    person = {"id": str(uuid4()), "name": "王秀兰", "post": "owner"}
    shop = await hub.shop(persons=[person])
    (row,) = await hub.rows(Party)
    assert (row.id, row.name, row.kind, row.territory, row.stage) == (
        shop, "顺发便民店", "retailer", "429901", "active",
    )  # fmt: skip
    (key,) = await hub.rows(PartyKey)
    assert (key.system, key.key, key.party_id) == ("licence", "429901100017", shop)
    assert [each.name for each in await hub.rows(Person)] == ["王秀兰"]


async def test_putting_a_party_again_changes_it(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.act("party.put", party=shop, kind="retailer", name="顺发超市", fields={"tier": 5})
    (row,) = await hub.rows(Party)
    assert (row.name, row.fields, row.row_version) == ("顺发超市", {"tier": 5}, 3)


async def test_acts_for_the_record_have_no_effect_here(hub: DeskHub) -> None:
    shop = await hub.shop()
    before = await hub.rows(Party)
    seq = await hub.act("blueprint.published", party=shop, version=2)
    assert await refused(hub, seq) == ""
    assert [row.row_version for row in await hub.rows(Party)] == [row.row_version for row in before]


async def test_an_act_that_nobody_knows_is_parked(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.act("no.such.act", party=shop)
    assert hub.consumer.parked == 1
