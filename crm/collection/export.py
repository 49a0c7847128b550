"""The grid as a file: CSV or XLSX, shop by shop, written page by page so that memory stays flat."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.database import Database
from core.log import reader
from core.log.entries import Logged
from crm.blueprint.forms import FormDef, FormField, IntegerField, MoneyField, QuantityField
from crm.blueprint.model import Blueprint
from crm.blueprint.products import Product
from crm.collection.display import currency_of, number, unit
from crm.collection.grid import MOST_ROWS, Cell, ShopRow, Wanted, page
from crm.tables import Observation

Say = Callable[[str], str]
"""A word of the hub in the reader's language."""

Value = str | Decimal | datetime | int

BOM = b"\xef\xbb\xbf"
"""Without it Excel reads UTF-8 as the system's own encoding."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

STATES = {
    "received": "Received",
    "partial": "Partly received",
    "suspect": "Suspect",
    "missing": "Missing",
    "accepted": "Accepted",
    "corrected": "Corrected",
    "held": "Held",
}


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: what begins like one gets an apostrophe in front."""
    text = _UNPRINTABLE.sub("", text)
    return f"'{text}" if text.startswith(_FORMULA) else text


@dataclass(frozen=True, slots=True)
class Table:
    """What the columns are: shop, then every product's fields."""

    blueprint: Blueprint
    form: FormDef
    products: tuple[Product, ...]
    locale: str
    timezone: tzinfo
    say: Say

    @property
    def fields(self) -> Sequence[FormField]:
        return self.form.lines.fields if self.form.lines else ()

    def header(self) -> list[str]:
        shop = [self.say(each) for each in ("Shop", "Number", "Territory", "State", "Received at", "Late")]
        figures = [
            f"{product.title.text(self.locale)} {self.titled(field)}"
            for product in self.products
            for field in self.fields
        ]
        return shop + figures

    def titled(self, field: FormField) -> str:
        """The field's title with the unit that its figures count."""
        counted = unit(field, currency_of(self.blueprint))
        title = field.title.text(self.locale)
        return f"{title} ({counted})" if counted else title

    def cells(self, row: ShopRow) -> list[Value]:
        shop: list[Value] = [
            row.name,
            row.key,
            self.territory(row.territory),
            self.say(STATES[row.state]),
            self.local(row.received_at) if row.received_at else "",
            self.say("Late") if row.is_late else "",
        ]
        for product in self.products:
            given = row.cells.get(product.sku, {})
            shop += [figure(field, given.get(field.id)) for field in self.fields]
        return shop

    def territory(self, id: str) -> str:
        titles = (each.title.text(self.locale) for each in self.blueprint.territories if each.id == id)
        return next(titles, id)

    def local(self, at: datetime) -> datetime:
        """The moment on the package's clock, without a zone: spreadsheets know none."""
        return at.astimezone(self.timezone).replace(tzinfo=None, microsecond=0)


def figure(field: FormField, cell: Cell | None) -> Value:
    """The figure as a number in the header's unit, so that a spreadsheet can count with it."""
    if cell is None:
        return ""
    if isinstance(field, QuantityField | MoneyField | IntegerField):
        return number(field, cell.value)
    return str(cell.said)


async def pages(db: Database, blueprint: Blueprint, wanted: Wanted) -> AsyncIterator[list[ShopRow]]:
    """All rows. Each page is read for itself: whoever takes long to download holds no transaction open."""
    after = None
    while True:
        async with db.read() as session:
            found = await page(session, blueprint, wanted, after, MOST_ROWS)
        yield found.rows
        if found.next is None:
            return
        after = found.next


async def csv_chunks(rows: AsyncIterator[list[ShopRow]], table: Table) -> AsyncIterator[bytes]:
    yield BOM + _lines([table.header()])
    async for shops in rows:
        yield _lines([table.cells(row) for row in shops])


