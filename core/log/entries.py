"""Entries of the interaction log: what is written, what is read back, and the digest that ties the two."""

import hashlib
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from core.addresses import shard_of
from core.moments import micros
from core.values import Address, ChannelKind, Direction, EntryKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry on its way into the log. `address` is the other side's, `own` our line."""

    account: str
    dedupe_key: str
    channel: ChannelKind
    direction: Direction
    kind: EntryKind
    occurred_at: datetime
    address: Address
    own: str = ""
    external_id: str = ""
    text: str = ""
    data: bytes = b"{}"  # JSON: what the kind needs beside the text
    raw: bytes = b""
    raw_type: str = ""
    thread: str = ""
    in_reply_to: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """An entry of the log with its content; `text`, `raw` and the address are empty once it is erased."""

    seq: int
    id: UUID
    account: str
    channel: str
    direction: str
    kind: str
    shard: int
    external_id: str
    occurred_at: datetime
    recorded_at: datetime
    thread: str
    in_reply_to: UUID | None
    blueprint: int
    address: Address
    own: str
    text: str
    data: dict[str, Any]
    is_erased: bool = False


def shard_for(entry: Entry) -> int:
    return shard_of(entry.address)


def content_digest(
    salt: bytes, scheme: str, address: str, own: str, text: str, data: bytes, raw: bytes, raw_type: str
) -> bytes:
    """SHA-256 over the salt and the content's fields, each behind its length (32 bits, big-endian)."""
    parts = [salt]
    for field in (scheme, address, own, text, raw_type):
        encoded = field.encode("utf-8", "surrogatepass")
        parts += (struct.pack(">I", len(encoded)), encoded)
    for blob in (data, raw):
        parts += (struct.pack(">I", len(blob)), blob)
    return hashlib.sha256(b"".join(parts)).digest()


def envelope_bytes(
    seq: int,
    id: UUID,
    account: str,
    channel: str,
    direction: str,
    kind: str,
    shard: int,
    external_id: str,
    occurred_at: datetime,
    recorded_at: datetime,
    thread: str,
    in_reply_to: UUID | None,
    blueprint: int,
    digest: bytes,
) -> bytes:
    """The envelope as the chain hashes it. Its form is stored history: it never changes."""
    return orjson.dumps(
        [
            seq,
            id.hex,
            account,
            channel,
            direction,
            kind,
            shard,
            external_id,
            micros(occurred_at),
            micros(recorded_at),
            thread,
            in_reply_to.hex if in_reply_to else None,
            blueprint,
            digest.hex(),
        ]
    )
