"""Recorded days, run as the command line runs them: 27 days from each of five dates, positions carried from day to day."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from engine.accounting.bridge import RESIDUAL_LIMIT_USD
from engine.composition.stages import DayInputs, RiskStep, TargetStep, ValuedFund
from engine.composition.trading import TradeListDecision
from engine.errors import StoreError
from engine.execution.netting import reduces
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.halts import HaltChoice
from engine.risk.regime import RiskRegime
from engine.roll import RollPlan
from flows.engine import BODIES
from flows.planning import trading_days
from state.halts import HaltRecord
from tasks.opening import begin
from tasks.operator import scripted_answer
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.factories import (
    BookAtClose,
    accepted_orders,
    book_at_close,
    executions_at_broker,
    recorded_inputs,
    run,
    step_outputs,
)
from tests.real_data.store_fixture import built_store, real_store

__all__ = ["real_store"]

pytestmark = pytest.mark.shared

DAYS = 27
STARTS = (date(2008, 10, 13), date(2011, 8, 8), date(2015, 8, 24), date(2018, 2, 6), date(2020, 2, 24))
NOTES_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedDay:
    """What one date read and decided."""

    inputs: DayInputs
    fund: ValuedFund
    close: ValuedFund
    risk: RiskStep
    targets: TargetStep
    rolls: RollPlan
    trades: TradeListDecision
    books: BookAtClose


@dataclass(frozen=True, slots=True, kw_only=True)
class RealRun:
    """27 days of records: what each decided, the halts with their answers, and what the broker's own file says."""

    days: Mapping[date, DecidedDay]
    statuses: frozenset[RunStatus]
    halts: tuple[HaltRecord, ...]
    references: tuple[str, ...]
    booked: tuple[str, ...]
    executed: tuple[str, ...]

    def regime(self, day: date) -> RiskRegime:
        """Regime of a date's decision."""
        return self.days[day].risk.decision.regime

    def entered_crisis(self) -> list[date]:
        """Dates whose decision entered CRISIS from another regime of this run."""
        dates = list(self.days)
        return [
            day
            for before, day in pairwise(dates)
            if self.regime(day) is RiskRegime.CRISIS and self.regime(before) is not RiskRegime.CRISIS
        ]


