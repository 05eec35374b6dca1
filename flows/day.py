"""The fund's day in a trader's order: decide at 06:00, trade in the venues' windows, close at 22:30 UTC.

Prefect's flows wrap these functions, and the command line calls them directly when it runs without Prefect, which
then is never imported: that alone takes seconds.
"""

from __future__ import annotations

from engine.composition.day import DayDecisions
from engine.model.context import RunStatus
from flows.outcome import Outcome, halted
from tasks.artifacts import publish_decision, publish_fills, publish_summary
from tasks.asking import asking_of
from tasks.crisis import run_playbook
from tasks.crosses import book_crosses
from tasks.day import TradingDay
from tasks.day_record import record_executions
from tasks.execute import decision_inputs, find_open_orders, work_jobs
from tasks.fx import refresh_fx
from tasks.halting import STOPS, join_open_halts, require_newest_book, stop
from tasks.hedges import plan_currencies, plan_tails
from tasks.investors import deal_units
from tasks.maintenance import check_maintenance
from tasks.nav import compute_nav, judge_closing_marks, judge_marks
from tasks.open_orders import settle_doubts, taking_back
from tasks.opening import held_text
from tasks.precompute import precompute
from tasks.quality import require_quality, require_sound_targets
from tasks.reconcile import reconcile
from tasks.record import remember_close, remember_decision
from tasks.report import write_report
from tasks.risk import evaluate_risk
from tasks.roll import plan_rolls
from tasks.safety import choose_trades, gather_wishes, verify_safety
from tasks.step import in_flow_run
from tasks.sync import advance_market, ask_again, recover_orders, sync_positions
from tasks.targets import compute_targets
from tasks.window_check import check_window


def decide(day: TradingDay) -> Outcome:
    """The decision in a trader's order; a halt ends it with its evidence."""
    if day.is_completed or day.is_held:
        return day_is_taken(day)
    try:
        check_maintenance(day)
        advance_market(day)
        recovery = recover_orders(day)
        require_newest_book(day)
        inputs = sync_positions(day, recovery)
        require_quality(day, inputs)
        asking = asking_of(day)
        while True:
            rates = refresh_fx(day, inputs)
            fund = compute_nav(day, inputs)
            report = reconcile(day, inputs, fund, asking)
            if report.can_trade:
                break
            inputs = ask_again(day, inputs, asking)
        judge_marks(day, inputs, fund)
        join_open_halts(day)
        rolls = plan_rolls(day, inputs)
        risk = evaluate_risk(day, inputs, fund)
        targets = compute_targets(day, inputs, fund, risk)
        tail = plan_tails(day, inputs, fund, risk)
        crisis = run_playbook(day, inputs, risk, tail)
        require_sound_targets(
            targets
        )  # asked when they were computed; nothing is made of them before this answer
        wishes = gather_wishes(day, inputs, fund, targets, rolls, tail, crisis)
        hedge = plan_currencies(day, inputs, fund, wishes)
        trades = choose_trades(day, inputs, fund, risk, wishes, hedge)
        verdict = verify_safety(day, inputs, fund, risk, trades, rates, report)
        jobs = precompute(day, inputs, trades, verdict)
        book_crosses(day, trades, verdict)
        decisions = DayDecisions(
            fx=rates,
            nav=fund,
            reconcile=report,
            roll=rolls,
            risk=risk,
            targets=targets,
            tail=tail,
            crisis=crisis,
            wishes=wishes,
            fx_hedge=hedge,
            trades=trades,
            safety=verdict,
            jobs=jobs,
        )
        remember_decision(day, inputs, decisions)
        publish_decision(day, report, targets, trades)
    except STOPS as error:
        return halted(day.run_id, stop(day, error))
    day.finish(RunStatus.COMPLETED, b"")
    return Outcome(
        run_id=day.run_id, status=RunStatus.COMPLETED, text=f"{len(jobs.jobs)} jobs for {day.trade_date}"
    )


def trade(day: TradingDay) -> Outcome:
    """Find what an earlier attempt left at the broker, then work what is not finished."""
    if day.is_completed or day.is_held:
        return day_is_taken(day)
    try:
        with taking_back(day, STOPS):
            found = find_open_orders(day)
            require_newest_book(day)
            join_open_halts(day)
            inputs = decision_inputs(day)
        report = work_jobs(day, inputs, check_window, found)
        record_executions(day, inputs)
        publish_fills(day)
    except STOPS as error:
        return halted(day.run_id, stop(day, error))
    day.finish(RunStatus.COMPLETED, b"")
    filled = sum(1 for parent in report.parents if parent.unfilled == 0)
    return Outcome(
        run_id=day.run_id,
        status=RunStatus.COMPLETED,
        text=f"{filled} of {len(report.parents)} parent orders filled on {day.trade_date}",
    )


def close(day: TradingDay) -> Outcome:
    """Settle, value, compare, report."""
    if day.is_completed or day.is_held:
        return day_is_taken(day)
    try:
        settle_doubts(day)
        advance_market(day)
        recovery = recover_orders(day)
        require_newest_book(day)
        inputs = sync_positions(day, recovery)
        asking = asking_of(day)
        while True:
            fund = compute_nav(day, inputs)
            judge_closing_marks(day, inputs, fund)
            if reconcile(day, inputs, fund, asking).can_trade:
                break
            inputs = ask_again(day, inputs, asking)
        remember_close(day, inputs, fund)
        deal_units(day, inputs, fund)
    except STOPS as error:
        outcome = halted(day.run_id, stop(day, error))
        write_report(day)
        return outcome
    day.finish(RunStatus.COMPLETED, b"")
    if in_flow_run():  # without Prefect nobody is told here: who asked for the days builds their reports
        publish_summary(day, write_report(day))
    return Outcome(
        run_id=day.run_id,
        status=RunStatus.COMPLETED,
        text=f"{day.trade_date} closed at NAV {fund.valuation.nav:,.2f} USD",
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
