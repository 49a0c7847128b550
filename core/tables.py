"""The base's tables, declared once; the log writer's bare statements name the same columns."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Index, LargeBinary, SmallInteger, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from core.clock import now
from core.columns import Big, Id, Instant, Json
from core.ids import uuid7


def _index_of(name: str, rows: str, *columns: str) -> Index:
    """An index of some rows only: a query finds it where its own condition is written in the same words."""
    return Index(name, *columns, postgresql_where=text(rows), sqlite_where=text(rows))


# The interaction log. See docs/adr/0001-interaction-log.md: these four tables are written by one statement each
# batch (core/log/appenders.py) and by nothing else.


class LogHead(SQLModel, table=True):
    """One row: the newest sequence number. PostgreSQL's writers queue on it, last, so that order is commit order."""

    __tablename__ = "log_head"
    id: int = Field(primary_key=True, sa_type=SmallInteger)
    seq: int = Field(sa_type=Big)


class LogKey(SQLModel, table=True):
    """What makes an event unique, for ever: unpartitioned and never pruned."""

    __tablename__ = "log_key"
    __table_args__: ClassVar[Any] = ({"sqlite_with_rowid": False},)
    account: str = Field(primary_key=True, sa_type=Text)
    dedupe_key: str = Field(primary_key=True, sa_type=Text)
    id: UUID = Field(sa_type=Id)


class LogEntry(SQLModel, table=True):
    """The envelope of one interaction: it never changes, not even when a person is erased or merged."""

    __tablename__ = "log"
    __table_args__: ClassVar[Any] = (
        Index("ix_log_id", "id"),
        _index_of("ix_log_acts", "kind = 'act'", "seq"),
        {"postgresql_partition_by": "RANGE (recorded_at)", "sqlite_with_rowid": False},
    )
    seq: int = Field(primary_key=True, sa_type=Big)
    recorded_at: datetime = Field(sa_type=Instant, primary_key=True)
    id: UUID = Field(sa_type=Id)
    account: str = Field(sa_type=Text)
    channel: str = Field(sa_type=Text)
    direction: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    shard: int = Field(sa_type=SmallInteger)
    external_id: str = Field(sa_type=Text)
    occurred_at: datetime = Field(sa_type=Instant)
    thread: str = Field(sa_type=Text)
    in_reply_to: UUID | None = Field(default=None, sa_type=Id)
    blueprint: int = Field(sa_type=SmallInteger)
    digest: bytes = Field(sa_type=LargeBinary)


class Content(SQLModel, table=True):
    """What an interaction said: everything that an erasure takes away, and the salt that made its digest."""

    __tablename__ = "content"
    seq: int = Field(primary_key=True, sa_type=Big)
    scheme: str = Field(sa_type=Text)
    address: str = Field(sa_type=Text)
    own: str = Field(sa_type=Text)
    text: str = Field(sa_type=Text)
    data: str = Field(sa_type=Text)
    raw: bytes = Field(sa_type=LargeBinary)
    raw_type: str = Field(sa_type=Text)
    salt: bytes = Field(sa_type=LargeBinary)
    erased_at: datetime | None = Field(default=None, sa_type=Instant)


class Seal(SQLModel, table=True):
    """One link of an account's hash chain: it covers every entry of the account in first_seq…last_seq."""

    __tablename__ = "seal"
    __table_args__: ClassVar[Any] = (Index("ix_seal_last", "last_seq", "account"),)
    account: str = Field(primary_key=True, sa_type=Text)
    number: int = Field(primary_key=True, sa_type=Big)
    first_seq: int = Field(sa_type=Big)
    last_seq: int = Field(sa_type=Big)
    entries: int = Field(sa_type=Big)
    hash: bytes = Field(sa_type=LargeBinary)
    sealed_at: datetime = Field(sa_type=Instant)


class Cursor(SQLModel, table=True):
    """How far a consumer has come in one of its lanes."""

    __tablename__ = "cursor"
    consumer: str = Field(primary_key=True, sa_type=Text)
    lane: int = Field(primary_key=True, sa_type=SmallInteger)
    seq: int = Field(sa_type=Big)


