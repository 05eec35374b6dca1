"""The sections of settings.yaml as strict models: every key required, no key unknown, every number with a unit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from config.units import (
    BasisPoints,
    Clock,
    Count,
    CountFromOne,
    Fraction,
    LiquidityFloor,
    LossFraction,
    Minutes,
    Money,
    Multiple,
    Number,
    OpenHours,
    OrdersADay,
    Positive,
    Sessions,
    Tolerance,
    VixLevel,
)

Regime: TypeAlias = Literal["NORMAL", "ELEVATED", "CRISIS", "RECOVERY"]
CollarName: TypeAlias = Literal["ETF", "STK", "FUT", "FX_FUT", "FX_SPOT", "BOND_FUT", "VOL_FUT", "OPT"]
Currency: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Country: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
InstrumentId: TypeAlias = Annotated[str, Field(min_length=1)]
K = TypeVar("K", bound=str)
V = TypeVar("V")


def refuse(words: str) -> PydanticCustomError:
    """Error of a rule between several keys, in our words."""
    return PydanticCustomError("rule", "{words}", {"words": words})


def _complete(names: object) -> AfterValidator:
    """Every name of a closed set must have its value: an absent one would be a default in disguise."""

    def check(values: dict[K, V]) -> dict[K, V]:
        missing = [name for name in get_args(names) if name not in values]
        if missing:
            raise refuse(
                f"expected a value for {', '.join(missing)}, found only {', '.join(values) or 'nothing'}"
            )
        return values

    return AfterValidator(check)


Range: TypeAlias = tuple[Fraction, Fraction]
Category: TypeAlias = Literal["equity_puts", "vix_calls", "credit_puts", "sovereign_spread", "bank_puts"]
LongFactor: TypeAlias = Literal["quality", "momentum", "size"]
ShortFactor: TypeAlias = Literal["zombie", "weakness", "sector"]
ByCollar: TypeAlias = Annotated[dict[CollarName, V], _complete(CollarName)]
ByRegime: TypeAlias = Annotated[dict[Regime, V], _complete(Regime)]
_TOLERANCE = Decimal("1e-9")


class Section(BaseModel):
    """A section of the configuration: strict, immutable, closed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def _sum_to_one(name: str, values: Mapping[str, Decimal]) -> None:
    total = sum(values.values(), Decimal(0))
    if abs(total - 1) > _TOLERANCE:
        raise refuse(f"expected the fractions of {name} to sum to 1, found {total:f}")


class Fund(Section):
    """Size of the fund, the clock of its day, and where it is resident for tax.

    ``relief_at_source`` are countries that withhold from it at its treaty's rate; all others at their own.
    """

    initial_capital: Money
    initial_units: Money
    decision_time_utc: Clock
    close_time_utc: Clock
    domicile: Country
    relief_at_source: tuple[Country, ...]


class Sleeves(Section):
    """Weights of the sleeves."""

    core_index_rv: Fraction
    sector_rv: Fraction
    single_name: Fraction
    credit_carry: Fraction
    crisis_alpha: Fraction
    cash_buffer: Fraction

    @model_validator(mode="after")
    def _sum(self) -> Sleeves:
        _sum_to_one("sleeves", dict(self))
        return self


class Momentum(Section):
    """Spread momentum of the core sleeve."""

    short_window_days: CountFromOne
    long_window_days: CountFromOne
    slope_lag_days: CountFromOne
    regime_reduce_factor: Fraction


class Volatility(Section):
    """Estimator of the book's volatility."""

    floor: Fraction
    ewma_span: CountFromOne
    blend_weight: Fraction
    short_window: CountFromOne
    long_window: CountFromOne
    min_obs: CountFromOne
    annualisation: CountFromOne


