"""The CRM's tables: projections of the log and the published blueprints. All but the last can be rebuilt by replay."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Index, SmallInteger, Text
from sqlmodel import Field, SQLModel

from core.columns import Big, Id, Instant, Json


class Conversation(SQLModel, table=True):
    """What the desk knows of a party's one stream: who has it, what waits, what was said last."""

    __tablename__ = "conversation"
    __table_args__: ClassVar[Any] = (
        Index("ix_conversation_state", "state", "due_at"),
        Index("ix_conversation_newest", "last_seq"),
        Index("ix_conversation_queue", "queue", "state"),
        Index("ix_conversation_assignee", "assignee", "state"),
    )
    party_id: UUID = Field(primary_key=True, sa_type=Id)
    queue: str = Field(default="", sa_type=Text)
    state: str = Field(default="auto", sa_type=Text)  # open, auto, snoozed, resolved
    assignee: UUID | None = Field(default=None, sa_type=Id)
    unread: int = Field(default=0)
    last_seq: int = Field(default=0, sa_type=Big)
    last_at: datetime = Field(sa_type=Instant)
    last_direction: str = Field(default="in", sa_type=Text)
    last_channel: str = Field(default="", sa_type=Text)
    preview: str = Field(default="", sa_type=Text)
    reply_account: str = Field(default="", sa_type=Text)
    reply_scheme: str = Field(default="", sa_type=Text)
    reply_address: str = Field(default="", sa_type=Text)
    answered_seq: int = Field(default=0, sa_type=Big)  # the newest reply that a person wrote
    answered_by: UUID | None = Field(default=None, sa_type=Id)
    waiting_since: datetime | None = Field(default=None, sa_type=Instant)
    due_at: datetime | None = Field(default=None, sa_type=Instant)
    snoozed_until: datetime | None = Field(default=None, sa_type=Instant)
    flags: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    case_id: int | None = Field(default=None, sa_type=Big)
    changed_seq: int = Field(default=0, sa_type=Big)
    version: int = Field(default=1)


class Case(SQLModel, table=True):
    """A service case. Its id is the sequence number of the interaction that opened it."""

    __tablename__ = "service_case"
    __table_args__: ClassVar[Any] = (
        Index("ix_case_party", "party_id"),
        Index("ix_case_state", "state", "due_solve"),
    )
    id: int = Field(primary_key=True, sa_type=Big, sa_column_kwargs={"autoincrement": False})
    number: str = Field(sa_type=Text, unique=True)
    kind: str = Field(sa_type=Text)
    subkind: str = Field(default="", sa_type=Text)
    severity: int = Field(default=1, sa_type=SmallInteger)
    title: str = Field(default="", sa_type=Text)
    party_id: UUID = Field(sa_type=Id)
    state: str = Field(sa_type=Text)
    queue: str = Field(default="", sa_type=Text)
    assignee: UUID | None = Field(default=None, sa_type=Id)
    opened_at: datetime = Field(sa_type=Instant)
    state_since: datetime = Field(sa_type=Instant)
    due_first: datetime | None = Field(default=None, sa_type=Instant)
    due_solve: datetime | None = Field(default=None, sa_type=Instant)
    answered_at: datetime | None = Field(default=None, sa_type=Instant)
    closed_at: datetime | None = Field(default=None, sa_type=Instant)
    reopen_count: int = Field(default=0, sa_type=SmallInteger)
    blueprint: int = Field(default=0, sa_type=SmallInteger)
    fields: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class CaseCounter(SQLModel, table=True):
    """The running number of a kind of case within a span (a year, a month)."""

    __tablename__ = "case_counter"
    kind: str = Field(primary_key=True, sa_type=Text)
    span: str = Field(primary_key=True, sa_type=Text)
    count: int = Field(sa_type=Big)


class ReadingRow(SQLModel, table=True):
    """How the hub read a message: intent, status, items with their spans, errors, the reply."""

    __tablename__ = "reading"
    seq: int = Field(primary_key=True, sa_type=Big, sa_column_kwargs={"autoincrement": False})
    party_id: UUID = Field(sa_type=Id)
    intent: str = Field(sa_type=Text)
    status: str = Field(sa_type=Text)
    reply: str = Field(sa_type=Text)
    form: str = Field(default="", sa_type=Text)
    receipt: str = Field(default="", sa_type=Text)
    blueprint: int = Field(default=0, sa_type=SmallInteger)
    document: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Submission(SQLModel, table=True):
    """One report of a form. Its key is the interaction that brought it."""

    __tablename__ = "submission"
    __table_args__: ClassVar[Any] = (
        Index("ix_submission_party", "party_id", "form", "seq"),
        Index("ix_submission_period", "form", "period", "party_id"),
    )
    seq: int = Field(primary_key=True, sa_type=Big, sa_column_kwargs={"autoincrement": False})
    party_id: UUID = Field(sa_type=Id)
    form: str = Field(sa_type=Text)
    period: str = Field(sa_type=Text)
    day: str = Field(sa_type=Text)  # the local date that the figures are for
    channel: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)  # received, held, accepted, corrected, withdrawn
    receipt: str = Field(sa_type=Text)
    normal: str = Field(default="", sa_type=Text)  # the text as compared for repeats; emptied by an erasure
    received_at: datetime = Field(sa_type=Instant)
    is_late: bool = Field(default=False)
    blueprint: int = Field(default=0, sa_type=SmallInteger)


