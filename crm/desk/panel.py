"""The customer panel: what is known of a party beside its timeline."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core import parties
from core.parties import UNKNOWN
from core.tables import Consent, Endpoint, Merge, Party
from core.values import Address
from crm.blueprint.customers import CustomerKind, FieldDef, FieldType
from crm.collection.display import shown
from crm.collection.periods import recent
from crm.desk import inbox
from crm.desk.conversations import begin
from crm.desk.viewer import Viewer, moment
from crm.desk.vocabulary import PURPOSES, label
from crm.tables import Case, Conversation, Figure, Person, Submission

_FIGURE_PERIODS = 1
_COVERAGE_PERIODS = 12


async def panel(session: AsyncSession, viewer: Viewer, id: UUID, at: datetime) -> dict[str, Any]:
    """Everything that the panel shows of the party. Raises NotFound."""
    party = await parties.root(session, id)
    family = await parties.family(session, party.id)
    endpoints = [each for rows in (await parties.addresses_of(session, family)).values() for each in rows]
    return {
        "id": str(party.id),
        "name": inbox.name_of(viewer, party),
        "kind": party.kind,
        "kind_title": viewer.kind(party.kind),
        "territory": viewer.territory(party.territory) if party.territory else None,
        "fields": await _fields(session, viewer, party),
        "addresses": [_address(viewer, row) for row in endpoints],
        "persons": await _persons(session, viewer, party, family),
        "consents": await _consents(session, viewer, endpoints),
        "cases": await _cases(session, viewer, family),
        "figures": await _figures(session, viewer, party, family, at),
        "coverage": await _coverage(session, viewer, party, family, at),
        "merged_from": await _merged_from(session, viewer, party.id),
        "merged_into": None,
        "conversation": await _conversation(session, viewer, party, at),
        "identity_hints": await _hints(session, viewer, party),
    }


def _kind(viewer: Viewer, party: Party) -> CustomerKind | None:
    return next((kind for kind in viewer.blueprint.customer_kinds if kind.id == party.kind), None)


async def _fields(session: AsyncSession, viewer: Viewer, party: Party) -> list[dict[str, Any]]:
    """The kind's own fields in their order; what a later blueprint removed still shows, under its id."""
    kind = _kind(viewer, party)
    known = {field.id: field for field in kind.fields} if kind else {}
    named = await _named(session, viewer, party, known)
    order = [*known, *(id for id in party.fields if id not in known)]
    return [
        {
            "id": id,
            "title": known[id].title.text(viewer.locale) if id in known else id,
            "value": party.fields[id],
            "display": _display(viewer, known.get(id), party.fields[id], named),
        }
        for id in order
        if party.fields.get(id) not in (None, "")
    ]


async def _named(
    session: AsyncSession, viewer: Viewer, party: Party, known: Mapping[str, FieldDef]
) -> dict[str, str]:
    """The names of the other parties that the fields point to."""
    pointed = [party.fields.get(id) for id, field in known.items() if field.type is FieldType.PARTY]
    found = await parties.parties(session, [UUID(str(id)) for id in pointed if id])
    return {str(id): inbox.name_of(viewer, other) for id, other in found.items()}


def _display(viewer: Viewer, field: FieldDef | None, value: Any, named: Mapping[str, str]) -> str:
    if field is None:
        return str(value)
    if field.type is FieldType.PARTY:
        return named.get(str(value), str(value))
    if field.type is FieldType.PRODUCT:
        return viewer.product(str(value))
    if field.code_table and field.type in (FieldType.CHOICE, FieldType.CHOICES):
        codes = value if isinstance(value, list) else [value]
        table = viewer.blueprint.code_table(field.code_table)
        return "、".join(table.label(str(code), viewer.locale) for code in codes)
    if field.type is FieldType.BOOLEAN:
        return viewer.say("Yes") if value else viewer.say("No")
    if field.type is FieldType.MONEY:
        return f"{int(value) / 100:.2f}"
    if field.type is FieldType.TERRITORY:
        return viewer.territory(str(value))
    return str(value)


def _address(viewer: Viewer, row: Endpoint) -> dict[str, Any]:
    address = Address(row.scheme, row.value)
    return {
        "scheme": row.scheme,
        # The composer sends it back; who may not see the number gets a name for it that only the server resolves.
        "value": row.value if viewer.sees_numbers else viewer.address(address),
        "display": viewer.address(address),
        "verified": row.verified_at is not None,
        "primary": row.is_primary,
    }


async def _persons(
    session: AsyncSession, viewer: Viewer, party: Party, family: list[UUID]
) -> list[dict[str, Any]]:
    kind = _kind(viewer, party)
    posts = kind.contacts.posts if kind and kind.contacts else None
    table = viewer.blueprint.code_table(posts) if posts else None
    rows = await session.execute(select(Person).where(col(Person.party_id).in_(family)))
    return [
        {
            "name": row.name,
            "post": (table.label(row.post, viewer.locale) if table and row.post else row.post) or None,
            "display": row.name,
        }
        for row in rows.scalars()
    ]