@cache
def real_run(store: Path, first: date) -> RealRun:
    """The days from a date on, run once for all tests."""
    home = Path(tempfile.mkdtemp(prefix="fund-history-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    plan = trading_days(first, date(first.year, first.month + 2, 15))[:DAYS]
    world = World(WorldOptions(profile="history", store=store, first=plan[0], last=plan[-1], home=home))
    statuses: set[RunStatus] = set()
    days: dict[date, DecidedDay] = {}
    for day in plan:
        statuses |= {_finished(world, day, kind) for kind in BODIES}
        days[day] = _decided(world, day)
    result = RealRun(
        days=days,
        statuses=frozenset(statuses),
        halts=world.halts.halts(world.account),
        references=tuple(order.order_ref for order in accepted_orders(home, world.account)),
        booked=tuple(fill.execution_id for fill in world.fills()),
        executed=executions_at_broker(home, world.account),
    )
    world.close()
    return result


def _finished(world: World, day: date, kind: RunKind) -> RunStatus:
    outcome = run(world, day, kind)
    while outcome.is_halted and scripted_answer(world, day):
        outcome = run(world, day, kind)
    return outcome.status


def _decided(world: World, day: date) -> DecidedDay:
    steps = step_outputs(world, day)
    return DecidedDay(
        inputs=recorded_inputs(world, day),
        fund=decode(ValuedFund, steps["nav"]),
        close=decode(ValuedFund, step_outputs(world, day, RunKind.CLOSE)["nav"]),
        risk=decode(RiskStep, steps["risk"]),
        targets=decode(TargetStep, steps["targets"]),
        rolls=decode(RollPlan, steps["roll"]),
        trades=decode(TradeListDecision, steps["trades"]),
        books=book_at_close(world),
    )


@pytest.fixture(params=STARTS, ids=str)
def recorded(request: pytest.FixtureRequest, shared: Path) -> RealRun:
    """Give each of the five runs in turn."""
    return real_run(built_store(shared / "market_data"), request.param)


def test_every_run_of_every_day_completes(recorded: RealRun) -> None:
    assert len(recorded.days) == DAYS
    assert recorded.statuses == {RunStatus.COMPLETED}


def test_every_bridge_closes_to_a_cent(recorded: RealRun) -> None:
    bridges = [fund.bridge for day in recorded.days.values() for fund in (day.fund, day.close)]
    assert bridges[0] is None  # nothing came before the first decision
    residuals = [abs(bridge.residual) for bridge in bridges[1:] if bridge is not None]
    assert len(residuals) == 2 * DAYS - 1
    assert max(residuals) <= RESIDUAL_LIMIT_USD


def test_book_equals_the_brokers_file_at_every_close(recorded: RealRun) -> None:
    for day, decided in recorded.days.items():
        assert decided.books.ours == decided.books.broker, day


def test_positions_are_carried_and_no_reference_or_execution_comes_twice(recorded: RealRun) -> None:
    last = list(recorded.days.values())[-1]
    assert len(last.inputs.portfolio.positions) >= 15
    assert len(set(recorded.references)) == len(recorded.references) > 0
    assert sorted(recorded.booked) == sorted(set(recorded.executed))


def test_nothing_is_held_beyond_the_end_of_its_record(recorded: RealRun) -> None:
    for day, decided in recorded.days.items():
        chains = {c.contract_id: c for chain in decided.inputs.market.chains.values() for c in chain}
        for name in decided.inputs.portfolio.positions:
            deadline = chains[name].roll_deadline if name in chains else None
            assert deadline is None or deadline >= day, (day, name)


def test_nothing_grows_on_a_price_that_is_not_of_the_last_session(recorded: RealRun) -> None:
    for day, decided in recorded.days.items():
        rolled = {roll.new_contract for roll in decided.rolls.rolls}
        for trade in decided.trades.trades:
            age = decided.inputs.market.mark(trade.contract_id).age_sessions
            held = decided.inputs.portfolio.quantity(trade.contract_id)
            assert age == 0 or trade.contract_id in rolled or reduces(held, trade.quantity), (day, trade)


def test_contract_that_is_closed_without_a_successor_is_never_turned_to_the_other_side(shared: Path) -> None:
    store = built_store(shared / "market_data")
    closed = [
        (decided.inputs.portfolio.quantity(trade.contract_id), trade.quantity)
        for first in (date(2015, 8, 24), date(2020, 2, 24))
        for decided in real_run(store, first).days.values()
        for trade in decided.trades.trades
        if any(r.old_contract == trade.contract_id and r.new_contract is None for r in decided.rolls.rolls)
    ]
    # OAT in 2015 and Bund in 2020, whose records end without a pair.
    assert len(closed) >= 2
    assert all(reduces(held, quantity) for held, quantity in closed), closed


def test_old_marks_beyond_the_limit_stop_the_day_and_the_script_abandons_it(recorded: RealRun) -> None:
    stopped = {day for day, decided in recorded.days.items() if decided.fund.marks.halt_kind is not None}
    assert {halt.choice for halt in recorded.halts} <= {HaltChoice.ABANDON_DAY}
    assert len(recorded.halts) == len(stopped)
    for day in stopped:
        decided = recorded.days[day]
        assert decided.inputs.abandoned
        for trade in decided.trades.trades:
            assert reduces(decided.inputs.portfolio.quantity(trade.contract_id), trade.quantity), trade


def test_notes_on_the_data_are_few_enough_to_read(recorded: RealRun) -> None:
    assert max(len(decided.inputs.market.data_notes) for decided in recorded.days.values()) <= NOTES_MAX


@pytest.mark.parametrize(
    ("first", "entered"),
    [
        (date(2008, 10, 13), []),  # in CRISIS from the first decision
        (date(2011, 8, 8), [date(2011, 8, 9), date(2011, 8, 19)]),  # after the closes of 8 and 18 August
        (date(2015, 8, 24), [date(2015, 8, 25)]),  # after the close of 24 August
        (date(2018, 2, 6), []),  # 5 February closed at 37.32
        (date(2020, 2, 24), [date(2020, 3, 2)]),  # after the close of 28 February
    ],
    ids=str,
)
def test_crisis_begins_at_the_decision_after_the_vix_closed_above_40(
    shared: Path, first: date, entered: list[date]
) -> None:
    found = real_run(built_store(shared / "market_data"), first)
    assert found.entered_crisis() == entered
    assert (found.regime(first) is RiskRegime.CRISIS) is (first == date(2008, 10, 13))


def test_halts_of_old_marks_fall_on_the_days_after_missing_rows(shared: Path) -> None:
    store = built_store(shared / "market_data")
    stopped = {
        first: [d for d, x in real_run(store, first).days.items() if x.fund.marks.halt_kind is not None]
        for first in (date(2015, 8, 24), date(2018, 2, 6))
    }
    # ES, FESX and NQ have no row on 2015-09-01, ES and NQ none on 2018-03-02.
    assert date(2015, 9, 2) in stopped[date(2015, 8, 24)]
    assert date(2018, 3, 5) in stopped[date(2018, 2, 6)]


def test_a_pair_without_a_recent_price_of_one_leg_is_left_empty_and_named(shared: Path) -> None:
    """FESX has no row from 17 to 21 February 2020: five sessions."""
    decided = real_run(built_store(shared / "market_data"), date(2020, 2, 24)).days[date(2020, 2, 24)]
    assert decided.inputs.market.mark("FESX_20200320").age_sessions == 5
    assert "short leg" in decided.targets.book.held["core_index_rv"]
    assert not {"ES", "FESX"} & {trade.instrument_id for trade in decided.trades.trades}
    assert (
        "FESX_20200320: stale, last price of 2020-02-14, 5 sessions old" in decided.inputs.market.data_notes
    )


def test_no_real_move_is_taken_for_a_wrong_price(recorded: RealRun) -> None:
    """Of five crises one held move was beyond its class's limit, of a small line: Taylor Wimpey rose by 37 %."""
    jumps = {(day, held.jump.contract_id) for day, x in recorded.days.items() for held in x.fund.jumps.jumps}
    assert jumps <= {(date(2008, 11, 4), "TW.L")}
    assert all(x.fund.jumps.halt_kind is None for x in recorded.days.values())


def test_small_line_that_really_jumped_is_frozen_and_stops_nothing(shared: Path) -> None:
    fund = real_run(built_store(shared / "market_data"), date(2008, 10, 13)).days[date(2008, 11, 4)].fund
    (held,) = fund.jumps.jumps
    assert (held.jump.contract_id, fund.jumps.halt_kind) == ("TW.L", None)
    assert "TW.L" in fund.frozen
    assert 0 < fund.jumps.effect_usd < fund.jumps.limit_usd


def test_recorded_problems_reach_the_days_that_they_concern(shared: Path) -> None:
    store = built_store(shared / "market_data")
    # VX rows of the first quarter of 2018 came late, which nobody could know before the quarter was over.
    known = [x.inputs.market.data_notes for x in real_run(store, date(2018, 2, 6)).days.values()]
    assert not any(note.startswith("VX: late rows") for notes in known for note in notes)
    rolled = real_run(store, date(2015, 8, 24)).days[date(2015, 9, 9)].inputs.market.data_notes
    assert any(note.startswith("FESX_20151218: no price recorded on 2015-09-0") for note in rolled)


def test_short_shares_pay_the_configured_fee_on_both_sides(shared: Path) -> None:
    decided = real_run(built_store(shared / "market_data"), date(2015, 8, 24)).days[date(2015, 8, 26)]
    fees = {quote.fee_bps_annual for quote in decided.inputs.market.borrow.values()}
    assert fees == {Decimal(150)}


def test_single_day_from_an_empty_book_completes(shared: Path, tmp_path: Path) -> None:
    day = date(2020, 2, 24)
    store = built_store(shared / "market_data")
    world = World(WorldOptions(profile="history", store=store, first=day, last=day, home=tmp_path))
    statuses = [BODIES[kind](begin(world, day, kind)).status for kind in BODIES]
    world.close()
    assert statuses == [RunStatus.COMPLETED] * 3


def test_date_before_the_records_begin_names_their_first_date(shared: Path, tmp_path: Path) -> None:
    day = date(1960, 1, 4)
    store = built_store(shared / "market_data")
    world = World(WorldOptions(profile="history", store=store, first=day, last=day, home=tmp_path))
    with pytest.raises(StoreError, match=r"trade date from 1999-06-16 on, .* found 1960-01-04"):
        begin(world, day, RunKind.DECISION)
    world.close()
