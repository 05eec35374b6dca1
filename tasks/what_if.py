"""The next attempt of a run, before it happens: what it would read, and what it would decide.

Everything is read from the book and from a rehearsal of the outside, so that a question changes nothing. The assembled inputs are those that `tasks.sync` would record, with the supposed changes in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from engine.accounting.book import apply
from engine.accounting.fx_rates import FxVerdict
from engine.accounting.ledger import LedgerEntry
from engine.accounting.reconciliation import ReconciliationReport
from engine.accounting.sides import OwnOrder
from engine.composition.day import decide_steps
from engine.composition.stages import (
    DayInputs,
    DayMemory,
    DaySetup,
    PreviousDay,
    RiskStep,
    ValuedFund,
    contract_book,
)
from engine.composition.trading import TradeListDecision
from engine.model.context import DayContext, RunKind
from engine.model.encoding import canonical, decode
from engine.model.orders import Fill, Side
from engine.model.policy import FundPolicy
from engine.model.universe import Universe
from state.runs import RunRecord
from tasks.break_text import reconciliation_text
from tasks.day import INPUTS, VALUED
from tasks.doubtful import doubtful_prices
from tasks.fx import rates_text
from tasks.known import ACKNOWLEDGED, known_orders
from tasks.nav import residual_text
from tasks.risk import drawdown_text
from tasks.runtime import World
from tasks.sync import live_quotes, named_contracts, quoted_contracts


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposition:
    """What is supposed: entries booked, transient faults over, a halt answered, prices given."""

    entries: tuple[LedgerEntry, ...] = ()
    faults_over: bool = False
    answers: Mapping[str, str] | None = None
    marks: Mapping[str, Decimal] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOrder:
    """A parent order as the decision would plan it; the quantity is unsigned, in ``unit`` (shares, contracts)."""

    contract_id: str
    side: Side
    quantity: Decimal
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What an attempt would find and decide; ``stops`` says why it would halt, empty when it would not."""

    fund: ValuedFund
    reconciliation: ReconciliationReport
    orders: tuple[PlannedOrder, ...]
    stops: str


def next_inputs(world: World, run: RunRecord, supposition: Supposition) -> DayInputs:
    """What the next attempt of a run would read; raises `DataError` where the market can not be read."""
    outside = world.outside.rehearsal(faults_over=supposition.faults_over)
    recorded = world.runs.inputs(run.run_id).get(INPUTS)
    former = None if recorded is None else decode(DayInputs, recorded.payload)
    context = _context(world, run, outside.now())
    book = world.ledger.portfolio(world.account, context.as_of)
    if supposition.entries:
        book = replace(apply(book, *supposition.entries), as_of=context.as_of)
    snapshot = outside.snapshot(context.as_of)
    previous = _previous(world, run, context.as_of, supposition.entries)
    known = known_orders(world, snapshot, () if former is None else _looked_for_again(former.known.working))
    booked = {
        fill.execution_id: fill for fill in (*known.booked, *_adopted(snapshot.executions, supposition))
    }
    known = replace(known, booked=tuple(booked[name] for name in sorted(booked)))
    day, kind = run.key.trade_date, run.key.kind
    quoted = quoted_contracts(world, day, book, snapshot, previous)
    wanted = world.wanted_options(day, kind)
    inputs = DayInputs(
        context=context,
        market=outside.inputs(day, context.as_of, quoted, wanted, supposition.marks or ()),
        contracts=named_contracts(world, book, previous),
        portfolio=book,
        broker=snapshot,
        quotes=live_quotes(world, snapshot),
        known=known,
        unresolved=() if former is None else former.unresolved,
        blocked=() if former is None else former.blocked,
        previous=previous,
        memory=_memory(world, run),
        trading_enabled=not world.control.control(world.account).kill_switch,
        answers=supposition.answers or {},
        manual_marks=supposition.marks or {},
    )
    return canonical(inputs)


def _looked_for_again(working: tuple[OwnOrder, ...]) -> tuple[OwnOrder, ...]:
    """Orders that an attempt has lost are no news to the next one."""
    return tuple(replace(row, is_acknowledged=row.status in ACKNOWLEDGED) for row in working)


