"""A change of NAV that no posting and no price explains stops the day; one within a cent does not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.composition.stages import PreviousDay
from engine.model.context import RunKind
from engine.model.encoding import decode, encode
from engine.model.halts import HaltKind
from tasks.day import VALUED
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
            assert f"{bridge.residual:+,.6f} USD" in open_halt(world).message
    finally:
        world.close()
