"""What the send gate and the broker answer about a child order, and what follows for its parent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from engine.errors import InvariantError
from engine.execution.children import first_told, transition_path
from engine.execution.rounds import arm_reprice, ask, cancel_child, finish, leave_auction, leave_spread, rest
from engine.execution.ticket import (
    Alarm,
    Cancel,
    Commands,
    Doubt,
    FinishReason,
    Goal,
    Halt,
    OrderCore,
    Phase,
    RecordStatus,
    Result,
    TicketState,
    quantity_to_work,
)
from engine.model.money import ZERO
from engine.model.order_states import child_transition
from engine.model.orders import ChildOrder, ChildStatus, Fill, TransportEvent, TransportEventKind
from engine.model.policy import ExecutionPolicy
from engine.ports import GateOutcome

_ENDS: Mapping[TransportEventKind, ChildStatus] = {
    TransportEventKind.CANCELLED: ChildStatus.CANCELLED,
    TransportEventKind.EXPIRED: ChildStatus.EXPIRED,
    TransportEventKind.REJECTED: ChildStatus.REJECTED,
}

_NEWS = {**_ENDS, TransportEventKind.ACKNOWLEDGED: ChildStatus.WORKING}
_NOTHING_THERE = (ChildStatus.ABANDONED, ChildStatus.ABSENT)
_LATE_FILLED = (ChildStatus.CANCELLED, ChildStatus.EXPIRED)


def claimed(
    core: OrderCore, state: TicketState, outcome: GateOutcome, now: datetime, policy: ExecutionPolicy
) -> Result:
    """The send gate answered: the child is on its way, waits, or the parent ends."""
    child = state.child
    if state.phase is not Phase.CLAIMING or child is None:
        raise InvariantError(f"{core.intent.intent_id}: an answer of the send gate that nobody asked for")
    if outcome is GateOutcome.CLAIMED:
        sending = state._replace(phase=Phase.WORKING, status=ChildStatus.SENDING)
        return arm_reprice(core, sending, now, policy)
    without = state._replace(child=None, status=None)
    if outcome is GateOutcome.STALE_EPOCH:
        return finish(without, FinishReason.STALE_EPOCH, "another run took over")
    if outcome is GateOutcome.ALREADY_CLAIMED:
        return ask(core, _with_unknown(without, child, TicketState()), now, policy)
    abandoned = RecordStatus(child.order_ref, ChildStatus.ABANDONED, outcome.value)
    without = _with_end(without, (abandoned,))
    if outcome in (GateOutcome.HALTED, GateOutcome.REDUCE_ONLY):
        rested, commands = rest(core, without, now, policy, f"the send gate answered {outcome.value}")
        return rested, (abandoned, *commands)
    text = f"the send gate answered {outcome.value}"
    if state.is_spread:
        ended, commands = leave_spread(core, without, now, policy, text)
    else:
        reason = FinishReason.LIMIT if outcome is GateOutcome.LIMIT else FinishReason.OVER_RESERVED
        ended, commands = finish(without, reason, text)
    return ended, (abandoned, *commands, Alarm(f"{child.order_ref}: {outcome.value}"))


def broker_message(
    core: OrderCore, state: TicketState, message: TransportEvent, now: datetime, policy: ExecutionPolicy
) -> Result:
    """The broker reported on a child.

    Raises
    ------
    IllegalTransition
        When the child ended, and ended otherwise than is told now; an end that is told again changes nothing.
    """
    if message.kind is TransportEventKind.FILL:
        if message.fill is None:
            raise InvariantError("a fill message carries its execution")
        return _fill(core, state, message.fill, now, policy)
    ref = message.order_ref
    if ref is not None and ref in state.unknown:
        return _unknown_child(core, state, ref, message, now, policy)
    if state.child is None or ref != state.child.order_ref:
        return state, _after_end(core, state, message)
    if message.kind is TransportEventKind.VISIBILITY_LOST:
        return visibility_lost(core, state, message.text, now)
    if message.kind is TransportEventKind.ACKNOWLEDGED:
        return _acknowledged(state)
    if message.kind not in _ENDS:
        return state, ()
    if _misses_executions(message, state.executions):
        # An end may overtake the executions before it: what they take must not be ordered again.
        goal = state.goal if state.phase is Phase.CANCELLING else Goal.REST
        return state._replace(phase=Phase.CANCELLING, goal=goal, ending=message), ()
    return _ended(core, state, message, now, policy)


def _after_end(core: OrderCore, state: TicketState, message: TransportEvent) -> Commands:
    """Raise `IllegalTransition` for news that its child's end does not allow; a late acknowledgement is allowed.

    Where nothing can have been sent (ABANDONED), or it was proved that nothing is there (ABSENT), any life is too much.
    An order that a late fill made whole after its cancel may tell both at once: then its end counts what it traded.
    """
    status = _end_of(core, state, message.order_ref)
    if status is None or message.kind not in _NEWS:
        return ()
    wanted = _NEWS[message.kind]
    if wanted is status or (wanted is ChildStatus.WORKING and status not in _NOTHING_THERE):
        return ()
    whole = _whole(core, state, message) if wanted in _LATE_FILLED else None
    if whole is not None and message.filled == whole:
        return (Alarm(f"{message.order_ref} ended as {wanted.value} and was filled whole all the same"),)
    child_transition(status, wanted, f"order {message.order_ref}")
    return ()


def _whole(core: OrderCore, state: TicketState, message: TransportEvent) -> Decimal | None:
    """What the executions of a child that filled said at first, here or in an earlier attempt; ``None`` of others."""
    ref = message.order_ref
    if ref is None or _end_of(core, state, ref) is not ChildStatus.FILLED:
        return None
    rows = (row for row in core.own_children if row.child.order_ref == ref)
    told = (min(first_told(row.child, (*row.corrected, *row.fills))) for row in rows)
    return state.wholes[ref] if ref in state.wholes else next(told, None)


def _end_of(core: OrderCore, state: TicketState, ref: str | None) -> ChildStatus | None:
    """How a child ended, here or in an earlier attempt; ``None`` for one that has not."""
    if ref is None or ref in state.ended:
        return None if ref is None else state.ended[ref]
    known = (row.status for row in core.own_children if row.child.order_ref == ref)
    return next((status for status in known if status.is_terminal), None)


def _with_end(state: TicketState, records: Commands) -> TicketState:
    """Remember how a child ended, by the last of the states that are written of it."""
    last = records[-1] if records else None
    if not isinstance(last, RecordStatus):
        return state
    return state._replace(ended={**state.ended, last.order_ref: last.status})


def _misses_executions(message: TransportEvent, executed: tuple[Decimal, ...]) -> bool:
    """Whether executions of an order that ended are still to come: of any leg, or of one leg of a spread."""
    if len(set(executed)) > 1:
        return True
    return message.filled is not None and message.filled > min(executed)


def _acknowledged(state: TicketState) -> Result:
    child = state.child
    if state.status is not ChildStatus.SENDING or child is None:
        return state, ()
    working = RecordStatus(child.order_ref, ChildStatus.WORKING, "")
    state = state._replace(status=ChildStatus.WORKING)
    if state.phase is not Phase.CANCELLING:
        return state, (working,)
    # The cancel left before the acknowledgement came; the child is known to work and to be cancelled now.
    pending = RecordStatus(child.order_ref, ChildStatus.CANCEL_PENDING, state.goal.value)
    return state._replace(status=ChildStatus.CANCEL_PENDING), (working, pending)


def _records(ref: str, current: ChildStatus | None, target: ChildStatus, text: str) -> Commands:
    path = transition_path(ChildStatus.PLANNED if current is None else current, target, f"order {ref}")
    return tuple(RecordStatus(ref, status, text) for status in path)


def _ended(
    core: OrderCore, state: TicketState, message: TransportEvent, now: datetime, policy: ExecutionPolicy
) -> Result:
    """The broker confirmed the end of the child: do what the cancel was for."""
    if state.child is None:
        raise InvariantError("there is no child that could end")
    ref, target, text = state.child.order_ref, _ENDS[message.kind], message.text
    records = _records(ref, state.status, target, text)
    goal = state.goal if state.phase is Phase.CANCELLING else Goal.REST
    state = _with_end(state._replace(child=None, status=None, reprice_at=None, ending=None), records)
    if target is ChildStatus.REJECTED:
        if state.is_spread:
            state, commands = leave_spread(core, state, now, policy, text)
        elif state.auction is not None:
            state, commands = leave_auction(core, state, now, policy, text, FinishReason.REJECTED)
        else:
            state, commands = finish(state, FinishReason.REJECTED, text)
        return state, (*records, *commands, Alarm(f"{ref} was rejected: {text}"))
    if goal is Goal.FINISH:
        state, commands = finish(state, FinishReason.WINDOW_CLOSED, text)
    elif goal is Goal.REPRICE:
        state, commands = ask(core, state._replace(step=state.step + 1), now, policy)
    else:
        state, commands = rest(core, state, now, policy, text)
    return state, (*records, *commands)


def _unknown_child(
    core: OrderCore,
    state: TicketState,
    ref: str,
    message: TransportEvent,
    now: datetime,
    policy: ExecutionPolicy,
) -> Result:
    """News of a child that was lost: found alive it is brought down, ended it releases its reservation."""
    if message.kind is TransportEventKind.ACKNOWLEDGED:
        return state, (Cancel(ref),)
    if message.kind not in _ENDS:
        return state, ()
    doubt = state.unknown[ref]
    if _misses_executions(message, doubt.executions):
        return state._replace(unknown={**state.unknown, ref: doubt._replace(ending=message)}), ()
    records = _records(ref, ChildStatus.UNKNOWN, _ENDS[message.kind], "found again")
    return _released(core, state, ref, records, now, policy)


def proved_absent(
    core: OrderCore, state: TicketState, ref: str, now: datetime, policy: ExecutionPolicy
) -> Result:
    """A lost child never reached the broker: its quantity is worked by a new one; the proof is stored already."""
    if ref not in state.unknown:
        return state, ()
    state = state._replace(ended={**state.ended, ref: ChildStatus.ABSENT})
    return _released(core, state, ref, (), now, policy)


def _released(
    core: OrderCore,
    state: TicketState,
    ref: str,
    records: Commands,
    now: datetime,
    policy: ExecutionPolicy,
) -> Result:
    state = state._replace(unknown={name: left for name, left in state.unknown.items() if name != ref})
    state = _with_end(state, records)
    if state.phase is not Phase.BLOCKED:
        return state, records
    # The clock of its round may have run out while it was blocked.
    state, commands = ask(core, state._replace(expires_at=None), now, policy)
    return state, (*records, *commands)


def _fill(core: OrderCore, state: TicketState, fill: Fill, now: datetime, policy: ExecutionPolicy) -> Result:
    """Count an execution once; a higher suffix corrects the earlier version of the same execution."""
    known = state.fills.get(fill.root)
    if known is not None and known.version >= fill.version:
        return state, ()
    added = fill.quantity - (known.quantity if known is not None else ZERO)
    # What was taken back and is given again was told before: an end counts it once.
    more = max(added, ZERO) if known is None or known.version <= 1 else ZERO
    is_near = fill.contract_id != core.intent.contract_id
    filled = state.filled if is_near else state.filled + added
    state = state._replace(fills={**state.fills, fill.root: fill}, filled=filled)
    if filled > core.intent.quantity:
        return state, (Halt(f"{core.intent.intent_id}: filled {filled} of {core.intent.quantity}"),)
    child, ref = state.child, fill.order_ref
    if child is not None and ref == child.order_ref:
        if is_near:
            state = state._replace(
                child_near=state.child_near + added, executed_near=state.executed_near + more
            )
        else:
            state = state._replace(child_filled=state.child_filled + added, executed=state.executed + more)
        return _child_fill(core, state, child, now, policy)
    if ref is not None and ref in state.unknown:
        doubt = state.unknown[ref].less(added, more, is_near=is_near)
        return _unknown_fill(core, state, ref, doubt, now, policy)
    if is_near or state.attempt == 0:
        # A spread's other leg: the order is its partner's, and so is what follows.
        return state, ()
    status = _end_of(core, state, ref)
    # A rejected order trades no more; what it traded before may still be corrected or taken back.
    if status in _NOTHING_THERE or (status is ChildStatus.REJECTED and known is None):
        child_transition(status, ChildStatus.FILLED, f"order {ref}, execution {fill.execution_id}")
    late = Alarm(f"late fill {fill.execution_id} of {ref}")
    alive = child.quantity - state.child_filled if child is not None else ZERO
    if state.phase is Phase.WORKING and state.filled + alive > quantity_to_work(core, state):
        state, commands = cancel_child(state, Goal.REPRICE)
        return state, (late, *commands)
    return state, (late,)


def _unknown_fill(
    core: OrderCore, state: TicketState, ref: str, doubt: Doubt, now: datetime, policy: ExecutionPolicy
) -> Result:
    """An execution of a lost child: it is released when it is full, or when its end has all its executions."""
    has_ended = doubt.ending is not None and not _misses_executions(doubt.ending, doubt.executions)
    left = max(doubt.left, doubt.near_left)
    if left > 0 and not has_ended:
        return state._replace(unknown={**state.unknown, ref: doubt}), ()
    ended = ChildStatus.FILLED if doubt.ending is None or left <= 0 else _ENDS[doubt.ending.kind]
    records = _records(ref, ChildStatus.UNKNOWN, ended, "found again")
    if ended is ChildStatus.FILLED:
        state = state._replace(wholes={**state.wholes, ref: min(doubt.executions)})
    return _released(core, state, ref, records, now, policy)


def _child_fill(
    core: OrderCore, state: TicketState, child: ChildOrder, now: datetime, policy: ExecutionPolicy
) -> Result:
    most = max(state.child_filled, state.child_near)
    if most > child.quantity:
        return state, (Halt(f"{child.order_ref}: filled {most} of {child.quantity}"),)
    if state.ending is not None and not _misses_executions(state.ending, state.executions):
        return _ended(core, state, state.ending, now, policy)
    if min(state.executions) < child.quantity:
        return _acknowledged(state)
    records = _records(child.order_ref, state.status, ChildStatus.FILLED, "")
    wholes = {**state.wholes, child.order_ref: min(state.executions)}
    state = _with_end(state._replace(child=None, status=None, reprice_at=None, wholes=wholes), records)
    state, commands = ask(core, state, now, policy)
    return state, (*records, *commands)


def visibility_lost(core: OrderCore, state: TicketState, text: str, now: datetime) -> Result:
    """The child may or may not trade: its quantity stays reserved, and the parent is blocked until its window ends."""
    child = state.child
    if child is None or state.status is ChildStatus.PLANNED:
        return state, ()
    records = _records(child.order_ref, state.status, ChildStatus.UNKNOWN, text)
    state = _with_unknown(
        state._replace(child=None, status=None, reprice_at=None, ending=None),
        child,
        state,
    )
    text = f"{child.order_ref}: outcome not known ({text}); its quantity stays reserved"
    if now >= core.window_end:
        state, commands = finish(state, FinishReason.UNKNOWN, text)
        return state, (*records, *commands, Alarm(text))
    return state._replace(phase=Phase.BLOCKED, text=text), (*records, Alarm(text))


def _with_unknown(state: TicketState, child: ChildOrder, worked: TicketState) -> TicketState:
    """Keep what a child may still trade reserved, of each of its legs; ``worked`` says what it did so far."""
    doubt = Doubt(child.quantity - worked.child_filled, worked.executed, worked.ending)
    if child.near is not None:
        doubt = doubt._replace(
            near_left=child.quantity - worked.child_near, near_executed=worked.executed_near
        )
    return state._replace(unknown={**state.unknown, child.order_ref: doubt})
