"""Transactions are whole, reads see what is committed, and the two never wait for each other for long."""

import asyncio
import os
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from core import database as module
from core.database import Database
from core.tables import Setting
from tests.support.entries import running


async def _values(db: Database) -> list[str]:
    async with db.read() as session:
        return list(await session.scalars(select(col(Setting.value)).order_by(col(Setting.key))))


async def _put(db: Database, key: str, value: str, *, is_durable: bool = True) -> None:
    async with db.begin(is_durable=is_durable) as tx:
        tx.session.add(Setting(key=key, value=value))


@pytest.mark.parametrize("is_durable", [True, False])
async def test_what_is_committed_is_read(db: Database, is_durable: bool) -> None:
    await _put(db, "a", "1", is_durable=is_durable)
    assert await _values(db) == ["1"]


async def test_a_failed_transaction_leaves_nothing_and_tells_nobody(db: Database) -> None:
    told: list[str] = []

    async def fail() -> None:
        async with db.begin() as tx:
            tx.session.add(Setting(key="a", value="1"))
            tx.after_commit(lambda: told.append("a"))
            await tx.session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await _values(db) == []
    assert told == []


async def test_those_who_wait_for_the_commit_are_told_after_it(db: Database) -> None:
    told: list[str] = []
    async with db.begin() as tx:
        tx.after_commit(lambda: told.append("first"))
        tx.after_commit(lambda: told.append("second"))
        assert told == []
    assert told == ["first", "second"]


async def test_writers_take_turns(db: Database) -> None:
    await asyncio.gather(*(_put(db, f"{n:02}", str(n)) for n in range(20)))
    assert await _values(db) == [str(n) for n in range(20)]


async def test_a_reader_does_not_wait_for_a_writer(db: Database) -> None:
    async with db.begin() as tx:
        tx.session.add(Setting(key="a", value="1"))
        await tx.session.flush()
        async with asyncio.timeout(1):
            assert await _values(db) == []


async def test_readers_on_sqlite_cannot_write(lite: Database) -> None:
    async with lite.read() as session:
        with pytest.raises(DBAPIError, match="readonly"):
            await session.execute(text("INSERT INTO setting (key, value) VALUES ('a', '1')"))


async def test_durable_commits_wait_for_the_disk_and_others_do_not(lite: Database) -> None:
    async with lite.begin() as tx:
        durable = await tx.session.scalar(text("PRAGMA synchronous"))
    async with lite.begin(is_durable=False) as tx:
        rebuildable = await tx.session.scalar(text("PRAGMA synchronous"))
    async with lite.begin() as tx:
        again = await tx.session.scalar(text("PRAGMA synchronous"))
    assert (durable, rebuildable, again) == (2, 1, 2)


async def test_a_reachable_database_says_so(db: Database) -> None:
    assert await db.is_reachable()


async def test_an_absent_database_is_not_reachable() -> None:
    db = Database("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    assert not await db.is_reachable()
    await db.close()


async def test_the_folder_of_a_new_database_is_made(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path}/deep/er/x.db")
    assert await db.is_reachable()
    await db.close()


async def test_housekeeping_moves_the_wal_into_the_file(
    lite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHECKPOINT_EVERY", 0)
    monkeypatch.setattr(module, "_CHECKPOINT_PAGES", 1)
    before = _size(lite.path)
    await _put(lite, "a", "x" * 1_000_000)
    async with running(lite.keep()), asyncio.timeout(30):
        await _grown(lite.path, before)
    assert await _values(lite) == ["x" * 1_000_000]


async def _grown(path: str, size: int) -> None:
    while _size(path) <= size:  # noqa: ASYNC110  # the file tells nobody that it has grown
        await asyncio.sleep(0)


def _size(path: str) -> int:
    return os.path.getsize(path)


async def test_postgresql_keeps_house_itself(postgres_url: str) -> None:
    db = Database(postgres_url)
    await db.keep()
    await db.close()
