"""Search: in which messages and notes a piece of text stands, newest first, by pairs of letters."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.database import Tx
from core.errors import BadInput
from core.log.entries import Logged
from core.tables import Content, Posting
from core.text import aligned, spaced
from core.values import EntryKind

LONGEST_QUERY = 100
_LONGEST_INDEXED = 20_000  # code points of one text: beyond lies what was pasted or quoted

_RARE = 2_000  # a gram with fewer postings is cheap to read whole
_MOST_GRAMS = 6  # of a long query; the text itself decides in the end
_MOST_READ = 3_000  # texts read for one page of hits: bounds a query whose letters stand everywhere but apart
_MOST_FOLLOWERS = 4_000  # different letters after the one of a one-letter query
_LARGEST_MERGE = 100
_BITS = 21  # of a Unicode code point

# Blanks in a text count only between two words of Latin letters or digits: Chinese is spaced at will. A hyphen within
# a number or a part's name counts nowhere (138-0013-8000), neither in a text nor in a query.
_DROPPED = (
    re.compile(" (?= )"),
    re.compile(r"(?<![a-z0-9]) | (?![a-z0-9])|(?<=[a-z0-9])[-\u2010-\u2015](?=[a-z0-9])"),
)


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry and the places of its text that fit, as [start, end) in code points."""

    seq: int
    marks: tuple[tuple[int, int], ...]


class SearchConsumer:
    """Keeps `posting` in step with the log. A second run adds nothing: (gram, seq) is the key."""

    name = "search"

    async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None:
        texts = {entry.seq: entry.text for entry in batch if _is_searched(entry)}
        if not texts:
            return
        # An erasure may have come between the reading of the batch and this transaction.
        erased = await tx.session.scalars(
            select(col(Content.seq)).where(col(Content.seq).in_(texts), col(Content.erased_at).is_not(None))
        )
        for seq in erased:
            del texts[seq]
        # In the index's order: neighbours fall on the same page.
        postings = sorted((gram, seq) for seq, words in texts.items() for gram in grams(words))
        if postings:
            await tx.writing()
            await _insert(tx.session, postings)


async def forget(tx: Tx, seqs: Sequence[int]) -> None:
    """Take entries out of the index. To be called before their texts are emptied, in the same transaction."""
    rows = await tx.session.execute(
        select(col(Content.seq), col(Content.text)).where(col(Content.seq).in_(seqs))
    )
    for seq, words in rows.all():
        for some in _chunks(sorted(grams(words)), 500):
            await tx.session.execute(
                delete(Posting).where(col(Posting.gram).in_(some), col(Posting.seq) == seq)
            )


async def clear(tx: Tx) -> None:
    """Empty the index, for its rebuild."""
    await tx.session.execute(delete(Posting))


async def find(session: AsyncSession, query: str, limit: int = 50, before: int | None = None) -> list[Hit]:
    """The newest entries below `before` whose text holds every word of the query, newest first.

    A word is found wherever its letters stand together, also inside other words. No total is counted.
    """
    if len(query) > LONGEST_QUERY:
        raise BadInput(f"The query is too long; use at most {LONGEST_QUERY} characters.", field="q")
    words = list(dict.fromkeys(_dense(word) for word in spaced(query).split()))
    if not words:
        return []
    below = before if before is not None else 1 << 62
    wanted = {gram for word in words for gram in _pairs(word)}
    walk = await _Together.of(session, wanted, below) if wanted else _Letter(words[0])
    hits: list[Hit] = []
    read = 0
    size = min(2 * limit, 200)
    while len(hits) < limit and read < _MOST_READ:
        seqs = await walk.below(session, below, size)
        if not seqs:
            break
        rows = await session.execute(
            select(col(Content.seq), col(Content.text))
            .where(col(Content.seq).in_(seqs))
            .order_by(col(Content.seq).desc())
        )
        hits += [Hit(seq, marks) for seq, words_there in rows if (marks := marks_of(words_there, words))]
        read += len(seqs)
        below = seqs[-1]
        size = min(2 * size, 1_000)
    return hits[:limit]


def grams(words: str) -> set[int]:
    """The index entries of a text: each pair of neighbours, and the last letter before a blank or the end alone."""
    found: set[int] = set()
    for run in _dense(spaced(words[:_LONGEST_INDEXED])).split():
        found |= _pairs(run)
        found.add(ord(run[-1]) << _BITS)
    return found


