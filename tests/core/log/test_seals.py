"""Seals chain every account's entries, whoever draws them and however often."""

import asyncio

import pytest
from sqlalchemy import delete, select
from sqlmodel import col

from core.database import Database
from core.log import seals
from core.log.seals import GENESIS, Sealer, chained
from core.log.writer import LogWriter
from core.tables import LogEntry, Seal
from tests.support.entries import NOON, message, running


@pytest.fixture
def sealer(db: Database) -> Sealer:
    return Sealer(db, lambda: NOON)


async def _write(writer: LogWriter, *accounts: str) -> None:
    for account in accounts:
        await writer.write(message(account=account))


async def _drawn(db: Database) -> list[tuple[str, int, int, int, int]]:
    async with db.read() as session:
        rows = await session.scalars(select(Seal).order_by(col(Seal.account), col(Seal.number)))
        return [(row.account, row.number, row.first_seq, row.last_seq, row.entries) for row in rows]


async def test_ranges_of_an_account_follow_each_other(
    db: Database, writer: LogWriter, sealer: Sealer
) -> None:
    await _write(writer, "a", "b", "a")
    assert await sealer.seal() == 3
    await _write(writer, "b")
    assert await sealer.seal() == 1
    await _write(writer, "a", "c")
    assert await sealer.seal() == 2
    assert await _drawn(db) == [
        ("a", 1, 1, 3, 2),
        ("a", 2, 4, 6, 1),
        ("b", 1, 1, 3, 1),
        ("b", 2, 4, 4, 1),
        ("c", 1, 1, 6, 1),
    ]


async def test_with_nothing_new_nothing_is_drawn(db: Database, writer: LogWriter, sealer: Sealer) -> None:
    assert await sealer.seal() == 0
    await _write(writer, "a")
    await sealer.seal()
    assert await sealer.seal() == 0
    assert len(await _drawn(db)) == 1


async def test_a_hash_covers_the_one_before(db: Database, writer: LogWriter, sealer: Sealer) -> None:
    await _write(writer, "a")
    await sealer.seal()
    await _write(writer, "a")
    await sealer.seal()
    async with db.read() as session:
        envelopes = [seals.sealed_bytes(row) for row in await session.execute(seals.ENVELOPES)]
        hashes = list(await session.scalars(select(col(Seal.hash)).order_by(col(Seal.number))))
    assert hashes[0] == chained(GENESIS, envelopes[:1])
    assert hashes[1] == chained(hashes[0], envelopes[1:])


async def test_another_process_goes_on_where_one_stopped(
    db: Database, writer: LogWriter, sealer: Sealer
) -> None:
    await _write(writer, "a")
    await sealer.seal()
    await _write(writer, "a")
    assert await Sealer(db, lambda: NOON).seal() == 1
    assert await sealer.seal() == 0
    assert len(await _drawn(db)) == 2


async def test_of_two_that_seal_at_once_one_does_it(db: Database, writer: LogWriter, sealer: Sealer) -> None:
    await _write(writer, "a", "b")
    other = Sealer(db, lambda: NOON)
    done = await asyncio.gather(sealer.seal(), other.seal())
    assert sorted(done) == [0, 2]
    assert await _drawn(db) == [("a", 1, 1, 2, 1), ("b", 1, 1, 2, 1)]


async def test_a_long_tail_is_sealed_in_several_runs(
    db: Database, writer: LogWriter, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "_LARGEST_RUN", 4)
    monkeypatch.setattr(seals, "_CHUNK", 3)
    await _write(writer, *"aaaaaaaaaa")
    assert [await sealer.seal() for _ in range(4)] == [4, 4, 2, 0]
    assert (sealer.sealed_to, sealer.head) == (10, 10)


async def test_a_hole_in_the_log_does_not_stop_the_chain(
    db: Database, writer: LogWriter, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "_LARGEST_RUN", 2)
    await _write(writer, *"aaaaaa")
    async with db.begin() as tx:
        await tx.session.execute(delete(LogEntry).where(col(LogEntry.seq) < 5))
    assert await sealer.seal() == 2
    assert await _drawn(db) == [("a", 1, 1, 6, 2)]


async def test_the_lag_says_how_much_waits(db: Database, writer: LogWriter, sealer: Sealer) -> None:
    await _write(writer, "a", "a")
    await sealer.seal()
    await _write(writer, "a")
    assert sealer.lag == 0
    await sealer.seal()
    assert sealer.lag == 0
    assert sealer.head == 3


async def test_sealing_outlives_an_absent_database(
    db: Database, writer: LogWriter, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "_EVERY", 0)
    tries = 0
    reached = asyncio.Event()
    real = sealer.seal

    async def sometimes() -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("away")
        sealed = await real()
        reached.set()
        return sealed

    monkeypatch.setattr(sealer, "seal", sometimes)
    await _write(writer, "a")
    async with running(sealer.run()), asyncio.timeout(30):
        await reached.wait()
    assert await _drawn(db) == [("a", 1, 1, 1, 1)]
