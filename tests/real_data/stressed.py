"""A recorded day with a broken market: spreads five times as wide, a fifth of the depth, borrow recalled, a limit lock."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property

from engine.model.market import Quote
from engine.simulation.facts import PanelFacts
from tasks.adapters.panel_world import PanelWorld
from tasks.options import WorldOptions
from tasks.runtime import World

WIDER = 5
THINNER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A future that is offered at its lower limit, with nobody bidding, until a time of the day (UTC)."""

    instrument_id: str
    price: Decimal
    until: time


@dataclass(frozen=True, slots=True, kw_only=True)
class StressedFacts:
    """The exchange's facts with one broken day; all else is the recorded market's."""

    facts: PanelFacts
    day: date
    lock: Lock | None

    def __getattr__(self, name: str) -> object:
        return getattr(self.facts, name)

    def quote(self, contract_id: str, at: datetime) -> Quote | None:
        found = self.facts.quote(contract_id, at)
        if found is None or at.date() != self.day or found.bid is None or found.ask is None:
            return found
        instrument = self.facts.universe[self.facts.contract(contract_id).instrument_id]
        if self.lock is not None and instrument.instrument_id == self.lock.instrument_id:
            opens = datetime.combine(self.day, self.lock.until, UTC)
            if at < opens:
                return replace(found, bid=None, ask=self.lock.price, bid_size=Decimal(0))
        more = found.spread * (WIDER - 1) / 2
        return replace(
            found,
            bid=max(instrument.floor_to_tick(found.bid - more), instrument.tick_at(found.bid)),
            ask=instrument.ceil_to_tick(found.ask + more),
            bid_size=max(found.bid_size // THINNER // instrument.lot, Decimal(1)) * instrument.lot,
            ask_size=max(found.ask_size // THINNER // instrument.lot, Decimal(1)) * instrument.lot,
        )

    def borrow_available(self, instrument_id: str, day: date) -> bool:
        return day != self.day and self.facts.borrow_available(instrument_id, day)


@dataclass(frozen=True, kw_only=True)
class StressedDays(PanelWorld):
    """Recorded days of which one is broken."""

    day: date
    lock: Lock | None

    @cached_property
    def facts(self) -> PanelFacts:
        facts = PanelFacts(panel=self.panel, universe=self.universe, sessions=self.sessions, seed=self.seed)
        return StressedFacts(facts=facts, day=self.day, lock=self.lock)  # type: ignore[return-value]


class StressedWorld(World):
    """A world of recorded days in which one is broken."""

    def __init__(self, options: WorldOptions, day: date, lock: Lock | None) -> None:
        super().__init__(options)
        self._broken = (day, lock)

    @cached_property
    def past(self) -> PanelWorld:
        day, lock = self._broken
        whole = super().past
        kept = {field.name: getattr(whole, field.name) for field in fields(whole)}
        return StressedDays(**kept, day=day, lock=lock)
