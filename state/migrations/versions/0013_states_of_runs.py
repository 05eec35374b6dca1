"""A run may be recovering: a later attempt has taken it and made no step yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = ("runs", "run_attempts")
BEFORE = "status IN ('CLAIMED', 'RUNNING', 'COMPLETED', 'HALTED', 'EMERGENCY', 'FAILED', 'ABANDONED')"
AFTER = (
    "status IN ('NEW', 'CLAIMED', 'RUNNING', 'RECOVERING', 'COMPLETED', 'HALTED', 'EMERGENCY', 'FAILED', "
    "'ABANDONED')"
)


def upgrade() -> None:
    _exchange(BEFORE, AFTER)


def downgrade() -> None:
    for table in TABLES:
        rows = sa.table(table, sa.column("status", sa.String()))
        op.execute(rows.update().where(rows.c.status == "RECOVERING").values(status="RUNNING"))
    _exchange(AFTER, BEFORE)


def _exchange(before: str, after: str) -> None:
    """Let the states of runs be others. Everything refers to runs, so SQLite changes the words and not the table."""
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.drop_constraint(op.f(f"ck_{table}_status"), table, type_="check")
            op.create_check_constraint(op.f(f"ck_{table}_status"), table, after)
        return
    connection = op.get_bind()
    version = connection.execute(sa.text("PRAGMA schema_version")).scalar_one()
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    for table in TABLES:
        connection.execute(
            sa.text(
                "UPDATE sqlite_master SET sql = replace(sql, :before, :after) WHERE type = 'table' AND name = :table"
            ),
            {"before": before, "after": after, "table": table},
        )
    # Every connection has to read the words anew.
    connection.execute(sa.text(f"PRAGMA schema_version = {int(version) + 1}"))
    connection.execute(sa.text("PRAGMA writable_schema = OFF"))
