"""References of ours that the broker showed and that no order of a restored database has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from state.columns import Moment

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spent_references",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("order_ref", sa.String(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_spent_references_account"),
        sa.PrimaryKeyConstraint("account", "order_ref", name="pk_spent_references"),
    )


def downgrade() -> None:
    op.drop_table("spent_references")
