"""Figures as people read and type them, for two trades."""

from decimal import Decimal
from pathlib import Path

import pytest

from core.errors import BadInput
from crm.blueprint.forms import FormField, IntegerField
from crm.collection.display import currency_of, number, parse_input, shown, unit
from tests.support.hub import BEVERAGE, TOBACCO, published_of


def field(folder: Path, key: str) -> FormField:
    blueprint = published_of(folder).blueprint
    lines = blueprint.form(blueprint.messages.default_form).lines
    assert lines is not None
    return lines.field(key)


@pytest.mark.parametrize(
    ("folder", "key", "value", "display"),
    [
        (TOBACCO, "stock", 0, "0条"),
        (TOBACCO, "stock", 5, "5盒"),
        (TOBACCO, "stock", 30, "3条"),
        (TOBACCO, "stock", 125, "12条5盒"),
        (TOBACCO, "stock", 1580, "158条"),
        (TOBACCO, "stock", -15, "-1条5盒"),
        (TOBACCO, "price", 1650, "16.50"),
        (TOBACCO, "price", 5, "0.05"),
        (BEVERAGE, "bottles", 72, "72瓶"),
        (BEVERAGE, "facings", 4, "4"),
        (BEVERAGE, "spot", "cooler", "冷柜"),
        (BEVERAGE, "spot", "roof", "roof"),
        (BEVERAGE, "note", "门口", "门口"),
    ],
)
def test_a_stored_value_is_shown_as_the_trade_says_it(
    folder: Path, key: str, value: int | str, display: str
) -> None:
    assert shown(field(folder, key), value) == display


def test_units_are_said_beside_the_figures() -> None:
    currency = currency_of(published_of(TOBACCO).blueprint)
    assert currency == "元"
    assert unit(field(TOBACCO, "stock")) == "条"
    assert unit(field(TOBACCO, "price"), currency) == "元/盒"
    assert unit(field(BEVERAGE, "facings")) == ""


def test_numbers_count_in_the_unit_that_is_said() -> None:
    assert number(field(TOBACCO, "stock"), 125) == Decimal("12.5")
    assert number(field(TOBACCO, "price"), 1650) == Decimal("16.5")
    assert number(field(BEVERAGE, "facings"), 4) == 4


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("stock", "3", 30),
        ("stock", " 3 条 ", 30),
        ("stock", "12条5包", 125),
        ("stock", "１２条５盒", 125),
        ("stock", "10.5", 105),
        ("stock", "2件", 1000),
        ("stock", "断货", 0),
        ("stock", "0", 0),
        ("price", "10.5", 1050),
        ("price", "¥16.50", 1650),
        ("price", "16.5元", 1650),
        ("price", "165元/条", 1650),
        ("price", "165/条", 1650),
    ],
)
def test_what_people_type_is_read(key: str, typed: str, value: int) -> None:
    assert parse_input(field(TOBACCO, key), typed, "元") == value


@pytest.mark.parametrize(
    ("key", "typed", "says"),
    [
        ("stock", "", "3条"),
        ("stock", "三", "Write a number"),
        ("stock", "-3", "Write a number"),
        ("stock", "1 2", "12条5盒"),
        ("stock", "12条5", "the unit of every number"),
        ("stock", "3箱", "件"),
        ("stock", "3瓶", "no unit of this field"),
        ("stock", "0.33", "whole number of 盒"),
        ("stock", "9" * 30, "too large"),
        ("stock", "9" * 50, "Write a number"),
        ("price", "1.234", "at most 2 decimals"),
        ("price", "1 2", "10.5元/盒"),
        ("price", "10/件", "one amount"),
        ("price", "", "10.5"),
    ],
)
def test_what_cannot_be_read_says_what_to_type(key: str, typed: str, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_input(field(TOBACCO, key), typed, "元")
    assert says in refused.value.message


def test_plain_numbers_and_words_have_their_own_rules() -> None:
    assert parse_input(field(BEVERAGE, "facings"), "12") == 12
    for key, typed in (("facings", "1.5"), ("facings", "-1"), ("spot", "冷柜"), ("note", "门口")):
        with pytest.raises(BadInput):
            parse_input(field(BEVERAGE, key), typed)


def test_a_field_that_may_be_negative_takes_it() -> None:
    balance = IntegerField.model_validate(
        {
            "id": "balance",
            "key": "balance",
            "title": "差额",
            "type": "integer",
            "min": -10,
            "zero_words": ["平"],
        }
    )
    assert parse_input(balance, "-3") == -3
    assert parse_input(balance, "平") == 0
    with pytest.raises(BadInput, match="at least -10"):
        parse_input(balance, "-11")


@pytest.mark.parametrize("value", [0, 1, 5, 10, 99, 125, 600, 12345])
def test_what_is_shown_can_be_typed_back(value: int) -> None:
    stock = field(TOBACCO, "stock")
    assert parse_input(stock, shown(stock, value)) == value
