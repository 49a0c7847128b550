"""Keeps a set of processes running: starts them in order, begins again those that die, ends all of them with itself."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.errors import ConfigInvalid
from workers.grown.mortal import end_with_parent
from workers.grown.postgres import OURSELVES, RunsAs

FIRST_PAUSE: Final = 0.5  # seconds before a process that died begins again
LONGEST_PAUSE: Final = 30.0
STEADY_AFTER: Final = 60.0  # whoever lived that long has its first pause again
_ASK_EVERY: Final = 0.1
_LONGEST_LINE: Final = 1 << 20

Say = Callable[[str, str], None]
"""Told the name of a process and a line that it wrote, or that was written about it."""


class StartFailed(ConfigInvalid):
    """A process did not come up; its last lines say why."""


async def at_once(pid: int) -> bool:
    """The health of a process that needs no time to get ready."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How one process is started. `after` names those that must be healthy, or done when they run once, before it."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)  # beside our own
    after: tuple[str, ...] = ()
    is_healthy: Callable[[int], Awaitable[bool]] = at_once  # asked with its pid
    healthy_within: float = 120.0
    cwd: Path | None = None
    user: RunsAs = OURSELVES
    stop_signal: signal.Signals = signal.SIGTERM
    stops_within: float = 20.0
    runs_once: bool = False


def next_pause(pause: float, lived: float) -> float:
    """How long to wait before a process that lived so many seconds begins again, after it waited `pause` last time."""
    if pause == 0 or lived >= STEADY_AFTER:
        return FIRST_PAUSE
    return min(pause * 2, LONGEST_PAUSE)


class _Kept:
    """One process through all its lives."""

    def __init__(self, command: Command, say: Say) -> None:
        self.command = command
        self.is_wanted = True
        self.lives = 0
        self.ready = asyncio.Event()  # healthy now, or done
        self.was_ready = False  # in any of its lives
        self.gone = asyncio.Event()
        self.gone.set()
        self.last_lines: list[str] = []
        self._say = say
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def tell(self, line: str) -> None:
        self._say(self.command.name, line)

    async def live(self) -> int:
        """Start it, hand on what it writes, and return its exit code when it has ended."""
        command = self.command
        # A pipe of our own: asyncio's would let `wait` last until helpers that hold it have ended too.
        reads, writes = os.pipe()
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *command.argv,
                env={**os.environ, **command.environment},
                cwd=command.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writes,
                stderr=writes,
                start_new_session=True,  # an interrupt at the terminal is for us, who then stop them in order
                preexec_fn=end_with_parent(command.stop_signal),
                user=command.user.uid,
                group=command.user.gid,
                extra_groups=command.user.extra_groups,
            )
        except BaseException:
            os.close(reads)
            raise
        finally:
            os.close(writes)
        self.lives += 1
        self.gone.clear()
        reading = asyncio.create_task(self._read(reads))
        becoming = asyncio.create_task(self._become_ready(process.pid))
        try:
            return await process.wait()
        finally:
            becoming.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(
                    process.pid, signal.SIGKILL
                )  # it, if we were cancelled, and helpers that it left behind
            # Who left its session may still hold the pipe, so this has an end.
            await asyncio.wait([reading], timeout=1.0)
            reading.cancel()
            await asyncio.gather(reading, becoming, return_exceptions=True)
            self._process = None
            self.ready.clear()
            self.gone.set()

    async def _read(self, reads: int) -> None:
        lines = asyncio.StreamReader(limit=_LONGEST_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(reads, "rb")
        )
        try:
            while line := await _next(lines):
                text = line.decode(errors="replace").rstrip()
                self.last_lines = [*self.last_lines[-19:], text]
                self.tell(text)
        finally:
            transport.close()

    async def _become_ready(self, pid: int) -> None:
        if self.command.runs_once:
            return
        while not await self.command.is_healthy(pid):  # noqa: ASYNC110 (another process sets no event of ours)
            await asyncio.sleep(_ASK_EVERY)
        self.was_ready = True
        self.ready.set()

    def send(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)

    async def end(self) -> None:
        """Tell it to stop, and after its time end it the hard way."""
        self.is_wanted = False
        self.send(self.command.stop_signal)
        try:
            async with asyncio.timeout(self.command.stops_within):
                await self.gone.wait()
        except TimeoutError:
            self.tell("did not stop in time and is ended")
            self.send(signal.SIGKILL)
            await self.gone.wait()


