"""Due times count open hours: lunch breaks, weekends and holidays are left out, worked weekends are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from crm.blueprint.calendars import Calendar, CalendarNeverOpens, WorkingTime
from crm.blueprint.model import Blueprint
from crm.blueprint.values import Duration, Label

SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=SHANGHAI)


@pytest.fixture
def desk(tobacco: Blueprint) -> WorkingTime:
    return tobacco.working_time("service_desk")


@pytest.mark.parametrize(
    ("start", "duration", "due"),
    [
        ("2026-09-23 09:00", "PT1H", "2026-09-23 10:00"),
        ("2026-09-23 11:30", "PT1H", "2026-09-23 14:00"),  # over lunch
        ("2026-09-23 17:00", "PT1H", "2026-09-24 09:00"),  # over night
        ("2026-09-23 06:00", "PT30M", "2026-09-23 09:00"),  # before opening
        ("2026-09-23 12:30", "PT30M", "2026-09-23 14:00"),  # in the lunch break
        ("2026-09-23 08:30", "PT7H30M", "2026-09-23 17:30"),  # to the minute of closing
        ("2026-09-24 16:00", "P1D", "2026-09-28 16:00"),  # Mid-Autumn from Friday to Sunday
        ("2026-09-18 17:00", "PT1H", "2026-09-20 09:00"),  # a worked Sunday
        ("2026-09-30 16:00", "PT4H", "2026-10-08 11:00"),  # the National Day week
        ("2026-09-30 16:00", "P1DT2H", "2026-10-09 09:00"),  # one working day, then two hours
        ("2026-09-22 22:00", "P1D", "2026-09-24 08:30"),  # received at night: counts from the next opening
    ],
)
def test_due_times_count_open_hours(desk: WorkingTime, start: str, duration: str, due: str) -> None:
    assert desk.due(at(start), Duration.parse(duration)) == at(due)


def test_a_start_in_another_zone_gives_the_same_moment(desk: WorkingTime) -> None:
    start = at("2026-09-23 09:00").astimezone(UTC)
    assert desk.due(start, Duration.parse("PT1H")) == at("2026-09-23 10:00")


def test_open_and_closed(desk: WorkingTime) -> None:
    assert desk.is_open(at("2026-09-23 08:30"))
    assert not desk.is_open(at("2026-09-23 12:00"))
    assert not desk.is_open(at("2026-10-01 09:00"))
    assert desk.is_open(at("2026-10-10 09:00"))


def test_worked_time_between_two_moments(desk: WorkingTime) -> None:
    assert desk.worked(at("2026-09-23 11:00"), at("2026-09-23 14:30")) == timedelta(hours=2)
    assert desk.worked(at("2026-10-01 09:00"), at("2026-10-07 18:00")) == timedelta()


def test_a_calendar_that_never_opens_is_said_to_be_one() -> None:
    calendar = Calendar(id="never", title=Label(hans="无"), timezone="Asia/Shanghai", weekdays={"mon": ()})
    with pytest.raises(CalendarNeverOpens):
        WorkingTime(calendar).due(at("2026-09-23 09:00"), Duration.parse("PT1H"))
