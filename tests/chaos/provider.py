"""The provider that takes the replies: slow enough that a fault finds some on their way, and it counts each."""

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import parse_qs

import orjson

from tests.bench.processes import serve_commands

_THINKS = 0.03  # seconds between having a message and saying so


class Provider:
    """`POST …/Messages.json` as far as the hub's client speaks it. What a request brought counts, answered or not."""

    def __init__(self) -> None:
        self.taken: Counter[tuple[str, str]] = Counter()
        self._count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                answer = self._take(await reader.readexactly(length))
                await asyncio.sleep(_THINKS)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _take(self, body: bytes) -> bytes:
        fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.taken[fields["To"], fields["Body"]] += 1
        self._count += 1
        said = orjson.dumps(
            {"sid": f"SM{self._count:032x}", "status": "queued", "num_segments": "1", "error_code": None}
        )
        head = (
            f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n"
        )
        return head.encode() + said

    async def command(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Give what was taken: recipient, text and how many times."""
        return {"taken": [(to, text, times) for (to, text), times in self.taken.items()]}


async def main() -> None:
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    async with server:
        await serve_commands({"port": server.sockets[0].getsockname()[1]}, provider.command)


if __name__ == "__main__":
    asyncio.run(main())
