"""Health and metrics: for machines of the house, on a port of their own or on the pages', in every role."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from core.settings import Settings
from workers.assemble import Hub, assemble
from workers.roles import Role
from workers.web.app import create_app
from workers.web.health import metrics_site

PAGE = "switchboard_log_commits_total"


@asynccontextmanager
async def _hub(
    folder: Path, roles: frozenset[Role] = frozenset({Role.WEB}), **more: Any
) -> AsyncIterator[Hub]:
    async with assemble(Settings(data=folder, **more), roles=roles) as hub:
        yield hub


async def _asked(hub: Hub, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """`/metrics` of the pages' port."""
    async with (
        TestClient(TestServer(create_app(hub))) as client,
        client.get("/metrics", headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def test_the_pages_port_tells_this_machine_only(tmp_path: Path) -> None:
    async with _hub(tmp_path) as hub:
        status, page = await _asked(hub)
        assert (status, PAGE in page) == (200, True)
        for by_proxy in ("X-Forwarded-For", "Forwarded", "Via"):
            status, page = await _asked(hub, {by_proxy: "127.0.0.1"})
            assert (status, PAGE in page) == (404, False)


async def test_the_pages_port_has_none_where_there_is_another(tmp_path: Path) -> None:
    async with _hub(tmp_path, metrics_port=9100) as hub:
        assert (await _asked(hub))[0] == 404


async def test_a_token_is_asked_for_where_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the-token-of-prometheus\n")
    async with _hub(tmp_path, metrics_token=f"file:{tmp_path / 'token'}") as hub:
        assert (await _asked(hub))[0] == 401
        assert (await _asked(hub, {"Authorization": "Bearer another"}))[0] == 401
        right = {"Authorization": "Bearer the-token-of-prometheus"}
        assert (await _asked(hub, right))[0] == 200
        assert (await _asked(hub, {**right, "X-Forwarded-For": "10.0.0.1"}))[0] == 200


@pytest.mark.parametrize("role", [Role.JOBS, Role.DIGEST, Role.SCHEDULE])
async def test_roles_without_pages_have_a_port_of_their_own(tmp_path: Path, role: Role) -> None:
    async with (
        _hub(tmp_path, frozenset({role})) as hub,
        metrics_site(hub, 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        async with http.get("/healthz") as alive:
            assert alive.status == 200
        async with http.get("/readyz") as ready:
            assert ready.status == 503
            assert (await ready.json())["checks"] == {"database": True, "blueprint": False, "consumers": True}
        async with http.get("/metrics") as metrics:
            assert (metrics.status, PAGE in await metrics.text()) == (200, True)
        async with http.get("/") as page:
            assert page.status == 404
