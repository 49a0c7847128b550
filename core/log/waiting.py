"""An entry on its way to the disk, and the sender who waits until it is there."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass

from core.errors import Unavailable
from core.log.appenders import Prepared
from core.values import Taken


@dataclass(slots=True)
class Waiting:
    """Whoever waits may have left; then nobody is told."""

    item: Prepared
    may_spool: bool  # its sender is content when it lies in the spool
    answer: asyncio.Future[Taken]

    def tell(self, taken: Taken) -> None:
        if not self.answer.done():
            self.answer.set_result(taken)

    def refuse(self, error: Unavailable) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def finished(work: Coroutine[None, None, None]) -> None:
    """Whoever is stopped while a batch is being written still learns what became of it, and tells those who wait."""
    writing = asyncio.ensure_future(work)
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await writing
        raise
