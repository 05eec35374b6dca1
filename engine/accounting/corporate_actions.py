"""Corporate actions of held shares: dividends owed and paid, splits with cash for their fractions, new symbols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal
from fractions import Fraction

from engine.accounting.ledger import (
    ACCRUAL_PREFIX,
    CASH,
    COST_PREFIX,
    EntryKind,
    LedgerEntry,
    acquisition_lines,
    pair,
    quantity_lines,
    taken_back,
)
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import Dividend, Split, SymbolChange
from engine.model.money import ZERO, round_money
from engine.model.portfolio import Position, Sleeve

DIVIDEND_ACCOUNT = f"{ACCRUAL_PREFIX}dividend"
_PAID_PREFIX = "dividend-paid:"
_SHARE_KINDS = (InstrumentType.STK, InstrumentType.ETF)
_IN_LIEU_IDS = {EntryKind.CASH_IN_LIEU: "cash-in-lieu", EntryKind.TRANSFER: "split-sleeves"}
_SNAP_LIMIT = Decimal("0.0001")
_SNAP_LARGEST = 100


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
    return paid(accrual, accrual.entry_id.replace("dividend:", _PAID_PREFIX, 1), booked_at)


def paid(accrual: LedgerEntry, entry_id: str, booked_at: datetime) -> LedgerEntry:
    """What an accrual put on the dividend account moves between that account and cash."""
    owed = next(line for line in accrual.lines if line.account == DIVIDEND_ACCOUNT)
    return replace(
        accrual,
        entry_id=entry_id,
        booked_at=booked_at,
        reference=accrual.entry_id,
        lines=pair(CASH, DIVIDEND_ACCOUNT, owed.unit, owed.amount),
    )


def unpaid_dividends(entries: Iterable[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """Accruals of the ledger that were not taken back and whose payment is not booked yet."""
    dividends = [entry for entry in entries if entry.kind is EntryKind.DIVIDEND]
    settled = {entry.reference for entry in dividends if entry.entry_id.startswith(_PAID_PREFIX)}
    gone = taken_back(dividends)
    return tuple(
        entry
        for entry in dividends
        if entry.entry_id not in settled | gone and not entry.entry_id.startswith(_PAID_PREFIX)
    )


def split_entry(position: Position, split: Split, booked_at: datetime) -> LedgerEntry:
    """Ex-date of a split: the holding is scaled, to six decimals in sum and in every sleeve; cost stays.

    What one sleeve holds and another owes is scaled in both, also where they leave nothing of the line.
    """
    changes: dict[Sleeve, Decimal] = {}
    reached = given = ZERO
    for sleeve, quantity in position.sleeves.items():
        # Rounded as a running sum: three times a third of a share is one share, as the register has it.
        reached += quantity
        upto = round_money(reached * split.new_shares / split.old_shares)
        changes[sleeve] = upto - given - quantity
        given = upto
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


def fraction_after_split(position: Position) -> Decimal:
    """Signed part of a share that a split left beyond whole shares: no register keeps it (0 when there is none)."""
    return position.quantity - position.quantity.to_integral_value(rounding=ROUND_DOWN)


def has_whole_shares(position: Position) -> bool:
    """Whether a holding is whole in every sleeve, and so in sum."""
    return all(quantity == quantity.to_integral_value() for quantity in position.sleeves.values())


def cash_in_lieu_entry(
    position: Position, instrument: Instrument, split: Split, price: Decimal, booked_at: datetime
) -> LedgerEntry | None:
    """Cash for the fraction that a split left: a holder is paid for it, a short pays.

    ``position`` is the one after the split, ``price`` that of one new share in quote units. What stays is whole in
    sum and in every sleeve (by largest remainder), and what a sleeve gives or takes for that counts at the same price:
    a transfer among the sleeves where they leave no fraction together. ``None`` when every sleeve is whole already.
    """
    if has_whole_shares(position):
        return None
    fraction = fraction_after_split(position)
    sleeves = {sleeve.value: quantity for sleeve, quantity in position.sleeves.items()}
    whole = _whole_shares(position.quantity - fraction, sleeves)
    kind = EntryKind.TRANSFER if fraction == 0 else EntryKind.CASH_IN_LIEU
    return LedgerEntry(
        entry_id=f"{_IN_LIEU_IDS[kind]}:{position.contract_id}:{split.ex_date.isoformat()}",
        kind=kind,
        booked_at=booked_at,
        value_date=split.ex_date,
        contract_id=position.contract_id,
        reference=f"{split.new_shares} for {split.old_shares}",
        price=price,
        quantity=-fraction,
        lines=acquisition_lines(
            position.contract_id,
            instrument,
            {sleeve: whole[sleeve] - quantity for sleeve, quantity in sleeves.items()},
            price,
        ),
    )


def _whole_shares(kept: Decimal, sleeves: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """Whole shares of each sleeve, less than one from what it had, that sum to ``kept``; ties go by sleeve name."""
    floors = {name: quantity.to_integral_value(rounding=ROUND_FLOOR) for name, quantity in sleeves.items()}
    missing = int(kept - sum(floors.values(), ZERO))
    ranked = sorted(sleeves, key=lambda name: (floors[name] - sleeves[name], name))
    return {name: floors[name] + (1 if name in ranked[:missing] else 0) for name in sleeves}


def symbol_change_entries(
    position: Position, instrument: Instrument, change: SymbolChange, price: Decimal, booked_at: datetime
) -> tuple[LedgerEntry, LedgerEntry]:
    """A share goes on under another id: the old line ends, the new one begins with its quantities and its cost.

    ``price`` is the last close in quote units: both lines count at it, so that nothing is earned or lost. The cost
    waits between the two in an account of its own, which is empty again after the second.
    """
    between = f"renamed:{change.instrument_id}"
    held = {sleeve.value: quantity for sleeve, quantity in position.sleeves.items()}
    ended = {sleeve: -quantity for sleeve, quantity in held.items()}

    def entry(contract_id: str, sleeves: dict[str, Decimal], cost: Decimal) -> LedgerEntry:
        return LedgerEntry(
            entry_id=f"symbol:{contract_id}:{change.effective.isoformat()}",
            kind=EntryKind.SYMBOL_CHANGE,
            booked_at=booked_at,
            value_date=change.effective,
            contract_id=contract_id,
            reference=f"{change.instrument_id} is now {change.new_instrument_id}",
            price=price,
            quantity=sum(sleeves.values(), ZERO),
            lines=(
                *quantity_lines(contract_id, sleeves),
                *pair(COST_PREFIX + contract_id, between, instrument.currency, cost),
            ),
        )

    return (
        entry(change.instrument_id, ended, -position.cost),
        entry(change.new_instrument_id, held, position.cost),
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
