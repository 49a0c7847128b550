"""What runs and how it goes, over HTTP, for administrators: read-only, from the tables that the processes fill."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core import outbox
from core.log import reader
from core.tables import AlarmRow, LeaseRow, Parked, ProcessRow
from core.words import say
from crm.desk.viewer import moment
from workers.watching.alarms import Severity
from workers.watching.watch import standing_of
from workers.web.access import hub_of
from workers.web.session_api import answer, locale_of

_SILENT_AFTER = timedelta(seconds=30)
"""A process that was not heard of for so long is shown as silent: it writes every few seconds."""


def routes() -> list[web.RouteDef]:
    return [web.get("/api/admin/system", _system)]


async def _system(request: web.Request) -> web.Response:
    hub = hub_of(request)
    at = hub.clock()
    counts = await outbox.counts(hub.db)
    async with hub.db.read() as session:
        processes = await session.scalars(select(ProcessRow).order_by(col(ProcessRow.name)))
        leases = await session.scalars(select(LeaseRow).order_by(col(LeaseRow.name)))
        alarms = await session.scalars(select(AlarmRow).order_by(col(AlarmRow.since)))
        parked = await _parked(session)
        head = await reader.head(session)
    return answer(
        {
            "now": moment(at),
            "grown": hub.settings.is_grown,
            "head": head,
            "alarms": [_alarm(row, locale_of(request)) for row in alarms],
            "processes": [
                {
                    "name": row.name,
                    "role": row.role,
                    "host": row.host,
                    "pid": row.pid,
                    "started_at": moment(row.started_at),
                    "seen_at": moment(row.seen_at),
                    "silent": at - row.seen_at > _SILENT_AFTER,
                    "detail": row.detail,
                }
                for row in processes
            ],
            "leases": [
                {
                    "name": row.name,
                    "holder": row.holder,
                    "epoch": row.epoch,
                    "until": moment(row.until),
                    "free": row.until <= at,
                }
                for row in leases
            ],
            "consumers": [
                {"name": each.name, "lag": each.lag, "parked": parked.get(each.name, 0)}
                for each in hub.consumers
            ],
            "outbox": counts,
            "seal_lag": hub.sealer.lag,
        }
    )


def _alarm(row: AlarmRow, locale: str) -> dict[str, Any]:
    """In words, except an alarm that another version of the program knows."""
    standing = standing_of(row)
    kind = standing.alarm.kind if standing else None
    return {
        "name": row.name,
        "title": say(locale, kind.title, subject=standing.alarm.subject) if kind and standing else row.name,
        "meaning": say(locale, kind.meaning) if kind else "",
        "urgent": kind is not None and kind.severity is Severity.URGENT,
        "figures": dict(standing.alarm.figures) if standing else {},
        "since": moment(row.since),
        "told_at": moment(row.told_at),
    }


async def _parked(session: AsyncSession) -> Mapping[str, int]:
    rows = await session.execute(select(col(Parked.consumer), func.count()).group_by(col(Parked.consumer)))
    return dict(rows.all())
