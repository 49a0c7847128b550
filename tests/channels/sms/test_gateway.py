"""Operators' gateways as accounts describe them: what is their own beside the contract of every channel."""

import json
from collections.abc import AsyncIterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict
from pydantic import ValidationError

from channels.sms import seals
from channels.sms.gateway import Gateway
from channels.sms.gateway_rules import GatewayConfig, Template
from core.adapter import Account, AdapterTools, Decoded
from core.errors import (
    ProviderRefused,
    ProviderRejectedUs,
    ProviderThrottled,
    RecipientInvalid,
    SecretMissing,
    SendError,
    SignatureInvalid,
)
from core.values import Address, DeliveryState, Inbound, StatusUpdate, Unreadable
from tests.channels.sms.specimens import KEY, PORT, PUBLIC, FormGatewaySpecimen, JsonGatewaySpecimen, hook_of
from tests.support.channel_kit import NOW, OUT, SENDER, event
from tests.support.fake_gateway import OUTBOUND_KEY, PASSWORD, FakeGateway
from tests.support.fake_provider import Seen

JSON, FORM = JsonGatewaySpecimen(), FormGatewaySpecimen()
SECRETS = {"inbound_key": KEY, "outbound_key": OUTBOUND_KEY, "password": PASSWORD}


@pytest.fixture
async def tools() -> AsyncIterator[AdapterTools]:
    async with aiohttp.ClientSession() as http:
        yield AdapterTools(http=http, now=lambda: NOW)


