"""The shipped rules as the model asks them: small whole numbers in, the answer of the imported function out.

Each question is asked of the shipped function once and its answer kept, which is what makes the exploration fast;
the functions are pure, so that changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache

from engine.errors import IllegalTransition
from engine.execution import answers, recovery
from engine.execution.absence import evidence_of, examine, judge_absence
from engine.execution.children import transition_path
from engine.model.absence import AbsencePolicy, LinkState, Look, LookFinding, StatementProof
from engine.model.context import ControlState
from engine.model.order_states import child_transition
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    Fill,
    OpenOrder,
    OrderType,
    Side,
    TransportEvent,
    TransportEventKind,
    order_reference,
)
from engine.ports import ChildRecord, GateOutcome
from state.control_row import ControlRecord
from state.gate import GateFacts, judge
from tests.simulation.model_check.policies import Proof
from tests.simulation.model_check.states import Order, Stage
from tests.state.builders import LIMITS

MICROS = 1_000_000
SENT_AT = datetime(2025, 3, 4, 15, tzinfo=UTC)
CONTRACT = "ES_20250321"
CLIENT = 1
ABSENCE = AbsencePolicy(broker_zone="America/New_York")
SHOWN = {
    Stage.OPEN: ChildStatus.WORKING,
    Stage.FILLED: ChildStatus.FILLED,
    Stage.CANCELLED: ChildStatus.CANCELLED,
    Stage.REJECTED: ChildStatus.REJECTED,
    Stage.EXPIRED: ChildStatus.EXPIRED,
}


_TAKEN: set[tuple[ChildStatus, ChildStatus]] = set()


def arrows_taken() -> frozenset[tuple[ChildStatus, ChildStatus]]:
    """Arrows of the shipped table that explorations of this process took so far."""
    return frozenset(_TAKEN)


@cache
def moved(current: ChildStatus, wanted: ChildStatus) -> ChildStatus:
    """The wanted state, by the shipped table; raises `IllegalTransition`."""
    _TAKEN.add((current, child_transition(current, wanted, "the order")))
    return wanted


@cache
def path_to(current: ChildStatus, target: ChildStatus) -> ChildStatus | None:
    """Where the shipped path leads, arrow by arrow; ``None`` where the tables have none: the fund would halt."""
    try:
        for status in transition_path(current, target):
            current = moved(current, status)
    except IllegalTransition:
        return None
    return current


@cache
def gate_answer(
    *, is_halted: bool, is_current: bool, status: ChildStatus, quantity: int, committed: tuple[int, int, int]
) -> GateOutcome:
    """The send gate's rule; ``committed`` is filled, reserved and ordered quantity of the parent."""
    filled, reserved, ordered = (number * MICROS for number in committed)
    control = ControlRecord(
        account="model",
        state=ControlState.HALTED if is_halted else ControlState.ACTIVE,
        set_state=ControlState.ACTIVE,
        kill_switch=False,
        open_halts=int(is_halted),
        emergencies=0,
        epoch=2,
        reason="",
        operator="",
        requested_at=None,
        effective_at=None,
    )
    facts = GateFacts(
        control=control,
        epoch=2 if is_current else 1,
        status=status,
        reduce_only=False,
        quantity=quantity * MICROS,
        filled=filled,
        reserved=reserved,
        parent_quantity=ordered,
        notional=MICROS,
        orders_today=0,
        turnover_today=0,
    )
    return judge(facts, LIMITS)


@cache
def concluded(
    status: ChildStatus, quantity: int, booked: int, shown: Stage, executed: int, listed: int
) -> ChildStatus:
    """What a restart makes of a child, by the broker's answer, and where the tables lead from there."""
    record = _record(status, quantity, booked, is_acknowledged=False)
    target = recovery.shown_status(record, _look(quantity, shown, executed, listed, 0))
    for following in recovery._path(status, target):
        status = moved(status, following)
    return status


@cache
def is_missing_executions(executed: int, booked: int) -> bool:
    """Whether the end of an order waits for executions that belong to it."""
    end = TransportEvent(
        kind=TransportEventKind.CANCELLED, at=SENT_AT, order_ref=None, filled=Decimal(executed)
    )
    return answers._misses_executions(end, (Decimal(booked),))


