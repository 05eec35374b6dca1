"""Bugs put in on purpose: a simulation that does not catch every one of them proves nothing.

Each canary replaces one function of the shipped code by a version with a well-known mistake, and names the faults
that bring it to light. They exist in tests only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from unittest.mock import patch

import state.fills
from engine.errors import BrokerUnavailable
from engine.execution import (
    answers,
    executor,
    inquiry,
    job_life,
    legging,
    lifecycle,
    line,
    messenger,
    planning,
    pricing,
    recovery,
    revalidation,
    rounds,
    schedule,
    spreads,
    ticket,
)
from engine.execution.ticket import Goal, Phase
from engine.model.context import ControlState
from engine.model.orders import ChildStatus, TransportEventKind, Urgency
from engine.ports import Permission
from state import gate
from state.marks import MemoryMarks
from state.orders import OrderStore
from tests.simulation.order_days.drawing import Fault, often


@dataclass(frozen=True, slots=True)
class Canary:
    """A seeded bug: its name, what it replaces, and the faults under which it does harm."""

    name: str
    patches: tuple[tuple[object, str, Callable[..., object]], ...]
    faults: Mapping[Fault, float]

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """The shipped code with this bug in it."""
        with contextlib.ExitStack() as stack:
            for owner, name, wrong in self.patches:
                right = getattr(owner, name)
                stack.enter_context(patch.object(owner, name, _with(wrong, right)))
            yield


def _with(wrong: Callable[..., object], right: Callable[..., object]) -> Callable[..., object]:
    def replaced(*args: object, **kwargs: object) -> object:
        return wrong(right, *args, **kwargs)

    return replaced


# ---------------------------------------------------------------- the gate


def _claims_twice(right, facts, limits):
    return right(replace(facts, status=ChildStatus.PLANNED), limits)


def _forgets_reservations(right, facts, limits):
    return right(replace(facts, reserved=0, filled=0), limits)


def _ignores_the_halt(right, facts, limits):
    if facts.control is None:
        return right(facts, limits)
    return right(replace(facts, control=replace(facts.control, state=ControlState.ACTIVE)), limits)


def _ignores_the_epoch(right, facts, limits):
    if facts.control is None:
        return right(facts, limits)
    return right(replace(facts, control=replace(facts.control, epoch=facts.epoch)), limits)


def _is_never_superseded(right, self):
    found = right(self)
    return Permission.ALL if found is Permission.SUPERSEDED else found


def _lets_go(right, *args, **options):
    return None


def _sees_no_halt(right, self):
    found = right(self)
    return found if found is Permission.SUPERSEDED else Permission.ALL


@contextlib.contextmanager
def _holds_nothing(right, self):
    """The order is claimed and written without the latch: a halt is called effective while one is on its way."""
    yield lambda: True


# ---------------------------------------------------------------- the machine


def _releases_what_is_lost(right, core, state, text, now):
    """Nothing was heard, so nothing happened: the quantity is free again."""
    after, commands = right(core, state, text, now)
    if after.phase is Phase.BLOCKED:
        after = after._replace(unknown={}, phase=Phase.QUOTING)
    return after, commands


def _waits_for_a_proof(right, core, state, text, now):
    """The run goes on until it is known what became of its orders, however long that takes."""
    return right(replace(core, window_end=now + timedelta(days=1)), state, text, now)


def _believes_any_end(right, message, executed):
    return False


def _counts_on_the_cancel(right, state, goal):
    """A cancel that was asked for counts as done."""
    after, commands = right(state, goal)
    if goal is Goal.REPRICE and after.child is not None:
        after = after._replace(child=None, status=None, phase=Phase.RESTING)
    return after, commands


def _takes_errors_for_ends(right, core, state, message, now, policy):
    if message.kind is TransportEventKind.NOTICE and "cancel" in message.text:
        message = replace(message, kind=TransportEventKind.CANCELLED, filled=None)
    return right(core, state, message, now, policy)


def _says_nothing(right, self, subject, text):
    return None


def _moves_the_anchor(right, core):
    return None


def _knows_no_collar(right, mid, *rest):
    floor, ceiling = right(mid, *rest)
    return floor - 50 * (mid - floor), ceiling + 50 * (ceiling - mid)


def _hurries(right, urgency, policy):
    return right(Urgency.HIGH, policy)


def _rushes(right, urgency, rounds, policy):
    return right(Urgency.HIGH, rounds, policy)


def _takes_any_quote(right, quote, now, max_age_seconds):
    found = right(quote, now, 1e9)
    return found


def _swaps_crossed_sides(right, quote, now, max_age_seconds):
    if quote is not None and quote.bid is not None and quote.ask is not None and quote.bid > quote.ask:
        return replace(quote, bid=quote.ask, ask=quote.bid)
    return right(quote, now, max_age_seconds)


def _starts_at_one(right, core, state, plan, price):
    """Attempts are counted from the start of the process: a restart reuses references."""
    return right(core, state._replace(attempt=len(state.fills)), plan, price)


def _needs_one_side(right, quote, now, max_age_seconds):
    if quote is not None and quote.bid is not None and quote.ask is None:
        return replace(quote, ask=quote.bid)
    return right(quote, now, max_age_seconds)


def _takes_any_number(right, quote, now, max_age_seconds):
    if quote is not None and None not in (quote.bid, quote.ask) and quote.bid <= quote.ask:
        return quote
    return right(quote, now, max_age_seconds)


def _believes_every_price(right, self, price):
    return None


def _overshoots(right, plan, *rest):
    """Rounded away from the collar instead of into it."""
    price = right(plan, *rest)
    return price + plan.side.sign * 30 * abs(plan.price_ceiling - plan.arrival_mid)


# ---------------------------------------------------------------- the write


def _sends_before_it_claims(right, self, intent_id, child):
    self._world.transport.send(child)
    with patch.object(self._world.transport, "send", lambda _: None):
        right(self, intent_id, child)


class _Retrying:
    """A line that writes again what may have left."""

    def __init__(self, line):
        self._line = line

    def __getattr__(self, name):
        return getattr(self._line, name)

    def send(self, child):
        try:
            self._line.send(child)
        except BrokerUnavailable:
            self._line.send(child)


def _sends_again(right, self, jobs, world):
    right(self, jobs, replace(world, transport=_Retrying(world.transport)))


def _only_tells_of_strangers(right, messages, known):
    return None


def _takes_strangers_for_ours(right, self, messages):
    """A fill without our reference is that of our order in the same contract."""
    alive = {
        ticket.state.child.contract_id: ticket.state.child.order_ref
        for ticket in self._inbox.tickets.values()
        if ticket.state.child is not None
    }

    def ours(message):
        ref = None if message.fill is None or message.is_ours else alive.get(message.fill.contract_id)
        if ref is None:
            return message
        return replace(message, order_ref=ref, fill=replace(message.fill, order_ref=ref))

    return right(self, [ours(message) for message in messages])


def _is_deaf(right, self, jobs, world):
    """SIGTERM is not heard."""
    right(self, jobs, replace(world, is_ending=lambda: False))


def _leaves_at_once(right, self, end_by):
    """Its orders are asked to cancel, and nobody waits for the answers."""
    self._left = True
    return True


def _takes_nothing_back(right, whose, order_refs=()):
    return frozenset(order_refs)


def _cancels_only_its_own(right, self):
    with patch.object(self._world.book, "unresolved", tuple):
        right(self)


def _looks_away(right, *args):
    return None


def _knows_no_cutoff(right, job):
    """The order may leave until the outcome is told."""
    found = right(job)
    return None if found is None else found._replace(cutoff=found.told_by)


def _begins_late(right, self, job, now):
    """A job is begun as long as its outcome is not told."""
    return self._start(job) if now < job.ends_at else right(self, job, now)


def _takes_silence_for_nothing(right, core, state, event, now, policy):
    """Nothing was told after the auction, so nothing traded: what was wanted is worked continuously."""
    if state.auction is not None and state.child is not None and event.at == state.expires_at:
        without = state._replace(child=None, status=None, expires_at=None)
        return rounds.leave_auction(core, without, now, policy, "nothing was told after the auction")
    return right(core, state, event, now, policy)


# ---------------------------------------------------------------- recovery and books


def _finds_no_executions(right, executions):
    return {}


def _forgets_earlier_executions(right, core):
    """A restart knows how much was filled, and not by what: a correction counts beside what it corrects."""
    return right(replace(core, children=tuple(replace(row, fills=()) for row in core.children)))


def _skips_late_fills(right, *args):
    return ()


def _takes_absent_for_cancelled(right, record, order, fills):
    found = right(record, order, fills)
    if found is not ChildStatus.UNKNOWN or order is not None:
        return found
    cancelling = record.status is ChildStatus.CANCEL_PENDING
    return ChildStatus.CANCELLED if cancelling else ChildStatus.REJECTED


def _forgets_commissions(right, fill, at):
    return right(replace(fill, commission=fill.commission / 2), at)


def _forgets_late_commissions(right, self, executions):
    return ()


def _books_no_postings(right, connection, account, entries):
    return None


def _takes_pence_for_pounds(right, fill, instrument, sleeves, at):
    return right(fill, replace(instrument, price_magnifier=Decimal(1)), sleeves, at)


def _keeps_both_versions(right, connection, account, execution_id, at):
    return None


def _has_seen_nothing(right, self, account):
    return 0


def _quotes(wrong):
    """Every place that asks whether a quote may be believed."""
    return tuple((place, "usable_quote", wrong) for place in (planning, pricing, spreads, revalidation))


_CANCELS = tuple((place, "cancel_child", _counts_on_the_cancel) for place in (answers, lifecycle, rounds))

CANARIES = (
    Canary("the gate forgets what is reserved", ((gate, "judge", _forgets_reservations), (answers, "_misses_executions", _believes_any_end)), often(Fault.MESSAGE_SWAPPED, Fault.MESSAGE_LATE)),
    Canary("the gate ignores the halt", ((gate, "judge", _ignores_the_halt), (OrderStore, "permission", _sees_no_halt)), often(Fault.HALT)),
    Canary("nobody holds the latch", ((OrderStore, "passage", _holds_nothing),), often(Fault.HALT)),
    Canary("an older epoch may still send", ((gate, "judge", _ignores_the_epoch), (OrderStore, "permission", _is_never_superseded), (OrderStore, "_refuse_superseded", _lets_go)), often(Fault.SECOND_WRITER)),
    Canary("a lost order counts as not sent", ((answers, "visibility_lost", _releases_what_is_lost), (lifecycle, "visibility_lost", _releases_what_is_lost), (gate, "judge", _forgets_reservations)), often(Fault.SEND_UNKNOWN)),
    Canary("an end is believed before its executions came", ((answers, "_misses_executions", _believes_any_end),), often(Fault.MESSAGE_SWAPPED, Fault.MESSAGE_LATE)),
    Canary("an error code counts as an end", ((lifecycle, "broker_message", _takes_errors_for_ends), (gate, "judge", _forgets_reservations)), often(Fault.FALSE_CANCEL)),
    Canary("doubt is told to nobody", ((messenger.Messenger, "alarm", _says_nothing),), often(Fault.SEND_SILENT, Fault.SEND_LOST)),
    Canary("a restart moves the anchor of the collar", ((planning, "first_mid", _moves_the_anchor),), often(Fault.DEATH)),
    Canary("the collar does not hold", ((pricing, "collar", _knows_no_collar),), {}),
    Canary("every order may pay what an urgent one may", ((pricing, "widest_collar", _hurries), (pricing, "pace_of", _rushes)), {}),
    Canary("an old quote is good enough", _quotes(_takes_any_quote), often(Fault.QUOTE_STALE)),
    Canary("a crossed quote is turned round", _quotes(_swaps_crossed_sides), often(Fault.QUOTE_CROSSED)),
    Canary("nobody notices an older copy", ((MemoryMarks, "highest", _has_seen_nothing),), often(Fault.RESTORE, Fault.DEATH, Fault.REDUCING)),
    Canary("a restart looks at no executions", ((recovery, "_by_reference", _finds_no_executions),), often(Fault.DEATH)),
    Canary("executions of ended orders are not booked", ((recovery, "_late_fills", _skips_late_fills),), often(Fault.BUST, Fault.CORRECTION)),
    Canary("an order that is not listed counts as rejected", ((recovery, "_outcome", _takes_absent_for_cancelled),), {Fault.DEATH: 0.1, Fault.QUERY_LAGS: 0.9}),
    Canary("a restart forgets which executions it has", ((ticket, "new_ticket", _forgets_earlier_executions),), {Fault.CORRECTION: 0.1, Fault.BUST: 0.02, Fault.DEATH: 0.02}),
    Canary("half of each commission is forgotten", ((state.fills, "commission", _forgets_commissions),), {}),
    Canary("a corrected execution keeps its first version", ((state.fills, "take_back", _keeps_both_versions),), often(Fault.BUST, Fault.CORRECTION)),
    Canary("a restart uses references again that were claimed", ((rounds, "_new_child", _starts_at_one), (gate, "judge", _claims_twice)), often(Fault.DEATH)),
    Canary("a cancel that was asked for counts as done", (*_CANCELS, (gate, "judge", _forgets_reservations)), often(Fault.CANCEL_LOST, Fault.MESSAGE_LATE)),
    Canary("the halt is looked at outside of the claim", ((gate, "judge", _ignores_the_halt),), often(Fault.HALT)),
    Canary("an order leaves before it is claimed", ((line.OrderLine, "send", _sends_before_it_claims),), often(Fault.COMMIT_LOST, Fault.DEATH)),
    Canary("what may have left is written again", ((executor.OrderManager, "__init__", _sends_again),), often(Fault.SEND_UNKNOWN)),
    Canary("an empty answer counts as no orders", ((recovery, "_outcome", _takes_absent_for_cancelled),), {Fault.DEATH: 0.2, Fault.QUERY_EMPTY: 0.9}),
    Canary("a commission that comes late is forgotten", ((OrderStore, "uncharged", _forgets_late_commissions),), {Fault.COMMISSION_LATE: 0.6, Fault.DEATH: 0.1}),
    Canary("executions are kept and not posted", ((state.fills, "post_entries", _books_no_postings),), {}),
    Canary("pence are booked as pounds", ((state.fills, "trade", _takes_pence_for_pounds),), {}),
    Canary("one side of a market is enough", _quotes(_needs_one_side), often(Fault.QUOTE_ONE_SIDED)),
    Canary("-1 is a price", (*_quotes(_takes_any_number), (revalidation.PriceReference, "refusal", _believes_every_price)), often(Fault.QUOTE_NEGATIVE)),
    Canary("a delayed quote is good enough", _quotes(_takes_any_quote), often(Fault.QUOTE_DELAYED)),
    Canary("a limit is rounded out of its collar", ((planning, "limit_price", _overshoots),), {}),
    Canary("a stranger in the account is only told", ((executor, "refuse_strangers", _only_tells_of_strangers),), often(Fault.FOREIGN_ORDER, Fault.FOREIGN_TRADE)),
    Canary("a stranger's trade is booked as ours", ((executor.OrderManager, "_read", _takes_strangers_for_ours),), often(Fault.FOREIGN_TRADE)),
    Canary("an order for an auction leaves after its cut-off", ((schedule, "auction_of", _knows_no_cutoff), (schedule.JobSchedule, "_open", _begins_late)), {Fault.CUTOFF_DEATH: 0.5}),
    Canary("an auction of which nothing is told counts as not traded", ((lifecycle, "_deadline", _takes_silence_for_nothing), (gate, "judge", _forgets_reservations)), {Fault.AUCTION_UNHEARD: 1.0, Fault.QUERY_EMPTY: 0.95}),
    Canary("a roll on one leg is told to nobody", ((legging.LeggingWatch, "_tell", _looks_away),), {Fault.LEG_REFUSED: 1.0}),
    Canary("a run waits until every doubt is decided", ((answers, "visibility_lost", _waits_for_a_proof), (lifecycle, "visibility_lost", _waits_for_a_proof)), often(Fault.HALF_OPEN)),
    Canary("a process works on though it was asked to end", ((executor.OrderManager, "__init__", _is_deaf),), often(Fault.TERMINATE)),
    Canary("a process leaves before its cancels are confirmed", ((executor.OrderManager, "_leave", _leaves_at_once),), often(Fault.TERMINATE)),
    Canary("a process leaves what an earlier one ordered", ((job_life.JobLife, "take_back", _takes_nothing_back),), {Fault.DEATH: 0.02, Fault.TERMINATE: 0.03}),
    Canary("a run that stops leaves what an earlier one ordered", ((line.OrderLine, "cancel_all", _cancels_only_its_own),), {Fault.DEATH: 0.03, Fault.FOREIGN_ORDER: 0.02}),
    Canary("what a restored book has lost works on", ((recovery, "recall", _takes_nothing_back), (inquiry, "recall", _takes_nothing_back)), {Fault.DEATH: 0.03, Fault.RESTORE: 0.5}),
)  # fmt: skip
