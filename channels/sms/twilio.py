"""SMS over Twilio: webhooks in, the Messages resource out."""

import json
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha1, sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from urllib.parse import urlparse as parse_url

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator, add_port, get_signature_algorithm, remove_port
from twilio.twiml.messaging_response import MessagingResponse

from channels.sms import media, wire
from channels.sms.delivery import TWILIO_ERRORS, TWILIO_STATES, twilio_error_code
from channels.sms.handover import Answer, Patience, checked_url, failure, post
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
    SignatureInvalid,
    Unreadable,
)
from core.values import Attachment, ChannelKind, DeliveryState, Inbound, Outbound, Receipt, StatusUpdate

SIGNATURE = "X-Twilio-Signature"
SIGNATURE_SETTINGS = "X-Twilio-Webhooks-Signature-Settings"
# A message carries at most ten files and 1,600 characters (Messages resource).
MOST_MEDIA = 10
LONGEST_TEXT = 1600
# Fields that decide what a request says; one that came twice could be read either way.
_DECISIVE = frozenset(
    {"MessageSid", "SmsSid", "AccountSid", "From", "To", "Body", "NumMedia", "MessageStatus", "SmsStatus"}
)
# What else of a request the hub may want, under our names.
_META = {"OptOutType": "opt_out_type", "NumSegments": "segments", "MessagingServiceSid": "messaging_service"}


