"""The grown size under test: the same processes as `make up-grown`, each within reach of what may happen to it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.bench.messages import ORIGIN
from tests.bench.processes import Process
from tests.bench.world import ENVIRONMENT
from tests.chaos.clocks import can_be_faked, faked
from tests.chaos.network import Cut
from tests.chaos.small_disk import SmallDisk
from workers.grown.health import http_answers
from workers.grown.machine import PROCESSES, Machine, commands, prepare, proxy_of
from workers.grown.supervisor import Command, Supervisor
from workers.processes import WEB, Keeps, Secret
from workers.proxy import nginx_conf

CONSOLES: Final = 4
CLOCKED: Final = ("web-1", "jobs-1")
"""The processes whose clock can be moved."""

BEHIND_A_LINE: Final = "web-2"
"""The process whose line to the database can be cut."""

ON_A_SMALL_DISK: Final = "web-1"
"""The process whose spool lies on a disk that can be filled."""


@dataclass(frozen=True, slots=True)
class Clock:
    path: Path
    without: Command
    """How the process is started when its clock was enough: libfaketime also meddles with sleeping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    machine: Machine
    supervisor: Supervisor
    cut: Cut | None
    disk: SmallDisk | None
    clocks: dict[str, Clock]
    sql: asyncpg.Pool
    tokens: Sequence[str]
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.machine.https}"

    def kill(self, name: str) -> None:
        """`kill -9`; the supervisor begins it again, then with the machine's own clock."""
        if clock := self.clocks.get(name):
            self.supervisor.change(clock.without)
        pid = self.supervisor.pid(name)
        assert pid is not None, f"{name} does not run"
        os.kill(pid, signal.SIGKILL)

    async def ask(self, query: str, *values: object) -> list[asyncpg.Record]:
        """Look into the database, from beside the house. Raises while it is away."""
        async with asyncio.timeout(10):
            found: list[asyncpg.Record] = await self.sql.fetch(query, *values)
            return found

    async def one(self, query: str, *values: object) -> Any:
        return (await self.ask(query, *values))[0][0]


@asynccontextmanager
async def house(https: int, provider: Process, shops: int, log: Path) -> AsyncIterator[House]:
    """A house with all its processes up. Everything that it made is gone after the block, but for the log."""
    root = _folder()
    async with contextlib.AsyncExitStack() as ending:
        ending.callback(shutil.rmtree, root, ignore_errors=True)
        machine = Machine(root=root, https=https, url=ORIGIN)
        prepare(machine)
        cut = ending.enter_context(Cut.made()) if Cut.is_possible() else None
        disk = None
        if SmallDisk.is_possible():
            disk = ending.enter_context(SmallDisk.mounted(root / "small"))
        started, clocks = _arranged(machine, cut, disk)
        furnish = (sys.executable, "-m", "tests.chaos.furnish", str(root / "world"))
        more = [str(provider.ready["port"]), str(shops), str(CONSOLES)]
        started = _with_furnishing(started, (*furnish, *more))
        said = ending.enter_context(log.open("w", encoding="utf-8"))
        supervisor = Supervisor(
            started, lambda name, line: print(f"{name:<10} | {line}", file=said, flush=True)
        )
        await ending.enter_async_context(supervisor)
        sql = await asyncpg.create_pool(
            machine.database.replace("+asyncpg", ""),
            password=_password(machine),
            min_size=0,
            max_size=4,
            timeout=2,
        )
        ending.push_async_callback(_closed, sql)
        yield House(
            machine=machine,
            supervisor=supervisor,
            cut=cut,
            disk=disk,
            clocks=clocks,
            sql=sql,
            tokens=json.loads((root / "world" / "consoles.json").read_text()),
            log=log,
        )


def _folder() -> Path:
    root = Path(tempfile.mkdtemp(prefix="switchboard-chaos-"))
    root.chmod(0o755)  # PostgreSQL runs as another user
    return root


async def _closed(sql: asyncpg.Pool) -> None:
    sql.terminate()


def _password(machine: Machine) -> str:
    return Path(machine.secret(PROCESSES[0], Secret.DATABASE_PASSWORD)).read_text()


def _with_furnishing(started: Sequence[Command], argv: tuple[str, ...]) -> list[Command]:
    """Fill the database after the tables are there and before anybody works with them."""
    migrate = next(command for command in started if command.name == "migrate")
    furnish = replace(migrate, name="furnish", argv=argv, after=("migrate",), healthy_within=180.0)
    return [
        furnish,
        *(
            replace(command, after=(*command.after, "furnish")) if "migrate" in command.after else command
            for command in started
        ),
    ]


def _arranged(
    machine: Machine, cut: Cut | None, disk: SmallDisk | None
) -> tuple[list[Command], dict[str, Clock]]:
    """The commands of the machine, and what makes some of them touchable."""
    found = {
        command.name: command
        for command in commands(machine, more={**ENVIRONMENT, "SWITCHBOARD_LOG_LEVEL": "INFO"})
    }
    if disk is not None:
        found[ON_A_SMALL_DISK] = _told(found[ON_A_SMALL_DISK], {"SWITCHBOARD_SPOOL": str(disk.spool)})
    if cut is not None:
        _move_behind(cut, machine, found)
    clocks = {}
    if can_be_faked():
        for name in CLOCKED:
            clocks[name] = Clock(machine.root / f"clock-{name}", without=found[name])
            found[name] = _told(found[name], faked(clocks[name].path))
    return list(found.values()), clocks


def _told(command: Command, more: dict[str, str]) -> Command:
    return replace(command, environment={**command.environment, **more})


def _move_behind(cut: Cut, machine: Machine, found: dict[str, Command]) -> None:
    """Put one web process into a network of its own: one line leads to the database, another to all else."""
    process = next(each for each in WEB if each.name == BEHIND_A_LINE)
    database = found["postgresql"]
    with (machine.root / Keeps.ROWS / "data" / "pg_hba.conf").open("a") as access:
        access.write(f"host all all {cut.inside_database}/32 scram-sha-256\n")
    found["postgresql"] = replace(
        database,
        argv=tuple(
            f"--listen_addresses=127.0.0.1,{cut.outside_database}" if "listen_addresses" in each else each
            for each in database.argv
        ),
    )
    redis = found["redis"]
    found["redis"] = replace(
        redis,
        argv=(
            *(f"{each} {cut.outside}" if each == machine.host else each for each in redis.argv),
            *("--protected-mode", "no"),
        ),
    )
    command = _told(
        found[process.name],
        {
            "SWITCHBOARD_DATABASE": machine.database.replace(machine.host, cut.outside_database),
            "SWITCHBOARD_REDIS": machine.redis.replace(machine.host, cut.outside),
            "SWITCHBOARD_HOST": cut.inside,
        },
    )
    found[process.name] = replace(
        command,
        argv=(*cut.prefix, *command.argv),
        is_healthy=http_answers(cut.inside, machine.health_port(process), "/healthz"),
    )
    proxy = proxy_of(machine)
    port = machine.port(process)
    web = [each.replace(f"{machine.host}:{port}", f"{cut.inside}:{port}") for each in proxy.web]
    (machine.root / "nginx" / "nginx.conf").write_text(nginx_conf(replace(proxy, web=web)), encoding="utf-8")
