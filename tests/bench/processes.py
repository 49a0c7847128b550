"""The processes of a benchmark: each says when it is ready, then answers commands, a line of JSON each."""

import asyncio
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
_LONGEST_LINE = 1 << 30


class Failed(Exception):
    """A process of the benchmark ended or did not answer."""


class Process:
    """A module that was started on its own, asked over its standard input. Used as `with`."""

    def __init__(self, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._name = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.ready = self._read(120)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ask(self, command: str, *, within: float = 60, **more: Any) -> dict[str, Any]:
        self.tell(command, **more)
        return self.answer(within)

    def tell(self, command: str, **more: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **more}) + "\n")
        self._process.stdin.flush()

    def answer(self, within: float = 60) -> dict[str, Any]:
        return self._read(within)

    def stop(self) -> None:
        """Its end of input tells it to end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    @property
    def processor_seconds(self) -> float:
        """Processor time of all its threads so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _read(self, within: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        overdue = threading.Timer(within, self._process.kill)
        overdue.start()
        try:
            line = self._process.stdout.readline()
        finally:
            overdue.cancel()
        if not line:
            raise Failed(f"{self._name} ended or gave no answer within {within:.0f} s.")
        said: dict[str, Any] = json.loads(line)
        return said


async def serve_commands(
    ready: Mapping[str, Any], take: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
) -> None:
    """The other side of `Process`: say that all is ready, answer each command, return at the end of input."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    say(ready)
    while line := await lines.readline():
        say(await take(json.loads(line)))


def say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
