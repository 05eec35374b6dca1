"""Stages of the decision: each a function of the day's recorded inputs and of what earlier stages decided.

The flow and `engine.composition.day` call the same functions, so their bytes are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from engine.accounting.bridge import NavBridge, nav_bridge
from engine.accounting.fx_rates import FxVerdict, fx_verdict
from engine.accounting.jumps import JumpVerdict
from engine.accounting.ledger import LedgerEntry
from engine.accounting.marks import MarkVerdict, stale_mark_verdict
from engine.accounting.nav import ValuationContext, option_risks, value_portfolio
from engine.accounting.sides import KnownOrders
from engine.carry.borrow import BorrowService
from engine.carry.financing import expected_carry_annual
from engine.composition import readings
from engine.execution.establishing import GateMemory
from engine.hedging.budget import TailMemory
from engine.hedging.crisis import CrisisInputs, CrisisMemory, CrisisPlan, plan_crisis
from engine.hedging.fx import FxHedgeInputs, FxHedgePlan, plan_fx_hedge
from engine.hedging.protection import TailInputs
from engine.hedging.tail import TailHedgePlan, plan_tail_hedges
from engine.model.context import DayContext
from engine.model.halts import HaltChoice, HaltKind
from engine.model.instruments import Contract
from engine.model.market import FxRates, Mark, MarketInputs, Quote, Source
from engine.model.orders import TargetBook, TradeProposal
from engine.model.policy import FundPolicy
from engine.model.portfolio import BrokerSnapshot, CashBasis, Portfolio, Valuation
from engine.model.universe import ContractBook, Universe
from engine.risk.decision import RiskDecision, RiskInputs, RiskMemory, decide_risk
from engine.roll import RollPlan, front_contracts, plan_roll
from engine.sessions import SessionTable
from engine.sleeves.holdings import listed_instruments, structural_weights, weights_at_scale_one
from engine.sleeves.sizing import PriceList
from engine.sleeves.targets import TargetInputs, TargetMemory, decide_targets


@dataclass(frozen=True, slots=True, kw_only=True)
class DayMemory:
    """What the last decision hands to this one; ``weights`` are its targets at scale 1, by instrument."""

    risk: RiskMemory = field(default_factory=RiskMemory)
    targets: TargetMemory = field(default_factory=TargetMemory)
    tail: TailMemory = field(default_factory=TailMemory)
    crisis: CrisisMemory = field(default_factory=CrisisMemory)
    weights: Mapping[str, float] | None = None
    gate: GateMemory = field(default_factory=GateMemory)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousDay:
    """The last valued day: its valuation, book, marks and rates, and what was booked since, in order."""

    valuation: Valuation
    portfolio: Portfolio
    marks: Mapping[str, Mark]
    fx: FxRates
    entries: tuple[LedgerEntry, ...]
    net_liquidation: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayInputs:
    """Everything that one decision reads; recorded before the first stage decides.

    ``contracts`` are held contracts that no chain lists any more. ``quotes`` are live quotes of contracts in session.
    ``blocked`` are contracts with an order of unknown outcome. ``answers`` are the choices with which halts of
    this run were resolved, by halt kind; ``manual_marks`` prices that a person gave, by contract.
    """

    context: DayContext
    market: MarketInputs
    contracts: tuple[Contract, ...]
    portfolio: Portfolio
    broker: BrokerSnapshot
    quotes: Mapping[str, Quote]
    known: KnownOrders
    unresolved: tuple[str, ...]
    blocked: tuple[str, ...]
    previous: PreviousDay | None
    memory: DayMemory
    trading_enabled: bool
    answers: Mapping[str, str]
    manual_marks: Mapping[str, Decimal]

    @property
    def abandoned(self) -> bool:
        """Whether a person chose to take no new risk today."""
        return HaltChoice.ABANDON_DAY.value in self.answers.values()

    @property
    def flattened(self) -> bool:
        """Whether a person chose to close every position today."""
        return HaltChoice.FLATTEN.value in self.answers.values()

    @property
    def drawdown_answered(self) -> bool:
        """Whether a person answered today that the drawdown reached its last limit."""
        return HaltKind.DRAWDOWN.value in self.answers


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySetup:
    """What does not change during a day: instruments, policies, sessions."""

    universe: Universe
    policy: FundPolicy
    sessions: SessionTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuedFund:
    """NAV and exposure, whether the marks behind them are good enough, and the bridge from the last day."""

    valuation: Valuation
    marks: MarkVerdict
    jumps: JumpVerdict
    bridge: NavBridge | None

    @property
    def frozen(self) -> frozenset[str]:
        """Contracts whose price is old or jumped: they may only be reduced."""
        return frozenset(self.marks.frozen) | self.jumps.frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskStep:
    """Risk decision and its memory."""

    decision: RiskDecision
    memory: RiskMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStep:
    """Target book, its memory, and its weights at scale 1."""

    book: TargetBook
    memory: TargetMemory
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TailStep:
    """Tail-hedge plan and its memory."""

    plan: TailHedgePlan
    memory: TailMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class CrisisStep:
    """Crisis plan and its memory."""

    plan: CrisisPlan
    memory: CrisisMemory


def contract_book(setup: DaySetup, inputs: DayInputs) -> ContractBook:
    """Every contract that the day may name."""
    market = inputs.market
    listed = {c.contract_id: c for chain in market.chains.values() for c in chain}
    options = {q.contract.contract_id: q.contract for chain in market.option_chains.values() for q in chain}
    held = {contract.contract_id: contract for contract in inputs.contracts}
    return ContractBook(universe=setup.universe, contracts={**held, **options, **listed})


def day_marks(inputs: DayInputs) -> Mapping[str, Mark]:
    """Marks of the day, with those that a person gave in their place; one that nobody else has is of today."""
    marks = dict(inputs.market.marks)
    source = next((mark.source for mark in marks.values()), Source.SIMULATED)
    for contract_id, price in inputs.manual_marks.items():
        known = marks.get(contract_id)
        marks[contract_id] = Mark(
            contract_id=contract_id,
            price=price,
            session_date=inputs.context.trade_date if known is None else known.session_date,
            age_sessions=0,
            source=source if known is None else known.source,
        )
    return marks


def fx_hedge_instruments(policy: FundPolicy) -> frozenset[str]:
    """Currency futures of the hedge: their notional is no market exposure."""
    return frozenset(name for pair in policy.fx.hedge_contracts.values() for name in pair if name is not None)


def price_list(setup: DaySetup, inputs: DayInputs) -> PriceList:
    """Prices of the decision and the contract that stands for each future.

    What is not held and has only a price beyond the age limit is not listed: nothing new is opened on it.
    """
    contracts, marks, usable = contract_book(setup, inputs), day_marks(inputs), usable_marks(setup, inputs)
    fronts = front_contracts(
        inputs.market.chains, usable, setup.sessions, contracts, inputs.context.trade_date, setup.policy.roll
    )
    held = {name: marks[name] for name in inputs.portfolio.positions if name in marks}
    return PriceList(
        contracts=contracts, marks={**usable, **held}, fx=inputs.market.fx, front_contracts=fronts
    )


def usable_marks(setup: DaySetup, inputs: DayInputs) -> Mapping[str, Mark]:
    """Marks within the age limit."""
    limit = setup.policy.marks.flagged_sessions_max
    return {name: mark for name, mark in day_marks(inputs).items() if mark.age_sessions <= limit}


def judge_rates(setup: DaySetup, inputs: DayInputs) -> FxVerdict:
    """Whether the exchange rates are good enough to value and to hedge."""
    book = contract_book(setup, inputs)
    needed = {c for c, amount in inputs.portfolio.cash.items() if amount != 0}
    needed |= {book.instrument(contract_id).currency for contract_id in inputs.portfolio.positions}
    needed |= {currency for currency, _ in setup.policy.fx.hedge_contracts.items()}
    return fx_verdict(
        inputs.market.fx,
        None if inputs.previous is None else inputs.previous.fx,
        setup.policy.fx,
        inputs.context.as_of,
        sorted(needed),
        readings.future_rates(setup.policy.fx, inputs.market),
    )


def value_fund(setup: DaySetup, inputs: DayInputs) -> ValuedFund:
    """Value the fund on its own ledger, judge the marks, explain the change since the last day."""
    contracts, marks = contract_book(setup, inputs), day_marks(inputs)
    context = inputs.context
    valuation = value_portfolio(
        inputs.portfolio,
        marks,
        inputs.market.fx,
        contracts,
        ValuationContext(
            trade_date=context.trade_date,
            as_of=context.as_of,
            basis=CashBasis.SETTLED,
            fx_hedges=fx_hedge_instruments(setup.policy),
        ),
        option_risks(inputs.market.option_chains),
    )
    previous = inputs.previous
    bridge = None
    if previous is not None:
        bridge = nav_bridge(
            previous.valuation, valuation, previous.portfolio, previous.entries, inputs.market.fx, contracts
        )
    return ValuedFund(
        valuation=valuation,
        marks=stale_mark_verdict(valuation, marks, setup.policy.marks),
        jumps=readings.judge_jumps(
            {name: mark for name, mark in marks.items() if name not in inputs.manual_marks},
            readings.FormerPrices(
                marks={} if previous is None else previous.marks,
                entries=() if previous is None else previous.entries,
            ),
            inputs.broker.positions,
            inputs.market,
            valuation,
            contracts,
            setup.policy.marks,
        ),
        bridge=bridge,
    )


def roll_futures(setup: DaySetup, inputs: DayInputs) -> RollPlan:
    """Plan which futures move to a later contract today."""
    return plan_roll(
        inputs.portfolio,
        inputs.market.chains,
        setup.sessions,
        contract_book(setup, inputs),
        inputs.context.trade_date,
        setup.policy.roll,
        usable_marks(setup, inputs),
    )


def judge_risk(setup: DaySetup, inputs: DayInputs, fund: ValuedFund) -> RiskStep:
    """Decide how much risk the fund may carry today."""
    sleeves, history = setup.policy.sleeves, inputs.market.history
    weights = inputs.memory.weights
    if not weights:
        weights = structural_weights(sleeves, listed_instruments(price_list(setup, inputs)))
    facts = RiskInputs(
        trade_date=inputs.context.trade_date,
        unit_price=fund.valuation.unit_price,
        vix=readings.latest_vix(inputs.market),
        weights=weights,
        history=history,
        universe=setup.universe,
        currency_hedge_ratio=float(setup.policy.fx.hedge_ratio),
        core_long=sleeves.core_long,
        core_short=sleeves.core_short,
        strategy_return=readings.strategy_return(fund.bridge),
    )
    decision, memory = decide_risk(facts, setup.policy.risk, inputs.memory.risk)
    return RiskStep(decision=decision, memory=memory)


def set_targets(setup: DaySetup, inputs: DayInputs, fund: ValuedFund, risk: RiskDecision) -> TargetStep:
    """Decide what the fund should hold."""
    facts = TargetInputs(
        trade_date=inputs.context.trade_date,
        nav=fund.valuation.nav,
        portfolio=inputs.portfolio,
        prices=price_list(setup, inputs),
        history=inputs.market.history,
        fundamentals=inputs.market.fundamentals,
        borrow=BorrowService(infos=inputs.market.borrow, config=setup.policy.carry.borrow),
        scaling_factor=risk.scaling_factor,
        core_scale=risk.core_scale,
        expected_carry_annual=expected_carry(setup, inputs),
        option_exposures=readings.option_exposures(fund.valuation, setup.universe),
        option_value=readings.option_value(fund.valuation, setup.universe),
        untold=inputs.market.untold,
    )
    book, memory = decide_targets(facts, setup.policy.sleeves, setup.policy.risk, inputs.memory.targets)
    weights = weights_at_scale_one(book, risk.scaling_factor, risk.core_scale)
    return TargetStep(book=book, memory=memory, weights=weights)


def expected_carry(setup: DaySetup, inputs: DayInputs) -> Mapping[str, float]:
    """Expected carry of the credit and carry lines; every other line is structural and expects none (R-108)."""
    prices = {name: mark.price for name, mark in day_marks(inputs).items()}
    book = readings.carry_book(inputs.market, setup.universe, setup.policy)
    return expected_carry_annual(prices, inputs.portfolio.cash, book)


def hedge_tails(setup: DaySetup, inputs: DayInputs, fund: ValuedFund, risk: RiskDecision) -> TailStep:
    """Plan which protection is bought, rolled or closed."""
    facts = TailInputs(
        trade_date=inputs.context.trade_date,
        nav=fund.valuation.nav,
        regime=risk.regime,
        portfolio=inputs.portfolio,
        prices=price_list(setup, inputs),
        option_chains=inputs.market.option_chains,
        sales=readings.protection_sales(
            () if inputs.previous is None else inputs.previous.entries,
            contract_book(setup, inputs),
            inputs.market.fx,
        ),
    )
    plan, memory = plan_tail_hedges(facts, setup.policy.tail, inputs.memory.tail)
    return TailStep(plan=plan, memory=memory)


def check_crisis(setup: DaySetup, inputs: DayInputs, risk: RiskDecision, tail: TailHedgePlan) -> CrisisStep:
    """Decide whether this is a crisis, and what the playbook does."""
    facts = CrisisInputs(
        trade_date=inputs.context.trade_date,
        vix=risk.vix,
        daily_return=risk.daily_return,
        drawdown=risk.drawdown,
        regime=risk.regime,
        kill=risk.kill,
        portfolio=inputs.portfolio,
        prices=price_list(setup, inputs),
        option_chains=inputs.market.option_chains,
        planned=tail.proposals,
    )
    plan, memory = plan_crisis(facts, setup.policy.crisis, inputs.memory.crisis)
    return CrisisStep(plan=plan, memory=memory)


def hedge_currencies(
    setup: DaySetup, inputs: DayInputs, fund: ValuedFund, planned: tuple[TradeProposal, ...]
) -> FxHedgePlan:
    """Plan the hedge of the portfolio's foreign currency after the planned trades."""
    prices = price_list(setup, inputs)
    facts = FxHedgeInputs(
        portfolio=inputs.portfolio,
        valuation=fund.valuation,
        planned=planned,
        contracts=prices.contracts,
        front_contracts=prices.front_contracts,
        marks=prices.marks,
        fx=inputs.market.fx,
    )
    return plan_fx_hedge(facts, setup.policy.fx)
