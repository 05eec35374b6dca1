from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import IllegalTransition, InvariantError
from engine.execution import ticket as t
from engine.execution.lifecycle import step
from engine.execution.slicing import Slices
from engine.model.orders import ChildOrder, ChildStatus, Fill, TransportEvent, TransportEventKind, Urgency
from engine.model.policy import ExecutionPolicy
from engine.ports import ChildRecord, GateOutcome, Permission
from tests.engine.execution.market import NOON, UNIVERSE, execution_policy, intent, quote

POLICY: ExecutionPolicy = execution_policy()
KINDS = [kind for kind in TransportEventKind if kind is not TransportEventKind.FILL]


def fresh(urgency: Urgency = Urgency.NORMAL, slices: Slices | None = None) -> t.OrderTicket:
    return t.new_ticket(
        t.OrderCore(
            intent=intent(urgency=urgency),
            slices=slices,
            instrument=UNIVERSE["CSPX"],
            window_end=NOON + timedelta(hours=1),
            quantity=D(100),
        )
    )


def after(*events: t.Event, at: datetime = NOON) -> tuple[t.OrderTicket, t.Commands]:
    """Ticket and last commands after events, five seconds apart from each other."""
    ticket, commands = fresh(), ()
    for number, event in enumerate(events):
        ticket, commands = step(ticket, event, at + timedelta(seconds=5 * number), POLICY)
    return ticket, commands


def told(kind: TransportEventKind, ticket: t.OrderTicket, fill: Fill | None = None) -> t.Broker:
    ref = ticket.state.child.order_ref if ticket.state.child else "AF1.OLD.1"
    return t.Broker(TransportEvent(kind=kind, at=NOON, order_ref=ref, fill=fill))


def market(second: int = 0) -> t.QuoteArrived:
    return t.QuoteArrived(quote(at=NOON + timedelta(seconds=second)))


SENT = (t.Start(), market(5), t.ClaimResult(GateOutcome.CLAIMED))


def test_start_asks_for_a_quote_and_starts_the_clock() -> None:
    _, commands = after(t.Start())
    assert commands == (
        t.SetDeadline(NOON + timedelta(seconds=120), t.DeadlineKind.TIME_TO_LIVE),
        t.RequestQuote(),
    )


def test_quote_becomes_a_child_that_asks_the_send_gate() -> None:
    ticket, commands = after(t.Start(), market(5))
    assert [type(command) for command in commands] == [t.ClaimAndSend]
    assert (ticket.state.phase, ticket.reserved) == (t.Phase.CLAIMING, 100)


def test_quote_that_is_told_after_the_window_makes_no_child() -> None:
    end = fresh().core.window_end
    ticket, _ = step(fresh(), t.Start(), end - timedelta(seconds=1), POLICY)
    late = t.QuoteArrived(quote(at=end))
    ticket, commands = step(ticket, late, end, POLICY)
    assert [type(command) for command in commands] == [t.Finish]
    assert (ticket.state.finish, ticket.reserved) == (t.FinishReason.WINDOW_CLOSED, 0)


def test_end_of_the_window_cancels_what_works_and_waits_for_its_confirmation() -> None:
    ticket, _ = after(*SENT)
    ticket, _ = step(ticket, told(TransportEventKind.ACKNOWLEDGED, ticket), NOON, POLICY)
    end = ticket.core.window_end
    ticket, commands = step(ticket, t.WindowClosing(), end, POLICY)
    assert t.Cancel(ticket.state.child.order_ref if ticket.state.child else "") in commands
    assert (ticket.is_done, ticket.reserved) == (False, 100)
    ticket, _ = step(ticket, told(TransportEventKind.CANCELLED, ticket), end, POLICY)
    assert (ticket.state.finish, ticket.reserved) == (t.FinishReason.WINDOW_CLOSED, 0)


def test_nothing_is_modified_in_place() -> None:
    ticket, _ = after(*SENT)
    ticket, _ = step(ticket, told(TransportEventKind.ACKNOWLEDGED, ticket), NOON, POLICY)
    at = ticket.state.reprice_at
    assert at is not None
    ticket, asked = step(ticket, t.Deadline(t.DeadlineKind.REPRICE, at), at, POLICY)
    assert asked == (t.RequestQuote(),)
    ticket, commands = step(ticket, t.QuoteArrived(quote(at=at)), at, POLICY)
    assert [type(command) for command in commands] == [t.RecordStatus, t.Cancel]
    # Only the broker's confirmation asks for the price of the next child.
    _, commands = step(ticket, told(TransportEventKind.CANCELLED, ticket), at, POLICY)
    assert [type(command) for command in commands] == [t.RecordStatus, t.RequestQuote]


