"""Brands, products with their other names and prices, units, and what a shop is expected to carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer

from crm.blueprint.customers import FieldDef
from crm.blueprint.values import Cel, CodeId, Dated, Entry, Id, Label, Ref

_CENT: Final = Decimal("0.01")


def _amount(value: Any) -> Any:
    """An amount in the main unit of money; more than two decimals are refused, not rounded away."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("an amount is a number such as 10.50")
    try:
        amount = Decimal(str(value))
        exact = amount.quantize(_CENT)
    except ArithmeticError as error:
        raise ValueError("an amount is a number such as 10.50") from error
    if exact != amount or exact < 0 or exact > 10_000_000:
        raise ValueError("an amount has at most two decimals and is not negative")
    return exact


Amount = Annotated[Decimal, BeforeValidator(_amount), PlainSerializer(str, return_type=str)]


class Unit(Entry):
    id: Annotated[str, Field(min_length=1, max_length=12)]  # the word itself, as people write it
    size: Annotated[int, Field(ge=1)]  # in the set's smallest unit
    words: tuple[str, ...] = ()  # other ways to write it
    ambiguous: bool = False  # people mean different sizes by it: asked back


class UnitSet(Entry):
    id: Id
    title: Label
    units: Annotated[tuple[Unit, ...], Field(min_length=1)]

    @property
    def base(self) -> Unit:
        return min(self.units, key=lambda unit: unit.size)

    def size(self, unit: str) -> int:
        for entry in self.units:
            if unit == entry.id or unit in entry.words:
                return entry.size
        raise KeyError(f"{self.id} has no unit {unit}")


class Brand(Entry):
    id: Id
    title: Label
    own: bool  # False: a competitor's, watched only


class Price(Entry):
    amount: Amount
    per: str  # a unit of the product's unit set


class PriceKind(StrEnum):
    GUIDE = "guide"  # what the shop should charge
    WHOLESALE = "wholesale"  # what the shop pays
    TRANSFER = "transfer"  # what the maker gets, without tax


class ProductStatus(StrEnum):
    LAUNCH = "launch"
    ACTIVE = "active"
    PHASING_OUT = "phasing_out"
    ENDED = "ended"


class Product(Dated):
    sku: CodeId
    brand: Annotated[Id, Ref("brands")]
    title: Label
    spec: Label | None = None  # what tells it apart from the brand's others
    aliases: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] = ()
    barcodes: Mapping[str, Annotated[str, Field(pattern=r"^\d{8}$|^\d{13}$")]] = {}  # unit -> EAN
    unit_set: Annotated[Id, Ref("unit_sets")]
    prices: Mapping[PriceKind, Price] = {}
    status: ProductStatus = ProductStatus.ACTIVE
    watched: bool = False  # a competitor's product that shops are asked about
    values: Mapping[str, str | int | float | bool] = {}  # what `product_fields` declares


class ProductFields(Entry):
    """The package's own fields of a product, such as a strength or a flavour."""

    fields: tuple[FieldDef, ...] = ()


class PriceClass(Dated):
    """Classes from the dearest down: the first whose `least` the price reaches."""

    id: CodeId
    title: Label
    kind: PriceKind
    per: str
    least: Amount


class MustHave(Entry):
    sku: Annotated[CodeId, Ref("products")]
    must: bool = False


class Assortment(Entry):
    """What the parties that `when` picks are expected to carry, in the order they are asked."""

    id: Id
    title: Label
    customer_kind: Annotated[Id, Ref("customer_kinds")]
    territories: tuple[Annotated[CodeId, Ref("territories")], ...] = ()
    when: Annotated[str, Cel("record")] | None = None
    products: Annotated[tuple[MustHave, ...], Field(min_length=1)]


def minor_price(product: Product, units: UnitSet, kind: PriceKind) -> int | None:
    """The price in minor units of money for one smallest unit, rounded half up, as observations store it."""
    price = product.prices.get(kind)
    if price is None:
        return None
    return int((price.amount * 100 / units.size(price.per)).quantize(Decimal(1), ROUND_HALF_UP))


def price_class(
    product: Product, units: UnitSet, classes: Sequence[PriceClass], day: date
) -> PriceClass | None:
    """The dearest class that the product's price reaches, among those in force on the day."""
    for entry in sorted(classes, key=lambda each: each.least, reverse=True):
        price = product.prices.get(entry.kind)
        if price is None or not entry.is_valid_on(day):
            continue
        if price.amount * units.size(entry.per) / units.size(price.per) >= entry.least:
            return entry
    return None


def check_digit(digits: str) -> str:
    """The last digit of an EAN-8 or EAN-13, computed from those before it (GS1 General Specifications, 7.9)."""
    weighted = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-weighted % 10)
