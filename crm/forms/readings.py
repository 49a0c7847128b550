"""What reading a message needs to know of its sender, and what it finds: plain values, no rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Any

from crm.forms.text import Span

FieldValue = int | str


class Intent(StrEnum):
    REPORT = "report"
    CORRECT = "correct"
    CANCEL = "cancel"
    CONFIRM = "confirm"
    COMPLAINT = "complaint"
    SUGGEST = "suggest"
    CONSULT = "consult"
    BIND = "bind"
    HELP = "help"
    OPTOUT = "optout"
    OPTIN = "optin"
    ORDER = "order"
    DUPLICATE = "duplicate"
    THANKS = "thanks"
    UNKNOWN_SENDER = "unknown_sender"
    UNKNOWN = "unknown"


class Status(StrEnum):
    ACCEPTED = "accepted"
    PARTIAL = "partial"
    PENDING = "pending"
    REJECTED = "rejected"
    IGNORED = "ignored"
    CANCELLED = "cancelled"
    INFO = "info"


class Reply(StrEnum):
    OK = "R_OK"
    PARTIAL = "R_PARTIAL"
    CONFIRM = "R_CONFIRM"
    ERROR = "R_ERROR"
    REPEAT = "R_REPEAT"
    DROPPED = "R_DROPPED"
    HELP = "R_HELP"
    NONE = "none"


class Refusal(StrEnum):
    """Why something was not taken. A form's vocabulary may add its own codes."""

    QTY = "E_QTY"
    PRODUCT = "E_PRODUCT"
    PRODUCT_AMBIG = "E_PRODUCT_AMBIG"
    NOPRODUCT = "E_NOPRODUCT"
    EXTRA = "E_EXTRA"
    DUP = "E_DUP"
    NUM = "E_NUM"
    UNIT = "E_UNIT"
    DATE = "E_DATE"
    NOREPORT = "E_NOREPORT"
    NOPENDING = "E_NOPENDING"
    SENDER = "E_SENDER"
    LICENCE = "E_LICENCE"
    EMPTY = "E_EMPTY"
    UNKNOWN = "E_UNKNOWN"


class Warn(StrEnum):
    """Why an item is held until the sender confirms it; where several apply the first in this order is named."""

    UNIT = "W_UNIT"
    PRICE_UNIT = "W_PRICE_UNIT"
    RANGE = "W_RANGE"


class MatchedBy(StrEnum):
    PINYIN = "pinyin"
    SPELLING = "spelling"


# What reading is told.


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An item that waits for its confirmation, or one of an earlier report; values by result name."""

    sku: str
    values: Mapping[str, FieldValue]
    warn: str | None = None
    at: datetime | None = None  # None: just now
    source: str = ""  # where the figures come from; handed back untouched

    def as_dict(self, *, with_warn: bool = False) -> dict[str, Any]:
        said = {"warn": str(self.warn)} if with_warn and self.warn else {}
        return {"sku": self.sku, **self.values, **said}


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReport:
    receipt: str
    text: str | None = None  # its matching copy, None when unknown
    at: datetime | None = None  # None: just now
    items: tuple[Held, ...] = ()
    form: str | None = None


def _nobody(_number: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything about the moment and the sender that changes what a text means."""

    now: datetime = field(default=datetime(1970, 1, 1, tzinfo=UTC))
    timezone: tzinfo = UTC
    party: str | None = None  # None: nobody knows this sender
    last_report: LastReport | None = None
    held: tuple[Held, ...] = ()
    awaiting: tuple[str, ...] = ()  # the products a reminder listed, in its order
    confirmed: Mapping[tuple[str, str], int] = field(
        default_factory=dict
    )  # (sku, result name) -> normal value
    factors: Mapping[str, Decimal] = field(default_factory=dict)  # the party's numbers that thresholds name
    unbound: Callable[[str], str | None] = _nobody  # binding number -> the party that it would bind
    repeat_of: str | None = None  # the host already knows this text as a repeat of that receipt
    redelivered: bool = False  # the provider delivered the same message again
    forms: frozenset[str] | None = None  # those open to the sender; None: all


# What reading finds.


@dataclass(frozen=True, slots=True)
class ReadValue:
    """One figure and the raw characters that say it."""

    field: str  # the field's key
    name: str  # its result name
    value: FieldValue
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadItem:
    sku: str
    values: tuple[ReadValue, ...]
    span: Span = (0, 0)  # from the product's first raw character to its last value's last
    product_span: Span = (0, 0)
    matched_by: MatchedBy | None = None
    warns: tuple[Warn, ...] = ()
    source: str = ""  # of a confirmed item: where its figures came from

    @property
    def warn(self) -> Warn | None:
        return self.warns[0] if self.warns else None

    def value(self, name: str) -> FieldValue | None:
        for each in self.values:
            if each.name == name:
                return each.value
        return None

    def as_dict(self) -> dict[str, Any]:
        said: dict[str, Any] = {"sku": self.sku, **{each.name: each.value for each in self.values}}
        if self.matched_by:
            said["matched_by"] = str(self.matched_by)
        if self.warn:
            said["warn"] = str(self.warn)
        return said


@dataclass(frozen=True, slots=True)
class ReadError:
    code: str
    token: str | None = None  # as in the matching copy, so that width and script make no difference
    span: Span = (0, 0)
    options: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        said: dict[str, Any] = {"code": str(self.code)}
        if self.token is not None:
            said["token"] = self.token
        if self.options:
            said["options"] = list(self.options)
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    intent: Intent
    status: Status
    reply: Reply
    items: tuple[ReadItem, ...] = ()
    errors: tuple[ReadError, ...] = ()
    pending: tuple[ReadItem, ...] = ()
    date: date | None = None  # when the report is about an earlier day
    receipt: str | None = None
    case: Mapping[str, str | None] | None = None
    effects: tuple[str, ...] = ()
    form: str | None = None
    mode: str | None = None
    text: str = ""  # the matching copy, to compare the next message with
    dropped: tuple[str, ...] = ()  # held products that a no has dropped
    free_text: Span = (0, 0)  # of a complaint and the like: the words after the command

    @property
    def supersedes(self) -> frozenset[str]:
        """Products whose held items this reading replaces, settles or drops."""
        return frozenset([each.sku for each in (*self.items, *self.pending)]).union(self.dropped)

    def confirmed_normals(self) -> dict[tuple[str, str], int]:
        """What a confirmation teaches: these values are the party's normal from now on."""
        if self.intent is not Intent.CONFIRM:
            return {}
        return {
            (item.sku, each.name): each.value
            for item in self.items
            for each in item.values
            if isinstance(each.value, int)
        }

    def as_expectation(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "intent": str(self.intent),
            "status": str(self.status),
            "items": [each.as_dict() for each in self.items],
            "errors": [each.as_dict() for each in self.errors],
        }
        if self.pending:
            said["pending"] = [each.as_dict() for each in self.pending]
        if self.date:
            said["date"] = self.date.isoformat()
        if self.receipt:
            said["receipt"] = self.receipt
        if self.case:
            said["case"] = dict(self.case)
        if self.effects:
            said["effects"] = list(self.effects)
        return said | {"reply": str(self.reply)}
