"""Live events: what has just been committed, in front of everyone who watches, with resume by sequence number."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson

from core.database import Database
from core.log import reader
from core.log.appenders import Prepared
from core.log.entries import Logged

log = logging.getLogger(__name__)

_KEPT = 4_096  # entries in memory, so that a busy hub does not read back what it has just written
_PAGE = 500
_GATHER = (
    0.02  # seconds after a look into the database, where entries of other processes come commit by commit
)

Sink = Callable[[Sequence[Logged]], None]


class Tail:
    """The end of the log, handed to one sink in order. Commits only wake it; the log itself is the truth."""

    def __init__(self, db: Database, sink: Sink) -> None:
        self._db = db
        self._sink = sink
        self._recent: deque[Logged] = deque(maxlen=_KEPT)
        self._woken = asyncio.Event()
        self.is_watched: Callable[[], bool] = lambda: True
        self.position = 0

    def committed(self, entries: Sequence[Prepared], recorded_at: datetime) -> None:
        """A commit listener. Keeps the entries only while somebody watches."""
        if self.is_watched():
            self._recent.extend(_logged(item, recorded_at) for item in entries)
        self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        if not self.position:  # begun again after a failure, it goes on where it was
            async with self._db.read() as session:
                self.position = await reader.head(session)
        while True:
            await self._woken.wait()
            self._woken.clear()
            if not self.is_watched():
                async with self._db.read() as session:
                    self.position = await reader.head(session)
                continue
            if await self._advance():
                await asyncio.sleep(_GATHER)

    async def _advance(self) -> bool:
        """Hand on what there is. True: some of it had to be read from the database."""
        has_asked = False
        while True:
            batch = self._from_memory()
            is_more = bool(batch) and bool(self._recent)
            if not batch:
                has_asked = True
                async with self._db.read() as session:
                    batch = await reader.after(session, self.position, _PAGE)
                if not batch:
                    return True
                is_more = len(batch) == _PAGE or bool(self._recent)
            self.position = batch[-1].seq
            self._sink(batch)
            if not is_more:
                return has_asked
            await asyncio.sleep(0)

    def _from_memory(self) -> list[Logged]:
        recent = self._recent
        while recent and recent[0].seq <= self.position:
            recent.popleft()
        batch: list[Logged] = []
        expected = self.position + 1
        while recent and recent[0].seq == expected and len(batch) < _PAGE:
            batch.append(recent.popleft())
            expected += 1
        return batch


def _logged(item: Prepared, recorded_at: datetime) -> Logged:
    entry = item.entry
    data: dict[str, Any] = orjson.loads(entry.data)
    return Logged(
        seq=item.seq,
        id=item.id,
        account=entry.account,
        channel=entry.channel,
        direction=entry.direction,
        kind=entry.kind,
        shard=item.shard,
        external_id=entry.external_id,
        occurred_at=entry.occurred_at,
        recorded_at=recorded_at,
        thread=entry.thread,
        in_reply_to=entry.in_reply_to,
        blueprint=item.blueprint,
        address=entry.address,
        own=entry.own,
        text=entry.text,
        data=data,
    )
