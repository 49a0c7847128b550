"""SQLite's one write gate: whoever holds it writes; the intake goes first, but nobody waits for ever."""

import asyncio
import time
from collections import deque

_PATIENCE = 0.1  # seconds after which ordinary writing goes before the intake's next commit


class WriteGate:
    """A lock with two queues. Those who wait in front of a webhook are urgent: their sender waits for an answer."""

    def __init__(self) -> None:
        self._is_held = False
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._ordinary: deque[tuple[float, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._urgent) + len(self._ordinary)

    async def acquire(self, *, is_urgent: bool = False) -> None:
        if not self._is_held and not self.waiting:
            self._is_held = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if is_urgent:
            self._urgent.append(turn)
        else:
            self._ordinary.append((time.monotonic(), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it was handed over in the same moment
            raise

    def release(self) -> None:
        self._is_held = False
        turn = self._next()
        if turn is not None:
            self._is_held = True
            turn.set_result(None)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *raised: object) -> None:
        self.release()

    def _next(self) -> asyncio.Future[None] | None:
        self._drop_cancelled()
        if self._ordinary and (not self._urgent or time.monotonic() - self._ordinary[0][0] > _PATIENCE):
            return self._ordinary.popleft()[1]
        return self._urgent.popleft() if self._urgent else None

    def _drop_cancelled(self) -> None:
        while self._urgent and self._urgent[0].done():
            self._urgent.popleft()
        while self._ordinary and self._ordinary[0][1].done():
            self._ordinary.popleft()
