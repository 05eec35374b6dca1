"""The fund in the report: value, risk, exposure, positions, the broker's view, halts and history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.accounting.reconciliation import ReconciliationReport
from engine.composition.stages import DayInputs, ValuedFund
from engine.errors import InvariantError
from engine.model.context import RunKind
from engine.model.encoding import decode, significant
from engine.model.money import ZERO, round_money
from engine.model.portfolio import Sleeve
from engine.report import (
    BreakRow,
    BridgeRow,
    BridgeView,
    ComparisonRow,
    CurrencyRow,
    HaltView,
    HistoryPoint,
    ReconciliationView,
    RiskView,
)
from engine.risk.decision import RiskDecision
from state.record_values import Record
from state.records import RecordStore
from state.runs import RunRecord, run_identifier
from tasks.day import run_key
from tasks.run_view import RunView
from tasks.runtime import World

BUCKETS = ("quantity", "cash", "accrual", "mark", "fx", "unexplained")
BUCKET_COLUMNS = {name: name if name == "unexplained" else f"{name}_usd" for name in BUCKETS}


def bridge_view(fund: ValuedFund | None) -> BridgeView | None:
    """NAV from the last valuation to this one."""
    if fund is None or fund.bridge is None:
        return None
    bridge = fund.bridge
    return BridgeView(
        opening_date=bridge.opening_date,
        opening_nav=bridge.opening_nav,
        closing_nav=bridge.closing_nav,
        rows=tuple(
            BridgeRow(component=component.value, amount_usd=amount)
            for component, amount in bridge.by_component.items()
        ),
        residual=bridge.residual,
        unit_return=None if bridge.unit_return is None else round(bridge.unit_return, 12),
        by_instrument=dict(bridge.by_instrument),
        by_sleeve={sleeve.value: amount for sleeve, amount in bridge.by_sleeve.items()},
        by_currency=dict(bridge.by_currency),
        sleeve_causes={
            sleeve.value: {component.value: amount for component, amount in causes.items()}
            for sleeve, causes in bridge.by_sleeve_and_component.items()
        },
    )


def risk_view(world: World, decision: RunView) -> RiskView | None:
    """Risk state and the words that explain it."""
    if decision.risk is None:
        return None
    found: RiskDecision = decision.risk.decision
    policy = world.policy(decision.record.key.trade_date).risk
    return RiskView(
        regime=found.regime.value,
        scale=found.scaling_factor,
        core_scale=found.core_scale,
        volatility=found.volatility.annual,
        volatility_target=policy.volatility_target_annual,
        estimator=found.volatility.estimator.value,
        vix=found.vix,
        drawdown=found.drawdown,
        max_drawdown=found.maximum_drawdown,
        daily_return=found.daily_return,
        reduce_only=found.reduce_only,
        abandoned=decision.inputs is not None and decision.inputs.abandoned,
        words=(found.explanation, *found.warnings),
    )


def currency_rows(world: World, fund: ValuedFund | None, inputs: DayInputs | None) -> tuple[CurrencyRow, ...]:
    """Each currency's cash and net value, the hedge held against it, and what remains."""
    if fund is None or inputs is None:
        return ()
    hedges: dict[str, Decimal] = {}
    for line in fund.valuation.lines:
        position = inputs.portfolio.positions[line.contract_id]
        if position.sleeves.get(Sleeve.FX_HEDGE, ZERO) != 0:
            currency = world.universe[line.instrument_id].exposure_currency
            hedges[currency] = hedges.get(currency, ZERO) + line.exposure_usd
    rows = []
    for currency in sorted({*fund.valuation.currency_values, *hedges, *inputs.portfolio.cash}):
        rate = inputs.market.fx.get_rate(currency, "USD")
        value = round_money(fund.valuation.currency_values.get(currency, ZERO) * rate)
        hedge = hedges.get(currency, ZERO)
        rows.append(
            CurrencyRow(
                currency=currency,
                cash=inputs.portfolio.cash.get(currency, ZERO),
                net_value_usd=value,
                hedge_usd=hedge,
                remaining_usd=value + hedge,
            )
        )
    return tuple(rows)


