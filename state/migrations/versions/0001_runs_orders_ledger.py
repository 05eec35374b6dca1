"""Runs, control, orders and the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from state.columns import Micros, Moment, Payload, Price

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("ledger_sequence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_accounts"),
    )
    op.create_table(
        "control",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("kill_switch", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("operator", sa.String(), server_default="", nullable=False),
        sa.Column("requested_at", Moment(), nullable=True),
        sa.Column("effective_at", Moment(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("state IN ('ACTIVE', 'REDUCING', 'HALTED')", name=op.f("ck_control_state")),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_control_account"),
        sa.PrimaryKeyConstraint("account", name="pk_control"),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("booked_at", Moment(), nullable=False),
        sa.Column("value_date", sa.Date(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=True),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("price", Price(), nullable=True),
        sa.Column("quantity", Micros(), nullable=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_ledger_entries_sequence")),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_ledger_entries_account"),
        sa.PrimaryKeyConstraint("account", "sequence", name="pk_ledger_entries"),
        sa.UniqueConstraint("account", "entry_id", name="uq_ledger_entries_account_entry_id"),
    )
    op.create_table(
        "memories",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_memories_account"),
        sa.PrimaryKeyConstraint("account", "name", "trade_date", name="pk_memories"),
    )
    op.create_table(
        "order_counters",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("turnover_usd", Micros(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_order_counters_account"),
        sa.PrimaryKeyConstraint("account", "trade_date", name="pk_order_counters"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("code_version", sa.String(), nullable=False),
        sa.Column("config_digest", sa.String(), nullable=False),
        sa.Column("claimed_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("summary", Payload(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("kind IN ('decision', 'execution', 'close')", name=op.f("ck_runs_kind")),
        sa.CheckConstraint(
            "status IN ('CLAIMED', 'RUNNING', 'COMPLETED', 'HALTED', 'EMERGENCY', 'FAILED', 'ABANDONED')",
            name=op.f("ck_runs_status"),
        ),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_runs_attempt")),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_runs_account"),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
        sa.UniqueConstraint(
            "account", "mode", "trade_date", "kind", name="uq_runs_account_mode_trade_date_kind"
        ),
    )
    op.create_table(
        "execution_jobs",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("venue", sa.String(), nullable=False),
        sa.Column("window_start", Moment(), nullable=False),
        sa.Column("window_end", Moment(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("superseded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("content_digest", sa.String(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("note", sa.String(), server_default="", nullable=False),
        sa.Column("updated_at", Moment(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint(
            "status IN ('PENDING', 'CLAIMED', 'RUNNING', 'DONE', 'FAILED', 'CANCELED', 'SKIPPED', 'EXPIRED', 'RECOVERING', 'UNKNOWN')",
            name=op.f("ck_execution_jobs_status"),
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_execution_jobs_version")),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_execution_jobs_account"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_execution_jobs_run_id"),
        sa.PrimaryKeyConstraint("job_id", "version", name="pk_execution_jobs"),
    )
    op.create_index("ix_execution_jobs_account_trade_date", "execution_jobs", ["account", "trade_date"])
    op.create_table(
        "halts",
        sa.Column("halt_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("evidence", Payload(), nullable=False),
        sa.Column("choices", sa.String(), nullable=False),
        sa.Column("raised_at", Moment(), nullable=False),
        sa.Column("choice", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("operator", sa.String(), nullable=True),
        sa.Column("resolved_at", Moment(), nullable=True),
        sa.Column("consumed_run_id", sa.String(), nullable=True),
        sa.Column("consumed_attempt", sa.Integer(), nullable=True),
        sa.Column("consumed_at", Moment(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("(status = 'OPEN') = (choice IS NULL)", name=op.f("ck_halts_resolution")),
        sa.CheckConstraint("severity IN ('HALT', 'EMERGENCY')", name=op.f("ck_halts_severity")),
        sa.CheckConstraint("status IN ('OPEN', 'RESOLVED', 'CONSUMED')", name=op.f("ck_halts_status")),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_halts_account"),
        sa.ForeignKeyConstraint(["consumed_run_id"], ["runs.run_id"], name="fk_halts_consumed_run_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_halts_run_id"),
        sa.PrimaryKeyConstraint("halt_id", name="pk_halts"),
    )
    op.create_index("ix_halts_account_status", "halts", ["account", "status"])
    op.create_table(
        "intents",
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("ck_intents_side")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_intents_quantity")),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_intents_account"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_intents_run_id"),
        sa.PrimaryKeyConstraint("intent_id", name="pk_intents"),
    )
    op.create_index("ix_intents_account_trade_date", "intents", ["account", "trade_date"])
    op.create_table(
        "ledger_lines",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ledger_account", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("amount", Micros(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account", "sequence"],
            ["ledger_entries.account", "ledger_entries.sequence"],
            name="fk_ledger_lines_account_sequence",
        ),
        sa.PrimaryKeyConstraint("account", "sequence", "line", name="pk_ledger_lines"),
    )
    op.create_table(
        "run_attempts",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("code_version", sa.String(), nullable=False),
        sa.Column("config_digest", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("process", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.String(), nullable=False),
        sa.Column("claimed_at", Moment(), nullable=False),
        sa.Column("lease_until", Moment(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint(
            "status IN ('CLAIMED', 'RUNNING', 'COMPLETED', 'HALTED', 'EMERGENCY', 'FAILED', 'ABANDONED')",
            name=op.f("ck_run_attempts_status"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_run_attempts_run_id"),
        sa.PrimaryKeyConstraint("run_id", "attempt", name="pk_run_attempts"),
    )
    op.create_table(
        "run_inputs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_run_inputs_run_id"),
        sa.PrimaryKeyConstraint("run_id", "name", name="pk_run_inputs"),
    )
    op.create_table(
        "run_steps",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("input_digest", sa.String(), nullable=False),
        sa.Column("output_digest", sa.String(), nullable=False),
        sa.Column("output", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_run_steps_run_id"),
        sa.PrimaryKeyConstraint("run_id", "step", "attempt", name="pk_run_steps"),
    )
    op.create_table(
        "order_tickets",
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("arrival_mid", Price(), nullable=False),
        sa.Column("price_floor", Price(), nullable=False),
        sa.Column("price_ceiling", Price(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name="fk_order_tickets_intent_id"),
        sa.PrimaryKeyConstraint("intent_id", name="pk_order_tickets"),
    )
    op.create_table(
        "orders",
        sa.Column("order_ref", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("filled", Micros(), nullable=False),
        sa.Column("limit_price", Price(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=True),
        sa.Column("notional_usd", Micros(), nullable=True),
        sa.Column("counted_usd", Micros(), nullable=True),
        sa.Column("sent_at", Moment(), nullable=True),
        sa.Column("broker_order_id", sa.String(), nullable=True),
        sa.Column("perm_id", sa.String(), nullable=True),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("ck_orders_side")),
        sa.CheckConstraint(
            "status IN ('PLANNED', 'SENDING', 'WORKING', 'CANCEL_PENDING', 'FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED', 'ABANDONED', 'UNKNOWN', 'ABSENT')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint("filled >= 0", name=op.f("ck_orders_filled")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_orders_quantity")),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_orders_account"),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name="fk_orders_intent_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_orders_run_id"),
        sa.PrimaryKeyConstraint("order_ref", name="pk_orders"),
        sa.UniqueConstraint("intent_id", "attempt", name="uq_orders_intent_id_attempt"),
    )
    op.create_index("ix_orders_account_status", "orders", ["account", "status"])
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
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_fills_account"),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name="fk_fills_intent_id"),
        sa.ForeignKeyConstraint(["order_ref"], ["orders.order_ref"], name="fk_fills_order_ref"),
        sa.PrimaryKeyConstraint("account", "execution_id", name="pk_fills"),
    )
    op.create_index("ix_fills_account_root", "fills", ["account", "root"])
    op.create_index("ix_fills_intent_id", "fills", ["intent_id"])
    op.create_table(
        "order_events",
        sa.Column("order_ref", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint(
            "status IN ('PLANNED', 'SENDING', 'WORKING', 'CANCEL_PENDING', 'FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED', 'ABANDONED', 'UNKNOWN', 'ABSENT')",
            name=op.f("ck_order_events_status"),
        ),
        sa.ForeignKeyConstraint(["order_ref"], ["orders.order_ref"], name="fk_order_events_order_ref"),
        sa.PrimaryKeyConstraint("order_ref", "sequence", name="pk_order_events"),
    )


def downgrade() -> None:
    op.drop_table("order_events")
    op.drop_table("fills")
    op.drop_table("orders")
    op.drop_table("order_tickets")
    op.drop_table("run_steps")
    op.drop_table("run_inputs")
    op.drop_table("run_attempts")
    op.drop_table("ledger_lines")
    op.drop_table("intents")
    op.drop_table("halts")
    op.drop_table("execution_jobs")
    op.drop_table("runs")
    op.drop_table("order_counters")
    op.drop_table("memories")
    op.drop_table("ledger_entries")
    op.drop_table("control")
    op.drop_table("accounts")
