"""Health for machines: alive, ready, and the metrics; on the pages' port or on one of their own.

`/metrics` names accounts, queues and processes and no person; still it is for machines of the house only. On a port of
its own (`SWITCHBOARD_METRICS_PORT`) it answers whoever reaches that port, and the pages' port has none. Otherwise the
pages' port answers this machine only, and not through a proxy. Where `SWITCHBOARD_METRICS_TOKEN` names a token, it must
come as a bearer token, on either port.
"""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address

import orjson
from aiohttp import web

from workers.assemble import Hub
from workers.web.access import HUB, hub_of

_MOST_LAG = 50_000
_BY_PROXY = ("X-Forwarded-For", "Forwarded", "Via")


def routes(*, is_own_port: bool = False) -> list[web.RouteDef]:
    return [
        web.get("/healthz", _alive),
        web.get("/readyz", _ready),
        web.get("/metrics", partial(_metrics, is_own_port=is_own_port)),
    ]


@asynccontextmanager
async def metrics_site(hub: Hub, port: int) -> AsyncIterator[int]:
    """Serve these three beside the block, for any role; gives the port, for whoever asked for 0."""
    app = web.Application()
    app[HUB] = hub
    app.add_routes(routes(is_own_port=True))
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, hub.settings.host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _alive(request: web.Request) -> web.Response:
    """The process answers; nothing else is asked."""
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    """Whether this process should get traffic: 503 names what is missing."""
    hub = hub_of(request)
    is_reachable = await hub.db.is_reachable()
    # While the database is away a web process goes on taking webhooks: it must not lose its traffic then.
    checks = {
        "database": is_reachable or hub.spool is not None,
        "blueprint": hub.book.has_any or not is_reachable,
        "consumers": all(runner.lag < _MOST_LAG for runner in hub.consumers),
    }
    status = 200 if all(checks.values()) else 503
    lag = {runner.name: runner.lag for runner in hub.consumers}
    return web.Response(
        status=status,
        body=orjson.dumps(
            {"checks": checks, "lag": lag, "spooled": hub.spool.contents.entries if hub.spool else 0}
        ),
        content_type="application/json",
    )


async def _metrics(request: web.Request, *, is_own_port: bool) -> web.Response:
    hub = hub_of(request)
    reference = hub.settings.metrics_token
    if not is_own_port and (hub.settings.metrics_port or not (reference or _is_from_here(request))):
        raise web.HTTPNotFound
    if reference:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), hub.secrets.resolve(reference).encode()):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
    body, content_type = hub.metrics.page()
    return web.Response(body=body, headers={"Content-Type": content_type})


def _is_from_here(request: web.Request) -> bool:
    """Asked on this machine, and by nobody who asks for somebody else."""
    if any(name in request.headers for name in _BY_PROXY):
        return False
    try:
        return ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
