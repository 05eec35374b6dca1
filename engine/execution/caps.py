"""How much of the day's list is traded today: the planner's caps, which stay inside those of the guard.

Every parent and the day's turnover are kept below the planner's own limits (R-37); what is left over is deferred
by priority (R-112): what reduces or obeys a limit, closes, rolls, tail hedges, groups scaled as one, and the FX
hedge in step with the legs that it hedges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from engine.execution.netting import DroppedTrade
from engine.model.money import ZERO
from engine.model.orders import Reason, Trade
from engine.model.policy import SafetyPolicy

_URGENT = frozenset(
    {Reason.LIMIT_BREACH, Reason.CRISIS, Reason.DERISK, Reason.ROLLBACK, Reason.OVERLAY_UNWIND}
)
_STEPS = 20
_HALF = Decimal("0.5")
_EXEMPT, _CLOSE, _ROLL, _TAIL, _GROUP, _FX_HEDGE = range(6)
_RANKS = {
    Reason.CLOSE: _CLOSE,
    Reason.ROLL: _ROLL,
    Reason.HEDGE_TAIL: _TAIL,
    Reason.HEDGE_FX: _FX_HEDGE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedTrade:
    """A trade with what it does to the fund, all signed USD for the whole quantity.

    ``beta_usd`` is its beta-adjusted exposure, ``currency_usd`` its exposure by currency. ``largest_quantity`` is
    what the day's volume allows, ``None`` where unknown. ``ends`` says that it closes what may not be held any longer.
    """

    trade: Trade
    lot: Decimal
    notional_usd: Decimal
    beta_usd: Decimal
    currency_usd: Mapping[str, Decimal]
    largest_quantity: Decimal | None = None
    ends: bool = False

    @property
    def unit(self) -> str:
        """Name of what is scaled together: the group, or the contract alone."""
        return f"group:{self.trade.group}" if self.trade.group else self.trade.contract_id

    @property
    def turnover_usd(self) -> Decimal:
        """What the whole quantity takes of the day's turnover: a roll moves exposure, it trades none (ROLL-05)."""
        return ZERO if self.trade.reason is Reason.ROLL else abs(self.notional_usd)

    @property
    def lots(self) -> Decimal:
        """Number of lots of the whole quantity."""
        return abs(self.trade.quantity) / self.lot

    @property
    def lot_usd(self) -> Decimal:
        """Value of one lot in USD, unsigned."""
        return abs(self.notional_usd) / self.lots


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedTrades:
    """Trades of the day after the caps, and what waits for another day with its reason."""

    trades: tuple[Trade, ...]
    deferred: tuple[DroppedTrade, ...]
    turnover_usd: Decimal


