"""The demo's invented world: always the same, and of the shape that the trade would recognise."""

import re
from collections import Counter
from datetime import date

import pytest

from workers.demo.people import people
from workers.demo.world import Actor, World, make_world

DAY = date(2026, 11, 22)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(7, DAY)


def told(actor: Actor) -> tuple[object, ...]:
    return (
        actor.id,
        actor.name,
        actor.number,
        actor.territory,
        dict(actor.fields),
        dict(actor.keys),
        actor.styles,
    )


def test_the_same_seed_makes_the_same_world(world: World) -> None:
    again = make_world(7, DAY)
    assert [told(actor) for actor in again.customers] == [told(actor) for actor in world.customers]


def test_another_seed_makes_another_world(world: World) -> None:
    other = make_world(8, DAY)
    assert [shop.name for shop in other.shops] != [shop.name for shop in world.shops]


def test_names_and_numbers_do_not_depend_on_the_day(world: World) -> None:
    later = make_world(7, date(2027, 3, 1))
    assert [(each.id, each.name, each.number) for each in later.customers] == [
        (each.id, each.name, each.number) for each in world.customers
    ]


def test_the_story_begins_with_the_shops_that_everybody_knows(world: World) -> None:
    first, second, unbound = world.shops[:3]
    assert (first.name, first.number, first.keys) == (
        "顺发便民店",
        "+8613900000001",
        {"licence": "429901100017"},
    )
    assert (second.name, second.number, second.keys) == (
        "老街烟酒行",
        "+8613900000002",
        {"licence": "429901100025"},
    )
    assert (unbound.number, unbound.keys) == ("", {"licence": "429901100033"})


def test_licences_and_names_are_unique_and_numbers_belong_to_the_demo(world: World) -> None:
    assert len(world.shops) == 300
    assert len({shop.name for shop in world.shops}) == 300
    assert len({shop.keys["licence"] for shop in world.shops}) == 300
    assert all(re.fullmatch(r"4299\d{2}[12]\d{5}", shop.keys["licence"]) for shop in world.shops)
    numbers = [each.number for each in (*world.customers, *world.strangers) if each.number]
    assert len(set(numbers)) == len(numbers)
    assert all(re.fullmatch(r"\+86139000\d{5}", number) for number in numbers)
    assert people().stranger.number not in numbers


def test_the_shops_are_spread_as_they_are_in_the_trade(world: World) -> None:
    forms = Counter(shop.fields["form"] for shop in world.shops)
    assert 0.45 < forms["Z"] / 300 < 0.65
    assert 0.12 < forms["B"] / 300 < 0.28
    towns = sum(shop.fields["market"] == "C" for shop in world.shops)
    assert 0.22 < towns / 300 < 0.38
    assert len({shop.territory for shop in world.shops}) == 6
    tiers = [shop.fields["tier"] for shop in world.shops]
    assert min(tiers) >= 1
    assert max(tiers) <= 30
    assert 14 < sum(tiers) / 300 < 17
