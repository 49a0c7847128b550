"""What was answered 2xx is on the disk before the answer, and there exactly once after a `kill -9`."""

import asyncio
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

import aiohttp
import pytest
from sqlalchemy import func, select
from sqlmodel import col

from core.database import Database
from core.log.verify import verify
from core.sending import SEND
from core.tables import Content, Line, LogEntry, LogKey, OutboxItem
from core.values import Direction, EntryKind
from crm.tables import ReadingRow
from tests.conftest import skip_unless_ci
from tests.support.fake_twilio import sid
from tests.support.serve import TWILIO, Server, served, settings_for, signed_sms
from workers.assemble import assemble, running

SENDERS = 32
MESSAGES = 5_000


@dataclass
class Provider:
    """32 senders that offer each message again until it is acknowledged, as every provider does."""

    server: Server
    messages: int
    killed_after: int  # acknowledged messages
    acknowledged: set[int] = field(default_factory=set)
    repeats: int = 0
    _is_up: asyncio.Event = field(default_factory=asyncio.Event)
    _progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def deliver(self) -> None:
        self._is_up.set()
        connector = aiohttp.TCPConnector(limit=SENDERS)
        timeout = aiohttp.ClientTimeout(total=30)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
            asyncio.TaskGroup() as group,
        ):
            for sender in range(SENDERS):
                group.create_task(self._send(http, sender))
            await self._kill()

    async def _send(self, http: aiohttp.ClientSession, sender: int) -> None:
        for number in range(sender, self.messages, SENDERS):
            while not await self._offer(http, sender, number):
                self.repeats += 1
                await self._is_up.wait()
            self.acknowledged.add(number)
            async with self._progress:
                self._progress.notify_all()

    async def _offer(self, http: aiohttp.ClientSession, sender: int, number: int) -> bool:
        body, headers = signed_sms(sid(number), f"第{number}条", f"+86139{sender:08d}")
        try:
            async with http.post(
                f"{self.server.url}/hooks/{TWILIO}/message", data=body, headers=headers
            ) as answer:
                await answer.read()
                return answer.status == 200
        except (aiohttp.ClientError, ConnectionError):
            return False

    async def _kill(self) -> None:
        async with self._progress:
            await self._progress.wait_for(lambda: len(self.acknowledged) >= self.killed_after)
        self._is_up.clear()
        self.server.kill()
        await asyncio.to_thread(self.server.start)
        self._is_up.set()


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


async def _delivered(data: Path, messages: int, killed_after: int) -> Provider:
    """Every message was acknowledged, with a `kill -9` on the way and another right after the last answer."""
    server = Server(data)
    await asyncio.to_thread(server.start)
    provider = Provider(server, messages, killed_after)
    try:
        async with asyncio.timeout(240):
            await provider.deliver()
    finally:
        server.kill()
    assert provider.acknowledged == set(range(messages))
    assert provider.repeats > 0
    return provider


