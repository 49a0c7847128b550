"""The hub put together: the only place that knows every part."""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import aiohttp
from sqlalchemy.ext.asyncio import AsyncSession

from channels.catalog import CATALOG
from core.accounts import AccountBook
from core.adapter import AdapterTools
from core.bus import Alone, Bus, RedisBus, Topic
from core.clock import Clock, SharedClock, now
from core.consumers import ConsumerRunner, lanes_of
from core.database import Database, Tx, is_outage
from core.files import FileStore
from core.intake import Intake
from core.jobs import PRESSED, Job, JobRunner
from core.leases import Leases
from core.live import Tail
from core.log import reader
from core.log.seals import Sealer
from core.log.writer import LogWriter
from core.metrics import Metrics
from core.outbox import Lane
from core.passwords import Hasher
from core.positions import LANES, FollowedConsumer, Positions
from core.pressure import SAID_EVERY, Pressure
from core.search import SearchConsumer
from core.secrets import Secrets
from core.sending import SEND, Sender
from core.settings import Settings
from core.sign_in import SignIns
from core.spool.draining import Drainer
from core.spool.folder import SpoolFolder
from core.spool.taking import Spool
from core.tracing import Traces, open_traces
from core.users import Users
from crm import audit
from crm import feed as feeding
from crm.blueprint import conditions
from crm.blueprint.publishing import Book
from crm.consumer import CrmConsumer
from crm.desk.work import Changes
from crm.erasure import crm_eraser
from crm.feed import FeedReader
from workers import jobs, schedule
from workers.listening import Listeners
from workers.migrations import upgrade
from workers.migrations.partitions import ensure_partitions
from workers.refreshing import Refresher
from workers.retention import Retention
from workers.roles import WORKING, Role
from workers.tickets import Tickets
from workers.tickets import serve as serve_tickets
from workers.watching.parts import measured
from workers.web.live import LiveHub

log = logging.getLogger(__name__)


class Traffic(Protocol):
    """Gentle traffic that can be paused."""

    is_running: bool


Part = Callable[[], Awaitable[None]]

_BEGINS_AGAIN = 1.0  # seconds
_LOOKED_EVERY = 1.0
_HTTP_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)


@dataclass(frozen=True, slots=True)
class Hub:
    """Everything that runs, by name. Made by `assemble`, handed to pages, jobs and commands."""

    settings: Settings
    roles: frozenset[Role]
    clock: Clock
    db: Database
    bus: Bus
    leases: Leases
    secrets: Secrets
    book: Book
    accounts: AccountBook
    refresher: Refresher
    writer: LogWriter
    spool: Spool | None
    intake: Intake
    pressure: Pressure
    crm: Positions
    search: Positions
    sealer: Sealer
    tail: Tail
    feed: FeedReader
    live: LiveHub
    jobs: JobRunner
    tickets: Tickets | None
    listeners: Listeners
    files: FileStore
    users: Users
    sign_ins: SignIns
    http: aiohttp.ClientSession
    metrics: Metrics
    traces: Traces
    traffic: Traffic | None = None  # the demo's customers

    @property
    def consumers(self) -> tuple[Positions, ...]:
        return (self.crm, self.search)

    async def told(self, session: AsyncSession) -> int:
        """How far what the session reads next is complete: a console that loads it wants all that comes after.

        The log's own end would be too far while the CRM is behind; before anything is known of the CRM it has to do.
        """
        passed = self.crm.passed
        head = await reader.head(session)
        return min(head, passed) if passed else head

    async def caught_up(self) -> None:
        """Return when every consumer has digested what is in the log now."""
        for consumer in self.consumers:
            await consumer.caught_up()


