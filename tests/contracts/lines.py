"""Lines to a broker that keep one contract: in the process, over TCP to the gateway, and to a real paper account."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count, pairwise
from typing import NamedTuple, Protocol

import pytest

from engine.model.instruments import Contract
from engine.model.market import BorrowInfo, FxRates, MarketInputs, OptionQuote, OptionRange, Quote
from engine.model.orders import (
    ChildOrder,
    Fill,
    OpenOrder,
    OrderType,
    Side,
    TransportEvent,
    TransportEventKind,
    order_reference,
)
from engine.model.universe import ContractBook
from engine.ports import MarketFacts, OrderTransport
from engine.simulation.exchange import SimulatedTransport
from engine.simulation.interventions import change_execution
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.market_data import MarketDesk, MarketTerms
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.quote_quality import QuoteQualityConfig
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.simulated_market import PanelMarket
from tasks.gateway import scaled_clock
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, make_gateway, running, small_world
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.trading import CLIENT, open_desk

Kind = TransportEventKind
PAPER_VARIABLE = "FUND_PAPER_ACCOUNT"
ENDS = frozenset({Kind.CANCELLED, Kind.REJECTED, Kind.EXPIRED})
PAPER_CONTRACTS = ("AAPL", "CSPX", "EXV1")
"""Contracts of which a paper account trades one share, the first that has a live quote."""

_numbers = count(1)


class MarketReads(Protocol):
    """Market data of now, as a line to a broker gives them."""

    def quote(self, contract_id: str) -> Quote | None:
        """The live quote, ``None`` when there is none."""

    def quotes(self, contract_ids: Iterable[str]) -> Mapping[str, Quote]:
        """Live quotes of many contracts; those without one are absent."""

    def fx(self, as_of: datetime, currencies: Iterable[str]) -> FxRates:
        """Rates of currencies; one that nobody tells is missing."""

    def closes(self, contract_id: str, first: date, last: date) -> Mapping[date, Decimal]:
        """Closes of sessions that are over, oldest first."""

    def futures_chain(self, instrument_id: str) -> tuple[Contract, ...]:
        """A future's contracts that still trade, nearest first."""

    def option_chain(
        self, instrument_id: str, wanted: OptionRange, as_of: datetime
    ) -> tuple[OptionQuote, ...]:
        """Options of a line within a range, by expiry and strike."""

    def borrow(self, instrument_ids: Iterable[str]) -> Mapping[str, BorrowInfo]:
        """Shares that can be borrowed; a line of which nothing is told is absent."""


@dataclass(frozen=True)
class ExchangeMarket:
    """The same in the process: what the simulated exchange shows, and what the source of a decision's inputs knows."""

    facts: MarketFacts
    now: Callable[[], datetime]

    def quote(self, contract_id: str) -> Quote | None:
        return self.facts.quote(contract_id, self.now())

    def quotes(self, contract_ids: Iterable[str]) -> Mapping[str, Quote]:
        found = ((name, self.quote(name)) for name in contract_ids)
        return {name: quote for name, quote in found if quote is not None}

    def fx(self, as_of: datetime, currencies: Iterable[str]) -> FxRates:
        return self.facts.fx(self.now())

    def closes(self, contract_id: str, first: date, last: date) -> Mapping[date, Decimal]:
        venue, found = small_world()[0][contract_id.partition("_")[0]].venue, {}
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            session = self.facts.sessions.session(venue, day)
            price = None if session is None else self.facts.official_close(contract_id, day)
            if session is not None and session.close <= self.now() and price is not None:
                found[day] = price
        return found

    def futures_chain(self, instrument_id: str) -> tuple[Contract, ...]:
        return self._inputs({}).chains[instrument_id]

    def option_chain(
        self, instrument_id: str, wanted: OptionRange, as_of: datetime
    ) -> tuple[OptionQuote, ...]:
        return self._inputs({instrument_id: wanted}).option_chains[instrument_id]

    def borrow(self, instrument_ids: Iterable[str]) -> Mapping[str, BorrowInfo]:
        known = self._inputs({}).borrow
        return {name: known[name] for name in instrument_ids if name in known}

    def _inputs(self, options: Mapping[str, OptionRange]) -> MarketInputs:
        universe, sessions, facts = small_world()
        known = PanelMarket(facts.panel, universe, sessions, facts)
        return known.inputs(self.now().date(), self.now(), (), options)


