"""Messages in: whose they are, who has to look at them, and when the hub answers by itself."""

from datetime import timedelta

import pytest
from sqlmodel import col

from core.clock import now
from core.loop_guard import MOST_ANSWERS
from core.tables import Consent, Endpoint, File, OutboxItem, Party
from core.values import Attachment
from crm.tables import LoopGuard, PendingQuestion, ReadingRow
from tests.support.hub import LINE, SHOP_PHONE, WEDNESDAY, DeskHub

STRANGER = "+8613900099999"


async def test_an_unknown_sender_becomes_a_party_and_is_told_how_to_bind(hub: DeskHub) -> None:
    heard = await hub.sms("KC 101 3", STRANGER)
    party = await hub.owner(STRANGER)
    (row,) = await hub.rows(Party)
    assert (row.id, row.kind, row.name) == (party, "unknown", STRANGER)
    assert "号码未绑定" in heard.replies[0]
    assert await hub.figures(party) == {}


async def test_the_same_unknown_sender_stays_one_party(hub: DeskHub) -> None:
    await hub.sms("KC 101 3", STRANGER)
    await hub.sms("你好", STRANGER)
    assert len(await hub.rows(Party)) == 1


async def test_a_complaint_opens_a_numbered_case_with_due_times(hub: DeskHub) -> None:
    shop = await hub.shop()
    heard = await hub.sms("投诉 102 有几盒受潮")
    (case,) = await hub.cases()
    assert (case.id, case.number, case.kind, case.state) == (heard.seq, "T2611-0001", "complaint", "new")
    assert (case.party_id, case.title) == (shop, "102 有几盒受潮")
    assert case.due_first is not None
    assert case.due_solve is not None
    assert WEDNESDAY < case.due_first < case.due_solve
    assert "T2611-0001" in heard.replies[0]
    row = await hub.conversation(shop)
    assert (row.state, row.queue, row.case_id, row.due_at) == ("open", "complaint", case.id, case.due_first)
    assert (row.unread, row.waiting_since) == (1, WEDNESDAY)


async def test_cases_are_numbered_by_kind_and_month(hub: DeskHub) -> None:
    await hub.shop()
    for text in ("投诉 受潮", "建议 多给点陈列架", "投诉 断支"):
        await hub.sms(text)
    hub.clock.forward(timedelta(days=14))
    await hub.sms("投诉 漏气")
    assert [case.number for case in await hub.cases()] == [
        "T2611-0001",
        "J2611-0001",
        "T2611-0002",
        "T2612-0001",
    ]


async def test_strangers_may_complain_too(hub: DeskHub) -> None:
    await hub.sms("投诉 买到假烟", STRANGER)
    (case,) = await hub.cases()
    assert case.party_id == await hub.owner(STRANGER)


async def test_what_nobody_can_read_waits_for_a_person(hub: DeskHub) -> None:
    shop = await hub.shop()
    heard = await hub.sms("老板说让我问一下你们那个新的架子什么时候能送过来")
    row = await hub.conversation(shop)
    assert (row.state, row.queue) == ("open", "consult")
    assert "转人工" in heard.replies[0]


async def test_an_opt_out_is_stored_with_its_proof_and_an_opt_in_lifts_it(hub: DeskHub) -> None:
    await hub.shop()
    out = await hub.sms("TD")
    (consent,) = await hub.rows(Consent)
    assert (consent.value, consent.purpose, consent.granted, consent.seq) == (
        SHOP_PHONE,
        "marketing",
        False,
        out.seq,
    )
    assert "已退订" in out.replies[0]
    back = await hub.sms("DY")
    (consent,) = await hub.rows(Consent)
    assert (consent.granted, consent.seq) == (True, back.seq)


async def test_polite_words_are_kept_and_not_answered(hub: DeskHub) -> None:
    shop = await hub.shop()
    heard = await hub.sms("谢谢")
    assert heard.replies == ()
    assert (await hub.conversation(shop)).state == "auto"


async def test_a_number_never_binds_itself_but_asks_a_person_to_verify(hub: DeskHub) -> None:
    shop = await hub.shop("老街烟酒行", phone=None, licence="429901100025")
    heard = await hub.sms("绑定 429901100025", STRANGER)
    stranger = await hub.owner(STRANGER)
    assert stranger != shop
    assert "核实后生效" in heard.replies[0]
    row = await hub.conversation(stranger)
    assert (row.state, row.queue, row.flags["verify"]) == ("open", "binding", str(shop))
    (question,) = await hub.rows(PendingQuestion)
    assert question.document == {"party": str(shop)}


async def test_once_a_person_has_bound_the_number_its_reports_are_the_shops(hub: DeskHub) -> None:
    shop = await hub.shop("老街烟酒行", phone=None, licence="429901100025")
    await hub.sms("绑定 429901100025", STRANGER)
    stranger = await hub.owner(STRANGER)
    address = {"scheme": "tel", "value": STRANGER}
    seq = await hub.act("bind", party=stranger, address=address, to=str(shop), name="老街烟酒行")
    assert await hub.owner(STRANGER) == shop
    (endpoint,) = await hub.rows(Endpoint)
    assert (endpoint.evidence_seq, endpoint.verified_at) == (seq, WEDNESDAY)
    left = await hub.conversation(stranger)
    assert (left.state, "verify" in left.flags) == ("resolved", False)
    await hub.sms("KC 101 3", STRANGER)
    assert await hub.figures(shop) == {("101", "wt_stock"): (30, "accepted")}


