"""The plain values that pass between channel adapters and the hub."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody can be reached. `value` is canonical for its scheme (see core.addresses), so equal means same.

    Schemes: tel (E.164 with +), short (short codes and 1069… ports), mailto, telegram, forum, portal.
    """

    scheme: str
    value: str
    display: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"


class ChannelKind(StrEnum):
    SMS = "sms"
    EMAIL = "email"
    CALL = "call"
    FORUM = "forum"
    PORTAL = "portal"
    TELEGRAM = "telegram"
    HUB = "hub"  # people's acts and the hub's own doings


class Direction(StrEnum):
    IN = "in"
    OUT = "out"
    NONE = "none"  # acts: nobody outside took part


class EntryKind(StrEnum):
    """What one entry of the interaction log is."""

    MESSAGE = "message"
    STATUS = "status"  # what became of something we sent
    CALL = "call"
    ACT = "act"  # what a person did in the hub
    UNREADABLE = "unreadable"  # authentic, kept, not decodable


class DeliveryState(StrEnum):
    """States of a message on its way out; `rank` says which is later (states only move forward)."""

    QUEUED = "queued"
    HELD = "held"
    HANDED_OVER = "handed_over"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    UNKNOWN = "unknown"
    FAILED = "failed"
    UNDELIVERED = "undelivered"

    @property
    def rank(self) -> int:
        return _RANK[self]

    @property
    def is_final(self) -> bool:
        return self in (DeliveryState.READ, DeliveryState.FAILED, DeliveryState.UNDELIVERED)


# DELIVERED outranks FAILED: a handset's receipt proves that an earlier failure report was wrong.
_RANK = {
    DeliveryState.QUEUED: 0,
    DeliveryState.HELD: 1,
    DeliveryState.UNKNOWN: 2,
    DeliveryState.HANDED_OVER: 3,
    DeliveryState.SENT: 4,
    DeliveryState.FAILED: 5,
    DeliveryState.UNDELIVERED: 6,
    DeliveryState.DELIVERED: 7,
    DeliveryState.READ: 8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A part of a message. Either its bytes are here, or `url` says where a job fetches them later."""

    name: str
    content_type: str
    url: str = ""
    data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A message that reached one of our lines."""

    external_id: str  # the provider's name for it; several events may share one
    dedupe_key: str  # made by the adapter; the log takes each (account, key) once
    sender: Address
    recipient: Address
    occurred_at: datetime  # aware, UTC; the provider's clock when it gives one
    text: str
    raw: bytes
    raw_type: str = "application/x-www-form-urlencoded"
    attachments: tuple[Attachment, ...] = ()
    thread: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)
    defects: tuple[str, ...] = ()  # what was odd and how it was read


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate:
    """What a provider says became of a message that we sent."""

    external_id: str
    dedupe_key: str
    state: DeliveryState
    occurred_at: datetime
    raw: bytes
    raw_type: str = "application/x-www-form-urlencoded"
    recipient: Address | None = None
    error: str = ""  # one of our codes
    provider_error: str = ""  # the provider's own code and words


class CallPhase(StrEnum):
    OFFERED = "offered"
    RINGING = "ringing"
    ANSWERED = "answered"
    KEYS = "keys"
    BRIDGED = "bridged"
    HELD = "held"
    RECORDED = "recorded"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """One step of a telephone call; all steps of a call share `external_id`."""

    external_id: str
    dedupe_key: str
    phase: CallPhase
    caller: Address
    called: Address
    direction: Direction
    occurred_at: datetime
    raw: bytes
    raw_type: str = "application/json"
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An authentic request that could not be decoded; kept whole so that nothing is lost."""

    dedupe_key: str
    reason: str
    occurred_at: datetime
    raw: bytes
    raw_type: str
    sender: Address | None = None


ChannelEvent = Inbound | StatusUpdate | CallEvent | Unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """A message to hand to a provider. `id` is the outbox row's: stable over retries, usable as a client reference."""

    id: UUID
    recipient: Address
    text: str
    sender: Address | None = None  # None: the account's own line
    commercial: bool = False
    attachments: tuple[Attachment, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A provider took the message."""

    external_id: str
    state: DeliveryState = DeliveryState.HANDED_OVER
    segments: int = 1
    raw: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The log holds the event durably. `is_new` is false when it held it before."""

    id: UUID
    seq: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Spooled:
    """The event is durable on this host and follows into the log; its id and seq, and whether it is new, come then."""


Taken = Accepted | Spooled
