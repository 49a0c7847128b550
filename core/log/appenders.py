"""The two ways to append a batch to the log: one transaction on SQLite, one statement on PostgreSQL."""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

import asyncpg

from core.errors import Unavailable
from core.gate import WriteGate
from core.ids import uuid7
from core.log.entries import Entry, content_digest, shard_for
from core.moments import micros


@dataclass(slots=True)
class Prepared:
    """An entry with everything that is decided before the database is asked. `seq` is filled in by the append."""

    entry: Entry
    id: UUID
    salt: bytes
    digest: bytes
    shard: int
    blueprint: int
    seq: int = 0
    is_new: bool = True


def prepare(entry: Entry, blueprint: int) -> Prepared:
    salt = os.urandom(16)
    digest = content_digest(
        salt,
        entry.address.scheme,
        entry.address.value,
        entry.own,
        entry.text,
        entry.data,
        entry.raw,
        entry.raw_type,
    )
    return Prepared(entry, uuid7(), salt, digest, shard_for(entry), blueprint)


class Appender(Protocol):
    """Appends batches; returns once they are durable. `seq`, `id` and `is_new` of each item are set then."""

    async def append(self, batch: Sequence[Prepared], recorded_at: datetime) -> None: ...

    async def close(self) -> None: ...


_KNOWN = (
    "SELECT k.account, k.dedupe_key, l.seq, k.id FROM log_key k JOIN log l ON l.id = k.id"
    " WHERE (k.account, k.dedupe_key) IN (VALUES {})"
)
_KNOWN_CHUNK = 400  # SQLite takes at most 500 terms of a VALUES list before it compiles them one by one

_KEY = "INSERT INTO log_key (account, dedupe_key, id) VALUES (?, ?, ?)"
_LOG = (
    "INSERT INTO log (seq, recorded_at, id, account, channel, direction, kind, shard, external_id, occurred_at,"
    " thread, in_reply_to, blueprint, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CONTENT = (
    "INSERT INTO content (seq, scheme, address, own, text, data, raw, raw_type, salt)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class SqliteAppender:
    """Appends on a connection and a thread of its own, while it holds the write gate."""

    def __init__(self, path: str, gate: WriteGate) -> None:
        self._gate = gate
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=0",  # core.database checkpoints on a thread of its own
            "cache_size=-65536",
            "temp_store=MEMORY",
        ):
            self._db.execute(f"PRAGMA {pragma}")

    async def append(self, batch: Sequence[Prepared], recorded_at: datetime) -> None:
        await self._gate.acquire(is_urgent=True)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._append, batch, recorded_at)
        finally:
            self._gate.release()

    def _append(self, batch: Sequence[Prepared], recorded_at: datetime) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise Unavailable("The database is busy or away; send the same again in a moment.") from error
        try:
            self._insert(batch, micros(recorded_at))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _insert(self, batch: Sequence[Prepared], recorded: int) -> None:
        known = self._known({(item.entry.account, item.entry.dedupe_key) for item in batch})
        (seq,) = self._db.execute("SELECT seq FROM log_head WHERE id = 1").fetchone()
        keys, envelopes, contents = [], [], []
        for item in batch:
            entry = item.entry
            key = (entry.account, entry.dedupe_key)
            if (earlier := known.get(key)) is not None:
                item.seq, item.id, item.is_new = earlier[0], earlier[1], False
                continue
            seq += 1
            item.seq, item.is_new = seq, True
            known[key] = (seq, item.id)
            id_bytes = item.id.bytes
            keys.append((entry.account, entry.dedupe_key, id_bytes))
            envelopes.append(
                (
                    seq,
                    recorded,
                    id_bytes,
                    entry.account,
                    entry.channel.value,
                    entry.direction.value,
                    entry.kind.value,
                    item.shard,
                    entry.external_id,
                    micros(entry.occurred_at),
                    entry.thread,
                    entry.in_reply_to.bytes if entry.in_reply_to else None,
                    item.blueprint,
                    item.digest,
                )
            )
            contents.append(
                (
                    seq,
                    entry.address.scheme,
                    entry.address.value,
                    entry.own,
                    entry.text,
                    entry.data.decode(),
                    entry.raw,
                    entry.raw_type,
                    item.salt,
                )
            )
        if keys:
            self._db.executemany(_KEY, keys)
            self._db.executemany(_LOG, envelopes)
            self._db.executemany(_CONTENT, contents)
            self._db.execute("UPDATE log_head SET seq = ? WHERE id = 1", (seq,))

    def _known(self, keys: set[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, UUID]]:
        known = {}
        rest = list(keys)
        while rest:
            chunk, rest = rest[:_KNOWN_CHUNK], rest[_KNOWN_CHUNK:]
            # Powers of two, filled up by repeats: few different statements, each compiled once.
            size = 1 << (len(chunk) - 1).bit_length()
            chunk += chunk[:1] * (size - len(chunk))
            sql = _KNOWN.format(",".join(["(?,?)"] * size))
            for account, dedupe_key, seq, id_bytes in self._db.execute(
                sql, [part for key in chunk for part in key]
            ):
                known[account, dedupe_key] = (seq, UUID(bytes=id_bytes))
        return known

    async def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._db.close()


