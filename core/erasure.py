"""Erasure of a person: texts, raw bytes, addresses and names go; figures, envelopes and hash chains stay valid."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Select, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core import files, parties, search
from core.addresses import shard_of
from core.clock import Clock, now
from core.database import Database, Tx
from core.errors import Conflict, Unavailable
from core.files import FileStore
from core.intake import Intake
from core.keys import HubKey
from core.log import reader
from core.outbox import ItemState
from core.positions import Positions, all_resting
from core.tables import (
    ActOutcome,
    Consent,
    Content,
    Endpoint,
    Erasure,
    Line,
    LogEntry,
    Merge,
    OutboxItem,
    Parked,
    Party,
    PartyKey,
)
from core.values import Address, Direction, EntryKind

log = logging.getLogger(__name__)

ERASED = "erased"
"""The scheme of a consent whose address was erased: its value is the address's keyed digest."""

_ACT = "erase"
_CHUNK = 200  # entries a transaction: the write gate is shared with the intake
_SCANNED = 20_000  # entries a read
_CAUGHT_UP_WITHIN = 60.0
# What stays of an entry's data: what happened and which of our people did it, no word and no address of anybody's.
_KEPT = (
    "act",
    "by",
    "case",
    "cause",
    "error",
    "field",
    "kind",
    "outbox",
    "party",
    "phase",
    "purpose",
    "queue",
    "sku",
    "state",
    "until",
    "user",
)

Progress = Callable[[int, int], None]
"""Told how many entries are emptied, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What a transaction of an erasure takes away: entries, or at its end the persons and their addresses."""

    at: datetime
    seqs: tuple[int, ...] = ()
    parties: tuple[UUID, ...] = ()
    addresses: tuple[Address, ...] = ()


Eraser = Callable[[Tx, Erased], Awaitable[None]]
"""Empties what another layer keeps of the same entries and persons. It may run twice."""


class LedgerEntry(BaseModel):
    """An erasure as it is kept beside the database: digests that only this hub's key can make, no identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    party: UUID
    addresses: tuple[str, ...]
    opt_outs: tuple[tuple[str, str], ...] = ()  # (digest of the address, purpose)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """What was taken away by this run; a run after a complete one finds nothing."""

    party: UUID
    act_seq: int
    entries: int
    files: int
    addresses: int
    cancelled: int  # messages that were still to leave


@dataclass(slots=True)
class _Found:
    """A person's family of merged parties and the addresses they are reached at."""

    root: UUID
    parties: list[UUID]
    addresses: list[Address]
    files: int = 0
    entries: int = 0
    cancelled: int = 0
    kept: set[int] = field(default_factory=set)  # the acts of erasure themselves


