"""The group-commit writer: takes whatever has queued, appends it in one commit, then answers them all."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from core.clock import Clock, now
from core.errors import EntryRefused, Unavailable
from core.log.appenders import Appender, Prepared, prepare
from core.log.entries import Entry
from core.log.waiting import Waiting, finished
from core.spool.taking import Spool
from core.values import Accepted, Direction, Taken

log = logging.getLogger(__name__)

_LARGEST_BATCH = 1_000
_LONGEST_QUEUE = 20_000  # beyond it senders are told to come again: memory stays bounded

_RATED_OVER = 0.5  # seconds

CommitListener = Callable[[Sequence[Prepared], datetime], None]


class LogWriter:
    """Everything that enters the log of this process passes here. `run` owns the loop; who writes waits for its commit.

    With a spool, what was received outlives the time that the database is away (see docs/adr/0012-spool.md).
    """

    def __init__(
        self, appender: Appender, blueprint: Callable[[], int], clock: Clock = now, spool: Spool | None = None
    ) -> None:
        self._appender = appender
        self._blueprint = blueprint
        self._clock = clock
        self._spool = spool
        self._queue: list[Waiting] = []
        self._arrived = asyncio.Event()
        self._listeners: list[CommitListener] = []
        self._closed = False
        self._is_away = False
        self._rate = 0.0
        self._rated_at = time.monotonic()
        if spool is not None:
            spool.on_end(self._queue_again)

    def on_commit(self, listener: CommitListener) -> None:
        """Call `listener` with the new entries of every batch, in order, right after its commit."""
        self._listeners.append(listener)

    @property
    def queued(self) -> int:
        return len(self._queue)

    async def write(self, entry: Entry) -> Accepted:
        """Return once the log holds the entry durably. A repeat gives the id and seq of the first."""
        return _accepted(await self._waiting(entry, may_spool=False).answer)

    async def write_all(self, entries: Sequence[Entry]) -> list[Accepted]:
        return await asyncio.gather(*(self.write(entry) for entry in entries))

    async def receive(self, entry: Entry) -> Taken:
        """Like `write`, for what comes from outside: while the database is away, the spool holds it durably."""
        return await self._waiting(entry, may_spool=True).answer

    async def enter(self, entries: Sequence[Entry]) -> list[Accepted | Unavailable]:
        """Write in order and tell what became of each. When the log is away for one, no later one is in it either."""
        waiting = [self._waiting(entry, may_spool=False) for entry in entries]
        if waiting:
            await asyncio.wait([each.answer for each in waiting])
        return [_outcome(each.answer) for each in waiting]

    def _waiting(self, entry: Entry, *, may_spool: bool) -> Waiting:
        if self._closed or len(self._queue) >= _LONGEST_QUEUE:
            raise Unavailable("The hub is stopping or overloaded; send the same again in a moment.")
        answer: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        waiting = Waiting(prepare(entry, self._blueprint()), may_spool, answer)
        if may_spool and self._spool is not None and self._spool.is_open:
            self._spool.take([waiting], begin=False)
        else:
            self._queue.append(waiting)
            self._arrived.set()
        return waiting

    def _queue_again(self, waiting: Sequence[Waiting]) -> None:
        """The spool has ended: these follow what it held."""
        self._queue += waiting
        self._arrived.set()

    async def run(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                batch, self._queue = self._queue[:_LARGEST_BATCH], self._queue[_LARGEST_BATCH:]
                if not self._queue:
                    self._arrived.clear()
                if self._spool is not None and self._spool.is_wanted:
                    batch = self._without_received(batch, self._spool)
                if batch:
                    await finished(self._commit(batch))
        finally:
            self._closed = True
            for waiting in self._queue:
                waiting.refuse(Unavailable("The hub is stopping; send the same again."))
            await self._appender.close()

    def _without_received(self, batch: list[Waiting], spool: Spool) -> list[Waiting]:
        """What was received goes through the spool that this process or another has begun."""
        received = [each for each in (*batch, *self._queue) if each.may_spool]
        if received:
            self._queue = [each for each in self._queue if not each.may_spool]
            spool.take(received, begin=False)
        return [each for each in batch if not each.may_spool]

    async def _commit(self, batch: list[Waiting]) -> None:
        try:
            await self._append(batch)
        except Unavailable as error:
            self._give_up(batch, error)
        except Exception:
            # One entry that the database refuses must not take its neighbours with it.
            log.exception("log append failed", extra={"entries": len(batch)})
            if len(batch) > 1:
                await self._commit_singly(batch)
            else:
                batch[0].refuse(EntryRefused("The log did not take the message."))

    async def _commit_singly(self, batch: list[Waiting]) -> None:
        for place, waiting in enumerate(batch):
            try:
                await self._append([waiting])
            except Unavailable as error:
                self._give_up(batch[place:], error)
                return
            except Exception:
                log.exception("log append failed", extra={"account": waiting.item.entry.account})
                waiting.refuse(EntryRefused("The log did not take the message."))

    async def _append(self, batch: list[Waiting]) -> None:
        items = [waiting.item for waiting in batch]
        recorded_at = self._clock()
        await self._appender.append(items, recorded_at)
        if self._is_away:
            self._is_away = False
            log.info("log reached again")
        self._measure(sum(item.entry.direction is Direction.IN for item in items))
        for waiting in batch:
            item = waiting.item
            waiting.tell(Accepted(id=item.id, seq=item.seq, is_new=item.is_new))
        fresh = [item for item in items if item.is_new]
        if fresh:
            self._announce(fresh, recorded_at)

    def _announce(self, fresh: Sequence[Prepared], recorded_at: datetime) -> None:
        for listener in self._listeners:
            try:
                listener(fresh, recorded_at)
            except Exception:
                # The entries are in the log; a listener's own bug must not end the intake.
                log.exception("commit listener failed")

    def _give_up(self, batch: Sequence[Waiting], error: Unavailable) -> None:
        """The log is away for the batch, and so for all behind it: what is tried later must not overtake it."""
        if not self._is_away:
            self._is_away = True
            log.error("log is away", exc_info=error)
        waiting, self._queue = [*batch, *self._queue], []
        self._arrived.clear()
        received = [each for each in waiting if each.may_spool] if self._spool is not None else []
        if received and self._spool is not None:
            self._spool.take(received, begin=True)
            waiting = [each for each in waiting if not each.may_spool]
        for each in waiting:
            each.refuse(error)

    @property
    def rate(self) -> float:
        """Inbound entries a second of late: how pressed the intake is."""
        return self._rate * math.exp(-(time.monotonic() - self._rated_at) / _RATED_OVER)

    def _measure(self, entries: int) -> None:
        self._rate = self.rate + entries / _RATED_OVER
        self._rated_at = time.monotonic()


def _accepted(taken: Taken) -> Accepted:
    assert isinstance(taken, Accepted), "only what was received is spooled"
    return taken


def _outcome(answer: "asyncio.Future[Taken]") -> Accepted | Unavailable:
    error = answer.exception()
    if isinstance(error, Unavailable):
        return error
    return _accepted(answer.result())
