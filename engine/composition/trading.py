"""From wishes to jobs: what is traded today, what is not and why, whether it is safe, and when it is worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.composition.crossing import crosses_of_the_day
from engine.composition.cuts import cut_reason
from engine.composition.pairs import even_openings, lone_legs
from engine.composition.stages import (
    DayInputs,
    DaySetup,
    ValuedFund,
    contract_book,
    day_marks,
    fx_hedge_instruments,
)
from engine.composition.trade_facts import gate_candidates, gate_inputs, held_by_instrument, sized_trade
from engine.execution.caps import apply_caps
from engine.execution.establishing import GateMemory, next_goals
from engine.execution.gating import GateResult, gate_trades
from engine.execution.jobs import JobPlan, precompute_jobs, unworkable
from engine.execution.netting import (
    DroppedTrade,
    InternalCross,
    PriceBook,
    net_trades,
    proposals_from_targets,
    reduces,
)
from engine.execution.safety import SafetyFacts, SafetyVerdict, TradeFacts, check_execution_safety
from engine.execution.windows import WindowRules
from engine.hedging.crisis import CrisisPlan
from engine.hedging.flatten import flatten_proposals
from engine.hedging.fx import FxHedgePlan
from engine.hedging.tail import TailHedgePlan
from engine.model.instruments import InstrumentType
from engine.model.market import Mark
from engine.model.money import round_money
from engine.model.orders import Reason, TargetBook, Trade, TradeProposal
from engine.risk.decision import RiskDecision
from engine.roll import RollPlan

_PAIRED = frozenset({Reason.REBALANCE, Reason.HEDGE_TAIL})
"""Trades whose group is a pair: one leg is not opened without the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Everything that the stages would like to trade, before netting; ``rolled`` maps old to new contracts.

    ``crisis_began`` says that today is the first day of a crisis.
    """

    proposals: tuple[TradeProposal, ...]
    rolled: Mapping[str, str]
    crisis_began: bool


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
    """Trades of the day, internal crosses, every decision on the way, and what netting saved (USD).

    ``memory`` is what the next day's gate has to know of what is still being built.
    """

    trades: tuple[Trade, ...]
    crosses: tuple[InternalCross, ...]
    decisions: tuple[TradeDecision, ...]
    gate: GateResult
    saved_notional_usd: Decimal
    turnover_usd: Decimal
    memory: GateMemory


def collect_wishes(
    setup: DaySetup,
    inputs: DayInputs,
    fund: ValuedFund,
    book: TargetBook,
    rolls: RollPlan,
    tail: TailHedgePlan,
    crisis: CrisisPlan,
) -> Wishes:
    """Proposals of targets, rolls, protection and playbook, or of the way out; the FX hedge comes after them.

    A frozen line that its sleeve still names keeps its wish here: the control refuses what would grow it, and says so.
    A contract that the roll plan closes for good is the roll plan's alone; of a pair the other leg goes with it.
    """
    if inputs.flattened:
        hedges = fx_hedge_instruments(setup.policy)
        closing = flatten_proposals(inputs.portfolio, contract_book(setup, inputs), hedges)
        return Wishes(proposals=closing, rolled={}, crisis_began=crisis.starts)
    rolled = {r.old_contract: r.new_contract for r in rolls.rolls if r.new_contract is not None}
    closed = {r.old_contract for r in rolls.rolls if r.new_contract is None}
    unnamed = (fund.frozen | set(inputs.blocked)) - {line.contract_id for line in book.lines}
    proposed = proposals_from_targets(
        book, inputs.portfolio, contract_book(setup, inputs), frozenset(unnamed), rolled
    )
    wanted = tuple(proposal for proposal in proposed if proposal.contract_id not in closed)
    lone = lone_legs(inputs.portfolio, book.held, closed, rolled)
    proposals = (*wanted, *rolls.proposals, *lone, *tail.proposals, *crisis.proposals)
    return Wishes(proposals=proposals, rolled=rolled, crisis_began=crisis.starts)


def net_and_gate(
    setup: DaySetup,
    inputs: DayInputs,
    fund: ValuedFund,
    risk: RiskDecision,
    wishes: Wishes,
    hedge: FxHedgePlan,
) -> TradeListDecision:
    """Net over sleeves, drop what can not be worked, keep what is worth its cost, shrink the day to its caps.

    What no venue takes today goes before the gate and the caps: it must not use up what others could trade.
    """
    prices = price_book(setup, inputs)
    netted = net_trades(
        (*wishes.proposals, *hedge.proposals),
        inputs.portfolio,
        prices,
        setup.policy.execution,
        cut=cut_reason(setup, inputs, fund, risk),
    )
    decisions = [_dropped(item, prices, "minimum size") for item in netted.dropped]
    allowed, refused = _allowed(netted.trades, inputs, fund, risk, crisis_began=wishes.crisis_began)
    decisions += [_dropped(item, prices, "control") for item in refused]
    closed = unworkable(allowed, prices, _window_rules(setup), inputs.context)
    decisions += [_dropped(item, prices, "venue") for item in closed]
    waiting = {item.contract_id for item in closed}
    workable = [trade for trade in allowed if trade.contract_id not in waiting]
    judged, uneven = even_openings(
        workable,
        [trade for trade in allowed if trade.contract_id in waiting],
        prices,
        {instrument.instrument_id: instrument.lot for instrument in setup.universe},
    )
    decisions += [_dropped(item, prices, "balance") for item in uneven]
    whole = {trade.contract_id: trade for trade in workable}
    candidates = gate_candidates(setup, inputs, judged, prices)
    gate = gate_trades(
        candidates,
        gate_inputs(setup, inputs, fund, risk, judged),
        setup.policy.gate,
    )
    decisions += _gate_decisions(gate, judged, prices)
    capped = apply_caps(
        [sized_trade(setup, inputs, trade, prices) for trade in gate.trades],
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
        crosses=crosses_of_the_day(netted, capped.trades, prices, fund.frozen | set(inputs.blocked)),
        decisions=tuple(decisions),
        gate=gate,
        saved_notional_usd=round_money(netted.saved_notional_usd),
        turnover_usd=round_money(capped.turnover_usd),
        memory=next_goals(
            inputs.memory.gate,
            # What the other side's closed venue held back is still wanted: the goal is the whole of it.
            gate_candidates(setup, inputs, [whole[trade.contract_id] for trade in judged], prices)
            if uneven
            else candidates,
            gate.decisions,
            held_by_instrument(setup, inputs),
            setup.policy.gate,
        ),
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


def plan_jobs(setup: DaySetup, inputs: DayInputs, trades: Sequence[Trade], verdict: SafetyVerdict) -> JobPlan:
    """Jobs of what the safety check permits, each in its venue's liquidity window."""
    permitted = tuple(trade for trade in trades if trade.contract_id in verdict.permitted)
    return precompute_jobs(permitted, price_book(setup, inputs), _window_rules(setup), inputs.context)


