"""Every limit and parameter a decision obeys, as values made from the configuration.

No field has a default: a limit that is not configured does not exist, and the fund does not start without it.
Fractions are of 1 (0.10 = 10 %), ``_bps`` are 1/10 000, volatilities are annual, drawdowns negative fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from engine.model.breaks import BreakKind
from engine.model.carry import CarryPolicy
from engine.model.instruments import CollarClass
from engine.model.orders import Side
from engine.model.portfolio import CashBasis
from engine.model.venues import MaintenanceWindow, StyleRule, WindowPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationPolicy:
    """Limits of the comparison with the broker (REC-01, R-106).

    ``book_explained`` are the causes that are booked without asking a person, where known facts explain all of it.
    """

    halt_threshold_fraction: Decimal
    emergency_threshold_fraction: Decimal
    cash_basis: CashBasis
    cash_break_usd: Decimal
    cash_break_fraction: Decimal
    mark_break_bps: Decimal
    mark_break_ticks: int
    fx_break_bps: Decimal
    book_explained: tuple[BreakKind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FxPolicy:
    """Ages and jumps of exchange rates (FX-04, R-26, R-116) and the currency hedge (HEDGE-01…04)."""

    stale_warning_hours: float
    stale_invalid_hours: float
    jump_reject_fraction: Decimal
    triangle_tolerance_fraction: Decimal
    hedge_ratio: Decimal
    hedge_band_fraction: Decimal
    full_contract_above_micros: int
    hedge_contracts: Mapping[str, tuple[str | None, str | None]]
    """Currency → (micro future, full future); spot pairs serve the currencies without futures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkPolicy:
    """How old a mark may be (R-105) and how far a price may jump without a corporate action (NAV-10).

    A held line that moved by more than its class's ``jump_fraction`` is frozen; jumps that together move NAV by more
    than ``jump_halt_fraction`` of it stop the day.
    """

    flagged_sessions_max: int
    flagged_gross_fraction: Decimal
    jump_quarantine_fraction: Decimal
    jump_quarantine_by_class: Mapping[CollarClass, Decimal]
    jump_halt_fraction: Decimal

    def jump_fraction(self, collar_class: CollarClass) -> Decimal:
        """Largest move of a class since the former mark that needs no second look."""
        return self.jump_quarantine_by_class.get(collar_class, self.jump_quarantine_fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolatilityPolicy:
    """Estimator of the book's volatility (RISK-04, R-17, R-19)."""

    ewma_span_days: int
    rolling_days: int
    blend_weight: float
    minimum_observations: int
    floor_annual: float
    annualisation_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimePolicy:
    """Regime thresholds with hysteresis (RISK-02, RISK-03, R-22, R-23)."""

    persistence_days: int
    vix_enter_elevated: float
    vix_exit_elevated: float
    vix_enter_crisis: float
    vix_exit_crisis: float
    drawdown_enter_elevated: float
    drawdown_exit_elevated: float
    drawdown_enter_crisis: float
    drawdown_exit_crisis: float
    recovery_vix_below: float
    recovery_retrace_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPolicy:
    """Scaling, limits and the loss ladder (RISK-05…12, R-18…R-21, R-104)."""

    volatility_target_annual: float
    scale_max: float
    scale_without_history_max: float
    exante_gap_fraction: float
    state_scales: Mapping[str, float]
    gross_leverage_max: float
    net_leverage_max: float
    daily_reduce_only: float
    daily_crisis: float
    drawdown_crisis: float
    drawdown_kill: float
    momentum_short_days: int
    momentum_long_days: int
    momentum_slope_lag_days: int
    momentum_reduce_factor: float
    volatility: VolatilityPolicy
    regime: RegimePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class SleevePolicy:
    """What each sleeve holds. Weights are fractions of NAV; legs are ordered instrument ids.

    ``core``/``sector`` legs each take half of their sleeve. ``credit_weights`` and ``crisis_budgets`` are
    fractions that sum to 1. ``short_proxies`` maps a short that can not be borrowed to a future.
    """

    weights: Mapping[str, float]
    core_long: tuple[str, ...]
    core_short: tuple[str, ...]
    sector_long: tuple[str, ...]
    sector_short: tuple[str, ...]
    credit_weights: Mapping[str, float]
    single_long_universe: tuple[str, ...]
    single_short_universe: tuple[str, ...]
    single_long_fallback: tuple[str, ...]
    single_short_fallback: tuple[str, ...]
    single_top: int
    single_long_factors: Mapping[str, float]
    single_short_factors: Mapping[str, float]
    single_name_cap: float
    screen_max_age_days: int
    screen_minimum_coverage: float
    old_economy_sectors: tuple[str, ...]
    short_proxies: Mapping[str, str]
    sleeve_drift_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TailHedgePolicy:
    """Premium budget and option choice (HEDGE-20…24, R-28, R-29).

    ``candidates`` maps a budget category to option instruments in order of preference; ``days_to_expiry`` and
    ``delta`` give each category's range. ``spread_long``/``spread_short`` are the sovereign spread's futures and
    ``spread_price_value_*`` their value of a basis point per contract in currency (DV01).
    """

    annual_premium_fraction: Decimal
    split: Mapping[str, Decimal]
    elevated_multiplier: Decimal
    monthly_carry_over_months: int
    roll_days_to_expiry: int
    roll_delta_below: float
    hard_close_business_days: int
    candidates: Mapping[str, tuple[str, ...]]
    days_to_expiry: Mapping[str, tuple[int, int]]
    delta: Mapping[str, tuple[float, float]]
    minimum_open_interest: int
    maximum_spread_fraction: Decimal
    spread_long: str | None
    spread_short: str | None
    spread_long_dv01: Decimal
    spread_short_dv01: Decimal
    spread_stop_move_bps: Decimal
    volatility_future: str | None
    """Future that stands in for options where no chain exists, sized by expected roll loss within the budget."""
    volatility_future_roll_loss_annual: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CrisisPolicy:
    """Triggers and playbook (CRISIS-01…05)."""

    vix_threshold: float
    daily_loss: float
    drawdown: float
    monetise_fraction: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RollPolicy:
    """When a future is rolled: business days before the earlier of last trade and first notice (R-16)."""

    days_before: int
    overrides: Mapping[str, int]
    critical_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """Cost-benefit gate (GATE-01…04, R-70, R-71, R-108)."""

    enabled: bool
    minimum_drift_fraction: float
    cost_multiplier: float
    regime_multipliers: Mapping[str, float]
    risk_aversion: float
    horizon_days: int
    alpha_halflife_days: int
    annualisation_days: int
    establishing_below_fraction: float
    large_change_fraction: float
    established_within_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionTax:
    """Tax on trades in shares that a venue lists: a fraction of the value, on one side, from day to day (R-114).

    ``last`` is ``None`` while the rate is in force; ``source`` says where it was read.
    """

    venue: str
    side: Side
    rate: Decimal
    first: date
    last: date | None
    source: str

    def applies(self, venue: str, side: Side, day: date) -> bool:
        """Whether it is due on a trade of a day."""
        in_force = self.first <= day and (self.last is None or day <= self.last)
        return in_force and (self.venue, self.side) == (venue, side)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPolicy:
    """Expected cost of a trade by collar class: half spread and impact in bps, commission in its own unit.

    Commission = max(``commission_minimum``, quantity × ``commission_per_unit`` + notional × ``commission_bps``/10⁴)
    in the instrument's currency.
    """

    half_spread_bps: Mapping[CollarClass, Decimal]
    impact_coefficient: Mapping[CollarClass, Decimal]
    commission_per_unit: Mapping[CollarClass, Decimal]
    commission_bps: Mapping[CollarClass, Decimal]
    commission_minimum: Mapping[CollarClass, Decimal]
    transaction_taxes: tuple[TransactionTax, ...]

    def commission(self, kind: CollarClass, quantity: Decimal, notional: Decimal) -> Decimal:
        """Commission of an order's unsigned quantity, in the currency of ``notional``; 0 where nothing traded."""
        if quantity == 0:
            return Decimal(0)
        charge = quantity * self.commission_per_unit[kind] + notional * self.commission_bps[kind] / 10_000
        return max(self.commission_minimum[kind], charge)


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyPolicy:
    """Guards before anything is sent (SAFE-01…06, JOBS-07, R-37, R-113, R-117).

    Beyond a move of ``retarget_move_fraction`` since the decision a quantity follows the price, and beyond one of
    ``future_move_fraction`` of an index future the fund's risk is judged again before a window.
    """

    max_order_fraction: Decimal
    max_daily_turnover_fraction: Decimal
    planner_order_fraction: Decimal
    planner_turnover_fraction: Decimal
    fx_hedge_order_fraction: Decimal
    fat_finger_price_fraction: Decimal
    fat_finger_reduction_fraction: Decimal
    max_adv_fraction: Decimal
    max_orders_per_day: int
    near_open_minutes: int
    retarget_move_fraction: Decimal
    future_move_fraction: Decimal
    minimum_excess_liquidity_fraction: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class UrgencyPolicy:
    """What an order may do beyond the plain rules to finish, by its urgency (R-61).

    Multiples are of the class's collar, always around the arrival mid; ``emergency_collar_multiples`` rise, one each
    ``emergency_rung_seconds``, and a future's rung is never narrower than ``emergency_minimum_ticks``.
    """

    passive_seconds: float
    high_collar_multiple: Decimal
    high_replace_interval_seconds: float
    emergency_collar_multiples: tuple[Decimal, ...]
    emergency_rung_seconds: float
    emergency_minimum_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicingPolicy:
    """When a parent is worked in slices (EXEC-08): fractions of the average daily volume, least seconds between two."""

    adv_fraction_threshold: Decimal
    max_participation_fraction: Decimal
    interval_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPolicy:
    """How a parent order is worked (EXEC-02…17, R-38…R-40).

    ``styles`` chooses the style of a trade by the first rule that names it; without one it is MIDDAY.
    """

    allow_market_orders: bool
    order_ttl_seconds: float
    replace_interval_seconds: float
    max_replaces: int
    collar_bps: Mapping[CollarClass, Decimal]
    option_collar_fraction: Decimal
    option_collar_ticks: int
    minimum_collar_ticks: int
    buffer_spread_fraction: Decimal
    minimum_notional_usd: Decimal
    quote_age_plan_seconds: float
    quote_age_price_seconds: float
    avoid_after_open_minutes: int
    avoid_before_close_minutes: int
    parent_retry_seconds: float
    max_legging_seconds: float
    urgency: UrgencyPolicy
    slicing: SlicingPolicy
    styles: tuple[StyleRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FundPolicy:
    """All policies of one fund and the size it starts with; ``resets`` is when the broker may be away."""

    initial_capital: Decimal
    initial_units: Decimal
    reconciliation: ReconciliationPolicy
    fx: FxPolicy
    marks: MarkPolicy
    risk: RiskPolicy
    sleeves: SleevePolicy
    tail: TailHedgePolicy
    crisis: CrisisPolicy
    roll: RollPolicy
    gate: GatePolicy
    costs: CostPolicy
    safety: SafetyPolicy
    execution: ExecutionPolicy
    windows: Mapping[str, WindowPolicy]
    carry: CarryPolicy
    resets: tuple[MaintenanceWindow, ...] = ()
