"""Seals: a hash chain per account over the envelopes of its entries, drawn within a second of their commit."""

import asyncio
import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, func, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import col

from core.clock import Clock, now
from core.database import Database
from core.log import reader
from core.log.entries import envelope_bytes
from core.tables import LogEntry, Seal

log = logging.getLogger(__name__)

GENESIS = bytes(32)
"""What stands for the previous hash in an account's first seal."""

_EVERY = 0.5  # seconds between runs: an entry is sealed within one second also when a run takes a while
_LARGEST_RUN = 5_000
_CHUNK = 100  # rows between two looks at the loop's other work

_log = LogEntry.__table__  # type: ignore[attr-defined]  # SQLModel adds the attribute without declaring it

ENVELOPES: Select[Any] = select(
    _log.c.seq,
    _log.c.id,
    _log.c.account,
    _log.c.channel,
    _log.c.direction,
    _log.c.kind,
    _log.c.shard,
    _log.c.external_id,
    _log.c.occurred_at,
    _log.c.recorded_at,
    _log.c.thread,
    _log.c.in_reply_to,
    _log.c.blueprint,
    _log.c.digest,
).order_by(_log.c.seq, _log.c.recorded_at)


def sealed_bytes(row: Row[Any]) -> bytes:
    """A row of `ENVELOPES` as the chain hashes it."""
    columns: tuple[Any, ...] = tuple(row)
    return envelope_bytes(*columns)


def chained(previous: bytes, envelopes: Iterable[bytes]) -> bytes:
    """SHA-256 over the previous hash and the envelopes, which are JSON arrays and so end where they end."""
    digest = hashlib.sha256(previous)
    for envelope in envelopes:
        digest.update(envelope)
    return digest.digest()


class Sealer:
    """Draws the chain of this hub. One process at a time gets its seals in; another's attempt does nothing.

    Each run adds one seal to every account that has new entries. A seal's range begins where the account's last one
    ended and reaches to the run's end, so an account's ranges leave no gap.
    """

    def __init__(self, db: Database, clock: Clock = now) -> None:
        self._db = db
        self._clock = clock
        self.sealed_to = 0
        self.head = 0

    @property
    def lag(self) -> int:
        """How many entries the last run left unsealed."""
        return self.head - self.sealed_to

    async def run(self) -> None:
        while True:
            sealed = 0
            try:
                sealed = await self.seal()
            except (DBAPIError, OSError):
                # What is not sealed now is sealed later; the log itself is not touched.
                log.exception("sealing waits")
            if sealed < _LARGEST_RUN:
                await asyncio.sleep(_EVERY)

    async def seal(self) -> int:
        """One run: seal what lies after the last seal, at most so many entries; returns how many."""
        async with self._db.read() as session:
            start = self.sealed_to = int(await session.scalar(select(func.max(col(Seal.last_seq)))) or 0)
            self.head = await reader.head(session)
            first = await session.scalar(select(func.min(_log.c.seq)).where(_log.c.seq > start))
        if first is None:
            return 0
        # Usually first is start + 1. Where rows were taken away the chain goes on after them; `verify` tells.
        end = min(self.head, first - 1 + _LARGEST_RUN)
        envelopes = await self._envelopes(first, end)
        seals = []
        for account, found in envelopes.items():
            last = await self._last(account)
            if last.last_seq > start:
                return 0  # another process was faster
            seals.append(
                {
                    "account": account,
                    "number": last.number + 1,
                    "first_seq": last.last_seq + 1,
                    "last_seq": end,
                    "entries": len(found),
                    "hash": chained(last.hash, found),
                    "sealed_at": self._clock(),
                }
            )
        try:
            # Seals lost with an unsynced commit are drawn again from the log.
            async with self._db.begin(is_durable=False) as tx:
                await tx.session.execute(insert(Seal), seals)
        except IntegrityError:
            return 0  # another process was faster, at the last moment: the seals' key takes each number once
        self.sealed_to = end
        return sum(len(found) for found in envelopes.values())

    async def _envelopes(self, first: int, end: int) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = defaultdict(list)
        for low in range(first, end + 1, _CHUNK):
            query = ENVELOPES.where(_log.c.seq.between(low, min(low + _CHUNK - 1, end)))
            async with self._db.read() as session:
                for row in await session.execute(query):
                    found[row.account].append(sealed_bytes(row))
            await asyncio.sleep(0)
        return found

    async def _last(self, account: str) -> "_Last":
        query = (
            select(col(Seal.number), col(Seal.last_seq), col(Seal.hash))
            .where(col(Seal.account) == account)
            .order_by(col(Seal.number).desc())
            .limit(1)
        )
        async with self._db.read() as session:
            row = (await session.execute(query)).first()
        return _Last(*row) if row else _Last(0, 0, GENESIS)


class _Last(NamedTuple):
    number: int
    last_seq: int
    hash: bytes
