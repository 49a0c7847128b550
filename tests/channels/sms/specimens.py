"""How tests speak as each SMS provider would."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1, sha256
from hmac import digest
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode
from zoneinfo import ZoneInfo

from multidict import CIMultiDict

from channels.sms import gateway, simulator, twilio
from channels.sms.gateway_rules import GatewayConfig
from core.adapter import Account, ChannelSpec, Hook
from core.values import DeliveryState
from tests.support.channel_kit import NOW, SENDER, TEXT
from tests.support.fake_gateway import OUTBOUND_KEY, PASSWORD, FakeGateway, FakeSink
from tests.support.fake_provider import FakeProvider
from tests.support.fake_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    FORM,
    NUMBER,
    FakeTwilio,
    message_fields,
    status_fields,
)

PUBLIC = "https://hub.example.com/hooks/line"
PORT = "10690000123"
KEY = "the-inbound-key-of-the-line"


def hook_of(url: str, body: bytes, headers: dict[str, str], at: datetime = NOW) -> Hook:
    return Hook(method="POST", url=url, headers=CIMultiDict(headers), query={}, body=body, received_at=at)


@dataclass(frozen=True)
class TwilioSpecimen:
    name: str = "sms.twilio"
    spec: ChannelSpec[Any] = twilio.SPEC
    signature_header: str = "X-Twilio-Signature"
    secrets: Sequence[str] = (AUTH_TOKEN, b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode())

    def account(self, base_url: str) -> Account[twilio.TwilioConfig]:
        config = twilio.TwilioConfig(account_sid=ACCOUNT_SID, sender=NUMBER, api_base=base_url)
        return Account(
            slug="line", provider=self.name, title="Line", config=config, secrets={"auth_token": AUTH_TOKEN}
        )

    def hook(self, action: str, body: bytes, *, key: str | None = None, at: datetime = NOW) -> Hook:
        # Over bytes, so that also a form which is no UTF-8 is signed as Twilio would.
        pairs = parse_qsl(
            body.decode("utf-8", "surrogateescape"), keep_blank_values=True, errors="surrogateescape"
        )
        url = f"{PUBLIC}/{action}"
        signed = (url + "".join(name + value for name, value in sorted(set(pairs)))).encode(
            "utf-8", "surrogateescape"
        )
        signature = b64encode(digest((key or AUTH_TOKEN).encode(), signed, sha1)).decode()
        return hook_of(url, body, {"Content-Type": FORM, "X-Twilio-Signature": signature}, at)

    def message(self, id: str, text: str, sender: str, at: datetime = NOW) -> bytes:
        return urlencode(message_fields(id, text, sender)).encode()

    def status(self, id: str, state: DeliveryState) -> bytes:
        return urlencode(status_fields(id, state.value, SENDER)).encode()

    def malformed(self) -> Sequence[bytes]:
        good = self.message("SM1", TEXT, SENDER)
        return (
            b"",
            b"AccountSid=" + ACCOUNT_SID.encode(),
            good.replace(b"&MessageSid=SM1", b"").replace(b"SmsSid=SM1", b""),
            good.replace(b"Body=", b"Leib="),
            good.replace(b"&From=%2B8613900000001", b"&From="),
            good.replace(b"NumMedia=0", b"NumMedia=lots"),
            good.replace(ACCOUNT_SID.encode(), b"AC" + b"6" * 32),
            good + b"&Body=other",
        )

    def other_charset(self) -> bytes:
        return urlencode(message_fields("SM1", "库存", SENDER), encoding="gb18030").encode()

    def provider(self) -> FakeProvider:
        return FakeTwilio()

    def said(self, provider: FakeProvider) -> tuple[str, str]:
        fields = parse_qs(provider.seen[-1].body.decode())
        return fields["To"][0], fields["Body"][0]


@dataclass(frozen=True)
class JsonGatewaySpecimen:
    """A gateway that posts several messages at once, with a sealed time."""

    name: str = "sms.gateway"
    spec: ChannelSpec[Any] = gateway.SPEC
    signature_header: str = "X-Sign"
    secrets: Sequence[str] = (KEY, OUTBOUND_KEY, PASSWORD)

    def rules(self, base_url: str) -> dict[str, Any]:
        """An account's configuration as somebody would write it."""
        return {
            "number": PORT,
            "receiving": {
                "format": "json",
                "seal": {
                    "header": "X-Sign",
                    "prefix": "sha256=",
                    "signed": ["timestamp", "nonce", "body"],
                    "joiner": ".",
                    "timestamp_header": "X-Time",
                    "nonce_header": "X-Nonce",
                },
                "message": {
                    "list": "data.messages",
                    "id": "msgId",
                    "sender": "phone",
                    "text": "msg.0.content",
                    "time": "moTime",
                    "time_form": "compact",
                },
                "report": {
                    "list": "data.reports",
                    "id": "msgId",
                    "state": "stat",
                    "recipient": "phone",
                    "time": "doneTime",
                    "time_form": "%y%m%d%H%M",
                    "error": "err",
                    "errors": {"001": "recipient_invalid"},
                },
                "answer_body": '{"code":0}',
                "answer_type": "application/json",
            },
            "sending": {
                "url": f"{base_url}/send",
                "fields": {
                    "password": "{secret.password}",
                    "message": {"mobile": "{to}", "content": "{text}", "ext": ["{id}", 1]},
                    "template": "{template}",
                    "parameters": "{parameters}",
                },
                "seal": {"header": "X-Signature"},
                "success": "code",
                "success_values": ["0"],
                "id": "data.id",
                "error": "code",
                "errors": {
                    "1001": "recipient_invalid",
                    "1002": "recipient_opted_out",
                    "1003": "provider_rejected_us",
                },
                "signature": "【楚岚】",
            },
        }

    def account(self, base_url: str) -> Account[GatewayConfig]:
        return Account(
            slug="line",
            provider="sms.gateway",
            title="Line",
            config=GatewayConfig.model_validate(self.rules(base_url)),
            secrets={"inbound_key": KEY, "outbound_key": OUTBOUND_KEY, "password": PASSWORD},
        )

    def hook(self, action: str, body: bytes, *, key: str | None = None, at: datetime = NOW) -> Hook:
        stamp = str(int(at.timestamp()))
        proof = digest((key or KEY).encode(), f"{stamp}.n1.".encode() + body, sha256).hex()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-Sign": f"sha256={proof}",
            "X-Time": stamp,
            "X-Nonce": "n1",
        }
        return hook_of(f"{PUBLIC}/{action}", body, headers, at)

    def message(self, id: str, text: str, sender: str, at: datetime = NOW) -> bytes:
        time = at.astimezone(ZoneInfo("Asia/Shanghai")).strftime("%Y%m%d%H%M%S")
        one = {"msgId": id, "phone": sender, "msg": [{"content": text}], "moTime": time}
        return json.dumps({"data": {"messages": [one]}}).encode()

    def status(self, id: str, state: DeliveryState) -> bytes:
        words = {
            DeliveryState.SENT: "ACCEPTD",
            DeliveryState.DELIVERED: "DELIVRD",
            DeliveryState.UNDELIVERED: "UNDELIV",
        }
        one = {"msgId": id, "phone": SENDER, "stat": words[state], "doneTime": "2611201630", "err": "000"}
        return json.dumps({"data": {"reports": [one]}}).encode()

    def malformed(self) -> Sequence[bytes]:
        good = self.message("SM1", TEXT, SENDER)
        return (
            b"",
            b"{}",
            b"null",
            b"{",
            b"[" * 100_000,
            b'{"data": {"messages": 7}}',
            b'{"data": {"messages": [7]}}',
            b'{"data": {"messages": NaN}}',
            b"9" * 5000,
            good.replace(b'"content"', b'"contents"'),
            good.replace(b'"phone": "', b'"phone": "x!'),
            good.replace(b'"msgId": "SM1"', b'"msgId": ["SM1"]'),
            good.replace(b'"msgId": "SM1"', b'"msgId": "S 1"'),
            good.decode().encode("utf-16"),
        )

    def other_charset(self) -> bytes:
        body = {"data": {"messages": [{"msgId": "1", "phone": SENDER, "msg": [{"content": "库存"}]}]}}
        return json.dumps(body, ensure_ascii=False).encode("gb18030")

    def provider(self) -> FakeProvider:
        return FakeGateway()

    def said(self, provider: FakeProvider) -> tuple[str, str]:
        assert isinstance(provider, FakeGateway)
        order = provider.order(provider.seen[-1])
        return order["mobile"], order["content"]


