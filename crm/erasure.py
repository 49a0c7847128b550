"""What the CRM forgets of an erased person: words and names everywhere; figures and cases stay, nobody's."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select, tuple_, update
from sqlmodel import col

from core.database import Tx
from core.erasure import Erased, Eraser
from core.parties import parties
from crm.blueprint.customers import FieldType
from crm.blueprint.model import Blueprint
from crm.blueprint.publishing import Book
from crm.tables import (
    Case,
    Conversation,
    LoopGuard,
    Observation,
    PendingQuestion,
    Person,
    ReadingRow,
    Submission,
)

# Fields of these types sort people into groups. What is written freely, or says where somebody is, goes.
_GROUPS = frozenset(
    {
        FieldType.INTEGER,
        FieldType.DECIMAL,
        FieldType.MONEY,
        FieldType.BOOLEAN,
        FieldType.CHOICE,
        FieldType.CHOICES,
        FieldType.TERRITORY,
    }
)


def crm_eraser(book: Book) -> Eraser:
    """Empties the CRM's tables; see `core.erasure.Forgetter`."""

    async def erase(tx: Tx, erased: Erased) -> None:
        if erased.seqs:
            await _forget_readings(tx, erased.seqs)
        if erased.parties:
            await _forget_persons(tx, erased.parties, book)
            await _forget_cases(tx, erased.parties)
        if erased.addresses:
            await _forget_dialogue(tx, [(address.scheme, address.value) for address in erased.addresses])

    return erase


async def _forget_readings(tx: Tx, seqs: Sequence[int]) -> None:
    for row in await tx.session.scalars(select(ReadingRow).where(col(ReadingRow.seq).in_(seqs))):
        row.document = {
            **row.document,
            "errors": [{**error, "token": "", "options": []} for error in row.document.get("errors", ())],
        }
    await tx.session.execute(update(Submission).where(col(Submission.seq).in_(seqs)).values(normal=""))
    await tx.session.flush()


async def _forget_persons(tx: Tx, ids: Sequence[UUID], book: Book) -> None:
    await tx.session.execute(delete(Person).where(col(Person.party_id).in_(ids)))
    for party in (await parties(tx.session, ids)).values():
        kept = fields_that_stay(book.current.blueprint, party.kind) if book.has_any else frozenset()
        party.fields = {name: value for name, value in party.fields.items() if name in kept}
    for row in await tx.session.scalars(select(Conversation).where(col(Conversation.party_id).in_(ids))):
        row.preview = row.reply_account = row.reply_scheme = row.reply_address = ""
        row.flags = {
            name: value for name, value in row.flags.items() if name in ("answered_at", "merged_state")
        }
        row.version += 1
    await tx.session.flush()


def fields_that_stay(blueprint: Blueprint, kind_id: str) -> frozenset[str]:
    """The fields that name nobody: neither marked personal nor a key, and none that people write freely."""
    kind = next((each for each in blueprint.customer_kinds if each.id == kind_id), None)
    if kind is None:
        return frozenset()
    return frozenset(
        field.id
        for field in kind.fields
        if field.type in _GROUPS and not field.personal and not field.unique and field.id != kind.key
    )


async def _forget_cases(tx: Tx, ids: Sequence[UUID]) -> None:
    await tx.session.execute(update(Case).where(col(Case.party_id).in_(ids)).values(title="", fields={}))
    # A reason is a copy of what somebody at the desk wrote.
    await tx.session.execute(
        update(Observation)
        .where(col(Observation.party_id).in_(ids), col(Observation.reason) != "")
        .values(reason="")
    )


async def _forget_dialogue(tx: Tx, addresses: Sequence[tuple[str, str]]) -> None:
    for table in (PendingQuestion, LoopGuard):
        await tx.session.execute(
            delete(table).where(tuple_(col(table.scheme), col(table.value)).in_(addresses))
        )
