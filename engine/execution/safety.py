"""The last check before orders are planned: everything that must hold, and the reasons why it does not.

It fails closed: one failed check blocks every order that adds risk. Trades that only reduce still go, because margin
runs short on the very day on which the fund has to reduce; they stop only where the book itself is in doubt. The
planner keeps well inside these limits, so in normal use the guard never fires.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.model.money import ZERO
from engine.model.orders import Reason, Trade
from engine.model.policy import SafetyPolicy
from engine.sessions import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFacts:
    """What the guard must know of one trade; ``None`` where a fact is unknown and the check does not apply.

    ``held`` is the fund's signed position before the trade; ``borrowable`` the shares a new short may borrow.
    """

    trade: Trade
    notional_usd: Decimal
    held: Decimal
    tradeable: bool
    roll_deadline: date | None
    average_daily_volume: Decimal | None
    borrowable: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyFacts:
    """State of the fund at the check. ``volatility_annual`` is ``None`` when it could not be estimated."""

    now: datetime
    trade_date: date
    nav: Decimal
    trading_enabled: bool
    reconciled: bool
    fx_valid: bool
    volatility_annual: float | None
    unresolved_orders: tuple[str, ...]
    excess_liquidity: Decimal | None
    sessions: Mapping[str, Session] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeCheck:
    """Failed rules of one trade; empty when it may go."""

    contract_id: str
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyVerdict:
    """Whether everything may be sent; ``reasons`` lists every failed check, ``warnings`` what only defers.

    ``permitted`` names the contracts whose trades may be planned: all of them, or what still may reduce.
    """

    passed: bool
    reasons: tuple[str, ...]
    checks: tuple[TradeCheck, ...]
    warnings: tuple[str, ...]
    turnover_usd: Decimal
    permitted: tuple[str, ...]


def check_execution_safety(
    facts: SafetyFacts, trades: Sequence[TradeFacts], policy: SafetyPolicy
) -> SafetyVerdict:
    """Check fund and trades against every guard; any failure blocks all that adds risk."""
    checks = tuple(_check_trade(trade, facts, policy) for trade in trades)
    turnover = sum((abs(t.notional_usd) for t in trades if _counts(t)), ZERO)
    adding = sum(1 for item in trades if not item.trade.reduce_only)
    doubts = _doubts(facts)
    reasons = [*doubts, *_volatility_failures(facts), *_size_failures(facts, turnover, adding, policy)]
    for check in checks:
        reasons += [f"{check.contract_id}: {failure}" for failure in check.failures]
    everything = tuple(item.trade.contract_id for item in trades)
    return SafetyVerdict(
        passed=not reasons,
        reasons=tuple(reasons),
        checks=checks,
        warnings=tuple(
            f"{venue} opened less than {policy.near_open_minutes} minutes ago; its orders wait"
            for venue, session in sorted(facts.sessions.items())
            if is_near_open(session, facts.now, policy.near_open_minutes)
        ),
        turnover_usd=turnover,
        permitted=everything if not reasons else () if doubts else _reductions(trades, checks),
    )


def _reductions(trades: Sequence[TradeFacts], checks: Sequence[TradeCheck]) -> tuple[str, ...]:
    """Sound trades that only reduce; of a group all legs or none, for half a pair is a bet that nobody wanted."""
    sound = {
        item.trade.contract_id
        for item, check in zip(trades, checks, strict=True)
        if item.trade.reduce_only and not check.failures
    }
    torn = {item.trade.group for item in trades if item.trade.contract_id not in sound}
    return tuple(
        item.trade.contract_id
        for item in trades
        if item.trade.contract_id in sound and (item.trade.group is None or item.trade.group not in torn)
    )


def is_near_open(session: Session, now: datetime, minutes: int) -> bool:
    """Whether a session opened less than ``minutes`` ago: prices are not settled, only auctions trade."""
    return session.open <= now < session.open + timedelta(minutes=minutes)


def _doubts(facts: SafetyFacts) -> list[str]:
    """Why nothing may be sent, not even a reduction: the fund does not know what it holds or what that is worth."""
    failures = []
    if not facts.trading_enabled:
        failures.append("trading is disabled")
    if not facts.reconciled:
        failures.append("the book is not reconciled with the broker")
    if not facts.fx_valid:
        failures.append("exchange rates are not valid")
    if not facts.nav.is_finite() or facts.nav <= 0:
        failures.append("the NAV is not a positive number")
    if facts.unresolved_orders:
        failures.append(f"orders without a known outcome: {', '.join(facts.unresolved_orders)}")
    return failures


def _volatility_failures(facts: SafetyFacts) -> list[str]:
    volatility = facts.volatility_annual
    if volatility is None or not math.isfinite(volatility) or volatility <= 0:
        return ["the volatility estimate is not valid"]
    return []


def _size_failures(facts: SafetyFacts, turnover: Decimal, count: int, policy: SafetyPolicy) -> list[str]:
    failures: list[str] = []
    if not facts.nav.is_finite() or facts.nav <= 0:
        return failures
    if turnover >= facts.nav * policy.max_daily_turnover_fraction:
        failures.append(
            f"turnover {turnover:,.2f} USD is not below {policy.max_daily_turnover_fraction:.0%} of NAV"
        )
    if count > policy.max_orders_per_day:
        failures.append(f"{count} orders that add risk exceed the day's limit of {policy.max_orders_per_day}")
    floor = facts.nav * policy.minimum_excess_liquidity_fraction
    if facts.excess_liquidity is not None and facts.excess_liquidity < floor:
        failures.append(f"excess liquidity {facts.excess_liquidity:,.2f} USD is below {floor:,.2f} USD")
    return failures


def _counts(facts: TradeFacts) -> bool:
    """Whether a trade counts as turnover: reductions, currency hedges and rolls have limits of their own (ROLL-05)."""
    return not facts.trade.reduce_only and facts.trade.reason not in (Reason.HEDGE_FX, Reason.ROLL)


def _check_trade(item: TradeFacts, facts: SafetyFacts, policy: SafetyPolicy) -> TradeCheck:
    trade, failures = item.trade, []
    is_fx = trade.reason is Reason.HEDGE_FX
    fraction = policy.fx_hedge_order_fraction if is_fx else policy.max_order_fraction
    known = facts.nav.is_finite() and facts.nav > 0
    if not trade.reduce_only and known and abs(item.notional_usd) >= facts.nav * fraction:
        failures.append(f"order of {abs(item.notional_usd):,.2f} USD is not below {fraction:.0%} of NAV")
    if not item.tradeable:
        failures.append("not an instrument that may be traded")
    opens = item.held * (item.held + trade.quantity) < 0 or abs(item.held + trade.quantity) > abs(item.held)
    if trade.reduce_only and opens:
        failures.append("reduce-only, but it would enlarge or turn the position")
    if item.roll_deadline is not None and item.roll_deadline <= facts.trade_date and opens:
        failures.append(f"contract ends on {item.roll_deadline}; it may only be closed")
    volume = item.average_daily_volume
    if volume is not None and abs(trade.quantity) > volume * policy.max_adv_fraction:
        failures.append(f"quantity exceeds {policy.max_adv_fraction:.0%} of the daily volume {volume:,f}")
    short = max(ZERO, -(item.held + trade.quantity)) - max(ZERO, -item.held)
    if item.borrowable is not None and short > item.borrowable:
        failures.append(f"new short of {short}, but only {item.borrowable} can be borrowed")
    return TradeCheck(contract_id=trade.contract_id, failures=tuple(failures))
