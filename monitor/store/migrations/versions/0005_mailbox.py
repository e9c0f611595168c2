"""The letters of a day are counted by the mailbox they go to."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "letters", sa.Column("mailbox", sa.Text(), server_default="", nullable=False)
    )
    op.execute("UPDATE letters SET mailbox = lower(recipient)")
    op.create_index(
        "ix_letters_mailbox", "letters", ["mailbox", "settled_at"], unique=False
    )
