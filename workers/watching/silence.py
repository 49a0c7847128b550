"""Silence: from which accounts nothing came in the last full hour, though in the two weeks before something did."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.tables import LogEntry
from core.values import Direction

_HOUR = timedelta(hours=1)
_WEEK = timedelta(weeks=1)

_log = LogEntry.__table__  # type: ignore[attr-defined]  # SQLModel adds the attribute without declaring it


async def silent_accounts(
    session: AsyncSession, hour: datetime, head: int, accounts: Sequence[str]
) -> tuple[str, ...]:
    """`hour` is when the last full hour ended. The same hour of the same weekday is what counts as usual."""
    silent = await _heard(session, hour - 2 * _WEEK, head, accounts)
    if silent:
        silent &= await _heard(session, hour - _WEEK, head, silent)
    if silent:
        silent -= await _heard(session, hour, head, silent)
    return tuple(sorted(silent))


async def _heard(
    session: AsyncSession, end: datetime, head: int, accounts: Sequence[str] | set[str]
) -> set[str]:
    """The accounts from which something came in the hour before `end`."""
    first, last = [await first_since(session, moment, head) for moment in (end - _HOUR, end)]
    heard = set()
    for account in accounts:
        one = select(_log.c.seq).where(
            _log.c.seq >= first,
            _log.c.seq < last,
            _log.c.account == account,
            _log.c.direction == Direction.IN.value,
        )
        if await session.scalar(one.limit(1)) is not None:
            heard.add(account)
    return heard


async def first_since(session: AsyncSession, moment: datetime, head: int) -> int:
    """The number of the first entry recorded at or after a moment, found by halving: the log has no index by time.

    Where the clocks of several writers differ by a moment, the answer does too.
    """
    low, high = 1, head + 1
    while low < high:
        middle = (low + high) // 2
        row = (
            await session.execute(
                select(_log.c.seq, _log.c.recorded_at)
                .where(_log.c.seq >= middle, _log.c.seq < high)
                .order_by(_log.c.seq)
                .limit(1)
            )
        ).first()
        if row is None or row.recorded_at >= moment:
            high = middle
        else:
            low = row.seq + 1
    return low
