"""What has to be traded: the difference of targets and holdings, netted over sleeves into one order a contract.

In come the target book, the portfolio and the proposals of other stages (rolls, hedges, crisis); out come net
trades, internal crosses and what was dropped. Netting precedes the minimum size: filtering first would drop
halves that offset each other and let the sleeves drift (R-93).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.accounting.book import allocate
from engine.errors import InvariantError, MissingMark
from engine.model.instruments import CollarClass, Instrument
from engine.model.market import FxRates, MarketInputs
from engine.model.money import ZERO, round_lots
from engine.model.orders import Reason, TargetBook, Trade, TradeProposal
from engine.model.policy import ExecutionPolicy
from engine.model.portfolio import Portfolio, Sleeve
from engine.model.universe import ContractBook

REASON_PRIORITY: tuple[Reason, ...] = (
    Reason.LIMIT_BREACH,
    Reason.CRISIS,
    Reason.DERISK,
    Reason.ROLLBACK,
    Reason.OVERLAY_UNWIND,
    Reason.OVERLAY_OPEN,
    Reason.ROLL,
    Reason.CLOSE,
    Reason.HEDGE_FX,
    Reason.HEDGE_TAIL,
    Reason.REBALANCE,
)
"""Which reason a merged trade carries: the first that one of its parts has."""

PLANNED_BY_HEDGING = frozenset({Sleeve.FX_HEDGE.value, Sleeve.CRISIS_ALPHA.value})
"""Sleeves whose holdings the hedge planners change; targets touch them only where they name lines for them."""

_MARKET_RANK: Mapping[CollarClass, int] = {
    CollarClass.FUT: 0,
    CollarClass.FX_FUT: 0,
    CollarClass.BOND_FUT: 0,
    CollarClass.VOL_FUT: 0,
    CollarClass.ETF: 1,
    CollarClass.STK: 2,
    CollarClass.FX_SPOT: 2,
    CollarClass.OPT: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """Prices of the decision in quote units (an option's is its premium) and the rates that make them USD."""

    contracts: ContractBook
    prices: Mapping[str, Decimal]
    fx: FxRates

    @classmethod
    def of(cls, contracts: ContractBook, inputs: MarketInputs) -> PriceBook:
        """Marks of the inputs; options of the chains without a mark take the middle of their quote."""
        prices = {
            quote.contract.contract_id: (quote.bid + quote.ask) / 2
            for chain in inputs.option_chains.values()
            for quote in chain
            if quote.bid is not None and quote.ask is not None
        }
        prices.update({contract_id: mark.price for contract_id, mark in inputs.marks.items()})
        return cls(contracts=contracts, prices=prices, fx=inputs.fx)

    def price(self, contract_id: str) -> Decimal:
        """Price of a contract; raises `MissingMark`."""
        found = self.prices.get(contract_id)
        if found is None:
            raise MissingMark(f"expected a price to size an order of {contract_id}, found none")
        return found

    def notional_usd(self, contract_id: str, quantity: Decimal) -> Decimal:
        """Signed value of a quantity in USD, unrounded."""
        instrument = self.contracts.instrument(contract_id)
        return self.fx.to_base(instrument.notional(quantity, self.price(contract_id)), instrument.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalCross:
    """Opposite wishes of sleeves that need no market: signed quantities that sum to zero, booked at ``price``.

    The price is the decision's, in quote units: the mark, of an option without one the middle of its quote.
    """

    contract_id: str
    sleeves: Mapping[str, Decimal]
    price: Decimal

    def __post_init__(self) -> None:
        if sum(self.sleeves.values(), ZERO) != 0:
            raise InvariantError(f"{self.contract_id}: an internal cross must sum to zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedTrade:
    """A wish that is not traded today, and why."""

    contract_id: str
    quantity: Decimal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NettedTrades:
    """One trade a contract, futures first. ``gross``/``net`` count USD before and after netting."""

    trades: tuple[Trade, ...]
    crosses: tuple[InternalCross, ...]
    dropped: tuple[DroppedTrade, ...]
    gross_notional_usd: Decimal
    net_notional_usd: Decimal

    @property
    def saved_notional_usd(self) -> Decimal:
        """Turnover in USD that netting makes unnecessary."""
        return self.gross_notional_usd - self.net_notional_usd


def net_trades(
    proposals: Sequence[TradeProposal],
    portfolio: Portfolio,
    prices: PriceBook,
    policy: ExecutionPolicy,
    working: Mapping[str, Decimal] | None = None,
    cut: Reason | None = None,
) -> NettedTrades:
    """Net the sleeves' proposals into one trade a contract.

    ``working`` is the signed quantity of orders still alive by contract: it is on its way and not ordered again.
    ``cut`` is the reason of what only reduces a holding, on a day on which the fund has to get smaller.
    Trades below ``minimum_notional_usd`` are dropped unless they close a position, roll, hedge, obey a limit or
    were asked for as reduce-only.
    """
    trades: list[Trade] = []
    crosses: list[InternalCross] = []
    dropped: list[DroppedTrade] = []
    gross = net = ZERO
    for contract_id, parts in _by_contract(proposals).items():
        gross += sum((abs(prices.notional_usd(contract_id, part.quantity)) for part in parts), ZERO)
        sleeves = _in_lots(
            _sum_by_sleeve(parts),
            prices.contracts.instrument(contract_id),
            (working or {}).get(contract_id, ZERO),
        )
        quantity = sum(sleeves.values(), ZERO)
        if quantity == 0:
            crosses += internal_cross(contract_id, sleeves, prices)
            continue
        held = portfolio.quantity(contract_id)
        notional = abs(prices.notional_usd(contract_id, quantity))
        net += notional
        reason = _reason(parts, held, quantity, cut)
        if notional >= policy.minimum_notional_usd or _is_exempt(parts, held, quantity, reason):
            trades.append(_trade(contract_id, parts, sleeves, held, reason, prices.contracts))
        else:
            crosses += internal_cross(contract_id, sleeves, prices)
            why = f"below the minimum of {policy.minimum_notional_usd} USD"
            dropped.append(DroppedTrade(contract_id=contract_id, quantity=quantity, reason=why))
    return NettedTrades(
        trades=_by_priority(trades, prices.contracts),
        crosses=tuple(crosses),
        dropped=tuple(dropped),
        gross_notional_usd=gross,
        net_notional_usd=net,
    )


def _trade(
    contract_id: str,
    parts: Sequence[TradeProposal],
    sleeves: Mapping[str, Decimal],
    held: Decimal,
    reason: Reason,
    contracts: ContractBook,
) -> Trade:
    quantity = sum(sleeves.values(), ZERO)
    return Trade(
        contract_id=contract_id,
        instrument_id=contracts.contract(contract_id).instrument_id,
        quantity=quantity,
        reason=reason,
        group=_group(parts, quantity),
        reduce_only=reduces(held, quantity),
        sleeves=sleeves,
    )


def internal_cross(
    contract_id: str, sleeves: Mapping[str, Decimal], prices: PriceBook
) -> tuple[InternalCross, ...]:
    """The part of sleeves' signed wishes that needs no market, none when all are on one side.

    The smaller side is met in full, the larger side's sleeves by their shares. A wish that is traded needs no cross:
    its executions are split over all its sleeves, those of the other side too.
    """
    buying = {name: quantity for name, quantity in sleeves.items() if quantity > 0}
    selling = {name: quantity for name, quantity in sleeves.items() if quantity < 0}
    bought, sold = sum(buying.values(), ZERO), -sum(selling.values(), ZERO)
    crossed = min(bought, sold)
    if crossed == 0:
        return ()
    shares = {**allocate(crossed, buying, ZERO, bought), **allocate(-crossed, selling, ZERO, -sold)}
    moved = {name: quantity for name, quantity in sorted(shares.items()) if quantity != 0}
    return (InternalCross(contract_id=contract_id, sleeves=moved, price=prices.price(contract_id)),)


def _reason(parts: Sequence[TradeProposal], held: Decimal, quantity: Decimal, cut: Reason | None) -> Reason:
    """The foremost reason of the parts; a rebalancing that only reduces the holding takes the day's cut.

    A part that closes names the trade only where the whole holding comes nearer to zero: what one sleeve gives up
    and another wants more of is a rebalancing.
    """
    reasons = [part.reason for part in parts]
    if not reduces(held, quantity):
        reasons = [reason for reason in reasons if reason is not Reason.CLOSE] or reasons
    found = min(reasons, key=REASON_PRIORITY.index)
    if cut is not None and found is Reason.REBALANCE and reduces(held, quantity):
        return cut
    return found


def market_rank(instrument: Instrument) -> int:
    """Place of a market in the order in which things are traded: futures 0, funds 1, all else 2 (EXEC-15)."""
    return _MARKET_RANK[instrument.collar_class]


def _by_priority(trades: Iterable[Trade], contracts: ContractBook) -> tuple[Trade, ...]:
    """Futures first, then funds, then single names."""

    def rank(trade: Trade) -> tuple[int, str]:
        return market_rank(contracts.instrument(trade.contract_id)), trade.contract_id

    return tuple(sorted(trades, key=rank))


def reduces(held: Decimal, quantity: Decimal) -> bool:
    """Whether a signed trade only brings a signed holding nearer to zero."""
    return held * quantity < 0 and abs(quantity) <= abs(held)


def _by_contract(proposals: Iterable[TradeProposal]) -> dict[str, list[TradeProposal]]:
    groups: dict[str, list[TradeProposal]] = {}
    for proposal in proposals:
        if proposal.quantity != 0:
            groups.setdefault(proposal.contract_id, []).append(proposal)
    return dict(sorted(groups.items()))


def _sum_by_sleeve(parts: Iterable[TradeProposal]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for part in parts:
        sums[part.sleeve] = sums.get(part.sleeve, ZERO) + part.quantity
    return {sleeve: quantity for sleeve, quantity in sorted(sums.items()) if quantity != 0}


def _in_lots(sleeves: dict[str, Decimal], instrument: Instrument, working: Decimal) -> dict[str, Decimal]:
    """Whole lots in sum, less what is already working; the largest sleeve carries the difference."""
    if not sleeves:
        return sleeves
    wanted = sum(sleeves.values(), ZERO)
    difference = round_lots(wanted - working, instrument.lot) - wanted
    if difference == 0:
        return sleeves
    largest = max(sleeves, key=lambda name: (abs(sleeves[name]), name))
    adjusted = {**sleeves, largest: sleeves[largest] + difference}
    return {name: quantity for name, quantity in adjusted.items() if quantity != 0}


def _is_exempt(parts: Iterable[TradeProposal], held: Decimal, quantity: Decimal, reason: Reason) -> bool:
    closes = held != 0 and held + quantity == 0
    asked = all(part.reduce_only for part in parts) and reduces(held, quantity)
    return closes or asked or reason is not Reason.REBALANCE


def _group(parts: Sequence[TradeProposal], quantity: Decimal) -> str | None:
    """Group of the largest part on the net side: legs keep the company that decides their size."""
    same_side = [part for part in parts if part.quantity * quantity > 0]
    # Orders already working may turn the rest to the other side; then every part has a say.
    return max(same_side or parts, key=lambda part: (abs(part.quantity), part.group or "")).group


def proposals_from_targets(
    target: TargetBook,
    portfolio: Portfolio,
    contracts: ContractBook,
    frozen: frozenset[str] = frozenset(),
    rolls: Mapping[str, str] | None = None,
) -> tuple[TradeProposal, ...]:
    """Target less holding of every sleeve and contract.

    ``rolls`` maps a contract that the roll plan closes to the one that it opens: its holding counts as the new
    contract's, so that roll and rebalance never both trade it. A sleeve in ``held`` proposes nothing. A holding
    that its sleeve no longer names is closed, unless ``frozen`` (stale price): such a line may only shrink.
    """
    lines: dict[tuple[str, str], Decimal] = {}
    groups: dict[tuple[str, str], str | None] = {}
    for line in target.lines:
        key = (line.sleeve, line.contract_id)
        lines[key] = lines.get(key, ZERO) + line.quantity
        groups[key] = line.group
    skipped = set(target.held) | (PLANNED_BY_HEDGING - {sleeve for sleeve, _ in lines})
    current = _holdings(lines, portfolio, contracts, rolls or {})
    proposals = []
    for key in sorted(set(lines) | set(current)):
        sleeve, contract_id = key
        wanted, held, is_frozen = lines.get(key), current.get(key, ZERO), contract_id in frozen
        change = (wanted or ZERO) - held
        may_move = not is_frozen or (wanted is not None and reduces(held, change))
        if sleeve in skipped or change == 0 or not may_move:
            continue
        proposals.append(
            TradeProposal(
                sleeve=sleeve,
                contract_id=contract_id,
                quantity=change,
                reason=Reason.REBALANCE if wanted else Reason.CLOSE,
                group=groups.get(key),
                reduce_only=is_frozen or not wanted,
            )
        )
    return tuple(proposals)


def _holdings(
    lines: Mapping[tuple[str, str], Decimal],
    portfolio: Portfolio,
    contracts: ContractBook,
    rolls: Mapping[str, str],
) -> dict[tuple[str, str], Decimal]:
    """Holding by sleeve and contract; an older expiry counts for the contract that the target names."""
    named: dict[tuple[str, str], str] = {}
    for sleeve, contract_id in lines:
        named[(sleeve, contracts.contract(contract_id).instrument_id)] = contract_id
    current: dict[tuple[str, str], Decimal] = {}
    for contract_id, position in portfolio.positions.items():
        instrument = contracts.instrument(contract_id)
        for owner, quantity in position.sleeves.items():
            place = rolls.get(contract_id, contract_id)
            if instrument.is_future and (owner.value, place) not in lines:
                place = named.get((owner.value, instrument.instrument_id), place)
            key = (owner.value, place)
            current[key] = current.get(key, ZERO) + quantity
    return current
