"""The database: transactions behind one write gate, reads beside it, the same on SQLite and PostgreSQL."""

import asyncio
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import Executable, Result, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import AsyncAdaptedQueuePool

from core.gate import WriteGate
from core.log.appenders import Appender, PostgresAppender, SqliteAppender

log = logging.getLogger(__name__)

_CHECKPOINT_EVERY = 0.5  # seconds
_CHECKPOINT_PAGES = 2_000
_CONNECTS_WITHIN = 2.0
_ANSWERS_WITHIN = 15.0  # seconds for one statement: a network that swallows everything looks like a long one


class Tx:
    """An open write transaction. Whoever receives it neither commits nor talks to the network."""

    def __init__(self, session: AsyncSession, is_sqlite: bool, gate: "_Gate") -> None:
        self.session = session
        self.is_sqlite = is_sqlite
        self._gate = gate
        self._rows: dict[Executable, list[dict[str, Any]]] = {}
        self._after: list[Callable[[], None]] = []

    async def writing(self) -> None:
        """From here on the transaction writes: on SQLite it waits for the write gate, once."""
        await self._gate.enter()

    async def flush(self) -> None:
        """Send what was added or changed to the database, so that queries see it."""
        await self.writing()
        await self.session.flush()

    async def write(self, statement: Executable, rows: Sequence[dict[str, Any]] | None = None) -> Result[Any]:
        """Execute a statement that changes rows."""
        await self.writing()
        return await self.session.execute(statement, rows) if rows else await self.session.execute(statement)

    def write_later(self, statement: Executable, row: dict[str, Any]) -> None:
        """Collect a row for a statement that is executed once, before the commit, with all its rows."""
        self._rows.setdefault(statement, []).append(row)

    async def write_collected(self) -> None:
        """Write the collected rows now, for queries that have to see them."""
        await self.flush()
        collected, self._rows = self._rows, {}
        for statement, rows in collected.items():
            await self.write(statement, rows)

    async def finish(self) -> None:
        await self.write_collected()
        await self.session.commit()

    def after_commit(self, act: Callable[[], None]) -> None:
        """Run `act` once the transaction is committed; never when it is rolled back."""
        self._after.append(act)

    def committed(self) -> None:
        for act in self._after:
            act()


class _Gate:
    """SQLite's one write gate, entered at most once by a transaction. `session.info` tells the session's binds."""

    def __init__(self, lock: WriteGate | None) -> None:
        self._lock = lock
        self.is_entered = False
        self.info: dict[Any, Any] = {}

    async def enter(self) -> None:
        if self.is_entered:
            return
        if self._lock is not None:
            await self._lock.acquire()
        self.is_entered = True
        self.info["writes"] = True

    def leave(self) -> None:
        if self.is_entered and self._lock is not None:
            self._lock.release()
        self.is_entered = False


class _LateSession(Session):
    """Reads beside the writers until the transaction itself begins to write."""

    def get_bind(self, *args: Any, **kwargs: Any) -> Any:
        return self.info["writer" if self.info.get("writes") else "reader"]


class Database:
    """One per process. `begin` is for writes, `read` for everything else."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.gate = WriteGate()
        if self.is_sqlite:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            self._readers = _sqlite_engine(url, writes=False)
            self._writers = _sqlite_engine(url, writes=True)
            self._relaxed = self._writers.sync_engine.execution_options(is_durable=False)
        else:
            self._readers = self._writers = create_async_engine(
                url,
                pool_size=8,
                max_overflow=8,
                connect_args={
                    "timeout": _CONNECTS_WITHIN,
                    "command_timeout": _ANSWERS_WITHIN,
                    "server_settings": {"lock_timeout": "2s", "idle_in_transaction_session_timeout": "30s"},
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
        gate = _Gate(self.gate if self.is_sqlite else None)
        await gate.enter()
        try:
            async with AsyncSession(self._writers, expire_on_commit=False) as session:
                tx = Tx(session, self.is_sqlite, gate)
                await session.connection(execution_options={"is_durable": is_durable})
                yield tx
                await tx.finish()
        finally:
            gate.leave()
        tx.committed()

    @asynccontextmanager
    async def digesting(self) -> AsyncIterator[Tx]:
        """A transaction for a consumer: not durable by itself, and on SQLite it holds the gate only while it writes.

        Until its first write it reads beside the writers. That is safe for what only one consumer changes, one batch
        at a time; see docs/adr/.
        """
        if not self.is_sqlite:
            async with self.begin(is_durable=False) as tx:
                yield tx
            return
        gate = _Gate(self.gate)
        try:
            # The session ends, and with it the transaction, before the gate opens: another writer must not find the
            # database locked. Whoever is cancelled while that happens opens it all the same.
            async with AsyncSession(sync_session_class=_LateSession, expire_on_commit=False) as session:
                session.sync_session.info.update(reader=self._readers.sync_engine, writer=self._relaxed)
                gate.info = session.sync_session.info
                tx = Tx(session, True, gate)
                with session.no_autoflush:
                    yield tx
                    await tx.finish()
        finally:
            gate.leave()
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

    async def time(self) -> datetime:
        """What time it is by PostgreSQL's clock."""
        async with self.read() as session:
            told: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
        return told

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


_OUTAGES = ("08", "40", "53", "55", "57")
"""SQLSTATE classes of what another try may mend: the connection, a deadlock, resources, a lock, a shutdown."""


_AWAY = re.compile("locked|busy|disk|unable to open|readonly")  # in SQLite's words


def is_outage(error: BaseException) -> bool:
    """Whether the database was away or busy, as opposed to having refused what it was asked."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or isinstance(error.orig, OSError):
            return True
        state = str(getattr(error.orig, "sqlstate", "") or getattr(error.orig, "pgcode", "") or "")
        return state[:2] in _OUTAGES or (
            isinstance(error, OperationalError) and bool(_AWAY.search(str(error.orig)))
        )
    return isinstance(
        error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.PostgresConnectionError
    )


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
