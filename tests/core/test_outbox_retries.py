"""What becomes of a message that was not handed over, by the class of the error, its attempts and its deadline."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from core.errors import (
    OutcomeUnknown,
    ProviderRefused,
    ProviderRejectedUs,
    ProviderThrottled,
    ProviderUnreachable,
    RecipientInvalid,
    RecipientOptedOut,
    SendError,
    TooLate,
)
from core.outbox import Item, ItemState, Retry, Settled, after_failure
from tests.support.entries import NOON
from tests.support.outbox import PHONE

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def item(**changes: Any) -> Item:
    return Item(
        **{
            "id": UUID(int=1), "job": "send", "lane": 1, "account": "main", "address": PHONE, "payload": {},
            "attempts": 1, "due_at": NOON - SECOND, "deadline": None, "cause_seq": None,
            "was_interrupted": False, "starts_at": NOON, "claimed_until": NOON + 60 * SECOND, **changes,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        RecipientInvalid(),
        RecipientOptedOut(),
        ProviderRefused(),
        ProviderRejectedUs(),
        TooLate(),
        OutcomeUnknown(),
    ],
)
def test_what_would_fail_again_is_not_offered_again(error: SendError) -> None:
    assert after_failure(error, item(), NOON) == Settled(ItemState.FAILED, error.code)


@pytest.mark.parametrize(
    ("attempts", "shortest", "longest"),
    [(1, 3.75, 6.25), (2, 7.5, 12.5), (5, 60, 100), (11, 2700, 4500), (29, 2700, 4500)],
)
def test_who_cannot_be_reached_is_tried_with_growing_pauses_that_differ(
    attempts: int, shortest: float, longest: float
) -> None:
    found = [after_failure(ProviderUnreachable(), item(attempts=attempts), NOON) for _ in range(50)]
    pauses = [(each.at - NOON).total_seconds() for each in found if isinstance(each, Retry)]
    assert len(pauses) == 50
    assert shortest <= min(pauses) < max(pauses) <= longest
    assert len(set(pauses)) > 10


def test_after_a_day_of_attempts_a_person_has_to_look() -> None:
    given_up = Settled(ItemState.FAILED, "provider_unreachable")
    assert after_failure(ProviderUnreachable(), item(attempts=30), NOON) == given_up


@pytest.mark.parametrize(
    ("asked", "rests"),
    [(30 * SECOND, 30 * SECOND), (None, SECOND), (5 * HOUR, HOUR)],
)
def test_a_provider_that_is_too_busy_gets_the_pause_it_asks_for(
    asked: timedelta | None, rests: timedelta
) -> None:
    outcome = after_failure(ProviderThrottled(retry_after=asked), item(attempts=40), NOON)
    assert outcome == Retry(NOON - SECOND, rests_until=NOON + rests)


@pytest.mark.parametrize("error", [ProviderUnreachable(), ProviderThrottled(retry_after=30 * SECOND)])
def test_what_would_come_too_late_is_given_up(error: SendError) -> None:
    late = item(deadline=NOON + 2 * SECOND)
    assert after_failure(error, late, NOON) == Settled(ItemState.FAILED, "too_late")
    assert isinstance(after_failure(error, item(deadline=NOON + HOUR), NOON), Retry)
