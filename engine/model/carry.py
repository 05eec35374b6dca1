"""What holding costs and brings while nobody trades: share loans, dividends and their taxes, interest, settlement.

Rates are fractions a year, fees basis points a year, money in the currency that the key names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum

from engine.model.instruments import InstrumentType


@dataclass(frozen=True, slots=True, kw_only=True)
class BorrowConfig:
    """Share loans (CARRY-01, CARRY-02, R-73).

    ``collateral_price_step`` is what the collateral of one share is rounded up to, by currency; one that is not named
    is not rounded.
    """

    deny_short_without_borrow: bool
    default_fee_bps_annual: Decimal
    max_fee_bps_annual: Decimal
    collateral_fraction: Mapping[str, Decimal]
    collateral_price_step: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithholdingTax:
    """Tax that a country keeps back from the dividends of its companies or funds, as this fund pays it (R-114).

    ``kind`` is STK or ETF; ``last`` is ``None`` while the rate is in force; ``source`` says where it was read.
    """

    country: str
    kind: InstrumentType
    rate: Decimal
    first: date
    last: date | None
    source: str

    def applies(self, country: str, kind: InstrumentType, day: date) -> bool:
        """Whether it is kept back from a dividend that goes ex on a day."""
        in_force = self.first <= day and (self.last is None or day <= self.last)
        return in_force and (self.country, self.kind) == (country, kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class DividendConfig:
    """Dividends of held shares (CARRY-03): when to warn, what the gate reserves for new shorts, what is withheld."""

    warn_ex_dividend_days: int
    short_buffer_bps: Decimal
    withholding: tuple[WithholdingTax, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTier:
    """Spread that the part of a balance above a threshold adds to the benchmark; ``None`` where it bears nothing."""

    above: Decimal
    spread_annual: Decimal | None


class InterestPosting(Enum):
    """When interest and loan fees become cash: every day, or once a month what was accrued in the month before."""

    DAILY = "daily"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinancingConfig:
    """Interest on balances by currency (CARRY-04).

    Tiers ascend from 0 and count blended: each part of a balance at its own tier. A benchmark below zero counts as
    zero, and no balance is charged for being there. What is posted by the month is paid on the third session of
    ``posting_venue`` of the next one.
    """

    benchmark_annual: Mapping[str, Decimal]
    day_count: Mapping[str, int]
    credit_tiers: Mapping[str, tuple[RateTier, ...]]
    debit_tiers: Mapping[str, tuple[RateTier, ...]]
    short_proceeds_tiers: Mapping[str, tuple[RateTier, ...]]
    posting: InterestPosting
    posting_venue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementCycle:
    """Sessions of its venue after which a trade in shares settles, for trades from day to day (R-73)."""

    venue: str
    sessions: int
    first: date
    last: date | None
    source: str

    def applies(self, venue: str, day: date) -> bool:
        """Whether a trade of a day settles after it."""
        return self.venue == venue and self.first <= day and (self.last is None or day <= self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryPolicy:
    """Everything about carry (CARRY-01…04, R-73, R-114)."""

    borrow: BorrowConfig
    dividends: DividendConfig
    financing: FinancingConfig
    settlement: tuple[SettlementCycle, ...]
