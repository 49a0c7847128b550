"""The clock that all processes of a house share."""

from datetime import datetime, timedelta

import pytest

from core import clock
from core.clock import SharedClock, at_once, now

HOUR = timedelta(hours=1)
CLOSE = timedelta(seconds=5)


async def test_the_databases_time_is_taken() -> None:
    async def ask() -> datetime:
        return now() + HOUR

    shared = SharedClock(ask)
    assert abs(shared() - now()) < CLOSE
    await shared.look()
    assert abs(shared() - now() - HOUR) < CLOSE


async def test_a_step_of_the_own_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> datetime:
        return now()

    shared = SharedClock(ask)
    await shared.look()
    before = shared()
    monkeypatch.setattr(clock, "now", lambda: before + HOUR)
    assert abs(shared() - before) < CLOSE


async def test_a_small_difference_is_left_so_that_time_does_not_run_backwards() -> None:
    async def ask() -> datetime:
        return shared() - timedelta(milliseconds=20)

    shared = SharedClock(ask)
    before = shared()
    for _ in range(5):
        await shared.look()
        assert shared() >= before
        before = shared()


def test_what_a_fast_clock_has_recorded_is_due_at_once() -> None:
    assert at_once(now() + HOUR) <= now()
    before = now() - HOUR
    assert at_once(before) == before
