"""An order whose fate is not known blocks its own contract and nothing else, on that day and on the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.composition.trading import TradeListDecision
from engine.errors import BrokerUnavailable
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.orders import ChildOrder, ChildStatus
from engine.simulation.exchange import SimulatedTransport
from tests.factories import DAYS, accepted_orders, new_world, order_store, run_day, run_id_of, step_outputs

LOST = "CSPX"


@pytest.mark.slow
def test_unknown_order_blocks_its_contract_while_the_fund_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SimulatedTransport.send

    def send(line: SimulatedTransport, child: ChildOrder) -> None:
        if child.contract_id == LOST:
            raise BrokerUnavailable("the line broke while the order was written")
        write(line, child)

    monkeypatch.setattr(SimulatedTransport, "send", send)
    world = new_world(tmp_path)
    try:
        first = run_day(world, DAYS[0])
        assert {outcome.status for outcome in first.values()} == {RunStatus.COMPLETED}
        (unknown,) = [r for r in order_store(world).unresolved() if r.child.contract_id == LOST]
        assert unknown.status is ChildStatus.UNKNOWN

        second = run_day(world, DAYS[1])
        assert {outcome.status for outcome in second.values()} == {RunStatus.COMPLETED}
        (named,) = world.records.rows("recon_breaks", run_id=run_id_of(world, DAYS[1], RunKind.DECISION))
        assert (named["kind"], named["severity"]) == ("unknown-order", "BLOCKED")
        assert named["subject"] == unknown.child.order_ref
        assert str(named["note"]).startswith("vanished-order: ")
        trades = decode(TradeListDecision, step_outputs(world, DAYS[1])["trades"])
        assert len(trades.trades) > 10
        assert LOST not in {trade.contract_id for trade in trades.trades}
        refused = [row for row in trades.decisions if row.contract_id == LOST]
        assert all(not row.done for row in refused)
        assert LOST not in {child.contract_id for child in accepted_orders(tmp_path, world.account)}
        assert second[RunKind.CLOSE].status is RunStatus.COMPLETED
    finally:
        world.close()