@asynccontextmanager
async def assemble(
    settings: Settings, clock: Clock = now, roles: frozenset[Role] = WORKING
) -> AsyncIterator[Hub]:
    """Build the hub on the settings' database, which is brought up to date first. Nothing runs yet; see `running`.

    A web process of the grown size also begins while the database is away: it takes webhooks into its spool.
    """
    db = Database(settings.database_url)
    if settings.is_grown and clock is now:
        clock = SharedClock(db.time)
    book = Book()
    secrets = Secrets(settings.data / "secrets")
    async with aiohttp.ClientSession(timeout=_HTTP_TIMEOUT) as http:
        tools = AdapterTools(http=http, now=clock, public_url=settings.origin)
        snapshot = settings.data / "accounts.json" if _may_spool(db, roles) else None
        accounts = AccountBook({spec.name: spec for spec in CATALOG}, secrets, tools, snapshot)
        refresher = Refresher(db, book, accounts, lambda: asyncio.to_thread(upgrade, settings.database_url))
        try:
            if isinstance(clock, SharedClock):
                await clock.look()
            await refresher.look()
        except Exception as error:
            if not (settings.is_grown and Role.WEB in roles and is_outage(error)):
                raise
            log.warning("database is away", extra={"reason": type(error).__name__})
            accounts.load_snapshot()
        hub = await _build(settings, roles, clock, db, book, secrets, accounts, refresher, http)
        try:
            yield hub
        finally:
            await hub.traces.close()
            await db.close()


async def _build(
    settings: Settings,
    roles: frozenset[Role],
    clock: Clock,
    db: Database,
    book: Book,
    secrets: Secrets,
    accounts: AccountBook,
    refresher: Refresher,
    http: aiohttp.ClientSession,
) -> Hub:
    bus: Bus = RedisBus(settings.redis) if settings.is_grown else Alone()
    leases = Leases(db, f"{settings.name or 'hub'}:{os.getpid()}:{os.urandom(4).hex()}", clock=clock)
    spool = await _spool(settings, clock) if _may_spool(db, roles) else None
    writer = LogWriter(await db.appender(), lambda: book.version, clock, spool)
    intake = Intake(writer, accounts.kind_of, clock)
    files = FileStore(settings.data / "files")
    metrics = Metrics()
    traces = open_traces(db, settings.name, settings.trace_share)
    tickets = Tickets(settings.redis) if settings.is_grown else None
    live = LiveHub(db, book, clock, bus)
    if spool is not None:
        live.spooled = lambda: spool.contents.entries
    if traces.is_on:
        live.on_shown = traces.shown
    tail = Tail(db, live.entries)
    feed = FeedReader(db, live.changed, clock)
    tail.is_watched = feed.is_watched = lambda: live.is_watched
    work: dict[str, Job] = {
        SEND: traces.job(measured(Sender(db, writer, accounts.adapter, accounts.kind_of, clock), metrics)),
        "fetch": jobs.Fetcher(db, accounts.adapter, files),
        "wake": jobs.Waker(intake),
        jobs.NOTE: jobs.Noter(intake),
    }
    pressure = Pressure(lambda: writer.rate, bus)
    crm, search = _consumers(roles, db, book, writer, pressure, live, bus, tickets, traces, clock)
    live.digested = lambda: crm.passed
    runner = JobRunner(db, work, clock, pressure=pressure, limits=accounts.limits, backlog=lambda: crm.lag)
    live.on_queued(runner.wake)
    sealer = Sealer(db, clock)
    for listener in (tail.committed, metrics.committed, *([traces.committed] if traces.is_on else [])):
        writer.on_commit(listener)
    sign_ins = SignIns(db, Hasher(), clock=clock)
    hub = Hub(
        settings=settings,
        roles=roles,
        clock=clock,
        db=db,
        bus=bus,
        leases=leases,
        secrets=secrets,
        book=book,
        accounts=accounts,
        refresher=refresher,
        writer=writer,
        spool=spool,
        intake=intake,
        pressure=pressure,
        crm=crm,
        search=search,
        sealer=sealer,
        tail=tail,
        feed=feed,
        live=live,
        jobs=runner,
        tickets=tickets,
        listeners=Listeners(accounts, intake, leases if settings.is_grown else None),
        files=files,
        users=Users(sign_ins.forget, clock),
        sign_ins=sign_ins,
        http=http,
        metrics=metrics,
        traces=traces,
    )
    if settings.is_grown:
        _connect(hub)
    return hub


