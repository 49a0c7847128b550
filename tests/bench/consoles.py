"""Agents' consoles: raw WebSocket clients in one process, which note when each new line reaches each of them."""

import asyncio
import struct
from array import array
from collections.abc import Callable
from time import perf_counter
from typing import Any, cast

import orjson
import uvloop

from tests.bench.messages import ORIGIN
from tests.bench.processes import serve_commands
from workers.web.session_api import COOKIE

_SIDE_BY_SIDE = 50  # handshakes at a time
_LAST_DIGITS = 4


class Seen:
    """What the consoles saw: each console's first sight of each incoming line."""

    def __init__(self) -> None:
        self._frames: dict[
            int, tuple[int, ...]
        ] = {}  # what stands in a frame, by its hash: many get the same
        self._senders: dict[int, str] = {}
        self.seqs = array("q")
        self.times = array("d")
        self.frames = 0
        self.bytes = 0

    def lines(self, frame: bytes) -> tuple[int, ...]:
        key = hash(frame)
        known = self._frames.get(key)
        if known is None:
            lines = [line for line in orjson.loads(frame).get("lines", ()) if line["direction"] == "in"]
            for line in lines:
                self._senders[line["seq"]] = line["from"][-_LAST_DIGITS:]
            known = self._frames[key] = tuple(line["seq"] for line in lines)
        return known

    def given(self) -> dict[str, Any]:
        return {
            "seqs": list(self.seqs),
            "times": list(self.times),
            "senders": self._senders,
            "frames": self.frames,
            "bytes": self.bytes,
        }


class _Console(asyncio.Protocol):
    def __init__(self, token: str, watch: dict[str, Any], seen: Seen) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._token = token
        self._watch = watch
        self._seen = seen
        self._known: set[int] = set()
        self._rest = b""
        self._take: Callable[[], bool] = self._take_handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport.write(
            (
                "GET /api/live HTTP/1.1\r\nHost: hub.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Origin: {ORIGIN}\r\nCookie: {COOKIE}={self._token}\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            ).encode()
        )

    def data_received(self, data: bytes) -> None:
        self._rest = self._rest + data if self._rest else data
        while self._rest and self._take():
            pass

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("The hub took no console."))

    def send(self, op: dict[str, Any]) -> None:
        # Masked with zeros: a client's frames must carry a mask, and any will do.
        body = orjson.dumps(op)
        self._transport.write(bytes((0x81, 0x80 | len(body))) + bytes(4) + body)

    def _take_handshake(self) -> bool:
        head, gap, rest = self._rest.partition(b"\r\n\r\n")
        if not gap:
            return False
        if not head.startswith(b"HTTP/1.1 101"):
            self.ready.set_exception(ConnectionError(head.decode()))
            return False
        self._rest = rest
        self._take = self._take_frame
        self.send({"op": "watch", **self._watch})
        return True

    def _take_frame(self) -> bool:
        rest = self._rest
        if len(rest) < 2:
            return False
        start, length = 2, rest[1] & 0x7F
        if length == 126:
            if len(rest) < 4:
                return False
            start, length = 4, struct.unpack_from(">H", rest, 2)[0]
        elif length == 127:
            if len(rest) < 10:
                return False
            start, length = 10, struct.unpack_from(">Q", rest, 2)[0]
        if len(rest) < start + length:
            return False
        self._rest = rest[start + length :]
        if rest[0] & 0x0F == 1:
            self._take_text(rest[start : start + length])
        return True

    def _take_text(self, frame: bytes) -> None:
        at = perf_counter()
        seen = self._seen
        seen.frames += 1
        seen.bytes += len(frame)
        if not self.ready.done():
            self.ready.set_result(None)
        for seq in seen.lines(frame):
            if seq not in self._known:
                self._known.add(seq)
                seen.seqs.append(seq)
                seen.times.append(at)


class Consoles:
    def __init__(self) -> None:
        self._seen = Seen()
        self._open: list[_Console] = []

    async def command(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "open":
            await self._connect(asked["port"], asked["tokens"], asked["watches"])
            return {"open": len(self._open)}
        return self._seen.given()

    async def _connect(self, port: int, tokens: list[str], watches: list[dict[str, Any]]) -> None:
        wanted = list(zip(tokens, watches, strict=True))
        while wanted:
            some, wanted = wanted[:_SIDE_BY_SIDE], wanted[_SIDE_BY_SIDE:]
            opened = await asyncio.gather(*(self._one(port, token, watch) for token, watch in some))
            async with asyncio.timeout(60):
                await asyncio.gather(*(console.ready for console in opened))
            self._open += opened

    async def _one(self, port: int, token: str, watch: dict[str, Any]) -> _Console:
        loop = asyncio.get_running_loop()
        _, console = await loop.create_connection(
            lambda: _Console(token, watch, self._seen), "127.0.0.1", port
        )
        return console


async def main() -> None:
    await serve_commands({}, Consoles().command)


if __name__ == "__main__":
    uvloop.run(main())
