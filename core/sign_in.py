"""Signing in: a password, perhaps a one-time code, and the token by which a browser is known until it ends."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlmodel import col

from core.clock import Clock, now
from core.database import Database, Tx
from core.errors import BadCredentials, BadInput, Conflict, NotFound, TotpRequired
from core.passwords import Hasher, check_new
from core.rate_limit import SlidingWindow
from core.tables import SignIn
from core.tables import User as UserRow
from core.totp import matching_step, new_secret
from core.users import User, Users, folded_login, use_totp_step, user_of

_TRIES = timedelta(minutes=5)
_TRIES_PER_LOGIN = 8
_TRIES_PER_REMOTE = 60  # a branch office may sign in from one address on a Monday morning
_CACHED_FOR = timedelta(seconds=5)  # how long another process may not notice that a sign-in ended
_CACHE_SIZE = 5_000
_SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """`token` is the cookie's value and is stored nowhere; `csrf` goes with every request that changes something."""

    user: User
    token: str
    csrf: str

    def __repr__(self) -> str:
        return f"SignedIn({self.user.login!r})"


@dataclass(frozen=True, slots=True)
class _Known:
    user: User
    csrf: str
    ends_at: datetime
    checked_at: datetime


class SignIns:
    """The sign-ins of this hub. A sign-in ends `idle` after its last use and `longest` after it began."""

    def __init__(
        self,
        db: Database,
        hasher: Hasher,
        *,
        idle: timedelta = timedelta(hours=8),
        longest: timedelta = timedelta(days=7),
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._hasher = hasher
        self._idle = idle
        self._longest = longest
        self._clock = clock
        self._by_login = SlidingWindow(_TRIES_PER_LOGIN, _TRIES)
        self._by_remote = SlidingWindow(_TRIES_PER_REMOTE, _TRIES)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self.users = Users(self.forget, clock)

    async def sign_in(
        self, login: str, password: str, totp: str = "", *, remote: str, replaces: str = ""
    ) -> SignedIn:
        """Check and begin a sign-in, always with a new token; `replaces` is the browser's old one, which ends.

        Raises BadCredentials, TotpRequired (the password was right, a code is missing), TooManyRequests.
        """
        at = self._clock()
        login = folded_login(login)[:200]
        # Counted before anything is checked: guesses that run side by side are counted too.
        self._by_remote.take(remote, at)
        self._by_login.take(login, at)
        row = await self._row(login)
        stored = row.password_hash if row is not None and row.disabled_at is None else ""
        if not await self._hasher.matches(stored, password) or row is None:
            raise BadCredentials("Login or password is wrong.")
        step = self._check_totp(row, totp, at)
        rehashed = await self._hasher.hash(password) if self._hasher.needs_rehash(stored) else ""
        async with self._db.begin() as tx:
            if step is not None and not await use_totp_step(tx, row.id, step):
                raise BadCredentials("This code was used already; wait for the next one.")
            if rehashed:
                await tx.session.execute(
                    update(UserRow)
                    .where(col(UserRow.id) == row.id, col(UserRow.password_hash) == stored)
                    .values(password_hash=rehashed)
                )
            await self._end(tx, replaces)
            signed_in = await self.begin(tx, user_of(row))
        self._by_login.forgive(login)
        return signed_in

    async def begin(self, tx: Tx, user: User) -> SignedIn:
        """A sign-in for somebody who was identified otherwise (the demo's doors)."""
        at = self._clock()
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        tx.session.add(
            SignIn(
                token_digest=_digest(token),
                user_id=user.id,
                csrf=csrf,
                created_at=at,
                seen_at=at,
                expires_at=at + self._longest,
            )
        )
        await tx.session.flush()
        await tx.session.execute(update(UserRow).where(col(UserRow.id) == user.id).values(seen_at=at))
        return SignedIn(user=user, token=token, csrf=csrf)

    async def who(self, token: str) -> tuple[User, str] | None:
        """The user and the CSRF token of a sign-in; None when it ended or never was."""
        if not token or len(token) > 100:
            return None
        digest, at = _digest(token), self._clock()
        known = self._known.get(digest)
        if known is None or at - known.checked_at > _CACHED_FOR:
            known = await self._look_up(digest, at)
        if known is None or at >= known.ends_at:
            self._known.pop(digest, None)
            return None
        return known.user, known.csrf

    async def sign_out(self, token: str) -> None:
        async with self._db.begin() as tx:
            await self._end(tx, token)

    async def sign_out_everywhere(self, tx: Tx, user: UUID) -> None:
        await tx.session.execute(delete(SignIn).where(col(SignIn.user_id) == user))
        tx.after_commit(lambda: self.forget(user))

    def forget(self, user: UUID) -> None:
        """Look the user's sign-ins up again at their next request."""
        for digest in [digest for digest, known in self._known.items() if known.user.id == user]:
            del self._known[digest]

    async def change_password(self, user: User, old: str, new: str) -> SignedIn:
        """The user's own change: every sign-in ends, and the one that is returned begins."""
        await self._confirm(user, old)
        if user.has_given_password and new == old:
            raise BadInput("Choose a password that nobody else knows.", field="password")
        password_hash = await self.hash_new(new, user.login)
        async with self._db.begin() as tx:
            await self.users.set_password(tx, user.id, password_hash)
            return await self.begin(tx, replace(user, has_given_password=False))

    async def hash_new(self, password: str, login: str) -> str:
        """The hash of a password that somebody is to have. Raises BadInput when it is too easily guessed."""
        check_new(password, login)
        return await self._hasher.hash(password)

    async def propose_totp(self, user: User) -> str:
        """The secret for the user's app; it counts once `confirm_totp` has seen a code made from it."""
        if user.has_totp:
            raise Conflict("There is a second factor already; remove it first.")
        secret = new_secret()
        async with self._db.begin() as tx:
            await self.users.propose_totp(tx, user.id, secret)
        return secret

    async def confirm_totp(self, user: User, code: str) -> None:
        self._by_login.take(("totp", user.id), self._clock())
        row = await self._row(user.login)
        pending = row.totp_pending if row else ""
        step = matching_step(pending, code, self._clock(), 0) if pending else None
        if step is None:
            raise BadInput("The code does not fit; check the clock of your device and try the next one.")
        async with self._db.begin() as tx:
            await self.users.confirm_totp(tx, user.id, step)

    async def remove_totp(self, user: User, code: str) -> None:
        self._by_login.take(("totp", user.id), self._clock())
        row = await self._row(user.login)
        if row is None:
            raise NotFound("There is no such user.")
        step = self._check_totp(row, code, self._clock())
        async with self._db.begin() as tx:
            if step is not None and not await use_totp_step(tx, row.id, step):
                raise BadCredentials("This code was used already; wait for the next one.")
            await self.users.remove_totp(tx, user.id)

    async def sweep(self) -> int:
        """Delete the sign-ins that have ended; returns how many."""
        at = self._clock()
        async with self._db.begin(is_durable=False) as tx:
            gone = await tx.session.execute(
                delete(SignIn).where(
                    (col(SignIn.expires_at) <= at) | (col(SignIn.seen_at) <= at - self._idle)
                )
            )
            return int(gone.rowcount)  # type: ignore[attr-defined]  # a DELETE's result counts its rows

    async def _row(self, login: str) -> UserRow | None:
        async with self._db.read() as session:
            row: UserRow | None = await session.scalar(select(UserRow).where(col(UserRow.login) == login))
            return row

    async def _confirm(self, user: User, password: str) -> None:
        self._by_login.take(user.login, self._clock())
        row = await self._row(user.login)
        if not await self._hasher.matches(row.password_hash if row else "", password):
            raise BadCredentials("The present password is wrong.")
        self._by_login.forgive(user.login)

    def _check_totp(self, row: UserRow, code: str, at: datetime) -> int | None:
        """The step to be used up, None when the user has no second factor."""
        if not row.totp_secret:
            return None
        if not code.strip():
            raise TotpRequired("Type the code that your authenticator app shows.")
        step = matching_step(row.totp_secret, code, at, row.totp_last_step)
        if step is None:
            raise BadCredentials("The code is wrong or was used already; type the one shown now.")
        return step

    async def _look_up(self, digest: bytes, at: datetime) -> _Known | None:
        async with self._db.read() as session:
            found = (
                await session.execute(
                    select(SignIn, UserRow)
                    .join(UserRow, col(UserRow.id) == col(SignIn.user_id))
                    .where(col(SignIn.token_digest) == digest, col(UserRow.disabled_at).is_(None))
                )
            ).first()
        # The digest was the key of the look-up, so there is nothing left to compare in constant time.
        if found is None or at >= (ends_at := min(found[0].expires_at, found[0].seen_at + self._idle)):
            return None
        sign_in, user = found
        if at - sign_in.seen_at >= _SEEN_EVERY:
            async with self._db.begin(is_durable=False) as tx:
                await tx.session.execute(
                    update(SignIn).where(col(SignIn.token_digest) == digest).values(seen_at=at)
                )
                await tx.session.execute(update(UserRow).where(col(UserRow.id) == user.id).values(seen_at=at))
            ends_at = min(sign_in.expires_at, at + self._idle)
        known = _Known(user_of(user), sign_in.csrf, ends_at, at)
        self._known[digest] = known
        while len(self._known) > _CACHE_SIZE:
            self._known.popitem(last=False)
        return known

    async def _end(self, tx: Tx, token: str) -> None:
        if not token:
            return
        digest = _digest(token)
        await tx.session.execute(delete(SignIn).where(col(SignIn.token_digest) == digest))
        tx.after_commit(lambda: self._drop(digest))

    def _drop(self, digest: bytes) -> None:
        self._known.pop(digest, None)


def is_csrf_valid(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
