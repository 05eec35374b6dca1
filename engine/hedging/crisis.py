"""Is this a crisis, and what is done in it? Triggers, one episode, profits of protection taken once.

The order of the playbook: cancel working orders that add risk, scale 0.3 (the risk decision), close a share of
the protection that is in the money, reduce the core (its scale), hedge currencies anew, tell people, ask for a
review. A kill stops everything and waits for a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, Decimal

from engine.errors import InvariantError
from engine.hedging.future_hedge import VOLATILITY_CATEGORY
from engine.model.encoding import significant
from engine.model.instruments import OptionRight
from engine.model.market import OptionQuote
from engine.model.money import ZERO
from engine.model.orders import Reason, TradeProposal
from engine.model.policy import CrisisPolicy
from engine.model.portfolio import Portfolio, Position, Sleeve
from engine.risk.regime import RiskRegime
from engine.sleeves.holdings import held_contract
from engine.sleeves.sizing import PriceList

CRISIS_GROUP = "crisis"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrisisInputs:
    """Facts of one crisis decision.

    ``vix``, ``daily_return``, ``drawdown``, ``regime`` and ``kill`` are the risk decision's. ``planned`` are the
    day's tail-hedge proposals: what they sell is not sold again.
    """

    trade_date: date
    vix: float | None
    daily_return: float | None
    drawdown: float
    regime: RiskRegime
    kill: bool
    portfolio: Portfolio
    prices: PriceList
    option_chains: Mapping[str, tuple[OptionQuote, ...]]
    planned: tuple[TradeProposal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrisisRecord:
    """Episode in force (``None`` outside one) and the contracts that its profit taking leaves."""

    episode_id: str | None = None
    keep: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrisisMemory:
    """Records before and after the last decision date."""

    trade_date: date | None = None
    opening: CrisisRecord = field(default_factory=CrisisRecord)
    closing: CrisisRecord = field(default_factory=CrisisRecord)

    def record_for(self, trade_date: date) -> CrisisRecord:
        """Record to start a date from; raises `InvariantError` for a date before the last one decided."""
        if self.trade_date is None or trade_date > self.trade_date:
            return self.closing
        if trade_date == self.trade_date:
            return self.opening
        raise InvariantError(
            f"the crisis plan was decided for {self.trade_date}; {trade_date} lies before it"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CrisisPlan:
    """What the playbook asks for today.

    ``triggers`` are today's reasons in words, empty on the later days of an episode. ``cancel_risk_adding`` is
    true on every day of an episode. ``kill`` asks for the kill switch and a flatten plan that a person approves.
    """

    episode_id: str | None
    starts: bool
    triggers: tuple[str, ...]
    cancel_risk_adding: bool
    proposals: tuple[TradeProposal, ...]
    kill: bool
    needs_review: bool
    alert: str | None


def plan_crisis(
    inputs: CrisisInputs, policy: CrisisPolicy, memory: CrisisMemory
) -> tuple[CrisisPlan, CrisisMemory]:
    """Decide the crisis playbook: start, continue or end an episode; take profits once."""
    opening = memory.record_for(inputs.trade_date)
    triggers = crisis_triggers(inputs, policy)
    in_episode = bool(triggers) or (opening.episode_id is not None and inputs.regime is RiskRegime.CRISIS)
    if not in_episode:
        closing = CrisisRecord()
    elif opening.episode_id is not None:
        closing = opening
    else:
        keep = _keep_after_monetising(inputs, policy)
        closing = CrisisRecord(episode_id=f"crisis-{inputs.trade_date.isoformat()}", keep=keep)
    starts = in_episode and opening.episode_id is None
    proposals = _sell_down(closing.keep, inputs)
    plan = CrisisPlan(
        episode_id=closing.episode_id,
        starts=starts,
        triggers=triggers,
        cancel_risk_adding=in_episode,
        proposals=proposals,
        kill=inputs.kill,
        needs_review=starts or inputs.kill,
        alert=_alert(inputs, triggers, proposals) if starts or inputs.kill else None,
    )
    return plan, CrisisMemory(trade_date=inputs.trade_date, opening=opening, closing=closing)


def crisis_triggers(inputs: CrisisInputs, policy: CrisisPolicy) -> tuple[str, ...]:
    """Why today is a crisis, in words; empty when it is not."""
    texts = []
    if inputs.vix is not None and significant(inputs.vix) >= policy.vix_threshold:
        texts.append(f"VIX {inputs.vix:.2f} is at or above {policy.vix_threshold:g}")
    if inputs.daily_return is not None and significant(inputs.daily_return) <= policy.daily_loss:
        texts.append(f"the day lost {100 * -inputs.daily_return:.1f} % of NAV")
    if significant(inputs.drawdown) <= policy.drawdown:
        texts.append(f"the drawdown is {100 * -inputs.drawdown:.1f} %")
    return tuple(texts)


def _keep_after_monetising(inputs: CrisisInputs, policy: CrisisPolicy) -> dict[str, Decimal]:
    """Contracts that stay after closing the policy's share of those in the money, most valuable first."""
    profits: dict[str, Decimal] = {}
    for position in inputs.portfolio.positions.values():
        line, profit = _line(position.contract_id, inputs), _profit_usd(position, inputs)
        if position.sleeves.get(Sleeve.CRISIS_ALPHA, ZERO) > 0 and profit > 0:
            profits[line] = max(profit, profits.get(line, ZERO))
    held = _held_lines(inputs)
    gaining = sorted(profits, key=lambda line: (-profits[line], line))
    total = sum((held[line] for line in gaining), ZERO)
    to_close = (total * policy.monetise_fraction).to_integral_value(rounding=ROUND_CEILING)
    keep = {}
    for line in gaining:
        closed = min(held[line], to_close)
        to_close -= closed
        if closed > 0:
            keep[line] = held[line] - closed
    return keep