@dataclass(slots=True)
class _Day:
    """Budget still free and the fraction granted to every trade, while the caps are applied."""

    remaining: Decimal
    factors: dict[str, Decimal] = field(default_factory=dict)

    def grant(self, sized: SizedTrade, factor: Decimal, rank: int) -> None:
        self.factors[sized.trade.contract_id] = factor
        if rank not in (_EXEMPT, _FX_HEDGE):
            self.remaining -= sized.turnover_usd * factor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What bounds a leg that is rounded up to a whole lot: the turnover left in USD, and the caps of one order."""

    budget: Decimal
    nav: Decimal
    policy: SafetyPolicy

    def allows(self, sized: SizedTrade, lots: Decimal, spent: Decimal) -> bool:
        """Whether a leg may have so many lots when all legs then take ``spent`` of the budget."""
        in_volume = sized.largest_quantity is None or lots * sized.lot <= sized.largest_quantity
        in_order = sized.trade.reduce_only or lots * sized.lot_usd <= _order_cap(sized, self.nav, self.policy)
        return lots <= sized.lots and in_volume and in_order and spent <= self.budget


def apply_caps(sized: Sequence[SizedTrade], nav: Decimal, policy: SafetyPolicy) -> CappedTrades:
    """Shrink the day to the planner's caps, in the order of R-112.

    The legs of a group get one fraction, in whole lots as near to it as the caps allow; all groups are scaled by
    one factor where the turnover binds; the FX hedge of what they would have created shrinks with them. Neither
    the day's net beta nor its net exposure in any currency ends beyond both the untruncated list and the priority
    trades alone.
    """
    day = _Day(remaining=nav * policy.planner_turnover_fraction)
    ranked = _ranked(sized)
    for unit in ranked[_EXEMPT]:
        factor = _volume_factor(unit)
        granted = _in_lots([(trade, factor) for trade in unit])
        for trade in unit:
            day.grant(trade, granted[trade.trade.contract_id], _EXEMPT)
    for rank in (_CLOSE, _ROLL, _TAIL):
        for unit in ranked[rank]:
            factor = min(_order_factor(unit, nav, policy), _turnover_factor(unit, day.remaining))
            # A leg of a roll that is rounded up alone would change what its sleeve holds.
            room = None if rank == _ROLL else _Room(budget=day.remaining, nav=nav, policy=policy)
            granted = _in_lots([(trade, factor) for trade in unit], room)
            for trade in unit:
                day.grant(trade, granted[trade.trade.contract_id], rank)
    _grant_groups(ranked, sized, nav, policy, day)
    return _result(sized, day, nav * policy.planner_turnover_fraction)


def _ranked(sized: Sequence[SizedTrade]) -> tuple[list[list[SizedTrade]], ...]:
    """What is scaled together, by priority class."""
    ranked: tuple[list[list[SizedTrade]], ...] = ([], [], [], [], [], [])
    for unit in _units(sized):
        ranked[_rank(unit)].append(unit)
    return ranked


def _units(trades: Sequence[SizedTrade]) -> list[list[SizedTrade]]:
    """Trades that are scaled together: one group, or one trade without a group.

    What obeys a limit or ends leaves its group, for it waits for nobody; an FX hedge follows the legs of its own
    currency.
    """
    units: dict[str, list[SizedTrade]] = {}
    for sized in trades:
        name = sized.unit
        if sized.trade.reason in _URGENT or sized.ends:
            name = f"urgent:{name}"
        elif sized.trade.reason is Reason.HEDGE_FX:
            name = sized.trade.contract_id
        units.setdefault(name, []).append(sized)
    return list(units.values())


def _rank(unit: Sequence[SizedTrade]) -> int:
    """Priority class of a whole unit, so that no leg is scaled apart from the others.

    A unit is exempt only when every leg just reduces the fund or obeys a limit. A unit that rolls comes with the
    rolls, because its old contract is about to end; otherwise one leg of a rebalance makes it a rebalance.
    """
    if all(s.trade.reduce_only or s.trade.reason in _URGENT for s in unit):
        return _EXEMPT
    ranks = {_RANKS.get(s.trade.reason, _GROUP) for s in unit}
    for decisive in (_ROLL, _GROUP):
        if decisive in ranks:
            return decisive
    return min(ranks)


def _order_factor(unit: Sequence[SizedTrade], nav: Decimal, policy: SafetyPolicy) -> Decimal:
    """What the cap of one order allows of every leg; the guard exempts reductions, as where a cut meets a roll."""
    factor = _volume_factor(unit)
    for sized in unit:
        cap = _order_cap(sized, nav, policy)
        if abs(sized.notional_usd) > cap and not sized.trade.reduce_only:
            factor = min(factor, cap / abs(sized.notional_usd))
    return factor


def _order_cap(sized: SizedTrade, nav: Decimal, policy: SafetyPolicy) -> Decimal:
    hedge = sized.trade.reason is Reason.HEDGE_FX
    return nav * (policy.fx_hedge_order_fraction if hedge else policy.planner_order_fraction)


def _volume_factor(unit: Sequence[SizedTrade]) -> Decimal:
    """What the day's volume allows of every leg: it holds for reductions as well, or the guard blocks the day."""
    factor = Decimal(1)
    for sized in unit:
        if sized.largest_quantity is not None and abs(sized.trade.quantity) > sized.largest_quantity:
            factor = min(factor, sized.largest_quantity / abs(sized.trade.quantity))
    return factor


