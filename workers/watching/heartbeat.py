"""Heartbeat: each process says every few seconds that it is there, and how it is, in table `process`."""

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlmodel import col

from core.clock import Clock, now
from core.database import Database
from core.tables import ProcessRow

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds
_FAREWELL = 2.0

Detail = Callable[[], Mapping[str, Any]]
"""What a process says of itself: numbers and names of ours, as JSON. Asked for at each beat, so it must be quick."""


class Heartbeat:
    """Who stops in order takes its row along; a row that is not renewed is a process that somebody has to look for."""

    def __init__(
        self,
        db: Database,
        name: str,
        role: str,
        detail: Detail,
        clock: Clock = now,
        *,
        folders: Mapping[str, Path] | None = None,
    ) -> None:
        self._db = db
        self._role = role
        self._detail = detail
        self._clock = clock
        self._folders = folders or {}
        self._host = socket.gethostname()
        self._started_at = clock()
        self.name = name or f"{role}@{self._host}:{os.getpid()}"

    async def run(self) -> None:
        is_first = True
        try:
            while True:
                try:
                    await self.beat()
                    if is_first:
                        await self.forget_dead()
                        is_first = False
                except Exception as error:
                    # Whoever watches sees that the database is away; nobody is missing because of that.
                    log.info("heartbeat not noted", extra={"reason": type(error).__name__})
                await asyncio.sleep(EVERY)
        finally:
            await self._leave()

    async def beat(self) -> None:
        disk = await asyncio.to_thread(_free, self._folders)
        row = ProcessRow(
            name=self.name,
            role=self._role,
            host=self._host,
            pid=os.getpid(),
            started_at=self._started_at,
            seen_at=self._clock(),
            detail={**self._detail(), "disk": disk},
        )
        async with self._db.begin(is_durable=False) as tx:
            await tx.session.merge(row)

    async def forget_dead(self) -> None:
        """Take away the rows of this host's processes that were named by their pid and have none any more.

        A process with a name of its own comes back under it, so its row stays and is an alarm until then.
        """
        async with self._db.read() as session:
            rows = await session.execute(
                select(col(ProcessRow.name), col(ProcessRow.role), col(ProcessRow.pid)).where(
                    col(ProcessRow.host) == self._host
                )
            )
            dead = [
                row.name
                for row in rows
                if row.name == f"{row.role}@{self._host}:{row.pid}" and not _is_alive(row.pid)
            ]
        if dead:
            async with self._db.begin(is_durable=False) as tx:
                await tx.write(delete(ProcessRow).where(col(ProcessRow.name).in_(dead)))

    async def _leave(self) -> None:
        with suppress(Exception):
            async with asyncio.timeout(_FAREWELL), self._db.begin(is_durable=False) as tx:
                # Only its own: a successor of the same name may have begun already.
                await tx.write(
                    delete(ProcessRow).where(
                        col(ProcessRow.name) == self.name,
                        col(ProcessRow.host) == self._host,
                        col(ProcessRow.pid) == os.getpid(),
                    )
                )


def _free(folders: Mapping[str, Path]) -> dict[str, float]:
    """Which share of the disk is free below each folder that exists."""
    free = {}
    for name, path in folders.items():
        with suppress(OSError):
            usage = shutil.disk_usage(path)
            free[name] = round(usage.free / usage.total, 4)
    return free


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
