"""Limits at the send gate: of one order, of the day's orders and turnover, whatever a strategy wants."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.model.context import ControlState
from engine.model.money import to_micros
from engine.model.orders import ChildStatus
from engine.ports import GateOutcome
from state.control_row import ControlRecord
from state.gate import GateFacts, OrderLimits, judge

LIMITS = OrderLimits(max_orders=10, max_order_usd=Decimal(300_000), max_turnover_usd=Decimal(500_000))
ACTIVE = ControlRecord(
    account="SIM-test",
    state=ControlState.ACTIVE,
    set_state=ControlState.ACTIVE,
    kill_switch=False,
    open_halts=0,
    emergencies=0,
    epoch=1,
    reason="",
    operator="",
    requested_at=None,
    effective_at=None,
)
FACTS = GateFacts(
    control=ACTIVE,
    epoch=1,
    status=ChildStatus.PLANNED,
    reduce_only=False,
    quantity=1,
    filled=0,
    reserved=0,
    parent_quantity=1,
    notional=0,
    orders_today=0,
    turnover_today=0,
)


@pytest.mark.parametrize(
    ("notional", "orders", "turnover", "outcome", "reason"),
    [
        ("300000", 9, "200000", GateOutcome.CLAIMED, "each exactly at its limit: 9 + 1 orders, 200,000 + 300,000"),
        ("300000.000001", 0, "0", GateOutcome.LIMIT, "one order a millionth of a dollar too large"),
        ("1", 10, "0", GateOutcome.LIMIT, "the eleventh order of a day of ten"),
        ("250000", 0, "250000.000001", GateOutcome.LIMIT, "500,000.000001 of turnover in a day of 500,000"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("control", [ControlState.ACTIVE, ControlState.REDUCING])
def test_new_risk_stays_within_every_limit_and_a_reduction_may_always_leave(
    notional: str, orders: int, turnover: str, outcome: GateOutcome, reason: str, control: ControlState
) -> None:
    facts = replace(
        FACTS,
        control=replace(ACTIVE, state=control),
        notional=to_micros(Decimal(notional)),
        orders_today=orders,
        turnover_today=to_micros(Decimal(turnover)),
    )
    adding = outcome if control is ControlState.ACTIVE else GateOutcome.REDUCE_ONLY
    assert judge(facts, LIMITS) is adding, reason
    assert judge(replace(facts, reduce_only=True), LIMITS) is GateOutcome.CLAIMED, reason


@pytest.mark.parametrize("control", [replace(ACTIVE, state=ControlState.HALTED), None])
def test_nothing_passes_a_halt_or_a_control_state_that_is_missing(control: ControlRecord | None) -> None:
    for reduce_only in (False, True):
        facts = replace(FACTS, control=control, reduce_only=reduce_only)
        assert judge(facts, LIMITS) is GateOutcome.HALTED
