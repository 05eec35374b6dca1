"""An account counts its claims and its changes of control, so that an older copy of the database is noticed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("control", sa.Column("counted", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("control", "counted")
