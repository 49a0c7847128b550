"""A person's act: into the log, wait for its turn among the messages of the address it is about, tell the outcome."""

import asyncio
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from core import parties
from core.addresses import shard_of
from core.errors import Conflict, SwitchboardError, Unavailable
from core.tables import ActOutcome, Parked
from core.users import User
from core.values import Address
from crm.tables import Conversation
from workers.assemble import Hub

_LONGEST_WAIT = 10.0  # seconds; a turn takes milliseconds


class ActNotTaken(SwitchboardError):
    """The act stands in the log and could not be applied: an administrator has to look."""

    code = "act_not_taken"


async def act(
    hub: Hub, name: str, *, user: User, about: Address, key: str, detail: dict[str, Any], text: str = ""
) -> int:
    """The act's sequence number, once it has taken effect; the same key of the same user is one act.

    Raises Conflict, with the code of the refusal, when the world has moved on since the person looked.
    """
    # A key belongs to its user: nobody can make another person's act look as if it had been done before.
    accepted = await hub.intake.act(
        name, by=str(user.id), about=about, key=f"{user.id}:{key}", detail=detail, text=text
    )
    try:
        async with asyncio.timeout(_LONGEST_WAIT):
            await hub.crm.processed(shard_of(about), accepted.seq)
    except TimeoutError as error:
        raise Unavailable(
            "This is noted and takes effect as soon as the hub has caught up.", seq=accepted.seq
        ) from error
    async with hub.db.read() as session:
        refused = await session.get(ActOutcome, accepted.seq)
        is_parked = await session.scalar(
            select(col(Parked.seq)).where(
                col(Parked.consumer) == hub.crm.name, col(Parked.seq) == accepted.seq
            )
        )
    if refused is not None:
        raise refusal(refused)
    if is_parked is not None:
        raise ActNotTaken("This is noted but could not be applied; please tell an administrator.")
    return accepted.seq


def refusal(outcome: ActOutcome) -> Conflict:
    """The error of a refused act, with the code that the refusal was stored with."""
    error: type[Conflict] = type("ActWasRefused", (Conflict,), {"code": outcome.code})
    return error(outcome.message, **outcome.detail)


async def reach(hub: Hub, party: UUID) -> Address:
    """The address that an act about the party is logged under: it takes its turn among that address's messages."""
    async with hub.db.read() as session:
        root = await parties.root(session, party)
        row = await session.get(Conversation, root.id)
        if row is not None and row.reply_address:
            return Address(row.reply_scheme, row.reply_address)
        known = (await parties.addresses_of(session, [root.id])).get(root.id)
    return Address(known[0].scheme, known[0].value) if known else Address("hub", str(root.id))
