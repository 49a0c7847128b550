"""A hub that goes on with PostgreSQL: every row arrives, both logs are the same, and no mistake destroys anything."""

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlmodel import SQLModel

from core.intake import NOBODY
from core.settings import Settings
from tests.workers.cli.conftest import Run
from workers.assemble import assemble
from workers.control import only_writer


@pytest.fixture
def story(data: Path, loaded: Path, run: Run) -> Run:
    shutil.copytree(loaded, data)
    return run


def fetched(url: str, query: str) -> list[Any]:
    async def fetch() -> list[Any]:
        db = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            return list(await db.fetch(query))
        finally:
            await db.close()

    return asyncio.run(fetch())


def executed(url: str, statement: str) -> None:
    fetched(url, f"WITH done AS ({statement} RETURNING 1) SELECT * FROM done")


def counted(data: Path) -> dict[str, int]:
    with sqlite3.connect(data / "switchboard.db") as db:
        found = {
            name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in SQLModel.metadata.tables
        }
    db.close()
    return found


def test_every_row_arrives_and_both_logs_are_the_same(story: Run, data: Path, postgres_url: str) -> None:
    ran = story("move", "--to", postgres_url)
    assert ran.code == 0, ran.out + ran.err
    assert "Both logs verify and are the same." in ran.out
    there = counted(data)
    arrived = {name: fetched(postgres_url, f'SELECT count(*) FROM "{name}"')[0][0] for name in there}
    assert arrived == there | {"setting": there["setting"] + 1}  # the mark of the move
    assert there["log"] > 300


def test_no_row_of_the_log_lies_in_the_default_partition(story: Run, postgres_url: str) -> None:
    assert story("move", "--to", postgres_url).code == 0
    assert fetched(postgres_url, "SELECT count(*) FROM log_default")[0][0] == 0


def test_a_moved_hub_reads_and_goes_on_counting(story: Run, data: Path, postgres_url: str) -> None:
    assert story("move", "--to", postgres_url).code == 0
    [[head]] = fetched(postgres_url, "SELECT seq FROM log_head")

    async def act() -> tuple[int, int]:
        async with assemble(Settings(data=data, database=postgres_url, is_demo=True)) as hub:
            work = asyncio.create_task(hub.writer.run())
            accepted = await hub.intake.act("note", by="", about=NOBODY, key="after the move", detail={})
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            return accepted.seq, hub.book.version

    seq, version = asyncio.run(act())
    assert (seq, version) == (head + 1, 1)


def test_a_target_that_holds_a_hub_is_refused(story: Run, postgres_url: str) -> None:
    assert story("move", "--to", postgres_url).code == 0
    ran = story("move", "--to", postgres_url)
    assert ran.code == 1
    assert "not empty" in ran.err
    assert "--again" in ran.err


def test_a_move_can_be_done_again_while_nobody_worked_on_the_target(
    story: Run, data: Path, postgres_url: str
) -> None:
    assert story("move", "--to", postgres_url).code == 0
    with sqlite3.connect(data / "switchboard.db") as db:
        db.execute("UPDATE party SET name = '新名字'")
    db.close()
    assert story("move", "--to", postgres_url, "--again").code == 0
    assert {row[0] for row in fetched(postgres_url, "SELECT DISTINCT name FROM party")} == {"新名字"}


def test_a_target_that_worked_since_is_not_emptied(story: Run, postgres_url: str) -> None:
    assert story("move", "--to", postgres_url).code == 0
    executed(postgres_url, "UPDATE log_head SET seq = seq + 1")
    ran = story("move", "--to", postgres_url, "--again")
    assert ran.code == 1
    assert "has worked on the target since" in ran.err


def test_a_hub_that_never_was_moved_there_is_not_emptied(story: Run, postgres_url: str) -> None:
    assert story("move", "--to", postgres_url).code == 0
    executed(postgres_url, "DELETE FROM setting WHERE key = 'moved'")
    ran = story("move", "--to", postgres_url, "--again")
    assert ran.code == 1
    assert "did not come by a move" in ran.err


def test_a_row_that_does_not_fit_is_told_and_leaves_an_empty_target(
    story: Run, data: Path, postgres_url: str
) -> None:
    with sqlite3.connect(data / "switchboard.db") as db:
        db.execute("UPDATE user_account SET name = 'a' || char(0) || 'b'")
    db.close()
    ran = story("move", "--to", postgres_url)
    assert ran.code == 1
    assert "A row of user_account does not fit" in ran.err
    assert fetched(postgres_url, "SELECT count(*) FROM log")[0][0] == 0


def test_a_running_hub_is_not_moved(story: Run, data: Path, postgres_url: str) -> None:
    with only_writer(data):
        ran = story("move", "--to", postgres_url)
    assert ran.code == 1
    assert "stop it first" in ran.err


@pytest.mark.parametrize("to", ["postgresql://somewhere/x", "mysql://x"])
def test_a_target_that_is_no_postgresql_of_ours_is_refused(story: Run, to: str) -> None:
    ran = story("move", "--to", to)
    assert ran.code == 1
    assert "postgresql+asyncpg://" in ran.err
