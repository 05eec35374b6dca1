"""One round of a parent order: ask for a quote, price a child inside the collar, reprice it, rest, end.

The building blocks of `engine.execution.lifecycle`: each takes the parent's core and state and answers with the
next state and the commands for the outside.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from engine.errors import InvariantError
from engine.execution.pace import Pace, pace_of
from engine.execution.planning import arrival_mids, child_price, offered_quote, plan_of
from engine.execution.pricing import (
    PlanRefusal,
    Step,
    is_marketable,
)
from engine.execution.revalidation import retarget
from engine.execution.slicing import Slices
from engine.execution.ticket import (
    Alarm,
    Cancel,
    ClaimAndSend,
    DeadlineKind,
    Finish,
    FinishReason,
    Goal,
    OrderCore,
    Phase,
    QuoteArrived,
    RecordStatus,
    RequestQuote,
    Result,
    SetDeadline,
    StartLeg,
    TicketState,
    quantity_to_work,
)
from engine.model.market import Quote
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, OrderPlan, order_reference
from engine.model.policy import ExecutionPolicy
from engine.model.spreads import NearLeg


def _pace(core: OrderCore, state: TicketState, policy: ExecutionPolicy) -> Pace:
    return pace_of(core.intent.urgency, state.rounds, policy)


def open_round(core: OrderCore, state: TicketState, now: datetime, policy: ExecutionPolicy) -> Result:
    """Begin a time to live, unless one runs."""
    if state.expires_at is not None or state.auction is not None:
        return state, ()
    at = min(now + timedelta(seconds=_pace(core, state, policy).ttl_seconds), core.ends(state))
    return state._replace(expires_at=at, step=0), (SetDeadline(at, DeadlineKind.TIME_TO_LIVE),)


def arm_reprice(
    core: OrderCore, state: TicketState, now: datetime, policy: ExecutionPolicy, *, steps: int = 0
) -> Result:
    """Look at the child's price again after the replace interval, so many steps of the round on.

    An auction's child waits for its outcome instead.
    """
    if state.auction is not None:
        at = state.auction.told_by
        return state._replace(expires_at=at), (SetDeadline(at, DeadlineKind.TIME_TO_LIVE),)
    at = now + _pace(core, state, policy).replace_interval
    armed = state._replace(reprice_at=at, step=state.step + steps)
    return armed, (SetDeadline(at, DeadlineKind.REPRICE),)


def ask(core: OrderCore, state: TicketState, now: datetime, policy: ExecutionPolicy) -> Result:
    """Ask for a quote to make the next child, or end where nothing is left to order, or no time to order it.

    Spreads whose fate is open block both legs: whatever they filled may not be traded again. A window closes on a parent
    once: who would still wait for a quote or a proof then, would wait for ever.
    """
    wanted, is_late = quantity_to_work(core, state), now >= core.window_end
    if state.unknown and (state.is_spread or state.filled < wanted):
        return _blocked(state, is_late=is_late)
    if state.is_spread and state.filled >= _wanted(core, state):
        return leave_spread(core, state, now, policy, "")
    if state.filled >= core.intent.quantity:
        return finish(state, FinishReason.FILLED, "")
    if state.filled >= wanted:
        return finish(state, FinishReason.NOTHING_LEFT, core.less)
    if state.auction is not None:
        if now >= state.auction.cutoff:
            return leave_auction(core, state, now, policy, "the auction's cut-off passed")
        return state._replace(phase=Phase.QUOTING, quote_at=None), (RequestQuote(),)
    if is_late:
        return finish(state, FinishReason.WINDOW_CLOSED, state.text)
    if core.slices is not None and state.filled >= state.released:
        if state.next_slice_at is not None and now < state.next_slice_at:
            return _wait_for_slice(state, state.next_slice_at)
        state = _release_slice(core, state, core.slices, now)
    state, clock = open_round(core, state, now, policy)
    return state._replace(phase=Phase.QUOTING, quote_at=None), (*clock, RequestQuote())


def _blocked(state: TicketState, *, is_late: bool) -> Result:
    """Wait for the proof of what became of lost children; after the window the doubt is left to the next run."""
    text = f"blocked: the outcome of {', '.join(sorted(state.unknown))} is not known"
    if is_late:
        state, commands = finish(state, FinishReason.UNKNOWN, text)
        return state, (*commands, Alarm(text))
    return state._replace(phase=Phase.BLOCKED, text=text), (Alarm(text),)


def _wanted(core: OrderCore, state: TicketState) -> Decimal:
    """Quantity that may be worked in the way in which the parent is worked now."""
    return core.near.quantity if core.near is not None and state.is_spread else quantity_to_work(core, state)


def leave_spread(
    core: OrderCore, state: TicketState, now: datetime, policy: ExecutionPolicy, text: str
) -> Result:
    """Go on with the outright legs: what spreads did not do, and what the strategy wants beyond them.

    Both begin at once, inside the collars of their arrival with the roll.
    """
    if core.near is None:
        raise InvariantError(f"{core.intent.intent_id}: it is worked as no spread")
    mids = state.mids
    outright = state._replace(
        is_spread=False,
        plan=None,
        step=0,
        rounds=0,
        released=state.filled,
        next_slice_at=None,
        reprice_at=None,
        expires_at=None,
        arrival_mid=None if mids is None else mids.far,
        text=text,
    )
    begun, commands = ask(core, outright, now, policy)
    return begun, (StartLeg(core.near.intent_id, None if mids is None else mids.near), *commands)


def leave_auction(
    core: OrderCore,
    state: TicketState,
    now: datetime,
    policy: ExecutionPolicy,
    text: str,
    reason: FinishReason = FinishReason.WINDOW_CLOSED,
) -> Result:
    """Work continuously what the auction left, inside the same collar, while that window is open; else end."""
    fallback = None if state.auction is None else state.auction.fallback
    if fallback is None or now >= fallback.end:
        return finish(state, reason, text)
    mid = state.arrival_mid if state.plan is None else state.plan.arrival_mid
    outright = state._replace(
        auction=None,
        plan=None,
        arrival_mid=mid,
        step=0,
        rounds=0,
        expires_at=None,
        reprice_at=None,
        text=text,
    )
    if now >= fallback.start:
        return ask(core, outright, now, policy)
    waiting = outright._replace(phase=Phase.RESTING, quote_at=fallback.start)
    return waiting, (SetDeadline(fallback.start, DeadlineKind.QUOTE),)


def _wait_for_slice(state: TicketState, at: datetime) -> Result:
    waiting = state._replace(phase=Phase.RESTING, expires_at=None, reprice_at=None, quote_at=at)
    return waiting, (SetDeadline(at, DeadlineKind.QUOTE),)


def _release_slice(core: OrderCore, state: TicketState, slices: Slices, now: datetime) -> TicketState:
    """Let the next slice trade, with a time to live and prices of its own; a slow one is not made good for."""
    return state._replace(
        released=min(state.filled + slices.quantity, _wanted(core, state)),
        next_slice_at=now + timedelta(seconds=slices.interval_seconds),
        expires_at=None,
        step=0,
    )


def finish(state: TicketState, reason: FinishReason, text: str) -> Result:
    """End the parent; its clocks stop. What was not wanted any more is told with why the rest stayed open."""
    if state.less and reason is not FinishReason.FILLED:
        text = f"{state.less}; {text}" if text else state.less
    ended = state._replace(
        phase=Phase.DONE, finish=reason, text=text, quote_at=None, reprice_at=None, expires_at=None
    )
    return ended, (Finish(reason, text),)


def rest(core: OrderCore, state: TicketState, now: datetime, policy: ExecutionPolicy, text: str) -> Result:
    """Wait before the next round, inside the window and the same collar; spreads have one round only."""
    if state.is_spread:
        return leave_spread(core, state, now, policy, text)
    at = now + timedelta(seconds=_pace(core, state, policy).rest_seconds)
    if state.auction is not None:
        if now >= state.auction.cutoff:
            return leave_auction(core, state, now, policy, text)
        at = min(at, state.auction.cutoff)
    if at >= core.ends(state):
        return finish(state, FinishReason.WINDOW_CLOSED, text)
    resting = state._replace(
        phase=Phase.RESTING,
        expires_at=None,
        reprice_at=None,
        quote_at=at,
        step=0,
        rounds=state.rounds + 1,
        text=text,
    )
    return resting, (SetDeadline(at, DeadlineKind.QUOTE),)


def quote_arrived(
    core: OrderCore, state: TicketState, offered: QuoteArrived, now: datetime, policy: ExecutionPolicy
) -> Result:
    """Make the next child at this quote, or decide whether the working one gets a new price."""
    if state.phase not in (Phase.QUOTING, Phase.WORKING):
        return state, ()
    last_send = core.ends(state) if state.auction is None else state.auction.cutoff
    if state.phase is Phase.QUOTING and now >= last_send:
        return _too_late(core, state, now, policy)
    return _priced(core, state, offered, now, policy)


def _too_late(core: OrderCore, state: TicketState, now: datetime, policy: ExecutionPolicy) -> Result:
    """The market's answer took until nothing may leave any more."""
    if state.auction is not None:
        return leave_auction(core, state, now, policy, "the auction's cut-off passed")
    return finish(state, FinishReason.WINDOW_CLOSED, state.text)


