"""Published blueprints: versions only grow, and records keep what they name."""

from datetime import UTC, datetime

import pytest

from core.database import Database
from core.errors import Conflict, NotFound
from crm.blueprint import publishing
from crm.blueprint.model import Blueprint
from crm.blueprint.publishing import Book
from tests.support.hub import BEVERAGE, TOBACCO, blueprint_of
from tests.support.schema import create_schema

AT = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)


async def publish(db: Database, blueprint: Blueprint) -> int:
    async with db.begin() as tx:
        return await publishing.publish(tx, blueprint, author="a", approved_by="b", note="", at=AT)


def without_a_code(blueprint: Blueprint) -> Blueprint:
    table = blueprint.code_tables[0]
    shorter = table.model_copy(update={"values": table.values[1:]})
    return blueprint.model_copy(update={"code_tables": (shorter, *blueprint.code_tables[1:])})


def with_another_signature(blueprint: Blueprint) -> Blueprint:
    messages = blueprint.messages.model_copy(update={"signature": "\u3010\u670d\u52a1\u3011"})
    return Blueprint.model_validate(
        {**{name: getattr(blueprint, name) for name in Blueprint.model_fields}, "messages": messages}
    )


@pytest.fixture
async def db(database_url: str) -> Database:
    db = Database(database_url)
    await create_schema(db)
    return db


async def test_what_is_in_force_is_not_published_twice(db: Database) -> None:
    assert await publish(db, blueprint_of(TOBACCO)) == 1
    with pytest.raises(Conflict, match="already in force"):
        await publish(db, blueprint_of(TOBACCO))
    await db.close()


async def test_another_package_does_not_replace_the_one_in_force(db: Database) -> None:
    await publish(db, blueprint_of(TOBACCO))
    with pytest.raises(Conflict, match="another package"):
        await publish(db, blueprint_of(BEVERAGE))
    await db.close()


async def test_a_code_that_records_name_is_not_taken_away(db: Database) -> None:
    blueprint = blueprint_of(TOBACCO)
    await publish(db, blueprint)
    shorter = without_a_code(blueprint)
    with pytest.raises(Conflict, match="Records that stay"):
        await publish(
            db, Blueprint.model_validate({name: getattr(shorter, name) for name in Blueprint.model_fields})
        )
    await db.close()


async def test_a_roll_back_is_a_new_version_equal_to_the_old(db: Database) -> None:
    blueprint = blueprint_of(TOBACCO)
    await publish(db, blueprint)
    assert await publish(db, with_another_signature(blueprint)) == 2
    async with db.begin() as tx:
        assert await publishing.roll_back(tx, 1, author="a", approved_by="b", at=AT) == 3
    book = Book()
    await book.load(db)
    assert book.version == 3
    assert book.current.blueprint.hash == blueprint.hash
    assert book.at(2).blueprint.messages.signature != blueprint.messages.signature
    await db.close()


async def test_there_is_no_way_back_to_what_never_was(db: Database) -> None:
    with pytest.raises(NotFound):
        async with db.begin() as tx:
            await publishing.roll_back(tx, 7, author="a", approved_by="b", at=AT)
    await db.close()


async def test_without_a_blueprint_the_book_says_what_to_do(db: Database) -> None:
    book = Book()
    await book.load(db)
    assert not book.has_any
    with pytest.raises(NotFound, match="blueprint publish"):
        _ = book.current
    await db.close()
