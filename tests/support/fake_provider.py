"""A provider on loopback that speaks real HTTP and behaves as a test asks."""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from aiohttp import web
from multidict import CIMultiDict


class Behaviour(StrEnum):
    TAKES = "takes"
    THROTTLES = "throttles"  # 429, Retry-After: 7
    IS_AWAY = "is away"  # 503
    FAILS = "fails"  # 500
    SAYS_NOTHING = "says nothing"  # reads the request and never answers
    TEARS = "tears"  # reads the request and drops the connection
    BABBLES = "babbles"  # 200 and something that is no answer
    FLOODS = "floods"  # 200 and more than any answer has
    RECIPIENT_LEFT = "recipient left"
    NO_SUCH_RECIPIENT = "no such recipient"
    REJECTS_US = "rejects us"  # 401


@dataclass(frozen=True, slots=True)
class Seen:
    method: str
    path: str
    headers: CIMultiDict[str]
    body: bytes


class FakeProvider(ABC):
    """Used as `async with`; `asked` is set once a request has been read whole."""

    def __init__(self) -> None:
        self.behaviour = Behaviour.TAKES
        self.seen: list[Seen] = []
        self.asked = asyncio.Event()
        self.base_url = ""
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(request.method, request.path, CIMultiDict(request.headers), await request.read())
        self.seen.append(seen)
        self.asked.set()
        match self.behaviour:
            case Behaviour.SAYS_NOTHING:
                await self._over.wait()
            case Behaviour.TEARS:
                assert request.transport is not None
                request.transport.abort()
            case Behaviour.BABBLES:
                return web.Response(text='<html>{"taken?', content_type="application/json")
            case Behaviour.FLOODS:
                return web.Response(body=b"[" * 2_000_000, content_type="application/json")
            case Behaviour.THROTTLES:
                return web.Response(status=429, headers={"Retry-After": "7"})
            case Behaviour.IS_AWAY:
                return web.Response(status=503)
            case Behaviour.FAILS:
                return web.Response(status=500, text="Internal Server Error")
        return self.answer(seen)

    @abstractmethod
    def answer(self, seen: Seen) -> web.Response:
        """What the provider's own protocol says: taken, or one of its errors."""


@contextmanager
def nobody_listens() -> Iterator[str]:
    """A URL on loopback whose port is ours and refuses every connection."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
