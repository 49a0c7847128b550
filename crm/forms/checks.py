"""Which values are asked back: too many, an unlikely amount, a unit with two meanings. Every channel asks alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from crm.blueprint.forms import FormField, IntegerField, MoneyField, QuantityField
from crm.forms.catalogue import Product
from crm.forms.readings import Warn

_ORDER: Final = (Warn.UNIT, Warn.PRICE_UNIT, Warn.RANGE)


@dataclass(frozen=True, slots=True)
class Checked:
    """The value to store or to propose, and why it is held if it is."""

    value: int
    warn: Warn | None = None


def check_value(
    definition: FormField,
    value: int,
    product: Product | None,
    *,
    is_ambiguous: bool = False,
    is_unmarked: bool = False,
    normal: int | None = None,
    normal_factor: Decimal = Decimal(1),
    factors: Mapping[str, Decimal] | None = None,
) -> Checked:
    """`normal` is what the party once confirmed here: near it nothing is asked again."""
    if is_normal(value, normal, normal_factor):
        return Checked(value)
    match definition:
        case QuantityField() | IntegerField():
            if is_ambiguous:
                return Checked(value, Warn.UNIT)
            above = definition.confirm_above
            if above is not None and value > above * _factor(definition.scale_by, factors):
                return Checked(value, Warn.RANGE)
        case MoneyField():
            return _check_amount(definition, value, product, is_unmarked=is_unmarked)
    return Checked(value)


def is_normal(value: int, normal: int | None, factor: Decimal) -> bool:
    """Whether `value` is of the same order of magnitude as the confirmed one."""
    return normal is not None and normal > 0 and normal <= value * factor and value <= normal * factor


def most_urgent(warns: set[Warn]) -> tuple[Warn, ...]:
    return tuple(warn for warn in _ORDER if warn in warns)


def _factor(name: str | None, factors: Mapping[str, Decimal] | None) -> Decimal:
    return (factors or {}).get(name or "", Decimal(1))


def _check_amount(
    definition: MoneyField, value: int, product: Product | None, *, is_unmarked: bool
) -> Checked:
    band = definition.band
    guide = product.guides.get(band.of) if band and product else None
    if band is None or not guide or band.low * guide <= value <= band.high * guide:
        return Checked(value)
    if is_unmarked and definition.unit_doubt is not None:
        times = Fraction(definition.per[definition.unit_doubt], definition.per[definition.unit])
        proposed = int((2 * value / times + 1) // 2)  # half up
        if band.low * guide <= proposed <= band.high * guide:
            return Checked(proposed, Warn.PRICE_UNIT)
    return Checked(value, Warn.RANGE)
