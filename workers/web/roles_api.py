"""What each role of the published blueprint may do and see, for administrators who have to understand it at once."""

from typing import Any

from aiohttp import web

from core.users import ADMINISTRATOR
from crm.blueprint.functions import Action
from crm.blueprint.model import Blueprint
from crm.blueprint.organisation import Role
from workers.web.access import hub_of
from workers.web.session_api import answer, locale_of


def routes() -> list[web.RouteDef]:
    return [web.get("/api/admin/roles", _roles)]


async def _roles(request: web.Request) -> web.Response:
    hub = hub_of(request)
    if not hub.book.has_any:
        return answer({"version": None, "roles": [], "groups": []})
    blueprint, locale = hub.book.current.blueprint, locale_of(request)
    return answer(
        {
            "version": hub.book.version,
            "roles": [_role(blueprint, role, locale) for role in blueprint.roles],
            "groups": _groups(blueprint.actions, locale),
        }
    )


def _role(blueprint: Blueprint, role: Role, locale: str) -> dict[str, Any]:
    permissions = blueprint.permissions
    return {
        "key": role.id,
        "title": role.title.text(locale),
        "external": role.external,
        "unmasked": role.unmasked or permissions.may(role.id, "party.reveal"),
        "administrator": role.id == ADMINISTRATOR,
        "grants": {
            action: {
                "when": grant.when,
                "days": grant.within.days if grant.within else None,
                "four_eyes": grant.four_eyes,
            }
            for grant in permissions.actions
            if grant.role == role.id
            for action in grant.allow
        },
        "rows": [
            {
                "entity": rule.entity,
                "all": rule.rows.strip() == "true",
                "rule": rule.rows,
                "show": list(rule.show),
                "hide": list(rule.hide),
            }
            for rule in permissions.data
            if rule.role == role.id
        ],
    }


def _groups(actions: tuple[Action, ...], locale: str) -> list[dict[str, Any]]:
    """The actions by what they act on: `case.open` and `case.close` stand together."""
    groups: dict[str, list[dict[str, str]]] = {}
    for action in actions:
        groups.setdefault(action.id.partition(".")[0], []).append(
            {"key": action.id, "title": action.title.text(locale)}
        )
    return [{"key": key, "actions": entries} for key, entries in groups.items()]
