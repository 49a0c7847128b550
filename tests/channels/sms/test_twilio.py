"""SMS over Twilio: what is its own beside the contract of every channel."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict
from pydantic import ValidationError
from twilio.request_validator import RequestValidator

from channels.sms.twilio import SPEC, Twilio, TwilioConfig
from core.adapter import Account, AdapterTools, Decoded, Hook
from core.errors import (
    OutcomeUnknown,
    ProviderRefused,
    ProviderRejectedUs,
    ProviderThrottled,
    ProviderUnreachable,
    RecipientInvalid,
    RecipientOptedOut,
    SecretMissing,
    SendError,
    SignatureInvalid,
)
from core.values import Address, Attachment, DeliveryState, Inbound, StatusUpdate, Unreadable
from tests.channels.sms.specimens import PUBLIC, TwilioSpecimen, hook_of
from tests.support.channel_kit import NOW, OUT, SENDER, event
from tests.support.fake_provider import Seen
from tests.support.fake_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    NUMBER,
    FakeTwilio,
    message_fields,
    sid,
    signed_webhook,
    status_fields,
)

URL = f"{PUBLIC}/message"
SERVICE = "MG" + "7" * 32


@pytest.fixture
async def tools() -> AsyncIterator[AdapterTools]:
    async with aiohttp.ClientSession() as http:
        yield AdapterTools(http=http, now=lambda: NOW, public_url="https://hub.example.com/")


def build(tools: AdapterTools, secrets: dict[str, str] | None = None, **config: Any) -> Twilio:
    whole = {"account_sid": ACCOUNT_SID, "sender": NUMBER} | config
    return Twilio(
        Account(
            slug="line",
            provider=SPEC.name,
            title="Line",
            config=TwilioConfig.model_validate(whole),
            secrets={"auth_token": AUTH_TOKEN} | (secrets or {}),
        ),
        tools,
    )


def webhook(url: str = URL, token: str = AUTH_TOKEN, **fields: str) -> Hook:
    body, headers = signed_webhook(url, message_fields(sid(1), "KC 101 3", SENDER, **fields), token)
    return hook_of(url, body, headers)


def status_hook(status: str, code: str = "", **fields: str) -> Hook:
    url = f"{PUBLIC}/status"
    body, headers = signed_webhook(url, status_fields(sid(1), status, SENDER, code) | fields)
    return hook_of(url, body, headers)


def read(tools: AdapterTools, hook: Hook, action: str = "message") -> Decoded:
    return build(tools).receive(action, hook)


# Receiving.


def test_keys_are_made_of_what_twilio_never_repeats(tools: AdapterTools) -> None:
    assert event(read(tools, webhook())).dedupe_key == f"in:{sid(1)}"
    update = event(read(tools, status_hook("undelivered", "30005"), "status"))
    assert update.dedupe_key == f"st:{sid(1)}:undelivered:30005"


def test_a_message_is_answered_with_an_empty_document_so_that_twilio_sends_nothing(
    tools: AdapterTools,
) -> None:
    answer = read(tools, webhook()).answer
    assert (answer.status, answer.content_type) == (200, "text/xml; charset=utf-8")
    assert answer.body == '<?xml version="1.0" encoding="UTF-8"?><Response />'


@pytest.mark.parametrize(
    ("ours", "signed"),
    [
        (URL, "https://hub.example.com:443/hooks/line/message"),
        ("https://hub.example.com:443/hooks/line/message", URL),
        (f"{URL}?tenant=a%20b&x=", f"{URL}?tenant=a%20b&x="),
        (
            "https://hub.example.com:8443/hooks/line/message",
            "https://hub.example.com:8443/hooks/line/message",
        ),
        ("https://hub.example.com:8443/hooks/line/message", URL),
    ],
)
def test_the_public_url_is_what_is_signed_with_its_port_or_without(
    tools: AdapterTools, ours: str, signed: str
) -> None:
    assert isinstance(event(read(tools, replace(webhook(signed), url=ours))), Inbound)


@pytest.mark.parametrize(
    "url",
    [
        f"{URL}?tenant=b",
        "http://hub.example.com/hooks/line/message",
        f"{PUBLIC}/status",
        "https://hub.example.com:x/",
    ],
)
def test_a_signature_over_another_url_is_refused(tools: AdapterTools, url: str) -> None:
    with pytest.raises(SignatureInvalid):
        read(tools, replace(webhook(), url=url))


def test_a_field_that_came_twice_is_part_of_the_signature(tools: AdapterTools) -> None:
    fields: CIMultiDict[str] = CIMultiDict(message_fields(sid(1), "Y", SENDER) | {"Tag": "b"})
    fields.add("Tag", "a")
    signature = RequestValidator(AUTH_TOKEN).compute_signature(URL, fields)
    body = webhook(Body="Y").body + b"&Tag=b&Tag=a"
    hook = hook_of(URL, body, {"X-Twilio-Signature": signature})
    assert event(read(tools, hook)).text == "Y"
    with pytest.raises(SignatureInvalid):
        read(tools, replace(hook, body=hook.body.replace(b"Tag=a", b"Tag=c")))


def test_a_text_that_came_twice_is_not_guessed_at(tools: AdapterTools) -> None:
    specimen = TwilioSpecimen()
    hook = specimen.hook("message", specimen.message("SM1", "Y", SENDER) + b"&Body=N")
    decoded = read(tools, hook)
    assert isinstance(event(decoded), Unreadable)
    assert decoded.answer.body == "Body came more than once."


def json_hook(body: bytes, digest: str | None = None, url: str = URL) -> Hook:
    url = f"{url}?bodySHA256={sha256(body).hexdigest() if digest is None else digest}"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(url, {})
    return hook_of(url, body, {"X-Twilio-Signature": signature, "Content-Type": "application/json"})


def test_a_json_body_is_signed_by_its_digest_in_the_url(tools: AdapterTools) -> None:
    hook = json_hook(json.dumps(message_fields(sid(2), "库存", SENDER)).encode())
    message = event(read(tools, hook))
    assert (message.external_id, message.text, message.raw_type) == (sid(2), "库存", "application/json")


@pytest.mark.parametrize("digest", ["", "0" * 64, "é", "&bodySHA256=" + "0" * 64])
def test_a_json_body_with_another_digest_is_refused(tools: AdapterTools, digest: str) -> None:
    with pytest.raises(SignatureInvalid):
        read(tools, json_hook(b"{}", digest))


def test_a_json_body_without_a_digest_is_refused(tools: AdapterTools) -> None:
    signature = RequestValidator(AUTH_TOKEN).compute_signature(URL, {})
    with pytest.raises(SignatureInvalid):
        read(tools, hook_of(URL, b'{"a": 1}', {"X-Twilio-Signature": signature}))


def test_a_form_cannot_borrow_the_signature_of_a_json_body(tools: AdapterTools) -> None:
    hook = json_hook(b"{}")
    with pytest.raises(SignatureInvalid):
        read(tools, replace(hook, body=b"Body=forged"))


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"[" * 50_000])
def test_a_signed_json_body_that_says_nothing_is_kept(tools: AdapterTools, body: bytes) -> None:
    decoded = read(tools, json_hook(body))
    assert isinstance(event(decoded), Unreadable)
    assert decoded.answer.status == 400


def test_a_webhook_may_be_signed_with_a_shared_key_and_sha256(tools: AdapterTools) -> None:
    fields = message_fields(sid(1), "Y", SENDER)
    signature = RequestValidator("the-webhook-key").compute_signature(URL, fields, "HMAC_SHA256")
    settings = {"X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}
    hook = hook_of(URL, webhook(Body="Y").body, {"X-Twilio-Signature": signature, **settings})
    assert event(build(tools, {"webhook_key": "the-webhook-key"}).receive("message", hook)).text == "Y"
    with pytest.raises(SignatureInvalid):
        read(tools, hook)


def test_an_unknown_algorithm_is_refused(tools: AdapterTools) -> None:
    headers = CIMultiDict(webhook().headers)
    headers["X-Twilio-Webhooks-Signature-Settings"] = "algorithm=none"
    with pytest.raises(SignatureInvalid):
        read(tools, replace(webhook(), headers=headers))


def test_both_tokens_are_taken_while_the_token_is_changed(tools: AdapterTools) -> None:
    adapter = build(tools, {"next_auth_token": "the-new-token"})
    assert adapter.receive("message", webhook()) == adapter.receive("message", webhook(token="the-new-token"))


def test_what_twilio_tells_beside_the_text_is_handed_on(tools: AdapterTools) -> None:
    message = event(read(tools, webhook(OptOutType="STOP", NumSegments="2", MessagingServiceSid=SERVICE)))
    assert message.meta == {"opt_out_type": "STOP", "segments": "2", "messaging_service": SERVICE}
    assert message.recipient == Address("tel", NUMBER)
    assert message.occurred_at == NOW


def test_pictures_are_named_by_their_address(tools: AdapterTools) -> None:
    media = {
        "NumMedia": "3",
        "MediaUrl0": "https://api.twilio.com/2010-04-01/Accounts/AC/Messages/MM/Media/ME0",
        "MediaContentType0": "image/jpeg",
        "MediaUrl1": "https://api.twilio.com/2010-04-01/Accounts/AC/Messages/MM/Media/ME1",
        "MediaContentType1": "ima\nge",
        "MediaUrl2": "file:///etc/passwd",
    }
    message = event(read(tools, webhook(Body="", **media)))
    assert message.attachments == (
        Attachment(name="media-0", content_type="image/jpeg", url=media["MediaUrl0"]),
        Attachment(name="media-1", content_type="application/octet-stream", url=media["MediaUrl1"]),
    )
    assert message.defects == ("media_left_out",)


@pytest.mark.parametrize("count", ["-1", "1e3", "9999999999", "٣"])
def test_a_number_of_pictures_that_is_none_is_kept_as_unreadable(tools: AdapterTools, count: str) -> None:
    assert isinstance(event(read(tools, webhook(NumMedia=count))), Unreadable)


@pytest.mark.parametrize("sender", ["whatsapp:+8613900000001", "messenger:123", "", "+86139*"])
def test_a_sender_on_another_channel_is_kept_as_unreadable(tools: AdapterTools, sender: str) -> None:
    assert isinstance(event(read(tools, webhook(From=sender))), Unreadable)


@pytest.mark.parametrize(
    ("sender", "address"),
    [
        ("+1 (500) 555-0006", Address("tel", "+15005550006")),
        ("12345", Address("short", "12345")),
        ("ACME Shop", Address("short", "ACME SHOP")),
    ],
)
def test_a_sender_is_read_as_the_network_writes_it(
    tools: AdapterTools, sender: str, address: Address
) -> None:
    assert event(read(tools, webhook(From=sender))).sender == address


def test_a_text_longer_than_twilio_documents_is_kept_and_marked(tools: AdapterTools) -> None:
    message = event(read(tools, webhook(Body="长" * 1601)))
    assert (len(message.text), message.defects) == (1601, ("longer_than_documented",))


@pytest.mark.parametrize(
    ("status", "code", "state", "error"),
    [
        ("queued", "", DeliveryState.HANDED_OVER, ""),
        ("sending", "", DeliveryState.HANDED_OVER, ""),
        ("sent", "", DeliveryState.SENT, ""),
        ("delivered", "0", DeliveryState.DELIVERED, ""),
        ("read", "", DeliveryState.READ, ""),
        ("undelivered", "30005", DeliveryState.UNDELIVERED, "recipient_invalid"),
        ("undelivered", "30003", DeliveryState.UNDELIVERED, "provider_refused"),
        ("failed", "21610", DeliveryState.FAILED, "recipient_opted_out"),
        ("failed", "x" * 40, DeliveryState.FAILED, "provider_refused"),
        ("canceled", "", DeliveryState.FAILED, ""),
        ("teleported", "", DeliveryState.UNKNOWN, ""),
    ],
)
def test_a_status_says_what_became_of_the_message(
    tools: AdapterTools, status: str, code: str, state: DeliveryState, error: str
) -> None:
    update = event(read(tools, status_hook(status, code), "status"))
    assert isinstance(update, StatusUpdate)
    assert (update.external_id, update.state, update.error) == (sid(1), state, error)
    assert update.recipient == Address("tel", SENDER)


def test_a_status_without_its_word_is_kept_as_unreadable(tools: AdapterTools) -> None:
    decoded = read(tools, status_hook("", SmsStatus=""), "status")
    assert isinstance(event(decoded), Unreadable)
    assert decoded.answer.body == "MessageStatus is missing."


# Sending.


def order(seen: Seen) -> dict[str, str]:
    return dict(parse_qsl(seen.body.decode(), strict_parsing=True))


async def test_a_message_leaves_by_the_accounts_number_and_asks_for_reports(tools: AdapterTools) -> None:
    async with FakeTwilio() as provider:
        receipt = await build(tools, api_base=provider.base_url).send(OUT)
    assert (receipt.external_id, receipt.state) == (sid(1), DeliveryState.HANDED_OVER)
    assert provider.seen[0].path == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
    assert order(provider.seen[0]) == {
        "To": SENDER,
        "Body": OUT.text,
        "From": NUMBER,
        "StatusCallback": "https://hub.example.com/hooks/line/status",
    }


async def test_a_messaging_service_picks_the_number(tools: AdapterTools) -> None:
    async with FakeTwilio() as provider:
        line = build(
            tools,
            api_base=provider.base_url,
            sender="",
            messaging_service_sid=SERVICE,
            status_callbacks=False,
        )
        await line.send(OUT)
    assert order(provider.seen[0]) == {"To": SENDER, "Body": OUT.text, "MessagingServiceSid": SERVICE}


async def test_pictures_leave_by_their_address(tools: AdapterTools) -> None:
    picture = Attachment(name="a.jpg", content_type="image/jpeg", url="https://files.example.com/a.jpg")
    async with FakeTwilio() as provider:
        line = build(tools, api_base=provider.base_url)
        await line.send(replace(OUT, text="", attachments=(picture,)))
        with pytest.raises(ProviderRefused):
            await line.send(replace(OUT, attachments=(replace(picture, url="", data=b"x"),)))
    assert order(provider.seen[0])["MediaUrl"] == picture.url
    assert len(provider.seen) == 1


async def test_an_api_key_stands_in_for_the_token(tools: AdapterTools) -> None:
    key = "SK" + "1" * 32
    async with FakeTwilio() as provider:
        line = build(tools, {"api_key_secret": "hidden"}, api_base=provider.base_url, api_key_sid=key)
        with pytest.raises(ProviderRejectedUs):
            await line.send(OUT)
    assert (
        provider.seen[0].headers["Authorization"] == "Basic " + b64encode(f"{key}:hidden".encode()).decode()
    )


class ScriptedTwilio(FakeTwilio):
    def __init__(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self._script = web.Response(status=status, text=json.dumps(body), headers=headers or {})

    def answer(self, seen: Seen) -> web.Response:
        return self._script


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, 21610, RecipientOptedOut),
        (400, 21211, RecipientInvalid),
        (400, 21614, RecipientInvalid),
        (400, 21612, RecipientInvalid),
        (400, 21611, ProviderThrottled),
        (400, 21408, ProviderRefused),
        (400, 21606, ProviderRefused),
        (400, None, ProviderRefused),
        (401, 20003, ProviderRejectedUs),
        (401, None, ProviderRejectedUs),
        (403, None, ProviderRejectedUs),
        (404, 20404, ProviderRejectedUs),
        (429, 20429, ProviderThrottled),
        (429, 14107, ProviderThrottled),
        (307, None, ProviderRejectedUs),
        (500, 20500, OutcomeUnknown),
        (502, None, OutcomeUnknown),
        (504, 21610, OutcomeUnknown),
        (503, 20503, ProviderUnreachable),
        (201, 21610, RecipientOptedOut),
    ],
)
async def test_twilios_codes_become_errors_of_ours(
    tools: AdapterTools, status: int, code: int | None, error: type[SendError]
) -> None:
    body = {"code": code, "error_code": code, "message": "no", "status": status}
    async with ScriptedTwilio(status, body) as provider:
        with pytest.raises(SendError) as refused:
            await build(tools, api_base=provider.base_url).send(OUT)
    assert type(refused.value) is error


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("7", timedelta(seconds=7)),
        (
            format_datetime((NOW + timedelta(seconds=90)).replace(microsecond=0), usegmt=True),
            timedelta(seconds=90),
        ),
        (format_datetime(NOW - timedelta(days=2), usegmt=True), timedelta()),
        ("999999999999", timedelta(hours=1)),
        ("-5", None),
        ("soon", None),
        ("٣", None),
        ("", None),
        ("9" * 200, None),
    ],
)
async def test_a_pause_is_asked_for_in_seconds_or_by_date(
    tools: AdapterTools, asked: str, pause: timedelta | None
) -> None:
    async with ScriptedTwilio(429, {"code": 20429}, {"Retry-After": asked}) as provider:
        with pytest.raises(ProviderThrottled) as refused:
            await build(tools, api_base=provider.base_url).send(OUT)
    assert refused.value.retry_after == pause


@pytest.mark.parametrize("body", [[], None, "sid", {}, {"sid": None}, {"sid": 7}, {"sid": ""}])
async def test_an_answer_that_names_no_message_leaves_the_outcome_open(
    tools: AdapterTools, body: object
) -> None:
    async with ScriptedTwilio(201, body) as provider:
        with pytest.raises(OutcomeUnknown):
            await build(tools, api_base=provider.base_url).send(OUT)


async def test_a_service_that_has_not_counted_yet_gets_our_count(tools: AdapterTools) -> None:
    async with ScriptedTwilio(201, {"sid": sid(9), "status": "accepted", "num_segments": "0"}) as provider:
        receipt = await build(tools, api_base=provider.base_url).send(replace(OUT, text="长" * 71))
    assert receipt.segments == 2


# Accounts.


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_sid": "AC1"},
        {"sender": ""},
        {"api_base": "http://api.example.com"},
        {"api_base": "https://user:hidden@api.example.com"},
        {"api_base": "api.example.com"},
        {"colour": "red"},
    ],
)
def test_a_wrong_account_is_refused_without_repeating_what_was_written(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        TwilioConfig.model_validate({"account_sid": ACCOUNT_SID, "sender": NUMBER} | wrong)
    assert "hidden" not in str(refused.value)


def test_a_missing_secret_is_named(tools: AdapterTools) -> None:
    with pytest.raises(SecretMissing, match="auth_token"):
        build(tools, {"auth_token": ""})
    with pytest.raises(SecretMissing, match="api_key_secret"):
        build(tools, api_key_sid="SK" + "1" * 32)
