"""What a benchmark found: figures with their bars, kept as JSON and shown as Markdown tables."""

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.processes import ROOT

JSON = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise, what was measured, and whether it holds."""

    what: str
    bar: str
    measured: str
    is_kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One benchmark. `table` begins with its head; `how` says in a few lines what was measured."""

    name: str
    title: str
    how: str
    table: Sequence[Sequence[str]]
    bars: Sequence[Bar]
    notes: Sequence[str] = ()
    seconds: float
    raw: Mapping[str, Any]
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="minutes"))
    load_before: float = 0.0


def keep(sections: Sequence[Section]) -> None:
    """Write the sections of this run beside those that it did not measure again."""
    known = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else {"sections": {}}
    known["machine"] = machine()
    for section in sections:
        known["sections"][section.name] = asdict(section)
    JSON.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(known), encoding="utf-8")


ORDER = ("ingest", "live", "reply", "growth", "demo", "grown")


def page(known: Mapping[str, Any]) -> str:
    here = known["machine"]
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`; every figure is of the run that its section names. Absolute figures belong to the "
        "machine, the bars are ratios within one run or times that a person notices.",
        "",
        f"{here['processor']}, {here['cores']} cores (server, load and consoles share them), "
        f"{here['memory_gb']} GB, {here['system']}, Python {here['python']}, SQLite {here['sqlite']}; "
        f"a durable write of 4 KiB takes {here['sync_ms']} ms.",
        "",
        "| Bar | Promised | Measured | Kept |",
        "|---|---|---|---|",
    ]
    found = [known["sections"][name] for name in ORDER if name in known["sections"]]
    for section in found:
        lines += [_row((bar["what"], bar["bar"], bar["measured"], _kept(bar))) for bar in section["bars"]]
    for section in found:
        head, *rows = section["table"]
        lines += ["", f"## {section['title']}", "", section["how"], ""]
        lines += [_row(head), _row(["---", *["---:"] * (len(head) - 1)]), *(_row(row) for row in rows)]
        lines += ["", *(f"- {note}" for note in section["notes"])]
        lines += [
            f"- Measured {section['at']}, {section['seconds']:g} s a point, "
            f"load average before it {section['load_before']:.1f}."
        ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _kept(bar: Mapping[str, Any]) -> str:
    return "yes" if bar["is_kept"] else "**no**"


def machine() -> dict[str, Any]:
    import sqlite3

    processor = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": processor[1] if processor else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "sync_ms": _sync_ms(),
    }


def _sync_ms() -> float:
    """The median of fifty durable writes on the disk where the databases lie."""
    from time import perf_counter

    path = ROOT / "var" / f"sync-{os.getpid()}"
    path.parent.mkdir(exist_ok=True)
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            began = perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            times.append(perf_counter() - began)
    path.unlink()
    return round(sorted(times)[25] * 1000, 2)
