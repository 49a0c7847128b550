"""What an account says of an operator's gateway: where its requests hold what, and how a message is posted to it."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from channels.sms.delivery import REPORT_WORDS, SEND_ERRORS
from channels.sms.handover import checked_url
from channels.sms.seals import SealRules
from core.values import DeliveryState


def _time_form(form: str) -> str:
    if form not in ("iso", "epoch", "epoch-ms", "compact"):
        some_day = datetime(2026, 11, 22, 13, 5, 1, tzinfo=UTC)
        # Raises ValueError for a pattern that could never be read back.
        if "%" not in form or datetime.strptime(some_day.strftime(form), form).date() != some_day.date():
            raise ValueError("write iso, epoch, epoch-ms, compact or a pattern such as %Y-%m-%d %H:%M:%S")
    return form


Format = Literal["json", "form"]
Charset = Literal["utf-8", "gb18030"]
# How a text stands in its field: as it is, or as the hexadecimal digits of its bytes.
TextForm = Literal["plain", "utf-16be-hex", "gb18030-hex", "utf-8-hex"]
# iso, epoch, epoch-ms, compact (20261122130501) or a pattern of strptime.
TimeForm = Annotated[str, AfterValidator(_time_form)]
PLACEHOLDER = re.compile(r"\{([a-z]+(?:\.[a-z0-9_]+)?)\}")
_PLACES = frozenset({"text", "to", "from", "id", "time", "epoch", "template", "parameters"})
_HEADER = re.compile(r"[A-Za-z0-9-]{1,60}")


class Rules(BaseModel):
    # A misplaced password would be repeated in the error.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class MessageRules(Rules):
    """Where a request holds a message. A path such as data.msg.0.content leads into JSON; a form has plain names.

    `list` is the path of a list of messages; the other paths then begin at one of them.
    """

    list: str = ""
    id: str = ""
    sender: str
    recipient: str = ""
    text: str
    text_form: TextForm = "plain"
    time: str = ""
    time_form: TimeForm = "compact"

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> "MessageRules":
        if not (self.id or self.time):
            raise ValueError(
                "name the path of id or time: without both a repeated message cannot be told from a new"
            )
        return self


class ReportRules(Rules):
    """Where a request holds what became of a message, and what the gateway's words and codes mean."""

    list: str = ""
    id: str
    state: str
    recipient: str = ""
    time: str = ""
    time_form: TimeForm = "compact"
    error: str = ""
    states: Mapping[str, DeliveryState] = Field(default_factory=lambda: dict(REPORT_WORDS))
    errors: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("errors")
    @classmethod
    def _ours(cls, errors: Mapping[str, str]) -> Mapping[str, str]:
        return _known_codes(errors)


class ReceiveRules(Rules):
    """`answer_*` is what the gateway expects to hear once its request is safe."""

    format: Format = "json"
    charset: Charset = "utf-8"
    seal: SealRules = SealRules()
    message: MessageRules
    report: ReportRules | None = None
    answer_body: str = "OK"
    answer_type: str = "text/plain; charset=utf-8"


class Template(Rules):
    """A text registered with the operator; each {} stands for what changes."""

    code: str
    text: str = Field(max_length=1000)

    @field_validator("text")
    @classmethod
    def _slots_are_apart(cls, text: str) -> str:
        if "{}{}" in text:
            raise ValueError("put some fixed text between two {}")
        return text

    def fit(self, text: str) -> tuple[str, ...] | None:
        """What stands in the slots when `text` follows the template; each slot takes as little as it can."""
        first, *others = self.text.split("{}")
        if not text.startswith(first):
            return None
        if not others:
            return () if text == first else None
        values, at = [], len(first)
        *middle, last = others
        for fixed in middle:
            end = text.find(fixed, at)
            if end < 0:
                return None
            values.append(text[at:end])
            at = end + len(fixed)
        end = len(text) - len(last)
        if end < at or not text.endswith(last):
            return None
        return (*values, text[at:end])


class SendRules(Rules):
    """How one message is posted. `fields` and `headers` may hold {text}, {to}, {from}, {id}, {time}, {epoch},
    {template}, {parameters} and {secret.NAME}.

    The answer is JSON: the message was taken when the value at `success` is one of `success_values`; the value at
    `error` is looked up in `errors`, which names our error codes. Without `id` the gateway is taken to know the
    message by our {id}.
    """

    url: str
    plain_http: bool = False
    format: Format = "json"
    charset: Charset = "utf-8"
    number_form: Literal["e164", "digits", "national"] = "national"
    text_form: TextForm = "plain"
    fields: Mapping[str, JsonValue]
    headers: Mapping[str, str] = Field(default_factory=dict)
    seal: SealRules | None = None
    success: str
    success_values: tuple[str, ...]
    id: str = ""
    error: str = ""
    errors: Mapping[str, str] = Field(default_factory=dict)
    longest_text: int = Field(1000, gt=0, le=20_000)
    # The sender's name as registered with the operator, with its brackets.
    signature: str = ""
    signature_place: Literal["start", "end"] = "start"
    templates: tuple[Template, ...] = ()
    only_templates: bool = False

    @field_validator("errors")
    @classmethod
    def _ours(cls, errors: Mapping[str, str]) -> Mapping[str, str]:
        return _known_codes(errors)

    @model_validator(mode="after")
    def _is_sound(self) -> "SendRules":
        checked_url(self.url, plain_http=self.plain_http)
        if self.format == "form" and not all(isinstance(value, str) for value in self.fields.values()):
            raise ValueError("the fields of a form are texts")
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(name) or not value.isprintable():
                raise ValueError(f"{name!r} is no header")
        places = {
            place
            for text in strings([dict(self.fields), dict(self.headers)])
            for place in PLACEHOLDER.findall(text)
        }
        if wrong := sorted(
            place for place in places if place not in _PLACES and not place.startswith("secret.")
        ):
            raise ValueError(
                f"there is no placeholder {', '.join(wrong)}; there are {', '.join(sorted(_PLACES))}"
            )
        if any({"text", "parameters"} & set(PLACEHOLDER.findall(value)) for value in self.headers.values()):
            raise ValueError("a header cannot hold a message's text")
        if not {"text", "template"} & places or "to" not in places:
            raise ValueError("the fields need {to}, and {text} or {template}")
        if self.only_templates and not self.templates:
            raise ValueError("only_templates is set and there are no templates")
        return self

    def secret_names(self) -> set[str]:
        return {place.removeprefix("secret.") for place in self._places() if place.startswith("secret.")}

    def _places(self) -> set[str]:
        texts = strings([dict(self.fields), dict(self.headers)])
        return {place for text in texts for place in PLACEHOLDER.findall(text)}


class GatewayConfig(Rules):
    """`number` is the line's own number or port; `time_zone` that of times which name none."""

    number: str
    region: str = Field("CN", pattern=r"^[A-Z]{2}$")
    time_zone: str = "Asia/Shanghai"
    receiving: ReceiveRules
    sending: SendRules | None = None
    connect_seconds: float = Field(5.0, gt=0, le=30)
    answer_seconds: float = Field(20.0, gt=0, le=60)

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("there is no such time zone; write one such as Asia/Shanghai") from error
        return name


def strings(value: JsonValue) -> Iterator[str]:
    """Every text inside a JSON value, names of fields left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def _known_codes(errors: Mapping[str, str]) -> Mapping[str, str]:
    if wrong := sorted(set(errors.values()) - set(SEND_ERRORS)):
        raise ValueError(f"there is no error {', '.join(wrong)}; there are {', '.join(sorted(SEND_ERRORS))}")
    return errors
