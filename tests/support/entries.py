"""Entries for the log and a writer that takes them, for tests that need a log with something in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from core.clock import Clock
from core.database import Database
from core.log.entries import Entry
from core.log.writer import LogWriter
from core.values import Address, ChannelKind, Direction, EntryKind

NOON = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)

_MESSAGE: dict[str, Any] = {
    "account": "sms-test",
    "channel": ChannelKind.SMS,
    "direction": Direction.IN,
    "kind": EntryKind.MESSAGE,
    "occurred_at": NOON,
    "address": Address("tel", "+8613800000001"),
    "own": "short:10690000",
    "text": "你好",
}


def message(**changes: Any) -> Entry:
    """An inbound message, with a key of its own unless one is given."""
    return Entry(**{"dedupe_key": str(uuid4()), **_MESSAGE, **changes})


@asynccontextmanager
async def running_writer(db: Database, clock: Clock = lambda: NOON) -> AsyncIterator[LogWriter]:
    """A log writer that works until the block ends."""
    writer = LogWriter(await db.appender(), lambda: 1, clock)
    async with running(writer.run()):
        yield writer


@asynccontextmanager
async def running(work: Any) -> AsyncIterator["asyncio.Task[None]"]:
    """A coroutine that runs beside the block and is cancelled with it."""
    task: asyncio.Task[None] = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
