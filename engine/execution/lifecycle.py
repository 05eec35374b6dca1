"""Life of a parent order as a pure machine: ``step(ticket, event, now, policy) -> (ticket, commands)``.

A parent is worked by one child at a time. A child that does not fill is cancelled, its end is confirmed by the
broker, and a new child takes the remainder at a more aggressive price inside the collar of the arrival; a child
is never modified. After its time to live the parent rests and tries again while its window is open. A child
whose outcome can not be known keeps its quantity reserved and blocks the parent.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from engine.errors import InvariantError
from engine.execution.answers import broker_message, claimed, proved_absent, visibility_lost
from engine.execution.children import first_told
from engine.execution.rounds import (
    arm_reprice,
    ask,
    cancel_child,
    finish,
    no_quote,
    open_round,
    quote_arrived,
    reprice_due,
    rest,
)
from engine.execution.ticket import (
    Broker,
    Cancel,
    ClaimResult,
    Command,
    Commands,
    Deadline,
    DeadlineKind,
    Doubt,
    Event,
    FinishReason,
    Goal,
    HaltRequested,
    NoQuote,
    OrderCore,
    OrderTicket,
    Phase,
    ProvedAbsent,
    QuoteArrived,
    RecordStatus,
    Result,
    Start,
    TicketState,
    VisibilityLost,
    WindowClosing,
)
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, Reason
from engine.model.policy import ExecutionPolicy
from engine.ports import ChildRecord, Permission


def step(
    ticket: OrderTicket, event: Event, now: datetime, policy: ExecutionPolicy
) -> tuple[OrderTicket, Commands]:
    """Next state of a parent order and what has to be done outside, in order.

    Raises
    ------
    IllegalTransition
        When the broker reports what the child's table does not allow.
    """
    core, before = ticket
    state, commands = _react(core, before, event, now, policy)
    return ticket if state is before else OrderTicket(core, state), commands


def _react(
    core: OrderCore, state: TicketState, event: Event, now: datetime, policy: ExecutionPolicy
) -> Result:
    match event:
        case Broker():
            return broker_message(core, state, event.event, now, policy)
        case QuoteArrived():
            return quote_arrived(core, state, event, now, policy)
        case ClaimResult():
            return claimed(core, state, event.outcome, now, policy)
        case Deadline():
            return _deadline(core, state, event, now, policy)
        case Start():
            return _start(core, state, event, now, policy)
        case NoQuote():
            return no_quote(core, state, event.text, now, policy)
        case WindowClosing():
            return _window_closing(state)
        case HaltRequested():
            return _halt(core, state, event.permission, now)
        case VisibilityLost() | ProvedAbsent():
            return _doubt(core, state, event, now, policy)


def _doubt(
    core: OrderCore,
    state: TicketState,
    event: VisibilityLost | ProvedAbsent,
    now: datetime,
    policy: ExecutionPolicy,
) -> Result:
    """A doubt begins, or ends with a proof."""
    if isinstance(event, VisibilityLost):
        return visibility_lost(core, state, event.text, now)
    return proved_absent(core, state, event.order_ref, now, policy)


def _start(
    core: OrderCore, state: TicketState, event: Start, now: datetime, policy: ExecutionPolicy
) -> Result:
    if state.phase is Phase.DONE:
        return state, ()  # the window closed on a leg that waited for its spread, before the spread let it go
    if state.phase is not Phase.NEW:
        raise InvariantError(f"{core.intent.intent_id}: a parent starts once")
    state, commands = _found(core, state._replace(arrival_mid=event.arrival_mid))
    if state.child is None:
        state, more = ask(core, state, now, policy)
    else:
        state, more = _resume(core, state, state.child, now, policy)
    return state, (*commands, *more)


def _found(core: OrderCore, state: TicketState) -> Result:
    """What earlier attempts left: the child that is alive, those in doubt, and those that were never sent."""
    commands: list[Command] = []
    unknown: dict[str, Doubt] = {}
    for record in core.own_children:
        child = record.child
        if record.status is ChildStatus.PLANNED:
            commands.append(RecordStatus(child.order_ref, ChildStatus.ABANDONED, "never sent"))
        elif record.status is ChildStatus.SENDING:
            commands.append(
                RecordStatus(child.order_ref, ChildStatus.UNKNOWN, "outcome of the send is not known")
            )
        if record.status in (ChildStatus.SENDING, ChildStatus.UNKNOWN):
            unknown[child.order_ref] = _doubt_of(record)
        if record.status in (ChildStatus.WORKING, ChildStatus.CANCEL_PENDING):
            if state.child is not None:
                raise InvariantError(f"{core.intent.intent_id}: two children are alive at once")
            executed, executed_near = _executed(record)
            state = state._replace(
                child=child,
                status=record.status,
                child_filled=record.filled,
                executed=executed,
                child_near=record.near_filled,
                executed_near=executed_near,
            )
    state = state._replace(
        attempt=max(core.spent_attempts, *(record.child.attempt for record in core.own_children), 0),
        unknown=unknown,
    )
    return state, tuple(commands)


def _executed(record: ChildRecord) -> tuple[Decimal, Decimal]:
    """What executions of the own and of the near leg said at first, which is what the child's end will count."""
    told = first_told(record.child, (*record.corrected, *record.fills))
    near = told[1] if record.child.near is not None else ZERO
    return max(told[0], record.filled), max(near, record.near_filled)


