"""Bookings of what known facts explain, and whether a whole comparison is explained so well that nobody need be asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from engine.accounting.break_values import CENT, Booking, Break, Charge
from engine.accounting.corporate_actions import (
    DIVIDEND_ACCOUNT,
    dividend_payment,
    split_entry,
    unpaid_dividends,
)
from engine.accounting.differences import QuantityDifference
from engine.accounting.ledger import CASH, EntryKind, LedgerEntry, expiry, pair, tax_ids
from engine.accounting.reconciliation import ReconciliationReport, ReconciliationStatus
from engine.accounting.sides import Sides
from engine.model.breaks import BreakKind
from engine.model.halts import HaltKind

_PAID = "dividend-paid"


def may_be_booked(report: ReconciliationReport, configured: Collection[BreakKind]) -> bool:
    """Whether every break is explained to the cent, by a cause whose booking the configuration allows.

    An EMERGENCY or an UNKNOWN answer always needs a person.
    """
    return report.status is ReconciliationStatus.HALT and all(
        found.is_explained and found.cause in configured for found in report.breaks
    )


def explained_holding(
    sides: Sides, report: ReconciliationReport, found: QuantityDifference, booked_at: datetime
) -> LedgerEntry | None:
    """The split or the end of a contract that explains a difference of quantity, ``None`` where none does."""
    position = sides.portfolio.positions.get(found.contract_id)
    booking = _booking_of(report, HaltKind.FOREIGN_POSITION, found.contract_id)
    if position is None or booking is None or found.missed:
        return None
    if booking.split is not None:
        return split_entry(position, booking.split, booked_at)
    if booking.kind is EntryKind.EXPIRY and booking.price is not None:
        instrument = sides.contracts.instrument(found.contract_id)
        return expiry(position, instrument, booked_at.date(), booking.price, booked_at)
    return None


def explained_cash(
    report: ReconciliationReport, booked_at: datetime, reference: str, ledger: Sequence[LedgerEntry] = ()
) -> tuple[LedgerEntry, ...]:
    """Entries of the cash whose likeliest cause names a booking; ``ledger`` holds the dividends that are owed."""
    entries: list[LedgerEntry] = []
    for found in report.breaks:
        booking = found.explanations[0].booking
        if found.kind is not HaltKind.CASH_BREAK or booking is None:
            continue
        if booking.charges:
            entries.extend(_charge_entry(booking, charge, booked_at) for charge in booking.charges)
            continue
        entries.append(
            _owed_dividend(booking, booked_at, ledger) or _cash_entry(found, booking, booked_at, reference)
        )
    return tuple(entries)


def _booking_of(report: ReconciliationReport, kind: HaltKind, subject: str) -> Booking | None:
    for found in report.breaks:
        if found.kind is kind and found.subject == subject and found.is_explained:
            return found.explanations[0].booking
    return None


def _owed_dividend(
    booking: Booking, booked_at: datetime, ledger: Sequence[LedgerEntry]
) -> LedgerEntry | None:
    """The payment of a dividend that our ledger counts as owed, so that its pay date does not pay it again."""
    if booking.account != DIVIDEND_ACCOUNT or booking.amount is None:
        return None
    for accrual in unpaid_dividends(ledger):
        owed = next((line for line in accrual.lines if line.account == DIVIDEND_ACCOUNT), None)
        if owed is not None and owed.unit == booking.currency and abs(owed.amount - booking.amount) <= CENT:
            return replace(dividend_payment(accrual, booked_at), value_date=booked_at.date())
    return None


def _cash_entry(found: Break, booking: Booking, booked_at: datetime, reference: str) -> LedgerEntry:
    # A dividend's id says that it is paid: one that is owed would wait for its pay date.
    name = _PAID if booking.kind is EntryKind.DIVIDEND else "explained"
    entry_id = f"{name}:{found.cause.value}:{found.subject}:{reference}"
    return _entry(booking, entry_id, booking.contract_id, reference, booking.amount, booked_at)


def _charge_entry(booking: Booking, charge: Charge, booked_at: datetime) -> LedgerEntry:
    """A tax under the id that a correction of its execution takes back."""
    entry_id = tax_ids(charge.execution_id)[0]
    return _entry(booking, entry_id, charge.contract_id, charge.execution_id, charge.amount, booked_at)


def _entry(
    booking: Booking,
    entry_id: str,
    contract_id: str | None,
    reference: str,
    amount: Decimal | None,
    booked_at: datetime,
) -> LedgerEntry:
    assert booking.account is not None
    assert booking.currency is not None
    assert amount is not None
    return LedgerEntry(
        entry_id=entry_id,
        kind=booking.kind,
        booked_at=booked_at,
        value_date=booked_at.date(),
        contract_id=contract_id,
        reference=reference,
        price=None,
        quantity=None,
        lines=pair(CASH, booking.account, booking.currency, amount),
    )
