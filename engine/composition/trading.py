"""From wishes to jobs: what is traded today, what is not and why, whether it is safe, and when it is worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from engine.composition.stages import DayInputs, DaySetup, ValuedFund, contract_book, day_marks
from engine.execution.caps import SizedTrade, apply_caps
from engine.execution.gating import GateCandidate, GateInputs, GateResult, gate_trades
from engine.execution.jobs import JobPlan, WindowRules, precompute_jobs
from engine.execution.netting import (
    DroppedTrade,
    InternalCross,
    PriceBook,
    net_trades,
    proposals_from_targets,
    reduces,
)
from engine.execution.safety import SafetyFacts, SafetyVerdict, TradeFacts, check_execution_safety
from engine.execution.slippage import REFERENCE_VOLATILITY, TradeSize, expected_cost
from engine.hedging.crisis import CrisisPlan
from engine.hedging.fx import FxHedgePlan
from engine.hedging.tail import TailHedgePlan
from engine.model.instruments import InstrumentType
from engine.model.market import BASE_CURRENCY, Mark
from engine.model.money import ZERO, decimal_from_float, round_money
from engine.model.orders import Reason, TargetBook, Trade, TradeProposal
from engine.risk.decision import RiskDecision
from engine.roll import RollPlan

BETA_DAYS = 250
BETA_OBSERVATIONS = 60
VOLATILITY_DAYS = 60
YEAR_DAYS = 252
_PAIRED = frozenset({Reason.REBALANCE, Reason.HEDGE_TAIL})
"""Trades whose group is a pair: one leg is not opened without the other."""
GATE_SHRINKAGE = 0.1
"""Share of the diagonal in the gate's covariance: enough to keep twins such as ES and MES apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Everything that the stages would like to trade, before netting; ``rolled`` maps old to new contracts."""

    proposals: tuple[TradeProposal, ...]
    rolled: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeDecision:
    """One considered trade and what became of it; ``done`` trades go to the market, others stay for the reason."""

    contract_id: str
    quantity: Decimal
    notional_usd: Decimal
    done: bool
    stage: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeListDecision:
    """Trades of the day, internal crosses, every decision on the way, and what netting saved (USD)."""

    trades: tuple[Trade, ...]
    crosses: tuple[InternalCross, ...]
    decisions: tuple[TradeDecision, ...]
    gate: GateResult
    saved_notional_usd: Decimal
    turnover_usd: Decimal


def collect_wishes(
    setup: DaySetup,
    inputs: DayInputs,
    fund: ValuedFund,
    book: TargetBook,
    rolls: RollPlan,
    tail: TailHedgePlan,
    crisis: CrisisPlan,
) -> Wishes:
    """Proposals of targets, rolls, protection and playbook; the FX hedge comes after them.

    A frozen line that its sleeve still names keeps its wish here: the control refuses what would grow it, and says so.
    A contract that the roll plan closes for good is the roll plan's alone.
    """
    rolled = {r.old_contract: r.new_contract for r in rolls.rolls if r.new_contract is not None}
    closed = {r.old_contract for r in rolls.rolls if r.new_contract is None}
    unnamed = (fund.frozen | set(inputs.blocked)) - {line.contract_id for line in book.lines}
    proposed = proposals_from_targets(
        book, inputs.portfolio, contract_book(setup, inputs), frozenset(unnamed), rolled
    )
    wanted = tuple(proposal for proposal in proposed if proposal.contract_id not in closed)
    return Wishes(proposals=(*wanted, *rolls.proposals, *tail.proposals, *crisis.proposals), rolled=rolled)


def net_and_gate(
    setup: DaySetup,
    inputs: DayInputs,
    fund: ValuedFund,
    risk: RiskDecision,
    wishes: Wishes,
    hedge: FxHedgePlan,
) -> TradeListDecision:
    """Net over sleeves, keep what is worth its cost, shrink the day to its caps."""
    prices = price_book(setup, inputs)
    netted = net_trades(
        (*wishes.proposals, *hedge.proposals), inputs.portfolio, prices, setup.policy.execution
    )
    decisions = [_dropped(item, prices, "minimum size") for item in netted.dropped]
    allowed, refused = _allowed(netted.trades, inputs, fund, risk)
    decisions += [_dropped(item, prices, "control") for item in refused]
    gate = _gate(setup, inputs, fund, risk, allowed, prices)
    decisions += _gate_decisions(gate, allowed, prices)
    capped = apply_caps(
        [_sized(setup, inputs, trade, prices) for trade in gate.trades],
        fund.valuation.nav,
        setup.policy.safety,
    )
    decisions += [_dropped(item, prices, "caps") for item in capped.deferred]
    decisions += [
        TradeDecision(
            contract_id=trade.contract_id,
            quantity=trade.quantity,
            notional_usd=round_money(prices.notional_usd(trade.contract_id, trade.quantity)),
            done=True,
            stage="trade",
            reason=trade.reason.value,
        )
        for trade in capped.trades
    ]
    return TradeListDecision(
        trades=capped.trades,
        crosses=netted.crosses,
        decisions=tuple(decisions),
        gate=gate,
        saved_notional_usd=round_money(netted.saved_notional_usd),
        turnover_usd=round_money(capped.turnover_usd),
    )


