"""Two sleeves that wish the opposite of each other meet in the ledger once, and neither asks again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest

from engine.accounting.bridge import RESIDUAL_LIMIT_USD
from engine.accounting.ledger import EntryKind, LedgerEntry, transfer
from engine.model.context import RunKind, RunStatus
from engine.model.portfolio import Position, Sleeve
from flows import day as flow
from tasks.opening import begin, ending
from tasks.reporting import report_notes
from tasks.run_view import run_view
from tasks.runtime import World
from tests.factories import (
    DAYS,
    book_at_close,
    days_run,
    new_world,
    recorded_inputs,
    run,
    run_day,
    run_id_of,
    step_outputs,
    valued,
)

FIRST, SECOND = date(2026, 11, 19), date(2026, 11, 20)
CORE, UNASSIGNED = Sleeve.CORE.value, Sleeve.UNASSIGNED.value
CROSSED, TRADED = "FESX_20261218", "CSPX"
"""A line of few contracts whose target is what is held, and one whose target moved by a few units."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """After five days somebody moved two lines of the core to `unassigned`, where adopted trades stand."""
    shutil.copytree(days_run().home, tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, SECOND)
    book, marks = held(world), recorded_inputs(world, DAYS[-1]).market.marks
    away = [
        transfer(line, CORE, UNASSIGNED, book[line].quantity, marks[line].price, world.broker.now, "by hand")
        for line in (CROSSED, TRADED)
    ]
    world.ledger.post(world.account, away)
    assert {line: set(held(world)[line].sleeves) for line in (CROSSED, TRADED)} == {
        CROSSED: {Sleeve.UNASSIGNED},
        TRADED: {Sleeve.UNASSIGNED},
    }
    yield world
    world.close()


def held(world: World) -> Mapping[str, Position]:
    return world.ledger.portfolio(world.account, world.broker.now).positions


def booked_crosses(world: World) -> list[LedgerEntry]:
    entries = world.ledger.entries(world.account)
    return [entry for entry in entries if entry.kind is EntryKind.TRANSFER and entry.reference != "by hand"]


def test_opposite_wishes_are_booked_once_and_not_asked_again(world: World) -> None:
    before = held(world)[CROSSED].quantity
    assert {outcome.status for outcome in run_day(world, FIRST).values()} == {RunStatus.COMPLETED}
    assert held(world)[CROSSED].sleeves == {Sleeve.CORE: before}
    # The traded line met in the executions of its few units.
    assert set(held(world)[TRADED].sleeves) == {Sleeve.CORE}
    price = recorded_inputs(world, FIRST).market.marks[CROSSED].price
    assert [(e.contract_id, e.price, e.reference) for e in booked_crosses(world)] == [
        (CROSSED, price, run_id_of(world, FIRST, RunKind.DECISION))
    ]
    record = world.runs.run(run_id_of(world, FIRST, RunKind.DECISION))
    assert record is not None
    (told,) = (
        note for note in report_notes(world, run_view(world, record)) if "crossed between sleeves" in note
    )
    assert told == (
        f"{CROSSED}: crossed between sleeves at {price:f} EUR without an order, in contracts: "
        f"core_index_rv {int(before):+}, unassigned {-int(before):+}"
    )
    books = book_at_close(world)
    assert books.ours == books.broker
    run_day(world, SECOND)
    assert [entry.reference for entry in booked_crosses(world)] == [run_id_of(world, FIRST, RunKind.DECISION)]
    bridge = valued(world, SECOND, RunKind.DECISION).bridge
    assert bridge is not None
    assert abs(bridge.residual) <= RESIDUAL_LIMIT_USD


def test_decision_that_died_after_booking_its_crosses_decides_the_same_and_books_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise RuntimeError("killed")

    day = begin(world, FIRST, RunKind.DECISION)
    monkeypatch.setattr(flow, "remember_decision", die)
    with pytest.raises(RuntimeError, match="killed"), ending(day):
        flow.decide(day)
    monkeypatch.undo()
    first, crosses = step_outputs(world, FIRST), booked_crosses(world)
    assert len(crosses) == 1
    assert run(world, FIRST, RunKind.DECISION).status is RunStatus.COMPLETED
    assert step_outputs(world, FIRST) == first
    assert booked_crosses(world) == crosses
