"""An outbox with something in it, and what became of it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, text

from core import outbox
from core.columns import Instant
from core.database import Database
from core.ids import uuid7
from core.outbox import Lane
from core.tables import OutboxItem
from core.values import Address
from tests.support.entries import NOON

PHONE = Address("tel", "+8613800000001")


async def put(
    db: Database,
    *texts: str,
    account: str = "sms-test",
    lane: Lane = Lane.JOB,
    job: str = "send",
    due_at: datetime = NOON,
    deadline: datetime | None = None,
    **more: Any,
) -> None:
    """Messages to one telephone, in this order."""
    async with db.begin() as tx:
        for number, said in enumerate(texts):
            outbox.put(
                tx,
                key=str(uuid7()),
                job=job,
                payload={"text": said, "by": "", "purpose": "service", "meta": {}, **more},
                due_at=due_at + timedelta(microseconds=number),
                lane=lane,
                account=account,
                address=PHONE,
                deadline=deadline,
            )


async def fill(
    db: Database,
    count: int,
    *,
    account: str = "sms-test",
    lane: Lane = Lane.BROADCAST,
    state: str = "waiting",
    job: str = "send",
    at: datetime = NOON,
) -> None:
    """Many messages at once, each with its number for a text."""
    rows = [
        {
            "id": uuid7(), "key": str(uuid7()), "job": job, "lane": lane.number, "account": account,
            "scheme": PHONE.scheme, "address": PHONE.value, "state": state, "attempts": 0, "error": "",
            "payload": {"text": str(number), "by": "", "purpose": "service", "meta": {}},
            "due_at": at, "created_at": at,
        }
        for number in range(count)
    ]  # fmt: skip
    async with db.begin(is_durable=False) as tx:
        for start in range(0, count, 2_000):
            await tx.session.execute(insert(OutboxItem), rows[start : start + 2_000])


async def states(db: Database) -> dict[str, int]:
    """How many items are in each state."""
    async with db.read() as session:
        rows = await session.execute(text("SELECT state, count(*) FROM outbox GROUP BY state"))
        return {row[0]: row[1] for row in rows}


async def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for what no event tells."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  # what is waited for belongs to the product and tells nobody
            await asyncio.sleep(0.01)


async def settled(db: Database, expected: dict[str, int], seconds: float = 30) -> None:
    """Wait until the items are in these states."""
    found: dict[str, int] = {}
    try:
        async with asyncio.timeout(seconds):
            while (found := await states(db)) != expected:  # noqa: ASYNC110  # other processes change it
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(f"the outbox holds {found}, not {expected}") from None


async def free_at(db: Database, account: str = "sms-test") -> datetime | None:
    """When the account may send its next message."""
    query = text("SELECT free_at FROM pace WHERE account = :account").columns(free_at=Instant())
    async with db.read() as session:
        found: datetime | None = (await session.execute(query, {"account": account})).scalar()
        return found