def price_book(setup: DaySetup, inputs: DayInputs) -> PriceBook:
    """Prices for notionals; marks that a person gave included."""
    book = PriceBook.of(contract_book(setup, inputs), inputs.market)
    given = {contract_id: mark.price for contract_id, mark in day_marks(inputs).items()}
    return PriceBook(contracts=book.contracts, prices={**book.prices, **given}, fx=book.fx)


def check_safety(
    setup: DaySetup,
    inputs: DayInputs,
    fund: ValuedFund,
    risk: RiskDecision,
    trades: Sequence[Trade],
    *,
    fx_valid: bool,
    reconciled: bool,
) -> SafetyVerdict:
    """Everything that must hold before orders are planned."""
    prices = price_book(setup, inputs)
    facts = SafetyFacts(
        now=inputs.context.as_of,
        trade_date=inputs.context.trade_date,
        nav=fund.valuation.nav,
        trading_enabled=inputs.trading_enabled,
        reconciled=reconciled,
        fx_valid=fx_valid,
        volatility_annual=risk.volatility.annual,
        unresolved_orders=inputs.unresolved,
        excess_liquidity=inputs.broker.excess_liquidity,
    )
    checked = [
        TradeFacts(
            trade=trade,
            notional_usd=prices.notional_usd(trade.contract_id, trade.quantity),
            held=inputs.portfolio.quantity(trade.contract_id),
            tradeable=setup.universe[trade.instrument_id].tradeable,
            roll_deadline=prices.contracts.contract(trade.contract_id).roll_deadline,
            average_daily_volume=inputs.market.average_daily_volume.get(trade.contract_id),
            borrowable=_borrowable(setup, inputs, trade),
        )
        for trade in trades
    ]
    return check_execution_safety(facts, checked, setup.policy.safety)


def plan_jobs(setup: DaySetup, inputs: DayInputs, trades: Sequence[Trade]) -> JobPlan:
    """Jobs of the day, each in its venue's liquidity window."""
    rules = WindowRules(sessions=setup.sessions, policies=setup.policy.windows, new_york="NYSE")
    return precompute_jobs(trades, price_book(setup, inputs), rules, inputs.context)


def _borrowable(setup: DaySetup, inputs: DayInputs, trade: Trade) -> Decimal | None:
    """Shares that a short may borrow; futures and options need none."""
    kind = setup.universe[trade.instrument_id].kind
    if kind not in (InstrumentType.STK, InstrumentType.ETF):
        return None
    quote = inputs.market.borrow.get(trade.instrument_id)
    return None if quote is None else quote.available_shares


def _allowed(
    trades: Sequence[Trade], inputs: DayInputs, fund: ValuedFund, risk: RiskDecision
) -> tuple[tuple[Trade, ...], tuple[DroppedTrade, ...]]:
    """Trades that the day's control lets through: no new risk on an abandoned or reduce-only day."""
    reason = _control_reason(inputs, risk)
    marks = day_marks(inputs)
    frozen = {t.contract_id for t in trades if _is_frozen(t, marks.get(t.contract_id), inputs, fund)}
    partners = {t.group: t.contract_id for t in trades if t.contract_id in frozen and not _shrinks(t, inputs)}
    kept, refused = [], []
    for trade in trades:
        shrinks = _shrinks(trade, inputs)
        partner = partners.get(trade.group) if trade.reason in _PAIRED else None
        why = reason
        if trade.contract_id in frozen:
            why = "its price is old or its last order is unknown: reduce only"
        elif why is None and trade.group is not None and partner is not None:
            why = f"not opened without {partner}, whose price is old or whose last order is unknown"
        if why is None or (shrinks and trade.contract_id not in inputs.blocked):
            kept.append(trade)
        else:
            refused.append(DroppedTrade(contract_id=trade.contract_id, quantity=trade.quantity, reason=why))
    return tuple(kept), tuple(refused)


def _is_frozen(trade: Trade, mark: Mark | None, inputs: DayInputs, fund: ValuedFund) -> bool:
    """Whether only a smaller holding is allowed: an old or jumped price, or an order of unknown outcome.

    A roll is not held up by the age of its new contract's price: its old one is about to end.
    """
    if trade.contract_id in fund.frozen or trade.contract_id in inputs.blocked:
        return True
    return trade.reason is not Reason.ROLL and mark is not None and mark.age_sessions > 0


def _shrinks(trade: Trade, inputs: DayInputs) -> bool:
    return reduces(inputs.portfolio.quantity(trade.contract_id), trade.quantity)


def _control_reason(inputs: DayInputs, risk: RiskDecision) -> str | None:
    if inputs.abandoned:
        return "the day was abandoned by the operator: reduce only"
    if risk.kill:
        return "the drawdown reached the kill limit: no new risk until a person allows it"
    if risk.reduce_only:
        return "the day's loss reached its limit: reduce only until the next session"
    return None


