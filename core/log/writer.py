"""The group-commit writer: takes whatever has queued, appends it in one commit, then answers them all."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime

from core.clock import Clock, now
from core.errors import Unavailable
from core.log.appenders import Appender, Prepared, prepare
from core.log.entries import Entry
from core.values import Accepted, Direction

log = logging.getLogger(__name__)

_LARGEST_BATCH = 1_000
_LONGEST_QUEUE = 20_000  # beyond it senders are told to come again: memory stays bounded

_RATED_OVER = 0.5  # seconds

CommitListener = Callable[[Sequence[Prepared], datetime], None]


class LogWriter:
    """Everything that enters the log of this process passes here. `run` owns the loop; `write` waits for its commit."""

    def __init__(self, appender: Appender, blueprint: Callable[[], int], clock: Clock = now) -> None:
        self._appender = appender
        self._blueprint = blueprint
        self._clock = clock
        self._queue: list[tuple[Prepared, asyncio.Future[Accepted]]] = []
        self._arrived = asyncio.Event()
        self._listeners: list[CommitListener] = []
        self._closed = False
        self._rate = 0.0
        self._rated_at = time.monotonic()

    def on_commit(self, listener: CommitListener) -> None:
        """Call `listener` with the new entries of every batch, in order, right after its commit."""
        self._listeners.append(listener)

    @property
    def queued(self) -> int:
        return len(self._queue)

    async def write(self, entry: Entry) -> Accepted:
        """Return once the entry is durable. A repeat gives the id and seq of the first."""
        if self._closed or len(self._queue) >= _LONGEST_QUEUE:
            raise Unavailable("The hub is stopping or overloaded; send the same again in a moment.")
        waiter: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._queue.append((prepare(entry, self._blueprint()), waiter))
        self._arrived.set()
        return await waiter

    async def write_all(self, entries: Sequence[Entry]) -> list[Accepted]:
        return await asyncio.gather(*(self.write(entry) for entry in entries))

    async def run(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                batch, self._queue = self._queue[:_LARGEST_BATCH], self._queue[_LARGEST_BATCH:]
                if not self._queue:
                    self._arrived.clear()
                if batch:
                    await self._finished(self._commit(batch))
        finally:
            self._closed = True
            for _, waiter in self._queue:
                if not waiter.done():
                    waiter.set_exception(Unavailable("The hub is stopping; send the same again."))
            await self._appender.close()

    async def _finished(self, commit: Coroutine[None, None, None]) -> None:
        """A stopping writer still learns whether its last batch is in the log, and tells those who wait."""
        committing = asyncio.ensure_future(commit)
        try:
            await asyncio.shield(committing)
        except asyncio.CancelledError:
            await committing
            raise

    async def _commit(self, batch: list[tuple[Prepared, asyncio.Future[Accepted]]]) -> None:
        items = [item for item, _ in batch]
        recorded_at = self._clock()
        try:
            await self._appender.append(items, recorded_at)
        except Exception as error:
            log.exception("log append failed", extra={"entries": len(items)})
            if len(batch) > 1 and not isinstance(error, Unavailable):
                # One entry that the database refuses must not take its neighbours with it.
                for single in batch:
                    await self._commit([single])
                return
            failure = (
                error if isinstance(error, Unavailable) else Unavailable("The log did not take the message.")
            )
            for _, waiter in batch:
                if not waiter.done():
                    waiter.set_exception(failure)
            return
        self._measure(sum(item.entry.direction is Direction.IN for item in items))
        fresh = [item for item in items if item.is_new]
        for item, waiter in batch:
            if not waiter.done():
                waiter.set_result(Accepted(id=item.id, seq=item.seq, is_new=item.is_new))
        if fresh:
            for listener in self._listeners:
                try:
                    listener(fresh, recorded_at)
                except Exception:
                    # The entries are in the log; a listener's own bug must not end the intake.
                    log.exception("commit listener failed")

    @property
    def rate(self) -> float:
        """Inbound entries a second of late: how pressed the intake is."""
        return self._rate * math.exp(-(time.monotonic() - self._rated_at) / _RATED_OVER)

    def _measure(self, entries: int) -> None:
        self._rate = self.rate + entries / _RATED_OVER
        self._rated_at = time.monotonic()
