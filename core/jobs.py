"""The job runner: claims due outbox items, runs them side by side, settles them together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from core import claims, outbox
from core.adapter import Limits
from core.claims import Claimed, Head
from core.clock import Clock, now
from core.database import Database
from core.outbox import Item, ItemState, Outcome, Settled
from core.places import Places, is_reply

log = logging.getLogger(__name__)

Job = Callable[[Item], Awaitable[Outcome]]

PRESSED = 700.0
"""Inbound entries a second from which everything else makes room for the intake."""

_PRESSED_CLAIM = 16
_PRESSED_PAUSE = 0.15  # seconds
_LONGEST_SLEEP = 1.0  # seconds; a wake-up that was lost costs at most this
_SHORTEST_SLEEP = 0.02
_BEHIND = 200  # entries that the consumers have not digested, from which only replies leave
_SWEEP_EVERY = timedelta(seconds=10)
_LONGEST_FAREWELL = 5.0
_LONGEST_JOB = 50.0  # seconds; less than outbox.CLAIM


class JobRunner:
    """Runs jobs until cancelled. `wake` is called after a commit that put something into the outbox.

    Several runners, in one process or in many, share an outbox. `limits` says how fast an account may go, `backlog` how
    many entries of the log are still to be digested.
    """

    def __init__(
        self,
        db: Database,
        jobs: Mapping[str, Job],
        clock: Clock = now,
        *,
        pressure: Callable[[], float] = lambda: 0.0,
        limits: Callable[[str], Limits] = claims.unlimited,
        backlog: Callable[[], int] = lambda: 0,
    ) -> None:
        self._pressure = pressure
        self._backlog = backlog
        self._limits = limits
        self._db = db
        self._jobs = jobs
        self._clock = clock
        self._woken = asyncio.Event()
        self._places = Places()
        self._running: set[UUID] = set()
        self._settled: list[tuple[Item, Outcome]] = []
        self._has_settled = asyncio.Event()
        self._is_stopping = False
        self._is_quiet = asyncio.Event()
        self.finished: dict[str, int] = {}

    @property
    def under_way(self) -> int:
        """How many jobs this process is doing now."""
        return len(self._running)

    def wake(self) -> None:
        self._woken.set()

    async def stop(self) -> None:
        """Claim nothing more and let what runs end: a message cut off in the middle would have to count as unknown."""
        self._is_stopping = True
        try:
            async with asyncio.timeout(_LONGEST_FAREWELL):
                while self._running or self._settled:
                    self._is_quiet.clear()
                    await self._is_quiet.wait()
        except TimeoutError:
            log.warning("jobs cut off", extra={"running": len(self._running)})

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._settle_together())
            group.create_task(self._sweep(group))
            while True:
                self._woken.clear()
                is_pressed = self._pressure() > PRESSED
                claimed = await self._claim(_PRESSED_CLAIM if is_pressed else self._places.free)
                self._start(group, claimed.items)
                if not claimed.items:
                    await self._sleep(claimed.next_at)
                elif is_pressed:
                    await asyncio.sleep(_PRESSED_PAUSE)

    async def _claim(self, most: int) -> Claimed:
        if self._is_stopping:
            return Claimed()
        try:
            return await claims.claim(
                self._db,
                self._clock(),
                min(most, self._places.free),
                limits=self._limits,
                share=self._share,
            )
        except Exception:
            # The runner outlives a database that is away; the items stay in the outbox.
            log.exception("outbox claim failed")
            return Claimed()

    def _share(self, due: Sequence[Head]) -> list[tuple[Head, int]]:
        """Each message that leaves is two entries more to digest: a broadcast must not stand before the next reply."""
        if self._backlog() > _BEHIND:
            due = [head for head in due if is_reply(head)]
        return self._places.share(due)

    def _start(self, group: asyncio.TaskGroup, items: tuple[Item, ...] | list[Item]) -> None:
        for item in items:
            self._running.add(item.id)
            self._places.take(item)
            group.create_task(self._work(item))

    async def _sleep(self, next_at: datetime | None) -> None:
        longest = _LONGEST_SLEEP
        if next_at is not None:
            until_then = (next_at - self._clock()).total_seconds()
            longest = min(max(until_then, _SHORTEST_SLEEP), _LONGEST_SLEEP)
        try:
            async with asyncio.timeout(longest):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _sweep(self, group: asyncio.TaskGroup) -> None:
        """Adopt what other workers had in hand when they died."""
        while True:
            try:
                if not self._is_stopping:
                    at = self._clock()
                    self._start(group, await claims.adopt(self._db, at, self._places.free, self._running))
            except Exception:
                log.exception("outbox sweep failed")
            await asyncio.sleep(_SWEEP_EVERY.total_seconds())

    async def _work(self, item: Item) -> None:
        # The moment that the account's pace gave it, at most claims' fraction of a second ahead.
        await asyncio.sleep((item.starts_at - self._clock()).total_seconds())
        try:
            async with asyncio.timeout(_LONGEST_JOB):
                outcome = await self._jobs[item.job](item)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("job failed", extra={"job": item.job, "outbox_id": str(item.id)})
            outcome = Settled(ItemState.FAILED, f"{type(error).__name__}: {error}"[:500])
        self._running.discard(item.id)
        self._places.leave(item)
        self._settled.append((item, outcome))
        self._has_settled.set()
        self._woken.set()

    async def _settle_together(self) -> None:
        while True:
            await self._has_settled.wait()
            self._has_settled.clear()
            batch, self._settled = self._settled, []
            try:
                await outbox.settle(self._db, batch)
            except Exception:
                log.exception("outbox settle failed")
                self._settled = batch + self._settled
                await asyncio.sleep(0.5)
                self._has_settled.set()
                continue
            for _, outcome in batch:
                name = outcome.state.value if isinstance(outcome, Settled) else "retry"
                self.finished[name] = self.finished.get(name, 0) + 1
            self._woken.set()
            self._is_quiet.set()
