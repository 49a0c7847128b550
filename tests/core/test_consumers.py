"""Consumers digest every entry once, in order within its lane, and one bad entry stops no other."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.addresses import SHARDS, shard_of
from core.consumers import ActRefused, ConsumerRunner
from core.database import Database, Tx
from core.log import reader
from core.log.entries import Logged
from core.log.writer import LogWriter
from core.positions import LANES, lane_of, shards_of
from core.tables import ActOutcome, Cursor, Parked, Setting
from core.values import Address
from tests.support.entries import NOON, message, running


class Ledger:
    """A consumer that writes down what it digests, and fails where the text tells it to."""

    name = "ledger"

    def __init__(self) -> None:
        self.tries: dict[str, int] = defaultdict(int)

    async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None:
        for entry in batch:
            self.tries[entry.text] += 1
            await tx.session.merge(Setting(key=f"{entry.seq:06}", value=entry.text))
            if entry.text == "bad":
                raise ValueError("this entry cannot be digested")
            if entry.text == "refused":
                raise ActRefused("answered_meanwhile", "Somebody else was faster.", by="Li")
            if entry.text == "stumbles" and self.tries["stumbles"] < 3:
                raise ValueError("not yet")


@asynccontextmanager
async def _runner(db: Database, writer: LogWriter, ledger: Ledger) -> AsyncIterator[ConsumerRunner]:
    runner = ConsumerRunner(db, ledger, clock=lambda: NOON)
    writer.on_commit(runner.woken)
    async with running(runner.run()), asyncio.timeout(30):
        yield runner


async def _digested(db: Database) -> list[str]:
    async with db.read() as session:
        return list(await session.scalars(select(col(Setting.value)).order_by(col(Setting.key))))


def _phones(number: int) -> list[Address]:
    return [Address("tel", f"+86138000000{n:02}") for n in range(number)]


def test_every_shard_falls_into_one_lane() -> None:
    for lane in range(LANES):
        first, last = shards_of(lane)
        assert {lane_of(shard) for shard in range(first, last + 1)} == {lane}
    assert shards_of(0)[0] == 0
    assert shards_of(LANES - 1)[1] == SHARDS - 1


async def test_what_was_there_and_what_comes_is_digested(db: Database, writer: LogWriter) -> None:
    await writer.write_all([message(text="old", address=address) for address in _phones(20)])
    async with _runner(db, writer, Ledger()) as runner:
        await runner.caught_up()
        assert await _digested(db) == ["old"] * 20
        accepted = await writer.write(message(text="new"))
        await runner.processed(shard_of(message().address), accepted.seq)
        assert (await _digested(db))[-1] == "new"
        assert runner.digested == 21
        await runner.caught_up()
        assert runner.lag == 0


async def test_entries_of_one_address_are_digested_in_their_order(db: Database, writer: LogWriter) -> None:
    order: dict[str, list[int]] = defaultdict(list)

    class Watching(Ledger):
        async def digest(self, tx: Tx, batch: Sequence[Logged]) -> None:
            for entry in batch:
                order[entry.address.value].append(entry.seq)

    async with _runner(db, writer, Watching()) as runner:
        await writer.write_all([message(address=address) for _ in range(30) for address in _phones(10)])
        await runner.caught_up()
    assert sum(len(seqs) for seqs in order.values()) == 300
    assert all(seqs == sorted(seqs) for seqs in order.values())


async def test_a_new_process_goes_on_where_the_last_one_stopped(db: Database, writer: LogWriter) -> None:
    first, second = Ledger(), Ledger()
    await writer.write_all([message(text=f"old {n}") for n in range(5)])
    async with _runner(db, writer, first) as runner:
        await runner.caught_up()
    await writer.write(message(text="new"))
    async with _runner(db, writer, second) as runner:
        await runner.caught_up()
    assert dict(second.tries) == {"new": 1}
    async with db.read() as session:
        lane = lane_of(shard_of(message().address))
        assert await session.scalar(select(col(Cursor.seq)).where(col(Cursor.lane) == lane)) == 6


async def test_an_entry_that_cannot_be_digested_is_parked_alone(
    db: Database, writer: LogWriter, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    await writer.write_all([message(text=text) for text in ("one", "bad", "two")])
    with caplog.at_level(logging.CRITICAL):
        async with _runner(db, writer, ledger) as runner:
            await runner.caught_up()
            assert runner.parked == 1
    assert await _digested(db) == ["one", "two"]
    assert ledger.tries["bad"] == 4  # once among the others, three times alone
    async with db.read() as session:
        parked = (await session.scalars(select(Parked))).one()
    assert (parked.seq, parked.error, parked.parked_at) == (
        2,
        "ValueError: this entry cannot be digested",
        NOON,
    )


async def test_an_entry_that_stumbles_is_tried_again(db: Database, writer: LogWriter) -> None:
    await writer.write_all([message(text=text) for text in ("one", "stumbles", "two")])
    async with _runner(db, writer, Ledger()) as runner:
        await runner.caught_up()
        assert runner.parked == 0
    assert await _digested(db) == ["one", "stumbles", "two"]


async def test_a_refused_act_leaves_only_its_outcome(db: Database, writer: LogWriter) -> None:
    await writer.write_all([message(text=text) for text in ("one", "refused", "two")])
    async with _runner(db, writer, Ledger()) as runner:
        await runner.caught_up()
        assert runner.parked == 0
    assert await _digested(db) == ["one", "two"]
    async with db.read() as session:
        outcome = (await session.scalars(select(ActOutcome))).one()
        assert await session.scalar(select(func.count()).select_from(Parked)) == 0
    assert (outcome.seq, outcome.code, outcome.message, outcome.detail) == (
        2,
        "answered_meanwhile",
        "Somebody else was faster.",
        {"by": "Li"},
    )


async def test_a_lane_outlives_an_absent_database(
    db: Database, writer: LogWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_sleep = asyncio.sleep
    monkeypatch.setattr("core.consumers.asyncio.sleep", lambda seconds: real_sleep(0))
    failures = iter([OSError("away"), OSError("still away")])
    real_head = reader.head
    await writer.write(message(text="before"))

    async with _runner(db, writer, Ledger()) as runner:
        await runner.caught_up()

        async def sometimes(session: AsyncSession) -> int:
            for failure in failures:
                raise failure
            return await real_head(session)

        monkeypatch.setattr(reader, "head", sometimes)
        with caplog.at_level(logging.CRITICAL):
            accepted = await writer.write(message(text="in spite of it"))
            await runner.processed(shard_of(message().address), accepted.seq)
    assert await _digested(db) == ["before", "in spite of it"]


async def test_under_pressure_the_intake_goes_first(
    db: Database, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    real_sleep = asyncio.sleep

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        await real_sleep(0)

    monkeypatch.setattr("core.consumers.asyncio.sleep", rest)
    await writer.write(message())
    runner = ConsumerRunner(db, Ledger(), pressure=lambda: 10_000.0, clock=lambda: NOON)
    async with running(runner.run()), asyncio.timeout(30):
        await runner.caught_up()
    assert rests
    assert all(seconds > 0 for seconds in rests)


async def test_a_batch_that_reaches_beyond_the_head_is_digested_once(
    db: Database, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head is read before the batch, and on PostgreSQL each statement sees what is committed by then."""
    real = reader.head

    async def a_moment_ago(session: AsyncSession) -> int:
        return max(0, await real(session) - 1)

    monkeypatch.setattr(reader, "head", a_moment_ago)
    ledger = Ledger()
    async with _runner(db, writer, ledger) as runner:
        for text in ("first", "second", "third"):
            accepted = await writer.write(message(text=text))
            await runner.processed(shard_of(message().address), accepted.seq)
    assert dict(ledger.tries) == {"first": 1, "second": 1, "third": 1}


async def test_before_a_lane_has_begun_nothing_has_passed(db: Database, writer: LogWriter) -> None:
    await writer.write_all([message(address=address) for address in _phones(6)])
    runner = ConsumerRunner(db, Ledger(), clock=lambda: NOON)
    seen: list[int] = []
    real = db.read

    @asynccontextmanager
    async def watched() -> AsyncIterator[AsyncSession]:
        async with real() as session:
            yield session
        seen.append(runner.passed)

    db.read = watched  # type: ignore[method-assign]
    async with running(runner.run()), asyncio.timeout(30):
        await runner.caught_up()
    assert seen[0] == 0
    assert runner.passed == 6


async def test_what_has_passed_is_complete_and_never_goes_back(db: Database, writer: LogWriter) -> None:
    async with _runner(db, writer, Ledger()) as runner:
        await writer.write_all([message(address=address) for address in _phones(6)])
        await runner.caught_up()
        assert runner.passed == runner.head == 6
        lane = runner.lanes[0]
        lane.position, lane.is_working = 2, True  # it rested since then, and has just got work
        assert runner.lag == 4
        assert runner.passed == 6
        lane.is_working = False
