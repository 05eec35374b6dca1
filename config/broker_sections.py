"""The sections of settings.yaml about agreement with the broker: its account, its statements."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import model_validator

from config.sections import Section, refuse
from config.units import BreakBps, Number, SmallSum, Ticks, Tolerance

BookableBreak: TypeAlias = Literal[
    "missed-fill",
    "corrected-execution",
    "busted-execution",
    "split",
    "assignment",
    "expiry",
    "dividend",
    "commission",
    "tax",
]


class Reconciliation(Section):
    """Limits of the comparison with the broker."""

    halt_threshold_pct: Tolerance
    emergency_threshold_pct: Tolerance
    cash_basis: Literal["SETTLED"]
    cash_break_usd: SmallSum
    cash_break_pct_nav: Tolerance
    mark_break_bps: BreakBps
    mark_break_ticks: Ticks
    fx_break_bps: BreakBps
    book_explained: tuple[BookableBreak, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Reconciliation:
        if self.emergency_threshold_pct <= self.halt_threshold_pct:
            raise refuse("expected emergency_threshold_pct above halt_threshold_pct")
        return self


StatementFinding: TypeAlias = Literal[
    "late_fill",
    "lost_order",
    "foreign_trade",
    "correction",
    "bust",
    "commission",
    "transaction_tax",
    "dividend",
    "withholding_tax",
    "interest",
    "borrow_fee",
    "expiry",
    "fee",
]


class StatementImport(Section):
    """What an import of the broker's statement books without asking."""

    time_zone: Literal["UTC", "America/New_York"]
    booked: tuple[StatementFinding, ...]
    booked_cash_limit_usd: Number
