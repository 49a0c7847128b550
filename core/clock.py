"""The hub's clock: aware UTC time, replaceable in tests, and one for all processes of a house."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import monotonic

Clock = Callable[[], datetime]

log = logging.getLogger(__name__)

_ASKED_EVERY = 10.0  # seconds
_ASKED_AGAIN = 1.0
_TOLERATED = timedelta(milliseconds=50)


def now() -> datetime:
    return datetime.now(UTC)


def at_once(recorded_at: datetime) -> datetime:
    """When what an entry leads to is due: when it was recorded, or now if a clock that was fast has recorded it."""
    return min(recorded_at, now())


class SharedClock:
    """The database's time, carried on by the monotonic clock between two looks.

    Processes on several hosts agree by it, and a step of one host's clock touches nothing: neither when a message is
    due nor how long a claim or an account's pace lasts. Before the first look it is this host's own time.
    """

    def __init__(self, ask: Callable[[], Awaitable[datetime]]) -> None:
        self._ask = ask
        self._base, self._since = now(), monotonic()

    def __call__(self) -> datetime:
        return self._base + timedelta(seconds=monotonic() - self._since)

    async def run(self) -> None:
        """Stay right, until cancelled."""
        while True:
            try:
                await self.look()
                await asyncio.sleep(_ASKED_EVERY)
            except Exception as error:
                log.debug("time not asked", extra={"reason": type(error).__name__})
                await asyncio.sleep(_ASKED_AGAIN)

    async def look(self) -> None:
        """Ask once. A difference that the way there and back may have made is left as it is."""
        asked = monotonic()
        told = await self._ask()
        answered = monotonic()
        way = timedelta(seconds=(answered - asked) / 2)
        off = told + way - self()
        if abs(off) <= way + _TOLERATED:
            return
        log.info("clock set by the database's", extra={"seconds": round(off.total_seconds(), 3)})
        self._base, self._since = told + way, answered
