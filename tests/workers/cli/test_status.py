"""`switchboard status` says who runs, what is behind and which alarms stand, and tells a script by its exit code."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from core.clock import now
from core.database import Database
from core.settings import Settings
from core.tables import AlarmRow, LeaseRow, ProcessRow
from tests.workers.cli.conftest import Run


@pytest.fixture
def migrated(run: Run) -> Run:
    assert run("migrate").code == 0
    return run


def _put(data: Path, *rows: SQLModel) -> None:
    async def put() -> None:
        db = Database(Settings(data=data).database_url)
        async with db.begin() as tx:
            tx.session.add_all(rows)
        await db.close()

    asyncio.run(put())


def _process(name: str, seconds: float) -> ProcessRow:
    at = now()
    return ProcessRow(
        name=name,
        role="web",
        host="a",
        pid=7,
        started_at=at - timedelta(hours=3),
        seen_at=at - timedelta(seconds=seconds),
        detail={"version": "0.1.0", "lag": {"crm": 4}, "spool": {"entries": 12}},
    )


def _alarm() -> AlarmRow:
    return AlarmRow(
        name="consumer_behind:crm",
        since=now(),
        detail={"severity": "urgent", "figures": {"entries": 90_000, "seconds": 75}},
    )


def test_all_is_well(migrated: Run, data: Path) -> None:
    lease = LeaseRow(name="sealer", holder="digest-1:7:ab", epoch=3, until=now() + timedelta(seconds=60))
    _put(data, _process("web-1", 1), lease)
    said = migrated("status")
    assert said.code == 0
    for word in ("web-1", "a:7", "3 h", "12", "sealer", "digest-1:7:ab", "crm", "reply", "No alarm stands."):
        assert word in said.out


def test_an_alarm_is_found(migrated: Run, data: Path) -> None:
    _put(data, _process("web-1", 1), _alarm())
    said = migrated("status")
    assert said.code == 3
    assert "consumer_behind:crm" in said.out
    assert "entries 90000, seconds 75" in said.out


def test_programs_read_the_same(migrated: Run, data: Path) -> None:
    _put(data, _process("web-1", 1), _alarm(), LeaseRow(name="sealer", holder="d", epoch=3, until=now()))
    said = migrated("status", "--json")
    plain = json.loads(said.out)
    assert said.code == 3
    assert (plain["database"], plain["running"], plain["head"]) == ("ok", True, 0)
    assert plain["processes"][0]["detail"]["lag"] == {"crm": 4}
    assert plain["leases"] == [{"name": "sealer", "holder": "d", "held": False}]
    assert plain["consumers"]["crm"] == {"number": 0, "seconds": 0}
    assert plain["outbox"]["waiting"] == {"reply": 0, "job": 0, "broadcast": 0}
    assert plain["alarms"][0]["name"] == "consumer_behind:crm"
    assert plain["alarms"][0]["severity"] == "urgent"


def test_that_nobody_runs_is_found(migrated: Run, data: Path) -> None:
    _put(data, _process("web-1", 21))
    said = migrated("status")
    assert said.code == 3
    assert "No process of this hub has been heard of" in said.out


def test_a_process_that_does_not_come_back_is_forgotten(migrated: Run, data: Path) -> None:
    _put(data, _process("web-1", 1), _process("web-9", 900))
    assert migrated("status", "--forget", "web-9").code == 0
    assert "web-9" not in migrated("status").out
    unknown = migrated("status", "--forget", "web-9")
    assert (unknown.code, "No process is called web-9" in unknown.err) == (1, True)


def test_a_database_that_is_away_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHBOARD_DATABASE", "postgresql+asyncpg://nobody@127.0.0.1:9/nowhere")
    assert run("status").code == 3
    said = run("status", "--json")
    assert (said.code, json.loads(said.out)["database"]) == (3, "away")
