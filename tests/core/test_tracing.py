"""One message makes one trace over all processes, nothing of its content leaves, and off it costs nothing."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from core.clock import now
from core.consumers import Consumer
from core.database import Database
from core.ids import uuid7
from core.intake import Intake
from core.live import Tail
from core.log.writer import LogWriter
from core.outbox import Item
from core.sending import Sender
from core.tracing import Traces, is_configured, open_traces
from core.users import User
from core.values import Accepted, Address, ChannelKind, Inbound
from crm.desk.inbox import View
from tests.support.entries import message, running
from tests.support.fake_collector import FakeCollector, collecting
from tests.support.hub import LINE, OUR_NUMBER, SHOP_PHONE, DeskHub, StandingClock, desk_hub
from workers.web.live import Console, LiveHub, Watch

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeCollector]:
    async with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        yield collector


class Screen:
    """The other end of a console's socket."""

    closed = False

    def __init__(self) -> None:
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send_str(self, frame: str) -> None:
        self._frames.put_nowait(json.loads(frame))

    async def line(self) -> dict[str, Any]:
        """The next line that is shown."""
        async with asyncio.timeout(10):
            while not (lines := (await self._frames.get()).get("lines")):
                pass
        line: dict[str, Any] = lines[0]
        return line


@dataclass(slots=True)
class WebProcess:
    """Takes messages and shows them; digests and sends nothing."""

    intake: Intake
    traces: Traces
    screen: Screen

    async def hears(self, text: str) -> Accepted:
        id = str(uuid4())
        taken = await self.intake.accept(
            LINE,
            Inbound(
                external_id=id,
                dedupe_key=f"in:{id}",
                sender=Address("tel", SHOP_PHONE),
                recipient=OUR_NUMBER,
                occurred_at=now(),
                text=text,
                raw=text.encode(),
            ),
        )
        assert isinstance(taken, Accepted)
        return taken


