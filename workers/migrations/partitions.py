"""The log's partitions on PostgreSQL: one a month, made ahead of time, and a default one so that nothing is refused."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.database import Database

log = logging.getLogger(__name__)

_AHEAD = 2


def partitions(at: datetime) -> Sequence[str]:
    """The statements that make the partitions of this month and the next two; those that exist stay as they are."""
    first = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    statements = ["CREATE TABLE IF NOT EXISTS log_default PARTITION OF log DEFAULT"]
    for _ in range(_AHEAD + 1):
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        statements.append(
            f"CREATE TABLE IF NOT EXISTS log_{first:%Y_%m} PARTITION OF log"
            f" FOR VALUES FROM ('{first.isoformat()}') TO ('{after.isoformat()}')"
        )
        first = after
    return statements


async def ensure_partitions(db: Database, at: datetime) -> None:
    """Make the partitions that are missing. Nothing to do on SQLite, where the log is one table."""
    if db.is_sqlite:
        return
    for statement in partitions(at):
        try:
            async with db.begin() as tx:
                await tx.session.execute(text(statement))
        except DBAPIError as error:
            # The default partition may hold rows of the month already, or be busy: they are as safe there.
            log.warning("partition not made", extra={"reason": str(error.orig)})