def reconciliation_view(report: ReconciliationReport | None) -> ReconciliationView | None:
    """Comparison with the broker."""
    if report is None:
        return None
    buckets = report.buckets
    difference = None if buckets is None else buckets.total
    worth = report.net_liquidation
    return ReconciliationView(
        status=report.status.value,
        net_liquidation=worth,
        difference_usd=difference,
        difference_bps=None
        if difference is None or not worth
        else significant(float(difference / worth * 10_000)),
        buckets={} if buckets is None else {name: getattr(buckets, name) for name in BUCKETS},
        breaks=break_rows(report),
    )


def comparison_rows(records: RecordStore, runs: Sequence[RunRecord]) -> tuple[ComparisonRow, ...]:
    """Every comparison that some runs made, in the order of time; of one time the last attempt's."""
    kinds = {run.run_id: run.key.kind.value for run in runs}
    rows = records.rows("reconciliations", run_id=tuple(sorted(kinds))) if kinds else ()
    found = {(row["at"], row["run_id"]): _comparison_row(row, kinds) for row in rows}
    return tuple(sorted(found.values(), key=lambda row: row.at))


def _comparison_row(row: Record, kinds: Mapping[str, str]) -> ComparisonRow:
    at, fraction, difference = row["at"], row["difference_fraction"], row["difference"]
    if not isinstance(at, datetime):
        raise InvariantError(f"expected the time of a comparison, found {at!r}")
    parts = {name: row[column] for name, column in BUCKET_COLUMNS.items()}
    return ComparisonRow(
        at=at,
        run=kinds[str(row["run_id"])],
        status=str(row["outcome"]),
        difference_fraction=None if fraction is None else float(str(fraction)),
        difference_usd=None if difference is None else Decimal(str(difference)),
        buckets={name: Decimal(str(part)) for name, part in parts.items() if part is not None},
    )


def break_rows(report: ReconciliationReport) -> tuple[BreakRow, ...]:
    """Breaks of a comparison as rows."""
    return tuple(
        BreakRow(
            kind=item.kind.value,
            subject=item.subject,
            ours=item.ours,
            broker=item.broker,
            difference_usd=item.difference_usd,
            explanation=item.told,
            proposed_choice=item.choices[0].value,
        )
        for item in (*report.breaks, *report.blocked)
    )


def halt_views(world: World, trade_date: date) -> tuple[HaltView, ...]:
    """Halts of the date's runs, open and resolved."""
    return tuple(
        HaltView(
            halt_id=halt.halt_id,
            kind=halt.kind,
            severity=halt.severity.value,
            message=halt.message,
            status=halt.status.value,
            choices=tuple(choice.value for choice in halt.choices),
            choice=None if halt.choice is None else halt.choice.value,
            operator=halt.operator,
            reason=halt.reason,
            evidence=decode(tuple[BreakRow, ...], halt.evidence),
        )
        for halt in world.halts.halts(world.account)
        if halt.run_id.startswith(trade_date.isoformat()) or halt.status.is_open
    )


def history_points(world: World, trade_date: date, days: int = 60) -> tuple[HistoryPoint, ...]:
    """NAV, exposures and regime at the last closes, oldest first; the regime is that of the day's decision."""
    since = trade_date - timedelta(days=days - 1)
    valued = world.records.between("portfolio", "trade_date", since, trade_date, account=world.account)
    closes = {_key_of(world, row, RunKind.CLOSE): row for row in valued}
    decisions = {run_identifier(run_key(world, day, RunKind.DECISION)): day for day in _dates(valued)}
    regimes = {
        decisions[str(row["run_id"])]: (str(row["regime"]), float(str(row["scale"])))
        for row in world.records.rows("risk_decisions", run_id=tuple(sorted(decisions)))
    }
    return tuple(
        HistoryPoint(
            trade_date=day,
            nav=Decimal(str(row["nav"])),
            unit_price=Decimal(str(row["unit_price"])),
            gross_exposure=Decimal(str(row["gross_exposure"])),
            net_exposure=Decimal(str(row["net_exposure"])),
            regime=regimes[day][0],
            scale=regimes[day][1],
        )
        for day, row in sorted((day, row) for day, row in closes.items() if day is not None)
        if day in regimes
    )


def _dates(rows: Sequence[Record]) -> set[date]:
    return {day for row in rows if isinstance(day := row["trade_date"], date)}


def _key_of(world: World, row: Record, kind: RunKind) -> date | None:
    """Trade date of a valuation of a kind of run, ``None`` for one of another kind."""
    day = row["trade_date"]
    if not isinstance(day, date) or row["run_id"] != run_identifier(run_key(world, day, kind)):
        return None
    return day