class FormGatewaySpecimen(JsonGatewaySpecimen):
    """An older gateway: forms in GB18030, epoch times, base64 signatures."""

    def rules(self, base_url: str) -> dict[str, Any]:
        rules = super().rules(base_url)
        rules["receiving"] = {
            "format": "form",
            "charset": "gb18030",
            "seal": {"header": "X-Sign", "encoding": "base64", "algorithm": "hmac-sha1"},
            "message": {
                "id": "msgid",
                "sender": "from",
                "recipient": "to",
                "text": "content",
                "time": "ts",
                "time_form": "epoch-ms",
            },
            "report": {
                "id": "msgid",
                "state": "stat",
                "states": {"1": "sent", "0": "delivered", "9": "undelivered"},
            },
        }
        rules["sending"] |= {
            "format": "form",
            "charset": "gb18030",
            "fields": {"mobile": "{to}", "content": "{text}", "password": "{secret.password}"},
        }
        return rules

    def hook(self, action: str, body: bytes, *, key: str | None = None, at: datetime = NOW) -> Hook:
        proof = b64encode(digest((key or KEY).encode(), body, sha1)).decode()
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=gb18030", "X-Sign": proof}
        return hook_of(f"{PUBLIC}/{action}", body, headers, at)

    def message(self, id: str, text: str, sender: str, at: datetime = NOW) -> bytes:
        fields = {
            "msgid": id,
            "from": sender,
            "to": PORT,
            "content": text,
            "ts": str(int(at.timestamp() * 1000)),
        }
        return urlencode(fields, encoding="gb18030").encode()

    def status(self, id: str, state: DeliveryState) -> bytes:
        words = {DeliveryState.SENT: "1", DeliveryState.DELIVERED: "0", DeliveryState.UNDELIVERED: "9"}
        return urlencode({"msgid": id, "stat": words[state]}).encode()

    def malformed(self) -> Sequence[bytes]:
        good = self.message("SM1", TEXT, SENDER)
        return (
            b"",
            b"a=1",
            b"&".join([b"a=1"] * 500),
            good.replace(b"content", b"contents"),
            good.replace(b"&from=", b"&from=x!"),
            good + b"&content=other",
            "content=库存".encode("gb18030"),
        )

    def other_charset(self) -> bytes:
        return b"msgid=SM1&from=13900000001&ts=1&content=%FF%FF"

    def provider(self) -> FakeProvider:
        return FakeGateway("gb18030")


