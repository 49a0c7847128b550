"""The log takes each event once, in order and whole, from however many senders and whatever befalls it."""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import func, select
from sqlmodel import col

from core.addresses import shard_of
from core.database import Database
from core.errors import EntryRefused, Unavailable
from core.log import reader
from core.log import writer as writing
from core.log.appenders import PostgresAppender, Prepared, prepare
from core.log.entries import Entry, Logged, content_digest
from core.log.writer import LogWriter
from core.tables import Content, LogEntry, LogHead, LogKey
from core.values import Accepted, Address, ChannelKind, Direction, EntryKind
from tests.support.entries import NOON, message, running, running_writer
from tests.support.postgres import Cluster
from workers.migrations import upgrade


async def _all(db: Database) -> list[Logged]:
    async with db.read() as session:
        return await reader.after(session, 0, 10_000)


class HeldAppender:
    """Appends in memory, when it is let; refuses the entries whose text says so."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.asked = asyncio.Event()
        self.batches: list[int] = []
        self.is_closed = False

    async def append(self, batch: Sequence[Prepared], recorded_at: datetime) -> None:
        self.asked.set()
        await self.let.wait()
        if any(item.entry.text == "refuse" for item in batch):
            raise ValueError("a value that the database does not take")
        if any(item.entry.text == "away" for item in batch):
            raise Unavailable("The database is away.")
        self.batches.append(len(batch))
        for number, item in enumerate(batch):
            item.seq = sum(self.batches[:-1]) + number + 1

    async def close(self) -> None:
        self.is_closed = True


async def test_an_entry_is_read_back_as_it_was_written(db: Database, writer: LogWriter) -> None:
    first = await writer.write(message(text="第一"))
    written = message(
        account="mail",
        channel=ChannelKind.EMAIL,
        direction=Direction.OUT,
        address=Address("mailto", "li@example.test", "Li"),
        own="mailto:hub@example.test",
        external_id="<1@example.test>",
        text="你好 🚬",
        data='{"meta":{"subject":"问"}}'.encode(),
        raw=b"\x00\xff raw",
        raw_type="message/rfc822",
        thread="t1",
        in_reply_to=first.id,
    )
    accepted = await writer.write(written)
    assert accepted.is_new
    entry = (await _all(db))[1]
    assert entry == Logged(
        seq=2,
        id=accepted.id,
        account="mail",
        channel="email",
        direction="out",
        kind="message",
        shard=shard_of(written.address),
        external_id="<1@example.test>",
        occurred_at=NOON,
        recorded_at=NOON,
        thread="t1",
        in_reply_to=first.id,
        blueprint=1,
        address=Address("mailto", "li@example.test"),
        own="mailto:hub@example.test",
        text="你好 🚬",
        data={"meta": {"subject": "问"}},
    )
    async with db.read() as session:
        assert await reader.raw(session, accepted.id) == (b"\x00\xff raw", "message/rfc822")
        assert await reader.raw(session, uuid4()) is None
        assert [found.seq for found in await reader.at(session, [2, 1, 9])] == [1, 2]
        assert await reader.at(session, []) == []


async def test_a_repeat_is_answered_with_the_first(db: Database, writer: LogWriter) -> None:
    first = await writer.write(message(dedupe_key="k", text="one"))
    again = await writer.write(message(dedupe_key="k", text="two"))
    assert again == Accepted(id=first.id, seq=1, is_new=False)
    other = await writer.write(message(dedupe_key="k", account="other"))
    assert (other.seq, other.is_new) == (2, True)
    assert [entry.text for entry in await _all(db)] == ["one", "你好"]


async def test_repeats_within_one_batch_are_one_entry(db: Database, writer: LogWriter) -> None:
    accepted = await writer.write_all([message(dedupe_key=f"k{n % 3}") for n in range(30)])
    assert {item.seq for item in accepted} == {1, 2, 3}
    assert len({item.id for item in accepted}) == 3
    assert sum(item.is_new for item in accepted) == 3


async def test_entries_of_one_batch_stand_in_the_order_of_their_arrival(
    db: Database, writer: LogWriter
) -> None:
    accepted = await writer.write_all([message(text=str(n)) for n in range(500)])
    assert [item.seq for item in accepted] == list(range(1, 501))
    assert [entry.text for entry in await _all(db)] == [str(n) for n in range(500)]


async def test_two_writers_number_without_gaps_and_take_each_key_once(db: Database) -> None:
    keys = [f"k{n}" for n in range(300)]
    async with running_writer(db) as one, running_writer(db) as two:
        halves = await asyncio.gather(
            *(writer.write(message(dedupe_key=key)) for key in keys for writer in (one, two))
        )
    assert {item.seq for item in halves} == set(range(1, 301))
    assert sum(item.is_new for item in halves) == 300
    async with db.read() as session:
        for table in (LogKey, LogEntry, Content):
            assert await session.scalar(select(func.count()).select_from(table)) == 300
        assert await session.scalar(select(col(LogHead.seq))) == 300


async def test_the_digest_ties_the_content_to_the_envelope(db: Database, writer: LogWriter) -> None:
    await writer.write(message(raw=b"raw", raw_type="x"))
    async with db.read() as session:
        digest = await session.scalar(select(col(LogEntry.digest)))
        row = (await session.scalars(select(Content))).one()
    assert digest == content_digest(
        row.salt, row.scheme, row.address, row.own, row.text, row.data.encode(), row.raw, row.raw_type
    )


def test_the_same_words_have_another_digest_each_time() -> None:
    assert prepare(message(), 1).digest != prepare(message(), 1).digest


async def test_a_lane_reads_its_own_shards(db: Database, writer: LogWriter) -> None:
    addresses = [Address("tel", f"+86138000000{n:02}") for n in range(20)]
    await writer.write_all([message(address=address) for address in addresses])
    async with db.read() as session:
        low = await reader.after(session, 0, 100, (0, 31))
        high = await reader.after(session, 0, 100, (32, 63))
        assert await reader.head(session) == 20
    assert sorted(entry.seq for entry in low + high) == list(range(1, 21))
    assert all(shard_of(entry.address) < 32 for entry in low)


async def test_what_queued_meanwhile_goes_in_one_commit() -> None:
    appender = HeldAppender()
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    async with running(writer.run()):
        first = asyncio.ensure_future(writer.write(message()))
        await appender.asked.wait()
        rest = [asyncio.ensure_future(writer.write(message())) for _ in range(5)]
        await asyncio.sleep(0)
        assert writer.queued == 5
        appender.let.set()
        await asyncio.gather(first, *rest)
    assert appender.batches == [1, 5]
    assert appender.is_closed
    assert writer.rate > 0


async def test_listeners_hear_of_new_entries_only_in_order() -> None:
    heard: list[list[str]] = []
    appender = HeldAppender()
    appender.let.set()
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    writer.on_commit(lambda entries, at: heard.append([item.entry.text for item in entries]))
    async with running(writer.run()):
        await writer.write_all([message(text="a"), message(text="b")])
        await writer.write(message(text="c"))
    assert heard == [["a", "b"], ["c"]]


async def test_repeats_are_not_announced(db: Database, writer: LogWriter) -> None:
    heard: list[int] = []
    writer.on_commit(lambda entries, at: heard.extend(item.seq for item in entries))
    await writer.write_all([message(dedupe_key=key) for key in "aab"])
    await writer.write(message(dedupe_key="a"))
    assert heard == [1, 2]


async def test_an_entry_that_is_refused_does_not_take_others_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    appender = HeldAppender()
    appender.let.set()
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    with caplog.at_level(logging.CRITICAL):
        async with running(writer.run()):
            one, bad, two = await asyncio.gather(
                writer.write(message()),
                writer.write(message(text="refuse")),
                writer.write(message()),
                return_exceptions=True,
            )
    assert isinstance(bad, Unavailable)
    assert [type(one), type(two)] == [Accepted, Accepted]


async def test_when_the_database_is_away_everyone_is_told_to_come_again() -> None:
    appender = HeldAppender()
    appender.let.set()
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    async with running(writer.run()):
        answers = await asyncio.gather(
            writer.write(message()), writer.write(message(text="away")), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
        assert appender.batches == []
        assert (await writer.write(message())).is_new


async def test_when_the_log_is_away_for_one_nothing_behind_it_is_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is tried later must not overtake what has failed: whoever enters in order tries all of it again."""
    monkeypatch.setattr(writing, "_LARGEST_BATCH", 2)
    appender = HeldAppender()
    appender.let.set()
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    async with running(writer.run()):
        outcomes = await writer.enter([message(text=text) for text in ("a", "b", "away", "c", "d", "e")])
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, *[Unavailable] * 4]
    assert appender.batches == [2]


