"""Passwords: argon2id on threads of its own, and what a password must be."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import BadInput, TooManyRequests

T = TypeVar("T")

_SHORTEST = 10
_LONGEST = 200  # a hash of a megabyte would be work for us and none for the sender
_MOST_WAITING = 64  # each hash takes memory_kib while it runs; those who wait take only their turn
_CLEAR = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0 and 1
_OBVIOUS = ("password", "switchboard", "administrator", "qwertyuiop", "1234567890", "0123456789")


def check_new(password: str, login: str) -> None:
    """Raise BadInput when the password is too easily guessed to be taken."""
    lower = password.casefold()
    if len(password) < _SHORTEST:
        raise BadInput(f"The password is too short; use at least {_SHORTEST} characters.", field="password")
    if len(password) > _LONGEST:
        raise BadInput(f"The password is too long; use at most {_LONGEST} characters.", field="password")
    if len(set(lower)) < 5 or any(obvious in lower for obvious in _OBVIOUS):
        raise BadInput("The password is easily guessed; use several unrelated words.", field="password")
    if len(login) > 3 and login.casefold() in lower:
        raise BadInput("The password holds the login name; choose one without it.", field="password")


def invented(login: str) -> str:
    """A password for somebody else to begin with: sixteen signs (80 bits) that cannot be mistaken for each other."""
    while True:
        signs = "".join(secrets.choice(_CLEAR) for _ in range(16))
        password = "-".join(signs[start : start + 4] for start in range(0, 16, 4))
        with contextlib.suppress(BadInput):
            check_new(password, login)
            return password


class Hasher:
    """Hashes and checks passwords without holding up the event loop. `close` ends its threads.

    The costs follow OWASP's minimum for argon2id (19 MiB, two passes, one lane); a stored hash carries its own.
    """

    def __init__(self, *, memory_kib: int = 19_456, passes: int = 2, threads: int = 2) -> None:
        self._argon = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobody = ""

    async def hash(self, password: str) -> str:
        return await self._run(self._argon.hash, password)

    async def matches(self, stored: str, password: str) -> bool:
        """Whether the password is the one; with nothing stored, the answer is no after the same work."""
        if len(password) > _LONGEST:
            return False
        if not self._nobody:
            self._nobody = await self.hash("nobody has this password")
        return await self._run(self._verify, stored, password)

    def needs_rehash(self, stored: str) -> bool:
        """Whether the hash was made with other costs than today's."""
        return self._argon.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            self._argon.verify(stored or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return bool(stored)

    async def _run(self, work: Callable[..., T], *args: str) -> T:
        if self._waiting >= _MOST_WAITING:
            raise TooManyRequests(
                "Too many people sign in at once; try again in a moment.", retry_after=timedelta(seconds=5)
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
