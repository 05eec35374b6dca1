"""Settings of carry: share loans, dividends and their taxes, interest, settlement."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from config.sections import Country, Currency, Section, refuse
from config.units import BasisPoints, Count, Fraction, Multiple, Number, SignedFraction


class Borrow(Section):
    """Short sales."""

    deny_new_short_if_unavailable: bool
    default_borrow_fee_bps_annual: BasisPoints
    max_borrow_fee_bps_annual: BasisPoints
    collateral_pct: dict[Currency, Multiple]
    collateral_round_up: dict[Currency, Multiple]


class WithholdingPeriod(Section):
    """What a country keeps back of the dividends of its companies (STK) or funds (ETF), from day to day.

    ``treaty`` gives the rate for residents of some countries, where the payer may apply it at once.
    """

    country: Country
    kind: Literal["STK", "ETF"]
    rate: Fraction
    treaty: dict[Country, Fraction] = Field(default_factory=dict)
    from_: date = Field(alias="from")
    to: date | None = None
    source: Annotated[str, Field(min_length=1)]


class Dividends(Section):
    """Dividends of held lines."""

    warn_on_upcoming_ex_div_days: Count
    default_short_dividend_buffer_bps: BasisPoints
    withholding: tuple[WithholdingPeriod, ...]


class Tier(Section):
    """Spread on the part of a balance above a threshold; null where that part bears no interest."""

    above: Number
    spread_annual: SignedFraction | None


def _ascend(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    starts = [tier.above for tier in tiers]
    if not starts or starts[0] != 0 or any(one >= other for one, other in pairwise(starts)):
        raise refuse("expected tiers that begin above 0 and ascend")
    return tiers


Tiers: TypeAlias = Annotated[tuple[Tier, ...], AfterValidator(_ascend)]


class Financing(Section):
    """Interest on balances."""

    default_cash_rate_by_ccy: dict[Currency, Fraction]
    credit_tiers: dict[Currency, Tiers]
    debit_tiers: dict[Currency, Tiers]
    short_proceeds_tiers: dict[Currency, Tiers]
    day_count: dict[Currency, Literal[360, 365]]
    posting: Literal["daily", "monthly"]
    posting_venue: str


class SettlementPeriod(Section):
    """Sessions after which trades in shares of some venues settle, from day to day."""

    venues: tuple[str, ...]
    sessions: Count
    from_: date = Field(alias="from")
    to: date | None = None
    source: Annotated[str, Field(min_length=1)]


class CarryRealism(Section):
    """Borrow, dividends, interest and settlement."""

    enabled: bool
    borrow: Borrow
    dividends: Dividends
    financing: Financing
    settlement: tuple[SettlementPeriod, ...]
