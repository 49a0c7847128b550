"""Bodies of providers' requests read strictly, and what is odd in them named instead of guessed at."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from core.adapter import Decoded, Hook, HookAnswer
from core.addresses import telephone
from core.errors import BadInput, Unreadable
from core.values import Address
from core.values import Unreadable as UnreadableEvent

# Providers send a few dozen fields; a form of thousands is an attempt to keep us busy.
MOST_FIELDS = 200
MOST_TEXT = 20_000

_NUMBER = re.compile(r"(?:tel:)?[+0-9 ().-]+")

# How far a provider's clock may be from ours before its word is not believed.
AHEAD = timedelta(minutes=5)
BEHIND = timedelta(days=31)


class Form(dict[str, str]):
    """A form's fields. A field that came twice reads as its first value; `getall` gives every one, for signatures."""

    __slots__ = ("twice",)

    twice: dict[str, list[str]]

    def getall(self, name: str) -> list[str]:
        return self.twice.get(name) or [self[name]]


def read_form(body: bytes, charset: str = "utf-8") -> Form:
    """Raises BadInput unless every byte means a character of `charset`."""
    try:
        # Percent signs carry everything else, so the body itself is ASCII.
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding=charset,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except UnicodeDecodeError as error:
        raise BadInput(f"The form is not {charset}; send it percent-encoded in {charset}.") from error
    except ValueError as error:
        raise BadInput(f"The form has more than {MOST_FIELDS} fields.") from error
    form = Form(pairs)
    form.twice = {}
    if len(form) != len(pairs):
        every: dict[str, list[str]] = {}
        for name, value in pairs:
            every.setdefault(name, []).append(value)
        form.twice = {name: values for name, values in every.items() if len(values) > 1}
        form.update({name: values[0] for name, values in form.twice.items()})
    return form


def read_json(body: bytes, charset: str = "utf-8") -> Any:
    """Raises BadInput unless the body is one JSON value in `charset`."""
    try:
        # Not left to json.loads, which would take UTF-16 and UTF-32 as well.
        return json.loads(
            body.decode("utf-8-sig" if charset == "utf-8" else charset), parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise BadInput(f"The body is not {charset}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput("The body is not valid JSON.") from error


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def clean(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` as every database can keep it, and what had to be replaced; the raw bytes stay as they came.

    U+0000 is what some gateways make of the GSM character @; a lone surrogate is half of a cut emoji.
    """
    if text.isascii() and "\0" not in text:
        return text, ()
    defects: tuple[str, ...] = ()
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
        defects += ("nul_replaced",)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # A pair written as two escapes is a character after all.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        defects += ("lone_surrogate_replaced",)
    return text, defects


def checked_text(text: str) -> tuple[str, tuple[str, ...]]:
    """`clean`, for a message's text. Raises Unreadable where no provider can mean it."""
    if len(text) > MOST_TEXT:
        raise Unreadable(f"The text has {len(text)} characters; at most {MOST_TEXT} are taken.")
    return clean(text)


def checked_id(text: str, name: str) -> str:
    """A provider's identifier: short, printable, without blanks. Raises Unreadable."""
    if not text:
        raise Unreadable(f"{name} is missing.")
    if len(text) > 128 or not text.isprintable() or " " in text:
        raise Unreadable(f"{name} is no identifier: at most 128 printable characters without blanks.")
    return text


def checked_address(text: str, region: str, name: str) -> Address:
    """Raises Unreadable."""
    if not text:
        raise Unreadable(f"{name} is missing.")
    if len(text) > 64:
        raise Unreadable(f"{name} is no telephone number.")
    try:
        address = telephone(text, region)
    except BadInput as error:
        raise Unreadable(f"{name} is no telephone number, short code or sender name.") from error
    # People may write words around a number; from a provider they mean something else, such as another channel.
    if address.scheme == "tel" and not _NUMBER.fullmatch(text):
        raise Unreadable(f"{name} has more in it than a telephone number.")
    return address


def believable(moment: datetime, received_at: datetime) -> tuple[datetime, tuple[str, ...]]:
    """The provider's time in UTC, or ours with a defect that says why it was not believed."""
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        return received_at, ("time_absurd",)
    if moment > received_at + AHEAD:
        return received_at, ("time_in_future",)
    if moment < received_at - BEHIND:
        return received_at, ("time_long_past",)
    return moment, ()


def read_time(
    text: str, form: str, zone: ZoneInfo, received_at: datetime
) -> tuple[datetime, tuple[str, ...]]:
    """A time as gateways write it; `form` is iso, epoch, epoch-ms, compact or a strptime pattern.

    A time that names no zone is read in `zone`. What cannot be read becomes `received_at` and a defect: a message
    is not refused for its date.
    """
    try:
        match form:
            case "iso":
                moment = datetime.fromisoformat(text)
            case "epoch":
                moment = datetime.fromtimestamp(float(text), UTC)
            case "epoch-ms":
                moment = datetime.fromtimestamp(float(text) / 1000, UTC)
            case "compact":
                moment = datetime.strptime(text, "%Y%m%d%H%M%S")
            case pattern:
                moment = datetime.strptime(text, pattern)
    except (ValueError, OverflowError, OSError):
        return received_at, ("time_unreadable",) if text else ("time_missing",)
    return believable(moment if moment.tzinfo else moment.replace(tzinfo=zone), received_at)


def content_type(hook: Hook) -> str:
    """The media type without its parameters, cleaned for storing."""
    named = hook.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_clean = named.isascii() and named.isprintable() and 0 < len(named) <= 80
    return named if is_clean else "application/octet-stream"


def unreadable_event(
    action: str, hook: Hook, reason: str, *, raw: bytes | None = None, sender: Address | None = None
) -> UnreadableEvent:
    """The same bytes make the same key, so a provider that repeats them is kept once."""
    kept = hook.body if raw is None else raw
    return UnreadableEvent(
        dedupe_key=f"bad:{action}:{sha256(kept).hexdigest()}",
        reason=reason,
        occurred_at=hook.received_at,
        raw=kept,
        raw_type=content_type(hook),
        sender=sender,
    )


def keep_unreadable(action: str, hook: Hook, read: Callable[[], Decoded]) -> Decoded:
    """What `read` makes of an authentic request; when it cannot, the request is kept and the answer says why."""
    try:
        return read()
    except BadInput as error:
        answer = HookAnswer(status=error.status, body=error.message)
        return Decoded(events=(unreadable_event(action, hook, error.message),), answer=answer)
