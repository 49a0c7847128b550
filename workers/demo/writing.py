"""How the demo's shopkeepers put figures into words: codes or names, digits or numerals, typed as people type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import opencc

from crm.blueprint.model import Blueprint
from workers.demo.world import said

_DIGITS = "零一二三四五六七八九十"
_WIDE = {ord(char): ord(char) + 0xFEE0 for char in "0123456789"}


@dataclass(frozen=True, slots=True)
class Stocked:
    """What stands of one product: packs, and what a pack costs in fen."""

    sku: str
    packs: int
    price: int


class Pen:
    """Writes reports in one of the styles of the demo's phrases."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._phrases: Mapping[str, Any] = said("phrases")
        self._names = {
            product.sku: [alias for alias in product.aliases if not alias.isascii()] or [product.title.hans]
            for product in blueprint.products
        }

    def report(self, rng: Random, style: str, items: Sequence[Stocked], *, typo: bool = False) -> str:
        form = self._phrases["styles"][style]
        text = rng.choice(form["open"]) + self._items(rng, form, items)
        if typo:
            for right, wrong in self._phrases["typos"].items():
                text = text.replace(right, wrong)
        return simplified_to(form.get("script", "hans"), text)

    def rest(self, rng: Random, style: str, items: Sequence[Stocked]) -> str:
        """The items alone, for messages that begin in another way."""
        return self._items(rng, self._phrases["styles"][style], items)

    def prices(self, rng: Random, items: Sequence[Stocked]) -> str:
        form = self._phrases["price_reports"]
        item, join = rng.choice(form["item"]), rng.choice(form["join"])
        told = [item.format(sku=each.sku, price=money(each.price)) for each in items]
        return str(rng.choice(form["open"]) + join.join(told))

    def name(self, rng: Random, sku: str) -> str:
        return rng.choice(self._names[sku])

    def is_priced(self, style: str) -> bool:
        return bool(self._phrases["styles"][style].get("priced"))

    def _items(self, rng: Random, form: Mapping[str, Any], items: Sequence[Stocked]) -> str:
        numerals = rng.choice(form.get("numerals", ["digits"]))
        join = rng.choice(form["join"])
        text = join.join(self._item(rng, form, numerals, each) for each in items)
        return text.translate(_WIDE) if form.get("width") == "full" else str(text)

    def _item(self, rng: Random, form: Mapping[str, Any], numerals: str, item: Stocked) -> str:
        cartons, packs = divmod(item.packs, self._phrases["carton"])
        shape = "none" if not item.packs else "whole" if not packs else "parts" if cartons else "packs"
        said_as = numeral if numerals == "chinese" else str
        text: str = form[shape].format(
            sku=item.sku,
            name=self.name(rng, item.sku),
            c=said_as(cartons),
            p=said_as(packs),
            price=money(item.price),
        )
        return text


def money(fen: int) -> str:
    """Fen as people write an amount: 1000 is 10, 1050 is 10.5."""
    return f"{fen / 100:.2f}".rstrip("0").rstrip(".")


def numeral(number: int) -> str:
    """Chinese numerals up to 99, as they are said before a measure word."""
    if number == 2:
        return "两"
    if number <= 10:
        return _DIGITS[number]
    tens, ones = divmod(number, 10)
    return f"{'' if tens == 1 else _DIGITS[tens]}十{_DIGITS[ones] if ones else ''}"


def simplified_to(script: str, text: str) -> str:
    return text if script == "hans" else str(_traditional().convert(text))


@cache
def _traditional() -> Any:
    return opencc.OpenCC("s2t")
