"""Statements of one day for tests, built from rows that name only what matters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from engine.accounting.ledger import LedgerEntry
from engine.accounting.statement import (
    CashKind,
    CashReport,
    Statement,
    StatementCash,
    StatementPosition,
    StatementTrade,
    TradeKind,
)
from engine.accounting.statement_findings import BookSide
from engine.model.money import ZERO
from engine.model.orders import Fill, OrderIntent
from tests.engine.accounting.builders import BOOK, DAY, NOW, make_fill

BEGINS = datetime(2025, 12, 1, tzinfo=UTC)
ENDS = BEGINS + timedelta(days=1)
NEXT_MORNING = ENDS + timedelta(hours=6)
CLOSED = ENDS - timedelta(hours=1, minutes=30)
"""The day was settled and valued at 22:30; the statement is read on the next morning at 06:00."""


def statement(
    trades: tuple[StatementTrade, ...] = (),
    cash: tuple[StatementCash, ...] = (),
    positions: tuple[StatementPosition, ...] = (),
    reports: tuple[CashReport, ...] = (),
) -> Statement:
    return Statement(
        account="SIM-test-7",
        first=DAY,
        last=DAY,
        begins=BEGINS,
        ends=ENDS,
        generated_at=NEXT_MORNING,
        trades=trades,
        cash=cash,
        positions=positions,
        reports=reports,
    )


def executed(
    contract_id: str,
    quantity: str,
    price: str,
    execution_id: str = "e1.01",
    order_ref: str | None = "AF1.REF.1",
    commission: str = "1",
    kind: TradeKind = TradeKind.EXECUTION,
) -> StatementTrade:
    """A row of a purchase (positive) or sale at a price in quote units; commission as a cost."""
    instrument = BOOK.instrument(contract_id)
    fill = make_fill(contract_id, quantity, price, execution_id, order_ref, commission)
    change = -fill.signed_quantity if kind is TradeKind.CANCEL else fill.signed_quantity
    return StatementTrade(
        kind=kind,
        transaction_id=f"t-{execution_id}",
        fill=fill,
        quantity=change,
        trade_date=DAY,
        currency=instrument.currency,
        unit_price=fill.price / instrument.price_magnifier,
        multiplier=instrument.multiplier,
        proceeds=ZERO if instrument.is_future else -instrument.notional(change, fill.price),
        commission=-Decimal(commission),
        commission_currency=instrument.currency,
        taxes=ZERO,
        settled_daily=instrument.is_future,
        bought_currency=None,
    )


def cash_row(
    transaction_id: str, kind: CashKind, amount: str, contract_id: str | None = "AAPL", currency: str = "USD"
) -> StatementCash:
    return StatementCash(
        transaction_id=transaction_id,
        kind=kind,
        currency=currency,
        amount=Decimal(amount),
        contract_id=contract_id,
        value_date=DAY,
        text="",
    )


def book(
    *entries: LedgerEntry, parents: dict[str, OrderIntent] | None = None, fills: tuple[Fill, ...] = ()
) -> BookSide:
    """Our side on the next morning."""
    return BookSide(
        entries=entries,
        fills={fill.execution_id: fill for fill in fills},
        parents=parents or {},
        contracts=BOOK,
        closed_until=CLOSED,
        now=NEXT_MORNING,
        cash_at=NEXT_MORNING,
    )


def renamed(row: StatementTrade, contract_id: str) -> StatementTrade:
    """The same row for a contract that none of our instruments is."""
    return replace(row, fill=replace(row.fill, contract_id=contract_id))


__all__ = [
    "BEGINS",
    "CLOSED",
    "DAY",
    "ENDS",
    "NEXT_MORNING",
    "NOW",
    "book",
    "cash_row",
    "executed",
    "renamed",
    "statement",
]
