"""What the simulated broker posts by the calendar. The fund's own book follows the same rules by its own code.

Day rules, for each calendar day ``d`` (weekends and holidays included), all times UTC; every amount is rounded once,
half-even, to six decimals:

00:00, the start of ``d``
    1. Splits with ex-date ``d`` are noted: they take effect at the open of the instrument's own session of ``d``, at
       00:00 when its venue is closed on ``d``. new quantity = quantity × new / old, rounded to six decimals; no cash.
    2. Dividends with ex-date ``d``: who holds ``q`` at this moment earns ``q × amount`` (a short owes it) as a
       receivable. It is accrued, not cash.
    3. Receivables whose pay date is ``d`` or earlier become cash.

22:30, the daily settlement of ``d``
    a. For each future held, when its venue had a session on ``d`` and an official close ``s`` exists:
       variation = q·s·m − futures cost goes to cash, and the futures cost becomes q·s·m. A line whose quantity is 0
       settles what is left of its cost on any day. A future whose last trade date is ``d`` or earlier is settled the
       same way at its newest official close and then removed.
    b. An option whose last trade date is ``d`` or earlier pays q × official close on its last trade date × m (the
       exchange's final settlement price: its intrinsic value) and is removed.
    c. Interest for one calendar day per currency on the settled cash after (a) and (b):
       balance × rate / day count, a negative balance at rate + debit spread.
    d. Borrow fee for one calendar day on each short share or fund, on the holding after (a) and (b):
       |q| × newest official close × m × collateral fraction × fee / 10⁴ / 360.

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
from engine.simulation.account import AccountPosition, AccountState, PendingSplit, PostingKind, Receivable
from engine.simulation.bookkeeping import apply_split, post, store_position
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


def start_day(state: AccountState, terms: BrokerTerms, day: date) -> None:
    """Note the day's splits, earn its dividends, pay what is due."""
    for split in terms.facts.splits(day):
        session = terms.facts.sessions.session(terms.universe[split.instrument_id].venue, day)
        pending = PendingSplit(
            instrument_id=split.instrument_id,
            effective_at=datetime.combine(day, time(), UTC) if session is None else session.open,
            new_shares=split.new_shares,
            old_shares=split.old_shares,
        )
        state.splits.put(f"{split.instrument_id}|{day.isoformat()}", pending)
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


def take_effect(state: AccountState, at: datetime) -> list[str]:
    """Apply the splits that are due; the instruments that were split."""
    split_now = []
    for key, split in state.splits.items():
        if split.effective_at <= at:
            apply_split(state, split.instrument_id, split.new_shares, split.old_shares)
            state.splits.retire(key)
            split_now.append(split.instrument_id)
    return split_now


def settle_day(state: AccountState, terms: BrokerTerms, day: date) -> None:
    """Post the daily settlement: variation, expiries, interest, borrow fees."""
    for _, position in state.positions.items():
        instrument = terms.instrument(position.contract_id)
        if instrument.is_future:
            _settle_future(state, terms, position, day)
        elif instrument.is_option:
            _expire_option(state, terms, position, day)
    for currency, balance in state.cash.items():
        amount = daily_interest(terms.carry, currency, balance)
        post(state, PostingKind.INTEREST, currency, amount, f"{currency}|{day.isoformat()}")
    for _, position in state.positions.items():
        instrument = terms.instrument(position.contract_id)
        if position.quantity < 0 and instrument.kind in (InstrumentType.STK, InstrumentType.ETF):
            close = terms.required_closing(position.contract_id, state.head.virtual_time)
            fee = daily_borrow_fee(terms, instrument, position.quantity, close, day)
            reference = f"{position.contract_id}|{day.isoformat()}"
            post(state, PostingKind.BORROW_FEE, instrument.currency, -fee, reference)


def _settle_future(state: AccountState, terms: BrokerTerms, held: AccountPosition, day: date) -> None:
    instrument = terms.instrument(held.contract_id)
    last_trade = terms.facts.contract(held.contract_id).last_trade_date
    expired = last_trade is not None and last_trade <= day
    price = _settlement_price(state, terms, held, day, expired=expired)
    if price is None and held.quantity != 0:
        return
    settled = ZERO if price is None else round_money(instrument.notional(held.quantity, price))
    kind = PostingKind.EXPIRY if expired else PostingKind.VARIATION
    reference = f"{held.contract_id}|{day.isoformat()}"
    post(state, kind, instrument.currency, settled - held.futures_cost, reference)
    quantity = ZERO if expired else held.quantity
    cost = ZERO if expired else settled
    store_position(
        state,
        replace(held, quantity=quantity, futures_cost=cost, last_settlement=price or held.last_settlement),
    )


def _settlement_price(
    state: AccountState, terms: BrokerTerms, held: AccountPosition, day: date, *, expired: bool
) -> Decimal | None:
    if held.quantity == 0:
        return None
    if expired:
        return terms.required_closing(held.contract_id, state.head.virtual_time)
    if not terms.facts.sessions.is_session(terms.instrument(held.contract_id).venue, day):
        return None
    return terms.facts.official_close(held.contract_id, day)


def _expire_option(state: AccountState, terms: BrokerTerms, held: AccountPosition, day: date) -> None:
    last_trade = terms.facts.contract(held.contract_id).last_trade_date
    if last_trade is None or last_trade > day:
        return
    instrument = terms.instrument(held.contract_id)
    price = terms.facts.official_close(held.contract_id, last_trade)
    if price is None:
        price = terms.required_closing(held.contract_id, state.head.virtual_time)
    payoff = instrument.notional(held.quantity, price)
    post(state, PostingKind.EXPIRY, instrument.currency, payoff, f"{held.contract_id}|{day.isoformat()}")
    store_position(state, replace(held, quantity=ZERO))


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
    collateral = abs(instrument.notional(quantity, close)) * fraction
    fee = terms.facts.borrow_fee_bps(instrument.instrument_id, day)
    return round_money(collateral * fee / _BPS / BORROW_DAY_COUNT)
