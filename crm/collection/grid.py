"""The collection desk's grid: shops and what they reported for a period, page by page, with the filter's totals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    Tuple,
    and_,
    case,
    func,
    literal,
    not_,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.columns import Id
from core.tables import Party, PartyKey
from core.text import folded
from crm.blueprint.forms import FormDef
from crm.blueprint.model import Blueprint
from crm.collection.expected import Expected
from crm.tables import Figure, Observation, Submission

MOST_ROWS = 500


class ShopState(StrEnum):
    RECEIVED = "received"
    PARTIAL = "partial"  # some, not everything that is expected
    SUSPECT = "suspect"  # something waits for a word
    MISSING = "missing"


class Shown(StrEnum):
    """Which shops are listed; each has its count in the totals."""

    EXPECTED = "expected"
    RECEIVED = "received"  # whole or in part, and nothing held
    SUSPECT = "suspect"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of the grid is asked for. `territories` are those that may be seen and are wanted; None: all."""

    form: FormDef
    period: str
    day: date  # on which the conditions of the assortments are asked
    territories: frozenset[str] | None = None
    state: Shown = Shown.EXPECTED
    query: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    expected: int
    received: int
    suspect: int
    missing: int


@dataclass(frozen=True, slots=True)
class Cell:
    value: int
    text: str
    state: str
    warn: str
    seq: int
    number: int

    @property
    def said(self) -> int | str:
        return self.text or self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopRow:
    party: UUID
    name: str
    key: str  # the number that the kind of party is told apart by
    territory: str
    state: ShopState
    received_at: datetime | None  # the newest report that stands
    is_late: bool  # the first one came late
    cells: dict[str, dict[str, Cell]]  # by product and field
    expects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[ShopRow]
    next: tuple[str, UUID] | None  # where the next page begins: pass it as `after`


async def totals(session: AsyncSession, blueprint: Blueprint, wanted: Wanted) -> Totals:
    """How many shops the filter names and how many of them are in each state; the wanted state plays no part."""
    given, held = _conditions(wanted, await _merged(session, wanted))
    query = _shops(blueprint, wanted).with_only_columns(
        func.count(),
        func.coalesce(func.sum(case((given, 1), else_=0)), 0),
        func.coalesce(func.sum(case((held, 1), else_=0)), 0),
    )
    expected, reported, suspect = (int(each) for each in (await session.execute(query)).one())
    return Totals(expected, reported - suspect, suspect, expected - reported)


async def page(
    session: AsyncSession,
    blueprint: Blueprint,
    wanted: Wanted,
    after: tuple[str, UUID] | None = None,
    limit: int = 100,
) -> Page:
    """The next shops by name, with their figures; shops that were merged lie under the one that stands for them."""
    limit = max(1, min(limit, MOST_ROWS))
    query = _shops(blueprint, wanted)
    if wanted.state is not Shown.EXPECTED:
        given, held = _conditions(wanted, await _merged(session, wanted))
        by_state = {
            Shown.RECEIVED: and_(given, not_(held)),
            Shown.SUSPECT: held,
            Shown.MISSING: not_(given),
        }
        query = query.where(by_state[wanted.state])
    if after is not None:
        query = query.where(tuple_(col(Party.folded), col(Party.id)) > _position(*after))
    found = (await session.execute(query.order_by(col(Party.folded), col(Party.id)).limit(limit + 1))).all()
    rows = found[:limit]
    families = await _families(session, [row.id for row in rows])
    cells = await _cells(session, wanted, families)
    reports = await _reports(session, wanted, families)
    expected = Expected(blueprint, wanted.form.about, wanted.day)
    key = blueprint.customer_kind(wanted.form.about).key
    shops = [_shop(key, row, cells.get(row.id, {}), reports.get(row.id), expected) for row in rows]
    return Page(shops, (rows[-1].folded, rows[-1].id) if len(found) > limit else None)


