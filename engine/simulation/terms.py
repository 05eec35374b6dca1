"""What the simulated broker works from: the world's facts, the universe, its commissions and its interest terms."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from engine.errors import MissingMark
from engine.model.carry import CarryPolicy
from engine.model.instruments import Instrument
from engine.model.policy import CostPolicy
from engine.model.universe import Universe
from engine.ports import MarketFacts

CLOSES_SEARCHED = 400
"""Sessions searched backwards for a last price: more than a year of silence is no price at all."""

RENAMED_DAYS = 30
"""Calendar days for which a renamed share without a close of its own counts at that of its old id."""

_RESTATED = Decimal("0.00000001")


class BrokerFacts(MarketFacts, Protocol):
    """Market facts plus what a prime broker knows of borrow."""

    def borrow_available(self, instrument_id: str, day: date) -> bool:
        """Whether new shorts of an instrument can be borrowed on a day."""

    def borrow_fee_bps(self, instrument_id: str, day: date) -> Decimal:
        """Fee of a short per year, in basis points of its collateral."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Last official price of a contract and the session that it closed."""

    price: Decimal
    session_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTerms:
    """The simulated broker's world and its price list; ``auctions_moved`` delays every auction, as interruptions do."""

    facts: BrokerFacts
    universe: Universe
    costs: CostPolicy
    carry: CarryPolicy
    auctions_moved: timedelta = timedelta(0)
    _closings: dict[tuple[str, date, date], Closing | None] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _instruments: dict[str, Instrument] = field(init=False, repr=False, compare=False, default_factory=dict)

    def instrument(self, contract_id: str) -> Instrument:
        """Instrument behind a contract; raises `UnknownContract`."""
        found = self._instruments.get(contract_id)
        if found is None:
            found = self.universe[self.facts.contract(contract_id).instrument_id]
            self._instruments[contract_id] = found
        return found

    def last_closing(self, contract_id: str, at: datetime) -> Closing | None:
        """Newest official close at a time, however old, restated for dividends and splits since; ``None`` without any."""
        venue = self.instrument(contract_id).venue
        session = self.facts.sessions.last_closed(venue, at)
        key = (contract_id, session.session_date, at.date())
        if key not in self._closings:
            found = self._search_closing(contract_id, venue, session.session_date)
            if found is None:
                found = self._closing_of_old_symbol(contract_id, venue, session.session_date, at.date())
            self._closings[key] = None if found is None else self._restated(contract_id, found, at.date())
        return self._closings[key]

    def _restated(self, contract_id: str, closing: Closing, day: date) -> Closing:
        price, passed = closing.price, closing.session_date
        while passed < day:
            passed += timedelta(days=1)
            for dividend in self.facts.dividends(passed):
                # What is owed from 00:00 of the ex-date is in the price no longer.
                if dividend.instrument_id == contract_id:
                    price -= dividend.amount * self.instrument(contract_id).price_magnifier
            for split in self.facts.splits(passed):
                if split.instrument_id == contract_id:
                    price = (price * split.old_shares / split.new_shares).quantize(_RESTATED)
        return replace(closing, price=price)

    def _closing_of_old_symbol(self, contract_id: str, venue: str, newest: date, day: date) -> Closing | None:
        """Close of the id under which a renamed share traded, until it has one of its own."""
        for back in range(RENAMED_DAYS):
            for change in self.facts.symbol_changes(day - timedelta(days=back)):
                if change.new_instrument_id == contract_id:
                    return self._search_closing(change.instrument_id, venue, newest)
        return None

    def _search_closing(self, contract_id: str, venue: str, newest: date) -> Closing | None:
        sessions = self.facts.sessions
        earlier = bisect_left(sessions.venues[venue], newest, key=lambda session: session.session_date)
        for session in sessions.venues[venue][earlier : max(0, earlier - CLOSES_SEARCHED) : -1]:
            price = self.facts.official_close(contract_id, session.session_date)
            if price is not None:
                return Closing(price=price, session_date=session.session_date)
        return None

    def required_closing(self, contract_id: str, at: datetime) -> Decimal:
        """Newest official close; raises `MissingMark` when there never was one."""
        closing = self.last_closing(contract_id, at)
        if closing is None:
            raise MissingMark(
                f"the simulated broker holds {contract_id} and expected an official close up to {at:%Y-%m-%d}, "
                "found none; the market data must cover what is traded"
            )
        return closing.price
