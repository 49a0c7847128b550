"""What a hub's processes run to be watched, made from the hub: heartbeat, watch, gauges."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import QueuePool

from core.jobs import Job
from core.metrics import Metrics
from core.outbox import Item, Outcome, Settled
from core.spool.taking import Spool
from workers.roles import ALL, Role
from workers.watching.gauges import watch_hub, watch_process
from workers.watching.heartbeat import Heartbeat
from workers.watching.telling import Teller, ways
from workers.watching.watch import Watch

if TYPE_CHECKING:
    from workers.assemble import Hub

LEASE = "watch"
"""Whoever has it watches. Processes of two roles ask for it, so that each notices the other's death."""

WATCHING = frozenset({Role.SCHEDULE, Role.DIGEST})


@dataclass(frozen=True, slots=True)
class Watching:
    heartbeat: Heartbeat
    watch: Watch


def watching_of(hub: "Hub", spool: Spool | None = None) -> Watching:
    """Made once a process: it registers the gauges. Raises ConfigInvalid where nobody could be told."""
    heartbeat = Heartbeat(
        hub.db,
        hub.settings.name,
        "all" if hub.roles == ALL else "+".join(sorted(hub.roles)),
        lambda: _detail(hub, spool),
        hub.clock,
        folders={
            "data": hub.settings.data,
            **({"spool": hub.settings.spool_folder} if spool is not None else {}),
        },
    )
    watch = Watch(
        hub.db,
        Teller(ways(hub.settings, hub.secrets, hub.http), hub.clock).tell,
        hub.clock,
        is_mine=lambda: not hub.settings.is_grown or LEASE in hub.leases.held,
        bus_is_up=lambda: hub.bus.is_up,
    )
    watch_process(
        hub.metrics,
        log=hub.writer,
        consumers=hub.consumers,
        sealer=hub.sealer,
        consoles=lambda: hub.live.open,
        bus_is_up=lambda: hub.bus.is_up,
        leases=lambda: hub.leases.held,
        connections=lambda: _connections(hub),
        spool=lambda: None if spool is None else spool.contents,
        jobs_under_way=lambda: hub.jobs.under_way,
    )
    watch_hub(hub.metrics, lambda: watch.figures, lambda: watch.standing, lambda: watch.rounds)
    return Watching(heartbeat, watch)


async def stand(lease: object = None) -> None:
    """What is done under the lease: nothing. The watch looks whether it is held."""
    await asyncio.Event().wait()


def measured(job: Job, metrics: Metrics) -> Job:
    """The job that sends, counted by account and outcome."""

    async def run(item: Item) -> Outcome:
        started = time.perf_counter()
        outcome = await job(item)
        said = (outcome.error or outcome.state.value) if isinstance(outcome, Settled) else "retry"
        metrics.send_done(item.account, said, time.perf_counter() - started)
        return outcome

    return run


def _detail(hub: "Hub", spool: Spool | None) -> Mapping[str, Any]:
    said: dict[str, Any] = {
        "version": _version(),
        "head": max(consumer.head for consumer in hub.consumers),
        "lag": {consumer.name: consumer.lag for consumer in hub.consumers},
        "log_queue": hub.writer.queued,
        "jobs": hub.jobs.under_way,
        "consoles": hub.live.open,
        "bus": hub.bus.is_up,
        "leases": sorted(hub.leases.held),
    }
    if spool is not None:
        held = spool.contents
        said["spool"] = {
            "entries": held.entries,
            "bytes": held.bytes,
            "set_aside": held.set_aside,
            "limit": hub.settings.spool_bytes,
        }
    return said


def _connections(hub: "Hub") -> dict[str, int]:
    pool = hub.db.engine.pool
    if not isinstance(pool, QueuePool):
        return {}
    return {"used": pool.checkedout(), "idle": pool.checkedin()}


@cache
def _version() -> str:
    return metadata.version("switchboard")
