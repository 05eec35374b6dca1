"""What was known of an order in doubt, row by row, and which connection was to send each order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from state.append_only import statements
from state.columns import Moment, Payload

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = "order_evidence"
STATES = (
    "status IN ('PLANNED', 'SENDING', 'WORKING', 'CANCEL_PENDING', 'FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED', "
    "'ABANDONED', 'UNKNOWN', 'ABSENT')"
)


def upgrade() -> None:
    op.add_column("orders", sa.Column("client_id", sa.Integer(), nullable=True))
    op.create_table(
        TABLE,
        sa.Column("order_ref", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint(STATES, name=op.f("ck_order_evidence_status")),
        sa.ForeignKeyConstraint(["order_ref"], ["orders.order_ref"], name="fk_order_evidence_order_ref"),
        sa.PrimaryKeyConstraint("order_ref", "sequence", name="pk_order_evidence"),
    )
    for statement in statements(TABLE, op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table(TABLE)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fund_refuse_evidence_change()")
    op.drop_column("orders", "client_id")
