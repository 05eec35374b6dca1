"""Small worlds for the tests of risk, sleeves and hedging: instruments, policies and history with few words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np

from engine.model.instruments import (
    CollarClass,
    Contract,
    ExpiryRule,
    Instrument,
    InstrumentType,
    TickBand,
    VenueGroup,
)
from engine.model.market import FxRate, FxRates, Mark, MarketHistory, Source
from engine.model.policy import (
    CrisisPolicy,
    FxPolicy,
    RegimePolicy,
    RiskPolicy,
    SleevePolicy,
    TailHedgePolicy,
    VolatilityPolicy,
)
from engine.model.universe import ContractBook, Universe

AS_OF = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
TODAY = AS_OF.date()


def instrument(name: str, currency: str = "USD", kind: str = "STK", **changes: object) -> Instrument:
    future = kind == "FUT"
    base = Instrument(
        instrument_id=name,
        category="test",
        kind=InstrumentType(kind),
        ib_symbol=name,
        exchange="SMART",
        primary_exchange=None,
        currency=currency,
        price_unit=currency,
        exposure_currency=currency,
        multiplier=Decimal(1),
        price_magnifier=Decimal(1),
        tick_bands=(TickBand(from_price=Decimal(0), tick=Decimal("0.01")),),
        lot=Decimal(1),
        collar_class=CollarClass.FUT if future else CollarClass.STK,
        venue="XNYS",
        venue_group=VenueGroup.US,
        expiry_rule=ExpiryRule.THIRD_FRIDAY if future else ExpiryRule.NONE,
        months=(3, 6, 9, 12) if future else (),
        roll_days_before=3,
        underlying=None,
        counted=True,
        tradeable=True,
        long_name=name,
        yahoo=None,
        issuer_country=None if future else "US",
    )
    return replace(base, **changes)


def universe(*instruments: Instrument) -> Universe:
    return Universe(instruments=tuple(sorted(instruments, key=lambda item: item.instrument_id)))


def book(world: Universe, *contracts: Contract) -> ContractBook:
    return ContractBook(universe=world, contracts={item.contract_id: item for item in contracts})


def rates(**pairs: str) -> FxRates:
    known = {
        pair: FxRate(pair=pair, rate=Decimal(rate), observed_at=AS_OF, source="test")
        for pair, rate in pairs.items()
    }
    return FxRates(as_of=AS_OF, rates=known)


def marks(**prices: str) -> dict[str, Mark]:
    return {
        name.replace("__", "."): Mark(
            contract_id=name,
            price=Decimal(price),
            session_date=TODAY - timedelta(days=1),
            age_sessions=0,
            source=Source.SIMULATED,
        )
        for name, price in prices.items()
    }


def history(
    columns: dict[str, np.ndarray] | None = None, fx: dict[str, np.ndarray] | None = None, days: int = 0
) -> MarketHistory:
    columns, fx = columns or {}, fx or {}
    count = days or max((len(values) for values in columns.values()), default=0)
    currencies = tuple(sorted({"USD", *fx}))
    dates = tuple(TODAY - timedelta(days=count - row) for row in range(count))
    zeros = np.zeros(count)
    return MarketHistory(
        dates=dates,
        instrument_ids=tuple(sorted(columns)),
        currencies=currencies,
        returns=np.array([columns[name] for name in sorted(columns)]).T.reshape(count, len(columns)),
        fx_returns=np.array([fx.get(name, zeros) for name in currencies]).T.reshape(count, len(currencies)),
        vix=np.full(count, 15.0),
        v2x=np.full(count, np.nan),
    )


def risk_policy(**changes: object) -> RiskPolicy:
    base = RiskPolicy(
        volatility_target_annual=0.12,
        scale_max=2.0,
        scale_without_history_max=1.0,
        exante_gap_fraction=0.25,
        state_scales={"NORMAL": 1.0, "ELEVATED": 0.7, "CRISIS": 0.3},
        gross_leverage_max=2.0,
        net_leverage_max=1.0,
        daily_reduce_only=-0.05,
        daily_crisis=-0.10,
        drawdown_crisis=-0.10,
        drawdown_kill=-0.15,
        momentum_short_days=50,
        momentum_long_days=200,
        momentum_slope_lag_days=20,
        momentum_reduce_factor=0.5,
        volatility=VolatilityPolicy(
            ewma_span_days=20,
            rolling_days=60,
            blend_weight=0.7,
            minimum_observations=20,
            floor_annual=0.08,
            annualisation_days=252,
        ),
        regime=RegimePolicy(
            persistence_days=3,
            vix_enter_elevated=25.0,
            vix_exit_elevated=20.0,
            vix_enter_crisis=40.0,
            vix_exit_crisis=35.0,
            drawdown_enter_elevated=-0.05,
            drawdown_exit_elevated=-0.04,
            drawdown_enter_crisis=-0.10,
            drawdown_exit_crisis=-0.08,
            recovery_vix_below=20.0,
            recovery_retrace_fraction=1 / 3,
        ),
    )
    return replace(base, **changes)


def sleeve_policy(**changes: object) -> SleevePolicy:
    base = SleevePolicy(
        weights={
            "core_index_rv": 0.35,
            "sector_rv": 0.25,
            "single_name": 0.15,
            "credit_carry": 0.15,
            "crisis_alpha": 0.05,
            "cash_buffer": 0.05,
        },
        core_long=("CSPX",),
        core_short=("CS51",),
        sector_long=("IUIT", "CNDX", "SEMI", "IUHC", "IUQA"),
        sector_short=("EXV1", "EXS1", "IUKD"),
        credit_weights={"LQDE": 0.40, "IHYU": 0.25, "FLOT": 0.20, "ARCC": 0.15},
        single_long_universe=(),
        single_short_universe=(),
        single_long_fallback=("AAPL", "MSFT", "GOOGL", "NVDA", "AMZN"),
        single_short_fallback=("EXV1",),
        single_top=10,
        single_long_factors={"quality": 0.5, "momentum": 0.3, "size": 0.2},
        single_short_factors={"zombie": 0.5, "weakness": 0.3, "sector": 0.2},
        single_name_cap=0.05,
        screen_max_age_days=35,
        screen_minimum_coverage=0.6,
        old_economy_sectors=("banks", "autos", "utilities", "telecom", "energy", "materials"),
        short_proxies={"CS51": "FESX", "EXS1": "FDXM", "EXV1": "FESB", "IUKD": "Z"},
        sleeve_drift_fraction=0.02,
    )
    return replace(base, **changes)


def fx_policy(**changes: object) -> FxPolicy:
    base = FxPolicy(
        stale_warning_hours=24.0,
        stale_invalid_hours=72.0,
        jump_reject_fraction=Decimal("0.05"),
        triangle_tolerance_fraction=Decimal("0.005"),
        hedge_ratio=Decimal(1),
        hedge_band_fraction=Decimal("0.0025"),
        full_contract_above_micros=20,
        hedge_contracts={"EUR": ("M6E", "6E"), "GBP": ("M6B", "6B"), "CHF": ("MSF", "6S")},
    )
    return replace(base, **changes)


def tail_policy(**changes: object) -> TailHedgePolicy:
    base = TailHedgePolicy(
        annual_premium_fraction=Decimal("0.025"),
        split={
            "equity_puts": Decimal("0.40"),
            "vix_calls": Decimal("0.20"),
            "credit_puts": Decimal("0.15"),
            "sovereign_spread": Decimal("0.15"),
            "bank_puts": Decimal("0.10"),
        },
        elevated_multiplier=Decimal("1.5"),
        monthly_carry_over_months=3,
        roll_days_to_expiry=21,
        roll_delta_below=0.05,
        hard_close_business_days=5,
        candidates={
            "equity_puts": ("SPX_OPT", "SPY_OPT", "SX5E_OPT"),
            "vix_calls": ("VIX_OPT",),
            "credit_puts": ("HYG_OPT", "JNK_OPT"),
            "bank_puts": ("BNP_OPT",),
        },
        days_to_expiry={
            "equity_puts": (60, 120),
            "vix_calls": (45, 75),
            "credit_puts": (60, 90),
            "bank_puts": (60, 120),
        },
        delta={
            "equity_puts": (0.20, 0.25),
            "vix_calls": (0.20, 0.25),
            "credit_puts": (0.20, 0.30),
            "bank_puts": (0.15, 0.25),
        },
        minimum_open_interest=100,
        maximum_spread_fraction=Decimal("0.15"),
        spread_long="FGBL",
        spread_short="FOAT",
        spread_long_dv01=Decimal(90),
        spread_short_dv01=Decimal(85),
        spread_stop_move_bps=Decimal(50),
        volatility_future=None,
        volatility_future_roll_loss_annual=Decimal("0.5"),
    )
    return replace(base, **changes)


def crisis_policy() -> CrisisPolicy:
    return CrisisPolicy(
        vix_threshold=40.0, daily_loss=-0.10, drawdown=-0.10, monetise_fraction=Decimal("0.60")
    )


def trading_dates(count: int, start: date = date(2026, 1, 5)) -> list[date]:
    days = (start + timedelta(days=offset) for offset in range(count * 2))
    return [day for day in days if day.weekday() < 5][:count]