class BrokerMarket(MarketDesk):
    """The broker's, with its bars as closes."""

    def closes(self, contract_id: str, first: date, last: date) -> Mapping[date, Decimal]:
        """Closes of its daily bars."""
        return {bar.session_date: bar.close for bar in self.daily_bars(contract_id, first, last)}


class Connection(NamedTuple):
    """What one connection gives."""

    transport: OrderTransport
    market: MarketReads


@dataclass
class Line:
    """One line. ``renew`` breaks it and gives the one after it.

    ``correct`` lets the broker correct an execution to a quantity and a price, where it is a simulated one.
    News that have to come are waited for ``patience`` seconds, those that must not come ``moment`` seconds. ``trades`` says whether a fill may be brought about: on a real account nothing is assumed about fills.
    """

    name: str
    connection: Connection
    book: ContractBook
    renew: Callable[[], Connection]
    trades: bool = True
    moment: float = 2.0
    patience: float = 10.0
    contract_id: str = "CSPX"
    distance: Decimal = Decimal("0.03")
    heard: list[TransportEvent] = field(default_factory=list)
    sent: list[ChildOrder] = field(default_factory=list)
    connections: list[int] = field(default_factory=lambda: [0])
    correct: Callable[[str, Decimal, Decimal], object] | None = None

    @property
    def transport(self) -> OrderTransport:
        """Where orders leave."""
        return self.connection.transport

    @property
    def market(self) -> MarketReads:
        """Where market data come from."""
        return self.connection.market

    def quote(self, contract_id: str | None = None) -> Quote:
        """The live quote, which has to be there."""
        found = self.transport.quote(contract_id or self.contract_id)
        assert found is not None, f"{self.name}: no live quote of {contract_id or self.contract_id}"
        return found

    def at_limit(self, limit: Decimal, **more: object) -> ChildOrder:
        """An order with a limit; a day order to buy one share of the line's own contract unless told otherwise."""
        key = f"contract {os.getpid()} {next(_numbers)}"
        given: dict[str, object] = {
            "order_ref": order_reference(f"{key} {self.transport.now()}", 1), "intent_id": key, "attempt": 1,
            "contract_id": self.contract_id, "side": Side.BUY, "quantity": Decimal(1), "order_type": OrderType.LIMIT,
            "limit_price": limit, "time_in_force": "DAY", "good_till": self.transport.now() + timedelta(minutes=20),
        }  # fmt: skip
        return ChildOrder(**{**given, **more})  # type: ignore[arg-type]

    def order(
        self, through: Decimal, *, side: Side = Side.BUY, quantity: int = 1, **more: object
    ) -> ChildOrder:
        """One whose limit goes ``through`` the touch by that fraction, or stays away from it where negative."""
        name = str(more.get("contract_id", self.contract_id))
        quote, instrument = self.quote(name), self.book.instrument(name)
        touch = quote.ask if side is Side.BUY else quote.bid
        assert touch is not None
        price = touch * (1 + through * side.sign)
        limit = instrument.floor_to_tick(price) if side is Side.BUY else instrument.ceil_to_tick(price)
        return self.at_limit(limit, side=side, quantity=Decimal(quantity), **more)

    def send(self, child: ChildOrder) -> ChildOrder:
        """Write it once."""
        self.transport.send(child)
        self.sent.append(child)
        return child

    def resting(self, **more: object) -> ChildOrder:
        """An order of one share far below the market, sent."""
        return self.send(self.order(-self.distance, **more))  # type: ignore[arg-type]

    def meeting(self, **more: object) -> ChildOrder:
        """An order that meets the market, sent."""
        return self.send(self.order(Decimal("0.01"), **more))  # type: ignore[arg-type]

    def listen(self, child: ChildOrder | None = None, *, until: frozenset[Kind] = frozenset()) -> None:
        """Hear for a moment, or patiently until something of these kinds was told of an order."""
        end = self.transport.now() + timedelta(seconds=self.patience if until else self.moment)
        while True:
            event = self.transport.next_event(end)
            if event is not None:
                self.heard.append(event)
                if child is not None and event.order_ref == child.order_ref and event.kind in until:
                    return
            elif self.transport.now() >= end:
                return

    def told(self, child: ChildOrder) -> list[TransportEvent]:
        """All that was heard of an order, without remarks and doubts."""
        apart = (Kind.NOTICE, Kind.VISIBILITY_LOST)
        return [
            event for event in self.heard if event.order_ref == child.order_ref and event.kind not in apart
        ]

    def kinds(self, child: ChildOrder) -> list[Kind]:
        """Kinds of the same."""
        return [event.kind for event in self.told(child)]

    def fills(self, child: ChildOrder) -> list[Fill]:
        """Executions of an order that were heard."""
        return [event.fill for event in self.told(child) if event.fill is not None]

    def acknowledged(self, child: ChildOrder) -> ChildOrder:
        """The same order, once the broker took it."""
        self.listen(child, until=frozenset({Kind.ACKNOWLEDGED}) | ENDS)
        assert self.kinds(child) == [Kind.ACKNOWLEDGED]
        return child

    def filled(self, child: ChildOrder) -> Fill:
        """The execution of an order that is filled at once."""
        self.listen(child, until=frozenset({Kind.FILL}) | ENDS)
        [fill] = self.fills(child)
        assert fill.quantity == child.quantity
        return fill

    def listed(self, child: ChildOrder) -> OpenOrder:
        """How the broker lists an order."""
        [found] = [row for row in self.transport.orders() if row.order_ref == child.order_ref]
        return found

    def lose(self) -> None:
        """Lose the line and have a new one; what it has to tell at once is heard."""
        before = self.transport
        self.connection = self.renew()
        if self.transport is not before:
            self.connections.append(len(self.heard))
        self.listen()

    def by_connection(self) -> list[list[TransportEvent]]:
        """All that was heard, apart for each object that was heard over: a new one does not know what the last one told."""
        return [self.heard[start:end] for start, end in pairwise([*self.connections, len(self.heard)])]

    def clear(self) -> None:
        """Cancel all that the suite sent and that still works, and see that nothing does."""
        refs = {child.order_ref for child in self.sent}
        for _ in range(10):
            working = [
                row for row in self.transport.orders() if row.order_ref in refs and not row.status.is_terminal
            ]
            if not working:
                return
            for row in working:
                self.transport.cancel(row.order_ref or "")
            self.listen()
        raise AssertionError(f"{self.name}: orders of the suite still work: {working}")


