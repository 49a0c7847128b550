"""Passwords are hashed slowly, checked the same whoever asks, and refused when they are easily guessed."""

import asyncio
from collections.abc import Iterator

import pytest

from core.errors import BadInput, TooManyRequests
from core.passwords import Hasher, check_new


@pytest.fixture
def hasher() -> Iterator[Hasher]:
    cheap = Hasher(memory_kib=64, passes=1)
    yield cheap
    cheap.close()


async def test_a_password_matches_its_own_hash(hasher: Hasher) -> None:
    stored = await hasher.hash("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert await hasher.matches(stored, "correct horse battery")
    assert not await hasher.matches(stored, "correct horse")


@pytest.mark.parametrize("stored", ["", "not a hash", "$argon2id$v=19$m=64,t=1,p=1$broken"])
async def test_without_a_hash_nothing_matches(hasher: Hasher, stored: str) -> None:
    assert not await hasher.matches(stored, "nobody has this password")


async def test_an_endless_password_is_not_hashed(hasher: Hasher) -> None:
    assert not await hasher.matches(await hasher.hash("x"), "x" * 1_000_000)


async def test_a_hash_of_other_costs_is_made_anew(hasher: Hasher) -> None:
    stored = await hasher.hash("correct horse battery")
    dearer = Hasher(memory_kib=128, passes=1)
    assert dearer.needs_rehash(stored)
    assert not hasher.needs_rehash(stored)
    dearer.close()


async def test_a_crowd_is_told_to_come_again(hasher: Hasher) -> None:
    answers = await asyncio.gather(*(hasher.hash("x") for _ in range(200)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TooManyRequests)]
    assert 0 < len(refused) < 200
    assert await hasher.hash("x")


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("short", "short"),
        ("x" * 201, "long"),
        ("aaaaaaaaaaaa", "guessed"),
        ("MyPassword2026", "guessed"),
        ("li.wei-is-here", "login"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(password: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        check_new(password, "li.wei")


def test_a_good_password_is_taken() -> None:
    check_new("correct horse battery", "li.wei")
