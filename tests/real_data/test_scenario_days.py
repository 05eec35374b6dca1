"""Three days on which the market broke: 2015-08-24, 2018-02-06 and 2020-03-09, each broken further (R-117)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal as D
from functools import cache
from pathlib import Path

import pytest

from engine.composition.stages import DayInputs, RiskStep
from engine.composition.window_risk import WindowRisk, fund_futures, judge_risk_again
from engine.execution.pace import widest_collar
from engine.execution.pricing import collar_width
from engine.model.context import RunKind
from engine.model.encoding import decode, encode
from flows.engine import BODIES
from state.jobs import JobStore
from state.order_reading import OrderView, account_orders
from tasks.operator import scripted_answer
from tasks.options import WorldOptions
from tasks.window_risk import STEP_PREFIX
from tests.factories import recorded_inputs, run, step_outputs
from tests.real_data.store_fixture import built_store
from tests.real_data.stressed import Lock, StressedWorld

pytestmark = pytest.mark.shared

BEFORE = {
    date(2015, 8, 24): (date(2015, 8, 21),),
    date(2018, 2, 6): (date(2018, 2, 5),),
    date(2020, 3, 9): (date(2020, 3, 5), date(2020, 3, 6)),
}
"""The recorded days on which the book is built."""

LOCK = Lock(instrument_id="ES", price=D(2819), until=time(15))
DAYS = tuple(BEFORE)
FUNDS = frozenset({"QQQ", "IWM", "ES", "NQ"})
"""Lines whose price the future of their index makes; a company's may be its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenDay:
    """What the day decided from, sent and recorded; ``moves`` are of the foremost quoted future when each order left."""

    inputs: DayInputs
    orders: tuple[OrderView, ...]
    notes: str
    decided: RiskStep
    risks: tuple[WindowRisk, ...]
    figures: Mapping[str, float]
    futures: tuple[str, ...]
    moves: Mapping[str, D]
    world: StressedWorld


@cache
def broken_day(store: Path, day: date) -> BrokenDay:
    """The day before as recorded, then the day with spreads × 5, depth ÷ 5, no borrow and, in 2020, ES locked."""
    home = Path(tempfile.mkdtemp(prefix="fund-broken-"))
    options = WorldOptions(profile="history", store=store, first=BEFORE[day][0], last=day, home=home)
    world = StressedWorld(options, day, LOCK if day.year == 2020 else None)
    for each in (*BEFORE[day], day):
        for kind in BODIES:
            while run(world, each, kind).is_halted and scripted_answer(world, each):
                pass
    steps = step_outputs(world, day, RunKind.EXECUTION)
    inputs, orders = recorded_inputs(world, day), account_orders(world.database, world.account, day)
    futures = fund_futures(world.setup(day), inputs)["USD"]
    moves = {}
    for view in orders:
        assert view.record.sent_at is not None
        quotes = [world.facts.quote(name, view.record.sent_at) for name in futures]
        moves[view.record.child.order_ref] = next(
            quote.mid / inputs.market.mark(quote.contract_id).price
            for quote in quotes
            if quote is not None and quote.bid is not None
        )
    jobs = JobStore(world.database, world.account, "").jobs(trade_date=day)
    rows = world.records.rows("analytics_daily", account=world.account, trade_date=day)
    found = BrokenDay(
        inputs=inputs,
        orders=orders,
        decided=decode(RiskStep, step_outputs(world, day)["risk"]),
        notes=" | ".join(record.note for record in jobs),
        risks=tuple(decode(WindowRisk, steps[name]) for name in steps if name.startswith(STEP_PREFIX)),
        figures={str(row["metric"]): float(str(row["figure"])) for row in rows},
        futures=futures,
        moves=moves,
        world=world,
    )
    world.close()
    return found


@pytest.fixture(params=DAYS, ids=str)
def broken(request: pytest.FixtureRequest, shared: Path) -> BrokenDay:
    """Give each of the three days in turn."""
    return broken_day(built_store(shared / "market_data"), request.param)


