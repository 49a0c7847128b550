"""Figures: the one value that is shown for a party, product, field and period, chosen from its observations."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col

from core.database import Tx
from crm.tables import Figure, Observation


@dataclass(frozen=True, slots=True)
class FigureKey:
    form: str
    period: str
    party_id: UUID
    sku: str
    field: str

    @classmethod
    def of(cls, row: Observation | Figure) -> Self:
        return cls(row.form, row.period, row.party_id, row.sku, row.field)


def choose(observations: Iterable[Observation]) -> Observation | None:
    """The observation that stands: the latest that is accepted or waits for a word; later means said later."""
    standing = [each for each in observations if each.state in ("accepted", "held")]
    return max(standing, key=lambda each: (each.at, each.seq, each.number), default=None)


async def refresh(tx: Tx, touched: Iterable[FigureKey], seq: int) -> list[Figure]:
    """Choose the touched figures anew and return those that there are."""
    keys = set(touched)
    if not keys:
        return []
    groups = {(key.party_id, key.form, key.period) for key in keys}
    rows = await tx.session.execute(
        select(Observation).where(
            tuple_(col(Observation.party_id), col(Observation.form), col(Observation.period)).in_(groups),
        )
    )
    by_key: dict[FigureKey, list[Observation]] = {}
    # What the batch has added is not in the database yet, what it has changed is: rows are one object each.
    added = [row for row in tx.session.new if isinstance(row, Observation)]
    for row in [*rows.scalars(), *added]:
        by_key.setdefault(FigureKey.of(row), []).append(row)
    figures = []
    gone = []
    for key in keys:
        chosen = choose(by_key.get(key, ()))
        if chosen is None:
            gone.append(key)
        else:
            figures.append(_figure(key, chosen, seq))
    await _write(tx, figures)
    for key in gone:
        await tx.write(
            delete(Figure).where(
                col(Figure.form) == key.form,
                col(Figure.period) == key.period,
                col(Figure.party_id) == key.party_id,
                col(Figure.sku) == key.sku,
                col(Figure.field) == key.field,
            )
        )
    return figures


def _figure(key: FigureKey, chosen: Observation, seq: int) -> Figure:
    is_corrected = chosen.state == "accepted" and chosen.supersedes_seq is not None
    return Figure(
        form=key.form,
        period=key.period,
        party_id=key.party_id,
        sku=key.sku,
        field=key.field,
        value=chosen.value,
        text=chosen.text,
        state="corrected" if is_corrected else chosen.state,
        warn=chosen.warn if chosen.state == "held" else "",
        seq=chosen.seq,
        number=chosen.number,
        changed_seq=seq,
    )


_KEY = ("form", "period", "party_id", "sku", "field")
_VALUES = ("value", "text", "state", "warn", "seq", "number", "changed_seq")


async def _write(tx: Tx, figures: list[Figure]) -> None:
    if not figures:
        return
    insert = (sqlite.insert if tx.is_sqlite else postgresql.insert)(Figure)
    statement = insert.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: insert.excluded[name] for name in _VALUES}
    )
    await tx.write(
        statement, [{name: getattr(figure, name) for name in (*_KEY, *_VALUES)} for figure in figures]
    )
