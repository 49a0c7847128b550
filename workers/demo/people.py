"""Who works in the demo, by which doors a visitor comes in, and what the simulated phone suggests to write."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict

from crm.blueprint.values import Label

FOLDER: Final = Path(__file__).parent / "tobacco"


class Said(BaseModel):
    """Base of everything that the demo's files say."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DemoLine(Said):
    title: str
    number: str


class DemoUser(Said):
    login: str
    name: str
    roles: tuple[str, ...]
    unit: str = ""
    queues: tuple[str, ...] = ()


class Door(Said):
    key: str
    user: str = ""  # nobody comes in yet where it is empty
    opens: str
    title: Label
    about: Label

    @property
    def is_open(self) -> bool:
        return bool(self.user)


class Example(Said):
    title: Label
    text: str


class Stranger(Said):
    """A number that belongs to nobody, so that a visitor can be one."""

    number: str
    title: Label


class People(Said):
    line: DemoLine
    users: Mapping[str, DemoUser]
    doors: tuple[Door, ...]
    examples: tuple[Example, ...]
    stranger: Stranger


@cache
def people() -> People:
    return People.model_validate(yaml.safe_load((FOLDER / "people.yaml").read_text(encoding="utf-8")))
