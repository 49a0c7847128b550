"""Wake-ups between the processes of a hub: Redis carries them when there are several, and nothing depends on one."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

_PREFIX = "switchboard:"
_GATHER = 0.02  # seconds in which equal words come together: every process pays for each that it hears
_BEGINS_AGAIN = 0.5  # seconds between two attempts to reach Redis
_LONGEST_WAIT = 2.0
_QUIET = 1.0  # seconds that a subscription waits for a message before it looks whether it should end


class Topic(StrEnum):
    """What happened. Whoever hears it looks into the database; whoever misses it looks there a little later."""

    LOG = "log"  # entries were committed to the log
    FEED = "feed"  # the CRM has digested something
    CURSOR = "cursor"  # a consumer has moved on
    CONFIG = "config"  # a blueprint was published, an account or a user changed
    PRESSURE = "pressure"  # the intake of a process is busy; the payload says how much
    PRESENCE = "presence"  # who looks at what; the payload says it


Heard = Callable[[bytes], None]


class Bus(Protocol):
    """Tell others and be told. Both are hints: `say` never raises, never waits and may be lost."""

    def say(self, topic: Topic, payload: bytes = b"") -> None: ...

    def hear(self, topic: Topic, heard: Heard) -> None:
        """Call `heard` for each word of other processes (and, on Redis, of this one)."""
        ...

    @property
    def is_up(self) -> bool: ...

    async def run(self) -> None:
        """Carry until cancelled."""
        ...


class Alone:
    """The bus of a hub that is one process: there is nobody to tell."""

    is_up = True

    def say(self, topic: Topic, payload: bytes = b"") -> None:
        return

    def hear(self, topic: Topic, heard: Heard) -> None:
        return

    async def run(self) -> None:
        return


class RedisBus:
    """Publish and subscribe on Redis. Equal words that wait to be said are said once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._listeners: dict[Topic, list[Heard]] = defaultdict(list)
        self._waiting: dict[tuple[Topic, bytes], None] = {}
        self._has_words = asyncio.Event()
        self.is_up = False

    def say(self, topic: Topic, payload: bytes = b"") -> None:
        self._waiting.pop((topic, payload), None)  # said again, it comes after what was said meanwhile
        self._waiting[topic, payload] = None
        self._has_words.set()

    def hear(self, topic: Topic, heard: Heard) -> None:
        self._listeners[topic].append(heard)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(insistently(self._speak()))
            group.create_task(insistently(self._listen()))

    async def _speak(self) -> None:
        redis = self._connect()
        try:
            while True:
                await self._has_words.wait()
                self._has_words.clear()
                words, self._waiting = list(self._waiting), {}
                try:
                    async with asyncio.timeout(_LONGEST_WAIT), redis.pipeline(transaction=False) as pipe:
                        for topic, payload in words:
                            pipe.publish(_PREFIX + topic, payload)
                        await pipe.execute()
                except (RedisError, OSError, TimeoutError):
                    # Wake-ups may be lost: everybody also looks by themselves.
                    await asyncio.sleep(_BEGINS_AGAIN)
                await asyncio.sleep(_GATHER)
        finally:
            await redis.aclose()

    async def _listen(self) -> None:
        while True:
            redis = self._connect()
            try:
                await self._hear(redis)
            except (RedisError, OSError, TimeoutError) as error:
                if self.is_up:
                    log.warning("redis is away", extra={"reason": str(error)})
                self.is_up = False
                await asyncio.sleep(_BEGINS_AGAIN)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await redis.aclose()

    async def _hear(self, redis: Redis) -> None:
        if not self._listeners:
            await asyncio.Event().wait()
        async with redis.pubsub() as subscription:
            await subscription.subscribe(*(_PREFIX + topic for topic in self._listeners))
            self.is_up = True
            # What was said meanwhile is lost: let everybody look once.
            for topic in self._listeners:
                self._tell(topic, b"")
            while True:
                message = await subscription.get_message(ignore_subscribe_messages=True, timeout=_QUIET)
                if message is not None:
                    self._tell(Topic(message["channel"].decode().removeprefix(_PREFIX)), message["data"])

    def _tell(self, topic: Topic, payload: bytes) -> None:
        for heard in self._listeners[topic]:
            try:
                heard(payload)
            except Exception:
                log.exception("a listener of the bus failed", extra={"topic": topic})

    def _connect(self) -> Redis:
        redis: Redis = Redis.from_url(
            self._url, socket_connect_timeout=_LONGEST_WAIT, socket_keepalive=True, health_check_interval=5
        )
        return redis


async def insistently(work: Coroutine[Any, Any, None]) -> None:
    """Await the work, and when cancelled, cancel it until it ends: Redis's client may miss it while it tidies up."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.2)
    await task
