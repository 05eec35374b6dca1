"""When and where the day's trades are worked: windows by venue, and jobs that wait for them.

At 06:00 every trade becomes a parent intent in a job of its venue and group. Identities depend on the run, the
contract and the purpose, never on quantities or prices, so a recomputed day finds its own jobs again. A closed
venue is an outcome with a reason, not an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from engine.errors import ConfigurationError
from engine.execution.netting import DroppedTrade, PriceBook
from engine.execution.spreads import joined, spread_pairs
from engine.model.context import DayContext, RunKey, RunKind
from engine.model.encoding import digest
from engine.model.instruments import Instrument, VenueGroup
from engine.model.market import BASE_CURRENCY
from engine.model.orders import (
    ExecutionJob,
    ExecutionStyle,
    LiquidityWindow,
    OrderIntent,
    Reason,
    Side,
    Trade,
    Urgency,
)
from engine.model.policy import WindowPolicy
from engine.sessions import Session, SessionTable

Venue = VenueGroup

_AUCTION_MINUTES: Mapping[tuple[VenueGroup, ExecutionStyle], tuple[int, int]] = {
    # From the close (closing auction) or the open (opening auction). Europe calls after the close and matches
    # within five minutes; New York takes no limit-on-close after its cutoff, so ours is earlier.
    (VenueGroup.EU, ExecutionStyle.CLOSE_AUCTION): (-2, 5),
    (VenueGroup.US, ExecutionStyle.CLOSE_AUCTION): (-35, -15),
    (VenueGroup.EU, ExecutionStyle.OPEN_AUCTION): (-10, -1),
    (VenueGroup.US, ExecutionStyle.OPEN_AUCTION): (-30, -3),
}
_PURPOSES: Mapping[Reason, str] = {
    Reason.ROLL: "roll",
    Reason.HEDGE_FX: "fxhedge",
    Reason.HEDGE_TAIL: "tail",
    Reason.OVERLAY_OPEN: "overlay",
    Reason.OVERLAY_UNWIND: "unwind",
    Reason.ROLLBACK: "unwind",
}
_URGENCIES: Mapping[Reason, Urgency] = {
    Reason.CRISIS: Urgency.EMERGENCY,
    Reason.DERISK: Urgency.HIGH,
    Reason.LIMIT_BREACH: Urgency.HIGH,
    Reason.ROLLBACK: Urgency.HIGH,
    Reason.OVERLAY_UNWIND: Urgency.HIGH,
}
_ALONE = frozenset({Reason.LIMIT_BREACH, Reason.CRISIS, Reason.DERISK, Reason.ROLL, Reason.ROLLBACK})
_BOOKS: Mapping[Reason, str] = {Reason.HEDGE_FX: "fx_hedge", Reason.HEDGE_TAIL: "tail"}
STRATEGY_BOOK = "strategy"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRules:
    """Sessions and window policies; a policy is found by venue id, else by venue group (``EU``, ``US`` …).

    ``new_york`` is the venue id whose open starts the window of US underlyings listed in Europe (R-115).
    ``urgent_roll_days`` are the sessions before a contract's end from which its roll may pay more to finish, and
    ``last_roll_days`` those from which it is closed as in an emergency.
    """

    sessions: SessionTable
    policies: Mapping[str, WindowPolicy]
    new_york: str
    urgent_roll_days: int = 2
    last_roll_days: int = 1

    def policy(self, instrument: Instrument) -> WindowPolicy:
        """Window policy of an instrument's venue; raises `ConfigurationError`."""
        group = instrument.venue_group.value
        found = self.policies.get(instrument.venue) or self.policies.get(group)
        if found is None:
            raise ConfigurationError(f"expected a liquidity window for venue {instrument.venue} or {group}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """Jobs of the day by start of window, and trades that no window takes, with the reason."""

    jobs: tuple[ExecutionJob, ...]
    skipped: tuple[DroppedTrade, ...]


def liquidity_window(
    instrument: Instrument, day: date, style: ExecutionStyle, rules: WindowRules
) -> LiquidityWindow | None:
    """Time in which an instrument's orders are worked on a date, ``None`` when its venue does not open for them.

    Europe's lines with a US underlying wait for New York where it opens that day; their spreads are tighter then.
    """
    session = rules.sessions.session(instrument.venue, day)
    if session is None:
        return None
    if style is not ExecutionStyle.MIDDAY:
        return _auction(instrument, session, style)
    policy = rules.policy(instrument)
    start = session.open + timedelta(minutes=policy.open_offset_minutes)
    end = session.close - timedelta(minutes=policy.close_offset_minutes)
    if policy.start_utc is not None:
        start = max(start, _at(day, policy.start_utc))
    if policy.end_utc is not None:
        end = min(end, _at(day, policy.end_utc))
    if policy.after_new_york_open_minutes is not None and is_us_underlying(instrument):
        new_york = rules.sessions.session(rules.new_york, day)
        if new_york is not None:
            later = new_york.open + timedelta(minutes=policy.after_new_york_open_minutes)
            # On a European half-day New York opens after the close: the plain window is better than none.
            start = max(start, later) if later < end else start
    return _window(instrument.venue, style, start, end)


def is_us_underlying(instrument: Instrument) -> bool:
    """Whether a line listed in Europe moves with New York."""
    return instrument.venue_group is VenueGroup.EU and instrument.exposure_currency == BASE_CURRENCY


def _auction(instrument: Instrument, session: Session, style: ExecutionStyle) -> LiquidityWindow | None:
    minutes = _AUCTION_MINUTES.get((instrument.venue_group, style))
    if minutes is None:
        return None
    anchor = session.close if style is ExecutionStyle.CLOSE_AUCTION else session.open
    start, end = (anchor + timedelta(minutes=offset) for offset in minutes)
    return _window(instrument.venue, style, start, end)


def _at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), UTC)


def _window(venue: str, style: ExecutionStyle, start: datetime, end: datetime) -> LiquidityWindow | None:
    return LiquidityWindow(venue=venue, style=style, start=start, end=end) if start < end else None


def generate_job_id(context: DayContext, venue: str, style: ExecutionStyle, book: str, group: str) -> str:
    """Identity of a job: account, mode, trade date, venue, style, book and group; no quantity, price or time."""
    parts = (
        context.account,
        context.mode.value,
        context.trade_date.isoformat(),
        venue,
        style.value,
        book,
        group,
    )
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def generate_intent_id(context: DayContext, contract_id: str, reason: Reason) -> str:
    """Identity of a parent: run key, contract and purpose; a recomputed day finds it again."""
    key = RunKey(
        account=context.account, mode=context.mode, trade_date=context.trade_date, kind=RunKind.DECISION
    )
    text = f"{key.text}|{contract_id}|{_PURPOSES.get(reason, 'rebal')}|net"
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def precompute_jobs(
    trades: Sequence[Trade], prices: PriceBook, rules: WindowRules, context: DayContext
) -> JobPlan:
    """Put every trade into a job of its venue and group; the FX hedge waits for the strategy's jobs.

    A group that spans venues is worked while all of them are open, and is not opened when one is closed.
    """
    windows = _windows(trades, prices, rules, context)
    skipped = _unworkable(trades, windows, prices, context)
    refused = {item.contract_id for item in skipped}
    pairs = spread_pairs([trade for trade in trades if trade.contract_id not in refused], prices)
    jobs: dict[str, ExecutionJob] = {}
    for members in _groups(joined(trades, pairs)):
        common = _common_window([windows[t.contract_id] for t in members])
        for trade in members:
            window = windows[trade.contract_id]
            if window is None or trade.contract_id in refused:
                continue
            if common is not None and trade.reason not in _ALONE:
                window = replace(window, start=common[0], end=common[1])
            intent = _intent(trade, members, prices, rules, context)
            near = pairs.get(trade.contract_id)
            if near is not None:
                intent = replace(intent, near_intent_id=generate_intent_id(context, near, Reason.ROLL))
            _add(jobs, intent, window, prices, context)
    return JobPlan(jobs=_linked(jobs), skipped=skipped)


def unworkable(
    trades: Sequence[Trade], prices: PriceBook, rules: WindowRules, context: DayContext
) -> tuple[DroppedTrade, ...]:
    """Trades that no window of the day takes, with the reason; legs of a group wait for each other."""
    return _unworkable(trades, _windows(trades, prices, rules, context), prices, context)


def _unworkable(
    trades: Sequence[Trade],
    windows: Mapping[str, LiquidityWindow | None],
    prices: PriceBook,
    context: DayContext,
) -> tuple[DroppedTrade, ...]:
    dropped = []
    for members in _groups(trades):
        broken = _closed_partner(members, windows)
        for trade in members:
            venue = prices.contracts.instrument(trade.contract_id).venue
            why = _refusal(trade, venue, windows[trade.contract_id], broken, context)
            if why is not None:
                dropped.append(
                    DroppedTrade(contract_id=trade.contract_id, quantity=trade.quantity, reason=why)
                )
    return tuple(dropped)


def _windows(
    trades: Sequence[Trade], prices: PriceBook, rules: WindowRules, context: DayContext
) -> dict[str, LiquidityWindow | None]:
    return {
        trade.contract_id: liquidity_window(
            prices.contracts.instrument(trade.contract_id), context.trade_date, ExecutionStyle.MIDDAY, rules
        )
        for trade in trades
    }


def _groups(trades: Sequence[Trade]) -> list[list[Trade]]:
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(_group_name(trade), []).append(trade)
    return [groups[name] for name in sorted(groups)]


def _group_name(trade: Trade | OrderIntent) -> str:
    return trade.group if trade.group is not None else f"single:{trade.instrument_id}"


def _common_window(windows: Sequence[LiquidityWindow | None]) -> tuple[datetime, datetime] | None:
    """Time in which all legs of a group trade at once, ``None`` where there is none."""
    open_windows = [window for window in windows if window is not None]
    if not open_windows:
        return None
    start, end = max(w.start for w in open_windows), min(w.end for w in open_windows)
    return (start, end) if start < end else None


def _closed_partner(members: Sequence[Trade], windows: Mapping[str, LiquidityWindow | None]) -> str | None:
    closed = sorted(t.contract_id for t in members if windows[t.contract_id] is None)
    return closed[0] if closed and len(members) > 1 else None


def _refusal(
    trade: Trade, venue: str, window: LiquidityWindow | None, broken: str | None, context: DayContext
) -> str | None:
    if window is None:
        return f"venue closed: {venue} does not trade on {context.trade_date}"
    if window.end <= context.as_of:
        return f"the window of {window.venue} ended at {window.end:%H:%M}Z"
    if broken is not None and trade.reason not in _ALONE:
        return f"venue closed: not traded without {broken}, whose venue is closed on {context.trade_date}"
    return None


def _add(
    jobs: dict[str, ExecutionJob],
    intent: OrderIntent,
    window: LiquidityWindow,
    prices: PriceBook,
    context: DayContext,
) -> None:
    book, group = _BOOKS.get(intent.reason, STRATEGY_BOOK), _group_name(intent)
    job_id = generate_job_id(context, window.venue, window.style, book, group)
    job = jobs.get(job_id)
    if job is not None:
        start, end = max(job.window.start, window.start), min(job.window.end, window.end)
        if start < end:
            window = replace(window, start=start, end=end)
    intents = (*(job.intents if job is not None else ()), intent)
    jobs[job_id] = ExecutionJob(
        job_id=job_id,
        trade_date=context.trade_date,
        venue=window.venue,
        venue_group=prices.contracts.instrument(intent.contract_id).venue_group,
        style=window.style,
        window=window,
        group=f"{book}/{group}",
        after=(),
        intents=intents,
        content_digest=digest(intents),
    )


def _intent(
    trade: Trade, members: Sequence[Trade], prices: PriceBook, rules: WindowRules, context: DayContext
) -> OrderIntent:
    """Parent order of a trade; both legs of a roll whose old contract is about to end may pay more to finish.

    Until then a roll waits for its price as any other trade: what is left of it today is planned anew tomorrow. On its
    last sessions it must not stay behind, for nothing is held past the earlier of last trade and first notice: at the
    very end the old contract is closed at the prices of an emergency, whether the new one can be bought or not.
    """
    made = intent_of(trade, prices.price(trade.contract_id), context)
    if trade.reason is not Reason.ROLL:
        return made
    ends = [prices.contracts.contract(leg.contract_id).roll_deadline for leg in members]
    end = min((day for day in ends if day is not None), default=None)
    venue = prices.contracts.instrument(trade.contract_id).venue
    if end is None or end > rules.sessions.last:
        return made
    left = rules.sessions.sessions_between(venue, context.trade_date, end)
    ends_now = prices.contracts.contract(trade.contract_id).roll_deadline == end and trade.reduce_only
    if ends_now and left <= rules.last_roll_days:
        return replace(made, urgency=Urgency.EMERGENCY)
    return replace(made, urgency=Urgency.HIGH) if left <= rules.urgent_roll_days else made


def intent_of(trade: Trade, decision_price: Decimal, context: DayContext) -> OrderIntent:
    """Parent order of a net trade."""
    return OrderIntent(
        intent_id=generate_intent_id(context, trade.contract_id, trade.reason),
        contract_id=trade.contract_id,
        instrument_id=trade.instrument_id,
        side=Side.of(trade.quantity),
        quantity=abs(trade.quantity),
        reason=trade.reason,
        urgency=_URGENCIES.get(trade.reason, Urgency.NORMAL),
        group=trade.group,
        reduce_only=trade.reduce_only,
        sleeves=trade.sleeves,
        decision_price=decision_price,
    )


def _linked(jobs: Mapping[str, ExecutionJob]) -> tuple[ExecutionJob, ...]:
    """Jobs in order of their windows; FX hedges come after every job of the strategy."""
    first = tuple(sorted(j.job_id for j in jobs.values() if j.group.startswith(f"{STRATEGY_BOOK}/")))
    linked = [
        replace(job, after=first) if job.group.startswith("fx_hedge/") else job for job in jobs.values()
    ]
    return tuple(sorted(linked, key=lambda job: (job.window.start, bool(job.after), job.venue, job.group)))


def followed_fraction(
    hedge: OrderIntent, legs: Sequence[tuple[OrderIntent, Decimal]], prices: PriceBook
) -> Decimal:
    """Fraction of an FX hedge that is still wanted after ``legs`` (parent, filled quantity) were worked.

    Of the hedge, the part that answers to the legs' exposure in its currency shrinks with what they left
    unfilled; what hedges exposure held before is never given up.
    """
    instrument = prices.contracts.instrument(hedge.contract_id)
    if hedge.reason is not Reason.HEDGE_FX or not instrument.is_future:
        return Decimal(1)
    wanted = prices.notional_usd(hedge.contract_id, hedge.quantity) * hedge.side.sign
    planned = executed = Decimal(0)
    for leg, filled in legs:
        line = prices.contracts.instrument(leg.contract_id)
        # A future bears no currency on its notional, only on its gains (which are swept).
        if line.exposure_currency == instrument.exposure_currency and not line.is_future:
            planned += prices.notional_usd(leg.contract_id, leg.quantity) * leg.side.sign
            executed += prices.notional_usd(leg.contract_id, filled) * leg.side.sign
    if planned * wanted >= 0:
        return Decimal(1)
    share = min(abs(planned / wanted), Decimal(1))
    done = min(max(executed / planned, Decimal(0)), Decimal(1))
    return 1 - share * (1 - done)
