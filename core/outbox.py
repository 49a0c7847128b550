"""The outbox: what must leave or be done after a transaction, as rows that are claimed, settled and swept."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col

from core.database import Database, Tx
from core.errors import ProviderThrottled, SendError
from core.ids import uuid7
from core.tables import OutboxItem
from core.values import Address

CLAIM = timedelta(seconds=60)
"""How long a claimed item belongs to its worker; longer than every time-out a job may wait for."""


class Lane(StrEnum):
    """What goes before what: an answer to a waiting person is never behind a broadcast."""

    REPLY = "reply"
    JOB = "job"
    BROADCAST = "broadcast"

    @property
    def number(self) -> int:
        return {"reply": 1, "job": 5, "broadcast": 9}[self.value]


class ItemState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"  # it may have left; a person decides
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A claimed outbox row."""

    id: UUID
    job: str
    account: str
    address: Address
    payload: dict[str, Any]
    attempts: int
    deadline: datetime | None
    cause_seq: int | None
    was_interrupted: bool  # an earlier worker claimed it and never settled it


@dataclass(frozen=True, slots=True)
class Retry:
    at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    state: ItemState
    error: str = ""


Outcome = Retry | Settled

_table = OutboxItem.__table__  # type: ignore[attr-defined]  # SQLModel adds the attribute without declaring it
_SETTLE = (
    update(_table)
    .where(_table.c.id == bindparam("item"))
    .values(state=bindparam("to_state"), error=bindparam("to_error"))
)
_RETRY = (
    update(_table)
    .where(_table.c.id == bindparam("item"))
    .values(state=bindparam("to_state"), due_at=bindparam("to_due"))
)

_CLAIMED_AT_ONCE = 200


def _claiming(locked: bool) -> Any:
    chosen = select(_table.c.id).where(
        _table.c.id.in_(bindparam("items", expanding=True)),
        _table.c.state == bindparam("seen"),
        (_table.c.claimed_until.is_(None))
        | (_table.c.claimed_until < bindparam("at", type_=_table.c.claimed_until.type))
        | (_table.c.state == ItemState.WAITING.value),
    )
    if locked:
        chosen = chosen.with_for_update(skip_locked=True)
    return (
        update(_table)
        .where(_table.c.id.in_(chosen))
        .values(
            state=ItemState.RUNNING.value, claimed_until=bindparam("until"), attempts=_table.c.attempts + 1
        )
        .returning(_table.c.id)
    )


_CLAIM_SQLITE = _claiming(locked=False)
_CLAIM_POSTGRES = _claiming(locked=True)

_PUT = {
    "sqlite": sqlite.insert(OutboxItem).on_conflict_do_nothing(index_elements=["key"]),
    "postgresql": postgresql.insert(OutboxItem).on_conflict_do_nothing(index_elements=["key"]),
}


def put(
    tx: Tx,
    *,
    key: str,
    job: str,
    payload: dict[str, Any],
    due_at: datetime,
    lane: Lane = Lane.JOB,
    account: str = "",
    address: Address | None = None,
    deadline: datetime | None = None,
    cause_seq: int | None = None,
) -> None:
    """Add an item once: a second call with the same key (a handler that runs again) does nothing."""
    row = {
        "id": uuid7(),
        "key": key,
        "job": job,
        "lane": lane.number,
        "account": account,
        "scheme": address.scheme if address else "",
        "address": address.value if address else "",
        "payload": payload,
        "state": ItemState.WAITING.value,
        "attempts": 0,
        "due_at": due_at,
        "deadline": deadline,
        "error": "",
        "cause_seq": cause_seq,
        "created_at": due_at,
    }
    tx.write_later(_PUT["sqlite" if tx.is_sqlite else "postgresql"], row)


async def claim(db: Database, at: datetime, limit: int) -> list[Item]:
    """Take the next due items for this worker, replies first; other workers do not get them."""
    due = (
        select(OutboxItem)
        .where(col(OutboxItem.state) == ItemState.WAITING, col(OutboxItem.due_at) <= at)
        .order_by(col(OutboxItem.lane), col(OutboxItem.due_at))
        .limit(limit)
    )
    return await _take(db, due, at, was_interrupted=False)