@pytest.mark.parametrize("age", [6, 29])
def test_quote_too_old_to_price_makes_no_child(age: int) -> None:
    ticket, commands = after(t.Start(), market(5 - age))
    assert [type(command) for command in commands] == [t.SetDeadline]
    assert ticket.state.child is None


def test_clock_that_was_replaced_has_no_effect() -> None:
    ticket, _ = after(*SENT)
    stale = t.Deadline(t.DeadlineKind.REPRICE, NOON)
    assert step(ticket, stale, NOON, POLICY) == (ticket, ())


def test_second_start_is_refused() -> None:
    with pytest.raises(InvariantError, match="starts once"):
        after(t.Start(), t.Start())


def test_answer_of_the_gate_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(InvariantError, match="nobody asked"):
        after(t.ClaimResult(GateOutcome.CLAIMED))


def test_rejection_of_a_child_being_cancelled_ends_its_parent_and_is_told() -> None:
    ticket, _ = after(*SENT)
    for event in (told(TransportEventKind.ACKNOWLEDGED, ticket), t.HaltRequested(Permission.HALTED)):
        ticket, _ = step(ticket, event, NOON, POLICY)
    ticket, commands = step(ticket, told(TransportEventKind.REJECTED, ticket), NOON, POLICY)
    assert ChildStatus.REJECTED in [one.status for one in commands if isinstance(one, t.RecordStatus)]
    assert [one.text for one in commands if isinstance(one, t.Alarm)] != []
    assert ticket.state.phase is t.Phase.DONE


def told_of(ref: str, kind: TransportEventKind) -> t.Broker:
    return t.Broker(TransportEvent(kind=kind, at=NOON, order_ref=ref))


def filled_child() -> tuple[t.OrderTicket, str]:
    """A parent whose one child of 100 filled."""
    ticket, _ = after(*SENT)
    whole = execution(ticket, "100", "E1.01")
    ticket, _ = step(ticket, whole, NOON, POLICY)
    return ticket, whole.event.order_ref or ""


@pytest.mark.parametrize(
    "kind", [TransportEventKind.REJECTED, TransportEventKind.CANCELLED, TransportEventKind.EXPIRED]
)
def test_other_end_of_a_filled_child_is_illegal_and_says_whose_it_is(kind: TransportEventKind) -> None:
    ticket, ref = filled_child()
    with pytest.raises(
        IllegalTransition, match=f"order {ref}: no arrow leads from FILLED to {kind.name}"
    ) as told_:
        step(ticket, told_of(ref, kind), NOON, POLICY)
    assert (told_.value.subject, told_.value.before, told_.value.after) == (
        f"order {ref}",
        "FILLED",
        kind.name,
    )


def test_news_that_comes_again_or_late_of_a_child_that_ended_changes_nothing() -> None:
    ticket, ref = filled_child()
    for kind in (TransportEventKind.ACKNOWLEDGED, TransportEventKind.NOTICE):
        assert step(ticket, told_of(ref, kind), NOON, POLICY) == (ticket, ())
    cancelled, _ = after(*SENT)
    again = told(TransportEventKind.CANCELLED, cancelled)
    cancelled, _ = step(cancelled, again, NOON, POLICY)
    assert step(cancelled, again, NOON, POLICY) == (cancelled, ())


def after_an_attempt(status: ChildStatus) -> tuple[t.OrderTicket, ChildOrder]:
    """A parent that starts with a child of an earlier attempt in a state."""
    core = fresh().core
    _, commands = after(t.Start(), market(5))
    child = next(command.child for command in commands if isinstance(command, t.ClaimAndSend))
    record = ChildRecord(child=child, status=status, filled=D(0), sent_at=None)
    ticket, _ = step(t.new_ticket(replace(core, children=(record,))), t.Start(), NOON, POLICY)
    return ticket, child


