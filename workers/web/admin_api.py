"""The administrators' pages over HTTP. That only they may ask is seen to in one place: workers/web/app.py."""

from aiohttp import web

from workers.web import accounts_api, audit_api, outbox_api, roles_api, system_api, users_api


def routes() -> list[web.RouteDef]:
    return [
        *users_api.routes(),
        *roles_api.routes(),
        *accounts_api.routes(),
        *audit_api.routes(),
        *outbox_api.routes(),
        *system_api.routes(),
    ]
