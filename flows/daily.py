"""06:00 UTC: value the fund, reconcile it, decide what to hold, and put the trades into jobs."""

from __future__ import annotations

from datetime import date

from prefect import flow
from prefect.client.schemas.objects import State

from engine.errors import HaltError
from engine.model.context import RunKind, RunStatus
from flows.outcome import Outcome, as_state, halted
from tasks.artifacts import publish_decision
from tasks.crisis import run_playbook
from tasks.day import TradingDay
from tasks.fx import refresh_fx
from tasks.halting import join_open_halts, stop
from tasks.hedges import plan_currencies, plan_tails
from tasks.maintenance import check_maintenance
from tasks.nav import compute_nav, judge_marks
from tasks.opening import held_text, open_day
from tasks.precompute import precompute
from tasks.quality import require_quality, require_sound_targets
from tasks.reconcile import reconcile
from tasks.record import remember_decision
from tasks.risk import evaluate_risk
from tasks.roll import plan_rolls
from tasks.safety import choose_trades, gather_wishes, verify_safety
from tasks.sync import advance_market, recover_orders, sync_positions
from tasks.targets import compute_targets


@flow(name="daily-decision")
def daily_decision(trade_date: date | None = None, profile: str = "fund") -> State[Outcome] | Outcome:
    """Decide one trade date: its parameter, else the date of the run's scheduled start."""
    with open_day(RunKind.DECISION, trade_date, profile) as day:
        return as_state(decide(day))


def decide(day: TradingDay) -> Outcome:
    """The decision in a trader's order; a halt ends it with its evidence."""
    if day.is_completed or day.is_held:
        return day_is_taken(day)
    try:
        check_maintenance(day)
        advance_market(day)
        recovery = recover_orders(day)
        inputs = sync_positions(day, recovery)
        require_quality(day, inputs)
        rates = refresh_fx(day, inputs)
        fund = compute_nav(day, inputs)
        report = reconcile(day, inputs, fund)
        judge_marks(day, inputs, fund)
        join_open_halts(day)
        rolls = plan_rolls(day, inputs)
        risk = evaluate_risk(day, inputs, fund)
        targets = compute_targets(day, inputs, fund, risk)
        require_sound_targets(targets)
        tail = plan_tails(day, inputs, fund, risk)
        crisis = run_playbook(day, inputs, risk, tail)
        wishes = gather_wishes(day, inputs, fund, targets, rolls, tail, crisis)
        hedge = plan_currencies(day, inputs, fund, wishes)
        trades = choose_trades(day, inputs, fund, risk, wishes, hedge)
        verdict = verify_safety(day, inputs, fund, risk, trades, rates, report)
        jobs = precompute(day, inputs, trades, verdict)
        remember_decision(day, inputs, fund, risk, targets, tail, crisis)
        publish_decision(day, report, targets, trades)
    except HaltError as halt:
        return halted(day.run_id, stop(day, halt))
    day.finish(RunStatus.COMPLETED, b"")
    return Outcome(
        run_id=day.run_id, status=RunStatus.COMPLETED, text=f"{len(jobs.jobs)} jobs for {day.trade_date}"
    )


def day_is_taken(day: TradingDay) -> Outcome:
    """A finished day is done once more without changing anything; a held one is left to its holder."""
    if day.is_held:
        text = held_text(day.run_id)
        return Outcome(run_id=day.run_id, status=day.claim.status, text=text, held=True)
    return Outcome(
        run_id=day.run_id,
        status=RunStatus.COMPLETED,
        text=f"{day.run_id} was finished before; nothing changed",
    )
