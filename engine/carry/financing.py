"""What do balances bring or cost? Interest by currency in tiers around a benchmark, and the carry of a held share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.accounting.charges import withholding_rate
from engine.carry.corporate_actions import CorporateActionsService
from engine.errors import ConfigurationError
from engine.model.carry import FinancingConfig, RateTier
from engine.model.encoding import significant
from engine.model.money import ZERO, round_money
from engine.model.universe import Universe

_YEAR_DAYS = 365
_ENDLESS = Decimal("Infinity")


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryEstimate:
    """Interest of one calendar day by currency: received (positive) or paid on debt."""

    interest: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinancingService:
    """What balances bring or cost a day, by the configured rates and day counts (CARRY-04)."""

    config: FinancingConfig

    def rate_annual(self, currency: str, balance: Decimal) -> tuple[Decimal, int]:
        """Rate a year that the next unit of a balance bears, and the days that it counts as a year.

        Raises `ConfigurationError` for a currency without a benchmark, a day count or tiers.
        """
        size = abs(balance)
        inside = [tier for tier in self._tiers(currency, balance) if tier.above <= size]
        return self._rate(currency, inside[-1], is_debt=balance < 0), self._day_count(currency)

    def daily_interest(self, currency: str, balance: Decimal) -> Decimal:
        """Interest of one calendar day: ``Σ part of the balance × rate of its tier / day count``."""
        yearly = self._blended(currency, balance, self._tiers(currency, balance))
        return round_money(yearly / self._day_count(currency))

    def daily_short_proceeds(self, currency: str, collateral: Decimal) -> Decimal:
        """Interest of one calendar day on the cash that stands against borrowed shares."""
        tiers = _tiers_of(self.config.short_proceeds_tiers, currency, "short_proceeds_tiers")
        return round_money(self._blended(currency, collateral, tiers) / self._day_count(currency))

    def daily_carry(self, cash: Mapping[str, Decimal]) -> CarryEstimate:
        """Interest of one calendar day on every balance that is not zero."""
        return CarryEstimate(
            interest={
                currency: self.daily_interest(currency, balance)
                for currency, balance in cash.items()
                if balance != 0
            }
        )

    def _blended(self, currency: str, balance: Decimal, tiers: Sequence[RateTier]) -> Decimal:
        """Signed interest of a year; a balance's parts lie between the thresholds of the tiers."""
        size, yearly = abs(balance), ZERO
        uppers = [*(tier.above for tier in tiers[1:]), _ENDLESS]
        for tier, upper in zip(tiers, uppers, strict=True):
            if size > tier.above:
                part = min(size, upper) - tier.above
                yearly += part * self._rate(currency, tier, is_debt=balance < 0)
        return -yearly if balance < 0 else yearly

    def _tiers(self, currency: str, balance: Decimal) -> Sequence[RateTier]:
        if balance < 0:
            return _tiers_of(self.config.debit_tiers, currency, "debit_tiers")
        return _tiers_of(self.config.credit_tiers, currency, "credit_tiers")

    def _rate(self, currency: str, tier: RateTier, *, is_debt: bool) -> Decimal:
        benchmark = self.config.benchmark_annual.get(currency)
        if benchmark is None:
            raise ConfigurationError(
                f"expected a cash rate for {currency}, found none; add it to the carry settings"
            )
        if tier.spread_annual is None:
            return ZERO
        rate = max(benchmark, ZERO) + tier.spread_annual
        return rate if is_debt else max(rate, ZERO)

    def _day_count(self, currency: str) -> int:
        found = self.config.day_count.get(currency)
        if found is None:
            raise ConfigurationError(
                f"expected a day count for {currency}, found none; add it to the carry settings"
            )
        return found


def _tiers_of(table: Mapping[str, tuple[RateTier, ...]], currency: str, name: str) -> tuple[RateTier, ...]:
    found = table.get(currency)
    if not found:
        raise ConfigurationError(
            f"expected {name} for {currency}, found none; add them to the carry settings"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryBook:
    """Instruments whose carry is asked for, what they pay, and the rates that finance them."""

    names: tuple[str, ...]
    universe: Universe
    shares: CorporateActionsService
    financing: FinancingService


def expected_carry_annual(
    prices: Mapping[str, Decimal], cash: Mapping[str, Decimal], book: CarryBook
) -> Mapping[str, float]:
    """Carry of a long share a year, as a fraction of its value: last year's dividends less what its cash costs.

    ``carry = yearly dividends · (1 − withheld) / price − rate · 365 / day count``, at the rate of the next unit of its
    currency's balance. ``prices`` are in quote units by instrument; ``cash`` is by currency. What has no price or no
    year of dividends is absent: nothing is guessed. Raises `ConfigurationError` for a currency without a rate.
    """
    found = {}
    for name in book.names:
        price, info = prices.get(name), book.shares.infos.get(name)
        if price is None or info is None or price <= 0:
            continue
        instrument = book.universe[name]
        kept = 1 - withholding_rate(instrument, book.shares.day, book.shares.config.withholding)
        net_yield = info.yield_annual(instrument.notional(Decimal(1), price)) * kept
        balance = cash.get(instrument.currency, ZERO)
        rate, day_count = book.financing.rate_annual(instrument.currency, balance)
        found[name] = significant(float(net_yield - rate * _YEAR_DAYS / day_count))
    return found
