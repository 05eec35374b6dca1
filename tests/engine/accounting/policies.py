"""Policies of the accounting tests, with the fund's own limits."""

from __future__ import annotations

from decimal import Decimal

from engine.model.instruments import CollarClass
from engine.model.policy import CarryPolicy, FxPolicy, MarkPolicy, ReconciliationPolicy, RollPolicy
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
CARRY = CarryPolicy(
    cash_rate_annual={"USD": D("0.045"), "EUR": D("0.03"), "GBP": D("0.045")},
    debit_spread_annual=D("0.015"),
    day_count={"USD": 360, "EUR": 360, "GBP": 365},
    borrow_collateral_fraction={"USD": D("1.02"), "EUR": D("1.05"), "GBP": D("1.05")},
    warn_ex_dividend_days=3,
    short_dividend_buffer_bps=D(5),
    collateral_price_step={"USD": D(1)},
)
ROLL = RollPolicy(days_before=3, overrides={}, critical_days=1)