# ---------------------------------------------------------------- the lines


def book_of_the_world() -> ContractBook:
    """Every contract of the small generated world."""
    universe, _, world = small_world()
    listed: dict[str, Contract] = {
        row.contract_id: row for chain in world.panel.chains.values() for row in chain
    }
    return ContractBook(universe=universe, contracts=listed)


@contextmanager
def in_the_process(opened: datetime = OPENED) -> Iterator[Line]:
    """The simulated exchange without a wire."""
    gateway = make_gateway(opened=opened)
    broker = gateway.broker
    market = ExchangeMarket(gateway.facts, lambda: broker.now)

    def renew() -> Connection:
        broker.advance(broker.now + timedelta(seconds=2))
        return Connection(SimulatedTransport(broker, CLIENT), market)

    first = Connection(SimulatedTransport(broker, CLIENT), market)

    def correct(execution_id: str, quantity: Decimal, price: Decimal) -> None:
        change_execution(broker, "corrected", execution_id, quantity, price)
        broker.commit()

    yield Line("in the process", first, book_of_the_world(), renew, correct=correct)
    gateway.close()


@contextmanager
def over_the_wire(opened: datetime = OPENED) -> Iterator[Line]:
    """The adapter, over TCP to the gateway on virtual time."""
    with running(lambda: make_gateway(opened=opened)) as gateway:
        desk = open_desk(gateway, opened)
        market = market_desk(desk.session, desk.contracts, in_virtual_time=True)
        desk.transport._quotes = market.quote
        first = Connection(desk.transport, market)

        def renew() -> Connection:
            interrupted = desk.session.link().interrupted_at
            gateway.control.ask("drop")
            eventually(lambda: not desk.session.is_ready or desk.session.link().interrupted_at != interrupted)
            gateway.run_until(gateway.gateway.now + timedelta(seconds=2))
            eventually(lambda: desk.session.is_ready)
            return first

        def correct(execution_id: str, quantity: Decimal, price: Decimal) -> None:
            gateway.control.ask(
                "correct_execution", execution=execution_id, quantity=str(quantity), price=str(price)
            )

        try:
            yield Line("over the wire", first, book_of_the_world(), renew, correct=correct)
        finally:
            desk.session.close()


