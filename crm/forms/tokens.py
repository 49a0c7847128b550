"""What the words of a message's lines can be, each with its place in the matching copy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction
from typing import Final

from crm.forms.grammar import Meaning


class Kind(Enum):
    END = auto()
    DATE = auto()
    PLACEHOLDER = auto()
    PRODUCT = auto()
    CODE = auto()  # a known short code, which may yet be a number
    NUMBER = auto()
    COUNT = auto()  # with units
    MONEY = auto()
    ZERO = auto()
    LABEL = auto()
    MODE = auto()
    CHOICE = auto()
    TEXT = auto()
    PER = auto()
    BAD_NUMBER = auto()
    BAD_UNIT = auto()
    UNKNOWN = auto()


VALUES: Final = frozenset(
    {Kind.CODE, Kind.NUMBER, Kind.COUNT, Kind.MONEY, Kind.ZERO, Kind.LABEL, Kind.PLACEHOLDER, Kind.CHOICE}
    | {Kind.BAD_NUMBER, Kind.BAD_UNIT, Kind.PER}
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    start: int
    end: int
    text: str
    number: Fraction | None = None  # NUMBER, CODE: its value; MONEY: the amount
    is_plain: bool = False  # ASCII digits only
    parts: tuple[tuple[Fraction, str], ...] = ()  # COUNT: how many of which unit
    unit: str | None = None  # MONEY, PER: what the amount is for
    sku: str = ""
    meaning: Meaning | None = None
    month_day: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    found: list[Token]
    is_cut: bool = False  # the message went on past the limit
