"""The desk over TCP to the simulated gateway, in virtual time: what it says is what the market shows, or why nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from engine.model.market import Quote, Source
from tasks.adapters.ibkr.market_data import MarketDesk, MarketTerms
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.quote_quality import QuoteFault, QuoteQualityConfig
from tasks.adapters.ibkr.session import IbkrSession
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, make_gateway, running, small_world
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.market_gateway import contract_desk
from tests.tasks.adapters.ibkr.trading import Desk, trading

TRADED = ("CSPX", "IUKD", "CS51", "EUR.USD", "BT.A")
"""A fund in dollars, one in pence, one in euros, a pair of currencies, and a share in pence with a half penny tick."""


@dataclass
class Rig:
    line: Desk
    desk: MarketDesk

    def advance(self, seconds: float) -> None:
        """Virtual time passes, and all that it brings is heard."""
        self.line.events(seconds)

    def shown(self, name: str) -> Quote:
        return self.line.quote(name)

    def trouble(self, kind: str | None = None, **given: object) -> None:
        asked = given if kind is None else {"kind": kind, **given}
        self.line.gateway.control.ask("market_data", **asked)

    def fault(self, name: str = "CSPX") -> QuoteFault:
        assert self.desk.quote(name) is None
        return self.desk.refused[name].fault


@pytest.fixture(scope="module")
def world() -> Iterator[Rig]:
    with trading() as line:
        terms = MarketTerms(
            quality=QuoteQualityConfig(answer_seconds=1.5).in_virtual_time(),
            borrow_fee_bps_annual=Decimal(150),
            generic_seconds=1.5,
        )
        yield Rig(line, MarketDesk(line.session, line.contracts, *small_world()[:2], terms))


@pytest.fixture
def rig(world: Rig) -> Iterator[Rig]:
    yield world
    world.desk.watch([])
    world.trouble()


@pytest.mark.parametrize("name", TRADED)
def test_quote_is_what_the_exchange_shows_to_the_last_digit(rig: Rig, name: str) -> None:
    quote, shown = rig.desk.quote(name), rig.shown(name)
    assert quote is not None
    assert (quote.bid, quote.ask, quote.bid_size, quote.ask_size) == (
        shown.bid, shown.ask, shown.bid_size, shown.ask_size,
    )  # fmt: skip
    assert (quote.source, quote.observed_at) == (Source.IBKR, rig.line.transport.now())


def test_quote_follows_the_clock_of_the_venue(rig: Rig) -> None:
    rig.desk.watch(["CSPX"])
    told = []
    for _ in range(4):
        rig.advance(900)
        quote, shown = rig.desk.quote("CSPX"), rig.shown("CSPX")
        assert quote is not None
        assert (quote.bid, quote.ask) == (shown.bid, shown.ask)
        told.append((quote.bid, quote.ask))
    assert len(set(told)) > 1, "the market moved"


def test_all_lines_that_trade_are_quoted_at_once(rig: Rig) -> None:
    universe, _, world = small_world()
    names = [row.instrument_id for row in universe if not row.is_future and not row.is_option]
    names += [chain[0].contract_id for name, chain in world.panel.chains.items() if universe[name].is_future]
    found = rig.desk.quotes(names)
    facts, now = rig.line.gateway.gateway.facts, rig.line.transport.now()
    shown = {name: facts.quote(name, now) for name in names}
    trading_now = {name for name, quote in shown.items() if quote is not None}
    assert set(found) == trading_now
    assert len(found) > 40
    assert {name: (quote.bid, quote.ask) for name, quote in found.items()} == {
        name: (quote.bid, quote.ask) for name, quote in shown.items() if quote is not None
    }


@pytest.mark.parametrize(
    ("kind", "given", "fault"),
    [
        ("none", {}, QuoteFault.NO_PERMISSION),
        ("delayed", {}, QuoteFault.NO_PERMISSION),
        ("frozen", {}, QuoteFault.FROZEN),
        ("competing", {}, QuoteFault.COMPETING_SESSION),
        ("crossed", {}, QuoteFault.CROSSED),
        ("one_sided", {"missing": "bid"}, QuoteFault.ONE_SIDED),
        ("one_sided", {"missing": "ask"}, QuoteFault.ONE_SIDED),
        ("silent", {}, QuoteFault.SILENT),
        (None, {"code": 200, "text": "No security definition"}, QuoteFault.UNKNOWN_CONTRACT),
        (None, {"code": 10168, "text": "not enabled"}, QuoteFault.NO_PERMISSION),
    ],
)  # fmt: skip
def test_fault_of_market_data_is_no_quote_and_passes_with_it(
    rig: Rig, kind: str | None, given: dict[str, object], fault: QuoteFault
) -> None:
    rig.trouble(kind, **given)
    assert rig.fault() is fault
    rig.trouble()
    assert rig.desk.quote("CSPX") is not None
    assert "CSPX" not in rig.desk.refused


def test_trouble_of_one_contract_spares_the_others(rig: Rig) -> None:
    rig.trouble("none", contract="CSPX")
    assert set(rig.desk.quotes(TRADED)) == set(TRADED) - {"CSPX"}


def test_second_session_takes_the_data_and_gives_them_back(rig: Rig) -> None:
    rig.line.gateway.control.ask("second_session", on=True)
    assert rig.fault() is QuoteFault.COMPETING_SESSION
    rig.line.gateway.control.ask("second_session", on=False)
    assert rig.desk.quote("CSPX") is not None


def test_held_line_loses_its_prices_with_its_permission(rig: Rig) -> None:
    rig.desk.watch(["CSPX"])
    eventually(lambda: rig.desk._lines.of_held("CSPX", lambda line: line.has_sides))
    rig.trouble("competing")
    eventually(lambda: rig.desk._lines.of_held("CSPX", lambda line: line.code == 10197))
    assert rig.fault() is QuoteFault.COMPETING_SESSION


def test_lost_subscriptions_are_held_again_after_1101(rig: Rig) -> None:
    rig.desk.watch(["CSPX"])
    eventually(lambda: rig.desk._lines.of_held("CSPX", lambda line: line.has_sides))
    rig.line.gateway.control.ask("system", code=1100)
    eventually(lambda: not rig.line.session.is_ready)
    assert rig.fault() is QuoteFault.NO_CONNECTION
    rig.line.gateway.control.ask("system", code=1101)
    eventually(lambda: rig.line.session.is_ready)
    eventually(lambda: rig.desk._lines.of_held("CSPX", lambda line: line.has_sides))
    quote, shown = rig.desk.quote("CSPX"), rig.shown("CSPX")
    assert quote is not None
    assert quote.bid == shown.bid


def test_every_request_of_market_data_is_ended(rig: Rig) -> None:
    rig.desk.quotes(TRADED)
    rig.desk.watch(["CSPX", "IUKD"])
    rig.desk.watch(["IUKD"])
    rig.advance(1)
    sessions = rig.line.gateway.gateway.sessions.values()
    assert sum(len(session.streams) for session in sessions) == 1


def test_rates_are_those_of_the_exchange(rig: Rig) -> None:
    at = rig.line.transport.now()
    found, shown = rig.desk.fx(at, ["EUR", "GBP", "CHF"]), rig.line.gateway.gateway.facts.fx(at)
    for currency in ("EUR", "GBP", "CHF"):
        ours, theirs = found.get_rate(currency, "USD"), shown.get_rate(currency, "USD")
        assert abs(ours / theirs - 1) < Decimal("0.0002"), "half a spread and a tick"


def test_order_is_priced_by_the_desk_and_filled_by_the_exchange(rig: Rig) -> None:
    transport = IbkrTransport(
        rig.line.session, rig.line.contracts, rig.desk.quote, clock=rig.line.transport._clock
    )
    quote = transport.quote("CSPX")
    assert quote is not None
    assert quote.ask is not None
    child = rig.line.child(limit_price=quote.ask)
    transport.send(child)
    until, filled = transport.now() + timedelta(seconds=5), Decimal(0)
    while (event := transport.next_event(until)) is not None:
        if event.fill is not None:
            filled += event.fill.quantity
            assert event.fill.price <= quote.ask
    assert filled == child.quantity


def test_margin_of_an_order_is_told_and_nothing_is_placed(rig: Rig) -> None:
    before = rig.line.ledger()
    found = rig.desk.margin(rig.line.resting())
    assert found.initial > 0
    assert found.maintenance > 0
    assert found.commission > 0
    assert found.commission_currency == "USD"
    assert rig.line.ledger() == before


def test_held_line_follows_a_running_clock_and_a_frozen_gateway_has_no_quote() -> None:
    small_world()
    started, pace = (
        time.monotonic(),
        20,
    )  # seconds of the venue in one of ours: quotes are made anew each 0.25 s

    def clock() -> datetime:
        return OPENED + timedelta(seconds=pace * (time.monotonic() - started))

    with running(lambda: make_gateway(clock=clock)) as gateway:
        policy = SessionPolicy(
            account=ACCOUNT, client_id=7, is_paper=True, port=gateway.port, heartbeat_seconds=None, reconnect_delays=(0.02,)
        )  # fmt: skip
        session = IbkrSession(policy, now=clock)
        try:
            session.connect()
            # 30 s of the venue are 1.5 s of ours: as long as a busy machine may let a tick wait.
            quality = QuoteQualityConfig(answer_seconds=0.3, max_age_seconds=30)
            terms = MarketTerms(quality=quality, borrow_fee_bps_annual=Decimal(150))
            desk = MarketDesk(session, contract_desk(session), *small_world()[:2], terms)
            desk.watch(["EUR.USD"])
            seen = set[Decimal | None]()

            def quoted() -> int:
                quote = desk.quote("EUR.USD")
                if quote is not None:
                    seen.add(quote.bid)
                return len(seen)

            eventually(lambda: quoted() >= 2, seconds=10)
            gateway.control.ask("freeze")
            eventually(lambda: desk.quote("EUR.USD") is None, seconds=10)
            assert desk.refused["EUR.USD"].fault is QuoteFault.SILENT
            gateway.control.ask("thaw")
            eventually(lambda: desk.quote("EUR.USD") is not None, seconds=10)
        finally:
            session.close()
