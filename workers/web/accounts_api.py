"""Our lines over HTTP, for administrators: which there are, whether they work, and every change to them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from pydantic import Field
from sqlalchemy import select
from sqlmodel import col

from channels.catalog import CATALOG
from core.adapter import ChannelSpec
from core.errors import BadInput, ConfigInvalid, NotFound
from core.secrets import is_reference
from core.tables import AccountRow
from core.words import say
from crm.desk.viewer import moment
from workers.administration import accounts
from workers.assemble import Hub
from workers.web.access import hub_of
from workers.web.account_fields import fields_of, secrets_of
from workers.web.session_api import Body, answer, locale_of, parsed
from workers.web.users_api import actor_of
from workers.web.vocabulary import PROVIDERS, words_for


class Configured(Body):
    title: str = Field(default="", max_length=200)
    config: dict[str, Any] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)  # references, never secrets


class NewAccount(Configured):
    slug: str = Field(max_length=100)
    provider: str = Field(max_length=100)


def routes() -> list[web.RouteDef]:
    one = "/api/admin/accounts/{slug}"
    return [
        web.get("/api/admin/accounts", _list),
        web.post("/api/admin/accounts", _add),
        web.post(one, _change),
        web.post(f"{one}/test", _test),
        web.post(f"{one}/enable", _enable),
        web.post(f"{one}/disable", _disable),
    ]


async def _list(request: web.Request) -> web.Response:
    hub, locale = hub_of(request), locale_of(request)
    async with hub.db.read() as session:
        rows = await session.scalars(select(AccountRow).order_by(col(AccountRow.slug)))
    return answer(
        {
            "accounts": [_shown(hub, row, locale) for row in rows],
            "providers": [_provider(spec, locale) for spec in CATALOG],
        }
    )


def _shown(hub: Hub, row: AccountRow, locale: str) -> dict[str, Any]:
    spec = next((spec for spec in CATALOG if spec.name == row.provider), None)
    problem = hub.accounts.problems().get(row.slug)
    return {
        "slug": row.slug,
        "title": row.title,
        "provider": row.provider,
        "provider_title": _title(spec, locale) if spec else row.provider,
        "kind": spec.kind.value if spec else "",
        "enabled": row.is_enabled,
        "problems": _problems(problem, locale) if problem else [],
        "config": row.config,
        # A reference of an older hub may be a secret that somebody wrote out: it is not shown.
        "secrets": {name: each if is_reference(each) else "" for name, each in row.secrets.items()},
        "hooks": accounts.hooks(hub, row.slug, spec.actions) if spec else [],
        "updated_at": moment(row.updated_at),
    }


def _provider(spec: ChannelSpec[Any], locale: str) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": _title(spec, locale),
        "kind": spec.kind.value,
        "demo": spec.is_demo,
        "fields": fields_of(spec, locale),
        "secrets": secrets_of(spec, locale),
    }


def _title(spec: ChannelSpec[Any], locale: str) -> str:
    return say(locale, PROVIDERS.get(spec.name, spec.title))


def _problems(error: ConfigInvalid | BadInput, locale: str) -> list[dict[str, str]]:
    """Each problem with the field that it belongs to; without a field where it belongs to none."""
    found = error.detail.get("problems")
    if not isinstance(found, Sequence) or isinstance(found, str):
        return [{"field": str(error.detail.get("field", "")), "problem": say(locale, error.message)}]
    split = [str(each).partition(": ") for each in found]
    return [{"field": field, "problem": say(locale, words_for(problem))} for field, _, problem in split]


@asynccontextmanager
async def _explaining(locale: str) -> AsyncIterator[None]:
    """What does not fit is the administrator's to put right, field by field, not a fault of ours."""
    try:
        yield
    except (ConfigInvalid, BadInput) as error:
        problems = _problems(error, locale)
        raise BadInput("The line cannot be used like this.", problems=problems) from error


async def _add(request: web.Request) -> web.Response:
    hub = hub_of(request)
    body = await parsed(request, NewAccount)
    async with _explaining(locale_of(request)):
        await accounts.add(
            hub,
            actor_of(request),
            slug=body.slug,
            provider=body.provider,
            title=body.title,
            config=body.config,
            secrets=body.secrets,
        )
    return await _answer(request, body.slug)


async def _change(request: web.Request) -> web.Response:
    body = await parsed(request, Configured)
    slug = request.match_info["slug"]
    async with _explaining(locale_of(request)):
        await accounts.change(
            hub_of(request),
            actor_of(request),
            slug,
            title=body.title,
            config=body.config,
            secrets=body.secrets,
        )
    return await _answer(request, slug)


async def _test(request: web.Request) -> web.Response:
    slug = request.match_info["slug"]
    async with _explaining(locale_of(request)):
        await accounts.check(hub_of(request), slug)
    return await _answer(request, slug)


async def _enable(request: web.Request) -> web.Response:
    slug = request.match_info["slug"]
    async with _explaining(locale_of(request)):
        await accounts.set_enabled(hub_of(request), actor_of(request), slug, is_enabled=True)
    return await _answer(request, slug)


async def _disable(request: web.Request) -> web.Response:
    slug = request.match_info["slug"]
    await accounts.set_enabled(hub_of(request), actor_of(request), slug, is_enabled=False)
    return await _answer(request, slug)


async def _answer(request: web.Request, slug: str) -> web.Response:
    hub = hub_of(request)
    async with hub.db.read() as session:
        row = await session.get(AccountRow, slug)
    if row is None:
        raise NotFound("There is no such account.", account=slug)
    return answer({"account": _shown(hub, row, locale_of(request))})
