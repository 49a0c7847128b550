"""The grammar of a blueprint as it is published: its forms, its words and its products."""

from __future__ import annotations

from crm.blueprint.model import Blueprint
from crm.blueprint.products import Product as ProductDef
from crm.blueprint.products import UnitSet, minor_price
from crm.forms.catalogue import Catalogue, Product
from crm.forms.grammar import Grammar, compile_grammar


def grammar_of(blueprint: Blueprint) -> Grammar:
    """Compile it once for each published version: it holds no state and may be shared by all threads."""
    return compile_grammar(blueprint.forms, blueprint.messages, catalogue_of(blueprint))


def catalogue_of(blueprint: Blueprint) -> Catalogue:
    units = {each.id: each for each in blueprint.unit_sets}
    owned = {each.id for each in blueprint.brands if each.own}
    titles = {each.id: each.title.hans for each in blueprint.brands}
    products = [
        _product(each, units[each.unit_set], own=each.brand in owned, brand=titles[each.brand])
        for each in blueprint.products
    ]
    return Catalogue(products)


def _product(definition: ProductDef, units: UnitSet, *, own: bool, brand: str) -> Product:
    guides = {str(kind): minor_price(definition, units, kind) for kind in definition.prices}
    return Product(
        sku=definition.sku,
        name=definition.title.hans,
        aliases=definition.aliases,
        barcodes=tuple(definition.barcodes.values()),
        own=own,
        guides={kind: price for kind, price in guides.items() if price is not None},
        brand=brand,
        spec=definition.spec.hans if definition.spec else "",
    )
