"""More was filled than ordered, and the process ended between booking it and stopping: the next run stops, once."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

from engine.model.halts import HaltChoice, HaltKind
from engine.simulation.faults import ForeignTrade, add_trade
from tasks.resolution import apply
from tests.factories import DAYS, new_world, order_store
from tests.halted_days import decide_again, home_after_a_day, open_halt


def test_overfill_that_was_booked_and_told_to_nobody_halts_the_next_run_once(tmp_path: Path) -> None:
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, DAYS[1])
    orders = order_store(world)
    parent, child = next(
        (intent, record.child)
        for job in orders.jobs(trade_date=DAYS[0])
        for intent in job.job.intents
        for record in orders.children(intent.intent_id)
        if record.filled == intent.quantity
    )
    more = ForeignTrade(
        contract_id=parent.contract_id,
        quantity=Decimal(parent.side.sign),
        price=parent.decision_price,
        order_ref=child.order_ref,
    )
    fill = add_trade(world.broker, "overfill", more)
    world.broker.commit()
    assert orders.record_fill(fill, world.now)

    outcome = decide_again(world)
    assert outcome.is_halted
    halt = open_halt(world)
    assert halt.kind == HaltKind.OVERFILL.value
    assert f"{parent.intent_id}: filled {parent.quantity + 1:f} of {parent.quantity:f}" in halt.message

    apply(world, halt.halt_id, HaltChoice.RETRY, "the broker keeps it, and so do we", "Ada", {})
    assert not decide_again(world).is_halted
    world.close()
