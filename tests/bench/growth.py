"""Growth: what a log of a million rows costs, beside one of ten thousand."""

import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from tests.bench.filling import fill
from tests.bench.ingest import hub_point
from tests.bench.processes import Process
from tests.bench.results import Bar, Section
from tests.bench.senders import percentile
from tests.bench.world import ENVIRONMENT, World, make, shop_id, tokens
from workers.web.session_api import COOKIE

_SMALL = 10_000
_SHOPS = 1_000
_SENDERS = 128
_PAGES = 300
_SEARCHES = 15  # of each query
# Frequent and rare ones, and one that never stands there.
_QUERIES = ("库存", "楚岚", "断货", "白云", "投诉", "霉味", "顾客", "月饼")


def measure(folder: Path, provider: Process, seconds: float) -> Section:
    load_before = os.getloadavg()[0]
    rows = {"small": _SMALL, "large": int(os.environ.get("BENCH_ROWS", "1000000"))}
    raw: dict[str, Any] = {}
    for name, count in rows.items():
        began = time.perf_counter()
        asyncio.run(make(folder / name, World(shops=_SHOPS), provider.ready["port"]))
        head = asyncio.run(fill(folder / name, count, _SHOPS))
        size = (folder / name / "switchboard.db").stat().st_size
        raw[name] = {"rows": head, "bytes": size, "fill_s": time.perf_counter() - began}
        print(f"growth: {head:,} rows, {size / 2**20:,.0f} MiB, in {raw[name]['fill_s']:.0f} s", flush=True)
    for name in rows:
        raw[name] |= _pages(folder / name)
    rates: dict[str, list[float]] = {name: [] for name in rows}
    p99s: dict[str, list[float]] = {name: [] for name in rows}
    for name in ("small", "large", "large", "small"):
        point = hub_point(folder, folder / name, _SENDERS, seconds / 2, _SHOPS, is_drained=False)
        rates[name].append(point.load["rate"])
        p99s[name].append(point.load["p99_ms"])
    for name in rows:
        raw[name] |= {"rates": rates[name], "rate": statistics.mean(rates[name]), "p99_ms": max(p99s[name])}
    return _section(raw, seconds, load_before)


def _pages(folder: Path) -> dict[str, Any]:
    """The pages that read the log, asked one after the other of a hub that has nothing else to do."""
    rng = Random(31)
    with Process("tests.bench.server", "hub", str(folder), env=ENVIRONMENT) as server:
        server.ask("caught_up", within=300)
        there = _Visitor(server.ready["port"], tokens(folder)[0])
        timelines = [
            there.get(f"/api/parties/{shop_id(rng.randrange(_SHOPS))}/timeline?limit=50")
            for _ in range(_PAGES)
        ]
        searches = {
            query: [there.get(f"/api/search?q={quote(query)}&limit=50") for _ in range(_SEARCHES)]
            for query in _QUERIES
        }
    return {
        "timeline": _spread(timelines),
        "search": _spread([each for found in searches.values() for each in found]),
        "by_query": {query: _spread(found) for query, found in searches.items()},
    }


class _Visitor:
    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Cookie": f"{COOKIE}={token}"}

    def get(self, path: str) -> float:
        """Seconds until the whole answer is there."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {body[:200]!r}")
        return time.perf_counter() - began


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    values = list(seconds)
    return {
        "p50_ms": percentile(values, 0.5) * 1000,
        "p99_ms": percentile(values, 0.99) * 1000,
        "most_ms": max(values) * 1000,
    }


def _section(raw: dict[str, Any], seconds: float, load_before: float) -> Section:
    small, large = raw["small"], raw["large"]
    ratio = large["rate"] / small["rate"]
    slowest = max(large["by_query"], key=lambda query: large["by_query"][query]["p99_ms"])
    table = [
        [
            "log rows",
            "database",
            "ingest at 128",
            "p99",
            "timeline p50",
            "timeline p99",
            "search p50",
            "search p99",
        ]
    ]
    for found in (small, large):
        table.append(
            [
                f"{found['rows']:,}",
                f"{found['bytes'] / 2**20:,.0f} MiB",
                f"{found['rate']:,.0f}/s",
                f"{found['p99_ms']:.0f} ms",
                *(
                    f"{found[what][share]:.1f} ms"
                    for what in ("timeline", "search")
                    for share in ("p50_ms", "p99_ms")
                ),
            ]
        )
    rows = f"{large['rows']:,} rows"
    return Section(
        name="growth",
        title="Growth: a large log beside a small one",
        how=(
            f"Old rows are SMS of {_SHOPS:,} shops over 180 days, written by the log's own appender, with their "
            "timeline, readings, search index and seals; the newest 2,000 messages were taken by the hub itself, "
            "figures and answers included. Ingest end to end as above, twice for each size in turn. Pages over "
            "HTTP, one after the other: 300 timelines of 50 lines, and eight two-character queries for the newest "
            f"50, {_SEARCHES} times each."
        ),
        table=table,
        bars=[
            Bar(f"Ingest at {rows}, of that at {small['rows']:,}", "≥ 0.85", f"{ratio:.2f}", ratio >= 0.85),
            Bar(
                f"A timeline page at {rows}, p99",
                "≤ 20 ms",
                f"{large['timeline']['p99_ms']:.1f} ms",
                large["timeline"]["p99_ms"] <= 20,
            ),
            Bar(
                f"Two-character Chinese search at {rows}, newest 50, p99",
                "≤ 200 ms",
                f"{large['search']['p99_ms']:.0f} ms",
                large["search"]["p99_ms"] <= 200,
            ),
        ],
        notes=[f"The slowest query was {slowest}, {large['by_query'][slowest]['p99_ms']:.0f} ms."],
        seconds=seconds,
        raw=raw,
        load_before=load_before,
    )
