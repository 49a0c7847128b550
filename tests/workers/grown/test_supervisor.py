"""Keeping processes: in order, again when they die, and none left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.grown.supervisor import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    STEADY_AFTER,
    Command,
    StartFailed,
    Supervisor,
    next_pause,
)

SLEEPS = ("sleep", "60")


def silent(name: str, line: str) -> None:
    return


def is_alive(pid: int) -> bool:
    try:
        # A zombie has ended; only nobody has asked how.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (another process sets no event of ours)
            await asyncio.sleep(0.01)


def pid_of(supervisor: Supervisor, name: str) -> int:
    pid = supervisor.pid(name)
    assert pid is not None
    return pid


@pytest.mark.parametrize(
    ("pause", "lived", "following"),
    [
        (0.0, 0.0, FIRST_PAUSE),
        (FIRST_PAUSE, 1.0, 2 * FIRST_PAUSE),
        (2 * FIRST_PAUSE, 1.0, 4 * FIRST_PAUSE),
        (LONGEST_PAUSE, 1.0, LONGEST_PAUSE),
        (LONGEST_PAUSE, STEADY_AFTER, FIRST_PAUSE),
    ],
)
def test_who_dies_young_again_and_again_waits_longer(pause: float, lived: float, following: float) -> None:
    assert next_pause(pause, lived) == following


async def test_processes_start_after_those_that_they_need(tmp_path: Path) -> None:
    told = tmp_path / "told"

    async def is_there(pid: int) -> bool:
        return told.exists()

    first = Command(
        name="first",
        argv=("sh", "-c", f"sleep 0.2; echo first >{told}; sleep 60"),
        is_healthy=is_there,
    )
    once = Command(name="once", argv=("sh", "-c", f"echo once >>{told}"), after=("first",), runs_once=True)
    last = Command(name="last", argv=("sh", "-c", f"echo last >>{told}; sleep 60"), after=("once",))
    async with Supervisor([last, once, first], silent):
        await until(lambda: told.read_text() == "first\nonce\nlast\n")


async def test_a_process_that_is_killed_begins_again() -> None:
    async with Supervisor([Command(name="one", argv=SLEEPS)], silent) as supervisor:
        before = pid_of(supervisor, "one")
        os.kill(before, signal.SIGKILL)
        await until(lambda: supervisor.lives("one") == 2)
        assert pid_of(supervisor, "one") != before


async def test_a_halted_process_stays_stopped_until_it_is_begun() -> None:
    async with Supervisor([Command(name="one", argv=SLEEPS)], silent) as supervisor:
        await supervisor.halt("one")
        assert supervisor.pid("one") is None
        await asyncio.sleep(FIRST_PAUSE + 0.1)  # longer than the pause of one that begins by itself
        assert supervisor.pid("one") is None
        await supervisor.begin("one")
        assert is_alive(pid_of(supervisor, "one"))


async def test_a_process_that_does_not_come_up_says_why_and_none_is_left() -> None:
    good = Command(name="good", argv=SLEEPS)
    bad = Command(name="bad", argv=("sh", "-c", "echo the port is taken; exit 1"), is_healthy=never)
    supervisor = Supervisor([good, bad], silent)
    with pytest.raises(StartFailed, match=r"bad did not come up[^$]*the port is taken"):
        await supervisor.__aenter__()
    assert supervisor.pid("good") is None


async def never(pid: int) -> bool:
    return False


async def test_what_they_write_is_told_with_their_name() -> None:
    lines: list[tuple[str, str]] = []
    command = Command(name="one", argv=("sh", "-c", "echo out; echo err >&2; sleep 60"))
    async with Supervisor([command], lambda name, line: lines.append((name, line))):
        await until(lambda: len(lines) == 2)
    assert lines == [("one", "out"), ("one", "err")]


async def test_they_end_before_those_that_they_need() -> None:
    ended: list[str] = []
    script = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done"
    first = Command(name="first", argv=("sh", "-c", script))
    once = Command(name="once", argv=("true",), after=("first",), runs_once=True)
    second = Command(name="second", argv=("sh", "-c", script), after=("once",))
    async with Supervisor([first, once, second], lambda name, line: ended.append(name)):
        await asyncio.sleep(0.3)  # until both have set their traps
    assert ended == ["second", "first"]


async def test_one_that_does_not_listen_is_ended_all_the_same() -> None:
    deaf = Command(
        name="deaf", argv=("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"), stops_within=0.3
    )
    async with Supervisor([deaf], silent) as supervisor:
        await asyncio.sleep(0.2)
        pid = pid_of(supervisor, "deaf")
    assert not is_alive(pid)


async def test_what_a_process_left_behind_goes_with_it(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    parent = Command(name="parent", argv=("sh", "-c", f"sleep 60 & echo $! >{told}; wait"))
    async with Supervisor([parent], silent) as supervisor:
        await until(lambda: told.exists() and bool(told.read_text()))
        os.kill(pid_of(supervisor, "parent"), signal.SIGKILL)
        await until(lambda: supervisor.lives("parent") == 2)


def test_a_supervisor_that_is_killed_leaves_no_orphans() -> None:
    script = textwrap.dedent("""
        import asyncio
        from workers.grown.supervisor import Command, Supervisor

        async def main():
            async with Supervisor([Command(name="one", argv=("sleep", "60"))], print) as supervisor:
                print(supervisor.pid("one"), flush=True)
                await asyncio.Event().wait()

        asyncio.run(main())
    """)
    supervisor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    assert is_alive(pid)
    supervisor.kill()
    supervisor.communicate()
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)