@cache
def is_absent(
    order: Order, looks: tuple[tuple[int, ...], ...], held: int, proof: Proof, is_next_day: bool
) -> bool:
    """The shipped verdict on a doubtful order after two looks; ``held`` is what our book holds."""
    record = _record(order.status, order.quantity, order.booked, is_acknowledged=order.acknowledged)
    counts_days = proof not in (Proof.ANY_DAY, Proof.ANY_DAY_WITH_POSITION)
    at = SENT_AT + timedelta(hours=2) + timedelta(days=int(is_next_day and counts_days))
    findings = tuple(
        _finding(record, order.quantity, look, held, at + timedelta(seconds=40 * number), proof)
        for number, look in enumerate(looks)
    )
    evidence = evidence_of(
        record,
        ABSENCE,
        at + timedelta(seconds=60),
        acknowledged=order.acknowledged and counts_days,
        link=LinkState(client_id=CLIENT, connected_at=SENT_AT - timedelta(hours=1)),
        asked_since=at - timedelta(minutes=30),
        looks=findings,
    )
    return judge_absence(evidence).is_absent


@cache
def is_absent_by_statement(order: Order) -> bool:
    """The shipped verdict by a statement of the day, which is complete."""
    record = _record(order.status, order.quantity, order.booked, is_acknowledged=order.acknowledged)
    found = order.accepted > 0
    proof = StatementProof(
        file_digest="digest",
        begins=SENT_AT - timedelta(hours=15),
        ends=SENT_AT + timedelta(hours=9),
        missing="it lists the order" if found else "",
    )
    evidence = evidence_of(record, ABSENCE, SENT_AT + timedelta(days=1), acknowledged=order.acknowledged)
    return judge_absence(replace(evidence, statement=proof)).is_absent


def _finding(
    record: ChildRecord, quantity: int, look: tuple[int, ...], held: int, at: datetime, proof: Proof
) -> LookFinding:
    shown, executed, listed, broker_holds = look
    ours = broker_holds if proof is Proof.ANY_DAY else held
    seen = _look(quantity, Stage(shown), executed, listed, broker_holds)
    finding = examine(record, seen, {CONTRACT: Decimal(ours)})
    return LookFinding(at=at, found=finding.found, positions=finding.positions)


def _child(quantity: int) -> ChildOrder:
    return ChildOrder(
        order_ref=order_reference("model", 1),
        intent_id="model",
        attempt=1,
        contract_id=CONTRACT,
        side=Side.BUY,
        quantity=Decimal(quantity),
        order_type=OrderType.LIMIT,
        limit_price=Decimal(100),
        time_in_force="DAY",
        good_till=SENT_AT + timedelta(hours=5),
    )


def _record(status: ChildStatus, quantity: int, booked: int, *, is_acknowledged: bool) -> ChildRecord:
    return ChildRecord(
        child=_child(quantity),
        status=status,
        filled=Decimal(booked.bit_count()),
        sent_at=SENT_AT,
        client_id=CLIENT,
        broker_ids=("7",) if is_acknowledged else (),
    )


def _look(quantity: int, shown: Stage, executed: int, listed: int, position: int) -> Look:
    child = _child(quantity)
    orders = () if shown is Stage.NONE else (_listed(child, shown, executed),)
    fills = tuple(_fill(child, bit) for bit in range(quantity) if listed >> bit & 1)
    return Look(at=SENT_AT, orders=orders, executions=fills, positions={CONTRACT: Decimal(position)})


def _listed(child: ChildOrder, shown: Stage, executed: int) -> OpenOrder:
    return OpenOrder(
        order_ref=child.order_ref,
        broker_order_id="7",
        contract_id=child.contract_id,
        side=child.side,
        quantity=child.quantity,
        filled=Decimal(executed),
        limit_price=child.limit_price,
        status=SHOWN[shown],
    )


def _fill(child: ChildOrder, bit: int) -> Fill:
    return Fill(
        execution_id=f"E{bit}.01",
        order_ref=child.order_ref,
        contract_id=child.contract_id,
        side=child.side,
        quantity=Decimal(1),
        price=child.limit_price,
        executed_at=SENT_AT + timedelta(seconds=bit),
        commission=None,
        commission_currency=None,
    )
