"""A share held over its whole record through the ledger: dividends, splits, cash in lieu, and its value every day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from engine.accounting.book import apply, fold
from engine.accounting.ledger import EntryKind, LedgerEntry, trade
from engine.accounting.restated import in_order, restated_close
from engine.carry.calendar import DayFacts, day_start_entries
from engine.model.market import Dividend, Split
from engine.model.orders import Fill, Side
from engine.model.portfolio import Portfolio
from engine.model.universe import ContractBook, Universe
from tests.engine.accounting.builders import make_instrument
from tests.engine.accounting.policies import CARRY
from tests.real_data import readers
from tests.real_data.corporate_actions import Actions, corporate_actions
from tests.real_data.problems import days_of

SLEEVE = "single_name"
RESTATED = Decimal("0.00000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRecord:
    """Unadjusted closes of a share, its actions by ex-date, and the source's factor on each row."""

    symbol: str
    days: tuple[date, ...]
    closes: tuple[Decimal, ...]
    splits: Mapping[date, Split]
    dividends: Mapping[date, Dividend]
    factors: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldDay:
    """The evening of one day: what is held, its value at the close, cash and money owed, and what the day booked.

    ``morning_price`` is the close of the evening before, per share as counted from 00:00.
    """

    day: date
    quantity: Decimal
    morning_price: Decimal
    value: Decimal
    cash: Decimal
    owed: Decimal
    entries: tuple[LedgerEntry, ...]

    @property
    def net(self) -> Decimal:
        """Value, cash and money owed."""
        return self.value + self.cash + self.owed

    @property
    def morning_net(self) -> Decimal:
        """What the line was worth at 06:00, with all that the day had booked."""
        return self.quantity * self.morning_price + self.cash + self.owed

    @property
    def in_lieu(self) -> tuple[LedgerEntry, ...]:
        """Fractions paid in cash."""
        return tuple(entry for entry in self.entries if entry.kind is EntryKind.CASH_IN_LIEU)


def share_record(folder: Path, symbol: str) -> ShareRecord:
    """Record of a symbol of the unadjusted file."""
    prices = pd.read_parquet(folder / readers.RAW)
    rows = prices[prices["symbol"] == symbol]
    factors = pd.read_csv(folder / readers.ACTIONS, parse_dates=["date"])
    factors = factors[factors["symbol"] == symbol]
    days = days_of(rows)
    actions = corporate_actions(symbol, factors, days)
    # Each factor holds up to and on its own date.
    until = np.searchsorted(days_of(factors), days)
    product = (factors["price_factor"] * factors["split_factor"]).to_numpy()[until]
    return ShareRecord(
        symbol=symbol,
        days=tuple(days.tolist()),
        closes=tuple(Decimal(f"{close:.6f}").normalize() for close in rows["close"].tolist()),
        splits=_splits(symbol, actions),
        dividends=_dividends(symbol, actions),
        factors=product,
    )


def _splits(symbol: str, actions: Actions) -> dict[date, Split]:
    table = actions.splits
    rows = zip(*(table[name].tolist() for name in ("ex_date", "new_shares", "old_shares")), strict=True)
    return {
        day: Split(instrument_id=symbol, ex_date=day, new_shares=new, old_shares=old)
        for day, new, old in rows
    }


def _dividends(symbol: str, actions: Actions) -> dict[date, Dividend]:
    table = actions.dividends
    ex_dates: list[date] = np.asarray(table["ex_date"]).tolist()
    amounts: list[Decimal] = pd.Series(table["amount"]).tolist()
    return {
        day: Dividend(instrument_id=symbol, ex_date=day, pay_date=day, amount=Decimal(amount))
        for day, amount in zip(ex_dates, amounts, strict=True)
    }


def hold(record: ShareRecord, quantity: Decimal) -> list[HeldDay]:
    """Buy (or sell short) on the first close and do nothing more: every day's corporate actions are booked."""
    instrument = make_instrument(record.symbol)
    contracts = ContractBook(universe=Universe(instruments=(instrument,)), contracts={})
    bought = datetime.combine(record.days[0], time(21), UTC)
    fill = Fill(
        execution_id="first.01",
        order_ref=None,
        contract_id=record.symbol,
        side=Side.of(quantity),
        quantity=abs(quantity),
        price=record.closes[0],
        executed_at=bought,
        commission=None,
        commission_currency=None,
    )
    book = fold([trade(fill, instrument, {SLEEVE: quantity}, bought)], bought)
    evenings = [_evening(book, record, 0, record.closes[0], ())]
    for row in range(1, len(record.days)):
        entries = _morning(record, row, book, contracts)
        book = apply(book, *entries) if entries else book
        day, before = record.days[row], record.days[row - 1]
        actions = in_order(known[day] for known in (record.dividends, record.splits) if day in known)
        price = restated_close(record.closes[row - 1], instrument, before, day, actions)
        evenings.append(_evening(book, record, row, price, entries))
    return evenings


def _morning(
    record: ShareRecord, row: int, book: Portfolio, contracts: ContractBook
) -> tuple[LedgerEntry, ...]:
    day, split, dividend = (
        record.days[row],
        record.splits.get(record.days[row]),
        record.dividends.get(record.days[row]),
    )
    if split is None and dividend is None:
        return ()
    facts = DayFacts(day=day, closes={}, last_closes={}, dividends=(), splits=(), borrow_fee_bps={})
    if dividend is not None:
        facts = replace(facts, dividends=(dividend,))
    if split is not None:
        before = (record.closes[row - 1] * split.old_shares / split.new_shares).quantize(RESTATED)
        facts = replace(facts, splits=(split,), morning_prices={record.symbol: before})
    return day_start_entries(book, facts, contracts, CARRY, ())


def _evening(
    book: Portfolio, record: ShareRecord, row: int, morning: Decimal, entries: tuple[LedgerEntry, ...]
) -> HeldDay:
    quantity = book.quantity(record.symbol)
    return HeldDay(
        day=record.days[row],
        quantity=quantity,
        morning_price=morning,
        value=quantity * record.closes[row],
        cash=book.cash.get("USD", Decimal(0)),
        owed=book.accruals.get("USD", Decimal(0)),
        entries=entries,
    )