class Parked(SQLModel, table=True):
    """An entry that a consumer could not digest: shown to people, the rest goes on."""

    __tablename__ = "parked"
    consumer: str = Field(primary_key=True, sa_type=Text)
    seq: int = Field(primary_key=True, sa_type=Big)
    error: str = Field(sa_type=Text)
    parked_at: datetime = Field(sa_type=Instant)


class ActOutcome(SQLModel, table=True):
    """Why a person's act was refused when its turn came; acts that took effect have no row."""

    __tablename__ = "act_outcome"
    seq: int = Field(primary_key=True, sa_type=Big)
    code: str = Field(sa_type=Text)
    message: str = Field(sa_type=Text)
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class ActRow(SQLModel, table=True):
    """An act of the log by what the audit trail is asked for; made from the log by crm/audit.py, never changed."""

    __tablename__ = "act"
    __table_args__: ClassVar[Any] = (
        Index("ix_act_family", "family", "seq"),
        Index("ix_act_person", "person", "seq"),
        Index("ix_act_object", "object", "seq"),
        Index("ix_act_at", "at"),
    )
    seq: int = Field(primary_key=True, sa_type=Big)
    at: datetime = Field(sa_type=Instant)
    name: str = Field(sa_type=Text)
    family: str = Field(sa_type=Text)
    person: str = Field(sa_type=Text)  # a user's id; empty where the command line or the hub itself acted
    object: str = Field(sa_type=Text)  # "user:<id>", "party:<id>", "account:<name>" …


# Parties: who. Endpoints: where.


class Party(SQLModel, table=True):
    __tablename__ = "party"
    __table_args__: ClassVar[Any] = (
        Index("ix_party_folded", "folded"),
        Index("ix_party_kind", "kind", "territory"),
    )
    id: UUID = Field(primary_key=True, sa_type=Id)
    kind: str = Field(sa_type=Text)  # a customer kind of the blueprint, or "unknown"
    name: str = Field(sa_type=Text)
    folded: str = Field(default="", sa_type=Text)  # simplified, lower case, no blanks: for search
    territory: str = Field(default="", sa_type=Text)
    owner: str = Field(default="", sa_type=Text)
    stage: str = Field(default="", sa_type=Text)
    fields: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    merged_into: UUID | None = Field(default=None, sa_type=Id, index=True)
    blueprint: int = Field(default=0, sa_type=SmallInteger)
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
    updated_at: datetime = Field(default_factory=now, sa_type=Instant)
    erased_at: datetime | None = Field(default=None, sa_type=Instant)
    row_version: int = Field(default=1)


class PartyKey(SQLModel, table=True):
    """A number by which others name a party, such as a licence: unique per system."""

    __tablename__ = "party_key"
    system: str = Field(primary_key=True, sa_type=Text)
    key: str = Field(primary_key=True, sa_type=Text)
    party_id: UUID = Field(sa_type=Id, index=True)


class Endpoint(SQLModel, table=True):
    """An address of a party; an address belongs to one party at a time and moves only by a logged act."""

    __tablename__ = "endpoint"
    scheme: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(primary_key=True, sa_type=Text)
    party_id: UUID = Field(sa_type=Id, index=True)
    verified_at: datetime | None = Field(default=None, sa_type=Instant)
    is_primary: bool = Field(default=False)
    evidence_seq: int | None = Field(default=None, sa_type=Big)
    since: datetime = Field(default_factory=now, sa_type=Instant)


class Consent(SQLModel, table=True):
    """The newest word of an address on one purpose; `seq` is the interaction that proves it."""

    __tablename__ = "consent"
    scheme: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(primary_key=True, sa_type=Text)
    purpose: str = Field(primary_key=True, sa_type=Text)
    granted: bool
    seq: int = Field(sa_type=Big)
    at: datetime = Field(sa_type=Instant)


class Merge(SQLModel, table=True):
    """A merge of two parties and what it moved, so that it can be undone to the letter."""

    __tablename__ = "merge"
    act_seq: int = Field(primary_key=True, sa_type=Big)
    party_id: UUID = Field(sa_type=Id, index=True)
    into_id: UUID = Field(sa_type=Id, index=True)
    reason: str = Field(default="", sa_type=Text)
    undone_seq: int | None = Field(default=None, sa_type=Big)


