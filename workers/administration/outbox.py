"""What people do with what could not be sent or digested: try it again, or put it aside; each is an act of the log."""

from uuid import UUID

from core import leftovers
from core.consumers import Consumer, ConsumerRunner
from core.errors import Conflict, NotFound
from core.positions import Positions
from core.search import SearchConsumer
from core.tables import OutboxItem
from workers.administration.acts import Actor, Change, changing
from workers.assemble import Hub, crm_beside
from workers.jobs import NOTE


async def retry(hub: Hub, actor: Actor, id: UUID, *, even_if_it_may_have_arrived: bool = False) -> None:
    """Raises Conflict when nobody knows whether it arrived, unless that is accepted."""
    async with changing(hub, actor, "outbox.retry") as change:
        row = await leftovers.offer_again(
            change.tx, id, hub.clock(), even_if_it_may_have_arrived=even_if_it_may_have_arrived
        )
        _note(change, row)
    hub.jobs.wake()
    if hub.tickets is not None:
        hub.tickets.say()


async def discard(hub: Hub, actor: Actor, id: UUID) -> None:
    async with changing(hub, actor, "outbox.discard") as change:
        row = await leftovers.discard(change.tx, id, hub.clock(), actor.os_user or actor.by)
        if row.job == NOTE:
            raise Conflict("This is an act that the log does not hold yet; let it be tried again.")
        _note(change, row)


async def retry_parked(hub: Hub, actor: Actor, consumer: str, seq: int) -> None:
    """Raises StillParked when it fails again; the act stands in the log all the same."""
    positions = _consumer(hub, consumer)
    async with changing(hub, actor, "parked.retry") as change:
        change.detail.update(consumer=consumer, seq=seq)
    await leftovers.digest_again(hub.db, positions, _digester(hub, positions), seq)


async def discard_parked(hub: Hub, actor: Actor, consumer: str, seq: int) -> None:
    _consumer(hub, consumer)
    async with changing(hub, actor, "parked.discard") as change:
        row = await leftovers.drop(change.tx, consumer, seq)
        change.detail.update(consumer=consumer, seq=seq, error=row.error[:200])


def _note(change: Change, row: OutboxItem) -> None:
    change.detail.update(item=str(row.id), job=row.job, account=row.account, lane=row.lane)


def _consumer(hub: Hub, name: str) -> Positions:
    for each in hub.consumers:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in hub.consumers)
    raise NotFound(f"There is no consumer {name}; there are {known}.", consumer=name)


def _digester(hub: Hub, positions: Positions) -> Consumer:
    """The consumer itself, also where another process runs it."""
    if isinstance(positions, ConsumerRunner):
        return positions.consumer
    return SearchConsumer() if positions.name == SearchConsumer.name else crm_beside(hub)