def test_no_order_stands_outside_the_collar_that_the_future_implies(broken: BrokenDay) -> None:
    """A fund of an American index arrives within 5 % of its price at the decision times the future's move since."""
    policy = broken.world.policy(broken.inputs.context.trade_date)
    first: dict[str, OrderView] = {}
    for view in broken.orders:
        child, instrument = (
            view.record.child,
            broken.world.contracts.instrument(view.record.child.contract_id),
        )
        assert child.arrival_mid is not None
        multiple, ticks = widest_collar(view.intent.urgency, policy.execution)
        width = collar_width(child.arrival_mid, instrument, policy.execution, multiple, ticks)
        mid = child.arrival_mid - (0 if child.near is None else child.near.arrival_mid)
        assert (child.limit_price - mid) * child.side.sign <= width, child
        first.setdefault(child.intent_id, view)
    judged = 0
    for view in first.values():
        child = view.record.child
        assert child.arrival_mid is not None
        if child.contract_id.partition("_")[0] in FUNDS:
            judged += 1
            implied = view.intent.decision_price * broken.moves[child.order_ref]
            assert abs(child.arrival_mid / implied - 1) <= D("0.05"), child
    assert judged >= 1


def test_risk_is_judged_again_where_a_future_moved_and_never_becomes_looser(broken: BrokenDay) -> None:
    assert broken.risks
    for risk in broken.risks:
        assert all(abs(move) > D("0.03") for move in risk.moves.values())
        assert risk.verdict.scale <= 1


def test_recorded_look_at_the_risk_comes_out_the_same_again(broken: BrokenDay) -> None:
    """What was read is in the record: from it and the decision's own records the same bytes follow."""
    setup = broken.world.setup(broken.inputs.context.trade_date)
    for risk in broken.risks:
        assert encode(judge_risk_again(setup, broken.inputs, broken.decided, risk.reading)) == encode(risk)


def test_recalled_borrow_leaves_no_new_short(broken: BrokenDay) -> None:
    """Shorts of shares of this day were refused by the broker; nothing of them traded."""
    for view in broken.orders:
        instrument = broken.world.contracts.instrument(view.record.child.contract_id)
        held = broken.inputs.portfolio.quantity(view.record.child.contract_id)
        if not instrument.is_future and not instrument.is_option:
            assert held + view.record.filled * view.record.child.side.sign >= min(held, 0)


def test_what_stood_open_and_what_cuts_cost_is_recorded(broken: BrokenDay) -> None:
    assert broken.figures["unhedged_usd_seconds"] >= 0
    assert "derisk_cost_usd" in broken.figures


def test_fund_that_fell_through_its_market_is_not_bought(shared: Path) -> None:
    """On 2015-08-24 QQQ opened far below what the future implied: it is named and not traded while that lasts."""
    day = broken_day(built_store(shared / "market_data"), date(2015, 8, 24))
    assert "QQQ: expected a price within 5.0% of" in day.notes


def test_future_that_is_locked_at_its_limit_is_not_chased(shared: Path) -> None:
    """ES is offered at 2819 and nobody bids until 15:00: nothing is sold of it before, and nothing is priced by it."""
    day = broken_day(built_store(shared / "market_data"), date(2020, 3, 9))
    opens = datetime(2020, 3, 9, 15, tzinfo=UTC)
    futures = [view for view in day.orders if view.record.child.contract_id.startswith("ES_")]
    assert futures
    assert all(view.record.sent_at is not None and view.record.sent_at >= opens for view in futures)


def test_cut_of_a_crisis_is_worked_on_the_broken_day_and_its_cost_is_told(shared: Path) -> None:
    day = broken_day(built_store(shared / "market_data"), date(2020, 3, 9))
    cuts = [view for view in day.orders if view.intent.reason.value == "derisk"]
    assert sum(1 for view in cuts if view.record.filled > 0) >= 10
    assert day.figures["derisk_cost_usd"] != 0
