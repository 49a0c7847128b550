"""The web application: routes, who asks, how errors are told, what browsers may load."""

import logging
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

from core.database import is_outage
from core.errors import SwitchboardError, TooManyRequests, Unavailable
from core.sign_in import is_csrf_valid
from core.telemetry import request_context
from core.words import say
from workers.assemble import Hub
from workers.web import (
    admin_api,
    collection_api,
    desk_acts_api,
    desk_api,
    health,
    pages,
    session_api,
    simulator_api,
    socket,
    webhooks,
)
from workers.web.access import ADMINISTRATION, CSRF, HUB, USER, require_administrator
from workers.web.session_api import COOKIE, locale_of

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_SECURITY_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(self), microphone=(self)",
}


def create_app(hub: Hub, web_folder: Path = pages.DIST) -> web.Application:
    app = web.Application(
        middlewares=[tell_errors, know_who],
        client_max_size=webhooks.LARGEST_BODY,
        handler_args={"access_log": None},
    )
    app[HUB] = hub
    app[socket.SOCKETS] = set()
    app.router.add_route("*", "/hooks/{account}/{action}", webhooks.receive)
    app.add_routes(health.routes())
    app.add_routes(session_api.routes())
    app.add_routes(desk_api.routes())
    app.add_routes(desk_acts_api.routes())
    app.add_routes(collection_api.routes())
    app.add_routes(admin_api.routes())
    app.add_routes(socket.routes())
    app.add_routes(simulator_api.routes())
    app.add_routes(pages.routes(web_folder))
    app.on_response_prepare.append(_protect)
    app.on_shutdown.append(socket.close_all)
    return app


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.startswith("/hooks/"):
        return
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith("/api/"):
        response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def tell_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn the error tree into answers that say what to do; everything else is logged and told as ours."""
    started = time.perf_counter()
    metrics = request.app[HUB].metrics
    status = 500
    try:
        with request_context(request.headers.get("X-Request-Id", "")):
            response = await _answer(request, handler)
        status = response.status
        return response
    finally:
        route = request.match_info.route.resource
        metrics.answered(
            request.method, route.canonical if route else "none", status, time.perf_counter() - started
        )


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or not request.path.startswith("/api/"):
            raise
        code = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}.get(
            error.status, "http_error"
        )
        return _error(error.status, code, error.reason, {})
    except SwitchboardError as error:
        if error.status >= 500:
            log.warning(
                "request failed", extra={"path": request.path, "code": error.code, "reason": error.message}
            )
        if request.path.startswith("/hooks/"):
            account = request.match_info.get("account", "")
            request.app[HUB].metrics.intake_refused(account, error.code)
        message = say(locale_of(request), error.message)
        if isinstance(error, TooManyRequests):
            seconds = max(1, math.ceil(error.retry_after.total_seconds()))
            response = _error(error.status, error.code, message, {**error.detail, "retry_after": seconds})
            response.headers["Retry-After"] = str(seconds)
            return response
        response = _error(error.status, error.code, message, error.detail)
        if isinstance(error, Unavailable):
            response.headers["Retry-After"] = "2"
        return response
    except Exception as error:
        if is_outage(error):
            log.warning("request failed", extra={"path": request.path, "reason": type(error).__name__})
            said = say(locale_of(request), "The database is away for the moment; try again shortly.")
            response = _error(503, Unavailable.code, said, {})
            response.headers["Retry-After"] = "2"
            return response
        log.exception("request failed", extra={"path": request.path})
        said = say(locale_of(request), "Something went wrong here; it has been noted.")
        return _error(500, "internal", said, {})


def _error(status: int, code: str, message: str, detail: dict[str, object]) -> web.Response:
    body = orjson.dumps({"error": {"code": code, "message": message, "detail": detail}}, default=str)
    return web.Response(status=status, body=body, content_type="application/json")


@web.middleware
async def know_who(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the signed-in user on the request; what changes something must carry the session's token.

    Whatever lies under `ADMINISTRATION` is for administrators.
    """
    if not request.path.startswith("/api/"):
        return await handler(request)
    token = request.cookies.get(COOKIE, "")
    known = await request.app[HUB].sign_ins.who(token) if token else None
    if known is not None:
        request[USER], request[CSRF] = known
        if request.method not in _SAFE and not is_csrf_valid(known[1], request.headers.get("X-CSRF", "")):
            said = say(locale_of(request), "The page is out of date; load it again.")
            return _error(403, "csrf_invalid", said, {})
    elif request.method not in _SAFE and not session_api.is_same_origin(request):
        return _error(403, "origin_invalid", "This request did not come from our own pages.", {})
    resource = request.match_info.route.resource
    if resource is not None and resource.canonical.startswith(ADMINISTRATION):
        require_administrator(request)  # here, so that no page of theirs can forget to ask
    return await handler(request)
