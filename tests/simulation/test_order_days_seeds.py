"""Execution days under drawn faults: no order twice, no fill lost, book and broker equal, and the same day again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.errors import HaltError
from engine.execution import answers, lifecycle, planning, rounds
from engine.execution.outcome import WindowVerdict
from engine.execution.recovery import recover
from state import gate
from state.marks import MemoryMarks
from tests.simulation.order_days.campaign import simulate
from tests.simulation.order_days.comparing import compare
from tests.simulation.order_days.day import FaultedDay
from tests.simulation.order_days.drawing import WIDE, Fault, draw, often
from tests.simulation.order_days.judging import judge
from tests.simulation.order_days.sizes import SEEDS

BLOCKS = 8
DIGESTS = Path(__file__).parent / "order_days" / "digests.json"


@pytest.mark.parametrize("block", range(BLOCKS))
def test_drawn_days_break_no_invariant(block: int) -> None:
    size = SEEDS // BLOCKS
    found = simulate(draw(seed) for seed in range(block * size, (block + 1) * size))
    assert found.violations == []
    assert found.days == size


@pytest.mark.parametrize(
    ("seed", "why"),
    [
        (74920, "a restored book has lost a halt, and the broker had no order to show"),
        (162510, "a restored book has lost a halt that came after its first order"),
        (16388, "attempts begin later and later, and the broker settles the day before the last one ends"),
        (
            21976,
            "somebody else's order is told, ends by itself hours before the next window, and never traded",
        ),
        (168591, "a process stands before the line all day, and the run asks again and again"),
        (1701, "a spread lets its legs go after the window closed on them"),
        (1897, "an order is refused while its cancel is under way"),
        (2410, "an order is refused while its cancel is under way, and the process ends"),
        (54, "somebody else's trade in the account is told, and the run goes on sending"),
        (113, "somebody else's order in the account is told, and the run goes on sending"),
        (10582, "an execution of an order that was rejected since is taken back"),
        (24149, "an execution of an order that was rejected since is corrected"),
        (103229, "executions of an order that an earlier attempt saw rejected are taken back"),
        (107593, "a late fill takes all that a cancel left of an order in doubt; one look tells both"),
    ],
)
def test_day_that_once_broke_an_invariant_breaks_none(seed: int, why: str) -> None:
    assert judge(FaultedDay.begin(draw(seed)).live()) == [], why


@pytest.fixture
def without_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here has seen how far the account had come: a restored book knows only what the broker shows."""
    monkeypatch.setattr(MemoryMarks, "highest", lambda self, account: 0)


RESTORED = (
    (1089, "lost the first order of a parent, and with it where its collar stands"),
    (2815, "sends under a name that the lost one was refused at the gate"),
    (29887, "sends two orders under names that the lost one was refused at the gate"),
    (69622, "sends under a name that the lost one had planned"),
    (11008, "sends under the name of an order that never arrived, at a mid of its own"),
    (107371, "sends under the name of an order that never arrived, beside a roll"),
    (6010, "takes a reference that the broker did not list yet, and sends it again"),
    (73977, "has lost an order that trades while a run works"),
    (40594, "has lost a trade, beside which somebody else's order works"),
    (119015, "has lost a trade, beside which somebody else trades"),
)


@pytest.mark.parametrize(("seed", "why"), RESTORED)
def test_restored_book_that_once_broke_an_invariant_breaks_none(seed: int, why: str) -> None:
    assert judge(FaultedDay.begin(draw(seed)).live()) == [], why


@pytest.mark.usefixtures("without_marks")
@pytest.mark.parametrize(("seed", "why"), RESTORED)
def test_restored_book_that_no_mark_betrays_breaks_no_invariant(seed: int, why: str) -> None:
    day = FaultedDay.begin(draw(seed)).live()
    assert judge(day) == [], why
    assert day.restored


@pytest.mark.usefixtures("without_marks")
@pytest.mark.parametrize("seed", [74920, 162510])
def test_restored_book_that_lost_a_halt_is_caught_where_no_mark_betrays_it(seed: int) -> None:
    found = judge(FaultedDay.begin(draw(seed)).live())
    assert {violation.invariant for violation in found} == {"I7 nothing after a halt"}


_RESTORED_AND_ENDED = {Fault.RESTORE: 0.7, Fault.TERMINATE: 0.03, Fault.DEATH: 0.01}


@pytest.mark.usefixtures("without_marks")
@pytest.mark.parametrize(
    ("seed", "fault", "why"),
    [
        (
            21,
            Fault.QUERY_LAGS,
            "a process is asked to end before the jobs begin whose orders an earlier one left",
        ),
        (68, Fault.QUERY_EMPTY, "the same, of an order whose cancel was under way"),
        (124, Fault.QUERY_LAGS, "the same, of an order that was filled in part"),
        (243, Fault.QUERY_EMPTY, "the same, of the fifth order of a parent"),
        (20, Fault.QUERY_LAGS, "an order that a restored book has lost works on until a process ends"),
        (185, Fault.QUERY_LAGS, "the same, of an order that was never acknowledged"),
        (227, Fault.QUERY_LAGS, "the same, of an order beside others that traded"),
        (244, Fault.QUERY_LAGS, "the same, and the process is asked to end while it looks for what was lost"),
    ],
)
def test_day_that_once_left_an_order_alone_leaves_none(seed: int, fault: Fault, why: str) -> None:
    assert judge(FaultedDay.begin(draw(seed, {**_RESTORED_AND_ENDED, fault: 0.3})).live()) == [], why


