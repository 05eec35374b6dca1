"""What shares are about to pay: warnings before an ex-date, the reserve for new shorts, the yield of what is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from engine.accounting.charges import withholding_rate
from engine.accounting.corporate_actions import is_share
from engine.model.carry import DividendConfig
from engine.model.instruments import Instrument
from engine.model.market import Dividend, DividendInfo
from engine.model.money import ZERO, round_money
from engine.model.portfolio import Portfolio
from engine.model.universe import ContractBook

_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class DividendWarning:
    """A held share goes ex soon; ``cash`` is received (positive) or owed before tax, ``withheld`` is kept back of it.

    Both are in the instrument's currency.
    """

    instrument_id: str
    ex_date: date
    days: int
    cash: Decimal
    withheld: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CorporateActionsService:
    """Dividends as they are known on a day (CARRY-03): announced ones, and by share what the last year paid."""

    day: date
    announced: tuple[Dividend, ...]
    infos: Mapping[str, DividendInfo]
    config: DividendConfig

    def warnings(self, portfolio: Portfolio, contracts: ContractBook) -> tuple[DividendWarning, ...]:
        """Held shares that go ex within the configured calendar days, nearest first."""
        return tuple(
            self._warning(row, portfolio.quantity(row.instrument_id), contracts)
            for row in sorted(self.announced, key=lambda row: (row.ex_date, row.instrument_id))
            if 0 <= (row.ex_date - self.day).days <= self.config.warn_ex_dividend_days
            and portfolio.quantity(row.instrument_id) != 0
        )

    def _warning(self, row: Dividend, quantity: Decimal, contracts: ContractBook) -> DividendWarning:
        instrument = contracts.instrument(row.instrument_id)
        cash = round_money(quantity * row.amount)
        rate = withholding_rate(instrument, row.ex_date, self.config.withholding) if cash > 0 else ZERO
        return DividendWarning(
            instrument_id=row.instrument_id,
            ex_date=row.ex_date,
            days=(row.ex_date - self.day).days,
            cash=cash,
            withheld=round_money(max(cash, ZERO) * rate),
        )

    def short_reserve(self, instrument: Instrument, value: Decimal) -> Decimal:
        """What is set aside for the dividends of a new or larger short of a value, in the value's currency."""
        if not is_share(instrument) or value <= 0:
            return ZERO
        return value * self.config.short_buffer_bps / _BPS
