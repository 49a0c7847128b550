"""What could not be sent or read, for administrators: paged, tried again or put aside, and each of it in the log."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col

from core.consumers import ActRefused
from core.database import Tx
from core.log.entries import Logged
from core.outbox import ItemState, Lane
from core.settings import Settings
from core.tables import OutboxItem, Parked, Party
from core.values import Address
from crm.blueprint.publishing import publish
from tests.support.hub import TOBACCO, StandingClock, blueprint_of
from tests.support.outbox import put
from tests.workers.web.conftest import Office
from workers.administration import outbox as mending
from workers.administration.acts import Actor
from workers.assemble import assemble, running
from workers.roles import Role


async def left(
    office: Office, state: ItemState, *texts: str, error: str = "provider_refused", **more: Any
) -> list[str]:
    """Items that ended in this state; their ids, the newest first."""
    later = office.clock() + timedelta(hours=1)
    await put(office.hub.db, *texts, lane=Lane.REPLY, account="sms-main", due_at=later, **more)
    async with office.hub.db.begin() as tx:
        rows = (await tx.session.execute(_sends())).scalars().all()
        ours = [row for row in rows if row.payload.get("text") in texts]
        for row in ours:
            row.state, row.error, row.attempts = state.value, error, 3
    return [str(row.id) for row in ours]


def _sends() -> Any:
    return select(OutboxItem).where(col(OutboxItem.job) == "send").order_by(col(OutboxItem.id).desc())


async def row_of(office: Office, id: str) -> OutboxItem:
    async with office.hub.db.read() as session:
        rows: Sequence[OutboxItem] = (await session.execute(_sends())).scalars().all()
    return next(row for row in rows if str(row.id) == id)


async def newest_act(office: Office) -> tuple[str, dict[str, str]]:
    line = (await office.acts())[0]
    return line["title"], {fact["label"]: fact["value"] for fact in line["facts"]}


async def test_items_are_listed_by_state_and_page_without_what_they_say(office: Office) -> None:
    failed = await left(office, ItemState.FAILED, *(f"failed {number}" for number in range(5)))
    await left(office, ItemState.UNKNOWN, "unknown", error="outcome_unknown")
    first = await office.get("outbox", limit=3)
    rest = await office.get("outbox", limit=3, before=first["next"])
    assert [each["id"] for each in (*first["items"], *rest["items"])] == failed
    assert rest["next"] is None
    assert (first["counts"]["failed"], first["counts"]["unknown"]) == (5, 1)
    shown = first["items"][0]
    assert (shown["lane"], shown["error"], shown["error_label"]) == (
        "reply", "provider_refused", "Provider refused the message",
    )  # fmt: skip
    assert "failed 4" not in str(first)
    assert "13800000001" not in str(first)
    (unknown,) = (await office.get("outbox", state="unknown"))["items"]
    assert unknown["state"] == "unknown"


async def test_an_item_that_failed_takes_its_turn_again_as_if_it_were_new(office: Office) -> None:
    deadline = office.clock() - timedelta(hours=1)
    (id,) = await left(office, ItemState.FAILED, "once more", deadline=deadline)
    await office.hub.jobs.stop()  # nobody takes it before we look
    assert await office.post(f"outbox/{id}/retry") == (200, {})
    row = await row_of(office, id)
    assert (row.state, row.attempts, row.error, row.deadline) == ("waiting", 0, "", None)
    assert row.due_at == office.clock()
    act, facts = await newest_act(office)
    assert act == "Tried again by hand"
    assert (facts["Job"], facts["Line"]) == ("send", "sms-main")


async def test_one_that_may_have_arrived_is_sent_again_only_when_that_is_said(office: Office) -> None:
    (id,) = await left(office, ItemState.UNKNOWN, "perhaps")
    await office.hub.jobs.stop()
    status, told = await office.post(f"outbox/{id}/retry")
    assert (status, told["error"]["code"]) == (409, "conflict")
    assert (await row_of(office, id)).state == "unknown"
    assert await office.post(f"outbox/{id}/retry", even_if_it_may_have_arrived=True) == (200, {})
    assert (await row_of(office, id)).state == "waiting"


async def test_an_item_that_is_put_aside_says_who_did_it(office: Office) -> None:
    (id,) = await left(office, ItemState.FAILED, "never mind")
    assert await office.post(f"outbox/{id}/discard") == (200, {})
    row = await row_of(office, id)
    assert row.state == "cancelled"
    assert row.error == f"provider_refused; discarded by {office.user.id} at {office.clock().isoformat()}"  # type: ignore[union-attr]
    assert (await newest_act(office))[0] == "Put aside by hand"
    assert [each["id"] for each in (await office.get("outbox", state="cancelled"))["items"]] == [id]


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize("state", [ItemState.WAITING, ItemState.DONE, ItemState.CANCELLED])
async def test_what_needs_nobody_is_left_alone(office: Office, verb: str, state: ItemState) -> None:
    (id,) = await left(office, state, "fine")
    assert (await office.post(f"outbox/{id}/{verb}"))[0] == 409
    assert (await row_of(office, id)).state == state


async def test_a_message_whose_content_was_erased_is_not_sent_again(office: Office) -> None:
    (id,) = await left(office, ItemState.UNKNOWN, "gone")
    async with office.hub.db.begin() as tx:
        row = await tx.session.get(OutboxItem, (await row_of(office, id)).id)
        assert row is not None
        row.payload = {}
    assert (await office.post(f"outbox/{id}/retry", even_if_it_may_have_arrived=True))[0] == 409


@pytest.mark.parametrize(
    "path",
    [
        "outbox/00000000-0000-4000-8000-00000000000f/retry",
        "outbox/x/discard",
        "parked/crm/99/discard",
        "parked/x/1/retry",
        "parked/crm/x/retry",
    ],
)
async def test_what_there_is_not_cannot_be_changed(office: Office, path: str) -> None:
    assert (await office.post(path))[0] == 404


class Fickle:
    """The CRM's consumer, which cannot digest some acts until it is repaired."""

    def __init__(self, office: Office) -> None:
        self.inner = office.hub.crm.consumer  # type: ignore[attr-defined]
        self.name = self.inner.name
        self.error: Exception | None = ValueError("no such form")
        self.taken: list[int] = []
        office.hub.crm.consumer = self  # type: ignore[attr-defined]

    async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None:
        for entry in batch:
            if entry.data.get("act") == "strange":
                if self.error is not None:
                    raise self.error
                self.taken.append(entry.seq)
            else:
                await self.inner.digest(tx, [entry])