@pytest.mark.parametrize("status", [ChildStatus.ABANDONED, ChildStatus.ABSENT])
@pytest.mark.parametrize(
    "kind",
    [TransportEventKind.ACKNOWLEDGED, TransportEventKind.CANCELLED, TransportEventKind.REJECTED],
)
def test_any_life_of_a_child_that_was_never_there_is_illegal(
    status: ChildStatus, kind: TransportEventKind
) -> None:
    ticket, child = after_an_attempt(status)
    with pytest.raises(IllegalTransition, match=f"from {status.value} to"):
        step(ticket, told_of(child.order_ref, kind), NOON, POLICY)


def test_child_that_shows_life_after_its_absence_was_proved_is_illegal() -> None:
    ticket, _ = after(*SENT)
    acknowledged = told(TransportEventKind.ACKNOWLEDGED, ticket)
    ref = acknowledged.event.order_ref or ""
    for event in (t.VisibilityLost("the line broke"), t.ProvedAbsent(ref)):
        ticket, _ = step(ticket, event, NOON, POLICY)
    with pytest.raises(IllegalTransition, match=f"order {ref}: no arrow leads from ABSENT to WORKING"):
        step(ticket, acknowledged, NOON, POLICY)


@pytest.mark.parametrize("status", [ChildStatus.ABANDONED, ChildStatus.ABSENT, ChildStatus.REJECTED])
def test_execution_of_a_child_that_can_not_have_traded_is_illegal(status: ChildStatus) -> None:
    ticket, child = after_an_attempt(status)
    with pytest.raises(IllegalTransition, match=f"{status.value} to FILLED"):
        step(ticket, execution_of(child.order_ref, "40", "E1.01"), NOON, POLICY)


@pytest.mark.parametrize("status", [ChildStatus.CANCELLED, ChildStatus.EXPIRED])
def test_execution_that_comes_after_the_end_is_counted_and_alarmed(status: ChildStatus) -> None:
    ticket, child = after_an_attempt(status)
    ticket, commands = step(ticket, execution_of(child.order_ref, "40", "E1.01"), NOON, POLICY)
    assert (ticket.state.filled, [type(command) for command in commands]) == (40, [t.Alarm])


def rejected_in_part() -> tuple[t.OrderTicket, str]:
    """A parent whose child traded 40 of 100 and was rejected then."""
    ticket, _ = after(*SENT)
    ref = ticket.state.child.order_ref if ticket.state.child else ""
    for event in (execution(ticket, "40", "E1.01"), end_of(ref, TransportEventKind.REJECTED, "40")):
        ticket, _ = step(ticket, event, NOON, POLICY)
    assert ticket.state.ended == {ref: ChildStatus.REJECTED}
    return ticket, ref


def rejected_in_an_attempt() -> tuple[t.OrderTicket, str]:
    """A parent that starts with a child of an earlier attempt that traded 40 of 100 and was rejected then."""
    ticket, child = after_an_attempt(ChildStatus.REJECTED)
    traded = execution_of(child.order_ref, "40", "E1.01").event.fill
    assert traded is not None
    record = replace(ticket.core.children[0], filled=D(40), fills=(traded,))
    ticket, _ = step(t.new_ticket(replace(ticket.core, children=(record,))), t.Start(), NOON, POLICY)
    return ticket, child.order_ref


def end_of(ref: str, kind: TransportEventKind, filled: str | None) -> t.Broker:
    counted = None if filled is None else D(filled)
    return t.Broker(TransportEvent(kind=kind, at=NOON, order_ref=ref, filled=counted))


@pytest.mark.parametrize("rejected", [rejected_in_part, rejected_in_an_attempt])
@pytest.mark.parametrize("quantity", ["0", "25", "40"])
def test_correction_of_what_a_rejected_child_traded_before_is_counted_and_alarmed(
    rejected: Callable[[], tuple[t.OrderTicket, str]], quantity: str
) -> None:
    ticket, ref = rejected()
    assert ticket.state.filled == 40
    ticket, commands = step(ticket, execution_of(ref, quantity, "E1.02"), NOON, POLICY)
    assert (ticket.state.filled, [type(command) for command in commands]) == (D(quantity), [t.Alarm])


