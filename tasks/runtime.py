"""The composition root of the trading side: everything a day needs, opened once and closed together.

Nothing here decides. A world is the configuration, the fund's database and the outside: in the simulated mode a market
(generated, or a store of recorded days) with exchange and broker in a file of their own, all on virtual time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import TypeVar

from config.policies import fund_policy
from config.settings import Configuration, load_configuration
from config.universe import VenueBook, effective_digest, load_venues, universe_of
from engine.composition.stages import DaySetup
from engine.errors import ConfigurationError
from engine.hedging.option_hedge import option_ranges
from engine.model.absence import AbsencePolicy
from engine.model.context import Mode, RunKind
from engine.model.encoding import canonical, decode, digest_bytes, encode
from engine.model.market import MarketInputs, OptionRange
from engine.model.policy import FundPolicy
from engine.model.universe import ContractBook, Universe
from engine.ports import OrderTransport
from engine.sessions import SessionTable
from engine.simulation.broker import AccountOpening, SimulatedBroker
from engine.simulation.facts import PanelFacts
from engine.simulation.panel import MarketPanel
from tasks.adapters.broker_outside import BrokerOutside
from tasks.adapters.calendars import session_table
from tasks.adapters.guarded_transport import GuardedTransport, ReadingTransport
from tasks.adapters.panel_world import PanelWorld
from tasks.adapters.simulated_account import account_path
from tasks.adapters.simulated_gateway.served import ServedMarket
from tasks.adapters.simulated_outside import SimulatedOutside
from tasks.adapters.store_world import past_begins
from tasks.arming import Wanted, require_armed
from tasks.broker_place import BrokerPlace, broker_place
from tasks.fund_book import FundBook
from tasks.options import (
    BROKER_MODES,
    WorldOptions,
    agreed_mode,
    broker_first,
    code_version,
    market_name,
    require_fault,
    require_market,
    require_past,
    simulated_first,
)
from tasks.outside import Listed, Outside
from tasks.served_past import served_by, told_first

SESSIONS_AHEAD = timedelta(days=400)
PANEL_AHEAD = timedelta(days=7)
DRY_RUN_FOLDER = "dry-run"
RECORDS_KEPT = 2
"""Decoded records that are kept: the inputs of a date's decision and of its close."""

Value = TypeVar("Value")
Observer = Callable[[str, str], None]


