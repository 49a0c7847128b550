"""The administrators' part of the API is theirs alone: every route, those that are added later too."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from aiohttp import web

from tests.workers.web.conftest import Office
from workers.web.access import ADMINISTRATION

ALL = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH"})
CHANGING = ALL - {"GET"}


def every_route(office: Office, methods: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Method and path, with names that nothing has."""
    app: web.Application = office.client.app
    for route in app.router.routes():
        path = route.resource.canonical if route.resource else ""
        if path.startswith(ADMINISTRATION) and route.method in methods:
            filled = "/".join(str(uuid4()) if part.startswith("{") else part for part in path.split("/"))
            yield route.method, filled.removeprefix(ADMINISTRATION)


async def answers(office: Office, methods: frozenset[str] = ALL) -> dict[str, tuple[int, str]]:
    return {
        f"{method} {path}": (status, told["error"]["code"])
        for method, path in every_route(office, methods)
        for status, told in [await office.ask(method, path)]
    }


@pytest.mark.parametrize("role", ["agent", "agent_lead", "modeller", "retailer"])
async def test_no_other_role_gets_in(office: Office, role: str) -> None:
    await office.sign_in(role)
    told = await answers(office)
    assert len(told) >= 17
    assert set(told.values()) == {(403, "forbidden")}


async def test_nobody_gets_in_without_signing_in(office: Office) -> None:
    office.sign_out()
    assert set((await answers(office)).values()) == {(401, "not_signed_in")}


async def test_an_administrator_changes_nothing_without_the_sessions_token(office: Office) -> None:
    del office.client.session.headers["X-CSRF"]
    assert set((await answers(office, CHANGING)).values()) == {(403, "csrf_invalid")}


async def test_an_administrator_who_was_made_an_agent_is_out_at_once(office: Office) -> None:
    assert office.user is not None
    await office.hub.sign_ins.who("")
    async with office.hub.db.begin() as tx:
        await office.hub.users.create(tx, login="other", name="Other", roles=["admin"])
        await office.hub.users.change(tx, office.user.id, roles=["agent"])
    assert (await office.ask("GET", "users"))[0] == 403


async def test_a_spelling_of_the_path_does_not_get_around_the_door(office: Office) -> None:
    await office.sign_in("agent")
    for path in ("/api/%61dmin/users", "/api/admin%2Fusers", "/api//admin/users", "/api/./admin/users"):
        async with office.client.get(path) as told:
            assert told.status in (403, 404), path
