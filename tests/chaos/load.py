"""The providers' side of a fault: senders that offer messages at a steady rate, each again until it is answered 2xx."""

import asyncio
import contextlib
import json
import ssl
import sys
from array import array
from collections import Counter
from random import Random
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from tests.bench.messages import URL, phone
from tests.bench.processes import serve_commands
from tests.support.fake_twilio import AUTH_TOKEN, message_fields, sid, signed_webhook

BUSY = 0
"""The shop that writes far more often than the others; its timeline is watched."""

_BUSY_EVERY = 100
_PATIENCE = 10.0  # seconds until a sender takes silence for a refusal
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0
_TICK = 0.01


ANSWERED = 0.1
"""The share of messages that report stock, and so get a receipt."""

_COMPLAINTS = 0.004


def text(number: int) -> str:
    """Mostly thanks, which cost the house little: two processors carry the house and those who load it."""
    rng = Random(number)
    kind = rng.random()
    if kind < _COMPLAINTS:
        return "投诉 送来的白云渡条盒压坏了，没有人处理"
    if kind < ANSWERED:
        return f"KC {rng.choice(('101', '102', '104', '106'))} {rng.randint(1, 40)}"
    return "谢谢"


def shop_of(number: int, shops: int) -> int:
    return BUSY if number % _BUSY_EVERY == 0 else 1 + number % (shops - 1)


def request(number: int, shops: int) -> bytes:
    """The signed webhook of the message with this number, as bytes."""
    fields = message_fields(sid(number), text(number), phone(shop_of(number, shops)))
    body, headers = signed_webhook(URL, fields, AUTH_TOKEN)
    target = urlsplit(URL)
    lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection:
    """One kept connection to the proxy, opened when it is needed."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def offer(self, wire: bytes) -> str:
        """The status of the answer, or why there is none."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._offer(wire)
        except TimeoutError:
            self._drop()
            return "silence"
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            self._drop()
            return "torn"

    async def _offer(self, wire: bytes) -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
        reader, writer = self._streams
        writer.write(wire)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if b"connection: close" in head:
            self._drop()
        return head[9:12].decode()

    def _drop(self) -> None:
        if self._streams is not None:
            with contextlib.suppress(OSError):
                self._streams[1].close()
            self._streams = None


class Load:
    """Messages become due at the rate whatever becomes of those before; a sender is busy with one until it is taken."""

    def __init__(self, *, port: int, senders: int, rate: float, shops: int) -> None:
        self._rate = rate
        self._shops = shops
        self._due: asyncio.Queue[int] = asyncio.Queue()
        self._due_at = array("d")
        self._taken_at = array("d")
        self._taken = 0
        self._oldest = 0  # all before it are taken
        self._said: Counter[str] = Counter()
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._connections = [_Connection(port, context) for _ in range(senders)]
        self._tasks: list[asyncio.Task[None]] = []
        self._ticking: asyncio.Task[None] | None = None

    async def command(self, asked: dict[str, Any]) -> dict[str, Any]:
        match asked.pop("do"):
            case "start":
                self._tasks = [asyncio.create_task(self._send(each)) for each in self._connections]
                self._ticking = asyncio.create_task(self._tick())
                return {}
            case "stop":
                assert self._ticking is not None
                self._ticking.cancel()
                return self._state()
            case "taken":
                return self._taken_between(**asked)
            case "numbers":
                return {"taken": [number for number, at in enumerate(self._taken_at) if at]}
        return self._state()

    def _state(self) -> dict[str, Any]:
        """`late` is the age of the oldest message that is not taken, in seconds."""
        while self._oldest < len(self._due_at) and self._taken_at[self._oldest]:
            self._oldest += 1
        late = monotonic() - self._due_at[self._oldest] if self._oldest < len(self._due_at) else 0.0
        return {"offered": len(self._due_at), "taken": self._taken, "late": late, "said": dict(self._said)}

    def _taken_between(self, *, first: int, last: int, until: float) -> dict[str, Any]:
        """Of the messages first…last-1: how many were taken, and how many of them by that moment."""
        times = [at for at in self._taken_at[first:last] if at]
        return {"taken": len(times), "in_time": sum(at <= until for at in times)}

    async def _tick(self) -> None:
        start = monotonic()
        while True:
            now = monotonic()
            while len(self._due_at) < (now - start) * self._rate:
                self._due.put_nowait(len(self._due_at))
                self._due_at.append(start + len(self._due_at) / self._rate)
                self._taken_at.append(0.0)
            await asyncio.sleep(_TICK)

    async def _send(self, connection: _Connection) -> None:
        while True:
            number = await self._due.get()
            wire = request(number, self._shops)
            pause = _FIRST_PAUSE
            while not (said := await connection.offer(wire)).startswith("2"):
                self._said[said] += 1
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            self._said[said] += 1
            self._taken_at[number] = monotonic()
            self._taken += 1


async def main() -> None:
    load = Load(**json.loads(sys.argv[1]))
    await serve_commands({}, load.command)


if __name__ == "__main__":
    asyncio.run(main())
