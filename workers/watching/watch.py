"""The watch: measures, judges and tells, every few seconds, in the one process whose turn it is."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import delete, select
from sqlmodel import col

from core.clock import Clock, now
from core.database import Database, is_outage
from core.tables import AlarmRow
from workers.watching.alarms import BY_NAME, DATABASE_AWAY, Alarm, alarms
from workers.watching.figures import Figures, Measurer
from workers.watching.judging import Standing, State, Word, judge, told, words
from workers.watching.telling import Tell

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds


class Watch:
    """What stands is in memory and, while there is a database, in table `alarm`: a successor goes on from there.

    `is_mine` says whether this process is the one that watches. While the database is away no lease can be held, so
    that whoever watched last goes on watching: its word that the database is away is the one that matters most.
    """

    def __init__(
        self,
        db: Database,
        tell: Tell,
        clock: Clock = now,
        *,
        is_mine: Callable[[], bool] = lambda: True,
        bus_is_up: Callable[[], bool] = lambda: True,
    ) -> None:
        self._db = db
        self._tell = tell
        self._clock = clock
        self._is_mine = is_mine
        self._bus_is_up = bus_is_up
        self._measurer = Measurer(db, clock)
        self._watches = False
        self._has_read = False
        self._kept: dict[str, dict[str, Any]] = {}
        self.standing: dict[str, Standing] = {}
        self.figures: Figures | None = None
        """As last measured here; none while another process watches."""
        self.rounds = 0

    async def run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                await self.round()
            except Exception:
                log.exception("the watch missed a round")
            # A database that is slow is not asked more often than it answers.
            await asyncio.sleep(max(EVERY, 4 * (time.monotonic() - started)))

    async def round(self) -> None:
        if not (self._is_mine() or (self._watches and not await self._db.is_reachable())):
            await self._hand_over()
            return
        self._watches = True
        figures = self.figures = await self._measurer.measure(bus_is_up=self._bus_is_up())
        if figures.database_is_up and not self._has_read:
            await self._read()
        is_blind = not figures.database_is_up
        self.standing = judge(self.standing, alarms(figures), figures.at, is_blind=is_blind)
        if (due := words(self.standing, figures.at)) and await self._tell(due):
            self.standing = told(self.standing, due, figures.at)
        if not is_blind:
            await self._keep()
        self.rounds += 1

    async def _hand_over(self) -> None:
        """Another watches now. What stands is in the table, save one thing: that the database was away, and is back."""
        away = self.standing.get(DATABASE_AWAY.name)
        if away is not None and away.told_at is not None and not await self._tell([Word(State.OVER, away)]):
            return  # said again in the next round
        self._watches = self._has_read = False
        self.figures, self.standing = None, {}

    async def _read(self) -> None:
        """What an earlier watch has told is not told again."""
        async with self._db.read() as session:
            rows = (await session.scalars(select(AlarmRow))).all()
        earlier = {row.name: standing for row in rows if (standing := standing_of(row)) is not None}
        self._kept = {name: _kept(each) for name, each in earlier.items()}
        self.standing = earlier | self.standing
        self._has_read = True

    async def _keep(self) -> None:
        at = self._clock()
        begun = {name: _kept(each) for name, each in self.standing.items() if each.has_begun(at)}
        if begun == self._kept:
            return
        try:
            async with self._db.begin() as tx:
                await tx.write(delete(AlarmRow).where(col(AlarmRow.name).not_in(list(begun))))
                for row in begun.values():
                    await tx.session.merge(AlarmRow(**row))
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("alarms not stored", extra={"reason": type(error).__name__})
            return
        self._kept = begun


def _kept(standing: Standing) -> dict[str, Any]:
    alarm = standing.alarm
    return {
        "name": alarm.name,
        "since": standing.since,
        "told_at": standing.told_at,
        "detail": {
            "kind": alarm.kind.name,
            "subject": alarm.subject,
            "severity": alarm.kind.severity.value,
            "figures": dict(alarm.figures),
            "told_number": standing.told_number,
        },
    }


def standing_of(row: AlarmRow) -> Standing | None:
    """None for an alarm that this version does not know."""
    if (kind := BY_NAME.get(row.detail.get("kind", ""))) is None:
        return None
    alarm = Alarm(kind, row.detail["subject"], row.detail["figures"])
    return Standing(alarm=alarm, since=row.since, told_at=row.told_at, told_number=row.detail["told_number"])
