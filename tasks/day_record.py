"""What each flow of a day leaves in the day record, in one transaction at its end.

The rows are made by pure functions of what the day read and decided (`state.recording_*`); a rerun replaces them.
Tables that no day fills yet, and why: docs/adr/0009-one-record-a-flow.md.
"""

from __future__ import annotations

from engine.composition.day import DayDecisions
from engine.composition.stages import DayInputs
from engine.hedging.crisis import CrisisMemory
from state.executions import executed_parents
from state.record_values import Record, RunRows, Tables
from state.recording_book import ledger_rows
from state.recording_execution import TradedDay, execution_rows
from state.recording_market import market_rows, named_contracts, shorted_contracts
from state.recording_risk import budget_rows, episode_rows, risk_rows, screen_rows
from state.recording_trades import hedge_rows, incident_rows, merged, target_rows, trade_rows
from tasks.day import TradingDay
from tasks.step import step


def record_decision(day: TradingDay, inputs: DayInputs, decisions: DayDecisions) -> None:
    """Everything that the decision of a date saw and decided."""
    world, run_id, account = day.world, day.run_id, day.key.account
    before = world.records.latest("regime_state", "trade_date", before=day.trade_date, account=account)
    control = world.control.control(account).state
    proposals = (*decisions.wishes.proposals, *decisions.fx_hedge.proposals)
    book, trades = decisions.targets.book, decisions.trades
    _record(
        day,
        merged(
            risk_rows(run_id, account, decisions.risk, day.policy.risk, control, before),
            budget_rows(run_id, account, day.trade_date, decisions.tail.plan),
            screen_rows(run_id, inputs, decisions.targets.memory.screens),
            episode_rows(run_id, account, decisions.crisis, _known_episode(day, decisions.crisis.memory)),
            target_rows(run_id, book),
            trade_rows(run_id, trades, decisions.safety, book),
            hedge_rows(run_id, inputs, decisions.nav.valuation, proposals, world.contracts),
        ),
        market_rows(
            run_id,
            inputs,
            named_contracts(inputs, book, trades),
            shorted_contracts(inputs, book, trades),
            world.contracts,
            world.sessions,
        ),
    )


def _known_episode(day: TradingDay, memory: CrisisMemory) -> tuple[Record, ...]:
    episode_id = memory.closing.episode_id or memory.opening.episode_id
    if episode_id is None:
        return ()
    return day.world.records.rows("crisis_episodes", account=day.key.account, episode_id=episode_id)


@step("record the executions")
def record_executions(day: TradingDay, inputs: DayInputs) -> None:
    """What became of every parent and child order of the date, and what it cost."""
    traded = TradedDay(
        run_id=day.run_id,
        account=day.key.account,
        trade_date=day.trade_date,
        parents=executed_parents(day.world.database, day.key.account, day.trade_date),
        contracts=day.world.contracts,
        fx=inputs.market.fx,
        policy=day.policy.execution,
        taxes=day.policy.costs.transaction_taxes,
        ended_at=day.world.now,
    )
    rows = execution_rows(traded)
    _record(day, rows.decided, rows.facts)


def record_close(day: TradingDay, inputs: DayInputs) -> None:
    """What was booked since the last close, with the trade date that closes."""
    world, account = day.world, day.key.account
    if inputs.previous is None:
        entries = world.ledger.entries(account, until=day.context.as_of)
    else:
        entries = inputs.previous.entries
    booked = ledger_rows(day.run_id, account, day.trade_date, entries, world.contracts)
    _record(day, booked, {})


def record_incidents(day: TradingDay) -> None:
    """Halts of a run that one of them has just ended; the rest of its record waits for the next attempt."""
    day.world.records.save_all(incident_rows(day.run_id, day.world.halts.halts(day.key.account)))


def _record(day: TradingDay, decided: Tables, facts: Tables) -> None:
    incidents = incident_rows(day.run_id, day.world.halts.halts(day.key.account))
    day.world.records.record_run(
        day.run_id, day.claim.attempt, RunRows(decided={**decided, **incidents}, facts=facts)
    )
