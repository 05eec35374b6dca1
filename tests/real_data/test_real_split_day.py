"""AIG's reverse split of 2009-07-01, one for twenty, in a fund that built its holding on the days before."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.composition.stages import ValuedFund
from engine.composition.trading import TradeListDecision
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from flows.planning import trading_days
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.factories import BookAtClose, book_at_close, run_day, step_outputs
from tests.real_data.store_fixture import real_store

__all__ = ["real_store"]
pytestmark = pytest.mark.shared

FIRST, BEFORE, EX_DATE, LAST = date(2009, 6, 29), date(2009, 6, 30), date(2009, 7, 1), date(2009, 7, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRun:
    """Four days: what became of each run, both books at each close, the ledger, and the decision of the ex-date."""

    statuses: frozenset[RunStatus]
    closes: dict[date, BookAtClose]
    entries: tuple[LedgerEntry, ...]
    fund: ValuedFund
    trades: TradeListDecision


@cache
def split_run(store: Path) -> SplitRun:
    home = Path(tempfile.mkdtemp(prefix="fund-split-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    world = World(WorldOptions(profile="history", store=store, first=FIRST, last=LAST, home=home))
    statuses: set[RunStatus] = set()
    closes = {}
    for day in trading_days(FIRST, LAST):
        statuses |= {outcome.status for outcome in run_day(world, day).values()}
        closes[day] = book_at_close(world)
    steps = step_outputs(world, EX_DATE, RunKind.DECISION)
    found = SplitRun(
        statuses=frozenset(statuses),
        closes=closes,
        entries=tuple(entry for entry in world.ledger.entries(world.account) if entry.contract_id == "AIG"),
        fund=decode(ValuedFund, steps["nav"]),
        trades=decode(TradeListDecision, steps["trades"]),
    )
    world.close()
    return found


@pytest.fixture
def days(real_store: Path) -> SplitRun:
    return split_run(real_store)


def test_holding_is_a_twentieth_in_whole_shares_in_both_books(days: SplitRun) -> None:
    assert days.statuses == {RunStatus.COMPLETED}
    before = days.closes[BEFORE].ours["positions"]["AIG"]
    after = days.closes[EX_DATE].ours["positions"]["AIG"]
    assert before > 20
    assert after == before // 20
    assert all(books.ours == books.broker for books in days.closes.values())


def test_fraction_is_paid_at_the_last_close_restated(days: SplitRun) -> None:
    (lieu,) = (entry for entry in days.entries if entry.kind is EntryKind.CASH_IN_LIEU)
    before = days.closes[BEFORE].ours["positions"]["AIG"]
    assert lieu.quantity == -(before % 20) / 20
    assert lieu.price == Decimal("22.6")  # 20 × 1.13, the close of 30 June
    paid = sum(line.amount for line in lieu.lines if line.account == "cash")
    assert paid == (before % 20) / 20 * Decimal("22.6")


def test_split_makes_no_order_no_jump_and_no_residual(days: SplitRun) -> None:
    assert [row for row in days.trades.trades if row.contract_id == "AIG"] == []
    assert "AIG" not in days.fund.frozen
    assert days.fund.bridge is not None
    assert abs(days.fund.bridge.residual) < Decimal("0.0001")
