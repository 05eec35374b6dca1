"""Tables of the day record: what the fund decided, how it was executed, and what people were told."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Date, Double, ForeignKey, Index, Integer, String

from engine.model.context import ControlState
from engine.model.orders import Reason
from state.columns import Micros, Moment, Payload, Price
from state.schema import key, one_of, optional, record, required, run_record

LEVELS = ("INFO", "WARNING", "CRITICAL")
SCREEN_SIDES = ("LONG", "SHORT")

# ---------------------------------------------------------------- what the fund decided
risk_state = record(
    "risk_state",
    key("account"),
    key("trade_date", Date),
    required("regime"),
    required("control_state"),
    optional("peak_unit_price", Price),
    required("payload", Payload),
    one_of("control_state", ControlState),
)
regime_state = record(
    "regime_state",
    key("account"),
    key("trade_date", Date),
    required("regime"),
    required("days_in_regime", Integer),
    optional("vix", Double),
    required("reason"),
)
risk_decisions = run_record(
    "risk_decisions",
    required("regime"),
    required("scale", Double),
    optional("realized_volatility_annual", Double),
    optional("target_volatility_annual", Double),
    optional("drawdown_fraction", Double),
    required("payload", Payload),
)
signals = record(
    "signals",
    key("at", Moment),
    key("instrument_id"),
    key("model_version"),
    key("signal"),
    required("score", Double),
    optional("weight", Double),
)
signal_metrics = record(
    "signal_metrics",
    key("at", Moment),
    key("instrument_id"),
    key("signal"),
    key("metric"),
    required("figure", Double),
)
screen_results = record(
    "screen_results",
    key("account"),
    key("as_of", Date),
    key("side"),
    key("rank", Integer),
    required("instrument_id"),
    required("score", Double),
    required("payload", Payload),
    one_of("side", SCREEN_SIDES),
    CheckConstraint("rank > 0", name="rank"),
)
targets = run_record(
    "targets",
    key("contract_id"),
    key("sleeve"),
    required("instrument_id"),
    required("weight", Double),
    required("notional_usd", Micros),
    required("quantity", Micros),
    optional("trade_group"),
)
gating_decisions = run_record(
    "gating_decisions",
    key("contract_id"),
    key("reason"),
    required("outcome"),
    required("quantity", Micros),
    optional("benefit_usd", Micros),
    optional("cost_usd", Micros),
    required("note"),
    one_of("reason", Reason),
)
decisions = run_record(
    "decisions",
    key("stage"),
    key("subject"),
    required("outcome"),
    required("reason"),
    required("payload", Payload),
)
hedges = run_record(
    "hedges",
    key("hedge_id"),
    required("kind"),
    required("contract_id"),
    required("quantity", Micros),
    required("exposure_usd", Micros),
    required("reason"),
)
premium_budget = record(
    "premium_budget",
    key("account"),
    key("year", Integer),
    required("budget", Micros),
    required("spent", Micros),
)
premium_ledger = record(
    "premium_ledger",
    key("account"),
    key("entry_id"),
    required("trade_date", Date),
    required("contract_id"),
    required("amount", Micros),
    required("kind"),
    required("currency"),
)
crisis_episodes = record(
    "crisis_episodes",
    key("account"),
    key("episode_id"),
    required("started_on", Date),
    optional("ended_on", Date),
    required("trigger"),
    required("payload", Payload),
    CheckConstraint("ended_on IS NULL OR ended_on >= started_on", name="dates"),
)

# ---------------------------------------------------------------- how it was executed
overlays = record(
    "overlays",
    key("overlay_id"),
    required("account"),
    required("contract_id"),
    required("quantity", Micros),
    required("status"),
    required("opened_at", Moment),
    optional("closed_at", Moment),
    one_of("status", ("PLANNED", "OPENING", "OPEN", "UNWINDING", "CLOSED", "ALARM")),
)
atomic_groups = record(
    "atomic_groups",
    key("group_id"),
    required("account"),
    required("status"),
    required("payload", Payload),
    one_of("status", ("OPENING", "ALL_FILLED", "ROLLING_BACK", "FLAT", "ALARM")),
)
execution_analytics = record(
    "execution_analytics",
    Column("order_ref", String, ForeignKey("orders.order_ref"), primary_key=True),
    required("filled", Micros),
    optional("average_price", Price),
    optional("arrival_mid", Price),
    optional("slippage_bps", Double),
    optional("commission_usd", Micros),
)
executions = record(
    "executions",
    Column("intent_id", String, ForeignKey("intents.intent_id"), primary_key=True),
    required("quantity", Micros),
    required("filled", Micros),
    required("outcome"),
    optional("average_price", Price),
    optional("slippage_bps", Double),
    optional("commission_usd", Micros),
)
analytics_daily = record(
    "analytics_daily",
    key("account"),
    key("trade_date", Date),
    key("metric"),
    required("figure", Double),
)
slippage_stats = record(
    "slippage_stats",
    key("account"),
    key("as_of", Date),
    key("bucket"),
    required("mean_bps", Double),
    required("observations", Integer),
)

# ---------------------------------------------------------------- what people were told
incidents = record(
    "incidents",
    key("incident_id"),
    required("account"),
    required("at", Moment),
    required("kind"),
    required("message"),
    optional("closed_at", Moment),
)
alerts = record(
    "alerts",
    key("alert_id"),
    required("account"),
    required("at", Moment),
    required("level"),
    required("kind"),
    required("message"),
    required("delivered", Boolean),
    one_of("level", LEVELS),
)
acks = record(
    "acks",
    key("ack_id"),
    Column("alert_id", String, ForeignKey("alerts.alert_id"), nullable=False),
    required("operator"),
    required("at", Moment),
    required("note"),
)
Index(None, alerts.c.account, alerts.c.at)