class Line(SQLModel, table=True):
    """An entry on a party's timeline. A merge rewrites none: a timeline is read over all merged parties."""

    __tablename__ = "line"
    __table_args__: ClassVar[Any] = ({"sqlite_with_rowid": False},)
    party_id: UUID = Field(primary_key=True, sa_type=Id)
    seq: int = Field(primary_key=True, sa_type=Big)


# What leaves.


class OutboxItem(SQLModel, table=True):
    """Something that must leave, or be done, after the transaction that decided it."""

    __tablename__ = "outbox"
    __table_args__: ClassVar[Any] = (
        UniqueConstraint("key"),
        # What is done is most of the table and stands in none of these.
        _index_of("ix_outbox_waiting", "state = 'waiting'", "lane", "account", "due_at", "id"),
        _index_of("ix_outbox_running", "state = 'running'", "account", "claimed_until"),
        _index_of("ix_outbox_ended_badly", "state IN ('failed', 'unknown', 'cancelled')", "state", "id"),
        Index("ix_outbox_cause", "cause_seq"),
    )
    id: UUID = Field(default_factory=uuid7, primary_key=True, sa_type=Id)
    key: str = Field(sa_type=Text)  # made from what caused it, so that a second run of a handler adds nothing
    job: str = Field(sa_type=Text)  # "send", "fetch", …
    lane: int = Field(default=5, sa_type=SmallInteger)  # lower goes first: 1 replies, 5 jobs, 9 broadcasts
    account: str = Field(default="", sa_type=Text)
    scheme: str = Field(default="", sa_type=Text)
    address: str = Field(default="", sa_type=Text)
    payload: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    state: str = Field(default="waiting", sa_type=Text)  # waiting, running, done, failed, unknown, cancelled
    attempts: int = Field(default=0, sa_type=SmallInteger)
    due_at: datetime = Field(default_factory=now, sa_type=Instant)
    deadline: datetime | None = Field(default=None, sa_type=Instant)
    claimed_until: datetime | None = Field(default=None, sa_type=Instant)
    error: str = Field(default="", sa_type=Text)
    cause_seq: int | None = Field(default=None, sa_type=Big)
    created_at: datetime = Field(default_factory=now, sa_type=Instant)


class Delivery(SQLModel, table=True):
    """The furthest state of a message that we sent, by the provider's name for it."""

    __tablename__ = "delivery"
    account: str = Field(primary_key=True, sa_type=Text)
    external_id: str = Field(primary_key=True, sa_type=Text)
    state: str = Field(sa_type=Text)
    rank: int = Field(sa_type=SmallInteger)
    error: str = Field(default="", sa_type=Text)
    at: datetime = Field(sa_type=Instant)


class Sent(SQLModel, table=True):
    """Which outgoing entry of the log a provider's name belongs to."""

    __tablename__ = "sent"
    __table_args__: ClassVar[Any] = (
        Index("ix_sent_external", "account", "external_id"),
        Index("ix_sent_outbox", "outbox_id"),
    )
    seq: int = Field(primary_key=True, sa_type=Big)
    account: str = Field(sa_type=Text)
    external_id: str = Field(default="", sa_type=Text)
    outbox_id: UUID = Field(sa_type=Id)
    state: str = Field(default="queued", sa_type=Text)
    error: str = Field(default="", sa_type=Text)


class File(SQLModel, table=True):
    """A stored file: an attachment, a recording. Its bytes lie in the file store under the digest."""

    __tablename__ = "file"
    id: UUID = Field(default_factory=uuid7, primary_key=True, sa_type=Id)
    seq: int = Field(sa_type=Big, index=True)
    part: int = Field(default=0, sa_type=SmallInteger)
    name: str = Field(sa_type=Text)
    content_type: str = Field(sa_type=Text)
    size: int = Field(default=0, sa_type=Big)
    sha256: str = Field(default="", sa_type=Text)
    state: str = Field(default="waiting", sa_type=Text)  # waiting, stored, failed, erased
    error: str = Field(default="", sa_type=Text)


# Our lines, our people.


class AccountRow(SQLModel, table=True):
    __tablename__ = "account"
    slug: str = Field(primary_key=True, sa_type=Text)
    provider: str = Field(sa_type=Text)
    title: str = Field(sa_type=Text)
    config: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    secrets: dict[str, str] = Field(
        default_factory=dict, sa_type=Json
    )  # name -> reference (env:NAME, file:PATH)
    is_enabled: bool = Field(default=True)
    updated_at: datetime = Field(default_factory=now, sa_type=Instant)


