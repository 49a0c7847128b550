"""`switchboard demo`, `up` and `run`: the server, with or without invented customers, whole or one role of it."""

import asyncio
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from core.settings import Settings
from workers.cli.output import bar
from workers.cli.parser import settings_of


def demo(args: Namespace) -> int:
    settings: Settings = settings_of(args).model_copy(update={"is_demo": True})
    from workers import up
    from workers.demo import mark

    if not args.seed_only:
        up.check_port(settings)
    if args.fresh:
        _throw_away(settings)
    if not asyncio.run(mark.is_loaded(settings)):
        # In a process of its own, whose memory goes back when the data are there.
        command = [sys.executable, "-m", "workers.cli.demo", str(args.weeks or mark.WEEKS)]
        code = subprocess.run(command, check=False).returncode
        if code:
            return code
    if args.seed_only:
        return 0
    up.serve(settings, demo=True, traffic=not args.no_traffic, ready=_open)
    return 0


def up(args: Namespace) -> int:
    settings = settings_of(args)
    from workers.up import check_port, serve

    check_port(settings)
    serve(settings, demo=False, ready=_open)
    return 0


def run(args: Namespace) -> int:
    settings: Settings = settings_of(args)
    settings = settings.model_copy(update={"name": args.name or settings.name or args.role})
    from workers.roles import Role
    from workers.up import check_port, serve

    if args.role == Role.WEB:
        check_port(settings)
    serve(settings, demo=args.demo, roles=frozenset({Role(args.role)}), ready=_open)
    return 0


def _open(url: str) -> None:
    print(f"\n  Open {url}\n\n  Ctrl-C stops it.", flush=True)


def _throw_away(settings: Settings) -> None:
    from workers.control import only_writer
    from workers.demo import mark

    with only_writer(settings.data):
        asyncio.run(mark.is_loaded(settings))  # refuses where other data lie
        for name in ("switchboard.db", "switchboard.db-wal", "switchboard.db-shm"):
            (settings.data / name).unlink(missing_ok=True)
        shutil.rmtree(settings.data / "files", ignore_errors=True)


def load(weeks: int) -> int:
    """What the loading process does."""
    import uvloop

    from workers.control import only_writer
    from workers.demo import seed

    settings: Settings = settings_of(None).model_copy(update={"is_demo": True})
    with only_writer(Path(settings.data)), bar("Inventing shops and their weeks") as told:
        uvloop.run(seed.load(settings, weeks=weeks, progress=told))
    return 0


if __name__ == "__main__":
    from workers.cli import told_plainly

    sys.exit(told_plainly(lambda: load(int(sys.argv[1]))))
