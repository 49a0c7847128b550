"""Many processes: leases, the feed of changes, pace of accounts, who runs, what is wrong."""

import sqlalchemy as sa
from alembic import op

from core.columns import Big, Instant, Json

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "act",
        sa.Column("seq", Big, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_act_at", "act", ["at"], unique=False)
    op.create_index("ix_act_family", "act", ["family", "seq"], unique=False)
    op.create_index("ix_act_object", "act", ["object", "seq"], unique=False)
    op.create_index("ix_act_person", "act", ["person", "seq"], unique=False)
    op.create_table(
        "alarm",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("told_at", Instant(), nullable=True),
        sa.Column("detail", Json, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "feed",
        sa.Column("number", Big, nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index(op.f("ix_feed_at"), "feed", ["at"], unique=False)
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", Big, nullable=False),
        sa.Column("until", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "pace",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("free_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "process",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", Big, nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.add_column("user_account", sa.Column("seen_at", Instant(), nullable=True))
    op.add_column("user_account", sa.Column("password_given_at", Instant(), nullable=True))
    _index_some("ix_log_acts", "log", "kind = 'act'", "seq")
    _index_some("ix_outbox_waiting", "outbox", "state = 'waiting'", "lane", "account", "due_at", "id")
    _index_some("ix_outbox_running", "outbox", "state = 'running'", "account", "claimed_until")
    _index_some(
        "ix_outbox_ended_badly", "outbox", "state IN ('failed', 'unknown', 'cancelled')", "state", "id"
    )
    op.drop_index("ix_outbox_due", "outbox")


def _index_some(name: str, table: str, rows: str, *columns: str) -> None:
    op.create_index(
        name, table, columns, unique=False, postgresql_where=sa.text(rows), sqlite_where=sa.text(rows)
    )