class User(SQLModel, table=True):
    __tablename__ = "user_account"
    id: UUID = Field(default_factory=uuid7, primary_key=True, sa_type=Id)
    login: str = Field(sa_type=Text, unique=True)
    name: str = Field(sa_type=Text)
    password_hash: str = Field(default="", sa_type=Text)
    roles: list[str] = Field(default_factory=list, sa_type=Json)
    unit: str = Field(default="", sa_type=Text)
    queues: list[str] = Field(default_factory=list, sa_type=Json)
    territories: list[str] = Field(default_factory=list, sa_type=Json)
    totp_secret: str = Field(default="", sa_type=Text)
    totp_pending: str = Field(default="", sa_type=Text)
    totp_last_step: int = Field(default=0, sa_type=Big)
    locale: str = Field(default="", sa_type=Text)
    disabled_at: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
    seen_at: datetime | None = Field(default=None, sa_type=Instant)
    password_given_at: datetime | None = Field(
        default=None, sa_type=Instant
    )  # by others; its owner has to change it


class SignIn(SQLModel, table=True):
    """A browser session; the cookie holds the token, the table its digest."""

    __tablename__ = "sign_in"
    token_digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    user_id: UUID = Field(sa_type=Id, index=True)
    csrf: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=Instant)
    seen_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)


class Setting(SQLModel, table=True):
    """A value the hub keeps for itself (secrets it generated, the published blueprint, …)."""

    __tablename__ = "setting"
    key: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(sa_type=Text)


class Posting(SQLModel, table=True):
    """One two-character run (gram) and the entry in whose text it stands. See core/search.py."""

    __tablename__ = "posting"
    __table_args__: ClassVar[Any] = ({"sqlite_with_rowid": False},)
    gram: int = Field(primary_key=True, sa_type=Big)
    seq: int = Field(primary_key=True, sa_type=Big)


class Erasure(SQLModel, table=True):
    """The ledger of erased persons, applied again after a restore: keyed digests, no identity."""

    __tablename__ = "erasure"
    act_seq: int = Field(primary_key=True, sa_type=Big)
    party_id: UUID = Field(sa_type=Id)
    address_digests: list[str] = Field(default_factory=list, sa_type=Json)
    entries: int = Field(default=0, sa_type=Big)
    at: datetime = Field(sa_type=Instant)


# What several processes agree on. See docs/adr/0011-many-processes.md.


class LeaseRow(SQLModel, table=True):
    """Which process owns something that only one may do; each change of owner raises the epoch."""

    __tablename__ = "lease"
    name: str = Field(primary_key=True, sa_type=Text)
    holder: str = Field(sa_type=Text)
    epoch: int = Field(sa_type=Big)
    until: datetime = Field(sa_type=Instant)


class Feed(SQLModel, table=True):
    """What a committed batch of the CRM changed, for the consoles of other processes; kept for an hour."""

    __tablename__ = "feed"
    number: int = Field(primary_key=True, sa_type=Big)
    document: dict[str, Any] = Field(sa_type=Json)
    at: datetime = Field(sa_type=Instant, index=True)


class Pace(SQLModel, table=True):
    """When an account that is limited to so many messages a second may send its next one."""

    __tablename__ = "pace"
    account: str = Field(primary_key=True, sa_type=Text)
    free_at: datetime = Field(sa_type=Instant)


class ProcessRow(SQLModel, table=True):
    """A process of this hub and when it was last heard of."""

    __tablename__ = "process"
    name: str = Field(primary_key=True, sa_type=Text)
    role: str = Field(sa_type=Text)
    host: str = Field(sa_type=Text)
    pid: int = Field(sa_type=Big)
    started_at: datetime = Field(sa_type=Instant)
    seen_at: datetime = Field(sa_type=Instant)
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class AlarmRow(SQLModel, table=True):
    """Something that a person has to look at, from when it began until it is over."""

    __tablename__ = "alarm"
    name: str = Field(primary_key=True, sa_type=Text)
    since: datetime = Field(sa_type=Instant)
    told_at: datetime | None = Field(default=None, sa_type=Instant)
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
