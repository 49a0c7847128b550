"""`switchboard status`: who runs, who owns what, what is behind, and which alarms stand; exit code 3 when one does."""

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from core.errors import NotFound
from workers.cli import output
from workers.cli.office import looking
from workers.cli.parser import settings_of

if TYPE_CHECKING:
    from core.tables import AlarmRow
    from workers.watching.figures import Figures

_UNHEARD = 20.0  # seconds: a process says every five that it is there


def status(args: Namespace) -> int:
    if args.forget:
        asyncio.run(_forget(args))
        return 0
    return asyncio.run(_status(args))


async def _status(args: Namespace) -> int:
    from workers.watching.figures import Measurer

    async with looking(settings_of(args)) as db:
        figures = await Measurer(db).measure()
        alarms = await _alarms(db) if figures.database_is_up else []
    is_heard = any(process.seconds < _UNHEARD for process in figures.processes)
    if args.json:
        output.as_json(_plain(figures, alarms, is_heard))
    elif not figures.database_is_up:
        print("The database is away: nothing can be read, and nobody says how the processes are.")
    else:
        _show(figures, alarms, is_heard)
    return 0 if figures.database_is_up and is_heard and not alarms else 3


async def _alarms(db: Any) -> "list[AlarmRow]":
    """Those that the hub's watch has found, urgent ones first."""
    from sqlalchemy import select

    from core.tables import AlarmRow

    async with db.read() as session:
        rows = (await session.scalars(select(AlarmRow))).all()
    return sorted(rows, key=lambda row: (row.detail.get("severity") != "urgent", row.since))


async def _forget(args: Namespace) -> None:
    """A process that will not come back under its name is no alarm any more."""
    from sqlalchemy import delete
    from sqlmodel import col

    from core.tables import ProcessRow

    async with looking(settings_of(args)) as db, db.begin() as tx:
        gone = await tx.write(
            delete(ProcessRow).where(col(ProcessRow.name) == args.forget).returning(col(ProcessRow.name))
        )
        if gone.first() is None:
            raise NotFound(f"No process is called {args.forget}; `switchboard status` shows which there are.")
    print(f"{args.forget} is not waited for any more; when it starts again it is back.")


def _plain(figures: "Figures", alarms: "Sequence[AlarmRow]", is_heard: bool) -> dict[str, Any]:
    if not figures.database_is_up:
        return {"at": figures.at, "database": "away"}
    return {
        "at": figures.at,
        "database": "ok",
        "running": is_heard,
        "head": figures.head,
        "processes": [asdict(process) for process in figures.processes],
        "leases": [
            {"name": lease.name, "holder": lease.holder, "held": lease.over_for < 0}
            for lease in figures.leases
        ],
        "consumers": {name: asdict(behind) for name, behind in figures.consumers.items()},
        "channels": {name: asdict(behind) for name, behind in figures.channels.items()},
        "queues": {name: asdict(waiting) for name, waiting in figures.queues.items()},
        "unsealed": asdict(figures.unsealed),
        "outbox": {
            state: {lane: number for (each, lane), number in figures.outbox.items() if each == state}
            for state in sorted({state for state, _ in figures.outbox})
        },
        "due": figures.due,
        "parked": figures.parked,
        "default_partition": figures.default_partition,
        "missing_partitions": figures.missing_partitions,
        "silent": figures.silent,
        "alarms": [
            {"name": row.name, "since": row.since, "told_at": row.told_at, **row.detail} for row in alarms
        ],
    }


def _show(figures: "Figures", alarms: "Sequence[AlarmRow]", is_heard: bool) -> None:
    output.table(
        ("Process", "Role", "Host", "Up for", "Heard of", "Behind", "Jobs", "Consoles", "Spool", "Version"),
        [
            (
                process.name,
                process.role,
                f"{process.host}:{process.pid}",
                _long(process.up_for),
                f"{_long(process.seconds)} ago",
                max(process.detail.get("lag", {}).values(), default=None),
                process.detail.get("jobs"),
                process.detail.get("consoles"),
                process.detail.get("spool", {}).get("entries"),
                process.detail.get("version"),
            )
            for process in figures.processes
        ],
        "No process of this hub is there.",
    )
    if figures.leases:
        output.table(
            ("Only one does", "Who"),
            [(each.name, each.holder if each.over_for < 0 else "nobody") for each in figures.leases],
            "",
        )
    behind = [*figures.consumers.items(), *(pair for pair in figures.channels.items() if pair[1].number)]
    output.table(
        ("Not read yet", "Entries", "Oldest"),
        [(name, each.number, _long(each.seconds)) for name, each in (*behind, ("seals", figures.unsealed))],
        "",
    )
    lanes = sorted({lane for _, lane in figures.outbox})
    states = ("waiting", "running", "failed", "unknown")
    output.table(
        ("Outbox", *states, "Oldest due"),
        [
            (
                lane,
                *(figures.outbox.get((state, lane), 0) for state in states),
                _long(figures.due.get(lane, 0)),
            )
            for lane in lanes
        ],
        "",
    )
    if figures.queues:
        output.table(
            ("Queue", "Wait", "Longest"),
            [
                (name or "-", each.number, _long(each.seconds))
                for name, each in sorted(figures.queues.items())
            ],
            "",
        )
    if not is_heard:
        print(f"No process of this hub has been heard of in the last {_UNHEARD:.0f} seconds.")
    output.table(
        ("Alarm", "", "Since", "Figures"),
        [
            (
                row.name,
                row.detail.get("severity"),
                _moment(row.since),
                _figures(row.detail.get("figures", {})),
            )
            for row in alarms
        ],
        "No alarm stands.",
    )


def _figures(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in figures.items())


def _moment(at: datetime) -> str:
    return at.astimezone().strftime("%m-%d %H:%M:%S")


def _long(seconds: float) -> str:
    """In one unit, which is as exact as anybody needs here."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
