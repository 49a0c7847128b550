"""Pace: how many messages an account may send a second and have under way at once, the same for all processes."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, func, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.adapter import Limits
from core.database import Tx
from core.moments import from_micros
from core.tables import OutboxItem, Pace

AHEAD = timedelta(milliseconds=250)
"""How far ahead moments are given away: at 100 a second one claim then brings many, each with a moment of its own."""

_ENOUGH = AHEAD / 2  # less than that is left: worth another claim

_LONG_AGO = from_micros(0)

_pace = Pace.__table__  # type: ignore[attr-defined]  # SQLModel adds the attribute without declaring it


def slots(limits: Limits, free_at: datetime, running: int, at: datetime, most: int) -> list[datetime]:
    """When the next messages of an account may leave: at most `most` moments, none further ahead than `AHEAD`.

    This is the generic cell rate algorithm without a burst: between two messages lies at least 1/rate, and time in
    which nothing was sent is not saved up.
    """
    if limits.window is not None:
        most = min(most, limits.window - running)
    if free_at > at + _ENOUGH:
        return []
    start = max(free_at, at)
    step = _step(limits)
    found: list[datetime] = []
    while len(found) < most and start <= at + AHEAD:
        found.append(start)
        start += step
    return found


def freed(limits: Limits, free_at: datetime, given: Collection[datetime]) -> datetime:
    """When the account is free again after these moments were given away."""
    return max(given) + _step(limits) if given else free_at


def next_look(free_at: datetime) -> datetime:
    """When `slots` has something to give again."""
    return free_at - _ENOUGH


def _step(limits: Limits) -> timedelta:
    return timedelta(0) if limits.rate is None else timedelta(seconds=1 / limits.rate)


async def resting(session: AsyncSession, at: datetime) -> dict[str, datetime]:
    """The accounts that may not send now, and until when."""
    rows = await session.execute(select(_pace.c.account, _pace.c.free_at).where(_pace.c.free_at > at))
    return {row.account: row.free_at for row in rows}


_ADD = {
    "sqlite": sqlite.insert(_pace).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(_pace).on_conflict_do_nothing(),
}
_LOCK = (
    select(_pace.c.account, _pace.c.free_at)
    .where(_pace.c.account.in_(bindparam("accounts", expanding=True)))
    .order_by(_pace.c.account)  # everybody locks in one order
    .with_for_update()
)
_MOVE = update(_pace).where(_pace.c.account == bindparam("of")).values(free_at=bindparam("to"))
_RUNNING = (
    select(col(OutboxItem.account), func.count())
    .where(
        literal_column("state = 'running'"),
        col(OutboxItem.account).in_(bindparam("accounts", expanding=True)),
    )
    .group_by(col(OutboxItem.account))
)


async def locked(tx: Tx, accounts: Collection[str]) -> dict[str, datetime]:
    """When each of these accounts is free. Until the commit nobody else gives any of their moments away."""
    if not accounts:
        return {}
    connection = await tx.session.connection()
    missing = [{"account": account, "free_at": _LONG_AGO} for account in sorted(accounts)]
    await connection.execute(_ADD["sqlite" if tx.is_sqlite else "postgresql"], missing)
    rows = await connection.execute(_LOCK, {"accounts": sorted(accounts)})
    return {row.account: row.free_at for row in rows}


async def under_way(tx: Tx, accounts: Collection[str]) -> dict[str, int]:
    """How many messages of each account are claimed now, by any process."""
    if not accounts:
        return {}
    rows: Any = await (await tx.session.connection()).execute(_RUNNING, {"accounts": sorted(accounts)})
    return dict(rows.all())


async def move(tx: Tx, free: Mapping[str, datetime]) -> None:
    """Keep when accounts are free again; they are locked by `locked`."""
    if free:
        connection = await tx.session.connection()
        await connection.execute(_MOVE, [{"of": account, "to": at} for account, at in sorted(free.items())])


async def rest(tx: Tx, until: Mapping[str, datetime]) -> None:
    """Let accounts send nothing until then: their provider asked for a pause."""
    if not until:
        return
    insert = (sqlite.insert if tx.is_sqlite else postgresql.insert)(_pace)
    later = func.max if tx.is_sqlite else func.greatest
    statement = insert.on_conflict_do_update(
        index_elements=["account"], set_={"free_at": later(_pace.c.free_at, insert.excluded.free_at)}
    )
    rows = [{"account": account, "free_at": at} for account, at in sorted(until.items())]
    await (await tx.session.connection()).execute(statement, rows)
