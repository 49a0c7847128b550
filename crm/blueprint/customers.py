"""Kinds of parties, each with its own fields, life cycle and contact persons."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from crm.blueprint.values import Cel, Entry, Id, Label, PatternText, Ref


class FieldType(StrEnum):
    TEXT = "text"
    LONG_TEXT = "long_text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    MONEY = "money"  # minor units, an integer
    DATE = "date"
    BOOLEAN = "boolean"
    CHOICE = "choice"  # one code of `code_table`
    CHOICES = "choices"
    PARTY = "party"
    PRODUCT = "product"
    TERRITORY = "territory"
    POSITION = "position"  # latitude and longitude, WGS 84


CODED: Final = frozenset({FieldType.CHOICE, FieldType.CHOICES})


class FieldDef(Entry):
    """`id` is what records keep: a title may change, the id may not. A removed field stays in exports."""

    id: Id
    type: FieldType
    title: Label
    required: bool = False
    code_table: Annotated[Id, Ref("code_tables")] | None = None
    party_kind: Annotated[Id, Ref("customer_kinds")] | None = None
    pattern: PatternText | None = None
    hint: Label | None = None  # said when the value does not fit
    max_length: Annotated[int, Field(ge=1, le=10_000)] | None = None
    least: float | None = None
    most: float | None = None
    unique: bool = False
    personal: bool = False  # erased with the person
    imported: bool = False  # comes from another system; shown here, never set
    formula: Annotated[str, Cel("record")] | None = None  # computed from the record's other fields


class Contacts(Entry):
    """The persons behind a party: the buyer of a hotel, the clerk of a company."""

    title: Label
    posts: Annotated[Id, Ref("code_tables")] | None = None
    fields: tuple[FieldDef, ...] = ()
    may_sign_in: Annotated[Id, Ref("roles")] | None = None


class Stage(Entry):
    id: Id
    title: Label
    to: tuple[Id, ...] = ()
    when: Annotated[str, Cel("record")] | None = None  # moves there by itself when this holds


class CustomerKind(Entry):
    id: Id
    title: Label
    fields: Annotated[tuple[FieldDef, ...], Field(min_length=1)]
    contacts: Contacts | None = None
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    key: Id | None = None  # the field by which shops or companies are told apart
    role: Annotated[Id, Ref("roles")] | None = None  # what such a party is when it signs in

    def field(self, id: str) -> FieldDef:
        for entry in self.fields:
            if entry.id == id:
                return entry
        raise KeyError(f"{self.id} has no field {id}")
