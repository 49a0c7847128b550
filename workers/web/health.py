"""Health for machines: alive, ready, and the metrics."""

import orjson
from aiohttp import web

from workers.web.access import hub_of

_MOST_LAG = 50_000


def routes() -> list[web.RouteDef]:
    return [web.get("/healthz", _alive), web.get("/readyz", _ready), web.get("/metrics", _metrics)]


async def _alive(request: web.Request) -> web.Response:
    """The process answers; nothing else is asked."""
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    """Whether this process should get traffic: 503 names what is missing."""
    hub = hub_of(request)
    checks = {
        "database": await hub.db.is_reachable(),
        "blueprint": hub.book.has_any,
        "consumers": all(runner.lag < _MOST_LAG for runner in hub.consumers),
    }
    status = 200 if all(checks.values()) else 503
    lag = {runner.name: runner.lag for runner in hub.consumers}
    return web.Response(
        status=status, body=orjson.dumps({"checks": checks, "lag": lag}), content_type="application/json"
    )


async def _metrics(request: web.Request) -> web.Response:
    body, content_type = hub_of(request).metrics.page()
    return web.Response(body=body, headers={"Content-Type": content_type})
