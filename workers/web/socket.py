"""The live socket: signed in, from our own pages, resumed by sequence number."""

import asyncio
import logging
from typing import Final, Literal
from uuid import UUID

from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.errors import Forbidden
from crm.desk.inbox import View
from workers.web.access import REVEAL, hub_of, may, require
from workers.web.live import Console, LiveHub, Watch
from workers.web.session_api import is_same_origin, locale_of

log = logging.getLogger(__name__)

_LARGEST_MESSAGE = 4 * 1024
SOCKETS: Final = web.AppKey("sockets", set)


class _Op(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Hello(_Op):
    op: Literal["hello"]
    since: int | None = Field(default=None, ge=0, le=2**62)


class _Inbox(_Op):
    view: View
    queue: str | None = Field(default=None, max_length=64)


class _Watch(_Op):
    op: Literal["watch"]
    inbox: _Inbox | None = None
    party: UUID | None = None
    phone: str | None = Field(default=None, max_length=40)


class _Presence(_Op):
    op: Literal["presence"]
    party: UUID
    state: Literal["looking", "typing", "gone"]


class _Ping(_Op):
    op: Literal["ping"]


_OPS: Final[TypeAdapter[_Hello | _Watch | _Presence | _Ping]] = TypeAdapter(
    _Hello | _Watch | _Presence | _Ping
)


def routes() -> list[web.RouteDef]:
    return [web.get("/api/live", _live)]


async def _live(request: web.Request) -> web.WebSocketResponse:
    user = require(request, "interaction.read")
    if not is_same_origin(request):
        raise Forbidden("Live frames are only for our own pages.")
    hub = hub_of(request)
    # Uncompressed: a deflate window for each console would cost more than all else that it holds.
    socket = web.WebSocketResponse(max_msg_size=_LARGEST_MESSAGE, compress=False, autoping=True)
    await socket.prepare(request)
    locale = locale_of(request)
    sees = may(hub.book.current.blueprint, user, REVEAL)
    console = Console(
        socket=socket,
        transport=request.transport,
        user=user,
        locale=locale,
        sees_numbers=sees,
        watch=Watch(locale=locale, sees_numbers=sees),
        head=hub.live.resumable,
    )
    sockets = request.app[SOCKETS]
    sockets.add(socket)
    hub.live.add(console)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await _take(hub.live, console, message.data)
    finally:
        hub.live.remove(console)
        sockets.discard(socket)
    return socket


async def _take(live: LiveHub, console: Console, text: str) -> None:
    try:
        op = _OPS.validate_json(text)
    except ValidationError:
        log.info("console sent nonsense", extra={"user": console.user.login})
        return
    match op:
        case _Hello(since=since):
            console.since = since
        case _Watch():
            console.watch = Watch(
                view=op.inbox.view if op.inbox else None,
                queue=(op.inbox.queue or "") if op.inbox else "",
                party=op.party,
                phone=op.phone or "",
                mine=console.user.id if op.inbox and op.inbox.view is View.MINE else None,
                locale=console.locale,
                sees_numbers=console.sees_numbers,
            )
            await live.catch_up(console)
        case _Presence():
            live.be_present(console, op.party, op.state)
        case _Ping():
            await console.send(b'{"head":%d}' % live.resumable)


async def close_all(app: web.Application) -> None:
    """Say good-bye, so that consoles come back to another process at once and shutdown does not wait for them."""
    open_sockets = app[SOCKETS]
    await asyncio.gather(
        *(socket.close(code=WSCloseCode.GOING_AWAY, message=b"restart") for socket in list(open_sockets)),
        return_exceptions=True,
    )
