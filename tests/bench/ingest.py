"""Ingest: webhook, signature, durable, 200, with consumers running; beside it the limits of the same run."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.bench.processes import Failed, Process
from tests.bench.results import Bar, Section
from tests.bench.world import ENVIRONMENT, World, make

_LEVELS = (1, 16, 128)
_MOST = {1: 2_000, 16: 6_000, 128: 8_000}  # requests a second that are made ready
_PATIENCE = 10  # how many times as long as the load the consumers may need afterwards
SHOPS = 300


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: `load` is what the senders saw, `after` what was left to do and how long that took."""

    load: dict[str, Any]
    after: dict[str, Any]


def measure(folder: Path, provider: Process, seconds: float) -> Section:
    load_before = os.getloadavg()[0]
    asyncio.run(make(folder / "world", World(shops=SHOPS), provider.ready["port"]))
    raw: dict[str, Any] = {}
    for senders in _LEVELS:
        limit = [_limit(folder, "nothing", senders, seconds / 2)]
        point = hub_point(folder, folder / "world", senders, seconds)
        limit.append(_limit(folder, "nothing", senders, seconds / 2))
        raw[str(senders)] = {
            "hub": {**point.load, **point.after},
            "nothing": {key: (limit[0][key] + limit[1][key]) / 2 for key in ("rate", "p50_ms", "p99_ms")},
            "orm": _limit(folder, "orm", senders, seconds),
            "commit": _group_commit(folder, senders, seconds),
        }
        print(f"ingest, {senders} senders: {_told(raw[str(senders)])}", flush=True)
    return _section(raw, seconds, load_before)


def _told(found: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {each['rate']:.0f}/s p99 {each['p99_ms']:.1f} ms" for name, each in found.items()
    )


@contextmanager
def copied(world: Path, to: Path) -> Iterator[Path]:
    """The world once more, on the disk and at rest, so that every point begins with the same database."""
    shutil.copytree(world, to)
    os.sync()  # what the copy left to be written would make each commit of the measurement wait
    try:
        yield to
    finally:
        shutil.rmtree(to)


def hub_point(
    folder: Path, world: Path, senders: int, seconds: float, shops: int = SHOPS, *, is_drained: bool = True
) -> Point:
    with copied(world, folder / "hub") as data, Process("tests.bench.senders") as load:
        count = int(_MOST[senders] * (seconds + 2))
        load.ask("make", within=300, count=count, shops=shops, seed=int.from_bytes(os.urandom(4)))
        with Process("tests.bench.server", "hub", str(data), env=ENVIRONMENT) as server:
            found = _closed(load, server, senders, seconds, again=False)
            return Point(found, _drained(server, seconds) if is_drained else {})


def _drained(server: Process, seconds: float) -> dict[str, Any]:
    """How long the consumers need for what the load left them, and how fast they go alone."""
    before = server.ask("state")
    began = perf_counter()
    longest = max(60.0, _PATIENCE * seconds)
    server.tell("caught_up")
    try:
        after = server.answer(within=longest)
    except Failed:
        return {"lag": before["lag"], "digested": before["digested"], "drain_s": None, "parked": None}
    spent = perf_counter() - began
    return {
        "lag": before["lag"],
        "digested": before["digested"],
        "drain_s": spent,
        "drain_rate": (after["digested"]["crm"] - before["digested"]["crm"]) / spent,
        "parked": after["parked"],
        "jobs": after["jobs"],
    }


def _limit(folder: Path, mode: str, senders: int, seconds: float) -> dict[str, Any]:
    with copied(folder / "world", folder / mode) as data, Process("tests.bench.senders") as load:
        is_repeatable = mode == "nothing"
        count = 20_000 if is_repeatable else int(1_500 * (seconds + 2))
        load.ask("make", within=300, count=count, shops=SHOPS, seed=int.from_bytes(os.urandom(4)))
        with Process("tests.bench.server", mode, str(data), env=ENVIRONMENT) as server:
            return _closed(load, server, senders, seconds, again=is_repeatable)