@asynccontextmanager
async def web_process(hub: DeskHub, url: str) -> AsyncIterator[WebProcess]:
    db = Database(url)
    traces = open_traces(db, "web-1")
    writer = LogWriter(await db.appender(), lambda: 1, now)
    live = LiveHub(db, hub.book, now)
    live.on_shown = traces.shown
    tail = Tail(db, live.entries)
    writer.on_commit(tail.committed)
    writer.on_commit(traces.committed)
    screen = Screen()
    live.add(
        Console(
            socket=cast(web.WebSocketResponse, screen),
            transport=None,
            user=User(id=uuid4(), login="agent", name="Agent"),
            locale="en",
            sees_numbers=True,
            watch=Watch(view=View.ALL),
        )
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(db.close)
        stack.push_async_callback(traces.close)
        for part in (writer.run(), tail.run(), live.run()):
            await stack.enter_async_context(running(part))
        async with asyncio.timeout(10):
            # It shows what comes after it has found the log's end.
            while not tail.position:  # noqa: ASYNC110  # a position tells nobody that it has moved
                await asyncio.sleep(0)
        yield WebProcess(Intake(writer, lambda account: ChannelKind.SMS, now), traces, screen)


@dataclass(slots=True)
class DigestProcess:
    """Digests and sends; takes nothing in."""

    hub: DeskHub
    traces: Traces

    async def digests(self) -> None:
        await self.hub.consumer.caught_up()

    async def sends(self) -> None:
        hub = self.hub
        hub.clock.at = now()
        sender = Sender(
            hub.db, hub.writer, lambda account: hub.provider, lambda account: ChannelKind.SMS, hub.clock
        )
        hub.writer.on_commit(self.traces.committed)
        for item in await hub._claimed():
            await self.traces.job(sender)(item)


@asynccontextmanager
async def digest_process(url: str) -> AsyncIterator[DigestProcess]:
    db = Database(url)
    traces = open_traces(db, "digest-1")

    def traced(consumer: Consumer) -> Consumer:
        return traces.consumer(consumer)

    try:
        async with desk_hub(url, wrap=traced, clock=StandingClock(now())) as hub:
            yield DigestProcess(hub, traces)
    finally:
        await traces.close()
        await db.close()


async def test_one_message_is_one_trace_over_two_processes(
    database_url: str, collector: FakeCollector
) -> None:
    async with digest_process(database_url) as digest:
        await digest.hub.shop()
        async with web_process(digest.hub, database_url) as web_1:
            said = await web_1.hears("KC 101 3条")
            shown = await web_1.screen.line()
        await digest.digests()
        await digest.sends()
    assert (shown["id"], len(digest.hub.provider.sent)) == (str(said.id), 1)
    assert collector.tree(said.id) == {
        "receive": "",
        "append": "receive",
        "frame": "receive",
        "digest crm": "receive",
        "outbox": "digest crm",
        "send": "digest crm",
    }
    assert {span.name: span.process for span in collector.of(said.id)} == {
        "receive": "web-1",
        "append": "web-1",
        "frame": "web-1",
        "digest crm": "digest-1",
        "outbox": "digest-1",
        "send": "digest-1",
    }
    assert all(span.started <= span.ended for span in collector.spans)
    # What the hub logs of its own sending belongs to the trace of its cause and makes none beside it.
    assert said.id in {span.trace for span in collector.spans if span.process == "digest-1"}
    assert not [span for span in collector.spans if span.name == "append" and span.process == "digest-1"]


async def test_no_text_and_no_address_leaves(sqlite_url: str, collector: FakeCollector) -> None:
    async with digest_process(sqlite_url) as digest:
        await digest.hub.shop()
        async with web_process(digest.hub, sqlite_url) as web_1:
            await web_1.hears("KC 101 3条 secret-word")
            await web_1.screen.line()
        await digest.digests()
        await digest.sends()
    sent = b"".join(collector.bodies)
    assert b"digest crm" in sent
    for private in ("secret-word", SHOP_PHONE, SHOP_PHONE[1:], "顺发便民店"):
        assert private.encode() not in sent


async def test_a_commit_of_several_links_each_to_the_first(lite: Database, collector: FakeCollector) -> None:
    traces = open_traces(lite, "web-1")
    writer = LogWriter(await lite.appender(), lambda: 1, now)
    writer.on_commit(traces.committed)
    waiting = asyncio.gather(*(writer.write(message()) for _ in range(3)))
    await asyncio.sleep(0)  # all three queue before the writer starts, so that one commit carries them
    async with running(writer.run()):
        taken = await waiting
    await traces.close()
    appended = {span.trace: span for span in collector.spans if span.name == "append"}
    assert [appended[each.id].links for each in taken] == [(), (taken[0].id,), (taken[0].id,)]
    assert {span.attributes["switchboard.batch"] for span in appended.values()} == {3}


async def test_a_message_that_failed_shows_as_failed(sqlite_url: str, collector: FakeCollector) -> None:
    async with digest_process(sqlite_url) as digest:
        await digest.hub.shop()
        digest.hub.provider.fail()
        said = await digest.hub.accept_sms("KC 101 3条")
        await digest.digests()
        await digest.sends()
    (sent,) = [span for span in collector.of(said.id) if span.name == "send"]
    assert (sent.has_failed, sent.attributes["switchboard.outcome"]) == (True, "failed")
    assert not digest.hub.provider.sent


async def test_all_processes_decide_alike_which_entries_are_traced(lite: Database) -> None:
    ids = [uuid7() for _ in range(4_000)]
    one, other = (Traces(lite, None, share=0.25) for _ in range(2))
    chosen = [id for id in ids if one.has(id)]
    assert chosen == [id for id in ids if other.has(id)]
    assert 850 < len(chosen) < 1_150
    assert not any(Traces(lite, None, share=0.0).has(id) for id in ids)
    assert all(Traces(lite, None, share=1.0).has(id) for id in ids)


async def test_a_collector_that_is_away_holds_nothing_up(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    async with digest_process(sqlite_url) as digest:
        await digest.hub.shop()
        await digest.hub.accept_sms("KC 101 3条")
        async with asyncio.timeout(10):
            await digest.digests()
            await digest.sends()
    assert len(digest.hub.provider.sent) == 1


@pytest.mark.parametrize(
    ("environ", "is_on"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_tracing_is_on_where_a_collector_is_named(environ: dict[str, str], is_on: bool) -> None:
    assert is_configured(environ) is is_on


async def test_off_nothing_stands_in_the_way(lite: Database) -> None:
    traces = open_traces(lite, "web-1")

    class Reader:
        name = "reader"

        async def digest(self, tx: object, batch: object) -> None: ...

    async def job(item: Item) -> Any: ...

    reader = Reader()
    assert traces.consumer(reader) is reader
    assert traces.job(job) is job
    assert not traces.is_on
    traces.shown({UUID(int=1): 1}, 0)
    await traces.close()


def test_off_the_library_is_not_even_imported() -> None:
    look = (
        "import sys, workers.assemble; print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
