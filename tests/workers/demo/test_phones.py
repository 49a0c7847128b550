"""The demo in the browser: doors that sign in, phones that write and are answered, traffic that can be paused."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from core.log.appenders import Prepared
from core.settings import Settings
from core.values import Accepted
from workers.assemble import Hub, assemble, running
from workers.demo.people import people
from workers.demo.traffic import Traffic
from workers.web.app import create_app

SHOP = "+8613900000001"


@dataclass
class Browser:
    """Someone at the demo's first page."""

    client: TestClient[Any, Any]
    hub: Hub
    handed_over: asyncio.Event
    csrf: str = ""

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        async with self.client.get(path, params=query) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, **body: Any) -> tuple[int, Any]:
        async with self.client.post(path, json=body, headers={"X-CSRF": self.csrf}) as answer:
            return answer.status, await answer.json()

    async def enter(self, door: str) -> dict[str, Any]:
        status, said = await self.post(f"/api/demo/doors/{door}")
        assert status == 200, said
        self.csrf = said["csrf"]
        found: dict[str, Any] = said
        return found

    async def texts(self, number: str) -> list[tuple[str, str]]:
        _, said = await self.get(f"/api/simulator/phones/{number}/messages")
        return [(message["direction"], message["text"]) for message in said["messages"]]

    async def answered(self) -> None:
        """Return when an answer has left and the hub has noted it."""
        async with asyncio.timeout(10):
            await self.handed_over.wait()
        await self.hub.caught_up()


@pytest.fixture
async def browser(hub: Hub) -> AsyncIterator[Browser]:
    handed_over = asyncio.Event()

    def committed(entries: Sequence[Prepared], at: datetime) -> None:
        if any(item.entry.dedupe_key.startswith("sent:") for item in entries):
            handed_over.set()

    hub.writer.on_commit(committed)
    app = create_app(replace(hub, traffic=Traffic(hub)))
    async with TestClient(TestServer(app)) as client:
        yield Browser(client, hub, handed_over)


@pytest.mark.parametrize(
    ("door", "login", "opens"),
    [
        ("agent", "lin.xiaoman", "/console"),
        ("collection", "xu.huilan", "/collection"),
        ("shop", "shunfa", "/simulator"),
        ("side-by-side", "chen.jing", "/side-by-side"),
    ],
)
async def test_a_door_signs_in_as_its_person(browser: Browser, door: str, login: str, opens: str) -> None:
    entered = await browser.enter(door)
    assert entered["user"]["login"] == login
    assert entered["opens"] == opens
    _, session = await browser.get("/api/session")
    assert session["user"]["login"] == login


@pytest.mark.parametrize("door", ["rep", "consumer", "nowhere"])
async def test_a_door_that_is_not_open_yet_lets_nobody_in(browser: Browser, door: str) -> None:
    assert (await browser.post(f"/api/demo/doors/{door}"))[0] == 404


async def test_the_first_page_lists_all_doors_in_the_language_of_the_browser(browser: Browser) -> None:
    _, session = await browser.get("/api/session", lang="en")
    doors = {door["key"]: door for door in session["doors"]}
    assert doors["agent"]["title"] == "Call-center agent"
    assert [key for key, door in doors.items() if not door["available"]] == ["rep", "consumer"]


async def test_a_report_from_the_phone_is_answered_on_the_phone(browser: Browser) -> None:
    await browser.enter("shop")
    before = await browser.texts(SHOP)
    status, sent = await browser.post(f"/api/simulator/phones/{SHOP}/messages", text="KC 101 3;102 12条5包")
    assert status == 200
    await browser.answered()
    _, said = await browser.get(f"/api/simulator/phones/{SHOP}/messages")
    question, answer = said["messages"][len(before) :]
    assert (question["id"], question["direction"]) == (sent["id"], "sent")
    assert answer["direction"] == "received"
    assert "楚岚(硬)3条；楚岚(软)12条5盒" in answer["text"]


