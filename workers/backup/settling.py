"""What a restored hub does before it is shown: migrate, digest, erase again, doubt what waited to leave, verify."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlmodel import col

from core import claims, outbox
from core.erasure import read_ledger
from core.errors import SwitchboardError
from core.log.verify import Verdict, verify
from core.moments import from_micros
from core.outbox import Item, ItemState, Outcome, Retry
from core.outbox import Settled as Ended
from core.sending import SEND, Sender
from core.settings import Settings
from core.tables import File, OutboxItem, Seal, SignIn
from workers.assemble import Hub, assemble
from workers.backup.archive import Manifest
from workers.backup.copying import Told
from workers.commands import forgetter, ledger_of

RESTORED = "restored"
"""The error code of what waited to leave at the backup's time: it may have left before the loss."""

# Done twice, these change nothing outside and nothing within.
_REPEATABLE = ("fetch", "wake")
_AT_ONCE = 200
_LONG_AGO = from_micros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    persons: int  # who were erased again
    doubted: int  # messages that may have left after the backup
    missing_files: int  # named by rows, and not among the files
    verdict: Verdict
    broken_chains: tuple[str, ...]  # accounts whose chain is not the one that the backup noted


async def settle(settings: Settings, manifest: Manifest, told: Told) -> Settled:
    """Bring restored data up to date, while nothing is sent and nobody looks. May be run again after a break."""
    told("Digesting", 0, 1)
    async with assemble(settings) as hub, _digesting(hub):
        await _forget_workers(hub)
        # What the backup had in its log and not yet digested is answered now: those answers are doubted too.
        await hub.caught_up()
        told("Erasing again", 0, 1)
        reports = await forgetter(hub).reapply(read_ledger(ledger_of(hub)))
        told("Settling what waited to leave", 0, 1)
        doubted = await _doubt(hub)
        await hub.caught_up()
        while await hub.sealer.seal():
            pass
        return Settled(
            persons=len(reports),
            doubted=doubted,
            missing_files=await _missing_files(hub),
            verdict=await verify(hub.db, lambda done, end: told("Verifying the log", done, end)),
            broken_chains=await _broken_chains(hub, manifest),
        )


@asynccontextmanager
async def _digesting(hub: Hub) -> AsyncIterator[None]:
    parts = [hub.writer.run(), *(runner.run() for runner in hub.consumers)]
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# What waited to leave.


async def _forget_workers(hub: Hub) -> None:
    """Whoever worked at the backup's time is gone: claims end, and everybody signs in anew."""
    async with hub.db.begin() as tx:
        await tx.write(delete(SignIn))
        await tx.write(
            update(OutboxItem)
            .where(col(OutboxItem.state) == ItemState.RUNNING.value)
            .values(claimed_until=_LONG_AGO)
        )


async def _doubt(hub: Hub) -> int:
    """Settle as unknown what may have left between the backup and the loss; a person decides about each.

    What was not due before now cannot have left, and waits on.
    """
    at = hub.clock()
    async with hub.db.begin() as tx:
        # As if a worker had died with them: then the message stands on its line, shown as unknown.
        await tx.write(
            update(OutboxItem)
            .where(
                col(OutboxItem.state) == ItemState.WAITING.value,
                col(OutboxItem.due_at) <= at,
                col(OutboxItem.job).not_in(_REPEATABLE),
            )
            .values(state=ItemState.RUNNING.value, claimed_until=_LONG_AGO)
        )
    sender = Sender(hub.db, hub.writer, hub.accounts.adapter, hub.accounts.kind_of, hub.clock)
    doubted = 0
    while items := await claims.adopt(hub.db, at, _AT_ONCE):
        outcomes = await asyncio.gather(*(_doubted(sender, item) for item in items))
        await outbox.settle(hub.db, outcomes)
        doubted += sum(isinstance(outcome, Ended) for _, outcome in outcomes)
    return doubted


async def _doubted(sender: Sender, item: Item) -> tuple[Item, Outcome]:
    if item.job in _REPEATABLE:
        return item, Retry(item.due_at)
    if item.job == SEND:
        # Where its account is gone there is no line to show it on; the outbox shows it all the same.
        with suppress(SwitchboardError):
            await sender.doubt(item)
    return item, Ended(ItemState.UNKNOWN, RESTORED)


# Whether it is what it was.


async def _missing_files(hub: Hub) -> int:
    async with hub.db.read() as session:
        digests = await session.scalars(select(col(File.sha256)).where(col(File.sha256) != "").distinct())
        paths = [hub.files.path(digest) for digest in digests]
    return await asyncio.to_thread(lambda: sum(not path.exists() for path in paths))


async def _broken_chains(hub: Hub, manifest: Manifest) -> tuple[str, ...]:
    broken = []
    async with hub.db.read() as session:
        for end in manifest.chains:
            seal = await session.get(Seal, (end.account, end.number))
            if seal is None or seal.hash.hex() != end.hash:
                broken.append(end.account)
    return tuple(broken)
