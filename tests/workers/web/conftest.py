"""A hub served over HTTP on either engine, and whoever is signed in at it."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.settings import Settings
from core.users import ADMINISTRATOR, User
from crm.blueprint.publishing import publish
from tests.support.hub import TOBACCO, StandingClock, blueprint_of
from workers.assemble import Hub, assemble, running
from workers.web.app import create_app
from workers.web.session_api import COOKIE


@dataclass(slots=True)
class Office:
    """The administrators' pages as a browser uses them."""

    hub: Hub
    client: TestClient[Any, Any]
    clock: StandingClock
    user: User | None = None

    async def sign_in(self, *roles: str, login: str = "") -> User:
        """A new user with these roles, whose browser this now is."""
        async with self.hub.db.begin() as tx:
            login = login or "-".join(("user", *roles))
            self.user = await self.hub.users.create(tx, login=login, name="沈芸", roles=roles)
            signed_in = await self.hub.sign_ins.begin(tx, self.user)
        self.client.session.cookie_jar.update_cookies({COOKIE: signed_in.token})
        self.client.session.headers["X-CSRF"] = signed_in.csrf
        return self.user

    def sign_out(self) -> None:
        self.client.session.cookie_jar.clear()
        self.client.session.headers.pop("X-CSRF", None)

    async def get(self, path: str, **query: Any) -> Any:
        _, found = await self.ask("GET", path, query=query)
        return found

    async def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return await self.ask("POST", path, body)

    async def delete(self, path: str) -> tuple[int, Any]:
        return await self.ask("DELETE", path)

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> tuple[int, Any]:
        params = {key: str(value) for key, value in (query or {}).items()}
        spoken = {"Accept-Language": "en"}
        async with self.client.request(
            method, f"/api/admin/{path}", json=body, params=params, headers=spoken
        ) as answer:
            return answer.status, await answer.json()

    async def acts(self, **query: Any) -> list[dict[str, Any]]:
        """The audit trail, newest first."""
        found: list[dict[str, Any]] = (await self.get("audit", **query))["lines"]
        return found


@pytest.fixture
async def office(
    database_url: str, tmp_path: Path, aiohttp_client: Callable[..., Any]
) -> AsyncIterator[Office]:
    """With a published blueprint and an administrator signed in."""
    clock = StandingClock()
    settings = Settings(data=tmp_path / "data", database=database_url)
    async with assemble(settings, clock) as hub:
        async with hub.db.begin() as tx:
            await publish(tx, blueprint_of(TOBACCO), author="test", approved_by="test", note="", at=clock())
        await hub.book.load(hub.db)
        async with running(hub):
            desk = Office(hub, await aiohttp_client(create_app(hub)), clock)
            await desk.sign_in(ADMINISTRATOR, login="chief")
            yield desk
