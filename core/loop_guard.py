"""The loop guard: two machines that answer each other are stopped before they cost money."""

from dataclasses import dataclass
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=10)
MOST_ANSWERS = 12
"""People with old phones send a report in a few messages; twelve automatic answers in ten minutes go to a machine."""


@dataclass(frozen=True, slots=True)
class Guarded:
    since: datetime
    answers: int
    is_tripped: bool


def count_answer(since: datetime | None, answers: int, at: datetime) -> Guarded:
    """Count one more automatic answer; when it trips, the answer is not given and a person is told."""
    if since is None or at - since > WINDOW:
        return Guarded(at, 1, False)
    return Guarded(since, answers + 1, answers + 1 > MOST_ANSWERS)
