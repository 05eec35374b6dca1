"""The sections of settings.yaml about orders, signals, research and the broker."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from config.carry_sections import CarryRealism
from config.sections import ByCollar, ByRegime, CollarName, InstrumentId, Section, refuse
from config.units import (
    AtLeastOne,
    BasisPoints,
    Clock,
    CollarBps,
    Count,
    CountFromOne,
    Fraction,
    LossFraction,
    MajorSeconds,
    MinorSeconds,
    Minutes,
    Money,
    Multiple,
    Number,
    Positive,
    Replaces,
    Ticks,
    Tolerance,
)


class LiquidityLimits(Section):
    """Limits of the liquidity score."""

    max_slippage_pct: Fraction
    max_spread_bps: BasisPoints
    min_liquidity_score: Fraction


class Atomic(Section):
    """Groups that fill together."""

    timeout_seconds: Positive
    rollback_on_partial: bool
    pre_flight_check: bool


class LowUrgency(Section):
    """An order that can wait."""

    passive_seconds: MajorSeconds


class HighUrgency(Section):
    """An order that has to finish soon."""

    collar_multiple: AtLeastOne
    replace_interval_seconds: MinorSeconds


def _rising(rungs: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    if not rungs or any(later <= earlier for earlier, later in pairwise(rungs)):
        raise ValueError("expected one rung or more, each wider than the one before")
    return rungs


class EmergencyUrgency(Section):
    """An order that has to finish now: a ladder of collars."""

    collar_multiples: Annotated[tuple[AtLeastOne, ...], AfterValidator(_rising)]
    rung_seconds: MinorSeconds
    min_collar_ticks: Ticks


class UrgencyRules(Section):
    """What an order may do to finish, by its urgency; NORMAL follows the section around."""

    LOW: LowUrgency
    HIGH: HighUrgency
    EMERGENCY: EmergencyUrgency


def _collared(widths: dict[CollarName, Decimal | None]) -> dict[CollarName, Decimal | None]:
    """Options alone have a collar that is not in bps (R-40); anything else without one could not be priced."""
    missing = [name for name, width in widths.items() if width is None and name != "OPT"]
    if missing:
        raise refuse(f"expected a collar in bps for {', '.join(missing)}, found none")
    return widths


class StyleChoice(Section):
    """Trades that every given list names take this style; a list that is left out names all.

    An order that has to finish soon does not wait for an auction unless its urgency is named.
    """

    style: Literal["MIDDAY", "OPEN_AUCTION", "CLOSE_AUCTION"]
    instruments: tuple[InstrumentId, ...] = ()
    venues: tuple[str, ...] = ()
    asset_classes: tuple[CollarName, ...] = ()
    reasons: tuple[Literal["rebalance", "close", "derisk", "limit_breach", "crisis", "hedge_tail"], ...] = ()
    urgencies: tuple[Literal["LOW", "NORMAL", "HIGH", "EMERGENCY"], ...] = ("LOW", "NORMAL")


class Execution(Section):
    """How a parent order is worked."""

    default_policy: Literal["marketable_limit"]
    allow_market_orders: bool
    order_ttl_seconds: MajorSeconds
    replace_interval_seconds: MinorSeconds
    max_replace_attempts: Replaces
    default_max_slippage_bps: BasisPoints
    max_slippage_bps_by_asset_class: Annotated[ByCollar[CollarBps | None], AfterValidator(_collared)]
    option_collar_pct: Fraction
    option_collar_ticks: Ticks
    min_collar_ticks: Ticks
    micro_buffer_spread_fraction: Fraction
    min_trade_notional_usd: Number
    rebalance_drift_threshold_pct: Fraction
    pair_max_legging_seconds: MinorSeconds
    pair_hedge_enabled: bool
    pair_min_hedge_trigger_fill_pct: Fraction
    adv_fraction_threshold: Tolerance
    max_participation_rate: Fraction
    slice_interval_seconds: MinorSeconds
    avoid_first_minutes_after_open: Minutes
    avoid_last_minutes_before_close: Minutes
    max_data_age_seconds: MinorSeconds
    poll_interval_seconds: MinorSeconds
    executions_poll_seconds: MajorSeconds
    parent_retry_seconds: MajorSeconds
    urgency: UrgencyRules
    styles: tuple[StyleChoice, ...]
    liquidity: LiquidityLimits
    atomic: Atomic


class EuropeanVenue(Section):
    """Clock of the European job venue."""

    timezone: str
    open_offset_minutes: Count


class PlainVenue(Section):
    """Clock of a job venue."""

    timezone: str


class FxVenue(Section):
    """Clock of the currency market, with its daily pause."""

    timezone: str
    avoid_window_utc: tuple[Clock, Clock]
    avoid_window_ny: tuple[Clock, Clock]


class SchedulerVenues(Section):
    """Clocks of the job venues."""

    EU: EuropeanVenue
    US: PlainVenue
    FX: FxVenue
    FUT: PlainVenue


class SessionScheduler(Section):
    """When jobs are made and looked at."""

    enabled: bool
    precompute_time_utc: Clock
    guard_until_utc: Clock
    catch_up_minutes: CountFromOne
    poll_interval_seconds: Positive
    job_persistence_path: str
    venues: SchedulerVenues


class QuoteQuality(Section):
    """What a live quote must be."""

    require_bid_ask_for_limit_pricing: bool
    max_mid_staleness_seconds: MinorSeconds


class MarketData(Section):
    """Where live prices come from."""

    live_provider: Literal["ibkr_only"]
    allow_yahoo_in_live: Literal[False]
    live_snapshot_timeout_ms: CountFromOne
    min_quote_quality: QuoteQuality


class Overlays(Section):
    """Temporary hedges of broken pairs."""

    enabled: bool
    max_unhedged_seconds: Positive
    overlay_notional_cap_pct_nav: Fraction
    overlay_proxies: dict[str, InstrumentId]
    micro_proxies: dict[str, InstrumentId]


class GateBenefit(Section):
    """Terms of the gate's benefit."""

    risk_aversion: Positive
    horizon_days: CountFromOne
    alpha_halflife_days: CountFromOne


