"""The parts of a blueprint at work: labels, durations, conditions, codes, prices and case numbers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from crm.blueprint.conditions import ConditionFailed, evaluate, holds
from crm.blueprint.model import Blueprint
from crm.blueprint.products import PriceKind, check_digit, minor_price, price_class
from crm.blueprint.service import NumberPattern, Restart
from crm.blueprint.values import Duration, Label


@pytest.mark.parametrize(
    ("label", "locale", "text"),
    [
        ("终端周报", "zh-Hans", "终端周报"),
        ("终端周报", "zh-Hant", "終端週報"),
        ("终端周报", "zh-TW", "終端週報"),
        ("终端周报", "en", "终端周报"),
        ({"zh-Hans": "周报", "en": "Report"}, "en", "Report"),
        ({"zh-Hans": "周报", "en": "Report"}, "en-GB", "Report"),
        ({"zh-Hans": "周报", "zh-Hant": "每週回報"}, "zh-Hant", "每週回報"),
        ({"zh-Hans": "周报", "en": "Report"}, "fr", "周报"),
    ],
)
def test_a_label_has_a_text_in_every_locale(label: str | dict[str, str], locale: str, text: str) -> None:
    assert Label.model_validate(label).text(locale) == text


@pytest.mark.parametrize(
    ("text", "days", "clock"),
    [
        ("PT30M", 0, timedelta(minutes=30)),
        ("PT4H", 0, timedelta(hours=4)),
        ("P3D", 3, timedelta()),
        ("P2W", 14, timedelta()),
        ("P1DT1H30M5S", 1, timedelta(hours=1, minutes=30, seconds=5)),
    ],
)
def test_durations_keep_days_and_hours_apart(text: str, days: int, clock: timedelta) -> None:
    duration = Duration.parse(text)
    assert (duration.days, duration.clock, str(duration)) == (days, clock, text)


@pytest.mark.parametrize("text", ["", "P", "PT", "P1", "4H", "PT4", "P1M", "P-1D", "P1D ", "P1DT"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration is written like"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("case.severity >= 3", True),
        ("case.unit in user.units", True),
        ("case.unit == 'HQ' || case.missing", False),
        ("case.missing == 1", False),
        ("case.severity", False),
        ("case.severity +", False),
        ("case.age > duration('72h')", True),
        ("case.opened_at < timestamp('2026-01-02T00:00:00Z')", True),
        ("user.units.exists(unit, unit == case.unit)", True),
    ],
)
def test_a_condition_holds_only_when_it_is_plainly_true(text: str, expected: bool) -> None:
    values = {
        "case": {
            "severity": 3,
            "unit": "A",
            "age": timedelta(hours=73),
            "opened_at": datetime(2026, 1, 1, tzinfo=UTC),
        },
        "user": {"units": ["A", "B"]},
    }
    assert holds(text, values) is expected


def test_a_condition_that_cannot_work_says_so() -> None:
    with pytest.raises(ConditionFailed, match=r"case\.missing"):
        evaluate("case.missing > 1", {"case": {}})


def test_codes_are_offered_by_day_and_parent(tobacco: Blueprint) -> None:
    defects = tobacco.code_table("quality_defect")
    assert {code.code for code in defects.offered(date(2026, 9, 1), "quality")} > {"mould", "leak"}
    assert defects.offered(date(2026, 9, 1), "fake") == ()
    topics = tobacco.code_table("consult_topic")
    assert "activity" not in {code.code for code in topics.offered(date(2026, 9, 1))}
    assert topics.label("activity") == "会员与积分"
    assert topics.label("unheard") == "unheard"


@pytest.mark.parametrize(
    ("sku", "guide", "wholesale", "group"),
    [("101", 1000, 870, "3"), ("102", 1600, 1390, "2"), ("104", 2500, 2170, "1"), ("107", 500, 430, "4")],
)
def test_prices_are_told_for_the_smallest_unit(
    tobacco: Blueprint, sku: str, guide: int, wholesale: int, group: str
) -> None:
    product = tobacco.product(sku)
    units = tobacco.unit_set(product.unit_set)
    assert minor_price(product, units, PriceKind.GUIDE) == guide
    assert minor_price(product, units, PriceKind.WHOLESALE) == wholesale
    found = price_class(product, units, tobacco.price_classes, date(2026, 9, 1))
    assert found is not None
    assert found.id == group


def test_a_product_without_the_price_has_none(tobacco: Blueprint) -> None:
    product = tobacco.product("201")
    units = tobacco.unit_set(product.unit_set)
    assert minor_price(product, units, PriceKind.TRANSFER) is None
    assert price_class(product, units, tobacco.price_classes, date(2026, 9, 1)) is None


def test_units_are_found_by_any_of_their_words(tobacco: Blueprint) -> None:
    units = tobacco.unit_set("cigarettes")
    assert (units.size("包"), units.size("条"), units.size("件"), units.base.id) == (1, 10, 500, "盒")
    with pytest.raises(KeyError):
        units.size("袋")


@pytest.mark.parametrize(
    ("digits", "digit"), [("690000000101", "1"), ("400638133393", "1"), ("9638507", "4")]
)
def test_check_digits_of_barcodes(digits: str, digit: str) -> None:
    assert check_digit(digits) == digit


def test_case_numbers_are_short_and_restart() -> None:
    pattern = NumberPattern(pattern="T{yy}{mm}-{n:4}", restart=Restart.MONTH)
    assert pattern.number(date(2026, 9, 23), 37) == "T2609-0037"
    assert pattern.number(date(2026, 9, 23), 12345) == "T2609-12345"
    assert pattern.span(date(2026, 9, 23)) == "2026-09"
    assert pattern.prefix == "T"


@pytest.mark.parametrize(
    ("pattern", "restart"),
    [("T{yy}", "never"), ("T{n}{n}", "never"), ("t{n:4}", "never"), ("T{x}{n}", "never"), ("T{mm}{n}", "month"),
     ("T{yy}{mm}{n}", "day"), ("投{n}", "never"), ("T {n}", "never")],
)  # fmt: skip
def test_a_pattern_whose_numbers_repeat_or_cannot_be_said_is_refused(pattern: str, restart: str) -> None:
    with pytest.raises(ValueError, match=r"it may hold|it needs|numbers repeat"):
        NumberPattern(pattern=pattern, restart=Restart(restart))
