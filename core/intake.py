"""Intake: what an adapter hands in becomes an entry of the log, durable there or in the spool when `accept` returns."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from core.clock import Clock, now
from core.log.entries import Entry
from core.log.writer import LogWriter
from core.storable import storable, storable_address, storable_json, storable_key
from core.values import (
    Accepted,
    Address,
    Attachment,
    CallEvent,
    ChannelEvent,
    ChannelKind,
    Direction,
    EntryKind,
    Inbound,
    StatusUpdate,
    Taken,
    Unreadable,
)

NOBODY = Address("hub", "nobody")
"""The other side of an entry that has none: an unreadable request, a setting."""

_CLOCK_SKEW = timedelta(minutes=10)
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""Before this nobody wrote on any of our channels: a clock that was never set."""


class Intake:
    """The way into the log for channel events and for people's acts."""

    def __init__(self, writer: LogWriter, kind_of: Callable[[str], ChannelKind], clock: Clock = now) -> None:
        self._writer = writer
        self._kind_of = kind_of  # account slug -> channel kind
        self._clock = clock

    async def accept(self, account: str, event: ChannelEvent) -> Taken:
        return await self._writer.receive(entry_of(account, self._kind_of(account), event, self._clock()))

    async def act(
        self, name: str, *, by: str, about: Address, key: str, detail: dict[str, Any], text: str = ""
    ) -> Accepted:
        """Log what a person did. `key` is made by the client, so that a repeated request is one act.

        It is not spooled: whoever did it is told at once when it cannot take effect.

        `about` decides the shard: the act takes its turn among that address's messages.
        """
        return await self._writer.write(act_entry(name, by, about, key, detail, text, self._clock()))


def act_entry(
    name: str, by: str, about: Address, key: str, detail: dict[str, Any], text: str, at: datetime
) -> Entry:
    return Entry(
        account="hub",
        dedupe_key=storable_key(f"act:{key}"),
        channel=ChannelKind.HUB,
        direction=Direction.NONE,
        kind=EntryKind.ACT,
        occurred_at=at,
        address=storable_address(about),
        text=storable(text),
        data=orjson.dumps(storable_json({"act": name, "by": by, **detail})),
    )


def entry_of(account: str, channel: ChannelKind, event: ChannelEvent, at: datetime) -> Entry:
    """The entry that an event becomes. Whatever strings it brings, both engines take the entry."""
    match event:
        case Inbound():
            return _message(account, channel, event, at)
        case StatusUpdate():
            return _entry(
                account,
                channel,
                event,
                at,
                kind=EntryKind.STATUS,
                address=event.recipient or NOBODY,
                external_id=event.external_id,
                data={"state": event.state, "error": event.error, "provider_error": event.provider_error},
            )
        case CallEvent():
            return _entry(
                account,
                channel,
                event,
                at,
                kind=EntryKind.CALL,
                direction=event.direction,
                address=event.caller if event.direction is Direction.IN else event.called,
                external_id=event.external_id,
                data={"phase": event.phase, **event.meta},
            )
        case Unreadable():
            return _entry(
                account,
                channel,
                event,
                at,
                kind=EntryKind.UNREADABLE,
                address=event.sender or NOBODY,
                data={"reason": event.reason},
            )


def _message(account: str, channel: ChannelKind, event: Inbound, at: datetime) -> Entry:
    defects = [*event.defects, *_date_defects(event.occurred_at, at)]
    text = storable(event.text)
    if text != event.text:
        defects.append("text_repaired")
    data: dict[str, Any] = {}
    if event.attachments:
        data["attachments"] = _named(event.attachments)
    if event.meta:
        data["meta"] = dict(event.meta)
    if defects:
        data["defects"] = defects
    return _entry(
        account,
        channel,
        event,
        at,
        kind=EntryKind.MESSAGE,
        address=event.sender,
        own=str(event.recipient),
        external_id=event.external_id,
        text=text,
        data=data,
        thread=event.thread,
    )


def _named(attachments: Sequence[Attachment]) -> list[dict[str, str]]:
    return [{"name": part.name, "type": part.content_type, "url": part.url} for part in attachments]


def _entry(
    account: str,
    channel: ChannelKind,
    event: ChannelEvent,
    at: datetime,
    *,
    kind: EntryKind,
    address: Address,
    data: dict[str, Any],
    direction: Direction = Direction.IN,
    own: str = "",
    external_id: str = "",
    text: str = "",
    thread: str = "",
) -> Entry:
    return Entry(
        account=account,
        dedupe_key=storable_key(event.dedupe_key),
        channel=channel,
        direction=direction,
        kind=kind,
        occurred_at=plausible(event.occurred_at, at),
        address=storable_address(address),
        own=storable_key(own),
        external_id=storable_key(external_id),
        text=text,
        data=orjson.dumps(storable_json(data)) if data else b"{}",
        raw=event.raw,
        raw_type=storable_key(event.raw_type),
        thread=storable_key(thread),
    )


def plausible(claimed: datetime, at: datetime) -> datetime:
    """The provider's time unless it cannot be right: nobody has written to us tomorrow, or before there was a line."""
    if claimed.tzinfo is None:
        claimed = claimed.replace(tzinfo=UTC)
    return claimed if _EARLIEST <= claimed <= at + _CLOCK_SKEW else at


def _date_defects(claimed: datetime, at: datetime) -> list[str]:
    defects = ["date_without_zone"] if claimed.tzinfo is None else []
    if plausible(claimed, at) != claimed.replace(tzinfo=claimed.tzinfo or UTC):
        defects.append(f"date_implausible:{claimed.isoformat()}")
    return defects