class Forgetter:
    """Erases persons in this process, which must be running its consumers.

    `erasers` empty what other layers keep. `consumers` have to be running: what they digest later they would bring
    back. `ledger` is a file outside the database, which a restore of the database leaves as it is.
    """

    def __init__(
        self,
        db: Database,
        intake: Intake,
        key: HubKey,
        store: FileStore,
        *,
        erasers: Sequence[Eraser],
        consumers: Sequence[Positions],
        ledger: Path,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._intake = intake
        self._key = key
        self._store = store
        self._erasers = erasers
        self._consumers = consumers
        self._ledger = ledger
        self._clock = clock

    async def erase_person(
        self, party: UUID, *, by: str, reason: str, progress: Progress = lambda done, end: None
    ) -> ErasureReport:
        """Erase the party and everyone merged with it. May be run again at any time, also after it broke off.

        The addresses go last, so that a second run still knows what to look for. Raises NotFound, Unavailable (the
        consumers do not catch up) and Conflict (a message to the person is just leaving).
        """
        async with self._db.read() as session:
            root = (await parties.root(session, party)).id
        act = await self._intake.act(
            _ACT,
            by=by,
            about=Address("hub", str(root)),
            key=f"{_ACT}:{root}",  # one act a person: whoever writes again later is another party
            detail={"party": str(root), "reason": reason},
        )
        await self._digested()
        found = await self._find(root, act.seq)
        await self._stop_sending(found)
        # What the last message before that caused is digested, and so visible, after this.
        await self._digested()
        await self._empty_entries(found, act.seq, progress)
        await self._empty_outbox(found)
        await self._empty_person(found, act.seq)
        if self._db.is_sqlite:
            async with self._db.gate:
                await asyncio.to_thread(_scrub, self._db.path)
        log.info("person erased", extra={"party": str(root), "entries": found.entries})
        return ErasureReport(
            party=root,
            act_seq=act.seq,
            entries=found.entries,
            files=found.files,
            addresses=len(found.addresses),
            cancelled=found.cancelled,
        )

    async def reapply(
        self, ledger: Iterable[LedgerEntry], *, by: str = "", progress: Progress = lambda done, end: None
    ) -> list[ErasureReport]:
        """Erase again, after a restore, whom the ledger names and the restored data still know.

        Found by the party's id and by the digests of the addresses; an address that its owner wrote from again after
        the erasure is left alone.
        """
        entries = list(ledger)
        reports = []
        for number, party in enumerate(await self._returned(entries)):
            reports.append(await self.erase_person(party, by=by, reason="reapplied"))
            progress(number + 1, len(entries))
        async with self._db.begin() as tx:
            for entry in entries:
                for digest, purpose in entry.opt_outs:
                    await tx.session.merge(_opt_out(digest, purpose, 0, entry.at))
        return reports

    # Finding.

    async def _digested(self) -> None:
        try:
            async with asyncio.timeout(_CAUGHT_UP_WITHIN):
                for consumer in self._consumers:
                    await consumer.caught_up()
        except TimeoutError as error:
            raise Unavailable(
                "The consumers do not catch up; look at their lag, then erase again: nothing is lost by it."
            ) from error

    async def _find(self, root: UUID, act_seq: int) -> _Found:
        async with self._db.read() as session:
            family = await parties.family(session, root)
            rows = await session.execute(
                select(col(Endpoint.scheme), col(Endpoint.value)).where(col(Endpoint.party_id).in_(family))
            )
            addresses = [Address(scheme, value) for scheme, value in rows]
            acts = await session.scalars(select(col(Erasure.act_seq)))
            return _Found(root, family, addresses, kept={act_seq, *acts})

    async def _returned(self, entries: Sequence[LedgerEntry]) -> list[UUID]:
        erased_at = {digest: entry.at for entry in entries for digest in entry.addresses}
        found: dict[UUID, None] = {}
        async with self._db.read() as session:
            named = {entry.party for entry in entries}
            for id, party in (await parties.parties(session, named)).items():
                if party.erased_at is None:
                    found[id] = None
            rows = await session.stream(
                select(col(Endpoint.scheme), col(Endpoint.value), col(Endpoint.party_id), col(Endpoint.since))
            )
            async for scheme, value, party_id, since in rows:
                at = erased_at.get(self.digest(Address(scheme, value)))
                if at is not None and since <= at:
                    found[(await parties.root(session, party_id)).id] = None
        return list(found)

    def digest(self, address: Address) -> str:
        return address_digest(self._key, address)

    # Taking away.

    async def _stop_sending(self, found: _Found) -> None:
        async with self._db.begin() as tx:
            found.cancelled += await self._cancel(tx, found)

    async def _cancel(self, tx: Tx, found: _Found) -> int:
        """Cancel what waits. Raises Conflict while a worker has one in hand: the provider may just be taking it."""
        rows = await tx.session.scalars(
            select(OutboxItem)
            .where(
                col(OutboxItem.state).in_([ItemState.WAITING.value, ItemState.RUNNING.value]),
                tuple_(col(OutboxItem.scheme), col(OutboxItem.address)).in_(_pairs(found.addresses)),
            )
            .with_for_update()
        )
        cancelled = 0
        for row in rows:
            if row.state == ItemState.WAITING:
                row.state = ItemState.CANCELLED.value
                cancelled += 1
            elif row.claimed_until is not None and row.claimed_until < self._clock():
                row.state = ItemState.UNKNOWN.value  # its worker died with it
            else:
                raise Conflict("A message to this person is just leaving; erase again in a minute.")
        await tx.session.flush()
        return cancelled

    async def _empty_entries(self, found: _Found, act_seq: int, progress: Progress) -> None:
        seqs = await self._entries(found, act_seq)
        for start in range(0, len(seqs), _CHUNK):
            async with self._db.begin() as tx:
                await self._empty(tx, found, seqs[start : start + _CHUNK])
            progress(min(start + _CHUNK, len(seqs)), len(seqs))

    async def _entries(self, found: _Found, act_seq: int) -> list[int]:
        """The entries on the person's timeline, and those of its addresses that stand on none, up to the act."""
        async with self._db.read() as session:
            seqs = await self._lines(session, found)
        for first in range(1, act_seq + 1, _SCANNED):
            async with self._db.read() as session:
                seqs |= await self._addressed(session, found, first, min(first + _SCANNED - 1, act_seq))
        return sorted(seqs)

    async def _lines(self, session: AsyncSession, found: _Found) -> set[int]:
        query = (
            select(col(Line.seq))
            .join(Content, col(Content.seq) == col(Line.seq))
            .where(col(Line.party_id).in_(found.parties), col(Content.erased_at).is_(None))
        )
        return set(await session.scalars(query)) - found.kept

    async def _addressed(
        self,
        session: AsyncSession,
        found: _Found,
        first: int,
        last: int,
        *,
        only: Select[Any] | None = None,
    ) -> set[int]:
        """Entries by their address. There is no index of it, and the shard leaves few to look at."""
        # Acts on a party that had no address then stand under the party itself.
        about = [*found.addresses, *(Address("hub", str(id)) for id in found.parties)]
        query = (
            select(col(Content.seq))
            .join(LogEntry, col(LogEntry.seq) == col(Content.seq))
            .where(
                col(LogEntry.seq).between(first, last),
                col(LogEntry.shard).in_({shard_of(address) for address in about}),
                tuple_(col(Content.scheme), col(Content.address)).in_(_pairs(about)),
                col(Content.erased_at).is_(None),
            )
        )
        if only is not None:
            query = query.where(col(Content.seq).in_(only))
        return set(await session.scalars(query)) - found.kept

    async def _empty(self, tx: Tx, found: _Found, seqs: Sequence[int]) -> None:
        emptied = await empty_entries(tx, self._store, seqs, self._clock(), self._erasers)
        found.entries += emptied.entries
        found.files += emptied.files

    async def _empty_outbox(self, found: _Found) -> None:
        """What has left long ago still holds its text. There is no index by address, so it is found beside the gate."""
        settled = (
            select(col(OutboxItem.id))
            .where(tuple_(col(OutboxItem.scheme), col(OutboxItem.address)).in_(_pairs(found.addresses)))
            .where(col(OutboxItem.state).not_in([ItemState.WAITING.value, ItemState.RUNNING.value]))
        )
        async with self._db.read() as session:
            ids = list(await session.scalars(settled))
        for start in range(0, len(ids), _CHUNK):
            async with self._db.begin() as tx:
                await _overwrite_freed(tx)
                await tx.session.execute(
                    update(OutboxItem)
                    .where(col(OutboxItem.id).in_(ids[start : start + _CHUNK]))
                    .values(address="", payload={}, error="")
                )

    async def _empty_person(self, found: _Found, act_seq: int) -> None:
        """The end: who it was, and what came in since the entries were looked for."""
        at = self._clock()
        async with AsyncExitStack() as stack:
            # A batch that is under way has read the person and would write a line of it after us.
            await stack.enter_async_context(all_resting(self._consumers))
            tx = await stack.enter_async_context(self._db.begin())
            await _overwrite_freed(tx)
            session = tx.session
            found.cancelled += await self._cancel(tx, found)
            head = await reader.head(session)
            # A message of now that nobody has read yet begins a new, unknown party; what we sent does not.
            ours = select(col(LogEntry.seq)).where(
                col(LogEntry.seq).between(act_seq + 1, head),
                or_(
                    col(LogEntry.kind) == EntryKind.STATUS.value,
                    col(LogEntry.direction) == Direction.OUT.value,
                ),
            )
            late = await self._lines(session, found)
            late |= await self._addressed(session, found, act_seq + 1, head, only=ours)
            if late:
                await self._empty(tx, found, sorted(late))
            for row in await session.scalars(
                select(OutboxItem).where(
                    col(OutboxItem.state).in_([ItemState.CANCELLED.value, ItemState.UNKNOWN.value]),
                    tuple_(col(OutboxItem.scheme), col(OutboxItem.address)).in_(_pairs(found.addresses)),
                )
            ):
                row.address, row.payload, row.error = "", {}, ""
            entry = await self._note(tx, found, act_seq, at)
            for eraser in self._erasers:
                await eraser(
                    tx, Erased(at=at, parties=tuple(found.parties), addresses=tuple(found.addresses))
                )
            await session.execute(delete(PartyKey).where(col(PartyKey.party_id).in_(found.parties)))
            await session.execute(delete(Endpoint).where(col(Endpoint.party_id).in_(found.parties)))
            await session.execute(
                update(Party)
                .where(col(Party.id).in_(found.parties))
                .values(name="", folded="", erased_at=at, row_version=col(Party.row_version) + 1)
            )
            if entry is not None:
                # Before the commit: a crash in between costs a line too many, which reapplies nothing new.
                await asyncio.to_thread(append_ledger, self._ledger, entry)

    async def _note(self, tx: Tx, found: _Found, act_seq: int, at: datetime) -> LedgerEntry | None:
        """Keep the digests: of every address, and of the consents that were refused, so that the refusal lasts."""
        digests = [self.digest(address) for address in found.addresses]
        refused = await tx.session.scalars(
            select(Consent).where(
                tuple_(col(Consent.scheme), col(Consent.value)).in_(_pairs(found.addresses)),
                col(Consent.granted).is_(False),
            )
        )
        opt_outs = [(self.digest(Address(row.scheme, row.value)), row.purpose) for row in refused]
        await tx.session.execute(
            delete(Consent).where(
                tuple_(col(Consent.scheme), col(Consent.value)).in_(_pairs(found.addresses))
            )
        )
        for digest, purpose in opt_outs:
            await tx.session.merge(_opt_out(digest, purpose, act_seq, at))
        known = await tx.session.get(Erasure, act_seq)
        is_first = known is None
        if known is None:
            known = Erasure(act_seq=act_seq, party_id=found.root, at=at)
            tx.session.add(known)
        known.entries += found.entries
        known.address_digests = sorted({*known.address_digests, *digests})
        await tx.session.flush()
        if not digests and not is_first:
            return None  # a run after a complete one
        return LedgerEntry(party=found.root, addresses=tuple(digests), opt_outs=tuple(opt_outs), at=at)


@dataclass(frozen=True, slots=True)
class Emptied:
    entries: int
    files: int


async def empty_entries(
    tx: Tx, store: FileStore, seqs: Sequence[int], at: datetime, erasers: Sequence[Eraser]
) -> Emptied:
    """Take away what these entries say, wherever it stands; those that are empty already stay as they are."""
    await _overwrite_freed(tx)
    await search.forget(tx, seqs)
    taken = await files.erase(tx, store, list(seqs))
    rows = await tx.session.execute(
        select(col(Content.seq), col(Content.data)).where(
            col(Content.seq).in_(seqs), col(Content.erased_at).is_(None)
        )
    )
    entries = 0
    for seq, data in rows.all():
        await tx.write(update(Content).where(col(Content.seq) == seq).values(**_emptied(data, at)))
        entries += 1
    # A refusal repeats what the act asked for, a failure what the entry said.
    await tx.session.execute(
        update(ActOutcome).where(col(ActOutcome.seq).in_(seqs)).values(message="", detail={})
    )
    await tx.session.execute(update(Parked).where(col(Parked.seq).in_(seqs)).values(error=""))
    await tx.session.execute(update(Merge).where(col(Merge.act_seq).in_(seqs)).values(reason=""))
    for eraser in erasers:
        await eraser(tx, Erased(at=at, seqs=tuple(seqs)))
    return Emptied(entries, taken)


async def empty_echo(tx: Tx, seq: int, of: int, at: datetime) -> None:
    """Empty what a provider says later of a message that is erased: it names the address once more."""
    if await tx.session.scalar(select(col(Content.erased_at)).where(col(Content.seq) == of)) is None:
        return
    data = (await tx.session.execute(select(col(Content.data)).where(col(Content.seq) == seq))).scalar_one()
    await tx.write(update(Content).where(col(Content.seq) == seq).values(**_emptied(data, at)))


def _emptied(data: str, at: datetime) -> dict[str, Any]:
    """The columns of a content that says nothing any more. Without the salt its digest cannot be guessed at."""
    known = orjson.loads(data)
    kept = orjson.dumps({name: known[name] for name in _KEPT if name in known}).decode()
    blank = {"address": "", "own": "", "text": "", "raw": b"", "raw_type": "", "salt": b""}
    return {**blank, "data": kept, "erased_at": at}


# The ledger.


def address_digest(key: HubKey, address: Address) -> str:
    return key.mac("erasure", str(address).encode("utf-8", "surrogatepass")).hex()


async def opted_out_before(session: AsyncSession, key: HubKey, address: Address) -> frozenset[str]:
    """The purposes that the address's owner had refused before it was erased.

    Whoever imports or records a consent on another's word asks this first; only the person's own new word ends it.
    """
    rows = await session.scalars(
        select(col(Consent.purpose)).where(
            col(Consent.scheme) == ERASED, col(Consent.value) == address_digest(key, address)
        )
    )
    return frozenset(rows)


def read_ledger(path: Path) -> list[LedgerEntry]:
    """The ledger's entries, oldest first; a line that a crash cut off is none."""
    if not path.exists():
        return []
    entries = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            entries.append(LedgerEntry.model_validate_json(line))
        except ValidationError:
            log.warning("ledger line left out", extra={"line": number})
    return entries


def append_ledger(path: Path, entry: LedgerEntry) -> None:
    """Add a line, on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, (b"\n" if torn else b"") + entry.model_dump_json().encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)


def _opt_out(digest: str, purpose: str, seq: int, at: datetime) -> Consent:
    return Consent(scheme=ERASED, value=digest, purpose=purpose, granted=False, seq=seq, at=at)


def _pairs(addresses: Iterable[Address]) -> list[tuple[str, str]]:
    return [(address.scheme, address.value) for address in addresses]


# On the disk.


async def _overwrite_freed(tx: Tx) -> None:
    """SQLite leaves what was deleted on its pages unless it is told to overwrite it."""
    if tx.is_sqlite:
        connection = await tx.session.connection()
        await connection.exec_driver_sql("PRAGMA secure_delete=ON")


def _scrub(path: str) -> None:
    """Take the old pages out of the write-ahead log; a reader in the way leaves them to the next checkpoint."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    try:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            log.warning("erased pages stay in the write-ahead log for now")
    except sqlite3.OperationalError as error:
        log.warning("erased pages stay in the write-ahead log for now", extra={"reason": str(error)})
    finally:
        connection.close()
