"""An execution of our own parent that comes after its order had ended is adopted into the sleeves that asked for it."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.accounting.ledger import POSITION_PREFIX
from engine.model.halts import HaltChoice, HaltKind
from engine.simulation.faults import ForeignTrade, add_trade
from tasks.resolution import apply
from tests.factories import DAYS, book_at_close, new_world, order_store
from tests.halted_days import decide_again, home_after_a_day, open_halt


def test_late_fill_of_our_parent_is_adopted_into_its_sleeves(tmp_path: Path) -> None:
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, DAYS[1])
    parent = next(
        intent
        for record in order_store(world).jobs(trade_date=DAYS[0])
        for intent in record.job.intents
        if intent.contract_id == "CSPX"
    )
    child = order_store(world).children(parent.intent_id)[-1].child
    late = ForeignTrade(
        contract_id="CSPX",
        quantity=parent.side.sign * 20,
        price=parent.decision_price,
        order_ref=child.order_ref,
    )
    fill = add_trade(world.broker, "late fill", late)
    world.broker.commit()
    assert decide_again(world).is_halted
    assert open_halt(world).kind == HaltKind.MISSED_FILL.value
    apply(world, open_halt(world).halt_id, HaltChoice.ADOPT_BROKER, "the custodian confirmed it", "Ada", {})
    entries = {entry.entry_id: entry for entry in world.ledger.entries(world.account)}
    owners = {
        line.account.removeprefix(POSITION_PREFIX)
        for line in entries[f"trade:{fill.execution_id}"].lines
        if line.account.startswith(POSITION_PREFIX)
    }
    assert owners == set(parent.sleeves) == {"core_index_rv"}
    books = book_at_close(world)
    assert books.ours["positions"] == books.broker["positions"]
    world.close()
