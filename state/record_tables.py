"""Tables of the day record: what the fund saw and what it was worth; for reports and questions.

Decisions never read these rows back (the ledger, the journal and the memories are their source), so each row is
written by upsert and a rerun replaces it. All carry the run that wrote them and when. What the fund decided is in
`state.decision_tables`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Date, Double, Index, Integer

from engine.model.portfolio import CashBasis
from state.columns import Micros, Moment, Payload, Price
from state.schema import bulk_record, key, one_of, optional, record, required, run_record

# ---------------------------------------------------------------- configuration and instruments
config_versions = record("config_versions", key("digest"), required("content", Payload))
instruments = record(
    "instruments",
    key("instrument_id"),
    key("contract_id"),
    optional("broker_contract_id", BigInteger),
    required("currency"),
    required("payload", Payload),
)

# ---------------------------------------------------------------- what the fund saw
market_data = record(
    "market_data",
    key("account"),
    key("at", Moment),
    key("contract_id"),
    key("source"),
    key("bar"),
    optional("open", Price),
    optional("high", Price),
    optional("low", Price),
    required("close", Price),
    optional("volume", Micros),
)
fx_rates = record("fx_rates", key("at", Moment), key("pair"), key("source"), required("rate", Price))
borrow_quotes = record(
    "borrow_quotes",
    key("account"),
    key("at", Moment),
    key("contract_id"),
    optional("available", Micros),
    optional("fee_annual", Double),
    required("source"),
)
dividends = record(
    "dividends",
    key("account"),
    key("contract_id"),
    key("ex_date", Date),
    optional("pay_date", Date),
    required("amount", Price),
    required("currency"),
)

# ---------------------------------------------------------------- what the fund is worth
cash = run_record(
    "cash",
    key("at", Moment),
    key("currency"),
    key("basis"),
    required("account"),
    required("amount", Micros),
    one_of("basis", CashBasis),
)
positions = bulk_record(
    "positions",
    key("at", Moment),
    key("contract_id"),
    key("sleeve"),
    required("account"),
    required("instrument_id"),
    required("quantity", Micros),
    required("position_cost", Micros),
    optional("mark", Price),
    optional("position_value_usd", Micros),
    optional("position_exposure_usd", Micros),
)
portfolio = run_record(
    "portfolio",
    key("at", Moment),
    required("account"),
    required("trade_date", Date),
    required("nav", Micros),
    required("units", Micros),
    required("unit_price", Price),
    required("cash_usd", Micros),
    required("accruals_usd", Micros),
    required("gross_exposure", Micros),
    required("net_exposure", Micros),
    optional("drawdown_fraction", Double),
    required("payload", Payload),
)
nav_history = record(
    "nav_history",
    key("account"),
    key("trade_date", Date),
    required("nav", Micros),
    required("units", Micros),
    required("unit_price", Price),
    optional("daily_return", Double),
    optional("drawdown_fraction", Double),
)
carry_daily = record(
    "carry_daily",
    key("account"),
    key("trade_date", Date),
    key("currency"),
    key("kind"),
    required("amount", Micros),
)
sleeve_ledger = record(
    "sleeve_ledger",
    key("account"),
    key("entry_id"),
    key("sleeve"),
    required("trade_date", Date),
    required("contract_id"),
    required("quantity", Micros),
    required("reason"),
)
reconciliations = run_record(
    "reconciliations",
    key("attempt", Integer),
    key("at", Moment),
    required("outcome"),
    required("nav", Micros),
    optional("net_liquidation", Micros),
    optional("difference_fraction", Double),
    optional("difference", Micros),
    optional("quantity_usd", Micros),
    optional("cash_usd", Micros),
    optional("accrual_usd", Micros),
    optional("mark_usd", Micros),
    optional("fx_usd", Micros),
    optional("unexplained", Micros),
    required("payload", Payload),
)
recon_breaks = run_record(
    "recon_breaks",
    key("attempt", Integer),
    key("at", Moment),
    key("kind"),
    key("subject"),
    optional("expected", Price),
    optional("found", Price),
    optional("effect_usd", Micros),
    required("severity"),
    required("note"),
)

Index(None, portfolio.c.account, portfolio.c.trade_date)