async def test_nothing_behind_is_entered_either_when_entries_are_tried_singly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    appender = HeldAppender()
    appender.let.set()
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    with caplog.at_level(logging.CRITICAL):
        async with running(writer.run()):
            outcomes = await writer.enter([message(text=text) for text in ("a", "refuse", "away", "b")])
    assert [type(outcome) for outcome in outcomes] == [Accepted, EntryRefused, Unavailable, Unavailable]
    assert appender.batches == [1]


async def test_an_overlong_queue_is_refused_before_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_LONGEST_QUEUE", 2)
    appender = HeldAppender()
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    waiting = [asyncio.ensure_future(writer.write(message())) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="overloaded"):
        await writer.write(message())
    async with running(writer.run()):
        appender.let.set()
        await asyncio.gather(*waiting)


async def test_who_waits_when_the_writer_stops_is_told() -> None:
    appender = HeldAppender()
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    async with running(writer.run()):
        taken = asyncio.ensure_future(writer.write(message()))
        await appender.asked.wait()
        waiting = asyncio.ensure_future(writer.write(message()))
        await asyncio.sleep(0)
        appender.let.set()
    with pytest.raises(Unavailable, match="stopping"):
        await waiting
    with pytest.raises(Unavailable, match="stopping"):
        await writer.write(message())
    async with asyncio.timeout(5):
        await asyncio.wait([taken])