class Hysteresis(Section):
    """Regime thresholds."""

    persistence_days: Annotated[int, Field(ge=1, le=60)]
    vix_enter_elevated: VixLevel
    vix_exit_elevated: VixLevel
    vix_enter_crisis: VixLevel
    vix_exit_crisis: VixLevel
    dd_enter_elevated: LossFraction
    dd_exit_elevated: LossFraction
    dd_enter_crisis: LossFraction
    dd_exit_crisis: LossFraction
    recovery_vix_below: VixLevel
    recovery_retrace_pct: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> Hysteresis:
        for kind in ("elevated", "crisis"):
            if getattr(self, f"vix_exit_{kind}") >= getattr(self, f"vix_enter_{kind}"):
                raise refuse(
                    f"expected vix_exit_{kind} below vix_enter_{kind}, or the regime flips every day"
                )
            if getattr(self, f"dd_exit_{kind}") <= getattr(self, f"dd_enter_{kind}"):
                raise refuse(f"expected dd_exit_{kind} above dd_enter_{kind}, or the regime flips every day")
        return self


class LossLadder(Section):
    """Losses at which the fund reduces, defends and stops."""

    daily_reduce_only: LossFraction
    daily_crisis: LossFraction
    dd_crisis: LossFraction
    dd_kill: LossFraction

    @model_validator(mode="after")
    def _ordered(self) -> LossLadder:
        if not (self.daily_crisis < self.daily_reduce_only and self.dd_kill < self.dd_crisis):
            raise refuse("expected each step of loss_ladder to be a larger loss than the one before")
        return self


class Crisis(Section):
    """Triggers and playbook."""

    vix_threshold: Positive
    pnl_spike_threshold_pct: Fraction
    monetize_itm_pct: Fraction


class Marks(Section):
    """Ages and jumps of marks."""

    flagged_sessions_max: Sessions
    flagged_gross_pct_nav: Fraction
    jump_quarantine_pct: Fraction
    jump_quarantine_pct_by_asset_class: dict[CollarName, Multiple]
    jump_halt_pct_nav: Tolerance


class FxContracts(Section):
    """Hedge futures of one currency."""

    micro: InstrumentId | None
    size: Positive | None
    full: InstrumentId | None


class Fx(Section):
    """Exchange rates and the currency hedge."""

    base_ccy: Literal["USD"]
    stale_warning_hours: OpenHours
    stale_invalid_hours: OpenHours
    jump_reject_pct: Fraction
    triangle_tolerance_pct: Tolerance
    hedge_ratio: Fraction
    hedge_band_pct_nav: Tolerance
    full_above_micros: Count
    contracts: dict[Currency, FxContracts]


class UniverseChoice(Section):
    """Which lines of instruments.yaml the fund knows."""

    sections: tuple[Literal["instruments", "reference"], ...]
    include: tuple[InstrumentId, ...]
    name_lists: tuple[str, ...]


class Period(Section):
    """A stretch of trade dates, both ends included; an open end has no bound."""

    from_: date | None = Field(default=None, alias="from")
    to: date | None = None

    def contains(self, day: date) -> bool:
        """Whether a trade date lies in the period."""
        return (self.from_ is None or self.from_ <= day) and (self.to is None or day <= self.to)


class LegPeriod(Period):
    """Instruments of a leg in a period: ids, or a name list of instruments.yaml, or both."""

    instruments: tuple[InstrumentId, ...] = ()
    name_list: str | None = None


class WeightPeriod(Period):
    """Weights of a leg in a period."""

    weights: dict[InstrumentId, Fraction]

    @model_validator(mode="after")
    def _sum(self) -> WeightPeriod:
        _sum_to_one("weights", self.weights)
        return self


class SpreadPeriod(Period):
    """Futures of the sovereign spread in a period."""

    long: InstrumentId
    short: InstrumentId


class FuturePeriod(Period):
    """The future that stands in for options in a period."""

    instrument: InstrumentId


class Portfolio(Section):
    """What each sleeve holds, by date."""

    core_long: tuple[LegPeriod, ...]
    core_short: tuple[LegPeriod, ...]
    sector_long: tuple[LegPeriod, ...]
    sector_short: tuple[LegPeriod, ...]
    credit_weights: tuple[WeightPeriod, ...]
    single_long: tuple[LegPeriod, ...]
    single_short: tuple[LegPeriod, ...]
    single_long_fallback: tuple[InstrumentId, ...]
    single_short_fallback: tuple[InstrumentId, ...]
    short_proxies: dict[InstrumentId, InstrumentId]