async def test_the_same_message_sent_twice_is_one(browser: Browser) -> None:
    await browser.enter("shop")
    path = f"/api/simulator/phones/{SHOP}/messages"
    first, second = [(await browser.post(path, text="KC 101 4", id="click-1"))[1] for _ in range(2)]
    assert first == second


async def test_shops_come_first_and_can_be_found_by_name_licence_and_number(browser: Browser) -> None:
    await browser.enter("shop")
    _, said = await browser.get("/api/simulator/phones")
    assert said["phones"][0]["name"] == "顺发便民店"
    assert said["phones"][-1]["number"] == people().stranger.number
    for query in ("老街", "429901100025", "13900000002"):
        _, said = await browser.get("/api/simulator/phones", q=query)
        assert [phone["name"] for phone in said["phones"]] == ["老街烟酒行"]


async def test_a_number_that_nobody_knows_can_write_and_then_has_a_party(browser: Browser) -> None:
    await browser.enter("shop")
    number = people().stranger.number
    assert await browser.texts(number) == []
    await browser.post(f"/api/simulator/phones/{number}/messages", text="KC 101 3")
    await browser.answered()
    sent, received = await browser.texts(number)
    assert sent == ("sent", "KC 101 3")
    assert received[0] == "received"
    assert "绑定" in received[1]


@pytest.mark.parametrize("text", ["", "字" * 1001])
async def test_a_message_without_or_with_too_much_text_is_refused(browser: Browser, text: str) -> None:
    await browser.enter("shop")
    assert (await browser.post(f"/api/simulator/phones/{SHOP}/messages", text=text))[0] == 400


@pytest.mark.parametrize("number", ["12313", "nobody at all"])
async def test_only_a_telephone_number_is_a_phone(browser: Browser, number: str) -> None:
    await browser.enter("shop")
    assert (await browser.post(f"/api/simulator/phones/{number}/messages", text="KC 101 3"))[0] == 400


async def test_nobody_writes_without_a_door_or_the_token_of_their_session(browser: Browser) -> None:
    path = f"/api/simulator/phones/{SHOP}/messages"
    assert (await browser.post(path, text="KC 101 3"))[0] == 401
    assert (await browser.get("/api/simulator/phones"))[0] == 401
    await browser.enter("shop")
    browser.csrf = "forged"
    assert (await browser.post(path, text="KC 101 3"))[0] == 403


async def test_traffic_can_be_paused_and_goes_on(browser: Browser) -> None:
    await browser.enter("side-by-side")
    assert await browser.get("/api/simulator/traffic") == (200, {"running": True})
    assert await browser.post("/api/simulator/traffic", running=False) == (200, {"running": False})
    assert await browser.get("/api/simulator/traffic") == (200, {"running": False})
    assert await browser.post("/api/simulator/traffic", running=True) == (200, {"running": True})


async def test_examples_are_told_in_the_language_of_the_page(browser: Browser) -> None:
    await browser.enter("shop")
    _, said = await browser.get("/api/simulator/examples", lang="en")
    assert said["examples"][0] == {"title": "Report stock", "text": "KC 101 3;102 12条5包"}


async def test_outside_the_demo_there_are_neither_phones_nor_doors(settings: Settings) -> None:
    real = settings.model_copy(update={"is_demo": False})
    async with assemble(real) as hub, running(hub), TestClient(TestServer(create_app(hub))) as client:
        browser = Browser(client, hub, asyncio.Event())
        assert (await browser.post("/api/demo/doors/agent"))[0] == 404
        assert (await browser.get("/api/simulator/phones"))[0] == 404
        assert "doors" not in (await browser.get("/api/session"))[1]


async def test_other_shops_write_what_can_be_read(hub: Hub) -> None:
    traffic = Traffic(hub, running=False)
    for _ in range(12):
        taken = await traffic.next()
        assert isinstance(taken, Accepted)
        assert taken.is_new
    await hub.caught_up()
    assert hub.crm.parked == 0


async def test_traffic_that_is_paused_waits(hub: Hub) -> None:
    traffic = Traffic(hub, running=False)
    assert not traffic.is_running
    traffic.is_running = True
    assert traffic.is_running
