"""Tables of what the fund did: runs and their journal, control and halts, orders and fills, the ledger.

Money and quantities are BIGINT micro-units (10⁻⁶), prices exact decimals, times UTC. Tables of what the fund knew
and decided on a day are in `state.record_tables`; importing this module completes the one metadata.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)

from engine.model.context import ControlState, RunKind, RunStatus
from engine.model.orders import ChildStatus, JobStatus, Side
from state import decision_tables, investor_tables, record_tables, statement_tables
from state.append_only import WRITTEN_ONCE, keep_append_only
from state.columns import Micros, Moment, Payload, Price
from state.run_references import is_bulk, keep_runs, require_runs
from state.schema import created_at, metadata, one_of

__all__ = ["decision_tables", "investor_tables", "metadata", "record_tables", "statement_tables"]

accounts = Table(
    "accounts",
    metadata,
    Column("account", String, primary_key=True),
    Column("ledger_sequence", BigInteger, nullable=False, server_default="0"),
    created_at(),
    Column("ledger_hash", String, nullable=False, server_default=""),
)

# ---------------------------------------------------------------- runs
runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("account", String, ForeignKey("accounts.account"), nullable=False),
    Column("mode", String, nullable=False),
    Column("trade_date", Date, nullable=False),
    Column("kind", String, nullable=False),
    Column("status", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("code_version", String, nullable=False),
    Column("config_digest", String, nullable=False),
    Column("claimed_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("summary", Payload),
    created_at(),
    UniqueConstraint("account", "mode", "trade_date", "kind"),
    CheckConstraint("attempt >= 1", name="attempt"),
    one_of("status", RunStatus),
    one_of("kind", RunKind),
)

run_attempts = Table(
    "run_attempts",
    metadata,
    Column("run_id", String, ForeignKey("runs.run_id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("code_version", String, nullable=False),
    Column("config_digest", String, nullable=False),
    Column("host", String, nullable=False),
    Column("process", Integer, nullable=False),
    Column("process_started", String, nullable=False),
    Column("claimed_at", Moment, nullable=False),
    Column("lease_until", Moment, nullable=False),
    Column("status", String, nullable=False),
    Column("finished_at", Moment),
    created_at(),
    one_of("status", RunStatus),
)

run_steps = Table(
    "run_steps",
    metadata,
    Column("run_id", String, ForeignKey("runs.run_id"), primary_key=True),
    Column("step", String, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("input_digest", String, nullable=False),
    Column("output_digest", String, nullable=False),
    Column("output", Payload, nullable=False),
    created_at(),
)

run_inputs = Table(
    "run_inputs",
    metadata,
    Column("run_id", String, ForeignKey("runs.run_id"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("payload", Payload, nullable=False),
    created_at(),
)

memories = Table(
    "memories",
    metadata,
    Column("account", String, ForeignKey("accounts.account"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("trade_date", Date, primary_key=True),
    Column("payload", Payload, nullable=False),
    created_at(),
)

# ---------------------------------------------------------------- control
control = Table(
    "control",
    metadata,
    Column("account", String, ForeignKey("accounts.account"), primary_key=True),
    Column("state", String, nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("kill_switch", Boolean, nullable=False, server_default=text("false")),
    Column("reason", String, nullable=False, server_default=""),
    Column("operator", String, nullable=False, server_default=""),
    Column("requested_at", Moment),
    Column("effective_at", Moment),
    created_at(),
    Column("counted", BigInteger, nullable=False, server_default="0"),
    one_of("state", ControlState),
)

halts = Table(
    "halts",
    metadata,
    Column("halt_id", String, primary_key=True),
    Column("account", String, ForeignKey("accounts.account"), nullable=False),
    Column("run_id", String, ForeignKey("runs.run_id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("status", String, nullable=False),
    Column("message", String, nullable=False),
    Column("evidence", Payload, nullable=False),
    Column("choices", String, nullable=False),
    Column("raised_at", Moment, nullable=False),
    Column("choice", String),
    Column("reason", String),
    Column("operator", String),
    Column("resolved_at", Moment),
    Column("consumed_run_id", String, ForeignKey("runs.run_id")),
    Column("consumed_attempt", Integer),
    Column("consumed_at", Moment),
    created_at(),
    one_of("severity", ("HALT", "EMERGENCY")),
    one_of("status", ("OPEN", "RESOLVED", "CONSUMED")),
    CheckConstraint("(status = 'OPEN') = (choice IS NULL)", name="resolution"),
)
Index(None, halts.c.account, halts.c.status)

# ---------------------------------------------------------------- orders
execution_jobs = Table(
    "execution_jobs",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("account", String, ForeignKey("accounts.account"), nullable=False),
    Column("run_id", String, ForeignKey("runs.run_id"), nullable=False),
    Column("trade_date", Date, nullable=False),
    Column("venue", String, nullable=False),
    Column("window_start", Moment, nullable=False),
    Column("window_end", Moment, nullable=False),
    Column("status", String, nullable=False),
    Column("superseded", Boolean, nullable=False, server_default=text("false")),
    Column("content_digest", String, nullable=False),
    Column("payload", Payload, nullable=False),
    Column("note", String, nullable=False, server_default=""),
    Column("updated_at", Moment),
    created_at(),
    one_of("status", JobStatus),
    CheckConstraint("version >= 1", name="version"),
)
Index(None, execution_jobs.c.account, execution_jobs.c.trade_date)

intents = Table(
    "intents",
    metadata,
    Column("intent_id", String, primary_key=True),
    Column("account", String, ForeignKey("accounts.account"), nullable=False),
    Column("run_id", String, ForeignKey("runs.run_id"), nullable=False),
    Column("trade_date", Date, nullable=False),
    Column("contract_id", String, nullable=False),
    Column("side", String, nullable=False),
    Column("quantity", Micros, nullable=False),
    Column("reason", String, nullable=False),
    Column("reduce_only", Boolean, nullable=False),
    Column("payload", Payload, nullable=False),
    created_at(),
    CheckConstraint("quantity > 0", name="quantity"),
    one_of("side", Side),
)
Index(None, intents.c.account, intents.c.trade_date)

order_tickets = Table(
    "order_tickets",
    metadata,
    Column("intent_id", String, ForeignKey("intents.intent_id"), primary_key=True),
    Column("arrival_mid", Price, nullable=False),
    Column("price_floor", Price, nullable=False),
    Column("price_ceiling", Price, nullable=False),
    Column("payload", Payload, nullable=False),
    created_at(),
)

orders = Table(
    "orders",
    metadata,
    Column("order_ref", String, primary_key=True),
    Column("account", String, ForeignKey("accounts.account"), nullable=False),
    Column("intent_id", String, ForeignKey("intents.intent_id"), nullable=False),
    Column("run_id", String, ForeignKey("runs.run_id"), nullable=False),
    Column("trade_date", Date, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("contract_id", String, nullable=False),
    Column("side", String, nullable=False),
    Column("quantity", Micros, nullable=False),
    Column("filled", Micros, nullable=False),
    Column("limit_price", Price, nullable=False),
    Column("status", String, nullable=False),
    Column("epoch", BigInteger),
    Column("notional_usd", Micros),
    Column("counted_usd", Micros),
    Column("sent_at", Moment),
    Column("broker_order_id", String),
    Column("perm_id", String),
    Column("payload", Payload, nullable=False),
    created_at(),
    Column("near_intent_id", String),
    Column("near_contract_id", String),
    Column("near_filled", Micros, nullable=False, server_default="0"),
    Column("client_id", Integer),
    UniqueConstraint("intent_id", "attempt"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("filled >= 0", name="filled"),
    one_of("status", ChildStatus),
    one_of("side", Side),
)
Index(None, orders.c.account, orders.c.status)
Index(None, orders.c.order_ref, orders.c.intent_id, orders.c.account, unique=True)
Index(None, orders.c.near_intent_id)

order_events = Table(
    "order_events",
    metadata,
    Column("order_ref", String, ForeignKey("orders.order_ref"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("status", String, nullable=False),
    Column("at", Moment, nullable=False),
    Column("note", String, nullable=False),
    created_at(),
    one_of("status", ChildStatus),
)

order_evidence = Table(
    "order_evidence",
    metadata,
    Column("order_ref", String, ForeignKey("orders.order_ref"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("status", String, nullable=False),
    Column("payload", Payload, nullable=False),
    created_at(),
    one_of("status", ChildStatus),
)
"""What was known of an order in doubt, and the state that it then had."""

order_counters = Table(
    "order_counters",
    metadata,
    Column("account", String, ForeignKey("accounts.account"), primary_key=True),
    Column("trade_date", Date, primary_key=True),
    Column("orders", Integer, nullable=False),
    Column("turnover_usd", Micros, nullable=False),
    created_at(),
)

fills = Table(
    "fills",
    metadata,
    Column("account", String, primary_key=True),
    Column("execution_id", String, primary_key=True),
    Column("root", String, nullable=False),
    Column("superseded", Boolean, nullable=False, server_default=text("false")),
    Column("order_ref", String, nullable=False),
    Column("intent_id", String, nullable=False),
    Column("contract_id", String, nullable=False),
    Column("side", String, nullable=False),
    Column("quantity", Micros, nullable=False),
    Column("price", Price, nullable=False),
    Column("commission", Micros),
    Column("commission_currency", String),
    Column("executed_at", Moment, nullable=False),
    Column("sleeves", Payload, nullable=False),
    created_at(),
    # One key to the order says all: the order's own keys lead to its parent and its account.
    ForeignKeyConstraint(
        ["order_ref", "intent_id", "account"], ["orders.order_ref", "orders.intent_id", "orders.account"]
    ),
    CheckConstraint("quantity >= 0", name="quantity"),
    one_of("side", Side),
)
Index(None, fills.c.account, fills.c.root)
Index(None, fills.c.intent_id)
_NOT_CHARGED = fills.c.commission.is_(None)
Index(
    "ix_fills_without_commission",
    fills.c.account,
    sqlite_where=_NOT_CHARGED,
    postgresql_where=_NOT_CHARGED,
)

# ---------------------------------------------------------------- ledger
ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("account", String, ForeignKey("accounts.account"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("booked_at", Moment, nullable=False),
    Column("value_date", Date, nullable=False),
    Column("contract_id", String),
    Column("reference", String, nullable=False),
    Column("price", Price),
    Column("quantity", Micros),
    Column("digest", String, nullable=False),
    created_at(),
    Column("previous_hash", String, nullable=False, server_default=""),
    Column("row_hash", String, nullable=False, server_default=""),
    UniqueConstraint("account", "entry_id"),
    CheckConstraint("sequence >= 1", name="sequence"),
)

ledger_lines = Table(
    "ledger_lines",
    metadata,
    Column("account", String, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("ledger_account", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("amount", Micros, nullable=False),
    ForeignKeyConstraint(["account", "sequence"], ["ledger_entries.account", "ledger_entries.sequence"]),
)

for name in WRITTEN_ONCE:
    keep_append_only(metadata.tables[name])
keep_runs(runs)
for table in metadata.tables.values():
    if is_bulk(table):
        require_runs(table)