async def _next(lines: asyncio.StreamReader) -> bytes:
    """The next line; one that is longer than anybody would read is left out."""
    while True:
        try:
            return await lines.readline()
        except ValueError:
            continue


class Supervisor:
    """Used as `async with`: all are up inside, and none is left after it."""

    def __init__(self, commands: Sequence[Command], say: Say) -> None:
        self._kept = {command.name: _Kept(command, say) for command in commands}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> "Supervisor":
        try:
            async with asyncio.TaskGroup() as group:
                for kept in self._kept.values():
                    group.create_task(self._started(kept))
        except BaseExceptionGroup as failed:
            await self.stop()
            raise failed.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End all, those first whom nobody needs any more. May be called twice."""
        keepers, self._keepers = self._keepers, {}
        left = {name for name in keepers if self._kept[name].pid is not None}
        while left:
            needed = {needed for name in left for needed in self._needs(name)}
            ending = (left - needed) or left
            await asyncio.gather(*(self._kept[name].end() for name in ending))
            left -= ending
        for keeper in keepers.values():
            keeper.cancel()
        await asyncio.gather(*keepers.values(), return_exceptions=True)

    def _needs(self, name: str) -> set[str]:
        """Those before it, and those before them: who ran once stands between others."""
        before = self._kept[name].command.after
        return {*before, *(further for each in before for further in self._needs(each))}

    def pid(self, name: str) -> int | None:
        """None while it does not run."""
        return self._kept[name].pid

    def lives(self, name: str) -> int:
        """How many times it was started."""
        return self._kept[name].lives

    def change(self, command: Command) -> None:
        """From its next life on the process of this name is started like this."""
        self._kept[command.name].command = command

    async def halt(self, name: str, how: signal.Signals | None = None) -> None:
        """Stop one and let it stay stopped, until `begin`."""
        kept = self._kept[name]
        kept.is_wanted = False
        if how is not None:
            kept.send(how)
        await kept.end()
        keeper = self._keepers.pop(name)
        keeper.cancel()  # it may rest before its next life
        await asyncio.gather(keeper, return_exceptions=True)

    async def begin(self, name: str) -> None:
        """Start one that was halted and wait until it is healthy."""
        kept = self._kept[name]
        kept.is_wanted = True
        await self._started(kept)

    async def ready(self, name: str) -> None:
        """Wait until it is healthy."""
        await self._kept[name].ready.wait()

    async def _started(self, kept: _Kept) -> None:
        command = kept.command
        for needed in command.after:
            await self._kept[needed].ready.wait()
        self._keepers[command.name] = keeper = asyncio.create_task(self._keep(kept), name=command.name)
        ready = asyncio.create_task(kept.ready.wait())
        try:
            await asyncio.wait(
                [ready, keeper], timeout=command.healthy_within, return_when=asyncio.FIRST_COMPLETED
            )
            if not kept.ready.is_set():
                said = "\n  ".join(["", *kept.last_lines])
                raise StartFailed(f"{command.name} did not come up; the last that it wrote:{said}")
        finally:
            ready.cancel()

    async def _keep(self, kept: _Kept) -> None:
        """Let it live again and again, until it is no longer wanted or done; one that never came up is given up."""
        pause = 0.0
        while kept.is_wanted:
            since = time.monotonic()
            code = await kept.live()
            if kept.command.runs_once and code == 0:
                kept.was_ready = True
                kept.ready.set()
            if kept.command.runs_once or not kept.was_ready or not kept.is_wanted:
                return
            pause = next_pause(pause, time.monotonic() - since)
            kept.tell(f"ended with {code} and begins again in {pause:g} s")
            await asyncio.sleep(pause)
