"""Which names a condition may use, by where it stands: the hub's own records and the package's fields."""

from __future__ import annotations

from typing import Final

from crm.blueprint.conditions import LEAF, Names
from crm.blueprint.forms import FormDef
from crm.blueprint.products import PriceKind
from crm.blueprint.source import DataPath
from crm.blueprint.subject import Subject

_COMMON: Final = ("id", "unit", "owner", "created_at", "created_by", "updated_at")
_USER: Final = Names.of(
    "id", "name", "role", "roles", "unit", "units", "units_below", "territories", "queues", "party"
)
_PARTY: Final = Names.of(
    *_COMMON, "kind", "name", "territory", "stage", "segment", "completeness",
    "bound", "days_silent", "days_since_first",
)  # fmt: skip
_RECORDS: Final = {
    "case": Names.of(
        *_COMMON, "number", "kind", "state", "severity", "priority", "queue", "assignee", "parent", "product",
        "opened_at", "closed_at", "reopen_count", "satisfaction", "answer", "channel", "age",
    ),
    "interaction": Names.of(
        *_COMMON, "account", "channel", "direction", "kind", "intent", "occurred_at", "queue", "text",
    ),
    "submission": Names.of(*_COMMON, "form", "period", "channel", "state"),
    "observation": Names.of(*_COMMON, "form", "period", "product", "channel"),
    "topic": Names.of(*_COMMON, "board", "state"),
    "report": Names.of(*_COMMON, "name", "public"),
    "audit": Names.of(*_COMMON, "act", "at"),
}  # fmt: skip
# Records that belong to somebody can be asked about that party.
_OF_A_PARTY: Final = ("case", "interaction", "submission", "observation")


def entity_names(subject: Subject, entity: str) -> Names:
    """The fields of one kind of record, be it the hub's or the package's."""
    if entity in ("party", "*"):
        return party_names(subject)
    if entity in _RECORDS:
        names = _RECORDS[entity]
        if entity == "case":
            own = [field.id for kind in subject.of("case_kinds") for field in kind.fields]
            names |= Names.of(*own) if subject.is_whole("case_kinds") else Names(open=True)
        return names | Names.of(party=party_names(subject)) if entity in _OF_A_PARTY else names
    return party_names(subject, entity)


def party_names(subject: Subject, kind: str | None = None) -> Names:
    """What every party has, and the fields of one kind or, without one, of all."""
    if not subject.is_whole("customer_kinds"):
        return Names(open=True)
    kinds = [entry for entry in subject.of("customer_kinds") if kind in (None, entry.id)]
    return _PARTY | Names.of(*(field.id for entry in kinds for field in entry.fields))


def names_for(subject: Subject, scope: str, path: DataPath) -> Names:
    """`scope` is what the model's field says; `path` tells whose condition it is."""
    entities = sorted(subject.known("entities"))
    match scope:
        case "case":
            case = entity_names(subject, "case")
            return Names.of("now", case=case, party=party_names(subject), user=_USER)
        case "record":
            kind = str(path[1]) if path[0] == "customer_kinds" else _kind_of(subject, path)
            record = _PARTY | entity_names(subject, kind) if kind else _every(subject)
            return Names.of("today", record=record)
        case "rows":
            records = {entity: entity_names(subject, entity) for entity in entities}
            unsure = "customer_kinds" in subject.unsure
            return Names({**records, "record": _every(subject), "user": _USER, "now": LEAF}, open=unsure)
        case _:
            raise ValueError(f"no names are known for conditions of {scope}")


def form_names(subject: Subject, form: FormDef) -> Names:
    """What the checks and effects of a form may name: its own answers, the product and the party."""
    line = Names.of(*(field.key for field in form.lines.fields)) if form.lines else Names()
    header = Names.of(*(field.key for field in form.header))
    own = [field.id for entry in subject.of("product_fields") for field in entry.fields]
    product = Names.of("sku", "brand", "own", "status", "watched", "price_class", *PriceKind, *own)
    if not subject.is_whole("product_fields"):
        product = Names(open=True)
    party = entity_names(subject, form.about) if form.about in subject.known("entities") else Names(open=True)
    return Names.of("period", "channel", line=line, header=header, product=product, user=_USER) | Names(
        {form.about: party}
    )


def _every(subject: Subject) -> Names:
    names = Names()
    for entity in subject.known("entities"):
        names |= entity_names(subject, entity)
    return names


def _kind_of(subject: Subject, path: DataPath) -> str | None:
    if path[0] == "assortments":
        return next((entry.customer_kind for entry in subject.of("assortments") if entry.id == path[1]), None)
    return None
