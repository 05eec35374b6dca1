import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BrokerUnavailable, HaltError, IllegalTransition, InvariantError
from engine.execution.executor import execute
from engine.execution.liquidity import LiquidityEstimator
from engine.execution.outcome import (
    ExecutionReport,
    ExecutionWorld,
    ParentResult,
    Progress,
    ProgressKind,
    why_unfilled,
)
from engine.execution.recovery import recover
from engine.execution.ticket import FinishReason
from engine.model.context import ControlState
from engine.model.halts import HaltKind
from engine.model.instruments import CollarClass
from engine.model.market import Quote, Source
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    ExecutionJob,
    Fill,
    JobStatus,
    OpenOrder,
    OrderIntent,
    OrderType,
    Reason,
    Side,
    TransportEvent,
    TransportEventKind,
    Urgency,
    order_reference,
)
from engine.ports import ChildRecord, GateOutcome, StatusChange
from tests import fakes
from tests.engine.execution.market import (
    ES_SEP,
    M6E_SEP,
    NOON,
    execution_policy,
    intent,
    job,
    quote,
    steady,
    world,
)
from tests.fakes import MemoryOrderBook, ScriptedTransport

REF1, REF2 = order_reference("parent-1", 1), order_reference("parent-1", 2)


def statuses(book: MemoryOrderBook, ref: str) -> list[str]:
    return [status.value for name, status in book.history if name == ref]


def only(report: ExecutionReport) -> ParentResult:
    assert len(report.parents) == 1
    return report.parents[0]


class TestOrderManagerStateMachine:
    def test_order_submission(self) -> None:
        made, broker, book = world(intent())
        execute([job(intent(), minutes=1)], made)
        assert [(c.order_ref, c.quantity, c.limit_price) for c in broker.sent[:1]] == [
            (REF1, D(100), D("734.375"))
        ]
        assert statuses(book, REF1)[:2] == ["SENDING", "WORKING"]

    def test_order_fill_updates_status(self) -> None:
        made, broker, book = world(intent())
        broker.on_send = fakes.fill_all
        report = execute([job(intent())], made)
        assert statuses(book, REF1) == ["SENDING", "WORKING", "FILLED"]
        assert (only(report).filled, only(report).reason) == (D(100), FinishReason.FILLED)
        assert report.jobs[0].status is JobStatus.DONE

    def test_partial_fill_status(self) -> None:
        made, broker, book = world(intent())
        broker.on_send = lambda b, c: (
            fakes.acknowledge(b, c)
            or (  # type: ignore[func-returns-value]
                b.execute(c, D(30)) if c.attempt == 1 else None
            )
        )
        report = execute([job(intent(), minutes=1)], made)
        assert book.records[REF1].filled == 30
        # 30 filled at the first price, the next child takes the other 70
        assert broker.sent[1].quantity == 70
        assert (only(report).filled, only(report).unfilled) == (D(30), D(70))

    def test_ttl_expiry_cancels_order(self) -> None:
        made, broker, book = world(intent())
        sent_at: list[float] = []
        broker.on_send = lambda b, c: (
            sent_at.append((b.clock - NOON).total_seconds()),
            fakes.acknowledge(b, c),
        )[0]
        execute([job(intent(), minutes=5)], made)
        # Six replaces, one each 15 s and 0.1 s for every confirmation; the last price rests until 120 s.
        assert sent_at == pytest.approx([0, 15.1, 30.2, 45.3, 60.4, 75.5, 90.6])
        assert len(broker.cancelled) == 7
        assert all(r.status is ChildStatus.CANCELLED for r in book.records.values())


def test_each_replace_pays_one_buffer_more_and_the_last_rests_until_its_time_is_over() -> None:
    made, broker, _ = world(intent())
    execute([job(intent(), minutes=5)], made)
    # mid 734.15, half the spread 0.15, buffer 0.30 / 4 = 0.075: 734.30 + 0.075 · (1 + k), below 734.15 · 1.001 = 734.884
    assert [child.limit_price for child in broker.sent] == [
        D("734.30") + D("0.075") * (1 + step) for step in range(7)
    ]
    cancelled = [round((at - NOON).total_seconds()) for at, _ in broker.cancel_times]
    assert cancelled == [15, 30, 45, 60, 75, 90, 120]


def test_jobs_of_one_window_begin_with_futures_then_funds_then_shares() -> None:
    share, fund, future = (intent(10, contract_id=name, name=name) for name in ("MSFT", "CSPX", ES_SEP))
    made, broker, _ = world(share, fund, future)
    broker.on_send = fakes.fill_all
    execute([job(order, name=f"job-{order.intent_id}") for order in (share, fund, future)], made)
    assert [child.contract_id for child in broker.sent] == [ES_SEP, "CSPX", "MSFT"]


def test_collar_binds_the_last_of_many_replaces() -> None:
    made, broker, _ = world(intent())

    def rising(_: str, at: datetime) -> Quote:
        moved = (at - NOON).seconds // 10
        return quote(bid=str(734 + moved), ask=str(D("734.3") + moved), at=at)

    broker.quote_at = rising
    execute([job(intent(), minutes=5)], made)
    # arrival mid 734.15 × 1.001 = 734.88415
    assert max(child.limit_price for child in broker.sent) == D("734.88")


def test_parent_tries_again_after_resting_and_keeps_its_arrival_mid() -> None:
    made, broker, _ = world(intent())
    execute([job(intent(), minutes=25)], made)
    # Rounds of seven children begin at 0, 720 and 1,440 s.
    assert len(broker.sent) == 7 + 7 + 4
    assert {child.arrival_mid for child in broker.sent} == {D("734.15")}