def marks_of(words_there: str, words: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Where the (folded) words stand in the text, merged where they touch; empty unless every one does."""
    words = list(words)
    plain = _dense(spaced(words_there))
    if not all(word in plain for word in words):
        return ()
    plain, places = _dense_aligned(words_there)
    spans = sorted(
        (places[at][0], places[at + len(word) - 1][1]) for word in words for at in _finds(plain, word)
    )
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


class _Together:
    """Walks the entries that hold all of some grams, led by the one that is rarest among the newest."""

    def __init__(self, grams: Sequence[int]) -> None:
        self._values = {f"g{number}": gram for number, gram in enumerate(grams)}
        others = "".join(
            f" AND EXISTS (SELECT 1 FROM posting p{n} WHERE p{n}.gram = :g{n} AND p{n}.seq = p0.seq)"
            for n in range(1, len(grams))
        )
        self._sql = text(
            "SELECT p0.seq FROM posting p0 WHERE p0.gram = :g0 AND p0.seq < :below"
            f"{others} ORDER BY p0.seq DESC LIMIT :size"
        )

    @classmethod
    async def of(cls, session: AsyncSession, wanted: Iterable[int], below: int) -> "_Together":
        thickness = []
        for gram in wanted:
            values = {"gram": gram, "below": below, "rare": _RARE}
            found, lowest = (await session.execute(_THICKNESS, values)).one()
            thickness.append((found, lowest, gram))
        # The fewest first; of those that reached the bound, the one that needed the most entries to reach it.
        thickness.sort()
        if not thickness[0][0]:
            return cls([thickness[0][2]])
        return cls([gram for _, _, gram in thickness[:_MOST_GRAMS]])

    async def below(self, session: AsyncSession, below: int, size: int) -> list[int]:
        found = await session.scalars(self._sql, {**self._values, "below": below, "size": size})
        return list(found)


# The count ends early, so that a common gram costs no more than a rare one.
_THICKNESS = text(
    "SELECT count(*), coalesce(min(seq), 0) FROM"
    " (SELECT seq FROM posting WHERE gram = :gram AND seq < :below ORDER BY seq DESC LIMIT :rare) AS newest"
)

# Steps from one gram of the range to the next, however many postings lie between, and takes the newest of each.
_FOLLOWERS = text(
    """
    WITH RECURSIVE follower (gram, n) AS (
      SELECT min(gram), 1 FROM posting WHERE gram BETWEEN :first AND :last
      UNION ALL
      SELECT (SELECT min(p.gram) FROM posting p WHERE p.gram > follower.gram AND p.gram <= :last), n + 1
      FROM follower WHERE follower.gram IS NOT NULL AND n < :most
    ), newest (gram, seq) AS (
      SELECT gram, (SELECT max(p.seq) FROM posting p WHERE p.gram = follower.gram AND p.seq < :below)
      FROM follower WHERE gram IS NOT NULL
    )
    SELECT gram FROM newest WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT :size
    """
)


class _Letter:
    """Walks the entries that hold one letter: the grams that begin with it, merged."""

    def __init__(self, letter: str) -> None:
        self._first = ord(letter) << _BITS

    async def below(self, session: AsyncSession, below: int, size: int) -> list[int]:
        size = min(size, _LARGEST_MERGE)
        span = {"first": self._first, "last": self._first + (1 << _BITS) - 1}
        # The newest entries stand under the grams with the newest entries: no more than `size` of them matter.
        found = await session.scalars(
            _FOLLOWERS, {**span, "below": below, "size": size, "most": _MOST_FOLLOWERS}
        )
        grams = list(found)
        if not grams:
            return []
        parts = " UNION ".join(
            f"SELECT seq FROM (SELECT seq FROM posting WHERE gram = :g{number} AND seq < :below"
            f" ORDER BY seq DESC LIMIT :size) AS p{number}"
            for number in range(len(grams))
        )
        values = {f"g{number}": gram for number, gram in enumerate(grams)}
        merged = await session.scalars(
            text(f"SELECT seq FROM ({parts}) AS merged ORDER BY seq DESC LIMIT :size"),
            {**values, "below": below, "size": size},
        )
        return list(merged)


async def _insert(session: AsyncSession, postings: list[tuple[int, int]]) -> None:
    connection = await session.connection()
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("INSERT OR IGNORE INTO posting (gram, seq) VALUES (?, ?)", postings)
        return
    await session.execute(
        text(
            "INSERT INTO posting (gram, seq) SELECT * FROM unnest(CAST(:grams AS bigint[]), CAST(:seqs AS bigint[]))"
            " ON CONFLICT DO NOTHING"
        ),
        {"grams": [gram for gram, _ in postings], "seqs": [seq for _, seq in postings]},
    )


def _is_searched(entry: Logged) -> bool:
    return entry.kind in (EntryKind.MESSAGE, EntryKind.ACT) and bool(entry.text) and not entry.is_erased


def _pairs(run: str) -> set[int]:
    return {ord(left) << _BITS | ord(right) for left, right in pairwise(run)}


def _dense(plain: str) -> str:
    for dropped in _DROPPED:
        plain = dropped.sub("", plain)
    return plain


def _dense_aligned(words_there: str) -> tuple[str, list[tuple[int, int]]]:
    """`_dense(spaced(…))` and the code points that each of its characters came from."""
    plain, places = aligned(words_there)
    for dropped in _DROPPED:
        gone = {found.start() for found in dropped.finditer(plain)}
        if gone:
            places = [place for at, place in enumerate(places) if at not in gone]
            plain = dropped.sub("", plain)
    return plain, places


def _finds(plain: str, word: str) -> Iterator[int]:
    at = plain.find(word)
    while at >= 0:
        yield at
        at = plain.find(word, at + 1)


def _chunks(some: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(some), size):
        yield some[start : start + size]
