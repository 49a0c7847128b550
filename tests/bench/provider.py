"""The provider's end in a benchmark: takes every message as Twilio's Messages resource does, and notes when."""

import asyncio
import re
from time import perf_counter
from typing import Any, cast
from urllib.parse import unquote_plus

import orjson

from tests.bench.processes import serve_commands

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TO = re.compile(rb"(?:^|&)To=([^&]*)")


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as far as the hub's client speaks it: whole bodies of a stated length, kept alive."""

    def __init__(self, provider: "Provider") -> None:
        self._provider = provider
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._rest, 0, end + 2)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self._rest) < size:
                return
            body, self._rest = self._rest[end + 4 : size], self._rest[size:]
            self._transport.write(self._provider.take(body))


class Provider:
    """`taken` holds the recipient and the moment of each message."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, float]] = []
        self._count = 0

    def take(self, body: bytes) -> bytes:
        found = _TO.search(body)
        self.taken.append((unquote_plus(found[1].decode()) if found else "", perf_counter()))
        self._count += 1
        answer = orjson.dumps(
            {"sid": f"SM{self._count:032x}", "status": "queued", "num_segments": "1", "error_code": None}
        )
        head = (
            f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        )
        return head.encode() + answer

    async def command(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Give and forget what was taken."""
        taken, self.taken = self.taken, []
        return {"taken": taken}


async def main() -> None:
    provider = Provider()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(provider), "127.0.0.1", 0)
    async with server:
        await serve_commands({"port": server.sockets[0].getsockname()[1]}, provider.command)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
