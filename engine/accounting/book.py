"""From entries to the portfolio: the fold of the ledger, and the exact split of a fill over its sleeves."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.accounting.ledger import (
    ACCRUAL_PREFIX,
    CASH,
    CLEARING_PREFIX,
    COST_PREFIX,
    INVESTORS,
    POSITION_PREFIX,
    UNITS,
    EntryKind,
    LedgerEntry,
    taken_back,
)
from engine.errors import InvariantError
from engine.model.money import ZERO, round_money
from engine.model.portfolio import Portfolio, Position, Sleeve

_PRICE_STEP = Decimal("0.000000000001")
_MICRO = Decimal("0.000001")


def empty_portfolio(as_of: datetime) -> Portfolio:
    """The fund before its first deposit."""
    return Portfolio(as_of=as_of, cash={}, positions={}, accruals={}, units=ZERO)


def fold(entries: Iterable[LedgerEntry], as_of: datetime) -> Portfolio:
    """Portfolio that the entries booked up to ``as_of`` make, in the order given (the order of booking).

    An entry that was taken back by then counts as never booked, and so does its reversal: cost and average price are
    those of what remains.
    """
    book = _Book.of(empty_portfolio(as_of))
    book.post_all([entry for entry in entries if entry.booked_at <= as_of])
    return book.portfolio(as_of)


def apply(portfolio: Portfolio, *entries: LedgerEntry) -> Portfolio:
    """Portfolio after further entries; the same result as folding all entries at once.

    Only the cost and average price of a security differ from that fold, when an entry takes back a sale that is no
    longer among ``entries``: fold the whole book then.
    """
    book = _Book.of(portfolio)
    book.post_all(entries)
    return book.portfolio(max((portfolio.as_of, *(entry.booked_at for entry in entries))))


@dataclass(slots=True)
class _Holding:
    quantity: Decimal
    cost: Decimal
    average_price: Decimal
    sleeves: dict[Sleeve, Decimal]


_NOTHING, _CASH, _UNITS, _ACCRUAL, _COST, _CLEARING, _HOLDING, _INVESTORS = range(8)
"""What a line moves in a portfolio; plain numbers, since a fold compares them a million times."""


@functools.cache
def _part(account: str) -> tuple[int, Sleeve | None]:
    """What lines of a ledger account move, and whose holding; a book has a few hundred accounts."""
    if account.startswith(POSITION_PREFIX):
        return _HOLDING, Sleeve(account.removeprefix(POSITION_PREFIX))
    if account == CASH:
        return _CASH, None
    if account == UNITS:
        return _UNITS, None
    if account == INVESTORS:
        return _INVESTORS, None
    prefixes = ((ACCRUAL_PREFIX, _ACCRUAL), (COST_PREFIX, _COST), (CLEARING_PREFIX, _CLEARING))
    return next((part for prefix, part in prefixes if account.startswith(prefix)), _NOTHING), None


@dataclass(slots=True)
class _Book:
    """Accumulator of one fold; it never leaves this module."""

    cash: dict[str, Decimal]
    accruals: dict[str, Decimal]
    investors: dict[str, Decimal]
    units: Decimal
    positions: dict[str, Position]
    touched: dict[str, _Holding]

    @classmethod
    def of(cls, portfolio: Portfolio) -> _Book:
        return cls(
            cash=dict(portfolio.cash),
            accruals=dict(portfolio.accruals),
            investors=dict(portfolio.investors),
            units=portfolio.units,
            positions=dict(portfolio.positions),
            touched={},
        )

    def post_all(self, entries: Sequence[LedgerEntry]) -> None:
        """Book entries; money that came and was taken back has passed through, a holding was never there."""
        gone = taken_back(entries)
        for entry in entries:
            self.post(entry, holds=entry.entry_id not in gone)

    def post(self, entry: LedgerEntry, *, holds: bool) -> None:
        """Book one entry; long, because a fold spends its time here and a call costs as much as a line."""
        cash, cost_change, settled_daily = self.cash, ZERO, False
        sleeves: dict[Sleeve, Decimal] | None = None
        for line in entry.lines:
            part, sleeve = _part(line.account)
            if part is _NOTHING:
                continue
            if part is _CASH:
                unit = line.unit
                cash[unit] = cash[unit] + line.amount if unit in cash else line.amount
            elif part is _COST:
                cost_change += line.amount
            elif sleeve is not None:
                if sleeves is None:
                    sleeves = {}
                sleeves[sleeve] = sleeves.get(sleeve, ZERO) + line.amount
            elif part is _CLEARING:
                settled_daily = True
            elif part is _UNITS:
                self.units += line.amount
            else:
                owed = self.accruals if part is _ACCRUAL else self.investors
                owed[line.unit] = owed.get(line.unit, ZERO) + line.amount
        if holds and entry.contract_id is not None and (sleeves is not None or cost_change != 0):
            self._hold(entry, entry.contract_id, cost_change, sleeves or {}, settled_daily)

    def _hold(
        self,
        entry: LedgerEntry,
        contract_id: str,
        cost_change: Decimal,
        sleeves: Mapping[Sleeve, Decimal],
        settled_daily: bool,
    ) -> None:
        held = self._holding(contract_id)
        before = held.quantity
        for sleeve, change in sleeves.items():
            held.sleeves[sleeve] = held.sleeves.get(sleeve, ZERO) + change
            held.quantity += change
        if settled_daily or held.quantity == before:
            held.cost += cost_change
        else:
            held.cost = _security_cost(before, held, cost_change, entry)
        held.average_price = _average_price(before, held, entry)
        if held.quantity == 0 and before != 0 and not settled_daily:
            held.cost = ZERO

    def _holding(self, contract_id: str) -> _Holding:
        held = self.touched.get(contract_id)
        if held is None:
            known = self.positions.get(contract_id)
            held = (
                _Holding(ZERO, ZERO, ZERO, {})
                if known is None
                else _Holding(known.quantity, known.cost, known.average_price, dict(known.sleeves))
            )
            self.touched[contract_id] = held
        return held

    def portfolio(self, as_of: datetime) -> Portfolio:
        positions = dict(self.positions)
        for contract_id, held in self.touched.items():
            positions.pop(contract_id, None)
            sleeves = {sleeve: quantity for sleeve, quantity in held.sleeves.items() if quantity != 0}
            if held.cost != 0 or sleeves:
                positions[contract_id] = Position(
                    contract_id=contract_id,
                    quantity=held.quantity,
                    cost=held.cost,
                    average_price=held.average_price,
                    sleeves=dict(sorted(sleeves.items(), key=lambda item: item[0].value)),
                )
        return Portfolio(
            as_of=as_of,
            cash=dict(sorted(self.cash.items())),
            positions=dict(sorted(positions.items())),
            accruals=dict(sorted(self.accruals.items())),
            units=self.units,
            investors=dict(sorted(self.investors.items())),
        )


def _security_cost(before: Decimal, held: _Holding, change: Decimal, entry: LedgerEntry) -> Decimal:
    """Cost of what is still held: a sale takes out its share, a sale through zero opens at its own price."""
    after = held.quantity
    if entry.kind is EntryKind.SPLIT:
        return held.cost
    if entry.is_reversal or before == 0 or (before > 0) == (after > before):
        return held.cost + change
    if after == 0 or (after > 0) == (before > 0):
        return round_money(held.cost * after / before)
    return round_money(change * after / (after - before))


def _average_price(before: Decimal, held: _Holding, entry: LedgerEntry) -> Decimal:
    """Trade cost per unit in quote units; unchanged by sales, settlements and moves between sleeves."""
    after, price = held.quantity, entry.price
    if after == 0:
        return ZERO
    if after == before or price is None:
        return held.average_price
    if entry.kind is EntryKind.SPLIT:
        return (held.average_price * before / after).quantize(_PRICE_STEP)
    grows = before == 0 or (before > 0) == (after > before)
    if entry.is_reversal or grows:
        return ((held.average_price * before + price * (after - before)) / after).quantize(_PRICE_STEP)
    return held.average_price if (after > 0) == (before > 0) else price


def allocate(
    quantity: Decimal, sleeves: Mapping[str, Decimal], cumulative_before: Decimal, total: Decimal
) -> Mapping[str, Decimal]:
    """Exact split of one fill over the sleeves of its order.

    Parameters
    ----------
    quantity : Decimal
        Signed quantity of this fill.
    sleeves : mapping
        Signed quantity that each sleeve asked for; they sum to ``total`` and may have opposite signs.
    cumulative_before : Decimal
        Signed quantity of the order filled before.
    total : Decimal
        Signed quantity of the order.

    The split after this fill less the split before it, each by largest remainder (ties by sleeve name), so that
    fills in any pieces end at the same split; whole quantities stay whole. Raises `InvariantError` on sleeves that
    do not sum to the total, or a zero total.
    """
    if total == 0 or sum(sleeves.values(), ZERO) != total:
        raise InvariantError(f"expected sleeves that sum to an order of {total}, found {dict(sleeves)}")
    figures = (quantity, cumulative_before, total, *sleeves.values())
    step = Decimal(1) if all(figure == figure.to_integral_value() for figure in figures) else _MICRO
    before = largest_remainder(cumulative_before, sleeves, total, step)
    after = largest_remainder(cumulative_before + quantity, sleeves, total, step)
    return {sleeve: after[sleeve] - before[sleeve] for sleeve in sorted(sleeves)}


def largest_remainder(
    filled: Decimal, sleeves: Mapping[str, Decimal], total: Decimal, step: Decimal
) -> Mapping[str, Decimal]:
    """``filled`` of ``total`` over the sleeves in whole ``step``s: they sum to it, ties go by sleeve name."""
    exact = {sleeve: filled * wanted / total / step for sleeve, wanted in sleeves.items()}
    floors = {sleeve: value // 1 - (value % 1 < 0) for sleeve, value in exact.items()}
    missing = int(filled / step - sum(floors.values(), ZERO))
    ranked = sorted(exact, key=lambda sleeve: (floors[sleeve] - exact[sleeve], sleeve))
    return {
        sleeve: (floors[sleeve] + (1 if sleeve in ranked[:missing] else 0)) * step for sleeve in sorted(exact)
    }
