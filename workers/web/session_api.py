"""Who is signed in: the session, the demo's doors, password and one-time codes."""

from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import BadInput, NotFound
from core.sign_in import SignedIn
from core.totp import provisioning_uri
from core.users import User
from core.words import LOCALES
from workers.assemble import Hub
from workers.demo import doors
from workers.web.access import (
    CSRF,
    USER,
    actions_of,
    hub_of,
    is_administrator,
    user_of,
    whoever_is_signed_in,
)

BodyT = TypeVar("BodyT", bound=BaseModel)

COOKIE: Final = "sb_session"
LOCALE_COOKIE: Final = "sb_locale"
_TWELVE_HOURS = 12 * 3600


class Body(BaseModel):
    """Base of every request body: nothing unknown is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SignInBody(Body):
    login: str = Field(max_length=200)
    password: str = Field(max_length=1000)
    totp: str = Field(default="", max_length=20)


class LocaleBody(Body):
    locale: str


class PasswordBody(Body):
    old: str = Field(max_length=1000)
    new: str = Field(max_length=1000)


class CodeBody(Body):
    code: str = Field(max_length=20)


def routes() -> list[web.RouteDef]:
    return [
        web.get("/api/session", _session),
        web.post("/api/session", _sign_in),
        web.delete("/api/session", _sign_out),
        web.post("/api/session/locale", _set_locale),
        web.post("/api/session/password", _change_password),
        web.post("/api/session/totp", _propose_totp),
        web.post("/api/session/totp/confirm", _confirm_totp),
        web.delete("/api/session/totp", _remove_totp),
        web.post("/api/demo/doors/{key}", _enter),
    ]


async def parsed(request: web.Request, kind: type[BodyT]) -> BodyT:
    """The request's JSON body. Raises BadInput with every problem at once."""
    try:
        return kind.model_validate_json(await request.read())
    except ValidationError as error:
        problems = [
            {"field": ".".join(str(part) for part in each["loc"]), "problem": each["msg"]}
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise BadInput("The request does not fit; see detail.", problems=problems) from error


def answer(data: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(data), content_type="application/json")


def is_same_origin(request: web.Request) -> bool:
    """Whether a browser says that one of our own pages sends this; a program that says nothing is no browser."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
    return urlsplit(origin).netloc in (request.host, urlsplit(hub_of(request).settings.origin).netloc)


def locale_of(request: web.Request) -> str:
    """The language of the answer: asked for in the URL, chosen before, or the browser's first that we have."""
    for wanted in (request.query.get("lang", ""), request.cookies.get(LOCALE_COOKIE, "")):
        if wanted in LOCALES:
            return wanted
    for part in request.headers.get("Accept-Language", "").split(","):
        tag = part.split(";")[0].strip().lower()
        if tag.startswith(("zh-hant", "zh-tw", "zh-hk", "zh-mo")):
            return "zh-Hant"
        if tag.startswith("zh"):
            return "zh-Hans"
        if tag.startswith("en"):
            return "en"
    return "zh-Hans"


def shown_user(hub: Hub, user: User) -> dict[str, Any]:
    return {
        "id": str(user.id),
        "login": user.login,
        "name": user.name,
        "roles": list(user.roles),
        "unit": user.unit or None,
        "queues": list(user.queues),
        "actions": actions_of(hub.book.current.blueprint, user) if hub.book.has_any else [],
        "totp": user.has_totp,
        "administrator": is_administrator(user),
        "given_password": user.has_given_password,
    }


async def _session(request: web.Request) -> web.Response:
    hub = hub_of(request)
    user = request.get(USER)
    locale = locale_of(request)
    data: dict[str, Any] = {
        "user": shown_user(hub, user) if user else None,
        "csrf": request.get(CSRF, ""),
        "demo": hub.settings.is_demo,
        "locale": locale,
        "locales": list(LOCALES),
    }
    if hub.settings.is_demo:
        data["doors"] = doors.shown(locale)
    return answer(data)


async def _sign_in(request: web.Request) -> web.Response:
    hub = hub_of(request)
    body = await parsed(request, SignInBody)
    signed_in = await hub.sign_ins.sign_in(
        body.login,
        body.password,
        body.totp,
        remote=request.remote or "",
        replaces=request.cookies.get(COOKIE, ""),
    )
    return _begun(request, signed_in, {})


def _begun(request: web.Request, signed_in: SignedIn, more: dict[str, Any]) -> web.Response:
    response = answer({"user": shown_user(hub_of(request), signed_in.user), "csrf": signed_in.csrf, **more})
    response.set_cookie(
        COOKIE,
        signed_in.token,
        max_age=_TWELVE_HOURS,
        httponly=True,
        samesite="Lax",
        secure=hub_of(request).settings.origin.startswith("https:"),
        path="/",
    )
    return response


async def _sign_out(request: web.Request) -> web.Response:
    await hub_of(request).sign_ins.sign_out(request.cookies.get(COOKIE, ""))
    response = answer({})
    response.del_cookie(COOKIE, path="/")
    return response


async def _set_locale(request: web.Request) -> web.Response:
    body = await parsed(request, LocaleBody)
    if body.locale not in LOCALES:
        raise BadInput("We speak these languages.", locales=list(LOCALES))
    response = answer({"locale": body.locale})
    response.set_cookie(LOCALE_COOKIE, body.locale, max_age=365 * 24 * 3600, samesite="Lax", path="/")
    return response


async def _change_password(request: web.Request) -> web.Response:
    user = whoever_is_signed_in(request)
    body = await parsed(request, PasswordBody)
    return _begun(request, await hub_of(request).sign_ins.change_password(user, body.old, body.new), {})


async def _propose_totp(request: web.Request) -> web.Response:
    user = user_of(request)
    secret = await hub_of(request).sign_ins.propose_totp(user)
    return answer({"secret": secret, "uri": provisioning_uri(secret, user.login, "Switchboard")})


async def _confirm_totp(request: web.Request) -> web.Response:
    body = await parsed(request, CodeBody)
    await hub_of(request).sign_ins.confirm_totp(user_of(request), body.code)
    return answer({})


async def _remove_totp(request: web.Request) -> web.Response:
    body = await parsed(request, CodeBody)
    await hub_of(request).sign_ins.remove_totp(user_of(request), body.code)
    return answer({})


async def _enter(request: web.Request) -> web.Response:
    hub = hub_of(request)
    if not hub.settings.is_demo:
        raise NotFound("There are no doors here; sign in with your password.")
    entered = await doors.enter(hub, request.match_info["key"])
    return _begun(request, entered.signed_in, {"opens": entered.opens})
