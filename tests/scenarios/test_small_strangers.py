"""Somebody else's trade that is too small for the comparison, or closed again, is told when a run begins."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

from engine.model.context import RunStatus
from engine.simulation.faults import ForeignTrade, add_trade
from tests.factories import DAYS, new_world
from tests.halted_days import decide_again, home_after_a_day


def test_round_trip_of_somebody_else_that_the_comparison_passes_is_told(tmp_path: Path) -> None:
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, DAYS[1])
    price = Decimal(640)
    fills = [
        add_trade(
            world.broker,
            f"by hand {quantity}",
            ForeignTrade(contract_id="CSPX", quantity=Decimal(quantity), price=price, order_ref=None),
        )
        for quantity in (1, -1)
    ]
    world.broker.commit()
    outcome = decide_again(world)
    assert outcome.status is RunStatus.COMPLETED  # what it moved is within the limits of a comparison
    told = [str(row["message"]) for row in world.records.rows("alerts", run_id=outcome.run_id)]
    for fill in fills:
        assert sum(fill.execution_id in text and "not ours" in text for text in told) == 1
    world.close()
