"""The demo: how long it takes to stand, from nothing and again, and how much memory it takes."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench.processes import ROOT, Failed, Process
from tests.bench.results import Bar, Section

_COLD = 60.0
_WARM = 3.0
_MEMORY = 250 * 10**6
_PATIENCE = 300.0
_SETTLES = 20.0  # seconds in which its customers write


def measure(folder: Path, provider: Process, seconds: float) -> Section | None:
    """None where the program is not there."""
    program = ROOT / ".venv" / "bin" / "switchboard"
    if not program.exists():
        return None
    load_before = os.getloadavg()[0]
    starts = [_start(folder / "data", program, settles=0), _start(folder / "data", program, settles=_SETTLES)]
    (cold, _), (warm, memory) = starts
    print(f"demo: cold {cold:.1f} s, warm {warm:.2f} s, {memory / 1e6:.0f} MB", flush=True)
    return Section(
        name="demo",
        title="The demo",
        how=(
            "`switchboard demo`, which `make run` starts once everything is installed and built: from the command "
            "to the first 200 of `/readyz`, with an empty data folder and again with the full one. Memory: "
            f"resident, {_SETTLES:.0f} s after the second start, its customers writing."
        ),
        table=[
            ["", "time or memory"],
            ["first start", f"{cold:.1f} s"],
            ["next start", f"{warm:.2f} s"],
            ["memory", f"{memory / 1e6:.0f} MB"],
        ],
        bars=[
            Bar("First start of the demo, data loaded", "≤ 60 s", f"{cold:.1f} s", cold <= _COLD),
            Bar("Next start of the demo", "≤ 3 s", f"{warm:.2f} s", warm <= _WARM),
            Bar("Memory of the demo's process", "≤ 250 MB", f"{memory / 1e6:.0f} MB", memory <= _MEMORY),
        ],
        seconds=_SETTLES,
        raw={"cold_s": cold, "warm_s": warm, "memory": memory},
        load_before=load_before,
    )


def _start(data: Path, program: Path, *, settles: float) -> tuple[float, int]:
    """Seconds until it is ready, and its resident bytes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "SWITCHBOARD_DATA": str(data), "SWITCHBOARD_PORT": str(port)}
    began = time.perf_counter()
    running = subprocess.Popen(
        [program, "demo"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _is_ready(port):
            spent = time.perf_counter() - began
            if running.poll() is not None or spent > _PATIENCE:
                raise Failed(f"The demo did not start within {spent:.0f} s.")
            time.sleep(0.02)
        taken = time.perf_counter() - began
        time.sleep(settles)
        pages = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1])
        return taken, pages * os.sysconf("SC_PAGE_SIZE")
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
