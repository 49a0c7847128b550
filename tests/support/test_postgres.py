"""The databases that other tests get are real, empty, apart from each other, and gone afterwards."""

import os

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.postgres import Cluster, PostgresFailed


def plain(url: str) -> str:
    return url.replace("+asyncpg", "")


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_gets_an_empty_database(database_url: str, turn: int) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as tx:
        await tx.execute(text("CREATE TABLE mine (turn int)"))
        await tx.execute(text("INSERT INTO mine VALUES (:turn)"), {"turn": turn})
        assert (await tx.execute(text("SELECT turn FROM mine"))).scalars().all() == [turn]
    await engine.dispose()


async def test_the_product_connects_as_one_who_is_not_the_superuser(postgres_url: str) -> None:
    connection = await asyncpg.connect(plain(postgres_url))
    assert await connection.fetchval("SHOW is_superuser") == "off"
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()


async def test_a_database_is_made_from_a_prepared_one(postgres_cluster: Cluster) -> None:
    prepared = postgres_cluster.create_database()
    postgres_cluster.execute("CREATE TABLE form (id int)", database=prepared)
    copy = postgres_cluster.create_database(template=prepared)
    assert postgres_cluster.execute("SELECT count(*) FROM form", database=copy) == "0"
    postgres_cluster.discard_database(copy)
    postgres_cluster.discard_database(prepared)


def test_what_the_server_refuses_is_told(postgres_cluster: Cluster) -> None:
    with pytest.raises(PostgresFailed, match="no_such_table"):
        postgres_cluster.execute("SELECT * FROM no_such_table")


def test_a_killed_cluster_comes_back_with_what_was_committed() -> None:
    with Cluster() as cluster:
        cluster.execute("CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        port = cluster.port
        cluster.kill()
        cluster.start()
        assert cluster.execute("SELECT n FROM kept") == "7"
        assert cluster.port == port


def test_a_closed_cluster_leaves_no_process_and_no_files() -> None:
    with Cluster() as cluster:
        pid = cluster.pid
        folder = cluster._folder
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
