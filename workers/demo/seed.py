"""Loading the demo: its world and story go through the log, at the moments when they happened."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from core import outbox
from core.claims import claim
from core.clock import now
from core.errors import ConfigInvalid
from core.log import reader
from core.outbox import Item, Outcome
from core.positions import LANES
from core.sending import SEND, Sender
from core.settings import Settings
from core.tables import Cursor
from core.users import all_users
from core.values import Accepted, Taken
from crm.blueprint.publishing import publish
from crm.blueprint.reading import check_folder
from crm.consumer import CrmConsumer
from crm.tables import Case
from workers.assemble import Hub, assemble
from workers.demo import mark
from workers.demo.mark import SEED, WEEKS, Mark
from workers.demo.people import people
from workers.demo.phones import ACCOUNT, text_in
from workers.demo.reports import Reports
from workers.demo.scenes import Scenes
from workers.demo.story import Step, rounds
from workers.demo.world import Actor, World, make_world

log = logging.getLogger(__name__)

BLUEPRINT: Final = Path(__file__).parent.parent.parent / "blueprints" / "tobacco"
_AUTHOR: Final = "demo"
_ANSWERED_AFTER = timedelta(seconds=2)

Progress = Callable[[int, int], None]
"""Told how many steps are done, and of how many."""

_moment: ContextVar[datetime | None] = ContextVar("moment", default=None)


class StoryClock:
    """The story's time: that of the step at hand, or of the round. Each task has its own step."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return _moment.get() or self.at


async def load(
    settings: Settings, *, seed: int = SEED, weeks: int = WEEKS, progress: Progress = lambda done, of: None
) -> None:
    """Load the demo into an empty database; a load that was interrupted is taken up again where it was."""
    clock = StoryClock(now())
    async with assemble(settings, clock) as hub:
        left = await mark.found(hub.db)
        if left is None:
            left = Mark(seed=seed, weeks=weeks, began=clock.at.isoformat())
            await mark.leave(hub.db, left)
        if left.complete:
            return
        clock.at = left.present - timedelta(weeks=left.weeks + 1)
        await _set_up(hub)
        async with _Loader.running(hub, clock) as loader:
            await loader.play(left, progress)
        await mark.leave(hub.db, replace(left, complete=True))


async def _set_up(hub: Hub) -> None:
    """The blueprint, our one line, and the people who work with them."""
    if not hub.book.has_any:
        checked = await asyncio.to_thread(check_folder, BLUEPRINT)
        if checked.blueprint is None:
            raise ConfigInvalid(f"The demo's blueprint has problems: {checked.problems[0]}")
        async with hub.db.begin() as tx:
            await publish(
                tx, checked.blueprint, author=_AUTHOR, approved_by=_AUTHOR, note="demo", at=hub.clock()
            )
        await hub.book.load(hub.db)
    if ACCOUNT not in hub.accounts.slugs():
        async with hub.db.begin() as tx:
            await hub.accounts.create(
                tx,
                slug=ACCOUNT,
                provider="sms.simulator",
                title=people().line.title,
                config={"number": people().line.number},
                secrets={"signing_key": f"keep:{ACCOUNT}"},
                at=hub.clock(),
            )
    async with hub.db.read() as session:
        known = {user.login for user in await all_users(session, with_disabled=True)}
    async with hub.db.begin() as tx:
        for user in people().users.values():
            if user.login not in known:
                await hub.users.create(
                    tx,
                    login=user.login,
                    name=user.name,
                    roles=user.roles,
                    unit=user.unit,
                    queues=user.queues,
                )