@pytest.mark.parametrize("rejected", [rejected_in_part, rejected_in_an_attempt])
def test_further_execution_of_a_child_that_was_rejected_in_part_is_illegal(
    rejected: Callable[[], tuple[t.OrderTicket, str]],
) -> None:
    ticket, ref = rejected()
    with pytest.raises(
        IllegalTransition, match=f"order {ref}, execution E2.01: no arrow leads from REJECTED"
    ):
        step(ticket, execution_of(ref, "20", "E2.01"), NOON, POLICY)


def filled_in_doubt() -> tuple[t.OrderTicket, str]:
    """A parent whose one child was lost, and found by its execution of all 100."""
    ticket, _ = after(*SENT)
    whole = execution(ticket, "100", "E1.01")
    for event in (t.VisibilityLost("the line broke"), whole):
        ticket, _ = step(ticket, event, NOON, POLICY)
    return ticket, whole.event.order_ref or ""


def filled_in_an_attempt() -> tuple[t.OrderTicket, str]:
    """A parent that starts with a child of an earlier attempt that filled, and whose execution was corrected since."""
    ticket, child = after_an_attempt(ChildStatus.FILLED)
    first, second = (
        execution_of(child.order_ref, *told_).event.fill for told_ in (("100", "E1.01"), ("70", "E1.02"))
    )
    assert first is not None
    assert second is not None
    record = replace(ticket.core.children[0], filled=D(70), fills=(second,), corrected=(first,))
    ticket, _ = step(t.new_ticket(replace(ticket.core, children=(record,))), t.Start(), NOON, POLICY)
    return ticket, child.order_ref


FILLED = [filled_child, filled_in_doubt, filled_in_an_attempt]


@pytest.mark.parametrize("filled", FILLED)
@pytest.mark.parametrize("kind", [TransportEventKind.CANCELLED, TransportEventKind.EXPIRED])
def test_end_of_a_filled_child_that_counts_its_whole_quantity_is_alarmed_and_changes_nothing(
    filled: Callable[[], tuple[t.OrderTicket, str]], kind: TransportEventKind
) -> None:
    """A late fill took all that the cancel had left: one answer of the broker tells the fill, then the end."""
    before, ref = filled()
    ticket, commands = step(before, end_of(ref, kind, "100"), NOON, POLICY)
    assert ticket is before
    assert [type(command) for command in commands] == [t.Alarm]


@pytest.mark.parametrize("filled", FILLED)
@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        (TransportEventKind.CANCELLED, "99"),
        (TransportEventKind.CANCELLED, "0"),
        (TransportEventKind.CANCELLED, None),
        (TransportEventKind.EXPIRED, "70"),
        (TransportEventKind.REJECTED, "100"),
    ],
)
def test_end_of_a_filled_child_that_counts_less_or_refuses_it_is_illegal(
    filled: Callable[[], tuple[t.OrderTicket, str]], kind: TransportEventKind, counted: str | None
) -> None:
    ticket, ref = filled()
    with pytest.raises(IllegalTransition, match=f"order {ref}: no arrow leads from FILLED to {kind.name}"):
        step(ticket, end_of(ref, kind, counted), NOON, POLICY)


@pytest.mark.parametrize("refused", [GateOutcome.HALTED, GateOutcome.REDUCE_ONLY])
def test_child_that_a_halt_stopped_at_the_gate_is_given_up_and_its_parent_waits(refused: GateOutcome) -> None:
    """A halt that comes between quote and claim ends no parent: it goes on when the halt is resolved."""
    ticket, commands = after(t.Start(), market(5), t.ClaimResult(refused))
    assert [one.status for one in commands if isinstance(one, t.RecordStatus)] == [ChildStatus.ABANDONED]
    assert (ticket.state.phase, ticket.is_done, ticket.reserved) == (t.Phase.RESTING, False, 0)


def test_child_claimed_by_another_is_never_sent_and_blocks() -> None:
    ticket, commands = after(t.Start(), market(5), t.ClaimResult(GateOutcome.ALREADY_CLAIMED))
    assert ticket.state.phase is t.Phase.BLOCKED
    assert ticket.reserved == 100
    assert not any(isinstance(command, t.ClaimAndSend) for command in commands)


def execution(ticket: t.OrderTicket, quantity: str, execution_id: str) -> t.Broker:
    ref = ticket.state.child.order_ref if ticket.state.child else None
    told_ = execution_of(ref, quantity, execution_id)
    return told(TransportEventKind.FILL, ticket, told_.event.fill)


