"""What the hub answers: the blueprint's texts filled in, one part long where that is possible, two at most."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from string import Formatter
from typing import Final

from crm.blueprint.forms import ChoiceField, FormField, IntegerField, MoneyField, QuantityField
from crm.forms.grammar import FormGrammar, Grammar
from crm.forms.readings import FieldValue, ReadError, Reading, ReadItem, Reply

# A single part holds 70 UCS-2 units; of two joined parts each gives three to the joint (3GPP TS 23.040, 9.2.3.24).
ONE_PART: Final = 70
TWO_PARTS: Final = 134

ITEM_SEPARATOR: Final = "；"
MORE: Final = "…"
_LONGEST_TOKEN: Final = 16
_MOST_LISTED: Final = 45  # no more fit into two parts


def render_reply(reading: Reading, receipt: str | None, grammar: Grammar) -> str | None:
    """The answer's text; None where nothing is answered. Lists are shortened first, then the whole is cut."""
    if reading.reply is Reply.NONE:
        return None
    template = _template(reading, grammar)
    form = grammar.forms.get(reading.form or "", grammar.default)
    items = [item_text(item, form, grammar) for item in reading.items]
    held = [item_text(item, form, grammar) for item in reading.pending]
    errors = [error_text(error, reading, grammar) for error in reading.errors]
    asks = reading.reply is Reply.CONFIRM

    def fill(shown_items: int, shown_held: int, shown_errors: int) -> str:
        return _clean(
            grammar.vocabulary.signature
            + _fill(
                template,
                {
                    "receipt": receipt or reading.receipt or "",
                    "items": _listed(items, shown_items),
                    "held": _listed(held, shown_held),
                    "errors": _listed(errors, shown_errors),
                    "n": str(len(items)),
                },
            )
        )

    # What is asked must be named whole (a yes stands for all of it), even when that takes a second part.
    most = (min(len(items), _MOST_LISTED), min(len(held), _MOST_LISTED), min(len(errors), _MOST_LISTED))
    least_held = most[1] if asks else 0
    for limit, fewest in ((ONE_PART, least_held), (TWO_PARTS, least_held), (TWO_PARTS, 0)):
        text = _longest(fill, most, fewest, limit)
        if text is not None:
            return text
    return _cut(fill(0, 0, min(1, len(errors))), TWO_PARTS)


def item_text(item: ReadItem, form: FormGrammar, grammar: Grammar) -> str:
    product = grammar.catalogue.products.get(item.sku)
    name = product.name if product else item.sku
    by_name = {definition.name: definition for definition in _definitions(form)}
    major = grammar.vocabulary.money.major
    currency = major[0] if major else ""
    values = [
        value_text(by_name[each.name], each.value, currency) for each in item.values if each.name in by_name
    ]
    return name + " ".join(values)


def value_text(definition: FormField, value: FieldValue, currency: str = "") -> str:
    """A stored value as people say it: in the unit they count in, with the rest in the stored one."""
    match definition:
        case QuantityField() if isinstance(value, int):
            return _count_text(definition, value)
        case MoneyField() if isinstance(value, int):
            amount = Decimal(value).scaleb(-definition.decimals)
            plain = (
                f"{amount:.{definition.decimals}f}".rstrip("0").rstrip(".")
                if definition.decimals
                else str(value)
            )
            return f"{plain}{definition.currency or currency}/{definition.store_per}"
        case IntegerField() if isinstance(value, int):
            return f"{definition.title}{value}"
        case ChoiceField():
            titles = {option.code: str(option.title) for option in definition.options}
            return titles.get(str(value), str(value))
    return f"{definition.title}{value}"


def error_text(error: ReadError, reading: Reading, grammar: Grammar) -> str:
    template = grammar.vocabulary.errors.get(error.code, error.code)
    form = grammar.forms.get(reading.form or "", grammar.default)
    products = grammar.catalogue.products
    options = "、".join(
        f"{sku}{products[sku].spec or products[sku].name}" for sku in error.options if sku in products
    )
    token = error.token or ""
    if len(token) > _LONGEST_TOKEN:
        token = token[: _LONGEST_TOKEN - 1] + MORE
    return _fill(template, {"token": token, "options": options, "n": str(form.definition.backdate_days)})


def ucs2_units(text: str) -> int:
    return len(text.encode("utf-16-be", "replace")) // 2


def _template(reading: Reading, grammar: Grammar) -> str:
    """The most particular text there is: by intent, then by what is mixed, then the plain one."""
    mixed = {(True, True): "mixed", (True, False): "partial", (False, True): "refused"}
    kind = mixed.get((bool(reading.items), bool(reading.errors)), "")
    if reading.reply is not Reply.CONFIRM:
        kind = ""
    elif not reading.pending:
        kind = "unnamed"
    replies = grammar.vocabulary.replies
    for name in (f"{reading.reply}.{reading.intent}", f"{reading.reply}.{kind}", str(reading.reply)):
        if name in replies:
            return replies[name]
    return "{errors}" if reading.errors else str(reading.reply)


def _fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders; an unknown one stays empty, and a value is never a template."""
    pieces = []
    for literal, name, _, _ in Formatter().parse(template):
        pieces.append(literal)
        if name is not None:
            pieces.append(values.get(name, ""))
    return "".join(pieces)


def _listed(texts: Sequence[str], shown: int) -> str:
    listed = ITEM_SEPARATOR.join(texts[:shown])
    if shown < len(texts):
        return listed + MORE
    return listed


def _longest(
    fill: Callable[[int, int, int], str], most: tuple[int, int, int], fewest_held: int, limit: int
) -> str | None:
    """The text within `limit` that names most: items go first, then errors, then what is held."""
    items, held, errors = most
    least_errors = min(1, errors)
    for shown_held in range(held, min(fewest_held, held) - 1, -1):
        for shown_errors in range(errors, least_errors - 1, -1):
            if ucs2_units(fill(0, shown_held, shown_errors)) > limit:
                continue
            for shown_items in range(items, -1, -1):
                text = fill(shown_items, shown_held, shown_errors)
                if ucs2_units(text) <= limit:
                    return text
    return None


def _cut(text: str, limit: int) -> str:
    while ucs2_units(text) > limit:
        text = text[: limit - 1].rstrip(MORE)[:-1] + MORE
    return text


def _clean(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char)[0] != "C")


def _definitions(form: FormGrammar) -> Sequence[FormField]:
    lines = form.definition.lines
    return lines.fields if lines else ()


def _count_text(definition: QuantityField, value: int) -> str:
    """In the unit that bare numbers count, and the rest in the stored one."""
    size = definition.units[definition.unit]
    whole, rest = divmod(Fraction(value), size)
    said = f"{whole}{definition.unit}" if whole or not rest else ""
    return said + (f"{rest}{definition.store_as}" if rest else "")
