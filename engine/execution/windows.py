"""In which stretch of a session an instrument's orders are worked, continuously or in an auction, and in which style.

A closed venue is ``None``, not an error. Windows never meet a reset of the broker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from engine.errors import ConfigurationError
from engine.model.instruments import Instrument, VenueGroup
from engine.model.market import BASE_CURRENCY
from engine.model.orders import Trade, Urgency
from engine.model.venues import (
    ORDER_TYPES,
    MaintenanceWindow,
    StyleRule,
    WindowPolicy,
    joins_auctions,
    outside_resets,
)
from engine.model.windows import ExecutionStyle, LiquidityWindow
from engine.sessions import Session, SessionTable, avoided

Venue = VenueGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRules:
    """Sessions and window policies; a policy is found by venue id, else by venue group (``EU``, ``US`` …).

    ``new_york`` is the venue id whose open starts the window of US underlyings listed in Europe (R-115).
    ``urgent_roll_days`` are the sessions before a contract's end from which its roll may pay more to finish, and
    ``last_roll_days`` those from which it is closed as in an emergency. ``styles`` gives a trade its style by the first
    rule that names it.
    """

    sessions: SessionTable
    policies: Mapping[str, WindowPolicy]
    new_york: str
    urgent_roll_days: int = 2
    last_roll_days: int = 1
    styles: tuple[StyleRule, ...] = ()
    resets: tuple[MaintenanceWindow, ...] = ()

    def policy(self, instrument: Instrument) -> WindowPolicy:
        """Window policy of an instrument's venue; raises `ConfigurationError`."""
        group = instrument.venue_group.value
        found = self.policies.get(instrument.venue) or self.policies.get(group)
        if found is None:
            raise ConfigurationError(f"expected a liquidity window for venue {instrument.venue} or {group}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Window of a trade today, and for an auction the continuous window in which what it left is worked."""

    window: LiquidityWindow
    fallback: LiquidityWindow | None = None

    @property
    def last_send(self) -> datetime:
        """From when on nothing of the trade may leave any more."""
        late = self.window.last_send
        return late if self.fallback is None else max(late, self.fallback.last_send)


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
        return _auction(instrument, session, style, rules)
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
    free = outside_resets(start, end, rules.resets) if start < end else None
    if free is None:
        return None
    return LiquidityWindow(venue=instrument.venue, style=style, start=free[0], end=free[1])


def is_us_underlying(instrument: Instrument) -> bool:
    """Whether a line listed in Europe moves with New York."""
    return instrument.venue_group is VenueGroup.EU and instrument.exposure_currency == BASE_CURRENCY


def should_avoid_trading(
    instrument: Instrument, at: datetime, rules: WindowRules, after_open: int, before_close: int
) -> bool:
    """Whether a continuous order should not leave now: no session, or too near to its open or close (EXEC-65, SAFE-03).

    Auctions are exempt; they ask their own cut-off. A venue whose window follows the clock has no daily open or close.
    """
    session = rules.sessions.in_session(instrument.venue, at)
    if session is None:
        return True
    if rules.policy(instrument).start_utc is not None:
        return False
    return avoided(session, at, after_open, before_close)


def _auction(
    instrument: Instrument, session: Session, style: ExecutionStyle, rules: WindowRules
) -> LiquidityWindow | None:
    """Window of an auction order, ``None`` where the venue or the line takes none, or the broker may be away."""
    terms = rules.policy(instrument).auction(style)
    if terms is None or not joins_auctions(instrument):
        return None
    if terms.listed_only and ORDER_TYPES[style].value not in instrument.auction_orders:
        return None
    anchor = session.close if style is ExecutionStyle.CLOSE_AUCTION else session.open
    start, cutoff, end = (
        anchor + timedelta(minutes=offset)
        for offset in (terms.first_minutes, terms.cutoff_minutes, terms.result_minutes)
    )
    # On a very short session the call would begin before the venue opened.
    start = max(start, session.open) if style is ExecutionStyle.CLOSE_AUCTION else start
    if start >= cutoff or outside_resets(start, end, rules.resets) != (start, end):
        return None
    return LiquidityWindow(venue=instrument.venue, style=style, start=start, end=end, cutoff=cutoff)


def _at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), UTC)


def style_of(trade: Trade, instrument: Instrument, urgency: Urgency, rules: WindowRules) -> ExecutionStyle:
    """Style of a trade by the first rule that names it; what never trades in auctions is MIDDAY."""
    if not joins_auctions(instrument):
        return ExecutionStyle.MIDDAY
    found = (rule.style for rule in rules.styles if rule.names(trade, instrument, urgency))
    return next(found, ExecutionStyle.MIDDAY)


def slot_of(instrument: Instrument, style: ExecutionStyle, day: date, rules: WindowRules) -> Slot | None:
    """Where a trade is worked on a date: in its auction, else MIDDAY; ``None`` on a closed venue.

    It does not depend on the time of the decision: a late day finds its own jobs again.
    """
    midday = liquidity_window(instrument, day, ExecutionStyle.MIDDAY, rules)
    auction = None if style is ExecutionStyle.MIDDAY else liquidity_window(instrument, day, style, rules)
    if auction is None:
        return None if midday is None else Slot(window=midday)
    is_later = midday is not None and midday.end > auction.last_send
    return Slot(window=auction, fallback=midday if is_later else None)


def together(slots: Sequence[Slot]) -> tuple[Slot, ...] | None:
    """Slots of a group's legs while all of them trade at once, ``None`` where there is no such time.

    Auctions keep their own times; what they leave is worked together again.
    """
    if any(slot.window.cutoff is not None for slot in slots):
        middays = [slot.fallback for slot in slots if slot.fallback is not None]
        common = _common(middays) if len(middays) == len(slots) else None
        return tuple(replace(slot, fallback=_within(slot.fallback, common)) for slot in slots)
    common = _common([slot.window for slot in slots])
    if common is None:
        return None
    return tuple(replace(slot, window=replace(slot.window, start=common[0], end=common[1])) for slot in slots)


def _common(windows: Sequence[LiquidityWindow]) -> tuple[datetime, datetime] | None:
    start, end = max(w.start for w in windows), min(w.end for w in windows)
    return (start, end) if start < end else None


def _within(
    window: LiquidityWindow | None, common: tuple[datetime, datetime] | None
) -> LiquidityWindow | None:
    if window is None or common is None:
        return None
    return replace(window, start=common[0], end=common[1])


def overlap(window: LiquidityWindow, other: LiquidityWindow) -> LiquidityWindow:
    """The time that two continuous windows share; the other one where they share none. Auctions are what they are."""
    start, end = max(window.start, other.start), min(window.end, other.end)
    if other.cutoff is not None or start >= end:
        return other
    return replace(other, start=start, end=end)
