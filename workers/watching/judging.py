"""Judging: when an alarm begins, is told, told again, and is over. Values in, values out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from workers.watching.alarms import DATABASE_AWAY, REDIS_AWAY, Alarm

AGAIN = timedelta(hours=4)
"""How long nothing is said of an alarm that goes on."""

CALM = timedelta(minutes=1)
"""How long an alarm must be gone before it is over: one that comes and goes is one alarm."""

_GROWN = timedelta(minutes=10)  # at least, between two words about a number that grows
_SEEN_BLIND = frozenset({DATABASE_AWAY.name, REDIS_AWAY.name})


class State(StrEnum):
    BEGINS = "begins"
    GROWS = "grows"
    GOES_ON = "goes_on"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alarm from the moment it was first seen until it is over and that was told."""

    alarm: Alarm
    since: datetime
    told_at: datetime | None = None  # None: nobody has been told yet
    told_number: int = 0
    calm_since: datetime | None = None

    def has_begun(self, at: datetime) -> bool:
        """Whether it has held as long as its kind asks for."""
        return self.told_at is not None or at - self.since >= self.alarm.kind.after


@dataclass(frozen=True, slots=True)
class Word:
    """Something to tell."""

    state: State
    standing: Standing

    @property
    def alarm(self) -> Alarm:
        return self.standing.alarm


def judge(
    standing: Mapping[str, Standing], found: Iterable[Alarm], at: datetime, *, is_blind: bool = False
) -> dict[str, Standing]:
    """What stands now. `is_blind`: the database is away, so that what is not found may be there all the same."""
    now = {alarm.name: alarm for alarm in found}
    after: dict[str, Standing] = {}
    for name, alarm in now.items():
        before = standing.get(name)
        after[name] = (
            Standing(alarm=alarm, since=at)
            if before is None
            else replace(
                before,
                alarm=alarm,
                calm_since=None,
                # What was settled meanwhile makes room: three more are three more.
                told_number=min(before.told_number, alarm.number),
            )
        )
    for name, before in standing.items():
        if name in now:
            continue
        if is_blind and name not in _SEEN_BLIND:
            after[name] = before
        elif before.told_at is not None:
            after[name] = replace(before, calm_since=before.calm_since or at)
    return after


def words(standing: Mapping[str, Standing], at: datetime) -> list[Word]:
    """What is to be told now; the same again until `told`."""
    due = ((_state(each, at), each) for each in standing.values())
    return [Word(state, each) for state, each in due if state is not None]


def _state(standing: Standing, at: datetime) -> State | None:
    if standing.told_at is None:
        return State.BEGINS if standing.has_begun(at) else None
    if standing.calm_since is not None:
        return State.OVER if at - standing.calm_since >= CALM else None
    since_told = at - standing.told_at
    has_grown = standing.alarm.kind.counts and standing.alarm.number > standing.told_number
    if has_grown and since_told >= _GROWN:
        return State.GROWS
    return State.GOES_ON if since_told >= AGAIN else None


def told(standing: Mapping[str, Standing], said: Iterable[Word], at: datetime) -> dict[str, Standing]:
    """What stands once these words have reached somebody."""
    after = dict(standing)
    for word in said:
        name = word.alarm.name
        if word.state is State.OVER:
            del after[name]
        else:
            after[name] = replace(after[name], told_at=at, told_number=word.alarm.number)
    return after
