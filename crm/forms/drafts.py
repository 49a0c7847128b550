"""Items while they are read, exact and with the places of their words, and as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from crm.blueprint.forms import FormField, IntegerField, Mode, MoneyField, QuantityField
from crm.forms.readings import FieldValue, MatchedBy

# What a database holds as a whole number, with room for sums.
_MOST: Final = 10**15


@dataclass(slots=True)
class Value:
    """One field of an item while it is read: exact, in the stored unit, with the places of its words."""

    total: Fraction
    start: int
    end: int
    smallest: int = 0  # the size of its smallest unit; 0 when none was said
    is_ambiguous: bool = False
    is_unmarked: bool = False  # money without "per"
    code: str | None = None  # of a choice or a text


@dataclass(slots=True)
class Draft:
    """An item while it is read. Without a sku it swallows what belongs to a product that was refused."""

    sku: str | None
    token: str
    start: int
    end: int
    mode: Mode
    matched_by: MatchedBy | None = None
    values: dict[str, Value] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    is_broken: bool = False
    is_nameless: bool = False

    def open_positions(self) -> list[str]:
        return [key for key in self.mode.positional if key not in self.values and key not in self.skipped]

    @property
    def first_is_open(self) -> bool:
        positional = self.mode.positional
        return bool(positional) and positional[0] not in self.values and positional[0] not in self.skipped

    @property
    def is_good(self) -> bool:
        return self.sku is not None and not self.is_broken


@dataclass(frozen=True, slots=True)
class Line:
    """A finished item: every value in the stored unit."""

    sku: str
    token: str
    start: int
    product_end: int
    end: int
    values: Mapping[str, tuple[FieldValue, Value]]
    matched_by: MatchedBy | None


def stored_value(definition: FormField, value: Value) -> FieldValue | None:
    """The figure as it is stored; None where it cannot be one, such as a third of the smallest unit."""
    if value.code is not None:
        return value.code
    if isinstance(definition, MoneyField):
        rounded = (value.total * 2 + 1) // 2  # half up; amounts are never negative
        return int(rounded) if rounded < _MOST else None
    if value.total.denominator != 1 or value.total >= _MOST:
        return None
    least = definition.min if isinstance(definition, QuantityField | IntegerField) else 0
    return int(value.total) if value.total >= least else None
