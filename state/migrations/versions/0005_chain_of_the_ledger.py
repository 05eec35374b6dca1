"""The ledger is chained: each row carries the hash of the row before, and the database refuses to change one.

Rows that were booked before are chained in the order of their sequence.
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

from state.append_only import removal, statements

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("ledger_entries", "ledger_lines")
ENTRIES = sa.table(
    "ledger_entries",
    *(sa.column(name, sa.String()) for name in ("account", "digest", "previous_hash", "row_hash")),
    sa.column("sequence", sa.BigInteger()),
)
ACCOUNTS = sa.table("accounts", sa.column("account", sa.String()), sa.column("ledger_hash", sa.String()))
CHAIN = (
    sa.update(ENTRIES)
    .where(ENTRIES.c.account == sa.bindparam("of"), ENTRIES.c.sequence == sa.bindparam("at"))
    .values(previous_hash=sa.bindparam("before"), row_hash=sa.bindparam("own"))
)


def upgrade() -> None:
    for table, names in (("ledger_entries", ("previous_hash", "row_hash")), ("accounts", ("ledger_hash",))):
        for name in names:
            op.add_column(table, sa.Column(name, sa.String(), server_default="", nullable=False))
    _chain(op.get_bind())
    for table in TABLES:
        for statement in statements(table, op.get_bind().dialect.name):
            op.execute(statement)


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    for table in TABLES:
        for statement in removal(table, dialect):
            op.execute(statement)
    if dialect == "postgresql":
        op.execute("DROP FUNCTION fund_refuse_change()")
    for table, names in (("ledger_entries", ("previous_hash", "row_hash")), ("accounts", ("ledger_hash",))):
        for name in names:
            op.drop_column(table, name)


def _chain(connection: sa.Connection) -> None:
    chained: list[dict[str, object]] = []
    last: dict[str, str] = {}
    wanted = sa.select(ENTRIES.c.account, ENTRIES.c.sequence, ENTRIES.c.digest)
    for row in connection.execute(wanted.order_by(ENTRIES.c.account, ENTRIES.c.sequence)).all():
        before = last.get(row.account, "")
        own = hashlib.sha256(f"{row.account}\n{row.sequence}\n{before}\n{row.digest}".encode()).hexdigest()
        chained.append({"of": row.account, "at": row.sequence, "before": before, "own": own})
        last[row.account] = own
    if chained:
        connection.execute(CHAIN, chained)
    for account, newest in last.items():
        connection.execute(
            sa.update(ACCOUNTS).where(ACCOUNTS.c.account == account).values(ledger_hash=newest)
        )