class _Loader:
    """Plays the story round by round: write, let the CRM digest, send what it answered."""

    def __init__(self, hub: Hub, clock: StoryClock, users: Mapping[str, UUID]) -> None:
        self._hub = hub
        self._clock = clock
        self._crm = CrmConsumer(hub.book, lambda changes: None)
        self._digested = 0
        self._users = users
        self._sender = Sender(hub.db, hub.writer, hub.accounts.adapter, hub.accounts.kind_of, clock)

    @classmethod
    @asynccontextmanager
    async def running(cls, hub: Hub, clock: StoryClock) -> AsyncIterator["_Loader"]:
        """A loader with the log's writer at work."""
        async with hub.db.read() as session:
            logins = {user.login: user.id for user in await all_users(session)}
        users = {key: logins[user.login] for key, user in people().users.items()}
        tasks = [asyncio.create_task(part) for part in (hub.db.keep(), hub.writer.run())]
        try:
            yield cls(hub, clock, users)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def play(self, told: Mark, progress: Progress) -> None:
        began = told.present
        self._digested = await self._resumed()
        published = self._hub.book.current
        world = make_world(told.seed, began.astimezone(published.timezone).date())
        reports = Reports(published.blueprint, world, told.seed, began, published.timezone)
        scenes = Scenes(published.blueprint, world, reports.silent, began, published.timezone)
        steps = self._told(began, told.weeks, reports, scenes)
        groups = rounds(steps)
        done, total = 0, len(world.customers) + len(steps)
        await self._introduce(world)
        for group in groups:
            await self._play(group)
            done += len(group)
            progress(len(world.customers) + done, total)
        await self._digest()

    async def _resumed(self) -> int:
        async with self._hub.db.read() as session:
            query = select(func.min(col(Cursor.seq))).where(col(Cursor.consumer) == self._crm.name)
            return int(await session.scalar(query) or 0)

    def _told(self, began: datetime, weeks: int, reports: Reports, scenes: Scenes) -> list[Step]:
        """Everything that happens. Who plays in an open scene is silent around it, so that the scene stays clear."""
        open_from = began - timedelta(days=6)
        playing = scenes.actors()
        told = [step for step in reports.steps(weeks) if step.at < open_from or step.actor not in playing]
        return [*told, *scenes.steps()]

    async def _introduce(self, world: World) -> None:
        await asyncio.gather(*(self._put(actor) for actor in world.customers))
        await self._digest()

    async def _put(self, actor: Actor) -> None:
        detail = {
            "party": str(actor.id),
            "kind": actor.kind,
            "name": actor.name,
            "territory": actor.territory,
            "stage": actor.stage,
            "fields": dict(actor.fields),
            "keys": dict(actor.keys),
            "addresses": [{"scheme": "tel", "value": actor.number}] if actor.number else [],
            "persons": [dict(person) for person in actor.persons],
        }
        await self._hub.intake.act(
            "party.put", by="", about=actor.address, key=f"demo:{actor.id}", detail=detail
        )

    async def _play(self, group: Sequence[Step]) -> None:
        self._clock.at = group[-1].at + timedelta(seconds=1)
        accepted = await asyncio.gather(*(self._take(step) for step in group))
        await self._digest()
        await self._send(
            {one.seq: step.at for one, step in zip(accepted, group, strict=True) if isinstance(one, Accepted)}
        )

    async def _take(self, step: Step) -> Taken:
        _moment.set(step.at)
        if not step.act:
            id = hashlib.sha256(step.key.encode()).hexdigest()[:32]
            return await text_in(self._hub, step.address, step.text, id)
        by = str(self._users[step.by]) if step.by else ""
        return await self._hub.intake.act(
            step.act,
            by=by,
            about=step.address,
            key=f"demo:{step.key}",
            detail={"party": str(step.actor.id), **await self._detail(step)},
            text=step.text,
        )

    async def _detail(self, step: Step) -> dict[str, Any]:
        match step.act:
            case "reply":
                to = {"scheme": step.address.scheme, "value": step.address.value}
                return {"to": to, "account": ACCOUNT, "seen_seq": self._digested}
            case "assign":
                return {"user": str(self._users[step.detail["user"]])}
            case "case.state":
                return {**step.detail, **await self._newest_case(step.actor.id)}
            case _:
                return dict(step.detail)

    async def _newest_case(self, party: UUID) -> dict[str, Any]:
        async with self._hub.db.read() as session:
            query = select(Case).where(col(Case.party_id) == party).order_by(col(Case.id).desc()).limit(1)
            case = (await session.execute(query)).scalar_one()
        return {"case": case.id, "kind": case.kind}

    async def _digest(self) -> None:
        """Let the CRM take what is new, in one go: nobody waits beside it, and cases are numbered in their order."""
        while True:
            async with self._hub.db.read() as session:
                batch = await reader.after(session, self._digested, 400)
            if not batch:
                return
            self._digested = batch[-1].seq
            async with self._hub.db.begin(is_durable=False) as tx:
                await self._crm.digest(tx, batch)
                for lane in range(LANES):
                    cursor = Cursor(consumer=self._crm.name, lane=lane, seq=self._digested)
                    await tx.session.merge(cursor)

    async def _send(self, moments: Mapping[int, datetime]) -> None:
        """What the hub answered leaves a moment after what it answers, as the story's clock has it."""
        while items := (await claim(self._hub.db, self._clock.at, 500)).items:
            sends = [item for item in items if item.job == SEND]
            outcomes = await asyncio.gather(*(self._hand_over(item, moments) for item in sends))
            settled = [(item, outcome) for item, outcome in zip(sends, outcomes, strict=True)]
            await outbox.settle(self._hub.db, settled)

    async def _hand_over(self, item: Item, moments: Mapping[int, datetime]) -> Outcome:
        _moment.set(moments.get(item.cause_seq or 0, self._clock.at) + _ANSWERED_AFTER)
        return await self._sender(item)
