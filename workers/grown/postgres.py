"""A PostgreSQL server of our own on loopback: its programs, its user, its data folder, whether it answers."""

import asyncio
import grp
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ConfigInvalid

# PostgreSQL refuses to run as root. Debian's package brings the first user, every machine has the second.
UNPRIVILEGED: Final = ("postgres", "nobody")
SUPERUSER: Final = "postgres"
STOP_SIGNAL: Final = (
    signal.SIGINT
)  # in order, cutting connections: without it, the last client would decide when
_READY_LINE: Final = 7


class PostgresMissing(ConfigInvalid):
    """No PostgreSQL server is installed; the text says how to get one."""


class PostgresFailed(ConfigInvalid):
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
class RunsAs:
    """Who runs a server: ourselves (nothing set), or somebody else when we are root."""

    uid: int | None = None
    gid: int | None = None
    extra_groups: tuple[int, ...] | None = None

    @property
    def names(self) -> str:
        """The user and its group by name; empty when it is ourselves."""
        if self.uid is None or self.gid is None:
            return ""
        return f"{pwd.getpwuid(self.uid).pw_name} {grp.getgrgid(self.gid).gr_name}"

    def can_enter(self, path: Path) -> bool:
        """Whether it may go through every folder on the way to `path`, as far as their modes tell."""
        if self.uid is None:
            return True
        return all(
            folder.stat().st_mode & stat.S_IXOTH or folder.stat().st_uid == self.uid
            for folder in path.resolve().parents
            if folder.exists()
        )

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


OURSELVES: Final = RunsAs()


def choose_user() -> RunsAs:
    if os.geteuid() != 0:
        return OURSELVES
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return RunsAs(entry.pw_uid, entry.pw_gid, ())
    raise PostgresMissing(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)}"
    )


def initialise(folder: Path, user: RunsAs, *, wants_passwords: bool = False) -> None:
    """Make a cluster in `folder`/data. Who reaches the folder may enter over its socket; TCP may want passwords."""
    user.own(folder)
    over_tcp = "scram-sha-256" if wants_passwords else "trust"
    _run(
        [
            str(find_programs() / "initdb"),
            *("-D", str(folder / "data"), "-U", SUPERUSER),
            *("--auth-local=trust", f"--auth-host={over_tcp}"),
            *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
        ],
        folder,
        user,
        "initdb",
    )


def server_command(folder: Path, port: int, settings: Mapping[str, str]) -> list[str]:
    """How the server over `folder`/data is started in the foreground; its socket lies in `folder`."""
    return [
        str(find_programs() / "postgres"),
        *("-D", str(folder / "data"), "-k", str(folder), "-p", str(port)),
        *(f"--{name}={value}" for name, value in settings.items()),
    ]


def is_ready(folder: Path, pid: int) -> bool:
    """Whether the server with this pid takes connections."""
    try:
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    # PostgreSQL writes "ready" as the eighth line once it takes connections.
    return len(lines) > _READY_LINE and lines[0] == str(pid) and lines[_READY_LINE].strip() == "ready"


def execute(folder: Path, port: int, *statements: str, database: str = SUPERUSER) -> str:
    """Run statements as the superuser, each in its own transaction; returns what they printed."""
    # Not as arguments, which everybody on this machine can read.
    return _run(
        [
            str(find_programs() / "psql"),
            *("-h", str(folder), "-p", str(port), "-U", SUPERUSER, "-d", database),
            *("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
        ],
        folder,
        OURSELVES,
        "psql",
        "".join(f"{statement};\n" for statement in statements),
    )


def serves(folder: Path, port: int, name: str, password: str) -> Callable[[int], Awaitable[bool]]:
    """The health of a server with a database and its owner, both of this name; it makes them when they are missing."""

    async def answers(pid: int) -> bool:
        if not is_ready(folder, pid):
            return False
        await asyncio.to_thread(_provide, folder, port, name, password)
        return True

    return answers


def _provide(folder: Path, port: int, name: str, password: str) -> None:
    if not execute(folder, port, f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"):
        execute(folder, port, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    if not execute(folder, port, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
        execute(folder, port, f"CREATE DATABASE {name} OWNER {name}")


def _run(argv: list[str], folder: Path, user: RunsAs, what: str, given: str = "") -> str:
    ran = subprocess.run(
        argv,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        user=user.uid,
        group=user.gid,
        extra_groups=user.extra_groups,
    )
    if ran.returncode != 0:
        raise PostgresFailed(f"{what}: {ran.stderr.strip()}")
    return ran.stdout.strip()
