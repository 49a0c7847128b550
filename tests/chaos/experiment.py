"""One run: a house under load, fault after fault, and the account of every message afterwards."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import asyncpg

from tests.bench.messages import ACCOUNT
from tests.bench.processes import ROOT, Process
from tests.bench.world import shop_id
from tests.chaos.console import Console
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.house import House, house
from tests.chaos.load import ANSWERED, BUSY

RATE: Final = 300.0
SENDERS: Final = 32
HEALS_WITHIN: Final = 60.0  # seconds in which nearly everything that was offered has to be acknowledged
SETTLES_WITHIN: Final = 90.0  # longer than the claim of a worker that died
_RECOVERS: Final = 5.0  # about how long it takes
_ANSWERS: Final = 9  # that each shop gets in a run
_AGREES_WITHIN: Final = 15.0  # longer than a console takes to notice that its line is dead
_SOON: Final = 1.0  # a sender is served when none of his messages waits for longer
_BEHIND: Final = 5.0  # and a consumer keeps up when it is so many seconds behind, on processors that are full
_LOOK_EVERY: Final = 0.1


@dataclass(slots=True, kw_only=True)
class Row:
    """What one fault did. Counts are of the messages that became due from its beginning until senders were served."""

    name: str
    title: str
    offered: int = 0
    acknowledged: int = 0
    in_time: int = 0
    meanwhile: int = 0  # acknowledged while it lasted
    logged: int = 0
    lost: int = 0
    doubled: int = 0
    unknown: int = 0
    window: int = 0  # most sends that were under way at one moment
    heals_in: float | None = None  # seconds until senders were served again; None: not within the time
    caught_up_in: float | None = None  # and until the consumers were no longer behind
    refused: dict[str, int] = field(default_factory=dict)
    left_out: str = ""  # why it was not tried
    numbers: range = field(default_factory=lambda: range(0))


@dataclass(slots=True, kw_only=True)
class Found:
    """The whole run."""

    rows: list[Row] = field(default_factory=list)
    offered: int = 0
    acknowledged: int = 0
    logged: int = 0
    lost: int = 0
    doubled: int = 0
    sent: int = 0
    sent_twice: int = 0
    sent_never: int = 0  # the outbox says that it was sent, and the provider has not seen it
    unsettled: dict[str, int] = field(default_factory=dict)
    settled_in: float = 0.0
    consoles: list[list[str]] = field(default_factory=list)  # of each, how it differs from a fresh one
    console_losses: int = 0
    console_reloads: int = 0
    saw_database_away: bool = False
    verified: str = ""  # what `switchboard verify` said, when it found something
    seconds: float = 0.0
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="minutes"))


def run(folder: Path, *, lasts: float, faults: Sequence[Fault] = FAULTS) -> Found:
    """Let each fault last so many seconds. The house's own words go to a file in `folder`."""
    return asyncio.run(_run(folder, lasts, faults))


async def _run(folder: Path, lasts: float, faults: Sequence[Fault]) -> Found:
    began = monotonic()
    https = _free_ports()
    shops = _shops(lasts, len(faults))
    values = json.dumps({"port": https, "senders": SENDERS, "rate": RATE, "shops": shops})
    with Process("tests.chaos.provider") as provider:
        async with house(https, provider, shops, folder / "house.log") as built:
            with Process("tests.chaos.load", values) as load:
                found = await Experiment(built, load, provider, lasts).run(faults)
    found.seconds = monotonic() - began
    return found


def _shops(lasts: float, faults: int) -> int:
    """So many that few of them write more often than the guard against loops lets them be answered."""
    seconds = faults * (lasts + _RECOVERS) + 2 * _RECOVERS
    return max(300, int(ANSWERED * RATE * seconds / _ANSWERS))


