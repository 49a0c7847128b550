"""A throwaway PostgreSQL cluster on loopback, and a fresh database in it in a few hundredths of a second."""

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 30
START_TRIES = 20
STOP_SECONDS = 20
# PostgreSQL refuses to run as root. Debian's package brings the first user, every machine has the second.
UNPRIVILEGED = ("postgres", "nobody")
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


class PostgresMissing(Exception):
    """No PostgreSQL server is installed; the text says how to get one."""


class PostgresFailed(Exception):
    """PostgreSQL did not start, or refused a command; the text is what it said."""


def find_programs() -> Path:
    """The folder of `initdb` and `postgres`: Debian's newest version, else whatever is on the PATH."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    if debian:
        return debian[0].parent
    on_path = shutil.which("postgres")
    if on_path is None:
        raise PostgresMissing("PostgreSQL is not installed: 'apt-get install postgresql' on Debian")
    return Path(on_path).resolve().parent


@dataclass(frozen=True, slots=True)
class _User:
    """Who runs the server: ourselves (nothing set), or somebody else when we are root."""

    uid: int | None = None
    gid: int | None = None
    extra_groups: tuple[int, ...] | None = None


def _choose_user() -> _User:
    if os.geteuid() != 0:
        return _User()
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _User(entry.pw_uid, entry.pw_gid, ())
    raise PostgresMissing(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)}"
    )


def _end_with_parent() -> Callable[[], None] | None:
    """What makes the server stop when the test process is killed and can't stop it itself (Linux only)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    pr_set_pdeathsig = 1

    def ask() -> None:
        libc.prctl(pr_set_pdeathsig, signal.SIGINT)

    return ask


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """One server with its own data, owned by whoever made it: `with Cluster() as cluster`.

    A test that stops, kills or restarts PostgreSQL makes its own; the others share the session's
    through the fixture `postgres_url`. Everybody on this machine may connect while it runs.
    """

    def __init__(self) -> None:
        self._programs = find_programs()
        self._user = _choose_user()
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-pg-"))
        self._server: subprocess.Popen[bytes] | None = None
        self._names = (f"t{number}" for number in itertools.count(1))
        self._spent: list[str] = []
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self._initialise()
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
            self.port = self.port if keep_port else _free_port()
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
        commands = [part for statement in statements for part in ("-c", statement)]
        ran = subprocess.run(
            [
                self._programs / "psql",
                *("-h", self._folder, "-p", str(self.port), "-U", "postgres", "-d", database),
                *("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
                *commands,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            raise PostgresFailed(ran.stderr.strip())
        return ran.stdout.strip()

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
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _initialise(self) -> None:
        if self._user.uid is not None and self._user.gid is not None:
            os.chown(self._folder, self._user.uid, self._user.gid)
        ran = subprocess.run(
            [
                self._programs / "initdb",
                *("-D", self._data, "-U", "postgres", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            user=self._user.uid,
            group=self._user.gid,
            extra_groups=self._user.extra_groups,
        )
        if ran.returncode != 0:
            raise PostgresFailed(f"initdb: {ran.stderr.strip()}")

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._data, "-k", self._folder, "-p", str(self.port)),
                    *settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # an interrupt at the terminal is for the tests, not for it
                preexec_fn=_end_with_parent(),
                user=self._user.uid,
                group=self._user.gid,
                extra_groups=self._user.extra_groups,
            )

    def _answers(self, server: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and server.poll() is None:
            # PostgreSQL writes "ready" as the eighth line once it takes connections.
            lines = self._read_pid_file()
            if len(lines) >= 8 and lines[0] == str(server.pid) and lines[7].strip() == "ready":
                return True
            time.sleep(0.02)
        server.kill()
        server.wait()
        return False

    def _read_pid_file(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

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