def changed(rules: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`rules` with other values at the dotted paths of `changes`; None takes a value away."""
    whole = deepcopy(rules)
    for path, value in changes.items():
        *steps, last = path.split(".")
        inner = whole
        for step in steps:
            inner = inner[step]
        inner[last] = value
    return whole


def build(
    tools: AdapterTools,
    changes: dict[str, Any] | None = None,
    *,
    specimen: JsonGatewaySpecimen = JSON,
    base_url: str = "https://127.0.0.1:9",
    secrets: dict[str, str] | None = None,
) -> Gateway:
    config = GatewayConfig.model_validate(changed(specimen.rules(base_url), changes or {}))
    account = Account(
        slug="line", provider="sms.gateway", title="Line", config=config, secrets=SECRETS | (secrets or {})
    )
    return Gateway(account, tools)


def one(
    id: str | None = "1", text: str = "KC 101 3", time: str = "20261120163015", phone: Any = SENDER
) -> Any:
    fields = {"msgId": id, "phone": phone, "msg": [{"content": text}], "moTime": time}
    return {name: value for name, value in fields.items() if value is not None}


def batch(*messages: Any) -> bytes:
    return json.dumps({"data": {"messages": messages}}).encode()


def read(adapter: Gateway, body: bytes, specimen: JsonGatewaySpecimen = JSON) -> Decoded:
    return adapter.receive("message", specimen.hook("message", body))


# Receiving.


def test_each_message_of_a_batch_is_an_event_with_its_own_bytes(tools: AdapterTools) -> None:
    decoded = read(build(tools), batch(one("1", "a"), one("2", "b"), one("3", "c")))
    messages = [found for found in decoded.events if isinstance(found, Inbound)]
    assert [message.text for message in messages] == ["a", "b", "c"]
    assert [json.loads(message.raw)["msgId"] for message in messages] == ["1", "2", "3"]
    assert (decoded.answer.status, decoded.answer.body) == (200, '{"code":0}')


def test_a_bad_message_does_not_hold_up_its_neighbours(tools: AdapterTools) -> None:
    decoded = read(build(tools), batch(one("1"), {"msgId": "2"}, one("3")))
    assert [type(found) for found in decoded.events] == [Inbound, Unreadable, Inbound]
    assert json.loads(decoded.events[1].raw) == {"msgId": "2"}
    assert decoded.answer.status == 200


def test_a_batch_without_a_good_message_is_answered_with_the_reason(tools: AdapterTools) -> None:
    decoded = read(build(tools), batch({"msgId": "1"}, {"msgId": "2"}))
    assert [type(found) for found in decoded.events] == [Unreadable, Unreadable]
    assert (decoded.answer.status, decoded.answer.body) == (400, "The text is missing at msg.0.content.")


def test_an_empty_batch_is_taken(tools: AdapterTools) -> None:
    decoded = read(build(tools), batch())
    assert (decoded.events, decoded.answer.status) == ((), 200)


def test_a_batch_of_more_than_a_thousand_is_kept_whole(tools: AdapterTools) -> None:
    body = batch(*(one(str(number)) for number in range(1001)))
    kept = event(read(build(tools), body))
    assert isinstance(kept, Unreadable)
    assert kept.raw == body


def test_a_number_may_stand_as_a_json_number(tools: AdapterTools) -> None:
    message = event(read(build(tools), batch(one(phone=13900000001) | {"msgId": 42})))
    assert (message.external_id, message.sender) == ("42", Address("tel", SENDER))


def test_a_gateway_without_ids_is_understood_by_sender_time_and_text(tools: AdapterTools) -> None:
    adapter = build(tools, {"receiving.message.id": ""})
    bodies = [
        one(None, "Y", "20261120163015"),
        one(None, "Y", "20261120163015"),
        one(None, "Y", "20261120163016"),
        one(None, "N", "20261120163015"),
        one(None, "Y", "20261120163015", "13900000002"),
    ]
    keys = [event(read(adapter, batch(body))).dedupe_key for body in bodies]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_a_key_made_of_the_text_tells_nobody_the_text(tools: AdapterTools) -> None:
    rules = {"receiving.message.id": ""}
    hook = JSON.hook("message", batch(one(None, "Y")))
    ours = event(build(tools, rules).receive("message", hook))
    theirs = event(
        build(tools, rules, secrets={"inbound_key": "another"}).receive(
            "message", JSON.hook("message", batch(one(None, "Y")), key="another")
        )
    )
    assert ours.dedupe_key != theirs.dedupe_key


def test_answers_without_id_and_time_are_rather_kept_twice_than_lost(tools: AdapterTools) -> None:
    adapter = build(tools)
    body = batch(one(None, "Y", time=""))
    first = event(adapter.receive("message", JSON.hook("message", body)))
    later = event(adapter.receive("message", JSON.hook("message", body, at=NOW + timedelta(seconds=90))))
    assert first.dedupe_key != later.dedupe_key


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_copied_request_is_of_no_use_outside_its_window(tools: AdapterTools, seconds: int) -> None:
    hook = JSON.hook("message", batch(one()))
    with pytest.raises(SignatureInvalid, match="X-Time"):
        build(tools).receive("message", replace(hook, received_at=NOW + timedelta(seconds=seconds)))


@pytest.mark.parametrize("stamp", ["", "now", "-1", "1e9", "٣", "9" * 30, None])
def test_a_time_that_is_none_is_refused(tools: AdapterTools, stamp: str | None) -> None:
    hook = JSON.hook("message", batch(one()))
    headers = CIMultiDict(hook.headers)
    headers.pop("X-Time")
    headers.update({} if stamp is None else {"X-Time": stamp})
    with pytest.raises(SignatureInvalid):
        build(tools).receive("message", replace(hook, headers=headers))


@pytest.mark.parametrize(
    ("rules", "url"),
    [
        ({"algorithm": "hmac-sha512", "encoding": "base64"}, PUBLIC),
        ({"signed": ["url", "body"], "joiner": "\n"}, f"{PUBLIC}/message"),
        (
            {
                "timestamp_header": "T",
                "timestamp_unit": "ms",
                "signed": ["body", "timestamp"],
                "prefix": "v1=",
            },
            PUBLIC,
        ),
    ],
)
def test_what_we_seal_we_believe(rules: dict[str, Any], url: str) -> None:
    read_rules = seals.SealRules.model_validate(rules)
    made = seals.seal(read_rules, "key", url=url, body=b"body", at=NOW, nonce="n")
    seals.check(read_rules, "key", hook_of(url, b"body", made))
    with pytest.raises(SignatureInvalid):
        seals.check(read_rules, "key", hook_of(url, b"bodY", made))
    with pytest.raises(SignatureInvalid):
        seals.check(read_rules, "kez", hook_of(url, b"body", made))


def test_hexadecimal_signatures_may_be_in_capitals(tools: AdapterTools) -> None:
    hook = JSON.hook("message", batch(one()))
    headers = CIMultiDict(hook.headers)
    headers["X-Sign"] = "sha256=" + headers["X-Sign"].removeprefix("sha256=").upper()
    assert isinstance(event(build(tools).receive("message", replace(hook, headers=headers))), Inbound)


@pytest.mark.parametrize(
    ("form", "written", "text"),
    [
        ("utf-16be-hex", "5E935B58", "库存"),
        ("utf-16be-hex", "d83dde00", "😀"),
        ("gb18030-hex", "bfe2b4e6", "库存"),
        ("utf-8-hex", "e5ba93", "库"),
        ("plain", "5E93", "5E93"),
    ],
)
def test_a_text_may_be_written_as_hexadecimal_digits(
    tools: AdapterTools, form: str, written: str, text: str
) -> None:
    assert (
        event(read(build(tools, {"receiving.message.text_form": form}), batch(one(text=written)))).text
        == text
    )


@pytest.mark.parametrize("written", ["5E9", "xx", "5E935B", "库存"])
def test_digits_that_are_no_text_are_kept_as_unreadable(tools: AdapterTools, written: str) -> None:
    adapter = build(tools, {"receiving.message.text_form": "utf-16be-hex"})
    assert isinstance(event(read(adapter, batch(one(text=written)))), Unreadable)


def test_half_an_emoji_is_replaced_and_named(tools: AdapterTools) -> None:
    adapter = build(tools, {"receiving.message.text_form": "utf-16be-hex"})
    message = event(read(adapter, batch(one(text="0041D83D"))))
    assert (message.text, message.defects) == ("A\ufffd", ("lone_surrogate_replaced",))


def test_a_pair_of_escapes_is_one_character(tools: AdapterTools) -> None:
    message = event(read(build(tools), batch(one(text="😀"))))
    assert (message.text, message.defects) == ("😀", ())


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("compact", "20261120163015"),
        ("iso", "2026-11-20T08:30:15Z"),
        ("iso", "2026-11-20 16:30:15"),
        ("iso", "2026-11-20T16:30:15.000+08:00"),
        ("epoch", str(int(NOW.timestamp()))),
        ("epoch-ms", str(int(NOW.timestamp() * 1000))),
        ("%Y/%m/%d %H:%M:%S", "2026/11/20 16:30:15"),
        ("%Y-%m-%dT%H:%M:%S%z", "2026-11-20T09:30:15+0100"),
    ],
)
def test_times_are_read_in_the_gateways_zone_unless_they_name_one(
    tools: AdapterTools, form: str, written: str
) -> None:
    message = event(read(build(tools, {"receiving.message.time_form": form}), batch(one(time=written))))
    assert (message.occurred_at, message.occurred_at.tzinfo, message.defects) == (NOW, UTC, ())


@pytest.mark.parametrize(
    ("form", "written", "defect"),
    [
        ("compact", "20991231235959", "time_in_future"),
        ("compact", "20010101000000", "time_long_past"),
        ("compact", "20261320000000", "time_unreadable"),
        ("compact", "yesterday", "time_unreadable"),
        ("compact", "", "time_missing"),
        ("iso", "0001-01-01T00:00:00+14:00", "time_absurd"),
        ("iso", "9999-12-31T23:59:59-14:00", "time_absurd"),
        ("epoch", "1e300", "time_unreadable"),
        ("epoch", "nan", "time_unreadable"),
        ("epoch-ms", "inf", "time_unreadable"),
    ],
)
def test_a_message_is_not_refused_for_its_date(
    tools: AdapterTools, form: str, written: str, defect: str
) -> None:
    message = event(read(build(tools, {"receiving.message.time_form": form}), batch(one(time=written))))
    assert (message.occurred_at, message.defects) == (NOW, (defect,))


@pytest.mark.parametrize(
    ("report", "state", "error", "said"),
    [
        ({"stat": "DELIVRD", "err": "000"}, DeliveryState.DELIVERED, "", ""),
        ({"stat": "UNDELIV", "err": "001"}, DeliveryState.UNDELIVERED, "recipient_invalid", "UNDELIV 001"),
        ({"stat": "EXPIRED"}, DeliveryState.UNDELIVERED, "provider_refused", "EXPIRED"),
        ({"stat": "MK:0001"}, DeliveryState.UNKNOWN, "", "MK:0001"),
    ],
)
def test_a_report_is_read_by_the_accounts_words(
    tools: AdapterTools, report: dict[str, str], state: DeliveryState, error: str, said: str
) -> None:
    body = json.dumps({"data": {"reports": [{"msgId": "7", "doneTime": "2611201630"} | report]}}).encode()
    update = event(build(tools).receive("status", JSON.hook("status", body)))
    assert isinstance(update, StatusUpdate)
    assert (update.external_id, update.state, update.error, update.provider_error) == (
        "7",
        state,
        error,
        said,
    )
    assert update.occurred_at == datetime(2026, 11, 20, 8, 30, tzinfo=UTC)


def test_a_report_that_the_account_has_no_rules_for_is_kept(tools: AdapterTools) -> None:
    decoded = build(tools, {"receiving.report": None}).receive("status", JSON.hook("status", b"{}"))
    assert isinstance(event(decoded), Unreadable)
    assert "receiving.report" in decoded.answer.body


def test_an_older_gateway_names_our_port(tools: AdapterTools) -> None:
    message = event(read(build(tools, specimen=FORM), FORM.message("1", "库存", SENDER), FORM))
    assert (message.text, message.recipient) == ("库存", Address("short", PORT))


# Sending.


async def order(
    gateway: FakeGateway, tools: AdapterTools, changes: dict[str, Any], **out: Any
) -> dict[str, Any]:
    """What the gateway saw of a message that it took."""
    async with gateway:
        await build(tools, changes, base_url=gateway.base_url).send(replace(OUT, **out))
    return gateway.order(gateway.seen[-1])


async def test_an_order_is_filled_in_and_sealed(tools: AdapterTools) -> None:
    seen = await order(FakeGateway(), tools, {})
    assert seen == {
        "password": PASSWORD,
        "message": {"mobile": "13900000001", "content": "【楚岚】已收到 3 条", "ext": [str(OUT.id), 1]},
        "template": "",
        "parameters": [],
        "mobile": "13900000001",
        "content": "【楚岚】已收到 3 条",
        "ext": [str(OUT.id), 1],
    }


async def test_the_gateways_id_is_the_receipts(tools: AdapterTools) -> None:
    async with FakeGateway() as gateway:
        named = await build(tools, base_url=gateway.base_url).send(OUT)
        ours = await build(tools, {"sending.id": ""}, base_url=gateway.base_url).send(OUT)
    assert (named.external_id, ours.external_id) == ("70001", str(OUT.id))
    assert named.segments == 1


@pytest.mark.parametrize(
    ("place", "text", "sent"),
    [
        ("start", "您好", "【楚岚】您好"),
        ("start", "【楚岚】您好", "【楚岚】您好"),
        ("start", "您好【楚岚】", "【楚岚】您好【楚岚】"),
        ("end", "您好", "您好【楚岚】"),
        ("end", "您好【楚岚】", "您好【楚岚】"),
    ],
)
async def test_a_text_is_signed_once(tools: AdapterTools, place: str, text: str, sent: str) -> None:
    seen = await order(FakeGateway(), tools, {"sending.signature_place": place}, text=text)
    assert seen["content"] == sent


async def test_the_signature_counts_as_text(tools: AdapterTools) -> None:
    async with FakeGateway() as gateway:
        receipt = await build(tools, base_url=gateway.base_url).send(replace(OUT, text="长" * 67))
        short = build(tools, {"sending.longest_text": 70}, base_url=gateway.base_url)
        with pytest.raises(ProviderRefused, match="gateway takes 70"):
            await short.send(replace(OUT, text="长" * 67))
    assert receipt.segments == 2


@pytest.mark.parametrize(
    ("form", "number"),
    [("e164", "+8613900000001"), ("digits", "8613900000001"), ("national", "13900000001")],
)
async def test_numbers_are_written_as_the_gateway_wants_them(
    tools: AdapterTools, form: str, number: str
) -> None:
    class Open(FakeGateway):
        def answer(self, seen: Seen) -> web.Response:
            return web.json_response({"code": 0})

    assert (await order(Open(), tools, {"sending.number_form": form}))["mobile"] == number


async def test_a_foreign_number_is_not_cut_into_a_home_one(tools: AdapterTools) -> None:
    with pytest.raises(RecipientInvalid):
        await build(tools).send(replace(OUT, recipient=Address("tel", "+15005550006")))


async def test_a_text_cannot_ask_for_our_secrets(tools: AdapterTools) -> None:
    seen = await order(FakeGateway(), tools, {}, text="{secret.password} {to}")
    assert seen["content"] == "【楚岚】{secret.password} {to}"


async def test_a_text_leaves_as_digits_where_the_gateway_wants_them(tools: AdapterTools) -> None:
    seen = await order(FakeGateway(), tools, {"sending.text_form": "utf-16be-hex"}, text="库😀")
    assert seen["content"] == "【楚岚】库😀".encode("utf-16-be").hex().upper()


async def test_a_form_leaves_in_the_gateways_charset(tools: AdapterTools) -> None:
    async with FakeGateway("gb18030") as gateway:
        await build(tools, specimen=FORM, base_url=gateway.base_url).send(OUT)
    assert (
        dict(parse_qsl(gateway.seen[0].body.decode(), encoding="gb18030"))["content"] == "【楚岚】已收到 3 条"
    )


TEMPLATES = [{"code": "T1", "text": "已收到{}份"}, {"code": "T2", "text": "已收到 {} 条"}]


async def test_a_text_goes_out_under_the_template_that_it_follows(tools: AdapterTools) -> None:
    seen = await order(FakeGateway(), tools, {"sending.templates": TEMPLATES}, text="已收到 3 条")
    assert (seen["template"], seen["parameters"]) == ("T2", ["3"])


async def test_a_text_that_follows_no_template_may_be_held_back(tools: AdapterTools) -> None:
    rules = {"sending.templates": TEMPLATES, "sending.only_templates": True}
    with pytest.raises(ProviderRefused, match="templates registered"):
        await build(tools, rules).send(replace(OUT, text="您好"))


@pytest.mark.parametrize(
    ("template", "text", "slots"),
    [
        ("已收到{}条", "已收到3条", ("3",)),
        ("{}您好", "王老板您好", ("王老板",)),
        ("您好{}", "您好", ("",)),
        ("{}", "随便", ("随便",)),
        ("a{}b{}c", "aXbbYc", ("X", "bY")),
        ("a{}a", "a", None),
        ("a{}a", "aa", ("",)),
        ("a{}b", "aXc", None),
        ("a{}b{}c", "ac", None),
        ("a", "a", ()),
        ("a", "ab", None),
        (".*{}", ".*x", ("x",)),
        (".*{}", "abc", None),
    ],
)
def test_a_template_says_what_stands_in_its_slots(
    template: str, text: str, slots: tuple[str, ...] | None
) -> None:
    assert Template(code="T", text=template).fit(text) == slots


def test_a_text_made_to_fit_badly_is_judged_at_once() -> None:
    template = Template(code="T", text="{}".join("aaaaaaaaaaab"))
    assert template.fit("a" * 20_000) is None


class Scripted(FakeGateway):
    def __init__(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self._script = web.Response(
            status=status, text=body, content_type="application/json", headers=headers or {}
        )

    def answer(self, seen: Seen) -> web.Response:
        return self._script


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, '{"code": 55}', ProviderRefused),
        (200, '{"code": "1001"}', RecipientInvalid),
        (500, '{"code": 1003}', ProviderRejectedUs),
        (400, '{"code": 77}', ProviderRefused),
        (403, "nothing", ProviderRejectedUs),
        (200, '{"code": 8}', ProviderThrottled),
    ],
)
async def test_the_gateways_codes_become_errors_of_ours(
    tools: AdapterTools, status: int, body: str, error: type[SendError]
) -> None:
    rules = {"sending.errors.8": "provider_throttled"}
    async with Scripted(status, body) as gateway:
        with pytest.raises(SendError) as refused:
            await build(tools, rules, base_url=gateway.base_url).send(OUT)
    assert type(refused.value) is error


async def test_an_account_that_only_receives_says_so(tools: AdapterTools) -> None:
    with pytest.raises(ProviderRefused, match="only receives"):
        await build(tools, {"sending": None}).send(OUT)


# Accounts.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"receiving.message.id": "", "receiving.message.time": ""}, "cannot be told from a new"),
        ({"receiving.message.time_form": "yyyyMMdd"}, "write iso"),
        ({"receiving.message.time_form": "%H:%M"}, "write iso"),
        ({"receiving.seal.signed": ["timestamp", "nonce"]}, "body must be among"),
        ({"receiving.seal.signed": ["body", "nonce"]}, "timestamp_header"),
        ({"receiving.seal.timestamp_header": ""}, "timestamp_header"),
        ({"receiving.seal.algorithm": "md5"}, "hmac-sha256"),
        ({"receiving.charset": "latin-1"}, "gb18030"),
        ({"receiving.report.errors": {"1": "bad_luck"}}, "bad_luck"),
        ({"receiving.report.states": {"1": "lost"}}, "delivered"),
        ({"sending.url": "http://sms.example.com/send"}, "plain http"),
        ({"sending.url": "https://u:hidden@sms.example.com/send"}, "among the secrets"),
        ({"sending.fields": {"to": "{to}", "text": "{txet}"}}, "no placeholder txet"),
        ({"sending.fields": {"text": "{text}"}}, "need {to}"),
        ({"sending.format": "form"}, "texts"),
        ({"sending.headers": {"X-Text": "{text}"}}, "header"),
        ({"sending.headers": {"X Y": "1"}}, "no header"),
        ({"sending.headers": {"X": "1\r\nY: 2"}}, "no header"),
        ({"sending.errors": {"1": "internal"}}, "internal"),
        ({"sending.only_templates": True}, "no templates"),
        ({"sending.templates": [{"code": "T", "text": "{}{}"}]}, "between two"),
        ({"time_zone": "Asia/Atlantis"}, "time zone"),
        ({"time_zone": "../../etc/passwd"}, "time zone"),
    ],
)
def test_a_wrong_account_is_told_what_to_write(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as refused:
        GatewayConfig.model_validate(changed(JSON.rules("https://sms.example.com"), changes))
    assert "hidden" not in str(refused.value)


def test_plain_http_to_an_operators_private_line_has_to_be_allowed() -> None:
    rules = {"sending.url": "http://sms.example.com/send", "sending.plain_http": True}
    assert GatewayConfig.model_validate(changed(JSON.rules(""), rules)).sending


@pytest.mark.parametrize("name", ["inbound_key", "outbound_key", "password"])
def test_a_missing_secret_is_named(tools: AdapterTools, name: str) -> None:
    with pytest.raises(SecretMissing, match=name):
        build(tools, secrets={name: ""})
