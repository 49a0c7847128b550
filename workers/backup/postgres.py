"""PostgreSQL from outside the hub: its own programs, how they are told where to connect, and who else works there."""

import asyncio
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import asyncpg
from sqlalchemy.engine import URL, make_url

from core.errors import ConfigInvalid, Conflict, Unavailable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_DEBIAN = Path("/usr/lib/postgresql")
_TOLD = 2_000  # characters of what a program said


async def connect(database_url: str) -> Connection:
    """A connection of its own, for work that takes long. Raises Unavailable where nobody answers."""
    url = make_url(database_url).set(drivername="postgresql")
    try:
        return await asyncpg.connect(url.render_as_string(hide_password=False), timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Unavailable(
            f"PostgreSQL does not let us in at {url.render_as_string()}: {error or 'no answer'}."
        ) from error


async def refuse_while_used(db: Connection) -> None:
    """Raise Conflict while anybody else is connected to the database."""
    others = await db.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    if others:
        raise Conflict(
            f"{others} other connections work on this database; stop every process of the hub first."
        )


async def find_program(name: str, server: int) -> Path:
    """`pg_dump` or `pg_restore` of the server's major version or a later one, the oldest that will do."""
    found = _installed(name)
    if (on_path := shutil.which(name)) is not None:
        found.append((await _version(Path(on_path)), Path(on_path)))
    fitting = [each for each in sorted(found) if each[0] >= server]
    if not fitting:
        there = f"only version {max(found)[0]} is here" if found else "it is not installed"
        raise ConfigInvalid(
            f"{name} of PostgreSQL {server} is needed and {there}:"
            f" 'apt-get install postgresql-client-{server}' on Debian, beside whoever runs this command."
        )
    return fitting[0][1]


def _installed(name: str) -> list[tuple[int, Path]]:
    """What Debian's packages brought, with its major version."""
    found = _DEBIAN.glob(f"*/bin/{name}")
    return [(int(path.parts[-3]), path) for path in found if path.parts[-3].isdigit()]


async def _version(program: Path) -> int:
    said = await run([str(program), "--version"], {})
    numbers = re.search(r"\d+", said)
    return int(numbers[0]) if numbers else 0


async def run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a program to its end and return what it printed. Raises Unavailable with what it said when it failed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if process.returncode != 0:
        said = err.decode(errors="replace").strip()[:_TOLD]
        raise Unavailable(f"{Path(command[0]).name} failed: {said}")
    return out.decode(errors="replace")


def environment_of(database_url: str) -> dict[str, str]:
    """Where to connect, as PostgreSQL's programs read it; a password on their command line would be seen by all."""
    url: URL = make_url(database_url)
    told = {
        "PGHOST": url.host or _text(url.query.get("host")),
        "PGPORT": str(url.port or _text(url.query.get("port"))),
        "PGUSER": url.username or "",
        "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "",
        "PGSSLMODE": _text(url.query.get("sslmode") or url.query.get("ssl")),
    }
    return {name: value for name, value in told.items() if value}


def _text(value: str | tuple[str, ...] | None) -> str:
    return (value or "") if isinstance(value, str | None) else value[0]
