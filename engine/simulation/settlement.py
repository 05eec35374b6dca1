"""What the simulated broker posts by the calendar. The fund's own book follows the same rules by its own code.

Day rules, for each calendar day ``d`` (weekends and holidays included), all times UTC; every amount is rounded once,
half-even, to six decimals:

00:00, the start of ``d``
    1. Dividends with ex-date ``d``: who holds ``q`` at this moment earns ``q × amount`` (a short owes it) as a
       receivable. It is accrued, not cash. From now on an official close of an earlier session counts less the amount.
    2. Receivables whose pay date is ``d`` or earlier become cash.
    3. Splits with ex-date ``d``: new quantity = quantity × new / old, rounded to six decimals. From now on an official
       close of an earlier session counts divided by the ratio. Only whole shares stay: the fraction is paid in cash at
       the newest official close (a short pays it). Open orders in the share are cancelled.
    4. Symbol changes of ``d``: the holding goes on under the new id, with its cost; open orders in it are cancelled.

22:30, the daily settlement of ``d``
    a. For each future held (or closed since the last settlement), when its venue had a session on ``d`` and an
       official close ``s`` exists: variation = q·s·m − futures cost goes to cash, the futures cost becomes q·s·m.
    b. Interest for one calendar day per currency on the settled cash after (a):
       balance × rate / day count, a negative balance at rate + debit spread.
    c. Borrow fee for one calendar day on each short share or fund:
       |q| × (newest official close × m × collateral fraction, in dollars rounded up to whole ones a share)
       × fee / 10⁴ / 360.
    d. Contracts whose last trade date is ``d`` or earlier: a future is settled once more at its newest official close
       and removed; an option pays q × its final settlement price × m, which is its intrinsic value: the official close
       of the option on its last trade date.

``m`` is the effective multiplier (pence already turned into pounds).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from engine.errors import ConfigurationError
from engine.model.instruments import Instrument, InstrumentType
from engine.model.money import ZERO, round_money
from engine.model.policy import CarryPolicy
from engine.simulation.account import AccountPosition, AccountState, PostingKind, Receivable
from engine.simulation.bookkeeping import apply_split, post, rename_position, store_position
from engine.simulation.terms import BrokerTerms

SETTLEMENT_TIME = time(22, 30)
BORROW_DAY_COUNT = 360
_BPS = Decimal(10_000)


def next_midnight(after: datetime) -> datetime:
    """First 00:00 UTC strictly after a time."""
    return datetime.combine(after.date() + timedelta(days=1), time(), UTC)


def next_settlement(after: datetime) -> datetime:
    """First 22:30 UTC strictly after a time."""
    today = datetime.combine(after.date(), SETTLEMENT_TIME, UTC)
    return today if today > after else today + timedelta(days=1)


def start_day(state: AccountState, terms: BrokerTerms, day: date) -> list[str]:
    """Earn the day's dividends, pay what is due, split and rename shares; the instruments whose orders ended."""
    for dividend in terms.facts.dividends(day):
        earned = round_money(state.quantity(dividend.instrument_id) * dividend.amount)
        if earned != 0:
            receivable = Receivable(
                instrument_id=dividend.instrument_id,
                currency=terms.universe[dividend.instrument_id].currency,
                amount=earned,
                pay_date=dividend.pay_date,
            )
            state.receivables.put(f"{dividend.instrument_id}|{day.isoformat()}", receivable)
    for key, due in state.receivables.items():
        if due.pay_date <= day:
            post(state, PostingKind.DIVIDEND, due.currency, due.amount, key)
            state.receivables.retire(key)
    for split in terms.facts.splits(day):
        fraction = apply_split(state, split.instrument_id, split.new_shares, split.old_shares)
        if fraction != 0:
            _pay_in_lieu(state, terms, split.instrument_id, fraction, day)
    for change in terms.facts.symbol_changes(day):
        rename_position(state, change.instrument_id, change.new_instrument_id)
    split_shares = [split.instrument_id for split in terms.facts.splits(day)]
    return split_shares + [change.instrument_id for change in terms.facts.symbol_changes(day)]


def _pay_in_lieu(
    state: AccountState, terms: BrokerTerms, instrument_id: str, fraction: Decimal, day: date
) -> None:
    instrument = terms.instrument(instrument_id)
    price = terms.required_closing(instrument_id, state.head.virtual_time)
    amount = instrument.notional(fraction, price)
    reference = f"{instrument_id}|{day.isoformat()}"
    post(state, PostingKind.CASH_IN_LIEU, instrument.currency, amount, reference)


