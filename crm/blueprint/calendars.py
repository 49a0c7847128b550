"""Service hours: when somebody is there to answer, and how long a due time takes by that calendar."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from crm.blueprint.values import Duration, Entry, Id, Label, Ref

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)\Z")
# A due time further away than this is a mistake in the calendar (no open hours at all).
_HORIZON: Final = timedelta(days=3 * 366)


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"the time zone {name} is not known; write, for example, Asia/Shanghai") from error
    return name


TimeZoneName = Annotated[str, Field(max_length=60), AfterValidator(_timezone)]


def _days(text: str) -> tuple[int, ...]:
    first, _, last = text.partition("-")
    if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
        raise ValueError(f"weekdays are written like mon-fri or sat, not {text}")
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    if end < start:
        raise ValueError(f"{text} runs backwards; weeks begin with mon")
    return tuple(range(start, end + 1))


def _minutes(span: str) -> tuple[int, int]:
    match = _SPAN.match(span)
    if match is None:
        raise ValueError(f"hours are written like 08:30-12:00, not {span}")
    start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if not start < end <= 24 * 60:
        raise ValueError(f"the hours {span} run backwards")
    return start, end


class Holiday(Entry):
    title: Label
    start: Annotated[date, Field(alias="from")]
    to: date

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.to < self.start:
            raise ValueError("a holiday's `to` lies before its `from`")
        return self


class HolidaySet(Entry):
    """Days off, and the weekend days that are worked instead."""

    id: Id
    title: Label
    days: tuple[Holiday, ...]
    workdays: tuple[date, ...] = ()


class Calendar(Entry):
    id: Id
    title: Label
    timezone: TimeZoneName
    weekdays: Annotated[Mapping[str, tuple[str, ...]], Field(min_length=1)]
    holidays: Annotated[Id, Ref("holidays")] | None = None
    adjusted_workdays: bool = True  # a weekend day worked instead of a holiday has Monday's hours

    @model_validator(mode="after")
    def _hours_in_order(self) -> Self:
        seen: set[int] = set()
        for days, spans in self.weekdays.items():
            if seen & set(_days(days)):
                raise ValueError(f"a weekday of {days} has its hours twice")
            seen |= set(_days(days))
            last = -1
            for start, end in map(_minutes, spans):
                if start < last:
                    raise ValueError(f"the hours of {days} overlap or are not in order")
                last = end
        return self

    @cached_property
    def week(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Open spans in minutes after midnight, Monday first."""
        week: list[tuple[tuple[int, int], ...]] = [()] * 7
        for days, spans in self.weekdays.items():
            for day in _days(days):
                week[day] = tuple(map(_minutes, spans))
        return tuple(week)


class WorkingTime:
    """A calendar together with its holidays; asks and answers are in aware datetimes."""

    def __init__(self, calendar: Calendar, holidays: HolidaySet | None = None) -> None:
        self._calendar = calendar
        self._zone = ZoneInfo(calendar.timezone)
        self._off: frozenset[date] = frozenset()
        self._on: frozenset[date] = frozenset()
        if holidays is not None:
            self._off = frozenset(day for holiday in holidays.days for day in _each_day(holiday))
            if calendar.adjusted_workdays:
                self._on = frozenset(holidays.workdays)

    def spans(self, day: date) -> list[tuple[datetime, datetime]]:
        """The open hours of a day, in order."""
        if day in self._on:
            spans = self._calendar.week[0]
        else:
            spans = () if day in self._off else self._calendar.week[day.weekday()]
        midnight = datetime.combine(day, time(), self._zone)
        return [
            (midnight + timedelta(minutes=start), midnight + timedelta(minutes=end)) for start, end in spans
        ]

    def is_open(self, at: datetime) -> bool:
        local = at.astimezone(self._zone)
        return any(start <= local < end for start, end in self.spans(local.date()))

    def due(self, start: datetime, duration: Duration) -> datetime:
        """When `duration` of working time has passed since `start`; a day is one working day.

        So P1D from Friday 16:00 is Monday 16:00, and PT1H from 17:00 with closing time 17:30 is
        half an hour after opening on the next working day.
        """
        at = self._add_days(start.astimezone(self._zone), duration.days)
        return self._add_clock(at, duration.clock)

    def worked(self, start: datetime, end: datetime) -> timedelta:
        """The open time between two moments."""
        total = timedelta()
        for opens, closes in self._from(start):
            if opens >= end:
                break
            total += max(min(closes, end) - max(opens, start), timedelta())
        return total

    def _add_days(self, at: datetime, days: int) -> datetime:
        # A day counts only while hours are open, so the start moves to the next open hour first.
        opens, _ = next(self._from(at))
        at = max(at, opens)
        day, limit = at.date(), at.date() + _HORIZON
        while days > 0 and day < limit:
            day += timedelta(days=1)
            days -= 1 if self.spans(day) else 0
        return datetime.combine(day, at.timetz())

    def _add_clock(self, at: datetime, left: timedelta) -> datetime:
        for opens, closes in self._from(at):
            begin = max(opens, at)
            if begin + left <= closes:
                return begin + left
            left -= closes - begin
        raise AssertionError("a calendar always opens again")

    def _from(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Open spans that end after `at`, on and on."""
        day = at.astimezone(self._zone).date()
        limit = day + _HORIZON
        while day < limit:
            yield from ((opens, closes) for opens, closes in self.spans(day) if closes > at)
            day += timedelta(days=1)
        raise CalendarNeverOpens(self._calendar.id)


class CalendarNeverOpens(ValueError):
    """The calendar has no open hour for years: its weekdays or holidays are wrong."""


def _each_day(holiday: Holiday) -> Iterator[date]:
    day: date = holiday.start
    while day <= holiday.to:
        yield day
        day += timedelta(days=1)
