"""A hub without network for tests of the CRM: the real log, consumer and tables, and a clock that stands."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlmodel import SQLModel, col

import crm.tables  # noqa: F401  # declares the CRM's tables
from core import outbox, parties
from core.addresses import shard_of
from core.claims import claim
from core.clock import Clock
from core.consumers import Consumer, ConsumerRunner
from core.database import Database
from core.errors import RecipientInvalid, SendError
from core.intake import Intake
from core.log.writer import LogWriter
from core.outbox import Item
from core.sending import SEND, Sender
from core.tables import ActOutcome, OutboxItem, Party
from core.values import (
    Accepted,
    Address,
    ChannelEvent,
    ChannelKind,
    DeliveryState,
    Inbound,
    Outbound,
    Receipt,
    StatusUpdate,
    Unreadable,
)
from crm.blueprint.model import Blueprint
from crm.blueprint.publishing import Book, Published, compiled
from crm.blueprint.reading import check_folder
from crm.blueprint.store import dump, load
from crm.consumer import CrmConsumer
from crm.desk.work import Changes
from crm.tables import Case, Conversation, Figure, Observation, ReadingRow, Submission
from tests.support.entries import running
from tests.support.schema import create_schema

ROOT = Path(__file__).parents[2]
TOBACCO = ROOT / "blueprints" / "tobacco"
BEVERAGE = ROOT / "tests" / "support" / "blueprints" / "beverage"

WEDNESDAY = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
"""Noon in Shanghai, in the week 2026-W47."""

LINE = "sms-main"
OUR_NUMBER = Address("short", "10690000")
SHOP_PHONE = "+8613900000001"
CLERK = UUID("00000000-0000-4000-8000-000000000001")
AGENT = UUID("00000000-0000-4000-8000-000000000002")

RowT = TypeVar("RowT", bound=SQLModel)


@cache
def blueprint_of(folder: Path) -> Blueprint:
    checked = check_folder(folder)
    assert checked.blueprint is not None, [str(each) for each in checked.problems]
    return checked.blueprint


@cache
def published_of(folder: Path) -> Published:
    """As the hub has it: stored and loaded again."""
    return compiled(1, load(dump(blueprint_of(folder).numbered(1))))


class StandingClock:
    """Time that passes only when a test says so."""

    def __init__(self, at: datetime = WEDNESDAY) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


@dataclass(slots=True)
class Provider:
    """Takes every message, or fails as it is told."""

    sent: list[Outbound] = field(default_factory=list)
    error: SendError | None = None

    def fail(self) -> None:
        self.error = RecipientInvalid("There is no such number.")

    async def send(self, out: Outbound) -> Receipt:
        if self.error is not None:
            raise self.error
        self.sent.append(out)
        return Receipt(external_id=f"provider-{len(self.sent)}")


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a message: its place in the log and what the hub answers."""

    seq: int
    replies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    code: str
    message: str
    detail: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class DeskHub:
    db: Database
    book: Book
    clock: StandingClock
    writer: LogWriter
    intake: Intake
    consumer: ConsumerRunner
    provider: Provider
    changes: list[Changes]

    @property
    def published(self) -> Published:
        return self.book.current

    # What comes in.

    async def shop(
        self,
        name: str = "顺发便民店",
        phone: str | None = SHOP_PHONE,
        licence: str = "429901100017",
        **more: Any,
    ) -> UUID:
        """A retailer of the tobacco package, known by its number and, with a phone, bound to it."""
        fields = {"licence": licence, "market": "C", "form": "Z", "size": "2", "size_factor": 1.0}
        return await self.party(
            "retailer",
            name,
            phone,
            keys={"licence": licence},
            fields=fields | more.pop("fields", {}),
            **{"territory": "429901", "stage": "active", **more},
        )

    async def put_shop(self) -> UUID:
        """A bound shop, put into the log under its phone's address without waiting for its turn."""
        id = uuid4()
        address = Address("tel", SHOP_PHONE)
        await self.intake.act(
            "party.put",
            by=str(AGENT),
            about=address,
            key=str(uuid4()),
            detail={
                "party": str(id),
                "kind": "retailer",
                "name": "顺发便民店",
                "addresses": [{"scheme": address.scheme, "value": address.value}],
            },
        )
        return id

    async def party(self, kind: str, name: str, phone: str | None = None, **more: Any) -> UUID:
        id = uuid4()
        addresses = [{"scheme": "tel", "value": phone}] if phone else []
        await self.act("party.put", party=id, kind=kind, name=name, addresses=addresses, **more)
        return id

    async def accept_sms(
        self,
        text: str,
        sender: str = SHOP_PHONE,
        *,
        id: str | None = None,
        at: datetime | None = None,
        **more: Any,
    ) -> Accepted:
        """Put a message into the log without waiting for what becomes of it."""
        id = id or str(uuid4())
        return await self._accepted(
            Inbound(
                external_id=id,
                dedupe_key=f"in:{id}",
                sender=Address("tel", sender),
                recipient=OUR_NUMBER,
                occurred_at=at or self.clock(),
                text=text,
                raw=text.encode(),
                **more,
            ),
        )

    async def sms(
        self,
        text: str,
        sender: str = SHOP_PHONE,
        *,
        id: str | None = None,
        at: datetime | None = None,
        **more: Any,
    ) -> Heard:
        accepted = await self.accept_sms(text, sender, id=id, at=at, **more)
        await self.consumer.processed(shard_of(Address("tel", sender)), accepted.seq)
        return Heard(accepted.seq, tuple(await self.replies(accepted.seq)))

    async def act(
        self,
        name: str,
        /,
        *,
        party: UUID,
        by: UUID = AGENT,
        text: str = "",
        about: Address | None = None,
        **detail: Any,
    ) -> int:
        """What a person does; returns its place in the log once its turn has come."""
        about = about or await self.reach(party)
        accepted = await self.intake.act(
            name,
            by=str(by),
            about=about,
            key=str(uuid4()),
            detail={"party": str(party), **detail},
            text=text,
        )
        await self.consumer.processed(shard_of(about), accepted.seq)
        return accepted.seq

    async def reach(self, party: UUID) -> Address:
        async with self.db.read() as session:
            if await session.get(Party, party) is None:
                return Address("hub", str(party))
            root = await parties.root(session, party)
            row = await session.get(Conversation, root.id)
            if row is not None and row.reply_address:
                return Address(row.reply_scheme, row.reply_address)
            known = (await parties.addresses_of(session, [root.id])).get(root.id)
        return Address(known[0].scheme, known[0].value) if known else Address("hub", str(party))

    async def _accepted(self, event: ChannelEvent) -> Accepted:
        taken = await self.intake.accept(LINE, event)
        assert isinstance(taken, Accepted), "there is no spool here"
        return taken

    async def status(
        self, external_id: str, state: DeliveryState, *, recipient: str | None = SHOP_PHONE, error: str = ""
    ) -> int:
        """What the provider says became of a message."""
        accepted = await self._accepted(
            StatusUpdate(
                external_id=external_id,
                dedupe_key=f"status:{external_id}:{state}",
                state=state,
                occurred_at=self.clock(),
                raw=b"{}",
                recipient=Address("tel", recipient) if recipient else None,
                error=error,
            ),
        )
        await self.consumer.caught_up()
        return accepted.seq

    async def unreadable(self, reason: str, sender: str | None = SHOP_PHONE) -> int:
        """An authentic request that could not be decoded."""
        accepted = await self._accepted(
            Unreadable(
                dedupe_key=f"unreadable:{uuid4()}",
                reason=reason,
                occurred_at=self.clock(),
                raw=b"\xff\xfe",
                raw_type="application/octet-stream",
                sender=Address("tel", sender) if sender else None,
            ),
        )
        await self.consumer.caught_up()
        return accepted.seq

    async def send_queued(self) -> None:
        """Hand what waits in the outbox to the provider, as the job would, and let the log be digested."""
        sender = Sender(
            self.db, self.writer, lambda account: self.provider, lambda account: ChannelKind.SMS, self.clock
        )
        settled = [(item, await sender(item)) for item in await self._claimed()]
        await outbox.settle(self.db, settled)
        await self.consumer.caught_up()

    async def _claimed(self) -> list[Item]:
        return [item for item in (await claim(self.db, self.clock(), 100)).items if item.job == SEND]

    # What became of it.

    async def replies(self, cause: int) -> list[str]:
        rows = await self.rows(OutboxItem, col(OutboxItem.cause_seq) == cause, col(OutboxItem.job) == SEND)
        return [row.payload["text"] for row in rows]

    async def refusal(self, seq: int) -> Refused | None:
        found = await self.rows(ActOutcome, col(ActOutcome.seq) == seq)
        return Refused(found[0].code, found[0].message, found[0].detail) if found else None

    async def rows(self, kind: type[RowT], *where: Any) -> Sequence[RowT]:
        async with self.db.read() as session:
            key = list(kind.__table__.primary_key)  # type: ignore[attr-defined]  # SQLModel adds it undeclared
            return (await session.execute(select(kind).where(*where).order_by(*key))).scalars().all()

    async def figures(self, party: UUID, period: str = "2026-W47") -> dict[tuple[str, str], tuple[int, str]]:
        """Value and state of each figure, by product and field."""
        rows = await self.rows(Figure, col(Figure.party_id) == party, col(Figure.period) == period)
        return {(row.sku, row.field): (row.value, row.state) for row in rows}

    async def observations(self, party: UUID) -> Sequence[Observation]:
        return await self.rows(Observation, col(Observation.party_id) == party)

    async def submissions(self, party: UUID) -> Sequence[Submission]:
        return await self.rows(Submission, col(Submission.party_id) == party)

    async def conversation(self, party: UUID) -> Conversation:
        (row,) = await self.rows(Conversation, col(Conversation.party_id) == party)
        return row

    async def cases(self) -> Sequence[Case]:
        return await self.rows(Case)

    async def reading(self, seq: int) -> ReadingRow:
        (row,) = await self.rows(ReadingRow, col(ReadingRow.seq) == seq)
        return row

    async def owner(self, phone: str) -> UUID:
        """The party that an address belongs to."""
        address = Address("tel", phone)
        async with self.db.read() as session:
            return (await parties.endpoints(session, [address]))[address].party_id


