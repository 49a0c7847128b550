"""What people do at the desk, applied in turn with the messages: reply, note, assign, resolve, merge, correct."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core import outbox, parties
from core.clock import at_once
from core.consumers import ActRefused
from core.errors import Conflict, NotFound
from core.log.entries import Logged
from core.sending import queue_message
from core.tables import Endpoint, Party, PartyKey
from core.text import folded
from core.values import Address
from crm import cases
from crm.collection import corrections
from crm.desk import conversations, merging
from crm.desk.conversations import ConversationState
from crm.desk.known import remember_parties, root_of
from crm.desk.vocabulary import ADMINISTRATION
from crm.desk.work import Work
from crm.tables import Conversation, Person

Act = Callable[[Work, Logged], Awaitable[None]]

_REPLY_WITHIN = timedelta(hours=48)


async def take_act(work: Work, entry: Logged) -> None:
    """Apply a person's act. Raises ActRefused when the world has moved on since the person decided."""
    await ACTS[entry.data["act"]](work, entry)


async def _subject(work: Work, entry: Logged) -> tuple[Party, Conversation]:
    """The party that the act is about, and its conversation; the act becomes a line of its timeline."""
    id = UUID(entry.data["party"])
    await remember_parties(work.tx.session, work.known, [id])
    party = work.known.parties.get(id)
    if party is None:
        raise ActRefused("not_found", "There is no such party.", party=str(id))
    root = root_of(work.known, party)
    row = work.conversation(root, entry)
    if entry.seq not in work.changes.lines:
        work.add_line(party.id, root.id, entry.seq)
    return root, row


async def _reply(work: Work, entry: Logged) -> None:
    act = entry.data
    id = UUID(act["party"])
    await remember_parties(work.tx.session, work.known, [id])
    party = work.known.parties.get(id)
    if party is None:
        raise ActRefused("not_found", "There is no such party.", party=str(id))
    root = root_of(work.known, party)
    row = work.conversation(root, entry)
    if row.answered_seq > act["seen_seq"] and str(row.answered_by) != act["by"] and not act.get("force"):
        raise ActRefused(
            "answered_meanwhile", "Somebody has answered since you looked.", answered_seq=row.answered_seq
        )
    recipient = Address(act["to"]["scheme"], act["to"]["value"])
    owner = (await parties.endpoints(work.tx.session, [recipient])).get(recipient)
    if owner is None or owner.party_id not in await parties.family(work.tx.session, root.id):
        raise ActRefused("not_theirs", "This address does not belong to the party.", address=str(recipient))
    queue_message(
        work.tx,
        key=f"reply:{entry.seq}",
        account=act["account"],
        recipient=recipient,
        text=entry.text,
        at=at_once(entry.recorded_at),
        cause_seq=entry.seq,
        by=act["by"],
        deadline=entry.recorded_at + _REPLY_WITHIN,
    )
    work.changes.queued = True


async def _note(work: Work, entry: Logged) -> None:
    await _subject(work, entry)


async def _assign(work: Work, entry: Logged) -> None:
    _, row = await _subject(work, entry)
    row.assignee = UUID(entry.data["user"]) if entry.data["user"] else None
    if row.state in (ConversationState.AUTO, ConversationState.RESOLVED) and row.assignee is not None:
        row.state = ConversationState.OPEN.value


async def _resolve(work: Work, entry: Logged) -> None:
    _, row = await _subject(work, entry)
    row.state = ConversationState.RESOLVED.value
    row.unread = 0
    row.waiting_since = row.due_at = row.snoozed_until = None
    row.flags = {name: value for name, value in row.flags.items() if name in ("answered_at", "held")}


async def _reopen(work: Work, entry: Logged) -> None:
    _, row = await _subject(work, entry)
    row.state = ConversationState.OPEN.value
    row.snoozed_until = None


