"""Users are created once, changed with care and never left without an administrator."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from core import users
from core.database import Database
from core.errors import BadInput, Conflict, NotFound
from core.users import ADMINISTRATOR, User, Users

_AT = datetime(2026, 11, 18, tzinfo=UTC)


@pytest.fixture
def told() -> list[UUID]:
    return []


@pytest.fixture
def staff(told: list[UUID]) -> Users:
    return Users(told.append, lambda: _AT)


async def _admin(db: Database, staff: Users) -> User:
    async with db.begin() as tx:
        return await staff.first_administrator(tx, login="Root", name="Root", password_hash="x")


async def test_a_user_is_found_by_any_spelling_of_the_login(db: Database, staff: Users) -> None:
    async with db.begin() as tx:
        made = await staff.create(tx, login=" Ｌi.Wei ", name="李 伟", roles=["agent"], queues=["retail"])
    async with db.read() as session:
        found = await users.by_login(session, "LI.WEI")
        assert found == made == await users.by_id(session, made.id)
        assert await users.by_login(session, "nobody") is None
    assert (made.login, made.roles, made.queues, made.is_disabled) == (
        "li.wei",
        ("agent",),
        ("retail",),
        False,
    )


async def test_a_login_is_taken_once(db: Database, staff: Users) -> None:
    async with db.begin() as tx:
        await staff.create(tx, login="li.wei", name="李伟")
        with pytest.raises(Conflict, match="taken"):
            await staff.create(tx, login="LI.WEI", name="李薇")
        await staff.create(tx, login="li.wei2", name="李薇")
    async with db.read() as session:
        assert [user.login for user in await users.all_users(session)] == ["li.wei", "li.wei2"]


@pytest.mark.parametrize("login", ["", " ", "-x", "a b", "x" * 65, "a/b"])
async def test_a_login_is_typeable(lite: Database, staff: Users, login: str) -> None:
    async with lite.begin() as tx:
        with pytest.raises(BadInput, match="login"):
            await staff.create(tx, login=login, name="Somebody")


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\u202eb"])
async def test_a_name_is_visible(lite: Database, staff: Users, name: str) -> None:
    async with lite.begin() as tx:
        with pytest.raises(BadInput, match="name"):
            await staff.create(tx, login="somebody", name=name)


async def test_a_change_touches_only_what_is_given(db: Database, staff: Users, told: list[UUID]) -> None:
    async with db.begin() as tx:
        made = await staff.create(tx, login="li", name="Li", roles=["agent"], unit="u1", locale="en")
    async with db.begin() as tx:
        changed = await staff.change(
            tx, made.id, name="Li Wei", queues=["retail"], territories=["429000"], unit="u2", locale="zh-Hans"
        )
        assert told == []
    assert told == [made.id]
    assert changed.roles == ("agent",)
    async with db.read() as session:
        assert await users.by_id(session, made.id) == changed


async def test_a_disabled_user_is_listed_only_when_asked_for(db: Database, staff: Users) -> None:
    async with db.begin() as tx:
        made = await staff.create(tx, login="li", name="Li")
        assert (await staff.disable(tx, made.id)).disabled_at == _AT
    async with db.read() as session:
        assert await users.all_users(session) == []
        assert [user.login for user in await users.all_users(session, with_disabled=True)] == ["li"]
    async with db.begin() as tx:
        assert not (await staff.enable(tx, made.id)).is_disabled


async def test_there_is_one_first_administrator(db: Database, staff: Users) -> None:
    admin = await _admin(db, staff)
    assert admin.roles == (users.ADMINISTRATOR,)
    with pytest.raises(Conflict, match="already"):
        await _admin(db, staff)


async def test_the_last_administrator_stays_one(db: Database, staff: Users) -> None:
    admin = await _admin(db, staff)
    with pytest.raises(Conflict, match="last administrator"):
        async with db.begin() as tx:
            await staff.disable(tx, admin.id)
    with pytest.raises(Conflict, match="last administrator"):
        async with db.begin() as tx:
            await staff.change(tx, admin.id, roles=["agent"])
    async with db.read() as session:
        assert await users.by_id(session, admin.id) == admin


async def test_an_administrator_may_go_when_another_stays(db: Database, staff: Users) -> None:
    admin = await _admin(db, staff)
    async with db.begin() as tx:
        await staff.create(tx, login="second", name="Second", roles=[users.ADMINISTRATOR])
        await staff.disable(tx, admin.id)
        await staff.disable(tx, admin.id)


async def test_who_is_not_there_cannot_be_changed(lite: Database, staff: Users) -> None:
    async with lite.begin() as tx:
        with pytest.raises(NotFound):
            await staff.change(tx, uuid4(), name="X")


async def test_a_second_factor_is_confirmed_before_it_counts(db: Database, staff: Users) -> None:
    async with db.begin() as tx:
        made = await staff.create(tx, login="li", name="Li")
        with pytest.raises(Conflict, match="begin again"):
            await staff.confirm_totp(tx, made.id, 5)
        await staff.propose_totp(tx, made.id, "SECRET")
        assert not (await users.by_id(tx.session, made.id)).has_totp
        await staff.confirm_totp(tx, made.id, 5)
    async with db.begin() as tx:
        assert (await users.by_id(tx.session, made.id)).has_totp
        assert not await users.use_totp_step(tx, made.id, 5)
        assert await users.use_totp_step(tx, made.id, 6)
        await staff.remove_totp(tx, made.id)
        await tx.session.flush()
    async with db.read() as session:
        assert not (await users.by_id(session, made.id)).has_totp


async def test_two_administrators_who_disable_each_other_at_once_leave_one(
    db: Database, staff: Users
) -> None:
    async def disable(id: UUID) -> None:
        async with db.begin() as tx:
            await staff.disable(tx, id)

    first = await _admin(db, staff)
    async with db.begin() as tx:
        second = await staff.create(tx, login="second", name="Second", roles=[ADMINISTRATOR])
    told = await asyncio.gather(disable(first.id), disable(second.id), return_exceptions=True)
    assert [type(each) for each in told if each is not None] == [Conflict]
    async with db.read() as session:
        assert len(await users.all_users(session)) == 1