@asynccontextmanager
async def desk_hub(
    url: str,
    folder: Path = TOBACCO,
    *,
    clock: StandingClock | None = None,
    wrap: Callable[[Consumer], Consumer] = lambda consumer: consumer,
    is_digesting: bool = True,
) -> AsyncIterator[DeskHub]:
    """A hub that runs until the block ends. `is_digesting=False`: the log fills, and nobody reads it yet."""
    clock = clock or StandingClock()
    db = Database(url)
    await create_schema(db)
    hub = await _built(db, folder, clock, wrap)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(db.close)
        await stack.enter_async_context(running(hub.writer.run()))
        if is_digesting:
            await stack.enter_async_context(running(hub.consumer.run()))
        yield hub


async def _built(
    db: Database, folder: Path, clock: StandingClock, wrap: Callable[[Consumer], Consumer]
) -> DeskHub:
    book = Book()
    book._versions[1], book._current = published_of(folder), 1  # compiled once for all tests
    changes: list[Changes] = []
    consumer = digester(db, wrap(CrmConsumer(book, changes.append)), clock)
    writer = LogWriter(await db.appender(), lambda: book.version, clock)
    writer.on_commit(consumer.woken)
    return DeskHub(
        db=db,
        book=book,
        clock=clock,
        writer=writer,
        intake=Intake(writer, lambda account: ChannelKind.SMS, clock),
        consumer=consumer,
        provider=Provider(),
        changes=changes,
    )


def digester(db: Database, consumer: Consumer, clock: Clock) -> ConsumerRunner:
    return ConsumerRunner(db, consumer, turn=asyncio.Lock(), clock=clock)
