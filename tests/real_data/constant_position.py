"""One contract of a recorded future, held for its whole history, settled and rolled through the ledger (R-119).

Every row is settled at its recorded price. A roll closes the old contract and opens the new one at prices of one row:
recorded for both on the last row of the old contract, or on the first of the new one; else the new one opens at the
old one's price plus the last spread recorded between the two, of a stated age. Where no pair was ever recorded the
roll is refused by name: the old contract is closed at its last price, and a new position begins on the next row; what
the adjusted series says of the time between is compared with nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum

import numpy as np
import pandas as pd

from engine.accounting.book import fold
from engine.accounting.ledger import LedgerEntry, trade, variation
from engine.errors import InvariantError
from engine.model.instruments import Instrument
from engine.model.money import round_money
from engine.model.orders import Fill, Side
from engine.model.portfolio import Position, Sleeve
from tasks.adapters.store_rolls import fill_from_spreads
from tests.real_data.problems import days_of

SETTLED = time(22, 30, tzinfo=UTC)
ONE = Decimal(1)
MICRO = Decimal("0.000001")
_DECIMALS = 9


class RollPrices(Enum):
    """Where the two prices of a roll come from."""

    OLD_ROW = "pair of the old contract's last row"
    NEW_ROW = "pair of the new contract's first row"
    LAST_SPREAD = "last recorded spread"
    REFUSED = "refused: no pair was ever recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRoll:
    """One roll: ``age_rows`` of the spread, ``difference`` of our points from those of the adjusted series.

    ``nearest`` is the smallest such difference that a recorded pair would have given: the last before the roll, or
    that of the new contract's first row. A refused roll has no points of ours, so both are 0.
    """

    day: date
    old: int
    new: int
    prices: RollPrices
    age_rows: int
    difference: Decimal
    nearest: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantPosition:
    """What one contract earned: cash of the ledger, points of the adjusted series but for refused rolls, every roll.

    ``inexact`` are the rows between rolls on which the two differ by more than a micro-unit of money, in points.
    """

    name: str
    multiplier: Decimal
    cash: Decimal
    adjusted_points: Decimal
    rolls: tuple[RecordedRoll, ...]
    inexact: Mapping[date, Decimal]
    rows: int

    @property
    def discrepancies(self) -> tuple[RecordedRoll, ...]:
        """Rolls on which the adjusted series moved otherwise than what was traded."""
        return tuple(roll for roll in self.rolls if roll.difference != 0)

    @property
    def difference_points(self) -> Decimal:
        """Points earned beyond those of the adjusted series over the whole history."""
        return self.cash / self.multiplier - self.adjusted_points


@dataclass(slots=True, kw_only=True)
class _Record:
    """Rows of one future: dates, contract held, its price and the adjusted price, and closes of every contract."""

    days: list[date]
    codes: list[int]
    prices: list[Decimal]
    adjusted: list[Decimal]
    recorded: Mapping[int, np.ndarray]
    filled: Mapping[int, np.ndarray]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> _Record:
        days = days_of(rows)
        codes = rows["price_contract"].to_numpy(dtype=np.int64)
        recorded = _closes(rows)
        filled = {code: values.copy() for code, values in recorded.items()}
        ends = {
            int(code): days[row].item()
            for row, code in enumerate(codes.tolist())
            if row + 1 == len(codes) or codes[row + 1] != code
        }
        order = list(dict.fromkeys(codes.tolist()))
        fill_from_spreads(days, filled, order, ends)
        return cls(
            days=days.tolist(),
            codes=codes.tolist(),
            prices=_decimals(rows["price"]),
            adjusted=_decimals(rows["adj_price"]),
            recorded=recorded,
            filled=filled,
        )

    def spread_age(self, old: int, new: int, row: int) -> int:
        """Rows since both contracts had a price."""
        both = np.isfinite(self.recorded[old][:row]) & np.isfinite(self.recorded[new][:row])
        return row - int(np.flatnonzero(both)[-1])

    def pair_moves(self, row: int) -> tuple[Decimal, ...]:
        """Points that a roll into ``row`` earns by the last recorded pair before it, and by the pair of the row."""
        old, new = self.recorded[self.codes[row - 1]], self.recorded[self.codes[row]]
        both = np.isfinite(old) & np.isfinite(new)
        pairs = [*np.flatnonzero(both[:row])[-1:].tolist(), *([row] if both[row] else [])]
        moved = self.prices[row] - self.prices[row - 1]
        return tuple(moved - (_decimal(new[pair]) - _decimal(old[pair])) for pair in pairs)


def _closes(rows: pd.DataFrame) -> dict[int, np.ndarray]:
    """Recorded closes by contract code, NaN where there is none; the priced contract's own column wins."""
    closes: dict[int, np.ndarray] = {}
    for leg, column in (("forward", "forward"), ("carry", "carry"), ("price", "price")):
        codes = rows[f"{leg}_contract"].fillna(0).to_numpy(dtype=np.int64)
        values = rows[column].to_numpy(dtype=np.float64)
        for code in np.unique(codes[np.isfinite(values)]).tolist():
            known = closes.setdefault(code, np.full(len(rows), np.nan))
            here = (codes == code) & np.isfinite(values)
            known[here] = values[here]
    return closes


def _decimals(column: pd.Series) -> list[Decimal]:
    return [_decimal(value) for value in column.tolist()]


def _decimal(value: float) -> Decimal:
    return Decimal(f"{value:.{_DECIMALS}f}").normalize()


