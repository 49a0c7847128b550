"""The difference between the live tables and a replay's: both are read in the order of their keys, side by side."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Text, collate, select
from sqlalchemy.ext.asyncio import AsyncSession

from workers.replay.projections import Forgotten, Projection, Values

_PAGE = 1_000
_MOST_SHOWN = 20

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A row that comes (no `before`), goes (no `after`) or becomes another. Both hold every column."""

    key: Key
    before: Values | None
    after: Values | None


@dataclass(slots=True)
class Differences:
    """What one kind of row would become: counts, and the first few by their keys."""

    kind: str
    compared: int = 0
    changed: int = 0
    gone: int = 0
    new: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    @property
    def any(self) -> bool:
        return bool(self.changed or self.gone or self.new)

    @property
    def count(self) -> int:
        return self.changed + self.gone + self.new

    def note(self, projection: Projection, change: Change) -> None:
        before, after = change.before, change.after
        if before is None:
            self.new += 1
        elif after is None:
            self.gone += 1
        else:
            self.changed += 1
        if len(self.first) < _MOST_SHOWN:
            names = [
                name
                for name in projection.facts
                if before is None or after is None or before[name] != after[name]
            ]
            told = [
                None if side is None else {name: side[name] for name in names} for side in (before, after)
            ]
            self.first.append({"key": list(change.key), "before": told[0], "after": told[1]})

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "compared": self.compared,
            "changed": self.changed,
            "gone": self.gone,
            "new": self.new,
            "first": self.first,
        }


async def changes(
    live: AsyncSession,
    scratch: AsyncSession,
    projection: Projection,
    forgotten: Forgotten,
    told: Differences,
) -> AsyncIterator[Change]:
    """The differing rows of one table, in the order of their keys; `told` counts them and the equal ones."""
    ours, theirs = _rows(live, projection), _rows(scratch, projection)
    async for key, before, after in _side_by_side(ours, theirs):
        if before is not None and after is not None:
            told.compared += 1
            if all(before[name] == after[name] for name in projection.facts):
                continue
        if before is not None and forgotten.keeps(projection, before):
            continue
        change = Change(key, before, after)
        told.note(projection, change)
        yield change


_Row = tuple[Key, Values]


async def _side_by_side(
    ours: AsyncIterator[_Row], theirs: AsyncIterator[_Row]
) -> AsyncIterator[tuple[Key, Values | None, Values | None]]:
    """Every key of either side, in order, with what each side has of it."""
    left, right = await anext(ours, None), await anext(theirs, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            yield left[0], left[1], None
            left = await anext(ours, None)
        elif left is None or right[0] < left[0]:
            yield right[0], None, right[1]
            right = await anext(theirs, None)
        else:
            yield left[0], left[1], right[1]
            left, right = await anext(ours, None), await anext(theirs, None)


async def _rows(session: AsyncSession, projection: Projection) -> AsyncIterator[_Row]:
    key = projection.key
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    query = select(projection.table).order_by(*_in_order(projection, is_sqlite))
    result = await session.stream(query, execution_options={"yield_per": _PAGE})
    async for row in result.mappings():
        yield tuple(row[name] for name in key), dict(row)


def _in_order(projection: Projection, is_sqlite: bool) -> Sequence[Any]:
    """By code points, which is how Python compares and SQLite sorts."""
    columns = projection.table.primary_key.columns
    return [each if is_sqlite or not isinstance(each.type, Text) else collate(each, "C") for each in columns]
