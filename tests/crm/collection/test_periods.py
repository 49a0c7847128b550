"""Periods: which one a day falls into, how it is called, when a report for it is late."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from crm.blueprint.forms import Period
from crm.collection.periods import before, late_from, named, recent, span_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(0, 1200, 3)]


@pytest.mark.parametrize(
    ("period", "day", "key", "start", "end"),
    [
        (
            Period(every="week", starts="mon"),
            date(2026, 11, 22),
            "2026-W47",
            date(2026, 11, 16),
            date(2026, 11, 23),
        ),
        (
            Period(every="week", starts="sun"),
            date(2026, 11, 22),
            "2026-W48",
            date(2026, 11, 22),
            date(2026, 11, 29),
        ),
        (Period(every="week"), date(2027, 1, 1), "2026-W53", date(2026, 12, 28), date(2027, 1, 4)),
        (Period(every="month"), date(2026, 12, 31), "2026-12", date(2026, 12, 1), date(2027, 1, 1)),
        (Period(every="quarter"), date(2026, 11, 1), "2026-Q4", date(2026, 10, 1), date(2027, 1, 1)),
        (Period(every="year"), date(2026, 2, 28), "2026", date(2026, 1, 1), date(2027, 1, 1)),
        (Period(every="day"), date(2026, 2, 28), "2026-02-28", date(2026, 2, 28), date(2026, 3, 1)),
        (None, date(2026, 2, 28), "2026-02-28", date(2026, 2, 28), date(2026, 3, 1)),
        (Period(every="once"), date(2026, 2, 28), "once", date.min, date.max),
    ],
)
def test_a_day_falls_into_one_period(
    period: Period | None, day: date, key: str, start: date, end: date
) -> None:
    span = span_of(period, day)
    assert (span.key, span.start, span.end) == (key, start, end)
    assert day in span


@pytest.mark.parametrize(
    "period",
    [
        *(Period(every="week", starts=day) for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")),
        Period(every="day"), Period(every="month"), Period(every="quarter"), Period(every="year"),
        Period(every="once"), None,
    ],
)  # fmt: skip
def test_a_key_names_its_period_again(period: Period | None) -> None:
    spans = [span_of(period, day) for day in DAYS]
    assert [named(period, span.key) for span in spans] == spans


@pytest.mark.parametrize(
    "key", ["", "2026", "2026-W54", "2026-W00", "0000-W01", "２０２６-W10", "2026-W1", "once"]
)
def test_what_names_no_period_is_none(key: str) -> None:
    assert named(Period(every="week"), key) is None


def test_a_month_that_is_none_is_no_period() -> None:
    assert named(Period(every="month"), "2026-13") is None
    assert named(Period(every="once"), "2026") is None


def test_recent_periods_come_newest_first() -> None:
    weeks = recent(Period(every="week", starts="mon"), date(2027, 1, 6), 3)
    assert [span.key for span in weeks] == ["2027-W01", "2026-W53", "2026-W52"]
    assert before(Period(every="month"), span_of(Period(every="month"), date(2026, 1, 5))).key == "2025-12"
    assert [span.key for span in recent(Period(every="once"), date(2026, 1, 5), 3)] == ["once"]


def test_a_report_is_late_from_the_named_hour_after_the_period() -> None:
    period = Period(every="week", starts="mon", late_until="tue 18:00")
    late = late_from(period, span_of(period, date(2026, 11, 18)), SHANGHAI)
    assert late == datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "period",
    [
        None,
        Period(every="week"),
        Period(every="once", late_until="tue 18:00"),
        Period(every="week", late_until="soon"),
    ],
)
def test_where_no_hour_is_named_nothing_is_late(period: Period | None) -> None:
    assert late_from(period, span_of(period, date(2026, 11, 18)), SHANGHAI) is None
