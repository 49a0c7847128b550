"""The hub under load: the real application in one process, or one of the limits that it is compared with."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import uvloop
from aiohttp import web
from sqlalchemy import func, select
from sqlmodel import col

from core.clock import now
from core.database import Database
from core.intake import Intake, entry_of
from core.log import reader
from core.log.appenders import prepare
from core.outbox import Lane
from core.sending import queue_message
from core.tables import Content, LogEntry, LogHead, LogKey, OutboxItem
from core.telemetry import set_up_logging
from core.values import Accepted, Address, ChannelEvent
from tests.bench.messages import ACCOUNT
from tests.bench.processes import serve_commands
from tests.bench.world import settings_of
from workers.assemble import Hub, assemble, running
from workers.roles import WORKING, Role
from workers.up import MODESTY
from workers.web.app import create_app

_NOTHING = Accepted(id=UUID(int=0), seq=0, is_new=True)


class AnswersAtOnce(Intake):
    """Limit N: everything that is checked before the log, and nothing after."""

    async def accept(self, account: str, event: ChannelEvent) -> Accepted:
        entry_of(account, self._kind_of(account), event, self._clock())
        return _NOTHING


class CommitsEach(Intake):
    """Limit O: the same rows by one ORM session and one durable commit for each request."""

    db: Database

    async def accept(self, account: str, event: ChannelEvent) -> Accepted:
        item = prepare(entry_of(account, self._kind_of(account), event, self._clock()), blueprint=1)
        entry = item.entry
        async with self.db.begin() as tx:
            session = tx.session
            known = await session.get(LogKey, (entry.account, entry.dedupe_key))
            if known is not None:
                return Accepted(id=known.id, seq=0, is_new=False)
            head = await session.get_one(LogHead, 1, with_for_update=True)
            head.seq += 1
            session.add(LogKey(account=entry.account, dedupe_key=entry.dedupe_key, id=item.id))
            session.add(
                LogEntry(
                    seq=head.seq,
                    recorded_at=now(),
                    id=item.id,
                    account=entry.account,
                    channel=entry.channel.value,
                    direction=entry.direction.value,
                    kind=entry.kind.value,
                    shard=item.shard,
                    external_id=entry.external_id,
                    occurred_at=entry.occurred_at,
                    thread=entry.thread,
                    in_reply_to=entry.in_reply_to,
                    blueprint=item.blueprint,
                    digest=item.digest,
                )
            )
            session.add(
                Content(
                    seq=head.seq,
                    scheme=entry.address.scheme,
                    address=entry.address.value,
                    own=entry.own,
                    text=entry.text,
                    data=entry.data.decode(),
                    raw=entry.raw,
                    raw_type=entry.raw_type,
                    salt=item.salt,
                )
            )
        return Accepted(id=item.id, seq=head.seq, is_new=True)


ROLES = {role.value: frozenset({role}) for role in Role}
"""The modes that are one process of the grown size; `hub` is the embedded one, all others are limits."""


def _as(mode: str, hub: Hub) -> Hub:
    if mode == "hub" or mode in ROLES:
        return hub
    limit = (AnswersAtOnce if mode == "nothing" else CommitsEach)(hub.writer, hub.accounts.kind_of, hub.clock)
    if isinstance(limit, CommitsEach):
        limit.db = hub.db
    return replace(hub, intake=limit)


class Commands:
    """What the benchmark asks of the server beside its requests."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "caught_up":
            await self._caught_up()
        if asked["do"] == "backlog":
            await self._put_aside(asked["count"])
        return await self._state()

    async def _put_aside(self, count: int) -> None:
        """So many messages that nobody waits for."""
        at = now()
        async with self._hub.db.begin() as tx:
            for number in range(count):
                queue_message(
                    tx,
                    key=f"backlog:{number}",
                    account=ACCOUNT,
                    recipient=Address("tel", f"+86138{number:08}"),
                    text="通知",
                    at=at,
                    cause_seq=0,
                    lane=Lane.BROADCAST,
                )

    async def _caught_up(self) -> None:
        """Until every consumer stands at the head and nothing that it queued is left to be sent."""
        while True:
            await self._hub.caught_up()
            state = await self._state()
            if not state["waiting"] and not state["lag"]:
                return
            await asyncio.sleep(0.05)

    async def _state(self) -> dict[str, Any]:
        async with self._hub.db.read() as session:
            waiting = await session.scalar(
                select(func.count()).where(col(OutboxItem.state).in_(("waiting", "running")))
            )
            head = await reader.head(session)
        return {
            "head": head,
            "waiting": waiting,
            "lag": max(head - lane.position for runner in self._hub.consumers for lane in runner.lanes),
            "digested": {runner.name: runner.digested for runner in self._hub.consumers},
            "parked": sum(runner.parked for runner in self._hub.consumers),
            "jobs": self._hub.jobs.finished,
        }


@asynccontextmanager
async def _listening(hub: Hub) -> AsyncIterator[int]:
    runner = web.AppRunner(create_app(hub), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def main(mode: str, folder: Path) -> None:
    set_up_logging("WARNING", as_json=False)
    grown = ROLES.get(mode) or (ROLES["web"] if settings_of(folder).is_grown else None)
    if mode in ROLES and mode not in ("web", "digest"):
        os.nice(MODESTY)
    async with assemble(settings_of(folder), roles=grown or WORKING) as assembled:
        hub = _as(mode, assembled)
        async with running(hub), _listening(hub) as port:
            await serve_commands({"port": port}, Commands(hub))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2])))