class TwilioConfig(BaseModel):
    """Either `sender` or `messaging_service_sid` says which line messages leave by.

    With `api_key_sid` requests are authorised by that key and the secret `api_key_secret`, else by the auth token.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$")
    sender: str = ""
    messaging_service_sid: str = Field("", pattern=r"^(MG[0-9a-fA-F]{32})?$")
    api_key_sid: str = Field("", pattern=r"^(SK[0-9a-fA-F]{32})?$")
    api_base: str = "https://api.twilio.com"
    region: str = Field("CN", pattern=r"^[A-Z]{2}$")
    status_callbacks: bool = True
    connect_seconds: float = Field(5.0, gt=0, le=30)
    answer_seconds: float = Field(20.0, gt=0, le=60)

    @field_validator("api_base")
    @classmethod
    def _base_is_safe(cls, url: str) -> str:
        return checked_url(url).rstrip("/")

    @model_validator(mode="after")
    def _some_line(self) -> "TwilioConfig":
        if not (self.sender or self.messaging_service_sid):
            raise ValueError("name the line that messages leave by: sender or messaging_service_sid")
        return self


class Twilio:
    """Receives, sends and fetches for one account. Secrets: `auth_token`; optional `next_auth_token` while the token
    is being changed, `webhook_key` where webhooks are signed with a shared key, and `api_key_secret`.
    """

    def __init__(self, account: Account[TwilioConfig], tools: AdapterTools) -> None:
        config, secrets = account.config, account.secrets
        for name in ("auth_token", "api_key_secret") if config.api_key_sid else ("auth_token",):
            if not secrets.get(name):
                raise SecretMissing(
                    f"The account {account.slug} needs the secret {name}.", account=account.slug
                )
        self._config = config
        self._tools = tools
        self._patience = Patience(connect=config.connect_seconds, answer=config.answer_seconds)
        self._keys = [
            secrets[name] for name in ("auth_token", "next_auth_token", "webhook_key") if secrets.get(name)
        ]
        self._validators = [RequestValidator(key) for key in self._keys]
        self._taken = HookAnswer(content_type="text/xml; charset=utf-8", body=str(MessagingResponse()))
        user, password = config.account_sid, secrets["auth_token"]
        if config.api_key_sid:
            user, password = config.api_key_sid, secrets["api_key_secret"]
        self._authorization = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
        self._messages = f"{config.api_base}/2010-04-01/Accounts/{config.account_sid}/Messages.json"
        self._callback = ""
        if config.status_callbacks and tools.public_url:
            self._callback = f"{tools.public_url.rstrip('/')}/hooks/{account.slug}/status"

    # Receiving.

    def receive(self, action: str, hook: Hook) -> Decoded:
        if action not in SPEC.actions:
            raise NotFound("This account has no such webhook; it has message and status.")
        if hook.method != "POST":
            raise BadInput("Set the webhook's method to HTTP POST.")
        fields = self._authentic(hook)
        return wire.keep_unreadable(action, hook, lambda: self._decode(action, hook, fields))

    def _authentic(self, hook: Hook) -> Mapping[str, str] | BadInput:
        """The request's fields, or why an authentic request has none that can be read."""
        signature = hook.headers.get(SIGNATURE)
        # The validator itself would raise where there is none.
        if not signature or len(signature) > 100:
            raise SignatureInvalid("The request carries no X-Twilio-Signature.")
        algorithm = get_signature_algorithm(hook.headers.get(SIGNATURE_SETTINGS, "")).upper()
        if algorithm not in ("HMAC_SHA1", "HMAC_SHA256"):
            raise SignatureInvalid("The request is signed with an unknown algorithm.")
        if "bodySHA256" in hook.url:
            return self._authentic_json(hook, signature, algorithm)
        try:
            form = wire.read_form(hook.body)
        except BadInput as odd:
            if not self._signs_bytes(hook, signature, algorithm):
                raise _forged() from odd
            return odd
        if not self._signs(hook.url, form, signature, algorithm):
            raise _forged()
        if form.twice and (twice := _DECISIVE & form.twice.keys()):
            return Unreadable(f"{', '.join(sorted(twice))} came more than once.")
        return form

    def _authentic_json(self, hook: Hook, signature: str, algorithm: str) -> Mapping[str, str] | BadInput:
        # The URL is signed and names the body's digest, which is checked over the bytes as they came: the validator
        # would take only text.
        named = parse_qs(urlsplit(hook.url).query).get("bodySHA256", [])
        digest = sha256(hook.body).hexdigest()
        if len(named) != 1 or not compare_digest(
            named[0].lower().encode("utf-8", "replace"), digest.encode()
        ):
            raise _forged()
        if not self._signs(hook.url, {}, signature, algorithm):
            raise _forged()
        try:
            read = wire.read_json(hook.body)
        except BadInput as odd:
            return odd
        if not isinstance(read, dict):
            return Unreadable("The body is not a JSON object.")
        return {name: str(value) for name, value in read.items() if isinstance(value, str | int)}

    def _signs(self, url: str, params: Mapping[str, str], signature: str, algorithm: str) -> bool:
        # What validator.validate does, at half its cost: it always computes both forms of the URL.
        given = signature.encode("utf-8", "replace")
        return any(
            compare_digest(validator.compute_signature(form, params, algorithm).encode(), given)
            for form in _signed_urls(url)
            for validator in self._validators
        )

    def _signs_bytes(self, hook: Hook, signature: str, algorithm: str) -> bool:
        """The same signature over a form that is not UTF-8, which the validator cannot take."""
        try:
            pairs = parse_qsl(
                hook.body.decode("utf-8", "surrogateescape"),
                keep_blank_values=True,
                errors="surrogateescape",
                max_num_fields=wire.MOST_FIELDS,
            )
        except ValueError:
            return False
        signed = "".join(name + value for name, value in sorted(set(pairs))).encode(
            "utf-8", "surrogateescape"
        )
        made = sha1 if algorithm == "HMAC_SHA1" else sha256
        given = signature.encode("utf-8", "replace")
        return any(
            compare_digest(b64encode(hmac_digest(key.encode(), form.encode() + signed, made)), given)
            for form in _signed_urls(hook.url)
            for key in self._keys
        )

    def _decode(self, action: str, hook: Hook, fields: Mapping[str, str] | BadInput) -> Decoded:
        if isinstance(fields, BadInput):
            raise fields
        if fields.get("AccountSid") != self._config.account_sid:
            raise Unreadable("The request is for another Twilio account; correct account_sid.")
        sid = wire.checked_id(fields.get("MessageSid") or fields.get("SmsSid", ""), "MessageSid")
        if action == "message":
            return Decoded(events=(self._message(sid, hook, fields),), answer=self._taken)
        return Decoded(events=(self._status(sid, hook, fields),))

    def _message(self, sid: str, hook: Hook, fields: Mapping[str, str]) -> Inbound:
        attachments, lost = _attachments(fields)
        if "Body" not in fields and not attachments:
            raise Unreadable("The message has neither Body nor media.")
        text, defects = wire.checked_text(fields.get("Body", ""))
        if len(text) > LONGEST_TEXT:
            defects += ("longer_than_documented",)
        return Inbound(
            external_id=sid,
            dedupe_key=f"in:{sid}",
            sender=wire.checked_address(fields.get("From", ""), self._config.region, "From"),
            recipient=wire.checked_address(fields.get("To", ""), self._config.region, "To"),
            # Twilio sends no time of its own.
            occurred_at=hook.received_at,
            text=text,
            raw=hook.body,
            raw_type=wire.content_type(hook),
            attachments=attachments,
            meta={
                ours: wire.clean(fields[theirs])[0] for theirs, ours in _META.items() if fields.get(theirs)
            },
            defects=defects + lost,
        )

    def _status(self, sid: str, hook: Hook, fields: Mapping[str, str]) -> StatusUpdate:
        word = wire.checked_id(fields.get("MessageStatus") or fields.get("SmsStatus", ""), "MessageStatus")
        code = fields.get("ErrorCode", "")
        state = TWILIO_STATES.get(word, DeliveryState.UNKNOWN)
        said = [code, fields.get("ErrorMessage", "")]
        if state is DeliveryState.UNKNOWN:
            said.append(f"status {word}")
        recipient = fields.get("To", "")
        return StatusUpdate(
            external_id=sid,
            dedupe_key=f"st:{sid}:{word}:{wire.checked_id(code, 'ErrorCode') if code else ''}",
            state=state,
            occurred_at=hook.received_at,
            raw=hook.body,
            raw_type=wire.content_type(hook),
            recipient=wire.checked_address(recipient, self._config.region, "To") if recipient else None,
            error=twilio_error_code(code),
            provider_error=wire.clean(" ".join(filter(None, said)))[0][:500],
        )

    # Sending.

    async def send(self, out: Outbound) -> Receipt:
        answer = await post(
            self._tools.http,
            self._messages,
            body=urlencode(self._order(out)).encode("ascii"),
            headers={
                "Authorization": self._authorization,
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            patience=self._patience,
            now=self._tools.now(),
        )
        return self._receipt(out, answer)

    def _order(self, out: Outbound) -> list[tuple[str, str]]:
        if out.recipient.scheme not in ("tel", "short"):
            raise RecipientInvalid("An SMS goes to a telephone number.")
        if len(out.text) > LONGEST_TEXT:
            raise ProviderRefused(
                f"The text has {len(out.text)} characters; Twilio takes at most {LONGEST_TEXT}."
            )
        if wire.clean(out.text)[1]:
            raise ProviderRefused("The text holds characters that cannot be sent.")
        if any(not file.url for file in out.attachments) or len(out.attachments) > MOST_MEDIA:
            raise ProviderRefused(f"Twilio takes at most {MOST_MEDIA} files, each by its public URL.")
        fields = [("To", out.recipient.value), ("Body", out.text)]
        if self._config.messaging_service_sid:
            fields.append(("MessagingServiceSid", self._config.messaging_service_sid))
        if sender := out.sender.value if out.sender else self._config.sender:
            fields.append(("From", sender))
        fields += [("MediaUrl", file.url) for file in out.attachments]
        if self._callback:
            fields.append(("StatusCallback", self._callback))
        return fields

    def _receipt(self, out: Outbound, answer: Answer) -> Receipt:
        try:
            read = json.loads(answer.body.decode("utf-8"))
        except (ValueError, RecursionError):
            read = None
        said = read if isinstance(read, dict) else {}
        if not 200 <= answer.status < 300:
            raise _error(answer, said, self._messages)
        if code := _number(said.get("error_code")):
            raise _error(answer, {"code": code, "message": said.get("error_message")}, self._messages)
        sid = said.get("sid")
        if not isinstance(sid, str) or not sid:
            raise OutcomeUnknown(
                "Twilio answered without naming the message; look there before sending again."
            )
        return Receipt(
            external_id=sid,
            state=TWILIO_STATES.get(str(said.get("status")), DeliveryState.HANDED_OVER),
            # A messaging service counts only once it has picked a sender.
            segments=_number(said.get("num_segments")) or max(1, len(segments(out.text).parts)),
            raw=answer.body,
        )

    async def fetch(self, attachment: Attachment, limit: int) -> bytes:
        return await media.fetch(
            self._tools.http,
            attachment.url,
            home=media.Home(url=self._config.api_base, headers={"Authorization": self._authorization}),
            limit=limit,
            patience=self._patience,
            now=self._tools.now(),
        )


@lru_cache(maxsize=1024)
def _signed_urls(url: str) -> tuple[str, ...]:
    """Twilio signs the URL with its port or without, depending on the path that the request took."""
    try:
        parsed = parse_url(url)
        return remove_port(parsed), add_port(parsed)
    except ValueError:
        return (url,)


def _forged() -> SignatureInvalid:
    return SignatureInvalid(
        "The signature does not fit; check the auth token and the public URL of this hub."
    )


def _attachments(fields: Mapping[str, str]) -> tuple[tuple[Attachment, ...], tuple[str, ...]]:
    """The media of a message, and what was wrong with those that were left out."""
    count = fields.get("NumMedia") or "0"
    if count == "0":
        return (), ()
    if not (count.isascii() and count.isdigit() and len(count) < 4):
        raise Unreadable("NumMedia is no number.")
    found = []
    for at in range(min(int(count), MOST_MEDIA)):
        url, kind = fields.get(f"MediaUrl{at}", ""), fields.get(f"MediaContentType{at}", "")
        if (
            url.startswith(("https://", "http://"))
            and url.isascii()
            and url.isprintable()
            and len(url) <= 2000
        ):
            named = kind if kind.isascii() and kind.isprintable() and 0 < len(kind) <= 100 else ""
            found.append(
                Attachment(name=f"media-{at}", content_type=named or "application/octet-stream", url=url)
            )
    return tuple(found), () if len(found) == int(count) else ("media_left_out",)


def _error(answer: Answer, said: Mapping[str, object], uri: str) -> SendError:
    code = _number(said.get("code"))
    theirs = TwilioRestException(answer.status, uri, str(said.get("message", ""))[:200], code, "POST")
    known = TWILIO_ERRORS.get(code or 0)
    # Twilio names what it refused with a code of its own, except where it failed itself.
    if known is None or answer.status >= 500:
        error = failure(answer, f"{code or ''} {theirs.msg}".strip())
    elif known is ProviderThrottled:
        error = ProviderThrottled(
            "Twilio asks us to send more slowly.", retry_after=answer.retry_after, provider_error=code
        )
    else:
        error = known(
            f"Twilio refused the message: {known.code}.",
            status=answer.status,
            provider_error=f"{code} {theirs.msg}",
        )
    error.__cause__ = theirs
    return error


def _number(value: object) -> int | None:
    """Twilio writes some of its numbers as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


SPEC = ChannelSpec(
    name="sms.twilio",
    kind=ChannelKind.SMS,
    title="Twilio",
    config=TwilioConfig,
    build=Twilio,
    secrets=("auth_token",),
    optional_secrets=("api_key_secret", "next_auth_token", "webhook_key"),
    actions=("message", "status"),
)