def _line(contract_id: str, inputs: CrisisInputs) -> str:
    """What a holding is remembered as: an option by its contract, a future by its instrument.

    An episode may outlive the contract that it began with: a future is rolled on, an option expires.
    """
    instrument = inputs.prices.instrument(contract_id)
    return instrument.instrument_id if instrument.is_future else contract_id


def _contract(line: str, inputs: CrisisInputs) -> str:
    """What is sold of a line: of a future the contract that stands for it today, for a due one is rolled there."""
    if line not in inputs.prices.contracts.universe:
        return line
    return inputs.prices.contract_id(line) or held_contract(inputs.portfolio, inputs.prices, line)


def _held_lines(inputs: CrisisInputs) -> dict[str, Decimal]:
    """Protection held, by line."""
    held: dict[str, Decimal] = {}
    for contract_id, position in sorted(inputs.portfolio.positions.items()):
        line = _line(contract_id, inputs)
        held[line] = held.get(line, ZERO) + position.sleeves.get(Sleeve.CRISIS_ALPHA, ZERO)
    return held


def _profit_usd(position: Position, inputs: CrisisInputs) -> Decimal:
    """USD of intrinsic value of a contract (a volatility future: its gain on the purchase), 0 when unknown."""
    instrument = inputs.prices.instrument(position.contract_id)
    contract = inputs.prices.contracts.contract(position.contract_id)
    if instrument.is_option and contract.strike is not None:
        chain = inputs.option_chains.get(instrument.instrument_id, ())
        if not chain:
            return ZERO
        distance = chain[0].underlying_price - contract.strike
        per_unit = distance if contract.right is OptionRight.CALL else -distance
    elif instrument.is_future and instrument.category == VOLATILITY_CATEGORY:
        mark = inputs.prices.marks.get(position.contract_id)
        per_unit = ZERO if mark is None else mark.price - position.average_price
    else:
        return ZERO
    return max(ZERO, inputs.prices.fx.to_base(instrument.notional(Decimal(1), per_unit), instrument.currency))


def _sell_down(keep: Mapping[str, Decimal], inputs: CrisisInputs) -> tuple[TradeProposal, ...]:
    """Sell what is held above the kept quantity; what was filled already is not sold again.

    A future that was rolled since is found under its new contract.
    """
    sold: dict[str, Decimal] = {}
    for proposal in inputs.planned:
        if proposal.sleeve == Sleeve.CRISIS_ALPHA.value:
            line = _line(proposal.contract_id, inputs)
            sold[line] = sold.get(line, ZERO) + min(ZERO, proposal.quantity)
    held = _held_lines(inputs)
    proposals = []
    for line, quantity in sorted(keep.items()):
        excess = held.get(line, ZERO) + sold.get(line, ZERO) - quantity
        if excess > 0:
            proposals.append(
                TradeProposal(
                    sleeve=Sleeve.CRISIS_ALPHA.value,
                    contract_id=_contract(line, inputs),
                    quantity=-excess,
                    reason=Reason.CRISIS,
                    group=CRISIS_GROUP,
                    reduce_only=True,
                )
            )
    return tuple(proposals)


def _alert(inputs: CrisisInputs, triggers: tuple[str, ...], proposals: tuple[TradeProposal, ...]) -> str:
    vix = "unknown" if inputs.vix is None else f"{inputs.vix:.2f}"
    closed = sum((-proposal.quantity for proposal in proposals), ZERO)
    head = "KILL: nothing adds risk, and trading stops until a person answers" if inputs.kill else "CRISIS"
    why = "; ".join(triggers) or "the drawdown limit is reached"
    return f"{head}. VIX {vix}. {why}. {closed} hedge contracts are closed at a profit, risk is cut to the CRISIS scale."
