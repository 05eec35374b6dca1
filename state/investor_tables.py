"""Table of investors' orders: what was instructed; how far it has come says the ledger."""

from __future__ import annotations

from sqlalchemy import Column, Date, ForeignKey, String, Table

from engine.accounting.investors import FlowKind
from state.columns import Micros, Moment
from state.schema import created_at, metadata, one_of, optional, required

investor_orders = Table(
    "investor_orders",
    metadata,
    Column("account", String, ForeignKey("accounts.account"), primary_key=True),
    Column("order_id", String, primary_key=True),
    required("kind"),
    required("investor"),
    required("amount", Micros),
    required("currency"),
    required("value_date", Date),
    required("evidence"),
    required("operator"),
    required("given_at", Moment),
    optional("withdrawn_at", Moment),
    optional("withdrawn_by"),
    optional("withdrawn_because"),
    created_at(),
    one_of("kind", FlowKind),
)
