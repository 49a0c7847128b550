"""The demo's reports: as many as a real collection gets, written as people write, and readable as they are meant."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.values import Address
from crm.blueprint.model import Blueprint
from crm.blueprint.reading import check_folder
from crm.forms.dialogue import read
from crm.forms.published import grammar_of
from crm.forms.readings import Context, Reading
from workers.demo.reports import Reports
from workers.demo.scenes import Scenes
from workers.demo.seed import BLUEPRINT
from workers.demo.story import Step, rounds
from workers.demo.world import World, make_world
from workers.demo.writing import money, numeral, simplified_to

ZONE = ZoneInfo("Asia/Shanghai")
SUNDAY = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
EARLY_MONDAY = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)  # half past one in the night, in Shanghai
WEEKS = 6


@pytest.fixture(scope="module")
def blueprint() -> Blueprint:
    found = check_folder(BLUEPRINT).blueprint
    assert found is not None
    return found


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(7, SUNDAY.date())


def told(blueprint: Blueprint, world: World, now: datetime) -> list[Step]:
    return list(Reports(blueprint, world, 7, now, ZONE).steps(WEEKS))


@pytest.fixture(scope="module")
def steps(blueprint: Blueprint, world: World) -> list[Step]:
    return told(blueprint, world, SUNDAY)


@pytest.fixture(scope="module")
def readings(blueprint: Blueprint, steps: list[Step]) -> list[tuple[Step, Reading]]:
    grammar = grammar_of(blueprint)
    return [
        (step, read(step.text, Context(now=step.at, timezone=ZONE, party="p"), grammar)) for step in steps
    ]


def week_of(step: Step) -> int:
    return int(step.key.split(":")[1])


def test_the_same_seed_and_moment_tell_the_same_story(
    blueprint: Blueprint, world: World, steps: list[Step]
) -> None:
    assert [(step.at, step.text) for step in told(blueprint, world, SUNDAY)] == [
        (step.at, step.text) for step in steps
    ]


def test_every_week_a_plausible_share_of_the_shops_reports(steps: list[Step]) -> None:
    for week in range(WEEKS):
        shops = {step.actor.number for step in steps if week_of(step) == week}
        assert 0.60 <= len(shops) / 300 <= 0.85


def test_some_reports_are_late_and_some_are_wrong(readings: list[tuple[Step, Reading]]) -> None:
    reports = [(step, reading) for step, reading in readings if reading.intent == "report"]
    late = sum(reading.date is not None for _, reading in reports)
    wrong = sum(bool(reading.errors) for _, reading in reports)
    assert 0.04 < late / len(reports) < 0.12
    assert 0.02 < wrong / len(reports) < 0.08


def test_nothing_that_is_meant_to_be_right_is_misread(readings: list[tuple[Step, Reading]]) -> None:
    counts = Counter((str(reading.intent), str(reading.status)) for _, reading in readings)
    assert counts["report", "rejected"] == 0
    assert counts["unknown", "rejected"] == 0
    assert counts["report", "accepted"] / len(readings) > 0.85
    assert not any(reading.pending for _, reading in readings)


def test_all_styles_of_writing_occur(steps: list[Step]) -> None:
    texts = [step.text for step in steps]
    for sign in ("KC ", "库存", "庫存", "*", "条", "ＫＣ", "元"):
        assert any(sign in text for text in texts), sign


@pytest.mark.parametrize("now", [SUNDAY, EARLY_MONDAY])
def test_nothing_happens_in_the_future_also_on_a_monday_night(
    blueprint: Blueprint, world: World, now: datetime
) -> None:
    present = [step for step in told(blueprint, world, now) if week_of(step) == 0]
    monday = now.astimezone(ZONE).date() - timedelta(days=now.astimezone(ZONE).weekday())
    assert len({step.actor.number for step in present}) > 150
    assert all(step.at <= now and step.at.date() >= monday for step in present)


def test_a_shop_that_has_fallen_silent_reported_before(blueprint: Blueprint, world: World) -> None:
    reports = Reports(blueprint, world, 7, SUNDAY, ZONE)
    silent = {shop.number for shop in reports.silent}
    by_week = {week: {shop.number for shop in reports.reporters(week)} for week in range(5)}
    assert not silent & (by_week[0] | by_week[1] | by_week[2] | by_week[3])
    assert silent <= by_week[4]


@pytest.mark.parametrize("now", [SUNDAY, EARLY_MONDAY, datetime(2026, 10, 5, 3, tzinfo=UTC)])
def test_scenes_fit_any_moment_at_which_the_demo_begins(
    blueprint: Blueprint, world: World, now: datetime
) -> None:
    silent = Reports(blueprint, world, 7, now, ZONE).silent
    scenes = Scenes(blueprint, world, silent, now, ZONE)
    assert all(step.at <= now for step in scenes.steps())
    snoozes = [step.detail["until"] for step in scenes.steps() if step.act == "snooze"]
    assert all(datetime.fromisoformat(until) > now for until in snoozes)


def test_within_a_round_nobody_acts_twice_and_each_keeps_the_order_of_time(steps: list[Step]) -> None:
    groups = rounds(steps)
    assert sum(len(group) for group in groups) == len(steps)
    seen: dict[Address, Step] = {}
    for group in groups:
        assert len({step.address for step in group}) == len(group)
        assert all(seen[step.address].at <= step.at for step in group if step.address in seen)
        seen.update({step.address: step for step in group})


def test_without_steps_there_are_no_rounds() -> None:
    nothing: Sequence[Step] = ()
    assert rounds(nothing) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "零"), (2, "两"), (3, "三"), (10, "十"), (12, "十二"), (20, "二十"), (22, "二十二"), (45, "四十五")],
)
def test_numerals_are_those_said_before_a_measure_word(number: int, words: str) -> None:
    assert numeral(number) == words


@pytest.mark.parametrize(("fen", "text"), [(1000, "10"), (1050, "10.5"), (1055, "10.55"), (700, "7")])
def test_amounts_are_written_as_short_as_people_write_them(fen: int, text: str) -> None:
    assert money(fen) == text


def test_traditional_writers_write_traditional_characters() -> None:
    assert simplified_to("hant", "库存 楚岚") == "庫存 楚嵐"
    assert simplified_to("hans", "库存 楚岚") == "库存 楚岚"