def _turnover_factor(unit: Sequence[SizedTrade], remaining: Decimal) -> Decimal:
    wanted = sum((s.turnover_usd for s in unit), ZERO)
    return Decimal(1) if wanted <= remaining else max(remaining, ZERO) / wanted


def _in_lots(parts: Sequence[tuple[SizedTrade, Decimal]], room: _Room | None = None) -> dict[str, Decimal]:
    """Fractions of whole lots nearest to those given; without ``room`` never above them.

    Half a lot or more is rounded up, the dearest first, while the order's cap, the volume and the budget allow it:
    a leg of few lots would otherwise stay behind the others of its group.
    """
    wanted = {s.trade.contract_id: min(factor, Decimal(1)) * s.lots for s, factor in parts}
    lots = {
        s.trade.contract_id: s.lots if factor >= 1 else wanted[s.trade.contract_id] // 1
        for s, factor in parts
    }
    if room is not None:
        spent = sum((lots[s.trade.contract_id] * s.turnover_usd / s.lots for s, _ in parts), ZERO)
        for sized in sorted((s for s, _ in parts), key=lambda s: (-s.lot_usd, s.trade.contract_id)):
            name = sized.trade.contract_id
            more = lots[name] + 1
            if wanted[name] - lots[name] < _HALF or not room.allows(
                sized, more, spent + sized.turnover_usd / sized.lots
            ):
                continue
            lots[name], spent = more, spent + sized.turnover_usd / sized.lots
    return {s.trade.contract_id: min(lots[s.trade.contract_id] / s.lots, Decimal(1)) for s, _ in parts}


def _grant_groups(
    ranked: Sequence[Sequence[Sequence[SizedTrade]]],
    everything: Sequence[SizedTrade],
    nav: Decimal,
    policy: SafetyPolicy,
    day: _Day,
) -> None:
    """Largest scaling of the groups that keeps net beta and currency exposure within their bounds."""
    groups, hedges = ranked[_GROUP], [hedge for unit in ranked[_FX_HEDGE] for hedge in unit]
    room = _Room(budget=day.remaining, nav=nav, policy=policy)
    own = [_order_factor(unit, nav, policy) for unit in groups]
    scaled = sum((s.turnover_usd * f for unit, f in zip(groups, own, strict=True) for s in unit), ZERO)
    budget = Decimal(1) if scaled <= day.remaining else max(day.remaining, ZERO) / scaled
    common = min(own, default=Decimal(1)) * budget
    proposals = [[factor * budget for factor in own]]
    proposals += [[common * (_STEPS - step) / _STEPS] * len(own) for step in range(_STEPS + 1)]
    base = dict(day.factors)
    least = {**base, **_scaled(groups, hedges, proposals[-1], room)}
    factors = least
    for proposal in proposals:
        factors = _scaled(groups, hedges, proposal, room)
        if _within_bounds(everything, {**base, **factors}, least):
            break
    for rank in (_GROUP, _FX_HEDGE):
        for unit in ranked[rank]:
            for trade in unit:
                day.grant(trade, factors[trade.trade.contract_id], rank)


def _scaled(
    groups: Sequence[Sequence[SizedTrade]],
    hedges: Sequence[SizedTrade],
    proposal: Sequence[Decimal],
    room: _Room,
) -> dict[str, Decimal]:
    """Fractions of the legs at one scaling of the groups, and of the FX hedges that follow them."""
    parts = [(sized, factor) for unit, factor in zip(groups, proposal, strict=True) for sized in unit]
    granted = _in_lots(parts, room)
    return {**granted, **_following(groups, hedges, granted, room)}


