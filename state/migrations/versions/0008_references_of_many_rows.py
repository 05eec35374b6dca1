"""References of the tables with many rows: one for an execution instead of three, one check a statement for positions.

The index of positions by account and time served no question.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from state.columns import Micros, Moment, Payload, Price
from state.run_references import keeping, statements

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

WHOLE = (("order_ref", "intent_id", "account"), "orders", "fk_fills_order_ref_intent_id_account")
SINGLE = (
    (("account",), "accounts", "fk_fills_account"),
    (("intent_id",), "intents", "fk_fills_intent_id"),
    (("order_ref",), "orders", "fk_fills_order_ref"),
)
ORDER_INDEX = "ix_orders_order_ref_intent_id_account"
POSITION_INDEX = "ix_positions_account_at"
RUN_OF_POSITIONS = "fk_positions_run_id"


def upgrade() -> None:
    op.drop_index(POSITION_INDEX, "positions")
    op.create_index(ORDER_INDEX, "orders", list(WHOLE[0]), unique=True)
    _refer_fills(SINGLE, (WHOLE,))
    if _is_postgresql():
        op.drop_constraint(RUN_OF_POSITIONS, "positions", type_="foreignkey")
        for statement in (*keeping(), *statements("positions")):
            op.execute(statement)


def downgrade() -> None:
    if _is_postgresql():
        for trigger, table in (
            ("positions_require_runs_insert", "positions"),
            ("positions_require_runs_update", "positions"),
            ("runs_keep", "runs"),
        ):
            op.execute(f"DROP TRIGGER {trigger} ON {table}")
        for function in ("fund_require_runs", "fund_keep_run"):
            op.execute(f"DROP FUNCTION {function}()")
        op.create_foreign_key(RUN_OF_POSITIONS, "positions", "runs", ["run_id"], ["run_id"])
    _refer_fills((WHOLE,), SINGLE)
    op.drop_index(ORDER_INDEX, "orders")
    op.create_index(POSITION_INDEX, "positions", ["account", "at"])


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


Reference = tuple[tuple[str, ...], str, str]


def _refer_fills(before: tuple[Reference, ...], after: tuple[Reference, ...]) -> None:
    """Exchange the references of executions; SQLite can not alter a table, so there it is made anew."""
    if not _is_postgresql():
        _make_fills_anew(after)
        return
    for _, _, name in before:
        op.drop_constraint(name, "fills", type_="foreignkey")
    for columns, parent, name in after:
        op.create_foreign_key(name, "fills", parent, list(columns), list(columns))


def _make_fills_anew(references: tuple[Reference, ...]) -> None:
    op.execute("CREATE TEMPORARY TABLE kept_fills AS SELECT * FROM fills")
    op.drop_table("fills")
    op.create_table(
        "fills",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("root", sa.String(), nullable=False),
        sa.Column("superseded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("order_ref", sa.String(), nullable=False),
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("price", Price(), nullable=False),
        sa.Column("commission", Micros(), nullable=True),
        sa.Column("commission_currency", sa.String(), nullable=True),
        sa.Column("executed_at", Moment(), nullable=False),
        sa.Column("sleeves", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("ck_fills_side")),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_fills_quantity")),
        *(
            sa.ForeignKeyConstraint(columns, [f"{parent}.{column}" for column in columns], name=name)
            for columns, parent, name in references
        ),
        sa.PrimaryKeyConstraint("account", "execution_id", name="pk_fills"),
    )
    op.create_index("ix_fills_account_root", "fills", ["account", "root"])
    op.create_index("ix_fills_intent_id", "fills", ["intent_id"])
    op.execute("INSERT INTO fills SELECT * FROM kept_fills")
    op.execute("DROP TABLE kept_fills")