def _free_ports() -> int:
    """The first of some dozen ports that nobody uses: a range is guessed from one that the system gives."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    # Below the range of connections' own ports, where none is taken between now and the start.
    return 15_000 + port % 10_000


class Experiment:
    def __init__(self, built: House, load: Process, provider: Process, lasts: float) -> None:
        self._house = built
        self._load = load
        self._provider = provider
        self._lasts = lasts
        self._under_way = 0
        self._asking = asyncio.Lock()

    async def run(self, faults: Sequence[Fault]) -> Found:
        consoles = [
            Console(self._house.url, token, view=view, party=party)
            for token, view, party in zip(
                self._house.tokens,
                ("open", "all", "unassigned", "open"),
                (None, None, None, str(shop_id(BUSY))),
                strict=True,
            )
        ]
        tasks = [asyncio.create_task(console.run()) for console in consoles]
        tasks.append(asyncio.create_task(self._watch_sends()))
        try:
            await self._ask("start")
            await asyncio.gather(*(console.is_loaded.wait() for console in consoles))
            await self._well(_SOON)
            rows = [await self._strike(fault) for fault in faults]
            found = Found(rows=rows)
            await self._come_to_rest(found)
            await self._count(found)
            await self._compare(consoles, found)
            found.verified = await asyncio.to_thread(self._verify)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for console in consoles:
                await console.close()
        return found

    # A fault.

    async def _strike(self, fault: Fault) -> Row:
        row = Row(name=fault.name, title=fault.title, left_out=fault.is_possible(self._house))
        if row.left_out:
            return row
        before = await self._ask("state")
        self._under_way = 0
        hit_at = monotonic()
        await fault.hit(self._house)
        await asyncio.sleep(self._lasts - (monotonic() - hit_at))
        meanwhile = await self._ask("state")
        heals_from = hit_at
        if fault.heal is not None:
            heals_from = monotonic()
            await fault.heal(self._house)
        if await _until(self._is_served, HEALS_WITHIN - (monotonic() - heals_from)):
            row.heals_in = monotonic() - heals_from
        after = await self._ask("state")
        if await self._well(HEALS_WITHIN - (monotonic() - heals_from)):
            row.caught_up_in = monotonic() - heals_from
        row.window = self._under_way
        row.numbers = range(before["offered"], after["offered"])
        row.offered = len(row.numbers)
        row.meanwhile = meanwhile["taken"] - before["taken"]
        row.refused = {
            said: count
            for said, times in after["said"].items()
            if not said.startswith("2") and (count := times - before["said"].get(said, 0))
        }
        taken = await self._ask(
            "taken", first=row.numbers.start, last=row.numbers.stop, until=heals_from + HEALS_WITHIN
        )
        row.in_time = taken["in_time"]
        print(
            f"{row.name}: heals in {row.heals_in}, caught up in {row.caught_up_in},"
            f" {row.meanwhile} meanwhile, refused {row.refused}",
            flush=True,
        )
        await self._all_up()
        return row

    async def _well(self, within: float) -> bool:
        """Wait until senders are answered again and the consumers are not behind; False when that takes too long."""

        async def is_well() -> bool:
            return await self._is_served() and await self._keeps_up()

        return await _until(is_well, within)

    async def _is_served(self) -> bool:
        return bool((await self._ask("state"))["late"] < _SOON)

    async def _keeps_up(self) -> bool:
        """Whether every consumer passes, soon enough, what is in the log now."""

        async def has_passed() -> bool:
            return bool(await self._house.one("SELECT min(seq) FROM cursor") >= head)

        try:
            head = await self._house.one("SELECT seq FROM log_head")
            return await _until(has_passed, _BEHIND)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return False

    async def _all_up(self) -> None:
        """Who was killed begins again before the next fault."""
        async with asyncio.timeout(60):
            for name in (
                "web-1",
                "web-2",
                "jobs-1",
                "jobs-2",
                "digest-1",
                "digest-2",
                "listeners",
                "schedule",
            ):
                await self._house.supervisor.ready(name)

    async def _watch_sends(self) -> None:
        while True:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                running = await self._house.one("SELECT count(*) FROM outbox WHERE state = 'running'")
                self._under_way = max(self._under_way, running)
            await asyncio.sleep(_LOOK_EVERY)

    # Afterwards.

    async def _come_to_rest(self, found: Found) -> None:
        """End the load and let everything that is under way arrive."""
        await self._ask("stop")
        since = monotonic()

        async def is_at_rest() -> bool:
            return await self._is_drained() and await self._keeps_up() and not await self._unsettled()

        await _until(is_at_rest, SETTLES_WITHIN)
        found.settled_in = monotonic() - since
        found.unsettled = await self._unsettled()
        if found.unsettled:
            left = await self._house.ask(
                "SELECT state, lane, job, attempts, due_at, error FROM outbox"
                " WHERE state IN ('waiting', 'running') LIMIT 5"
            )
            print("\n".join(str(dict(row)) for row in left), flush=True)

    async def _is_drained(self) -> bool:
        state = await self._ask("state")
        return bool(state["offered"] == state["taken"])

    async def _unsettled(self) -> dict[str, int]:
        rows = await self._house.ask(
            "SELECT state, count(*) FROM outbox WHERE state IN ('waiting', 'running') GROUP BY 1"
        )
        return {row[0]: row[1] for row in rows}

    async def _count(self, found: Found) -> None:
        taken = set((await self._ask("numbers"))["taken"])
        state = await self._ask("state")
        logged = Counter(
            int(row[0][2:], 16)
            for row in await self._house.ask(
                "SELECT external_id FROM log WHERE account = $1 AND direction = 'in' AND kind = 'message'",
                ACCOUNT,
            )
        )
        unknown = [
            int(row[0][2:], 16)
            for row in await self._house.ask(
                "SELECT l.external_id FROM outbox o JOIN log l ON l.seq = o.cause_seq"
                " WHERE o.state = 'unknown' AND l.kind = 'message' AND l.direction = 'in'"
            )
        ]
        for row in found.rows:
            row.acknowledged = sum(number in taken for number in row.numbers)
            row.logged = sum(number in logged for number in row.numbers)
            row.lost = sum(number in taken and number not in logged for number in row.numbers)
            row.doubled = sum(logged[number] > 1 for number in row.numbers)
            row.unknown = sum(number in row.numbers for number in unknown)
        found.offered, found.acknowledged, found.logged = state["offered"], len(taken), len(logged)
        found.lost = len(taken - logged.keys())
        found.doubled = sum(times > 1 for times in logged.values())
        await self._count_sends(found)

    async def _count_sends(self, found: Found) -> None:
        """Each row of the outbox may have reached the provider once: those of equal text are counted together."""
        arrived = Counter[tuple[str, str]]()
        for to, text, times in (await asyncio.to_thread(self._provider.ask, "given"))["taken"]:
            arrived[to, text] += times
        done, maybe = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for address, text, state in await self._house.ask(
            "SELECT address, payload ->> 'text', state FROM outbox WHERE job = 'send'"
        ):
            (done if state == "done" else maybe)[address, text] += 1
        found.sent = arrived.total()
        found.sent_twice = (arrived - done - maybe).total()
        found.sent_never = (done - arrived).total()

    async def _compare(self, consoles: Sequence[Console], found: Found) -> None:
        """What stayed open against what is opened now; frames that are on their way get a moment."""
        until = monotonic() + _AGREES_WITHIN
        while True:
            found.consoles = [console.shown.differs(await console.fresh()) for console in consoles]
            if not any(found.consoles) or monotonic() > until:
                break
            await asyncio.sleep(_SOON)
        found.console_losses = sum(console.losses for console in consoles)
        found.console_reloads = sum(console.reloads for console in consoles)
        found.saw_database_away = any(console.saw_database_away for console in consoles)

    def _verify(self) -> str:
        machine = self._house.machine
        ran = subprocess.run(
            [sys.executable, "-m", "workers.cli", "verify"],
            cwd=ROOT,
            env={
                **os.environ,
                "SWITCHBOARD_DATABASE": machine.database,
                "SWITCHBOARD_DATABASE_PASSWORD_FILE": str(machine.root / "secrets" / "database_password"),
                "SWITCHBOARD_DATA": str(machine.root / "data"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if ran.returncode == 0 else ran.stdout + ran.stderr

    async def _ask(self, command: str, **more: Any) -> dict[str, Any]:
        async with self._asking:
            return await asyncio.to_thread(self._load.ask, command, **more)


async def _until(holds: Callable[[], Awaitable[bool]], within: float) -> bool:
    """Whether it held within so many seconds."""
    end = monotonic() + within
    while not await holds():
        if monotonic() > end:
            return False
        await asyncio.sleep(_LOOK_EVERY)
    return True
