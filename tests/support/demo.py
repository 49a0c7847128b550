"""The demo as a newcomer starts it: `switchboard demo` as a process of its own, over a copy of data loaded once."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

LOAD_SECONDS = 240
START_SECONDS = 60
STOP_SECONDS = 15
_OPENED = "Open http://"


class DemoFailed(Exception):
    """The demo did not start; the text is what it said."""


def load_once(folder: Path) -> Path:
    """The folder with the demo's data, loaded by whoever comes first; the other test processes wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / ".loaded"
        if not done.exists():
            command = _command("--seed-only")
            told = subprocess.run(
                command, env=_environment(folder, 0), capture_output=True, text=True, timeout=LOAD_SECONDS
            )
            if told.returncode:
                raise DemoFailed(f"'switchboard demo --seed-only' said:\n{told.stdout}{told.stderr}")
            done.touch()
    return folder


def _command(*more: str) -> list[str]:
    return [sys.executable, "-m", "workers.cli", "demo", *more]


def _environment(data: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHBOARD_")}
    return {**kept, "SWITCHBOARD_DATA": str(data), "SWITCHBOARD_PORT": str(port)}


class Demo:
    """One demo on a free port of its own, whose customers keep quiet; as a context it starts and stops.

    Stopped and started again it keeps its port and its data, so that open pages find it again.
    """

    def __init__(self, loaded: Path, data: Path) -> None:
        shutil.copytree(loaded, data)
        self._data = data
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Return once its pages can be opened."""
        self._process = subprocess.Popen(
            _command("--no-traffic"),
            env=_environment(self._data, self._port),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        is_open = threading.Event()
        threading.Thread(target=self._hear, args=(self._process, is_open), daemon=True).start()
        if not is_open.wait(START_SECONDS) or self._port == 0:
            self.stop()
            raise DemoFailed("'switchboard demo' said:\n" + "".join(self._said))

    def _hear(self, process: "subprocess.Popen[str]", is_open: threading.Event) -> None:
        """Read on to the end, so that a process that has much to say is never held up."""
        for line in process.stdout or ():
            self._said.append(line)
            if _OPENED in line:
                self._port = int(line.rsplit(":", 1)[1])
                is_open.set()
        is_open.set()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As the power going out: nothing is said to anybody."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