def _window_rules(setup: DaySetup) -> WindowRules:
    return WindowRules(
        sessions=setup.sessions,
        policies=setup.policy.windows,
        new_york="NYSE",
        urgent_roll_days=setup.policy.roll.critical_days + 1,
        last_roll_days=setup.policy.roll.critical_days,
        styles=setup.policy.execution.styles,
        resets=setup.policy.resets,
    )


def _borrowable(setup: DaySetup, inputs: DayInputs, trade: Trade) -> Decimal | None:
    """Shares that a short may borrow; futures and options need none."""
    kind = setup.universe[trade.instrument_id].kind
    if kind not in (InstrumentType.STK, InstrumentType.ETF):
        return None
    quote = inputs.market.borrow.get(trade.instrument_id)
    return None if quote is None else quote.available_shares


def _allowed(
    trades: Sequence[Trade],
    inputs: DayInputs,
    fund: ValuedFund,
    risk: RiskDecision,
    *,
    crisis_began: bool,
) -> tuple[tuple[Trade, ...], tuple[DroppedTrade, ...]]:
    """Trades that the day's control lets through: no new risk on an abandoned or reduce-only day.

    On the first day of a crisis the sleeves' lines only shrink; hedges and rolls go on, for they add no risk.
    """
    reason = _control_reason(inputs, risk)
    marks = day_marks(inputs)
    frozen = {t.contract_id for t in trades if _is_frozen(t, marks.get(t.contract_id), inputs, fund)}
    partners = {t.group: t.contract_id for t in trades if t.contract_id in frozen and not _shrinks(t, inputs)}
    kept, refused = [], []
    for trade in trades:
        shrinks = _shrinks(trade, inputs)
        partner = partners.get(trade.group) if trade.reason in _PAIRED else None
        why = reason
        if why is None and crisis_began and trade.reason is Reason.REBALANCE:
            why = "a crisis began today: nothing adds risk until tomorrow's decision"
        if trade.contract_id in frozen:
            why = f"its {_doubt(trade.contract_id, inputs, fund)}: reduce only"
        elif why is None and trade.group is not None and partner is not None:
            why = f"not opened without {partner}, whose {_doubt(partner, inputs, fund)}"
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


def _doubt(contract_id: str, inputs: DayInputs, fund: ValuedFund) -> str:
    """What is in doubt about a frozen contract, after its name."""
    if contract_id in inputs.blocked:
        return "last order is unknown"
    if contract_id in fund.jumps.frozen:
        return "price jumped, or is far from the broker's"
    return "price is old"


def _shrinks(trade: Trade, inputs: DayInputs) -> bool:
    return reduces(inputs.portfolio.quantity(trade.contract_id), trade.quantity)


def _control_reason(inputs: DayInputs, risk: RiskDecision) -> str | None:
    if inputs.flattened:
        return "the operator chose to close every position: reduce only"
    if inputs.abandoned:
        return "the day was abandoned by the operator: reduce only"
    if risk.kill:
        return "the drawdown is beyond the kill limit: nothing is added while it lasts"
    if risk.reduce_only:
        return "the day's loss reached its limit: reduce only until the next session"
    return None


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