def _doubt_of(record: ChildRecord) -> Doubt:
    """What may still trade of a child whose outcome is not known."""
    child, (executed, executed_near) = record.child, _executed(record)
    doubt = Doubt(child.quantity - record.filled, executed)
    if child.near is None:
        return doubt
    return doubt._replace(near_left=child.quantity - record.near_filled, near_executed=executed_near)


def _resume(
    core: OrderCore, state: TicketState, child: ChildOrder, now: datetime, policy: ExecutionPolicy
) -> Result:
    """Go on with a child found alive: work it, or repeat the cancel that was under way."""
    state, clock = open_round(core, state, now, policy)
    if state.status is ChildStatus.CANCEL_PENDING:
        cancelling = state._replace(phase=Phase.CANCELLING, goal=Goal.REPRICE)
        if state.auction is not None and now >= state.auction.cutoff:
            return arm_reprice(core, cancelling, now, policy)
        return cancelling, (*clock, Cancel(child.order_ref))
    state, timer = arm_reprice(core, state._replace(phase=Phase.WORKING), now, policy)
    return state, (*clock, *timer)


def _deadline(
    core: OrderCore, state: TicketState, event: Deadline, now: datetime, policy: ExecutionPolicy
) -> Result:
    """A clock that was replaced or stopped since has no effect."""
    if event.kind is DeadlineKind.QUOTE:
        due = event.at == state.quote_at and state.phase in (Phase.QUOTING, Phase.RESTING)
        return ask(core, state, now, policy) if due else (state, ())
    if event.kind is DeadlineKind.REPRICE:
        return _reprice(core, state, now, policy) if event.at == state.reprice_at else (state, ())
    if event.at != state.expires_at:
        return state, ()
    if state.phase is Phase.QUOTING:
        return rest(core, state, now, policy, state.text)
    if state.auction is not None:
        return visibility_lost(core, state, "nothing was told after the auction", now)
    if state.phase is Phase.WORKING:
        return cancel_child(state, Goal.REST)
    if state.phase is Phase.CANCELLING and state.goal is Goal.REPRICE:
        return state._replace(goal=Goal.REST), ()
    return state, ()


def _reprice(core: OrderCore, state: TicketState, now: datetime, policy: ExecutionPolicy) -> Result:
    """Look for a better price; of a child that the broker did not even acknowledge by now nothing is known."""
    if state.phase is Phase.WORKING and state.status is ChildStatus.SENDING:
        return visibility_lost(core, state, "the broker did not answer the order", now)
    return reprice_due(core, state, now, policy)


def _window_closing(state: TicketState) -> Result:
    if state.auction is not None and state.child is not None:
        return (
            state,
            (),
        )  # nothing can be taken back any more; who does not hear of it in time does not know it
    if state.phase is Phase.WORKING:
        return cancel_child(state, Goal.FINISH)
    if state.phase is Phase.CANCELLING:
        return state._replace(goal=Goal.FINISH), ()
    if state.phase is Phase.DONE:
        return state, ()
    reason = FinishReason.UNKNOWN if state.phase is Phase.BLOCKED else FinishReason.WINDOW_CLOSED
    return finish(state, reason, state.text)


def _halt(core: OrderCore, state: TicketState, permission: Permission, now: datetime) -> Result:
    """Orders that reduce or unwind outlive a halt by their own rules; a full stop spares nothing (REC-04).

    After its cut-off an auction gives no order back: a cancel would only be refused, and leave its fate in doubt.
    """
    if state.auction is not None and now >= state.auction.cutoff:
        return state, ()
    shrinks = core.intent.reduce_only or core.intent.reason is Reason.OVERLAY_UNWIND
    if shrinks and permission is not Permission.STOPPED:
        return state, ()
    if state.phase is Phase.CANCELLING and state.goal is Goal.REPRICE:
        return state._replace(goal=Goal.REST), ()
    return cancel_child(state, Goal.REST) if state.phase is Phase.WORKING else (state, ())
