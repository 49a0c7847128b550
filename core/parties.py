"""Parties and their addresses: who writes from where, merges that can be undone, addresses that move."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core.database import Tx
from core.errors import Conflict, NotFound
from core.tables import Endpoint, Merge, Party
from core.text import folded
from core.values import Address

UNKNOWN = "unknown"
"""The kind of a party of which nothing is known but an address."""

# Parties that the hub makes for unknown addresses get an id from the entry that brought them: a replay makes the same.
_NAMESPACE = UUID("5d1c3c0e-6c0b-5c36-9e0d-2f2f0f6f7a10")


async def endpoints(session: AsyncSession, addresses: Iterable[Address]) -> dict[Address, Endpoint]:
    """The known ones among the addresses."""
    wanted = {(address.scheme, address.value) for address in addresses}
    if not wanted:
        return {}
    rows = await session.execute(
        select(Endpoint).where(tuple_(col(Endpoint.scheme), col(Endpoint.value)).in_(wanted))
    )
    return {Address(row.scheme, row.value): row for row in rows.scalars()}


async def parties(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, Party]:
    wanted = set(ids)
    if not wanted:
        return {}
    rows = await session.execute(select(Party).where(col(Party.id).in_(wanted)))
    return {row.id: row for row in rows.scalars()}


async def root(session: AsyncSession, id: UUID) -> Party:
    """The party itself, or the one it was merged into."""
    seen = set()
    while True:
        party = await session.get(Party, id)
        if party is None:
            raise NotFound("There is no such party.", party=str(id))
        if party.merged_into is None or party.merged_into in seen:
            return party
        seen.add(id)
        id = party.merged_into


async def family(session: AsyncSession, id: UUID) -> list[UUID]:
    """The party and all that were merged into it, over any number of merges."""
    found = [id]
    newest = [id]
    while newest:
        rows = await session.execute(select(col(Party.id)).where(col(Party.merged_into).in_(newest)))
        newest = [child for child in rows.scalars() if child not in found]
        found += newest
    return found


async def addresses_of(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, list[Endpoint]]:
    rows = await session.execute(
        select(Endpoint).where(col(Endpoint.party_id).in_(ids)).order_by(col(Endpoint.is_primary).desc())
    )
    found: dict[UUID, list[Endpoint]] = defaultdict(list)
    for row in rows.scalars():
        found[row.party_id].append(row)
    return found


def meet(tx: Tx, address: Address, seq: int, at: datetime) -> tuple[Party, Endpoint]:
    """A party for an address that nobody knows yet. The same entry always makes the same party."""
    party = Party(
        id=uuid5(_NAMESPACE, f"{seq}:{address.scheme}"),
        kind=UNKNOWN,
        name=address.display or address.value,
        folded=folded(address.display or address.value),
        created_at=at,
        updated_at=at,
    )
    endpoint = Endpoint(
        scheme=address.scheme,
        value=address.value,
        party_id=party.id,
        is_primary=True,
        evidence_seq=seq,
        since=at,
    )
    tx.session.add_all([party, endpoint])
    return party, endpoint


async def move_address(
    tx: Tx, address: Address, to: UUID, seq: int, at: datetime, *, is_verified: bool
) -> Endpoint:
    """Give an address to a party, whoever had it. Old lines stay where they were written."""
    endpoint = await tx.session.get(Endpoint, (address.scheme, address.value))
    if endpoint is None:
        endpoint = Endpoint(scheme=address.scheme, value=address.value, party_id=to, since=at)
        tx.session.add(endpoint)
    endpoint.party_id = to
    endpoint.since = at
    endpoint.evidence_seq = seq
    endpoint.verified_at = at if is_verified else None
    await tx.flush()
    return endpoint


async def merge(tx: Tx, party_id: UUID, into_id: UUID, reason: str, seq: int) -> None:
    """Let one party stand for another. Nothing else is rewritten, so `unmerge` restores everything."""
    party = await tx.session.get(Party, party_id)
    into = await root(tx.session, into_id)
    if party is None or party.merged_into is not None:
        raise Conflict("This party is already merged or gone.", party=str(party_id))
    if into.id == party.id:
        raise Conflict("A party cannot be merged into itself.", party=str(party_id))
    party.merged_into = into.id
    party.row_version += 1
    tx.session.add(Merge(act_seq=seq, party_id=party.id, into_id=into.id, reason=reason))


async def unmerge(tx: Tx, act_seq: int, seq: int) -> Merge:
    done = await tx.session.get(Merge, act_seq)
    if done is None or done.undone_seq is not None:
        raise Conflict("There is no such merge, or it was undone before.", act_seq=act_seq)
    party = await tx.session.get(Party, done.party_id)
    if party is None:
        raise Conflict("The merged party is gone.", party=str(done.party_id))
    done.undone_seq = seq
    party.merged_into = None
    party.row_version += 1
    return done
