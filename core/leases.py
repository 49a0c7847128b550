"""Leases: what only one process may do belongs to one at a time, by the database's clock, fenced by an epoch."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col

from core.clock import Clock, now
from core.database import Database, Tx
from core.errors import SwitchboardError
from core.tables import LeaseRow

log = logging.getLogger(__name__)

LASTS = timedelta(seconds=6)
"""How long a lease holds without being renewed: its owner's work stands still for so long when it dies."""

_RENEWED_EVERY = 1.5  # seconds
_ASKED_EVERY = 1.0  # seconds between the attempts of those who stand by


class LeaseLost(SwitchboardError):
    """Another process does this now; what was begun here is not committed."""

    code = "lease_lost"


@dataclass(frozen=True, slots=True)
class Lease:
    """One process's right to do what `name` says, until another takes it. A new owner has a higher epoch."""

    name: str
    holder: str
    epoch: int

    async def guard(self, tx: Tx) -> None:
        """Raise LeaseLost unless this lease still stands; it then stands until the transaction ends.

        Call it last: whoever takes the lease over waits for the row, and so for what is committed here.
        """
        mine = select(col(LeaseRow.epoch)).where(
            col(LeaseRow.name) == self.name,
            col(LeaseRow.holder) == self.holder,
            col(LeaseRow.epoch) == self.epoch,
        )
        if await tx.session.scalar(mine.with_for_update(read=True)) is None:
            raise LeaseLost("Another process has taken this over.", lease=self.name)


class Leases:
    """The leases of one process. `holder` names the process and this run of it, so that none inherits from itself."""

    def __init__(self, db: Database, holder: str, *, lasts: timedelta = LASTS, clock: Clock = now) -> None:
        self._db = db
        self.holder = holder
        self._lasts = lasts
        self._clock = clock
        self.held: dict[str, Lease] = {}

    async def take(self, name: str) -> Lease | None:
        """The lease, if nobody has it or its owner has let it run out."""
        moment = self._moment()
        insert = (sqlite.insert if self._db.is_sqlite else postgresql.insert)(LeaseRow)
        statement = insert.values(name=name, holder=self.holder, epoch=1, until=moment + self._lasts)
        async with self._db.begin(is_durable=False) as tx:
            epoch = await tx.session.scalar(
                statement.on_conflict_do_update(
                    index_elements=["name"],
                    set_={
                        "holder": self.holder,
                        "epoch": col(LeaseRow.epoch) + 1,
                        "until": insert.excluded.until,
                    },
                    where=col(LeaseRow.until) < moment,
                ).returning(col(LeaseRow.epoch))
            )
        return None if epoch is None else Lease(name, self.holder, int(epoch))

    async def renew(self, lease: Lease) -> bool:
        """Whether the lease is still ours; it then lasts anew. Also one that ran out and that nobody has taken."""
        async with self._db.begin(is_durable=False) as tx:
            epoch = await tx.session.scalar(
                update(LeaseRow)
                .where(
                    col(LeaseRow.name) == lease.name,
                    col(LeaseRow.holder) == lease.holder,
                    col(LeaseRow.epoch) == lease.epoch,
                )
                .values(until=self._moment() + self._lasts)
                .returning(col(LeaseRow.epoch))
            )
        return epoch is not None

    async def give_up(self, lease: Lease) -> None:
        """Let another take it at once. The row stays, so that epochs only grow."""
        async with self._db.begin(is_durable=False) as tx:
            await tx.session.execute(
                update(LeaseRow)
                .where(
                    col(LeaseRow.name) == lease.name,
                    col(LeaseRow.holder) == lease.holder,
                    col(LeaseRow.epoch) == lease.epoch,
                )
                .values(until=self._moment() - timedelta(microseconds=1))
            )

    async def hold(self, name: str, work: Callable[[Lease], Awaitable[None]]) -> None:
        """Stand by for the lease, do the work while it is ours, stand by again. Until cancelled."""
        while True:
            lease = await self._stand_by(name)
            log.info("lease taken", extra={"lease": name, "epoch": lease.epoch})
            self.held[name] = lease
            try:
                await self._work(lease, work)
            finally:
                del self.held[name]
                # Whoever stops in order does not make the others wait.
                with suppress(Exception):
                    async with asyncio.timeout(2):
                        await self.give_up(lease)
            await asyncio.sleep(_ASKED_EVERY)

    async def _stand_by(self, name: str) -> Lease:
        while True:
            try:
                if (lease := await self.take(name)) is not None:
                    return lease
            except Exception as error:
                log.warning("lease not asked for", extra={"lease": name, "reason": type(error).__name__})
            await asyncio.sleep(_ASKED_EVERY)

    async def _work(self, lease: Lease, work: Callable[[Lease], Awaitable[None]]) -> None:
        working = asyncio.ensure_future(work(lease))
        renewing = asyncio.ensure_future(self._keep(lease))
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            if working.done() and not working.cancelled() and (error := working.exception()) is not None:
                log.error("leased work failed and begins again", exc_info=error, extra={"lease": lease.name})
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)

    async def _keep(self, lease: Lease) -> None:
        """Renew until the lease is lost: told so, or not heard of for as long as it lasts."""
        renewed_at = time.monotonic()
        while True:
            await asyncio.sleep(_RENEWED_EVERY)
            try:
                async with asyncio.timeout(self._lasts.total_seconds() / 2):
                    is_ours = await self.renew(lease)
            except Exception as error:
                log.warning("lease not renewed", extra={"lease": lease.name, "reason": type(error).__name__})
                if time.monotonic() - renewed_at < self._lasts.total_seconds():
                    continue
                is_ours = False
            if not is_ours:
                log.warning("lease lost", extra={"lease": lease.name, "epoch": lease.epoch})
                return
            renewed_at = time.monotonic()

    def _moment(self) -> Any:
        """Now, by the one clock that all processes share."""
        return self._clock() if self._db.is_sqlite else func.clock_timestamp()


async def all_leases(db: Database) -> list[LeaseRow]:
    async with db.read() as session:
        return list((await session.execute(select(LeaseRow).order_by(col(LeaseRow.name)))).scalars())
