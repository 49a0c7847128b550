"""Users over HTTP, for administrators: who there is, and every change to them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from aiohttp import web
from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.errors import NotFound
from core.passwords import invented
from core.tables import SignIn
from core.users import ADMINISTRATOR, User, all_users, by_id
from crm.desk.viewer import moment
from workers.administration import users
from workers.administration.acts import Actor
from workers.assemble import Hub
from workers.web.access import hub_of, user_of
from workers.web.session_api import Body, answer, locale_of, parsed

_MOST = 200  # roles, queues or territories of one user


class Places(Body):
    name: str = Field(max_length=200)
    roles: tuple[str, ...] = Field(default=(), max_length=_MOST)
    unit: str = Field(default="", max_length=100)
    queues: tuple[str, ...] = Field(default=(), max_length=_MOST)
    territories: tuple[str, ...] = Field(default=(), max_length=_MOST)


class NewUser(Places):
    login: str = Field(max_length=200)


def routes() -> list[web.RouteDef]:
    one = "/api/admin/users/{id}"
    return [
        web.get("/api/admin/users", _list),
        web.post("/api/admin/users", _add),
        web.post(one, _change),
        web.post(f"{one}/password", _give_password),
        web.delete(f"{one}/totp", _remove_totp),
        web.post(f"{one}/disable", _disable),
        web.post(f"{one}/enable", _enable),
        web.delete(f"{one}/sign-ins", _end_sign_ins),
    ]


def actor_of(request: web.Request) -> Actor:
    return Actor(user=user_of(request).id)


async def _list(request: web.Request) -> web.Response:
    hub = hub_of(request)
    async with hub.db.read() as session:
        found = await all_users(session, with_disabled=True)
        open_now = await _sign_ins(session, hub)
    return answer(
        {
            "users": [_shown(user, open_now) for user in found],
            "me": str(user_of(request).id),
            "choices": _choices(hub, locale_of(request)),
        }
    )


async def _sign_ins(session: AsyncSession, hub: Hub) -> Mapping[UUID, int]:
    """How many sign-ins of each user have not ended."""
    rows = await session.execute(
        select(col(SignIn.user_id), func.count())
        .where(col(SignIn.expires_at) > hub.clock())
        .group_by(col(SignIn.user_id))
    )
    return dict(rows.all())


def _shown(user: User, open_now: Mapping[UUID, int]) -> dict[str, Any]:
    return {
        "id": str(user.id),
        "login": user.login,
        "name": user.name,
        "roles": list(user.roles),
        "unit": user.unit,
        "queues": list(user.queues),
        "territories": list(user.territories),
        "totp": user.has_totp,
        "given_password": user.has_given_password,
        "sign_ins": open_now.get(user.id, 0),
        "seen_at": moment(user.seen_at),
        "created_at": moment(user.created_at),
        "disabled_at": moment(user.disabled_at),
    }


def _choices(hub: Hub, locale: str) -> dict[str, Any]:
    """What a user may be given, by the published blueprint."""
    if not hub.book.has_any:
        return {
            "roles": [_titled(ADMINISTRATOR, ADMINISTRATOR)],
            "units": [],
            "queues": [],
            "territories": [],
        }
    blueprint = hub.book.current.blueprint
    roles = [
        {"external": role.external, **_titled(role.id, role.title.text(locale))} for role in blueprint.roles
    ]
    if all(role["key"] != ADMINISTRATOR for role in roles):
        roles.append({"external": False, **_titled(ADMINISTRATOR, ADMINISTRATOR)})
    return {
        "roles": roles,
        "units": _tree(blueprint.org_units, locale),
        "queues": [_titled(queue.id, queue.title.text(locale)) for queue in blueprint.queues],
        "territories": _tree(blueprint.territories, locale),
    }


def _tree(entries: Sequence[Any], locale: str) -> list[dict[str, Any]]:
    """Units or territories, each below the one it belongs to, with its depth."""
    below: dict[str | None, list[Any]] = {}
    for entry in entries:
        below.setdefault(entry.parent, []).append(entry)

    def walk(parent: str | None, depth: int) -> list[dict[str, Any]]:
        return [
            line
            for entry in below.get(parent, ())
            for line in (
                {"depth": depth, **_titled(entry.id, entry.title.text(locale))},
                *walk(entry.id, depth + 1),
            )
        ]

    return walk(None, 0)


def _titled(key: str, title: str) -> dict[str, Any]:
    return {"key": key, "title": title}


async def _named(request: web.Request) -> User:
    try:
        id = UUID(request.match_info["id"])
    except ValueError:
        raise NotFound("There is no such user.") from None
    async with hub_of(request).db.read() as session:
        return await by_id(session, id)


async def _answer(request: web.Request, user: User, **more: Any) -> web.Response:
    hub = hub_of(request)
    async with hub.db.read() as session:
        open_now = await _sign_ins(session, hub)
    return answer({"user": _shown(user, open_now), **more})


async def _add(request: web.Request) -> web.Response:
    """The answer holds the password that the new user begins with; it is nowhere else and is not shown again."""
    hub = hub_of(request)
    body = await parsed(request, NewUser)
    password = invented(body.login)
    user = await users.add(
        hub,
        actor_of(request),
        login=body.login,
        name=body.name,
        password_hash=await hub.sign_ins.hash_new(password, body.login),
        is_password_given=True,
        roles=body.roles,
        unit=body.unit,
        queues=body.queues,
        territories=body.territories,
    )
    return await _answer(request, user, password=password)


async def _change(request: web.Request) -> web.Response:
    user = await _named(request)
    body = await parsed(request, Places)
    changed = await users.change(
        hub_of(request),
        actor_of(request),
        user.id,
        name=body.name,
        roles=body.roles,
        unit=body.unit,
        queues=body.queues,
        territories=body.territories,
    )
    return await _answer(request, changed)


async def _give_password(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = await _named(request)
    password = await users.give_password(hub, actor_of(request), user)
    return await _answer(request, await _named(request), password=password)


async def _remove_totp(request: web.Request) -> web.Response:
    user = await _named(request)
    return await _answer(request, await users.remove_totp(hub_of(request), actor_of(request), user.id))


async def _disable(request: web.Request) -> web.Response:
    user = await _named(request)
    return await _answer(
        request, await users.set_disabled(hub_of(request), actor_of(request), user.id, is_disabled=True)
    )


async def _enable(request: web.Request) -> web.Response:
    user = await _named(request)
    return await _answer(
        request, await users.set_disabled(hub_of(request), actor_of(request), user.id, is_disabled=False)
    )


async def _end_sign_ins(request: web.Request) -> web.Response:
    user = await _named(request)
    return await _answer(request, await users.end_sign_ins(hub_of(request), actor_of(request), user.id))
