"""What does a calendar day cost or bring while nobody trades? Settlements, interest, borrow, dividends, expiries.

Every calendar day has two moments in UTC. At 00:00: dividends of the ex-date are owed less the tax that is kept back
of them, those of the pay date are paid, interest of the month before is paid where it is paid by the month, shares
split (a fraction of a share becomes cash) or go on under a new id. At 22:30: futures whose venue had a close that day
are settled, each currency's cash earns or owes one day of interest, as does the cash that stands against borrowed
shares, settled shorts pay their loan, contracts on their last trade date expire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from engine.accounting.book import apply
from engine.accounting.charges import withholding, withholding_payment, withholding_rate
from engine.accounting.corporate_actions import (
    cash_in_lieu_entry,
    dividend_accrual,
    dividend_payment,
    has_whole_shares,
    split_entry,
    symbol_change_entries,
)
from engine.accounting.ledger import EntryKind, LedgerEntry, expiry, variation
from engine.carry.borrow import ShareLoan, collateral, share_loans
from engine.carry.postings import (
    borrow_entry,
    interest_entry,
    month_payments,
    short_proceeds_entry,
    unpaid_accruals,
)
from engine.errors import InvariantError, MissingMark
from engine.model.carry import CarryPolicy
from engine.model.instruments import Contract, Instrument, OptionRight
from engine.model.market import Dividend, Split, SymbolChange
from engine.model.money import ZERO
from engine.model.portfolio import Portfolio, Position
from engine.model.universe import ContractBook

DAY_START = time(0, 0, tzinfo=UTC)
DAY_END = time(22, 30, tzinfo=UTC)
WITHOUT_FINAL_PRICE = "expiry without a published final price, at the last recorded close"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFacts:
    """What one calendar day brought.

    ``closes`` are official closes by contract id of venues that had a session on ``day``; ``last_closes`` the latest
    known by contract and by underlying; ``borrow_fee_bps`` the annual fee of each short share by instrument id.
    ``morning_prices`` are the closes of before the day, per share as counted from its 00:00, of shares that split or
    change their symbol that day. ``unsettled`` are signed shares traded by the day's end that settle later, by
    contract; ``posted_month`` is the first day of the month whose accrued interest is paid at the day's start.
    """

    day: date
    closes: Mapping[str, Decimal]
    last_closes: Mapping[str, Decimal]
    dividends: tuple[Dividend, ...]
    splits: tuple[Split, ...]
    borrow_fee_bps: Mapping[str, Decimal]
    symbol_changes: tuple[SymbolChange, ...] = ()
    morning_prices: Mapping[str, Decimal] = field(default_factory=dict)
    unsettled: Mapping[str, Decimal] = field(default_factory=dict)
    posted_month: date | None = None


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

    ``unpaid`` are accruals whose payment is to come. Raises `InvariantError` when a day has no facts.
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
            made = list(day_start_entries(portfolio, facts[day], contracts, policy, owed))
            owed = list(unpaid_accruals((*owed, *made)))
            portfolio = apply(portfolio, *made) if made else portfolio
        if after < end <= until:
            closing = day_end_entries(portfolio, facts[day], contracts, policy)
            portfolio = apply(portfolio, *closing) if closing else portfolio
            owed = list(unpaid_accruals((*owed, *closing)))
            made.extend(closing)
        entries.extend(made)
        day += timedelta(days=1)
    return tuple(entries)


def day_start_entries(
    portfolio: Portfolio,
    facts: DayFacts,
    contracts: ContractBook,
    policy: CarryPolicy,
    unpaid: Sequence[LedgerEntry],
) -> tuple[LedgerEntry, ...]:
    """00:00 UTC: dividends owed on the ex-date, what is due is paid, then splits, then new symbols."""
    at = datetime.combine(facts.day, DAY_START)
    owed = _dividends_owed(portfolio, facts, contracts, policy, at)
    due = [accrual for accrual in (*unpaid, *owed) if accrual.value_date == facts.day]
    paid = (
        *(dividend_payment(accrual, at) for accrual in due if accrual.kind is EntryKind.DIVIDEND),
        *(withholding_payment(accrual, at) for accrual in due if accrual.kind is EntryKind.WITHHOLDING),
        *(() if facts.posted_month is None else month_payments(unpaid, facts.posted_month, at)),
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


def _dividends_owed(
    portfolio: Portfolio, facts: DayFacts, contracts: ContractBook, policy: CarryPolicy, at: datetime
) -> tuple[LedgerEntry, ...]:
    """Dividends that go ex, each with the tax that its country keeps back; who is short owes the gross amount."""
    owed: list[LedgerEntry] = []
    for row in sorted(facts.dividends, key=lambda row: row.instrument_id):
        if row.ex_date != facts.day or portfolio.quantity(row.instrument_id) == 0:
            continue
        instrument = contracts.instrument(row.instrument_id)
        accrual = dividend_accrual(portfolio.positions[row.instrument_id], instrument, row, at)
        owed.append(accrual)
        if portfolio.quantity(row.instrument_id) > 0:
            rate = withholding_rate(instrument, row.ex_date, policy.dividends.withholding)
            kept = withholding(accrual, rate, at)
            owed += [] if kept is None else [kept]
    return tuple(owed)


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
    loans = share_loans(settled, facts.unsettled, facts.last_closes, facts.borrow_fee_bps, contracts)
    interest = _interest(settled, loans, facts.day, policy)
    borrow = tuple(borrow_entry(loan, facts.day, policy, at) for loan in loans)
    expiries = tuple(
        _expiry_entry(position, contracts.contract(contract_id), contracts.instrument(contract_id), facts)
        for contract_id, position in settled.positions.items()
        if _expires(contracts.contract(contract_id), facts.day)
    )
    return (*settlements, *interest, *borrow, *expiries)


def _interest(
    portfolio: Portfolio, loans: Sequence[ShareLoan], day: date, policy: CarryPolicy
) -> tuple[LedgerEntry, ...]:
    """Interest on what each currency has beyond the cash that stands against borrowed shares, and on that cash."""
    at, held = datetime.combine(day, DAY_END), dict.fromkeys(portfolio.cash, ZERO)
    for loan in loans:
        amount = collateral(loan.quantity, loan.price, loan.instrument, policy.borrow)
        currency = loan.instrument.currency
        held[currency] = held.get(currency, ZERO) + amount
    found: list[LedgerEntry] = []
    for currency, against_loans in held.items():
        free = portfolio.cash.get(currency, ZERO) - against_loans
        if free != 0:
            found.append(interest_entry(currency, free, day, policy.financing, at))
        if against_loans != 0:
            proceeds = short_proceeds_entry(currency, against_loans, day, policy.financing, at)
            found += [] if proceeds is None else [proceeds]
    return tuple(found)


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
