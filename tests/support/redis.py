"""A throwaway Redis server on loopback, which tests may flush, stop, kill and start again."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.postgres import free_port
from workers.grown.mortal import end_with_parent

START_SECONDS = 20
START_TRIES = 20
STOP_SECONDS = 10


class RedisMissing(Exception):
    """No Redis server is installed; the text says how to get one."""


class RedisFailed(Exception):
    """Redis did not start; the text is what it said."""


def find_program() -> str:
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            return found
    raise RedisMissing("Redis is not installed: 'apt-get install redis-server' on Debian")


class RedisServer:
    """One server that keeps nothing on disk, owned by whoever made it: `with RedisServer() as redis`."""

    def __init__(self) -> None:
        self._program = find_program()
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-redis-"))
        self._server: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._server is not None, "Redis is not running"
        return self._server.pid

    def start(self) -> None:
        """Start the server and wait until it answers; after `stop` or `kill` on the same port, and empty."""
        keep_port = self.port != 0
        for tries_left in reversed(range(START_TRIES)):
            self.port = self.port if keep_port else free_port()
            server = self._launch()
            if self._answers(server):
                self._server = server
                return
            if tries_left:
                time.sleep(0.1)  # another process may have taken the port
        raise RedisFailed(f"Redis did not start:\n{self._log.read_text(errors='replace')}")

    def stop(self) -> None:
        """Shut down in order; open connections are cut. Nothing happens when it is stopped already."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it answer nobody, with its connections open, until `thaw`."""
        assert self._server is not None, "Redis is not running"
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._server is not None, "Redis is not running"
        self._server.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Forget everything."""
        answer = self.ask("FLUSHALL")
        assert answer == "+OK", answer

    def keys(self) -> int:
        """How many keys it holds."""
        return int(self.ask("DBSIZE").removeprefix(":"))

    def ask(self, command: str) -> str:
        """The first line of the answer to one command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.makefile("rb").readline().decode().strip()

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _launch(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [
                    self._program,
                    *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
                    *("--save", "", "--appendonly", "no", "--daemonize", "no"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # an interrupt at the terminal is for the tests, not for it
                preexec_fn=end_with_parent(),
            )

    def _answers(self, server: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and server.poll() is None:
            try:
                if self.ask("PING") == "+PONG":
                    return True
            except OSError:
                pass
            time.sleep(0.02)
        server.kill()
        server.wait()
        return False

    def _end(self, how: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is None or server.poll() is not None:
            return
        server.send_signal(signal.SIGCONT)  # a frozen one hears nothing
        server.send_signal(how)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
