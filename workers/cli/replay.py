"""`switchboard replay`: the whole log read anew beside the present tables, the difference shown, and switched to."""

import asyncio
import sys
import tempfile
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.clock import now
from core.database import Database
from core.errors import BadInput
from core.positions import Positions
from core.settings import Settings
from crm.blueprint.publishing import Book, compiled
from crm.consumer import CrmConsumer
from workers.cli import output
from workers.cli.blueprints import whole
from workers.cli.office import looking
from workers.cli.parser import settings_of
from workers.control import NotRunning, ask, only_writer
from workers.migrations import upgrade
from workers.replay.difference import Differences
from workers.replay.reading import CurrentBook, Replay, consumer_of, moment
from workers.replay.switching import Compared, compare, refuse_after_retention, switch, total

_MOST_SHOWN = 20
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class _Desk:
    """What a replay works with: the settings and words it was asked with, and the two databases."""

    settings: Settings
    args: Namespace
    live: Database
    book: Book
    path: Path
    replay: Replay


def replay(args: Namespace) -> int:
    if args.switch and args.blueprint:
        raise BadInput("Publish the blueprint first: only what is in force can be switched to.")
    settings = settings_of(args)
    return asyncio.run(_replay(settings, args))


async def _replay(settings: Settings, args: Namespace) -> int:
    async with _desk(settings, args) as desk:
        if args.switch:
            await refuse_after_retention(desk.live, desk.replay)
        compared = await _compared(desk)
        if args.dry_run:
            _tell(args, compared, desk.replay.undigested, None)
            return 3 if desk.replay.undigested or compared.any else 0
        if not args.json:
            _print(compared.differences, desk.replay.undigested)
        if not compared.any or not (args.yes or _confirmed(compared)):
            written = None
        else:
            written = await _switch(desk)
        if args.json:
            _tell(args, compared, desk.replay.undigested, written)
        elif compared.any:
            print("Nothing was changed." if written is None else f"Switched: {written:,} rows were written.")
        return 1 if compared.any and written is None else 0


@asynccontextmanager
async def _desk(settings: Settings, args: Namespace) -> AsyncIterator[_Desk]:
    async with looking(settings) as live:
        # Beside the data: as large as they are, and within reach of a running hub.
        with tempfile.TemporaryDirectory(prefix=".replay-", dir=settings.data) as folder:
            path = Path(folder) / "replay.db"
            url = f"sqlite+aiosqlite:///{path}"
            await asyncio.to_thread(upgrade, url)
            book = await _book(live, args)
            scratch = Database(url)
            try:
                consumer = consumer_of(args.consumer, book, as_then=args.as_then)
                yield _Desk(settings, args, live, book, path, Replay(scratch, consumer))
            finally:
                await scratch.close()


async def _book(live: Database, args: Namespace) -> Book:
    if args.blueprint:
        return CurrentBook(compiled(0, whole(args.blueprint)))
    book = Book()
    await book.load(live)
    if args.consumer == CrmConsumer.name:
        _ = book.current  # says so where none is published
    return book


async def _compared(desk: _Desk) -> Compared:
    with output.bar("Reading the log anew") as told:
        # Most of it outside of the moment in which both sides are compared: that one shall be short.
        async with moment(desk.live) as session:
            await desk.replay.follow(session, told)
    return await compare(desk.live, desk.replay)


async def _switch(desk: _Desk) -> int:
    """By the running hub where it owns the data; else here, while the consumer rests in every process."""
    args = {"scratch": str(desk.path.resolve()), "consumer": desk.args.consumer, "as_then": desk.args.as_then}
    if desk.live.is_sqlite:
        try:
            answer = await ask(desk.settings.data, "replay.switch", args)
        except NotRunning:
            pass
        else:
            return int(answer["written"])
    with only_writer(desk.settings.data) if desk.live.is_sqlite else nullcontext():
        async with Positions(desk.live, desk.args.consumer).resting_elsewhere():
            published = desk.book.current if desk.book.has_any else None
            return total((await switch(desk.live, desk.replay, published, now())).differences)


def _confirmed(compared: Compared) -> bool:
    if not sys.stdin.isatty():
        raise BadInput("Say --yes where nobody can be asked whether to switch.")
    asked = f"Let these {total(compared.differences):,} rows count from now on? Type yes: "
    return input(asked).strip().lower() == "yes"


def _tell(args: Namespace, compared: Compared, undigested: Sequence[int], written: int | None) -> None:
    if args.json:
        output.as_json(
            {
                "differences": [each.as_dict() for each in compared.differences],
                "undigested": list(undigested),
                "written": written,
            }
        )
    else:
        _print(compared.differences, undigested)


def _print(found: Sequence[Differences], undigested: Sequence[int]) -> None:
    for each in found:
        told = f"{each.changed} change, {each.gone} go, {each.new} come" if each.any else "none differs"
        print(f"{each.kind}: {each.compared} compared, {told}")
        for one in each.first:
            key = ".".join(str(part) for part in one["key"])
            print(f"  {key}: {_said(one['before'])} -> {_said(one['after'])}")
        if each.count > len(each.first):
            print(f"  and {each.count - len(each.first)} more")
    if undigested:
        numbers = ", ".join(str(seq) for seq in undigested[:_MOST_SHOWN])
        print(f"{len(undigested)} entries could not be digested: {numbers}")
    if not undigested and not any(each.any for each in found):
        print("The log read anew says what stands now.")


def _said(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "nothing"
    told = ", ".join(f"{name} {value}" for name, value in side.items())
    return told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"
