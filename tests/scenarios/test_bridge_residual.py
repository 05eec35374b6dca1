"""A change of NAV that no posting and no price explains stops the day; one within a cent does not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.accounting.cash_bases import BasisNavs
from engine.composition.stages import PreviousDay
from engine.model.context import RunKind
from engine.model.encoding import decode, encode
from engine.model.halts import HaltKind
from engine.report import BreakRow
from tasks.day import VALUED
from tasks.residual_evidence import settlement_row
from tests.factories import new_world, valued
from tests.halted_days import DAY_BEFORE, HALTED_DAY, decide_again, home_after_a_day, open_halt


@pytest.mark.parametrize(("missing", "halts"), [("0.005", False), ("-0.02", True), ("250", True)])
def test_residual_beyond_a_cent_halts_and_is_the_missing_amount(
    tmp_path: Path, missing: str, halts: bool
) -> None:
    amount = Decimal(missing)
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, HALTED_DAY)
    try:
        payload = world.runs.memory(world.account, VALUED, HALTED_DAY)
        assert payload is not None
        previous = decode(PreviousDay, payload)
        # Yesterday's NAV was counted wrongly: today lacks a cause of exactly that amount.
        wrong = replace(previous.valuation, nav=previous.valuation.nav - amount)
        changed = encode(replace(previous, valuation=wrong))
        world.runs.record_memory(world.account, VALUED, DAY_BEFORE, changed)
        outcome = decide_again(world)
        bridge = valued(world, HALTED_DAY, RunKind.DECISION).bridge
        assert bridge is not None
        # Roundings of the parts stay below a hundredth of a cent.
        assert abs(bridge.residual - amount) < Decimal("0.0001")
        assert outcome.is_halted is halts
        if halts:
            assert open_halt(world).kind == HaltKind.BRIDGE_RESIDUAL.value
            change, settled = decode(tuple[BreakRow, ...], open_halt(world).evidence)
            assert change.difference_usd == bridge.residual.quantize(Decimal("0.000001"))
            # Nothing is wrong with the book itself: its trades alone give the same NAV.
            assert settled.difference_usd is not None
            assert abs(settled.difference_usd) < Decimal("0.0001")
            assert settled.explanation.endswith("the settlements are right")
            assert f"{bridge.residual:+,.6f} USD" in open_halt(world).message
    finally:
        world.close()


def test_wrong_settlement_is_named_as_the_cause() -> None:
    right = BasisNavs(cost_ledger=Decimal(1000), settled=Decimal("1000.01"), broker_total=Decimal(1000))
    assert settlement_row(right).explanation.endswith("give a NAV of 1,000.00 USD: the settlements are right")
    wrong = settlement_row(replace(right, settled=Decimal("750")))
    assert wrong.difference_usd == Decimal(-250)
    assert wrong.explanation.endswith("a settlement is wrong")
