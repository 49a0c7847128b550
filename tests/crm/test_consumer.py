"""The CRM's consumer: one bad entry stops no other, a killed run begins again, changes are announced once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete

from core.consumers import Consumer
from core.database import Tx
from core.log.entries import Logged
from core.tables import Consent, Cursor, Endpoint, Line, OutboxItem, Parked, Party, Sent
from crm.consumer import CrmConsumer
from crm.tables import (
    Case,
    CaseCounter,
    Conversation,
    Figure,
    LoopGuard,
    Normal,
    Observation,
    PendingQuestion,
    ReadingRow,
    Submission,
)
from tests.support.entries import running
from tests.support.hub import DeskHub, desk_hub, digester

PROJECTIONS = (
    Party, Endpoint, Line, Conversation, Case, ReadingRow, Submission, Observation, Figure, Normal, PendingQuestion,
    LoopGuard, Consent, Sent,
)  # fmt: skip


class Poisoned:
    """Cannot digest a certain text."""

    name = "crm"

    def __init__(self, consumer: Consumer, poison: str) -> None:
        self._consumer = consumer
        self._poison = poison

    async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None:
        if any(entry.text == self._poison for entry in batch):
            raise ValueError("poison")
        await self._consumer.digest(tx, batch)


class Killed:
    """Dies so many entries into the log: after its work and before the commit."""

    name = "crm"

    def __init__(self, consumer: Consumer, after: int) -> None:
        self._consumer = consumer
        self._left = after
        self.has_died = asyncio.Event()

    async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None:
        await self._consumer.digest(tx, batch)
        self._left -= len(batch)
        if self._left < 0:
            self.has_died.set()
            raise asyncio.CancelledError


async def test_an_entry_that_cannot_be_digested_is_parked_and_the_rest_goes_on(database_url: str) -> None:
    async with desk_hub(database_url, wrap=lambda consumer: Poisoned(consumer, "KC 102 9")) as hub:
        shop = await hub.shop()
        for text in ("KC 101 3", "KC 102 9", "KC 103 4"):
            await hub.sms(text)
        assert set(await hub.figures(shop)) == {("101", "wt_stock"), ("103", "wt_stock")}
        (parked,) = await hub.rows(Parked)
        assert (parked.consumer, parked.error) == ("crm", "ValueError: poison")


async def test_a_bad_entry_takes_nothing_of_its_batch_with_it(database_url: str) -> None:
    async with desk_hub(database_url, is_digesting=False) as filling:
        shop = await filling.put_shop()
        for text in ("KC 101 3", "KC 102 9", "KC 103 4"):
            await filling.accept_sms(text)
    async with desk_hub(database_url, wrap=lambda consumer: Poisoned(consumer, "KC 102 9")) as hub:
        await hub.consumer.caught_up()
        assert set(await hub.figures(shop)) == {("101", "wt_stock"), ("103", "wt_stock")}
        assert len(await hub.rows(Submission)) == 2


async def story(hub: DeskHub) -> None:
    """A morning with something of everything, in the log of a hub that digests nothing yet."""
    await hub.put_shop()
    for number, text in enumerate(
        (
            "KC 101 3;103 158",
            "Y",
            "GZ 101 5",
            "投诉 102 受潮",
            "JG 101 100",
            "TD",
            "QX",
            "KC 101 4",
            "谢谢",
            "??",
        )
    ):
        await hub.accept_sms(text, id=f"SM{number}")
        hub.clock.forward(timedelta(minutes=1))
        await hub.accept_sms(f"KC 101 {number}", f"+861390000010{number}", id=f"XX{number}")


async def tables(hub: DeskHub) -> dict[str, list[Any]]:
    """What the consumer has made of the log, without what only counts how often it ran."""
    aside = {"version", "row_version", "changed_seq"}
    found: dict[str, list[Any]] = {
        kind.__name__: [row.model_dump(exclude=aside) for row in await hub.rows(kind)] for kind in PROJECTIONS
    }
    # An outbox row draws its id anew in every run that was rolled back before.
    queued = sorted(await hub.rows(OutboxItem), key=lambda row: row.key)
    return found | {"outbox": [(row.key, row.address, row.payload, row.due_at) for row in queued]}


async def forget(hub: DeskHub) -> None:
    async with hub.db.begin() as tx:
        for kind in (*PROJECTIONS, OutboxItem, CaseCounter, Cursor):
            await tx.write(delete(kind))


async def test_a_run_that_is_killed_before_its_commit_is_done_again_to_the_same_tables(
    database_url: str,
) -> None:
    async with desk_hub(database_url, is_digesting=False) as hub:
        await story(hub)
        for after in (0, 4, 6):
            killed = Killed(CrmConsumer(hub.book, lambda changes: None), after)
            async with asyncio.timeout(30), running(digester(hub.db, killed, hub.clock).run()):
                await killed.has_died.wait()
        async with running(hub.consumer.run()):
            await hub.consumer.caught_up()
        in_pieces = await tables(hub)
        await forget(hub)
        again = digester(hub.db, CrmConsumer(hub.book, lambda changes: None), hub.clock)
        async with running(again.run()):
            await again.caught_up()
        assert (hub.consumer.parked, again.parked) == (0, 0)
        assert len(in_pieces["ReadingRow"]) == 20
        assert in_pieces == await tables(hub)


async def test_what_a_batch_changed_is_announced_after_its_commit(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    light_hub.changes.clear()
    heard = await light_hub.sms("KC 101 3")
    (changes,) = light_hub.changes
    assert changes.parties == {shop}
    assert changes.lines == {heard.seq: shop}
    assert [(figure.sku, figure.value) for figure in changes.figures] == [("101", 30)]
    assert changes.queued


async def test_a_refused_act_is_not_announced(light_hub: DeskHub) -> None:
    shop = await light_hub.shop()
    light_hub.changes.clear()
    await light_hub.act("figure.accept", party=shop, observation="999.0")
    assert light_hub.changes == []