def _position(name: str, id: UUID) -> Tuple:
    return tuple_(literal(name, Text), literal(id, Id))


def _shops(blueprint: Blueprint, wanted: Wanted) -> Select[Any]:
    """The parties that are expected to report: of the form's kind, neither merged nor erased nor at their end."""
    kind = blueprint.customer_kind(wanted.form.about)
    ends = [stage.id for stage in kind.stages if not stage.to]
    query = select(
        col(Party.id), col(Party.name), col(Party.folded), col(Party.territory), col(Party.stage),
        col(Party.owner), col(Party.fields),
    ).where(
        col(Party.kind) == kind.id,
        col(Party.merged_into).is_(None),
        col(Party.erased_at).is_(None),
        col(Party.stage).not_in(ends),
    )  # fmt: skip
    if wanted.territories is not None:
        query = query.where(col(Party.territory).in_(wanted.territories))
    if wanted.query.strip():
        query = query.where(_is_named(kind.key, wanted.query.strip()))
    return query


def _is_named(system: str | None, words: str) -> ColumnElement[bool]:
    """Part of the name, or the beginning of the number by which others name the party."""
    by_name = col(Party.folded).contains(folded(words), autoescape=True)
    if system is None:
        return by_name
    by_key = select(col(PartyKey.party_id)).where(
        col(PartyKey.system) == system, col(PartyKey.key).startswith(words, autoescape=True)
    )
    return or_(by_name, col(Party.id).in_(by_key))


@dataclass(frozen=True, slots=True)
class _Merged:
    """Shops for which merged ones have reported: their state is theirs together, so it is worked out one by one."""

    reported: frozenset[UUID]
    held: frozenset[UUID]


async def _merged(session: AsyncSession, wanted: Wanted) -> _Merged:
    merged = select(col(Party.id)).where(col(Party.merged_into).is_not(None))
    givers = await session.execute(
        select(col(Figure.party_id)).where(*_of_period(wanted), col(Figure.party_id).in_(merged)).distinct()
    )
    roots = await _roots(session, givers.scalars().all())
    cells = await _cells(session, wanted, await _families(session, roots)) if roots else {}
    held = frozenset(id for id, each in cells.items() if state_of(each, ()) is ShopState.SUSPECT)
    return _Merged(frozenset(roots), held)


