"""Live consoles: what was committed, encoded once for all who watch the same, resumed by sequence number."""

import asyncio
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core import parties
from core.bus import Alone, Bus
from core.clock import Clock
from core.database import Database
from core.log.entries import Logged
from core.tables import Line
from core.users import User
from core.values import Address, Direction
from crm.blueprint.publishing import Book
from crm.collection.display import shown
from crm.desk import inbox, timeline
from crm.desk.inbox import View
from crm.desk.viewer import Viewer, moment, people
from crm.desk.work import Changes
from crm.tables import Conversation, Figure
from workers.web.presence import Presence

log = logging.getLogger(__name__)

HEARTBEAT = 5.0  # seconds
_LEAST_PAUSE = 0.004  # between flushes, so that a burst becomes one frame
_LONGEST_PAUSE = 0.1
_SHARE = 0.5  # of the loop's time that flushing may take
_SHARE_OF_MANY = 0.2  # where the log and its readers are other processes, often on the same processors
_COUNTS_EVERY = 1.0
_PEOPLE_FOR = 10.0
_ROUTES = 50_000
_SLOW = 256 * 1024  # bytes that a reader may leave unread before it has to come back and resume
_OVERLAP = 200  # entries sent again on a resume: their readings may have come after the line was lost
_LONGEST_RESUME = 2_000
_RESUMED_LINES = 200


Shown = Callable[[Mapping[UUID, int], int], None]
"""Told which messages' lines went to how many consoles each, and when that began (nanoseconds since 1970)."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What a console looks at. Consoles with equal watches and rights get the same bytes."""

    view: View | None = None
    queue: str = ""
    party: UUID | None = None
    phone: str = ""
    mine: UUID | None = None  # whose, when the view depends on it
    locale: str = "zh-Hans"
    sees_numbers: bool = False


