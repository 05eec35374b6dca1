"""What days leave in the day record: every table has its rows, and they say what was decided, traded and reported."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from engine.accounting.ledger import EntryKind
from engine.composition.stages import RiskStep, TailStep
from engine.composition.trading import TradeListDecision, Wishes
from engine.hedging.fx import FxHedgePlan
from engine.model.context import RunKind
from engine.model.encoding import decode, significant
from engine.model.halts import HaltChoice
from engine.model.orders import OrderPlan
from engine.model.portfolio import Sleeve
from engine.simulation.account import FaultKind
from engine.simulation.interventions import distort_report
from state.order_reading import account_orders
from state.records import RECORD_TABLES
from state.tables import fills, order_tickets
from tasks.reporting import build_report
from tasks.resolution import apply
from tasks.runtime import World
from tests.factories import (
    DAYS,
    days_run,
    new_world,
    order_store,
    recorded_inputs,
    row_counts,
    run,
    run_id_of,
    step_outputs,
    valued,
)
from tests.halted_days import HALTED_DAY, halted_world, home_after_a_day, open_halt

D = Decimal
ZERO = D(0)
FIRST, LAST = DAYS[0], DAYS[-1]
NOT_YET_MADE = {
    "overlays": "nothing opens an overlay: pairs wait for both of their legs",
    "atomic_groups": "no order spans several venues as one",
    "acks": "nobody can acknowledge an alert yet",
    "signals": "no model scores an instrument",
    "signal_metrics": "no model scores an instrument",
}
ON_AN_EVENT = {
    "recon_breaks": "filled when book and broker disagree: see the halted day below",
    "incidents": "filled when a run halts: see the halted day below",
    "crisis_episodes": "filled in a crisis: see tests/state/test_recording.py",
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    opened = new_world(days_run().home)
    yield opened
    opened.close()


def test_every_table_of_the_record_is_filled_or_is_listed_with_its_reason(world: World) -> None:
    counts = row_counts(world)
    empty = {name for name in (*RECORD_TABLES, order_tickets.name) if counts[name] == 0}
    assert empty == set(NOT_YET_MADE) | set(ON_AN_EVENT)


def test_regime_and_risk_state_are_the_risk_step_s(world: World) -> None:
    expected = []
    for day in DAYS:
        step = decode(RiskStep, step_outputs(world, day)["risk"]).decision
        (row,) = world.records.rows("regime_state", account=world.account, trade_date=day)
        assert (row["regime"], row["vix"]) == (step.regime.value, step.vix)
        (state,) = world.records.rows("risk_state", account=world.account, trade_date=day)
        assert (state["regime"], state["control_state"]) == (step.regime.value, "ACTIVE")
        (decision,) = world.records.rows("risk_decisions", run_id=run_id_of(world, day, RunKind.DECISION))
        assert (decision["scale"], decision["drawdown_fraction"]) == (step.scaling_factor, step.drawdown)
        last = expected[-1] if expected else ("", 0)
        expected.append((row["regime"], last[1] + 1 if last[0] == row["regime"] else 1))
    found = [(row["regime"], row["days_in_regime"]) for row in world.records.rows("regime_state")]
    assert found == expected


def test_executions_sum_to_the_fills_of_their_parents(world: World) -> None:
    with world.database.read() as connection:
        booked = dict(
            connection.execute(
                select(fills.c.intent_id, func.sum(fills.c.quantity))
                .where(fills.c.superseded.is_(False))
                .group_by(fills.c.intent_id)
            ).all()
        )
    rows = world.records.rows("executions")
    assert {row["intent_id"]: row["filled"] for row in rows if row["filled"]} == booked
    for row in rows:
        assert (row["outcome"] == "FILLED") == (row["filled"] == row["quantity"])


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_order_s_analytics_are_those_of_the_report(world: World, day: date) -> None:
    report = build_report(world, day)
    by_order = defaultdict(list)
    for fill in report.fills:
        by_order[fill.order_ref].append(fill)
    for view in account_orders(world.database, world.account, report.trade_date):
        reference = view.record.child.order_ref
        (row,) = world.records.rows("execution_analytics", order_ref=reference)
        assert row["filled"] == view.record.filled
        parts = by_order[reference]
        if not parts:
            assert row["slippage_bps"] is None
            continue
        mean = sum((D(str(p.slippage_bps)) * p.quantity for p in parts), ZERO) / view.record.filled
        assert row["slippage_bps"] == pytest.approx(float(mean), abs=1e-3)
    metrics = {
        row["metric"]: row["figure"]
        for row in world.records.rows("analytics_daily", account=world.account, trade_date=report.trade_date)
    }
    assert metrics["fills"] == len(report.fills)
    assert metrics["orders"] == len(report.orders)
    assert metrics["unhedged_usd_seconds"] == report.unhedged_usd_seconds
    assert metrics["shortfall_usd"] == pytest.approx(
        metrics["delay_usd"] + metrics["slippage_usd"] + metrics["commission_usd"] + metrics["tax_usd"],
        abs=1e-4,
    )


def test_ticket_s_collar_holds_every_fill(world: World) -> None:
    with world.database.read() as connection:
        plans = {
            row.intent_id: decode(OrderPlan, row.payload) for row in connection.execute(select(order_tickets))
        }
        traded = connection.execute(select(fills)).all()
    assert traded
    for fill in traded:
        plan = plans[fill.intent_id]
        assert plan.price_floor <= plan.arrival_mid <= plan.price_ceiling
        assert fill.price <= plan.price_ceiling if fill.side == "BUY" else fill.price >= plan.price_floor


def test_slippage_statistics_are_means_over_the_day_s_parents(world: World) -> None:
    bps = defaultdict(list)
    for row in world.records.rows("executions", run_id=run_id_of(world, FIRST, RunKind.EXECUTION)):
        if row["slippage_bps"] is not None:
            views = account_orders(world.database, world.account, FIRST)
            intent = next(v.intent for v in views if v.intent.intent_id == row["intent_id"])
            bps[world.contracts.instrument(intent.contract_id).collar_class.value].append(row["slippage_bps"])
    for row in world.records.rows("slippage_stats", account=world.account, as_of=FIRST):
        values = bps.pop(str(row["bucket"]))
        assert row["observations"] == len(values)
        assert row["mean_bps"] == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert not bps


def test_sleeve_ledger_adds_up_to_the_book(world: World) -> None:
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in world.records.rows("sleeve_ledger", account=world.account):
        held[str(row["contract_id"]), str(row["sleeve"])] += D(str(row["quantity"]))
    book = world.ledger.portfolio(world.account, world.close_time(LAST))
    expected = {
        (name, sleeve.value): quantity
        for name, position in book.positions.items()
        for sleeve, quantity in position.sleeves.items()
        if quantity != 0
    }
    assert {key: quantity for key, quantity in held.items() if quantity != 0} == expected


def test_premium_ledger_sums_to_the_option_premium_of_the_ledger(world: World) -> None:
    paid: dict[str, Decimal] = defaultdict(Decimal)
    for entry in world.ledger.entries(world.account):
        if entry.contract_id is not None and world.contracts.instrument(entry.contract_id).is_option:
            for line in entry.lines:
                if line.account.startswith("cost:"):
                    paid[line.unit] += line.amount
    found: dict[str, Decimal] = defaultdict(Decimal)
    for row in world.records.rows("premium_ledger", account=world.account):
        found[str(row["currency"])] += D(str(row["amount"]))
    assert found == paid
    assert sum(paid.values()) > 0


def test_carry_sums_to_the_ledger_s_interest_fees_and_dividends(world: World) -> None:
    earned: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry in world.ledger.entries(world.account):
        if entry.kind in (EntryKind.INTEREST, EntryKind.BORROW_FEE, EntryKind.DIVIDEND):
            for line in entry.lines:
                if line.account.startswith(("income:", "expense:")):
                    earned[line.unit, entry.kind.value] -= line.amount
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in world.records.rows("carry_daily", account=world.account):
        found[str(row["currency"]), str(row["kind"])] += D(str(row["amount"]))
    assert found == earned
    assert found["EUR", "BORROW_FEE"] < 0


@pytest.mark.parametrize("day", DAYS[:2], ids=str)
def test_gate_s_decisions_are_those_of_the_trades_step(world: World, day: date) -> None:
    trades = decode(TradeListDecision, step_outputs(world, day)["trades"])
    run_id = run_id_of(world, day, RunKind.DECISION)
    rows = world.records.rows("gating_decisions", run_id=run_id)
    assert {row["contract_id"]: row["outcome"] == "trade" for row in rows} == {
        found.contract_id: found.should_trade for found in trades.gate.decisions
    }
    considered = world.records.rows("decisions", run_id=run_id, outcome="done")
    assert {row["subject"] for row in considered} == {trade.contract_id for trade in trades.trades}
    (safety,) = world.records.rows("decisions", run_id=run_id, stage="safety")
    assert safety["outcome"] == "passed"


@pytest.mark.parametrize("day", DAYS[:2], ids=str)
def test_hedges_are_what_is_held_and_what_is_asked_for(world: World, day: date) -> None:
    wanted: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for name, position in recorded_inputs(world, day).portfolio.positions.items():
        for sleeve, quantity in position.sleeves.items():
            wanted[sleeve.value, name] += quantity
    outputs = step_outputs(world, day)
    wishes, hedge = decode(Wishes, outputs["wishes"]), decode(FxHedgePlan, outputs["fx_hedge"])
    for proposal in (*wishes.proposals, *hedge.proposals):
        wanted[proposal.sleeve, proposal.contract_id] += proposal.quantity
    rows = world.records.rows("hedges", run_id=run_id_of(world, day, RunKind.DECISION))
    assert rows
    for row in rows:
        assert row["kind"] in (Sleeve.FX_HEDGE.value, Sleeve.CRISIS_ALPHA.value)
        assert row["quantity"] == wanted[str(row["kind"]), str(row["contract_id"])]
        assert (row["exposure_usd"] != 0) == (row["quantity"] != 0)


def test_premium_budget_is_the_latest_tail_plan_s(world: World) -> None:
    lines = decode(TailStep, step_outputs(world, LAST)["tail"]).plan.budgets
    (row,) = world.records.rows("premium_budget", account=world.account, year=LAST.year)
    assert row["budget"] == sum(line.annual for line in lines)
    assert row["spent"] == sum(line.spent_year + line.planned for line in lines)


def test_market_data_holds_the_marks_of_what_was_held_or_decided(world: World) -> None:
    inputs = recorded_inputs(world, FIRST)
    rows = world.records.rows("market_data", run_id=run_id_of(world, FIRST, RunKind.DECISION))
    assert {row["contract_id"]: row["close"] for row in rows} == {
        str(row["contract_id"]): inputs.market.marks[str(row["contract_id"])].price for row in rows
    }
    assert all(row["at"] < inputs.market.as_of for row in rows)
    known = {row["contract_id"] for row in world.records.rows("market_data", account=world.account)}
    assert set(recorded_inputs(world, LAST).portfolio.positions) <= known
    assert len(known) < len(inputs.market.marks) / 2


def test_every_rate_that_a_decision_read_is_kept_by_pair_source_and_time(world: World) -> None:
    for day in DAYS:
        read = recorded_inputs(world, day).market.fx.rates
        assert len(read) >= 4
        for pair, rate in read.items():
            (row,) = world.records.rows("fx_rates", pair=pair, at=rate.observed_at)
            assert (row["rate"], row["source"]) == (rate.rate, rate.source)


def test_contracts_that_were_held_are_known_as_instruments(world: World) -> None:
    known = {row["contract_id"] for row in world.records.rows("instruments")}
    for day in DAYS:
        assert set(recorded_inputs(world, day).portfolio.positions) <= known


def test_screens_are_ranked_by_falling_score_on_the_day_they_were_made(world: World) -> None:
    for side in ("LONG", "SHORT"):
        rows = world.records.rows("screen_results", account=world.account, side=side)
        assert {row["as_of"] for row in rows} == {FIRST}
        assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
        scores = [float(str(row["score"])) for row in rows]
        assert scores == sorted(scores, reverse=True)


def test_nav_history_has_the_close_s_nav_its_return_and_drawdown(world: World) -> None:
    rows = world.records.rows("nav_history", account=world.account)
    peak = last = None
    for day, row in zip(DAYS, rows, strict=True):
        valuation = valued(world, day, RunKind.CLOSE).valuation
        decided = valued(world, day, RunKind.DECISION).valuation.unit_price
        peak = max(peak or decided, decided)
        price = D(str(row["unit_price"]))
        assert row["nav"] == valuation.nav
        assert row["drawdown_fraction"] == pytest.approx(float(min(D(0), price / peak - 1)), abs=1e-12)
        assert row["daily_return"] == (None if last is None else significant(float(price / last - 1)))
        last = price


def test_break_and_incident_of_a_halted_day_are_kept_and_closed_when_it_is_resolved(tmp_path: Path) -> None:
    with halted_world("missed-fill", tmp_path) as world:
        run_id = run_id_of(world, HALTED_DAY, RunKind.DECISION)
        breaks = world.records.rows("recon_breaks", run_id=run_id)
        assert {row["kind"] for row in breaks} >= {"missed-fill"}
        (first,) = [row for row in breaks if row["kind"] == "missed-fill"]
        halt = open_halt(world)
        (incident,) = world.records.rows("incidents")
        assert (incident["incident_id"], incident["closed_at"]) == (halt.halt_id, None)
        assert first["attempt"] == 1
        apply(world, halt.halt_id, HaltChoice.ADOPT_BROKER, "the execution is ours", "tester", {})
        assert not run(world, HALTED_DAY, RunKind.DECISION).is_halted
        (closed,) = world.records.rows("incidents")
        assert closed["closed_at"] is not None
        assert world.records.rows("recon_breaks", run_id=run_id) == breaks
        outcomes = [row["outcome"] for row in world.records.rows("reconciliations", run_id=run_id)]
        assert outcomes == ["HALT", "PASS"]


def test_every_comparison_of_a_day_is_kept_with_its_parts(world: World) -> None:
    """06:00, before each window, 22:30: also those that pass."""
    runs = {kind: run_id_of(world, LAST, kind) for kind in RunKind}
    rows = world.records.rows("reconciliations", run_id=tuple(runs.values()))
    made = sorted((row["at"], row["run_id"], row["outcome"]) for row in rows)  # type: ignore[type-var]
    assert made[0][:2] == (world.decision_time(LAST), runs[RunKind.DECISION])
    assert made[-1][:2] == (world.close_time(LAST), runs[RunKind.CLOSE])
    windows = {job.job.window.start for job in order_store(world).jobs(trade_date=LAST)}
    assert {at for at, run_id, _ in made if run_id == runs[RunKind.EXECUTION]} == windows
    assert {outcome for _, _, outcome in made} == {"PASS"}
    for row in rows:
        parts = ("quantity_usd", "cash_usd", "accrual_usd", "mark_usd", "fx_usd", "unexplained")
        assert sum(D(str(row[name])) for name in parts) == row["difference"]
        assert row["difference"] == D(str(row["nav"])) - D(str(row["net_liquidation"]))
        assert row["difference_fraction"] <= 0.0025  # type: ignore[operator]
    shown = build_report(world, LAST).comparisons
    assert [(row.at, row.status) for row in shown] == [(at, outcome) for at, _, outcome in made]


def test_comparison_without_an_answer_is_kept_as_unknown(tmp_path: Path) -> None:
    shutil.copytree(home_after_a_day(), tmp_path / "home")
    world = new_world(tmp_path / "home", HALTED_DAY)
    distort_report(world.broker, "silence", FaultKind.WITHHELD_ANSWER, "cash")
    assert run(world, HALTED_DAY, RunKind.DECISION).is_halted
    row, *later = world.records.rows("reconciliations", run_id=run_id_of(world, HALTED_DAY, RunKind.DECISION))
    world.close()
    assert (row["outcome"], row["at"]) == ("UNKNOWN", world.decision_time(HALTED_DAY))
    assert [found["outcome"] for found in later] == ["UNKNOWN"] * 3, "asked again at 5, 60 and 120 seconds"
    assert row["difference_fraction"] is row["difference"] is row["cash_usd"] is None
