"""Day record: market, valuation, reconciliation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from state.columns import Micros, Moment, Payload, Price

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "borrow_quotes",
        sa.Column("at", Moment(), autoincrement=False, nullable=False),
        sa.Column("contract_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("available", Micros(), nullable=True),
        sa.Column("fee_annual", sa.Double(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_borrow_quotes_run_id"),
        sa.PrimaryKeyConstraint("at", "contract_id", name="pk_borrow_quotes"),
        info={"record": True},
    )
    op.create_table(
        "carry_daily",
        sa.Column("account", sa.String(), autoincrement=False, nullable=False),
        sa.Column("trade_date", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.String(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), autoincrement=False, nullable=False),
        sa.Column("amount", Micros(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_carry_daily_run_id"),
        sa.PrimaryKeyConstraint("account", "trade_date", "currency", "kind", name="pk_carry_daily"),
        info={"record": True},
    )
    op.create_table(
        "cash",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("at", Moment(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.String(), autoincrement=False, nullable=False),
        sa.Column("basis", sa.String(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("amount", Micros(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.CheckConstraint("basis IN ('COST_LEDGER', 'SETTLED', 'BROKER_TOTAL')", name=op.f("ck_cash_basis")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_cash_run_id"),
        sa.PrimaryKeyConstraint("run_id", "at", "currency", "basis", name="pk_cash"),
        info={"record": True},
    )
    op.create_table(
        "config_versions",
        sa.Column("digest", sa.String(), autoincrement=False, nullable=False),
        sa.Column("content", Payload(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_config_versions_run_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_config_versions"),
        info={"record": True},
    )
    op.create_table(
        "dividends",
        sa.Column("contract_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("ex_date", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("pay_date", sa.Date(), nullable=True),
        sa.Column("amount", Price(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_dividends_run_id"),
        sa.PrimaryKeyConstraint("contract_id", "ex_date", name="pk_dividends"),
        info={"record": True},
    )
    op.create_table(
        "fx_rates",
        sa.Column("at", Moment(), autoincrement=False, nullable=False),
        sa.Column("pair", sa.String(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(), autoincrement=False, nullable=False),
        sa.Column("rate", Price(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_fx_rates_run_id"),
        sa.PrimaryKeyConstraint("at", "pair", "source", name="pk_fx_rates"),
        info={"record": True},
    )
    op.create_table(
        "instruments",
        sa.Column("instrument_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("contract_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("broker_contract_id", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_instruments_run_id"),
        sa.PrimaryKeyConstraint("instrument_id", "contract_id", name="pk_instruments"),
        info={"record": True},
    )
    op.create_table(
        "market_data",
        sa.Column("at", Moment(), autoincrement=False, nullable=False),
        sa.Column("contract_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(), autoincrement=False, nullable=False),
        sa.Column("bar", sa.String(), autoincrement=False, nullable=False),
        sa.Column("open", Price(), nullable=True),
        sa.Column("high", Price(), nullable=True),
        sa.Column("low", Price(), nullable=True),
        sa.Column("close", Price(), nullable=False),
        sa.Column("volume", Micros(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_market_data_run_id"),
        sa.PrimaryKeyConstraint("at", "contract_id", "source", "bar", name="pk_market_data"),
        info={"record": True},
    )
    op.create_table(
        "nav_history",
        sa.Column("account", sa.String(), autoincrement=False, nullable=False),
        sa.Column("trade_date", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("nav", Micros(), nullable=False),
        sa.Column("units", Micros(), nullable=False),
        sa.Column("unit_price", Price(), nullable=False),
        sa.Column("daily_return", sa.Double(), nullable=True),
        sa.Column("drawdown_fraction", sa.Double(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_nav_history_run_id"),
        sa.PrimaryKeyConstraint("account", "trade_date", name="pk_nav_history"),
        info={"record": True},
    )
    op.create_table(
        "portfolio",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("at", Moment(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("nav", Micros(), nullable=False),
        sa.Column("units", Micros(), nullable=False),
        sa.Column("unit_price", Price(), nullable=False),
        sa.Column("cash_usd", Micros(), nullable=False),
        sa.Column("accruals_usd", Micros(), nullable=False),
        sa.Column("gross_exposure", Micros(), nullable=False),
        sa.Column("net_exposure", Micros(), nullable=False),
        sa.Column("drawdown_fraction", sa.Double(), nullable=True),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_portfolio_run_id"),
        sa.PrimaryKeyConstraint("run_id", "at", name="pk_portfolio"),
        info={"record": True},
    )
    op.create_index("ix_portfolio_account_trade_date", "portfolio", ["account", "trade_date"])
    op.create_table(
        "positions",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("at", Moment(), autoincrement=False, nullable=False),
        sa.Column("contract_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("sleeve", sa.String(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("position_cost", Micros(), nullable=False),
        sa.Column("mark", Price(), nullable=True),
        sa.Column("position_value_usd", Micros(), nullable=True),
        sa.Column("position_exposure_usd", Micros(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_positions_run_id"),
        sa.PrimaryKeyConstraint("run_id", "at", "contract_id", "sleeve", name="pk_positions"),
        info={"record": True},
    )
    op.create_index("ix_positions_account_at", "positions", ["account", "at"])
    op.create_table(
        "recon_breaks",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(), autoincrement=False, nullable=False),
        sa.Column("expected", Price(), nullable=True),
        sa.Column("found", Price(), nullable=True),
        sa.Column("effect_usd", Micros(), nullable=True),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_recon_breaks_run_id"),
        sa.PrimaryKeyConstraint("run_id", "attempt", "kind", "subject", name="pk_recon_breaks"),
        info={"record": True},
    )
    op.create_table(
        "reconciliations",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("nav", Micros(), nullable=False),
        sa.Column("net_liquidation", Micros(), nullable=True),
        sa.Column("difference", Micros(), nullable=True),
        sa.Column("unexplained", Micros(), nullable=True),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_reconciliations_run_id"),
        sa.PrimaryKeyConstraint("run_id", "attempt", name="pk_reconciliations"),
        info={"record": True},
    )
    op.create_table(
        "sleeve_ledger",
        sa.Column("entry_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("trade_date", sa.Date(), nullable=False),
        sa.Column("sleeve", sa.String(), nullable=False),
        sa.Column("contract_id", sa.String(), nullable=False),
        sa.Column("quantity", Micros(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_sleeve_ledger_run_id"),
        sa.PrimaryKeyConstraint("entry_id", name="pk_sleeve_ledger"),
        info={"record": True},
    )


def downgrade() -> None:
    op.drop_table("sleeve_ledger")
    op.drop_table("reconciliations")
    op.drop_table("recon_breaks")
    op.drop_table("positions")
    op.drop_table("portfolio")
    op.drop_table("nav_history")
    op.drop_table("market_data")
    op.drop_table("instruments")
    op.drop_table("fx_rates")
    op.drop_table("dividends")
    op.drop_table("config_versions")
    op.drop_table("cash")
    op.drop_table("carry_daily")
    op.drop_table("borrow_quotes")
