"""Merging two parties and undoing it: nothing is rewritten, so everything comes back."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from core import parties
from core.tables import Endpoint, Line, Merge, Party
from crm.tables import Case, Conversation, Figure, Observation, Submission
from tests.support.hub import LINE, DeskHub

SECOND_PHONE = "+8613900000002"
KEPT = (Endpoint, Line, Figure, Observation, Submission, Case)


async def snapshot(hub: DeskHub, *kinds: Any) -> list[list[dict[str, Any]]]:
    return [[row.model_dump() for row in await hub.rows(kind)] for kind in kinds]


async def two_shops(hub: DeskHub) -> tuple[UUID, UUID]:
    known = await hub.shop()
    await hub.sms("KC 101 3")
    await hub.sms("投诉 102 受潮", SECOND_PHONE)
    return known, await hub.owner(SECOND_PHONE)


async def test_the_merged_partys_messages_go_on_in_the_conversation_that_stands_for_it(hub: DeskHub) -> None:
    known, second = await two_shops(hub)
    await hub.act("merge", party=second, into=str(known), reason="同一家店")
    row = await hub.conversation(known)
    assert (row.state, row.queue, row.unread, row.preview) == ("open", "complaint", 1, "投诉 102 受潮")
    assert (await hub.conversation(second)).state == "resolved"
    await hub.sms("投诉 断支", SECOND_PHONE)
    assert (await hub.conversation(known)).preview == "投诉 断支"
    assert (await hub.conversation(second)).state == "resolved"


async def test_lines_stay_with_the_party_they_were_written_for(hub: DeskHub) -> None:
    known, second = await two_shops(hub)
    before = await lines(hub)
    seq = await hub.act("merge", party=second, into=str(known))
    assert [line for line in await lines(hub) if line[1] != seq] == before
    async with hub.db.read() as session:
        assert set(await parties.family(session, known)) == {known, second}
        assert (await parties.root(session, second)).id == known


async def lines(hub: DeskHub) -> Sequence[tuple[UUID, int]]:
    return [(line.party_id, line.seq) for line in await hub.rows(Line)]


async def test_undoing_a_merge_restores_everything(hub: DeskHub) -> None:
    known, second = await two_shops(hub)
    rows = await snapshot(hub, *KEPT)
    desk = await conversations(hub)
    merge = await hub.act("merge", party=second, into=str(known), reason="看错了")
    undo = await hub.act("unmerge", party=known, act_seq=merge)
    assert hub.consumer.parked == 0
    assert await hub.refusal(undo) is None
    after = await snapshot(hub, *KEPT)
    # The acts themselves are lines now; all else is as it was.
    after[1] = [line for line in after[1] if line["seq"] not in (merge, undo)]
    assert after == rows
    assert await conversations(hub) == desk
    assert [party.merged_into for party in await hub.rows(Party)] == [None, None]
    (done,) = await hub.rows(Merge)
    assert (done.act_seq, done.undone_seq, done.reason) == (merge, undo, "看错了")


async def conversations(hub: DeskHub) -> list[dict[str, Any]]:
    """The desk's rows without the counters that every act moves."""
    return [row.model_dump(exclude={"version", "changed_seq"}) for row in await hub.rows(Conversation)]


async def test_after_an_undone_merge_each_party_has_its_own_messages_again(hub: DeskHub) -> None:
    known, second = await two_shops(hub)
    merge = await hub.act("merge", party=second, into=str(known))
    await hub.sms("投诉 断支", SECOND_PHONE)
    await hub.act("unmerge", party=known, act_seq=merge)
    await hub.sms("投诉 漏气", SECOND_PHONE)
    row = await hub.conversation(second)
    assert (row.state, row.preview) == ("open", "投诉 漏气")
    assert (await hub.conversation(known)).preview != "投诉 漏气"


async def test_what_came_during_the_merge_stays_open_after_it_is_undone(hub: DeskHub) -> None:
    known, second = await two_shops(hub)
    merge = await hub.act("merge", party=second, into=str(known))
    await hub.sms("投诉 价格太贵")
    await hub.act("unmerge", party=known, act_seq=merge)
    row = await hub.conversation(known)
    assert (row.state, row.preview) == ("open", "投诉 价格太贵")


async def test_a_reply_may_go_to_an_address_of_the_merged_party(hub: DeskHub) -> None:
    known, second = await two_shops(hub)
    await hub.act("merge", party=second, into=str(known))
    to = {"scheme": "tel", "value": SECOND_PHONE}
    seq = await hub.act("reply", party=known, text="您好", to=to, account=LINE, seen_seq=0)
    assert await hub.refusal(seq) is None
    await hub.send_queued()
    assert (await hub.conversation(known)).preview == "您好"


async def test_a_party_is_not_merged_twice_or_into_itself(hub: DeskHub) -> None:
    known, second = await two_shops(hub)
    await hub.act("merge", party=second, into=str(known))
    for party, into in ((second, known), (known, known), (known, second)):
        refusal = await hub.refusal(await hub.act("merge", party=party, into=str(into)))
        assert refusal is not None
        assert refusal.code == "conflict"
    assert len(await hub.rows(Merge)) == 1


async def test_a_merge_is_undone_once(hub: DeskHub) -> None:
    known, second = await two_shops(hub)
    merge = await hub.act("merge", party=second, into=str(known))
    await hub.act("unmerge", party=known, act_seq=merge)
    refusal = await hub.refusal(await hub.act("unmerge", party=known, act_seq=merge))
    assert refusal is not None
    assert refusal.code == "conflict"


async def test_merges_form_chains_that_come_apart_one_by_one(hub: DeskHub) -> None:
    known, second = await two_shops(hub)
    third = await hub.party("retailer", "城南超市", "+8613900000003")
    first_merge = await hub.act("merge", party=second, into=str(known))
    await hub.act("merge", party=known, into=str(third))
    async with hub.db.read() as session:
        assert (await parties.root(session, second)).id == third
    await hub.act("unmerge", party=third, act_seq=first_merge)
    async with hub.db.read() as session:
        assert (await parties.root(session, second)).id == second
        assert (await parties.root(session, known)).id == third
