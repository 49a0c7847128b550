"""Verification of the log: numbers without gaps, contents that fit their digests, chains that fit their seals."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, text, tuple_
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.database import Database
from core.log import reader
from core.log.entries import content_digest
from core.log.seals import ENVELOPES, GENESIS, sealed_bytes
from core.tables import Content, LogEntry, LogHead, LogKey, Seal

_CHUNK = 1_000
_SEAL_PAGE = 20_000
_MOST_NAMED = 100

_log = LogEntry.__table__  # type: ignore[attr-defined]  # SQLModel adds the attribute without declaring it
_content = Content.__table__  # type: ignore[attr-defined]
_key = LogKey.__table__  # type: ignore[attr-defined]
_seal = Seal.__table__  # type: ignore[attr-defined]

_CONTENTS = select(
    _content.c.seq,
    _content.c.salt,
    _content.c.scheme,
    _content.c.address,
    _content.c.own,
    _content.c.text,
    _content.c.data,
    _content.c.raw,
    _content.c.raw_type,
    _content.c.erased_at,
).order_by(_content.c.seq)

_UNPARTED = text("SELECT count(*) FROM log_default")

Progress = Callable[[int, int], None]
"""Told after each step how far the verification has come, and where it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`code`: missing, repeated, beyond_head, envelope_unreadable, content_missing, content_orphan, content_altered,
    seal_broken, unsealed_inside, key_missing or key_orphan. `last_seq` differs where only a range can be named."""

    code: str
    seq: int
    last_seq: int
    message: str
    account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verification found. `chains` are the newest hashes: noted elsewhere, they prove this log later."""

    head: int
    entries: int
    erased: int
    sealed_to: int
    unsealed: int  # entries after the last seal: not yet proven, no problem
    unparted: (
        int  # entries in PostgreSQL's default partition: as safe there, but their month was not made in time
    )
    problems: tuple[Problem, ...]
    chains: dict[str, str]

    @property
    def is_sound(self) -> bool:
        return not self.problems


async def verify(db: Database, progress: Progress = lambda done, end: None) -> Verdict:
    """Read the whole log and recompute everything. Beside a working hub: it takes no lock and short reads only."""
    async with db.read() as session:
        head = await reader.head(session)
        sealed_to = int(
            await session.scalar(select(func.max(_seal.c.last_seq)).where(_seal.c.last_seq <= head)) or 0
        )
    check = _Check(sealed_to)
    seals = _Seals(db, sealed_to)
    loop = asyncio.get_running_loop()
    for first in range(1, head + 1, _CHUNK):
        last = min(first + _CHUNK - 1, head)
        async with db.read() as session:
            # The content last: an erasure in between is then seen as one.
            rows, torn = await _read(session, ENVELOPES, _log.c.seq, first, last)
            contents, torn_contents = await _read(session, _CONTENTS, _content.c.seq, first, last)
        ending = [seal async for seal in seals.up_to(last)]
        await loop.run_in_executor(
            None, check.chunk, first, last, rows, contents, ending, torn, torn_contents
        )
        progress(last, head)
    check.finish()
    async with db.read() as session:
        check.problems += await _beyond(session, head)
        check.problems += await _keys(session)
        unparted = 0 if db.is_sqlite else int(await session.scalar(_UNPARTED) or 0)
    return Verdict(
        head=head,
        entries=check.entries,
        erased=check.erased,
        sealed_to=sealed_to,
        unsealed=check.unsealed,
        unparted=unparted,
        problems=tuple(sorted(check.problems, key=lambda problem: (problem.seq, problem.code))),
        chains={account: chain.hash.hex() for account, chain in sorted(check.chains.items()) if chain.number},
    )


@dataclass(slots=True)
class _Chain:
    """One account's chain while it is recomputed."""

    hash: bytes = GENESIS
    number: int = 0
    last_seq: int = 0
    envelopes: list[tuple[int, bytes]] = field(default_factory=list)  # since the last seal


