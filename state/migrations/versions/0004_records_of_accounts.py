"""Day record: accounts that share a database keep their own market, screens, slippage, ledgers and episodes.

No earlier version wrote a row into these tables, so they are made anew instead of being copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import sqlalchemy as sa
from alembic import op

from state.columns import Micros, Moment, Payload, Price

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Kind: TypeAlias = sa.String | sa.Date | sa.Double[float] | sa.Integer | Micros | Moment | Payload | Price
Columns: TypeAlias = Mapping[str, tuple[Kind, bool]]
"""Type of each column, and whether it may be null."""

TEXT, DAY, MONEY = sa.String(), sa.Date(), Micros()
FIGURE: sa.Double[float] = sa.Double()

MARKET: Columns = {
    "open": (Price(), True),
    "high": (Price(), True),
    "low": (Price(), True),
    "close": (Price(), False),
    "volume": (MONEY, True),
}
BORROW: Columns = {"available": (MONEY, True), "fee_annual": (FIGURE, True), "source": (TEXT, False)}
DIVIDEND: Columns = {"pay_date": (DAY, True), "amount": (Price(), False), "currency": (TEXT, False)}
SCREEN: Columns = {"instrument_id": (TEXT, False), "score": (FIGURE, False), "payload": (Payload(), False)}
SLIPPAGE: Columns = {"mean_bps": (FIGURE, False), "observations": (sa.Integer(), False)}
DATED: Columns = {"trade_date": (DAY, False)}
OWNED: Columns = {"account": (TEXT, False)}
PREMIUM: Columns = {"contract_id": (TEXT, False), "amount": (MONEY, False), "kind": (TEXT, False)}
NAMED: Columns = {"contract_id": (TEXT, False), "quantity": (MONEY, False), "reason": (TEXT, False)}
EPISODE: Columns = {
    "started_on": (DAY, False),
    "ended_on": (DAY, True),
    "trigger": (TEXT, False),
    "payload": (Payload(), False),
}

DAYS = ("ended_on IS NULL OR ended_on >= started_on", "ck_crisis_episodes_dates")
RANK = ("rank > 0", "ck_screen_results_rank")
SIDE = ("side IN ('LONG', 'SHORT')", "ck_screen_results_side")
RANKED: Columns = {"as_of": (DAY, False), "side": (TEXT, False), "rank": (sa.Integer(), False)}
BAR: Columns = {
    "at": (Moment(), False),
    "contract_id": (TEXT, False),
    "source": (TEXT, False),
    "bar": (TEXT, False),
}
QUOTED: Columns = {"at": (Moment(), False), "contract_id": (TEXT, False)}
EX_DATE: Columns = {"contract_id": (TEXT, False), "ex_date": (DAY, False)}
BUCKET: Columns = {"as_of": (DAY, False), "bucket": (TEXT, False)}
ENTRY: Columns = {"entry_id": (TEXT, False)}
SLEEVE: Columns = {"sleeve": (TEXT, False)}
NAME: Columns = {"episode_id": (TEXT, False)}


def upgrade() -> None:
    _anew("market_data", {**OWNED, **BAR}, MARKET)
    _anew("borrow_quotes", {**OWNED, **QUOTED}, BORROW)
    _anew("dividends", {**OWNED, **EX_DATE}, DIVIDEND)
    _anew("screen_results", {**OWNED, **RANKED}, SCREEN, SIDE, RANK)
    _anew("slippage_stats", {**OWNED, **BUCKET}, SLIPPAGE)
    _anew("premium_ledger", {**OWNED, **ENTRY}, {**DATED, **PREMIUM, "currency": (TEXT, False)})
    _anew("sleeve_ledger", {**OWNED, **ENTRY, **SLEEVE}, {**DATED, **NAMED})
    _anew("crisis_episodes", {**OWNED, **NAME}, EPISODE, DAYS)


def downgrade() -> None:
    _anew("market_data", BAR, MARKET)
    _anew("borrow_quotes", QUOTED, BORROW)
    _anew("dividends", EX_DATE, DIVIDEND)
    _anew("screen_results", RANKED, SCREEN, SIDE, RANK)
    _anew("slippage_stats", BUCKET, SLIPPAGE)
    _anew("premium_ledger", ENTRY, {**OWNED, **DATED, **PREMIUM})
    _anew("sleeve_ledger", ENTRY, {**OWNED, **DATED, **SLEEVE, **NAMED})
    _anew("crisis_episodes", NAME, {**OWNED, **EPISODE}, DAYS)


def _anew(name: str, keys: Columns, others: Columns, *checks: tuple[str, str]) -> None:
    op.drop_table(name)
    op.create_table(
        name,
        *(sa.Column(key, kind, autoincrement=False, nullable=False) for key, (kind, _) in keys.items()),
        *(sa.Column(column, kind, nullable=empty) for column, (kind, empty) in others.items()),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", Moment(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        *(sa.CheckConstraint(rule, name=op.f(label)) for rule, label in checks),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=f"fk_{name}_run_id"),
        sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"),
        info={"record": True},
    )