def _priced(
    core: OrderCore, state: TicketState, offered: QuoteArrived, now: datetime, policy: ExecutionPolicy
) -> Result:
    phase = state.phase
    if state.is_spread and state.mids is None:
        state = state._replace(mids=arrival_mids(core, offered, now, policy))
    plan = state.plan if state.plan is not None else plan_of(core, state, offered, now, policy)
    if isinstance(plan, PlanRefusal):
        return _unpriced(core, state, plan, now, policy)
    if state.plan is None:
        state, commands = _retargeted(core, state._replace(plan=plan), plan)
        if state.phase is not phase:
            return state, commands
    if state.auction is not None:
        return _new_child(core, state, plan, plan.limit_price) if phase is Phase.QUOTING else (state, ())
    quote = offered_quote(state, offered, now, policy.quote_age_price_seconds)
    if isinstance(quote, PlanRefusal):
        return _unpriced(core, state, quote, now, policy)
    if state.phase is Phase.WORKING:
        return _reprice(core, state, plan, quote, now, policy)
    price = child_price(core, state, plan, quote, Step(state.step, state.rounds), policy)
    if state.rounds and not is_marketable(plan.side, price, quote):
        # It rested at its collar once; more orders that can not trade would only use up the day's count.
        return no_quote(core, state, "the market is outside the collar of the arrival", now, policy)
    return _new_child(core, state, plan, price)