def _conditions(wanted: Wanted, merged: _Merged) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Whether a shop has a figure at all, and whether one of them is held: each answered by a look into an index."""
    figures = select(literal(1)).where(*_of_period(wanted), col(Figure.party_id) == col(Party.id))
    waiting = select(literal(1)).where(
        col(Observation.party_id) == col(Party.id), col(Observation.state) == "held"
    )
    given: ColumnElement[bool] = figures.exists()
    # Few shops have anything held, and only their figures are looked through.
    held = and_(waiting.exists(), figures.where(col(Figure.state) == "held").exists())
    if merged.reported:
        given = or_(given, col(Party.id).in_(merged.reported))
        held = or_(and_(held, col(Party.id).not_in(merged.reported)), col(Party.id).in_(merged.held))
    return given, held


def _of_period(wanted: Wanted) -> tuple[ColumnElement[bool], ...]:
    return (col(Figure.form) == wanted.form.form, col(Figure.period) == wanted.period)


async def _roots(session: AsyncSession, ids: Sequence[UUID]) -> set[UUID]:
    """Those that stand for the parties, over any number of merges."""
    found: set[UUID] = set()
    climbing = set(ids)
    while climbing:
        rows = await session.execute(
            select(col(Party.id), col(Party.merged_into)).where(col(Party.id).in_(climbing))
        )
        above = dict(rows.all())
        found |= {id for id, root in above.items() if root is None}
        climbing = {root for root in above.values() if root is not None}
    return found


async def _families(session: AsyncSession, roots: Iterable[UUID]) -> dict[UUID, UUID]:
    """The parties themselves and all that were merged into them, each with the one that stands for it."""
    families = {root: root for root in roots}
    newest = list(families)
    while newest:
        rows = await session.execute(
            select(col(Party.id), col(Party.merged_into)).where(col(Party.merged_into).in_(newest))
        )
        newest = []
        for id, into in rows:
            if into is not None and id not in families:
                families[id] = families[into]
                newest.append(id)
    return families


async def _cells(
    session: AsyncSession, wanted: Wanted, families: dict[UUID, UUID]
) -> dict[UUID, dict[str, dict[str, Cell]]]:
    rows = await session.execute(
        select(
            col(Figure.party_id), col(Figure.sku), col(Figure.field), col(Figure.value), col(Figure.text),
            col(Figure.state), col(Figure.warn), col(Figure.seq), col(Figure.number),
        ).where(*_of_period(wanted), col(Figure.party_id).in_(families))
    )  # fmt: skip
    cells: dict[UUID, dict[str, dict[str, Cell]]] = {}
    rivals: dict[tuple[UUID, str, str], list[Cell]] = {}
    row: Any  # the columns above, in their order
    for row in rows:
        party, sku, name, *said = row
        root = families[party]
        cell = Cell(*said)
        of_product = cells.setdefault(root, {}).setdefault(sku, {})
        if name in of_product:
            rivals.setdefault((root, sku, name), [of_product[name]]).append(cell)
        of_product[name] = cell
    if rivals:
        at = await _moments(session, (cell for each in rivals.values() for cell in each))
        for (root, sku, name), each in rivals.items():
            cells[root][sku][name] = max(
                each, key=lambda cell: (at[cell.seq, cell.number], cell.seq, cell.number)
            )
    return cells


async def _moments(session: AsyncSession, cells: Iterable[Cell]) -> dict[tuple[int, int], datetime]:
    """When the figures' observations were made: of merged shops the newest counts, as it does within one."""
    wanted = [(cell.seq, cell.number) for cell in cells]
    rows = await session.execute(
        select(col(Observation.seq), col(Observation.number), col(Observation.at)).where(
            tuple_(col(Observation.seq), col(Observation.number)).in_(wanted)
        )
    )
    return {(seq, number): at for seq, number, at in rows}


@dataclass(slots=True)
class _Reports:
    newest: datetime
    oldest: datetime
    is_late: bool


async def _reports(session: AsyncSession, wanted: Wanted, families: dict[UUID, UUID]) -> dict[UUID, _Reports]:
    rows = await session.execute(
        select(col(Submission.party_id), col(Submission.received_at), col(Submission.is_late)).where(
            col(Submission.form) == wanted.form.form,
            col(Submission.period) == wanted.period,
            col(Submission.party_id).in_(families),
            col(Submission.state) != "withdrawn",
        )
    )
    found: dict[UUID, _Reports] = {}
    for party, at, is_late in rows:
        known = found.setdefault(families[party], _Reports(at, at, is_late))
        known.newest = max(known.newest, at)
        if at < known.oldest:
            known.oldest, known.is_late = at, is_late
    return found


def _shop(
    key: str | None,
    row: Any,
    cells: dict[str, dict[str, Cell]],
    reports: _Reports | None,
    expected: Expected,
) -> ShopRow:
    expects = expected.of(row.territory, row.stage, row.owner, row.fields)
    return ShopRow(
        party=row.id,
        name=row.name,
        key=str(row.fields.get(key, "")) if key else "",
        territory=row.territory,
        state=state_of(cells, expects),
        received_at=reports.newest if reports else None,
        is_late=reports.is_late if reports else False,
        cells=cells,
        expects=expects,
    )


def state_of(cells: dict[str, dict[str, Cell]], expects: Sequence[str]) -> ShopState:
    if not cells:
        return ShopState.MISSING
    if any(cell.state == "held" for product in cells.values() for cell in product.values()):
        return ShopState.SUSPECT
    return ShopState.RECEIVED if all(sku in cells for sku in expects) else ShopState.PARTIAL