@pytest.mark.usefixtures("without_marks")
def test_restored_book_that_asks_only_once_what_it_has_lost_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "tests.simulation.order_days.day.recover_all",
        lambda book, transport, policy, is_ending: recover(book, transport),
    )
    found = judge(FaultedDay.begin(draw(6010)).live())
    assert "I1 accepted at most once" in {violation.invariant for violation in found}


@pytest.mark.parametrize("seed", [40594, 119015])
def test_stranger_behind_what_a_restored_book_has_lost_is_missed_where_one_difference_is_told(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    def tells_the_first(*asked: Any) -> WindowVerdict:
        try:
            return compare(*asked)
        except HaltError as error:
            raise HaltError(error.kind, str(error).split("; ")[0]) from error

    monkeypatch.setattr("tests.simulation.order_days.day.compare", tells_the_first)
    found = judge(FaultedDay.begin(draw(seed)).live())
    assert [violation.invariant for violation in found] == ["I12 strangers are told"]


FILLED_LATE = {Fault.BUST: 0.1, Fault.CANCEL_LOST: 0.9, Fault.CLOCK_STEP: 0.01, Fault.REDUCING: 0.005}
"""On the day of seed 300 an order fills after its window, one execution of it is taken back, and no quote may be had."""


def test_run_ends_though_its_last_order_fills_late_and_what_was_taken_back_may_not_be_ordered() -> None:
    assert judge(FaultedDay.begin(draw(300, FILLED_LATE)).live()) == []


def test_parent_that_waits_for_a_quote_after_its_window_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = rounds.ask
    for module in (rounds, answers, lifecycle):
        monkeypatch.setattr(
            module,
            "ask",
            lambda core, *rest: right(replace(core, window_end=core.window_end + timedelta(days=1)), *rest),
        )
    found = judge(FaultedDay.begin(draw(300, FILLED_LATE)).live())
    assert [violation.invariant for violation in found] == ["I13 every process ends"]


def test_leg_that_a_dead_process_left_alone_is_told_by_whoever_ends_the_day() -> None:
    rates = {Fault.LEG_REFUSED: 0.6, Fault.DEATH: 0.03, Fault.LATE_START: 0.3}
    day = FaultedDay.begin(draw(4, rates)).live()
    assert judge(day) == []
    assert any("roll:ES has stood on one leg" in text for text in day.alarms)


def test_gate_that_knows_no_limits_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = [day for day in map(draw, range(60)) if day.limits != WIDE]
    right = gate.judge
    monkeypatch.setattr(gate, "judge", lambda facts, limits: right(facts, WIDE))
    broken = (found for day in limited for found in judge(FaultedDay.begin(day).live()))
    assert next(broken).invariant == "I3 within the limits"


def test_gate_that_forgets_the_count_in_the_life_of_a_restored_book_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day, right = FaultedDay.begin(draw(2815)), gate.judge
    monkeypatch.setattr(
        gate,
        "judge",
        lambda facts, limits: right(replace(facts, orders_today=0) if day.restored else facts, limits),
    )
    assert "I3 within the limits" in {found.invariant for found in judge(day.live())}


@pytest.mark.usefixtures("without_marks")
@pytest.mark.parametrize("seed", [11008, 107371])
def test_anchor_that_moves_in_the_life_of_a_restored_book_is_caught(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, right = FaultedDay.begin(draw(seed)), planning.first_mid
    monkeypatch.setattr(planning, "first_mid", lambda core: None if day.restored else right(core))
    assert "I3 inside the collar" in {found.invariant for found in judge(day.live())}


def test_while_reducing_some_orders_that_reduce_leave_and_others_do_not() -> None:
    days = (FaultedDay.begin(draw(seed, often(Fault.REDUCING))).live() for seed in range(60))
    assert any(_left_while_reducing(day) for day in days)


def _left_while_reducing(day: FaultedDay) -> bool:
    """Whether an order arrived between the moment from which only reductions might leave and its end."""
    if day.halted_at is None or day.resumed_at is None:
        return False
    assert judge(day) == []
    return day.may_reduce and day.resumed_at > day.halted_at


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
def test_fault_strikes_and_breaks_nothing(fault: Fault) -> None:
    # A book is restored between two attempts, and the second may be late: so there have to be two.
    rates = often(fault, Fault.DEATH) if fault in (Fault.RESTORE, Fault.LATE_START) else often(fault)
    days = (FaultedDay.begin(draw(seed, rates)).live() for seed in range(60))
    struck = next(day for day in days if day.dice.fired[fault])
    assert judge(struck) == []


def test_same_seeds_give_the_same_events_on_every_python_and_machine() -> None:
    golden = json.loads(DIGESTS.read_text(encoding="utf-8"))
    first, last = golden["seeds"]
    lived = {str(seed): FaultedDay.begin(draw(seed)).live().digest for seed in range(first, last)}
    assert lived == golden["digests"], "written anew by python -m tests.simulation.order_days.digests"
    assert len(set(lived.values())) == last - first
