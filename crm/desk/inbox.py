"""The inbox: conversations by view and queue, paged by key, each as the row that people see."""

import base64
import binascii
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Select, Tuple, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.addresses import parse
from core.columns import Id, Instant
from core.errors import BadInput, SwitchboardError
from core.moments import from_micros, micros
from core.parties import UNKNOWN
from core.tables import Party
from crm.cases import subkind_table
from crm.desk.conversations import ConversationState
from crm.desk.viewer import Viewer, moment
from crm.tables import Case, Conversation

_FAR = datetime(9000, 1, 1, tzinfo=UTC)


class View(StrEnum):
    OPEN = "open"
    MINE = "mine"
    UNASSIGNED = "unassigned"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"
    ALL = "all"


_due = func.coalesce(col(Conversation.due_at), _FAR, type_=Instant)
_waits = func.coalesce(col(Conversation.waiting_since), col(Conversation.last_at), type_=Instant)


def _in_view(view: View, user_id: UUID | None) -> list[ColumnElement[bool]]:
    state = col(Conversation.state)
    match view:
        case View.OPEN:
            return [state == ConversationState.OPEN]
        case View.MINE:
            return [state == ConversationState.OPEN, col(Conversation.assignee) == user_id]
        case View.UNASSIGNED:
            return [state == ConversationState.OPEN, col(Conversation.assignee).is_(None)]
        case View.SNOOZED:
            return [state == ConversationState.SNOOZED]
        case View.RESOLVED:
            return [state == ConversationState.RESOLVED]
        case View.ALL:
            return []


def belongs(row: Conversation, view: View, queue: str, user_id: UUID | None) -> bool:
    """Whether the conversation stands in the view: the same rule as the query, for live rows."""
    if queue and row.queue != queue:
        return False
    match view:
        case View.ALL:
            return True
        case View.OPEN:
            return row.state == ConversationState.OPEN
        case View.MINE:
            return row.state == ConversationState.OPEN and row.assignee == user_id
        case View.UNASSIGNED:
            return row.state == ConversationState.OPEN and row.assignee is None
        case View.SNOOZED:
            return row.state == ConversationState.SNOOZED
        case View.RESOLVED:
            return row.state == ConversationState.RESOLVED


def _newest_first(view: View) -> bool:
    return view in (View.ALL, View.RESOLVED)


