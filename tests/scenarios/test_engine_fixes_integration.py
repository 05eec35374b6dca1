"""The named tests of the fund's first repairs: a whole day, and a halt that no order passes."""

from __future__ import annotations

from pathlib import Path

from engine.model.context import RunKind, RunStatus
from state.order_reading import account_orders
from tests.factories import DAYS, days_run, run, valued
from tests.halted_days import HALTED_DAY, halted_world


class TestIntegration:
    def test_full_daily_cycle(self) -> None:
        days = days_run()
        assert {outcome.status for outcome in days.outcomes.values()} == {RunStatus.COMPLETED}
        assert set(days.outcomes) == {(day, kind) for day in DAYS for kind in RunKind}
        close = days.closes[DAYS[-1]]
        assert close.ours == close.broker
        assert close.ours["positions"], "the cycle bought nothing"

    def test_halt_blocks_execution(self, tmp_path: Path) -> None:
        with halted_world("cash-break", tmp_path) as world:
            before = world.ledger.entries(world.account)
            assert run(world, HALTED_DAY, RunKind.EXECUTION).status is not RunStatus.COMPLETED
            assert account_orders(world.database, world.account, HALTED_DAY) == ()
            assert world.ledger.entries(world.account) == before
            assert valued(world, HALTED_DAY, RunKind.DECISION).valuation.nav > 0
