"""Trading in the report: what was considered, worked, filled and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from engine.accounting.charges import tax_due
from engine.composition.readings import corporate_actions
from engine.composition.stages import contract_book
from engine.composition.trading import TradeDecision
from engine.execution.outcome import why_unfilled
from engine.execution.slippage import compute_slippage_bps
from engine.model.encoding import significant
from engine.model.market import FxRates
from engine.model.money import ZERO, round_money
from engine.model.orders import JobStatus, Side
from engine.model.spreads import leg_in
from engine.model.universe import ContractBook
from engine.report import CostView, FillRow, JobRow, OrderRow, TradeRow
from state.jobs import JobRecord, JobStore
from state.order_reading import OrderView
from tasks.run_view import RunView
from tasks.runtime import World

_OVER = frozenset(
    {
        JobStatus.DONE,
        JobStatus.SKIPPED,
        JobStatus.EXPIRED,
        JobStatus.FAILED,
        JobStatus.CANCELED,
        JobStatus.UNKNOWN,
    }
)
"""States of a job that nobody works any more."""


def trade_rows(
    world: World, decision: RunView, orders: Sequence[OrderView], closed: bool
) -> tuple[TradeRow, ...]:
    """Every considered trade: done, partly done or not done, and why; ``closed`` says that the day is over."""
    if decision.trades is None:
        return ()
    filled: dict[str, Decimal] = {}
    for view in orders:
        for name, quantity in view.record.traded:
            filled[name] = filled.get(name, ZERO) + quantity
    trades = {trade.contract_id: trade for trade in decision.trades.trades}
    refused = refusals(decision)
    records = JobStore(world.database, world.account, "").jobs(trade_date=decision.record.key.trade_date)
    jobs = {intent.contract_id: record for record in records for intent in record.job.intents}
    rows = []
    for row in decision.trades.decisions:
        name = row.contract_id
        done = filled.get(name, ZERO) if row.done else ZERO
        state, reason = trade_outcome(row, done, refused.get(name), jobs.get(name), closed)
        rows.append(
            TradeRow(
                contract_id=name,
                instrument_id=world.contracts.contract(name).instrument_id,
                quantity=row.quantity,
                filled=done,
                notional_usd=row.notional_usd,
                decision=state,
                reason=reason,
                purpose=trades[name].reason.value if row.done else row.stage,
                sleeves=dict(trades[name].sleeves) if row.done else {},
            )
        )
    return tuple(rows)


def refusals(decision: RunView) -> dict[str, str]:
    """Why trades of the list got no job, by contract: the safety check, or no window took them."""
    found: dict[str, str] = {}
    if decision.trades is not None and decision.safety is not None and not decision.safety.passed:
        why = f"the safety check let nothing be sent that adds risk: {'; '.join(decision.safety.reasons)}"
        permitted = decision.safety.permitted
        found = {t.contract_id: why for t in decision.trades.trades if t.contract_id not in permitted}
    if decision.jobs is not None:
        found |= {item.contract_id: item.reason for item in decision.jobs.skipped}
    return found


def trade_outcome(
    row: TradeDecision, filled: Decimal, refused: str | None, job: JobRecord | None, closed: bool
) -> tuple[str, str]:
    """What became of a considered trade, and why, in words."""
    if not row.done:
        return "not done", f"{row.stage}: {row.reason}"
    if filled == row.quantity:
        return "done", row.reason
    if refused is not None and filled == 0:
        return "not done", f"{row.reason}; {refused}"
    waits = not closed and (job is None or job.status not in _OVER)
    if filled == 0:
        return ("planned", row.reason) if waits else ("not done", f"{row.reason}; {_why(row, job)}")
    left = f"{row.reason}; {row.quantity - filled:f} left unfilled"
    return "partly done", f"{left} so far" if waits else f"{left}: {_why(row, job)}"


def _why(row: TradeDecision, job: JobRecord | None) -> str:
    """Why a job that is over left something undone."""
    if job is None:
        return "the day ended before it had a job"
    if job.status in (JobStatus.SKIPPED, JobStatus.EXPIRED) or job.status not in _OVER:
        return f"its window until {job.job.last_send:%H:%M}Z passed before it was worked"
    return why_unfilled(job.note, row.contract_id) or "nothing more filled inside the collar"


def hedge_lines(decision: RunView) -> tuple[str, ...]:
    """Currency and tail hedges in sentences."""
    lines = []
    if decision.hedge is not None:
        lines += [
            f"{line.currency}: exposure {line.exposure:,.0f} {line.currency}, hedge held {line.hedge_held:,.0f}, "
            f"wanted {line.hedge_target:,.0f} ({line.outcome.value.replace('_', ' ')})"
            for line in decision.hedge.lines
        ]
    if decision.tail is not None:
        lines += [
            f"{line.category.replace('_', ' ')}: {line.spent_year:,.0f} of {line.annual:,.0f} USD spent this year, "
            f"{line.available:,.0f} USD available, {line.planned:,.0f} USD planned today, "
            f"{line.proceeds:,.0f} USD brought back by sales this year"
            for line in decision.tail.plan.budgets
        ]
    return tuple(lines)


def cross_notes(decision: RunView, contracts: ContractBook) -> tuple[str, ...]:
    """What sleeves gave to each other inside the fund, in sentences; nothing where the safety check stopped the day."""
    if decision.trades is None or decision.safety is None or not decision.safety.passed:
        return ()
    notes = []
    for cross in decision.trades.crosses:
        instrument = contracts.instrument(cross.contract_id)
        shares = ", ".join(f"{sleeve} {quantity:+,f}" for sleeve, quantity in sorted(cross.sleeves.items()))
        notes.append(
            f"{cross.contract_id}: crossed between sleeves at {cross.price:f} {instrument.price_unit} without an order, "
            f"in {instrument.quantity_unit}: {shares}"
        )
    return tuple(notes)


def dividend_notes(world: World, decision: RunView) -> tuple[str, ...]:
    """Held shares that go ex within the days of warning, with what that brings or costs."""
    inputs = decision.inputs
    if inputs is None:
        return ()
    setup = world.setup(inputs.context.trade_date)
    found = corporate_actions(inputs.market, setup.policy).warnings(
        inputs.portfolio, contract_book(setup, inputs)
    )
    return tuple(
        f"{row.instrument_id} goes ex on {row.ex_date}, in {row.days} days: "
        f"{'a short owes' if row.cash < 0 else 'its holder receives'} {abs(row.cash):,.2f} "
        f"{world.universe[row.instrument_id].currency}"
        f"{f', of which {row.withheld:,.2f} is withheld' if row.withheld else ''}"
        for row in found
    )


def job_rows(world: World, trade_date: date) -> tuple[JobRow, ...]:
    """Jobs of the date and their windows."""
    store = JobStore(world.database, world.account, "")
    return tuple(
        JobRow(
            job_id=record.job.job_id,
            venue=record.job.venue,
            group=record.job.group,
            style=record.job.style.value,
            window_start=record.job.window.start,
            window_end=record.job.window.end,
            orders=len(record.job.intents),
            status=record.status.value,
        )
        for record in store.jobs(trade_date=trade_date)
    )


def order_rows(orders: Sequence[OrderView]) -> tuple[OrderRow, ...]:
    """Every child order as it ended; a spread is one row of both its contracts, filled as far as both legs are."""
    return tuple(
        OrderRow(
            order_ref=view.record.child.order_ref,
            contract_id=" and ".join(view.record.child.contract_ids),
            side=view.record.child.side.value,
            quantity=view.record.child.quantity,
            filled=view.record.whole,
            limit_price=view.record.child.limit_price,
            status=view.record.status.value,
        )
        for view in orders
    )


def fill_rows(world: World, fx: FxRates, orders: Sequence[OrderView]) -> tuple[FillRow, ...]:
    """Executions of the orders with their slippage against the arrival mid and their cost in USD."""
    by_ref = {view.record.child.order_ref: view for view in orders}
    rows = []
    for fill in world.fills():
        view = by_ref.get(fill.order_ref or "")
        if view is None:
            continue
        instrument = world.contracts.instrument(fill.contract_id)
        commission = fill.commission or ZERO
        cost = fx.to_base(commission, fill.commission_currency or instrument.currency)
        bps: float | None = None
        near = leg_in(view.record.child.near, fill.contract_id)
        mid = view.arrival_mid if near is None else near.arrival_mid
        if mid is not None and mid > 0:
            bps = float(compute_slippage_bps(fill.side, fill.price, mid))
            move = (fill.price - mid) * fill.side.sign
            cost += fx.to_base(instrument.notional(fill.quantity, move), instrument.currency)
        rows.append(
            FillRow(
                execution_id=fill.execution_id,
                order_ref=fill.order_ref or "",
                contract_id=fill.contract_id,
                side=fill.side.value,
                quantity=fill.quantity,
                price=fill.price,
                executed_at=fill.executed_at,
                commission=commission,
                commission_currency=fill.commission_currency or instrument.currency,
                slippage_bps=None if bps is None else significant(round(bps, 4)),
                cost_usd=round_money(cost),
            )
        )
    return tuple(rows)


def unhedged_usd_seconds(world: World, trade_date: date) -> float | None:
    """What groups stood open for by the record of the windows, ``None`` before there is one."""
    rows = world.records.rows(
        "analytics_daily", account=world.account, trade_date=trade_date, metric="unhedged_usd_seconds"
    )
    return next((row["figure"] for row in rows if isinstance(row["figure"], float)), None)


def cost_view(
    world: World, fx: FxRates, trade_date: date, decision: RunView, fills: Sequence[FillRow]
) -> CostView:
    """What the day's trading cost, at the given rates."""
    traded = commission = tax = ZERO
    taxes = world.policy(trade_date).costs.transaction_taxes
    for row in fills:
        instrument = world.contracts.instrument(row.contract_id)
        traded += abs(fx.to_base(instrument.notional(row.quantity, row.price), instrument.currency))
        commission += fx.to_base(row.commission, row.commission_currency)
        signed = row.quantity * Side(row.side).sign
        due = tax_due(instrument, signed, row.price, row.executed_at.date(), taxes)
        tax += fx.to_base(due, instrument.currency)
    total = sum((row.cost_usd for row in fills), ZERO)
    nav = None if decision.fund is None else decision.fund.valuation.nav
    return CostView(
        traded_usd=round_money(traded),
        turnover_fraction=0.0 if not nav else significant(float(traded / nav)),
        commission_usd=round_money(commission),
        tax_usd=round_money(tax),
        slippage_usd=round_money(total) - round_money(commission),
        netting_saved_usd=ZERO if decision.trades is None else decision.trades.saved_notional_usd,
    )
