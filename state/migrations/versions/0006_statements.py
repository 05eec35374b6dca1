"""Statements of the broker: which files were imported, and what became of each of their rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from state.columns import Moment

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("file_digest", sa.String(), nullable=False),
        sa.Column("first_date", sa.Date(), nullable=False),
        sa.Column("last_date", sa.Date(), nullable=False),
        sa.Column("generated_at", Moment(), nullable=False),
        sa.Column("imported_at", Moment(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("booked", sa.Integer(), nullable=False),
        sa.Column("left_over", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_statements_account"),
        sa.PrimaryKeyConstraint("account", "file_digest", name="pk_statements"),
    )
    op.create_table(
        "statement_rows",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("row_id", sa.String(), nullable=False),
        sa.Column("content_digest", sa.String(), nullable=False),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("file_digest", sa.String(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_statement_rows_account"),
        sa.PrimaryKeyConstraint("account", "row_id", name="pk_statement_rows"),
    )


def downgrade() -> None:
    op.drop_table("statement_rows")
    op.drop_table("statements")
