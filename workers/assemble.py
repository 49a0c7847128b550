"""The hub put together: the only place that knows every part."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import aiohttp

from channels.catalog import CATALOG
from core.accounts import AccountBook
from core.adapter import AdapterTools
from core.clock import Clock, now
from core.consumers import Consumer, ConsumerRunner
from core.database import Database
from core.files import FileStore
from core.intake import Intake
from core.jobs import Job, JobRunner
from core.live import Tail
from core.log.seals import Sealer
from core.log.writer import LogWriter
from core.metrics import Metrics
from core.passwords import Hasher
from core.search import SearchConsumer
from core.secrets import Secrets
from core.sending import SEND, Sender
from core.settings import Settings
from core.sign_in import SignIns
from core.users import Users
from crm.blueprint.publishing import Book
from crm.consumer import CrmConsumer
from workers import jobs
from workers.migrations import upgrade
from workers.web.live import LiveHub

log = logging.getLogger(__name__)


class Traffic(Protocol):
    """Gentle traffic that can be paused."""

    is_running: bool


_BEGINS_AGAIN = 1.0  # seconds
_HTTP_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)


@dataclass(frozen=True, slots=True)
class Hub:
    """Everything that runs, by name. Made by `assemble`, handed to pages, jobs and commands."""

    settings: Settings
    clock: Clock
    db: Database
    secrets: Secrets
    book: Book
    accounts: AccountBook
    writer: LogWriter
    intake: Intake
    crm: ConsumerRunner
    search: ConsumerRunner
    sealer: Sealer
    tail: Tail
    live: LiveHub
    jobs: JobRunner
    files: FileStore
    users: Users
    sign_ins: SignIns
    http: aiohttp.ClientSession
    metrics: Metrics
    traffic: Traffic | None = None  # the demo's customers

    @property
    def consumers(self) -> tuple[ConsumerRunner, ...]:
        return (self.crm, self.search)

    async def caught_up(self) -> None:
        """Return when every consumer has digested what is in the log now."""
        for runner in self.consumers:
            await runner.caught_up()


@asynccontextmanager
async def assemble(settings: Settings, clock: Clock = now) -> AsyncIterator[Hub]:
    """Build the hub on the settings' database, which is brought up to date first. Nothing runs yet; see `running`."""
    await asyncio.to_thread(upgrade, settings.database_url)
    db = Database(settings.database_url)
    book = Book()
    await book.load(db)
    secrets = Secrets(settings.data / "secrets")
    async with aiohttp.ClientSession(timeout=_HTTP_TIMEOUT) as http:
        tools = AdapterTools(http=http, now=clock, public_url=settings.origin)
        accounts = AccountBook({spec.name: spec for spec in CATALOG}, secrets, tools)
        async with db.read() as session:
            await accounts.load(session)
        hub = await _build(settings, clock, db, book, secrets, accounts, http)
        try:
            yield hub
        finally:
            await db.close()


async def _build(
    settings: Settings,
    clock: Clock,
    db: Database,
    book: Book,
    secrets: Secrets,
    accounts: AccountBook,
    http: aiohttp.ClientSession,
) -> Hub:
    writer = LogWriter(await db.appender(), lambda: book.version, clock)
    intake = Intake(writer, accounts.kind_of, clock)
    files = FileStore(settings.data / "files")
    live = LiveHub(db, book, clock)
    tail = Tail(db, live.entries)
    tail.is_watched = lambda: live.is_watched
    work: dict[str, Job] = {
        SEND: Sender(db, writer, accounts.adapter, accounts.kind_of, clock),
        "fetch": jobs.Fetcher(db, accounts.adapter, files),
        "wake": jobs.Waker(intake),
        jobs.NOTE: jobs.Noter(intake),
    }
    runner = JobRunner(db, work, clock, pressure=lambda: writer.rate)
    live.on_queued(runner.wake)
    turn = (
        asyncio.Lock()
    )  # consumers take turns: side by side they would only wait for each other at the gate
    crm = _consumer(db, CrmConsumer(book, live.changed), writer, turn, clock)
    search = _consumer(db, SearchConsumer(), writer, turn, clock)
    sealer = Sealer(db, clock)
    metrics = Metrics()
    _watch(metrics, writer, (crm, search), sealer, live)
    for listener in (crm.woken, search.woken, tail.committed, metrics.committed):
        writer.on_commit(listener)
    hasher = Hasher()
    sign_ins = SignIns(db, hasher, clock=clock)
    return Hub(
        settings=settings,
        clock=clock,
        db=db,
        secrets=secrets,
        book=book,
        accounts=accounts,
        writer=writer,
        intake=intake,
        crm=crm,
        search=search,
        sealer=sealer,
        tail=tail,
        live=live,
        jobs=runner,
        files=files,
        users=Users(sign_ins.forget, clock),
        sign_ins=sign_ins,
        http=http,
        metrics=metrics,
    )


def _watch(
    metrics: Metrics,
    writer: LogWriter,
    consumers: Sequence[ConsumerRunner],
    sealer: Sealer,
    live: LiveHub,
) -> None:
    metrics.watch("log_queue", "Entries that wait for the next commit.", lambda: writer.queued)
    metrics.watch("seal_lag", "Entries that are not sealed yet.", lambda: sealer.lag)
    metrics.watch("consoles", "Open live sockets.", lambda: live.open)
    metrics.watch_states(
        "consumer_lag",
        "Entries that a consumer has not digested yet.",
        "consumer",
        lambda: [(runner.consumer.name, float(runner.lag)) for runner in consumers],
    )
    metrics.watch_states(
        "consumer_parked",
        "Entries that a consumer could not digest since the process began.",
        "consumer",
        lambda: [(runner.consumer.name, float(runner.parked)) for runner in consumers],
    )


def _consumer(
    db: Database, consumer: Consumer, writer: LogWriter, turn: asyncio.Lock, clock: Clock
) -> ConsumerRunner:
    return ConsumerRunner(db, consumer, pressure=lambda: writer.rate, turn=turn, clock=clock)


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    """Run the hub's parts beside the block: the log last to stop, so that nothing accepted is lost."""
    _spare_the_collector()
    writer = asyncio.create_task(hub.writer.run(), name="log writer")
    parts = [
        asyncio.create_task(_kept(name, run), name=name)
        for name, run in {
            "housekeeping": hub.db.keep,
            "crm": hub.crm.run,
            "search": hub.search.run,
            "sealer": hub.sealer.run,
            "tail": hub.tail.run,
            "live": hub.live.run,
            "jobs": hub.jobs.run,
        }.items()
    ]
    try:
        yield
    finally:
        await hub.jobs.stop()
        for task in (*parts, writer):
            task.cancel()
        for task in (*parts, writer):
            await _ended(task)


def _spare_the_collector() -> None:
    """What stands after assembling stays: a full collection that walks over all of it stalls every sender for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _kept(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a part again when it fails, for example because the database was away when it began."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("part failed and begins again", extra={"part": name})
            await asyncio.sleep(_BEGINS_AGAIN)
        else:
            return


async def _ended(task: asyncio.Task[None]) -> None:
    try:
        async with asyncio.timeout(timedelta(seconds=5).total_seconds()):
            await asyncio.gather(task, return_exceptions=True)
    except TimeoutError:
        log.warning("part did not stop", extra={"part": task.get_name()})
