"""SMS without a network: a phone in the browser writes in, and what leaves is kept where the demo can show it."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from channels.sms import seals, wire
from channels.sms.delivery import SEND_ERRORS
from channels.sms.handover import Answer, Patience, checked_url, failure, is_loopback, post
from channels.sms.segments import segments
from core.adapter import Account, AdapterTools, ChannelSpec, Decoded, Hook
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
from core.values import Address, ChannelKind, DeliveryState, Inbound, Outbound, Receipt, StatusUpdate

SEAL = seals.SealRules(
    header="X-Simulator-Signature",
    timestamp_header="X-Simulator-Time",
    signed=("timestamp", "url", "body"),
    joiner="\n",
)
_ZONE = ZoneInfo("UTC")


class SimulatorConfig(BaseModel):
    """`number` is the line's own; with `sink_url`, on this machine, what leaves is posted there."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    number: str
    region: str = Field("CN", pattern=r"^[A-Z]{2}$")
    sink_url: str = ""
    keeps: int = Field(1000, gt=0, le=100_000)
    answer_seconds: float = Field(5.0, gt=0, le=60)

    @field_validator("sink_url")
    @classmethod
    def _stays_here(cls, url: str) -> str:
        if url and not is_loopback(urlsplit(checked_url(url)).hostname or ""):
            raise ValueError("the simulator never leaves this machine; name a URL on 127.0.0.1")
        return url


@dataclass(frozen=True, slots=True)
class SimulatedSms:
    id: str
    recipient: Address
    text: str
    at: datetime


def signed_request(
    key: str, url: str, fields: Mapping[str, str], at: datetime
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of what a simulated phone posts to `url`, the hook's public one.

    A message has id, from, text, optionally to and at (ISO); a status report has id, state, optionally error.
    """
    body = json.dumps(dict(fields), ensure_ascii=False).encode()
    return body, {
        "Content-Type": "application/json",
        **seals.seal(SEAL, key, url=url, body=body, at=at, nonce=""),
    }


class Simulator:
    """`sent` holds the last messages that left, oldest first, unless they are posted to a sink."""

    def __init__(self, account: Account[SimulatorConfig], tools: AdapterTools) -> None:
        key = account.secrets.get("signing_key")
        if not key:
            raise SecretMissing(
                f"The account {account.slug} needs the secret signing_key.", account=account.slug
            )
        self._key = key
        self._config = account.config
        self._tools = tools
        self._patience = Patience(answer=account.config.answer_seconds)
        self.sent: deque[SimulatedSms] = deque(maxlen=account.config.keeps)

    def receive(self, action: str, hook: Hook) -> Decoded:
        if action not in SPEC.actions:
            raise NotFound("This account has no such webhook; it has message and status.")
        if hook.method != "POST":
            raise BadInput("Send the request by HTTP POST.")
        seals.check(SEAL, self._key, hook)
        return wire.keep_unreadable(action, hook, lambda: self._decode(action, hook))

    def _decode(self, action: str, hook: Hook) -> Decoded:
        read = wire.read_json(hook.body)
        if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
            raise Unreadable("The body is not a JSON object of texts.")
        external_id = wire.checked_id(read.get("id", ""), "id")
        if action == "message":
            return Decoded(events=(self._message(external_id, hook, read),))
        return Decoded(events=(_status(external_id, hook, read),))

    def _message(self, external_id: str, hook: Hook, read: dict[str, str]) -> Inbound:
        if "text" not in read:
            raise Unreadable("text is missing.")
        text, defects = wire.checked_text(read["text"])
        occurred_at = hook.received_at
        if read.get("at"):
            occurred_at, odd = wire.read_time(read["at"], "iso", _ZONE, hook.received_at)
            defects += odd
        return Inbound(
            external_id=external_id,
            dedupe_key=f"in:{external_id}",
            sender=wire.checked_address(read.get("from", ""), self._config.region, "from"),
            recipient=wire.checked_address(read.get("to") or self._config.number, self._config.region, "to"),
            occurred_at=occurred_at,
            text=text,
            raw=hook.body,
            raw_type="application/json",
            defects=defects,
        )

    async def send(self, out: Outbound) -> Receipt:
        if out.recipient.scheme not in ("tel", "short"):
            raise RecipientInvalid("An SMS goes to a telephone number.")
        if wire.clean(out.text)[1] or len(out.text) > wire.MOST_TEXT:
            raise ProviderRefused("The text is too long or holds characters that cannot be sent.")
        if self._config.sink_url:
            return await self._post(out)
        # The outbox row's id, so that a second offer of the same message is seen to be the same.
        external_id = f"sim-{out.id}"
        self.sent.append(SimulatedSms(external_id, out.recipient, out.text, self._tools.now()))
        return Receipt(external_id=external_id, segments=max(1, len(segments(out.text).parts)))

    async def _post(self, out: Outbound) -> Receipt:
        fields = {"id": str(out.id), "from": self._config.number, "to": out.recipient.value, "text": out.text}
        now = self._tools.now()
        body, headers = signed_request(self._key, self._config.sink_url, fields, now)
        answer = await post(
            self._tools.http,
            self._config.sink_url,
            body=body,
            headers=headers,
            patience=self._patience,
            now=now,
        )
        try:
            said = wire.read_json(answer.body)
        except BadInput:
            said = None
        if not 200 <= answer.status < 300:
            raise _error(answer, said)
        if not isinstance(said, dict) or not isinstance(said.get("id"), str):
            raise OutcomeUnknown("The sink answered without naming the message.")
        return Receipt(
            external_id=said["id"], segments=max(1, len(segments(out.text).parts)), raw=answer.body
        )


def _status(external_id: str, hook: Hook, read: dict[str, str]) -> StatusUpdate:
    word = read.get("state", "")
    try:
        state = DeliveryState(word)
    except ValueError:
        raise Unreadable(f"state is none of {', '.join(DeliveryState)}.") from None
    return StatusUpdate(
        external_id=external_id,
        dedupe_key=f"st:{external_id}:{word}",
        state=state,
        occurred_at=hook.received_at,
        raw=hook.body,
        raw_type="application/json",
        provider_error=wire.clean(read.get("error", ""))[0][:500],
    )


def _error(answer: Answer, said: Any) -> SendError:
    known = SEND_ERRORS.get(str(said.get("error"))) if isinstance(said, dict) else None
    if known is None:
        return failure(answer)
    if known is ProviderThrottled:
        return ProviderThrottled("The sink asks us to send more slowly.", retry_after=answer.retry_after)
    return known("The sink refused the message.", status=answer.status)


SPEC = ChannelSpec(
    name="sms.simulator",
    kind=ChannelKind.SMS,
    title="Simulator",
    config=SimulatorConfig,
    build=Simulator,
    secrets=("signing_key",),
    actions=("message", "status"),
    is_demo=True,
)