def _gate(
    setup: DaySetup,
    inputs: DayInputs,
    fund: ValuedFund,
    risk: RiskDecision,
    trades: Sequence[Trade],
    prices: PriceBook,
) -> GateResult:
    history = inputs.market.history
    rows = {name: row for row, name in enumerate(history.instrument_ids)}
    weights = np.zeros(len(rows))
    for line in fund.valuation.lines:
        weights[rows[line.instrument_id]] += float(line.exposure_usd / fund.valuation.nav)
    facts = GateInputs(
        nav=fund.valuation.nav,
        instrument_ids=history.instrument_ids,
        weights=weights,
        returns=history.returns,
        shrinkage=GATE_SHRINKAGE,
        carry_annual={},
        regime=risk.regime.value,
    )
    candidates = [
        GateCandidate(
            trade=trade,
            notional_usd=prices.notional_usd(trade.contract_id, trade.quantity),
            cost_usd=_cost(setup, inputs, trade, prices),
        )
        for trade in trades
    ]
    return gate_trades(candidates, facts, setup.policy.gate)


def _cost(setup: DaySetup, inputs: DayInputs, trade: Trade, prices: PriceBook) -> Decimal:
    size = TradeSize(
        quantity=trade.quantity,
        price=prices.price(trade.contract_id),
        volatility_annual=_volatility(inputs, trade.instrument_id),
        average_daily_volume=inputs.market.average_daily_volume.get(trade.contract_id),
    )
    return expected_cost(
        size, setup.universe[trade.instrument_id], setup.policy.costs, inputs.market.fx
    ).total_usd


def _column(inputs: DayInputs, instrument_id: str, days: int) -> np.ndarray:
    history = inputs.market.history
    if instrument_id not in history.instrument_ids:
        return np.empty(0)
    return history.returns[-days:, history.instrument_ids.index(instrument_id)]


def _volatility(inputs: DayInputs, instrument_id: str) -> float:
    """Annual volatility of an instrument for its impact; without history that of the cost model's reference."""
    column = _column(inputs, instrument_id, VOLATILITY_DAYS)
    known = column[np.isfinite(column)]
    if len(known) < 2:
        return REFERENCE_VOLATILITY
    return float(known.std(ddof=1) * np.sqrt(YEAR_DAYS))


def _sized(setup: DaySetup, inputs: DayInputs, trade: Trade, prices: PriceBook) -> SizedTrade:
    instrument = setup.universe[trade.instrument_id]
    notional = prices.notional_usd(trade.contract_id, trade.quantity)
    volume = inputs.market.average_daily_volume.get(trade.contract_id)
    limit = None if volume is None else volume * setup.policy.safety.max_adv_fraction
    # A currency future moves the fund's currency by its notional; a security is paid in its own currency.
    moves_currency = instrument.is_future and instrument.exposure_currency != BASE_CURRENCY
    currency = {instrument.exposure_currency: notional} if moves_currency else {}
    hedges_currency = instrument.instrument_id in {
        name for pair in setup.policy.fx.hedge_contracts.values() for name in pair
    }
    beta = ZERO if hedges_currency else decimal_from_float(_beta(setup, inputs, trade.instrument_id))
    return SizedTrade(
        trade=trade,
        lot=instrument.lot,
        notional_usd=notional,
        beta_usd=beta * notional,
        currency_usd=currency if hedges_currency else {},
        largest_quantity=limit,
    )


def _beta(setup: DaySetup, inputs: DayInputs, instrument_id: str) -> float:
    """Beta to the core's long leg over a year; 1 where too little history is known."""
    market = next((name for name in setup.policy.sleeves.core_long), instrument_id)
    mine, base = _column(inputs, instrument_id, BETA_DAYS), _column(inputs, market, BETA_DAYS)
    if len(mine) != len(base) or len(mine) == 0:
        return 1.0
    both = np.isfinite(mine) & np.isfinite(base)
    if both.sum() < BETA_OBSERVATIONS or base[both].std() == 0.0:
        return 1.0
    return float(np.cov(mine[both], base[both])[0, 1] / base[both].var(ddof=1))


def _dropped(item: DroppedTrade, prices: PriceBook, stage: str) -> TradeDecision:
    return TradeDecision(
        contract_id=item.contract_id,
        quantity=item.quantity,
        notional_usd=round_money(prices.notional_usd(item.contract_id, item.quantity)),
        done=False,
        stage=stage,
        reason=item.reason,
    )


def _gate_decisions(gate: GateResult, trades: Sequence[Trade], prices: PriceBook) -> list[TradeDecision]:
    quantities = {trade.contract_id: trade.quantity for trade in trades}
    return [
        TradeDecision(
            contract_id=decision.contract_id,
            quantity=quantities[decision.contract_id],
            notional_usd=round_money(
                prices.notional_usd(decision.contract_id, quantities[decision.contract_id])
            ),
            done=False,
            stage="gate",
            reason=(
                f"{decision.reason.value.replace('_', ' ')}: benefit {decision.benefit_usd:,.0f} USD, "
                f"required {decision.required_usd:,.0f} USD"
            ),
        )
        for decision in gate.decisions
        if not decision.should_trade
    ]
