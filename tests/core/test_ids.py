"""Identifiers and moments: unique, in order, and exact to the microsecond."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import uuid7
from core.moments import from_micros, micros


def test_an_id_says_what_it_is() -> None:
    made = uuid7()
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


def test_ids_differ() -> None:
    assert len({uuid7() for _ in range(10_000)}) == 10_000


def test_ids_of_later_milliseconds_are_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for millisecond in (1, 2, 1_700_000_000_000, 1_700_000_000_001):
        monkeypatch.setattr("core.ids.time.time_ns", lambda at=millisecond: at * 1_000_000)
        made.append(uuid7())
    assert made == sorted(made)
    assert made[2].int >> 80 == 1_700_000_000_000


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_moment_survives_its_microseconds(moment: datetime) -> None:
    assert from_micros(micros(moment)) == moment


def test_microseconds_count_from_1970() -> None:
    assert micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