def test_market_beyond_the_collar_gets_one_round_of_orders_until_it_comes_back() -> None:
    made, broker, _ = world(intent())
    away, back = NOON + timedelta(seconds=1), NOON + timedelta(minutes=45)

    def gone(_: str, at: datetime) -> Quote:
        return quote(bid="740.0", ask="740.3", at=at) if away <= at < back else quote(at=at)

    broker.quote_at = gone
    broker.on_send = lambda b, c: (fakes.fill_all if b.clock >= back else fakes.acknowledge)(b, c)
    report = execute([job(intent())], made)
    # One at the arrival, one that rests at the collar, one when the market is within reach again.
    assert [c.limit_price for c in broker.sent] == [D("734.375"), D("734.88"), D("734.375")]
    assert only(report).filled == 100


def test_nothing_is_sent_outside_the_window() -> None:
    made, broker, _ = world(intent(), start=NOON - timedelta(hours=3))
    times: list[bool] = []
    one = job(intent(), minutes=30)
    broker.on_send = lambda b, c: (times.append(one.window.contains(b.clock)), fakes.acknowledge(b, c))[0]
    execute([one], made)
    assert times
    assert all(times)


def test_job_notes_why_a_parent_was_not_filled() -> None:
    made, broker, _ = world(intent())
    broker.on_send = lambda b, c: b.report(TransportEventKind.REJECTED, c.order_ref, text="no margin")
    note = execute([job(intent())], made).jobs[0].text
    assert why_unfilled(note, intent().contract_id) == "no margin"
    assert why_unfilled(note, "OTHER") == ""


def test_job_whose_parents_are_filled_has_no_note() -> None:
    made, broker, _ = world(intent())
    broker.on_send = fakes.fill_all
    report = execute([job(intent())], made)
    assert (only(report).reason, report.jobs[0].text) == (FinishReason.FILLED, "")


def test_window_that_ended_before_the_start_is_skipped_with_an_alarm() -> None:
    made, broker, _ = world(intent(), start=NOON + timedelta(hours=2))
    report = execute([job(intent())], made)
    assert report.jobs[0].status is JobStatus.SKIPPED
    assert "window ended" in report.alarms[0]
    assert broker.sent == []


def test_rejected_order_ends_its_parent() -> None:
    made, broker, book = world(intent())
    broker.on_send = lambda b, c: b.report(TransportEventKind.REJECTED, c.order_ref, text="no margin")
    report = execute([job(intent())], made)
    assert statuses(book, REF1) == ["SENDING", "REJECTED"]
    assert (only(report).reason, only(report).text) == (FinishReason.REJECTED, "no margin")
    assert len(broker.sent) == 1


def test_lost_connection_leaves_the_child_unknown_and_is_never_sent_again() -> None:
    made, broker, book = world(intent())
    broker.on_send = fakes.lose_connection
    report = execute([job(intent())], made)
    assert [c.order_ref for c in broker.sent] == [REF1]
    assert book.records[REF1].status is ChildStatus.UNKNOWN
    assert book.committed("parent-1") == 100
    assert (report.jobs[0].status, only(report).reason) == (JobStatus.UNKNOWN, FinishReason.UNKNOWN)


def test_unknown_child_that_fills_after_all_completes_the_parent() -> None:
    made, broker, book = world(intent())

    def break_but_execute(b: ScriptedTransport, child: ChildOrder) -> None:
        b.execute(child, child.quantity, after=5)
        fakes.lose_connection(b, child)

    broker.on_send = break_but_execute
    report = execute([job(intent())], made)
    assert book.records[REF1].status is ChildStatus.FILLED
    assert only(report).reason is FinishReason.FILLED


def test_unanswered_cancel_becomes_unknown_after_the_window() -> None:
    made, broker, book = world(intent())
    broker.on_cancel = fakes.ignore_cancel
    report = execute([job(intent(), minutes=1)], made)
    assert book.records[REF1].status is ChildStatus.UNKNOWN
    assert report.jobs[0].status is JobStatus.UNKNOWN


def test_fill_that_wins_against_its_cancel_is_booked() -> None:
    made, broker, book = world(intent())
    broker.on_cancel = lambda b, ref: b.execute(b.sent[-1], b.sent[-1].quantity) and None  # type: ignore[func-returns-value]
    report = execute([job(intent())], made)
    assert statuses(book, REF1) == ["SENDING", "WORKING", "CANCEL_PENDING", "FILLED"]
    assert only(report).filled == 100


def test_late_fill_after_a_cancel_is_booked_once_and_shrinks_the_next_child() -> None:
    made, broker, book = world(intent())

    def cancel_then_late_fill(b: ScriptedTransport, ref: str) -> None:
        fakes.confirm_cancel(b, ref)
        if ref == REF1:
            late = b.execute(b.sent[0], D(40), after=2)
            b.report(TransportEventKind.FILL, ref, after=3, fill=late)

    broker.on_cancel = cancel_then_late_fill
    report = execute([job(intent(), minutes=2)], made)
    assert book.records[REF1].filled == 40
    assert only(report).filled == 40
    # The second child was out for 100 when the late fill came: it is cancelled, the third asks for 60.
    assert [c.quantity for c in broker.sent[:3]] == [D(100), D(100), D(60)]
    # At once, two seconds after the first cancel, and not when its price is looked at again 15 seconds on.
    assert broker.cancel_times[1][0] - broker.cancel_times[0][0] == timedelta(seconds=2)
    assert any("late fill" in alarm for alarm in report.alarms)


