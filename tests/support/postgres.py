"""A throwaway PostgreSQL cluster on loopback, and a fresh database in it in a few hundredths of a second."""

import itertools
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from workers.grown.mortal import end_with_parent
from workers.grown.postgres import (
    PostgresFailed,
    PostgresMissing,
    choose_user,
    execute,
    find_programs,
    initialise,
    is_ready,
    server_command,
)

__all__ = ["Cluster", "PostgresFailed", "PostgresMissing", "find_programs"]

START_SECONDS = 30
START_TRIES = 20
STOP_SECONDS = 20
OWNER = "switchboard"

# fsync stays on, as everywhere: tests about what survives a crash mean it. The rest only makes it small.
SETTINGS = {
    "shared_buffers": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "128MB",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
    "logging_collector": "off",
    "log_min_messages": "warning",
    # Replicas and subscriptions are none of ours.
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "autovacuum_naptime": "60s",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """One server with its own data, owned by whoever made it: `with Cluster() as cluster`.

    A test that stops, kills or restarts PostgreSQL makes its own; the others share the session's
    through the fixture `postgres_url`. Everybody on this machine may connect while it runs.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = {**SETTINGS, **(settings or {})}
        find_programs()  # tells at once that there are none
        self._user = choose_user()
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-pg-"))
        self._server: subprocess.Popen[bytes] | None = None
        self._names = (f"t{number}" for number in itertools.count(1))
        self._spent: list[str] = []
        self.port = 0

    def __enter__(self) -> Self:
        try:
            initialise(self._folder, self._user)
            self.start()
            self.execute(f"CREATE ROLE {OWNER} LOGIN CREATEDB")
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
    def pid(self) -> int:
        """The server's process, for tests that end it the hard way."""
        assert self._server is not None, "the cluster is not running"
        return self._server.pid

    def start(self) -> None:
        """Start the server and wait until it answers; after `stop` or `kill`, on the same port and data."""
        keep_port = self.port != 0
        for tries_left in reversed(range(START_TRIES)):
            self.port = self.port if keep_port else free_port()
            server = self._launch()
            if self._answers(server):
                self._server = server
                return
            # Another process may have taken the port since we looked, or the backends of a killed
            # server still hold its shared memory for a moment.
            if tries_left:
                time.sleep(0.1)
        raise PostgresFailed(f"PostgreSQL did not start:\n{self._log.read_text(errors='replace')}")

    def stop(self) -> None:
        """Shut down in order; open connections are cut. Nothing happens when it is stopped already."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server and its workers without a word, as a power cut would; `start` then recovers."""
        self._end(signal.SIGKILL)

    def execute(self, *statements: str, database: str = "postgres") -> str:
        """Run statements as the superuser, each in its own transaction; returns what they printed."""
        return execute(self._folder, self.port, *statements, database=database)

    def create_database(self, template: str = "template1") -> str:
        """A new database's name. A migrated one, named as `template`, saves running the migrations again."""
        name = next(self._names)
        spent, self._spent = self._spent, []
        self.execute(
            *(f"DROP DATABASE IF EXISTS {old} WITH (FORCE)" for old in spent),
            f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}",
        )
        return name

    def discard_database(self, name: str) -> None:
        """Say that nobody needs it any more; it goes when the next one is made."""
        self._spent.append(name)

    def url(self, database: str) -> str:
        """Where the product connects, as a user who owns this database and nothing else."""
        return f"postgresql+asyncpg://{OWNER}@127.0.0.1:{self.port}/{database}"

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _launch(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                server_command(self._folder, self.port, self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # an interrupt at the terminal is for the tests, not for it
                preexec_fn=end_with_parent(signal.SIGINT),
                user=self._user.uid,
                group=self._user.gid,
                extra_groups=self._user.extra_groups,
            )

    def _answers(self, server: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and server.poll() is None:
            if is_ready(self._folder, server.pid):
                return True
            time.sleep(0.02)
        server.kill()
        server.wait()
        return False

    def _end(self, how: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is None or server.poll() is not None:
            return
        server.send_signal(how)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