def settle_day(state: AccountState, terms: BrokerTerms, day: date) -> None:
    """Post the daily settlement: variation, interest, borrow fees, expiries."""
    for contract_id, position in state.positions.items():
        instrument = terms.instrument(contract_id)
        if instrument.is_future and terms.facts.sessions.is_session(instrument.venue, day):
            close = terms.facts.official_close(contract_id, day)
            if close is not None:
                _settle_future(state, instrument, position, close, day)
    for currency, balance in state.cash.items():
        amount = daily_interest(terms.carry, currency, balance)
        post(state, PostingKind.INTEREST, currency, amount, f"{currency}|{day.isoformat()}")
    for contract_id, position in state.positions.items():
        instrument = terms.instrument(contract_id)
        if position.quantity < 0 and instrument.kind in (InstrumentType.STK, InstrumentType.ETF):
            close = terms.required_closing(contract_id, state.head.virtual_time)
            fee = daily_borrow_fee(terms, instrument, position.quantity, close, day)
            reference = f"{contract_id}|{day.isoformat()}"
            post(state, PostingKind.BORROW_FEE, instrument.currency, -fee, reference)
    for contract_id, position in state.positions.items():
        last_trade = terms.facts.contract(contract_id).last_trade_date
        if last_trade is not None and last_trade <= day:
            _expire(state, terms, position, day, last_trade)


def _settle_future(
    state: AccountState, instrument: Instrument, held: AccountPosition, close: Decimal, day: date
) -> None:
    settled = round_money(instrument.notional(held.quantity, close))
    variation = settled - held.futures_cost
    reference = f"{held.contract_id}|{day.isoformat()}"
    post(state, PostingKind.VARIATION, instrument.currency, variation, reference)
    store_position(state, replace(held, futures_cost=settled, last_settlement=close))


def _expire(
    state: AccountState, terms: BrokerTerms, held: AccountPosition, day: date, last_trade: date
) -> None:
    instrument = terms.instrument(held.contract_id)
    price = expiry_price(terms, held.contract_id, last_trade, state.head.virtual_time)
    value = round_money(instrument.notional(held.quantity, price))
    reference = f"{held.contract_id}|{day.isoformat()}"
    post(state, PostingKind.EXPIRY, instrument.currency, value - held.futures_cost, reference)
    store_position(state, replace(held, quantity=ZERO, futures_cost=ZERO))


def expiry_price(terms: BrokerTerms, contract_id: str, last_trade: date, at: datetime) -> Decimal:
    """What a contract is settled at for the last time: an option at its own day's close, else the newest close."""
    is_future = terms.instrument(contract_id).is_future
    price = None if is_future else terms.facts.official_close(contract_id, last_trade)
    return terms.required_closing(contract_id, at) if price is None else price


def daily_interest(carry: CarryPolicy, currency: str, balance: Decimal) -> Decimal:
    """Interest of one calendar day, negative on debt; raises `ConfigurationError` for a currency without terms."""
    if balance == 0:
        return ZERO
    if currency not in carry.cash_rate_annual or currency not in carry.day_count:
        raise ConfigurationError(
            f"expected a cash rate and a day count for {currency}, of which the simulated broker holds {balance}; "
            "add them to the carry section"
        )
    rate = carry.cash_rate_annual[currency] + (carry.debit_spread_annual if balance < 0 else ZERO)
    return round_money(balance * rate / carry.day_count[currency])


def daily_borrow_fee(
    terms: BrokerTerms, instrument: Instrument, quantity: Decimal, close: Decimal, day: date
) -> Decimal:
    """Fee of one calendar day on a short, positive, in the instrument's currency."""
    if instrument.currency not in terms.carry.borrow_collateral_fraction:
        raise ConfigurationError(
            f"expected a borrow collateral fraction for {instrument.currency}, found none; "
            "add it to the carry section"
        )
    fraction = terms.carry.borrow_collateral_fraction[instrument.currency]
    per_share = close * instrument.multiplier / instrument.price_magnifier * fraction
    if instrument.currency in terms.carry.collateral_price_step:
        step = terms.carry.collateral_price_step[instrument.currency]
        whole, rest = divmod(per_share, step)
        per_share = (whole + (1 if rest > 0 else 0)) * step
    collateral = abs(quantity) * per_share
    fee = terms.facts.borrow_fee_bps(instrument.instrument_id, day)
    return round_money(collateral * fee / _BPS / BORROW_DAY_COUNT)
