"""An order may be a calendar spread: its near leg has a contract, a parent and executions of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from state.columns import Micros

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INDEX = "ix_orders_near_intent_id"


def upgrade() -> None:
    op.add_column("orders", sa.Column("near_intent_id", sa.String(), nullable=True))
    op.add_column("orders", sa.Column("near_contract_id", sa.String(), nullable=True))
    op.add_column("orders", sa.Column("near_filled", Micros(), server_default="0", nullable=False))
    op.create_index(INDEX, "orders", ["near_intent_id"])


def downgrade() -> None:
    op.drop_index(INDEX, "orders")
    for name in ("near_filled", "near_contract_id", "near_intent_id"):
        op.drop_column("orders", name)
