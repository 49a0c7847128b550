"""What is done to a house, and how it is undone: each fault a value with a name."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.clocks import set_clock
from tests.chaos.house import BEHIND_A_LINE, CLOCKED, ON_A_SMALL_DISK, House

Act = Callable[[House], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`heal` is empty where the house helps itself; the time to heal then counts from the fault."""

    name: str
    title: str
    hit: Act
    heal: Act | None = None
    is_possible: Callable[[House], str] = lambda house: ""
    """Why it cannot be tried on this machine; empty where it can."""

    takes_meanwhile: bool = True
    """Whether messages have to be acknowledged while it lasts."""

    must_refuse: bool = False
    """Whether some of them have to be refused, since there is no room for them."""


def _killed(name: str) -> Act:
    async def hit(house: House) -> None:
        house.kill(name)

    return hit


async def _kill_the_working_digest(house: House) -> None:
    holder = await house.one("SELECT holder FROM lease WHERE name = 'consumer:crm'")
    house.kill(holder.partition(":")[0])


async def _stop_postgresql(house: House) -> None:
    await house.supervisor.halt("postgresql")


async def _start_postgresql(house: House) -> None:
    await house.supervisor.begin("postgresql")


async def _lose_redis(house: House) -> None:
    """Flushed, so that nothing that it held comes back, then away."""
    port = next(iter(house.machine.redis.rpartition(":")[2].split("/")))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(b"FLUSHALL\r\n")
    await reader.readline()
    writer.close()
    await house.supervisor.halt("redis", signal.SIGKILL)


async def _start_redis(house: House) -> None:
    await house.supervisor.begin("redis")


def _clock(name: str, offset: str) -> Act:
    async def step(house: House) -> None:
        set_clock(house.clocks[name].path, offset)

    return step


async def _fill_the_spool(house: House) -> None:
    assert house.disk is not None
    house.disk.fill()
    await _stop_postgresql(house)


async def _empty_the_disk(house: House) -> None:
    assert house.disk is not None
    house.disk.empty()
    await _start_postgresql(house)


async def _cut_the_line(house: House) -> None:
    assert house.cut is not None
    house.cut.cut()


async def _mend_the_line(house: House) -> None:
    assert house.cut is not None
    house.cut.mend()


def _needs_clocks(house: House) -> str:
    return "" if house.clocks else "libfaketime is not installed"


def _needs_a_disk(house: House) -> str:
    return "" if house.disk is not None else "a small disk can only be mounted by root"


def _needs_a_line(house: House) -> str:
    return "" if house.cut is not None else "a network namespace can only be made by root, with iproute2"


FAULTS: tuple[Fault, ...] = (
    *(
        Fault(
            name=f"clock-{name}",
            title=f"the clock of {name} an hour ahead, then back",
            hit=_clock(name, "+3600"),
            heal=_clock(name, "+0"),
            is_possible=_needs_clocks,
        )
        for name in CLOCKED
    ),
    Fault(name="web", title="`kill -9` of a web process", hit=_killed("web-1")),
    Fault(name="jobs", title="`kill -9` of a jobs process", hit=_killed("jobs-1")),
    Fault(name="digest", title="`kill -9` of the digest process that works", hit=_kill_the_working_digest),
    Fault(name="listeners", title="`kill -9` of the listeners process", hit=_killed("listeners")),
    Fault(
        name="postgresql",
        title="PostgreSQL stopped and started",
        hit=_stop_postgresql,
        heal=_start_postgresql,
    ),
    Fault(name="redis", title="Redis flushed, killed and started", hit=_lose_redis, heal=_start_redis),
    Fault(
        name="disk",
        title=f"the spool's disk of {ON_A_SMALL_DISK} full, PostgreSQL stopped",
        hit=_fill_the_spool,
        heal=_empty_the_disk,
        is_possible=_needs_a_disk,
        must_refuse=True,
    ),
    Fault(
        name="network",
        title=f"the line between {BEHIND_A_LINE} and PostgreSQL cut",
        hit=_cut_the_line,
        heal=_mend_the_line,
        is_possible=_needs_a_line,
    ),
)
