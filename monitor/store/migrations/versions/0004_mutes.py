"""Which readers stopped the reminders of which incidents."""

import sqlalchemy as sa
from alembic import op

from monitor.store.instants import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mutes",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incidents.id"],
            name=op.f("fk_mutes_incident_id"),
        ),
        sa.PrimaryKeyConstraint("incident_id", "reader", name=op.f("pk_mutes")),
    )
