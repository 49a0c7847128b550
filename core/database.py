"""The database: transactions behind one write gate, reads beside it, the same on SQLite and PostgreSQL."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from core.log.appenders import Appender, PostgresAppender, SqliteAppender

log = logging.getLogger(__name__)

_CHECKPOINT_EVERY = 0.5  # seconds
_CHECKPOINT_PAGES = 2_000


class Tx:
    """An open write transaction. Whoever receives it neither commits nor talks to the network."""

    def __init__(self, session: AsyncSession, is_sqlite: bool) -> None:
        self.session = session
        self.is_sqlite = is_sqlite
        self._after: list[Callable[[], None]] = []

    def after_commit(self, act: Callable[[], None]) -> None:
        """Run `act` once the transaction is committed; never when it is rolled back."""
        self._after.append(act)

    def committed(self) -> None:
        for act in self._after:
            act()


class Database:
    """One per process. `begin` is for writes, `read` for everything else."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.gate = asyncio.Lock()
        if self.is_sqlite:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            self._readers = _sqlite_engine(url, writes=False)
            self._writers = _sqlite_engine(url, writes=True)
        else:
            self._readers = self._writers = create_async_engine(
                url,
                pool_size=8,
                max_overflow=8,
                connect_args={
                    "server_settings": {"lock_timeout": "2s", "idle_in_transaction_session_timeout": "30s"}
                },
            )

    @property
    def path(self) -> str:
        return self.url.database or ""

    @property
    def engine(self) -> AsyncEngine:
        return self._writers

    @asynccontextmanager
    async def begin(self, *, is_durable: bool = True) -> AsyncIterator[Tx]:
        """A write transaction, committed at the end of the block.

        On SQLite it holds the write gate, so keep it short. With `is_durable=False` the commit does not wait for the
        disk: only for what can be rebuilt from the log (a later durable commit makes it durable too, since the
        write-ahead log is one file).
        """
        async with (
            self.gate if self.is_sqlite else nullcontext(),
            AsyncSession(self._writers, expire_on_commit=False) as session,
        ):
            tx = Tx(session, self.is_sqlite)
            await session.connection(execution_options={"is_durable": is_durable})
            yield tx
            await session.commit()
        tx.committed()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A consistent view of what is committed; on SQLite it never waits for writers."""
        async with AsyncSession(self._readers, expire_on_commit=False) as session:
            yield session

    async def appender(self) -> Appender:
        if self.is_sqlite:
            return SqliteAppender(self.path, self.gate)
        return PostgresAppender(self.url.set(drivername="postgresql").render_as_string(hide_password=False))

    async def is_reachable(self) -> bool:
        try:
            async with asyncio.timeout(2), self.read() as session:
                await session.execute(text("SELECT 1"))
        except (DBAPIError, OSError, TimeoutError):
            return False
        return True

    async def keep(self) -> None:
        """Housekeeping until cancelled: on SQLite, checkpoints on a thread of their own."""
        if not self.is_sqlite:
            return
        loop = asyncio.get_running_loop()
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=0.2)
        connection.execute("PRAGMA wal_autocheckpoint=0")
        try:
            while True:
                await asyncio.sleep(_CHECKPOINT_EVERY)
                await loop.run_in_executor(None, _checkpoint, connection, Path(f"{self.path}-wal"))
        finally:
            connection.close()

    async def close(self) -> None:
        await self._writers.dispose()
        await self._readers.dispose()


def _checkpoint(connection: sqlite3.Connection, wal: Path) -> None:
    if not wal.exists() or wal.stat().st_size < _CHECKPOINT_PAGES * 4096:
        return
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except sqlite3.OperationalError as error:
        log.info("checkpoint postponed", extra={"reason": str(error)})


def _sqlite_engine(url: str, *, writes: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1 if writes else 4,
        max_overflow=0 if writes else 4,
        connect_args={"timeout": 2.0},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        # The driver's own transaction control is off: a transaction begins where we say so, IMMEDIATE for writes.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=0",
            "foreign_keys=ON",
            "cache_size=-32768",
            "mmap_size=268435456",
            "temp_store=MEMORY",
            *(() if writes else ("query_only=ON",)),
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        if not writes:
            connection.exec_driver_sql("BEGIN")
            return
        is_durable = connection.get_execution_options().get("is_durable", True)
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if is_durable else 'NORMAL'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
