"""Whose figures a user may see: every shop's, those of the user's territories, or nobody's."""

from collections.abc import Iterable, Sequence

from crm.blueprint.model import Blueprint
from crm.collection.expected import below

_ENTITY = "observation"


def visible_territories(
    blueprint: Blueprint, roles: Iterable[str], own: Sequence[str]
) -> frozenset[str] | None:
    """The territories whose shops the roles may see, None for all. What no rule allows is not seen."""
    rules = [rule.rows.strip() for role in roles for rule in blueprint.permissions.rules(role, _ENTITY)]
    if "true" in rules:
        return None
    if any("user.territories" in rule for rule in rules):
        return below(blueprint, own)
    return frozenset()


def narrowed(blueprint: Blueprint, visible: frozenset[str] | None, territory: str) -> frozenset[str] | None:
    """The visible territories within one; an empty `territory` narrows nothing."""
    if not territory:
        return visible
    wanted = below(blueprint, [territory])
    return wanted if visible is None else wanted & visible