async def _consents(session: AsyncSession, viewer: Viewer, endpoints: list[Endpoint]) -> list[dict[str, Any]]:
    keys = [(row.scheme, row.value) for row in endpoints]
    if not keys:
        return []
    rows = await session.execute(
        select(Consent).where(tuple_(col(Consent.scheme), col(Consent.value)).in_(keys))
    )
    return [
        {
            "purpose": row.purpose,
            "label": label(viewer, PURPOSES, row.purpose),
            "state": "granted" if row.granted else "withdrawn",
            "at": moment(row.at),
            "seq": row.seq,
        }
        for row in rows.scalars()
    ]


async def _cases(session: AsyncSession, viewer: Viewer, family: list[UUID]) -> list[dict[str, Any]]:
    rows = await session.execute(
        select(Case).where(col(Case.party_id).in_(family)).order_by(col(Case.id).desc()).limit(20)
    )
    return [
        {
            **inbox.case_brief(viewer, case),
            "state_title": viewer.case_state(case.kind, case.state),
            "opened_at": moment(case.opened_at),
            "due_at": moment(case.due_solve) if case.closed_at is None else None,
            "severity": case.severity,
            "steps": _steps(viewer, case),
        }
        for case in rows.scalars()
    ]


def _steps(viewer: Viewer, case: Case) -> list[dict[str, str]]:
    """Where a person may move the case from here."""
    kind = next((kind for kind in viewer.blueprint.case_kinds if kind.id == case.kind), None)
    if kind is None:
        return []
    leaving = viewer.blueprint.flow(kind.flow).leaving(case.state)
    return [
        {"state": step.to, "title": step.title.text(viewer.locale)}
        for step in leaving
        if step.action is not None
    ]


async def _figures(
    session: AsyncSession, viewer: Viewer, party: Party, family: list[UUID], at: datetime
) -> list[dict[str, Any]]:
    """The newest figures of each form that is about this kind of party."""
    found: list[dict[str, Any]] = []
    today = at.astimezone(viewer.published.timezone).date()
    for form in viewer.blueprint.forms:
        if form.about != party.kind or form.lines is None:
            continue
        keys = [span.key for span in recent(form.period, today, _FIGURE_PERIODS + 3)]
        rows = (
            (
                await session.execute(
                    select(Figure).where(
                        col(Figure.party_id).in_(family),
                        col(Figure.form) == form.form,
                        col(Figure.period).in_(keys),
                    )
                )
            )
            .scalars()
            .all()
        )
        newest = max((row.period for row in rows), default="")
        fields = {field.id: field for field in form.lines.fields}
        places = {id: place for place, id in enumerate(fields)}
        for row in sorted(rows, key=lambda row: (row.sku, places.get(row.field, len(places)))):
            field = fields.get(row.field)
            if row.period != newest or field is None:
                continue
            found.append(
                {
                    "form": row.form,
                    "sku": row.sku,
                    "product": viewer.product(row.sku),
                    "field": row.field,
                    "title": field.title.text(viewer.locale),
                    "value": row.value,
                    "display": shown(field, row.text or row.value, viewer.locale),
                    "period": row.period,
                    "at": None,
                    "seq": row.seq,
                    "state": row.state,
                }
            )
    return found


async def _coverage(
    session: AsyncSession, viewer: Viewer, party: Party, family: list[UUID], at: datetime
) -> list[dict[str, Any]]:
    """Of the last periods, in which the party reported."""
    today = at.astimezone(viewer.published.timezone).date()
    for form in viewer.blueprint.forms:
        if form.about != party.kind:
            continue
        spans = recent(form.period, today, _COVERAGE_PERIODS)
        rows = await session.execute(
            select(col(Submission.period))
            .where(
                col(Submission.party_id).in_(family),
                col(Submission.form) == form.form,
                col(Submission.period).in_([span.key for span in spans]),
                col(Submission.state) != "withdrawn",
            )
            .distinct()
        )
        received = set(rows.scalars())
        return [
            {"period": span.key, "expected": 1, "received": int(span.key in received)}
            for span in reversed(spans)
        ]
    return []


async def _merged_from(session: AsyncSession, viewer: Viewer, id: UUID) -> list[dict[str, Any]]:
    rows = await session.execute(
        select(Merge, Party)
        .join(Party, col(Party.id) == col(Merge.party_id))
        .where(col(Merge.into_id) == id, col(Merge.undone_seq).is_(None))
    )
    return [
        {"id": str(party.id), "name": inbox.name_of(viewer, party), "act_seq": merge.act_seq}
        for merge, party in rows
    ]


async def _conversation(session: AsyncSession, viewer: Viewer, party: Party, at: datetime) -> dict[str, Any]:
    found = await inbox.rows_of(session, viewer, [party.id], at)
    if found:
        return found[0][1]
    return inbox.shown_row(viewer, begin(party.id, party.created_at), party, None, at)


async def _hints(session: AsyncSession, viewer: Viewer, party: Party) -> list[dict[str, Any]]:
    """What the hub suspects about who this is; never acted upon by itself."""
    conversation = await session.get(Conversation, party.id)
    claimed = conversation.flags.get("verify") if conversation else None
    if claimed is None or party.kind != UNKNOWN:
        return []
    other = await session.get(Party, UUID(claimed))
    if other is None:
        return []
    name = inbox.name_of(viewer, other)
    return [{"text": viewer.say("Says it writes for {name}", name=name), "party": claimed, "name": name}]
