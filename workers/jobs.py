"""The hub's own jobs beside sending: fetching attachments, ending snoozes, logging what administrators changed."""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from core import outbox
from core.adapter import Fetches
from core.clock import Clock, now
from core.database import Database
from core.errors import BadInput, SendError
from core.files import FileStore
from core.intake import NOBODY, Intake
from core.outbox import Item, ItemState, Outcome, Settled
from core.tables import File
from core.values import Attachment

log = logging.getLogger(__name__)

NOTE = "note"
_LARGEST_ATTACHMENT = 25 * 1024 * 1024


class Fetcher:
    """Gets an attachment from its provider and stores it; a failure is shown on the line it belongs to."""

    def __init__(
        self, db: Database, adapter: Callable[[str], object], files: FileStore, clock: Clock = now
    ) -> None:
        self._db = db
        self._adapter = adapter
        self._files = files
        self._clock = clock

    async def __call__(self, item: Item) -> Outcome:
        attachment = Attachment(
            name=item.payload["name"], content_type=item.payload["type"], url=item.payload["url"]
        )
        adapter = self._adapter(item.account)
        if not isinstance(adapter, Fetches):
            return await self._fail(item, "not_fetchable")
        try:
            data = await adapter.fetch(attachment, _LARGEST_ATTACHMENT)
            stored = await self._files.store(data, attachment.content_type, attachment.name)
        except SendError as error:
            outcome = outbox.after_failure(error, item, self._clock())
            return outcome if not isinstance(outcome, Settled) else await self._fail(item, error.code)
        except BadInput as error:
            return await self._fail(item, error.code)
        async with self._db.begin() as tx:
            row = await tx.session.get(File, UUID(item.payload["file"]))
            if row is not None:
                row.sha256, row.size, row.content_type = stored.sha256, stored.size, stored.content_type
                row.state = "stored"
        return Settled(ItemState.DONE)

    async def _fail(self, item: Item, code: str) -> Outcome:
        async with self._db.begin() as tx:
            row = await tx.session.get(File, UUID(item.payload["file"]))
            if row is not None:
                row.state, row.error = "failed", code
        return Settled(ItemState.FAILED, code)


class Waker:
    """Ends a snooze by an act of the hub, so that a replay ends it too."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, item: Item) -> Outcome:
        await self._intake.act(
            "wake", by="", about=item.address, key=f"wake:{item.id}", detail=dict(item.payload)
        )
        return Settled(ItemState.DONE)


class Noter:
    """Logs an administrator's act that was committed with its change, should its own process not have done so."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, item: Item) -> Outcome:
        await note(self._intake, item.payload)
        return Settled(ItemState.DONE)


async def note(intake: Intake, said: dict[str, Any]) -> None:
    """Into the log, once: both who made the change and the job use its key."""
    await intake.act(said["act"], by=said["by"], about=NOBODY, key=said["key"], detail=dict(said["detail"]))
