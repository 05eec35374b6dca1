"""From entries to the portfolio: the fold of the ledger, and the exact split of a fill over its sleeves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.accounting.ledger import (
    ACCRUAL_PREFIX,
    CASH,
    CLEARING_PREFIX,
    COST_PREFIX,
    POSITION_PREFIX,
    UNITS,
    EntryKind,
    LedgerEntry,
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
    """Portfolio that the entries booked up to ``as_of`` make, in the order given (the order of booking)."""
    book = _Book.of(empty_portfolio(as_of))
    for entry in entries:
        if entry.booked_at <= as_of:
            book.post(entry)
    return book.portfolio(as_of)


def apply(portfolio: Portfolio, *entries: LedgerEntry) -> Portfolio:
    """Portfolio after further entries; the same result as folding all entries at once."""
    book = _Book.of(portfolio)
    for entry in entries:
        book.post(entry)
    return book.portfolio(max((portfolio.as_of, *(entry.booked_at for entry in entries))))


@dataclass(slots=True)
class _Holding:
    quantity: Decimal
    cost: Decimal
    average_price: Decimal
    sleeves: dict[Sleeve, Decimal]


@dataclass(slots=True)
class _Book:
    """Accumulator of one fold; it never leaves this module."""

    cash: dict[str, Decimal]
    accruals: dict[str, Decimal]
    units: Decimal
    positions: dict[str, Position]
    touched: dict[str, _Holding]

    @classmethod
    def of(cls, portfolio: Portfolio) -> _Book:
        return cls(
            cash=dict(portfolio.cash),
            accruals=dict(portfolio.accruals),
            units=portfolio.units,
            positions=dict(portfolio.positions),
            touched={},
        )

    def post(self, entry: LedgerEntry) -> None:
        cost_change, sleeve_changes = ZERO, dict[Sleeve, Decimal]()
        for line in entry.lines:
            if line.account == CASH:
                self.cash[line.unit] = self.cash.get(line.unit, ZERO) + line.amount
            elif line.account == UNITS:
                self.units += line.amount
            elif line.account.startswith(ACCRUAL_PREFIX):
                self.accruals[line.unit] = self.accruals.get(line.unit, ZERO) + line.amount
            elif line.account.startswith(COST_PREFIX):
                cost_change += line.amount
            elif line.account.startswith(POSITION_PREFIX):
                sleeve = Sleeve(line.account.removeprefix(POSITION_PREFIX))
                sleeve_changes[sleeve] = sleeve_changes.get(sleeve, ZERO) + line.amount
        if entry.contract_id is not None and (cost_change != 0 or sleeve_changes):
            self._hold(entry, entry.contract_id, cost_change, sleeve_changes)

    def _hold(
        self, entry: LedgerEntry, contract_id: str, cost_change: Decimal, sleeves: Mapping[Sleeve, Decimal]
    ) -> None:
        held = self._holding(contract_id)
        before = held.quantity
        for sleeve, change in sleeves.items():
            held.sleeves[sleeve] = held.sleeves.get(sleeve, ZERO) + change
        held.quantity = sum(held.sleeves.values(), ZERO)
        settled_daily = any(line.account.startswith(CLEARING_PREFIX) for line in entry.lines)
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
