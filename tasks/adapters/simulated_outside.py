"""The outside of the simulated mode: a market of panels, the exchange and the broker that live in their own file.

All of it on virtual time, which moves with the orders and with `advance`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from engine.carry.calendar import DayFacts
from engine.model.instruments import Contract
from engine.model.market import MarketInputs, OptionRange, Quote, Split
from engine.model.portfolio import BrokerSnapshot
from engine.simulation.broker import AccountOpening, SimulatedBroker
from engine.simulation.exchange import SimulatedTransport
from engine.simulation.faults import FaultedMarketData, active_faults, clear, inject
from engine.simulation.terms import BrokerTerms
from tasks.adapters.panel_world import PanelWorld
from tasks.adapters.simulated_account import account_time, copy_account, open_account
from tasks.adapters.simulated_market import PanelMarket
from tasks.outside import MarketLabel

NOTES_SHOWN = 8
DRAWN_PATHS = (
    "the store records one price a day: the exchange traded on a generated path from the day before to that price, "
    "through open, high and low where they are recorded, with generated spreads and depth; the decision saw none of it"
)
"""How a day of a store was traded: its fills are as real as this path."""


class SimulatedOutside:
    """An `Outside`. ``world`` opens the market when it is asked first; ``path`` is the account's file."""

    def __init__(
        self, world: Callable[[], PanelWorld], path: Path, opening: AccountOpening, client_id: int
    ) -> None:
        self._world, self._path, self._opening, self._client_id = world, path, opening, client_id
        self._broker: SimulatedBroker | None = None

    @property
    def broker(self) -> SimulatedBroker:
        """The account at the simulated broker."""
        if self._broker is None:
            world = self._world()
            terms = BrokerTerms(
                facts=world.facts,
                universe=world.universe,
                costs=world.policy.costs,
                carry=world.policy.carry,
            )
            self._broker = open_account(self._path, terms, self._opening)
        return self._broker

    @property
    def label(self) -> MarketLabel:
        """The panel's name and notes, and how a store's days were traded."""
        panel = self._world().panel
        drawn = () if panel.generated else (DRAWN_PATHS,)
        notes = (*panel.notes[:NOTES_SHOWN], *drawn)
        return MarketLabel(name=panel.name, generated=panel.generated, notes=notes)

    def check(self) -> None:
        """Raise what is wrong with a store."""
        _ = self._world().panel

    def lived_until(self) -> datetime | None:
        """Virtual time of the account's file, ``None`` without one."""
        return account_time(self._path)

    def now(self) -> datetime:
        """Virtual time, UTC."""
        return self.broker.now

    def advance(self, until: datetime) -> datetime:
        """Let the exchange live until a moment."""
        if self.broker.now < until:
            self.broker.advance(until)
        return self.broker.now

    def snapshot(self, as_of: datetime) -> BrokerSnapshot:
        """The account now."""
        return self.broker.snapshot(as_of)

    def connect(self) -> SimulatedTransport:
        """A new connection for orders."""
        return SimulatedTransport(self.broker, self._client_id)

    def alarms(self) -> tuple[str, ...]:
        """None: there is no line that could be lost."""
        return ()

    def alarm_kept(self) -> None:
        """There is none to let go of."""

    def inputs(
        self,
        day: date,
        as_of: datetime,
        held: Sequence[str],
        options: Mapping[str, OptionRange],
        given: Collection[str] = (),
    ) -> MarketInputs:
        """Market data known at a time, through the faults that the world has now."""
        return _Faulted(self._world().market, self.broker).inputs(day, as_of, held, options, given)

    def rehearsal(self, *, faults_over: bool) -> _Faulted:
        """A copy of the account, to be asked and thrown away."""
        broker = copy_account(self._path, self.broker.terms)
        if faults_over:
            _end(broker)
        return _Faulted(self._world().market, broker)

    def contract(self, contract_id: str) -> Contract:
        """Contract of an id; raises `UnknownContract`."""
        return self._world().facts.contract(contract_id)

    def quote(self, contract_id: str, at: datetime) -> Quote | None:
        """Quote of the exchange at a time."""
        return self._world().facts.quote(contract_id, at)

    def splits(self, day: date) -> tuple[Split, ...]:
        """Splits whose ex-date is this date."""
        return self._world().facts.splits(day)

    def day_facts(self, day: date, held: Iterable[str]) -> DayFacts:
        """What a calendar day brought."""
        return self._world().market.day_facts(day, held)

    def strike(self, fault: str) -> None:
        """Put a fault into the world, once per virtual day."""
        inject(self.broker, fault)

    def faults(self) -> tuple[str, ...]:
        """Faults that the broker or its data have now."""
        return active_faults(self.broker)

    def end_faults(self) -> None:
        """End them."""
        _end(self.broker)

    def close(self) -> None:
        """Let go of the account's file."""
        if self._broker is not None:
            self._broker.close()
            self._broker = None


class _Faulted:
    """An account and the market as its faults let it be read."""

    def __init__(self, market: PanelMarket, broker: SimulatedBroker) -> None:
        self._market, self._broker = market, broker

    def now(self) -> datetime:
        """Virtual time, UTC."""
        return self._broker.now

    def snapshot(self, as_of: datetime) -> BrokerSnapshot:
        """The account now."""
        return self._broker.snapshot(as_of)

    def inputs(
        self,
        day: date,
        as_of: datetime,
        held: Sequence[str],
        options: Mapping[str, OptionRange],
        given: Collection[str] = (),
    ) -> MarketInputs:
        """Market data known at a time."""
        return FaultedMarketData(self._market, self._broker, given).inputs(day, as_of, held, options)


def _end(broker: SimulatedBroker) -> None:
    for name in active_faults(broker):
        clear(broker, name)
