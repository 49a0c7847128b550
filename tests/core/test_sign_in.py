"""Signing in, being known, and every way in which that ends."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from sqlalchemy import select

from core.database import Database
from core.errors import BadCredentials, BadInput, Conflict, TooManyRequests, TotpRequired
from core.passwords import Hasher, invented
from core.sign_in import SignIns, is_csrf_valid
from core.tables import SignIn
from core.users import User, by_id

_PASSWORD = "correct horse battery"
_REMOTE = "203.0.113.5"


class SetClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 18, 4, 0, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, **time: float) -> None:
        self.at += timedelta(**time)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(scope="module")
def hasher() -> Iterator[Hasher]:
    cheap = Hasher(memory_kib=64, passes=1)
    yield cheap
    cheap.close()


@pytest.fixture
def desk(db: Database, hasher: Hasher, clock: SetClock) -> SignIns:
    return SignIns(db, hasher, idle=timedelta(hours=8), longest=timedelta(days=7), clock=clock)


@pytest.fixture
async def li(db: Database, desk: SignIns, hasher: Hasher) -> User:
    stored = await hasher.hash(_PASSWORD)
    async with db.begin() as tx:
        return await desk.users.create(tx, login="li.wei", name="李伟", password_hash=stored, roles=["agent"])


async def _with_totp(desk: SignIns, db: Database, user: User, clock: SetClock) -> tuple[pyotp.TOTP, User]:
    app = pyotp.TOTP(await desk.propose_totp(user))
    await desk.confirm_totp(user, app.at(clock()))
    clock.pass_(seconds=60)
    async with db.read() as session:
        return app, await by_id(session, user.id)


async def test_who_signed_in_is_known_by_the_token(db: Database, desk: SignIns, li: User) -> None:
    signed_in = await desk.sign_in(" LI.Wei", _PASSWORD, remote=_REMOTE)
    assert signed_in.user == li
    assert await desk.who(signed_in.token) == (li, signed_in.csrf)
    assert is_csrf_valid(signed_in.csrf, signed_in.csrf)
    assert not is_csrf_valid(signed_in.csrf, "")
    async with db.read() as session:
        row = (await session.scalars(select(SignIn))).one()
    assert row.token_digest == hashlib.sha256(signed_in.token.encode()).digest()
    assert len(signed_in.token) >= 43
    assert signed_in.token not in repr(signed_in)


@pytest.mark.parametrize(
    ("login", "password"),
    [("li.wei", "wrong"), ("nobody", _PASSWORD), ("", ""), ("li.wei", ""), ("x" * 100_000, "x" * 100_000)],
)
async def test_wrong_words_are_answered_alike(desk: SignIns, li: User, login: str, password: str) -> None:
    with pytest.raises(BadCredentials, match=r"^Login or password is wrong\.$"):
        await desk.sign_in(login, password, remote=_REMOTE)


async def test_who_has_no_password_or_is_disabled_stays_out(db: Database, desk: SignIns, li: User) -> None:
    async with db.begin() as tx:
        await desk.users.create(tx, login="bare", name="Bare")
        await desk.users.disable(tx, li.id)
    for login in ("bare", "li.wei"):
        with pytest.raises(BadCredentials):
            await desk.sign_in(login, _PASSWORD, remote=_REMOTE)


async def test_too_many_tries_for_one_login_wait(desk: SignIns, li: User, clock: SetClock) -> None:
    for remote in range(8):
        with pytest.raises(BadCredentials):
            await desk.sign_in("li.wei", "wrong", remote=f"203.0.113.{remote}")
    with pytest.raises(TooManyRequests) as refused:
        await desk.sign_in("li.wei", _PASSWORD, remote="203.0.113.99")
    clock.at += refused.value.retry_after
    await desk.sign_in("li.wei", _PASSWORD, remote="203.0.113.99")


async def test_too_many_tries_from_one_place_wait(desk: SignIns, li: User) -> None:
    for number in range(60):
        with pytest.raises(BadCredentials):
            await desk.sign_in(f"guess{number}", "wrong", remote=_REMOTE)
    with pytest.raises(TooManyRequests):
        await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)
    await desk.sign_in("li.wei", _PASSWORD, remote="203.0.113.6")


async def test_a_good_sign_in_clears_the_count(desk: SignIns, li: User) -> None:
    for _ in range(3):
        for _ in range(7):
            with pytest.raises(BadCredentials):
                await desk.sign_in("li.wei", "wrong", remote=_REMOTE)
        await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)


async def test_a_sign_in_ends_when_it_is_not_used(desk: SignIns, li: User, clock: SetClock) -> None:
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    for _ in range(3):
        clock.pass_(hours=7)
        assert await desk.who(token)
    clock.pass_(hours=8)
    assert await desk.who(token) is None


async def test_a_sign_in_ends_after_its_longest_time(desk: SignIns, li: User, clock: SetClock) -> None:
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    for _ in range(27):
        clock.pass_(hours=6)
        assert await desk.who(token)
    clock.pass_(hours=6)
    assert await desk.who(token) is None


async def test_a_cached_sign_in_ends_on_time_too(desk: SignIns, li: User, clock: SetClock) -> None:
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    clock.pass_(hours=8, seconds=-2)
    assert await desk.who(token)
    clock.pass_(days=7, seconds=-8 * 3600 - 1)
    assert await desk.who(token) is None


@pytest.mark.parametrize("token", ["", "unknown", "x" * 5_000, "\ud800"])
async def test_another_token_is_nobodys(desk: SignIns, li: User, token: str) -> None:
    assert await desk.who(token) is None


async def test_signing_out_ends_it_at_once(desk: SignIns, li: User) -> None:
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    assert await desk.who(token)
    await desk.sign_out(token)
    assert await desk.who(token) is None
    await desk.sign_out(token)


async def test_signing_in_again_gives_a_new_token_and_ends_the_old(desk: SignIns, li: User) -> None:
    first = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    await desk.who(first)
    second = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE, replaces=first)).token
    assert second != first
    assert await desk.who(first) is None
    assert await desk.who(second)


async def test_a_disabled_user_is_out_at_once(db: Database, desk: SignIns, li: User) -> None:
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    await desk.who(token)
    async with db.begin() as tx:
        await desk.users.disable(tx, li.id)
    assert await desk.who(token) is None


async def test_another_process_notices_soon(
    db: Database, desk: SignIns, li: User, hasher: Hasher, clock: SetClock
) -> None:
    other = SignIns(db, hasher, clock=clock)
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    assert await other.who(token)
    await desk.sign_out(token)
    clock.pass_(seconds=6)
    assert await other.who(token) is None


async def test_changed_roles_are_seen_at_the_next_request(db: Database, desk: SignIns, li: User) -> None:
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    await desk.who(token)
    async with db.begin() as tx:
        changed = await desk.users.change(tx, li.id, roles=["quality"])
    known = await desk.who(token)
    assert known is not None
    assert known[0] == changed


async def test_a_new_password_ends_every_other_sign_in(desk: SignIns, li: User) -> None:
    stolen = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    assert await desk.who(stolen)
    fresh = await desk.change_password(li, _PASSWORD, "another horse entirely")
    assert await desk.who(stolen) is None
    assert await desk.who(fresh.token)
    with pytest.raises(BadCredentials):
        await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)
    await desk.sign_in("li.wei", "another horse entirely", remote=_REMOTE)


async def test_a_password_is_changed_by_who_knows_it(desk: SignIns, li: User) -> None:
    with pytest.raises(BadCredentials, match="present password"):
        await desk.change_password(li, "wrong", "another horse entirely")
    with pytest.raises(BadInput, match="short"):
        await desk.change_password(li, _PASSWORD, "short")


async def test_a_given_password_is_marked_until_its_owner_chooses_another(
    db: Database, desk: SignIns, li: User
) -> None:
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    given = invented("li.wei")
    hashed = await desk.hash_new(given, "li.wei")
    async with db.begin() as tx:
        await desk.users.set_password(tx, li.id, hashed, is_password_given=True)
    assert await desk.who(token) is None
    entered = await desk.sign_in("li.wei", given, remote=_REMOTE)
    assert entered.user.has_given_password
    with pytest.raises(BadInput, match="nobody else knows"):
        await desk.change_password(entered.user, given, given)
    chosen = await desk.change_password(entered.user, given, "another horse entirely")
    assert not chosen.user.has_given_password
    again = await desk.sign_in("li.wei", "another horse entirely", remote=_REMOTE)
    assert not again.user.has_given_password


async def test_when_a_user_was_last_here_is_known_after_the_sign_in_ended(
    db: Database, desk: SignIns, li: User, clock: SetClock
) -> None:
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    clock.pass_(minutes=10)
    assert await desk.who(token)
    await desk.sign_out(token)
    async with db.read() as session:
        assert (await by_id(session, li.id)).seen_at == clock()


async def test_everywhere_means_everywhere(db: Database, desk: SignIns, li: User) -> None:
    tokens = [(await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token for _ in range(2)]
    assert [await desk.who(token) is not None for token in tokens] == [True, True]
    async with db.begin() as tx:
        await desk.sign_out_everywhere(tx, li.id)
    assert [await desk.who(token) for token in tokens] == [None, None]


async def test_a_second_factor_is_asked_for_after_the_password(
    db: Database, desk: SignIns, li: User, clock: SetClock
) -> None:
    app, _ = await _with_totp(desk, db, li, clock)
    with pytest.raises(BadCredentials):
        await desk.sign_in("li.wei", "wrong", app.at(clock()), remote=_REMOTE)
    with pytest.raises(TotpRequired):
        await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)
    with pytest.raises(BadCredentials):
        await desk.sign_in("li.wei", _PASSWORD, "000000", remote=_REMOTE)
    signed_in = await desk.sign_in("li.wei", _PASSWORD, app.at(clock()), remote=_REMOTE)
    assert signed_in.user.has_totp


async def test_a_code_opens_one_sign_in(db: Database, desk: SignIns, li: User, clock: SetClock) -> None:
    app, _ = await _with_totp(desk, db, li, clock)
    await desk.sign_in("li.wei", _PASSWORD, app.at(clock()), remote=_REMOTE)
    with pytest.raises(BadCredentials, match="used already"):
        await desk.sign_in("li.wei", _PASSWORD, app.at(clock()), remote=_REMOTE)
    clock.pass_(seconds=30)
    await desk.sign_in("li.wei", _PASSWORD, app.at(clock()), remote=_REMOTE)


async def test_a_second_factor_is_set_up_and_removed_by_codes(
    db: Database, desk: SignIns, li: User, clock: SetClock
) -> None:
    await desk.propose_totp(li)
    with pytest.raises(BadInput, match="clock"):
        await desk.confirm_totp(li, "000000")
    app, now_li = await _with_totp(desk, db, li, clock)
    with pytest.raises(Conflict, match="already"):
        await desk.propose_totp(now_li)
    with pytest.raises(BadCredentials):
        await desk.remove_totp(now_li, "000000")
    await desk.remove_totp(now_li, app.at(clock()))
    await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)


async def test_an_old_hash_is_renewed_by_a_sign_in(
    db: Database, desk: SignIns, li: User, clock: SetClock
) -> None:
    dearer = Hasher(memory_kib=128, passes=1)
    await SignIns(db, dearer, clock=clock).sign_in("li.wei", _PASSWORD, remote=_REMOTE)
    await SignIns(db, dearer, clock=clock).sign_in("li.wei", _PASSWORD, remote=_REMOTE)
    await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)
    dearer.close()


async def test_ended_sign_ins_are_swept(db: Database, desk: SignIns, li: User, clock: SetClock) -> None:
    await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)
    clock.pass_(hours=7)
    token = (await desk.sign_in("li.wei", _PASSWORD, remote=_REMOTE)).token
    clock.pass_(hours=2)
    assert await desk.sweep() == 1
    assert await desk.who(token)
