"""Draining the spool: what lies there is entered into the log in order, by one process of the host at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from core.errors import EntryRefused, Unavailable
from core.log.entries import Entry
from core.spool.folder import SpoolFolder
from core.spool.reading import Portion, SpoolReader
from core.values import Accepted

log = logging.getLogger(__name__)

_LOOKS_EVERY = 0.5  # seconds; also how soon a process notices what a dead one left
_TRIES = 100
_GAP = 0.002

Write = Callable[[Sequence[Entry]], Awaitable[list[Accepted | Unavailable]]]
"""Enters in order and says what became of each. Where one is not entered because the log is away, none behind it is."""


class Drainer:
    """Every process that writes the log has one; a lock in the folder decides who works.

    `is_ready`: this process has loaded what entries refer to, such as the blueprint's version.
    """

    def __init__(
        self, folder: SpoolFolder, write: Write, is_ready: Callable[[], bool] = lambda: True
    ) -> None:
        self._folder = folder
        self._write = write
        self._is_ready = is_ready

    async def run(self) -> None:
        while True:
            if self._folder.is_begun() and self._is_ready():
                try:
                    await self.drain()
                except Unavailable as error:
                    log.debug("spool not drained", extra={"reason": error.message})
                except OSError:
                    log.exception("spool not drained")
            await asyncio.sleep(_LOOKS_EVERY)

    async def drain(self) -> None:
        """Enter all of it and end the spool, unless another process is about it. Raises Unavailable, OSError."""
        with self._folder.draining() as is_ours:
            if not is_ours:
                return
            reader = SpoolReader(self._folder)
            entered = 0
            while True:
                portion = await asyncio.to_thread(reader.next)
                # Whoever ends the spool makes all others wait, so the log has to have answered before.
                if portion.is_all and (entered or not portion.records):
                    if (last := await self._end(reader)) is not None:
                        log.info("spool drained", extra={"entries": entered + last})
                        return
                    continue
                entered += await self._enter(reader, portion)

    async def _end(self, reader: SpoolReader) -> int | None:
        """Enter the rest while nobody can add to it. None when others leave no gap, or have added much meanwhile."""
        for _ in range(_TRIES):
            with self._folder.ending() as is_ours:
                if is_ours:
                    return await self._end_alone(reader)
            await asyncio.sleep(_GAP)
        return None

    async def _end_alone(self, reader: SpoolReader) -> int | None:
        portion = await asyncio.to_thread(reader.next)
        if not portion.is_all:
            return None
        entered = await self._enter(reader, portion)
        await asyncio.to_thread(self._folder.end)
        return entered

    async def _enter(self, reader: SpoolReader, portion: Portion) -> int:
        outcomes = await self._write([record.entry for record in portion.records])
        for record, outcome in zip(portion.records, outcomes, strict=True):
            match outcome:
                case EntryRefused():
                    await asyncio.to_thread(reader.refuse, portion, record, outcome.message)
                case Unavailable():
                    raise outcome
        reader.passed(portion)
        return len(portion.records)
