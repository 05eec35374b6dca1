"""Rows of imported statements on both databases, and executions that a statement takes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from engine.model.orders import ChildStatus
from state.database import Database
from state.ledger import LedgerStore
from state.statements import StatementHeader, StatementRow, StatementStore
from state.verification import verify
from tests.state.builders import ACCOUNT, DAY, NOW, later, make_fill, open_orders
from tests.state.test_orders import claimed

HEADER = StatementHeader(
    file_digest="f1", first=DAY, last=DAY, generated_at=NOW, imported_at=NOW, rows=1, booked=0, left_over=1
)
ROW = StatementRow(
    row_id="cash:7", content_digest="c1", finding="fee", outcome="LEFT", text="a fee of -10 USD"
)


def test_row_that_comes_again_takes_its_newest_outcome(database: Database) -> None:
    store = StatementStore(database)
    store.save(ACCOUNT, HEADER, (ROW,))
    booked = replace(ROW, outcome="BOOKED")
    store.save(ACCOUNT, replace(HEADER, file_digest="f2"), (booked,))
    assert store.rows(ACCOUNT) == (booked,)
    assert store.known_digests(ACCOUNT, ("cash:7", "cash:8")) == {"cash:7": "c1"}
    assert store.rows("another account") == ()


def test_execution_that_is_taken_back_leaves_order_ledger_and_fills_in_agreement(database: Database) -> None:
    orders, ledger = open_orders(database), LedgerStore(database)
    child = claimed(orders, ChildStatus.WORKING)
    fill = make_fill(child, 40)
    orders.record_fill(fill, NOW + timedelta(days=1))
    assert {entry.booked_at for entry in ledger.entries(ACCOUNT)} == {NOW + timedelta(days=1)}
    assert orders.take_back_fill(fill.execution_id, NOW + timedelta(days=2))
    assert not orders.take_back_fill(fill.execution_id, NOW + timedelta(days=2))
    assert (orders.fills(), orders.children("parent")[0].filled) == ((), 0)
    held = ledger.portfolio(ACCOUNT, later(days=9))
    assert (held.cash, held.positions) == ({"USD": Decimal(0)}, {})
    assert verify(database) == ()
