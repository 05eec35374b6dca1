"""Dividends and splits of held shares: what is owed on the ex-date, paid later, and how quantities change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from engine.accounting.ledger import (
    ACCRUAL_PREFIX,
    CASH,
    EntryKind,
    LedgerEntry,
    pair,
    quantity_lines,
)
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import Dividend, Split
from engine.model.money import ZERO, round_money
from engine.model.portfolio import Portfolio, Position, Sleeve

DIVIDEND_ACCOUNT = f"{ACCRUAL_PREFIX}dividend"
_PAID_PREFIX = "dividend-paid:"
_SHARE_KINDS = (InstrumentType.STK, InstrumentType.ETF)
_SNAP_LIMIT = Decimal("0.0001")
_SNAP_LARGEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DividendWarning:
    """A held share goes ex soon; ``cash`` is received (positive) or owed, in the instrument's currency."""

    instrument_id: str
    ex_date: date
    days: int
    cash: Decimal


def is_share(instrument: Instrument) -> bool:
    """Whether dividends, splits and borrow fees apply to the line."""
    return instrument.kind in _SHARE_KINDS


def dividend_accrual(
    position: Position, instrument: Instrument, dividend: Dividend, booked_at: datetime
) -> LedgerEntry:
    """Ex-date: holders are owed the dividend, shorts owe it. ``value_date`` is the pay date."""
    amount = round_money(position.quantity * dividend.amount)
    return LedgerEntry(
        entry_id=f"dividend:{position.contract_id}:{dividend.ex_date.isoformat()}",
        kind=EntryKind.DIVIDEND,
        booked_at=booked_at,
        value_date=dividend.pay_date,
        contract_id=position.contract_id,
        reference=f"ex {dividend.ex_date.isoformat()}",
        price=None,
        quantity=None,
        lines=pair(DIVIDEND_ACCOUNT, "income:dividend", instrument.currency, amount),
    )


def dividend_payment(accrual: LedgerEntry, booked_at: datetime) -> LedgerEntry:
    """Pay date: what was owed becomes cash."""
    owed = next(line for line in accrual.lines if line.account == DIVIDEND_ACCOUNT)
    return LedgerEntry(
        entry_id=accrual.entry_id.replace("dividend:", _PAID_PREFIX, 1),
        kind=EntryKind.DIVIDEND,
        booked_at=booked_at,
        value_date=accrual.value_date,
        contract_id=accrual.contract_id,
        reference=accrual.entry_id,
        price=None,
        quantity=None,
        lines=pair(CASH, DIVIDEND_ACCOUNT, owed.unit, owed.amount),
    )


def unpaid_dividends(entries: Iterable[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """Accruals of the ledger whose payment is not booked yet."""
    dividends = [entry for entry in entries if entry.kind is EntryKind.DIVIDEND]
    paid = {entry.reference for entry in dividends if entry.entry_id.startswith(_PAID_PREFIX)}
    return tuple(
        entry
        for entry in dividends
        if entry.entry_id not in paid and not entry.entry_id.startswith(_PAID_PREFIX)
    )


def split_entry(position: Position, split: Split, booked_at: datetime) -> LedgerEntry:
    """Ex-date of a split: each sleeve's quantity is scaled, to six decimals; cost stays."""
    changes: dict[Sleeve, Decimal] = {
        sleeve: round_money(quantity * split.new_shares / split.old_shares) - quantity
        for sleeve, quantity in position.sleeves.items()
    }
    return LedgerEntry(
        entry_id=f"split:{position.contract_id}:{split.ex_date.isoformat()}",
        kind=EntryKind.SPLIT,
        booked_at=booked_at,
        value_date=split.ex_date,
        contract_id=position.contract_id,
        reference=f"{split.new_shares} for {split.old_shares}",
        price=ZERO,
        quantity=sum(changes.values(), ZERO),
        lines=quantity_lines(
            position.contract_id, {sleeve.value: change for sleeve, change in changes.items()}
        ),
    )


def snapped_split_ratio(ratio: Decimal) -> tuple[int, int] | None:
    """New and old shares of a recorded ratio (6.999997 is 7 for 1), or ``None`` when it is no split (R-120).

    Both numbers are at most 100 and the ratio lies within 1e-4 of theirs.
    """
    found = Fraction(ratio).limit_denominator(_SNAP_LARGEST)
    near = Decimal(found.numerator) / Decimal(found.denominator)
    if ratio <= 0 or found.numerator > _SNAP_LARGEST or abs(near / ratio - 1) > _SNAP_LIMIT:
        return None
    return None if found == 1 else (found.numerator, found.denominator)


def dividend_warnings(
    portfolio: Portfolio, dividends: Sequence[Dividend], trade_date: date, warn_days: int
) -> tuple[DividendWarning, ...]:
    """Held shares that go ex within the given calendar days."""
    return tuple(
        DividendWarning(
            instrument_id=dividend.instrument_id,
            ex_date=dividend.ex_date,
            days=(dividend.ex_date - trade_date).days,
            cash=round_money(portfolio.quantity(dividend.instrument_id) * dividend.amount),
        )
        for dividend in sorted(dividends, key=lambda row: (row.ex_date, row.instrument_id))
        if 0 <= (dividend.ex_date - trade_date).days <= warn_days
        and portfolio.quantity(dividend.instrument_id) != 0
    )