def _retargeted(core: OrderCore, state: TicketState, plan: OrderPlan) -> Result:
    """What the price on arrival leaves of the wish; a restart finds the same, for its arrival is the first one's.

    An order found alive from an earlier attempt is cancelled where it would trade more than that.
    """
    if core.wish is None or state.is_spread:
        return state, ()
    found = retarget(core.intent, core.wish, plan.arrival_mid, core.instrument.lot)
    if found is None:
        return state, ()
    state = state._replace(wanted=found.quantity, less=found.text)
    notes = (Alarm(f"{core.intent.contract_id}: {found.text}"),) if found.is_turned else ()
    wanted, child = quantity_to_work(core, state), state.child
    if child is None and state.filled >= wanted:
        state, commands = finish(state, FinishReason.NOTHING_LEFT, "")
    elif child is not None and state.filled + child.quantity - state.child_filled > wanted:
        state, commands = cancel_child(state, Goal.REPRICE)
    else:
        return state, notes
    return state, (*notes, *commands)


def _unpriced(
    core: OrderCore, state: TicketState, refusal: PlanRefusal, now: datetime, policy: ExecutionPolicy
) -> Result:
    if not refusal.is_transient and state.phase is Phase.QUOTING:
        if state.is_spread:
            return leave_spread(core, state, now, policy, refusal.text)
        return finish(state, FinishReason.REFUSED, refusal.text)
    return no_quote(core, state, refusal.text, now, policy)


