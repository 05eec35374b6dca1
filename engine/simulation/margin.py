"""What the simulated broker lends: net liquidation, margin and excess liquidity at the last official closes.

The model is simple on purpose. Futures take a fraction of their notional by class; shares and funds 25 % long and
30 % short; a long option is paid in full, a short one takes its premium plus 20 % of its strike value. Working
orders hold no margin; currency balances take none.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engine.model.instruments import CollarClass, Contract, Instrument
from engine.model.market import FxRates
from engine.model.money import ZERO, round_money
from engine.simulation.account import AccountState, KnownExcess
from engine.simulation.bookkeeping import is_currency_pair
from engine.simulation.terms import BrokerTerms

FUTURES_MARGIN = {
    CollarClass.FUT: Decimal("0.08"),
    CollarClass.FX_FUT: Decimal("0.03"),
    CollarClass.BOND_FUT: Decimal("0.03"),
    CollarClass.VOL_FUT: Decimal("0.30"),
}
LONG_SECURITY_MARGIN = Decimal("0.25")
SHORT_SECURITY_MARGIN = Decimal("0.30")
SHORT_OPTION_MARGIN = Decimal("0.20")


def margin_requirement(
    instrument: Instrument, contract: Contract, quantity: Decimal, price: Decimal
) -> Decimal:
    """Margin of a position, in the instrument's currency, never negative."""
    value = abs(instrument.notional(quantity, price))
    if is_currency_pair(instrument):
        return ZERO
    if instrument.is_future:
        return value * FUTURES_MARGIN[instrument.collar_class]
    if instrument.is_option:
        strike = ZERO if contract.strike is None else abs(instrument.notional(quantity, contract.strike))
        return value if quantity > 0 else value + strike * SHORT_OPTION_MARGIN
    return value * (LONG_SECURITY_MARGIN if quantity > 0 else SHORT_SECURITY_MARGIN)


def total_cash(state: AccountState, terms: BrokerTerms, marks: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Cash per currency with the unsettled futures result at given marks (TotalCashBalance)."""
    totals = dict(state.cash.items())
    for contract_id, position in state.positions.items():
        instrument = terms.instrument(contract_id)
        if instrument.is_future:
            worth = ZERO
            if position.quantity != 0:
                worth = instrument.notional(position.quantity, marks[contract_id])
            unsettled = round_money(worth) - position.futures_cost
            totals[instrument.currency] = totals.get(instrument.currency, ZERO) + unsettled
    return totals


def accrued_by_currency(state: AccountState) -> dict[str, Decimal]:
    """Dividends earned or owed and not yet paid."""
    accrued: dict[str, Decimal] = {}
    for _, due in state.receivables.items():
        accrued[due.currency] = accrued.get(due.currency, ZERO) + due.amount
    return accrued


def net_liquidation(
    state: AccountState, terms: BrokerTerms, marks: Mapping[str, Decimal], fx: FxRates
) -> Decimal:
    """Value of the account in USD: cash with unsettled futures, accruals, shares and options at their marks."""
    worth = dict(total_cash(state, terms, marks))
    for currency, amount in accrued_by_currency(state).items():
        worth[currency] = worth.get(currency, ZERO) + amount
    for contract_id, position in state.positions.items():
        instrument = terms.instrument(contract_id)
        if not instrument.is_future:
            value = instrument.notional(position.quantity, marks[contract_id])
            worth[instrument.currency] = worth.get(instrument.currency, ZERO) + value
    return round_money(sum((fx.to_base(amount, ccy) for ccy, amount in worth.items() if amount != 0), ZERO))


def margin_total(
    state: AccountState, terms: BrokerTerms, marks: Mapping[str, Decimal], fx: FxRates
) -> Decimal:
    """Margin of all positions in USD."""
    total = ZERO
    for contract_id, position in state.positions.items():
        if position.quantity == 0:
            continue
        instrument = terms.instrument(contract_id)
        required = margin_requirement(
            instrument, terms.facts.contract(contract_id), position.quantity, marks[contract_id]
        )
        total += fx.to_base(required, instrument.currency)
    return round_money(total)


def excess_at_closes(state: AccountState, terms: BrokerTerms, fx: FxRates) -> Decimal:
    """What an order may take in margin: value less margin at the last official closes, USD.

    The same figure while nothing is booked, no rate moves and no time passes: a thousand orders ask for it at once.
    """
    cause = (
        state.head.virtual_time,
        state.cash.changes,
        state.positions.changes,
        state.receivables.changes,
    )
    known = state.excess
    if known is None or known.fx is not fx or known.cause != cause:
        marks = closing_marks(state, terms)
        amount = net_liquidation(state, terms, marks, fx) - margin_total(state, terms, marks, fx)
        known = state.excess = KnownExcess(cause=cause, fx=fx, amount=amount)
    return known.amount


def closing_marks(state: AccountState, terms: BrokerTerms) -> dict[str, Decimal]:
    """Last official close of each holding; raises `MissingMark` when one never had any."""
    at = state.head.virtual_time
    return {
        contract_id: terms.required_closing(contract_id, at)
        for contract_id, position in state.positions.items()
        if position.quantity != 0
    }