async def parked(office: Office) -> tuple[Fickle, int]:
    """An entry that could not be digested."""
    fickle = Fickle(office)
    accepted = await office.hub.intake.act(
        "strange", by="", about=Address("tel", "+8613900000001"), key=str(uuid4()), detail={}
    )
    await office.hub.crm.caught_up()
    (entry,) = (await office.get("parked"))["entries"]
    assert (entry["consumer"], entry["seq"], entry["act"]) == ("crm", accepted.seq, "strange")
    assert entry["error"] == "ValueError: no such form"
    return fickle, accepted.seq


async def test_an_entry_that_can_be_read_after_all_is_parked_no_more(office: Office) -> None:
    fickle, seq = await parked(office)
    fickle.error = None
    assert await office.post(f"parked/crm/{seq}/retry") == (200, {})
    assert fickle.taken == [seq]
    assert (await office.get("parked"))["entries"] == []
    assert (await newest_act(office))[0] == "Read again by hand"


async def test_an_entry_that_fails_again_stays_with_its_new_reason(office: Office) -> None:
    fickle, seq = await parked(office)
    fickle.error = KeyError("product")
    status, told = await office.post(f"parked/crm/{seq}/retry")
    assert (status, told["error"]["code"]) == (409, "still_parked")
    (entry,) = (await office.get("parked"))["entries"]
    assert entry["error"] == "KeyError: 'product'"


async def test_an_act_that_fits_no_more_is_refused_and_parked_no_more(office: Office) -> None:
    fickle, seq = await parked(office)
    fickle.error = ActRefused("too_late", "The time for this step is over.")
    assert await office.post(f"parked/crm/{seq}/retry") == (200, {})
    assert (await office.get("parked"))["entries"] == []


async def test_an_entry_that_is_put_aside_stays_in_the_log(office: Office) -> None:
    _, seq = await parked(office)
    assert await office.post(f"parked/crm/{seq}/discard") == (200, {})
    assert (await office.get("parked"))["entries"] == []
    act, facts = await newest_act(office)
    assert (act, facts["Consumer"], facts["Error"]) == ("Put aside unread", "crm", "ValueError: no such form")


async def test_parked_entries_are_paged(office: Office) -> None:
    async with office.hub.db.begin() as tx:
        for seq in range(1, 6):
            row = Parked(consumer="crm", seq=seq, error="ValueError: 坏", parked_at=office.clock())
            tx.session.add(row)
    first = await office.get("parked", limit=3)
    rest = await office.get("parked", limit=3, before=first["next"])
    assert [each["seq"] for each in (*first["entries"], *rest["entries"])] == [5, 4, 3, 2, 1]
    assert rest["next"] is None


async def test_a_process_that_does_not_digest_lets_an_entry_be_read_again_too(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path / "data", database=postgres_url, redis=redis_url)
    clock = StandingClock()
    async with assemble(settings, clock, frozenset({Role.WEB})) as hub:
        async with hub.db.begin() as tx:
            await publish(tx, blueprint_of(TOBACCO), author="test", approved_by="test", note="", at=clock())
        await hub.book.load(hub.db)
        async with running(hub):
            id = str(uuid4())
            shop = Address("tel", "+8613900000001")
            detail = {"party": id, "kind": "retailer", "name": "顺发便民店"}
            accepted = await hub.intake.act("party.put", by="", about=shop, key=id, detail=detail)
            async with hub.db.begin() as tx:
                tx.session.add(
                    Parked(consumer="crm", seq=accepted.seq, error="ValueError: 坏", parked_at=clock())
                )
            await mending.retry_parked(hub, Actor(os_user="anna"), "crm", accepted.seq)
            async with hub.db.read() as session:
                assert await session.get(Parked, ("crm", accepted.seq)) is None
                party = await session.get(Party, UUID(id))
            assert party is not None
            assert party.name == "顺发便民店"
