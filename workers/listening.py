"""Listening: each line that connects by itself is held by one process, by a lease, and moves when that one dies."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from core.accounts import AccountBook
from core.adapter import Intake, Listens
from core.leases import Lease, Leases

log = logging.getLogger(__name__)

_LOOKED_EVERY = 2.0  # seconds in which a new or changed account is noticed
_BEGINS_AGAIN = (1.0, 60.0)  # seconds after a line's adapter gave up: at first, at most


class Listeners:
    """Holds the lines of all accounts whose adapters listen. `leases` is None where this is the only process."""

    def __init__(self, accounts: AccountBook, intake: Intake, leases: Leases | None) -> None:
        self._accounts = accounts
        self._intake = intake
        self._leases = leases
        self._held: dict[str, tuple[Listens, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        try:
            while True:
                await self._look()
                await asyncio.sleep(_LOOKED_EVERY)
        finally:
            await self._end(list(self._held))

    async def _look(self) -> None:
        wanted = {
            slug: adapter
            for slug in self._accounts.slugs()
            if isinstance(adapter := self._accounts.adapter(slug), Listens)
        }
        # A changed account has a new adapter: what the old one holds must end first.
        await self._end(
            [slug for slug, (adapter, _) in self._held.items() if wanted.get(slug) is not adapter]
        )
        for slug, adapter in wanted.items():
            if slug not in self._held:
                self._held[slug] = (
                    adapter,
                    asyncio.create_task(self._hold(slug, adapter), name=f"line {slug}"),
                )

    async def _hold(self, slug: str, adapter: Listens) -> None:
        if self._leases is None:
            await self._listen(slug, adapter)
        else:
            await self._leases.hold(f"line:{slug}", self._under_lease(slug, adapter))

    def _under_lease(self, slug: str, adapter: Listens) -> Callable[[Lease], Awaitable[None]]:
        async def listen(lease: Lease) -> None:
            await self._listen(slug, adapter)

        return listen

    async def _listen(self, slug: str, adapter: Listens) -> None:
        pause, longest = _BEGINS_AGAIN
        while True:
            try:
                await adapter.listen(self._intake)
            except Exception:
                log.exception("line broke", extra={"account": slug})
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _end(self, slugs: list[str]) -> None:
        tasks = [self._held.pop(slug)[1] for slug in slugs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
