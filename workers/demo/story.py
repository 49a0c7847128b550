"""The demo's story as a list of steps: what is written and done, by whom, at which moment."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from core.values import Address
from workers.demo.world import Actor

_RECENT = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`act` is what a person does about the actor; empty: the actor writes `text`. `key` makes a step happen once."""

    at: datetime
    actor: Actor
    key: str
    text: str = ""
    act: str = ""
    by: str = ""  # a key of the demo's users; empty: the hub itself
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> Address:
        return self.actor.address


def rounds(steps: Sequence[Step]) -> list[list[Step]]:
    """Groups that can be taken together: within one nobody acts twice, and an answer comes before what follows it.

    Of days long ago all first steps are taken together, then all second ones; the last days keep their hours.
    """
    if not steps:
        return []
    told = sorted(steps, key=lambda step: (step.at, step.key))
    latest = told[-1].at
    found: dict[tuple[datetime, int], list[Step]] = {}
    taken: Counter[tuple[datetime, Address]] = Counter()
    for step in told:
        whole = step.at.replace(minute=0, second=0, microsecond=0)
        window = whole.replace(hour=0) if latest - step.at > _RECENT else whole
        found.setdefault((window, taken[window, step.address]), []).append(step)
        taken[window, step.address] += 1
    return [found[key] for key in sorted(found)]
