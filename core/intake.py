"""Intake: what an adapter hands in becomes an entry of the log, durable when `accept` returns."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson

from core.clock import Clock, now
from core.log.entries import Entry
from core.log.writer import LogWriter
from core.values import (
    Accepted,
    Address,
    CallEvent,
    ChannelEvent,
    ChannelKind,
    Direction,
    EntryKind,
    Inbound,
    StatusUpdate,
    Unreadable,
)

NOBODY = Address("hub", "nobody")
"""The other side of an entry that has none: an unreadable request, a setting."""

_CLOCK_SKEW = timedelta(minutes=10)
_LONGEST_TEXT = 100_000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Intake:
    """The way into the log for channel events and for people's acts."""

    def __init__(self, writer: LogWriter, kind_of: Callable[[str], ChannelKind], clock: Clock = now) -> None:
        self._writer = writer
        self._kind_of = kind_of  # account slug -> channel kind
        self._clock = clock

    async def accept(self, account: str, event: ChannelEvent) -> Accepted:
        return await self._writer.write(entry_of(account, self._kind_of(account), event, self._clock()))

    async def act(
        self, name: str, *, by: str, about: Address, key: str, detail: dict[str, Any], text: str = ""
    ) -> Accepted:
        """Log what a person did. `key` is made by the client, so that a repeated request is one act.

        `about` decides the shard: the act takes its turn among that address's messages.
        """
        return await self._writer.write(act_entry(name, by, about, key, detail, text, self._clock()))


def act_entry(
    name: str, by: str, about: Address, key: str, detail: dict[str, Any], text: str, at: datetime
) -> Entry:
    return Entry(
        account="hub",
        dedupe_key=f"act:{key}",
        channel=ChannelKind.HUB,
        direction=Direction.NONE,
        kind=EntryKind.ACT,
        occurred_at=at,
        address=about,
        text=storable(text),
        data=orjson.dumps({"act": name, "by": by, **detail}),
    )


def entry_of(account: str, channel: ChannelKind, event: ChannelEvent, at: datetime) -> Entry:
    match event:
        case Inbound():
            return _message(account, channel, event, at)
        case StatusUpdate():
            return Entry(
                account=account,
                dedupe_key=event.dedupe_key,
                channel=channel,
                direction=Direction.IN,
                kind=EntryKind.STATUS,
                occurred_at=_plausible(event.occurred_at, at),
                address=event.recipient or NOBODY,
                external_id=event.external_id,
                data=orjson.dumps(
                    {
                        "state": event.state,
                        "error": event.error,
                        "provider_error": storable(event.provider_error),
                    }
                ),
                raw=event.raw,
                raw_type=event.raw_type,
            )
        case CallEvent():
            return Entry(
                account=account,
                dedupe_key=event.dedupe_key,
                channel=channel,
                direction=event.direction,
                kind=EntryKind.CALL,
                occurred_at=_plausible(event.occurred_at, at),
                address=event.caller if event.direction is Direction.IN else event.called,
                external_id=event.external_id,
                data=orjson.dumps({"phase": event.phase, **event.meta}),
                raw=event.raw,
                raw_type=event.raw_type,
            )
        case Unreadable():
            return Entry(
                account=account,
                dedupe_key=event.dedupe_key,
                channel=channel,
                direction=Direction.IN,
                kind=EntryKind.UNREADABLE,
                occurred_at=_plausible(event.occurred_at, at),
                address=event.sender or NOBODY,
                data=orjson.dumps({"reason": storable(event.reason)}),
                raw=event.raw,
                raw_type=event.raw_type,
            )


def _message(account: str, channel: ChannelKind, event: Inbound, at: datetime) -> Entry:
    data: dict[str, Any] = {}
    defects = list(event.defects)
    occurred_at = _plausible(event.occurred_at, at)
    if occurred_at != event.occurred_at:
        defects.append(f"date_implausible:{event.occurred_at.isoformat()}")
    text = storable(event.text)
    if text != event.text:
        defects.append("text_repaired")
    if event.attachments:
        data["attachments"] = [
            {"name": storable(part.name), "type": part.content_type, "url": part.url}
            for part in event.attachments
        ]
    if event.meta:
        data["meta"] = {key: storable(value) for key, value in event.meta.items()}
    if defects:
        data["defects"] = defects
    return Entry(
        account=account,
        dedupe_key=event.dedupe_key,
        channel=channel,
        direction=Direction.IN,
        kind=EntryKind.MESSAGE,
        occurred_at=occurred_at,
        address=event.sender,
        own=str(event.recipient),
        external_id=event.external_id,
        text=text,
        data=orjson.dumps(data) if data else b"{}",
        raw=event.raw,
        raw_type=event.raw_type,
        thread=event.thread,
    )


def _plausible(claimed: datetime, at: datetime) -> datetime:
    """The provider's time unless it lies in the future: nobody has written to us tomorrow."""
    return at if claimed > at + _CLOCK_SKEW else claimed


def storable(text: str) -> str:
    """The text without what a database cannot hold (NUL, halves of surrogate pairs); the raw bytes keep them."""
    if _UNSTORABLE.search(text):
        text = _UNSTORABLE.sub("\ufffd", text)
    return text[:_LONGEST_TEXT]
