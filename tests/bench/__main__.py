"""`python -m tests.bench`: measure and write docs/benchmarks.json and docs/benchmarks.md.

BENCH_SECONDS: length of each point (60). BENCH_ROWS: rows of the large log (1000000). BENCH_ONLY: names of
benchmarks, separated by commas (ingest,live,reply,growth,demo,grown).
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import demo, grown, growth, ingest, live, reply
from tests.bench.processes import ROOT, Process
from tests.bench.results import ORDER, Section, keep
from tests.bench.world import ENVIRONMENT


def main() -> int:
    seconds = float(os.environ.get("BENCH_SECONDS", "60"))
    wanted = [name for name in os.environ.get("BENCH_ONLY", "").split(",") if name] or list(ORDER)
    if unknown := set(wanted) - set(ORDER):
        print(
            f"No such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(ORDER)}.", file=sys.stderr
        )
        return 2
    os.environ.update(ENVIRONMENT)
    found = []
    for name in ORDER:
        if (
            name in wanted
            and name in MEASURES
            and (section := _measured(MEASURES[name], seconds)) is not None
        ):
            found.append(section)
            keep([section])
    broken = [bar for section in found for bar in section.bars if not bar.is_kept]
    for section in found:
        for bar in section.bars:
            print(f"{'kept  ' if bar.is_kept else 'BROKEN'} {bar.what}: {bar.measured} (bar {bar.bar})")
    return 1 if broken else 0


def _measured(measure: Callable[[Path, Process, float], Section | None], seconds: float) -> Section | None:
    """Run one benchmark in a folder of its own, on the disk where the hub's data lie, with a provider beside it."""
    (ROOT / "var").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / "var"))
    try:
        with Process("tests.bench.provider") as provider:
            return measure(folder, provider, seconds)
    finally:
        shutil.rmtree(folder)


MEASURES: dict[str, Callable[[Path, Process, float], Section | None]] = {
    "ingest": ingest.measure,
    "live": live.measure,
    "reply": reply.measure,
    "growth": growth.measure,
    "demo": demo.measure,
    "grown": grown.measure,
}

if __name__ == "__main__":
    sys.exit(main())
