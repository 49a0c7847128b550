"""The heartbeat tells every console whether the database is there, and how many messages wait for it."""

import asyncio
import json
from typing import Any, cast

import pytest
from aiohttp import web

from core.database import Database
from core.users import User
from crm.blueprint.publishing import Book
from tests.support.entries import NOON, running
from workers.web.live import Console, LiveHub, Watch


class Socket:
    """The end of a live socket that keeps the first frame it is sent."""

    closed = False

    def __init__(self) -> None:
        self.frame: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def send_str(self, text: str) -> None:
        if not self.frame.done():
            self.frame.set_result(json.loads(text))


async def _told(url: str, spooled: int) -> Any:
    db = Database(url)
    hub = LiveHub(db, Book(), lambda: NOON)
    hub.spooled = lambda: spooled
    socket = Socket()
    somebody = cast(User, None)
    hub.add(Console(cast(web.WebSocketResponse, socket), None, somebody, "en", False, Watch()))
    async with running(hub.run()), asyncio.timeout(10):
        frame = await socket.frame
    await db.close()
    return frame["service"]


async def test_a_console_is_told_that_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.web.live.HEARTBEAT", 0.01)
    away = "postgresql+asyncpg://nobody@127.0.0.1:9/none"  # the discard port: nobody answers
    assert await _told(away, 12) == {"database": "away", "spooled": 12}


async def test_a_console_that_comes_back_has_seen_no_more_than_the_crm_has_digested() -> None:
    db = Database("sqlite+aiosqlite://")
    hub = LiveHub(db, Book(), lambda: NOON)
    hub.head = 10
    hub.digested = lambda: 7
    assert hub.resumable == 7
    hub.digested = lambda: 4  # a lane that rested for long has work again
    assert hub.resumable == 7
    hub.digested = lambda: 12  # the tail of this process is the one behind
    assert hub.resumable == 10
    await db.close()


async def test_a_console_is_told_that_all_is_well(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    monkeypatch.setattr("workers.web.live.HEARTBEAT", 0.01)
    assert await _told(postgres_url, 0) == {"database": "ok", "spooled": 0}
