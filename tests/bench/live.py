"""Live: from the moment a webhook is due to the frame at the console, and what an open console costs."""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.processes import Process
from tests.bench.results import Bar, Section
from tests.bench.senders import percentile
from tests.bench.world import ENVIRONMENT, World, make, queue_of, tokens

_RATE = 500
_SHOPS = 1_000
_SENDERS = 64
_SETTLES = 2.0  # seconds
_PER_CONSOLE = 20 * 1024
_ENOUGH = 100  # consoles, from which their memory stands out of the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    consoles: int
    queues: int
    bar_ms: float

    @property
    def name(self) -> str:
        return (
            f"{self.consoles:,} consoles on {self.queues} queues"
            if self.queues
            else f"{self.consoles} consoles"
        )


_SETTINGS = (
    Setting(consoles=20, queues=0, bar_ms=20),
    Setting(consoles=1_000, queues=50, bar_ms=100),
)


def measure(folder: Path, provider: Process, seconds: float) -> Section:
    load_before = os.getloadavg()[0]
    raw = {}
    for setting in _SETTINGS:
        raw[setting.name] = found = _at(folder / str(setting.consoles), setting, provider, seconds)
        print(f"live, {setting.name}: p99 {found['p99_ms']:.1f} ms, missing {found['missing']}", flush=True)
    return _section(raw, seconds, load_before)


def _at(folder: Path, setting: Setting, provider: Process, seconds: float) -> dict[str, Any]:
    world = World(shops=_SHOPS, consoles=setting.consoles, queues=setting.queues)
    asyncio.run(make(folder, world, provider.ready["port"]))
    with (
        Process("tests.bench.senders") as load,
        Process("tests.bench.server", "hub", str(folder), env=ENVIRONMENT) as server,
        Process("tests.bench.consoles") as consoles,
    ):
        _warm(load, server)
        load.ask("make", within=300, count=int(_RATE * seconds), shops=_SHOPS, seed=11)
        before = server.memory
        consoles.ask(
            "open",
            within=180,
            port=server.ready["port"],
            tokens=tokens(folder),
            watches=[_watch(number, setting.queues) for number in range(setting.consoles)],
        )
        time.sleep(_SETTLES)
        memory = (server.memory - before) / setting.consoles
        busy = server.processor_seconds, consoles.processor_seconds
        port = server.ready["port"]
        sent = load.ask("open", within=seconds + 60, port=port, rate=_RATE, seconds=seconds, senders=_SENDERS)
        spent = [
            (each.processor_seconds - was) / seconds
            for each, was in zip((server, consoles), busy, strict=True)
        ]
        time.sleep(_SETTLES)
        seen = consoles.ask("given", within=120)
        state = server.ask("state")
        memory_loaded = (server.memory - before) / setting.consoles
    timed, expected = _latencies(sent["due"], seen, setting)
    latencies = [spent for _, spent in timed]
    return {
        "p50_ms": percentile(latencies, 0.5) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
        "most_ms": max(latencies, default=float("nan")) * 1000,
        "p99_ms_by_second": _by_second(timed, sent["due"][0][1]),
        "samples": len(latencies),
        "missing": expected - len(latencies),
        "answer_p99_ms": sent["p99_ms"],
        "refused": sent["refused"],
        "unanswered": sent["unanswered"],
        "memory": memory,
        "memory_loaded": memory_loaded,
        "frames": seen["frames"],
        "mb_a_second": seen["bytes"] / seconds / 1e6,
        "server": spent[0],
        "clients": spent[1],
        "lag": state["lag"],
    }


def _warm(load: Process, server: Process) -> None:
    """Let what is made at the first use be made, before memory is compared."""
    load.ask("make", count=50, shops=_SHOPS, seed=10)
    load.ask("open", within=60, port=server.ready["port"], rate=50, seconds=1, senders=4)
    server.ask("caught_up", within=120)


def _watch(number: int, queues: int) -> dict[str, Any]:
    return {"inbox": {"view": "all", "queue": queue_of(number % queues) if queues else None}}


