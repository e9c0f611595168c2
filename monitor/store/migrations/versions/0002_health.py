"""How it stands with a token moves to a narrow table; the governor's ledger."""

import sqlalchemy as sa
from alembic import op

from monitor.store.instants import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MOVED = (
    "life_seen_at",
    "verified_at",
    "suspicion",
    "suspected_at",
    "severity",
    "codes",
    "last_checked_at",
    "inconclusive_cause",
    "looks",
    "policy",
    "next_check_at",
    "judge_at",
    "fence",
)
"""Columns that go from `tokens` to `health` as they are."""


_GONE = ("check_every", "judged_by", "known", "known_print", "urgency")
"""Columns that leave `tokens` under another name, or for good."""


def _row_id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "health",
        sa.Column("token_row", _row_id(), autoincrement=False, nullable=False),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("life_seen_at", UtcDateTime(), nullable=True),
        sa.Column("verified_at", UtcDateTime(), nullable=True),
        sa.Column("suspicion", sa.Text(), nullable=True),
        sa.Column("suspected_at", UtcDateTime(), nullable=True),
        sa.Column("severity", sa.Text(), server_default="unknown", nullable=False),
        sa.Column("codes", sa.Text(), server_default="", nullable=False),
        sa.Column("last_checked_at", UtcDateTime(), nullable=True),
        sa.Column("inconclusive_cause", sa.Text(), nullable=True),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("heard", sa.BigInteger(), nullable=True),
        sa.Column("policy", sa.Text(), nullable=True),
        sa.Column("interval", sa.BigInteger(), nullable=True),
        sa.Column("urgency", sa.Integer(), server_default="3", nullable=False),
        sa.Column("next_check_at", UtcDateTime(), nullable=False),
        sa.Column("judge_at", UtcDateTime(), nullable=True),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["token_row"],
            ["tokens.row_id"],
            name=op.f("fk_health_token_row"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_row", name=op.f("pk_health")),
        postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
    )
    op.create_table(
        "introspections",
        sa.Column("token_row", _row_id(), autoincrement=False, nullable=False),
        sa.Column("known", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["token_row"],
            ["tokens.row_id"],
            name=op.f("fk_introspections_token_row"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_row", name=op.f("pk_introspections")),
    )
    op.create_table(
        "calls",
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("slot", UtcDateTime(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "slot", name=op.f("pk_calls")),
    )
    op.add_column("apps", sa.Column("usage_at", UtcDateTime(), nullable=True))
    _move()
    op.create_index(
        "ix_health_due", "health", ["app_id", "urgency", "next_check_at"], unique=False
    )
    op.create_index("ix_health_judge", "health", ["app_id", "judge_at"], unique=False)
    op.create_index("ix_health_severity", "health", ["severity"], unique=False)
    op.create_index("ix_outbox_token", "outbox", ["token_row"], unique=False)


def _move() -> None:
    names = ", ".join(_MOVED)
    # What was routine is level 3 now: level 2 is for tokens at risk.
    op.execute(
        f"INSERT INTO health (token_row, app_id, urgency, interval, {names}) "
        "SELECT row_id, app_id, CASE urgency WHEN 2 THEN 3 ELSE urgency END, "
        f"check_every, {names} FROM tokens"
    )
    op.execute(
        "INSERT INTO introspections (token_row, known) "
        "SELECT row_id, known FROM tokens WHERE known IS NOT NULL"
    )
    for index in ("due", "judge", "severity"):
        op.drop_index(f"ix_tokens_{index}", "tokens")
    # Column by column: Alembic's way of making the table anew would delete the
    # history with the old one.
    for name in (*_MOVED, *_GONE):
        op.drop_column("tokens", name)
