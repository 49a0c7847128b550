"""Gentle traffic of the demo: every few seconds one of the invented shops writes, until a visitor pauses it."""

import asyncio
import logging
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from sqlalchemy import func, select
from sqlmodel import col

from core.values import Taken
from crm.collection.periods import span_of
from crm.tables import Conversation, Submission
from workers.assemble import Hub
from workers.demo.mark import SEED
from workers.demo.phones import text_in
from workers.demo.reports import Reports
from workers.demo.story import Step
from workers.demo.world import Actor, World, make_world, said
from workers.demo.writing import Pen

log = logging.getLogger(__name__)

_PAUSE: Final = (8.0, 20.0)  # seconds between two messages
_MOST_OPEN: Final = 25  # from so many open items on nobody asks anything new: visitors shall not drown
_KINDS: Final = {"report": 70, "wrong": 5, "prices": 10, "thanks": 7, "questions": 6, "suggestions": 2}


class Traffic:
    """`run` writes until cancelled; while `is_running` is false it waits."""

    def __init__(self, hub: Hub, *, seed: int = SEED, running: bool = True) -> None:
        self._hub = hub
        self._rng = Random(f"traffic {seed} {hub.clock().isoformat()}")
        self._seed = seed
        self._going = asyncio.Event()
        self._story: tuple[World, Reports, Pen] | None = None
        self.is_running = running

    @property
    def is_running(self) -> bool:
        return self._going.is_set()

    @is_running.setter
    def is_running(self, running: bool) -> None:
        if running:
            self._going.set()
        else:
            self._going.clear()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._rng.uniform(*_PAUSE))
            await self._going.wait()
            try:
                await self.next()
            except Exception:
                # A visitor may break anything here; the shops go on writing.
                log.exception("pretended message failed")

    async def next(self) -> Taken:
        """One more message, of whatever kind is its turn."""
        step = await self.choose(self._hub.clock())
        return await text_in(self._hub, step.address, step.text)

    async def choose(self, at: datetime) -> Step:
        world, reports, pen = self._told(at)
        waiting, reported = await self._shops(world, at)
        kind = self._rng.choices(list(_KINDS), list(_KINDS.values()))[0]
        if kind in ("questions", "suggestions") and await self._open() >= _MOST_OPEN:
            kind = "report"
        if kind in ("report", "wrong") and not waiting:
            kind = "prices"
        if kind == "thanks" and not reported:
            kind = "prices"
        shop = self._rng.choice(waiting if kind in ("report", "wrong") else reported or waiting)
        return Step(at=at, actor=shop, key="", text=self._text(kind, shop, reports, pen))

    def _text(self, kind: str, shop: Actor, reports: Reports, pen: Pen) -> str:
        phrases: Any = said("phrases")
        items = reports.shelves.stocked(shop, 0)
        match kind:
            case "report":
                return reports.weekly(self._rng, shop)
            case "wrong":
                slip: str = self._rng.choice(phrases["wrong"])["say"]
                return slip.format(first=items[0].sku, rest=pen.rest(self._rng, "keyed", items[1:]))
            case "prices":
                return pen.prices(self._rng, items[:3])
            case "thanks":
                return str(self._rng.choice(phrases["thanks"]))
            case _:
                text: str = self._rng.choice(phrases[kind])
                return text.format(name=pen.name(self._rng, self._rng.choice(items).sku))

    def _told(self, at: datetime) -> tuple[World, Reports, Pen]:
        if self._story is None:
            published = self._hub.book.current
            world = make_world(self._seed, at.astimezone(published.timezone).date())
            reports = Reports(published.blueprint, world, self._seed, at, published.timezone)
            self._story = world, reports, Pen(published.blueprint)
        return self._story

    async def _shops(self, world: World, at: datetime) -> tuple[list[Actor], list[Actor]]:
        """Shops that have not reported for the present period yet, and those that lately have."""
        published = self._hub.book.current
        form = published.blueprint.form(published.blueprint.messages.default_form)
        period = span_of(form.period, at.astimezone(published.timezone).date()).key
        async with self._hub.db.read() as session:
            rows = await session.execute(
                select(col(Submission.party_id), func.max(col(Submission.received_at)))
                .where(col(Submission.form) == form.form, col(Submission.period) == period)
                .group_by(col(Submission.party_id))
            )
            reported = dict(rows.all())
        able = [shop for shop in world.shops if shop.number and shop.diligence < 3.0]
        lately = at - timedelta(days=1)
        return (
            [shop for shop in able if shop.id not in reported],
            [shop for shop in able if shop.id in reported and reported[shop.id] > lately],
        )

    async def _open(self) -> int:
        async with self._hub.db.read() as session:
            count = select(func.count()).select_from(Conversation).where(col(Conversation.state) == "open")
            return int(await session.scalar(count) or 0)
