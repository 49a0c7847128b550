"""Reporting periods: which one a day falls into, when it ends, when a report for it is late."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from crm.blueprint.forms import Period

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKLY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun) ([0-2]\d):([0-5]\d)")


@dataclass(frozen=True, slots=True, order=True)
class PeriodSpan:
    """A period by its first day; `end` is the first day after it."""

    start: date
    end: date
    key: str

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end


def span_of(period: Period | None, day: date) -> PeriodSpan:
    """The period that the day falls into. A form without periods has one for each day."""
    every = period.every if period else "day"
    match every:
        case "week":
            first = _DAYS.index(period.starts) if period and period.starts in _DAYS else 0
            start = day - timedelta(days=(day.weekday() - first) % 7)
            # A week is named by the ISO week that holds its fourth day, whatever day it starts with.
            year, week, _ = (start + timedelta(days=3)).isocalendar()
            return PeriodSpan(start, start + timedelta(days=7), f"{year}-W{week:02}")
        case "month":
            start = day.replace(day=1)
            return PeriodSpan(start, _months_later(start, 1), f"{start:%Y-%m}")
        case "quarter":
            start = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
            return PeriodSpan(start, _months_later(start, 3), f"{start.year}-Q{(start.month + 2) // 3}")
        case "year":
            start = day.replace(month=1, day=1)
            return PeriodSpan(start, start.replace(year=start.year + 1), f"{start.year}")
        case "once":
            return PeriodSpan(date.min, date.max, "once")
        case _:
            return PeriodSpan(day, day + timedelta(days=1), day.isoformat())


_KEYS = {
    "week": re.compile(r"(\d{4})-W(\d\d)"),
    "month": re.compile(r"(\d{4})-(\d\d)"),
    "quarter": re.compile(r"(\d{4})-Q([1-4])"),
    "year": re.compile(r"(\d{4})"),
    "day": re.compile(r"(\d{4})-(\d\d)-(\d\d)"),
}


def named(period: Period | None, key: str) -> PeriodSpan | None:
    """The period with this key; None when no period of the form is called so."""
    every = period.every if period else "day"
    if every == "once":
        return span_of(period, date.min) if key == "once" else None
    said = _KEYS[every].fullmatch(key)
    if said is None:
        return None
    numbers = [int(each) for each in said.groups()]
    try:
        match every:
            case "week":
                # A week is named by its fourth day, which shares a week with this one whatever day it starts with.
                span = span_of(period, date.fromisocalendar(numbers[0], numbers[1], 4))
            case "month":
                span = span_of(period, date(numbers[0], numbers[1], 1))
            case "quarter":
                span = span_of(period, date(numbers[0], numbers[1] * 3, 1))
            case "year":
                span = span_of(period, date(numbers[0], 1, 1))
            case _:
                span = span_of(period, date(*numbers))
    except ValueError:
        return None
    return span if span.key == key else None


def before(period: Period | None, span: PeriodSpan) -> PeriodSpan:
    return span_of(period, span.start - timedelta(days=1))


def recent(period: Period | None, day: date, count: int) -> list[PeriodSpan]:
    """The period of `day` and those before it, newest first."""
    found = [span_of(period, day)]
    while len(found) < count and found[-1].start > date.min:
        found.append(before(period, found[-1]))
    return found


def late_from(period: Period | None, span: PeriodSpan, timezone: ZoneInfo) -> datetime | None:
    """The moment from which a report for the span is late: `late_until` counts after the span's end."""
    if period is None or period.late_until is None or span.end == date.max:
        return None
    said = _WEEKLY.fullmatch(period.late_until)
    if said is None:
        return None
    day = span.end + timedelta(days=(_DAYS.index(said[1]) - span.end.weekday()) % 7)
    return datetime.combine(day, time(int(said[2]), int(said[3])), timezone)


def _months_later(start: date, months: int) -> date:
    month = start.month - 1 + months
    return start.replace(year=start.year + month // 12, month=month % 12 + 1)
