"""Outgoing messages and their states: forward only, whichever of provider and hub speaks first."""

from datetime import timedelta

import pytest

from core import leftovers
from core.errors import OutcomeUnknown, RecipientInvalid, RecipientOptedOut, SendError
from core.tables import Consent, Delivery, Line, OutboxItem, Sent
from core.values import DeliveryState
from tests.support.hub import AGENT, LINE, SHOP_PHONE, DeskHub

TO_SHOP = {"scheme": "tel", "value": SHOP_PHONE}


async def test_an_automatic_answer_stands_on_the_timeline_once_it_leaves(hub: DeskHub) -> None:
    shop = await hub.shop()
    heard = await hub.sms("KC 101 3")
    await hub.send_queued()
    (sent,) = await hub.rows(Sent)
    assert (sent.state, sent.external_id) == ("handed_over", "provider-1")
    assert [line.seq for line in await hub.rows(Line, Line.party_id == shop)] == [heard.seq, sent.seq]
    row = await hub.conversation(shop)
    assert (row.state, row.preview, row.answered_seq) == ("auto", "KC 101 3", 0)
    (message,) = hub.provider.sent
    assert message.text == heard.replies[0]


async def test_states_only_move_forward(hub: DeskHub) -> None:
    await hub.shop()
    await hub.sms("KC 101 3")
    await hub.send_queued()
    for state in (DeliveryState.DELIVERED, DeliveryState.SENT):
        await hub.status("provider-1", state)
    (sent,) = await hub.rows(Sent)
    (delivery,) = await hub.rows(Delivery)
    assert sent.state == delivery.state == "delivered"


async def test_a_handsets_receipt_outranks_an_earlier_failure(hub: DeskHub) -> None:
    await hub.shop()
    await hub.sms("KC 101 3")
    await hub.send_queued()
    for state in (DeliveryState.FAILED, DeliveryState.DELIVERED):
        await hub.status("provider-1", state)
    (sent,) = await hub.rows(Sent)
    assert sent.state == "delivered"


async def test_a_status_that_comes_before_our_own_note_is_not_lost(hub: DeskHub) -> None:
    await hub.shop()
    await hub.sms("KC 101 3")
    await hub.status("provider-1", DeliveryState.DELIVERED)
    assert await hub.rows(Sent) == []
    await hub.send_queued()
    (sent,) = await hub.rows(Sent)
    assert (sent.state, sent.external_id) == ("delivered", "provider-1")


async def test_a_status_without_the_recipient_finds_the_message_by_its_name(hub: DeskHub) -> None:
    await hub.shop()
    await hub.sms("KC 101 3")
    await hub.send_queued()
    await hub.status("provider-1", DeliveryState.DELIVERED, recipient=None)
    (sent,) = await hub.rows(Sent)
    assert sent.state == "delivered"


async def test_a_status_of_nothing_we_know_is_only_noted(hub: DeskHub) -> None:
    await hub.status("elsewhere", DeliveryState.DELIVERED)
    (delivery,) = await hub.rows(Delivery)
    assert (delivery.external_id, delivery.state) == ("elsewhere", "delivered")
    assert hub.consumer.parked == 0


async def test_a_persons_answer_ends_the_waiting_when_it_leaves(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("投诉 102 受潮")
    hub.clock.forward(timedelta(minutes=30))
    await hub.act("reply", party=shop, text="请问是哪一批？", to=TO_SHOP, account=LINE, seen_seq=99)
    assert (await hub.conversation(shop)).waiting_since is not None
    await hub.send_queued()
    row = await hub.conversation(shop)
    assert (row.waiting_since, row.unread, row.answered_by, row.preview) == (None, 0, AGENT, "请问是哪一批？")
    (case,) = await hub.cases()
    assert case.answered_at == hub.clock()
    assert row.due_at == case.due_solve


@pytest.mark.parametrize(
    ("error", "state"), [(RecipientInvalid("no such number"), "failed"), (OutcomeUnknown("lost"), "unknown")]
)
async def test_a_persons_message_that_nobody_got_calls_that_person_back(
    hub: DeskHub, error: RecipientInvalid | OutcomeUnknown, state: str
) -> None:
    shop = await hub.shop()
    await hub.sms("投诉 102 受潮")
    await hub.act("reply", party=shop, text="请问是哪一批？", to=TO_SHOP, account=LINE, seen_seq=99)
    hub.provider.error = error
    await hub.send_queued()
    row = await hub.conversation(shop)
    assert (row.state, row.unread, row.flags["send_failed"]) == ("open", 1, state)
    sent = (await hub.rows(Sent))[-1]
    assert (sent.state, sent.error) == (state, error.code)


@pytest.mark.parametrize("error", [RecipientInvalid("no such number"), OutcomeUnknown("no answer")])
async def test_a_message_that_a_person_lets_go_again_shows_what_became_of_it_then(
    hub: DeskHub, error: SendError
) -> None:
    shop = await hub.shop()
    heard = await hub.sms("请回电")
    await hub.send_queued()
    await hub.act("reply", party=shop, to=TO_SHOP, account=LINE, seen_seq=heard.seq, text="好的")
    hub.provider.error = error
    await hub.send_queued()
    assert "send_failed" in (await hub.conversation(shop)).flags
    hub.provider.error = None
    (failed,) = [row for row in await hub.rows(OutboxItem) if row.state in ("failed", "unknown")]
    async with hub.db.begin() as tx:
        await leftovers.offer_again(tx, failed.id, hub.clock(), even_if_it_may_have_arrived=True)
    await hub.send_queued()
    sent = (await hub.rows(Sent))[-1]
    assert (sent.outbox_id, sent.state, sent.error) == (failed.id, "handed_over", "")
    assert hub.provider.sent[-1].text == "好的"
    assert "send_failed" not in (await hub.conversation(shop)).flags


async def test_an_automatic_answer_that_fails_bothers_nobody(hub: DeskHub) -> None:
    shop = await hub.shop()
    await hub.sms("KC 101 3")
    hub.provider.error = RecipientInvalid("no such number")
    await hub.send_queued()
    assert (await hub.conversation(shop)).state == "auto"
    (item,) = await hub.rows(OutboxItem)
    assert (item.state, item.error) == ("failed", "recipient_invalid")


async def test_the_networks_word_that_we_are_refused_is_an_opt_out(hub: DeskHub) -> None:
    await hub.shop()
    await hub.sms("KC 101 3")
    hub.provider.error = RecipientOptedOut("refused by the network")
    await hub.send_queued()
    (consent,) = await hub.rows(Consent)
    assert (consent.value, consent.purpose, consent.granted) == (SHOP_PHONE, "marketing", False)