class _Check:
    """What has been found so far; plain computing, done on a thread beside the event loop."""

    def __init__(self, sealed_to: int) -> None:
        self._sealed_to = sealed_to
        self.chains: dict[str, _Chain] = {}
        self.problems: list[Problem] = []
        self.entries = 0
        self.erased = 0
        self.unsealed = 0

    def chunk(
        self,
        first: int,
        last: int,
        rows: Sequence[Row[Any]],
        contents: Sequence[Row[Any]],
        seals: Sequence[Row[Any]],
        torn: Sequence[int],
        torn_contents: Sequence[int],
    ) -> None:
        for seq in torn:
            self._add("envelope_unreadable", seq, seq, "the entry's bytes are damaged")
        self._numbers(first, last, sorted([*(row.seq for row in rows), *torn]))
        self._contents(rows, contents, torn, torn_contents)
        waiting = list(reversed(seals))
        for row in rows:
            while waiting and waiting[-1].last_seq < row.seq:
                self._close(waiting.pop())
            self.entries += 1
            if row.seq > self._sealed_to:
                self.unsealed += 1
            else:
                chain = self.chains.setdefault(row.account, _Chain())
                chain.envelopes.append((row.seq, self._envelope(row)))
        while waiting:
            self._close(waiting.pop())

    def _envelope(self, row: Row[Any]) -> bytes:
        try:
            return sealed_bytes(row)
        except (AttributeError, TypeError):  # SQLite lets a column hold a value of another type
            self._add("envelope_unreadable", row.seq, row.seq, "the entry's columns are damaged", row.account)
            return b""

    def finish(self) -> None:
        for account, chain in self.chains.items():
            if chain.envelopes:
                self._add(
                    "unsealed_inside",
                    chain.envelopes[0][0],
                    chain.envelopes[-1][0],
                    f"{len(chain.envelopes)} entries of the account lie in sealed time and under no seal of it",
                    account,
                )

    def _numbers(self, first: int, last: int, seqs: Sequence[int]) -> None:
        expected = first
        for seq in [*seqs, last + 1]:
            if seq < expected:
                self._add("repeated", seq, seq, "the number stands on two entries")
                continue
            if seq > expected:
                self._add("missing", expected, seq - 1, f"{seq - expected} entries are not there")
            expected = seq + 1

    def _contents(
        self,
        rows: Sequence[Row[Any]],
        contents: Sequence[Row[Any]],
        torn: Sequence[int],
        torn_contents: Sequence[int],
    ) -> None:
        by_seq = {content.seq: content for content in contents}
        for row in rows:
            content = by_seq.pop(row.seq, None)
            if row.seq in torn_contents:
                self._add("content_altered", row.seq, row.seq, "the content's bytes are damaged", row.account)
            elif content is None:
                self._add("content_missing", row.seq, row.seq, "the entry has lost its content", row.account)
            elif content.erased_at is not None:
                self.erased += 1
            elif _digest(content) != row.digest:
                self._add(
                    "content_altered",
                    row.seq,
                    row.seq,
                    "the content is not the one that was logged",
                    row.account,
                )
        for seq in by_seq.keys() - set(torn):
            self._add("content_orphan", seq, seq, "a content without its entry")

    def _close(self, seal: Row[Any]) -> None:
        """Compare a seal with what its range holds now; go on from its own hash, so that one break is told once."""
        chain = self.chains.setdefault(seal.account, _Chain())
        digest = hashlib.sha256(chain.hash)
        for _, envelope in chain.envelopes:
            digest.update(envelope)
        complaint = ""
        if seal.number != chain.number + 1 or seal.first_seq != chain.last_seq + 1:
            complaint = f"seal {seal.number} does not follow seal {chain.number}"
        elif seal.entries != len(chain.envelopes):
            complaint = f"seal {seal.number} covers {seal.entries} entries, {len(chain.envelopes)} are there"
        elif seal.hash != digest.digest():
            complaint = f"seal {seal.number} does not fit its entries"
        if complaint:
            self._add("seal_broken", seal.first_seq, seal.last_seq, complaint, seal.account)
        chain.hash, chain.number, chain.last_seq = seal.hash, seal.number, seal.last_seq
        chain.envelopes.clear()

    def _add(self, code: str, seq: int, last_seq: int, message: str, account: str = "") -> None:
        self.problems.append(Problem(code=code, seq=seq, last_seq=last_seq, message=message, account=account))


