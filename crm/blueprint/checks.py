"""Checks over a whole blueprint: references, conditions, patterns and dates, then each subject's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BaseModel, StringConstraints, TypeAdapter
from pydantic_core import SchemaError

from crm.blueprint.check_messages import check_messages
from crm.blueprint.check_products import check_products
from crm.blueprint.check_rights import check_rights
from crm.blueprint.check_service import check_service
from crm.blueprint.conditions import check_condition
from crm.blueprint.customers import CODED, CustomerKind, FieldDef
from crm.blueprint.model import SECTIONS, entry_id
from crm.blueprint.names import names_for
from crm.blueprint.problems import Problem, listed, problem
from crm.blueprint.source import DataPath
from crm.blueprint.subject import Subject, Unique, marked, walk_models
from crm.blueprint.values import Cel, Dated, Ref

# What a section's entries are called in a sentence, where its name minus its plural s will not do.
_SINGULAR: Final = {
    "entities": "record",
    "dispositions": "disposition",
    "customer_kinds": "customer kind",
    "canned_replies": "canned reply",
    "territories": "territory",
    "holidays": "set of holidays",
}


def check(subject: Subject) -> list[Problem]:
    """Everything that is wrong between the parts; each part's own shape was checked before."""
    found: list[Problem] = []
    for path, entry in _entries(subject):
        found += _check_marks(subject, path, entry)
        found += _check_dates(subject, path, entry)
    for rule in _RULES:
        found += rule(subject)
    return found


def _entries(subject: Subject) -> Iterator[tuple[DataPath, BaseModel]]:
    for name, entries in subject.models.items():
        section = SECTIONS[name]
        for entry in entries:
            id = entry_id(section, entry)
            yield ((name,) if id is None else (name, id)), entry


def _check_marks(subject: Subject, path: DataPath, entry: BaseModel) -> Iterator[Problem]:
    for where, mark, text in marked(entry, path):
        if isinstance(mark, Ref):
            yield from _check_reference(subject, where, mark, text)
        elif isinstance(mark, Cel):
            names = names_for(subject, mark.scope, where)
            yield from check_condition(text, names, subject.place(where))
        elif (why := _pattern_fault(text)) is not None:
            yield problem("pattern_invalid", subject.place(where), why=why)


def _check_reference(subject: Subject, where: DataPath, ref: Ref, text: str) -> Iterator[Problem]:
    known = subject.known(ref.section)
    if text in known or (ref.or_any and text == "*") or subject.is_unsure(ref.section):
        return
    target = _SINGULAR.get(ref.section, ref.section.removesuffix("s").replace("_", " ")).capitalize()
    yield problem("reference_unknown", subject.place(where), target=target, name=text, known=listed(known))


@lru_cache(maxsize=512)
def _pattern_fault(pattern: str) -> str | None:
    """Patterns run in the engine that pydantic uses: it takes linear time on any text."""
    try:
        TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    except SchemaError as error:
        return " ".join(str(error).split())[:160]
    return None


def _check_dates(subject: Subject, path: DataPath, entry: BaseModel) -> Iterator[Problem]:
    for where, model in walk_models(entry, path):
        if (
            isinstance(model, Dated)
            and model.valid_from
            and model.valid_to
            and model.valid_to < model.valid_from
        ):
            yield problem("dates_reversed", subject.place((*where, "valid_to")))


def _check_codes(subject: Subject) -> Iterator[Problem]:
    tables = {table.id: table for table in subject.of("code_tables")}
    for table in tables.values():
        path = ("code_tables", table.id)
        codes = Unique(subject, what="a code")
        parent = tables.get(table.parent)
        parents = {value.code for value in parent.values} if parent else None
        if parents is not None and table.parent_code is not None and table.parent_code not in parents:
            yield problem(
                "code_hierarchy",
                subject.place((*path, "parent_code")),
                name=table.id,
                parent=table.parent_code,
            )
        for index, value in enumerate(table.values):
            here = (*path, "values", index)
            if complaint := codes.see(value.code, str(index), (*here, "code")):
                yield complaint
            if value.parent is not None and (parents is None or value.parent not in parents):
                if table.parent is not None and parents is None:
                    continue  # the parent table itself was already found wanting
                yield problem(
                    "code_hierarchy", subject.place((*here, "parent")), name=value.code, parent=value.parent
                )


def _check_circles(subject: Subject) -> Iterator[Problem]:
    for section in ("code_tables", "territories", "org_units", "dispositions"):
        parents = {entry.id: entry.parent for entry in subject.of(section)}
        for id in parents:
            seen: set[str] = set()
            at: str | None = id
            while at is not None and at not in seen:
                seen.add(at)
                at = parents.get(at)
            if at == id:
                yield problem("reference_circle", subject.place((section, id, "parent")), name=id)


def _check_fields(subject: Subject) -> Iterator[Problem]:
    """Fields of parties, contact persons, cases and products: ids unique, choices with their codes."""
    for path, fields in _field_lists(subject):
        ids = Unique(subject, what="a field")
        for index, field in enumerate(fields):
            here = (*path, index)
            if complaint := ids.see(field.id, str(index), (*here, "id")):
                yield complaint
            if field.type in CODED and field.code_table is None:
                yield problem("field_missing", subject.place(here), name="code_table")
            if field.type not in CODED and field.code_table is not None:
                yield problem(
                    "field_unknown", subject.place((*here, "code_table"), key=True), name="code_table"
                )


def _field_lists(subject: Subject) -> Iterator[tuple[DataPath, tuple[FieldDef, ...]]]:
    for kind in subject.of("customer_kinds"):
        yield ("customer_kinds", kind.id, "fields"), kind.fields
        if kind.contacts is not None:
            yield ("customer_kinds", kind.id, "contacts", "fields"), kind.contacts.fields
    for kind in subject.of("case_kinds"):
        yield ("case_kinds", kind.id, "fields"), kind.fields
    for product_fields in subject.of("product_fields"):
        yield ("product_fields", "fields"), product_fields.fields


def _check_customer_kinds(subject: Subject) -> Iterator[Problem]:
    for kind in subject.of("customer_kinds"):
        assert isinstance(kind, CustomerKind)
        path = ("customer_kinds", kind.id)
        fields = {field.id for field in kind.fields}
        if kind.key is not None and kind.key not in fields:
            yield problem(
                "reference_unknown",
                subject.place((*path, "key")),
                target="Field",
                name=kind.key,
                known=listed(fields),
            )
        stages = {stage.id for stage in kind.stages}
        seen = Unique(subject, what="a stage")
        for index, stage in enumerate(kind.stages):
            if complaint := seen.see(stage.id, str(index), (*path, "stages", index, "id")):
                yield complaint
            for step, to in enumerate(stage.to):
                if to not in stages:
                    place = subject.place((*path, "stages", index, "to", step))
                    yield problem("reference_unknown", place, target="Stage", name=to, known=listed(stages))


_RULES: Final[tuple[Callable[[Subject], Iterator[Problem]], ...]] = (
    _check_codes,
    _check_circles,
    _check_fields,
    _check_customer_kinds,
    check_products,
    check_service,
    check_rights,
    check_messages,
)
