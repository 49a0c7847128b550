"""Inbound messages: whose they are, what they say, what they change, what the hub answers."""

from datetime import timedelta

from sqlalchemy import insert

from core import outbox
from core.clock import at_once
from core.log.entries import Logged
from core.loop_guard import count_answer
from core.sending import queue_message
from core.tables import File, Party
from core.values import ChannelKind, EntryKind
from crm import cases
from crm.blueprint.publishing import Published
from crm.collection.context import context_for
from crm.collection.taking import withdrawn
from crm.desk import conversations
from crm.desk.work import Work
from crm.forms.dialogue import read
from crm.forms.readings import Intent, Reading, Status
from crm.forms.replies import render_reply
from crm.receipts import receipt
from crm.tables import Case, Conversation, LoopGuard, PendingQuestion, ReadingRow

ANSWER_WITHIN = timedelta(hours=24)
"""An automatic answer to a message that is older than this would only puzzle: after an outage people answer."""

DIALOGUE = timedelta(hours=24)
"""So long after a person wrote to a party its words are taken as an answer to that person."""

_READING = insert(ReadingRow)

READ_CHANNELS = frozenset({ChannelKind.SMS.value})
"""Channels whose messages are read with the grammar of the forms."""


async def take_message(work: Work, entry: Logged) -> None:
    party, root = work.party(entry)
    row = work.conversation(root, entry)
    work.add_line(party.id, root.id, entry.seq)
    conversations.last_line(row, entry)
    await _keep_attachments(work, entry)
    if entry.kind == EntryKind.UNREADABLE:
        _want_person(work, row, entry, Intent.UNKNOWN)
        return
    if entry.channel not in READ_CHANNELS:
        _want_person(work, row, entry, Intent.CONSULT)
        return
    published = work.published(entry)
    context = await context_for(work.tx, work.known, published.blueprint, entry, party, published.timezone)
    reading = read(entry.text, context, published.grammar)
    if _is_said_to_a_person(row, reading, entry):
        _want_person(work, row, entry, Intent.CONSULT)
        return
    await _apply(work, entry, party, root, row, published, reading)


def _is_said_to_a_person(row: Conversation, reading: Reading, entry: Logged) -> bool:
    """Free words about an open case or soon after a person wrote, or a yes to nothing held: a person answers those."""
    said_nothing_formal = reading.intent is Intent.UNKNOWN
    if said_nothing_formal and row.case_id is not None and row.state == conversations.ConversationState.OPEN:
        return True
    if not conversations.is_dialogue(row, entry.occurred_at, DIALOGUE):
        return False
    answered_nothing_held = reading.intent is Intent.CONFIRM and reading.status is Status.REJECTED
    return said_nothing_formal or answered_nothing_held


async def _apply(
    work: Work,
    entry: Logged,
    party: Party,
    root: Party,
    row: Conversation,
    published: Published,
    reading: Reading,
) -> None:
    form = published.blueprint.form(reading.form) if reading.form else None
    work.taker(entry).take(entry, party, reading, form)
    case = await _open_case(work, entry, root, row, published, reading)
    await _take_effects(work, entry, row, reading)
    _settle_desk(work, entry, party, row, published, reading, case)
    said = case.number if case else reading.receipt or withdrawn(reading) or receipt(entry.seq)
    work.tx.write_later(
        _READING,
        {
            "seq": entry.seq,
            "party_id": party.id,
            "intent": reading.intent.value,
            "status": reading.status.value,
            "reply": reading.reply.value,
            "form": reading.form or "",
            "receipt": said if reading.items or reading.receipt or case else "",
            "blueprint": published.version,
            "document": document(reading),
        },
    )
    text = render_reply(reading, said, published.grammar)
    if text:
        await _answer(work, entry, row, text)


def document(reading: Reading) -> dict[str, object]:
    """What the reading found, for the timeline: items and errors with their spans in the raw text."""
    return {
        "items": [
            {
                "sku": item.sku,
                "matched_by": str(item.matched_by or ""),
                "product_span": list(item.product_span),
                "values": [
                    {"name": value.name, "field": value.field, "value": value.value, "span": list(value.span)}
                    for value in item.values
                ],
                "state": state,
                "warn": str(item.warn or ""),
            }
            for state, items in (("accepted", reading.items), ("held", reading.pending))
            for item in items
        ],
        "errors": [
            {
                "code": error.code,
                "token": error.token or "",
                "span": list(error.span),
                "options": list(error.options),
            }
            for error in reading.errors
        ],
        "date": reading.date.isoformat() if reading.date else "",
        "effects": list(reading.effects),
    }


async def _open_case(
    work: Work, entry: Logged, root: Party, row: Conversation, published: Published, reading: Reading
) -> Case | None:
    if reading.case is None or reading.case.get("kind") is None:
        return None
    start, end = reading.free_text
    return await cases.open_case(
        work.tx,
        published,
        kind=str(reading.case["kind"]),
        party_id=root.id,
        text=entry.text[start:end].strip() or entry.text,
        seq=entry.seq,
        at=entry.occurred_at,
        assignee=row.assignee,
    )


