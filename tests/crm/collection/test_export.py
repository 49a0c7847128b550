"""The grid as a file: what spreadsheets make of it, and where each figure came from."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from openpyxl import load_workbook

from crm.collection import export
from crm.collection.export import BOM, Table, csv_chunks, harmless, pages, xlsx
from crm.collection.grid import ShopRow, ShopState, Wanted
from tests.support.hub import TOBACCO, DeskHub, blueprint_of

BLUEPRINT = blueprint_of(TOBACCO)
FORM = BLUEPRINT.form("weekly_terminal")
WANTED = Wanted(form=FORM, period="2026-W47", day=date(2026, 11, 16))
TABLE = Table(
    blueprint=BLUEPRINT,
    form=FORM,
    products=tuple(BLUEPRINT.product(sku) for sku in ("101", "103")),
    locale="zh-Hans",
    timezone=ZoneInfo("Asia/Shanghai"),
    say=lambda msgid: msgid,
)


def a_row(name: str = "顺发便民店", **changes: Any) -> ShopRow:
    fields: dict[str, Any] = {
        "party": uuid4(), "name": name, "key": "429901100017", "territory": "429901", "state": ShopState.MISSING,
        "received_at": None, "is_late": False, "cells": {}, "expects": (),
    }  # fmt: skip
    return ShopRow(**{**fields, **changes})


async def one_page(*rows: ShopRow) -> AsyncIterator[list[ShopRow]]:
    yield list(rows)


async def read_csv(rows: AsyncIterator[list[ShopRow]]) -> list[list[str]]:
    data = b"".join([chunk async for chunk in csv_chunks(rows, TABLE)])
    assert data.startswith(BOM)
    return list(csv.reader(io.StringIO(data.removeprefix(BOM).decode())))


async def sheets(hub: DeskHub, rows: AsyncIterator[list[ShopRow]]) -> tuple[Any, Any]:
    file = io.BytesIO()
    await xlsx(hub.db, rows, TABLE, file)
    file.seek(0)
    book = load_workbook(file)
    return book["Figures"], book["Sources"]


async def reported(hub: DeskHub) -> AsyncIterator[list[ShopRow]]:
    await hub.shop()
    await hub.sms("KC 101 12条5包;103 158")
    await hub.sms("JG 101 10.5")
    await hub.shop("老街烟酒行", None, "429901100025")
    return pages(hub.db, BLUEPRINT, WANTED)


async def test_a_csv_file_has_one_line_a_shop_and_the_units_in_its_header(hub: DeskHub) -> None:
    header, *rows = await read_csv(await reported(hub))
    assert header[:6] == ["Shop", "Number", "Territory", "State", "Received at", "Late"]
    assert header[6:] == [
        "楚岚(硬) 库存 (条)",
        "楚岚(硬) 零售价 (元/盒)",
        "楚岚(细支) 库存 (条)",
        "楚岚(细支) 零售价 (元/盒)",
    ]
    assert sorted(rows) == [
        ["老街烟酒行", "429901100025", "青渡市", "Missing", "", "", "", "", "", ""],
        [
            "顺发便民店",
            "429901100017",
            "青渡市",
            "Suspect",
            "2026-11-18 12:00:00",
            "",
            "12.5",
            "10.50",
            "158",
            "",
        ],
    ]


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+86139", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0"],
)
async def test_no_cell_of_a_csv_file_begins_like_a_formula(name: str) -> None:
    _, row = await read_csv(one_page(a_row(name, key=name)))
    assert row[0] == row[1] == f"'{name}"


def test_plain_text_is_written_as_it_is() -> None:
    assert harmless("顺发=便民-店") == "顺发=便民-店"
    assert harmless("") == ""
    assert harmless("a\x00b\x1f") == "ab"


async def test_names_with_commas_quotes_and_line_breaks_stay_one_cell() -> None:
    _, row = await read_csv(one_page(a_row('a,"b"\nc')))
    assert row[0] == 'a,"b"\nc'
    assert len(row) == 10


async def test_a_workbook_holds_figures_as_numbers_under_a_frozen_header(hub: DeskHub) -> None:
    grid, _ = await sheets(hub, await reported(hub))
    assert grid.freeze_panes == "B2"
    rows = {row[0]: row for row in grid.iter_rows(min_row=2, values_only=True)}
    assert rows["顺发便民店"][6:] == (12.5, 10.5, 158, None)
    assert rows["顺发便民店"][4] == datetime(2026, 11, 18, 12, 0)
    assert [type(value) for value in rows["顺发便民店"][6:9]] == [float, float, int]
    assert rows["老街烟酒行"][6:] == (None, None, None, None)


async def test_the_second_sheet_says_where_each_figure_came_from(hub: DeskHub) -> None:
    _, sources = await sheets(hub, await reported(hub))
    assert sources.freeze_panes == "A2"
    header, *rows = sources.iter_rows(values_only=True)
    assert header == (
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
    told = {(row[2], row[3]): row for row in rows}
    assert len(rows) == 3
    stock = told["楚岚(硬)", "库存 (条)"]
    assert (stock[4], stock[5], stock[7], stock[9]) == (12.5, "Accepted", "12条5包", 1)
    assert len(stock[6]) == 36
    assert told["楚岚(细支)", "库存 (条)"][5] == "Held"


async def test_a_corrected_figure_is_explained_by_its_reason(hub: DeskHub) -> None:
    shop = await hub.shop()
    report = await hub.sms("KC 101 3")
    await hub.act("figure.correct", party=shop, observation=f"{report.seq}.0", value=45, text="=电话核实")
    _, sources = await sheets(hub, pages(hub.db, BLUEPRINT, WANTED))
    (row,) = sources.iter_rows(min_row=2, values_only=True)
    assert (row[4], row[5], row[7]) == (4.5, "Corrected", "'=电话核实")


async def test_formulas_in_names_are_text_in_a_workbook(light_hub: DeskHub) -> None:
    grid, _ = await sheets(light_hub, one_page(a_row("=1+1\x07")))
    cell = grid["A2"]
    assert (cell.value, cell.data_type) == ("'=1+1", "s")


async def test_all_pages_are_exported(light_hub: DeskHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST_ROWS", 2)
    for number in range(5):
        await light_hub.shop(f"店{number}", None, f"42990110000{number}")
    found = [len(rows) async for rows in pages(light_hub.db, BLUEPRINT, WANTED)]
    assert found == [2, 2, 1]