@dataclass(slots=True, kw_only=True)
class _Holder:
    """The ledger while it is written: every entry, the one open position, and what the row has brought so far."""

    name: str
    instrument: Instrument
    entries: list[LedgerEntry] = field(default_factory=list)
    position: Position | None = None
    row_cash: Decimal = Decimal(0)

    def trade(self, side: Side, code: int, price: Decimal, day: date) -> None:
        at = datetime.combine(day, SETTLED)
        fill = Fill(
            execution_id=f"{side.value}.{code}.{day.isoformat()}.01",
            order_ref=None,
            contract_id=f"{self.name}_{code}",
            side=side,
            quantity=ONE,
            price=price,
            executed_at=at,
            commission=None,
            commission_currency=None,
        )
        self.entries.append(trade(fill, self.instrument, {Sleeve.CORE.value: fill.signed_quantity}, at))
        self.position = None if side is Side.SELL else self._held(code, price)

    def settle(self, code: int, price: Decimal, day: date) -> None:
        if self.position is None:
            raise InvariantError(f"{self.name} {day}: nothing is held to settle")
        at = datetime.combine(day, SETTLED)
        entry = variation(self.position, self.instrument, day, price, at)
        self.entries.append(entry)
        self.row_cash += entry.lines[0].amount
        self.position = self._held(code, price)

    def _held(self, code: int, price: Decimal) -> Position:
        """One contract whose cost is its value at a price: what the fold makes of the entries so far."""
        return Position(
            contract_id=f"{self.name}_{code}",
            quantity=ONE,
            cost=round_money(self.instrument.notional(ONE, price)),
            average_price=price,
            sleeves={Sleeve.CORE: ONE},
        )


def hold_one_contract(name: str, rows: pd.DataFrame, instrument: Instrument) -> ConstantPosition:
    """Hold one contract from the first row to the last one."""
    record = _Record.of(rows)
    holder = _Holder(name=name, instrument=instrument)
    holder.trade(Side.BUY, record.codes[0], record.prices[0], record.days[0])
    rolls: list[RecordedRoll] = []
    inexact: dict[date, Decimal] = {}
    points = Decimal(0)
    for row in range(1, len(record.days)):
        holder.row_cash = Decimal(0)
        moved = record.adjusted[row] - record.adjusted[row - 1]
        if record.codes[row] == record.codes[row - 1]:
            holder.settle(record.codes[row], record.prices[row], record.days[row])
            prices = None
        else:
            prices = _turn(holder, record, row)
        if prices is RollPrices.REFUSED:
            moved = Decimal(0)
        points += moved
        gap = holder.row_cash - moved * instrument.multiplier
        if prices is not None:
            rolls.append(_roll(record, row, prices, gap / instrument.multiplier, moved))
        elif abs(gap) > MICRO:
            inexact[record.days[row]] = gap / instrument.multiplier
    book = fold(holder.entries, datetime.combine(record.days[-1], SETTLED))
    return ConstantPosition(
        name=name,
        multiplier=instrument.multiplier,
        cash=book.cash[instrument.currency],
        adjusted_points=points,
        rolls=tuple(rolls),
        inexact=inexact,
        rows=len(record.days),
    )


def _turn(holder: _Holder, record: _Record, row: int) -> RollPrices:
    """Close the old contract, open the new one and settle the row."""
    old, new, day, before = record.codes[row - 1], record.codes[row], record.days[row], record.days[row - 1]
    there, here = record.recorded[new][row - 1], record.recorded[old][row]
    if np.isfinite(here) and not np.isfinite(there):
        holder.settle(old, _decimal(here), day)
        holder.trade(Side.SELL, old, _decimal(here), day)
        holder.trade(Side.BUY, new, record.prices[row], day)
        return RollPrices.NEW_ROW
    opening = record.filled[new][row - 1]
    holder.trade(Side.SELL, old, record.prices[row - 1], before)
    if not np.isfinite(opening):
        holder.trade(Side.BUY, new, record.prices[row], day)
        return RollPrices.REFUSED
    holder.trade(Side.BUY, new, _decimal(opening), before)
    holder.settle(new, record.prices[row], day)
    return RollPrices.OLD_ROW if np.isfinite(there) else RollPrices.LAST_SPREAD


def _roll(record: _Record, row: int, prices: RollPrices, difference: Decimal, moved: Decimal) -> RecordedRoll:
    old, new = record.codes[row - 1], record.codes[row]
    others = [points - moved for points in record.pair_moves(row)]
    return RecordedRoll(
        day=record.days[row],
        old=old // 100,
        new=new // 100,
        prices=prices,
        age_rows=record.spread_age(old, new, row - 1) if prices is RollPrices.LAST_SPREAD else 0,
        difference=difference.normalize(),
        nearest=min(others, key=abs, default=Decimal(0)).normalize(),
    )


def listed(held: ConstantPosition) -> Iterator[str]:
    """One line of the list for each roll that differs from the adjusted series or lacks a recorded pair of prices."""
    for roll in held.rolls:
        if roll.difference == 0 and roll.prices in (RollPrices.OLD_ROW, RollPrices.NEW_ROW):
            continue
        difference = "" if roll.prices is RollPrices.REFUSED else f"{roll.difference:f}"
        yield f"{held.name},{roll.day},{roll.old},{roll.new},{roll.prices.value},{roll.age_rows},{difference}"
