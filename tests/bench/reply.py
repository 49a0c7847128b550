"""Reply: from the moment an SMS is due to the hub's answer at the provider."""

import asyncio
import os
import time
from pathlib import Path

from tests.bench.live import by_sender
from tests.bench.processes import Process
from tests.bench.results import Bar, Section
from tests.bench.senders import percentile
from tests.bench.world import ENVIRONMENT, World, make

_RATE = 100
_SENDERS = 32
_ANSWERS = 8  # messages of one shop: more than twelve in ten minutes would stop the hub's answers to it
_SETTLES = 3.0  # seconds


def measure(folder: Path, provider: Process, seconds: float) -> Section:
    load_before = os.getloadavg()[0]
    shops = max(300, int(_RATE * seconds / _ANSWERS))
    asyncio.run(make(folder / "world", World(shops=shops), provider.ready["port"]))
    with (
        Process("tests.bench.senders") as load,
        Process("tests.bench.server", "hub", str(folder / "world"), env=ENVIRONMENT) as server,
    ):
        load.ask("make", within=300, count=int(_RATE * seconds), shops=shops, seed=12)
        provider.ask("given")
        busy = server.processor_seconds
        port = server.ready["port"]
        sent = load.ask("open", within=seconds + 60, port=port, rate=_RATE, seconds=seconds, senders=_SENDERS)
        spent = (server.processor_seconds - busy) / seconds
        time.sleep(_SETTLES)
        server.ask("caught_up", within=120)
        taken = provider.ask("given")["taken"]
    due, told = by_sender(map(tuple, sent["due"])), by_sender(map(tuple, taken))
    latencies = [
        at - since
        for shop, times in due.items()
        for since, at in zip(times, told.get(shop, ()), strict=False)
    ]
    found = {
        "p50_ms": percentile(latencies, 0.5) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
        "most_ms": max(latencies, default=float("nan")) * 1000,
        "replies": len(latencies),
        "missing": len(sent["due"]) - len(latencies),
        "answer_p99_ms": sent["p99_ms"],
        "server": spent,
    }
    print(f"reply: p99 {found['p99_ms']:.0f} ms, missing {found['missing']}", flush=True)
    return Section(
        name="reply",
        title="Reply: SMS due → answer handed to the provider",
        how=(
            f"Open loop at {_RATE} messages/s from {shops:,} shops, each of which gets one answer. It counts from the "
            "moment the webhook was due to the moment the provider (a stand-in on loopback) has the whole request "
            "that sends the answer."
        ),
        table=[
            ["messages", "p50", "p99", "longest", "without answer", "webhook answered p99", "server"],
            [
                f"{len(sent['due']):,}",
                f"{found['p50_ms']:.0f} ms",
                f"{found['p99_ms']:.0f} ms",
                f"{found['most_ms']:.0f} ms",
                f"{found['missing']:,}",
                f"{found['answer_p99_ms']:.1f} ms",
                f"{spent:.2f} cores",
            ],
        ],
        bars=[
            Bar(
                f"SMS in → reply handed to the provider at {_RATE} messages/s, p99",
                "≤ 1 s",
                f"{found['p99_ms']:.0f} ms",
                found["p99_ms"] <= 1000 and not found["missing"],
            )
        ],
        seconds=seconds,
        raw=found,
        load_before=load_before,
    )
