"""The CRM's consumer: every entry of the log, in order, becomes lines, cases, figures and answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from core.database import Tx
from core.log.entries import Logged
from core.values import Direction, EntryKind
from crm import deliveries, messages
from crm.blueprint.publishing import Book
from crm.collection import figures
from crm.desk import acts
from crm.desk.known import know
from crm.desk.work import Changes, Work


class CrmConsumer:
    """Digests the log for the CRM. `announce` is told of each committed batch's changes; `keep` stores them with it."""

    name = "crm"

    def __init__(
        self,
        book: Book,
        announce: Callable[[Changes], None],
        keep: Callable[[Tx, Changes], Awaitable[None]] | None = None,
    ) -> None:
        self._book = book
        self._announce = announce
        self._keep = keep

    async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None:
        work = Work(tx, await know(tx, batch), self._book)
        for entry in batch:
            with tx.session.no_autoflush:
                await _take(work, entry)
            await asyncio.sleep(0)  # webhooks and consoles are served in between
        work.changes.figures = await figures.refresh(tx, work.touched, batch[-1].seq)
        changes = work.changes
        if self._keep is not None:
            await self._keep(tx, changes)
        tx.after_commit(lambda: self._announce(changes))


async def _take(work: Work, entry: Logged) -> None:
    if entry.is_erased:  # what it led to stays; who it was must not come back
        return
    match entry.kind, entry.direction:
        case EntryKind.MESSAGE, Direction.OUT:
            await deliveries.take_outgoing(work, entry)
        case ((EntryKind.MESSAGE | EntryKind.UNREADABLE), _) if entry.address.scheme != "hub":
            await messages.take_message(work, entry)
        case EntryKind.STATUS, _:
            await deliveries.take_status(work, entry)
        case EntryKind.ACT, _:
            await acts.take_act(work, entry)
        case _:
            return
