"""The storm brake; the user behind a token by itself."""

import sqlalchemy as sa
from alembic import op

from monitor.store.instants import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", sa.Column("held_until", UtcDateTime(), nullable=True))
    op.add_column("apps", sa.Column("let_go_at", UtcDateTime(), nullable=True))
    op.add_column("introspections", sa.Column("user_id", sa.Text(), nullable=True))
    # One row that cannot be read must not keep all others from the new schema.
    if op.get_bind().dialect.name == "sqlite":
        user_id = (
            "CASE WHEN json_valid(known) THEN json_extract(known, '$.user_id') END"
        )
    else:
        user_id = """substring(known from '"user_id":"([^"\\\\]*)"')"""
    op.execute(f"UPDATE introspections SET user_id = {user_id}")
    op.create_index(
        "ix_introspections_user", "introspections", ["user_id"], unique=False
    )
    op.add_column("outbox", sa.Column("news_at", UtcDateTime(), nullable=True))
    op.add_column(
        "outbox",
        sa.Column("rank", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column(
        "letters",
        sa.Column(
            "freed", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )
    op.create_index("ix_letters_sealed", "letters", ["sealed_at"], unique=False)
    op.create_index("ix_outbox_news", "outbox", ["app_id", "news_at"], unique=False)
    op.create_index(
        "ix_health_suspected",
        "health",
        ["app_id"],
        unique=False,
        sqlite_where=sa.text("suspicion IS NOT NULL"),
        postgresql_where=sa.text("suspicion IS NOT NULL"),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("users", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("looked_at", sa.Integer(), nullable=False),
        sa.Column("apps", sa.Integer(), nullable=False),
        sa.Column("codes", sa.Text(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("ended_how", sa.Text(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index(
        "uq_holds_open",
        "holds",
        ["app_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.add_column("apps", sa.Column("silent_since", UtcDateTime(), nullable=True))
    op.create_table(
        "unreachable",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_unreachable")),
    )
    op.add_column("letters", sa.Column("disputed_at", UtcDateTime(), nullable=True))
    op.add_column(
        "outbox",
        sa.Column(
            "perhaps_told",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
        ),
    )
    op.create_index(
        "ix_health_cause",
        "health",
        ["inconclusive_cause"],
        unique=False,
        sqlite_where=sa.text("inconclusive_cause IS NOT NULL"),
        postgresql_where=sa.text("inconclusive_cause IS NOT NULL"),
    )
