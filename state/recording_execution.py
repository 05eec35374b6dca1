"""Rows of how the day was traded: plans, outcome and cost of parent and child orders, and the day's sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from engine.execution.analytics import (
    ExecutionAnalytics,
    ExecutionRecord,
    GroupFill,
    unhedged_usd_seconds,
)
from engine.execution.pace import pace_of
from engine.execution.pricing import collar
from engine.execution.slippage import compute_slippage_bps
from engine.model.encoding import encode, significant
from engine.model.market import FxRates
from engine.model.money import ZERO, round_money
from engine.model.orders import ChildStatus, Fill, OrderPlan, Reason
from engine.model.policy import ExecutionPolicy, TransactionTax
from engine.model.universe import ContractBook
from engine.ports import ChildRecord
from state.executions import ExecutedParent
from state.record_values import Record, RunRows, Tables

_CUTS = frozenset({Reason.CRISIS, Reason.DERISK, Reason.LIMIT_BREACH})
"""Trades that make the fund smaller because its risk or a limit asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradedDay:
    """A date whose windows were over at ``ended_at``. ``fx`` are the rates of its decision, which turn costs into USD."""

    run_id: str
    account: str
    trade_date: date
    parents: tuple[ExecutedParent, ...]
    contracts: ContractBook
    fx: FxRates
    policy: ExecutionPolicy
    taxes: tuple[TransactionTax, ...]
    ended_at: datetime


def execution_rows(day: TradedDay) -> RunRows:
    """Everything that the windows of a date leave."""
    records = [_analysed(day, parent) for parent in day.parents]
    decided: Tables = {
        "executions": [
            _parent_row(day, parent, record) for parent, record in zip(day.parents, records, strict=True)
        ],
        "execution_analytics": [
            _child_row(day, child, parent) for parent in day.parents for child in parent.children
        ],
        "slippage_stats": _slippage_rows(day, records),
        "analytics_daily": _daily_rows(day, records),
    }
    return RunRows(decided=decided, facts={"order_tickets": _ticket_rows(day)})


def _arrival_mid(parent: ExecutedParent) -> Decimal | None:
    """Mid on arrival of the parent: every child carries the anchor of the first, spreads that of both legs."""
    near = (row.child.near for row in parent.spreads)
    mids = [
        *(leg.arrival_mid for leg in near if leg is not None),
        *(row.child.arrival_mid for row in parent.children),
    ]
    return next((mid for mid in mids if mid is not None), None)


def _analysed(day: TradedDay, parent: ExecutedParent) -> ExecutionRecord:
    """Cost of a parent. What stayed open has no price yet at the end of the windows: it costs nothing here."""
    intent = parent.intent
    return ExecutionAnalytics(fx=day.fx, taxes=day.taxes).analyse(
        intent,
        day.contracts.instrument(intent.contract_id),
        parent.fills,
        _arrival_mid(parent),
        last_price=intent.decision_price,
    )


def _parent_row(day: TradedDay, parent: ExecutedParent, record: ExecutionRecord) -> Record:
    return {
        "run_id": day.run_id,
        "intent_id": record.intent_id,
        "quantity": record.ordered,
        "filled": record.filled,
        "outcome": _outcome(parent, record),
        "average_price": None if record.average_price is None else round(record.average_price, 12),
        "slippage_bps": _figure(record.slippage_bps),
        "commission_usd": record.commission_usd,
    }


def _outcome(parent: ExecutedParent, record: ExecutionRecord) -> str:
    if record.filled == record.ordered:
        return "FILLED"
    worked = (*parent.children, *parent.spreads)
    if any(row.status is ChildStatus.UNKNOWN for row in worked):
        return "UNKNOWN"
    if record.filled:
        return "PARTLY_FILLED"
    return "UNFILLED" if worked else "NOT_WORKED"


def _child_row(day: TradedDay, record: ChildRecord, parent: ExecutedParent) -> Record:
    child = record.child
    fills = [fill for fill in parent.fills if fill.order_ref == child.order_ref]
    filled = sum((fill.quantity for fill in fills), ZERO)
    average = sum((fill.quantity * fill.price for fill in fills), ZERO) / filled if filled else None
    mid = child.arrival_mid
    slippage = None
    if average is not None and mid is not None and mid > 0:
        slippage = compute_slippage_bps(child.side, average, mid)
    return {
        "run_id": day.run_id,
        "order_ref": child.order_ref,
        "filled": filled,
        "average_price": None if average is None else round(average, 12),
        "arrival_mid": mid,
        "slippage_bps": _figure(slippage),
        "commission_usd": _commission_usd(day, fills),
    }


def _commission_usd(day: TradedDay, fills: Sequence[Fill]) -> Decimal:
    return round_money(
        sum(
            (
                day.fx.to_base(fill.commission, fill.commission_currency)
                for fill in fills
                if fill.commission is not None and fill.commission_currency
            ),
            ZERO,
        )
    )


