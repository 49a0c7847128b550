"""While PostgreSQL is away, messages are kept: each that was acknowledged is in the log once, in its sender's order."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest.mock import ANY

import asyncpg
import pytest
from sqlalchemy import select
from sqlmodel import col

from core.database import Database
from core.errors import Unavailable
from core.log import reader
from core.log.appenders import PostgresAppender
from core.log.entries import Entry
from core.log.verify import verify
from core.log.writer import LogWriter
from core.spool.draining import Drainer
from core.spool.folder import Contents, SpoolFolder
from core.spool.records import encode
from core.spool.taking import Spool
from core.tables import Content
from core.values import Accepted, Address, Direction, Spooled
from tests.conftest import skip_unless_ci
from tests.support.entries import NOON, message, running
from tests.support.postgres import Cluster, PostgresMissing
from workers.migrations import upgrade

SENDERS = 16


@dataclass
class Server:
    """A PostgreSQL that the tests of this file stop, kill and freeze. Whoever does starts it again."""

    cluster: Cluster
    # The server ends with the thread that started it.
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    async def do(self, act: Callable[[Cluster], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, act, self.cluster)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        cluster = Cluster()
    except PostgresMissing as missing:
        skip_unless_ci(missing)
    with cluster:
        yield Server(cluster)


@pytest.fixture(scope="module")
def migrated(server: Server) -> str:
    name = server.cluster.create_database()
    upgrade(server.cluster.url(name))
    return name


@pytest.fixture
def url(server: Server, migrated: str) -> str:
    return server.cluster.url(server.cluster.create_database(template=migrated))


@dataclass
class Process:
    """What a web process has of the way into the log."""

    db: Database
    folder: SpoolFolder
    spool: Spool
    writer: LogWriter
    drainer: Drainer

    @classmethod
    @asynccontextmanager
    async def running(cls, url: str, path: Path) -> AsyncIterator[Self]:
        """Stopped as the product stops it: the spool last, so that who waits is still told."""
        db = Database(url)
        folder = SpoolFolder(path, kept_free=0)
        folder.open()
        spool = Spool(folder)
        writer = LogWriter(await db.appender(), lambda: 1, spool=spool)
        drainer = Drainer(folder, writer.enter)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(db.close)
            for work in (spool.run, writer.run, drainer.run):
                await stack.enter_async_context(running(work()))
            yield cls(db, folder, spool, writer, drainer)


@dataclass
class Senders:
    """Each sends its next message when the last one was taken, and the same again when it was not."""

    processes: list[Process]
    count: int = SENDERS
    raw: bytes = b""
    acknowledged: list[tuple[int, int]] = field(default_factory=list)
    refused: int = 0
    spooled: int = 0
    _is_over: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[Self]:
        async with asyncio.TaskGroup() as group:
            for sender in range(self.count):
                group.create_task(self._send(sender))
            try:
                yield self
            finally:
                self._is_over.set()

    async def _send(self, sender: int) -> None:
        number = 0
        while not self._is_over.is_set():
            # Another process each time, as a proxy in front would have it.
            process = self.processes[(sender + number) % len(self.processes)]
            try:
                taken = await process.writer.receive(_from(sender, number, self.raw))
            except Unavailable:
                self.refused += 1
                await asyncio.sleep(0.02)
                continue
            self.spooled += isinstance(taken, Spooled)
            self.acknowledged.append((sender, number))
            number += 1
            await asyncio.sleep(0.002)

    async def have_had(self, more: int) -> None:
        """Return when so many more messages were acknowledged."""
        goal = len(self.acknowledged) + more
        await _until(lambda: len(self.acknowledged) >= goal)


def _from(sender: int, number: int, raw: bytes = b"") -> Entry:
    return message(
        dedupe_key=f"{sender}:{number}",
        text=f"{sender}:{number}",
        address=Address("tel", f"+86139{sender:08d}"),
        raw=raw,
    )


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  # files and lists tell nobody that they have changed
            await asyncio.sleep(0.01)


async def _drained(*processes: Process) -> None:
    """The log has everything, and new messages go straight into it again."""
    await _until(lambda: not any(process.folder.is_begun() for process in processes))


async def _logged(db: Database) -> list[tuple[int, int]]:
    """Senders and numbers, in the order of the log."""
    async with db.read() as session:
        texts = await session.scalars(select(col(Content.text)).order_by(col(Content.seq)))
        pairs = [text.split(":") for text in texts]
    return [(int(sender), int(number)) for sender, number in pairs]


async def _is_right(db: Database, senders: Senders) -> None:
    """Acknowledged is in the log exactly once, each sender's in order, without a gap in the numbers."""
    logged = await _logged(db)
    assert len(logged) == len(set(logged))
    assert set(senders.acknowledged) <= set(logged)
    for sender in range(senders.count):
        numbers = [number for who, number in logged if who == sender]
        assert numbers == list(range(len(numbers)))
    assert (await verify(db)).problems == ()


