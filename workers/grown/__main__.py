"""`python -m workers.grown`: the grown size on this machine, until it is told to stop."""

import argparse
import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import Final

from core.errors import ConfigInvalid
from core.settings import Settings
from workers.control import only_writer
from workers.grown.machine import Machine, commands, prepare
from workers.grown.postgres import choose_user
from workers.grown.supervisor import Say, Supervisor

_ELSEWHERE: Final = Path("/var/lib/switchboard/grown")
_COLOURS: Final = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


def main() -> int:
    from workers.cli import told_plainly

    args = _parser().parse_args()
    return told_plainly(lambda: run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make up-grown", description="Start the grown size as plain processes of this machine."
    )
    parser.add_argument("--port", type=int, default=8443, help="of https; the others count up from it")
    parser.add_argument(
        "--folder", type=Path, help="where everything is kept (default: grown/ in the data folder)"
    )
    parser.add_argument("--empty", action="store_true", help="without the demo's data and doors")
    parser.add_argument("--weeks", type=int, default=6, help="weeks of history that the demo invents")
    parser.add_argument("--fresh", action="store_true", help="throw away what an earlier run kept")
    return parser


def run(args: argparse.Namespace) -> int:
    folder = (args.folder or _default_folder()).resolve()
    machine = Machine(root=folder, https=args.port, url=Settings().public_url)
    with only_writer(folder):
        if args.fresh:
            throw_away(folder)
        prepare(machine)
        asyncio.run(_serve(machine, args))
    return 0


def _default_folder() -> Path:
    """The data folder, or one that the server's user can reach where root keeps that folder to itself."""
    folder = Settings().data / "grown"
    if choose_user().can_enter(folder):
        return folder
    print(f"PostgreSQL cannot reach {folder.resolve()}, so everything is kept in {_ELSEWHERE}.")
    return _ELSEWHERE


def throw_away(folder: Path) -> None:
    """Remove what an earlier run kept. Raises ConfigInvalid where the folder holds anything else."""
    kept = {path.name for path in folder.iterdir() if path.is_dir()}
    if kept and not (folder / "nginx" / "nginx.conf").exists():
        raise ConfigInvalid(f"{folder} holds something else than an earlier run; name another folder.")
    for name in kept:
        shutil.rmtree(folder / name)


async def _serve(machine: Machine, args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    started = commands(machine, demo_weeks=0 if args.empty else args.weeks)
    starting = asyncio.create_task(
        _started(Supervisor(started, _prefixed([each.name for each in started])), machine)
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()  # which ends what was started so far
        await asyncio.gather(starting, return_exceptions=True)
        return
    supervisor = await starting
    try:
        await stopping
    finally:
        await supervisor.stop()


async def _started(supervisor: Supervisor, machine: Machine) -> Supervisor:
    await supervisor.__aenter__()
    print(
        f"\n  Open {machine.public_url}\n\n"
        "  The certificate is this machine's own, so the browser asks once whether you trust it.\n"
        "  Ctrl-C stops everything.\n",
        flush=True,
    )
    return supervisor


def _prefixed(names: list[str]) -> Say:
    """Print each line behind the name of who wrote it, in a colour of its own on a terminal."""
    width = max(map(len, names))
    is_coloured = sys.stdout.isatty()

    def say(name: str, line: str) -> None:
        prefix = f"{name:<{width}} |"
        if is_coloured:
            prefix = f"\x1b[{_COLOURS[names.index(name) % len(_COLOURS)]}m{prefix}\x1b[0m"
        print(prefix, line, flush=True)

    return say


if __name__ == "__main__":
    sys.exit(main())
