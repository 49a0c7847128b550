"""Org units, territories, roles, and what each role may see and do; what is not allowed is denied."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crm.blueprint.values import Cel, CodeId, Duration, Entry, Id, Label, Ref


class Territory(Entry):
    id: CodeId
    title: Label
    level: Id  # province, city, county: the words are the package's own
    parent: Annotated[CodeId, Ref("territories")] | None = None


class OrgUnit(Entry):
    id: Id
    title: Label
    kind: Id | None = None
    parent: Annotated[Id, Ref("org_units")] | None = None
    territories: tuple[Annotated[CodeId, Ref("territories")], ...] = ()


class Role(Entry):
    id: Id
    title: Label
    external: bool = False  # somebody outside the house: sees the portal or forum, never the console
    unit_kind: Id | None = None  # only people of such units can hold the role
    start: Annotated[Id, Ref("functions")] | None = None  # where the role lands after signing in
    unmasked: bool = False  # sees telephone numbers whole


class RowRule(Entry):
    """Which records of `entity` a role reads, and which of their fields."""

    role: Annotated[Id, Ref("roles")]
    entity: Annotated[str, Ref("entities", or_any=True)]
    rows: Annotated[str, Cel("rows")]
    show: tuple[str, ...] = ()  # only these fields; empty means all
    hide: tuple[str, ...] = ()


class Grant(Entry):
    role: Annotated[Id, Ref("roles")]
    allow: Annotated[tuple[Annotated[Id, Ref("actions")], ...], Field(min_length=1)]
    when: Annotated[str, Cel("rows")] | None = None
    within: Duration | None = None  # after the record was closed
    four_eyes: bool = False  # somebody else has to confirm the act before it counts


class Permissions(Entry):
    data: tuple[RowRule, ...] = ()
    actions: tuple[Grant, ...] = ()
    default: Literal["deny"] = "deny"

    def may(self, role: str, action: str) -> bool:
        """Whether any grant names the pair; its `when` and `within` are for the caller to test."""
        return any(grant.role == role and action in grant.allow for grant in self.actions)

    def rules(self, role: str, entity: str) -> tuple[RowRule, ...]:
        return tuple(rule for rule in self.data if rule.role == role and rule.entity in (entity, "*"))
