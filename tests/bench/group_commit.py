"""Limit L: the log's own group commit of the same entries, without HTTP, signatures or consumers."""

import asyncio
import sys
from itertools import cycle
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any
from uuid import uuid4

import uvloop

from core.clock import now
from core.database import Database
from core.intake import entry_of
from core.log.entries import Entry
from core.log.writer import LogWriter
from core.values import Address, ChannelKind, Inbound
from tests.bench.messages import ACCOUNT, phone, text
from tests.bench.processes import serve_commands
from tests.bench.senders import percentile
from tests.bench.world import settings_of
from tests.support.fake_twilio import NUMBER, message_fields, signed_webhook

_SHOPS = 300


def entries(count: int) -> list[Entry]:
    rng = Random(7)
    shops = cycle(range(_SHOPS))
    made = []
    for _ in range(count):
        sid, words, number = f"SM{uuid4().hex}", text(rng), phone(next(shops))
        body, _ = signed_webhook("https://hub.example", message_fields(sid, words, number))
        event = Inbound(
            external_id=sid,
            dedupe_key=f"in:{sid}",
            sender=Address("tel", number),
            recipient=Address("tel", NUMBER),
            occurred_at=now(),
            text=words,
            raw=body,
        )
        made.append(entry_of(ACCOUNT, ChannelKind.SMS, event, now()))
    return made


class GroupCommit:
    """Answers the commands `make` and `measure`: what is written is made before the clock runs."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._made: list[Entry] = []

    async def command(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "make":
            self._made = entries(asked["count"])
            return {"made": len(self._made)}
        return await self._measure(asked["senders"], asked["seconds"])

    async def _measure(self, senders: int, seconds: float) -> dict[str, Any]:
        writer = LogWriter(await self._db.appender(), lambda: 1)
        ready = iter(self._made)
        taken: list[float] = []
        writing = asyncio.create_task(writer.run())
        start = perf_counter()
        end = start + seconds

        async def send() -> None:
            while (began := perf_counter()) < end:
                await writer.write(next(ready))
                taken.append(perf_counter() - began)

        await asyncio.gather(*(send() for _ in range(senders)))
        spent = perf_counter() - start
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        return {
            "rate": len(taken) / spent,
            "p50_ms": percentile(taken, 0.5) * 1000,
            "p99_ms": percentile(taken, 0.99) * 1000,
        }


async def main(folder: Path) -> None:
    db = Database(settings_of(folder).database_url)
    keeping = asyncio.create_task(db.keep())
    try:
        await serve_commands({}, GroupCommit(db).command)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await db.close()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