async def _snooze(work: Work, entry: Logged) -> None:
    _, row = await _subject(work, entry)
    until = datetime.fromisoformat(entry.data["until"])
    row.state = ConversationState.SNOOZED.value
    row.snoozed_until = until
    outbox.put(
        work.tx,
        key=f"wake:{entry.seq}",
        job="wake",
        payload={"party": entry.data["party"], "until": entry.data["until"]},
        due_at=until,
        address=entry.address,
        cause_seq=entry.seq,
    )


async def _wake(work: Work, entry: Logged) -> None:
    """A snooze is over; one that was changed meanwhile has its own end."""
    id = UUID(entry.data["party"])
    await remember_parties(work.tx.session, work.known, [id])
    party = work.known.parties.get(id)
    row = work.known.conversations.get(root_of(work.known, party).id) if party else None
    until = datetime.fromisoformat(entry.data["until"])
    if row is None or row.state != ConversationState.SNOOZED or row.snoozed_until != until:
        return
    _, row = await _subject(work, entry)
    row.state = ConversationState.OPEN.value
    row.snoozed_until = None
    row.waiting_since = row.waiting_since or entry.occurred_at


async def _queue(work: Work, entry: Logged) -> None:
    _, row = await _subject(work, entry)
    row.queue = entry.data["queue"]
    row.assignee = None
    if row.state != ConversationState.OPEN:
        row.state = ConversationState.OPEN.value


async def _open_case(work: Work, entry: Logged) -> None:
    root, row = await _subject(work, entry)
    case = await cases.open_case(
        work.tx,
        work.published(entry),
        kind=entry.data["kind"],
        subkind=entry.data.get("subkind", ""),
        party_id=root.id,
        text=entry.text,
        seq=entry.seq,
        at=entry.occurred_at,
        severity=entry.data.get("severity"),
        assignee=row.assignee,
    )
    conversations.show_case(row, case)
    row.state = ConversationState.OPEN.value


async def _move_case(work: Work, entry: Logged) -> None:
    case = await cases.case_named(work.tx, entry.data["case"])
    _, row = await _subject(work, entry)
    cases.move(work.book.at(case.blueprint).blueprint, case, entry.data["state"], entry.occurred_at)
    await _show_foremost_case(work, row)


async def _assign_case(work: Work, entry: Logged) -> None:
    case = await cases.case_named(work.tx, entry.data["case"])
    await _subject(work, entry)
    case.assignee = UUID(entry.data["user"]) if entry.data["user"] else None


async def _show_foremost_case(work: Work, row: Conversation) -> None:
    await work.tx.flush()
    current = await cases.open_cases(work.tx, await parties.family(work.tx.session, row.party_id))
    conversations.show_case(row, current[0] if current else None)


async def _merge(work: Work, entry: Logged) -> None:
    party, row = await _subject(work, entry)
    into_id = UUID(entry.data["into"])
    await remember_parties(work.tx.session, work.known, [into_id])
    try:
        await parties.merge(work.tx, party.id, into_id, entry.data.get("reason", ""), entry.seq)
    except (Conflict, NotFound) as error:
        raise ActRefused(error.code, error.message, **error.detail) from error
    into = root_of(work.known, work.known.parties[into_id])
    target = work.conversation(into, entry)
    merging.take_over(target, row)
    work.changes.lines[entry.seq] = into.id


async def _unmerge(work: Work, entry: Logged) -> None:
    try:
        undone = await parties.unmerge(work.tx, entry.data["act_seq"], entry.seq)
    except Conflict as error:
        raise ActRefused(error.code, error.message, **error.detail) from error
    await remember_parties(work.tx.session, work.known, [undone.party_id, undone.into_id])
    into = root_of(work.known, work.known.parties[undone.into_id])
    before = work.known.conversations.get(into.id)
    is_untouched = before is not None and before.changed_seq == undone.act_seq
    await _subject(work, entry)
    own = work.conversation(work.known.parties[undone.party_id], entry)
    target = work.conversation(into, entry)
    merging.give_back(own, target, is_untouched=is_untouched)
    if not is_untouched:
        for row in (own, target):
            await merging.show_newest_line(work.tx, row)


