"""The fund's own reading of a market panel: decisions' inputs point in time, and what each calendar day brought.

The simulated broker reads the same facts through the exchange; the two sides share prices, never computations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.accounting.restated import restated_close
from engine.carry.calendar import DayFacts
from engine.model.instruments import Contract
from engine.model.market import MarketInputs, OptionRange
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.facts import PanelFacts
from engine.simulation.panel import MarketPanel
from engine.simulation.panel_index import actions_by_instrument
from engine.simulation.pointintime import PointInTimeMarket

SEARCHED_DAYS = 600
"""Calendar days searched backwards for a last close: a longer silence is no price."""


class PanelMarket:
    """Market data of the simulated modes; implements `MarketDataSource`."""

    def __init__(
        self, panel: MarketPanel, universe: Universe, sessions: SessionTable, facts: PanelFacts
    ) -> None:
        self._point_in_time = PointInTimeMarket(panel=panel, universe=universe, sessions=sessions)
        self._universe, self._sessions, self._facts = universe, sessions, facts
        self._actions = actions_by_instrument(panel)

    def inputs(
        self, trade_date: date, as_of: datetime, held: Sequence[str], options: Mapping[str, OptionRange]
    ) -> MarketInputs:
        """All that was known at ``as_of``."""
        return self._point_in_time.inputs(trade_date, as_of, held, options)

    def restated(self, contract_id: str, price: Decimal, closed: date, counted: date) -> Decimal:
        """A close of a session per share as counted from 00:00 of another date."""
        actions = self._actions.get(contract_id, ())
        if not actions:
            return price
        instrument = self._universe[self._facts.contract(contract_id).instrument_id]
        return restated_close(price, instrument, closed, counted, actions)

    def contract(self, contract_id: str) -> Contract:
        """Contract of an id; raises `UnknownContract`."""
        return self._facts.contract(contract_id)

    def day_facts(self, day: date, held: Iterable[str]) -> DayFacts:
        """Closes, dividends, splits and borrow fees of one calendar day, for the contracts held."""
        contracts = {name: self._facts.contract(name) for name in held}
        closes, last = {}, {}
        for name, contract in contracts.items():
            instrument = self._universe[contract.instrument_id]
            if self._sessions.is_session(instrument.venue, day):
                price = self._facts.official_close(name, day)
                if price is not None:
                    closes[name] = price
            known = self._last_close(name, contract, day, day)
            if known is not None:
                last[name] = known
        return DayFacts(
            day=day,
            closes=closes,
            last_closes=last,
            dividends=self._facts.dividends(day),
            splits=self._facts.splits(day),
            borrow_fee_bps={
                contract.instrument_id: self._facts.borrow_fee_bps(contract.instrument_id, day)
                for contract in contracts.values()
            },
            symbol_changes=self._facts.symbol_changes(day),
            morning_prices=self._morning_prices(day, contracts),
        )

    def _morning_prices(self, day: date, held: Mapping[str, Contract]) -> dict[str, Decimal]:
        """Closes of before the day of held shares that split or change their symbol on it, per share of the day."""
        changed = {row.instrument_id for row in self._facts.symbol_changes(day)}
        changed |= {row.instrument_id for row in self._facts.splits(day)}
        prices = {}
        for name in sorted(changed & set(held)):
            price = self._last_close(name, held[name], day - timedelta(days=1), day)
            if price is not None:
                prices[name] = price
        return prices

    def _last_close(self, name: str, contract: Contract, until: date, counted: date) -> Decimal | None:
        """Newest close up to a day, per share as counted from 00:00 of another."""
        instrument = self._universe[contract.instrument_id]
        for back in range(SEARCHED_DAYS):
            day = until - timedelta(days=back)
            if day < self._sessions.first:
                return None
            if self._sessions.is_session(instrument.venue, day):
                price = self._facts.official_close(name, day)
                if price is not None:
                    return self.restated(name, price, day, counted)
        return None
