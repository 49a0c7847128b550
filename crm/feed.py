"""The feed: what each batch of the CRM changed, stored with it, so that consoles of other processes can follow."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlmodel import col

from core.clock import Clock, now
from core.database import Database, Tx
from core.tables import Feed
from crm.desk.work import Changes
from crm.tables import Figure

log = logging.getLogger(__name__)

KEPT = timedelta(hours=1)
"""Consoles that were away for longer load their pages anew."""

_PAGE = 200
_LOOKED_EVERY = 1.0  # seconds; a lost wake-up costs no more
_BEGINS_AGAIN = 0.5


async def put(tx: Tx, changes: Changes, at: datetime) -> None:
    """Store what a batch changed, in its own transaction. Only the owner of the CRM's lease writes here."""
    if not (changes.parties or changes.lines or changes.figures):
        return
    newest = await tx.session.scalar(select(func.max(col(Feed.number))))
    tx.session.add(Feed(number=int(newest or 0) + 1, document=_document(changes), at=at))


async def forget_old(tx: Tx, at: datetime) -> None:
    await tx.session.execute(delete(Feed).where(col(Feed.at) < at - KEPT))


class FeedReader:
    """Follows the feed by number and hands each batch's changes on, in order."""

    def __init__(self, db: Database, told: Callable[[Changes], None], clock: Clock = now) -> None:
        self._db = db
        self._told = told
        self._clock = clock
        self._woken = asyncio.Event()
        self.is_watched: Callable[[], bool] = lambda: True
        self.position = -1  # where nothing was read yet: whoever begins, begins with what comes

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            try:
                if self.position < 0:
                    self.position = await self._newest()
                await self._advance()
            except Exception as error:
                log.warning("feed not read", extra={"reason": type(error).__name__})
                await asyncio.sleep(_BEGINS_AGAIN)
            await self._sleep()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(_LOOKED_EVERY):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _advance(self) -> None:
        if not self.is_watched():
            self.position = await self._newest()
            return
        while True:
            async with self._db.read() as session:
                rows = list(
                    (
                        await session.execute(
                            select(Feed)
                            .where(col(Feed.number) > self.position)
                            .order_by(col(Feed.number))
                            .limit(_PAGE)
                        )
                    ).scalars()
                )
            for row in rows:
                self._told(_changes(row.document))
                self.position = row.number
            if len(rows) < _PAGE:
                return

    async def _newest(self) -> int:
        async with self._db.read() as session:
            return int(await session.scalar(select(func.max(col(Feed.number)))) or 0)


def _document(changes: Changes) -> dict[str, Any]:
    return {
        "parties": [str(party) for party in changes.parties],
        "lines": [[seq, str(party)] for seq, party in changes.lines.items()],
        "figures": [figure.model_dump(mode="json") for figure in changes.figures],
    }


def _changes(document: dict[str, Any]) -> Changes:
    return Changes(
        parties={UUID(party) for party in document["parties"]},
        lines={seq: UUID(party) for seq, party in document["lines"]},
        figures=[
            Figure(**{**figure, "party_id": UUID(figure["party_id"])}) for figure in document["figures"]
        ],
    )
