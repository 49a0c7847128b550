"""What a handler of log entries works with: the open transaction, what is known, what has to be announced."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import insert

from core.database import Tx
from core.log.entries import Logged
from core.tables import Consent, Line, Party
from core.values import Address
from crm.blueprint.publishing import Book, Published
from crm.collection.figures import FigureKey
from crm.collection.taking import Taker
from crm.desk import conversations
from crm.desk.known import Known, party_behind, root_of
from crm.tables import Conversation, Figure

RowT = TypeVar("RowT")

_LINE = insert(Line)


@dataclass(slots=True)
class Changes:
    """What a committed batch changed, for those who look at it live."""

    parties: set[UUID] = field(default_factory=set)  # whose conversations changed
    lines: dict[int, UUID] = field(default_factory=dict)  # timeline lines, new or changed, and their party
    figures: list[Figure] = field(default_factory=list)
    queued: bool = False  # something was put into the outbox


@dataclass(slots=True)
class Work:
    tx: Tx
    known: Known
    book: Book
    changes: Changes = field(default_factory=Changes)
    touched: set[FigureKey] = field(default_factory=set)

    def published(self, entry: Logged) -> Published:
        return self.book.at(entry.blueprint)

    def taker(self, entry: Logged) -> Taker:
        return Taker(self.tx, self.known, self.published(entry).timezone, self.touched)

    def party(self, entry: Logged) -> tuple[Party, Party]:
        """The party that owns the entry's address, and the one that stands for it after merges."""
        party = party_behind(self.tx, self.known, entry)
        return party, root_of(self.known, party)

    def conversation(self, root: Party, entry: Logged) -> Conversation:
        row = self.known.conversations.get(root.id)
        if row is None:
            row = conversations.begin(root.id, entry.occurred_at)
            self.known.conversations[root.id] = row
            self.tx.session.add(row)
        row.changed_seq = entry.seq
        row.version += 1
        self.changes.parties.add(root.id)
        return row

    def add_line(self, owner: UUID, root: UUID, seq: int) -> None:
        """Show the entry on a party's timeline."""
        self.tx.write_later(_LINE, {"party_id": owner, "seq": seq})
        self.changes.lines[seq] = root

    async def consent(self, address: Address, purpose: str, granted: bool, seq: int, at: datetime) -> None:
        """The newest word of an address on a purpose, with the entry that proves it."""
        await self.put(
            Consent(
                scheme=address.scheme, value=address.value, purpose=purpose, granted=granted, seq=seq, at=at
            )
        )

    async def put(self, row: RowT) -> RowT:
        """Insert or replace a row by its key; flushed, so that the next entry of the batch finds it."""
        merged = await self.tx.session.merge(row)
        await self.tx.flush()
        return merged
