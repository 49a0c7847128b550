"""`switchboard outbox` as an operator types it, where no hub runs."""

import asyncio
import json
from pathlib import Path

from sqlalchemy import select

from core.database import Database
from core.outbox import ItemState
from core.tables import OutboxItem, Parked
from tests.support.entries import NOON
from tests.support.outbox import put
from tests.workers.cli.conftest import Run


def leave(data: Path, **states: ItemState) -> dict[str, str]:
    """Items by what they say, in these states; and an entry that search could not read."""

    async def act() -> dict[str, str]:
        db = Database(f"sqlite+aiosqlite:///{data / 'switchboard.db'}")
        await put(db, *states)
        async with db.begin() as tx:
            rows = (await tx.session.execute(select(OutboxItem))).scalars().all()
            for row in rows:
                row.state, row.error = states[row.payload["text"]].value, "provider_refused"
            tx.session.add(Parked(consumer="search", seq=7, error="ValueError: 坏", parked_at=NOON))
        await db.close()
        return {row.payload["text"]: str(row.id) for row in rows}

    return asyncio.run(act())


def test_what_needs_somebody_is_listed_tried_again_and_put_aside(run: Run, data: Path) -> None:
    assert run("migrate").code == 0
    ids = leave(data, failed=ItemState.FAILED, unknown=ItemState.UNKNOWN, done=ItemState.DONE)
    found = json.loads(run("outbox", "list", "--json").out)
    assert {each["id"] for each in found["items"]} == {ids["failed"], ids["unknown"]}
    assert [each["id"] for each in found["parked"]] == ["search:7"]
    shown = run("outbox", "list").out
    assert ids["failed"] in shown
    assert "13800000001" not in shown

    assert run("outbox", "retry", ids["failed"]).out == f"{ids['failed']} takes its turn again.\n"
    refused = run("outbox", "retry", ids["unknown"])
    assert refused.code == 1
    assert "may have arrived" in refused.err
    assert run("outbox", "retry", ids["unknown"], "--even-if-it-may-have-arrived").code == 0
    waiting = json.loads(run("outbox", "list", "--state", "waiting", "--json").out)["items"]
    assert {each["id"] for each in waiting} >= {ids["failed"], ids["unknown"]}


def test_what_is_put_aside_is_gone_from_the_list_and_stands_in_the_log(run: Run, data: Path) -> None:
    assert run("migrate").code == 0
    ids = leave(data, failed=ItemState.FAILED)
    assert json.loads(run("outbox", "discard", ids["failed"], "--json").out) == {"id": ids["failed"]}
    assert run("outbox", "discard", "search:7").code == 0
    assert json.loads(run("outbox", "list", "--json").out) == {"items": [], "parked": []}
    acts = run("log", "tail", "--json", "--reveal").out
    assert "outbox.discard" in acts
    assert "parked.discard" in acts


def test_what_there_is_not_is_said_so(run: Run) -> None:
    assert run("migrate").code == 0
    for id in ("x", "0192f3c4-0000-7000-8000-000000000000", "search:8", "nobody:1"):
        assert run("outbox", "discard", id).code == 1, id