def _lines(rows: Sequence[Sequence[Value]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[_written(value) for value in row] for row in rows])
    return text.getvalue().encode()


def _written(value: Value) -> str:
    return harmless(value) if isinstance(value, str) else str(value)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a figure came from: the interaction, its words, the blueprint that it was read with."""

    interaction: str
    words: str
    at: datetime
    blueprint: int


async def origins(session: AsyncSession, rows: Sequence[ShopRow]) -> dict[tuple[int, int], Origin]:
    """The origins of all figures of the rows, by observation."""
    seqs = sorted({cell.seq for row in rows for each in row.cells.values() for cell in each.values()})
    entries = {entry.seq: entry for entry in await reader.at(session, seqs)}
    spans = await session.execute(
        select(
            col(Observation.seq),
            col(Observation.number),
            col(Observation.span_start),
            col(Observation.span_end),
        ).where(col(Observation.seq).in_(seqs))
    )
    return {
        (seq, number): _origin(entries[seq], start, end)
        for seq, number, start, end in spans
        if seq in entries
    }


def _origin(entry: Logged, start: int, end: int) -> Origin:
    # A correction has no words of its own in a message; its reason stands for them.
    words = entry.text[start:end] if start >= 0 else entry.text
    return Origin(str(entry.id), words, entry.occurred_at, entry.blueprint)


async def xlsx(db: Database, rows: AsyncIterator[list[ShopRow]], table: Table, file: IO[bytes]) -> None:
    """Two sheets: the grid, and one row a figure that says where it came from."""
    book = Workbook(write_only=True)
    grid, sources = (book.create_sheet(table.say(title)) for title in ("Figures", "Sources"))
    grid.freeze_panes = "B2"
    sources.freeze_panes = "A2"
    grid.append(_bold(grid, table.header()))
    sources.append(_bold(sources, [table.say(each) for each in _SOURCE_COLUMNS]))
    async for shops in rows:
        async with db.read() as session:
            known = await origins(session, shops)
        # Writing a page takes longer than reading it; other requests go on meanwhile.
        await asyncio.to_thread(_append, grid, sources, table, shops, known)
    await asyncio.to_thread(book.save, file)


_SOURCE_COLUMNS = (
    "Shop",
    "Number",
    "Product",
    "Field",
    "Value",
    "State",
    "Interaction",
    "Words",
    "Time",
    "Blueprint",
)


def _bold(sheet: Any, titles: Sequence[str]) -> list[Any]:
    cells = [WriteOnlyCell(sheet, value=harmless(title)) for title in titles]
    for cell in cells:
        cell.font = Font(bold=True)
    return cells


def _append(
    grid: Any,
    sources: Any,
    table: Table,
    shops: Sequence[ShopRow],
    known: dict[tuple[int, int], Origin],
) -> None:
    for row in shops:
        grid.append([_plain(value) for value in table.cells(row)])
        for source in _source_rows(table, row, known):
            sources.append([_plain(value) for value in source])


def _source_rows(
    table: Table, row: ShopRow, known: dict[tuple[int, int], Origin]
) -> Iterator[Sequence[Value]]:
    products = {product.sku: product.title.text(table.locale) for product in table.blueprint.products}
    fields = {field.id: field for field in table.fields}
    for sku, given in row.cells.items():
        for id, cell in given.items():
            origin = known.get((cell.seq, cell.number))
            field = fields.get(id)
            yield [
                row.name,
                row.key,
                products.get(sku, sku),
                table.titled(field) if field else id,
                figure(field, cell) if field else str(cell.said),
                table.say(STATES[cell.state]),
                origin.interaction if origin else "",
                origin.words if origin else "",
                table.local(origin.at) if origin else "",
                origin.blueprint if origin else "",
            ]


def _plain(value: Value) -> str | float | int | datetime | None:
    """As openpyxl stores it; text goes through `harmless`, since it too would make a formula of `=1+1`."""
    match value:
        case str():
            return harmless(value) or None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
    return value