class Screener(Section):
    """Single-name selection."""

    top_n: CountFromOne
    long_factors: Annotated[dict[LongFactor, Fraction], _complete(LongFactor)]
    short_factors: Annotated[dict[ShortFactor, Fraction], _complete(ShortFactor)]
    max_age_days: CountFromOne
    min_coverage: Fraction
    old_economy_sectors: tuple[str, ...]

    @model_validator(mode="after")
    def _sum(self) -> Screener:
        _sum_to_one("long_factors", {str(key): value for key, value in self.long_factors.items()})
        _sum_to_one("short_factors", {str(key): value for key, value in self.short_factors.items()})
        return self


class Hedges(Section):
    """Crisis alpha: premium budget and choice of options."""

    annual_premium_budget_pct: Fraction
    split: Annotated[dict[Category, Fraction], _complete(Category)]
    elevated_multiplier: Multiple
    carry_over_months: Count
    roll_dte: Count
    roll_delta_below: Fraction
    hard_close_business_days: Count
    candidates: dict[Category, tuple[InstrumentId, ...]]
    dte: dict[Category, tuple[Count, Count]]
    delta: dict[Category, Range]
    min_open_interest: Count
    max_spread_pct: Fraction
    spread: tuple[SpreadPeriod, ...]
    spread_long_dv01: Positive
    spread_short_dv01: Positive
    spread_stop_move_bps: BasisPoints
    volatility_future: tuple[FuturePeriod, ...]
    volatility_future_roll_loss_annual: Fraction

    @model_validator(mode="after")
    def _sum(self) -> Hedges:
        _sum_to_one("split", {str(key): value for key, value in self.split.items()})
        return self


class Roll(Section):
    """When futures are rolled."""

    days_before: Count
    overrides: dict[str, Count]
    critical_days: Count


class ExecutionSafety(Section):
    """Guards before anything is sent."""

    max_order_pct_nav: Fraction
    max_daily_turnover_pct: Fraction
    planner_order_pct: Fraction
    planner_turnover_pct: Fraction
    fx_hedge_order_pct: Fraction
    gate_order_pct_nav: Fraction
    fat_finger_price_pct: Fraction
    fat_finger_reduction_pct: Fraction
    max_adv_pct: Fraction
    max_orders_per_day: OrdersADay
    near_open_minutes: Minutes
    retarget_price_move_pct: Fraction
    recheck_future_move_pct: Fraction
    min_excess_liquidity_pct: LiquidityFloor

    @model_validator(mode="after")
    def _planner_inside_guard(self) -> ExecutionSafety:
        if self.planner_order_pct > self.max_order_pct_nav:
            raise refuse(
                "expected planner_order_pct at or below max_order_pct_nav, or the guard blocks every day"
            )
        if self.planner_turnover_pct > self.max_daily_turnover_pct:
            raise refuse(
                "expected planner_turnover_pct at or below max_daily_turnover_pct, or the guard blocks"
            )
        if self.gate_order_pct_nav < max(self.max_order_pct_nav, self.fx_hedge_order_pct):
            raise refuse("expected gate_order_pct_nav above every planned order, or the send gate stops them")
        return self


class TaxPeriod(Section):
    """A country's tax on trades in shares, of the venue that lists them, from day to day."""

    venue: str
    side: Literal["BUY", "SELL"]
    rate: Fraction
    from_: date = Field(alias="from")
    to: date | None = None
    source: Annotated[str, Field(min_length=1)]


class Costs(Section):
    """Expected cost by collar class."""

    half_spread_bps: ByCollar[BasisPoints]
    impact_coef: ByCollar[Number]
    commission_per_unit: ByCollar[Number]
    commission_bps: ByCollar[BasisPoints]
    commission_minimum: ByCollar[Number]
    transaction_tax: tuple[TaxPeriod, ...]
