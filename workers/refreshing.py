"""Refreshing: what another process has published or changed takes effect here within seconds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy import func, select
from sqlmodel import col

from core.accounts import AccountBook
from core.database import Database
from crm.blueprint.publishing import Book
from crm.tables import BlueprintVersion

log = logging.getLogger(__name__)

_LOOKED_EVERY = 2.0  # seconds


class Refresher:
    """Looks for new blueprints and changed accounts. `prepare` is run first, until it succeeds once."""

    def __init__(
        self, db: Database, book: Book, accounts: AccountBook, prepare: Callable[[], Awaitable[None]]
    ) -> None:
        self._db = db
        self._book = book
        self._accounts = accounts
        self._prepare = prepare
        self._woken = asyncio.Event()
        self.is_prepared = False

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:
                log.warning("not refreshed", extra={"reason": type(error).__name__})
            try:
                async with asyncio.timeout(_LOOKED_EVERY):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()

    async def look(self) -> None:
        if not self.is_prepared:
            await self._prepare()
            self.is_prepared = True
        async with self._db.read() as session:
            newest = await session.scalar(select(func.max(col(BlueprintVersion.version))))
            changed = await self._accounts.load(session)
        if int(newest or 0) > self._book.version:
            await self._book.load(self._db)
            log.info("blueprint taken", extra={"version": self._book.version})
        if changed:
            log.info("accounts taken", extra={"accounts": sorted(changed)})