@dataclass(frozen=True)
class SimulatorSpecimen:
    name: str = "sms.simulator"
    spec: ChannelSpec[Any] = simulator.SPEC
    signature_header: str = "X-Simulator-Signature"
    secrets: Sequence[str] = (KEY,)

    def account(self, base_url: str) -> Account[simulator.SimulatorConfig]:
        config = simulator.SimulatorConfig(number=PORT, sink_url=f"{base_url}/sink")
        return Account(
            slug="line", provider=self.name, title="Line", config=config, secrets={"signing_key": KEY}
        )

    def hook(self, action: str, body: bytes, *, key: str | None = None, at: datetime = NOW) -> Hook:
        url = f"{PUBLIC}/{action}"
        stamp = str(int(at.timestamp()))
        proof = digest((key or KEY).encode(), f"{stamp}\n{url}\n".encode() + body, sha256).hex()
        headers = {
            "Content-Type": "application/json",
            "X-Simulator-Signature": proof,
            "X-Simulator-Time": stamp,
        }
        return hook_of(url, body, headers, at)

    def message(self, id: str, text: str, sender: str, at: datetime = NOW) -> bytes:
        return json.dumps({"id": id, "from": sender, "text": text, "at": at.isoformat()}).encode()

    def status(self, id: str, state: DeliveryState) -> bytes:
        return json.dumps({"id": id, "state": state}).encode()

    def malformed(self) -> Sequence[bytes]:
        good = self.message("SM1", TEXT, SENDER)
        return (
            b"",
            b"[]",
            b"{}",
            b'{"id": 7}',
            b"{" * 100_000,
            good.replace(b'"text"', b'"texts"'),
            good.replace(b'"from": "', b'"from": "x!'),
            good.replace(b'"id": "SM1"', b'"id": ""'),
        )

    def other_charset(self) -> bytes:
        body = {"id": "1", "from": SENDER, "text": "库存"}
        return json.dumps(body, ensure_ascii=False).encode("gb18030")

    def provider(self) -> FakeProvider:
        return FakeSink()

    def said(self, provider: FakeProvider) -> tuple[str, str]:
        read = json.loads(provider.seen[-1].body)
        return read["to"], read["text"]


SPECIMENS = (
    TwilioSpecimen(),
    JsonGatewaySpecimen(),
    FormGatewaySpecimen(name="sms.gateway (forms)"),
    SimulatorSpecimen(),
)
