"""Executions whose commission nobody told are found without reading all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NAME, WITHOUT = "ix_fills_without_commission", sa.text("commission IS NULL")


def upgrade() -> None:
    op.create_index(NAME, "fills", ["account"], sqlite_where=WITHOUT, postgresql_where=WITHOUT)


def downgrade() -> None:
    op.drop_index(NAME, "fills")
