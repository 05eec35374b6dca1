"""Trading in the report: what was considered, worked, filled and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from engine.execution.slippage import compute_slippage_bps
from engine.model.encoding import significant
from engine.model.money import ZERO, round_money
from engine.report import CostView, FillRow, JobRow, OrderRow, TradeRow
from state.jobs import JobStore
from state.orders import OrderView
from tasks.run_view import RunView
from tasks.runtime import World


def trade_rows(world: World, decision: RunView, orders: Sequence[OrderView]) -> tuple[TradeRow, ...]:
    """Every considered trade: done, partly done or not done, and why."""
    if decision.trades is None:
        return ()
    filled: dict[str, Decimal] = {}
    for view in orders:
        name = view.intent.contract_id
        filled[name] = filled.get(name, ZERO) + view.record.filled * view.intent.side.sign
    sleeves = {trade.contract_id: trade.sleeves for trade in decision.trades.trades}
    purposes = {trade.contract_id: trade.reason.value for trade in decision.trades.trades}
    worked = {view.intent.contract_id for view in orders}
    rows = []
    for row in decision.trades.decisions:
        done = filled.get(row.contract_id, ZERO) if row.done else ZERO
        state, reason = _trade_outcome(row.done, row.reason, row.quantity, done, row.contract_id in worked)
        rows.append(
            TradeRow(
                contract_id=row.contract_id,
                instrument_id=world.contracts.contract(row.contract_id).instrument_id,
                quantity=row.quantity,
                filled=done,
                notional_usd=row.notional_usd,
                decision=state,
                reason=reason if row.done else f"{row.stage}: {reason}",
                purpose=purposes.get(row.contract_id, "") if row.done else row.stage,
                sleeves=dict(sleeves.get(row.contract_id, {})) if row.done else {},
            )
        )
    return tuple(rows)


def _trade_outcome(
    wanted: bool, reason: str, quantity: Decimal, filled: Decimal, worked: bool
) -> tuple[str, str]:
    if not wanted:
        return "not done", reason
    if filled == quantity:
        return "done", reason
    if filled != 0:
        return (
            "partly done",
            f"{reason}; {quantity - filled:f} left unfilled at the collar or the window's end",
        )
    return ("not done", f"{reason}; nothing filled inside the collar") if worked else ("planned", reason)


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
            f"{line.available:,.0f} USD available, {line.planned:,.0f} USD planned today"
            for line in decision.tail.plan.budgets
        ]
    return tuple(lines)


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
    """Every child order as it ended."""
    return tuple(
        OrderRow(
            order_ref=view.record.child.order_ref,
            contract_id=view.record.child.contract_id,
            side=view.record.child.side.value,
            quantity=view.record.child.quantity,
            filled=view.record.filled,
            limit_price=view.record.child.limit_price,
            status=view.record.status.value,
        )
        for view in orders
    )


def fill_rows(world: World, trade_date: date, orders: Sequence[OrderView]) -> tuple[FillRow, ...]:
    """Executions of the date with their slippage against the arrival mid and their cost in USD."""
    by_ref = {view.record.child.order_ref: view for view in orders}
    fx = world.facts.fx(world.close_time(trade_date))
    rows = []
    for fill in world.fills():
        view = by_ref.get(fill.order_ref or "")
        if view is None:
            continue
        instrument = world.contracts.instrument(fill.contract_id)
        commission = fill.commission or ZERO
        cost = fx.to_base(commission, fill.commission_currency or instrument.currency)
        bps: float | None = None
        if view.arrival_mid is not None and view.arrival_mid > 0:
            bps = float(compute_slippage_bps(fill.side, fill.price, view.arrival_mid))
            move = (fill.price - view.arrival_mid) * fill.side.sign
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


def cost_view(world: World, trade_date: date, decision: RunView, fills: Sequence[FillRow]) -> CostView:
    """What the day's trading cost."""
    fx = world.facts.fx(world.close_time(trade_date))
    traded = commission = ZERO
    for row in fills:
        instrument = world.contracts.instrument(row.contract_id)
        traded += abs(fx.to_base(instrument.notional(row.quantity, row.price), instrument.currency))
        commission += fx.to_base(row.commission, row.commission_currency)
    total = sum((row.cost_usd for row in fills), ZERO)
    nav = None if decision.fund is None else decision.fund.valuation.nav
    return CostView(
        traded_usd=round_money(traded),
        turnover_fraction=0.0 if not nav else significant(float(traded / nav)),
        commission_usd=round_money(commission),
        slippage_usd=round_money(total) - round_money(commission),
        netting_saved_usd=ZERO if decision.trades is None else decision.trades.saved_notional_usd,
    )
