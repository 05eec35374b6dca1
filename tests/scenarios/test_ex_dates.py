"""The morning of an ex-date counts a dividend once: the money owed has left the price."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.bridge import BridgeComponent
from engine.accounting.reconciliation import ReconciliationReport
from engine.model.context import RunKind
from engine.model.encoding import decode
from engine.model.portfolio import Valuation
from tasks.runtime import World
from tests.factories import DAYS, days_run, new_world, step_outputs, valued

BEFORE, EX_DATE = DAYS[-2], DAYS[-1]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    opened = new_world(days_run().home)
    yield opened
    opened.close()


def worth(valuation: Valuation, name: str) -> Decimal:
    return next(line.value for line in valuation.lines if line.contract_id == name)


@pytest.mark.parametrize(
    ("name", "quantity", "amount"),
    [("LQDE", 5800, "1.2179"), ("MSFT", 157, "0.8437")],  # 7,063.82 and 132.4609 USD
)
def test_price_of_the_morning_is_lower_by_what_is_owed(
    world: World, name: str, quantity: int, amount: str
) -> None:
    evening, morning = valued(world, BEFORE, RunKind.CLOSE), valued(world, EX_DATE, RunKind.DECISION)
    owed = quantity * Decimal(amount)
    assert worth(evening.valuation, name) - worth(morning.valuation, name) == owed
    assert morning.bridge is not None
    found = {item.component: item.amount_usd for item in morning.bridge.items if item.instrument_id == name}
    assert found[BridgeComponent.DIVIDENDS] == owed


def test_broker_counts_the_same_morning(world: World) -> None:
    report = decode(ReconciliationReport, step_outputs(world, EX_DATE)["reconcile"])
    assert report.can_trade
    assert report.buckets is not None
    # Futures trade at 06:00 and the broker's marks are live; of shares and accruals nothing differs.
    assert report.buckets.accrual == 0
    assert not [note for note in report.notes if "LQDE" in note or "MSFT" in note]


def test_only_these_went_ex_on_that_day(world: World) -> None:
    held = days_run().closes[BEFORE].ours["positions"]
    gone = {row.instrument_id for row in world.facts.dividends(EX_DATE) if row.instrument_id in held}
    assert (gone, EX_DATE) == ({"LQDE", "MSFT"}, date(2026, 11, 18))
