"""Who gets which outbox items: what waits is looked at, then taken by lane and account, at the account's pace."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    TextualSelect,
    any_,
    bindparam,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core import pace
from core.adapter import Limits
from core.columns import Instant
from core.database import Database, Tx
from core.moments import from_micros
from core.outbox import CLAIM, Item
from core.tables import OutboxItem
from core.values import Address

_table = OutboxItem.__table__  # type: ignore[attr-defined]  # SQLModel adds the attribute without declaring it

_WAITING: ColumnElement[bool] = literal_column(
    "state = 'waiting'"
)  # written out, so that both engines see which index serves it
_RUNNING: ColumnElement[bool] = literal_column("state = 'running'")
_SOON = timedelta(milliseconds=50)
_LONG_AGO = from_micros(0)


@dataclass(frozen=True, slots=True)
class Head:
    """The first of the waiting items of one account in one lane."""

    lane: int
    account: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    items: tuple[Item, ...] = ()
    next_at: datetime | None = None  # when to look again, if nobody calls before


Share = Callable[[Sequence[Head]], Sequence[tuple[Head, int]]]
"""How many places each of the due heads gets, given in the order in which they stand in line."""


def unlimited(account: str) -> Limits:
    return Limits()


async def claim(
    db: Database,
    at: datetime,
    limit: int,
    *,
    limits: Callable[[str], Limits] = unlimited,
    share: Share | None = None,
) -> Claimed:
    """Take the next due items for this worker, replies first; other workers do not get them.

    What an account's pace does not allow stays as it is, in its order. It is looked for beside the writers, since most
    of the time there is nothing.
    """
    async with db.read() as session:
        heads = await _heads(session)
        rests = await pace.resting(session, at) if heads else {}
    opens = {head: max(head.due_at, pace.next_look(rests.get(head.account, _LONG_AGO))) for head in heads}
    later = [moment for moment in opens.values() if moment > at]
    due = [head for head in heads if opens[head] <= at]
    shares = share(due) if share is not None else [(head, limit) for head in due]
    taking = _Taking(at, limits, rests)
    if any(places for _, places in shares):
        async with db.begin(is_durable=False) as tx:
            await taking.take(tx, [(head, min(places, limit)) for head, places in shares if places], limit)
        later += taking.look_again()
    return Claimed(tuple(taking.items), min(later, default=None))


class _Taking:
    """One claim under way: what it has taken, and how far its accounts' moments are given away."""

    def __init__(self, at: datetime, limits: Callable[[str], Limits], paced: Collection[str]) -> None:
        self.items: list[Item] = []
        self._at = at
        self._limits = limits
        self._paced = paced
        self._free: dict[str, datetime] = {}
        self._running: dict[str, int] = {}
        self._missed = False

    async def take(self, tx: Tx, shares: Sequence[tuple[Head, int]], most: int) -> None:
        accounts = {head.account for head, _ in shares}
        limited = {name for name in accounts if name in self._paced or self._limits(name).is_set}
        before = await pace.locked(tx, limited)
        self._free = dict(before)
        self._running = await pace.under_way(tx, limited)
        for head, places in shares:
            await self._take(tx, head, min(places, most - len(self.items)), head.account in limited)
        await pace.move(tx, {name: at for name, at in self._free.items() if at != before[name]})

    async def _take(self, tx: Tx, head: Head, places: int, is_limited: bool) -> None:
        moments = [self._at] * places
        limits = self._limits(head.account)
        if is_limited:
            running = self._running.get(head.account, 0)
            moments = pace.slots(limits, self._free[head.account], running, self._at, places)
        if not moments:
            return
        taken = await _execute(
            tx,
            _CLAIM,
            {"of_lane": head.lane, "of": head.account, "at": self._at, "most": len(moments)},
            self._at,
        )
        self._missed = self._missed or not taken
        for row, moment in zip(taken, moments, strict=False):
            self.items.append(_item(row, starts_at=moment, was_interrupted=False))
        if is_limited:
            given = moments[: len(taken)]
            self._free[head.account] = pace.freed(limits, self._free[head.account], given)
            self._running[head.account] = self._running.get(head.account, 0) + len(taken)

    def look_again(self) -> list[datetime]:
        looks = [pace.next_look(free) for free in self._free.values()]
        # Seen and not got: another worker is just taking them, and may not take all.
        return [moment for moment in looks if moment > self._at] + (
            [self._at + _SOON] if self._missed else []
        )


