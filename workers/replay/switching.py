"""Comparing a replay with what stands, and letting it count: only the differences are written, in one transaction."""

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from sqlalchemy import and_, delete, insert, select, update
from sqlmodel import col

from core.database import Database, Tx
from core.errors import Conflict
from core.tables import Setting
from crm.blueprint.publishing import Published
from crm.cases import next_number
from crm.tables import Case, ReadingRow
from workers.replay.difference import Change, Differences, changes
from workers.replay.projections import PROJECTIONS, Forgotten, Projection, changed
from workers.replay.reading import Positions, Replay, moment, positions
from workers.retention import EMPTIED_TO

_Noted = tuple[int, Change]  # which of the projections, and what becomes of its row


@dataclass(frozen=True, slots=True)
class Compared:
    differences: tuple[Differences, ...]
    positions: Positions

    @property
    def any(self) -> bool:
        return any(each.any for each in self.differences)


async def compare(live: Database, replay: Replay, noted: "IO[bytes] | None" = None) -> Compared:
    """Catch up to one moment of the live tables and compare them with it; what differs is also noted in the file."""
    found = []
    async with moment(live) as session:
        goal = await positions(session, replay.consumer.name)
        await replay.follow(session)
        forgotten = await Forgotten.read(session)
        async with replay.scratch.read() as scratch:
            for number, projection in enumerate(PROJECTIONS[replay.consumer.name]):
                told = Differences(projection.told)
                async for change in changes(session, scratch, projection, forgotten, told):
                    if noted is not None:
                        pickle.dump((number, change), noted)
                found.append(told)
    return Compared(tuple(found), goal)


async def switch(live: Database, replay: Replay, published: Published | None, at: datetime) -> Compared:
    """Let the replay count. To be called inside a block in which the consumer rests, in every process.

    Positions stay: the replay has followed exactly as far. Nothing is sent, and nothing is queued.
    """
    await refuse_after_retention(live, replay)
    with tempfile.TemporaryFile() as noted:
        compared = await compare(live, replay, noted)
        if replay.undigested:
            raise Conflict(
                f"{len(replay.undigested)} entries cannot be digested any more ({replay.undigested[:5]}…):"
                " nothing was switched."
            )
        async with live.begin() as tx:
            for turn in ("gone", "changed", "new"):  # what is unique is free again before it is taken
                noted.seek(0)
                for number, change in _read(noted):
                    projection = PROJECTIONS[replay.consumer.name][number]
                    if _turn_of(change) == turn:
                        await _write(tx, projection, change, published, at, max(compared.positions))
    return compared


async def refuse_after_retention(live: Database, replay: Replay) -> None:
    """Raise Conflict where the log no longer says what the oldest figures came from."""
    if replay.consumer.name == "search":
        return
    async with live.read() as session:
        emptied = await session.scalar(select(col(Setting.value)).where(col(Setting.key) == EMPTIED_TO))
    if emptied is not None:
        raise Conflict(
            f"Retention has emptied texts up to entry {emptied}: who wrote them and what they said cannot be read"
            " anew, so the CRM's tables stay as they are."
        )


def _read(noted: IO[bytes]) -> Iterator[_Noted]:
    while True:
        try:
            yield pickle.load(noted)  # our own file, written a moment ago and without a name
        except EOFError:
            return


def _turn_of(change: Change) -> str:
    if change.after is None:
        return "gone"
    return "new" if change.before is None else "changed"


async def _write(
    tx: Tx, projection: Projection, change: Change, published: Published | None, at: datetime, seq: int
) -> None:
    table = projection.table
    here = and_(*(table.c[name] == value for name, value in zip(projection.key, change.key, strict=True)))
    if change.after is None:
        await tx.write(delete(table).where(here))
    elif change.before is None:
        row: dict[str, Any] = dict(change.after)
        if table.name == Case.__tablename__ and published is not None:
            await _number(tx, row, published)
        await tx.write(insert(table).values(**row))
    else:
        row = changed(projection, change.before, change.after, at=at, seq=seq)
        await tx.write(update(table).where(here).values(**row))


async def _number(tx: Tx, case: dict[str, Any], published: Published) -> None:
    """A case that nobody opened at the time gets the next number of its span, and the reading that opens it says so."""
    kind = published.blueprint.case_kind(case["kind"])
    case["number"] = await next_number(tx, published, kind, case["opened_at"])
    await tx.write(update(ReadingRow).where(col(ReadingRow.seq) == case["id"]).values(receipt=case["number"]))


def total(differences: Sequence[Differences]) -> int:
    return sum(each.count for each in differences)
