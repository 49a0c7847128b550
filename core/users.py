"""Users: who works with the hub, what they may be asked to do, and how they prove who they are."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.clock import Clock, now
from core.database import Tx
from core.errors import BadInput, Conflict, NotFound
from core.tables import SignIn
from core.tables import User as UserRow

ADMINISTRATOR = "admin"
"""The one role that the base knows: it exists before any blueprint does."""

_LOGIN = re.compile(r"[^\W_][\w.@+-]{0,63}")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: UUID
    login: str
    name: str
    roles: tuple[str, ...] = ()
    unit: str = ""
    queues: tuple[str, ...] = ()
    territories: tuple[str, ...] = ()
    locale: str = ""
    has_totp: bool = False
    disabled_at: datetime | None = None
    created_at: datetime | None = None
    seen_at: datetime | None = field(default=None, compare=False)
    has_given_password: bool = (
        False  # somebody else knows it: its owner has to choose one before anything else
    )

    @property
    def is_disabled(self) -> bool:
        return self.disabled_at is not None


def folded_login(login: str) -> str:
    """The one spelling of a login name: people type it in any case and width."""
    return unicodedata.normalize("NFKC", login).strip().casefold()


def user_of(row: UserRow) -> User:
    return User(
        id=row.id,
        login=row.login,
        name=row.name,
        roles=tuple(row.roles),
        unit=row.unit,
        queues=tuple(row.queues),
        territories=tuple(row.territories),
        locale=row.locale,
        has_totp=bool(row.totp_secret),
        disabled_at=row.disabled_at,
        created_at=row.created_at,
        seen_at=row.seen_at,
        has_given_password=row.password_given_at is not None,
    )


async def by_id(session: AsyncSession, id: UUID) -> User:
    return user_of(await _row(session, id))


async def by_login(session: AsyncSession, login: str) -> User | None:
    row = await session.scalar(select(UserRow).where(col(UserRow.login) == folded_login(login)))
    return user_of(row) if row else None


async def all_users(session: AsyncSession, *, with_disabled: bool = False) -> list[User]:
    query = select(UserRow).order_by(col(UserRow.login))
    if not with_disabled:
        query = query.where(col(UserRow.disabled_at).is_(None))
    return [user_of(row) for row in await session.scalars(query)]


class Users:
    """Changes users. `changed` is told after each commit, so that open sign-ins follow (SignIns.forget)."""

    def __init__(self, changed: Callable[[UUID], None] = lambda user: None, clock: Clock = now) -> None:
        self._changed = changed
        self._clock = clock

    async def create(
        self,
        tx: Tx,
        *,
        login: str,
        name: str,
        password_hash: str = "",
        is_password_given: bool = False,
        roles: Sequence[str] = (),
        unit: str = "",
        queues: Sequence[str] = (),
        territories: Sequence[str] = (),
        locale: str = "",
    ) -> User:
        """Without a password hash the user exists and cannot sign in. Raises Conflict when the login is taken.

        A password that was given by somebody else opens nothing but the page on which its owner chooses another.
        """
        login = folded_login(login)
        if not _LOGIN.fullmatch(login):
            raise BadInput(
                "A login has 1 to 64 letters, digits or . _ @ + - and begins with a letter or digit.",
                field="login",
            )
        row = UserRow(
            login=login,
            name=_checked_name(name),
            password_hash=password_hash,
            password_given_at=self._clock() if is_password_given else None,
            roles=list(roles),
            unit=unit,
            queues=list(queues),
            territories=list(territories),
            locale=locale,
            created_at=self._clock(),
        )
        try:
            async with tx.session.begin_nested():
                tx.session.add(row)
        except IntegrityError as error:
            raise Conflict("This login is taken; choose another.", field="login") from error
        return user_of(row)

    async def first_administrator(self, tx: Tx, *, login: str, name: str, password_hash: str) -> User:
        """The user with whom a new hub begins. Raises Conflict when there is an administrator already."""
        if await _administrators(tx.session):
            raise Conflict("There is an administrator already; let them create further users.")
        return await self.create(
            tx, login=login, name=name, password_hash=password_hash, roles=[ADMINISTRATOR]
        )

    async def change(
        self,
        tx: Tx,
        id: UUID,
        *,
        name: str | None = None,
        roles: Sequence[str] | None = None,
        unit: str | None = None,
        queues: Sequence[str] | None = None,
        territories: Sequence[str] | None = None,
        locale: str | None = None,
    ) -> User:
        """Change what is given, leave the rest. The last administrator keeps the role (Conflict)."""
        if roles is not None:
            await _hold(tx)
        row = await _row(tx.session, id)
        was_administrator = ADMINISTRATOR in row.roles
        if name is not None:
            row.name = _checked_name(name)
        if roles is not None:
            row.roles = list(roles)
        if unit is not None:
            row.unit = unit
        if queues is not None:
            row.queues = list(queues)
        if territories is not None:
            row.territories = list(territories)
        if locale is not None:
            row.locale = locale
        await self._save(tx, id)
        if was_administrator:
            await _require_administrator(tx.session)
        return user_of(row)

    async def disable(self, tx: Tx, id: UUID) -> User:
        """Nobody is deleted, since the log names them; a disabled user is signed out everywhere."""
        await _hold(tx)
        row = await _row(tx.session, id)
        row.disabled_at = row.disabled_at or self._clock()
        await self._save(tx, id)
        if ADMINISTRATOR in row.roles:
            await _require_administrator(tx.session)
        await self._end_sign_ins(tx, id)
        return user_of(row)

    async def enable(self, tx: Tx, id: UUID) -> User:
        row = await _row(tx.session, id)
        row.disabled_at = None
        await self._save(tx, id)
        return user_of(row)

    async def set_password(
        self, tx: Tx, id: UUID, password_hash: str, *, is_password_given: bool = False
    ) -> None:
        """Signs the user out everywhere: who knew the old password is out with it."""
        row = await _row(tx.session, id)
        row.password_hash = password_hash
        row.password_given_at = self._clock() if is_password_given else None
        await self._save(tx, id)
        await self._end_sign_ins(tx, id)

    async def propose_totp(self, tx: Tx, id: UUID, secret: str) -> None:
        """Keep a secret until its first code confirms that the user's app has it."""
        row = await _row(tx.session, id)
        row.totp_pending = secret
        await self._save(tx, id)

    async def confirm_totp(self, tx: Tx, id: UUID, step: int) -> None:
        row = await _row(tx.session, id)
        if not row.totp_pending:
            raise Conflict("There is no second factor to confirm; begin again.")
        row.totp_secret, row.totp_pending, row.totp_last_step = row.totp_pending, "", step
        await self._save(tx, id)

    async def remove_totp(self, tx: Tx, id: UUID) -> None:
        row = await _row(tx.session, id)
        row.totp_secret, row.totp_pending = "", ""
        await self._save(tx, id)

    async def _save(self, tx: Tx, id: UUID) -> None:
        await tx.session.flush()
        tx.after_commit(lambda: self._changed(id))

    async def _end_sign_ins(self, tx: Tx, id: UUID) -> None:
        await tx.session.execute(delete(SignIn).where(col(SignIn.user_id) == id))


async def use_totp_step(tx: Tx, id: UUID, step: int) -> bool:
    """Take the step if it is later than the last one used. Of two that bring the same code, one is told False."""
    taken = await tx.session.execute(
        update(UserRow)
        .where(col(UserRow.id) == id, col(UserRow.totp_last_step) < step)
        .values(totp_last_step=step)
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result counts its rows


async def _row(session: AsyncSession, id: UUID) -> UserRow:
    row = await session.get(UserRow, id)
    if row is None:
        raise NotFound("There is no such user.", user=str(id))
    return row


async def _hold(tx: Tx) -> None:
    """Let nobody else change users until this transaction ends: of two last administrators one stays."""
    await tx.session.execute(select(col(UserRow.id)).order_by(col(UserRow.id)).with_for_update())


async def _administrators(session: AsyncSession) -> int:
    # A hub has tens to hundreds of users, and JSON is searched differently by each engine.
    users = await all_users(session)
    return sum(ADMINISTRATOR in user.roles for user in users)


async def _require_administrator(session: AsyncSession) -> None:
    if not await _administrators(session):
        raise Conflict("This is the last administrator; make somebody else one first.")


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise BadInput(f"A name has 1 to {_LONGEST_NAME} visible characters.", field="name")
    return name
