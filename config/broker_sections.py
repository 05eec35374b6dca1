"""The sections of settings.yaml about agreement with the broker: its account, its statements."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import model_validator

from config.sections import Section, refuse
from config.units import BreakBps, CountFromOne, Number, SmallSum, Ticks, Tolerance

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

MOST_QUESTIONS = 10
LONGEST_WAIT = 600
"""Seconds: an answer that comes 900 seconds after the valuation tells of another time, and a person waits by then."""


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
    ask_again_after_seconds: tuple[CountFromOne, ...]

    @model_validator(mode="after")
    def _asked_within_bounds(self) -> Reconciliation:
        times = self.ask_again_after_seconds
        if (
            list(times) != sorted(set(times))
            or len(times) > MOST_QUESTIONS
            or max(times, default=0) > LONGEST_WAIT
        ):
            raise refuse(
                f"expected at most {MOST_QUESTIONS} times for ask_again_after_seconds, each later than the one before and "
                f"none beyond {LONGEST_WAIT} seconds, found {list(times)}"
            )
        return self

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