def execution_of(ref: str | None, quantity: str, execution_id: str) -> t.Broker:
    fill = Fill(
        execution_id=execution_id,
        order_ref=ref,
        contract_id="CSPX",
        side=intent().side,
        quantity=D(quantity),
        price=D("734.3"),
        executed_at=NOON,
        commission=None,
        commission_currency=None,
    )
    return t.Broker(TransportEvent(kind=TransportEventKind.FILL, at=NOON, order_ref=ref, fill=fill))


def test_correction_of_an_execution_replaces_it() -> None:
    ticket, _ = after(*SENT)
    for quantity, name, expected in (("30", "E1.01", 30), ("30", "E1.01", 30), ("25", "E1.02", 25)):
        ticket, _ = step(ticket, execution(ticket, quantity, name), NOON, POLICY)
        assert ticket.state.filled == expected
    ticket, _ = step(ticket, execution(ticket, "30", "E1.01"), NOON, POLICY)
    assert ticket.state.filled == 25
    # Numbers, not texts: the tenth correction is later than the second.
    ticket, _ = step(ticket, execution(ticket, "20", "E1.10"), NOON, POLICY)
    assert ticket.state.filled == 20


def test_overfill_commands_a_halt() -> None:
    ticket, _ = after(*SENT)
    _, commands = step(ticket, execution(ticket, "101", "E1.01"), NOON, POLICY)
    assert isinstance(commands[0], t.Halt)


def test_overfill_by_the_late_execution_of_a_child_that_ended_commands_a_halt() -> None:
    """Each child within its own 100: 40 of the first came after its cancel and after the second had filled."""
    ticket, _ = after(*SENT)
    late = execution(ticket, "40", "E1.01")
    ticket, _ = step(ticket, told(TransportEventKind.ACKNOWLEDGED, ticket), NOON, POLICY)
    ticket, _ = step(ticket, t.HaltRequested(Permission.HALTED), NOON, POLICY)
    ticket, rested = step(ticket, told(TransportEventKind.CANCELLED, ticket), NOON, POLICY)
    at = next(command.at for command in rested if isinstance(command, t.SetDeadline))
    for event in (
        t.Deadline(t.DeadlineKind.QUOTE, at),
        t.QuoteArrived(quote(at=at)),
        t.ClaimResult(GateOutcome.CLAIMED),
    ):
        ticket, _ = step(ticket, event, at, POLICY)
    ticket, _ = step(ticket, execution(ticket, "100", "E2.01"), at, POLICY)
    _, commands = step(ticket, late, at, POLICY)
    assert commands == (t.Halt("parent-1: filled 140 of 100"),)


def test_child_that_trades_more_than_its_slice_commands_a_halt_though_its_parent_bears_it() -> None:
    ticket = fresh(slices=Slices(quantity=D(10), interval_seconds=20))
    for event in (t.Start(), market(), t.ClaimResult(GateOutcome.CLAIMED)):
        ticket, _ = step(ticket, event, NOON, POLICY)
    assert ticket.reserved == 10
    _, commands = step(ticket, execution(ticket, "11", "E1.01"), NOON, POLICY)
    assert [command.text for command in commands if isinstance(command, t.Halt)] != []


EVENTS = st.one_of(
    st.sampled_from(["start", "quote", "old quote", "none", "window", "halt", "stop", "lost"]),
    st.sampled_from(list(t.DeadlineKind)),
    st.sampled_from(KINDS),
    st.sampled_from(list(GateOutcome)),
    st.integers(1, 60),
)


def ended(ticket: t.OrderTicket, filled: str) -> t.Broker:
    """The broker's word that the child was cancelled after it had traded a quantity."""
    assert ticket.state.child is not None
    ref = ticket.state.child.order_ref
    kind = TransportEventKind.CANCELLED
    return t.Broker(TransportEvent(kind=kind, at=NOON, order_ref=ref, filled=D(filled)))


