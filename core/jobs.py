"""The in-process job runner: claims due outbox items, runs them side by side, settles them together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from uuid import UUID

from core import outbox
from core.clock import Clock, now
from core.database import Database
from core.outbox import Item, ItemState, Outcome, Settled

log = logging.getLogger(__name__)

Job = Callable[[Item], Awaitable[Outcome]]

_SIDE_BY_SIDE = 256
_LEAST_CLAIM = 64  # free places before more is claimed: each claim is a transaction
PRESSED = 700.0
"""Inbound entries a second from which everything else makes room for the intake."""

_PRESSED_CLAIM = 16
_PRESSED_PAUSE = 0.15  # seconds
_LONGEST_SLEEP = 1.0  # seconds; a wake-up that was lost costs at most this
_SWEEP_EVERY = timedelta(seconds=10)
_LONGEST_FAREWELL = 5.0
_LONGEST_JOB = 50.0  # seconds; less than outbox.CLAIM


class JobRunner:
    """Runs jobs until cancelled. `wake` is called after a commit that put something into the outbox."""

    def __init__(
        self,
        db: Database,
        jobs: Mapping[str, Job],
        clock: Clock = now,
        *,
        pressure: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._pressure = pressure
        self._db = db
        self._jobs = jobs
        self._clock = clock
        self._woken = asyncio.Event()
        self._running: set[UUID] = set()
        self._settled: list[tuple[UUID, Outcome]] = []
        self._has_settled = asyncio.Event()
        self._is_stopping = False
        self._is_quiet = asyncio.Event()
        self.finished: dict[str, int] = {}

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
            group.create_task(self._sweep())
            while True:
                is_pressed = self._pressure() > PRESSED
                claimed = await self._claim(_PRESSED_CLAIM if is_pressed else _SIDE_BY_SIDE)
                for item in claimed:
                    self._running.add(item.id)
                    group.create_task(self._work(item))
                if not claimed:
                    await self._sleep()
                elif is_pressed:
                    await asyncio.sleep(_PRESSED_PAUSE)

    async def _claim(self, most: int) -> list[Item]:
        self._woken.clear()
        free = _SIDE_BY_SIDE - len(self._running)
        if free < _LEAST_CLAIM or self._is_stopping:
            return []
        try:
            return await outbox.claim(self._db, self._clock(), min(free, most))
        except Exception:
            # The runner outlives a database that is away; the items stay in the outbox.
            log.exception("outbox claim failed")
            return []

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(_LONGEST_SLEEP):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _sweep(self) -> None:
        while True:
            try:
                for item in await outbox.adopt(self._db, self._clock()):
                    if item.id not in self._running:
                        self._running.add(item.id)
                        await self._work(item)
            except Exception:
                log.exception("outbox sweep failed")
            await asyncio.sleep(_SWEEP_EVERY.total_seconds())

    async def _work(self, item: Item) -> None:
        try:
            async with asyncio.timeout(_LONGEST_JOB):
                outcome = await self._jobs[item.job](item)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("job failed", extra={"job": item.job, "outbox_id": str(item.id)})
            outcome = Settled(ItemState.FAILED, f"{type(error).__name__}: {error}"[:500])
        self._running.discard(item.id)
        self._settled.append((item.id, outcome))
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