async def page(
    session: AsyncSession, viewer: Viewer, view: View, queue: str, after: str, limit: int, at: datetime
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of rows and the cursor of the next. All and resolved: newest first; else what is due first."""
    query: Select[Conversation, Party] = (
        select(Conversation, Party)
        .join(Party, col(Party.id) == col(Conversation.party_id))
        .where(col(Party.merged_into).is_(None), *_in_view(view, viewer.user_id))
        .limit(limit + 1)
    )
    if queue:
        query = query.where(col(Conversation.queue) == queue)
    key = _cursor(after, view) if after else None
    if _newest_first(view):
        query = query.order_by(col(Conversation.last_seq).desc())
        if key:
            query = query.where(col(Conversation.last_seq) < key[0])
    else:
        query = query.order_by(_due, _waits, col(Conversation.party_id))
        if key:
            query = query.where(tuple_(_due, _waits, col(Conversation.party_id)) > _position(*key))
    found = (await session.execute(query)).all()
    rows = await _rows(session, viewer, found[:limit], at)
    following = _cursor_of(found[limit - 1][0], view) if len(found) > limit else None
    return rows, following


def _position(due: datetime, waits: datetime, party: UUID) -> Tuple:
    return tuple_(literal(due, Instant()), literal(waits, Instant()), literal(party, Id()))


def _cursor_of(row: Conversation, view: View) -> str:
    key: list[Any] = (
        [row.last_seq]
        if _newest_first(view)
        else [micros(row.due_at or _FAR), micros(row.waiting_since or row.last_at), row.party_id.hex]
    )
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _cursor(text: str, view: View) -> list[Any]:
    """The key that `_cursor_of` wrote for a view that is ordered alike."""
    try:
        key = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if _newest_first(view):
            (seq,) = key
            return [int(seq)]
        due, waits, party = key
        return [from_micros(int(due)), from_micros(int(waits)), UUID(hex=party)]
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise BadInput("The cursor is not one of ours; ask for the first page.") from error


async def rows_of(
    session: AsyncSession, viewer: Viewer, party_ids: Iterable[UUID], at: datetime
) -> list[tuple[Conversation, dict[str, Any]]]:
    """The rows of these parties, for live frames."""
    found = (
        await session.execute(
            select(Conversation, Party)
            .join(Party, col(Party.id) == col(Conversation.party_id))
            .where(col(Conversation.party_id).in_(set(party_ids)))
        )
    ).all()
    shown = await _rows(session, viewer, found, at)
    return [(pair[0], row) for pair, row in zip(found, shown, strict=True)]


@dataclass(frozen=True, slots=True)
class CountTable:
    """Conversations by state, queue and assignee: counted once, summed for each person."""

    cells: tuple[tuple[str, str, UUID | None, int], ...]

    def for_user(self, user_id: UUID) -> dict[str, Any]:
        """How many conversations each view and each queue's open list hold."""
        shared = self.for_everybody()
        return {**shared, "views": {**shared["views"], View.MINE.value: self.assigned().get(user_id, 0)}}

    def for_everybody(self) -> dict[str, Any]:
        """The same without the one view that is each person's own."""
        views = {view.value: 0 for view in View if view is not View.MINE}
        queues: dict[str, int] = {}
        for state, queue, assignee, number in self.cells:
            views[View.ALL] += number
            if state in (ConversationState.SNOOZED, ConversationState.RESOLVED):
                views[state] += number
            elif state == ConversationState.OPEN:
                views[View.OPEN] += number
                views[View.UNASSIGNED] += number if assignee is None else 0
                queues[queue] = queues.get(queue, 0) + number
        return {"views": views, "queues": queues}

    def assigned(self) -> Mapping[UUID, int]:
        """How many open conversations each person has."""
        found: Counter[UUID] = Counter()
        for state, _, assignee, number in self.cells:
            if state == ConversationState.OPEN and assignee is not None:
                found[assignee] += number
        return found


async def count_table(session: AsyncSession) -> CountTable:
    merged = select(col(Party.id)).where(col(Party.merged_into).is_not(None))
    rows = await session.execute(
        select(col(Conversation.state), col(Conversation.queue), col(Conversation.assignee), func.count())
        .where(col(Conversation.party_id).not_in(merged))
        .group_by(col(Conversation.state), col(Conversation.queue), col(Conversation.assignee))
    )
    return CountTable(tuple((state, queue, assignee, number) for state, queue, assignee, number in rows))


async def _rows(
    session: AsyncSession, viewer: Viewer, found: Iterable[tuple[Conversation, Party]], at: datetime
) -> list[dict[str, Any]]:
    pairs = list(found)
    case_ids = {row.case_id for row, _ in pairs if row.case_id is not None}
    cases: dict[int, Case] = {}
    if case_ids:
        for case in (await session.execute(select(Case).where(col(Case.id).in_(case_ids)))).scalars():
            cases[case.id] = case
    return [shown_row(viewer, row, party, cases.get(row.case_id or 0), at) for row, party in pairs]


def shown_row(
    viewer: Viewer, row: Conversation, party: Party, case: Case | None, at: datetime
) -> dict[str, Any]:
    return {
        "party": str(party.id),
        "name": name_of(viewer, party),
        "kind": party.kind,
        "territory": viewer.territory(party.territory) if party.territory else None,
        "queue": row.queue or None,
        "state": row.state,
        "assignee": viewer.person(row.assignee),
        "unread": row.unread,
        "last_seq": row.last_seq,
        "last_at": moment(row.last_at),
        "preview": row.preview,
        "direction": row.last_direction,
        "channel": row.last_channel,
        "waiting_since": moment(row.waiting_since),
        "due_at": moment(row.due_at),
        "snoozed_until": moment(row.snoozed_until),
        "badges": badges(viewer, row, party, case, at),
        "case": case_brief(viewer, case) if case else None,
        "version": row.version,
    }


def name_of(viewer: Viewer, party: Party) -> str:
    """The party's name; of somebody unknown the address as this viewer may see it."""
    if party.erased_at is not None:
        return viewer.say("Erased person")
    if party.kind != UNKNOWN:
        return party.name
    try:
        return viewer.address(parse(party.name))
    except SwitchboardError:
        return party.name


def case_brief(viewer: Viewer, case: Case) -> dict[str, Any]:
    return {
        "id": str(case.id),
        "number": case.number,
        "kind": case.kind,
        "kind_title": viewer.case_kind(case.kind),
        "title": case.title,
        "state": case.state,
    }


def badges(
    viewer: Viewer, row: Conversation, party: Party, case: Case | None, at: datetime
) -> list[dict[str, str]]:
    """What stands out about a conversation, the most urgent first; red is only for what cannot wait."""
    found = []
    if row.state == ConversationState.OPEN and row.due_at is not None and row.due_at < at:
        found.append(_badge("overdue", viewer.say("Overdue"), "cinnabar"))
    if "send_failed" in row.flags:
        found.append(_badge("send_failed", viewer.say("Not delivered"), "cinnabar"))
    if case is not None:
        tone = "cinnabar" if case.severity >= 3 else "indigo"
        found.append(_badge("case", case_label(viewer, case), tone))
    if row.flags.get("held"):
        found.append(_badge("held", viewer.say("To confirm"), "amber"))
    if "verify" in row.flags:
        found.append(_badge("verify", viewer.say("Verify binding"), "amber"))
    if "loop" in row.flags:
        found.append(_badge("loop", viewer.say("Automatic answers stopped"), "amber"))
    if party.kind == UNKNOWN and party.erased_at is None:
        found.append(_badge("unknown", viewer.say("Unknown number"), "ink"))
    return found


def case_label(viewer: Viewer, case: Case) -> str:
    """The most exact name of what the case is about: its subkind, or its kind."""
    found = subkind_table(viewer.blueprint, case.kind) if case.subkind else None
    return found[1].label(case.subkind, viewer.locale) if found else viewer.case_kind(case.kind)


def _badge(code: str, label: str, tone: str) -> dict[str, str]:
    return {"code": code, "label": label, "tone": tone}
