"""Policies of the accounting tests, with the fund's own limits."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from engine.model.carry import (
    BorrowConfig,
    CarryPolicy,
    DividendConfig,
    FinancingConfig,
    InterestPosting,
    RateTier,
    SettlementCycle,
    WithholdingTax,
)
from engine.model.instruments import CollarClass, InstrumentType
from engine.model.policy import CostPolicy, FxPolicy, MarkPolicy, ReconciliationPolicy, RollPolicy
from engine.model.portfolio import CashBasis

D = Decimal

RECONCILIATION = ReconciliationPolicy(
    halt_threshold_fraction=D("0.0025"),
    emergency_threshold_fraction=D("0.01"),
    cash_basis=CashBasis.SETTLED,
    cash_break_usd=D(100),
    cash_break_fraction=D("0.0001"),
    mark_break_bps=D(50),
    mark_break_ticks=2,
    fx_break_bps=D(10),
)
FX = FxPolicy(
    stale_warning_hours=24.0,
    stale_invalid_hours=72.0,
    jump_reject_fraction=D("0.05"),
    triangle_tolerance_fraction=D("0.005"),
    hedge_ratio=D(1),
    hedge_band_fraction=D("0.02"),
    full_contract_above_micros=100,
    hedge_contracts={"EUR": ("M6E", "6E")},
)
MARKS = MarkPolicy(
    flagged_sessions_max=3,
    flagged_gross_fraction=D("0.05"),
    jump_quarantine_fraction=D("0.30"),
    jump_quarantine_by_class={CollarClass.VOL_FUT: D("1.50")},
    jump_halt_fraction=D("0.0025"),
)


def flat(spread: str, *currencies: str) -> dict[str, tuple[RateTier, ...]]:
    """One tier from 0 for each currency."""
    return dict.fromkeys(currencies, (RateTier(above=D(0), spread_annual=D(spread)),))


def untaxed(*countries: str) -> tuple[WithholdingTax, ...]:
    """Countries that keep nothing back of dividends."""
    return tuple(
        WithholdingTax(
            country=country, kind=kind, rate=D(0), first=date(1990, 1, 1), last=None, source="test"
        )
        for country in countries
        for kind in (InstrumentType.STK, InstrumentType.ETF)
    )


def settles_at_once(*venues: str) -> tuple[SettlementCycle, ...]:
    """Venues whose trades in shares settle on their own day."""
    return tuple(
        SettlementCycle(venue=venue, sessions=0, first=date(1990, 1, 1), last=None, source="test")
        for venue in venues
    )


CARRY = CarryPolicy(
    borrow=BorrowConfig(
        deny_short_without_borrow=False,
        default_fee_bps_annual=D(150),
        max_fee_bps_annual=D(1000),
        collateral_fraction={"USD": D("1.02"), "EUR": D("1.05"), "GBP": D("1.05")},
        collateral_price_step={"USD": D(1)},
    ),
    dividends=DividendConfig(
        warn_ex_dividend_days=3, short_buffer_bps=D(5), withholding=untaxed("US", "IE", "GB")
    ),
    financing=FinancingConfig(
        benchmark_annual={"USD": D("0.045"), "EUR": D("0.03"), "GBP": D("0.045")},
        day_count={"USD": 360, "EUR": 360, "GBP": 365},
        credit_tiers=flat("0", "USD", "EUR", "GBP"),
        debit_tiers=flat("0.015", "USD", "EUR", "GBP"),
        short_proceeds_tiers=flat("0", "USD", "EUR", "GBP"),
        posting=InterestPosting.DAILY,
        posting_venue="XNYS",
    ),
    settlement=settles_at_once("NYSE", "NASDAQ", "LSE", "XETRA", "XNYS"),
)
ROLL = RollPolicy(days_before=3, overrides={}, critical_days=1)

NIL = {kind: D(0) for kind in CollarClass}
COSTS = CostPolicy(
    half_spread_bps=NIL,
    impact_coefficient=NIL,
    commission_per_unit={**NIL, CollarClass.STK: D("0.005"), CollarClass.FUT: D("2.25")},
    commission_bps=NIL,
    commission_minimum={**NIL, CollarClass.STK: D(1)},
    transaction_taxes=(),
)
"""Shares 0.005 each and at least 1 an order, futures 2.25 a contract, the rest nothing."""