def _latencies(
    due: Sequence[tuple[str, float]], seen: dict[str, Any], setting: Setting
) -> tuple[list[tuple[float, float]], int]:
    """When each line was due and the seconds from then to each console; and how many there should be.

    A shop's messages come in their order, so its n-th line is its n-th message.
    """
    wanted = by_sender((phone[-4:], at) for phone, at in due)
    began = due[0][1]
    first: dict[int, float] = {}
    for seq, at in zip(seen["seqs"], seen["times"], strict=True):
        first[seq] = min(first.get(seq, at), at)
    told = defaultdict(list)
    for seq in sorted(first):
        if first[seq] >= began:  # those of before were the warming up
            told[seen["senders"][str(seq)]].append(seq)
    due_of = {seq: at for sender, seqs in told.items() for seq, at in zip(seqs, wanted[sender], strict=False)}
    found = [
        (due_of[seq], at - due_of[seq])
        for seq, at in zip(seen["seqs"], seen["times"], strict=True)
        if seq in due_of
    ]
    each = setting.consoles // setting.queues if setting.queues else setting.consoles
    return found, len(due) * each


def _by_second(timed: Iterable[tuple[float, float]], began: float) -> list[float]:
    seconds = defaultdict(list)
    for due, spent in timed:
        seconds[int(due - began)].append(spent)
    return [round(percentile(seconds[second], 0.99) * 1000, 1) for second in sorted(seconds)]


def by_sender(due: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    found = defaultdict(list)
    for sender, at in due:
        found[sender].append(at)
    return found


def _section(raw: dict[str, Any], seconds: float, load_before: float) -> Section:
    table = [
        [
            "consoles",
            "p50",
            "p99",
            "longest",
            "frames/s",
            "MB/s",
            "server",
            "memory a console",
            "lines missing",
        ]
    ]
    bars = []
    for setting in _SETTINGS:
        found = raw[setting.name]
        table.append(
            [
                setting.name,
                f"{found['p50_ms']:.1f} ms",
                f"{found['p99_ms']:.1f} ms",
                f"{found['most_ms']:.0f} ms",
                f"{found['frames'] / seconds:,.0f}",
                f"{found['mb_a_second']:.1f}",
                f"{found['server']:.2f} cores",
                f"{found['memory'] / 1024:.1f} KiB" if setting.consoles >= _ENOUGH else "–",
                f"{found['missing']:,} of {found['missing'] + found['samples']:,}",
            ]
        )
        bars.append(
            Bar(
                f"Webhook due → console at {_RATE} messages/s, {setting.name}, p99",
                f"≤ {setting.bar_ms:g} ms",
                f"{found['p99_ms']:.1f} ms",
                found["p99_ms"] <= setting.bar_ms and not found["missing"],
            )
        )
    most = raw[_SETTINGS[-1].name]
    bars.append(
        Bar(
            f"Memory of the server a console, {_SETTINGS[-1].consoles:,} open",
            "≤ 20 KB",
            f"{most['memory'] / 1024:.1f} KB",
            most["memory"] <= _PER_CONSOLE,
        )
    )
    return Section(
        name="live",
        title="Live: webhook due → frame at the console",
        how=(
            f"Open loop at {_RATE} messages/s from {_SHOPS:,} shops over {_SENDERS} connections; consoles are raw "
            "WebSocket clients in a process of their own. A line counts from the moment its webhook was due to its "
            "first sight at each console that watches its queue (20 consoles watch everything; of 1,000, twenty "
            "watch each queue). Memory: growth of the server's resident memory by opening the consoles."
        ),
        table=table,
        bars=bars,
        notes=[
            *(
                f"{setting.name}: clients used {raw[setting.name]['clients']:.2f} cores; the webhooks themselves were "
                f"answered within {raw[setting.name]['answer_p99_ms']:.1f} ms (p99)."
                for setting in _SETTINGS
            ),
            f"After the load the server held {most['memory_loaded'] / 1024:.1f} KiB more a console than before the "
            "first opened, what the load itself left included.",
        ],
        seconds=seconds,
        raw=raw,
        load_before=load_before,
    )
