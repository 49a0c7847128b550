"""Every item, figure and error says which characters of the raw message it came from."""

from __future__ import annotations

import pytest

from crm.forms.readings import Reading
from tests.crm.forms.telling import read_as, tobacco


def words(text: str, reading: Reading) -> list[tuple[str, list[str]]]:
    items = (*reading.items, *reading.pending)
    return [
        (
            text[item.product_span[0] : item.product_span[1]],
            [text[each.span[0] : each.span[1]] for each in item.values],
        )
        for item in items
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KC 101 3;102 12条5包", [("101", ["3"]), ("102", ["12条5包"])]),
        ("  kc 101  3", [("101", ["3"])]),
        ("庫存 楚嵐（硬）３條　白雲渡兩條半", [("楚嵐（硬", ["３條"]), ("白雲渡", ["兩條半"])]),
        ("K\u200bC 1\u200b01 3", [("1\u200b01", ["3"])]),
        ("101 库存3 价格10元/盒", [("101", ["3", "10元/盒"])]),
        ("JG 102 158元 一条", [("102", ["158元 一条"])]),
        ("KC 101 3条，5盒", [("101", ["3条，5盒"])]),
        ("KC 楚 蓝 硬 3", [("楚 蓝 硬", ["3"])]),
        ("DH 101 楚岚软", [("101", ["101"]), ("楚岚软", ["楚岚软"])]),
        ("KC 101 …3", [("101", ["3"])]),
        ("KC ①01 3", [("①01", ["3"])]),
    ],
)
def test_items_and_figures_point_at_their_words(text: str, expected: list[tuple[str, list[str]]]) -> None:
    assert words(text, read_as(tobacco(), text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KC 101 3 ９９９ 5", ["９９９"]),
        ("KC 楚嵐 3", ["楚嵐"]),
        ("KC 101 102 5", ["101"]),
        ("KC 101 \u200b-3", ["-3"]),
        ("KC 13月1日 101 3", ["13月1日"]),
    ],
)
def test_errors_point_at_their_words(text: str, expected: list[str]) -> None:
    reading = read_as(tobacco(), text)

    assert [text[error.span[0] : error.span[1]] for error in reading.errors] == expected


def test_an_item_spans_from_its_name_to_its_last_figure() -> None:
    text = "KC 101 3条, 5盒;102 4"
    reading = read_as(tobacco(), text)

    assert [text[item.span[0] : item.span[1]] for item in reading.items] == ["101 3条, 5盒", "102 4"]


def test_free_text_is_the_raw_text_behind_the_command() -> None:
    text = "投诉：楚嵐軟有霉味，一條里三盒。"
    start, end = read_as(tobacco(), text).free_text

    assert text[start:end] == "楚嵐軟有霉味，一條里三盒。"


def test_a_confirmation_teaches_what_is_normal_and_settles_what_was_held() -> None:
    reading = read_as(tobacco(), "Y", {"pending": [{"sku": "101", "stock_packs": 880, "warn": "W_RANGE"}]})

    assert reading.confirmed_normals() == {("101", "stock_packs"): 880}
    assert reading.supersedes == {"101"}


def test_a_new_report_replaces_what_is_held_of_its_products_only() -> None:
    known = {"pending": [{"sku": "101", "stock_packs": 880}, {"sku": "102", "stock_packs": 990}]}

    assert read_as(tobacco(), "KC 101 5", known).supersedes == {"101"}


def test_a_no_to_one_product_drops_that_one() -> None:
    known = {"pending": [{"sku": "101", "stock_packs": 880}, {"sku": "102", "stock_packs": 990}]}

    assert read_as(tobacco(), "N 102", known).dropped == ("102",)
