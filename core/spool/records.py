"""The spool's records on the disk: whole or not at all, each recognisable among damaged neighbours."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from core.log.entries import Entry
from core.moments import from_micros, micros
from core.values import Address, ChannelKind, Direction, EntryKind

HEADER = b"switchboard spool 1\n"
"""How every file begins. Files of another version are set aside whole and never guessed at."""

# A record: the mark, the payload's length, CRC-32 of length and payload, the payload.
_MARK = (
    b"\xf5\x0aS\xf7"  # no UTF-8 text holds it, so a search for the next record seldom stops at a wrong place
)
_FRAME = struct.Struct(">4sII")
# A payload: when it was spooled (microseconds), the JSON behind its length, the data behind its length, the raw bytes.
_MOMENT = struct.Struct(">q")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Whole:
    """A record that reads as it was written."""

    start: int
    end: int
    payload: bytes

    @property
    def spooled_at(self) -> datetime:
        return from_micros(_MOMENT.unpack_from(self.payload)[0])


@dataclass(frozen=True, slots=True)
class Damaged:
    """Bytes that are no record any more, up to the next one or the end."""

    start: int
    end: int


def encode(entry: Entry, spooled_at: datetime) -> bytes:
    fields = orjson.dumps(
        [
            entry.account,
            entry.dedupe_key,
            entry.channel,
            entry.direction,
            entry.kind,
            micros(entry.occurred_at),
            entry.address.scheme,
            entry.address.value,
            entry.address.display,
            entry.own,
            entry.external_id,
            entry.text,
            entry.raw_type,
            entry.thread,
            entry.in_reply_to.hex if entry.in_reply_to else None,
        ]
    )
    payload = b"".join(
        (
            _MOMENT.pack(micros(spooled_at)),
            _LENGTH.pack(len(fields)),
            fields,
            _LENGTH.pack(len(entry.data)),
            entry.data,
            entry.raw,
        )
    )
    return _FRAME.pack(_MARK, len(payload), _checksum(payload)) + payload


def decode(payload: bytes) -> Entry:
    """The entry as it was. Raises ValueError when the payload is none of ours."""
    try:
        at = _MOMENT.size
        (length,) = _LENGTH.unpack_from(payload, at)
        at += _LENGTH.size
        fields: list[Any] = orjson.loads(payload[at : at + length])
        at += length
        (length,) = _LENGTH.unpack_from(payload, at)
        at += _LENGTH.size
        data, raw = payload[at : at + length], payload[at + length :]
        (account, key, channel, direction, kind, occurred, scheme, value, display, *texts, reply) = fields
        own, external_id, text, raw_type, thread = texts
        return Entry(
            account=account,
            dedupe_key=key,
            channel=ChannelKind(channel),
            direction=Direction(direction),
            kind=EntryKind(kind),
            occurred_at=from_micros(occurred),
            address=Address(scheme, value, display),
            own=own,
            external_id=external_id,
            text=text,
            data=data,
            raw=raw,
            raw_type=raw_type,
            thread=thread,
            in_reply_to=UUID(hex=reply) if reply else None,
        )
    except (struct.error, ValueError, TypeError, OverflowError) as error:
        raise ValueError("not a record of the spool") from error


def scan(data: bytes, start: int = 0) -> Iterator[Whole | Damaged]:
    """What stands in a file's bytes from `start` on, in order.

    A last record that is shorter than it says is not told: its writer died on the way, and nobody was answered. So
    the end of the last thing told is where the next record may be written.
    """
    at = start
    while at < len(data):
        whole = _whole(data, at)
        if whole is not None:
            yield whole
            at = whole.end
            continue
        after = _next_whole(data, at + 1)
        if after is not None:
            yield Damaged(at, after.start)
            at = after.start
        elif _is_torn(data, at):
            return
        else:
            yield Damaged(at, len(data))
            return


def _whole(data: bytes, at: int) -> Whole | None:
    if len(data) - at < _FRAME.size:
        return None
    mark, length, checksum = _FRAME.unpack_from(data, at)
    end = at + _FRAME.size + length
    if mark != _MARK or end > len(data):
        return None
    payload = data[at + _FRAME.size : end]
    return Whole(at, end, payload) if _checksum(payload) == checksum else None


def _next_whole(data: bytes, at: int) -> Whole | None:
    while (at := data.find(_MARK, at)) != -1:
        if (whole := _whole(data, at)) is not None:
            return whole
        at += 1
    return None


def _is_torn(data: bytes, at: int) -> bool:
    """The file ends before the record does. Bytes that no record begins with are damage and no torn end."""
    rest = data[at : at + _FRAME.size]
    if len(rest) < _FRAME.size:
        return rest.startswith(_MARK) or _MARK.startswith(rest)
    mark, length, _ = _FRAME.unpack(rest)
    return bool(mark == _MARK and at + _FRAME.size + length > len(data))


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))