class Observation(SQLModel, table=True):
    """One figure as somebody gave it, and the characters that said so."""

    __tablename__ = "observation"
    __table_args__: ClassVar[Any] = (
        Index("ix_observation_figure", "party_id", "form", "period", "sku", "field"),
        Index("ix_observation_state", "party_id", "state"),
    )
    seq: int = Field(primary_key=True, sa_type=Big, sa_column_kwargs={"autoincrement": False})
    number: int = Field(primary_key=True, sa_type=SmallInteger)
    submission: int = Field(
        sa_type=Big, index=True
    )  # the submission it belongs to: its own, or the one it corrects
    party_id: UUID = Field(sa_type=Id)
    form: str = Field(sa_type=Text)
    period: str = Field(sa_type=Text)
    sku: str = Field(sa_type=Text)
    field: str = Field(sa_type=Text)
    value: int = Field(default=0, sa_type=Big)  # in the unit that the form stores
    text: str = Field(default="", sa_type=Text)  # of fields that hold words or a code
    state: str = Field(sa_type=Text)  # held, accepted, replaced, withdrawn, rejected
    warn: str = Field(default="", sa_type=Text)
    matched_by: str = Field(default="", sa_type=Text)
    span_start: int = Field(default=-1)  # code points of the interaction's text; -1: not from a text
    span_end: int = Field(default=-1)
    held_until: datetime | None = Field(default=None, sa_type=Instant)
    supersedes_seq: int | None = Field(default=None, sa_type=Big)
    supersedes_number: int | None = Field(default=None, sa_type=SmallInteger)
    by: UUID | None = Field(default=None, sa_type=Id)  # the person who corrected it; empty: the party itself
    reason: str = Field(default="", sa_type=Text)
    at: datetime = Field(sa_type=Instant)
    settled_seq: int | None = Field(
        default=None, sa_type=Big
    )  # what accepted, replaced, withdrew or rejected it


class Figure(SQLModel, table=True):
    """The figure that is shown for a party, product, field and period: the newest observation that stands."""

    __tablename__ = "figure"
    __table_args__: ClassVar[Any] = (
        Index("ix_figure_party", "party_id", "form", "period"),
        {"sqlite_with_rowid": False},
    )
    form: str = Field(primary_key=True, sa_type=Text)
    period: str = Field(primary_key=True, sa_type=Text)
    party_id: UUID = Field(primary_key=True, sa_type=Id)
    sku: str = Field(primary_key=True, sa_type=Text)
    field: str = Field(primary_key=True, sa_type=Text)
    value: int = Field(default=0, sa_type=Big)
    text: str = Field(default="", sa_type=Text)
    state: str = Field(sa_type=Text)  # accepted, corrected, held
    warn: str = Field(default="", sa_type=Text)
    seq: int = Field(sa_type=Big)
    number: int = Field(sa_type=SmallInteger)
    changed_seq: int = Field(default=0, sa_type=Big)


class Normal(SQLModel, table=True):
    """The value of a field that a party confirmed last: its like is not asked back again."""

    __tablename__ = "normal"
    party_id: UUID = Field(primary_key=True, sa_type=Id)
    form: str = Field(primary_key=True, sa_type=Text)
    sku: str = Field(primary_key=True, sa_type=Text)
    field: str = Field(primary_key=True, sa_type=Text)
    value: int = Field(sa_type=Big)


class PendingQuestion(SQLModel, table=True):
    """What the hub asked an address last and waits for: a proposal, a binding to verify, a list to fill in."""

    __tablename__ = "pending_question"
    scheme: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(primary_key=True, sa_type=Text)
    kind: str = Field(primary_key=True, sa_type=Text)  # same_again, awaiting, verify
    document: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    until: datetime = Field(sa_type=Instant)
    seq: int = Field(sa_type=Big)


class LoopGuard(SQLModel, table=True):
    """How often the hub answered an address by itself of late."""

    __tablename__ = "loop_guard"
    scheme: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(primary_key=True, sa_type=Text)
    since: datetime = Field(sa_type=Instant)
    answers: int = Field(default=0)
    tripped_at: datetime | None = Field(default=None, sa_type=Instant)


class Person(SQLModel, table=True):
    """A contact person of a party."""

    __tablename__ = "person"
    id: UUID = Field(primary_key=True, sa_type=Id)
    party_id: UUID = Field(sa_type=Id, index=True)
    name: str = Field(sa_type=Text)
    post: str = Field(default="", sa_type=Text)
    fields: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class BlueprintVersion(SQLModel, table=True):
    """A published blueprint: never changed, never deleted."""

    __tablename__ = "blueprint_version"
    version: int = Field(primary_key=True, sa_type=SmallInteger)
    package: str = Field(sa_type=Text)
    hash: str = Field(sa_type=Text)
    document: str = Field(sa_type=Text)
    author: str = Field(sa_type=Text)
    approved_by: str = Field(default="", sa_type=Text)
    note: str = Field(default="", sa_type=Text)
    published_at: datetime = Field(sa_type=Instant)