async def test_every_acknowledged_message_is_in_the_log_once_after_kill_9(data: Path) -> None:
    await _delivered(data, MESSAGES, killed_after=MESSAGES * 2 // 5)
    db = Database(settings_for(data).database_url)
    async with db.read() as session:
        keys = await session.scalars(select(col(LogKey.dedupe_key)).where(col(LogKey.account) == TWILIO))
        received = sorted(key for key in keys if key.startswith("in:"))
        texts = await session.scalars(
            select(col(Content.text)).join(LogEntry, col(LogEntry.seq) == col(Content.seq)).where(*_RECEIVED)
        )
        found = sorted(texts)
    verdict = await verify(db)
    await db.close()
    assert received == sorted(f"in:{sid(number)}" for number in range(MESSAGES))
    assert found == sorted(f"第{number}条" for number in range(MESSAGES))
    assert verdict.problems == ()


_RECEIVED = (
    col(LogEntry.account) == TWILIO,
    col(LogEntry.direction) == Direction.IN.value,
    col(LogEntry.kind) == EntryKind.MESSAGE.value,
)


async def test_what_was_being_read_when_it_died_is_read_once(data: Path) -> None:
    messages = 320
    await _delivered(data, messages, killed_after=messages // 2)
    async with assemble(settings_for(data)) as hub, running(hub):
        async with asyncio.timeout(120):
            await hub.caught_up()
        async with hub.db.read() as session:
            of_messages = select(func.count()).select_from(LogEntry).where(*_RECEIVED)
            lines = await session.scalar(of_messages.join(Line, col(Line.seq) == col(LogEntry.seq)))
            readings = await session.scalar(
                of_messages.join(ReadingRow, col(ReadingRow.seq) == col(LogEntry.seq))
            )
            answers = await session.scalars(
                select(func.count()).where(col(OutboxItem.job) == SEND).group_by(col(OutboxItem.cause_seq))
            )
    assert (lines, readings) == (messages, messages)
    assert set(answers) == {1}


# On the disk before the answer: seen from outside, in the system calls of the server.

_TRACED = "trace=read,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,fdatasync,fsync"
_LONGEST_SHOWN = 8_192  # a page of the database is 4,096 bytes
_CALL = re.compile(r"^(?P<pid>\d+) +(?P<at>\d+\.\d+) (?P<rest>.*)$")
_RESUMED = re.compile(r"^<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$")


@dataclass(frozen=True, slots=True)
class Call:
    """A system call from its beginning to its end, as places in the trace (the kernel's order of events)."""

    name: str
    began: int
    ended: int
    text: str


def calls_of(trace: str) -> list[Call]:
    """The finished calls of a trace in the order of their ends; a call that others interrupted stands in two lines."""
    calls = []
    open_calls: dict[str, tuple[int, str]] = {}
    for place, line in enumerate(trace.splitlines()):
        found = _CALL.match(line)
        if found is None:
            continue
        pid, rest = found["pid"], found["rest"]
        resumed = _RESUMED.match(rest)
        began = place
        if rest.endswith("<unfinished ...>"):
            open_calls[pid] = (place, rest.removesuffix("<unfinished ...>"))
            continue
        if resumed is not None:
            began, start = open_calls.pop(pid, (place, f"{resumed['name']}("))
            rest = start + resumed["rest"]
        calls.append(Call(rest.partition("(")[0], began, place, rest))
    return calls


def _first(calls: Sequence[Call], after: int, *names: str, holds: Sequence[str]) -> Call:
    """The first of these calls that began after the place and shows all of the words."""
    return next(
        call
        for call in calls
        if call.began > after and call.name in names and all(word in call.text for word in holds)
    )


@pytest.fixture
def traced(data: Path, tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """A server whose system calls are written down."""
    program = shutil.which("strace")
    if program is None:
        skip_unless_ci(FileNotFoundError("strace is not installed"))
    trace = tmp_path / "trace"
    under = [program, "-f", "-ttt", "-y", "-s", str(_LONGEST_SHOWN), "-e", _TRACED, "-o", str(trace)]
    with served(data, under=under) as server:
        yield server, trace


def test_a_message_is_on_the_disk_before_its_sender_is_answered(traced: tuple[Server, Path]) -> None:
    server, trace = traced
    sids = [sid(number) for number in range(0xABCDE0, 0xABCDE8)]
    for number, name in enumerate(sids):
        body, headers = signed_sms(name, "KC 101 3", f"+86139000001{number:02d}")
        with urlopen(Request(f"{server.url}/hooks/{TWILIO}/message", data=body, headers=headers)) as answer:
            assert answer.status == 200
    server.stop()
    calls = calls_of(trace.read_text(errors="replace"))
    for name in sids:
        asked = _first(calls, -1, "read", "recvfrom", "recvmsg", holds=["POST /hooks/", name])
        written = _first(calls, asked.ended, "pwrite64", holds=["switchboard.db-wal", name])
        synced = _first(calls, written.ended, "fdatasync", "fsync", holds=["switchboard.db-wal", "= 0"])
        answered = _first(
            calls, asked.ended, "write", "writev", "sendto", "sendmsg", holds=["HTTP/1.1 200 OK"]
        )
        assert asked.ended < written.began
        assert written.ended < synced.began
        assert synced.ended < answered.began


def test_interrupted_calls_of_a_trace_are_put_together() -> None:
    trace = (
        "11 1.0 fdatasync(5</db-wal> <unfinished ...>\n"
        '12 1.1 write(7<socket>, "x", 1) = 1\n'
        "11 1.2 <... fdatasync resumed>) = 0\n"
        "11 1.3 +++ exited with 0 +++\n"
        "nonsense\n"
    )
    assert calls_of(trace)[:2] == [
        Call("write", 1, 1, 'write(7<socket>, "x", 1) = 1'),
        Call("fdatasync", 0, 2, "fdatasync(5</db-wal> ) = 0"),
    ]
