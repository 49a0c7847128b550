"""The schedule: what the clock asks for, by whichever process has that lease."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """Something done again and again; done twice, it does no harm."""

    name: str
    every: timedelta
    act: Callable[[], Awaitable[object]]


async def keep(tasks: Sequence[Task]) -> None:
    """Do each task now and then at its intervals, side by side, until cancelled. A failure waits for the next time."""
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(_keep(task), name=task.name)


async def _keep(task: Task) -> None:
    while True:
        try:
            await task.act()
        except Exception:
            log.exception("scheduled task failed", extra={"task": task.name})
        await asyncio.sleep(task.every.total_seconds())
