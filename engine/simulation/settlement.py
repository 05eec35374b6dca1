"""What the simulated broker posts by the calendar. The fund's own book follows the same rules by its own code.

Day rules, for each calendar day ``d`` (weekends and holidays included), all times UTC; every amount is rounded once,
half-even, to six decimals:

00:00, the start of ``d``
    1. Dividends with ex-date ``d``: who holds ``q`` at this moment earns ``q × amount`` (a short owes it) as a
       receivable. It is accrued, not cash. Of what a holder earns the issuer's country keeps its part back, a
       receivable of its own, rounded by itself; who is short owes the gross amount.
       From now on an official close of an earlier session counts less the gross amount.
    2. Receivables whose pay date is ``d`` or earlier become cash.
    3. Splits with ex-date ``d``: new quantity = quantity × new / old, rounded to six decimals. From now on an official
       close of an earlier session counts divided by the ratio. Only whole shares stay: the fraction is paid in cash at
       the newest official close (a short pays it). Open orders in the share are cancelled.
    4. Symbol changes of ``d``: the holding goes on under the new id, with its cost; open orders in it are cancelled.

22:30, the daily settlement of ``d``
    a. For each future held (or closed since the last settlement), when its venue had a session on ``d`` and an
       official close ``s`` exists: variation = q·s·m − futures cost goes to cash, the futures cost becomes q·s·m.
    b. Trades in shares that settle on ``d`` are settled. What is short in settled shares is on loan, against
       collateral = |q| × (newest official close × m × collateral fraction, in dollars rounded up to whole ones a share).
    c. Interest for one calendar day per currency: on the cash after (a) less the collateral, in the tiers of credit or
       debit balances, and on the collateral in the tiers of short proceeds; each part × rate / day count.
    d. Borrow fee for one calendar day on each loan: collateral × fee / 10⁴ / 360.
       Interest and fees become cash at once, or on the third business day of the next month, as configured.
    e. Contracts whose last trade date is ``d`` or earlier: a future is settled once more at its newest official close
       and removed; an option pays q × its final settlement price × m, which is its intrinsic value: the official close
       of the option on its last trade date.

``m`` is the effective multiplier (pence already turned into pounds).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from engine.errors import ConfigurationError
from engine.model.carry import InterestPosting
from engine.model.instruments import Instrument
from engine.model.market import Dividend
from engine.model.money import ZERO, round_money
from engine.simulation.account import AccountPosition, AccountState, PostingKind, Receivable
from engine.simulation.bookkeeping import apply_split, post, rename_position, store_position
from engine.simulation.loans import (
    daily_borrow_fee,
    daily_interest,
    lent_shares,
    loan_collateral,
    settle_trades,
    split_unsettled,
)
from engine.simulation.terms import BrokerTerms

SETTLEMENT_TIME = time(22, 30)


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
        if earned > 0:
            _keep_back(state, terms, dividend, earned)
    for key, due in state.receivables.items():
        if due.pay_date <= day:
            post(state, due.kind, due.currency, due.amount, key)
            state.receivables.retire(key)
    for split in terms.facts.splits(day):
        split_unsettled(state, split.instrument_id, split.new_shares, split.old_shares)
        fraction = apply_split(state, split.instrument_id, split.new_shares, split.old_shares)
        if fraction != 0:
            _pay_in_lieu(state, terms, split.instrument_id, fraction, day)
    for change in terms.facts.symbol_changes(day):
        rename_position(state, change.instrument_id, change.new_instrument_id)
    split_shares = [split.instrument_id for split in terms.facts.splits(day)]
    return split_shares + [change.instrument_id for change in terms.facts.symbol_changes(day)]


def _keep_back(state: AccountState, terms: BrokerTerms, dividend: Dividend, earned: Decimal) -> None:
    """Hold the tax of the issuer's country against a dividend, until both are paid."""
    instrument = terms.universe[dividend.instrument_id]
    rates = [
        tax.rate
        for tax in terms.carry.dividends.withholding
        if tax.applies(instrument.issuer_country or "", instrument.kind, dividend.ex_date)
    ]
    if len(rates) != 1:
        raise ConfigurationError(
            f"expected one rate of withholding for {instrument.instrument_id} on {dividend.ex_date}, found {rates}; "
            "mend the withholding settings"
        )
    kept = round_money(earned * rates[0])
    if kept != 0:
        receivable = Receivable(
            instrument_id=instrument.instrument_id,
            currency=instrument.currency,
            amount=-kept,
            pay_date=dividend.pay_date,
            kind=PostingKind.WITHHOLDING,
        )
        state.receivables.put(f"{dividend.instrument_id}|{dividend.ex_date.isoformat()}|tax", receivable)


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
    settle_trades(state, terms, day)
    _charge_financing(state, terms, day)
    for contract_id, position in state.positions.items():
        last_trade = terms.facts.contract(contract_id).last_trade_date
        if last_trade is not None and last_trade <= day:
            _expire(state, terms, position, day, last_trade)


def _charge_financing(state: AccountState, terms: BrokerTerms, day: date) -> None:
    """Interest and loan fees of one calendar day."""
    against: dict[str, Decimal] = {currency: ZERO for currency, _ in state.cash.items()}
    fees: list[tuple[str, str, Decimal]] = []
    for contract_id, quantity in lent_shares(state, terms):
        instrument = terms.instrument(contract_id)
        close = terms.required_closing(contract_id, state.head.virtual_time)
        held = loan_collateral(terms, instrument, quantity, close)
        against[instrument.currency] = against.get(instrument.currency, ZERO) + held
        fees.append((contract_id, instrument.currency, daily_borrow_fee(terms, instrument, held, day)))
    for currency, held in sorted(against.items()):
        earned = daily_interest(terms, currency, state.balance(currency) - held, held)
        for amount, name in zip(earned, (currency, f"short {currency}"), strict=True):
            _pay_or_accrue(
                state, terms, PostingKind.INTEREST, currency, amount, f"{name}|{day.isoformat()}", day
            )
    for contract_id, currency, fee in fees:
        reference = f"{contract_id}|{day.isoformat()}"
        _pay_or_accrue(state, terms, PostingKind.BORROW_FEE, currency, -fee, reference, day)


def _pay_or_accrue(
    state: AccountState,
    terms: BrokerTerms,
    kind: PostingKind,
    currency: str,
    amount: Decimal,
    reference: str,
    day: date,
) -> None:
    if terms.carry.financing.posting is InterestPosting.DAILY:
        post(state, kind, currency, amount, reference)
        return
    key = f"|{kind.value}|{currency}|{day:%Y-%m}"
    known = state.receivables.get(key)
    total = round_money(amount) + (ZERO if known is None else known.amount)
    if total == 0 and known is None:
        return
    receivable = Receivable(
        instrument_id="",
        currency=currency,
        amount=total,
        pay_date=_third_session_of_next_month(terms, day),
        kind=kind,
    )
    state.receivables.put(key, receivable)


def _third_session_of_next_month(terms: BrokerTerms, day: date) -> date:
    found = day.replace(day=28) + timedelta(days=4)
    found = found.replace(day=1) - timedelta(days=1)
    for _ in range(3):
        found = terms.facts.sessions.next(terms.carry.financing.posting_venue, found).session_date
    return found


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