def test_end_that_overtakes_its_execution_waits_for_it_before_the_remainder_is_ordered() -> None:
    ticket, _ = after(*SENT)
    ticket, _ = step(ticket, told(TransportEventKind.ACKNOWLEDGED, ticket), NOON, POLICY)
    late = execution(ticket, "40", "E1.01")
    ticket, commands = step(ticket, ended(ticket, "40"), NOON, POLICY)
    assert commands == ()
    assert (ticket.state.phase, ticket.reserved) == (t.Phase.CANCELLING, 100)
    ticket, commands = step(ticket, late, NOON, POLICY)
    assert t.RecordStatus(late.event.order_ref or "", ChildStatus.CANCELLED, "") in commands
    # 100 ordered, 40 traded: nothing is reserved any more, and 60 are left to order
    assert (ticket.state.filled, ticket.reserved) == (40, 0)


def test_end_whose_execution_was_corrected_down_before_it_is_believed() -> None:
    ticket, _ = after(*SENT)
    ticket, _ = step(ticket, execution(ticket, "40", "E1.01"), NOON, POLICY)
    ticket, _ = step(ticket, execution(ticket, "10", "E1.02"), NOON, POLICY)
    ticket, _ = step(ticket, ended(ticket, "40"), NOON, POLICY)
    assert (ticket.state.child, ticket.state.filled) == (None, 10)


def test_child_whose_executions_are_all_told_is_full_though_one_was_taken_back() -> None:
    """The broker has no more to say of it: what was taken back is ordered anew, not waited for."""
    ticket, _ = after(*SENT)
    ref = ticket.state.child.order_ref if ticket.state.child else ""
    for quantity, name in (("60", "E1.01"), ("0", "E1.02")):
        ticket, _ = step(ticket, execution(ticket, quantity, name), NOON, POLICY)
    ticket, commands = step(ticket, execution(ticket, "40", "E2.01"), NOON, POLICY)
    assert t.RecordStatus(ref, ChildStatus.FILLED, "") in commands
    assert (ticket.state.filled, ticket.reserved) == (40, 0)  # 60 of 100 are left to order
    assert isinstance(commands[-1], t.RequestQuote)


def test_execution_that_is_taken_back_and_given_again_counts_once_towards_its_order() -> None:
    ticket, _ = after(*SENT)
    for quantity, name in (("50", "E1.01"), ("0", "E1.02"), ("50", "E1.03")):
        ticket, commands = step(ticket, execution(ticket, quantity, name), NOON, POLICY)
    # 50 of its 100 traded: the other 50 may trade yet, and an end that tells of 80 misses 30 of them.
    assert (ticket.state.filled, ticket.reserved, commands) == (50, 50, ())
    ticket, commands = step(ticket, ended(ticket, "80"), NOON, POLICY)
    assert (commands, ticket.reserved) == ((), 50)


@pytest.mark.parametrize(
    ("corrected", "filled", "reserved"),
    [("50", 50, 50), ("40", 40, 60), ("0", 0, 100), ("60", 60, 40)],
    ids=["its price alone", "less", "taken back", "more"],
)
def test_execution_of_an_earlier_attempt_is_replaced_by_its_correction(
    corrected: str, filled: int, reserved: int
) -> None:
    _, commands = after(t.Start(), market(5))
    child = next(command.child for command in commands if isinstance(command, t.ClaimAndSend))
    booked = execution_of(child.order_ref, "50", "E1.01").event.fill
    assert booked is not None
    record = ChildRecord(child=child, status=ChildStatus.WORKING, filled=D(50), sent_at=NOON, fills=(booked,))
    ticket, _ = step(t.new_ticket(replace(fresh().core, children=(record,))), t.Start(), NOON, POLICY)
    ticket, commands = step(ticket, execution_of(child.order_ref, corrected, "E1.02"), NOON, POLICY)
    assert (ticket.state.filled, ticket.reserved) == (filled, reserved)
    assert ticket.state.child is not None, "the order works at the broker still"
    assert not any(isinstance(command, t.Halt) for command in commands)