async def _take_effects(work: Work, entry: Logged, row: Conversation, reading: Reading) -> None:
    for effect in reading.effects:
        name, _, value = effect.partition("=")
        if name.startswith("consent."):
            purpose = name.rsplit(".", 1)[1]
            await work.consent(entry.address, purpose, value == "granted", entry.seq, entry.occurred_at)
        elif effect.startswith("verify:"):
            claimed = effect.removeprefix("verify:")
            await _ask(work, entry, "verify", {"party": claimed}, timedelta(days=30))
            conversations.flag(row, "verify", claimed)


async def _ask(work: Work, entry: Logged, kind: str, what: dict[str, object], within: timedelta) -> None:
    question = await work.put(
        PendingQuestion(
            scheme=entry.address.scheme,
            value=entry.address.value,
            kind=kind,
            document=what,
            until=entry.occurred_at + within,
            seq=entry.seq,
        )
    )
    work.known.questions[entry.address][kind] = question


def _settle_desk(
    work: Work,
    entry: Logged,
    party: Party,
    row: Conversation,
    published: Published,
    reading: Reading,
    case: Case | None,
) -> None:
    """Who has to look at it now: somebody for a case, a doubt, a binding; nobody for what is settled."""
    held = [each for each in work.known.held[party.id] if each.state == "held"]
    conversations.flag(row, "held", len(held) or None)
    if case is not None:
        conversations.show_case(row, case)
        conversations.want_person(row, entry, queue=case.queue, due_at=case.due_first)
    elif reading.pending:
        until = min((each.held_until for each in held if each.held_until), default=None)
        queue = published.blueprint.queue_for_intent(reading.intent)
        if row.state != conversations.ConversationState.OPEN:
            conversations.flag(row, "was_held", True)
        conversations.want_person(row, entry, queue=queue.id if queue else "", due_at=until)
    elif any(effect.startswith("verify:") for effect in reading.effects):
        _want_person(work, row, entry, reading.intent)
    elif reading.intent is Intent.UNKNOWN_SENDER and published.blueprint.queue_for_intent(reading.intent):
        # The blueprint has a queue for them: perhaps a shop's new number.
        _want_person(work, row, entry, reading.intent)
    elif not held and _waits_only_for_itself(row):
        conversations.flag(row, "was_held", None)
        row.state = conversations.ConversationState.AUTO.value
        row.unread = 0
        row.waiting_since = None
        row.due_at = None


def _waits_only_for_itself(row: Conversation) -> bool:
    """Open because of a doubt that the party has now cleared up, not for a case or a person's word."""
    return (
        row.state == conversations.ConversationState.OPEN
        and row.case_id is None
        and row.assignee is None
        and "verify" not in row.flags
        and row.answered_seq == 0
        and bool(row.flags.get("was_held"))
    )


def _want_person(work: Work, row: Conversation, entry: Logged, intent: Intent) -> None:
    queue = work.published(entry).blueprint.queue_for_intent(intent)
    conversations.want_person(row, entry, queue=queue.id if queue else row.queue, due_at=None)


async def _answer(work: Work, entry: Logged, row: Conversation, text: str) -> None:
    """Answer by the channel and line that the message came by, unless two machines are talking."""
    if entry.recorded_at - entry.occurred_at > ANSWER_WITHIN:
        return
    guard = work.known.guards.get(entry.address)
    counted = count_answer(guard.since if guard else None, guard.answers if guard else 0, entry.occurred_at)
    if guard is None:
        guard = LoopGuard(scheme=entry.address.scheme, value=entry.address.value, since=counted.since)
        work.known.guards[entry.address] = guard
        work.tx.session.add(guard)
    guard.since, guard.answers = counted.since, counted.answers
    guard.tripped_at = entry.occurred_at if counted.is_tripped else None
    if counted.is_tripped:
        conversations.flag(row, "loop", True)
        _want_person(work, row, entry, Intent.UNKNOWN)
        return
    queue_message(
        work.tx,
        key=f"answer:{entry.seq}",
        account=entry.account,
        recipient=entry.address,
        text=text,
        at=at_once(entry.recorded_at),
        cause_seq=entry.seq,
        deadline=entry.recorded_at + ANSWER_WITHIN,
    )
    work.changes.queued = True


async def _keep_attachments(work: Work, entry: Logged) -> None:
    for part, attachment in enumerate(entry.data.get("attachments", ())):
        file = File(
            seq=entry.seq,
            part=part,
            name=attachment["name"],
            content_type=attachment["type"],
            state="waiting",
        )
        work.tx.session.add(file)
        outbox.put(
            work.tx,
            key=f"fetch:{entry.seq}:{part}",
            job="fetch",
            payload={"file": str(file.id), "url": attachment["url"], "seq": entry.seq, **attachment},
            due_at=at_once(entry.recorded_at),
            account=entry.account,
            address=entry.address,
            cause_seq=entry.seq,
        )
        work.changes.queued = True
