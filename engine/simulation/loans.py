"""Share loans at the simulated broker: which trades have settled, what is lent, and what lent shares and cash cost.

A trade in shares settles some sessions of its venue after its day. The loan behind a short runs from the settlement of
the sale to the settlement of the purchase, whatever the position says in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from engine.errors import ConfigurationError
from engine.model.carry import RateTier
from engine.model.instruments import Instrument, InstrumentType
from engine.model.money import ZERO, round_money
from engine.model.orders import Fill
from engine.simulation.account import AccountState, UnsettledTrade
from engine.simulation.terms import BrokerTerms

BORROW_DAY_COUNT = 360
_BPS = Decimal(10_000)
_QUANTITY = Decimal("0.000001")


def note_unsettled(state: AccountState, instrument: Instrument, fill: Fill) -> None:
    """Remember a trade in shares until it settles; one that is taken back before that leaves nothing."""
    if instrument.kind not in (InstrumentType.STK, InstrumentType.ETF):
        return
    key = fill.execution_id
    known = state.unsettled.get(key)
    quantity = fill.signed_quantity + (ZERO if known is None else known.quantity)
    trade = UnsettledTrade(
        contract_id=fill.contract_id, quantity=quantity, trade_date=fill.executed_at.date()
    )
    state.unsettled.put(key, trade)
    if quantity == 0:
        state.unsettled.retire(key)


def split_unsettled(state: AccountState, instrument_id: str, new_shares: int, old_shares: int) -> None:
    """Count trades that have not settled in new shares."""
    for key, trade in state.unsettled.items():
        if trade.contract_id == instrument_id:
            quantity = trade.quantity * new_shares / old_shares
            state.unsettled.put(
                key, replace(trade, quantity=quantity.quantize(_QUANTITY, rounding=ROUND_HALF_EVEN))
            )


def settle_trades(state: AccountState, terms: BrokerTerms, day: date) -> None:
    """Forget the trades that settle on a day or did before."""
    for key, trade in state.unsettled.items():
        if _settles_on(terms, terms.instrument(trade.contract_id).venue, trade.trade_date) <= day:
            state.unsettled.retire(key)


def _settles_on(terms: BrokerTerms, venue: str, trade_date: date) -> date:
    cycles = [row for row in terms.carry.settlement if row.applies(venue, trade_date)]
    if len(cycles) != 1:
        raise ConfigurationError(
            f"expected one settlement cycle of {venue} on {trade_date}, found {len(cycles)}; mend the carry section"
        )
    day, left = trade_date, cycles[0].sessions
    while left > 0:
        day, left = terms.facts.sessions.next(venue, day).session_date, left - 1
    return day


def lent_shares(state: AccountState, terms: BrokerTerms) -> Iterator[tuple[str, Decimal]]:
    """Shares on loan to the account by contract, positive."""
    settled = {contract_id: held.quantity for contract_id, held in state.positions.items()}
    for _, trade in state.unsettled.items():
        settled[trade.contract_id] = settled.get(trade.contract_id, ZERO) - trade.quantity
    for contract_id, quantity in sorted(settled.items()):
        kind = terms.instrument(contract_id).kind
        if quantity < 0 and kind in (InstrumentType.STK, InstrumentType.ETF):
            yield contract_id, -quantity


def loan_collateral(terms: BrokerTerms, instrument: Instrument, quantity: Decimal, close: Decimal) -> Decimal:
    """Cash that stands against lent shares, in dollars rounded up to whole ones a share."""
    borrow = terms.carry.borrow
    if instrument.currency not in borrow.collateral_fraction:
        raise ConfigurationError(
            f"expected a borrow collateral fraction for {instrument.currency}, found none; "
            "add it to the carry section"
        )
    per_share = (
        close
        * instrument.multiplier
        / instrument.price_magnifier
        * borrow.collateral_fraction[instrument.currency]
    )
    if instrument.currency in borrow.collateral_price_step:
        step = borrow.collateral_price_step[instrument.currency]
        whole, rest = divmod(per_share, step)
        per_share = (whole + (1 if rest > 0 else 0)) * step
    return quantity * per_share


def daily_borrow_fee(terms: BrokerTerms, instrument: Instrument, held: Decimal, day: date) -> Decimal:
    """Fee of one calendar day on the collateral ``held``, positive, in the instrument's currency."""
    fee = terms.facts.borrow_fee_bps(instrument.instrument_id, day)
    return round_money(held * fee / _BPS / BORROW_DAY_COUNT)


def daily_interest(terms: BrokerTerms, currency: str, free: Decimal, against_loans: Decimal) -> list[Decimal]:
    """Interest of one calendar day on the free balance, negative on debt, and on the cash that stands against loans.

    Raises `ConfigurationError` for a currency without terms.
    """
    financing = terms.carry.financing
    if currency not in financing.benchmark_annual or currency not in financing.day_count:
        raise ConfigurationError(
            f"expected a cash rate and a day count for {currency}, of which the simulated broker holds {free}; "
            "add them to the carry section"
        )
    tables = (
        (free, financing.debit_tiers if free < 0 else financing.credit_tiers),
        (against_loans, financing.short_proceeds_tiers),
    )
    amounts = []
    for balance, table in tables:
        if balance == 0:
            amounts.append(ZERO)
            continue
        if currency not in table:
            raise ConfigurationError(
                f"expected interest tiers for {currency}, found none; add them to the carry section"
            )
        yearly = _yearly(table[currency], financing.benchmark_annual[currency], balance)
        amounts.append(round_money(yearly / financing.day_count[currency]))
    return amounts


def _yearly(tiers: tuple[RateTier, ...], benchmark: Decimal, balance: Decimal) -> Decimal:
    """From the highest tier down: each takes what lies above its threshold."""
    left, total = abs(balance), ZERO
    for tier in reversed(tiers):
        part = max(ZERO, left - tier.above)
        left -= part
        if tier.spread_annual is not None:
            rate = max(ZERO, benchmark) + tier.spread_annual
            total += part * (rate if balance < 0 else max(ZERO, rate))
    return total if balance > 0 else -total
