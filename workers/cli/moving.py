"""`switchboard move`: a hub that has outgrown SQLite goes on with PostgreSQL."""

import asyncio
from argparse import Namespace
from pathlib import Path

from core.clock import now
from core.errors import BadInput, NotFound
from core.settings import Settings
from workers.cli import output
from workers.cli.parser import settings_of
from workers.control import only_writer


def move(args: Namespace) -> int:
    settings = settings_of(args)
    source = _source(settings)
    if not args.to.startswith("postgresql+asyncpg://"):
        raise BadInput("Name the target as postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE.")
    from workers.moving import move as moved

    with only_writer(settings.data), output.stages() as told:
        done = asyncio.run(moved(source, args.to, now(), again=args.again, told=told))
    print(
        f"{done.rows:,} rows of {len(done.tables)} tables were copied; the log goes to {done.verdict.head:,}."
    )
    for account, hash in done.verdict.chains.items():
        print(f"  chain {account}: {hash}")
    for complaint in done.complaints:
        print(f"  {complaint}")
    if done.complaints:
        print("The two hubs differ: go on with the old one, and tell those who make Switchboard.")
        return 3
    print(
        "Both logs verify and are the same. From now on start every process with SWITCHBOARD_DATABASE set to the"
        f" new address;\n{source} is the past from here on: keep it until the next backup, then delete it."
    )
    return 0


def _source(settings: Settings) -> Path:
    scheme, _, path = settings.database_url.partition(":///")
    if not scheme.startswith("sqlite"):
        raise BadInput(
            "SWITCHBOARD_DATABASE names PostgreSQL already; leave it empty to move what lies in SQLite."
        )
    if not Path(path).is_file():
        raise NotFound(f"There are no data in {settings.data}; name their folder in SWITCHBOARD_DATA.")
    return Path(path)
