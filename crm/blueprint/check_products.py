"""Checks of products: names that mean one product only, barcodes, units, prices and own fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crm.blueprint.customers import CODED, FieldDef, FieldType
from crm.blueprint.problems import Problem, listed, problem
from crm.blueprint.products import Product, UnitSet, check_digit
from crm.blueprint.source import DataPath
from crm.blueprint.subject import Subject, Unique
from crm.forms.catalogue import squeeze
from crm.forms.text import fold


def check_products(subject: Subject) -> Iterator[Problem]:
    yield from _check_units(subject)
    yield from _check_names(subject)
    barcodes = Unique(subject, what="a barcode")
    sets = {entry.id: entry for entry in subject.of("unit_sets")}
    for product in subject.of("products"):
        yield from _check_barcodes(subject, product, barcodes)
        if (units := sets.get(product.unit_set)) is not None:
            yield from _check_product_units(subject, product, units)
        yield from _check_values(subject, product)


def folded(name: str) -> str:
    """A name as messages are compared with it: width, script, case, blanks and brackets make no difference."""
    return squeeze(fold(name))


def _check_units(subject: Subject) -> Iterator[Problem]:
    for entry in subject.of("unit_sets"):
        path = ("unit_sets", entry.id)
        if all(unit.size != 1 for unit in entry.units):
            yield problem("unit_without_base", subject.place(path, key=True))
        words = Unique(subject, what="a unit")
        for index, unit in enumerate(entry.units):
            here = (*path, "units", index)
            named = [(unit.id, (*here, "id")), *((word, (*here, "words")) for word in unit.words)]
            for word, where in named:
                if complaint := words.see(word, str(index), where):
                    yield complaint


def _check_names(subject: Subject) -> Iterator[Problem]:
    """Titles, aliases and codes of all products share one space: a shop writes any of them."""
    names = Unique(subject, "alias_ambiguous")
    for product in subject.of("products"):
        path = ("products", product.sku)
        spoken: list[tuple[str, DataPath]] = [(product.sku, path), (product.title.hans, (*path, "title"))]
        spoken += [(alias, (*path, "aliases", index)) for index, alias in enumerate(product.aliases)]
        for name, where in spoken:
            if complaint := names.see(folded(name), product.sku, where, shown=name):
                yield complaint


def _check_barcodes(subject: Subject, product: Product, barcodes: Unique) -> Iterator[Problem]:
    for unit, barcode in product.barcodes.items():
        path = ("products", product.sku, "barcodes", unit)
        digit = check_digit(barcode[:-1])
        if barcode[-1] != digit:
            yield problem("barcode_check_digit", subject.place(path), name=barcode, digit=digit)
        if complaint := barcodes.see(barcode, f"{product.sku}/{unit}", path):
            yield complaint


def _check_product_units(subject: Subject, product: Product, units: UnitSet) -> Iterator[Problem]:
    known = {unit.id for unit in units.units}
    path = ("products", product.sku)
    used: list[tuple[str, DataPath]] = [(unit, (*path, "barcodes", unit)) for unit in product.barcodes]
    used += [(price.per, (*path, "prices", kind, "per")) for kind, price in product.prices.items()]
    for unit, where in used:
        if unit not in known:
            place = subject.place(where, key=where[-1] == unit)
            yield problem("reference_unknown", place, target="Unit", name=unit, known=listed(known))


def _check_values(subject: Subject, product: Product) -> Iterator[Problem]:
    if not subject.is_whole("product_fields"):
        return
    fields = {field.id: field for entry in subject.of("product_fields") for field in entry.fields}
    path = ("products", product.sku, "values")
    for name, value in product.values.items():
        here = (*path, name)
        if name not in fields:
            place = subject.place(here, key=True)
            yield problem("value_not_declared", place, name=name, known=listed(set(fields)))
        elif (wanted := _wanted(subject, fields[name], value)) is not None:
            yield problem("value_type", subject.place(here), name=name, wanted=wanted)
    for name, field in fields.items():
        if field.required and name not in product.values:
            yield problem("field_missing", subject.place(("products", product.sku), key=True), name=name)


def _wanted(subject: Subject, field: FieldDef, value: Any) -> str | None:
    """What the field's value should be, if it is not."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match field.type:
        case FieldType.INTEGER | FieldType.MONEY if not (number and isinstance(value, int)):
            return "a whole number"
        case FieldType.DECIMAL if not number:
            return "a number"
        case FieldType.BOOLEAN if not isinstance(value, bool):
            return "true or false"
        case kind if kind in CODED:
            tables = [table for table in subject.of("code_tables") if table.id == field.code_table]
            codes = {code.code for table in tables for code in table.values}
            return f"one of {listed(codes)}" if tables and value not in codes else None
        case FieldType.TEXT | FieldType.LONG_TEXT if not isinstance(value, str):
            return "a text"
    if number and field.least is not None and value < field.least:
        return f"at least {field.least:g}"
    if number and field.most is not None and value > field.most:
        return f"at most {field.most:g}"
    return None
