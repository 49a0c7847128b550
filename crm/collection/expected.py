"""What a shop is expected to report: the products of the assortments that pick it."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

import orjson

from crm.blueprint.conditions import holds
from crm.blueprint.model import Blueprint
from crm.blueprint.products import Assortment, ProductStatus

_NAMES = re.compile(r"\brecord\.(\w+)")


class Expected:
    """The expectations of one blueprint for one kind of party."""

    def __init__(self, blueprint: Blueprint, kind: str, day: date) -> None:
        ended = {each.sku for each in blueprint.products if each.status is ProductStatus.ENDED}
        self._kind = kind
        self._today = day.isoformat()
        self._assortments = [
            (
                each,
                below(blueprint, each.territories) if each.territories else None,
                tuple(must.sku for must in each.products if must.sku not in ended),
                frozenset(_NAMES.findall(each.when or "")),
            )
            for each in blueprint.assortments
            if each.customer_kind == kind
        ]

    def of(self, territory: str, stage: str, owner: str, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """The products in the order in which they are asked; a shop that several assortments pick has them all."""
        expected: dict[str, None] = {}
        for assortment, territories, skus, names in self._assortments:
            if territories is not None and territory not in territories:
                continue
            own = {"kind": self._kind, "territory": territory, "stage": stage, "owner": owner}
            record = {name: value for name, value in {**fields, **own}.items() if name in names}
            if self._picks(assortment, record):
                expected |= dict.fromkeys(skus)
        return tuple(expected)

    def _picks(self, assortment: Assortment, record: Mapping[str, Any]) -> bool:
        return assortment.when is None or _holds(assortment.when, orjson.dumps(record), self._today)


@lru_cache(maxsize=16_384)
def _holds(condition: str, record: bytes, today: str) -> bool:
    """Shops differ little in what conditions look at, and a condition takes longer than a query."""
    return holds(condition, {"record": orjson.loads(record), "today": today})


def below(blueprint: Blueprint, territories: Sequence[str]) -> frozenset[str]:
    """The territories and all that lie in them."""
    found = set(territories)
    children = {each.id: each.parent for each in blueprint.territories}
    while more := {id for id, parent in children.items() if parent in found} - found:
        found |= more
    return frozenset(found)