# One statement: keys sorted (so that two writers cannot deadlock), the head row locked last and only when something
# is new, the survivors numbered in the order of arrival. No lock outlives the statement, so sequence order is commit
# order and a reader of `seq > n` misses nothing.
_APPEND = """
WITH input AS (
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[],
    $8::smallint[], $9::text[], $10::timestamptz[], $11::text[], $12::uuid[], $13::smallint[], $14::bytea[],
    $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::bytea[], $21::text[], $22::bytea[])
  AS t(ord, account, dedupe_key, id, channel, direction, kind, shard, external_id, occurred_at, thread,
    in_reply_to, blueprint, digest, scheme, address, own, body, data, raw, raw_type, salt)
), keys AS (
  INSERT INTO log_key (account, dedupe_key, id)
  SELECT account, dedupe_key, id FROM input ORDER BY account, dedupe_key
  ON CONFLICT DO NOTHING RETURNING id
), fresh AS (
  SELECT count(*) AS n FROM keys
), head AS (
  UPDATE log_head SET seq = log_head.seq + fresh.n FROM fresh WHERE log_head.id = 1 AND fresh.n > 0
  RETURNING log_head.seq - fresh.n AS base
), numbered AS (
  SELECT input.*, head.base + row_number() OVER (ORDER BY ord) AS seq
  FROM input JOIN keys USING (id) CROSS JOIN head
), envelopes AS (
  INSERT INTO log (seq, recorded_at, id, account, channel, direction, kind, shard, external_id, occurred_at,
    thread, in_reply_to, blueprint, digest)
  SELECT seq, $23::timestamptz, id, account, channel, direction, kind, shard, external_id, occurred_at,
    thread, in_reply_to, blueprint, digest FROM numbered
), contents AS (
  INSERT INTO content (seq, scheme, address, own, text, data, raw, raw_type, salt)
  SELECT seq, scheme, address, own, body, data, raw, raw_type, salt FROM numbered
)
SELECT id, seq FROM numbered
"""

_REPEATS = """
SELECT k.account, k.dedupe_key, k.id, l.seq
FROM unnest($1::text[], $2::text[]) AS t(account, dedupe_key)
JOIN log_key k USING (account, dedupe_key) JOIN log l ON l.id = k.id
"""


_WAIT = 2.0  # seconds for a connection, and for a statement; a sender waits meanwhile
_TRIES = 3

# The server's own ends are a little earlier than ours, so that it says why. The last four make it notice within
# seconds that we are gone, and let go of what we had locked; what we ask has an end of its own.
_SESSION = {
    "lock_timeout": "1500ms",
    "statement_timeout": "1800ms",
    "idle_in_transaction_session_timeout": "2s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "3000",
}

# What is wrong with an entry itself. All else that PostgreSQL says (it stops, has no room, only reads, lacks a table)
# is wrong with the database, and will be mended while the spool waits.
_REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
# The connection was cut: the server may have come back since we last asked it.
_CUTS = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,  # in asyncpg's words, when it happens between two steps of its own
    RuntimeError,  # in uvloop's words: "the handler is closed"
)
_WORTH_ANOTHER = (asyncpg.DeadlockDetectedError, *_CUTS)
_OUTAGES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, *_CUTS)


class PostgresAppender:
    """Appends over one asyncpg connection of its own. What was cut off is appended again: the keys keep it single."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._db: asyncpg.Connection[asyncpg.Record] | None = None

    async def append(self, batch: Sequence[Prepared], recorded_at: datetime) -> None:
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._append(await self._connection(), batch, recorded_at)
            except _REFUSALS:
                raise
            except _OUTAGES as error:
                if not isinstance(error, asyncpg.DeadlockDetectedError):
                    # Whatever state it is in: a new one is certain. After a time-out it would wait for an answer first.
                    self._drop()
                if not (tries_left and isinstance(error, _WORTH_ANOTHER)):
                    raise Unavailable("The database is away; send the same again in a moment.") from error
            else:
                return

    async def _connection(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._db is None or self._db.is_closed():
            self._db = await asyncpg.connect(
                self._dsn, timeout=_WAIT, command_timeout=_WAIT, server_settings=_SESSION
            )
        return self._db

    def _drop(self) -> None:
        if self._db is not None:
            self._db.terminate()
            self._db = None

    async def _append(
        self, db: "asyncpg.Connection[asyncpg.Record]", batch: Sequence[Prepared], recorded_at: datetime
    ) -> None:
        columns = list(
            zip(
                *(
                    (
                        number,
                        (entry := item.entry).account,
                        entry.dedupe_key,
                        item.id,
                        entry.channel.value,
                        entry.direction.value,
                        entry.kind.value,
                        item.shard,
                        entry.external_id,
                        entry.occurred_at,
                        entry.thread,
                        entry.in_reply_to,
                        item.blueprint,
                        item.digest,
                        entry.address.scheme,
                        entry.address.value,
                        entry.own,
                        entry.text,
                        entry.data.decode(),
                        entry.raw,
                        entry.raw_type,
                        item.salt,
                    )
                    for number, item in enumerate(batch)
                ),
                strict=True,
            )
        )
        taken = {row["id"]: row["seq"] for row in await db.fetch(_APPEND, *columns, recorded_at)}
        repeats = []
        for item in batch:
            if (seq := taken.get(item.id)) is not None:
                item.seq, item.is_new = seq, True
            else:
                repeats.append(item)
        if repeats:
            rows = await db.fetch(
                _REPEATS,
                [item.entry.account for item in repeats],
                [item.entry.dedupe_key for item in repeats],
            )
            known = {(row["account"], row["dedupe_key"]): (row["id"], row["seq"]) for row in rows}
            for item in repeats:
                item.id, item.seq = known[item.entry.account, item.entry.dedupe_key]
                item.is_new = False

    async def close(self) -> None:
        if self._db is not None and not self._db.is_closed():
            await self._db.close(timeout=2)
