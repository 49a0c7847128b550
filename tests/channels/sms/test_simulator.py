"""The simulator speaks like a provider, and keeps what leaves."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from channels.sms.simulator import SPEC, Simulator, SimulatorConfig, signed_request
from core.adapter import Account, AdapterTools
from core.errors import SecretMissing, SignatureInvalid
from core.values import Address, DeliveryState, StatusUpdate, Unreadable
from tests.channels.sms.specimens import KEY, PORT, PUBLIC, hook_of
from tests.support.channel_kit import NOW, OUT, SENDER, event

URL = f"{PUBLIC}/message"


@pytest.fixture
async def tools() -> AsyncIterator[AdapterTools]:
    async with aiohttp.ClientSession() as http:
        yield AdapterTools(http=http, now=lambda: NOW)


def build(tools: AdapterTools, key: str = KEY, **config: Any) -> Simulator:
    whole = SimulatorConfig.model_validate({"number": PORT} | config)
    return Simulator(
        Account(slug="line", provider=SPEC.name, title="Line", config=whole, secrets={"signing_key": key}),
        tools,
    )


async def test_what_leaves_is_kept_in_order_and_within_bounds(tools: AdapterTools) -> None:
    line = build(tools, keeps=2)
    receipts = [await line.send(replace(OUT, text=text)) for text in ("a", "b", "长" * 71)]
    assert [(sms.text, sms.recipient, sms.at) for sms in line.sent] == [
        ("b", OUT.recipient, NOW),
        ("长" * 71, OUT.recipient, NOW),
    ]
    assert [receipt.segments for receipt in receipts] == [1, 1, 2]
    assert receipts[0].state is DeliveryState.HANDED_OVER


def test_a_phone_of_the_demo_is_believed(tools: AdapterTools) -> None:
    body, headers = signed_request(KEY, URL, {"id": "p1", "from": SENDER, "text": "库存"}, NOW)
    message = event(build(tools).receive("message", hook_of(URL, body, headers)))
    assert (message.sender, message.recipient) == (Address("tel", SENDER), Address("short", PORT))
    assert (message.text, message.occurred_at) == ("库存", NOW)


def test_a_request_is_of_no_use_elsewhere_or_later(tools: AdapterTools) -> None:
    body, headers = signed_request(KEY, URL, {"id": "p1", "from": SENDER, "text": "Y"}, NOW)
    hook = hook_of(URL, body, headers)
    with pytest.raises(SignatureInvalid):
        build(tools).receive("message", replace(hook, received_at=NOW + timedelta(minutes=6)))
    with pytest.raises(SignatureInvalid):
        build(tools).receive("message", replace(hook, url="https://hub.example.com/hooks/other/message"))


def test_a_phone_may_report_why_a_message_failed(tools: AdapterTools) -> None:
    fields = {"id": "sim-1", "state": "undelivered", "error": "switched off"}
    body, headers = signed_request(KEY, URL, fields, NOW)
    update = event(build(tools).receive("status", hook_of(URL, body, headers)))
    assert isinstance(update, StatusUpdate)
    assert (update.state, update.provider_error) == (DeliveryState.UNDELIVERED, "switched off")


def test_an_unknown_state_is_kept_as_unreadable(tools: AdapterTools) -> None:
    body, headers = signed_request(KEY, URL, {"id": "sim-1", "state": "eaten"}, NOW)
    decoded = build(tools).receive("status", hook_of(URL, body, headers))
    assert isinstance(event(decoded), Unreadable)
    assert "delivered" in decoded.answer.body


@pytest.mark.parametrize("url", ["https://example.com/sink", "http://10.0.0.1/sink", "sink", "file:///sink"])
def test_the_simulator_never_leaves_this_machine(url: str) -> None:
    with pytest.raises(ValidationError):
        SimulatorConfig(number=PORT, sink_url=url)


def test_a_missing_key_is_named(tools: AdapterTools) -> None:
    with pytest.raises(SecretMissing, match="signing_key"):
        build(tools, key="")