def decide_attempt(world: World, inputs: DayInputs, kind: RunKind) -> Attempt:
    """Value and compare; a decision goes on to its trade list, also where a check would stop the day before it."""
    last = "trades" if kind is RunKind.DECISION else "reconcile"
    found: dict[str, object] = {}
    setup = world.setup(inputs.context.trade_date)
    for name, value in decide_steps(setup, inputs):
        found[name] = value
        if name == last:
            break
    rates, fund, report = found["fx"], found["nav"], found["reconcile"]
    assert isinstance(rates, FxVerdict)
    assert isinstance(fund, ValuedFund)
    assert isinstance(report, ReconciliationReport)
    return Attempt(
        fund=fund,
        reconciliation=report,
        orders=_planned(found.get("trades"), setup.universe),
        stops=_stop_reason(inputs, rates, fund, report, setup) or _drawdown(inputs, found, setup.policy),
    )


def _drawdown(inputs: DayInputs, found: Mapping[str, object], policy: FundPolicy) -> str:
    risk = found.get("risk")
    return drawdown_text(inputs, risk, policy.risk) if isinstance(risk, RiskStep) else ""


def _planned(trades: object, universe: Universe) -> tuple[PlannedOrder, ...]:
    if not isinstance(trades, TradeListDecision):
        return ()
    return tuple(
        PlannedOrder(
            contract_id=trade.contract_id,
            side=Side.of(trade.quantity),
            quantity=abs(trade.quantity),
            unit=universe[trade.instrument_id].quantity_unit,
        )
        for trade in trades.trades
    )


def _stop_reason(
    inputs: DayInputs, rates: FxVerdict, fund: ValuedFund, report: ReconciliationReport, setup: DaySetup
) -> str:
    """The first check of the day that would still stop it, in the order of the flow."""
    if not rates.may_trade and not inputs.abandoned:
        return rates_text(rates, setup.policy.fx)
    if fund.bridge is not None and not fund.bridge.closes:
        return residual_text(fund.bridge)
    if not report.can_trade:
        return reconciliation_text(report)
    contracts = contract_book(setup, inputs)
    doubt = doubtful_prices(fund, setup.policy.marks, contracts, abandoned=inputs.abandoned)
    return "" if doubt is None else str(doubt)


def _context(world: World, run: RunRecord, now: datetime) -> DayContext:
    day = run.key.trade_date
    at = world.close_time(day) if run.key.kind is RunKind.CLOSE else world.decision_time(day)
    return DayContext(
        run_id=run.run_id,
        account=world.account,
        mode=run.key.mode,
        trade_date=day,
        as_of=max(at, now),
        config_digest=world.config_digest,
        code_version=world.code_version,
        seed=world.seed,
    )


def _adopted(executions: Sequence[Fill], supposition: Supposition) -> tuple[Fill, ...]:
    booked = {entry.entry_id for entry in supposition.entries}
    return tuple(fill for fill in executions if f"trade:{fill.execution_id}" in booked)


def _previous(
    world: World, run: RunRecord, as_of: datetime, supposed: tuple[LedgerEntry, ...]
) -> PreviousDay | None:
    payload = _left(world, run, VALUED)
    if payload is None:
        return None
    valued = decode(PreviousDay, payload)
    after = valued.valuation.as_of
    booked = (*world.ledger.entries(world.account, until=as_of, since=after), *supposed)
    return replace(valued, entries=tuple(entry for entry in booked if entry.booked_at > after))


def _memory(world: World, run: RunRecord) -> DayMemory:
    payload = _left(world, run, "day")
    return DayMemory() if payload is None else decode(DayMemory, payload)


def _left(world: World, run: RunRecord, name: str) -> bytes | None:
    """What the last decision left: that of an earlier date, or this date's for what runs after it."""
    decided = run.key.kind is not RunKind.DECISION
    before = run.key.trade_date + timedelta(days=1 if decided else 0)
    return world.runs.memory(world.account, name, before)
