"""The day's report as a value: what a portfolio manager reads, in the order of the questions asked.

What happened to NAV, what is held and why, what was traded and what was not, what it cost, what the broker says,
what comes next. Pages, terminal and JSON are renderings of this one value, so that a number is the same
everywhere. Amounts are USD unless the field names a currency; fractions are of NAV; costs are positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from engine.accounting.uncharged import NavEstimate

NOT_COMPARED = "not compared"
"""Stands for the broker's figure where the fact is no difference from the broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeRow:
    """One component of the change of NAV, in USD (positive raises NAV)."""

    component: str
    amount_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeView:
    """NAV at the last valuation, its components, NAV now; ``residual`` is what no posting explains.

    ``opening_date`` is the trade date of the last valuation. ``unit_return`` is the change of NAV per unit as a
    fraction: subscriptions and redemptions are no return. ``None`` for a fund that had no units before.
    ``sleeve_causes`` are the components of each sleeve's result, which sum to it.
    """

    opening_date: date
    opening_nav: Decimal
    closing_nav: Decimal
    rows: tuple[BridgeRow, ...]
    residual: Decimal
    unit_return: Decimal | None
    by_instrument: Mapping[str, Decimal]
    by_sleeve: Mapping[str, Decimal]
    by_currency: Mapping[str, Decimal]
    sleeve_causes: Mapping[str, Mapping[str, Decimal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureRow:
    """Long and short exposure of a sleeve (or of the FX hedge), in USD, both unsigned."""

    name: str
    long_usd: Decimal
    short_usd: Decimal
    target_gross_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrencyRow:
    """Cash and net value of one currency in its own units, its hedge, and what remains, in USD."""

    currency: str
    cash: Decimal
    net_value_usd: Decimal
    hedge_usd: Decimal
    remaining_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRow:
    """One contract held or wanted by one sleeve. ``price`` is in ``price_unit``; weights are fractions of NAV.

    ``target_quantity`` is ``None`` where nothing was decided.
    """

    sleeve: str
    instrument_id: str
    contract_id: str
    name: str
    quantity: Decimal
    target_quantity: Decimal | None
    price: Decimal | None
    price_unit: str
    exposure_usd: Decimal
    weight: float
    target_weight: float | None
    stale_sessions: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRow:
    """One trade that was considered: done, partly done, or not done, and why in words.

    ``decision`` is one of ``done``, ``partly done``, ``not done``, ``planned``. ``quantity`` is signed.
    """

    contract_id: str
    instrument_id: str
    quantity: Decimal
    filled: Decimal
    notional_usd: Decimal
    decision: str
    reason: str
    purpose: str
    sleeves: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollRow:
    """One future that was due, with both its contracts; the new one is ``None`` where it is only closed.

    ``held`` is the signed quantity before, ``closed`` and ``opened`` what was filled of each contract, signed, with
    what the strategy wanted of the new one. ``spreads`` is how much went as orders of both at once, ``days_left`` the
    sessions to the old one's end.
    """

    instrument_id: str
    old_contract: str
    new_contract: str | None
    held: Decimal
    closed: Decimal
    opened: Decimal
    spreads: Decimal
    days_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """One child order as it ended."""

    order_ref: str
    contract_id: str
    side: str
    quantity: Decimal
    filled: Decimal
    limit_price: Decimal
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRow:
    """One execution. ``slippage_bps`` against the arrival mid and ``cost_usd`` are positive for a cost."""

    execution_id: str
    order_ref: str
    contract_id: str
    side: str
    quantity: Decimal
    price: Decimal
    executed_at: datetime
    commission: Decimal
    commission_currency: str
    slippage_bps: float | None
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CostView:
    """Costs of the day in USD: commission, taxes on trades, slippage against the arrival mid, traded, saved by netting."""

    traded_usd: Decimal
    turnover_fraction: float
    commission_usd: Decimal
    tax_usd: Decimal
    slippage_usd: Decimal
    netting_saved_usd: Decimal

    @property
    def total_usd(self) -> Decimal:
        """What trading cost; what netting saved was never paid."""
        return self.commission_usd + self.tax_usd + self.slippage_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskView:
    """Risk state and the words that explain it. Volatilities are annual fractions, drawdown is negative.

    ``abandoned`` says that a person chose to take no new risk on this day.
    """

    regime: str
    scale: float
    core_scale: float
    volatility: float | None
    volatility_target: float
    estimator: str
    vix: float | None
    drawdown: float
    max_drawdown: float
    daily_return: float | None
    reduce_only: bool
    abandoned: bool
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceFact:
    """A price or exchange rate that could not be trusted, and what hangs on it.

    ``age`` counts ``age_unit`` (sessions, market hours), ``None`` where age is not what is wrong; ``limit`` is the
    rule that was broken, in words. ``last_price`` is the last good one, in ``unit``, of ``last_date``.
    ``exposure_usd`` is signed (a currency: its net value), ``nav_fraction`` its unsigned share of NAV.
    """

    age: float | None
    age_unit: str
    limit: str
    last_price: Decimal | None
    unit: str
    last_date: date | None
    exposure_usd: Decimal | None
    nav_fraction: float | None


class PriceFlag(Enum):
    """Why a price was not trusted."""

    OLD = "old"
    JUMPED = "jumped"
    FAR_FROM_BROKER = "far from the broker's"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedPrice:
    """A price that a decision did not trust: its line could only be reduced.

    ``price`` is in quote units, of ``session_date``; ``reference`` what it was compared with: the price before, or the
    broker's. ``exposure_usd`` is signed, 0 for a line that is not held; ``effect_usd`` is what the difference does to
    NAV, ``None`` for a price that is only old.
    """

    contract_id: str
    flag: PriceFlag
    price: Decimal
    session_date: date | None
    age_sessions: int
    reference: Decimal | None
    exposure_usd: Decimal
    effect_usd: Decimal | None
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAct:
    """One answer to a halt: who, to what, which choice and why."""

    trade_date: date
    halt_id: str
    kind: str
    choice: str
    operator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """What happened over the days of one run that a person may have to look at again, in the order of the days."""

    account: str
    first: date
    last: date
    days: int
    largest_residual_usd: Decimal
    flagged: tuple[tuple[date, FlaggedPrice], ...]
    acts: tuple[OperatorAct, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakRow:
    """One fact behind a halt, with its most likely explanation.

    A difference between our book and the broker's account, or, with ``price``, a price that can not be trusted.
    """

    kind: str
    subject: str
    ours: str
    broker: str
    difference_usd: Decimal | None
    explanation: str
    proposed_choice: str
    price: PriceFact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationView:
    """Comparison with the broker: NAV − NLV in USD, split into buckets that sum to it."""

    status: str
    net_liquidation: Decimal | None
    difference_usd: Decimal | None
    difference_bps: float | None
    buckets: Mapping[str, Decimal]
    breaks: tuple[BreakRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One comparison of book and broker: before each window too. Money in USD; ``difference_fraction`` is of NLV."""

    at: datetime
    run: str
    status: str
    difference_fraction: float | None
    difference_usd: Decimal | None
    buckets: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltView:
    """One halt of the day: what was found, who decided what and why."""

    halt_id: str
    kind: str
    severity: str
    message: str
    status: str
    choices: tuple[str, ...]
    choice: str | None
    operator: str | None
    reason: str | None
    evidence: tuple[BreakRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One execution job and its window in UTC."""

    job_id: str
    venue: str
    group: str
    style: str
    window_start: datetime
    window_end: datetime
    orders: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """Close of one earlier day: NAV in USD, unit price, gross and net exposure, regime."""

    trade_date: date
    nav: Decimal
    unit_price: Decimal
    gross_exposure: Decimal
    net_exposure: Decimal
    regime: str
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """Everything a day says: ``nav`` at the decision, ``closing_nav`` at the close, ``estimate`` why either is one."""

    run_id: str
    account: str
    profile: str
    trade_date: date
    mode: str
    status: str
    attempt: int
    seed: int
    market: str
    generated: bool
    as_of: datetime
    nav: Decimal | None
    closing_nav: Decimal | None
    unit_price: Decimal | None
    cash_by_currency: Mapping[str, Decimal]
    gross_exposure: Decimal
    net_exposure: Decimal
    bridge: BridgeView | None
    exposures: tuple[ExposureRow, ...]
    currencies: tuple[CurrencyRow, ...]
    risk: RiskView | None
    positions: tuple[PositionRow, ...]
    trades: tuple[TradeRow, ...]
    hedges: tuple[str, ...]
    jobs: tuple[JobRow, ...]
    orders: tuple[OrderRow, ...]
    fills: tuple[FillRow, ...]
    costs: CostView
    reconciliation: ReconciliationView | None
    closing_reconciliation: ReconciliationView | None
    comparisons: tuple[ComparisonRow, ...] = ()
    rolls: tuple[RollRow, ...] = ()
    estimate: NavEstimate | None = None
    closing_estimate: NavEstimate | None = None
    unhedged_usd_seconds: float | None = None
    halts: tuple[HaltView, ...]
    flagged_prices: tuple[FlaggedPrice, ...]
    notes: tuple[str, ...]
    operator_acts: tuple[str, ...]
    history: tuple[HistoryPoint, ...]
    next_run: date | None
