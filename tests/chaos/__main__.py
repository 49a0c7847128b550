"""`python -m tests.chaos`: every fault for longer than in the tests; writes docs/reliability.md and .json.

CHAOS_SECONDS: how long each fault lasts (10).
CHAOS_ONLY: names of faults, separated by commas; then nothing is written.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.experiment import run
from tests.chaos.faults import FAULTS
from tests.chaos.judging import problems
from tests.chaos.report import keep


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends us wants the house gone too
    lasts = float(os.environ.get("CHAOS_SECONDS", "10"))
    wanted = [name for name in os.environ.get("CHAOS_ONLY", "").split(",") if name]
    if unknown := set(wanted) - {fault.name for fault in FAULTS}:
        print(f"No such fault: {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="switchboard-chaos-log-"))
    print(f"What the processes say goes to {folder / 'house.log'}", flush=True)
    found = run(folder, lasts=lasts, faults=[each for each in FAULTS if not wanted or each.name in wanted])
    if not wanted:
        keep(found, lasts)
    broken = problems(found)
    for each in broken:
        print(f"BROKEN {each}")
    print(
        f"{len(found.rows)} faults in {found.seconds:.0f} s: {'all held' if not broken else 'it did not hold'}"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