def _may_spool(db: Database, roles: frozenset[Role]) -> bool:
    """Whoever takes what comes from outside does it also while PostgreSQL is away. See docs/adr/0012-spool.md."""
    return not db.is_sqlite and bool(roles & {Role.WEB, Role.LISTENERS})


async def _spool(settings: Settings, clock: Clock) -> Spool:
    folder = SpoolFolder(settings.spool_folder, limit=settings.spool_bytes)
    await asyncio.to_thread(folder.open)
    return Spool(folder, clock)


def _consumers(
    roles: frozenset[Role],
    db: Database,
    book: Book,
    writer: LogWriter,
    pressure: Pressure,
    live: LiveHub,
    bus: Bus,
    tickets: Tickets | None,
    traces: Traces,
    clock: Clock,
) -> tuple[Positions, Positions]:
    """The consumers themselves where this process digests, else what can be seen of them."""
    if Role.DIGEST not in roles:
        return FollowedConsumer(db, CrmConsumer.name), FollowedConsumer(db, SearchConsumer.name)

    crm = CrmConsumer(book, live.changed) if tickets is None else _crm_of_many(book, bus, tickets, clock)
    # On one writing gate, side by side they would only wait for each other.
    turn = asyncio.Lock() if db.is_sqlite else None
    runners = [
        ConsumerRunner(
            db,
            traces.consumer(consumer),
            pressure=pressure,
            turn=turn,
            moved=lambda: bus.say(Topic.CURSOR),
            clock=clock,
        )
        for consumer in (crm, SearchConsumer())
    ]
    for runner in runners:
        writer.on_commit(runner.woken)
    return runners[0], runners[1]


def _crm_of_many(book: Book, bus: Bus, tickets: Tickets, clock: Clock) -> CrmConsumer:
    """The CRM's consumer where web processes learn from the feed what it changed."""

    async def put_into_feed(tx: Tx, changes: Changes) -> None:
        await feeding.put(tx, changes, clock())

    def tell_others(changes: Changes) -> None:
        bus.say(Topic.FEED)
        if changes.queued:
            tickets.say(Lane.REPLY)

    return CrmConsumer(book, tell_others, put_into_feed)


def crm_beside(hub: Hub) -> CrmConsumer:
    """The CRM's consumer for a single entry, used while the process that runs it rests."""
    if hub.tickets is None:
        return CrmConsumer(hub.book, hub.live.changed)
    return _crm_of_many(hub.book, hub.bus, hub.tickets, hub.clock)


def _connect(hub: Hub) -> None:
    """What this process does is heard by the others, and the other way round."""
    hub.writer.on_commit(lambda entries, at: hub.bus.say(Topic.LOG, lanes_of(entries)))

    def log_grew(payload: bytes) -> None:
        hub.tail.wake()
        if Role.DIGEST in hub.roles:
            for consumer in hub.consumers:
                consumer.wake(payload or range(LANES))

    if hub.roles & {Role.WEB, Role.DIGEST}:
        hub.bus.hear(Topic.LOG, log_grew)
    hub.bus.hear(Topic.CONFIG, lambda payload: hub.refresher.wake())
    if Role.WEB in hub.roles:
        hub.bus.hear(Topic.FEED, lambda payload: hub.feed.wake())
    if Role.DIGEST not in hub.roles:
        for consumer in hub.consumers:
            hub.bus.hear(Topic.CURSOR, lambda payload, consumer=consumer: consumer.wake())  # type: ignore[misc]


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    """Run the parts of the hub's roles beside the block: log and spool last to stop, so that nothing taken is lost."""
    _spare_the_collector()
    last = [asyncio.create_task(hub.writer.run(), name="log writer")]
    if hub.spool is not None:
        last.append(asyncio.create_task(hub.spool.run(), name="spool"))
    parts = [asyncio.create_task(_kept(name, run), name=name) for name, run in _parts(hub).items()]
    try:
        yield
    finally:
        await hub.jobs.stop()
        for task in parts:
            task.cancel()
        for task in parts:
            await _ended(task)
        for task in last:
            task.cancel()
            await _ended(task)