async def adopt(db: Database, at: datetime, limit: int = 100) -> list[Item]:
    """Take items whose worker died with them: what they did before is not known."""
    orphaned = (
        select(OutboxItem)
        .where(col(OutboxItem.state) == ItemState.RUNNING, col(OutboxItem.claimed_until) < at)
        .limit(limit)
    )
    return await _take(db, orphaned, at, was_interrupted=True)


async def _take(db: Database, chosen: Any, at: datetime, *, was_interrupted: bool) -> list[Item]:
    """Looked for beside the writers, since most of the time there is nothing; taken only if still as it was seen."""
    async with db.read() as session:
        rows = list((await session.execute(chosen)).scalars())
    if not rows:
        return []
    taken: set[UUID] = set()
    async with db.begin(is_durable=False) as tx:
        connection = await tx.session.connection()
        for some in (
            rows[start : start + _CLAIMED_AT_ONCE] for start in range(0, len(rows), _CLAIMED_AT_ONCE)
        ):
            result = await connection.execute(
                _CLAIM_SQLITE if tx.is_sqlite else _CLAIM_POSTGRES,
                {
                    "items": [row.id for row in some],
                    "seen": rows[0].state,
                    "until": at + CLAIM,
                    "at": at,
                },
            )
            taken.update(result.scalars())
    return [_item(row, was_interrupted) for row in rows if row.id in taken]


def _item(row: OutboxItem, was_interrupted: bool) -> Item:
    return Item(
        id=row.id,
        job=row.job,
        account=row.account,
        address=Address(row.scheme, row.address),
        payload=row.payload,
        attempts=row.attempts + 1,
        deadline=row.deadline,
        cause_seq=row.cause_seq,
        was_interrupted=was_interrupted,
    )


async def settle(db: Database, outcomes: Sequence[tuple[UUID, Outcome]]) -> None:
    """Write what became of items; several at once, since each commit costs."""
    settled = []
    again = []
    for id, outcome in outcomes:
        match outcome:
            case Retry(at):
                again.append({"item": id, "to_state": ItemState.WAITING.value, "to_due": at})
            case Settled(state, error):
                settled.append({"item": id, "to_state": state.value, "to_error": error})
    async with db.begin(is_durable=False) as tx:
        # Over the connection: the session's own way would look at each row's keys first.
        connection = await tx.session.connection()
        if settled:
            await connection.execute(_SETTLE, settled)
        if again:
            await connection.execute(_RETRY, again)


async def counts(db: Database) -> dict[str, int]:
    """How many items are in each state that somebody may have to look at."""
    states = (ItemState.WAITING, ItemState.RUNNING, ItemState.FAILED, ItemState.UNKNOWN)
    async with db.read() as session:
        rows = await session.execute(
            select(col(OutboxItem.state), func.count())
            .where(col(OutboxItem.state).in_(states))
            .group_by(col(OutboxItem.state))
        )
        found = dict(rows.all())
    return {state.value: found.get(state.value, 0) for state in states}


async def next_due(db: Database) -> datetime | None:
    async with db.read() as session:
        found: datetime | None = (
            await session.execute(
                select(func.min(col(OutboxItem.due_at))).where(col(OutboxItem.state) == ItemState.WAITING)
            )
        ).scalar()
        return found


_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(hours=1)


def after_failure(error: SendError, item: Item, at: datetime) -> Outcome:
    """Whether and when a message that was not handed over is offered again."""
    if not error.retryable:
        return Settled(ItemState.FAILED, error.code)
    wait = min(_FIRST_WAIT * 2 ** min(item.attempts - 1, 16), _LONGEST_WAIT)
    # Jitter: those who failed together must not come back together.
    next_at = at + wait * random.uniform(0.75, 1.25)
    if isinstance(error, ProviderThrottled) and error.retry_after is not None:
        next_at = at + min(error.retry_after, _LONGEST_WAIT)
    if item.deadline is not None and next_at > item.deadline:
        return Settled(ItemState.FAILED, "too_late")
    return Retry(next_at)
