"""The live tail hands every committed entry on once, in order, from memory or from the log."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from core import live
from core.database import Database
from core.live import Tail
from core.log import reader
from core.log.entries import Logged
from core.log.writer import LogWriter
from tests.support.entries import message, running, running_writer


class Screen:
    """A sink that says when it has seen an entry."""

    def __init__(self) -> None:
        self.seen: list[Logged] = []
        self._news = asyncio.Event()

    def __call__(self, entries: Sequence[Logged]) -> None:
        self.seen += entries
        self._news.set()

    @property
    def seqs(self) -> list[int]:
        return [entry.seq for entry in self.seen]

    async def has(self, seq: int) -> None:
        async with asyncio.timeout(30):
            while not self.seqs or self.seqs[-1] < seq:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def screen() -> Screen:
    return Screen()


@asynccontextmanager
async def _tail(db: Database, writer: LogWriter, screen: Screen) -> AsyncIterator[Tail]:
    tail = Tail(db, screen)
    writer.on_commit(tail.committed)
    async with running(tail.run()):
        yield tail


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110  # a position tells nobody that it has moved
            await asyncio.sleep(0)


async def test_new_entries_are_shown_as_the_log_holds_them(
    db: Database, writer: LogWriter, screen: Screen
) -> None:
    await writer.write(message(text="before"))
    async with _tail(db, writer, screen) as tail:
        await _until(lambda: tail.position == 1)
        await writer.write(message(text="after", data=b'{"meta":{"a":"b"}}'))
        await screen.has(2)
    async with db.read() as session:
        assert screen.seen == await reader.after(session, 1, 10)


async def test_a_burst_arrives_whole_and_in_order(
    db: Database, writer: LogWriter, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PAGE", 7)
    await writer.write(message(text="before"))
    async with _tail(db, writer, screen) as tail:
        await _until(lambda: tail.position == 1)
        await writer.write_all([message() for _ in range(100)])
        await screen.has(101)
    assert screen.seqs == list(range(2, 102))


async def test_entries_of_another_process_are_read_from_the_log(
    db: Database, writer: LogWriter, screen: Screen
) -> None:
    await writer.write(message(text="before"))
    async with running_writer(db) as elsewhere, _tail(db, writer, screen) as tail:
        await _until(lambda: tail.position == 1)
        await elsewhere.write(message())
        await writer.write(message())
        await screen.has(3)
        await elsewhere.write(message())
        tail.wake()
        await screen.has(4)
    assert screen.seqs == [2, 3, 4]


async def test_what_no_longer_fits_into_memory_is_read_back(
    db: Database, writer: LogWriter, screen: Screen
) -> None:
    tail = Tail(db, screen)
    writer.on_commit(tail.committed)
    tail._recent = deque(maxlen=3)
    await writer.write_all([message() for _ in range(10)])
    async with running(tail.run()):
        await _until(lambda: tail.position == 10)
        await writer.write_all([message() for _ in range(10)])
        await screen.has(20)
    assert screen.seqs == list(range(11, 21))


async def test_nothing_is_kept_or_read_while_nobody_watches(
    db: Database, writer: LogWriter, screen: Screen
) -> None:
    is_watched = False
    async with _tail(db, writer, screen) as tail:
        tail.is_watched = lambda: is_watched
        await writer.write_all([message() for _ in range(5)])
        await _until(lambda: tail.position == 5)
        is_watched = True
        await writer.write(message())
        await screen.has(6)
    assert screen.seqs == [6]
