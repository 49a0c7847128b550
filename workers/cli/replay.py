"""`switchboard replay --dry-run`: the whole log read anew into an empty database, compared with what stands now."""

import asyncio
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from core.consumers import ActRefused
from core.database import Database
from core.log import reader
from core.log.entries import Logged
from core.tables import Content, Cursor, Parked
from crm.blueprint.publishing import Book, Published, compiled
from crm.consumer import CrmConsumer
from crm.tables import Case, Observation, ReadingRow
from workers.cli import output
from workers.cli.blueprints import whole
from workers.cli.office import looking
from workers.cli.parser import settings_of
from workers.migrations import upgrade

_PAGE = 200
_MOST_SHOWN = 20
_LONGEST = 60

Row = tuple[tuple[Any, ...], dict[str, Any]]  # key and what is compared


class CurrentBook(Book):
    """Gives one blueprint for every entry, whatever was in force at its time."""

    def __init__(self, published: Published) -> None:
        super().__init__()
        self._published = published

    @property
    def current(self) -> Published:
        return self._published

    def at(self, version: int) -> Published:
        return self._published


@dataclass(slots=True)
class Differences:
    """What one kind of row would become: counts, and the first few in words."""

    kind: str
    compared: int = 0
    changed: int = 0
    gone: int = 0
    new: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    @property
    def any(self) -> bool:
        return bool(self.changed or self.gone or self.new)

    def note(self, key: tuple[Any, ...], before: Any, after: Any) -> None:
        if len(self.first) < _MOST_SHOWN:
            self.first.append({"key": list(key), "before": before, "after": after})

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "compared": self.compared,
            "changed": self.changed,
            "gone": self.gone,
            "new": self.new,
            "first": self.first,
        }


def replay(args: Namespace) -> int:
    found, parked = asyncio.run(_replay(args))
    if args.json:
        output.as_json({"differences": [each.as_dict() for each in found], "undigested": parked})
    else:
        _print(found, parked)
    return 3 if parked or any(each.any for each in found) else 0


async def _replay(args: Namespace) -> tuple[list[Differences], list[int]]:
    with tempfile.TemporaryDirectory(prefix="switchboard-replay-") as folder:
        url = f"sqlite+aiosqlite:///{Path(folder) / 'replay.db'}"
        await asyncio.to_thread(upgrade, url)
        async with looking(settings_of(args)) as live:
            book = await _book(live, args)
            end = await _digested(live)
            scratch = Database(url)
            try:
                with output.bar("Reading the log anew") as told:
                    parked = await _digest_all(live, scratch, book, end, told)
                return await _compare(live, scratch, end), parked
            finally:
                await scratch.close()


async def _book(live: Database, args: Namespace) -> Book:
    if args.blueprint:
        return CurrentBook(compiled(0, whole(args.blueprint)))
    book = Book()
    await book.load(live)
    return book if args.as_then else CurrentBook(book.current)


async def _digested(live: Database) -> int:
    """How far the present figures have come: what lies beyond cannot be compared."""
    async with live.read() as session:
        lowest = select(func.min(col(Cursor.seq))).where(col(Cursor.consumer) == CrmConsumer.name)
        return min(int(await session.scalar(lowest) or 0), await reader.head(session))


async def _digest_all(
    live: Database, scratch: Database, book: Book, end: int, told: Callable[[int, int], None]
) -> list[int]:
    """Returns the entries that could not be digested. What they would send stays in the scratch outbox."""
    consumer = CrmConsumer(book, lambda changes: None)
    parked: list[int] = []
    seq = 0
    while seq < end:
        async with live.read() as session:
            batch = [entry for entry in await reader.after(session, seq, _PAGE) if entry.seq <= end]
        if not batch:
            break
        try:
            await _take(scratch, consumer, batch)
        except Exception:  # whatever it was, each entry is tried alone, and told if it fails again
            for entry in batch:
                parked += await _take_alone(scratch, consumer, entry)
        seq = batch[-1].seq
        told(seq, end)
    return parked


