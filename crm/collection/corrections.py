"""What people at the collection desk decide about a figure: accept it, reject it, or correct it with a reason."""

from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from core.consumers import ActRefused
from core.log.entries import Logged
from crm.collection.figures import FigureKey
from crm.desk.known import remember_parties, root_of
from crm.desk.work import Work
from crm.tables import Observation, Submission


async def accept(work: Work, entry: Logged) -> None:
    observation = await _observation(work, entry)
    _refuse_settled(observation, "held")
    siblings = await _siblings(work, observation)
    observation.state = "accepted"
    observation.settled_seq = entry.seq
    observation.by = UUID(entry.data["by"])
    for older in siblings:
        if older.state == "accepted" and FigureKey.of(older) == FigureKey.of(observation):
            older.state = "replaced"
            older.settled_seq = entry.seq
            observation.supersedes_seq, observation.supersedes_number = older.seq, older.number
    submission = await work.tx.session.get(Submission, observation.submission)
    if submission is not None and submission.state == "held":
        submission.state = "accepted"
    await _close(work, entry, observation)


async def reject(work: Work, entry: Logged) -> None:
    observation = await _observation(work, entry)
    _refuse_settled(observation, "held", "accepted")
    observation.state = "rejected"
    observation.settled_seq = entry.seq
    observation.reason = entry.text
    observation.by = UUID(entry.data["by"])
    await _close(work, entry, observation)


async def correct(work: Work, entry: Logged) -> None:
    """The corrected figure is an observation of its own, which names the one it replaces and who decided."""
    before = await _observation(work, entry)
    _refuse_settled(before, "held", "accepted")
    before.state = "replaced"
    before.settled_seq = entry.seq
    work.tx.session.add(
        Observation(
            seq=entry.seq,
            number=0,
            submission=before.submission,
            party_id=before.party_id,
            form=before.form,
            period=before.period,
            sku=before.sku,
            field=before.field,
            value=entry.data["value"],
            state="accepted",
            supersedes_seq=before.seq,
            supersedes_number=before.number,
            by=UUID(entry.data["by"]),
            reason=entry.text,
            # It stands where the corrected one stood: what the shop reports later still counts more.
            at=before.at,
        )
    )
    submission = await work.tx.session.get(Submission, before.submission)
    if submission is not None:
        submission.state = "corrected"
    await _close(work, entry, before)


async def _observation(work: Work, entry: Logged) -> Observation:
    seq, _, number = str(entry.data["observation"]).partition(".")
    found = await work.tx.session.get(Observation, (int(seq), int(number or 0)))
    if found is None:
        raise ActRefused("not_found", "There is no such figure.", observation=entry.data["observation"])
    return found


def _refuse_settled(observation: Observation, *allowed: str) -> None:
    if observation.state not in allowed:
        raise ActRefused("settled_meanwhile", "This figure was settled meanwhile.", state=observation.state)


async def _siblings(work: Work, observation: Observation) -> list[Observation]:
    rows = await work.tx.session.execute(
        select(Observation).where(
            col(Observation.submission) == observation.submission,
            col(Observation.sku) == observation.sku,
        )
    )
    return [row for row in rows.scalars() if row is not observation]


async def _close(work: Work, entry: Logged, observation: Observation) -> None:
    """Show the figure anew, and let the conversation rest when nothing of the party is held any more."""
    work.touched.add(FigureKey.of(observation))
    await remember_parties(work.tx.session, work.known, [observation.party_id])
    root = root_of(work.known, work.known.parties[observation.party_id])
    row = work.conversation(root, entry)
    work.add_line(observation.party_id, root.id, entry.seq)
    await work.tx.flush()
    held = await work.tx.session.execute(
        select(col(Observation.seq)).where(
            col(Observation.party_id) == observation.party_id, col(Observation.state) == "held"
        )
    )
    still = len(held.all())
    work.known.held[observation.party_id] = [
        each for each in work.known.held[observation.party_id] if each.state == "held"
    ]
    flags = {name: value for name, value in row.flags.items() if name != "held"}
    row.flags = {**flags, "held": still} if still else flags
    if not still and row.flags.get("was_held") and row.case_id is None:
        row.flags = {name: value for name, value in row.flags.items() if name != "was_held"}
        row.state = "auto"
        row.unread = 0
        row.waiting_since = row.due_at = None