@contextmanager
def on_the_real_clock() -> Iterator[Line]:
    """The adapter, over TCP to a gateway whose time runs by itself: the way a real account is reached."""
    small_world()
    clock = scaled_clock(OPENED, 1.0)
    with running(lambda: make_gateway(clock=clock)) as gateway, ExitStack() as stack:
        policy = SessionPolicy(account=ACCOUNT, client_id=CLIENT, is_paper=True, port=gateway.port)
        renew = partial(connect, stack, policy, book_of_the_world(), clock)
        yield Line("on the real clock", renew(), book_of_the_world(), renew, moment=0.8)


@contextmanager
def to_a_paper_account() -> Iterator[Line]:
    """The adapter, to the account that the environment names; one share at a time, a tenth below the market."""
    named = os.environ.get(PAPER_VARIABLE)
    if not named:
        pytest.skip(f"no paper account is named ({PAPER_VARIABLE}=host:port:account)")
    book = ContractBook(universe=small_world()[0], contracts={})
    with ExitStack() as stack:
        renew = partial(connect, stack, paper_policy(named), book, None)
        first = renew()
        quoted = [name for name in PAPER_CONTRACTS if first.transport.quote(name) is not None]
        if not quoted:
            pytest.skip(f"{named} has no live quote of {', '.join(PAPER_CONTRACTS)} at this hour")
        yield Line(
            "to a paper account", first, book, renew, trades=False, moment=5.0, patience=30.0, contract_id=quoted[0],
            distance=Decimal("0.1"),
        )  # fmt: skip


def paper_policy(named: str) -> SessionPolicy:
    """Where ``host:port:account`` is; raises `ConfigurationError` for an account that is no paper account."""
    host, port, account = named.rsplit(":", 2)
    return SessionPolicy(account=account, client_id=CLIENT, is_paper=True, host=host, port=int(port))


def connect(
    stack: ExitStack, policy: SessionPolicy, book: ContractBook, clock: Callable[[], datetime] | None
) -> Connection:
    """A new connection in place of the one that the stack holds."""
    stack.pop_all().close()
    session = IbkrSession(policy, now=clock)
    stack.callback(session.close)
    session.connect()
    contracts = ContractDesk(session, lambda: book, {})
    market = market_desk(session, contracts, in_virtual_time=False)
    return Connection(IbkrTransport(session, contracts, market.quote), market)


def market_desk(session: IbkrSession, contracts: ContractDesk, *, in_virtual_time: bool) -> BrokerMarket:
    """Market data over a session."""
    quality = QuoteQualityConfig()
    terms = MarketTerms(
        quality=quality.in_virtual_time() if in_virtual_time else quality,
        borrow_fee_bps_annual=Decimal(150),
        generic_seconds=1.0,
    )
    return BrokerMarket(session, contracts, *small_world()[:2], terms)


SIMULATED: dict[str, Callable[[datetime], AbstractContextManager[Line]]] = {
    "in the process": in_the_process,
    "over the wire": over_the_wire,
}
"""Lines whose time is ours to set."""

EVERY: dict[str, Callable[[], AbstractContextManager[Line]]] = {
    **SIMULATED,
    "on the real clock": on_the_real_clock,
    "to a paper account": to_a_paper_account,
}
