"""Rolls in the report: each one row of both its contracts, with how much went as spreads."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from engine.model.money import ZERO
from engine.model.spreads import leg_in
from engine.report import RollRow
from engine.roll import Roll
from state.order_reading import OrderView
from tasks.run_view import RunView


def roll_rows(decision: RunView, orders: Sequence[OrderView]) -> tuple[RollRow, ...]:
    """Every roll of the day's plan as far as it was worked, the nearest end first."""
    if decision.rolls is None:
        return ()
    filled: dict[str, Decimal] = {}
    for view in orders:
        for name, quantity in view.record.traded:
            filled[name] = filled.get(name, ZERO) + quantity
    planned = sorted(decision.rolls.rolls, key=lambda roll: (roll.days_left, roll.old_contract))
    return tuple(_row(roll, filled, orders) for roll in planned)


def _row(roll: Roll, filled: dict[str, Decimal], orders: Sequence[OrderView]) -> RollRow:
    new = roll.new_contract
    spreads = sum(
        (
            view.record.whole
            for view in orders
            if view.record.child.contract_id == new
            and leg_in(view.record.child.near, roll.old_contract) is not None
        ),
        ZERO,
    )
    return RollRow(
        instrument_id=roll.instrument_id,
        old_contract=roll.old_contract,
        new_contract=new,
        held=roll.quantity,
        closed=filled.get(roll.old_contract, ZERO),
        opened=ZERO if new is None else filled.get(new, ZERO),
        spreads=spreads,
        days_left=roll.days_left,
    )
