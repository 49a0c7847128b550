"""The provider that the guide shows works as the guide says."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from channels.sms import seals
from core.adapter import Account, AdapterTools
from core.values import Address, DeliveryState, Inbound, Unreadable
from tests.channels.sms.specimens import KEY, PORT, PUBLIC, hook_of
from tests.support.channel_kit import NOW, OUT, SENDER, event
from tests.support.fake_provider import FakeProvider, Seen

GUIDE = Path(__file__).parents[2] / "docs" / "adding-a-channel.md"


@pytest.fixture(scope="module")
def pigeon() -> dict[str, Any]:
    """The names that the guide's example defines."""
    example = re.search(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert example
    names: dict[str, Any] = {"__name__": "pigeon"}
    exec(compile(example[1], str(GUIDE), "exec"), names)
    return names


@pytest.fixture
async def tools() -> AsyncIterator[AdapterTools]:
    async with aiohttp.ClientSession() as http:
        yield AdapterTools(http=http, now=lambda: NOW)


class Loft(FakeProvider):
    def answer(self, seen: Seen) -> web.Response:
        return web.json_response({"ring": "R7"})


def build(pigeon: dict[str, Any], tools: AdapterTools, url: str) -> Any:
    spec = pigeon["SPEC"]
    config = spec.config(number=PORT, url=url)
    return spec.build(
        Account(slug="line", provider=spec.name, title="Line", config=config, secrets={"key": KEY}), tools
    )


def read(pigeon: dict[str, Any], tools: AdapterTools, action: str, body: bytes) -> Any:
    url = f"{PUBLIC}/{action}"
    headers = seals.seal(pigeon["SEAL"], KEY, url=url, body=body, at=NOW, nonce="")
    adapter = build(pigeon, tools, "https://127.0.0.1:9")
    return event(adapter.receive(action, hook_of(url, body, headers)))


def test_the_examples_messages_and_reports_are_read(pigeon: dict[str, Any], tools: AdapterTools) -> None:
    message = read(pigeon, tools, "message", b'{"ring": "R1", "from": "13900000001", "text": "Y"}')
    assert isinstance(message, Inbound)
    assert (message.sender, message.text) == (Address("tel", SENDER), "Y")
    update = read(pigeon, tools, "status", b'{"ring": "R1", "state": "landed"}')
    assert update.state is DeliveryState.DELIVERED
    assert isinstance(read(pigeon, tools, "message", b"{}"), Unreadable)


async def test_the_examples_message_is_handed_over(pigeon: dict[str, Any], tools: AdapterTools) -> None:
    async with Loft() as loft:
        receipt = await build(pigeon, tools, f"{loft.base_url}/send").send(OUT)
    assert receipt.external_id == "R7"