@pytest.mark.parametrize("status", [ChildStatus.WORKING, ChildStatus.UNKNOWN], ids=lambda s: s.value)
@pytest.mark.parametrize(("valid", "filled"), [("0", 0), ("40", 40)], ids=["taken back", "made smaller"])
def test_end_after_a_restart_counts_what_was_told_before_a_correction(
    valid: str, filled: int, status: ChildStatus
) -> None:
    _, commands = after(t.Start(), market(5))
    child = next(command.child for command in commands if isinstance(command, t.ClaimAndSend))
    first = execution_of(child.order_ref, "50", "E1.01").event.fill
    latest = execution_of(child.order_ref, valid, "E1.02").event.fill
    assert first is not None
    assert latest is not None
    record = ChildRecord(
        child=child, status=status, filled=D(filled), sent_at=NOON, fills=(latest,), corrected=(first,)
    )
    ticket, _ = step(t.new_ticket(replace(fresh().core, children=(record,))), t.Start(), NOON, POLICY)
    # The broker's end says that 50 traded, and those 50 were told: nothing is to be waited for.
    message = TransportEvent(
        kind=TransportEventKind.CANCELLED, at=NOON, order_ref=child.order_ref, filled=D(50)
    )
    ticket, commands = step(ticket, t.Broker(message), NOON, POLICY)
    assert (ticket.state.filled, ticket.reserved) == (filled, 0)
    assert (
        t.RecordStatus(child.order_ref, ChildStatus.CANCELLED, "") in commands
        or t.RecordStatus(child.order_ref, ChildStatus.CANCELLED, "found again") in commands
    )


def test_unknown_child_whose_end_misses_an_execution_stays_reserved_until_it_comes() -> None:
    ticket, _ = after(*SENT)
    late, end = execution(ticket, "40", "E1.01"), ended(ticket, "40")
    ticket, _ = step(ticket, t.VisibilityLost("the line broke"), NOON, POLICY)
    ticket, commands = step(ticket, end, NOON, POLICY)
    assert (commands, ticket.reserved) == ((), 100)
    ticket, commands = step(ticket, late, NOON, POLICY)
    assert t.RecordStatus(end.event.order_ref or "", ChildStatus.CANCELLED, "found again") in commands
    assert (ticket.state.filled, ticket.reserved) == (40, 0)


def event_of(name: object, ticket: t.OrderTicket, now: datetime, number: int) -> t.Event:
    if isinstance(name, t.DeadlineKind):
        state = ticket.state
        at = {"quote": state.quote_at, "reprice": state.reprice_at}.get(name.value, state.expires_at)
        return t.Deadline(name, at or now)
    if isinstance(name, TransportEventKind):
        return told(name, ticket)
    if isinstance(name, GateOutcome):
        return t.ClaimResult(name)
    if isinstance(name, int):
        return execution(ticket, str(name), f"E{number}.01")
    plain: dict[object, t.Event] = {
        "start": t.Start(),
        "quote": t.QuoteArrived(quote(at=now)),
        "old quote": t.QuoteArrived(quote(at=now - timedelta(seconds=40))),
        "none": t.NoQuote("none"),
        "window": t.WindowClosing(),
        "halt": t.HaltRequested(Permission.HALTED),
        "stop": t.HaltRequested(Permission.STOPPED),
        "lost": t.VisibilityLost("cut"),
    }
    return plain[name]


CEILINGS = {
    Urgency.LOW: D("734.88"),
    Urgency.NORMAL: D("734.88"),
    Urgency.HIGH: D("735.25"),
    Urgency.EMERGENCY: D("737.085"),
}


@given(
    names=st.lists(EVENTS, max_size=40),
    urgency=st.sampled_from(Urgency),
    slices=st.sampled_from([None, Slices(quantity=D(30), interval_seconds=20.0)]),
)
def test_any_order_of_events_keeps_the_reservation_and_is_repeatable(
    names: list[object], urgency: Urgency, slices: Slices | None
) -> None:
    ticket, now = fresh(urgency, slices), NOON
    ticket, _ = step(ticket, t.Start(), now, POLICY)
    sent: set[str] = set()
    for number, name in enumerate(names):
        now += timedelta(seconds=3)
        event = event_of(name, ticket, now, number)
        try:
            result = step(ticket, event, now, POLICY)
        except InvariantError:
            # An impossible event is refused; the ticket stays what it was.
            continue
        assert step(ticket, event, now, POLICY) == result
        ticket, commands = result
        if any(isinstance(command, t.Halt) for command in commands):
            return
        claims = [command.child for command in commands if isinstance(command, t.ClaimAndSend)]
        assert len(claims) <= 1
        for child in claims:
            assert child.order_ref not in sent
            sent.add(child.order_ref)
            assert child.limit_price <= CEILINGS[urgency]
            assert 0 < child.quantity <= (100 if slices is None else slices.quantity)
        if claims:
            assert ticket.state.filled + ticket.reserved <= 100
