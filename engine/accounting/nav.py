"""What is the fund worth, and how much does it carry? Portfolio and marks in, `Valuation` out.

NAV = Σ cash → USD + accruals and what investors are owed → USD + Σ value of each line. Securities and options count at their mark, futures
only with the variation that cash does not hold yet: what that is depends on the basis of cash (R-09). Exposure is
the full signed notional, of an option ``quantity × delta × underlying × multiplier``. A line without mark, rate or
delta raises; nothing is valued at a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import assert_never

from engine.errors import MissingMark
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import BASE_CURRENCY, FxRates, Mark, OptionQuote
from engine.model.money import ZERO, decimal_from_float, round_money
from engine.model.portfolio import CashBasis, LineValue, Portfolio, Position, Valuation
from engine.model.universe import ContractBook


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRisk:
    """Sensitivity of one option: signed delta per unit and the price of its underlying, in quote units."""

    delta: float
    underlying_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuationContext:
    """When and how the fund is valued; ``fx_hedges`` are instruments whose notional is no market exposure."""

    trade_date: date
    as_of: datetime
    basis: CashBasis
    fx_hedges: frozenset[str]


def option_risks(chains: Mapping[str, tuple[OptionQuote, ...]]) -> Mapping[str, OptionRisk]:
    """Sensitivities of every listed option, by contract id."""
    return {
        quote.contract.contract_id: OptionRisk(delta=quote.delta, underlying_price=quote.underlying_price)
        for quotes in chains.values()
        for quote in quotes
    }


def value_portfolio(
    portfolio: Portfolio,
    marks: Mapping[str, Mark],
    fx: FxRates,
    contracts: ContractBook,
    context: ValuationContext,
    options: Mapping[str, OptionRisk] | None = None,
) -> Valuation:
    """Value every line in its own currency and in USD; each USD figure is rounded once, NAV is their sum.

    Raises
    ------
    MissingMark, MissingFxRate, UnknownContract
        When a line can not be valued.
    """
    lines = tuple(
        _line_value(position, marks, fx, contracts, context, options or {})
        for _, position in sorted(portfolio.positions.items())
    )
    currencies = sorted(
        {
            c
            for c, amount in (
                *portfolio.cash.items(),
                *portfolio.accruals.items(),
                *portfolio.investors.items(),
            )
            if amount != 0
        }
        | {line.currency for line in lines}
        | {BASE_CURRENCY}
    )
    rates = {currency: fx.get_rate(currency, BASE_CURRENCY) for currency in currencies}
    cash_usd = _in_usd(portfolio.cash, rates)
    accruals_usd = _in_usd(portfolio.accruals, rates) + _in_usd(portfolio.investors, rates)
    counted = [line for line in lines if line.instrument_id not in context.fx_hedges]
    hedges = [line for line in lines if line.instrument_id in context.fx_hedges]
    return Valuation(
        as_of=context.as_of,
        trade_date=context.trade_date,
        basis=context.basis,
        nav=cash_usd + accruals_usd + sum((line.value_usd for line in lines), ZERO),
        cash_usd=cash_usd,
        accruals_usd=accruals_usd,
        lines=lines,
        currency_values=_currency_values(portfolio, lines, currencies),
        fx=rates,
        long_exposure=sum((line.exposure_usd for line in counted if line.exposure_usd > 0), ZERO),
        short_exposure=-sum((line.exposure_usd for line in counted if line.exposure_usd < 0), ZERO),
        fx_hedge_gross=sum((abs(line.exposure_usd) for line in hedges), ZERO),
        flagged_gross=sum((abs(line.exposure_usd) for line in lines if line.stale_sessions > 0), ZERO),
        units=portfolio.units,
    )


def _line_value(
    position: Position,
    marks: Mapping[str, Mark],
    fx: FxRates,
    contracts: ContractBook,
    context: ValuationContext,
    options: Mapping[str, OptionRisk],
) -> LineValue:
    instrument = contracts.instrument(position.contract_id)
    mark = marks.get(position.contract_id)
    if mark is None and position.quantity != 0:
        raise MissingMark(
            f"expected a price for {position.contract_id}, of which {position.quantity} are held, found none;"
            " mark it by hand or write it down",
            subject=position.contract_id,
        )
    # A future closed since its last settlement has no quantity left to price, only a result to be settled.
    price = ZERO if mark is None else mark.price
    value = _local_value(position, instrument, price, context.basis)
    exposure = _local_exposure(position, instrument, price, options.get(position.contract_id))
    return LineValue(
        contract_id=position.contract_id,
        instrument_id=instrument.instrument_id,
        currency=instrument.currency,
        quantity=position.quantity,
        mark=price,
        stale_sessions=0 if mark is None else mark.age_sessions,
        value=round_money(value),
        value_usd=round_money(fx.to_base(value, instrument.currency)),
        exposure=round_money(exposure),
        exposure_usd=round_money(fx.to_base(exposure, instrument.currency)),
    )


def _local_value(position: Position, instrument: Instrument, price: Decimal, basis: CashBasis) -> Decimal:
    notional = instrument.notional(position.quantity, price)
    if instrument.kind in (InstrumentType.CASH, InstrumentType.FX_SPOT):
        return ZERO  # spot FX is cash already; the broker's virtual position would count it twice
    if not instrument.is_future:
        return notional
    match basis:
        case CashBasis.SETTLED:
            return notional - position.cost
        case CashBasis.COST_LEDGER:
            return notional - instrument.notional(position.quantity, position.average_price)
        case CashBasis.BROKER_TOTAL:
            return ZERO
        case _:
            assert_never(basis)


def _local_exposure(
    position: Position, instrument: Instrument, price: Decimal, option: OptionRisk | None
) -> Decimal:
    if instrument.kind in (InstrumentType.CASH, InstrumentType.FX_SPOT) or position.quantity == 0:
        return ZERO
    if not instrument.is_option:
        return instrument.notional(position.quantity, price)
    if option is None:
        raise MissingMark(
            f"expected delta and underlying of the option {position.contract_id}, found none",
            subject=position.contract_id,
        )
    delta = decimal_from_float(option.delta)
    return instrument.notional(position.quantity, option.underlying_price) * delta


def _in_usd(amounts: Mapping[str, Decimal], rates: Mapping[str, Decimal]) -> Decimal:
    return round_money(
        sum((amount * rates[currency] for currency, amount in amounts.items() if amount != 0), ZERO)
    )


def _currency_values(
    portfolio: Portfolio, lines: tuple[LineValue, ...], currencies: list[str]
) -> Mapping[str, Decimal]:
    return {
        currency: portfolio.cash.get(currency, ZERO)
        + portfolio.accruals.get(currency, ZERO)
        + portfolio.investors.get(currency, ZERO)
        + sum((line.value for line in lines if line.currency == currency), ZERO)
        for currency in currencies
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposures:
    """Exposure in USD: long and short are both positive."""

    long: Decimal
    short: Decimal

    @property
    def gross(self) -> Decimal:
        """Long plus short."""
        return self.long + self.short

    @property
    def net(self) -> Decimal:
        """Long less short."""
        return self.long - self.short


def position_nav_value(
    position: Position, instrument: Instrument, price: Decimal, fx: FxRates, basis: CashBasis
) -> Decimal:
    """What one line adds to NAV in USD: its market value, or a future's gain that cash does not hold yet."""
    return round_money(fx.to_base(_local_value(position, instrument, price, basis), instrument.currency))


def position_exposure(
    position: Position, instrument: Instrument, price: Decimal, fx: FxRates, option: OptionRisk | None = None
) -> Decimal:
    """Signed full notional of one line in USD; of an option, its delta share of the underlying."""
    exposure = _local_exposure(position, instrument, price, option)
    return round_money(fx.to_base(exposure, instrument.currency))


def compute_nav(
    portfolio: Portfolio,
    marks: Mapping[str, Mark],
    fx: FxRates,
    contracts: ContractBook,
    context: ValuationContext,
    options: Mapping[str, OptionRisk] | None = None,
) -> Decimal:
    """NAV in USD."""
    return value_portfolio(portfolio, marks, fx, contracts, context, options).nav


def compute_exposures(valuation: Valuation) -> Exposures:
    """Long and short exposure of a valuation, without the FX hedge."""
    return Exposures(long=valuation.long_exposure, short=valuation.short_exposure)