@pytest.fixture
async def process(url: str, tmp_path: Path) -> AsyncIterator[Process]:
    async with Process.running(url, tmp_path / "spool") as one:
        yield one


@pytest.fixture
async def two(url: str, tmp_path: Path) -> AsyncIterator[list[Process]]:
    """Two processes of one host."""
    async with (
        Process.running(url, tmp_path / "spool") as one,
        Process.running(url, tmp_path / "spool") as other,
    ):
        yield [one, other]


# Away, in several ways.


async def test_while_the_database_is_there_the_spool_is_not_touched(process: Process) -> None:
    async with Senders([process]).sending() as senders:
        await senders.have_had(300)
    assert (senders.spooled, process.spool.taken, process.spool.contents) == (0, 0, Contents())
    assert process.folder.files() == []
    await _is_right(process.db, senders)


@pytest.mark.parametrize("end", [Cluster.stop, Cluster.kill])
async def test_nothing_is_lost_or_doubled_while_the_database_is_stopped(
    server: Server, process: Process, end: Callable[[Cluster], None]
) -> None:
    async with Senders([process]).sending() as senders:
        await senders.have_had(300)
        await server.do(end)
        await senders.have_had(600)
        assert senders.spooled > 300
        assert senders.refused == 0
        await server.do(Cluster.start)
        # Under load as well the spool comes to its end, and messages go straight into the log again.
        await _drained(process)
        spooled = senders.spooled
        await senders.have_had(300)
        assert senders.spooled - spooled <= SENDERS
    await _is_right(process.db, senders)


async def test_two_processes_of_a_host_keep_one_order(server: Server, two: list[Process]) -> None:
    async with Senders(two).sending() as senders:
        for _ in range(2):
            await senders.have_had(300)
            await server.do(Cluster.stop)
            await senders.have_had(600)
            await server.do(Cluster.start)
            await _drained(*two)
        await senders.have_had(300)
        assert senders.refused == 0
    assert all(process.spool.taken > 100 for process in two)
    await _is_right(two[0].db, senders)


async def test_a_process_that_alone_has_lost_the_database_is_drained_by_its_neighbour(
    two: list[Process],
) -> None:
    cut, whole = two
    async with Senders(two).sending() as senders:
        await senders.have_had(200)
        _cut_off(cut)
        await senders.have_had(1_000)
        assert senders.refused == 0
    assert cut.spool.taken > 100
    # Its senders' next messages came to the neighbour, and have waited for those before them.
    assert whole.spool.taken > 0
    await _drained(*two)
    await _is_right(whole.db, senders)


def _cut_off(process: Process) -> None:
    """From now on nobody answers where this process looks for its database: the port is that of `discard`."""
    appender = process.writer._appender
    assert isinstance(appender, PostgresAppender)
    appender._dsn = "postgresql://switchboard@127.0.0.1:9/none"
    appender._drop()


@pytest.mark.parametrize("whole_server", [False, True], ids=["its connection", "the whole server"])
async def test_a_database_that_hangs_keeps_nobody_waiting_for_long(
    server: Server, process: Process, whole_server: bool
) -> None:
    async with Senders([process]).sending() as senders:
        await senders.have_had(200)
        connections = await asyncio.to_thread(_backends, server)
        frozen = [server.cluster.pid] * whole_server + (
            _children(server.cluster.pid) if whole_server else connections
        )
        _signal(frozen, signal.SIGSTOP)
        try:
            began = asyncio.get_running_loop().time()
            await senders.have_had(SENDERS)
            noticed = asyncio.get_running_loop().time() - began
            await senders.have_had(600)
        finally:
            _signal(frozen, signal.SIGCONT)
        assert noticed < 4
        assert senders.spooled > SENDERS
        assert senders.refused == 0
        await _drained(process)
        await senders.have_had(200)
    await _is_right(process.db, senders)


