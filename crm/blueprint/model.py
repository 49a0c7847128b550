"""The blueprint as one value: the package and all its parts, with a hash over what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, model_validator

from crm.blueprint.calendars import Calendar, HolidaySet, TimeZoneName, WorkingTime
from crm.blueprint.codes import CodeTable
from crm.blueprint.customers import CustomerKind
from crm.blueprint.forms import FormDef, MessageVocabulary
from crm.blueprint.functions import Action, CannedReply, Disposition, Function
from crm.blueprint.organisation import OrgUnit, Permissions, Role, Territory
from crm.blueprint.products import Assortment, Brand, PriceClass, Product, ProductFields, UnitSet
from crm.blueprint.service import CaseKind, Flow, Queue
from crm.blueprint.values import Entry, Id, Label

# The version of the model language this program speaks; `engine:` in package.yaml asks for a range.
ENGINE: Final = 1

EntryT = TypeVar("EntryT")


class Package(Entry):
    package: Id
    version: Annotated[int, Field(ge=0)] = 0  # given by publishing, not by hand
    engine: Annotated[str, Field(pattern=r"^>=\d{1,4},<\d{1,4}$")]
    title: Label
    company: Label  # who signs
    default_locale: Annotated[str, Field(pattern=r"^(zh-Hans|zh-Hant|en)$")] = "zh-Hans"
    timezone: TimeZoneName
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]

    @property
    def suits(self) -> bool:
        """Whether this program speaks the package's language."""
        least, below = (int(part.strip("<>=")) for part in self.engine.split(","))
        return least <= ENGINE < below


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a layer. `key` names the id of its entries; a part without one is a single thing."""

    name: str
    layer: str
    entry: type[Any]
    key: str | None = "id"
    ordered: bool = False  # the order in the file is the order people see


SECTIONS: Final[Mapping[str, Section]] = {
    section.name: section
    for section in (
        Section("code_tables", "data", CodeTable),
        Section("customer_kinds", "data", CustomerKind, ordered=True),
        Section("unit_sets", "data", UnitSet),
        Section("brands", "data", Brand, ordered=True),
        Section("product_fields", "data", ProductFields, key=None),
        Section("products", "data", Product, key="sku"),
        Section("price_classes", "data", PriceClass),
        Section("assortments", "data", Assortment),
        Section("forms", "info", FormDef, key="form"),
        Section("messages", "info", MessageVocabulary, key=None),
        Section("calendars", "resource", Calendar),
        Section("holidays", "resource", HolidaySet),
        Section("territories", "resource", Territory),
        Section("functions", "function", Function, ordered=True),
        Section("actions", "function", Action),
        Section("canned_replies", "function", CannedReply, ordered=True),
        Section("dispositions", "function", Disposition, ordered=True),
        Section("org_units", "org", OrgUnit),
        Section("roles", "org", Role),
        Section("permissions", "org", Permissions, key=None),
        Section("queues", "process", Queue),
        Section("flows", "process", Flow),
        Section("case_kinds", "process", CaseKind, ordered=True),
    )
}


class Blueprint(Entry):
    """Immutable once published. Two blueprints that say the same have the same hash, whatever their version."""

    package: Package
    code_tables: tuple[CodeTable, ...] = ()
    customer_kinds: tuple[CustomerKind, ...] = ()
    unit_sets: tuple[UnitSet, ...] = ()
    brands: tuple[Brand, ...] = ()
    product_fields: ProductFields = ProductFields()
    products: tuple[Product, ...] = ()
    price_classes: tuple[PriceClass, ...] = ()
    assortments: tuple[Assortment, ...] = ()
    forms: tuple[FormDef, ...] = ()
    messages: MessageVocabulary
    calendars: tuple[Calendar, ...] = ()
    holidays: tuple[HolidaySet, ...] = ()
    territories: tuple[Territory, ...] = ()
    functions: tuple[Function, ...] = ()
    actions: tuple[Action, ...] = ()
    canned_replies: tuple[CannedReply, ...] = ()
    dispositions: tuple[Disposition, ...] = ()
    org_units: tuple[OrgUnit, ...] = ()
    roles: tuple[Role, ...] = ()
    permissions: Permissions = Permissions()
    queues: tuple[Queue, ...] = ()
    flows: tuple[Flow, ...] = ()
    case_kinds: tuple[CaseKind, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _sort_what_has_no_order(cls, data: Any) -> Any:
        """So that moving an entry to another file or line changes neither the blueprint nor its hash."""
        if not isinstance(data, dict):
            return data
        return {name: in_order(name, entries) for name, entries in data.items()}

    @cached_property
    def document(self) -> dict[str, Any]:
        """The blueprint as plain JSON data; what stands at its default is left out, so that a later
        program with more defaults computes the same hash."""
        document: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return document

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON without the version number: a roll-back has the hash it returns to."""
        package = {name: value for name, value in self.document["package"].items() if name != "version"}
        return hashlib.sha256(canonical({**self.document, "package": package}).encode()).hexdigest()

    @property
    def version(self) -> int:
        return self.package.version

    def numbered(self, version: int) -> Blueprint:
        """The same blueprint as version `version`."""
        # Built anew, since a copy would carry the cached document along.
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        return Blueprint(**{**parts, "package": self.package.model_copy(update={"version": version})})

    # Look-ups raise KeyError: a blueprint that was checked has what it names.

    def code_table(self, id: str) -> CodeTable:
        return _find(self.code_tables, "code table", id)

    def customer_kind(self, id: str) -> CustomerKind:
        return _find(self.customer_kinds, "customer kind", id)

    def unit_set(self, id: str) -> UnitSet:
        return _find(self.unit_sets, "unit set", id)

    def brand(self, id: str) -> Brand:
        return _find(self.brands, "brand", id)

    def product(self, sku: str) -> Product:
        return self._products[sku]

    def form(self, id: str) -> FormDef:
        return _find(self.forms, "form", id, "form")

    def role(self, id: str) -> Role:
        return _find(self.roles, "role", id)

    def action(self, id: str) -> Action:
        return _find(self.actions, "action", id)

    def queue(self, id: str) -> Queue:
        return _find(self.queues, "queue", id)

    def flow(self, id: str) -> Flow:
        return _find(self.flows, "flow", id)

    def case_kind(self, id: str) -> CaseKind:
        return _find(self.case_kinds, "case kind", id)

    def queue_for_case_kind(self, kind: str) -> Queue:
        return next(queue for queue in self.queues if kind in queue.case_kinds)

    def queue_for_intent(self, intent: str) -> Queue | None:
        return next((queue for queue in self.queues if intent in queue.intents), None)

    def working_time(self, calendar: str) -> WorkingTime:
        entry = _find(self.calendars, "calendar", calendar)
        holidays = _find(self.holidays, "holidays", entry.holidays) if entry.holidays else None
        return WorkingTime(entry, holidays)

    @cached_property
    def _products(self) -> dict[str, Product]:
        return {product.sku: product for product in self.products}


def _find(entries: tuple[EntryT, ...], what: str, id: str, key: str = "id") -> EntryT:
    for entry in entries:
        if getattr(entry, key) == id:
            return entry
    raise KeyError(f"the blueprint has no {what} {id}")


def canonical(document: Mapping[str, Any]) -> str:
    """JSON in the one form that is hashed and stored."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def in_order(name: str, entries: Any) -> Any:
    section = SECTIONS.get(name)
    if section is None or section.key is None or section.ordered or not isinstance(entries, list | tuple):
        return entries
    return sorted(entries, key=lambda entry: str(entry_id(section, entry)))


def entry_id(section: Section, entry: Any) -> str | None:
    """What an entry is called, be it still data or already a model."""
    if section.key is None:
        return None
    value = entry.get(section.key) if isinstance(entry, Mapping) else getattr(entry, section.key, None)
    return None if value is None else str(value)
