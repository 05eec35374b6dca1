"""An order whose fate is not known blocks its own contract and nothing else, on that day and on the next."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.composition.trading import TradeListDecision
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.orders import ChildStatus, JobStatus
from state.doubts import order_views
from tests.doubted_days import LOST, doubted, leave_unanswered, lose_orders
from tests.factories import DAYS, accepted_orders, new_world, order_store, run_day, run_id_of, step_outputs


@pytest.mark.slow
def test_unknown_order_blocks_its_contract_while_the_fund_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_orders(monkeypatch)
    leave_unanswered(monkeypatch)
    world = new_world(tmp_path)
    try:
        first = run_day(world, DAYS[0])
        assert {outcome.status for outcome in first.values()} == {RunStatus.COMPLETED}
        unknown = doubted(world)
        assert unknown.child.contract_id == LOST

        second = run_day(world, DAYS[1])
        assert {outcome.status for outcome in second.values()} == {RunStatus.COMPLETED}
        (named,) = world.records.rows("recon_breaks", run_id=run_id_of(world, DAYS[1], RunKind.DECISION))
        assert (named["kind"], named["severity"]) == ("unknown-order", "BLOCKED")
        assert named["subject"] == unknown.child.order_ref
        assert str(named["note"]).startswith("vanished-order: ")
        assert f"./fund orders resolve {unknown.child.order_ref} --evidence FILE" in str(named["note"])
        trades = decode(TradeListDecision, step_outputs(world, DAYS[1])["trades"])
        assert len(trades.trades) > 10
        assert LOST not in {trade.contract_id for trade in trades.trades}
        refused = [row for row in trades.decisions if row.contract_id == LOST]
        assert all(not row.done for row in refused)
        assert LOST not in {child.contract_id for child in accepted_orders(tmp_path, world.account)}
        assert second[RunKind.CLOSE].status is RunStatus.COMPLETED
    finally:
        world.close()


@pytest.mark.slow
def test_lost_orders_are_proved_absent_one_after_another_while_the_broker_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every order in one contract is lost for the whole day: each is decided, the last one in the evening."""
    lose_orders(monkeypatch)
    world = new_world(tmp_path)
    try:
        outcomes = run_day(world, DAYS[0])
        assert {outcome.status for outcome in outcomes.values()} == {RunStatus.COMPLETED}
        lost = [
            view
            for view in order_views(world.database, world.account, tuple(ChildStatus))
            if view.record.child.contract_id == LOST and view.record.sent_at is not None
        ]
        assert len(lost) > 1
        assert {view.record.status for view in lost} == {ChildStatus.ABSENT}
        decided = [view.known[-1].evidence for view in lost]
        during = [proof.now - proof.sent_at for proof in decided if proof.sent_at is not None][1:]
        assert max(during) <= timedelta(seconds=120)
        assert order_store(world).blocked_contracts() == frozenset()
        jobs = order_store(world).jobs(trade_date=DAYS[0])
        assert {record.status for record in jobs} == {JobStatus.DONE}
        assert LOST not in {child.contract_id for child in accepted_orders(tmp_path, world.account)}
    finally:
        world.close()