async def _take(scratch: Database, consumer: CrmConsumer, batch: Sequence[Logged]) -> None:
    async with scratch.begin(is_durable=False) as tx:
        await consumer.digest(tx, batch)


async def _take_alone(scratch: Database, consumer: CrmConsumer, entry: Logged) -> list[int]:
    try:
        await _take(scratch, consumer, [entry])
    except ActRefused:
        return []
    except Exception:  # told by its number; `log.exception` would show it a thousand times
        return [entry.seq]
    return []


async def _compare(live: Database, scratch: Database, end: int) -> list[Differences]:
    async with live.read() as before, scratch.read() as after:
        skipped = await _incomparable(before)
        found = []
        for kind, table, key, facts in _COMPARED:
            seqs = getattr(table, key[0])
            was = dict(_rows(await _all(before, table, seqs, end), key, facts, skipped))
            now = dict(_rows(await _all(after, table, seqs, end), key, facts, skipped))
            found.append(_differences(kind, was, now))
    return found


async def _incomparable(session: AsyncSession) -> set[int]:
    """Entries whose words were erased, or that the hub could not digest when they came."""
    erased = await session.scalars(select(col(Content.seq)).where(col(Content.erased_at).is_not(None)))
    parked = await session.scalars(select(col(Parked.seq)))
    return {*erased, *parked}


async def _all(session: AsyncSession, table: type[SQLModel], seqs: Any, end: int) -> Sequence[Any]:
    return (await session.scalars(select(table).where(seqs <= end))).all()


def _rows(
    rows: Sequence[Any], key: tuple[str, ...], facts: tuple[str, ...], skipped: set[int]
) -> Iterator[Row]:
    for row in rows:
        if getattr(row, key[0]) not in skipped:
            yield tuple(getattr(row, name) for name in key), {name: getattr(row, name) for name in facts}


def _differences(kind: str, was: Mapping[Any, Any], now: Mapping[Any, Any]) -> Differences:
    found = Differences(kind, compared=len(was.keys() & now.keys()))
    for key in sorted(was.keys() | now.keys()):
        before, after = was.get(key), now.get(key)
        if before == after:
            continue
        if before is None:
            found.new += 1
        elif after is None:
            found.gone += 1
        else:
            found.changed += 1
            names = [name for name in before if before[name] != after[name]]
            before, after = ({name: side[name] for name in names} for side in (before, after))
        found.note(key, before, after)
    return found


_COMPARED: tuple[tuple[str, type[SQLModel], tuple[str, ...], tuple[str, ...]], ...] = (
    ("readings", ReadingRow, ("seq",), ("intent", "status", "reply", "form", "document")),
    (
        "observations",
        Observation,
        ("seq", "number"),
        ("party_id", "form", "period", "sku", "field", "value", "text", "state", "warn"),
    ),
    ("cases", Case, ("id",), ("kind", "subkind", "party_id", "state", "severity")),
)


def _print(found: Sequence[Differences], parked: Sequence[int]) -> None:
    for each in found:
        told = f"{each.changed} change, {each.gone} go, {each.new} come" if each.any else "none differs"
        print(f"{each.kind}: {each.compared} compared, {told}")
        for one in each.first:
            print(
                f"  {'.'.join(str(part) for part in one['key'])}: {_said(one['before'])} -> {_said(one['after'])}"
            )
        rest = each.changed + each.gone + each.new - len(each.first)
        if rest > 0:
            print(f"  and {rest} more")
    if parked:
        print(
            f"{len(parked)} entries could not be digested: {', '.join(str(seq) for seq in parked[:_MOST_SHOWN])}"
        )
    if not parked and not any(each.any for each in found):
        print("The log read anew says what stands now.")


def _said(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "nothing"
    told = ", ".join(f"{name} {value}" for name, value in side.items())
    return told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"
