"""Builders of the parts of a day report: a bridge that closes, a position, a trade, a fill, a history."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

from engine.report import (
    BreakRow,
    BridgeRow,
    BridgeView,
    CostView,
    FillRow,
    FlaggedPrice,
    HistoryPoint,
    JobRow,
    PositionRow,
    PriceFlag,
    ReconciliationView,
    RiskView,
    TradeRow,
)

D = Decimal
DAY = date(2026, 11, 20)
AS_OF = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
NO_COSTS = CostView(
    traded_usd=D(0),
    turnover_fraction=0.0,
    commission_usd=D(0),
    tax_usd=D(0),
    slippage_usd=D(0),
    netting_saved_usd=D(0),
)


def bridge(opening: str, residual: str = "0", **causes: str) -> BridgeView:
    """A bridge whose closing NAV is the opening NAV and its causes, to the cent."""
    total = sum((D(value) for value in causes.values()), D(0)) + D(residual)
    return BridgeView(
        opening_date=DAY - timedelta(days=1),
        opening_nav=D(opening),
        closing_nav=D(opening) + total,
        rows=tuple(BridgeRow(component=name, amount_usd=D(value)) for name, value in causes.items()),
        residual=D(residual),
        unit_return=total / D(opening),
        by_instrument={"CSPX": total * D("0.9"), "ES": total * D("-0.1"), "cash": total * D("0.2")},
        by_sleeve={"core_index_rv": total * D("0.6"), "single_name": total * D("0.4")},
        by_currency={"EUR": total * D("0.3"), "USD": total * D("0.7")},
        sleeve_causes={
            sleeve: {name: D(value) * share for name, value in causes.items()}
            for sleeve, share in (("core_index_rv", D("0.6")), ("single_name", D("0.4")))
        },
    )


def position(sleeve: str, instrument: str, quantity: str, target: str | None, price: str | None, unit: str, exposure: str, **more: object) -> PositionRow:  # fmt: skip
    """One holding against its target; weights follow from a NAV of 10 million USD."""
    row = PositionRow(
        sleeve=sleeve,
        instrument_id=instrument,
        contract_id=instrument,
        name=instrument,
        quantity=D(quantity),
        target_quantity=None if target is None else D(target),
        price=None if price is None else D(price),
        price_unit=unit,
        exposure_usd=D(exposure),
        weight=float(D(exposure)) / 1e7,
        target_weight=None if target is None else float(D(exposure)) / 1e7 * 1.02,
        stale_sessions=0,
        note="",
    )
    return replace(row, **more)  # type: ignore[arg-type]


def trade(contract: str, quantity: str, filled: str, notional: str, decision: str, reason: str, *, purpose: str = "rebalance", sleeve: str = "core_index_rv") -> TradeRow:  # fmt: skip
    return TradeRow(
        contract_id=contract,
        instrument_id=contract.split("_", maxsplit=1)[0],
        quantity=D(quantity),
        filled=D(filled),
        notional_usd=D(notional),
        decision=decision,
        reason=reason,
        purpose=purpose,
        sleeves={sleeve: D(quantity)},
    )


def fill(number: int, contract: str, side: str, quantity: str, price: str, slippage: float | None, cost: str) -> FillRow:  # fmt: skip
    return FillRow(
        execution_id=f"0000e0d5.{number:08x}.01",
        order_ref=f"AF1.{number:020d}.0",
        contract_id=contract,
        side=side,
        quantity=D(quantity),
        price=D(price),
        executed_at=AS_OF + timedelta(hours=3, seconds=37 * number),
        commission=D("2.25"),
        commission_currency="USD",
        slippage_bps=slippage,
        cost_usd=D(cost),
    )


def job(venue: str, group: str, hour: int, orders: int, status: str) -> JobRow:
    start = datetime(2026, 11, 20, hour, 0, tzinfo=UTC)
    return JobRow(
        job_id=f"{hour:016x}",
        venue=venue,
        group=group,
        style="MIDDAY",
        window_start=start,
        window_end=start + timedelta(hours=2),
        orders=orders,
        status=status,
    )


def reconciliation(status: str = "PASS", nlv: str | None = "10012300.11", difference: str | None = "45.56", breaks: tuple[BreakRow, ...] = ()) -> ReconciliationView:  # fmt: skip
    return ReconciliationView(
        status=status,
        net_liquidation=None if nlv is None else D(nlv),
        difference_usd=None if difference is None else D(difference),
        difference_bps=None if difference is None else float(D(difference)) / 1000,
        buckets={} if difference is None else {"marks": D(difference) - D("1.5"), "accruals": D("1.5")},
        breaks=breaks,
    )


def risk(regime: str = "NORMAL", scale: float = 1.25, drawdown: float = -0.0123, words: tuple[str, ...] = ()) -> RiskView:  # fmt: skip
    return RiskView(
        regime=regime,
        scale=scale,
        core_scale=scale,
        volatility=0.0961,
        volatility_target=0.12,
        estimator="realised",
        vix=17.35,
        drawdown=drawdown,
        max_drawdown=min(drawdown, -0.0456),
        daily_return=0.00123,
        reduce_only=False,
        abandoned=False,
        words=words
        or (
            "The regime is NORMAL: VIX 17.35 and a drawdown of 1.2 % lie inside their limits.",
            "The scaled sleeves run at about 9.6 % before protection, not 12 %, because the scale is capped at 1.25.",
        ),
    )


def history(
    days: int, start: float = 1e7, seed: int = 7, crisis: range = range(0)
) -> tuple[HistoryPoint, ...]:
    random, nav, points = Random(seed), start, []
    for number in range(days):
        stressed = number in crisis
        nav *= 1 + random.gauss(-0.006 if stressed else 0.0004, 0.012 if stressed else 0.005)
        points.append(
            HistoryPoint(
                trade_date=DAY - timedelta(days=days - number),
                nav=D(f"{nav:.2f}"),
                unit_price=D(f"{nav / start * 1000:.4f}"),
                gross_exposure=D(f"{nav * (0.6 if stressed else 2.1 + random.gauss(0, 0.05)):.2f}"),
                net_exposure=D(f"{nav * (0.1 if stressed else 0.55 + random.gauss(0, 0.03)):.2f}"),
                regime="CRISIS" if stressed else "NORMAL",
                scale=0.3 if stressed else 1.25,
            )
        )
    return tuple(points)


def flagged(contract_id: str, price: str, exposure: str, *, age: int = 0, told: str = "") -> FlaggedPrice:
    return FlaggedPrice(
        contract_id=contract_id,
        flag=PriceFlag.OLD if age else PriceFlag.JUMPED,
        price=D(price),
        session_date=DAY - timedelta(days=age),
        age_sessions=age,
        reference=None if age else D("1.5"),
        exposure_usd=D(exposure),
        effect_usd=None if age else D("-1234.5"),
        told=told
        or f"{contract_id}: its price is that of {DAY - timedelta(days=age)}; it may only be reduced",
    )
