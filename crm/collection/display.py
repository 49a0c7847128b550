"""Stored values as people read and type them: 125 of the smallest unit is 12条5盒, 1650 of the coin is 16.50."""

import re
import unicodedata
from decimal import ROUND_HALF_UP, Decimal

from core.errors import BadInput
from core.words import say
from crm.blueprint.forms import ChoiceField, FormField, IntegerField, MoneyField, QuantityField, TextField
from crm.blueprint.model import Blueprint

_LARGEST = 10**12
"""No shop has more of anything, and every column holds it."""

_PART = re.compile(r"(\d+(?:\.\d+)?)([^\d.]*)")


def shown(field: FormField, value: int | str, locale: str = "zh-Hans") -> str:
    """The value in words. Amounts come without their unit (see `unit`), counts with theirs."""
    match field:
        case QuantityField() if isinstance(value, int):
            return _counted(field, value)
        case MoneyField() if isinstance(value, int):
            return f"{Decimal(value).scaleb(-field.decimals):.{field.decimals}f}"
        case ChoiceField():
            titles = {option.code: option.title.text(locale) for option in field.options}
            return titles.get(str(value), str(value))
    return str(value)


def unit(field: FormField, currency: str = "") -> str:
    """What a bare number of the field counts; `currency` where the field names none. Empty: nothing to count."""
    match field:
        case QuantityField():
            return field.unit
        case MoneyField():
            return f"{field.currency or currency}/{field.store_per}"
    return ""


def currency_of(blueprint: Blueprint) -> str:
    """The word for money of the package's own messages."""
    return next(iter(blueprint.messages.money.major), "")


def number(field: FormField, value: int) -> Decimal:
    """The value as one number in `unit`: 125 → 12.5, 1650 → 16.5."""
    match field:
        case QuantityField():
            return Decimal(value) / field.units[field.unit]
        case MoneyField():
            return Decimal(value).scaleb(-field.decimals)
    return Decimal(value)


def parse_input(field: FormField, text: str, currency: str = "", locale: str = "en") -> int:
    """The stored value for what a person typed. Raises BadInput, which says in their language what to type."""
    # Blanks go, but not those between digits: "1 2" is two figures and not twelve.
    typed = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", unicodedata.normalize("NFKC", text).strip())
    match field:
        case QuantityField():
            value = _count(field, typed, locale)
        case MoneyField():
            value = _amount(field, typed, field.currency or currency, locale)
        case IntegerField():
            value = _whole(field, typed, locale)
        case ChoiceField() | TextField():
            raise _wrong(locale, "This field holds words; only figures can be corrected here.")
    least = 0 if isinstance(field, MoneyField) else field.min
    if value < least:
        raise _wrong(locale, "The figure must be at least {least}.", least=shown(field, least, locale))
    if value > _LARGEST:
        raise _wrong(locale, "The figure is too large; check its digits.")
    return value


def _wrong(locale: str, msgid: str, **values: object) -> BadInput:
    return BadInput(say(locale, msgid, **values), field="input")


def _counted(field: QuantityField, value: int) -> str:
    """In the unit that bare numbers count and the smaller ones: as the answers to the shops say it."""
    if value < 0:
        return f"-{_counted(field, -value)}"
    said = []
    rest = value
    for size, word in _sizes(field):
        count, rest = divmod(rest, size)
        if count:
            said.append(f"{count}{word}")
    return "".join(said) or f"0{field.unit}"


def _sizes(field: QuantityField) -> list[tuple[int, str]]:
    """The units up to the field's own, largest first, each size by the word that the form names first."""
    largest = field.units[field.unit]
    words = {size: word for word, size in reversed(tuple(field.units.items())) if size <= largest}
    words |= {largest: field.unit, 1: field.store_as if largest > 1 else field.unit}
    return sorted(words.items(), reverse=True)


def _count(field: QuantityField, typed: str, locale: str) -> int:
    if typed in field.zero_words:
        return 0
    total = Decimal(0)
    example = _count_example(field, locale)
    parts = _parts(typed, example, locale)
    if len(parts) > 1 and not all(word for _, word in parts):
        raise _wrong(locale, "Write the unit of every number, such as {example}.", example=example)
    for amount, word in parts:
        if word in field.ambiguous_units:
            meant = field.ambiguous_units[word]
            raise _wrong(
                locale,
                "{word} can mean several sizes; write {meant} or another unit.",
                word=word,
                meant=meant,
            )
        size = field.units.get(word or field.unit)
        if size is None:
            units = "、".join(field.units)
            raise _wrong(
                locale, "{word} is no unit of this field; write one of {units}.", word=word, units=units
            )
        total += amount * size
    if total != total.to_integral_value():
        raise _wrong(locale, "This is no whole number of {unit}.", unit=field.store_as)
    return int(total)


def _count_example(field: QuantityField, locale: str) -> str:
    smaller = [word for size, word in _sizes(field) if size < field.units[field.unit]]
    if not smaller:
        return f"3{field.unit}"
    return say(locale, "{one} or {other}", one=f"3{field.unit}", other=f"12{field.unit}5{smaller[0]}")


def _amount(field: MoneyField, typed: str, currency: str, locale: str) -> int:
    example = say(locale, "{one} or {other}", one="10.5", other=f"10.5{currency}/{field.unit}")
    plain = typed.removeprefix("¥").replace(currency, "", 1)
    ((amount, tail), *more) = _parts(plain, example, locale)
    word = tail.removeprefix("/") or field.unit
    if more or word not in field.per:
        raise _wrong(locale, "Write one amount, such as {example}.", example=example)
    value = amount.scaleb(field.decimals) / field.per[word]
    if amount.as_tuple().exponent < -field.decimals:  # type: ignore[operator]  # finite, so its exponent is a number
        raise _wrong(locale, "An amount has at most {number} decimals.", number=field.decimals)
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def _whole(field: IntegerField, typed: str, locale: str) -> int:
    if typed in field.zero_words:
        return 0
    if not re.fullmatch(r"-?\d{1,18}", typed):
        raise _wrong(locale, "Write a whole number, such as 3.")
    return int(typed)


def _parts(typed: str, example: str, locale: str) -> list[tuple[Decimal, str]]:
    """Numbers and the word behind each; nothing may stand between or before them."""
    if len(typed) > 40 or not re.fullmatch(f"({_PART.pattern})+", typed, re.ASCII):
        raise _wrong(locale, "Write a number, such as {example}.", example=example)
    return [(Decimal(found[1]), found[2]) for found in _PART.finditer(typed)]
