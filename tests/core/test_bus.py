"""The bus: words reach the other processes, in their order, and nobody stands still when Redis goes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from core.bus import Alone, RedisBus, Topic
from core.pressure import Pressure
from tests.support.entries import running
from tests.support.redis import RedisServer

PATIENCE = 20


class Ear:
    """What one process hears of a topic."""

    def __init__(self, bus: RedisBus, topic: Topic) -> None:
        self.heard: list[bytes] = []
        self._woken = asyncio.Event()
        bus.hear(topic, self._take)

    def _take(self, payload: bytes) -> None:
        self.heard.append(payload)
        self._woken.set()

    async def until(self, there: Callable[[list[bytes]], bool]) -> list[bytes]:
        async with asyncio.timeout(PATIENCE):
            while not there(self.heard):
                self._woken.clear()
                await self._woken.wait()
        return self.heard


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[RedisBus, Ear]]:
    """One that speaks and one that already listens. Who begins to listen is told once to look by itself."""
    speaker, listener = RedisBus(url), RedisBus(url)
    ear = Ear(listener, Topic.PRESENCE)
    async with running(speaker.run()), running(listener.run()):
        await ear.until(lambda heard: heard == [b""])
        yield speaker, ear


async def test_words_are_heard_in_their_order_and_equal_ones_once(redis_url: str) -> None:
    async with two(redis_url) as (speaker, ear):
        for word in (b"a", b"b", b"a", b"c"):
            speaker.say(Topic.PRESENCE, word)
        assert await ear.until(lambda heard: b"c" in heard) == [b"", b"b", b"a", b"c"]


async def test_other_topics_are_not_heard(redis_url: str) -> None:
    async with two(redis_url) as (speaker, ear):
        speaker.say(Topic.LOG, b"x")
        speaker.say(Topic.PRESENCE, b"y")
        assert await ear.until(lambda heard: len(heard) > 1) == [b"", b"y"]


async def test_a_listener_that_fails_does_not_end_the_bus(redis_url: str) -> None:
    bus = RedisBus(redis_url)

    def fail(payload: bytes) -> None:
        raise ValueError(payload)

    bus.hear(Topic.LOG, fail)
    ear = Ear(bus, Topic.LOG)
    async with running(bus.run()):
        await ear.until(lambda heard: heard == [b""])
        bus.say(Topic.LOG, b"still there")
        await ear.until(lambda heard: b"still there" in heard)
        assert bus.is_up


async def test_after_redis_was_away_everybody_looks_once_and_hears_again() -> None:
    with RedisServer() as redis:
        async with two(redis.url) as (speaker, ear):
            await asyncio.to_thread(redis.kill)
            speaker.say(Topic.PRESENCE, b"lost")
            await asyncio.to_thread(redis.start)
            await ear.until(lambda heard: heard.count(b"") == 2)
            speaker.say(Topic.PRESENCE, b"new")
            await ear.until(lambda heard: b"new" in heard)


async def test_who_is_alone_tells_nobody() -> None:
    bus = Alone()
    bus.hear(Topic.LOG, lambda payload: None)
    bus.say(Topic.LOG, b"x")
    await bus.run()
    assert bus.is_up


async def test_the_intake_of_another_process_counts_for_a_while(redis_url: str) -> None:
    speaker, listener = RedisBus(redis_url), RedisBus(redis_url)
    busy, digesting = Pressure(lambda: 1_500.0, speaker), Pressure(lambda: 0.0, listener)
    ear = Ear(listener, Topic.PRESSURE)
    async with running(speaker.run()), running(listener.run()):
        await ear.until(lambda heard: heard == [b""])
        busy.say(above=2_000)
        busy.say(above=700)
        await ear.until(lambda heard: len(heard) == 2)
    has_room = (os.cpu_count() or 1) >= 4
    assert digesting() == (0 if has_room else 1_500)
    assert busy() == 1_500
