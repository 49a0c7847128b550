"""The timeline: every entry of a party over all channels, as the lines that people see."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core import parties
from core.log import reader
from core.log.entries import Logged
from core.tables import File, Line, Sent
from core.values import Direction, EntryKind
from crm.collection.display import shown
from crm.desk.viewer import Viewer, moment
from crm.desk.vocabulary import ACTS, DELIVERY, ERRORS, INTENTS, STATUSES, WARNS, label
from crm.tables import Case, Observation, ReadingRow

_HIDDEN_ACTS = frozenset({"reply", "party.put", "blueprint.published"})
"""Acts that show in another way: a reply is the message itself."""


async def page(
    session: AsyncSession, viewer: Viewer, party_id: UUID, before: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """The newest lines before `before`, oldest first, and where the page before them ends."""
    family = await parties.family(session, party_id)
    query = (
        select(col(Line.seq))
        .where(col(Line.party_id).in_(family))
        .order_by(col(Line.seq).desc())
        .limit(limit + 1)
    )
    if before is not None:
        query = query.where(col(Line.seq) < before)
    seqs = list((await session.execute(query)).scalars())
    older = seqs[limit - 1] if len(seqs) > limit else None
    lines = await lines_at(session, viewer, dict.fromkeys(seqs[:limit], party_id))
    return lines, older


async def lines_at(session: AsyncSession, viewer: Viewer, wanted: Mapping[int, UUID]) -> list[dict[str, Any]]:
    """The lines of these entries, in order; `wanted` names the party that each is shown under."""
    entries = await reader.at(session, sorted(wanted))
    return await lines_of(session, viewer, entries, wanted)


async def lines_of(
    session: AsyncSession, viewer: Viewer, entries: Sequence[Logged], wanted: Mapping[int, UUID]
) -> list[dict[str, Any]]:
    seqs = [entry.seq for entry in entries]
    readings = await _readings(session, viewer, seqs)
    sent = {
        row.seq: row for row in (await session.execute(select(Sent).where(col(Sent.seq).in_(seqs)))).scalars()
    }
    cases = {
        row.id: row for row in (await session.execute(select(Case).where(col(Case.id).in_(seqs)))).scalars()
    }
    files: dict[int, list[File]] = defaultdict(list)
    for file in (await session.execute(select(File).where(col(File.seq).in_(seqs)))).scalars():
        files[file.seq].append(file)
    return [
        _line(
            viewer,
            entry,
            wanted[entry.seq],
            readings.get(entry.seq),
            sent.get(entry.seq),
            cases.get(entry.seq),
            files[entry.seq],
        )
        for entry in entries
        if entry.data.get("act") not in _HIDDEN_ACTS and entry.kind != EntryKind.STATUS
    ]


def bare_line(viewer: Viewer, entry: Logged, party_id: UUID) -> dict[str, Any]:
    """The line of an entry that has just been committed and is not yet read: shown at once, completed soon."""
    return _line(viewer, entry, party_id, None, None, None, [])


def is_line(entry: Logged) -> bool:
    """Whether the entry shows on a timeline as soon as it is in the log."""
    return entry.kind in (EntryKind.MESSAGE, EntryKind.UNREADABLE) and entry.address.scheme != "hub"


def _line(
    viewer: Viewer,
    entry: Logged,
    party_id: UUID,
    reading: dict[str, Any] | None,
    sent: Sent | None,
    case: Case | None,
    files: Sequence[File],
) -> dict[str, Any]:
    is_out = entry.direction == Direction.OUT
    other = viewer.address(entry.address) if entry.address.scheme != "hub" else None
    by = entry.data.get("by")
    return {
        "seq": entry.seq,
        "id": str(entry.id),
        "party": str(party_id),
        "at": moment(entry.occurred_at),
        "kind": _kind(entry),
        "direction": entry.direction,
        "channel": entry.channel,
        "account": entry.account if entry.account != "hub" else None,
        "from": None if is_out else other,
        "to": other if is_out else None,
        "text": entry.text or None,
        "raw_available": entry.kind != EntryKind.ACT and not entry.is_erased,
        "attachments": [
            {
                "id": str(file.id),
                "name": file.name,
                "content_type": file.content_type,
                "size": file.size or None,
                "state": file.state,
            }
            for file in files
        ],
        "author": viewer.person(by),
        "delivery": _delivery(viewer, sent) if is_out else None,
        "reading": reading,
        "case": {"id": str(case.id), "number": case.number} if case else None,
        "act": _act(viewer, entry) if entry.kind == EntryKind.ACT else None,
        "automatic": is_out and not by,
        "erased": entry.is_erased,
    }


def _kind(entry: Logged) -> str:
    match entry.kind:
        case EntryKind.UNREADABLE:
            return "unreadable"
        case EntryKind.ACT:
            return "note" if entry.data["act"] == "note" else "event"
        case _:
            return "message"


def _delivery(viewer: Viewer, sent: Sent | None) -> dict[str, Any]:
    state = sent.state if sent else "queued"
    return {
        "state": state,
        "label": label(viewer, DELIVERY, state),
        "error": label(viewer, ERRORS, sent.error) if sent and sent.error else None,
    }


def _act(viewer: Viewer, entry: Logged) -> dict[str, Any]:
    name = entry.data["act"]
    return {"name": name, "label": label(viewer, ACTS, name), "detail": _detail(viewer, name, entry)}


def _detail(viewer: Viewer, name: str, entry: Logged) -> str:
    data = entry.data
    match name:
        case "assign" | "case.assign":
            person = viewer.person(data["user"])
            return person["name"] if person else viewer.say("nobody")
        case "queue":
            return viewer.queue(data["queue"])
        case "snooze":
            until = datetime.fromisoformat(data["until"]).astimezone(viewer.published.timezone)
            return f"{until:%Y-%m-%d %H:%M}"
        case "case.open":
            return f"{viewer.case_kind(data['kind'])} {entry.text}".strip()
        case "case.state":
            return viewer.case_state(data.get("kind", ""), data["state"])
        case "figure.correct" | "figure.accept" | "figure.reject":
            return " ".join(
                filter(None, (viewer.product(data.get("sku", "")), _figure(viewer, data), entry.text))
            )
        case "bind":
            return str(data.get("name", ""))
        case _:
            return entry.text


def _figure(viewer: Viewer, data: Mapping[str, Any]) -> str:
    """What a figure was corrected to."""
    lines = viewer.blueprint.form(data["form"]).lines if "value" in data and data.get("form") else None
    field = next((each for each in lines.fields if each.id == data.get("field")), None) if lines else None
    return f"{field.title.text(viewer.locale)} {shown(field, data['value'], viewer.locale)}" if field else ""


async def _readings(session: AsyncSession, viewer: Viewer, seqs: Sequence[int]) -> dict[int, dict[str, Any]]:
    rows = (await session.execute(select(ReadingRow).where(col(ReadingRow.seq).in_(seqs)))).scalars().all()
    states: dict[tuple[int, str, str], Observation] = {}
    if rows:
        found = await session.execute(
            select(Observation).where(col(Observation.seq).in_([row.seq for row in rows]))
        )
        for each in found.scalars():
            states[each.seq, each.sku, each.field] = each
    return {row.seq: _reading(viewer, row, states) for row in rows}


def _reading(
    viewer: Viewer, row: ReadingRow, states: Mapping[tuple[int, str, str], Observation]
) -> dict[str, Any]:
    return {
        "intent": row.intent,
        "intent_label": label(viewer, INTENTS, row.intent),
        "status": row.status,
        "status_label": label(viewer, STATUSES, row.status),
        "form": row.form or None,
        "receipt": row.receipt or None,
        "blueprint": str(row.blueprint),
        "items": [
            {
                "sku": item["sku"],
                "name": viewer.product(item["sku"]),
                "matched_by": item["matched_by"],
                "values": [_value(viewer, row, item, value, states) for value in item["values"]],
            }
            for item in row.document.get("items", ())
        ],
        "errors": [
            {
                "code": error["code"],
                "label": label(viewer, ERRORS, error["code"]),
                "token": error["token"],
                "span": error["span"],
            }
            for error in row.document.get("errors", ())
        ],
    }


def _value(
    viewer: Viewer,
    row: ReadingRow,
    item: Mapping[str, Any],
    value: Mapping[str, Any],
    states: Mapping[tuple[int, str, str], Observation],
) -> dict[str, Any]:
    lines = viewer.blueprint.form(row.form).lines if row.form else None
    field = next((each for each in lines.fields if each.key == value["field"]), None) if lines else None
    observation = states.get((row.seq, item["sku"], field.id)) if field else None
    state = observation.state if observation else item["state"]
    warn = (observation.warn if observation else item["warn"]) if state == "held" else ""
    span = value["span"]
    return {
        "field": field.id if field else value["field"],
        "title": field.title.text(viewer.locale) if field else value["field"],
        "value": value["value"],
        "display": shown(field, value["value"], viewer.locale) if field else str(value["value"]),
        "span": span if span and span[1] > span[0] else None,
        "state": "corrected" if state == "replaced" else state,
        "warn": warn or None,
        "warn_label": label(viewer, WARNS, warn) if warn else None,
    }
