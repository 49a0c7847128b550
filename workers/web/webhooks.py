"""Webhooks: a provider's request is checked, made durable, then answered."""

import logging
from collections.abc import Mapping

from aiohttp import web
from multidict import CIMultiDict

from core.adapter import Hook, HookAnswer, receives
from core.errors import NotFound, PayloadTooLarge
from workers.assemble import Hub
from workers.web.access import hub_of

log = logging.getLogger(__name__)

LARGEST_BODY = 1024 * 1024


async def receive(request: web.Request) -> web.Response:
    """`POST /hooks/{account}/{action}`: 2xx only after every event of the request is in the log."""
    hub = hub_of(request)
    body = await _body(request)
    answer = await take_hook(
        hub,
        request.match_info["account"],
        request.match_info["action"],
        Hook(
            method=request.method,
            url=f"{hub.settings.origin}{request.path_qs}",
            headers=request.headers,
            query=_single(request.query),
            body=body,
            received_at=hub.clock(),
        ),
    )
    return web.Response(
        status=answer.status,
        body=answer.body.encode(),
        headers={"Content-Type": answer.content_type},
    )


async def take_hook(hub: Hub, account: str, action: str, hook: Hook) -> HookAnswer:
    """Decode one request and return the provider's answer once its events are durable."""
    adapter = hub.accounts.adapter(account)
    if not receives(adapter):
        raise NotFound("This account takes no webhooks.", account=account)
    decoded = adapter.receive(action, hook)
    for event in decoded.events:
        await hub.intake.accept(account, event)
    return decoded.answer


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > LARGEST_BODY:
        raise PayloadTooLarge("The request is larger than 1 MiB; send attachments by reference.")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise PayloadTooLarge("The request is larger than 1 MiB; send attachments by reference.")
    return bytes(body)


def _single(query: Mapping[str, str]) -> Mapping[str, str]:
    return dict(query) if query else {}


def headers_of(pairs: Mapping[str, str]) -> Mapping[str, str]:
    """Headers of a request that did not come over the network, with names in any case."""
    return CIMultiDict(pairs)
