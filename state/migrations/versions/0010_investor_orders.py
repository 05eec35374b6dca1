"""Orders of investors: subscriptions and redemptions as they were instructed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from state.columns import Micros, Moment

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "investor_orders",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("investor", sa.String(), nullable=False),
        sa.Column("amount", Micros(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("value_date", sa.Date(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("operator", sa.String(), nullable=False),
        sa.Column("given_at", Moment(), nullable=False),
        sa.Column("withdrawn_at", Moment(), nullable=True),
        sa.Column("withdrawn_by", sa.String(), nullable=True),
        sa.Column("withdrawn_because", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("kind IN ('SUBSCRIPTION', 'REDEMPTION')", name=op.f("ck_investor_orders_kind")),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_investor_orders_account"),
        sa.PrimaryKeyConstraint("account", "order_id", name="pk_investor_orders"),
    )


def downgrade() -> None:
    op.drop_table("investor_orders")
