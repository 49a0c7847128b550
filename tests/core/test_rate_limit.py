"""Rate limits count over a window that slides and forget whom they must."""

from datetime import UTC, datetime, timedelta

import pytest

from core.errors import TooManyRequests
from core.rate_limit import SlidingWindow

_START = datetime(2026, 11, 18, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def test_a_try_passes_again_when_the_oldest_leaves_the_window() -> None:
    window = SlidingWindow(2, 10 * _SECOND)
    window.take("a", _START)
    window.take("a", _START + 4 * _SECOND)
    with pytest.raises(TooManyRequests) as refused:
        window.take("a", _START + 7 * _SECOND)
    assert refused.value.retry_after == 3 * _SECOND
    window.take("a", _START + 10 * _SECOND)
    assert window.wait("a", _START + 10 * _SECOND) == 4 * _SECOND


def test_keys_do_not_count_for_each_other() -> None:
    window = SlidingWindow(1, 10 * _SECOND)
    window.take("a", _START)
    window.take("b", _START)
    assert window.wait("a", _START) == 10 * _SECOND


def test_a_key_is_forgiven() -> None:
    window = SlidingWindow(1, 10 * _SECOND)
    window.take("a", _START)
    window.forgive("a")
    window.take("a", _START)


def test_memory_is_bounded_and_the_longest_idle_key_goes_first() -> None:
    window = SlidingWindow(1, 10 * _SECOND, capacity=2)
    for key in "abc":
        window.take(key, _START)
    assert len(window) == 2
    assert window.wait("a", _START) == timedelta(0)
    assert window.wait("b", _START) > timedelta(0)
