"""Entries of interest and loan fees: paid in cash every day, or accrued and paid once for the whole month."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.accounting.charges import unpaid_withholding
from engine.accounting.corporate_actions import unpaid_dividends
from engine.accounting.ledger import CASH, INTEREST_ACCRUAL, EntryKind, LedgerEntry, pair, taken_back
from engine.carry.borrow import ShareLoan, daily_borrow_fee
from engine.carry.financing import FinancingService
from engine.model.carry import CarryPolicy, FinancingConfig, InterestPosting
from engine.model.money import ZERO
from engine.sessions import SessionTable

_POSTED = "posted"
_POSTED_SESSION = 3
_MONTHLY_KINDS = (EntryKind.INTEREST, EntryKind.BORROW_FEE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Charge:
    """Interest or a fee of one day, positive when it is received."""

    entry_id: str
    kind: EntryKind
    currency: str
    amount: Decimal
    reference: str
    contract_id: str | None = None


def interest_entry(
    currency: str, balance: Decimal, day: date, config: FinancingConfig, booked_at: datetime
) -> LedgerEntry:
    """Interest of one day on a balance, received or paid."""
    charge = _Charge(
        entry_id=f"interest:{currency}:{day.isoformat()}",
        kind=EntryKind.INTEREST,
        currency=currency,
        amount=FinancingService(config=config).daily_interest(currency, balance),
        reference="debit" if balance < 0 else "credit",
    )
    return _entry(charge, day, config, booked_at)


def short_proceeds_entry(
    currency: str, held: Decimal, day: date, config: FinancingConfig, booked_at: datetime
) -> LedgerEntry | None:
    """Interest of one day on the cash that stands against borrowed shares; ``None`` where it earns nothing."""
    amount = FinancingService(config=config).daily_short_proceeds(currency, held)
    if amount == 0:
        return None
    charge = _Charge(
        entry_id=f"short-interest:{currency}:{day.isoformat()}",
        kind=EntryKind.INTEREST,
        currency=currency,
        amount=amount,
        reference="short proceeds",
    )
    return _entry(charge, day, config, booked_at)


def borrow_entry(loan: ShareLoan, day: date, policy: CarryPolicy, booked_at: datetime) -> LedgerEntry:
    """Fee of one day of a share loan."""
    fee = daily_borrow_fee(loan.quantity, loan.price, loan.instrument, loan.fee_bps, policy.borrow)
    charge = _Charge(
        entry_id=f"borrow:{loan.contract_id}:{day.isoformat()}",
        kind=EntryKind.BORROW_FEE,
        currency=loan.instrument.currency,
        amount=-fee,
        reference=f"{loan.fee_bps:f} bps",
        contract_id=loan.contract_id,
    )
    return _entry(charge, day, policy.financing, booked_at)


def _entry(charge: _Charge, day: date, config: FinancingConfig, booked_at: datetime) -> LedgerEntry:
    source = "income:interest" if charge.kind is EntryKind.INTEREST else "expense:borrow_fee"
    account = CASH if config.posting is InterestPosting.DAILY else INTEREST_ACCRUAL
    return LedgerEntry(
        entry_id=charge.entry_id,
        kind=charge.kind,
        booked_at=booked_at,
        value_date=day,
        contract_id=charge.contract_id,
        reference=charge.reference,
        price=None,
        quantity=None,
        lines=pair(account, source, charge.currency, charge.amount),
    )


def posted_month(day: date, config: FinancingConfig, sessions: SessionTable) -> date | None:
    """First day of the month whose interest is paid on a day; ``None`` on all but the third session of a month."""
    if config.posting is InterestPosting.DAILY:
        return None
    begun = day.replace(day=1) - timedelta(days=1)
    venue = config.posting_venue
    if not sessions.is_session(venue, day) or sessions.sessions_between(venue, begun, day) != _POSTED_SESSION:
        return None
    return begun.replace(day=1)


def month_payments(
    accrued: Iterable[LedgerEntry], month: date, booked_at: datetime
) -> tuple[LedgerEntry, ...]:
    """What a month accrued becomes cash: one entry for the interest and one for the loan fees of each currency."""
    totals: dict[tuple[EntryKind, str], Decimal] = {}
    for entry in accrued:
        if entry.kind in _MONTHLY_KINDS and entry.value_date.replace(day=1) == month:
            for line in entry.lines:
                if line.account == INTEREST_ACCRUAL:
                    key = (entry.kind, line.unit)
                    totals[key] = totals.get(key, ZERO) + line.amount
    return tuple(
        LedgerEntry(
            entry_id=f"{kind.value.lower()}-{_POSTED}:{currency}:{month:%Y-%m}",
            kind=kind,
            booked_at=booked_at,
            value_date=booked_at.date(),
            contract_id=None,
            reference=f"{month:%Y-%m}",
            price=None,
            quantity=None,
            lines=pair(CASH, INTEREST_ACCRUAL, currency, amount),
        )
        for (kind, currency), amount in sorted(totals.items(), key=lambda row: (row[0][0].value, row[0][1]))
        if amount != 0
    )


def unpaid_accruals(entries: Sequence[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """What the ledger counts as owed and has not paid: dividends, tax withheld of them, interest and loan fees."""
    monthly = [entry for entry in entries if entry.kind in _MONTHLY_KINDS]
    accrued = [entry for entry in monthly if any(line.account == INTEREST_ACCRUAL for line in entry.lines)]
    posted = {
        (entry.kind, line.unit, entry.reference)
        for entry in accrued
        for line in entry.lines
        if line.account == CASH
    }
    gone = taken_back(accrued) if accrued else frozenset()
    interest = tuple(
        entry
        for entry in accrued
        if entry.entry_id not in gone
        and not any(line.account == CASH for line in entry.lines)
        and (entry.kind, entry.lines[0].unit, f"{entry.value_date:%Y-%m}") not in posted
    )
    return (*unpaid_dividends(entries), *unpaid_withholding(entries), *interest)
