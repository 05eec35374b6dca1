"""One leg of a roll that stays behind the other."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D
from typing import NoReturn

import pytest

from engine.errors import BrokerUnavailable, HaltError
from engine.execution.executor import execute
from engine.execution.outcome import Observer, Progress, ProgressKind, WindowVerdict
from engine.execution.recovery import recover
from engine.execution.revalidation import UNCHANGED
from engine.model.context import ControlState
from engine.model.market import Quote
from engine.model.orders import ChildOrder, ExecutionJob, OrderIntent, Reason, Side
from tests import fakes
from tests.engine.execution.market import ES_JUN, ES_SEP, NOON, execution_policy, intent, job, steady, world
from tests.engine.execution.test_spreads import fill_spread, legs, market, roll_job
from tests.fakes import OnSend, ScriptedTransport

ROLL = "roll:ES"


def leg(contract_id: str, side: Side, quantity: int = 8, reason: Reason = Reason.ROLL) -> OrderIntent:
    plain = intent(quantity, side, contract_id, name=contract_id, reason=reason)
    return replace(plain, group=ROLL)


CLOSING, OPENING = leg(ES_JUN, Side.SELL), leg(ES_SEP, Side.BUY)


LATER = intent(10, contract_id="CSPX", name="later")


def later_job() -> ExecutionJob:
    """A window of its own 20 s after noon."""
    return job(LATER, name="job-2", start=NOON + timedelta(seconds=20))


Fills = dict[str, list[tuple[float, int]]]
"""Seconds after it was sent and quantity of each execution of a contract's first child."""
PATIENT = replace(execution_policy(), replace_interval_seconds=3000.0, order_ttl_seconds=3000.0)
"""No price is better than the first: the children stay where they are."""
WHOLE = 8 * 50 * 5000
"""USD of the old contract: 8 of 50 USD a point at 5,000, which is 50 points and 20,000 USD below the new one."""