def _backends(server: Server) -> list[int]:
    return [int(pid) for pid in server.cluster.execute(_WRITERS).splitlines()]


_WRITERS = "SELECT pid FROM pg_stat_activity WHERE usename = 'switchboard' AND query LIKE '%log_key%'"


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


async def test_a_lock_that_is_held_too_long_sends_messages_into_the_spool(url: str, process: Process) -> None:
    async with Senders([process]).sending() as senders:
        await senders.have_had(100)
        other = await asyncpg.connect(url.replace("+asyncpg", ""))
        async with other.transaction():
            await other.execute("SELECT * FROM log_head FOR UPDATE")
            await senders.have_had(300)
        await other.close()
        assert senders.spooled > 0
        assert senders.refused == 0
        await _drained(process)
    await _is_right(process.db, senders)


async def test_what_was_committed_before_it_was_cut_off_is_not_entered_twice(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has done it and its answer is lost: nobody can tell, so it is spooled, and its key says the rest."""
    append = PostgresAppender._append

    async def unanswered(self: PostgresAppender, *given: Any) -> None:
        await append(self, *given)
        raise TimeoutError

    monkeypatch.setattr(PostgresAppender, "_append", unanswered)
    assert await process.writer.receive(_from(1, 0)) == Spooled()
    monkeypatch.setattr(PostgresAppender, "_append", append)
    assert await process.writer.receive(_from(1, 1)) == Spooled()
    assert await process.writer.receive(_from(1, 0)) == Spooled()  # the provider repeats it
    await _drained(process)
    assert await _logged(process.db) == [(1, 0), (1, 1)]
    async with process.db.read() as session:
        entered = await reader.at(session, [1, 2])
    assert ["spooled_at" in entry.data for entry in entered] == [False, True]
    assert await process.writer.receive(_from(1, 0)) == Accepted(id=ANY, seq=1, is_new=False)


async def test_acts_and_what_we_send_are_not_spooled(server: Server, process: Process) -> None:
    await process.writer.write(message(text="0:0"))
    await server.do(Cluster.stop)
    try:
        with pytest.raises(Unavailable):
            await process.writer.write(message(direction=Direction.NONE))
        assert await process.writer.receive(_from(1, 0)) == Spooled()
        with pytest.raises(Unavailable):
            await process.writer.write(message(direction=Direction.OUT))
        assert process.spool.taken == 1
    finally:
        await server.do(Cluster.start)
    await _drained(process)
    assert await _logged(process.db) == [(0, 0), (1, 0)]


# What is left of a process.


async def test_a_process_killed_while_it_spools_leaves_what_it_acknowledged(url: str, tmp_path: Path) -> None:
    path = tmp_path / "spool"
    acknowledged: list[tuple[int, int]] = []
    for life in range(3):
        with Lonely.spooling(path, sender=life) as lonely:
            lonely.acknowledges(200)
            lonely.kill()
            acknowledged += [(life, number) for number in lonely.acknowledged]
    assert len(acknowledged) >= 600
    async with Process.running(url, path) as process:
        await _drained(process)
        logged = await _logged(process.db)
        assert logged == sorted(set(logged))
        assert set(acknowledged) <= set(logged)
        assert process.folder.files() == []


async def test_a_neighbour_enters_what_a_killed_process_has_spooled(url: str, tmp_path: Path) -> None:
    async with Process.running(url, tmp_path / "spool") as process:
        with Lonely.spooling(tmp_path / "spool", sender=7) as lonely:
            await asyncio.to_thread(lonely.acknowledges, 200)
            lonely.kill()
        await _drained(process)
        logged = await _logged(process.db)
    assert {(7, number) for number in lonely.acknowledged} <= set(logged)
    assert logged == sorted(set(logged))


@dataclass
class Lonely:
    """A process without a database that spools one message after the other and says which it acknowledged."""

    program: subprocess.Popen[str]
    acknowledged: list[int] = field(default_factory=list)

    @classmethod
    @contextmanager
    def spooling(cls, path: Path, *, sender: int) -> Iterator[Self]:
        command = [sys.executable, "-m", "tests.support.spooling", str(path), str(sender)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            yield cls(program)
            program.kill()

    def acknowledges(self, count: int) -> None:
        assert self.program.stdout is not None
        self.acknowledged += [int(self.program.stdout.readline()) for _ in range(count)]

    def kill(self) -> None:
        """`kill -9`; what it said before that counts."""
        assert self.program.stdout is not None
        self.program.kill()
        said = self.program.stdout.read()
        self.acknowledged += [int(line) for line in said.splitlines(keepends=True) if line.endswith("\n")]


async def test_a_stopping_process_tells_those_who_wait(server: Server, url: str, tmp_path: Path) -> None:
    async with Process.running(url, tmp_path / "spool") as process:
        await server.do(Cluster.stop)
        waiting = [asyncio.ensure_future(process.writer.receive(_from(0, n))) for n in range(3)]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {Spooled, Unavailable}
    await server.do(Cluster.start)
    async with Process.running(url, tmp_path / "spool") as process:
        await _drained(process)
        logged = await _logged(process.db)
    kept = [(0, number) for number, outcome in enumerate(outcomes) if isinstance(outcome, Spooled)]
    assert logged == kept


# What the spool cannot take, and what the log does not.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own with room for one megabyte."""
    path = tmp_path / "small"
    path.mkdir()
    mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", path], check=False)
    if mounting.returncode != 0:
        skip_unless_ci(PermissionError("only root may mount a small disk"))
    yield path
    subprocess.run(["umount", path], check=True)


async def test_a_full_disk_refuses_until_the_spool_was_drained(
    server: Server, url: str, small_disk: Path
) -> None:
    async with Process.running(url, small_disk / "spool") as process:
        async with Senders([process], raw=b"x" * 10_000).sending() as senders:
            await server.do(Cluster.stop)
            await _until(lambda: senders.refused >= 3 * SENDERS)
            assert senders.spooled > 50
            await server.do(Cluster.start)
            await senders.have_had(200)
            await _drained(process)
        await _is_right(process.db, senders)


async def test_a_disk_that_fills_in_the_middle_of_a_message_takes_the_next_when_there_is_room(
    server: Server, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    async with Senders([process]).sending() as senders:
        await server.do(Cluster.stop)
        await senders.have_had(200)

        def half(handle: int, data: memoryview) -> int:
            monkeypatch.setattr("core.spool.folder.os.write", full)
            return write(handle, bytes(data[: len(data) // 2]))

        def full(handle: int, data: memoryview) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("core.spool.folder.os.write", half)
        await _until(lambda: senders.refused >= 3 * SENDERS)
        monkeypatch.setattr("core.spool.folder.os.write", write)
        await senders.have_had(200)
        await server.do(Cluster.start)
        await _drained(process)
    await _is_right(process.db, senders)


async def test_where_nothing_can_be_spooled_the_log_is_asked_again(
    server: Server, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def readonly(self: SpoolFolder) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(SpoolFolder, "_begin", readonly)
    await server.do(Cluster.stop)
    for _ in range(2):
        with pytest.raises(Unavailable, match="kept nowhere"):
            await process.writer.receive(_from(0, 0))
    await server.do(Cluster.start)
    assert await process.writer.receive(_from(0, 0)) == Accepted(id=ANY, seq=1, is_new=True)


async def test_an_entry_that_the_log_refuses_is_set_aside_and_the_rest_goes_on(process: Process) -> None:
    entries = [_from(1, 0), message(text="no database holds \x00"), _from(1, 1)]
    process.folder.append([encode(entry, NOON) for entry in entries], begin=True)
    await _drained(process)
    assert await _logged(process.db) == [(1, 0), (1, 1)]
    (aside,) = process.folder.path.glob("*.refused")
    assert b"no database holds" in aside.read_bytes()
    assert process.folder.contents() == Contents(set_aside=1)


async def test_what_the_spool_holds_is_told(server: Server, process: Process) -> None:
    await server.do(Cluster.stop)
    try:
        await asyncio.gather(*(process.writer.receive(_from(0, number)) for number in range(7)))
        await _until(lambda: process.spool.contents.entries == 7)
        assert process.spool.contents.bytes > 0
        assert process.spool.contents.oldest is not None
    finally:
        await server.do(Cluster.start)
    await _until(lambda: process.spool.contents == Contents())
