"""Rate limits: so many tries in so much time, counted over a sliding window in bounded memory."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from datetime import datetime, timedelta

from core.errors import TooManyRequests


class SlidingWindow:
    """Lets each key pass `limit` times within `period`. Of more than `capacity` keys the longest idle is forgotten."""

    def __init__(self, limit: int, period: timedelta, capacity: int = 10_000) -> None:
        self._limit = limit
        self._period = period
        self._capacity = capacity
        self._passed: OrderedDict[Hashable, deque[datetime]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._passed)

    def take(self, key: Hashable, at: datetime) -> None:
        """Count one try; raise TooManyRequests, which counts nothing, when there were too many."""
        wait = self.wait(key, at)
        if wait > timedelta(0):
            raise TooManyRequests("Too many tries; wait a little and try again.", retry_after=wait)
        times = self._passed.setdefault(key, deque(maxlen=self._limit))
        times.append(at)
        self._passed.move_to_end(key)
        while len(self._passed) > self._capacity:
            self._passed.popitem(last=False)

    def wait(self, key: Hashable, at: datetime) -> timedelta:
        """How long until the key may pass; zero when it may now."""
        times = self._passed.get(key)
        if times is None or len(times) < self._limit:
            return timedelta(0)
        return max(times[0] + self._period - at, timedelta(0))

    def forgive(self, key: Hashable) -> None:
        """Forget the key's tries: it has shown that it is welcome."""
        self._passed.pop(key, None)