async def test_a_listener_that_fails_does_not_stop_the_intake(caplog: pytest.LogCaptureFixture) -> None:
    def fail(entries: Sequence[Prepared], at: datetime) -> None:
        raise RuntimeError("a listener's own bug")

    appender = HeldAppender()
    appender.let.set()
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    heard: list[int] = []
    writer.on_commit(fail)
    writer.on_commit(lambda entries, at: heard.append(entries[0].seq))
    with caplog.at_level(logging.CRITICAL):
        async with running(writer.run()), asyncio.timeout(5):
            await writer.write(message())
            await writer.write(message())
    assert heard == [1, 2]


async def test_a_busy_sqlite_file_is_answered_with_come_again(lite: Database) -> None:
    other = sqlite3.connect(lite.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    appender = await lite.appender()
    appender._db.execute("PRAGMA busy_timeout=0")  # type: ignore[attr-defined]  # two seconds are for the product
    writer = LogWriter(appender, lambda: 1, lambda: NOON)
    async with running(writer.run()):
        with pytest.raises(Unavailable, match="busy"):
            await writer.write(message())
        other.execute("ROLLBACK")
        assert (await writer.write(message())).seq == 1
    other.close()


async def test_a_postgresql_that_went_away_is_found_again() -> None:
    with Cluster() as cluster:
        url = cluster.url(cluster.create_database())
        await asyncio.to_thread(upgrade, url)
        db = Database(url)
        async with running_writer(db) as writer:
            assert (await writer.write(message())).seq == 1
            await asyncio.to_thread(cluster.kill)
            with pytest.raises(Unavailable):
                await writer.write(message())
            assert not await db.is_reachable()
            await asyncio.to_thread(cluster.start)
            assert (await writer.write(message())).seq == 2
            assert await db.is_reachable()
        await db.close()


async def test_a_postgresql_that_was_restarted_meanwhile_is_no_outage() -> None:
    with Cluster() as cluster:
        url = cluster.url(cluster.create_database())
        await asyncio.to_thread(upgrade, url)
        db = Database(url)
        async with running_writer(db) as writer:
            assert (await writer.write(message())).seq == 1
            cluster.kill()
            cluster.start()
            assert (await writer.write(message())).seq == 2
        await db.close()


async def test_a_deadlock_is_tried_again(postgres_url: str) -> None:
    """Somebody holds the second key and then wants the first: PostgreSQL ends the append, which waits for longer."""
    first, second = (message(dedupe_key=key) for key in "ab")
    db = Database(postgres_url)
    other = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    async with running_writer(db) as writer:
        transaction = other.transaction()
        await transaction.start()
        await _take_key(other, second)
        writing = asyncio.gather(writer.write(first), writer.write(second))
        await _is_waited_for(other)
        await _take_key(other, first)
        await transaction.rollback()
        assert [taken.seq for taken in await writing] == [1, 2]
    await other.close()
    await db.close()


async def _take_key(db: "asyncpg.Connection[asyncpg.Record]", entry: Entry) -> None:
    await db.execute(
        "INSERT INTO log_key (account, dedupe_key, id) VALUES ($1, $2, $3)",
        entry.account,
        entry.dedupe_key,
        uuid4(),
    )


async def _is_waited_for(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with asyncio.timeout(5):
        while not await db.fetchval(_WAITED_FOR):  # noqa: ASYNC110  # a lock tells nobody who waits
            await asyncio.sleep(0.01)


_WAITED_FOR = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
)


@pytest.mark.parametrize(
    ("says", "means"),
    [
        (asyncpg.ReadOnlySQLTransactionError, Unavailable),
        (asyncpg.DiskFullError, Unavailable),
        (asyncpg.TooManyConnectionsError, Unavailable),
        (asyncpg.UndefinedTableError, Unavailable),
        (asyncpg.QueryCanceledError, Unavailable),
        (asyncpg.InvalidPasswordError, Unavailable),
        (TimeoutError, Unavailable),
        (ConnectionRefusedError, Unavailable),
        (asyncpg.InternalClientError, Unavailable),
        (asyncpg.CharacterNotInRepertoireError, EntryRefused),
        (asyncpg.NotNullViolationError, EntryRefused),
        (asyncpg.ProgramLimitExceededError, EntryRefused),
    ],
)
async def test_what_postgresql_says_is_about_the_entry_or_about_itself(
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    says: type[Exception],
    means: type[Unavailable],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def append(*given: object) -> None:
        raise says

    db = Database(postgres_url)
    with caplog.at_level(logging.CRITICAL):
        async with running_writer(db) as writer:
            monkeypatch.setattr(PostgresAppender, "_append", append)
            (outcome,) = await writer.enter([message()])
    assert type(outcome) is means
    await db.close()


@pytest.mark.parametrize("kind", list(EntryKind))
async def test_every_kind_of_entry_is_kept(db: Database, writer: LogWriter, kind: EntryKind) -> None:
    await writer.write(message(kind=kind))
    assert [entry.kind for entry in await _all(db)] == [kind]
