"""Two conversations become one and come apart again: what waits moves along, and an undone merge gives it back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from core import parties
from core.database import Tx
from core.log import reader
from core.tables import Line
from core.values import Direction, EntryKind
from crm.desk import conversations
from crm.desk.conversations import ConversationState
from crm.tables import Conversation

_DESK = ("state", "unread", "queue", "waiting_since", "due_at", "case_id")
_LAST_LINE = ("last_seq", "last_at", "last_direction", "last_channel", "preview",
              "reply_account", "reply_scheme", "reply_address")  # fmt: skip
_ALL = (*_DESK, *_LAST_LINE)
_MOMENTS = ("waiting_since", "due_at", "last_at")

_LOOK_BACK = 200  # lines: acts and automatic answers stand between messages


def take_over(target: Conversation, row: Conversation) -> None:
    """What waits in the merged conversation waits in the one that stands for it."""
    conversations.flag(row, "merged", {"own": _kept(row), "other": _kept(target)})
    if row.state == ConversationState.OPEN:
        target.state = ConversationState.OPEN.value
        target.unread += row.unread
        target.queue = target.queue or row.queue
        target.case_id = target.case_id or row.case_id
        for name in ("waiting_since", "due_at"):
            moments = [each for each in (getattr(target, name), getattr(row, name)) if each]
            setattr(target, name, min(moments, default=None))
    if row.last_seq > target.last_seq:
        for name in _LAST_LINE:
            setattr(target, name, getattr(row, name))
    row.state = ConversationState.RESOLVED.value


def give_back(own: Conversation, target: Conversation, *, is_untouched: bool) -> None:
    """The merged conversation is as it was; so is the other, unless something came to it meanwhile."""
    merged = own.flags.get("merged")
    if merged is None:
        return
    conversations.flag(own, "merged", None)
    _restore(own, merged["own"], _ALL)
    if is_untouched:
        _restore(target, merged["other"], _ALL)


async def show_newest_line(tx: Tx, row: Conversation) -> None:
    """Of the party's lines the newest that somebody wrote."""
    await tx.write_collected()
    family = await parties.family(tx.session, row.party_id)
    newest = await tx.session.execute(
        select(col(Line.seq))
        .where(col(Line.party_id).in_(family))
        .order_by(col(Line.seq).desc())
        .limit(_LOOK_BACK)
    )
    for line in reversed(await reader.at(tx.session, newest.scalars().all())):
        if line.kind != EntryKind.ACT and (line.direction == Direction.IN or line.data.get("by")):
            conversations.last_line(row, line)
            return


def _kept(row: Conversation) -> dict[str, Any]:
    kept = {name: getattr(row, name) for name in _ALL}
    return kept | {name: kept[name].isoformat() for name in _MOMENTS if kept[name] is not None}


def _restore(row: Conversation, kept: dict[str, Any], names: Sequence[str]) -> None:
    for name in names:
        value = kept[name]
        is_moment = name in _MOMENTS and value is not None
        setattr(row, name, datetime.fromisoformat(value) if is_moment else value)
