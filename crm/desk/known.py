"""What a batch of entries needs to know, fetched in a few queries instead of a few for each entry."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from core import parties
from core.database import Tx
from core.log.entries import Logged
from core.tables import Delivery, Endpoint, Party, Sent
from core.values import Address
from crm.tables import Conversation, LoopGuard, Normal, Observation, PendingQuestion, Submission


@dataclass(slots=True)
class Known:
    """Rows that the batch works on. Handlers change them in place, so that the next entry sees what the last did."""

    endpoints: dict[Address, Endpoint] = field(default_factory=dict)
    parties: dict[UUID, Party] = field(default_factory=dict)
    conversations: dict[UUID, Conversation] = field(default_factory=dict)
    reports: dict[UUID, list[Submission]] = field(default_factory=lambda: defaultdict(list))
    observations: dict[int, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    held: dict[UUID, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    normals: dict[UUID, dict[tuple[str, str, str], Normal]] = field(default_factory=lambda: defaultdict(dict))
    sent: dict[UUID, Sent] = field(default_factory=dict)  # by outbox item
    deliveries: dict[tuple[str, str], Delivery] = field(
        default_factory=dict
    )  # by account and provider's name
    guards: dict[Address, LoopGuard] = field(default_factory=dict)
    questions: dict[Address, dict[str, PendingQuestion]] = field(default_factory=lambda: defaultdict(dict))


async def know(tx: Tx, batch: Sequence[Logged]) -> Known:
    session = tx.session
    addresses = {entry.address for entry in batch if entry.address.scheme != "hub"}
    found = Known()
    found.endpoints = await parties.endpoints(session, addresses)
    owners = {endpoint.party_id for endpoint in found.endpoints.values()}
    await remember_parties(session, found, owners)
    reporters = _reporters(batch, found)
    if reporters:
        await _remember_reports(session, found, reporters)
    await _remember_sent(session, found, batch)
    writers = {entry.address for entry in batch if entry.kind == "message" and entry.direction == "in"}
    if writers:
        await _remember_dialogues(session, found, writers)
    return found


async def _remember_dialogues(session: AsyncSession, found: Known, writers: set[Address]) -> None:
    """What the hub asked those who write, and how often it has answered them of late."""
    keys = [(address.scheme, address.value) for address in writers]
    asked = await session.execute(
        select(PendingQuestion).where(
            tuple_(col(PendingQuestion.scheme), col(PendingQuestion.value)).in_(keys)
        )
    )
    for question in asked.scalars():
        found.questions[Address(question.scheme, question.value)][question.kind] = question
    guards = await session.execute(
        select(LoopGuard).where(tuple_(col(LoopGuard.scheme), col(LoopGuard.value)).in_(keys))
    )
    found.guards = {Address(guard.scheme, guard.value): guard for guard in guards.scalars()}


def _reporters(batch: Sequence[Logged], known: Known) -> set[UUID]:
    """Parties whose earlier reports matter: those that wrote a message in the batch."""
    return {
        known.endpoints[entry.address].party_id
        for entry in batch
        if entry.kind == "message" and entry.direction == "in" and entry.address in known.endpoints
    }


async def remember_parties(session: AsyncSession, known: Known, ids: Iterable[UUID]) -> None:
    """Add the parties, those they were merged into, and the latters' conversations."""
    missing = {id for id in ids if id not in known.parties}
    while missing:
        known.parties.update(await parties.parties(session, missing))
        missing = {
            party.merged_into
            for party in known.parties.values()
            if party.merged_into is not None and party.merged_into not in known.parties
        }
    roots = [id for id, party in known.parties.items() if party.merged_into is None]
    wanted = [id for id in roots if id not in known.conversations]
    if wanted:
        # Locked in one order, since a party with several addresses may be worked on in two lanes at once.
        rows = await session.execute(
            select(Conversation)
            .where(col(Conversation.party_id).in_(wanted))
            .order_by(col(Conversation.party_id))
            .with_for_update()
        )
        known.conversations.update({row.party_id: row for row in rows.scalars()})


async def _remember_reports(session: AsyncSession, known: Known, ids: set[UUID]) -> None:
    newest = (
        select(func.max(col(Submission.seq)))
        .where(col(Submission.party_id).in_(ids))
        .group_by(col(Submission.party_id), col(Submission.form))
    )
    reports = (
        (await session.execute(select(Submission).where(col(Submission.seq).in_(newest)))).scalars().all()
    )
    for report in reports:
        known.reports[report.party_id].append(report)
    seqs = [report.seq for report in reports]
    rows = await session.execute(
        select(Observation).where(col(Observation.party_id).in_(ids), col(Observation.submission).in_(seqs))
    )
    for row in rows.scalars():
        known.observations[row.submission].append(row)
    held = await session.execute(
        select(Observation).where(col(Observation.party_id).in_(ids), col(Observation.state) == "held")
    )
    for row in held.scalars():
        known.held[row.party_id].append(row)
    normals = await session.execute(select(Normal).where(col(Normal.party_id).in_(ids)))
    for normal in normals.scalars():
        known.normals[normal.party_id][normal.form, normal.sku, normal.field] = normal


async def _remember_sent(session: AsyncSession, known: Known, batch: Sequence[Logged]) -> None:
    """What was sent before, of which the batch tells something."""
    statuses = [entry for entry in batch if entry.kind == "status"]
    ours = [UUID(entry.data["outbox"]) for entry in statuses if "outbox" in entry.data]
    names = {(entry.account, entry.external_id) for entry in statuses if entry.external_id}
    if ours:
        rows = await session.execute(select(Sent).where(col(Sent.outbox_id).in_(ours)))
        known.sent.update({row.outbox_id: row for row in rows.scalars()})
    if names:
        rows = await session.execute(
            select(Sent).where(tuple_(col(Sent.account), col(Sent.external_id)).in_(names))
        )
        known.sent.update({row.outbox_id: row for row in rows.scalars()})
        told = await session.execute(
            select(Delivery).where(tuple_(col(Delivery.account), col(Delivery.external_id)).in_(names))
        )
        known.deliveries = {(row.account, row.external_id): row for row in told.scalars()}


def root_of(known: Known, party: Party) -> Party:
    while party.merged_into is not None:
        party = known.parties[party.merged_into]
    return party


def party_behind(tx: Tx, known: Known, entry: Logged) -> Party:
    """The party that owns the entry's address; made now when nobody knows the address."""
    endpoint = known.endpoints.get(entry.address)
    if endpoint is not None:
        return known.parties[endpoint.party_id]
    party, known.endpoints[entry.address] = parties.meet(tx, entry.address, entry.seq, entry.recorded_at)
    known.parties[party.id] = party
    return party
