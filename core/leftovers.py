"""Leftovers: what could not be sent, done or digested; listed for people, who try it again or put it aside."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.consumers import ActRefused, Consumer
from core.database import Database, Tx, is_outage
from core.errors import BadInput, Conflict, NotFound, SwitchboardError
from core.log import reader
from core.outbox import ItemState
from core.positions import Positions
from core.tables import ActOutcome, OutboxItem, Parked

_ENDED_BADLY = "state IN ('failed', 'unknown', 'cancelled')"
_LONGEST_ERROR = 2000


class StillParked(SwitchboardError):
    """The entry was tried again and could not be digested; it stays where it is, with the new reason."""

    code = "still_parked"
    status = 409


# What could not be sent or done.


async def page(
    session: AsyncSession, state: ItemState, *, before: UUID | None = None, limit: int = 50
) -> Sequence[OutboxItem]:
    """Items in a state, the newest first; `before` is the last one of the page before."""
    query = select(OutboxItem).where(_in_state(state)).order_by(col(OutboxItem.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(OutboxItem.id) < before)
    return (await session.execute(query)).scalars().all()


def _in_state(state: ItemState) -> ColumnElement[bool]:
    # In the words of the indexes, so that both engines find them.
    is_it: ColumnElement[bool] = literal_column(f"state = '{state.value}'")
    if state in (ItemState.WAITING, ItemState.RUNNING):
        return is_it
    if state is ItemState.DONE:
        raise BadInput("What is done is not listed; its messages stand on their timelines.", state=state)
    ended_badly: ColumnElement[bool] = literal_column(_ENDED_BADLY)
    return and_(ended_badly, is_it)


async def offer_again(tx: Tx, id: UUID, at: datetime, *, even_if_it_may_have_arrived: bool) -> OutboxItem:
    """Let an item that ended badly take its turn again, as if new: without its old deadline and attempts.

    Raises Conflict when it did not end badly, or when it may have arrived and that was not accepted.
    """
    row = await _left(tx, id)
    if row.state == ItemState.UNKNOWN and not even_if_it_may_have_arrived:
        raise Conflict(
            "It may have arrived, nobody knows; it is sent again only when you say so.", state=row.state
        )
    if not row.payload:
        raise Conflict("Its content was erased; there is nothing left to send.", state=row.state)
    row.state = ItemState.WAITING.value
    row.payload = {**row.payload, "again": row.payload.get("again", 0) + 1}
    row.attempts = 0
    row.due_at = at
    row.deadline = None
    row.claimed_until = None
    row.error = ""
    return row


async def discard(tx: Tx, id: UUID, at: datetime, by: str) -> OutboxItem:
    """Put an item aside for good; the row says who did it. Raises Conflict when it did not end badly."""
    row = await _left(tx, id)
    row.state = ItemState.CANCELLED.value
    row.error = f"{row.error}; discarded by {by} at {at.isoformat(timespec='seconds')}".removeprefix("; ")
    return row


async def _left(tx: Tx, id: UUID) -> OutboxItem:
    row = await tx.session.get(OutboxItem, id, with_for_update=True)
    if row is None:
        raise NotFound("There is no such item in the outbox.", item=str(id))
    if row.state not in (ItemState.FAILED, ItemState.UNKNOWN):
        raise Conflict("Only what failed or may have arrived can be changed.", state=row.state)
    return row


# What could not be digested.


async def parked(session: AsyncSession, *, before: int | None = None, limit: int = 50) -> Sequence[Parked]:
    """Parked entries of all consumers, the newest entries first; `before` is the last number of the page before."""
    query = select(Parked).order_by(col(Parked.seq).desc(), col(Parked.consumer)).limit(limit)
    if before is not None:
        query = query.where(col(Parked.seq) < before)
    return (await session.execute(query)).scalars().all()


async def digest_again(db: Database, positions: Positions, consumer: Consumer, seq: int) -> None:
    """Let a consumer that has long passed an entry digest it after all, alone, while it rests.

    It counts as coming now: whatever was digested after it is seen by it. Raises StillParked with the reason when it
    fails again. An act that no longer fits is refused, as in its own turn, and is parked no more.
    """
    async with positions.resting():
        async with db.read() as session:
            row = await session.get(Parked, (positions.name, seq))
            entries = await reader.at(session, [seq])
        if row is None:
            raise NotFound("There is no such parked entry.", consumer=positions.name, seq=seq)
        if not entries:
            raise Conflict("The log does not hold this entry any more.", seq=seq)
        try:
            async with db.digesting() as tx:
                await consumer.digest(tx, entries)
                await drop(tx, positions.name, seq)
        except ActRefused as refusal:
            await _refuse(db, positions.name, seq, refusal)
        except Exception as error:
            if is_outage(error):
                raise
            reason = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
            await _keep_reason(db, positions.name, seq, reason)
            raise StillParked("It could not be digested this time either.", error=reason) from error


async def drop(tx: Tx, consumer: str, seq: int) -> Parked:
    """Park an entry no more; the entry itself stays in the log. Raises NotFound."""
    row = await tx.session.get(Parked, (consumer, seq))
    if row is None:
        raise NotFound("There is no such parked entry.", consumer=consumer, seq=seq)
    await tx.write(delete(Parked).where(col(Parked.consumer) == consumer, col(Parked.seq) == seq))
    return row


async def _refuse(db: Database, consumer: str, seq: int, refusal: ActRefused) -> None:
    async with db.begin(is_durable=False) as tx:
        await tx.session.merge(
            ActOutcome(seq=seq, code=refusal.code, message=refusal.message, detail=dict(refusal.detail))
        )
        await drop(tx, consumer, seq)


async def _keep_reason(db: Database, consumer: str, seq: int, reason: str) -> None:
    async with db.begin(is_durable=False) as tx:
        row = await tx.session.get(Parked, (consumer, seq))
        if row is not None:
            row.error = reason
