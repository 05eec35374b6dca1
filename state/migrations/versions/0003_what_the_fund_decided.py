"""Day record: decisions, execution quality, alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from state.columns import Micros, Moment, Payload, Price

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("level IN ('INFO', 'WARNING', 'CRITICAL')", name=op.f("ck_alerts_level")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_alerts_run_id"),
        sa.PrimaryKeyConstraint("alert_id", name="pk_alerts"),
        info={"record": True},
    )
    op.create_index("ix_alerts_account_at", "alerts", ["account", "at"])
    op.create_table(
        "analytics_daily",
        sa.Column("account", sa.String(), autoincrement=False, nullable=False),
        sa.Column("trade_date", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(), autoincrement=False, nullable=False),
        sa.Column("figure", sa.Double(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_analytics_daily_run_id"),
        sa.PrimaryKeyConstraint("account", "trade_date", "metric", name="pk_analytics_daily"),
        info={"record": True},
    )
    op.create_table(
        "atomic_groups",
        sa.Column("group_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint(
            "status IN ('OPENING', 'ALL_FILLED', 'ROLLING_BACK', 'FLAT', 'ALARM')",
            name=op.f("ck_atomic_groups_status"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_atomic_groups_run_id"),
        sa.PrimaryKeyConstraint("group_id", name="pk_atomic_groups"),
        info={"record": True},
    )
    op.create_table(
        "crisis_episodes",
        sa.Column("episode_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("started_on", sa.Date(), nullable=False),
        sa.Column("ended_on", sa.Date(), nullable=True),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint(
            "ended_on IS NULL OR ended_on >= started_on", name=op.f("ck_crisis_episodes_dates")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_crisis_episodes_run_id"),
        sa.PrimaryKeyConstraint("episode_id", name="pk_crisis_episodes"),
        info={"record": True},
    )
    op.create_table(
        "decisions",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_decisions_run_id"),
        sa.PrimaryKeyConstraint("run_id", "stage", "subject", name="pk_decisions"),
        info={"record": True},
    )
    op.create_table(
        "gating_decisions",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("contract_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("benefit_usd", Micros(), nullable=True),
        sa.Column("cost_usd", Micros(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint(
            "reason IN ('rebalance', 'roll', 'hedge_fx', 'hedge_tail', 'derisk', 'limit_breach', 'crisis', 'overlay_open', 'overlay_unwind', 'rollback', 'close')",
            name=op.f("ck_gating_decisions_reason"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_gating_decisions_run_id"),
        sa.PrimaryKeyConstraint("run_id", "contract_id", "reason", name="pk_gating_decisions"),
        info={"record": True},
    )
    op.create_table(
        "hedges",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("hedge_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("exposure_usd", Micros(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_hedges_run_id"),
        sa.PrimaryKeyConstraint("run_id", "hedge_id", name="pk_hedges"),
        info={"record": True},
    )
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("closed_at", Moment(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_incidents_run_id"),
        sa.PrimaryKeyConstraint("incident_id", name="pk_incidents"),
        info={"record": True},
    )
    op.create_table(
        "overlays",
        sa.Column("overlay_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("opened_at", Moment(), nullable=False),
        sa.Column("closed_at", Moment(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint(
            "status IN ('PLANNED', 'OPENING', 'OPEN', 'UNWINDING', 'CLOSED', 'ALARM')",
            name=op.f("ck_overlays_status"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_overlays_run_id"),
        sa.PrimaryKeyConstraint("overlay_id", name="pk_overlays"),
        info={"record": True},
    )
    op.create_table(
        "premium_budget",
        sa.Column("account", sa.String(), autoincrement=False, nullable=False),
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("budget", Micros(), nullable=False),
        sa.Column("spent", Micros(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_premium_budget_run_id"),
        sa.PrimaryKeyConstraint("account", "year", name="pk_premium_budget"),
        info={"record": True},
    )
    op.create_table(
        "premium_ledger",
        sa.Column("entry_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("amount", Micros(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_premium_ledger_run_id"),
        sa.PrimaryKeyConstraint("entry_id", name="pk_premium_ledger"),
        info={"record": True},
    )
    op.create_table(
        "regime_state",
        sa.Column("account", sa.String(), autoincrement=False, nullable=False),
        sa.Column("trade_date", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("regime", sa.String(), nullable=False),
        sa.Column("days_in_regime", sa.Integer(), nullable=False),
        sa.Column("vix", sa.Double(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_regime_state_run_id"),
        sa.PrimaryKeyConstraint("account", "trade_date", name="pk_regime_state"),
        info={"record": True},
    )
    op.create_table(
        "risk_decisions",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("regime", sa.String(), nullable=False),
        sa.Column("scale", sa.Double(), nullable=False),
        sa.Column("realized_volatility_annual", sa.Double(), nullable=True),
        sa.Column("target_volatility_annual", sa.Double(), nullable=True),
        sa.Column("drawdown_fraction", sa.Double(), nullable=True),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_risk_decisions_run_id"),
        sa.PrimaryKeyConstraint("run_id", name="pk_risk_decisions"),
        info={"record": True},
    )
    op.create_table(
        "risk_state",
        sa.Column("account", sa.String(), autoincrement=False, nullable=False),
        sa.Column("trade_date", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("regime", sa.String(), nullable=False),
        sa.Column("control_state", sa.String(), nullable=False),
        sa.Column("peak_unit_price", Price(), nullable=True),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint(
            "control_state IN ('ACTIVE', 'REDUCING', 'HALTED')", name=op.f("ck_risk_state_control_state")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_risk_state_run_id"),
        sa.PrimaryKeyConstraint("account", "trade_date", name="pk_risk_state"),
        info={"record": True},
    )
    op.create_table(
        "screen_results",
        sa.Column("as_of", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("side", sa.String(), autoincrement=False, nullable=False),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("side IN ('LONG', 'SHORT')", name=op.f("ck_screen_results_side")),
        sa.CheckConstraint("rank > 0", name=op.f("ck_screen_results_rank")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_screen_results_run_id"),
        sa.PrimaryKeyConstraint("as_of", "side", "rank", name="pk_screen_results"),
        info={"record": True},
    )
    op.create_table(
        "signal_metrics",
        sa.Column("at", Moment(), autoincrement=False, nullable=False),
        sa.Column("instrument_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("signal", sa.String(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(), autoincrement=False, nullable=False),
        sa.Column("figure", sa.Double(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_signal_metrics_run_id"),
        sa.PrimaryKeyConstraint("at", "instrument_id", "signal", "metric", name="pk_signal_metrics"),
        info={"record": True},
    )
    op.create_table(
        "signals",
        sa.Column("at", Moment(), autoincrement=False, nullable=False),
        sa.Column("instrument_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("model_version", sa.String(), autoincrement=False, nullable=False),
        sa.Column("signal", sa.String(), autoincrement=False, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_signals_run_id"),
        sa.PrimaryKeyConstraint("at", "instrument_id", "model_version", "signal", name="pk_signals"),
        info={"record": True},
    )
    op.create_table(
        "slippage_stats",
        sa.Column("as_of", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.String(), autoincrement=False, nullable=False),
        sa.Column("mean_bps", sa.Double(), nullable=False),
        sa.Column("observations", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_slippage_stats_run_id"),
        sa.PrimaryKeyConstraint("as_of", "bucket", name="pk_slippage_stats"),
        info={"record": True},
    )
    op.create_table(
        "targets",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("contract_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("sleeve", sa.String(), autoincrement=False, nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("notional_usd", Micros(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("trade_group", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_targets_run_id"),
        sa.PrimaryKeyConstraint("run_id", "contract_id", "sleeve", name="pk_targets"),
        info={"record": True},
    )
    op.create_table(
        "acks",
        sa.Column("ack_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("operator", sa.String(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.alert_id"], name="fk_acks_alert_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_acks_run_id"),
        sa.PrimaryKeyConstraint("ack_id", name="pk_acks"),
        info={"record": True},
    )
    op.create_table(
        "executions",
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("filled", Micros(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("average_price", Price(), nullable=True),
        sa.Column("slippage_bps", sa.Double(), nullable=True),
        sa.Column("commission_usd", Micros(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name="fk_executions_intent_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_executions_run_id"),
        sa.PrimaryKeyConstraint("intent_id", name="pk_executions"),
        info={"record": True},
    )
    op.create_table(
        "execution_analytics",
        sa.Column("order_ref", sa.String(), nullable=False),
        sa.Column("filled", Micros(), nullable=False),
        sa.Column("average_price", Price(), nullable=True),
        sa.Column("arrival_mid", Price(), nullable=True),
        sa.Column("slippage_bps", sa.Double(), nullable=True),
        sa.Column("commission_usd", Micros(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["order_ref"], ["orders.order_ref"], name="fk_execution_analytics_order_ref"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_execution_analytics_run_id"),
        sa.PrimaryKeyConstraint("order_ref", name="pk_execution_analytics"),
        info={"record": True},
    )


def downgrade() -> None:
    op.drop_table("execution_analytics")
    op.drop_table("executions")
    op.drop_table("acks")
    op.drop_table("targets")
    op.drop_table("slippage_stats")
    op.drop_table("signals")
    op.drop_table("signal_metrics")
    op.drop_table("screen_results")
    op.drop_table("risk_state")
    op.drop_table("risk_decisions")
    op.drop_table("regime_state")
    op.drop_table("premium_ledger")
    op.drop_table("premium_budget")
    op.drop_table("overlays")
    op.drop_table("incidents")
    op.drop_table("hedges")
    op.drop_table("gating_decisions")
    op.drop_table("decisions")
    op.drop_table("crisis_episodes")
    op.drop_table("atomic_groups")
    op.drop_table("analytics_daily")
    op.drop_table("alerts")