@dataclass(eq=False, slots=True)
class Console:
    """One open socket."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    user: User
    locale: str
    sees_numbers: bool
    watch: Watch
    since: int | None = None
    id: str = field(default_factory=lambda: uuid4().hex)
    head: int = 0
    mine: int = -1  # how many open conversations its user has, as told last

    async def send(self, frame: bytes) -> None:
        """Never waits for a slow reader: who is too far behind is closed and resumes."""
        if self.socket.closed:
            return
        if self.transport is not None and self.transport.get_write_buffer_size() > _SLOW:
            log.info("slow console dropped", extra={"user": self.user.login})
            self.transport.abort()
            return
        try:
            await self.socket.send_str(frame.decode())
        except (ConnectionError, RuntimeError):
            return


@dataclass(slots=True)
class _Staged:
    """What has happened since the last flush."""

    entries: list[Logged] = field(default_factory=list)
    parties: set[UUID] = field(default_factory=set)
    lines: dict[int, UUID] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    presence: set[UUID] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        return not (self.entries or self.parties or self.lines or self.figures or self.presence)


class LiveHub:
    """All consoles of this process. The tail of the log and the CRM's consumer feed it; `run` flushes."""

    def __init__(self, db: Database, book: Book, clock: Clock, bus: Bus | None = None) -> None:
        self._db = db
        self._share = _SHARE if db.is_sqlite else _SHARE_OF_MANY
        self.presence = Presence(bus or Alone(), self._present_changed)
        self._book = book
        self._clock = clock
        self._consoles: set[Console] = set()
        self._staged = _Staged()
        self._woken = asyncio.Event()
        self._routes: OrderedDict[Address, tuple[UUID, str] | None] = OrderedDict()
        self._queues: dict[UUID, str] = {}
        self._people: dict[UUID, str] = {}
        self._people_at = 0.0
        self._counted_at = 0.0
        self._counts_due = False
        self._queued: Callable[[], None] = lambda: None
        self.on_shown: Shown | None = None
        self.head = 0  # of the log, as the tail has it
        self.digested: Callable[[], int] = lambda: self.head
        self._resumable = 0
        self.is_database_away = False
        self.spooled: Callable[[], int] = lambda: 0  # entries that wait on this host for the database
        self.frames = 0

    @property
    def resumable(self) -> int:
        """What a console that comes back may say it has seen: rows up to here have been made, and told.

        It is less than the log's head while the CRM is behind: entries that it has not digested will still change rows
        under their own, lower numbers. It never goes back.
        """
        self._resumable = max(self._resumable, min(self.head, self.digested()))
        return self._resumable

    # What feeds it.

    def on_queued(self, wake: Callable[[], None]) -> None:
        """Call `wake` when a batch put something into the outbox."""
        self._queued = wake

    @property
    def is_watched(self) -> bool:
        return bool(self._consoles)

    @property
    def open(self) -> int:
        return len(self._consoles)

    def entries(self, batch: Sequence[Logged]) -> None:
        """The tail's sink: new entries of the log, before anybody has read them."""
        self.head = batch[-1].seq
        self._staged.entries += batch
        self._woken.set()

    def changed(self, changes: Changes) -> None:
        """What the CRM made of a batch."""
        if changes.queued:
            self._queued()
        if not self._consoles:
            self._routes.clear()
            return
        staged = self._staged
        staged.parties |= changes.parties
        staged.lines.update(changes.lines)
        staged.figures += changes.figures
        self._woken.set()

    # Consoles.

    def add(self, console: Console) -> None:
        self._consoles.add(console)

    def remove(self, console: Console) -> None:
        self._consoles.discard(console)
        self.presence.leave(console.id, console.user)

    def be_present(self, console: Console, party: UUID, state: str) -> None:
        """Somebody looks at a party, types an answer, or is gone."""
        self.presence.put(console.id, console.user, party, state)

    def _present_changed(self, party: UUID) -> None:
        self._staged.presence.add(party)
        self._woken.set()

    async def catch_up(self, console: Console) -> None:
        """Send what the console missed since its last frame; too much of it becomes `reload`."""
        has_been_here = console.since is not None or console.head > 0
        since = console.since if console.since is not None else console.head
        console.since = None
        head = max(self.resumable, console.head, since)
        frame: dict[str, Any] = {"head": head}
        if has_been_here and head - since > _LONGEST_RESUME:
            frame["reload"] = True
        elif has_been_here:
            frame |= await self._missed(console, max(since - _OVERLAP, 0))
        if console.watch.party is not None:
            frame["presence"] = {str(console.watch.party): self.presence.of(console.watch.party)}
        console.head = head
        await console.send(orjson.dumps(frame))

    async def _missed(self, console: Console, since: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        viewer = await self._viewer(console.watch)
        async with self._db.read() as session:
            if (party := console.watch.party) is not None:
                family = await parties.family(session, party)
                seqs = await session.execute(
                    select(col(Line.seq))
                    .where(col(Line.party_id).in_(family), col(Line.seq) > since)
                    .order_by(col(Line.seq).desc())
                    .limit(_RESUMED_LINES)
                )
                lines = await timeline.lines_at(session, viewer, dict.fromkeys(seqs.scalars(), party))
                if lines:
                    found["lines"] = lines
            if console.watch.view is not None:
                changed = await session.execute(
                    select(col(Conversation.party_id))
                    .where(col(Conversation.changed_seq) > since)
                    .limit(_RESUMED_LINES)
                )
                rows = await inbox.rows_of(session, viewer, changed.scalars().all(), self._clock())
                found |= _in_view(console.watch, rows)
        return found

    # Flushing.

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            while True:
                await self._woken.wait()
                self._woken.clear()
                started = time.perf_counter()
                try:
                    await self._flush()
                except Exception:
                    # The next flush brings rows again; lines are resumed by whoever misses them.
                    log.exception("live flush failed")
                spent = time.perf_counter() - started
                await asyncio.sleep(min(max(spent / self._share - spent, _LEAST_PAUSE), _LONGEST_PAUSE))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            self.presence.beat()
            reachable = await self._db.is_reachable() if self._consoles else True
            service = {"database": "ok" if reachable else "away", "spooled": self.spooled()}
            frame = orjson.dumps({"head": self.resumable, "at": moment(self._clock()), "service": service})
            for console in list(self._consoles):
                await console.send(frame)
            if self._counts_due:
                self._woken.set()

    async def _flush(self) -> None:
        staged, self._staged = self._staged, _Staged()
        if not self._consoles or (staged.is_empty and not self._counts_due):
            return
        started = time.time_ns()
        groups: dict[Watch, list[Console]] = defaultdict(list)
        for console in self._consoles:
            groups[console.watch].append(console)
        async with self._db.read() as session:
            counts = await self._count(session, staged)
            frames = await self._frames(session, staged, list(groups), counts)
        head = self.resumable
        for watch, consoles in groups.items():
            frame = frames.get(watch)
            if frame is None:
                continue
            encoded = orjson.dumps({"head": head, **frame})
            self.frames += len(consoles)
            for console in consoles:
                console.head = head
                await console.send(encoded)
        if self.on_shown is not None:
            self.on_shown(_lines_shown(groups, frames), started)
        if counts is not None:
            await self._tell_own(counts.assigned())

    async def _tell_own(self, assigned: Mapping[UUID, int]) -> None:
        """Tell each person how many conversations are theirs, where that has changed: all else is the same for all."""
        for console in list(self._consoles):
            mine = assigned.get(console.user.id, 0)
            if console.watch.view is not None and mine != console.mine:
                console.mine = mine
                await console.send(orjson.dumps({"head": console.head, "mine": mine}))

    async def _frames(
        self,
        session: AsyncSession,
        staged: _Staged,
        watches: Iterable[Watch],
        counts: inbox.CountTable | None,
    ) -> dict[Watch, dict[str, Any]]:
        routed = await self._route(session, staged)
        shared = counts.for_everybody() if counts is not None else None
        profiles: dict[tuple[str, bool], dict[str, Any]] = {}
        frames = {}
        for watch in watches:
            profile = (watch.locale, watch.sees_numbers)
            if profile not in profiles:
                profiles[profile] = await self._shown(session, staged, watch, routed)
            frame = _frame(watch, profiles[profile], staged)
            if watch.party is not None and watch.party in staged.presence:
                frame["presence"] = {str(watch.party): self.presence.of(watch.party)}
            if shared is not None and watch.view is not None:
                frame["counts"] = shared
            if frame:
                frames[watch] = frame
        return frames

    async def _shown(
        self, session: AsyncSession, staged: _Staged, watch: Watch, routed: dict[int, tuple[UUID, str]]
    ) -> dict[str, Any]:
        """Rows and lines as everybody with these rights and this language sees them."""
        viewer = await self._viewer(watch)
        rows = await inbox.rows_of(session, viewer, staged.parties, self._clock()) if staged.parties else []
        for row, _ in rows:
            self._queues[row.party_id] = row.queue
        lines = {
            entry.seq: (*routed[entry.seq], timeline.bare_line(viewer, entry, routed[entry.seq][0]))
            for entry in staged.entries
            if entry.seq in routed
        }
        for line in await timeline.lines_at(session, viewer, staged.lines) if staged.lines else ():
            party = staged.lines[line["seq"]]
            lines[line["seq"]] = (party, self._queues.get(party, ""), line)
        roots = await self._roots(session, {figure.party_id for figure in staged.figures})
        return {
            "rows": rows,
            "lines": lines,
            "figures": [self._figure(viewer, figure, roots[figure.party_id]) for figure in staged.figures],
        }

    async def _roots(self, session: AsyncSession, ids: set[UUID]) -> dict[UUID, UUID]:
        """The party that stands for each of these after merges: the one that pages show."""
        found = await parties.parties(session, ids)
        merged = {id: party for id, party in found.items() if party.merged_into is not None}
        return {id: (await parties.root(session, id)).id if id in merged else id for id in ids}

    async def _route(self, session: AsyncSession, staged: _Staged) -> dict[int, tuple[UUID, str]]:
        """The party and queue of each new line whose address is known; the others follow when the CRM has met them."""
        entries = [entry for entry in staged.entries if timeline.is_line(entry)]
        unknown = {entry.address for entry in entries if entry.address not in self._routes}
        if unknown:
            await self._learn(session, unknown)
        routed = {}
        for entry in entries:
            route = self._routes.get(entry.address)
            if route is not None:
                routed[entry.seq] = (route[0], self._queues.get(route[0], route[1]))
        return routed

    async def _learn(self, session: AsyncSession, addresses: set[Address]) -> None:
        for address, endpoint in (await parties.endpoints(session, addresses)).items():
            root = await parties.root(session, endpoint.party_id)
            row = await session.get(Conversation, root.id)
            self._routes[address] = (root.id, row.queue if row else "")
        while len(self._routes) > _ROUTES:
            self._routes.popitem(last=False)
        if len(self._queues) > _ROUTES:
            self._queues.clear()

    def forget_routes(self) -> None:
        """Parties were merged or addresses moved."""
        self._routes.clear()

    async def _count(self, session: AsyncSession, staged: _Staged) -> inbox.CountTable | None:
        self._counts_due = self._counts_due or bool(staged.parties)
        if not self._counts_due or time.monotonic() - self._counted_at < _COUNTS_EVERY:
            return None
        self._counted_at = time.monotonic()
        self._counts_due = False
        return await inbox.count_table(session)

    async def _viewer(self, watch: Watch) -> Viewer:
        if time.monotonic() - self._people_at > _PEOPLE_FOR:
            async with self._db.read() as session:
                self._people = await people(session)
            self._people_at = time.monotonic()
        return Viewer(
            user_id=watch.mine,
            locale=watch.locale,
            published=self._book.current,
            sees_numbers=watch.sees_numbers,
            people=self._people,
        )

    def _figure(self, viewer: Viewer, figure: Figure, party: UUID) -> dict[str, Any]:
        lines = viewer.blueprint.form(figure.form).lines
        definition = next((each for each in lines.fields if each.id == figure.field), None) if lines else None
        return {
            "party": str(party),
            "form": figure.form,
            "period": figure.period,
            "sku": figure.sku,
            "field": figure.field,
            "value": figure.value,
            "display": shown(definition, figure.text or figure.value, viewer.locale) if definition else "",
            "state": figure.state,
            "seq": figure.changed_seq,
        }


def _frame(watch: Watch, seen: dict[str, Any], staged: _Staged) -> dict[str, Any]:
    frame: dict[str, Any] = {}
    if watch.view is not None and seen["rows"]:
        frame |= _in_view(watch, seen["rows"])
    lines = [
        line
        for party, queue, line in seen["lines"].values()
        if party == watch.party or (watch.view is not None and watch.queue in ("", queue))
    ]
    if lines:
        frame["lines"] = sorted(lines, key=lambda line: line["seq"])
    if seen["figures"]:
        frame["figures"] = seen["figures"]
    if watch.phone:
        spoken = [phone_message(entry) for entry in staged.entries if _is_on_phone(entry, watch.phone)]
        if spoken:
            frame["phone"] = spoken
    return frame


def _lines_shown(
    groups: Mapping[Watch, Sequence[Console]], frames: Mapping[Watch, dict[str, Any]]
) -> dict[UUID, int]:
    shown: dict[UUID, int] = defaultdict(int)
    for watch, frame in frames.items():
        for line in frame.get("lines", ()):
            if line["direction"] == Direction.IN:
                shown[UUID(line["id"])] += len(groups[watch])
    return shown


def _in_view(watch: Watch, rows: Sequence[tuple[Conversation, dict[str, Any]]]) -> dict[str, Any]:
    if watch.view is None:
        return {}
    stay = [shown for row, shown in rows if inbox.belongs(row, watch.view, watch.queue, watch.mine)]
    gone = [
        str(row.party_id) for row, _ in rows if not inbox.belongs(row, watch.view, watch.queue, watch.mine)
    ]
    found: dict[str, Any] = {}
    if stay:
        found["rows"] = stay
    if gone:
        found["gone"] = gone
    return found


def _is_on_phone(entry: Logged, number: str) -> bool:
    return timeline.is_line(entry) and entry.address.value == number


def phone_message(entry: Logged) -> dict[str, Any]:
    """A message as the simulated phone of its address sees it."""
    return {
        "id": str(entry.id),
        "number": entry.address.value,
        "direction": "sent" if entry.direction == Direction.IN else "received",
        "text": entry.text,
        "at": moment(entry.occurred_at),
        "state": "delivered",
    }