class World(FundBook):
    """Everything of one account, opened: its book, and the outside. Close it, or use `open_world`."""

    def __init__(self, options: WorldOptions) -> None:
        self.options = options
        self.configuration: Configuration = load_configuration(options.profile, options.overrides)
        require_fault(options.fault, Mode(self.configuration.settings.mode))
        configured = Mode.SIMULATED if options.behind_gateway else Mode(self.configuration.settings.mode)
        self.mode = agreed_mode(configured, options.mode)
        self.place = (
            broker_place(self.mode, self.configuration.settings) if self.mode in BROKER_MODES else None
        )
        self.universe: Universe = canonical(universe_of(self.configuration.settings))
        require_market(options, self.universe)
        require_past(options, self.place)
        is_dry = self.mode is Mode.DRY_RUN  # it has a copy of the book and pages of its own
        if is_dry:
            self.options = replace(options, home=options.home / DRY_RUN_FOLDER)
        self.config_digest = effective_digest(self.configuration.settings)
        account = (
            f"SIM-{options.profile}-{market_name(options)}" if self.place is None else self.place.account
        )
        super().__init__(self.options.home, account, options.home if is_dry else None)
        self.observer: Observer = lambda step, fact: None
        self._policies: dict[date, FundPolicy] = {}
        self._records: dict[int, tuple[object, bytes]] = {}
        self._recorded: dict[str, object] = {}
        self._outside: SimulatedOutside | BrokerOutside | None = None

    @cached_property
    def code_version(self) -> str:
        """Digest of the sources that are running."""
        return code_version()

    def policy(self, day: date) -> FundPolicy:
        """All policies that hold on a trade date, as their record gives them back."""
        if day not in self._policies:
            self._policies[day] = canonical(fund_policy(self.configuration.settings, day))
        return self._policies[day]

    def record_of(self, value: object) -> bytes:
        """Canonical bytes of a value that stays the same while the world is open, such as its instruments."""
        if id(value) not in self._records:  # the value is kept too, so its id names nothing else
            self._records[id(value)] = (value, encode(value))
        return self._records[id(value)][1]

    def recorded(self, kind: type[Value], payload: bytes) -> Value:
        """What a record gives back. The latest ones are kept: flow, executor and report of a day read the same."""
        key = digest_bytes(payload)
        known = self._recorded.get(key)
        if isinstance(known, kind):
            return known
        value = decode(kind, payload)
        self._recorded[key] = value
        while len(self._recorded) > RECORDS_KEPT:
            del self._recorded[next(iter(self._recorded))]
        return value

    @cached_property
    def venues(self) -> VenueBook:
        """Venues and the broker's maintenance windows."""
        return load_venues()

    @cached_property
    def contracts(self) -> ContractBook:
        """Every contract that the market lists or ever listed, options by their id."""
        return ContractBook(universe=self.universe, contracts=Listed(lambda: self.outside))

    def configuration_text(self) -> bytes:
        """The effective settings, for the audit trail and for replay."""
        return encode(self.configuration.settings.model_dump(mode="python", by_alias=True))

    @cached_property
    def world_first(self) -> date:
        """First date of the market's history."""
        if self.options.store is not None:
            return past_begins(self.options.store, self.universe, self.options.first)
        if self.place is not None:
            return broker_first(
                self.options.home, self.account, self.seed, lambda: told_first(self.served, self.seed)
            )
        return simulated_first(self.options)

    @cached_property
    def served(self) -> ServedMarket | None:
        """The market of the simulated gateway that the account is at, ``None`` where it is at none."""
        return served_by(self.place)

    @cached_property
    def seed(self) -> int:
        """Seed of the generated market, and of the simulated exchange."""
        if self.options.seed is None and self.options.store is None and self.served is not None:
            return self.served.seed
        return self.options.own_seed

    @cached_property
    def sessions(self) -> SessionTable:
        """Sessions of every venue around the run."""
        return session_table(
            self.world_first, self.options.last + SESSIONS_AHEAD, self.options.home / "cache"
        )

    @cached_property
    def past(self) -> PanelWorld:
        """The market of the options, over all days of the run and those before it."""
        return PanelWorld(
            store=self.options.store,
            seed=self.seed,
            first=self.world_first,
            last=self.options.last + PANEL_AHEAD,
            universe=self.universe,
            sessions=self.sessions,
            policy=self.policy(self.options.first),
        )

    @property
    def panel(self) -> MarketPanel:
        """Daily facts of that market; the exchange knows more of it than the fund may read."""
        return self.past.panel

    @property
    def facts(self) -> PanelFacts:
        """Its prices, as the simulated exchange knows them."""
        return self.past.facts

    @property
    def outside(self) -> Outside:
        """The account, the orders and the market, as the mode has them."""
        if self._outside is None:
            self._outside = self._simulated() if self.place is None else self._at_broker(self.place)
        return self._outside

    def _simulated(self) -> SimulatedOutside:
        opening = AccountOpening(
            account=self.account,
            deposit=self.policy(self.options.first).initial_capital,
            opened_at=day_start(self.options.first),
            seed=self.seed,
        )
        path = account_path(self.options.home, self.account)
        return SimulatedOutside(lambda: self.past, path, opening, self.client_id)

    def _at_broker(self, place: BrokerPlace) -> BrokerOutside:
        # The client library takes its time to import: only who asks a broker pays for it.
        from tasks.adapters.ibkr.line import LineWorld, broker_line
        from tasks.adapters.simulated_gateway.control_client import ControlLine

        if self.served is not None:  # before a past is drawn or a book is made
            self.served.require_past(self.seed, self.options.store)
            self.served.require_first(self.world_first)
        world = LineWorld(
            universe=self.universe,
            sessions=self.sessions,
            book=lambda: self.contracts,
            pins=self.options.home,
            broker_zone=self.venues.broker_zone,
            borrow_fee_bps_annual=self.policy(self.options.first).carry.borrow.default_fee_bps_annual,
        )
        venue = None if place.control_port is None else ControlLine(place.control_port)
        line = broker_line(place, self.configuration.settings, world, venue)
        name = f"account {place.account}"
        return BrokerOutside(line, lambda: self.past, name, self._guarded)

    def _guarded(self, line: OrderTransport) -> OrderTransport:
        """The line as the mode may use it: a dry run sends nothing, and real money needs leave with every order."""
        if self.mode is Mode.DRY_RUN:
            return ReadingTransport(line)
        return GuardedTransport(line, self.require_leave) if self.mode is Mode.LIVE else line

    def require_leave(self) -> None:
        """Raise `RefusedError` where real money would be traded without leave for it."""
        if self.mode is Mode.LIVE and self.place is not None:
            wanted = Wanted(home=self.options.home, place=self.place, code_version=self.code_version)
            require_armed(wanted, datetime.now(UTC))

    @property
    def broker(self) -> SimulatedBroker:
        """The account at the simulated broker; raises `ConfigurationError` where it is another's."""
        outside = self.outside
        if not isinstance(outside, SimulatedOutside):
            raise ConfigurationError(
                f"expected a simulated account, found {self.account} in mode {self.mode.value}: what only a simulated "
                "broker can do is not done to a real one"
            )
        return outside.broker

    @property
    def now(self) -> datetime:
        """Time at the broker, UTC."""
        return self.outside.now()

    @property
    def client_id(self) -> int:
        """Who the fund is to the broker: fixed, so that a new connection takes the place of an old one."""
        return self.configuration.settings.broker.client_id

    @property
    def absence(self) -> AbsencePolicy:
        """What a proof asks for that an order never reached the broker."""
        return AbsencePolicy(broker_zone=self.venues.broker_zone)

    def connect(self) -> OrderTransport:
        """The order connection to the broker."""
        return self.outside.connect()

    def inputs(
        self,
        day: date,
        as_of: datetime,
        held: Sequence[str],
        options: Mapping[str, OptionRange],
        given: Collection[str] = (),
    ) -> MarketInputs:
        """Market data known at a time; ``given`` are contracts whose price a person gave."""
        return self.outside.inputs(day, as_of, held, options, given)

    def wanted_options(self, day: date, kind: RunKind) -> Mapping[str, OptionRange]:
        """Options that a run may buy: a decision's protection; a close buys nothing."""
        return option_ranges(self.policy(day).tail, self.universe) if kind is RunKind.DECISION else {}

    def setup(self, day: date) -> DaySetup:
        """Instruments, policies and sessions of a trade date."""
        return DaySetup(universe=self.universe, policy=self.policy(day), sessions=self.sessions)

    def decision_time(self, day: date) -> datetime:
        """When the day is decided, UTC."""
        return _at(day, self.configuration.settings.fund.decision_time_utc)

    def close_time(self, day: date) -> datetime:
        """When the day is closed, UTC."""
        return _at(day, self.configuration.settings.fund.close_time_utc)

    def close(self) -> None:
        """Let go of files and connections."""
        if self._outside is not None:
            self._outside.close()
            self._outside = None
        self.close_book()


def day_start(day: date) -> datetime:
    """Midnight UTC that begins a date."""
    return datetime.combine(day, time(), tzinfo=UTC)


_shared: ContextVar[World | None] = ContextVar("shared_world", default=None)


@contextmanager
def open_world(options: WorldOptions) -> Iterator[World]:
    """The world of these options: the shared one inside `share`, else one of its own."""
    shared = _shared.get()
    if shared is not None and shared.options.profile == options.profile:
        yield shared
        return
    world = World(options)
    try:
        yield world
    finally:
        world.close()


@contextmanager
def share(world: World) -> Iterator[World]:
    """Let the flows of one command use one world instead of opening it three times."""
    token = _shared.set(world)
    try:
        yield world
    finally:
        _shared.reset(token)


def _at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=UTC)