def test_overfill_halts_after_booking_and_cancels_the_rest() -> None:
    parents = (intent(), intent(name="parent-2", contract_id="MSFT"))
    made, broker, book = world(*parents)

    def too_much(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        if child.contract_id == "CSPX":
            b.execute(child, D(101), after=1)

    broker.on_send = too_much
    with pytest.raises(HaltError, match="101 of 100"):
        execute([job(*parents)], made)
    assert book.records[REF1].filled == 101
    assert order_reference("parent-2", 1) in broker.cancelled


def test_message_that_no_machine_knows_ends_the_run_and_takes_the_other_orders_back() -> None:
    parents = (intent(), intent(name="parent-2", contract_id="MSFT"))
    made, broker, book = world(*parents)

    def filled_then_rejected(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        if child.contract_id == "CSPX":
            b.execute(child, D(100), after=1)
            b.report(TransportEventKind.REJECTED, child.order_ref, after=2)

    broker.on_send = filled_then_rejected
    with pytest.raises(IllegalTransition, match=f"order {REF1}: no arrow leads from FILLED to REJECTED"):
        execute([job(*parents)], made)
    assert (book.records[REF1].status, book.records[REF1].filled) == (ChildStatus.FILLED, 100)
    assert broker.cancelled == [order_reference("parent-2", 1)]


def test_halt_cancels_and_goes_on_when_it_is_resolved() -> None:
    made, broker, book = world(intent())
    sent_while_halted: list[bool] = []

    def watch(b: ScriptedTransport, child: ChildOrder) -> None:
        sent_while_halted.append(book.control is not ControlState.ACTIVE)
        fakes.acknowledge(b, child)

    broker.on_send = watch
    broker.at_times = [
        (NOON + timedelta(seconds=7), lambda: setattr(book, "control", ControlState.HALTED)),
        (NOON + timedelta(seconds=1200), lambda: setattr(book, "control", ControlState.ACTIVE)),
    ]
    execute([job(intent())], made)
    assert broker.cancelled[0] == REF1
    assert book.history[2] == (REF1, ChildStatus.CANCEL_PENDING)
    assert not any(sent_while_halted)
    assert len(broker.sent) > 1


def test_order_found_alive_by_a_restart_under_a_halt_is_cancelled_at_once() -> None:
    made, broker, book, child = with_child(ChildStatus.WORKING)
    broker.open[REF1] = listed(child, ChildStatus.WORKING, 0)
    book.control = ControlState.HALTED
    execute([job(intent())], made)
    assert broker.cancel_times[0] == (NOON, REF1)
    assert broker.sent == []


def test_reduce_only_order_keeps_working_when_only_reductions_may_leave() -> None:
    cut = intent(side=Side.SELL, reduce_only=True)
    made, broker, book = world(cut)
    book.control = ControlState.REDUCING
    broker.on_send = fakes.fill_all
    assert only(execute([job(cut)], made)).filled == 100


def halted_cut(
    change: Callable[[MemoryOrderBook], None], *, reason: Reason = Reason.REBALANCE, reduce_only: bool = True
) -> tuple[ScriptedTransport, MemoryOrderBook, ExecutionReport]:
    """A cut that does not fill, and what becomes of its order when the control changes after 7 seconds."""
    cut = intent(side=Side.SELL, reduce_only=reduce_only, reason=reason)
    made, broker, book = world(cut)
    broker.at_times = [(NOON + timedelta(seconds=7), lambda: change(book))]
    return broker, book, execute([job(cut, minutes=10)], made)


def halt(book: MemoryOrderBook) -> None:
    book.control = ControlState.HALTED


def kill(book: MemoryOrderBook) -> None:
    book.stopped = True


@pytest.mark.parametrize(
    ("reason", "reduce_only"), [(Reason.REBALANCE, True), (Reason.OVERLAY_UNWIND, False)]
)
def test_halt_leaves_a_reduction_at_work_until_its_own_time_is_over(
    reason: Reason, reduce_only: bool
) -> None:
    broker, _, _ = halted_cut(halt, reason=reason, reduce_only=reduce_only)
    assert [c.attempt for c in broker.sent] == [1]
    assert broker.cancelled == [REF1]
    # Neither the halt at 7 s nor a new price at 15 s takes it away, only its time to live of 120 s.
    assert next(at for at, name in broker.cancel_times if name == REF1) == NOON + timedelta(seconds=120)


@pytest.mark.parametrize(
    ("reason", "reduce_only"), [(Reason.REBALANCE, True), (Reason.OVERLAY_UNWIND, False)]
)
def test_kill_switch_or_emergency_cancels_a_reduction_too(reason: Reason, reduce_only: bool) -> None:
    broker, book, report = halted_cut(kill, reason=reason, reduce_only=reduce_only)
    at, name = broker.cancel_times[0]
    # Noticed at the next look, at most five seconds later.
    assert (name, at) == (REF1, NOON + timedelta(seconds=10))
    assert book.records[REF1].status is ChildStatus.CANCELLED
    assert [c.attempt for c in broker.sent] == [1]
    assert only(report).unfilled == 100


def test_halt_that_becomes_an_emergency_cancels_what_it_had_spared() -> None:
    cut = intent(side=Side.SELL, reduce_only=True)
    made, broker, book = world(cut)
    broker.at_times = [
        (NOON + timedelta(seconds=7), lambda: halt(book)),
        (NOON + timedelta(seconds=32), lambda: kill(book)),
    ]
    execute([job(cut, minutes=10)], made)
    assert broker.cancel_times == [(NOON + timedelta(seconds=35), REF1)]


def test_restart_under_the_kill_switch_cancels_the_reduction_that_it_finds() -> None:
    cut = intent(side=Side.BUY, reduce_only=True)
    made, broker, book, _ = with_child(ChildStatus.WORKING)
    book.stopped = True
    execute([job(cut, minutes=10)], made)
    assert broker.cancelled == [REF1]
    assert broker.sent == []


def test_another_run_that_took_over_stops_this_one_at_once() -> None:
    made, broker, book = world(intent())
    book.epoch_is_mine = False
    report = execute([job(intent())], made)
    assert report.fenced
    assert broker.sent == []


def test_limit_of_the_gate_ends_the_parent() -> None:
    made, broker, book = world(intent())
    book.notional_limit_usd = D(1000)
    report = execute([job(intent())], made)
    assert only(report).reason is FinishReason.LIMIT
    assert book.records[REF1].status is ChildStatus.ABANDONED
    assert broker.sent == []


def test_no_quote_sends_nothing_until_there_is_one() -> None:
    made, broker, _ = world(intent())
    broker.quote_at = lambda name, at: quote(at=at) if at >= NOON + timedelta(minutes=3) else None
    broker.on_send = fakes.fill_all
    assert only(execute([job(intent())], made)).filled == 100
    assert broker.clock >= NOON + timedelta(minutes=3)


def test_fx_hedge_waits_for_the_legs_and_follows_what_they_filled() -> None:
    # The leg buys 5,000 × 55 = 275,000 USD of a fund that holds euros; the hedge sells 20 × 12,500 × 1.10 = 275,000 USD.
    leg = intent(5000, contract_id="EZU")
    hedge = intent(20, Side.SELL, M6E_SEP, name="hedge", reason=Reason.HEDGE_FX)
    made, broker, _ = world(leg, hedge)

    def fill_half_of_the_leg(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        if child.contract_id == "EZU" and child.attempt == 1:
            b.execute(child, D(2500))
        elif child.contract_id != "EZU":
            b.execute(child, child.quantity)

    broker.on_send = fill_half_of_the_leg
    legs = job(leg, minutes=30)
    report = execute([job(hedge, name="fx", minutes=300, after=("job-1",)), legs], made)
    results = {p.intent_id: p for p in report.parents}
    assert (results["hedge"].filled, results["hedge"].unfilled) == (D(10), D(10))
    assert results["hedge"].reason is FinishReason.NOTHING_LEFT
    assert all(c.contract_id == "EZU" for c in broker.sent[:-1])


# The leg buys 5,000 × 55 USD = 275,000 USD of EUR exposure. A hedge of 20 answers to it whole, one of 40 by half.
LEG = intent(5000, contract_id="EZU")


@pytest.mark.parametrize(
    ("wanted", "kept", "why"),
    [(20, 0, "all of it is for the leg"), (40, 20, "half is for what was held before")],
)
@pytest.mark.parametrize("fate", ["skipped", "rejected", "finished before, unfilled", "not begun"])
def test_hedge_trades_what_answers_to_no_leg_whatever_became_of_the_legs(
    fate: str, wanted: int, kept: int, why: str
) -> None:
    hedge = intent(wanted, Side.SELL, M6E_SEP, name="hedge", reason=Reason.HEDGE_FX)
    made, broker, _ = world(LEG, hedge)

    def answer(b: ScriptedTransport, child: ChildOrder) -> None:
        if child.contract_id == "EZU":
            b.report(TransportEventKind.REJECTED, child.order_ref, text="not today")
        else:
            fakes.fill_all(b, child)

    broker.on_send = answer
    start = {"skipped": NOON - timedelta(hours=2), "not begun": NOON + timedelta(hours=9)}.get(fate, NOON)
    legs = job(LEG, start=start, minutes=30)
    jobs = [job(hedge, name="fx", minutes=300, after=("job-1",))]
    if fate == "finished before, unfilled":
        made = replace(made, finished={legs.job_id: legs})
    else:
        jobs.append(legs)
    results = {p.intent_id: p for p in execute(jobs, made).parents}
    assert results["hedge"].filled == kept, why


def test_hedge_follows_what_its_legs_filled_in_an_earlier_attempt() -> None:
    hedge = intent(20, Side.SELL, M6E_SEP, name="hedge", reason=Reason.HEDGE_FX)
    first, broker, book = world(LEG, hedge)
    broker.on_send = fakes.fill_all
    legs = job(LEG, minutes=30)
    execute([legs], first)

    made, broker, _ = world(LEG, hedge, start=NOON + timedelta(hours=1))
    broker.on_send = fakes.fill_all
    made = replace(made, book=book, finished={legs.job_id: legs})
    report = execute([job(hedge, name="fx", minutes=300, after=("job-1",))], made)
    assert only(report).filled == 20


def pair(**changes: object) -> tuple[ExecutionJob, ExecutionJob]:
    """Legs of one group at two venues."""
    bought = replace(intent(60), group="core", **changes)
    sold = replace(intent(250, Side.SELL, "CS51", name="parent-2"), group="core", **changes)
    xetra = replace(job(sold, name="job-2"), venue="XETRA")
    return job(bought), xetra


def without_market(name: str, until: datetime) -> Callable[[str, datetime], Quote | None]:
    return lambda asked, at: None if asked == name and at < until else steady(asked, at)


def test_pair_is_not_opened_while_the_venue_of_one_leg_has_no_market() -> None:
    legs = pair()
    made, broker, _ = world(*(leg for work in legs for leg in work.intents))
    broker.on_send = fakes.fill_all
    broker.quote_at = without_market("CS51", NOON + timedelta(days=1))
    report = execute(legs, made)
    assert broker.sent == []
    texts = {p.contract_id: p.text for p in report.parents}
    assert texts["CSPX"] == "not opened without CS51, which has no market now"


@pytest.mark.parametrize(
    "spoil",
    [
        {"bid": D("NaN")},
        {"ask": D("sNaN")},
        {"bid": D(-1), "ask": D(-1)},  # what the broker says where it has no data
        {"bid": D(0)},
        {"source": Source.DELAYED},
        {"observed_at": NOON - timedelta(seconds=31)},
    ],
    ids=["no number", "no number that may be compared", "no data", "zero", "delayed", "stale"],
)
def test_pair_is_not_opened_while_one_leg_has_a_market_that_no_price_could_be_made_of(
    spoil: dict[str, object],
) -> None:
    legs = pair()
    made, broker, _ = world(*(leg for work in legs for leg in work.intents))
    broker.on_send = fakes.fill_all
    broker.quote_at = lambda asked, at: (
        replace(steady(asked, at), **spoil) if asked == "CS51" else steady(asked, at)
    )
    execute(legs, made)
    assert broker.sent == []


def test_pair_is_opened_once_both_legs_trade() -> None:
    legs = pair()
    made, broker, book = world(*(leg for work in legs for leg in work.intents))
    broker.on_send = fakes.fill_all
    opens = NOON + timedelta(minutes=20)
    broker.quote_at = without_market("CS51", opens)
    report = execute(legs, made)
    assert [p.unfilled for p in report.parents] == [0, 0]
    assert all(row.sent_at is not None and row.sent_at >= opens for row in book.records.values())


@pytest.mark.parametrize(
    "changes", [{"reduce_only": True}, {"reason": Reason.DERISK}], ids=["reduction", "de-risking"]
)
def test_leg_that_makes_the_book_smaller_does_not_wait_for_the_other(changes: dict[str, object]) -> None:
    legs = pair(**changes)
    made, broker, _ = world(*(leg for work in legs for leg in work.intents))
    broker.on_send = fakes.fill_all
    broker.quote_at = without_market("CS51", NOON + timedelta(days=1))
    execute(legs, made)
    assert [child.contract_id for child in broker.sent] == ["CSPX"]


def test_observer_hears_the_day_in_order() -> None:
    made, broker, _ = world(intent())
    broker.on_send = fakes.fill_all
    heard: list[Progress] = []
    execute([job(intent())], replace(made, observer=heard.append))
    assert [p.kind for p in heard] == [
        ProgressKind.JOB_STARTED,
        ProgressKind.ORDER_SENT,
        ProgressKind.ORDER_FILLED,
        ProgressKind.PARENT_FINISHED,
        ProgressKind.JOB_FINISHED,
    ]


# ---------------------------------------------------------------- restart


def with_child(
    status: ChildStatus, filled: int = 0
) -> tuple[ExecutionWorld, ScriptedTransport, MemoryOrderBook, ChildOrder]:
    """A book in which the first child of a parent for 100 stood in a state when the process died."""
    made, broker, book = world(intent())
    child = ChildOrder(
        order_ref=REF1,
        intent_id="parent-1",
        attempt=1,
        contract_id="CSPX",
        side=Side.BUY,
        quantity=D(100),
        order_type=OrderType.LIMIT,
        limit_price=D("734.375"),
        time_in_force="DAY",
        good_till=NOON + timedelta(hours=1),
        arrival_mid=D("734.15"),
    )
    book.records[REF1] = ChildRecord(child=child, status=status, filled=D(filled), sent_at=NOON)
    return made, broker, book, child


def listed(child: ChildOrder, status: ChildStatus, filled: int) -> OpenOrder:
    return OpenOrder(
        order_ref=child.order_ref,
        broker_order_id="1",
        contract_id=child.contract_id,
        side=child.side,
        quantity=child.quantity,
        filled=D(filled),
        limit_price=child.limit_price,
        status=status,
    )


NEVER_SHOWN = (ChildStatus.PLANNED, ChildStatus.ABANDONED, ChildStatus.UNKNOWN, ChildStatus.ABSENT)
"""States that only our own book has."""


@pytest.mark.parametrize(
    ("before", "at_broker", "executed", "after", "why"),
    [
        (ChildStatus.PLANNED, None, 0, ChildStatus.ABANDONED, "never claimed, never written"),
        (ChildStatus.SENDING, None, 0, ChildStatus.UNKNOWN, "not found proves nothing"),
        (ChildStatus.SENDING, ChildStatus.WORKING, 0, ChildStatus.WORKING, "it arrived"),
        (ChildStatus.SENDING, None, 100, ChildStatus.FILLED, "executions say so"),
        (ChildStatus.SENDING, ChildStatus.REJECTED, 0, ChildStatus.REJECTED, "broker named it"),
        (ChildStatus.WORKING, ChildStatus.CANCELLED, 40, ChildStatus.CANCELLED, "cancelled with a part"),
        (ChildStatus.WORKING, None, 0, ChildStatus.UNKNOWN, "visibility is lost"),
        (ChildStatus.CANCEL_PENDING, ChildStatus.WORKING, 0, ChildStatus.CANCEL_PENDING, "cancel under way"),
        (ChildStatus.UNKNOWN, ChildStatus.CANCELLED, 0, ChildStatus.CANCELLED, "found again"),
    ],
)
def test_recovery_brings_the_child_to_what_the_broker_shows(
    before: ChildStatus, at_broker: ChildStatus | None, executed: int, after: ChildStatus, why: str
) -> None:
    _, broker, book, child = with_child(before)
    if executed:
        broker.execute(child, D(executed))
    if at_broker is not None:
        broker.open[REF1] = listed(child, at_broker, executed)
    report = recover(book, broker)
    assert book.records[REF1].status is after, why
    assert book.records[REF1].filled == executed
    assert (report.blocked == ("CSPX",)) is (after is ChildStatus.UNKNOWN)
    assert broker.sent == []


@pytest.mark.parametrize("shown", [status for status in ChildStatus if status not in NEVER_SHOWN])
@pytest.mark.parametrize("before", [status for status in ChildStatus if status.holds_reservation])
def test_recovery_knows_a_way_from_whatever_was_open_to_whatever_the_broker_shows(
    before: ChildStatus, shown: ChildStatus
) -> None:
    """Without one, every further attempt would stop at the same order."""
    _, broker, book, child = with_child(before)
    executed = 100 if shown is ChildStatus.FILLED else 0
    if executed:
        broker.execute(child, D(executed))
    broker.open[REF1] = listed(child, shown, executed)
    recover(book, broker)
    after = book.records[REF1].status
    under_way = before is ChildStatus.CANCEL_PENDING and shown in (ChildStatus.SENDING, ChildStatus.WORKING)
    sent = ChildStatus.WORKING if shown is ChildStatus.SENDING else shown
    assert after is (before if under_way else sent)


def test_cancelled_order_whose_executions_are_missing_stays_unknown() -> None:
    _, broker, book, child = with_child(ChildStatus.WORKING)
    broker.open[REF1] = listed(child, ChildStatus.CANCELLED, 40)
    recover(book, broker)
    assert book.records[REF1].status is ChildStatus.UNKNOWN


def test_execution_of_an_order_that_ended_is_booked_at_restart_and_named_late() -> None:
    _, broker, book, child = with_child(ChildStatus.CANCELLED, filled=30)
    fill = broker.execute(child, D(40))
    report = recover(book, broker)
    assert (report.booked, report.late) == ((fill.execution_id,), (fill.execution_id,))
    assert book.records[REF1].status is ChildStatus.CANCELLED


def test_execution_beyond_the_quantity_of_an_order_that_ended_is_left_to_the_comparison_of_books() -> None:
    _, broker, book, child = with_child(ChildStatus.FILLED, filled=100)
    broker.execute(child, D(101))
    report = recover(book, broker)
    assert (report.booked, report.late) == ((), ())


def test_correction_makes_an_ended_order_s_count_no_riddle() -> None:
    _, broker, book, child = with_child(ChildStatus.WORKING)
    first = broker.execute(child, D(40))
    broker.done.append(replace(first, execution_id=f"{first.root}.02", quantity=D(10)))
    broker.open[REF1] = listed(child, ChildStatus.CANCELLED, 40)
    recover(book, broker)
    assert (book.records[REF1].status, book.records[REF1].filled) == (ChildStatus.CANCELLED, 10)


def test_run_that_another_took_over_ends_without_touching_its_orders() -> None:
    made, broker, book = world(intent())
    broker.on_send = lambda b, c: (
        fakes.acknowledge(b, c),
        b.at_times.append((b.clock + timedelta(seconds=7), lambda: setattr(book, "superseded", True))),
    )[0]
    report = execute([job(intent())], made)
    assert report.fenced
    assert broker.cancelled == []
    assert book.records[REF1].status is ChildStatus.WORKING


def test_restart_adopts_the_working_order_and_sends_nothing_new() -> None:
    made, broker, _, child = with_child(ChildStatus.WORKING)
    broker.execute(child, D(100), after=3)
    report = execute([job(intent())], made)
    assert broker.sent == []
    assert only(report).reason is FinishReason.FILLED


def test_restart_continues_with_the_remainder_under_the_next_attempt() -> None:
    made, broker, _, _ = with_child(ChildStatus.CANCELLED, filled=30)
    broker.on_send = fakes.fill_all
    report = execute([job(intent())], made)
    assert [(c.order_ref, c.quantity) for c in broker.sent] == [(REF2, D(70))]
    assert only(report).filled == 100


def test_restart_keeps_the_collar_of_the_arrival() -> None:
    made, broker, _, _ = with_child(ChildStatus.CANCELLED)
    broker.quote_at = lambda name, at: quote(bid="740.0", ask="740.2", at=at)
    execute([job(intent(), minutes=1)], made)
    assert {c.limit_price for c in broker.sent} == {D("734.88")}


@pytest.mark.parametrize("status", [ChildStatus.SENDING, ChildStatus.UNKNOWN])
def test_restart_with_an_unknown_child_sends_nothing_for_its_instrument(status: ChildStatus) -> None:
    other = intent(name="parent-2")
    made, broker, book, _ = with_child(status)
    book.parents["parent-2"] = (D(100), False)
    report = execute([job(intent(), other, minutes=30)], made)
    assert broker.sent == []
    assert {p.reason for p in report.parents} == {FinishReason.UNKNOWN, FinishReason.WINDOW_CLOSED}


def test_restart_repeats_a_cancel_that_was_under_way() -> None:
    made, broker, _, _ = with_child(ChildStatus.CANCEL_PENDING)
    broker.on_send = fakes.fill_all
    execute([job(intent())], made)
    assert broker.cancelled == [REF1]
    assert [c.order_ref for c in broker.sent] == [REF2]


# ---------------------------------------------------------------- any broker

ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(["ack", "part", "fill", "reject", "expire", "cancel", "lost", "break", "silent"]),
        st.integers(1, 60),
        st.booleans(),
    ),
    max_size=12,
)


WIDEST = {Urgency.LOW: D(1), Urgency.NORMAL: D(1), Urgency.HIGH: D("1.5"), Urgency.EMERGENCY: D(4)}


@given(
    answers=ANSWERS,
    walk=st.lists(st.integers(-40, 40), min_size=1, max_size=20),
    side=st.sampled_from(Side),
    urgency=st.sampled_from(Urgency),
    volume=st.sampled_from([None, 1500]),
)
def test_no_broker_makes_the_parent_trade_more_than_ordered_or_outside_the_collar(
    answers: list[tuple[str, int, bool]],
    walk: list[int],
    side: Side,
    urgency: Urgency,
    volume: int | None,
) -> None:
    first = run_script(answers, walk, side, urgency, volume)
    assert run_script(answers, walk, side, urgency, volume)[:2] == first[:2]
    sent, history, committed, arrival = first
    assert all(total <= 100 for total in committed)
    width = arrival * execution_policy().collar_bps[CollarClass.ETF] / 10_000 * WIDEST[urgency]
    assert all((child.limit_price - arrival) * side.sign <= width for child in sent)
    # 1 % of 1,500: at most 15 a slice, seven of 100 / 7
    sliced = volume is not None and urgency is not Urgency.EMERGENCY
    assert all(child.quantity <= (15 if sliced else 100) for child in sent)
    assert len({child.order_ref for child in sent}) == len(sent)
    assert len(history) >= len(sent)


def run_script(
    answers: list[tuple[str, int, bool]],
    walk: list[int],
    side: Side,
    urgency: Urgency,
    volume: int | None,
) -> tuple[list[ChildOrder], list[tuple[str, ChildStatus]], list[D], D]:
    """Work a parent for 100 against scripted answers; the price walks by ticks of 0.05 each 10 s."""
    parent = intent(side=side, urgency=urgency)
    made, broker, book = world(parent)
    if volume is not None:
        made = replace(made, liquidity=LiquidityEstimator(average_daily_volume={"CSPX": D(volume)}))
    script, committed = iter(answers), [D(0)]

    def price(_: str, at: datetime) -> Quote:
        moved = D(sum(walk[: int((at - NOON).total_seconds()) // 10 % len(walk)])) * D("0.05")
        return quote(bid=str(D(734) + moved), ask=str(D("734.3") + moved), at=at)

    def answer(b: ScriptedTransport, child: ChildOrder) -> None:
        committed.append(book.committed("parent-1"))
        kind, amount, early = next(script, ("ack", 1, False))
        if kind != "silent" and early:
            fakes.acknowledge(b, child)
        if kind in ("part", "fill"):
            b.execute(child, child.quantity if kind == "fill" else min(D(amount), child.quantity))
        ends = {
            "reject": TransportEventKind.REJECTED,
            "expire": TransportEventKind.EXPIRED,
            "cancel": TransportEventKind.CANCELLED,
            "lost": TransportEventKind.VISIBILITY_LOST,
        }
        if kind in ends:
            b.report(ends[kind], child.order_ref, after=amount)
        if kind == "break":
            fakes.lose_connection(b, child)

    broker.quote_at = price
    broker.on_send = answer
    with contextlib.suppress(IllegalTransition):  # a second end that contradicts the first stops everything
        execute([job(parent, minutes=20)], made)
    committed.append(book.committed("parent-1"))
    arrival = broker.sent[0].arrival_mid
    assert arrival is not None
    return broker.sent, book.history, committed, arrival


def _with_a_stranger(kind: TransportEventKind) -> tuple[ExecutionWorld, ScriptedTransport, MemoryOrderBook]:
    """Somebody else's order TWS-7 shows up while ours works: it is acknowledged, or trades 5."""
    made, broker, book = world(intent())

    def foreign(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        if kind is TransportEventKind.FILL:
            b.execute(replace(child, order_ref="TWS-7"), D(5), after=1, number=9)
        else:
            b.report(kind, "TWS-7", after=1)

    broker.on_send = foreign
    return made, broker, book


def test_trade_of_somebody_else_stops_the_run_takes_back_what_works_and_is_never_booked() -> None:
    made, broker, book = _with_a_stranger(TransportEventKind.FILL)
    with pytest.raises(HaltError, match="fill of an order that is not ours: TWS-7, BUY 5 CSPX") as stopped:
        execute([job(intent())], made)
    assert stopped.value.kind == HaltKind.FOREIGN_POSITION.value
    assert (len(broker.sent), broker.cancelled, book.fills) == (1, [broker.sent[0].order_ref], {})


def test_order_of_somebody_else_stops_the_run_before_its_next_order() -> None:
    made, broker, _ = _with_a_stranger(TransportEventKind.ACKNOWLEDGED)
    with pytest.raises(HaltError, match="acknowledged of an order that is not ours: TWS-7") as stopped:
        execute([job(intent())], made)
    assert stopped.value.kind == HaltKind.UNKNOWN_ORDER.value
    assert len(broker.sent) == 1


def test_end_of_an_order_of_somebody_else_is_an_alarm() -> None:
    made, broker, _ = _with_a_stranger(TransportEventKind.CANCELLED)
    report = execute([job(intent(), minutes=5)], made)
    assert report.alarms[0] == "cancelled of an order that is not ours: TWS-7"
    assert len(broker.sent) > 1


def test_trade_of_somebody_else_that_was_there_before_the_run_is_told_again_without_a_stop() -> None:
    made, broker, _ = _with_a_stranger(TransportEventKind.FILL)
    known = replace(made, strangers=frozenset({"ETWS-7-9.01"}))
    report = execute([job(intent(), minutes=5)], known)
    assert report.alarms == ()
    assert len(broker.sent) > 1


def test_trade_of_somebody_else_that_no_message_told_is_read_and_stops_the_run() -> None:
    made, broker, _ = world(intent())

    def unheard(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        b.execute(replace(child, order_ref="TWS-7"), D(5), after=0, number=9)
        b.queue = [entry for entry in b.queue if entry[2].order_ref != "TWS-7"]

    broker.on_send = unheard
    with pytest.raises(HaltError, match="not ours: TWS-7"):
        execute([job(intent())], made)
    assert broker.clock <= NOON + timedelta(seconds=31)  # the list is read every 30 s


def test_job_without_parents_is_done_at_once() -> None:
    made, _, _ = world()
    assert execute([job()], made).jobs[0].status is JobStatus.DONE


# ---------------------------------------------------------------- messages of one moment


class _CountedBook(MemoryOrderBook):
    """A book that notes every write, in order with what the broker is sent and told to cancel."""

    def watch(self, broker: ScriptedTransport) -> list[str]:
        self.noted = list[str]()
        send, cancel = broker.on_send, broker.on_cancel
        broker.on_send = lambda b, c: (self.noted.append(f"send {c.attempt}"), send(b, c))[0]
        broker.on_cancel = lambda b, ref: (self.noted.append("cancel"), cancel(b, ref))[0]
        return self.noted

    def claim(self, child: ChildOrder, notional_usd: D, now: datetime) -> GateOutcome:
        self.noted.append(f"claim {child.attempt}")
        return super().claim(child, notional_usd, now)

    def record(self, fills: Sequence[Fill], changes: Sequence[StatusChange], now: datetime) -> None:
        self.noted.append(f"{len(fills)} fills, {'/'.join(change.status.value for change in changes)}")
        super().record(fills, changes, now)


def counted(one: OrderIntent) -> tuple[ExecutionWorld, ScriptedTransport, _CountedBook]:
    made, broker, _ = world(one)
    book = _CountedBook({one.intent_id: (one.quantity, one.reduce_only)})
    return replace(made, book=book), broker, book


def test_messages_of_one_moment_are_journaled_together() -> None:
    made, broker, book = counted(intent())

    def at_once(b: ScriptedTransport, c: ChildOrder) -> None:
        b.report(TransportEventKind.ACKNOWLEDGED, c.order_ref, after=0.2)
        for number in (1, 2):
            b.execute(c, D(50), after=0.2, number=number)

    broker.on_send = at_once
    noted = book.watch(broker)
    report = execute([job(intent())], made)
    # An order that fills at once: the claim, and one transaction for its acknowledgement, both fills and its end.
    assert noted == ["claim 1", "send 1", "2 fills, WORKING/FILLED"]
    assert only(report).filled == 100


def test_what_a_moment_changes_is_committed_before_anything_leaves() -> None:
    made, broker, book = counted(intent())
    noted = book.watch(broker)
    execute([job(intent(), minutes=1)], made)
    # Every claim is before its send, CANCEL_PENDING before its cancel, CANCELLED before the next claim.
    assert noted[:7] == [
        "claim 1",
        "send 1",
        "0 fills, WORKING",
        "0 fills, CANCEL_PENDING",
        "cancel",
        "0 fills, CANCELLED",
        "claim 2",
    ]


def test_execution_told_twice_in_a_moment_or_again_later_counts_once() -> None:
    made, broker, book = world(intent())

    def twice(b: ScriptedTransport, c: ChildOrder) -> None:
        fakes.acknowledge(b, c)
        if c.attempt == 1:
            fill = b.execute(c, D(30))
            for after in (0.2, 0.2, 0.7):
                b.report(TransportEventKind.FILL, c.order_ref, after=after, fill=fill)

    broker.on_send = twice
    report = execute([job(intent(), minutes=1)], made)
    assert (only(report).filled, book.records[REF1].filled) == (D(30), D(30))
    assert broker.sent[1].quantity == 70


def test_correction_in_the_moment_of_its_execution_counts_what_it_says() -> None:
    made, broker, book = world(intent())

    def corrected(b: ScriptedTransport, c: ChildOrder) -> None:
        fakes.acknowledge(b, c)
        if c.attempt == 1:
            fill = b.execute(c, D(30))
            smaller = replace(fill, execution_id=fill.execution_id.replace(".01", ".02"), quantity=D(20))
            b.report(TransportEventKind.FILL, c.order_ref, after=0.2, fill=smaller)

    broker.on_send = corrected
    report = execute([job(intent(), minutes=1)], made)
    assert (only(report).filled, book.records[REF1].filled) == (D(20), D(20))


def test_what_came_before_the_line_broke_is_booked_and_nothing_leaves_after_it() -> None:
    made, _, book = counted(intent())

    class Breaking(ScriptedTransport):
        def next_event(self, until: datetime) -> TransportEvent | None:
            if self.is_cut:
                raise BrokerUnavailable("expected an open line, found it cut")
            event = super().next_event(until)
            self.is_cut = event is not None and event.kind is TransportEventKind.FILL
            return event

        is_cut = False

    line = Breaking(NOON, lambda _, at: quote(at=at))
    line.on_send = lambda b, c: b.execute(c, D(30)) and None
    noted = book.watch(line)
    with pytest.raises(BrokerUnavailable, match="found it cut"):
        execute([job(intent())], replace(made, transport=line))
    assert noted == ["claim 1", "send 1", "1 fills, WORKING", "cancel"], "only a cancel is tried"
    assert (book.records[REF1].filled, line.cancelled) == (D(30), [REF1])


def test_step_that_is_not_allowed_is_raised_after_the_moment_is_booked() -> None:
    made, broker, book = counted(intent())

    def impossible(b: ScriptedTransport, c: ChildOrder) -> None:
        fakes.acknowledge(b, c)
        b.execute(c, D(30), after=0.1)
        b.report(TransportEventKind.FILL, c.order_ref, after=0.1, fill=None)

    broker.on_send = impossible
    noted = book.watch(broker)
    with pytest.raises(InvariantError, match="a fill message carries its execution"):
        execute([job(intent())], made)
    assert noted[-2:] == ["1 fills, WORKING", "cancel"]
    assert book.records[REF1].filled == 30