def _closed(load: Process, server: Process, senders: int, seconds: float, *, again: bool) -> dict[str, Any]:
    busy = server.processor_seconds
    found = load.ask(
        "closed",
        within=seconds + 60,
        port=server.ready["port"],
        senders=senders,
        seconds=seconds,
        again=again,
    )
    return found | {"server": (server.processor_seconds - busy) / (seconds + 1)}


def _group_commit(folder: Path, senders: int, seconds: float) -> dict[str, Any]:
    with (
        copied(folder / "world", folder / "commit") as data,
        Process("tests.bench.group_commit", str(data)) as bare,
    ):
        length = min(seconds, 10)
        bare.ask("make", within=300, count=int(20_000 * length))
        return bare.ask("measure", within=60, senders=senders, seconds=length)


def _section(raw: dict[str, Any], seconds: float, load_before: float) -> Section:
    table = [
        ["senders", "ingest", "p50", "p99", "no database (N)", "ORM (O)", "group commit (L)", "of N", "× O",
         "lag after", "back to 0"]
    ]  # fmt: skip
    for senders, found in raw.items():
        hub = found["hub"]
        table.append(
            [
                senders,
                f"{hub['rate']:,.0f}/s",
                f"{hub['p50_ms']:.1f} ms",
                f"{hub['p99_ms']:.1f} ms",
                _limit_cell(found["nothing"]),
                _limit_cell(found["orm"]),
                _limit_cell(found["commit"]),
                f"{hub['rate'] / found['nothing']['rate']:.0%}",
                f"{hub['rate'] / found['orm']['rate']:.1f}",
                f"{hub['lag']:,}",
                f"{hub['drain_s']:.1f} s" if hub["drain_s"] is not None else "not in time",
            ]
        )
    busiest = raw[str(_LEVELS[-1])]
    of_n = busiest["hub"]["rate"] / busiest["nothing"]["rate"]
    by_o = busiest["hub"]["rate"] / busiest["orm"]["rate"]
    p99 = busiest["hub"]["p99_ms"]
    drained = [found["hub"]["drain_s"] for found in raw.values()]
    lost = sum(sum(found["hub"]["refused"].values()) + found["hub"]["unanswered"] for found in raw.values())
    return Section(
        name="ingest",
        title="Ingest: webhook → durable → 200",
        how=(
            "Closed loop over kept connections from one other process; the real application in one process with "
            "uvloop on SQLite (WAL, synchronous FULL), the tobacco blueprint, 300 known shops, all consumers and "
            "sending at work. N: the same server and checks, answered without the log (half before, half after). "
            "O: the same rows by one ORM session and commit a request, without consumers. L: the log's group "
            "commit alone, in process."
        ),
        table=table,
        bars=[
            Bar(
                "Ingest at 128 senders, of the same server without a database",
                "≥ 70 %",
                f"{of_n:.0%}",
                of_n >= 0.7,
            ),
            Bar("Ingest at 128 senders, times one ORM commit a request", "≥ 12", f"{by_o:.1f}", by_o >= 12),
            Bar("Ingest at 128 senders, p99", "≤ 60 ms", f"{p99:.1f} ms", p99 <= 60),
            Bar(
                "Consumers' lag back to 0 after the load",
                "yes",
                ", ".join(f"{each:.0f} s" if each is not None else "not in time" for each in drained),
                None not in drained,
            ),
        ],
        notes=[
            f"At 128 senders the server used {busiest['hub']['server']:.2f} cores, "
            f"the load {busiest['hub']['generator']:.2f}; "
            f"slowest second {min(busiest['hub']['by_second']):,}, "
            f"fastest {max(busiest['hub']['by_second']):,} requests.",
            f"Refused or unanswered requests of all points: {lost}. Back to 0 includes what the hub itself sent "
            "meanwhile and its receipts.",
        ],
        seconds=seconds,
        raw=raw,
        load_before=load_before,
    )


def _limit_cell(found: dict[str, Any]) -> str:
    return f"{found['rate']:,.0f}/s, p99 {found['p99_ms']:.1f} ms"
