"""Which figures are an alarm; when one begins, is told, told again and is over; that each is explained."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.words import LOCALES, say
from tests.support.entries import NOON
from workers.watching.alarms import (
    CONSUMER_BEHIND,
    DATABASE_AWAY,
    KINDS,
    REPLIES_WAIT,
    SENDS_UNKNOWN,
    Alarm,
    alarms,
)
from workers.watching.figures import Backlog, Figures, LeaseSeen, ProcessSeen
from workers.watching.judging import AGAIN, CALM, Standing, State, judge, told, words

ROOT = Path(__file__).parents[3]
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def _process(seconds: float = 1, host: str = "a", **detail: Any) -> ProcessSeen:
    return ProcessSeen(name="web-1", role="web", host=host, pid=7, seconds=seconds, up_for=9, detail=detail)


def _spool(entries: int = 0, bytes: int = 0, set_aside: int = 0) -> ProcessSeen:
    return _process(spool={"entries": entries, "bytes": bytes, "set_aside": set_aside, "limit": 1000})


@pytest.mark.parametrize(
    ("seen", "names"),
    [
        ({}, []),
        ({"database_is_up": False}, ["database_away"]),
        ({"bus_is_up": False}, ["redis_away"]),
        ({"consumers": {"crm": Backlog(9_000, 59)}}, []),
        ({"consumers": {"crm": Backlog(2, 61), "search": Backlog(1, 5)}}, ["consumer_behind:crm"]),
        ({"due": {"reply": 59, "job": 61, "broadcast": 99_999}}, []),
        ({"due": {"reply": 61}}, ["replies_wait"]),
        ({"due": {"job": 901}}, ["jobs_wait"]),
        ({"outbox": {("unknown", "reply"): 0, ("failed", "reply"): 5}}, []),
        ({"outbox": {("unknown", "reply"): 1, ("unknown", "job"): 2}}, ["sends_unknown"]),
        ({"parked": {"crm": 0, "search": 2}}, ["entries_parked:search"]),
        ({"processes": (_spool(),)}, []),
        ({"processes": (_spool(entries=3, bytes=500),)}, ["spool_in_use:a"]),
        ({"processes": (_spool(entries=3, bytes=501),)}, ["spool_in_use:a", "spool_filling:a"]),
        ({"processes": (_spool(set_aside=1),)}, ["spool_set_aside:a"]),
        ({"processes": (_process(disk={"data": 0.1, "spool": 0.5}),)}, []),
        ({"processes": (_process(disk={"data": 0.5, "spool": 0.09}),)}, ["disk_full:a"]),
        ({"processes": (_process(seconds=19),)}, []),
        ({"processes": (_process(seconds=21),)}, ["process_missing:web-1"]),
        ({"leases": (LeaseSeen("sealer", "d", -3),)}, []),
        ({"leases": (LeaseSeen("sealer", "d", 16),)}, ["lease_free:sealer"]),
        ({"leases": (LeaseSeen("line:main", "l", 16),), "accounts": ("main",)}, ["lease_free:line:main"]),
        ({"leases": (LeaseSeen("line:old", "l", 16),), "accounts": ("main",)}, []),
        ({"default_partition": 1}, ["default_partition"]),
        ({"missing_partitions": ("log_2026_12",)}, ["partition_missing"]),
        ({"unsealed": Backlog(40_000, 59)}, []),
        ({"unsealed": Backlog(4, 61)}, ["seals_behind"]),
        ({"silent": ("main",)}, ["account_silent:main"]),
    ],
)
def test_figures_are_an_alarm_or_not(seen: Mapping[str, Any], names: list[str]) -> None:
    assert [alarm.name for alarm in alarms(Figures(at=NOON, **seen))] == names


def test_a_host_is_told_of_once_by_the_process_that_was_heard_of_last() -> None:
    old, new = _process(9, spool={"entries": 5}), _process(1, spool={"entries": 2})
    (alarm,) = alarms(Figures(at=NOON, processes=(old, new)))
    assert alarm.figures["entries"] == 2


# When.

UNKNOWN = Alarm(SENDS_UNKNOWN, "", {"number": 3})
REPLIES = Alarm(REPLIES_WAIT)
BEHIND = Alarm(CONSUMER_BEHIND, "crm")  # has to hold for a minute


class Course:
    """What stands over time. Each `at` is one round of the watch; what it has to say is told unless `deaf`."""

    def __init__(self) -> None:
        self.standing: dict[str, Standing] = {}

    def at(
        self, after: timedelta, *found: Alarm, is_blind: bool = False, deaf: bool = False
    ) -> list[tuple[str, State]]:
        moment = NOON + after
        self.standing = judge(self.standing, found, moment, is_blind=is_blind)
        said = words(self.standing, moment)
        if not deaf:
            self.standing = told(self.standing, said, moment)
        return [(word.alarm.name, word.state) for word in said]


def test_an_alarm_is_told_when_it_begins_again_after_hours_and_when_it_is_over() -> None:
    course = Course()
    assert course.at(timedelta(), REPLIES) == [("replies_wait", State.BEGINS)]
    assert course.at(MINUTE, REPLIES) == []
    assert course.at(AGAIN, REPLIES) == [("replies_wait", State.GOES_ON)]
    assert course.at(AGAIN + MINUTE) == []
    assert course.at(AGAIN + MINUTE + CALM) == [("replies_wait", State.OVER)]
    assert course.at(AGAIN + 9 * MINUTE) == []
    assert course.standing == {}


def test_what_does_not_last_is_not_told() -> None:
    course = Course()
    assert course.at(timedelta(), BEHIND) == []
    assert course.at(59 * SECOND, BEHIND) == []
    assert course.at(60 * SECOND) == []
    assert course.at(61 * SECOND, BEHIND) == []
    assert course.at(120 * SECOND, BEHIND) == []
    assert course.at(121 * SECOND, BEHIND) == [("consumer_behind:crm", State.BEGINS)]


def test_what_comes_and_goes_is_one_alarm() -> None:
    course = Course()
    course.at(timedelta(), REPLIES)
    assert course.at(10 * SECOND) == []
    assert course.at(60 * SECOND, REPLIES) == []
    assert course.at(65 * SECOND) == []
    assert course.at(124 * SECOND) == []
    assert course.at(125 * SECOND) == [("replies_wait", State.OVER)]


def test_a_number_that_grows_is_told_but_not_at_each_step() -> None:
    course = Course()
    assert course.at(timedelta(), UNKNOWN) == [("sends_unknown", State.BEGINS)]
    four, one, two = (Alarm(SENDS_UNKNOWN, "", {"number": number}) for number in (4, 1, 2))
    assert course.at(MINUTE, four) == []
    assert course.at(10 * MINUTE, four) == [("sends_unknown", State.GROWS)]
    assert course.at(30 * MINUTE, four) == []
    assert course.at(40 * MINUTE, one) == []
    assert course.at(41 * MINUTE, two) == [("sends_unknown", State.GROWS)]


def test_what_nobody_took_is_said_again() -> None:
    course = Course()
    assert course.at(timedelta(), REPLIES, deaf=True) == [("replies_wait", State.BEGINS)]
    assert course.at(5 * SECOND, REPLIES) == [("replies_wait", State.BEGINS)]
    course.at(10 * SECOND)
    assert course.at(70 * SECOND, deaf=True) == [("replies_wait", State.OVER)]
    assert course.at(75 * SECOND) == [("replies_wait", State.OVER)]


def test_what_cannot_be_seen_without_a_database_goes_on() -> None:
    course = Course()
    away = Alarm(DATABASE_AWAY)
    course.at(timedelta(), REPLIES)
    course.at(MINUTE, away, is_blind=True)
    assert course.at(2 * MINUTE, away, is_blind=True) == [("database_away", State.BEGINS)]
    course.at(9 * MINUTE, REPLIES)
    assert course.at(10 * MINUTE, REPLIES) == [("database_away", State.OVER)]
    assert list(course.standing) == ["replies_wait"]


# What people read.


def test_each_alarm_has_its_section_in_the_guide() -> None:
    guide = (ROOT / "docs" / "watching.md").read_text()
    sections = re.findall(r"^### (\w+)$", guide, re.MULTILINE)
    assert sorted(sections) == sorted(kind.name for kind in KINDS)
    for kind in KINDS:
        section = guide.partition(f"### {kind.name}\n")[2].partition("\n### ")[0]
        assert f"{kind.severity.capitalize()}." in section
        assert "Do:" in section


@pytest.mark.parametrize("locale", [locale for locale in LOCALES if locale != "en"])
def test_each_alarm_speaks_each_language(locale: str) -> None:
    for kind in KINDS:
        assert say(locale, kind.title) != kind.title
        assert say(locale, kind.meaning) != kind.meaning


def test_names_are_never_renamed() -> None:
    """They are stored, shown and switched on by others."""
    assert sorted(kind.name for kind in KINDS) == [
        "account_silent",
        "consumer_behind",
        "database_away",
        "default_partition",
        "disk_full",
        "entries_parked",
        "jobs_wait",
        "lease_free",
        "partition_missing",
        "process_missing",
        "redis_away",
        "replies_wait",
        "seals_behind",
        "sends_unknown",
        "spool_filling",
        "spool_in_use",
        "spool_set_aside",
    ]
