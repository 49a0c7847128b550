"""What an entry does to a conversation: who is wanted, what is unread, what waits. Plain rules over one row."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from core.log.entries import Logged
from crm.tables import Case, Conversation

_PREVIEW = 120


class ConversationState(StrEnum):
    OPEN = "open"  # a person has to look
    AUTO = "auto"  # the hub has answered, or there is nothing to answer
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


def begin(party_id: UUID, at: datetime) -> Conversation:
    return Conversation(
        party_id=party_id,
        state=ConversationState.AUTO.value,
        queue="",
        unread=0,
        last_seq=0,
        last_at=at,
        last_direction="in",
        last_channel="",
        preview="",
        answered_seq=0,
        changed_seq=0,
        version=0,
        flags={},
    )


def preview_of(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _PREVIEW else line[: _PREVIEW - 1] + "…"


def last_line(row: Conversation, entry: Logged) -> None:
    """The newest line in either direction."""
    row.last_seq = entry.seq
    row.last_at = entry.occurred_at
    row.last_direction = entry.direction
    row.last_channel = entry.channel
    row.preview = preview_of(entry.text)
    row.reply_account = entry.account
    row.reply_scheme = entry.address.scheme
    row.reply_address = entry.address.value


def want_person(row: Conversation, entry: Logged, *, queue: str, due_at: datetime | None) -> None:
    """The message needs a person: the conversation is open, whatever it was before."""
    row.unread += 1
    if row.state != ConversationState.OPEN:
        row.state = ConversationState.OPEN.value
        row.snoozed_until = None
        row.queue = queue or row.queue
    elif queue and not row.queue:
        row.queue = queue
    if row.waiting_since is None:
        row.waiting_since = entry.occurred_at
    if due_at is not None and (row.due_at is None or due_at < row.due_at):
        row.due_at = due_at


def answered(row: Conversation, seq: int, by: UUID | None) -> None:
    """A person has answered: nobody waits any more."""
    row.answered_seq = seq
    row.answered_by = by
    row.waiting_since = None
    row.unread = 0


def is_dialogue(row: Conversation, at: datetime, within: timedelta) -> bool:
    """Whether a person has lately written to the party, so that its next words are an answer to that person."""
    return (
        row.answered_seq > 0
        and bool(row.flags.get("answered_at"))
        and (at - datetime.fromisoformat(row.flags["answered_at"]) <= within)
    )


def flag(row: Conversation, name: str, value: Any) -> None:
    """Set or (with None) drop a flag. The dictionary is replaced, so that the change is seen and stored."""
    flags = {key: kept for key, kept in row.flags.items() if key != name}
    if value is not None:
        flags[name] = value
    row.flags = flags


def show_case(row: Conversation, case: Case | None) -> None:
    """The case that the row names: the most severe open one."""
    if case is None and row.case_id is not None:
        row.due_at = None  # what was due was the case
    row.case_id = case.id if case else None
    if case is not None and case.queue:
        row.queue = case.queue
    if case is not None and case.answered_at is None and case.due_first is not None:
        row.due_at = case.due_first
    elif case is not None:
        row.due_at = case.due_solve
