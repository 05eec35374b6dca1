"""Make our book equal the broker's: the entries behind the answer ``adopt-broker``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from engine.accounting.book import allocate, apply
from engine.accounting.cash_apart import accruals_apart
from engine.accounting.charges import transaction_tax
from engine.accounting.differences import MissedExecution, QuantityDifference, cash_differences
from engine.accounting.explained import explained_cash, explained_holding
from engine.accounting.ledger import (
    ACCRUAL_PREFIX,
    ADOPTED,
    CASH,
    POSITION_PREFIX,
    REVERSAL_PREFIX,
    EntryKind,
    LedgerEntry,
    acquisition_lines,
    book_execution,
    entry_ids,
    pair,
)
from engine.accounting.reconciliation import ReconciliationReport
from engine.accounting.sides import Sides
from engine.errors import MissingMark
from engine.model.money import ZERO
from engine.model.orders import OrderIntent
from engine.model.policy import TransactionTax
from engine.model.portfolio import Sleeve
from engine.model.spreads import leg_parent

OWED = f"{ACCRUAL_PREFIX}adopted"


def adoption(
    sides: Sides,
    report: ReconciliationReport,
    booked_at: datetime,
    reference: str,
    splits: Mapping[str, Mapping[str, Decimal]] | None = None,
    ledger: Sequence[LedgerEntry] = (),
    taxes: Sequence[TransactionTax] = (),
) -> tuple[LedgerEntry, ...]:
    """Entries that close every difference of quantity and cash: what a person answers for.

    Parameters
    ----------
    reference : str
        Why: the halt and its resolution; part of the entries' ids.
    splits : mapping, optional
        Sleeve quantities of a missed execution by execution id; without one it goes to ``unassigned``.
    ledger : sequence of LedgerEntry
        Booked entries, in which those that a correction supersedes are found.
    taxes : sequence of TransactionTax, optional
        What missed executions in shares were taxed.

    First what has a cause (`caused_entries`), then what still differs in cash or in money owed, to the micro-unit.
    """
    entries = list(caused_entries(sides, report, booked_at, reference, splits, ledger, taxes))
    after = replace(sides, portfolio=apply(sides.portfolio, *entries) if entries else sides.portfolio)
    for currency, amount in accruals_apart(after).items():
        entries.append(_adopted_entry(f"owed:{currency}", OWED, currency, -amount, booked_at, reference))
    for left in cash_differences(after, ()):
        if left.unexplained != 0:
            entries.append(
                _adopted_entry(
                    f"cash:{left.currency}", CASH, left.currency, -left.unexplained, booked_at, reference
                )
            )
    return tuple(entries)


def caused_entries(
    sides: Sides,
    report: ReconciliationReport,
    booked_at: datetime,
    reference: str,
    splits: Mapping[str, Mapping[str, Decimal]] | None = None,
    ledger: Sequence[LedgerEntry] = (),
    taxes: Sequence[TransactionTax] = (),
) -> tuple[LedgerEntry, ...]:
    """Entries of what has a cause, and nothing of what has none; parameters as `adoption`.

    Missed executions are booked as the trades they are, what known facts explain as what it is: a split, the end of
    a contract, a dividend, a commission, a tax. Foreign quantities come at their price, to ``unassigned``. Raises
    `UnknownContract` for a contract that the universe does not list and `MissingMark` when a foreign quantity has no
    price.
    """
    entries: list[LedgerEntry] = []
    for found in report.quantities:
        for row in found.missed:
            entries.extend(_missed_entries(sides, row, booked_at, splits or {}, ledger))
            instrument = sides.contracts.instrument(row.fill.contract_id)
            tax = transaction_tax(row.fill, instrument, taxes, booked_at)
            if tax is not None:
                entries.append(tax)
        if found.foreign != 0:
            entries.append(
                explained_holding(sides, report, found, booked_at)
                or _foreign_entry(sides, found, booked_at, reference)
            )
    return (*entries, *explained_cash(report, booked_at, reference, ledger))


def missed_splits(
    missed: Sequence[MissedExecution], parents: Mapping[str, OrderIntent], ledger: Sequence[LedgerEntry]
) -> Mapping[str, Mapping[str, Decimal]]:
    """Sleeve quantities of missed executions of our own parents, by execution id: as if they had come in time.

    ``parents`` maps every order reference of the parents concerned, not only those of the missed executions. What the
    ledger booked for a parent counts as filled before; an execution of another order has no split.
    """
    given: dict[str, dict[str, Decimal]] = {}
    replaced = {f"trade:{row.replaces.execution_id}" for row in missed if row.replaces is not None}
    for entry in ledger:
        parent = leg_parent(parents, entry.reference, entry.contract_id)
        if parent is None or entry.kind is not EntryKind.TRADE or entry.entry_id in replaced:
            continue
        _add(given.setdefault(parent.intent_id, {}), _sleeves_of(entry))
    splits = {}
    for row in sorted(missed, key=lambda found: (found.fill.executed_at, found.fill.execution_id)):
        parent = leg_parent(parents, row.fill.order_ref, row.fill.contract_id)
        if parent is None:
            continue
        before = given.setdefault(parent.intent_id, {})
        filled = sum(before.values(), ZERO) + row.fill.signed_quantity
        share = allocate(filled, parent.sleeves, ZERO, parent.quantity * parent.side.sign)
        split = {name: share[name] - before.get(name, ZERO) for name in sorted(share)}
        splits[row.fill.execution_id] = split
        _add(before, split)
    return splits


def _sleeves_of(entry: LedgerEntry) -> Mapping[str, Decimal]:
    return {
        line.account.removeprefix(POSITION_PREFIX): line.amount
        for line in entry.lines
        if line.account.startswith(POSITION_PREFIX)
    }


def _add(totals: dict[str, Decimal], more: Mapping[str, Decimal]) -> None:
    for name, quantity in more.items():
        totals[name] = totals.get(name, ZERO) + quantity


def _missed_entries(
    sides: Sides,
    row: MissedExecution,
    booked_at: datetime,
    splits: Mapping[str, Mapping[str, Decimal]],
    ledger: Sequence[LedgerEntry],
) -> tuple[LedgerEntry, ...]:
    fill = row.fill
    sleeves = splits.get(fill.execution_id, {Sleeve.UNASSIGNED.value: fill.signed_quantity})
    superseded: tuple[LedgerEntry, ...] = ()
    if row.replaces is not None:
        ids = entry_ids(row.replaces.execution_id)
        reversed_ids = {entry.entry_id for entry in ledger if entry.is_reversal}
        superseded = tuple(
            entry
            for entry in ledger
            if entry.entry_id in ids and REVERSAL_PREFIX + entry.entry_id not in reversed_ids
        )
    return book_execution(fill, sides.contracts.instrument(fill.contract_id), sleeves, booked_at, superseded)


def _foreign_entry(
    sides: Sides, found: QuantityDifference, booked_at: datetime, reference: str
) -> LedgerEntry:
    if found.foreign_price is None:
        raise MissingMark(f"expected a price to adopt {found.foreign} of {found.contract_id} at, found none")
    instrument = sides.contracts.instrument(found.contract_id)
    sleeves = {Sleeve.UNASSIGNED.value: found.foreign}
    return LedgerEntry(
        entry_id=f"adoption:{found.contract_id}:{reference}",
        kind=EntryKind.ADOPTION,
        booked_at=booked_at,
        value_date=booked_at.date(),
        contract_id=found.contract_id,
        reference=reference,
        price=found.foreign_price,
        quantity=found.foreign,
        lines=acquisition_lines(found.contract_id, instrument, sleeves, found.foreign_price),
    )


def _adopted_entry(
    name: str, account: str, currency: str, amount: Decimal, booked_at: datetime, reference: str
) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"adoption:{name}:{reference}",
        kind=EntryKind.ADOPTION,
        booked_at=booked_at,
        value_date=booked_at.date(),
        contract_id=None,
        reference=reference,
        price=None,
        quantity=None,
        lines=pair(account, ADOPTED, currency, amount),
    )