class _Seals:
    """Every seal up to `end`, in order of their last entry, read in pages."""

    def __init__(self, db: Database, end: int) -> None:
        self._db = db
        self._end = end
        self._page: list[Row[Any]] = []
        self._place: tuple[int, str] = (0, "")
        self._is_drained = False

    async def up_to(self, seq: int) -> AsyncIterator[Row[Any]]:
        """The seals that end at or before `seq` and were not given yet."""
        while True:
            if not self._page and not self._is_drained:
                await self._read()
            if not self._page or self._page[-1].last_seq > seq:
                return
            yield self._page.pop()

    async def _read(self) -> None:
        query = (
            select(_seal)
            .where(tuple_(_seal.c.last_seq, _seal.c.account) > self._place, _seal.c.last_seq <= self._end)
            .order_by(_seal.c.last_seq, _seal.c.account)
            .limit(_SEAL_PAGE)
        )
        async with self._db.read() as session:
            page = list((await session.execute(query)).all())
        self._is_drained = len(page) < _SEAL_PAGE
        if page:
            self._place = (page[-1].last_seq, page[-1].account)
        self._page = page[::-1]


async def _read(
    session: AsyncSession, query: Select[Any], seq: ColumnElement[int], first: int, last: int
) -> tuple[Sequence[Row[Any]], list[int]]:
    """The rows of a range, and the numbers of those that cannot even be read (a flipped byte may be no UTF-8)."""
    try:
        return (await session.execute(query.where(seq.between(first, last)))).all(), []
    except (DBAPIError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        await session.rollback()
        if first == last:
            return [], [first]
    middle = (first + last) // 2
    rows, torn = await _read(session, query, seq, first, middle)
    more, more_torn = await _read(session, query, seq, middle + 1, last)
    return [*rows, *more], [*torn, *more_torn]


def _digest(content: Row[Any]) -> bytes:
    try:
        return content_digest(
            content.salt,
            content.scheme,
            content.address,
            content.own,
            content.text,
            content.data.encode("utf-8", "surrogatepass"),
            content.raw,
            content.raw_type,
        )
    except (AttributeError, TypeError):  # SQLite lets a column hold a value of another type
        return b""


async def _beyond(session: AsyncSession, head: int) -> list[Problem]:
    """Entries whose number the head has not given out yet: they were put there by somebody else."""
    # One statement, so that the head and the rows are of one moment while the hub works.
    newest = select(func.max(_log.c.seq)).scalar_subquery()
    given = select(col(LogHead.seq)).where(col(LogHead.id) == 1).scalar_subquery()
    row = (await session.execute(select(newest, given))).one()
    if row[0] is None or row[0] <= row[1]:
        return []
    return [
        Problem(
            code="beyond_head",
            seq=row[1] + 1,
            last_seq=row[0],
            message="entries stand after the newest number that was given out",
        )
    ]


async def _keys(session: AsyncSession) -> list[Problem]:
    """Every entry has one key and every key one entry."""
    orphans = (
        select(_key.c.account, _key.c.dedupe_key)
        .outerjoin(_log, (_log.c.id == _key.c.id) & (_log.c.account == _key.c.account))
        .where(_log.c.id.is_(None))
        .limit(_MOST_NAMED)
    )
    problems = [
        Problem(
            code="key_orphan",
            seq=0,
            last_seq=0,
            message=f"the key {row.dedupe_key!r} has no entry",
            account=row.account,
        )
        for row in await session.execute(orphans)
    ]
    counts = select(
        select(func.count()).select_from(_key).scalar_subquery(),
        select(func.count()).select_from(_log).scalar_subquery(),
    )
    keys, entries = (await session.execute(counts)).one()
    if keys == entries and not problems:
        return []
    # The keys have no index by id, so this costs a sort of them all: only where it is known to find something.
    bare = (
        select(_log.c.seq, _log.c.account)
        .where(_log.c.id.not_in(select(_key.c.id)))
        .order_by(_log.c.seq)
        .limit(_MOST_NAMED)
    )
    return problems + [
        Problem(
            code="key_missing",
            seq=row.seq,
            last_seq=row.seq,
            message=f"the entry has no key ({keys} keys, {entries} entries)",
            account=row.account,
        )
        for row in await session.execute(bare)
    ]