def _parts(hub: Hub) -> dict[str, Part]:
    parts: dict[str, Part] = {"housekeeping": hub.db.keep}
    if hub.settings.is_grown:
        parts |= {
            "bus": hub.bus.run,
            "refresher": hub.refresher.run,
            "looking": lambda: _look_by_oneself(hub),
        }
    if isinstance(hub.clock, SharedClock):
        parts["clock"] = hub.clock.run
    if hub.tickets is not None:
        parts["tickets given"] = hub.tickets.run
    if hub.spool is not None:
        drainer = Drainer(hub.spool.folder, hub.writer.enter, is_ready=lambda: hub.book.has_any)
        parts["drainer"] = drainer.run
    if Role.WEB in hub.roles:
        parts |= {"tail": hub.tail.run, "live": hub.live.run}
        if hub.settings.is_grown:
            parts |= {"feed": hub.feed.run, "pressure": lambda: _say_pressure(hub)}
    for consumer in hub.consumers:
        if isinstance(consumer, ConsumerRunner):
            parts[consumer.name] = _owned(hub, f"consumer:{consumer.name}", consumer.run)
        elif isinstance(consumer, FollowedConsumer):
            parts[consumer.name] = consumer.run
    if Role.DIGEST in hub.roles:
        parts["warming"] = lambda: asyncio.to_thread(conditions.warm)
        parts["sealer"] = _owned(hub, "sealer", lambda lease=None: hub.sealer.run())
    if Role.JOBS in hub.roles:
        parts["jobs"] = hub.jobs.run
        if hub.settings.is_grown:
            parts["tickets taken"] = lambda: serve_tickets(hub.jobs, hub.settings.redis)
    if Role.LISTENERS in hub.roles:
        parts["listeners"] = hub.listeners.run
    if Role.SCHEDULE in hub.roles:
        parts["schedule"] = _owned(hub, "schedule", lambda lease=None: schedule.keep(scheduled(hub)))
    return parts


def _owned(hub: Hub, name: str, run: Callable[..., Awaitable[None]]) -> Part:
    """What one process does at a time: this one, or whichever has the lease."""
    if not hub.settings.is_grown:
        return run
    return lambda: hub.leases.hold(name, run)


async def _look_by_oneself(hub: Hub) -> None:
    """A wake-up that was lost costs a second."""
    while True:
        await asyncio.sleep(_LOOKED_EVERY)
        hub.tail.wake()
        if Role.DIGEST in hub.roles:
            for consumer in hub.consumers:
                consumer.wake()


async def _say_pressure(hub: Hub) -> None:
    while True:
        await asyncio.sleep(SAID_EVERY)
        hub.pressure.say(above=PRESSED / 2)


def scheduled(hub: Hub) -> list[schedule.Task]:
    async def forget_feed() -> None:
        async with hub.db.begin() as tx:
            await feeding.forget_old(tx, hub.clock())

    retention = Retention(hub.db, hub.files, hub.settings.retention, (crm_eraser(hub.book),))
    return [
        schedule.Task("partitions", timedelta(days=1), lambda: ensure_partitions(hub.db, hub.clock())),
        schedule.Task("feed", timedelta(minutes=10), forget_feed),
        schedule.Task("retention", timedelta(days=1), lambda: retention.apply(hub.clock())),
        schedule.Task("audit trail", timedelta(minutes=1), lambda: audit.catch_up(hub.db)),
    ]


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