def trading(fills: Fills) -> OnSend:
    """A broker that fills the first child of each contract so."""

    def trade(broker: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(broker, child)
        for number, (after, quantity) in enumerate(
            fills.get(child.contract_id, []) if child.attempt == 1 else []
        ):
            broker.execute(child, D(quantity), after=after, number=number + 1)

    return trade


def heard_by(alarms: list[tuple[float, str]]) -> Observer:
    """Keeps the alarms with their seconds after noon."""

    def note(progress: Progress) -> None:
        if progress.kind is ProgressKind.ALARM:
            alarms.append(((progress.at - NOON).total_seconds(), progress.text))

    return note


def alarms(fills: Fills, *legs: OrderIntent, minutes: float = 10) -> list[tuple[float, str]]:
    """Alarms of a roll in a window of some minutes."""
    legs = legs or (CLOSING, OPENING)
    made, broker, _ = world(*legs)
    heard: list[tuple[float, str]] = []
    broker.on_send = trading(fills)
    roll = job(*legs, group=f"strategy/{ROLL}", minutes=minutes)
    execute([roll], replace(made, execution=PATIENT, observer=heard_by(heard)))
    return heard


def test_roll_on_one_leg_for_a_minute_is_an_alarm_that_names_what_is_done() -> None:
    done = f"{ES_JUN} 8 of 8, {ES_SEP} 0 of 8; 2,000,000 USD stand alone"
    assert WHOLE == 2_000_000
    assert alarms({ES_JUN: [(5, 8)]}) == [
        (pytest.approx(65.0), f"{ROLL} has stood on one leg for 60 s: {done}"),
        # From 5 s to the window's end at 600 s and the confirmation of its cancel a tenth of a second later.
        (pytest.approx(600.1), f"{ROLL} has stood on one leg for 595 s when the run ended: {done}"),
    ]


@pytest.mark.parametrize(
    ("opening", "why"),
    [
        ([(64, 8)], "it followed within the minute"),
        ([(10, 4), (50, 4)], "in two parts"),
    ],
)
def test_leg_that_follows_in_time_is_no_alarm(opening: list[tuple[float, int]], why: str) -> None:
    assert alarms({ES_JUN: [(5, 8)], ES_SEP: opening}) == [], why


def test_legs_that_differ_by_a_lot_go_together() -> None:
    assert alarms({ES_JUN: [(5, 5)], ES_SEP: [(6, 4)]}) == []


def test_last_lot_counts_once_the_other_leg_is_done() -> None:
    found = alarms({ES_JUN: [(5, 8)], ES_SEP: [(6, 7)]})
    assert [at for at, _ in found] == [pytest.approx(65.0), pytest.approx(600.1)]
    # 8 × 250,000 closed and 7 × 252,500 opened are 232,500 net, where 20,000 the other way were planned.
    assert found[0][1].endswith(f"{ES_JUN} 8 of 8, {ES_SEP} 7 of 8; 232,500 USD stand alone")


def test_each_time_that_one_leg_goes_ahead_has_its_own_minute() -> None:
    # Apart from 5 s to 50 s and from 70 s on: the alarm comes at 130 s, not at 65 s.
    found = alarms({ES_JUN: [(5, 4), (70, 4)], ES_SEP: [(50, 4)]})
    assert [at for at, _ in found] == [pytest.approx(130.0), pytest.approx(600.1)]
    assert "for 530 s when the run ended" in found[1][1]


@pytest.mark.parametrize(
    ("legs", "why"),
    [
        ((CLOSING,), "the future is closed for good"),
        (
            (leg(ES_JUN, Side.SELL, reason=Reason.REBALANCE), leg(ES_SEP, Side.BUY, reason=Reason.REBALANCE)),
            "no roll",
        ),
    ],
)
def test_only_a_roll_of_two_legs_is_watched(legs: tuple[OrderIntent, ...], why: str) -> None:
    assert alarms({ES_JUN: [(5, 8)]}, *legs) == [], why


def test_smaller_opening_leg_is_measured_by_its_own_size() -> None:
    # A cut came with the roll: 8 are closed and 4 opened.
    fills = {ES_JUN: [(5, 8)], ES_SEP: [(6, 4)]}
    assert alarms(fills, CLOSING, leg(ES_SEP, Side.BUY, 4)) == []


# ---------------------------------------------------------------- the end of a run


CLOSED_ALONE = {ES_JUN: [(5.0, 8)]}
ALONE_TEXT = f"when the run ended: {ES_JUN} 8 of 8, {ES_SEP} 0 of 8; 2,000,000 USD stand alone"


def ended(seconds: int) -> str:
    return f"{ROLL} has stood on one leg for {seconds} s {ALONE_TEXT}"


def test_window_that_ends_within_the_minute_tells_the_leg_that_stands_alone() -> None:
    # Done 5 s after noon, over 30 s after noon: 25 s.
    assert alarms(CLOSED_ALONE, minutes=0.5) == [(pytest.approx(30.1), ended(25))]


@pytest.mark.parametrize(
    "fills",
    [{}, {ES_JUN: [(5.0, 8)], ES_SEP: [(6.0, 8)]}, {ES_JUN: [(5.0, 4)], ES_SEP: [(6.0, 4)]}],
    ids=["nothing", "both", "half of both"],
)
def test_legs_that_stand_together_when_the_run_ends_are_not_told(fills: Fills) -> None:
    assert alarms(fills, minutes=0.5) == []


def test_value_that_stands_alone_is_what_the_plan_did_not_leave_open() -> None:
    # 8 closed and 4 to be opened: 1,010,000 of 2,000,000 stand without what should follow ...
    small = leg(ES_SEP, Side.BUY, 4)
    assert alarms(CLOSED_ALONE, CLOSING, small, minutes=0.5)[0][1].endswith("1,010,000 USD stand alone")
    # ... and what was opened without the close stands whole, for the plan was to get smaller.
    assert alarms({ES_SEP: [(5.0, 4)]}, CLOSING, small, minutes=0.5)[0][1].endswith(
        "1,010,000 USD stand alone"
    )


def test_process_asked_to_end_tells_what_stands_on_one_leg() -> None:
    made, broker, _ = world(CLOSING, OPENING)
    broker.on_send = trading(CLOSED_ALONE)
    asked = replace(made, execution=PATIENT, is_ending=lambda: broker.now() >= NOON + timedelta(seconds=7))
    report = execute([job(CLOSING, OPENING)], asked)
    assert report.interrupted
    assert report.alarms == (ended(5),), "noticed 10 s after noon"


def test_window_under_a_halt_tells_at_its_end_what_the_halt_left_on_one_leg() -> None:
    made, broker, book = world(CLOSING, OPENING)
    broker.on_send = trading(CLOSED_ALONE)
    broker.at_times.append(
        (NOON + timedelta(seconds=8), lambda: setattr(book, "control", ControlState.HALTED))
    )
    report = execute([job(CLOSING, OPENING, minutes=15)], replace(made, execution=PATIENT))
    first, last = report.alarms
    assert first.startswith(f"{ROLL} has stood on one leg for 60 s: ")
    assert last == ended(895), "the window stays up for 900 s, should the halt be resolved"


def test_halt_before_a_later_window_tells_what_stands_on_one_leg_before_it_stops_the_run() -> None:
    made, broker, _ = world(CLOSING, OPENING, LATER)
    broker.on_send = trading(CLOSED_ALONE)
    heard: list[tuple[float, str]] = []

    def check(at: datetime) -> WindowVerdict:
        if at > NOON:
            raise HaltError("break", "the account holds what was not booked")
        return UNCHANGED

    watched = replace(made, execution=PATIENT, observer=heard_by(heard), before_window=check)
    with pytest.raises(HaltError, match="not booked"):
        execute([job(CLOSING, OPENING), later_job()], watched)
    assert heard == [(pytest.approx(20.0), ended(15))]


@pytest.mark.parametrize("error", [BrokerUnavailable("the line is gone"), TimeoutError("no answer")])
def test_line_that_breaks_for_good_tells_what_stands_on_one_leg(error: Exception) -> None:
    made, broker, _ = world(CLOSING, OPENING, LATER)
    broker.on_send = trading(CLOSED_ALONE)
    heard: list[tuple[float, str]] = []

    def quote(contract_id: str, at: datetime) -> Quote | None:
        if contract_id == LATER.contract_id:
            raise error
        return steady(contract_id, at)

    broker.quote_at = quote
    watched = replace(made, execution=PATIENT, observer=heard_by(heard), outages=(TimeoutError,))
    with pytest.raises(type(error)):
        execute([job(CLOSING, OPENING), later_job()], watched)
    assert [text for _, text in heard] == [ended(15)]


def test_book_that_fails_hides_no_leg_that_the_run_itself_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(OPENING, intent_id="other", group="roll:other")  # of a window that never opens
    made, broker, book = world(CLOSING, OPENING, LATER, other)
    broker.on_send = trading(CLOSED_ALONE)
    heard: list[tuple[float, str]] = []

    def fail(_: str) -> NoReturn:
        raise TimeoutError("no answer")

    broker.at_times.append(
        (NOON + timedelta(seconds=15), lambda: monkeypatch.setattr(book, "children", fail))
    )
    watched = replace(made, execution=PATIENT, observer=heard_by(heard), outages=(TimeoutError,))
    closed = job(other, name="job-0", start=NOON + timedelta(hours=2))
    with pytest.raises(TimeoutError):
        execute([closed, job(CLOSING, OPENING), later_job()], watched)
    assert [text for _, text in heard] == [ended(15)]


def test_run_that_another_one_took_over_tells_nothing_for_the_other_one_watches() -> None:
    made, broker, book = world(CLOSING, OPENING)
    broker.on_send = trading(CLOSED_ALONE)
    broker.at_times.append((NOON + timedelta(seconds=8), lambda: setattr(book, "superseded", True)))
    report = execute([job(CLOSING, OPENING)], replace(made, execution=PATIENT))
    assert (report.fenced, report.alarms) == (True, ())


# ---------------------------------------------------------------- the next attempt


def test_next_attempt_goes_on_with_the_minute_of_the_one_that_died() -> None:
    made, broker, book = world(CLOSING, OPENING)
    broker.on_send = trading(CLOSED_ALONE)
    asked = replace(made, execution=PATIENT, is_ending=lambda: broker.now() >= NOON + timedelta(seconds=7))
    execute([job(CLOSING, OPENING, minutes=5)], asked)
    recover(book, broker)
    broker.clock = NOON + timedelta(seconds=40)
    heard: list[tuple[float, str]] = []
    execute([job(CLOSING, OPENING, minutes=5)], replace(made, execution=PATIENT, observer=heard_by(heard)))
    # From the execution 5 s after noon, not from this attempt's beginning.
    assert [at for at, _ in heard] == [pytest.approx(65.0), pytest.approx(300.1)]


def test_spread_s_executions_count_once_for_its_two_parents_when_the_next_attempt_counts() -> None:
    closing, opening = legs()
    made, broker, book = world(closing, opening)

    def three(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        if child.attempt == 1:
            fill_spread(b, child, 3)

    def closes(b: ScriptedTransport, child: ChildOrder) -> None:
        (fakes.fill_all if child.contract_id == ES_JUN else fakes.acknowledge)(b, child)

    broker.on_send = market(three, closes)
    asked = replace(made, is_ending=lambda: ES_JUN in {child.contract_id for child in broker.sent})
    assert execute([roll_job(closing, opening)], asked).interrupted
    recover(book, broker)
    ahead = broker.done[-1]
    assert (ahead.contract_id, ahead.quantity) == (ES_JUN, 2), "the two that no spread took"
    broker.clock = ahead.executed_at + timedelta(seconds=40)
    heard: list[tuple[float, str]] = []
    patient = replace(made, execution=PATIENT, observer=heard_by(heard))
    execute([roll_job(closing, opening)], patient)
    since = (ahead.executed_at - NOON).total_seconds()
    assert heard[0][0] == pytest.approx(since + 60)
    # 5 × 250,000 closed and 3 × 252,500 opened.
    assert f"60 s: {ES_JUN} 5 of 5, {ES_SEP} 3 of 5; 492,500 USD" in heard[0][1]


def test_execution_that_is_told_late_counts_from_when_it_was_made() -> None:
    made, broker, _ = world(CLOSING, OPENING)
    heard: list[tuple[float, str]] = []

    def trade(b: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(b, child)
        if child.contract_id == ES_JUN:
            done = b.execute(child, D(8), after=40)
            b.done[-1] = made_at = replace(done, executed_at=NOON + timedelta(seconds=5))
            b.queue = [(at, n, replace(e, fill=made_at) if e.fill is done else e) for at, n, e in b.queue]

    broker.on_send = trade
    execute([job(CLOSING, OPENING, minutes=5)], replace(made, execution=PATIENT, observer=heard_by(heard)))
    assert [at for at, _ in heard] == [pytest.approx(65.0), pytest.approx(300.1)]


def test_attempt_after_the_window_tells_what_the_one_that_died_left_on_one_leg() -> None:
    made, broker, book = world(CLOSING, OPENING)
    broker.on_send = trading(CLOSED_ALONE)
    asked = replace(made, execution=PATIENT, is_ending=lambda: broker.now() >= NOON + timedelta(seconds=7))
    execute([job(CLOSING, OPENING, minutes=1)], asked)
    recover(book, broker)
    broker.clock = NOON + timedelta(seconds=125)
    report = execute([job(CLOSING, OPENING, minutes=1)], replace(made, execution=PATIENT))
    skipped, alone = report.alarms
    assert "job job-1 skipped" in skipped
    assert alone == ended(120)