def no_quote(
    core: OrderCore, state: TicketState, text: str, now: datetime, policy: ExecutionPolicy
) -> Result:
    """Nothing can be priced or sent now: ask again after the replace interval."""
    if state.phase is Phase.WORKING:
        return arm_reprice(core, state, now, policy)
    if state.phase is not Phase.QUOTING:
        return state, ()
    at = now + _pace(core, state, policy).replace_interval
    return state._replace(quote_at=at, text=text), (SetDeadline(at, DeadlineKind.QUOTE),)


def _new_child(core: OrderCore, state: TicketState, plan: OrderPlan, price: Decimal) -> Result:
    attempt, mids = state.attempt + 1, state.mids if state.is_spread else None
    near = None
    if core.near is not None and mids is not None:
        near = NearLeg(
            intent_id=core.near.intent_id, contract_id=core.near.contract_id, arrival_mid=mids.near
        )
    child = ChildOrder(
        order_ref=order_reference(core.intent.intent_id, attempt),
        intent_id=core.intent.intent_id,
        attempt=attempt,
        contract_id=core.intent.contract_id,
        side=core.intent.side,
        quantity=_released(core, state) - state.filled,
        order_type=plan.order_type,
        limit_price=price,
        time_in_force=plan.time_in_force,
        good_till=core.ends(state),
        arrival_mid=plan.arrival_mid if mids is None else mids.far,
        near=near,
    )
    claiming = state._replace(
        phase=Phase.CLAIMING,
        child=child,
        status=ChildStatus.PLANNED,
        child_filled=ZERO,
        executed=ZERO,
        ending=None,
        child_near=ZERO,
        executed_near=ZERO,
        attempt=attempt,
    )
    return claiming, (ClaimAndSend(child),)


def _released(core: OrderCore, state: TicketState) -> Decimal:
    wanted = _wanted(core, state)
    return wanted if core.slices is None or state.auction is not None else min(wanted, state.released)


def _reprice(
    core: OrderCore,
    state: TicketState,
    plan: OrderPlan,
    quote: Quote,
    now: datetime,
    policy: ExecutionPolicy,
) -> Result:
    """Cancel for a new price, or keep the place in the queue where the price would be the same."""
    price = child_price(core, state, plan, quote, Step(state.step + 1, state.rounds), policy)
    if state.child is not None and price != state.child.limit_price:
        return cancel_child(state, Goal.REPRICE)
    return arm_reprice(core, state, now, policy, steps=1)


def reprice_due(core: OrderCore, state: TicketState, now: datetime, policy: ExecutionPolicy) -> Result:
    """Look for a better price, until the last one of the round, which rests until its time is over."""
    if state.phase is not Phase.WORKING:
        return state, ()
    pace = _pace(core, state, policy)
    if state.step >= pace.max_replaces:
        return _ladder_ended(core, state) if pace.climbs and not state.rounds else (state, ())
    return state, (RequestQuote(),)


def _ladder_ended(core: OrderCore, state: TicketState) -> Result:
    """Nothing wider may be paid: a person has to hedge or to decide what is left (R-61)."""
    left = quantity_to_work(core, state) - state.filled
    return state, (Alarm(f"{core.intent.contract_id}: {left} unfilled on the last rung of the emergency"),)


def cancel_child(state: TicketState, goal: Goal) -> Result:
    """Ask for the child's cancel; what follows waits for the broker's confirmation."""
    if state.child is None:
        raise InvariantError("there is no child to cancel")
    ref = state.child.order_ref
    if state.status is ChildStatus.WORKING:
        state = state._replace(phase=Phase.CANCELLING, goal=goal, status=ChildStatus.CANCEL_PENDING)
        return state, (RecordStatus(ref, ChildStatus.CANCEL_PENDING, goal.value), Cancel(ref))
    return state._replace(phase=Phase.CANCELLING, goal=goal), (Cancel(ref),)