async def test_a_licence_that_somebody_writes_for_is_not_offered_again(hub: DeskHub) -> None:
    await hub.shop()
    heard = await hub.sms("绑定 429901100017", STRANGER)
    assert "许可证号应为12位或已绑定" in heard.replies[0]
    assert await hub.rows(PendingQuestion) == []


async def test_two_machines_that_answer_each_other_are_stopped(hub: DeskHub) -> None:
    shop = await hub.shop()
    replies = [len((await hub.sms(f"KC 101 {number}")).replies) for number in range(MOST_ANSWERS + 2)]
    assert replies == [1] * MOST_ANSWERS + [0, 0]
    row = await hub.conversation(shop)
    assert (row.state, row.flags["loop"]) == ("open", True)
    (guard,) = await hub.rows(LoopGuard)
    assert guard.tripped_at == WEDNESDAY


async def test_after_a_pause_the_hub_answers_again(hub: DeskHub) -> None:
    await hub.shop()
    for number in range(MOST_ANSWERS + 1):
        await hub.sms(f"KC 101 {number}")
    hub.clock.forward(timedelta(minutes=11))
    assert len((await hub.sms("KC 101 50")).replies) == 1


async def test_a_message_that_arrives_a_day_late_is_stored_and_not_answered(hub: DeskHub) -> None:
    shop = await hub.shop()
    late = await hub.sms("KC 101 3", at=WEDNESDAY - timedelta(hours=25))
    assert late.replies == ()
    assert await hub.figures(shop) == {("101", "wt_stock"): (30, "accepted")}


async def test_an_answer_leaves_by_the_line_that_the_message_came_by(hub: DeskHub) -> None:
    await hub.shop()
    heard = await hub.sms("KC 101 3")
    (item,) = await hub.rows(OutboxItem)
    assert (item.account, item.scheme, item.address, item.lane) == (LINE, "tel", SHOP_PHONE, 1)
    assert (item.key, item.deadline) == (f"answer:{heard.seq}", WEDNESDAY + timedelta(hours=24))


async def test_free_words_soon_after_a_person_wrote_are_left_to_that_person(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("投诉 102 受潮")
    to = {"scheme": "tel", "value": SHOP_PHONE}
    await hub.act("reply", party=shop, text="请问是哪一批？", to=to, account=LINE, seen_seq=99)
    await hub.send_queued()
    words = await hub.sms("箱子上写的看不清楚，好像是上个月进的那一批货")
    yes = await hub.sms("是")
    assert words.replies == yes.replies == ()
    row = await hub.conversation(shop)
    assert (row.state, row.unread) == ("open", 2)
    assert await hub.rows(ReadingRow, col(ReadingRow.seq).in_([words.seq, yes.seq])) == []


async def test_a_report_is_a_report_also_in_a_dialogue(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("投诉 102 受潮")
    to = {"scheme": "tel", "value": SHOP_PHONE}
    await hub.act("reply", party=shop, text="请问是哪一批？", to=to, account=LINE, seen_seq=99)
    await hub.send_queued()
    heard = await hub.sms("KC 101 3")
    assert len(heard.replies) == 1
    assert await hub.figures(shop) == {("101", "wt_stock"): (30, "accepted")}


async def test_attachments_are_fetched_after_the_message_is_stored(hub: DeskHub) -> None:
    await hub.shop()
    picture = Attachment(name="photo.jpg", content_type="image/jpeg", url="https://provider.example/1")
    heard = await hub.sms("投诉 受潮", attachments=(picture,))
    (file,) = await hub.rows(File)
    assert (file.seq, file.name, file.state) == (heard.seq, "photo.jpg", "waiting")
    (item,) = await hub.rows(OutboxItem, OutboxItem.job == "fetch")
    assert item.payload["file"] == str(file.id)
    assert item.payload["url"] == "https://provider.example/1"


async def test_an_unreadable_message_waits_for_a_person(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.unreadable("charset")
    row = await hub.conversation(shop)
    assert (row.state, row.unread) == ("open", 1)


async def test_an_unreadable_request_without_a_sender_bothers_nobody(hub: DeskHub) -> None:
    await hub.unreadable("no sender", sender=None)
    assert await hub.rows(Party) == []


@pytest.mark.parametrize("text", ["", "   ", "\x00", "🚬" * 2000, "KC " * 3000])
async def test_whatever_a_phone_sends_is_digested(light_hub: DeskHub, text: str) -> None:
    shop = await light_hub.shop()
    await light_hub.sms(text)
    assert light_hub.consumer.parked == 0
    assert (await light_hub.conversation(shop)).last_seq > 0


async def test_spans_count_code_points_also_behind_signs_beyond_the_first_plane(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    text = "😀 KC 101 12条"
    await light_hub.sms(text)
    spans = [text[row.span_start : row.span_end] for row in await light_hub.observations(shop)]
    assert spans == ["12条"]


async def test_an_answer_does_not_wait_for_a_clock_that_was_fast(hub: DeskHub) -> None:
    await hub.shop()
    hub.clock.forward(timedelta(days=4_000))
    assert len((await hub.sms("KC 101 3")).replies) == 1
    (item,) = await hub.rows(OutboxItem)
    assert item.due_at <= now()
