"""The outbox: what must leave or be done after a transaction, as rows; put, settled, counted, offered again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text, update
from sqlalchemy.dialects import postgresql, sqlite

from core import pace
from core.database import Database, Tx
from core.errors import ProviderThrottled, SendError, TooLate
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
    lane: int
    account: str
    address: Address
    payload: dict[str, Any]
    attempts: int
    due_at: datetime
    deadline: datetime | None
    cause_seq: int | None
    was_interrupted: bool  # an earlier worker claimed it and never settled it
    starts_at: datetime  # the moment that the account's pace gave it
    claimed_until: datetime  # afterwards another worker may have it


@dataclass(frozen=True, slots=True)
class Retry:
    """Offer it again from `at` on. With `rests_until` its account offers nothing before, and it was no failure."""

    at: datetime
    rests_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    state: ItemState
    error: str = ""


Outcome = Retry | Settled

_table = OutboxItem.__table__  # type: ignore[attr-defined]  # SQLModel adds the attribute without declaring it
# Only whoever still has the claim: an item that was adopted meanwhile is settled by its new worker.
_OWN = update(_table).where(
    _table.c.id == bindparam("item"),
    _table.c.state == ItemState.RUNNING.value,
    _table.c.claimed_until == bindparam("claim"),
)
_SETTLE = _OWN.values(state=bindparam("to_state"), error=bindparam("to_error"))
_RETRY = _OWN.values(
    state=ItemState.WAITING.value, due_at=bindparam("to_due"), attempts=bindparam("to_attempts")
)

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


async def settle(db: Database, outcomes: Sequence[tuple[Item, Outcome]]) -> None:
    """Write what became of claimed items, together, since each commit costs. A claim that is over does nothing."""
    settled = []
    again = []
    rests: dict[str, datetime] = {}
    for item, outcome in outcomes:
        whose = {"item": item.id, "claim": item.claimed_until}
        match outcome:
            case Retry(at, None):
                again.append({**whose, "to_due": at, "to_attempts": item.attempts})
            case Retry(at, datetime() as until):
                again.append({**whose, "to_due": at, "to_attempts": item.attempts - 1})
                rests[item.account] = max(until, rests.get(item.account, until))
            case Settled(state, error):
                settled.append({**whose, "to_state": state.value, "to_error": error})
    async with db.begin(is_durable=False) as tx:
        # Over the connection: the session's own way would look at each row's keys first.
        connection = await tx.session.connection()
        if settled:
            await connection.execute(_SETTLE, settled)
        if again:
            await connection.execute(_RETRY, again)
        await pace.rest(tx, rests)


_COUNTS = text(
    """
    SELECT
        (SELECT count(*) FROM outbox WHERE state = 'waiting') AS waiting,
        (SELECT count(*) FROM outbox WHERE state = 'running') AS running,
        (SELECT count(*) FROM outbox
         WHERE state IN ('failed', 'unknown', 'cancelled') AND state = 'failed') AS failed,
        (SELECT count(*) FROM outbox
         WHERE state IN ('failed', 'unknown', 'cancelled') AND state = 'unknown') AS unknown
    """
)


async def counts(db: Database) -> dict[str, int]:
    """How many items are in each state that somebody may have to look at."""
    async with db.read() as session:
        return dict((await session.execute(_COUNTS)).mappings().one())


_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(hours=1)
_UNASKED_REST = timedelta(seconds=1)  # for a provider that says "too fast" and not how long to wait
_MOST_ATTEMPTS = 30  # about a day; then a person has to look, also where nobody set a deadline


def after_failure(error: SendError, item: Item, at: datetime) -> Outcome:
    """Whether and when a message that was not handed over is offered again."""
    if not error.retryable:
        return Settled(ItemState.FAILED, error.code)
    if isinstance(error, ProviderThrottled):
        until = at + min(_UNASKED_REST if error.retry_after is None else error.retry_after, _LONGEST_WAIT)
        # It keeps its place in the line, which begins to move again when the account may send.
        return _in_time(Retry(item.due_at, rests_until=until), until, item)
    if item.attempts >= _MOST_ATTEMPTS:
        return Settled(ItemState.FAILED, error.code)
    wait = min(_FIRST_WAIT * 2 ** min(item.attempts - 1, 16), _LONGEST_WAIT)
    # Jitter: those who failed together must not come back together.
    next_at = at + wait * random.uniform(0.75, 1.25)
    return _in_time(Retry(next_at), next_at, item)


def _in_time(retry: Retry, next_at: datetime, item: Item) -> Outcome:
    if item.deadline is not None and next_at > item.deadline:
        return Settled(ItemState.FAILED, TooLate.code)
    return retry
