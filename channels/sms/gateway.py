"""SMS over an operator's own HTTP gateway, as the account's rules describe it."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import phonenumbers
from pydantic import JsonValue

from channels.sms import seals, wire
from channels.sms.delivery import SEND_ERRORS
from channels.sms.gateway_rules import (
    PLACEHOLDER,
    GatewayConfig,
    MessageRules,
    ReportRules,
    SendRules,
    TextForm,
)
from channels.sms.handover import Answer, Patience, failure, post
from channels.sms.segments import segments
from core.adapter import Account, AdapterTools, ChannelSpec, Decoded, Hook, HookAnswer
from core.errors import (
    BadInput,
    NotFound,
    OutcomeUnknown,
    ProviderRefused,
    ProviderThrottled,
    RecipientInvalid,
    SecretMissing,
    SendError,
    Unreadable,
)
from core.values import (
    Address,
    ChannelEvent,
    ChannelKind,
    DeliveryState,
    Inbound,
    Outbound,
    Receipt,
    StatusUpdate,
)
from core.values import Unreadable as UnreadableEvent

MOST_ITEMS = 1000
_HEX_CODECS = {"utf-16be-hex": "utf-16-be", "gb18030-hex": "gb18030", "utf-8-hex": "utf-8"}


class Gateway:
    """Receives and sends for one account. Secrets: `inbound_key`; `outbound_key` where what we send is sealed; and
    each that the sending rules name as {secret.NAME}.
    """

    def __init__(self, account: Account[GatewayConfig], tools: AdapterTools) -> None:
        config = account.config
        needed = {"inbound_key"}
        if config.sending:
            needed |= config.sending.secret_names() | ({"outbound_key"} if config.sending.seal else set())
        for name in sorted(needed):
            if not account.secrets.get(name):
                raise SecretMissing(
                    f"The account {account.slug} needs the secret {name}.", account=account.slug
                )
        self._secrets = account.secrets
        self._config = config
        self._rules = config.receiving
        self._tools = tools
        self._zone = ZoneInfo(config.time_zone)
        self._patience = Patience(connect=config.connect_seconds, answer=config.answer_seconds)
        self._taken = HookAnswer(content_type=self._rules.answer_type, body=self._rules.answer_body)

    # Receiving.

    def receive(self, action: str, hook: Hook) -> Decoded:
        if action not in SPEC.actions:
            raise NotFound("This account has no such webhook; it has message and status.")
        if hook.method != "POST":
            raise BadInput("Send the request by HTTP POST.")
        seals.check(self._rules.seal, self._secrets["inbound_key"], hook)
        return wire.keep_unreadable(action, hook, lambda: self._decode(action, hook))

    def _decode(self, action: str, hook: Hook) -> Decoded:
        rules: MessageRules | ReportRules = self._rules.message
        if action == "status":
            if self._rules.report is None:
                raise Unreadable("The account has no rules for status reports; add receiving.report.")
            rules = self._rules.report
        events = tuple(self._event(action, rules, hook, item, raw) for item, raw in self._items(rules, hook))
        odd = [event for event in events if isinstance(event, UnreadableEvent)]
        if events and len(odd) == len(events):
            return Decoded(events=events, answer=HookAnswer(status=400, body=odd[0].reason))
        # The others of the batch are safe, and so is the raw form of these: a repetition would change nothing.
        return Decoded(events=events, answer=self._taken)

    def _items(self, rules: MessageRules | ReportRules, hook: Hook) -> Iterator[tuple["_Item", bytes]]:
        """The request's messages, each with what is kept of it: the whole body, or of several each one's own part."""
        if self._rules.format == "form":
            form = wire.read_form(hook.body, self._rules.charset)
            if form.twice:
                raise Unreadable(f"{', '.join(sorted(form.twice))[:200]} came more than once.")
            yield _Item(form, is_form=True), hook.body
            return
        read = wire.read_json(hook.body, self._rules.charset)
        if not rules.list:
            yield _Item(read), hook.body
            return
        several = _Item(read).find(rules.list)
        if not isinstance(several, list) or len(several) > MOST_ITEMS:
            raise Unreadable(f"At {rules.list} there is no list of at most {MOST_ITEMS}.")
        for one in several:
            raw = hook.body if len(several) == 1 else json.dumps(one).encode()
            yield _Item(one), raw

    def _event(
        self, action: str, rules: MessageRules | ReportRules, hook: Hook, item: "_Item", raw: bytes
    ) -> ChannelEvent:
        try:
            if isinstance(rules, MessageRules):
                return self._message(rules, hook, item, raw)
            return self._report(rules, hook, item, raw)
        except BadInput as error:
            return wire.unreadable_event(action, hook, error.message, raw=raw)

    def _message(self, rules: MessageRules, hook: Hook, item: "_Item", raw: bytes) -> Inbound:
        written = item.text(rules.text)
        if written is None:
            raise Unreadable(f"The text is missing at {rules.text}.")
        text, defects = wire.checked_text(_from_form(written, rules.text_form))
        sender = wire.checked_address(item.text(rules.sender) or "", self._config.region, "The sender")
        time = item.text(rules.time) or ""
        occurred_at = hook.received_at
        if rules.time:
            occurred_at, odd = wire.read_time(time, rules.time_form, self._zone, hook.received_at)
            defects += odd
        external_id = item.text(rules.id) or ""
        key = external_id and f"in:{wire.checked_id(external_id, 'The id')}"
        key = key or self._key_of(hook, sender, time, text)
        recipient = item.text(rules.recipient) or self._config.number
        return Inbound(
            external_id=external_id or key.removeprefix("in:"),
            dedupe_key=key,
            sender=sender,
            recipient=wire.checked_address(recipient, self._config.region, "The recipient"),
            occurred_at=occurred_at,
            text=text,
            raw=raw,
            raw_type=wire.content_type(hook),
            defects=defects,
        )

    def _key_of(self, hook: Hook, sender: Address, time: str, text: str) -> str:
        """A message without an id is the same when sender, time and text are; keyed, so that it tells nobody the text.

        Without a time too, only the seal's own time and nonce can tell two answers "Y" apart: rather twice than lost.
        """
        seal = self._rules.seal
        told = [str(sender), time, text]
        if not time:
            told += [
                hook.headers.get(name, "") for name in (seal.timestamp_header, seal.nonce_header) if name
            ]
        mac = hmac_digest(self._secrets["inbound_key"].encode(), json.dumps(told).encode(), sha256)
        return f"in:h:{mac.hex()}"

    def _report(self, rules: ReportRules, hook: Hook, item: "_Item", raw: bytes) -> StatusUpdate:
        external_id = wire.checked_id(item.text(rules.id) or "", "The id")
        word = wire.checked_id(item.text(rules.state) or "", "The state")
        code = item.text(rules.error) or ""
        occurred_at = hook.received_at
        if time := item.text(rules.time):
            occurred_at, _ = wire.read_time(time, rules.time_form, self._zone, hook.received_at)
        state = rules.states.get(word, DeliveryState.UNKNOWN)
        has_failed = state in (DeliveryState.FAILED, DeliveryState.UNDELIVERED)
        recipient = item.text(rules.recipient)
        return StatusUpdate(
            external_id=external_id,
            dedupe_key=f"st:{external_id}:{word}:{wire.checked_id(code, 'The error') if code else ''}",
            state=state,
            occurred_at=occurred_at,
            raw=raw,
            raw_type=wire.content_type(hook),
            recipient=wire.checked_address(recipient, self._config.region, "The recipient")
            if recipient
            else None,
            error=rules.errors.get(code, ProviderRefused.code if has_failed else ""),
            provider_error=f"{word} {code}".strip() if has_failed or state is DeliveryState.UNKNOWN else "",
        )

    # Sending.

    async def send(self, out: Outbound) -> Receipt:
        rules = self._config.sending
        if rules is None:
            raise ProviderRefused("This account only receives; give it sending rules.")
        text = _signed(rules, out.text)
        self._check(rules, out, text)
        now = self._tools.now()
        values = self._values(rules, out, text, now)
        fields = {name: _filled(value, values) for name, value in rules.fields.items()}
        if rules.format == "json":
            body, kind = json.dumps(fields, ensure_ascii=False).encode(rules.charset), "application/json"
        else:
            body, kind = (
                urlencode(fields, encoding=rules.charset).encode("ascii"),
                "application/x-www-form-urlencoded",
            )
        headers = {name: str(_filled(value, values)) for name, value in rules.headers.items()}
        headers["Content-Type"] = f"{kind}; charset={rules.charset}"
        if rules.seal:
            key = self._secrets["outbound_key"]
            headers |= seals.seal(rules.seal, key, url=rules.url, body=body, at=now, nonce=out.id.hex)
        answer = await post(
            self._tools.http, rules.url, body=body, headers=headers, patience=self._patience, now=now
        )
        return _receipt(rules, out, text, answer)

    def _check(self, rules: SendRules, out: Outbound, text: str) -> None:
        if out.recipient.scheme not in ("tel", "short"):
            raise RecipientInvalid("An SMS goes to a telephone number.")
        if out.attachments:
            raise ProviderRefused("The gateway takes no files.")
        if len(text) > rules.longest_text:
            raise ProviderRefused(
                f"The text has {len(text)} characters; the gateway takes {rules.longest_text}."
            )
        if wire.clean(text)[1]:
            raise ProviderRefused("The text holds characters that cannot be sent.")

    def _values(self, rules: SendRules, out: Outbound, text: str, now: datetime) -> Mapping[str, JsonValue]:
        template, parameters = "", list[JsonValue]()
        for registered in rules.templates:
            fit = registered.fit(out.text)
            if fit is not None:
                template, parameters = registered.code, list(fit)
                break
        else:
            if rules.only_templates:
                raise ProviderRefused("The text follows none of the templates registered with the operator.")
        values: dict[str, JsonValue] = {
            "text": _to_form(text, rules.text_form),
            "to": _number(out.recipient, rules, self._config.region),
            "from": out.sender.value if out.sender else self._config.number,
            "id": str(out.id),
            "time": now.astimezone(self._zone).strftime("%Y%m%d%H%M%S"),
            "epoch": str(int(now.timestamp())),
            "template": template,
            "parameters": parameters,
        }
        return values | {f"secret.{name}": self._secrets[name] for name in rules.secret_names()}


class _Item:
    """One message of a request, whatever holds it."""

    __slots__ = ("_is_form", "_value")

    def __init__(self, value: Any, *, is_form: bool = False) -> None:
        self._value = value
        self._is_form = is_form

    def find(self, path: str) -> Any:
        """What is at `path`, or None where the path ends too early."""
        if not path:
            return None
        if self._is_form:
            return self._value.get(path)
        value = self._value
        for step in path.split("."):
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step) < len(value):
                value = value[int(step)]
            else:
                return None
        return value

    def text(self, path: str) -> str | None:
        """Texts and whole numbers; raises Unreadable for what is neither, such as a list."""
        value = self.find(path)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise Unreadable(f"At {path} there is neither a text nor a whole number.")


def _from_form(text: str, form: TextForm) -> str:
    if form == "plain":
        return text
    try:
        return bytes.fromhex(text).decode(
            _HEX_CODECS[form], "surrogatepass" if form == "utf-16be-hex" else "strict"
        )
    except ValueError as error:
        raise Unreadable(f"The text is not {form}.") from error


def _to_form(text: str, form: TextForm) -> str:
    return text if form == "plain" else text.encode(_HEX_CODECS[form]).hex().upper()


def _signed(rules: SendRules, text: str) -> str:
    if rules.signature_place == "start":
        return text if text.startswith(rules.signature) else rules.signature + text
    return text if text.endswith(rules.signature) else text + rules.signature


def _number(recipient: Address, rules: SendRules, region: str) -> str:
    if recipient.scheme == "short" or rules.number_form == "e164":
        return recipient.value
    if rules.number_form == "digits":
        return recipient.value.removeprefix("+")
    code = f"+{phonenumbers.country_code_for_region(region)}"
    if not recipient.value.startswith(code):
        raise RecipientInvalid(f"The gateway only sends to numbers that begin with {code}.")
    return recipient.value.removeprefix(code)


def _filled(value: JsonValue, values: Mapping[str, JsonValue]) -> JsonValue:
    """`value` with its placeholders filled in. What is filled in is not looked at again."""
    if isinstance(value, str):
        whole = PLACEHOLDER.fullmatch(value)
        if whole and not isinstance(values[whole[1]], str):
            return values[whole[1]]
        return PLACEHOLDER.sub(lambda place: _as_text(values[place[1]]), value)
    if isinstance(value, dict):
        return {name: _filled(inner, values) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values) for inner in value]
    return value


def _as_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _receipt(rules: SendRules, out: Outbound, text: str, answer: Answer) -> Receipt:
    try:
        said = _Item(wire.read_json(answer.body, rules.charset))
        outcome, code, external_id = (
            said.text(rules.success),
            said.text(rules.error) or "",
            said.text(rules.id),
        )
    except BadInput as error:
        if not 200 <= answer.status < 300:
            raise failure(answer) from error
        raise OutcomeUnknown(
            "The gateway's answer cannot be read; look there before sending again."
        ) from error
    if known := SEND_ERRORS.get(rules.errors.get(code, "")):
        raise _error(known, answer, code)
    if not 200 <= answer.status < 300:
        raise failure(answer, code)
    if outcome is None:
        raise OutcomeUnknown(f"The gateway's answer has nothing at {rules.success}.")
    if outcome not in rules.success_values:
        raise ProviderRefused("The gateway refused the message.", provider_error=(code or outcome)[:200])
    return Receipt(
        external_id=external_id or str(out.id),
        segments=max(1, len(segments(text).parts)),
        raw=answer.body,
    )


def _error(kind: type[SendError], answer: Answer, code: str) -> SendError:
    if kind is ProviderThrottled:
        return ProviderThrottled(
            "The gateway asks us to send more slowly.", retry_after=answer.retry_after, provider_error=code
        )
    return kind(f"The gateway refused the message: {kind.code}.", status=answer.status, provider_error=code)


SPEC = ChannelSpec(
    name="sms.gateway",
    kind=ChannelKind.SMS,
    title="HTTP gateway",
    config=GatewayConfig,
    build=Gateway,
    secrets=("inbound_key",),
    optional_secrets=("outbound_key",),
    names_secrets=True,
    actions=("message", "status"),
)