class Gating(Section):
    """Cost-benefit gate."""

    enabled: bool
    min_drift_pct: Fraction
    cost_multiplier: Multiple
    always_trade_if_limit_breach: bool
    regime_multipliers: ByRegime[Multiple]
    establishing_below_pct: Fraction
    large_change_pct: Fraction
    established_within_pct: Fraction
    benefit: GateBenefit


class SlippageModelSettings(Section):
    """Calibration of limits from our own fills."""

    enabled: bool
    lookback_trades: CountFromOne
    min_trades_per_instrument: CountFromOne
    percentile_for_limits: Fraction
    safety_buffer_bps: BasisPoints
    clamp_bps: tuple[BasisPoints, BasisPoints]
    persist_path: str


class ExecutionPhase2(Section):
    """Windows, overlays, gate and carry."""

    enabled: bool
    session_scheduler: SessionScheduler
    market_data: MarketData
    overlays: Overlays
    gating: Gating
    slippage_model: SlippageModelSettings
    carry_realism: CarryRealism


class Signals(Section):
    """Quantitative signals."""

    volatility_window: CountFromOne
    momentum_fast: CountFromOne
    momentum_slow: CountFromOne
    tail_window: CountFromOne
    beta_window: CountFromOne
    validation_window: CountFromOne
    health_lookback: CountFromOne
    daily_weight: Fraction
    hourly_weight: Fraction
    weight_bounds: tuple[Fraction, Fraction]
    corr_penalty: Number
    risk_budgets: dict[Literal["Momentum", "Carry", "Volatility", "TailRisk", "Beta"], Fraction]
    risk_budget_slack: Multiple
    seasonality_weight_live: Fraction
    tilt_k: Fraction
    deadband: Fraction


class Sizing(Section):
    """Position sizes of single names."""

    decay_halflife: CountFromOne
    buffer_zone: Fraction
    max_position_size: Fraction
    single_name_cap_nav: Fraction
    max_adv_pct: Fraction
    min_trade_size: CountFromOne
    buying_power_haircut: Fraction


class TradingConfig(Section):
    """Loss limits of the signal engine's own document."""

    max_daily_loss: LossFraction
    max_drawdown: LossFraction


class Research(Section):
    """Research only."""

    initial_capital: Money
    hedge_threshold: LossFraction
    hedge_deactivate: LossFraction
    hedge_size: Fraction
    cost_per_hedge: Fraction
    costs_bps: BasisPoints
    min_leverage: Multiple
    max_leverage: Multiple
    rebalance_frequency_minutes: CountFromOne


class Broker(Section):
    """Connection to the broker; the account itself comes from the environment."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    client_id: Count
    reconnect_delays: tuple[Count, ...]
    max_reconnect_attempts: Count


class Operator(Section):
    """Decisions of a person, scripted for backtests and runs of many days."""

    kill: Literal["stop", "flatten_and_restart"]
    restart_after_days: CountFromOne
    halt: Literal["resolve_as_evidence"]
    re_risk: Literal["never", "as_soon_as_allowed"]
