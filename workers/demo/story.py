"""The demo's story as a list of steps: what is written and done, by whom, at which moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.values import Address
from workers.demo.world import Actor


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
    """Groups that can be taken together: within one nobody acts twice, and their order over time is kept.

    An answer comes before what its receiver does next, so each of a customer's steps needs a round of its own.
    """
    found: list[list[Step]] = []
    busy: set[Address] = set()
    for step in sorted(steps, key=lambda step: (step.at, step.key)):
        if step.address in busy or not found:
            found.append([])
            busy = set()
        found[-1].append(step)
        busy.add(step.address)
    return found