async def _bind(work: Work, entry: Logged) -> None:
    """A person says whose address this is: it moves, and what was asked about it is answered."""
    address = Address(entry.data["address"]["scheme"], entry.data["address"]["value"])
    to = UUID(entry.data["to"])
    await remember_parties(work.tx.session, work.known, [to])
    if to not in work.known.parties:
        raise ActRefused("not_found", "There is no such party.", party=str(to))
    _, row = await _subject(work, entry)
    work.known.endpoints[address] = await parties.move_address(
        work.tx, address, to, entry.seq, entry.occurred_at, is_verified=True
    )
    row.state = ConversationState.RESOLVED.value
    row.unread = 0
    row.waiting_since = row.due_at = None
    conversations.flag(row, "verify", None)
    root = root_of(work.known, work.known.parties[to])
    target = work.conversation(root, entry)
    target.reply_scheme, target.reply_address = address.scheme, address.value
    target.reply_account = target.reply_account or row.reply_account


async def _consent(work: Work, entry: Logged) -> None:
    await _subject(work, entry)
    address = Address(entry.data["address"]["scheme"], entry.data["address"]["value"])
    await work.consent(address, entry.data["purpose"], entry.data["granted"], entry.seq, entry.occurred_at)


async def _put_party(work: Work, entry: Logged) -> None:
    """Add a party or change its fields; addresses and keys that it names become its own if they are free."""
    act: dict[str, Any] = entry.data
    id = UUID(act["party"])
    row = await work.tx.session.get(Party, id)
    if row is None:
        row = Party(id=id, kind=act["kind"], name=act["name"], created_at=entry.occurred_at)
        work.tx.session.add(row)
        await work.tx.flush()
    row.kind = act["kind"]
    row.name = act["name"]
    row.folded = folded(act["name"])
    row.territory = act.get("territory", "")
    row.owner = act.get("owner", "")
    row.stage = act.get("stage", "")
    row.fields = act.get("fields", {})
    row.blueprint = entry.blueprint
    row.updated_at = entry.occurred_at
    row.row_version += 1
    work.known.parties[id] = row
    for system, key in act.get("keys", {}).items():
        await work.put(PartyKey(system=system, key=key, party_id=id))
    for number, said in enumerate(act.get("addresses", ())):
        endpoint = await work.put(
            Endpoint(
                scheme=said["scheme"],
                value=said["value"],
                party_id=id,
                is_primary=number == 0,
                verified_at=entry.occurred_at if said.get("verified", True) else None,
                evidence_seq=entry.seq,
                since=entry.occurred_at,
            )
        )
        work.known.endpoints[Address(endpoint.scheme, endpoint.value)] = endpoint
    for person in act.get("persons", ()):
        await work.put(
            Person(
                id=UUID(person["id"]),
                party_id=id,
                name=person["name"],
                post=person.get("post", ""),
                fields=person.get("fields", {}),
            )
        )


async def _no_effect(work: Work, entry: Logged) -> None:
    """Acts that others have applied already; they stand in the log for the record."""


ACTS: dict[str, Act] = {
    "reply": _reply,
    "note": _note,
    "assign": _assign,
    "resolve": _resolve,
    "reopen": _reopen,
    "snooze": _snooze,
    "wake": _wake,
    "queue": _queue,
    "case.open": _open_case,
    "case.state": _move_case,
    "case.assign": _assign_case,
    "merge": _merge,
    "unmerge": _unmerge,
    "bind": _bind,
    "consent": _consent,
    "party.put": _put_party,
    "figure.accept": corrections.accept,
    "figure.reject": corrections.reject,
    "figure.correct": corrections.correct,
    "blueprint.published": _no_effect,
    "erase": _no_effect,
    **dict.fromkeys(ADMINISTRATION, _no_effect),
}
