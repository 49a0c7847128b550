"""Tickets over arq and Redis that say "look into the outbox"; the only module that knows arq.

The outbox row is the truth and a ticket carries nothing of it. Of each lane there is at most one ticket, so Redis holds
three at the most, whatever waits. A ticket that is lost costs a second: every job runner also looks by itself.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from arq import ArqRedis, Worker, func
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from core.bus import insistently
from core.jobs import JobRunner
from core.outbox import Lane

log = logging.getLogger(__name__)

_QUEUE: Final = "switchboard:tickets"
_LOOK: Final = "look"
_POLL: Final = 0.05  # seconds; arq's own half second would be the longest part of a reply's way
_BEGINS_AGAIN: Final = 0.5  # seconds between two attempts to reach Redis
_LONGEST_WAIT: Final = 2.0  # seconds for one answer of Redis
_LONGEST_LOOK: Final = 1.0  # seconds; a ticket whose worker was killed blocks its lane no longer than this
_EXPIRES: Final = timedelta(seconds=10)  # a ticket that nobody took by then gives its name free again

# Due at once by any host's clock; where several wait, replies come first.
_DUE: Final = {lane: datetime(1970, 1, 1, 0, 0, lane.number, tzinfo=UTC) for lane in Lane}


class Tickets:
    """Tells whoever runs jobs that something was committed to the outbox. `run` carries it until cancelled."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._said: set[Lane] = set()
        self._has_said = asyncio.Event()

    def say(self, lane: Lane = Lane.REPLY) -> None:
        """A hint, given after the commit: it never raises and never waits, and it may be lost."""
        self._said.add(lane)
        self._has_said.set()

    async def run(self) -> None:
        await insistently(self._run())

    async def _run(self) -> None:
        while True:
            try:
                async with _connected(self._url) as redis:
                    await self._carry(redis)
            except (RedisError, OSError, TimeoutError):
                self._said.clear()  # what waits is old by the time Redis is back; runners have looked by then
                await asyncio.sleep(_BEGINS_AGAIN)

    async def _carry(self, redis: ArqRedis) -> None:
        while True:
            await self._has_said.wait()
            self._has_said.clear()
            said, self._said = sorted(self._said, key=lambda lane: lane.number), set()
            for lane in said:
                # Nothing happens while the lane's ticket is waiting or under way: see `done` for why that is enough.
                await redis.enqueue_job(
                    _LOOK, _job_id=f"{_QUEUE}:{lane}", _defer_until=_DUE[lane], _expires=_EXPIRES
                )


async def serve(runner: JobRunner, url: str) -> None:
    """Take tickets and wake the runner, until cancelled. An arq worker ends when Redis goes: then another begins."""
    # It tells of every job at INFO, and a ticket says nothing that the outbox does not.
    logging.getLogger("arq").setLevel(logging.WARNING)
    await insistently(_serve(runner, url))


async def _serve(runner: JobRunner, url: str) -> None:
    is_up = True
    while True:
        try:
            async with _connected(url) as redis:
                await redis.ping()
                log.info("tickets are taken", extra={"queue": _QUEUE})
                is_up = True
                runner.wake()  # for what was said while nobody listened
                await _work(runner, redis)
        except Exception as error:
            # Whatever becomes of Redis, the runner goes on by looking itself, and this begins again.
            if is_up:
                log.warning("no tickets are taken", extra={"reason": f"{type(error).__name__}: {error}"})
            is_up = False
            await asyncio.sleep(_BEGINS_AGAIN)


async def _work(runner: JobRunner, redis: ArqRedis) -> None:
    async def look(ctx: dict[Any, Any], *args: Any, **more: Any) -> None:
        """Nothing is done under the ticket itself; see `done`."""

    async def done(ctx: dict[Any, Any]) -> None:
        # The ticket's name is free again. Who committed before made this ticket or found its name taken, and is seen by
        # the look that begins now; who commits later makes a new one.
        runner.wake()

    worker = Worker(
        [func(look, name=_LOOK, keep_result=0, max_tries=1)],
        queue_name=_QUEUE,
        redis_pool=redis,
        handle_signals=False,
        after_job_end=done,
        poll_delay=_POLL,
        job_timeout=_LONGEST_LOOK,
        keep_result=0,
        max_tries=1,
        retry_jobs=False,
        log_results=False,
        job_serializer=_dumped,
        job_deserializer=json.loads,
    )
    worker.in_progress_timeout_s = _LONGEST_LOOK  # arq adds ten seconds
    try:
        # Its `async_run` would put the work into a task that a cancellation does not reach.
        await worker.main()
    finally:
        for task in worker.tasks.values():
            task.cancel()
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[ArqRedis]:
    pool = ConnectionPool.from_url(
        url, socket_connect_timeout=_LONGEST_WAIT, socket_timeout=_LONGEST_WAIT, socket_keepalive=True
    )
    try:
        yield ArqRedis(pool, job_serializer=_dumped, job_deserializer=json.loads, default_queue_name=_QUEUE)
    finally:
        with contextlib.suppress(RedisError, OSError):
            await pool.disconnect()


def _dumped(job: dict[str, Any]) -> bytes:
    # Not by pickle, as arq does of itself: who can write to Redis could then run code here.
    return json.dumps(job).encode()
