"""Taking into the spool: whatever has queued is written and synced at once, then all who wait are answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from core.clock import Clock, now
from core.errors import Unavailable
from core.log.waiting import Waiting, finished
from core.spool.folder import Contents, SpoolFolder
from core.spool.records import encode
from core.values import Spooled

log = logging.getLogger(__name__)

_LARGEST_BATCH = 1_000
_LARGEST_BYTES = 8 * 1024 * 1024
_LONGEST_QUEUE = 20_000
_COUNTS_EVERY = 1.0  # seconds


class Spool:
    """What a process's log writer cannot enter now. `run` owns the disk; the writer hands over in order.

    While `is_open`, everything that comes in goes here first. It shuts when a batch finds that the folder's spool has
    been ended, by this process or another: then that batch and what has queued behind it go back to the writer.
    """

    def __init__(self, folder: SpoolFolder, clock: Clock = now) -> None:
        self.folder = folder
        self.is_open = False
        self.contents = Contents()
        self.taken = 0  # entries that this process has spooled
        self._clock = clock
        self._queue: list[Waiting] = []
        self._arrived = asyncio.Event()
        self._must_begin = False
        self._is_closed = False
        self._give_back: Callable[[Sequence[Waiting]], None] = lambda waiting: None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")

    def on_end(self, give_back: Callable[[Sequence[Waiting]], None]) -> None:
        """Call `give_back` with those who wait when there is no spool to go through any more."""
        self._give_back = give_back

    @property
    def is_wanted(self) -> bool:
        """This process spools, or another of this host does: what comes in must not overtake what lies there."""
        return self.is_open or self.folder.is_begun()

    def take(self, waiting: Sequence[Waiting], *, begin: bool) -> None:
        """Queue in order. `begin`: the log is away; otherwise they only follow what others have spooled."""
        self.is_open = True
        self._must_begin = self._must_begin or begin
        room = 0 if self._is_closed else _LONGEST_QUEUE - len(self._queue)
        self._queue += waiting[:room]
        for late in waiting[room:]:
            late.refuse(Unavailable("The hub is stopping or overloaded; send the same again in a moment."))
        self._arrived.set()

    async def run(self) -> None:
        """Write until cancelled; a batch that is being written then is finished and answered."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._count())
                while True:
                    await self._arrived.wait()
                    batch = self._next()
                    if batch:
                        await finished(self._keep(batch))
        finally:
            self._is_closed = True
            _refuse(self._queue, Unavailable("The hub is stopping; send the same again."))
            self._thread.shutdown(wait=True)

    def _next(self) -> list[Waiting]:
        size = count = 0
        for waiting in self._queue[:_LARGEST_BATCH]:
            entry = waiting.item.entry
            size += len(entry.raw) + len(entry.text)
            count += 1
            if size > _LARGEST_BYTES:
                break
        batch, self._queue = self._queue[:count], self._queue[count:]
        if not self._queue:
            self._arrived.clear()
        return batch

    async def _keep(self, batch: list[Waiting]) -> None:
        begin, self._must_begin = self._must_begin, False
        at = self._clock()
        try:
            is_kept = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._append, batch, at, begin
            )
        except (OSError, Unavailable) as error:
            log.error("nothing spooled", extra={"entries": len(batch), "reason": str(error)})
            failure = (
                error
                if isinstance(error, Unavailable)
                else Unavailable("The message could be kept nowhere; send the same again in a moment.")
            )
            _refuse(batch, failure)
            if not self.folder.is_begun():
                # Nobody would ever end a spool that could not begin: the next ones ask the log again.
                self._end([])
            return
        if not is_kept:
            self._end(batch)
            return
        self.taken += len(batch)
        for waiting in batch:
            waiting.tell(Spooled())

    def _append(self, batch: Sequence[Waiting], at: datetime, begin: bool) -> bool:
        return self.folder.append([encode(each.item.entry, at) for each in batch], begin=begin)

    def _end(self, batch: list[Waiting]) -> None:
        waiting, self._queue = [*batch, *self._queue], []
        if self._must_begin:  # the log went away again meanwhile
            self._queue = waiting
            self._arrived.set()
            return
        self.is_open = False
        self._arrived.clear()
        self._give_back(waiting)

    async def _count(self) -> None:
        while True:
            try:
                self.contents = await asyncio.to_thread(self.folder.contents)
            except OSError:
                log.exception("the spool cannot be counted")
            await asyncio.sleep(_COUNTS_EVERY)


def _refuse(batch: Sequence[Waiting], error: Unavailable) -> None:
    for waiting in batch:
        waiting.refuse(error)