async def adopt(db: Database, at: datetime, limit: int, own: Collection[UUID] = ()) -> list[Item]:
    """Take items whose worker died with them, but for one's `own`: what was done before is not known."""
    orphaned = select(_table.c.id).where(_RUNNING, _table.c.claimed_until < at).limit(1)
    async with db.read() as session:
        if (await session.execute(orphaned)).first() is None:
            return []
    async with db.begin(is_durable=False) as tx:
        rows = await _execute(tx, _ADOPT, {"own": list(own), "at": at, "most": limit}, at)
    return [_item(row, starts_at=at, was_interrupted=True) for row in rows]


def _taking(chosen: Any) -> dict[bool, Any]:
    """The statement that takes the chosen rows: on SQLite (True), and on PostgreSQL past what others are taking."""
    taken = update(_table).values(
        state=literal_column("'running'"), claimed_until=bindparam("until"), attempts=_table.c.attempts + 1
    )
    # As an array the inner query runs once; joined, its LIMIT may be applied again and again.
    once = func.array(chosen.with_for_update(skip_locked=True).scalar_subquery())
    return {
        True: taken.where(_table.c.id.in_(chosen)).returning(_table),
        False: taken.where(_table.c.id == any_(once)).returning(_table),
    }


_CLAIM = _taking(
    select(_table.c.id)
    .where(
        _WAITING,
        _table.c.lane == bindparam("of_lane"),
        _table.c.account == bindparam("of"),
        _table.c.due_at <= bindparam("at"),
    )
    .order_by(_table.c.due_at, _table.c.id)
    .limit(bindparam("most"))
)
_ADOPT = _taking(
    select(_table.c.id)
    .where(
        _RUNNING,
        _table.c.claimed_until < bindparam("at"),
        _table.c.id.not_in(bindparam("own", expanding=True)),
    )
    .limit(bindparam("most"))
)


async def _execute(tx: Tx, statement: dict[bool, Any], values: dict[str, Any], at: datetime) -> list[Any]:
    connection = await tx.session.connection()
    rows = await connection.execute(statement[tx.is_sqlite], {**values, "until": at + CLAIM})
    return sorted(rows, key=lambda row: (row.due_at, row.id))


def _item(row: Any, *, starts_at: datetime, was_interrupted: bool) -> Item:
    return Item(
        id=row.id,
        job=row.job,
        lane=row.lane,
        account=row.account,
        address=Address(row.scheme, row.address),
        payload=row.payload,
        attempts=row.attempts,
        due_at=row.due_at,
        deadline=row.deadline,
        cause_seq=row.cause_seq,
        was_interrupted=was_interrupted,
        starts_at=starts_at,
        claimed_until=row.claimed_until,
    )


_HEADS: TextualSelect = text(
    """
    WITH RECURSIVE heads(lane, account) AS (
        SELECT lane, (SELECT min(account) FROM outbox WHERE state = 'waiting' AND outbox.lane = lanes.lane)
        FROM (SELECT 1 AS lane UNION ALL SELECT 5 UNION ALL SELECT 9) AS lanes
        UNION ALL
        SELECT lane, (
            SELECT min(account) FROM outbox
            WHERE state = 'waiting' AND outbox.lane = heads.lane AND outbox.account > heads.account
        )
        FROM heads WHERE account IS NOT NULL
    )
    SELECT lane, account, (
        SELECT min(due_at) FROM outbox
        WHERE state = 'waiting' AND outbox.lane = heads.lane AND outbox.account = heads.account
    ) AS due_at
    FROM heads WHERE account IS NOT NULL
    """
).columns(due_at=Instant())


async def _heads(session: AsyncSession) -> list[Head]:
    """What waits, by jumps through the index: as quick with a backlog of many thousands as with one item."""
    rows = (await session.execute(_HEADS)).all()
    return sorted(
        (Head(row.lane, row.account, row.due_at) for row in rows if row.due_at is not None),
        key=lambda head: (head.lane, head.due_at),
    )
