"""A hub of several parts, as of the grown size: each part with its own roles, on one PostgreSQL and one Redis."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from core.settings import Settings
from crm.blueprint.publishing import publish
from tests.support.fake_twilio import ACCOUNT_SID, AUTH_TOKEN, NUMBER
from tests.support.hub import TOBACCO, blueprint_of
from tests.support.serve import ORIGIN, TWILIO, keep_secret, signed_sms
from workers.assemble import Hub, assemble, running
from workers.roles import Role
from workers.web.app import create_app
from workers.web.session_api import COOKIE

PATIENCE = 20.0  # seconds


def settings_of(folder: Path, database: str, redis: str, name: str = "") -> Settings:
    return Settings(
        data=folder, database=database, redis=redis, name=name, public_url=ORIGIN, log_level="WARNING", port=0
    )


async def prepare(folder: Path, database: str, redis: str, provider: str) -> str:
    """The blueprint, a line that sends to `provider`, and an agent; returns the token of the agent's sign-in."""
    keep_secret(folder / "twilio.secret", AUTH_TOKEN)
    async with assemble(settings_of(folder, database, redis)) as hub:
        async with hub.db.begin() as tx:
            await publish(tx, blueprint_of(TOBACCO), author="a", approved_by="b", note="", at=hub.clock())
        async with hub.db.begin() as tx:
            await hub.accounts.create(
                tx,
                slug=TWILIO,
                provider="sms.twilio",
                title="Twilio",
                config={"account_sid": ACCOUNT_SID, "sender": NUMBER, "api_base": provider},
                secrets={"auth_token": f"file:{folder / 'twilio.secret'}"},
                at=hub.clock(),
            )
            user = await hub.users.create(tx, login="agent", name="Agent", roles=["agent"])
            return (await hub.sign_ins.begin(tx, user)).token


@dataclass(slots=True)
class Part:
    """One process of the hub, run by a task of this one: `end` stops it in order, `drop` as a crash would."""

    hub: Hub
    url: str
    http: aiohttp.ClientSession
    _stack: AsyncExitStack = field(repr=False)

    async def end(self) -> None:
        await self._stack.aclose()

    async def sms(self, sid: str, text: str, sender: str) -> int:
        body, headers = signed_sms(sid, text, sender)
        async with self.http.post(f"{self.url}/hooks/{TWILIO}/message", data=body, headers=headers) as answer:
            return answer.status

    @asynccontextmanager
    async def console(self, token: str, since: int | None = None) -> AsyncIterator["Console"]:
        headers = {"Cookie": f"{COOKIE}={token}", "Origin": self.url}
        async with self.http.ws_connect(f"{self.url}/api/live", headers=headers) as socket:
            if since is not None:
                await socket.send_json({"op": "hello", "since": since})
            await socket.send_json({"op": "watch", "inbox": {"view": "all", "queue": None}})
            yield Console(socket)


@dataclass(slots=True)
class Console:
    """What a live socket was told."""

    socket: aiohttp.ClientWebSocketResponse
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first frame, of those told so far or still to come, that `there` accepts."""
        for frame in self.frames:
            if there(frame):
                return frame
        async with asyncio.timeout(PATIENCE):
            async for message in self.socket:
                self.frames.append(json.loads(message.data))
                if there(self.frames[-1]):
                    return self.frames[-1]
        raise AssertionError("The socket was closed.")


@asynccontextmanager
async def part(settings: Settings, *roles: Role) -> AsyncIterator[Part]:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(assemble(settings, roles=frozenset(roles)))
        await stack.enter_async_context(running(hub))
        url = ""
        if Role.WEB in roles:
            runner = web.AppRunner(create_app(hub), access_log=None, shutdown_timeout=1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        yield Part(hub, url, http, stack)