def _slippage_rows(day: TradedDay, records: Sequence[ExecutionRecord]) -> list[Record]:
    """Mean slippage against the arrival mid of the filled parents, by collar class."""
    classes: dict[str, list[Decimal]] = {}
    for record in records:
        if record.slippage_bps is not None:
            bucket = day.contracts.instrument(record.contract_id).collar_class.value
            classes.setdefault(bucket, []).append(record.slippage_bps)
    return [
        {
            "run_id": day.run_id,
            "account": day.account,
            "as_of": day.trade_date,
            "bucket": bucket,
            "mean_bps": significant(float(sum(values, ZERO) / len(values))),
            "observations": len(values),
        }
        for bucket, values in sorted(classes.items())
    ]


def _daily_rows(day: TradedDay, records: Sequence[ExecutionRecord]) -> list[Record]:
    """Sums of the day: counts, and USD with a cost positive."""
    traded = ZERO
    for parent in day.parents:
        instrument = day.contracts.instrument(parent.intent.contract_id)
        for fill in parent.fills:
            traded += abs(day.fx.to_base(instrument.notional(fill.quantity, fill.price), instrument.currency))
    cuts = {parent.intent.intent_id for parent in day.parents if parent.intent.reason in _CUTS}
    sums = {
        "parents": Decimal(len(records)),
        "parents_filled": Decimal(sum(1 for row in records if row.filled == row.ordered)),
        "orders": Decimal(sum(len(parent.children) for parent in day.parents)),
        "fills": Decimal(sum(len(parent.fills) for parent in day.parents)),
        "traded_usd": traded,
        "delay_usd": sum((row.delay_usd for row in records), ZERO),
        "slippage_usd": sum((row.trading_usd for row in records), ZERO),
        "commission_usd": sum((row.commission_usd for row in records), ZERO),
        "tax_usd": sum((row.tax_usd for row in records), ZERO),
        "shortfall_usd": sum((row.total_usd for row in records), ZERO),
        "derisk_cost_usd": sum((row.total_usd for row in records if row.intent_id in cuts), ZERO),
        "unhedged_usd_seconds": _unhedged(day),
    }
    return [
        {
            "run_id": day.run_id,
            "account": day.account,
            "trade_date": day.trade_date,
            "metric": metric,
            "figure": significant(float(figure)),
        }
        for metric, figure in sums.items()
    ]


def _unhedged(day: TradedDay) -> Decimal:
    """What the groups of the date stood open for, in USD times seconds, at the prices of the decision."""
    groups: dict[str, list[ExecutedParent]] = {}
    for parent in day.parents:
        if parent.intent.group is not None:
            groups.setdefault(parent.intent.group, []).append(parent)
    total = ZERO
    for legs in groups.values():
        planned = [_decided_usd(day, leg, leg.intent.quantity) for leg in legs]
        fills = [
            GroupFill(fill.executed_at, _decided_usd(day, leg, fill.quantity))
            for leg in legs
            for fill in leg.fills
        ]
        total += unhedged_usd_seconds(planned, fills, day.ended_at)
    return total


def _decided_usd(day: TradedDay, parent: ExecutedParent, quantity: Decimal) -> Decimal:
    intent = parent.intent
    instrument = day.contracts.instrument(intent.contract_id)
    value = instrument.notional(quantity * intent.side.sign, intent.decision_price)
    return day.fx.to_base(value, instrument.currency)


def _ticket_rows(day: TradedDay) -> list[Record]:
    """How each worked parent was first sent: its limit, and the collar around the mid on arrival.

    A parent that went as the near leg of spreads alone was sent with its partner.
    """
    rows: list[Record] = []
    for parent in day.parents:
        if not parent.children or parent.children[0].child.arrival_mid is None:
            continue
        plan = _first_plan(day, parent, parent.children[0].child.arrival_mid)
        rows.append(
            {
                "intent_id": plan.intent_id,
                "arrival_mid": plan.arrival_mid,
                "price_floor": plan.price_floor,
                "price_ceiling": plan.price_ceiling,
                "payload": encode(plan),
            }
        )
    return rows


def _first_plan(day: TradedDay, parent: ExecutedParent, own_mid: Decimal) -> OrderPlan:
    child, policy, urgency = parent.children[0].child, day.policy, parent.intent.urgency
    mid = own_mid if child.near is None else own_mid - child.near.arrival_mid
    floor, ceiling = collar(mid, day.contracts.instrument(child.contract_id), policy, urgency, own_mid)
    pace = pace_of(urgency, 0, policy)
    return OrderPlan(
        intent_id=child.intent_id,
        contract_id=child.contract_id,
        side=child.side,
        quantity=parent.intent.quantity,
        order_type=child.order_type,
        limit_price=child.limit_price,
        arrival_mid=mid,
        price_floor=floor,
        price_ceiling=ceiling,
        ttl_seconds=pace.ttl_seconds,
        replace_interval_seconds=pace.replace_interval_seconds,
        max_replaces=pace.max_replaces,
        time_in_force=child.time_in_force,
        urgency=urgency,
    )


def _figure(value: Decimal | None) -> float | None:
    return None if value is None else significant(float(value))
