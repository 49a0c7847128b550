"""The context of a reading: what the rows know of a sender, as the plain values that reading wants."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import col

from core.database import Tx
from core.log.entries import Logged
from core.parties import UNKNOWN
from core.tables import Endpoint, Party, PartyKey
from crm.blueprint.model import Blueprint
from crm.collection.taking import source_of
from crm.desk.known import Known
from crm.forms.readings import Context, FieldValue, Held, LastReport
from crm.tables import Observation


async def context_for(
    tx: Tx, known: Known, blueprint: Blueprint, entry: Logged, party: Party, timezone: ZoneInfo
) -> Context:
    """What the message is read with. Moments are those of the message, so a replay reads the same."""
    questions = known.questions.get(entry.address, {})
    awaiting = questions.get("awaiting")
    licences = await _unbound(tx, blueprint, entry.text)
    return Context(
        now=entry.occurred_at,
        timezone=timezone,
        party=None if party.kind == UNKNOWN else str(party.id),
        last_report=_last_report(known, blueprint, party),
        held=_held(known, blueprint, party, entry.occurred_at),
        awaiting=tuple(awaiting.document["skus"]) if awaiting and awaiting.until > entry.occurred_at else (),
        confirmed={
            (sku, _result(blueprint, form, field)): normal.value
            for (form, sku, field), normal in known.normals.get(party.id, {}).items()
        },
        factors=_factors(party.fields),
        unbound=licences.get,
    )


def _last_report(known: Known, blueprint: Blueprint, party: Party) -> LastReport | None:
    standing = [report for report in known.reports.get(party.id, ()) if report.state != "withdrawn"]
    if not standing:
        return None
    newest = max(standing, key=lambda report: report.seq)
    rows = [row for row in known.observations.get(newest.seq, ()) if row.state == "accepted"]
    return LastReport(
        receipt=newest.receipt,
        text=newest.normal,
        at=newest.received_at,
        items=_items(blueprint, rows),
        form=newest.form,
    )


def _held(known: Known, blueprint: Blueprint, party: Party, at: datetime) -> tuple[Held, ...]:
    waiting = [row for row in known.held.get(party.id, ()) if row.held_until is None or row.held_until > at]
    return _items(blueprint, waiting)


def _items(blueprint: Blueprint, rows: list[Observation]) -> tuple[Held, ...]:
    grouped: dict[str, list[Observation]] = defaultdict(list)
    for row in rows:
        grouped[source_of(row)].append(row)
    return tuple(
        Held(
            sku=group[0].sku,
            values={_result(blueprint, row.form, row.field): _value(row) for row in group},
            warn=group[0].warn or None,
            at=group[0].at,
            source=source,
        )
        for source, group in grouped.items()
    )


def _value(row: Observation) -> FieldValue:
    return row.text or row.value


def _result(blueprint: Blueprint, form: str, field: str) -> str:
    """The name under which a field's value leaves the form; the stored id where the form has lost the field."""
    try:
        lines = blueprint.form(form).lines
    except KeyError:
        return field
    return next((each.name for each in lines.fields if each.id == field), field) if lines else field


def _factors(fields: Mapping[str, Any]) -> dict[str, Decimal]:
    return {
        name: Decimal(str(value))
        for name, value in fields.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


async def _unbound(tx: Tx, blueprint: Blueprint, text: str) -> dict[str, str]:
    """Numbers in the text that name a party which nobody writes for yet."""
    binding = blueprint.messages.binding
    if binding is None:
        return {}
    runs = re.findall(rf"(?<!\d)\d{{{binding.digits}}}(?!\d)", unicodedata.normalize("NFKC", text))
    if not runs:
        return {}
    rows = await tx.session.execute(
        select(col(PartyKey.key), col(PartyKey.party_id))
        .outerjoin(Endpoint, col(Endpoint.party_id) == col(PartyKey.party_id))
        .where(
            col(PartyKey.system) == binding.key,
            col(PartyKey.key).in_(runs[:20]),
            col(Endpoint.value).is_(None),
        )
    )
    return {key: str(party) for key, party in rows}
