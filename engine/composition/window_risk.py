"""Is the fund's risk still what the decision saw? Judged again before a window when an index future moved (R-117).

The morning's book is valued at the prices of now and put to the same risk decision. What comes out may only be
stricter: it shrinks or blocks what the strategy would enter, never a reduction, a roll or a hedge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from engine.composition.stages import (
    DayInputs,
    DaySetup,
    RiskStep,
    contract_book,
    day_marks,
    judge_risk,
    value_fund,
)
from engine.composition.trading import price_book
from engine.execution.revalidation import (
    IndexFutures,
    MarketView,
    WindowVerdict,
    implied_move,
    index_futures,
)
from engine.model.market import Quote
from engine.model.money import decimal_from_float
from engine.risk.decision import RiskDecision
from engine.risk.regime import RiskRegime


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowReading:
    """What the market showed before a window: quotes of index futures, and of what is held once one moved far."""

    at: datetime
    quotes: Mapping[str, Quote]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRisk:
    """Risk judged again: the futures' moves since the decision (fractions), what came out, and what it leaves."""

    reading: WindowReading
    moves: Mapping[str, Decimal]
    unit_price: Decimal
    drawdown: float
    regime: RiskRegime
    scaling_factor: float
    verdict: WindowVerdict


def fund_futures(setup: DaySetup, inputs: DayInputs) -> IndexFutures:
    """Index futures of the day by exposure currency: of every line the first contract that has a price."""
    marks = inputs.market.marks
    priced = {
        name: tuple(contract.contract_id for contract in chain if contract.contract_id in marks)
        for name, chain in inputs.market.chains.items()
    }
    return index_futures(setup.universe, priced)


def far_moves(setup: DaySetup, inputs: DayInputs, reading: WindowReading) -> Mapping[str, Decimal]:
    """Moves of index futures since the decision that are beyond the limit, by contract."""
    view = _view(setup, inputs, reading)
    moves = {name: view.move(name) for names in view.futures.values() for name in names}
    limit = setup.policy.safety.future_move_fraction
    return {name: move for name, move in sorted(moves.items()) if move is not None and abs(move) > limit}


def judge_risk_again(
    setup: DaySetup, inputs: DayInputs, decided: RiskStep, reading: WindowReading
) -> WindowRisk:
    """The morning's decision on risk at the prices of now."""
    moves = far_moves(setup, inputs, reading)
    now = replace(inputs, manual_marks={**inputs.manual_marks, **_prices_now(setup, inputs, reading)})
    fund = value_fund(setup, now)
    again = judge_risk(setup, now, fund).decision
    return WindowRisk(
        reading=reading,
        moves=moves,
        unit_price=fund.valuation.unit_price,
        drawdown=again.drawdown,
        regime=again.regime,
        scaling_factor=again.scaling_factor,
        verdict=_verdict(decided.decision, again, moves),
    )


def _view(setup: DaySetup, inputs: DayInputs, reading: WindowReading) -> MarketView:
    return MarketView(
        price_book(setup, inputs),
        fund_futures(setup, inputs),
        reading.quotes.get,
        reading.at,
        setup.policy.execution.quote_age_plan_seconds,
    )


def _prices_now(setup: DaySetup, inputs: DayInputs, reading: WindowReading) -> Mapping[str, Decimal]:
    """Prices of what is held: its own quote's, else what its index future implies, else the decision's."""
    view, marks, contracts = _view(setup, inputs, reading), day_marks(inputs), contract_book(setup, inputs)
    prices = {}
    for name in inputs.portfolio.positions:
        if name not in marks:
            continue
        move = view.move(name)
        if move is None:
            move = implied_move(contracts.instrument(name), name, view)
        if move is not None:
            prices[name] = marks[name].price * (1 + move)
    return prices


def _verdict(first: RiskDecision, again: RiskDecision, moves: Mapping[str, Decimal]) -> WindowVerdict:
    told = ", ".join(f"{name} moved by {move:+.1%} since the decision" for name, move in moves.items())
    why = _stricter(first, again)
    scale = Decimal(1)
    if 0 <= again.scaling_factor < first.scaling_factor:
        scale = decimal_from_float(again.scaling_factor / first.scaling_factor)
    return WindowVerdict(
        scale=scale,
        blocked=f"{told}: {why}, nothing is entered" if why else "",
        text=f"{told}: the scale of the risk fell to {again.scaling_factor:.3g}" if scale < 1 else "",
    )


def _stricter(first: RiskDecision, again: RiskDecision) -> str:
    """What the risk decision forbids now, empty when nothing."""
    if again.kill:
        return f"the drawdown of {-again.drawdown:.1%} is beyond the kill limit"
    if again.reduce_only:
        return f"the day's loss of {-(again.daily_return or 0.0):.1%} reached its limit"
    if again.regime is RiskRegime.CRISIS and first.regime is not RiskRegime.CRISIS:
        return "a crisis began"
    return ""
