"""What does a calendar day cost or bring while nobody trades? Settlements, interest, borrow, dividends, expiries.

Every calendar day has two moments in UTC. At 00:00: dividends of the ex-date are owed, those of the pay date are
paid, shares split (a fraction of a share becomes cash) or go on under a new id. At 22:30: futures whose venue had a close that day are settled, each currency's cash earns or
owes one day of interest, short shares pay their loan, contracts on their last trade date expire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal

from engine.accounting.book import apply
from engine.accounting.corporate_actions import (
    cash_in_lieu_entry,
    dividend_accrual,
    dividend_payment,
    has_whole_shares,
    is_share,
    split_entry,
    symbol_change_entries,
    unpaid_dividends,
)
from engine.accounting.ledger import CASH, EntryKind, LedgerEntry, expiry, pair, variation
from engine.errors import ConfigurationError, InvariantError, MissingMark
from engine.model.encoding import significant
from engine.model.instruments import Contract, Instrument, OptionRight
from engine.model.market import Dividend, Split, SymbolChange
from engine.model.money import ZERO, round_money
from engine.model.policy import CarryPolicy
from engine.model.portfolio import Portfolio, Position
from engine.model.universe import ContractBook, Universe

DAY_START = time(0, 0, tzinfo=UTC)
DAY_END = time(22, 30, tzinfo=UTC)
WITHOUT_FINAL_PRICE = "expiry without a published final price, at the last recorded close"
_BORROW_DAY_COUNT = 360
_YEAR_DAYS = 365
_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryBook:
    """Instruments whose carry is asked for, and the rates that finance them."""

    names: tuple[str, ...]
    universe: Universe
    policy: CarryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFacts:
    """What one calendar day brought.

    ``closes`` are official closes by contract id of venues that had a session on ``day``; ``last_closes`` the latest
    known by contract and by underlying; ``borrow_fee_bps`` the annual fee of each short share by instrument id.
    ``morning_prices`` are the closes of before the day, per share as counted from its 00:00, of shares that split or
    change their symbol that day.
    """

    day: date
    closes: Mapping[str, Decimal]
    last_closes: Mapping[str, Decimal]
    dividends: tuple[Dividend, ...]
    splits: tuple[Split, ...]
    borrow_fee_bps: Mapping[str, Decimal]
    symbol_changes: tuple[SymbolChange, ...] = ()
    morning_prices: Mapping[str, Decimal] = field(default_factory=dict)


def calendar_entries(
    portfolio: Portfolio,
    after: datetime,
    until: datetime,
    facts: Mapping[date, DayFacts],
    contracts: ContractBook,
    policy: CarryPolicy,
    unpaid: Sequence[LedgerEntry] = (),
) -> tuple[LedgerEntry, ...]:
    """All entries of the day starts and day ends in ``(after, until]``, in order, each on the book before it.

    ``unpaid`` are dividend accruals whose payment is to come. Raises `InvariantError` when a day has no facts.
    """
    entries: list[LedgerEntry] = []
    owed = list(unpaid)
    day = after.date()
    while day <= until.date():
        start, end = datetime.combine(day, DAY_START), datetime.combine(day, DAY_END)
        made: list[LedgerEntry] = []
        if (after < start <= until or after < end <= until) and day not in facts:
            raise InvariantError(f"expected the market's facts of {day}, found none")
        if after < start <= until:
            made = list(day_start_entries(portfolio, facts[day], contracts, owed))
            owed = list(unpaid_dividends((*owed, *made)))
            portfolio = apply(portfolio, *made) if made else portfolio
        if after < end <= until:
            closing = day_end_entries(portfolio, facts[day], contracts, policy)
            portfolio = apply(portfolio, *closing) if closing else portfolio
            made.extend(closing)
        entries.extend(made)
        day += timedelta(days=1)
    return tuple(entries)


def day_start_entries(
    portfolio: Portfolio, facts: DayFacts, contracts: ContractBook, unpaid: Sequence[LedgerEntry]
) -> tuple[LedgerEntry, ...]:
    """00:00 UTC: dividends owed on the ex-date, dividends paid, then splits, then new symbols."""
    at = datetime.combine(facts.day, DAY_START)
    owed = tuple(
        dividend_accrual(
            portfolio.positions[row.instrument_id], contracts.instrument(row.instrument_id), row, at
        )
        for row in sorted(facts.dividends, key=lambda row: row.instrument_id)
        if row.ex_date == facts.day and portfolio.quantity(row.instrument_id) != 0
    )
    paid = tuple(
        dividend_payment(accrual, at) for accrual in (*unpaid, *owed) if accrual.value_date == facts.day
    )
    splits = tuple(
        entry
        for row in sorted(facts.splits, key=lambda row: row.instrument_id)
        if row.ex_date == facts.day and _is_held(portfolio, row.instrument_id)
        for entry in _split_entries(portfolio, row, facts, contracts)
    )
    counted = apply(portfolio, *splits) if splits else portfolio
    renamed = tuple(
        entry
        for row in sorted(facts.symbol_changes, key=lambda row: row.instrument_id)
        if row.effective == facts.day and _is_held(counted, row.instrument_id)
        for entry in symbol_change_entries(
            counted.positions[row.instrument_id],
            contracts.instrument(row.instrument_id),
            row,
            _morning_price(row.instrument_id, facts),
            at,
        )
    )
    return (*owed, *paid, *splits, *renamed)


def _is_held(portfolio: Portfolio, contract_id: str) -> bool:
    """Whether any sleeve holds or owes a line, also where they leave nothing of it together."""
    position = portfolio.positions.get(contract_id)
    return position is not None and any(position.sleeves.values())


def _split_entries(
    portfolio: Portfolio, split: Split, facts: DayFacts, contracts: ContractBook
) -> tuple[LedgerEntry, ...]:
    """The split of a holding, and cash for the fraction of a share that it leaves."""
    name, at = split.instrument_id, datetime.combine(facts.day, DAY_START)
    entry = split_entry(portfolio.positions[name], split, at)
    after = apply(portfolio, entry).positions.get(name)
    if after is None or has_whole_shares(after):
        return (entry,)
    lieu = cash_in_lieu_entry(after, contracts.instrument(name), split, _morning_price(name, facts), at)
    return (entry,) if lieu is None else (entry, lieu)


def _morning_price(instrument_id: str, facts: DayFacts) -> Decimal:
    price = facts.morning_prices.get(instrument_id)
    if price is None:
        raise MissingMark(
            f"expected the last close of {instrument_id} before its corporate action of {facts.day}, found none",
            subject=instrument_id,
        )
    return price


def day_end_entries(
    portfolio: Portfolio, facts: DayFacts, contracts: ContractBook, policy: CarryPolicy
) -> tuple[LedgerEntry, ...]:
    """22:30 UTC: settlements, interest on the cash after them, borrow fees, expiries."""
    at = datetime.combine(facts.day, DAY_END)
    settlements = tuple(
        variation(position, contracts.instrument(contract_id), facts.day, facts.closes[contract_id], at)
        for contract_id, position in portfolio.positions.items()
        if contract_id in facts.closes and contracts.instrument(contract_id).is_future
    )
    settled = apply(portfolio, *settlements) if settlements else portfolio
    interest = tuple(
        interest_entry(currency, balance, facts.day, policy, at)
        for currency, balance in settled.cash.items()
        if balance != 0
    )
    borrow = tuple(
        _borrow_entry(contract_id, contracts.instrument(contract_id), settled, facts, policy)
        for contract_id, position in settled.positions.items()
        if position.quantity < 0 and is_share(contracts.instrument(contract_id))
    )
    expiries = tuple(
        _expiry_entry(position, contracts.contract(contract_id), contracts.instrument(contract_id), facts)
        for contract_id, position in settled.positions.items()
        if _expires(contracts.contract(contract_id), facts.day)
    )
    return (*settlements, *interest, *borrow, *expiries)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryEstimate:
    """Interest of one calendar day by currency: received (positive) or paid on debt."""

    interest: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinancingService:
    """What balances bring or cost a day, by the configured rates and day counts (CARRY-04)."""

    policy: CarryPolicy

    def rate_annual(self, currency: str, balance: Decimal) -> tuple[Decimal, int]:
        """Rate a year on a balance, and the days that it counts as a year; borrowed money pays the spread on top.

        Raises `ConfigurationError` for a currency without a configured rate or day count.
        """
        rate, day_count = self.policy.cash_rate_annual.get(currency), self.policy.day_count.get(currency)
        if rate is None or day_count is None:
            raise ConfigurationError(
                f"expected a cash rate and a day count for {currency}, found none; add them to the carry settings"
            )
        return (rate + self.policy.debit_spread_annual if balance < 0 else rate), day_count

    def daily_interest(self, currency: str, balance: Decimal) -> Decimal:
        """Interest of one calendar day: ``balance × rate / day count``."""
        rate, day_count = self.rate_annual(currency, balance)
        return round_money(balance * rate / day_count)

    def daily_carry(self, cash: Mapping[str, Decimal]) -> CarryEstimate:
        """Interest of one calendar day on every balance that is not zero."""
        return CarryEstimate(
            interest={
                currency: self.daily_interest(currency, balance)
                for currency, balance in cash.items()
                if balance != 0
            }
        )


def expected_carry_annual(
    dividends: Mapping[str, Decimal],
    prices: Mapping[str, Decimal],
    cash: Mapping[str, Decimal],
    book: CarryBook,
) -> Mapping[str, float]:
    """Carry of a long share a year, as a fraction of its value: last year's dividends less what its cash costs.

    ``carry = yearly dividends / price − rate · 365 / day count``, where borrowed cash pays the spread as well.
    ``dividends`` are those of a year per share, ``prices`` in quote units, both by instrument; ``cash`` is by currency.
    What has no price or no year of dividends is absent: nothing is guessed. Raises `ConfigurationError` for a currency without a rate.
    """
    found = {}
    for name in book.names:
        price, yearly = prices.get(name), dividends.get(name)
        if price is None or yearly is None or price <= 0:
            continue
        instrument = book.universe[name]
        value, currency = instrument.notional(Decimal(1), price), instrument.currency
        balance = cash.get(currency, ZERO)
        rate, day_count = FinancingService(policy=book.policy).rate_annual(currency, balance)
        found[name] = significant(float(yearly / value - rate * _YEAR_DAYS / day_count))
    return found


def interest_entry(
    currency: str, balance: Decimal, day: date, policy: CarryPolicy, booked_at: datetime
) -> LedgerEntry:
    """Interest of one day, paid in cash."""
    amount = FinancingService(policy=policy).daily_interest(currency, balance)
    return LedgerEntry(
        entry_id=f"interest:{currency}:{day.isoformat()}",
        kind=EntryKind.INTEREST,
        booked_at=booked_at,
        value_date=day,
        contract_id=None,
        reference="debit" if balance < 0 else "credit",
        price=None,
        quantity=None,
        lines=pair(CASH, "income:interest", currency, amount),
    )


def daily_borrow_fee(
    quantity: Decimal, price: Decimal, instrument: Instrument, fee_bps: Decimal, policy: CarryPolicy
) -> Decimal:
    """Fee of one calendar day of a share loan: ``|quantity| × collateral a share × fee / 360``.

    The collateral a share is ``price × multiplier × fraction``, rounded up to the currency's step where it has one.
    Raises `ConfigurationError` for a currency without a configured collateral fraction.
    """
    fraction = policy.borrow_collateral_fraction.get(instrument.currency)
    if fraction is None:
        raise ConfigurationError(
            f"expected a borrow collateral fraction for {instrument.currency}, found none; add it to the carry settings"
        )
    step = policy.collateral_price_step.get(instrument.currency)
    share = instrument.notional(Decimal(1), price) * fraction
    if step is not None:
        share = (share / step).to_integral_value(rounding=ROUND_CEILING) * step
    return round_money(abs(quantity) * share * fee_bps / _BPS / _BORROW_DAY_COUNT)


def _borrow_entry(
    contract_id: str, instrument: Instrument, portfolio: Portfolio, facts: DayFacts, policy: CarryPolicy
) -> LedgerEntry:
    price, fee_bps = facts.last_closes.get(contract_id), facts.borrow_fee_bps.get(instrument.instrument_id)
    if price is None or fee_bps is None:
        raise MissingMark(
            f"expected a close and a borrow fee for the short {contract_id}, found {price} and {fee_bps}",
            subject=contract_id,
        )
    fee = daily_borrow_fee(portfolio.quantity(contract_id), price, instrument, fee_bps, policy)
    return LedgerEntry(
        entry_id=f"borrow:{contract_id}:{facts.day.isoformat()}",
        kind=EntryKind.BORROW_FEE,
        booked_at=datetime.combine(facts.day, DAY_END),
        value_date=facts.day,
        contract_id=contract_id,
        reference=f"{fee_bps:f} bps",
        price=None,
        quantity=None,
        lines=pair("expense:borrow_fee", CASH, instrument.currency, fee),
    )


def _expires(contract: Contract, day: date) -> bool:
    return contract.last_trade_date is not None and contract.last_trade_date <= day


def _expiry_entry(
    position: Position, contract: Contract, instrument: Instrument, facts: DayFacts
) -> LedgerEntry:
    """The end of a contract at its final price, or where none was published at the price that stands for it."""
    at = datetime.combine(facts.day, DAY_END)
    published = facts.closes.get(contract.contract_id)
    if published is not None:
        return expiry(position, instrument, facts.day, published, at)
    entry = expiry(position, instrument, facts.day, _unpublished_price(contract, instrument, facts), at)
    return entry if instrument.is_option else replace(entry, reference=WITHOUT_FINAL_PRICE)


def _unpublished_price(contract: Contract, instrument: Instrument, facts: DayFacts) -> Decimal:
    """Intrinsic value of an option; of a future its last known close, at which it was settled before."""
    known = instrument.underlying if instrument.is_option else contract.contract_id
    price = facts.last_closes.get(known or "")
    if price is None:
        raise MissingMark(
            f"expected the final price of {contract.contract_id} on its expiry, found none",
            subject=contract.contract_id,
        )
    if instrument.is_future:
        return price
    if contract.strike is None or contract.right is None:
        raise InvariantError(f"{contract.contract_id}: an option needs a strike and a right")
    gain = price - contract.strike if contract.right is OptionRight.CALL else contract.strike - price
    return max(ZERO, gain)
