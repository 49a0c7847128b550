"""Outgoing messages and what became of them: states only move forward, failures reach the person who wrote."""

from datetime import datetime
from uuid import UUID

from core import erasure
from core.errors import RecipientOptedOut
from core.log.entries import Logged
from core.tables import Delivery, Sent
from core.values import DeliveryState
from crm import cases
from crm.desk import conversations
from crm.desk.work import Work

_TROUBLE = frozenset({DeliveryState.FAILED, DeliveryState.UNDELIVERED, DeliveryState.UNKNOWN})


async def take_outgoing(work: Work, entry: Logged) -> None:
    """A message on its way out: a line of the timeline, and an answer if a person wrote it."""
    party, root = work.party(entry)
    row = work.conversation(root, entry)
    work.add_line(party.id, root.id, entry.seq)
    sent = Sent(
        seq=entry.seq,
        account=entry.account,
        external_id="",
        outbox_id=UUID(entry.data["outbox"]),
        state=DeliveryState.QUEUED.value,
        error="",
    )
    work.tx.session.add(sent)
    work.known.sent[sent.outbox_id] = sent  # its first state may stand in the same batch
    by = entry.data.get("by")
    if not by:
        return
    conversations.last_line(row, entry)
    conversations.answered(row, entry.seq, UUID(by))
    conversations.flag(row, "answered_at", entry.occurred_at.isoformat())
    conversations.flag(row, "send_failed", None)
    for case in await cases.open_cases(work.tx, [party.id, root.id]):
        if case.answered_at is None:
            case.answered_at = entry.occurred_at
    current = await cases.open_cases(work.tx, [party.id, root.id])
    conversations.show_case(row, current[0] if current else None)


async def take_status(work: Work, entry: Logged) -> None:
    state = DeliveryState(entry.data["state"])
    error = entry.data.get("error", "")
    if "outbox" in entry.data:
        sent = work.known.sent.get(UUID(entry.data["outbox"]))
        if sent is not None and entry.external_id:
            sent.external_id = entry.external_id
            # The provider's word may have been faster than our own note that it took the message.
            earlier = work.known.deliveries.get((entry.account, entry.external_id))
            if earlier is not None and earlier.rank > state.rank:
                state, error = DeliveryState(earlier.state), earlier.error
    else:
        _forward(work, entry, state, error)
        sent = _sent_as(work, entry)
    if sent is None:
        return
    # A person had it offered again: what was said of it before no longer holds.
    is_offered_again = "again" in entry.data
    if is_offered_again or state.rank > DeliveryState(sent.state).rank:
        sent.state, sent.error = state.value, error
    await _tell(work, entry, sent, state, error)


def _sent_as(work: Work, entry: Logged) -> Sent | None:
    """The message that the provider means, if our own note of its name has been read."""
    for sent in work.known.sent.values():
        if sent.account == entry.account and sent.external_id == entry.external_id:
            return sent
    return None


def _forward(work: Work, entry: Logged, state: DeliveryState, error: str) -> None:
    key = (entry.account, entry.external_id)
    known = work.known.deliveries.get(key)
    if known is None:
        known = Delivery(
            account=entry.account,
            external_id=entry.external_id,
            state=state.value,
            rank=state.rank,
            error=error,
            at=entry.occurred_at,
        )
        work.known.deliveries[key] = known
        work.tx.session.add(known)
    elif state.rank > known.rank:
        known.state, known.rank, known.error, known.at = state.value, state.rank, error, entry.occurred_at


async def _tell(work: Work, entry: Logged, sent: Sent, state: DeliveryState, error: str) -> None:
    """Show the new state on the line; a message that a person wrote and nobody got calls that person back."""
    if entry.address.scheme == "hub":
        return
    if entry.address not in work.known.endpoints:
        # Its owner was erased meanwhile, and is not to come back as somebody unknown.
        await erasure.empty_echo(work.tx, entry.seq, sent.seq, entry.recorded_at)
        return
    _, root = work.party(entry)
    work.changes.lines[sent.seq] = root.id
    if error == RecipientOptedOut.code:
        await _withdraw(work, entry, entry.occurred_at)
    row = work.known.conversations.get(root.id)
    if row is None or row.answered_seq != sent.seq:
        return
    if state not in _TROUBLE:
        if "send_failed" in row.flags and sent.state == state.value:
            conversations.flag(work.conversation(root, entry), "send_failed", None)
        return
    row = work.conversation(root, entry)
    conversations.flag(row, "send_failed", state.value)
    conversations.want_person(row, entry, queue="", due_at=None)


async def _withdraw(work: Work, entry: Logged, at: datetime) -> None:
    """The network says that the address refuses us: the same as an opt-out by word."""
    await work.consent(entry.address, "marketing", False, entry.seq, at)