def _following(
    groups: Sequence[Sequence[SizedTrade]],
    hedges: Sequence[SizedTrade],
    granted: Mapping[str, Decimal],
    room: _Room,
) -> dict[str, Decimal]:
    """Fraction of each FX hedge: all of what hedges existing exposure, and of the rest what the legs create."""
    result: dict[str, Decimal] = {}
    for hedge in hedges:
        factor = Decimal(1)
        for currency, hedged in hedge.currency_usd.items():
            if currency == "USD" or hedged == 0:
                continue
            created = [
                (s.currency_usd.get(currency, ZERO), granted[s.trade.contract_id]) for u in groups for s in u
            ]
            full = sum((usd for usd, _ in created), ZERO)
            if full * hedged >= 0:
                continue
            share_of_legs = min(abs(full) / abs(hedged), Decimal(1))
            executed = min(max(sum((usd * f for usd, f in created), ZERO) / full, ZERO), Decimal(1))
            factor = min(factor, 1 - share_of_legs * (1 - executed))
        factor = min(factor, _order_factor([hedge], room.nav, room.policy))
        result |= _in_lots([(hedge, factor)])
    return result


def _within_bounds(
    everything: Sequence[SizedTrade], factors: Mapping[str, Decimal], floor: Mapping[str, Decimal]
) -> bool:
    """Net beta and each currency's net stay within the larger of "all of it" and "priority trades only"."""
    ones = {sized.trade.contract_id: Decimal(1) for sized in everything}
    now, full, least = (day_exposures(everything, f) for f in (factors, ones, floor))
    return all(abs(now[name]) <= max(abs(full[name]), abs(least[name])) for name in now)


def day_exposures(sized: Sequence[SizedTrade], factors: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Net change in USD of beta (key ``beta``) and of every currency by a day's trades at given fractions."""
    totals: dict[str, Decimal] = {"beta": ZERO}
    for trade in sized:
        factor = factors[trade.trade.contract_id]
        totals["beta"] += trade.beta_usd * factor
        for currency, usd in trade.currency_usd.items():
            if currency != "USD":
                totals[currency] = totals.get(currency, ZERO) + usd * factor
    return totals


def _result(sized: Sequence[SizedTrade], day: _Day, budget: Decimal) -> CappedTrades:
    kept, deferred = [], []
    for item in sized:
        trade, factor = item.trade, day.factors[item.trade.contract_id]
        quantity = trade.quantity if factor == 1 else _whole(trade.quantity * factor, item.lot)
        if quantity != trade.quantity:
            deferred.append(
                DroppedTrade(
                    contract_id=trade.contract_id,
                    quantity=trade.quantity - quantity,
                    reason="deferred: the day's caps on order size, volume and turnover",
                )
            )
        if quantity != 0:
            kept.append(resized(trade, quantity))
    return CappedTrades(trades=tuple(kept), deferred=tuple(deferred), turnover_usd=budget - day.remaining)


def _whole(quantity: Decimal, lot: Decimal) -> Decimal:
    # A factor is lots / quantity: multiplying back may miss the whole number in the last decimal place.
    return (quantity / lot).to_integral_value() * lot


def resized(trade: Trade, quantity: Decimal) -> Trade:
    """The same trade with a smaller quantity, its sleeves scaled alike and exact in sum."""
    if quantity == trade.quantity:
        return trade
    micro = Decimal("0.000001")
    shares = {s: (q * quantity / trade.quantity).quantize(micro) for s, q in trade.sleeves.items()}
    largest = max(shares, key=lambda name: (abs(shares[name]), name))
    shares[largest] += quantity - sum(shares.values(), ZERO)
    return Trade(
        contract_id=trade.contract_id,
        instrument_id=trade.instrument_id,
        quantity=quantity,
        reason=trade.reason,
        group=trade.group,
        reduce_only=trade.reduce_only,
        sleeves=shares,
    )
