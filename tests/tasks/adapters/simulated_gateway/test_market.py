"""Quotes over TCP with the real client: live, frozen, delayed, refused, broken on purpose."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from ib_insync import IB, Contract, Forex, Future, Stock, Ticker
from ib_insync.wrapper import RequestError

from engine.model.market import Quote
from tests.tasks.adapters.gateways import (
    OPENED,
    RunningGateway,
    connected,
    library_loop,
    make_gateway,
    running,
    settle,
)
from tests.tasks.adapters.simulated_gateway.test_gateway import errors

FIVE_SECONDS = 5
NIGHT = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
"""London and Frankfurt are closed; the session before ended on 19 November at 16:30."""


@pytest.fixture
def gateway() -> Iterator[RunningGateway]:
    with library_loop(), running() as found:
        yield found


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[IB]:
    made = connected(gateway)
    yield made
    made.disconnect()


CSPX = Stock("CSPX", "SMART", "USD", primaryExchange="LSEETF")
PENCE = Stock("IUKD", "SMART", "GBP", primaryExchange="LSEETF")
ES = Future("ES", "202612", "CME")


def named(client: IB, contract: Contract) -> Contract:
    [found] = client.qualifyContracts(contract)
    return found


def truth(gateway: RunningGateway, contract_id: str, at: datetime | None = None) -> Quote:
    """What the exchange shows."""
    quote = gateway.gateway.facts.quote(contract_id, at or gateway.gateway.now)
    assert quote is not None
    return quote


def stream(client: IB, contract: Contract, generic: str = "") -> Ticker:
    """A subscription with its first ticks."""
    ticker = client.reqMktData(named(client, contract), generic)
    client.reqCurrentTime()
    return ticker


def snapshot(client: IB, contract: Contract) -> Ticker:
    [ticker] = client.reqTickers(named(client, contract))
    return ticker


def exact(shown: float) -> Decimal:
    """The number that a text of the wire stood for."""
    return Decimal(repr(shown))


def sides(ticker: Ticker) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    return exact(ticker.bid), exact(ticker.bidSize), exact(ticker.ask), exact(ticker.askSize)


# ---------------------------------------------------------------- live quotes


@pytest.mark.parametrize(
    ("contract", "contract_id"),
    [(CSPX, "CSPX"), (PENCE, "IUKD"), (ES, "ES_20261218"), (Forex("EURUSD"), "EUR.USD")],
    ids=["fund", "pence", "future", "currency"],
)
def test_stream_shows_exactly_what_the_exchange_quotes(
    client: IB, gateway: RunningGateway, contract: Contract, contract_id: str
) -> None:
    ticker, quote = stream(client, contract), truth(gateway, contract_id)
    assert sides(ticker) == (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
    assert ticker.marketDataType == 1
    assert exact(ticker.close) == quote.close
    assert math.isnan(ticker.last) == (contract_id == "EUR.USD")


def test_stream_follows_the_exchange_and_ends_with_its_cancel(client: IB, gateway: RunningGateway) -> None:
    ticker = stream(client, CSPX)
    for _ in range(3):
        settle(client, gateway, FIVE_SECONDS)
        quote = truth(gateway, "CSPX")
        assert sides(ticker) == (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
    client.cancelMktData(ticker.contract)
    before = sides(ticker)
    settle(client, gateway, 3600)
    assert sides(ticker) == before != sides(snapshot(client, CSPX))


def test_day_so_far_lies_around_the_quote_and_has_traded_its_share_of_a_usual_day(
    client: IB, gateway: RunningGateway
) -> None:
    ticker = stream(client, CSPX)
    assert ticker.low <= ticker.open <= ticker.high
    assert ticker.low <= ticker.last <= ticker.high
    usual = gateway.gateway.world.market.tape.published(gateway.gateway.facts, OPENED)  # type: ignore[union-attr]
    # 14:40 of a session from 8:00 to 16:30: 400 of its 510 minutes.
    expected = (usual.average_daily_volume["CSPX"] * 400 / 510).to_integral_value()
    assert exact(ticker.volume) == expected


def test_snapshot_shows_the_same_and_ends(client: IB, gateway: RunningGateway) -> None:
    quote = truth(gateway, "CSPX")
    assert sides(snapshot(client, CSPX)) == (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
    session = gateway.gateway.sessions[1]
    assert session.streams == {}


def test_closed_market_shows_no_price_and_pence_lines_a_hundred_times_that() -> None:
    with library_loop(), running(lambda: make_gateway(opened=NIGHT)) as gateway:
        client = connected(gateway)
        fund, pence = stream(client, CSPX), stream(client, PENCE)
        assert sides(fund) == (-1, 0, -1, 0)
        assert sides(pence) == (-100, 0, -100, 0)
        close = gateway.gateway.facts.official_close("CSPX", datetime(2026, 11, 19, tzinfo=UTC).date())
        assert exact(fund.close) == close == exact(fund.last)
        client.disconnect()


@pytest.mark.parametrize("wanted", [2, 4])
def test_frozen_data_of_a_closed_market_are_its_last_quote_and_say_so(wanted: int) -> None:
    with library_loop(), running(lambda: make_gateway(opened=NIGHT)) as gateway:
        client = connected(gateway)
        client.reqMarketDataType(wanted)
        ticker = stream(client, CSPX)
        quote = truth(gateway, "CSPX", datetime(2026, 11, 19, 16, 29, 55, tzinfo=UTC))
        assert ticker.marketDataType == 2
        assert sides(ticker) == (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
        client.disconnect()


@pytest.mark.parametrize("wanted", [1, 2, 3, 4])
def test_open_market_is_live_whatever_type_is_wanted(client: IB, wanted: int) -> None:
    client.reqMarketDataType(wanted)
    assert stream(client, CSPX).marketDataType == 1


@pytest.mark.parametrize(("pence_ticks", "tick"), [(True, "0.0001"), (False, "0.000001")])
def test_smallest_tick_of_a_pence_line_is_told_in_the_unit_that_is_switched_on(
    pence_ticks: bool, tick: str
) -> None:
    with library_loop(), running(lambda: make_gateway(pence_ticks=pence_ticks)) as gateway:
        client = connected(gateway)
        ticker, quote = stream(client, PENCE), truth(gateway, "IUKD")
        assert exact(ticker.minTick) == Decimal(tick)
        assert exact(ticker.bid) == quote.bid
        client.disconnect()


# ---------------------------------------------------------------- faults


def test_line_without_any_permission_is_refused_and_shows_nothing(
    client: IB, gateway: RunningGateway
) -> None:
    gateway.control.ask("market_data", kind="none", contract="CSPX")
    heard = errors(client)
    ticker = stream(client, CSPX)
    assert [code for _, code in heard] == [354]
    assert math.isnan(ticker.bid)
    assert not math.isnan(stream(client, PENCE).bid)
    with pytest.raises(RequestError) as refused:
        snapshot(client, CSPX)
    assert refused.value.code == 354


@pytest.mark.parametrize(("wanted", "code"), [(1, 354), (2, 354), (3, 10167), (4, 10167)])
def test_delayed_line_is_refused_live_and_comes_a_quarter_of_an_hour_late(
    client: IB, gateway: RunningGateway, wanted: int, code: int
) -> None:
    gateway.control.ask("market_data", kind="delayed")
    heard = errors(client)
    client.reqMarketDataType(wanted)
    ticker = stream(client, CSPX)
    assert [told for _, told in heard] == [code]
    if code == 354:
        assert math.isnan(ticker.bid)
        return
    late = truth(gateway, "CSPX", OPENED - timedelta(minutes=15))
    assert ticker.marketDataType == 3
    assert sides(ticker) == (late.bid, late.bid_size, late.ask, late.ask_size)


def test_competing_session_leaves_the_old_prices_in_place_until_it_ends(
    client: IB, gateway: RunningGateway
) -> None:
    ticker, heard = stream(client, CSPX), errors(client)
    number = next(iter(gateway.gateway.sessions[1].streams))
    before = sides(ticker)
    gateway.control.ask("second_session")
    settle(client, gateway, 600)
    assert heard == [(-1, 10197), (number, 10197)]
    assert sides(ticker) == before
    gateway.control.ask("second_session", on=False)
    client.reqCurrentTime()
    quote = truth(gateway, "CSPX")
    assert sides(ticker) == (quote.bid, quote.bid_size, quote.ask, quote.ask_size) != before


def test_stale_line_stays_where_it_was_while_the_others_go_on(client: IB, gateway: RunningGateway) -> None:
    stale, other = stream(client, CSPX), stream(client, PENCE)
    gateway.control.ask("market_data", kind="stale", contract="CSPX")
    before = sides(stale), sides(other)
    settle(client, gateway, 600)
    assert sides(stale) == before[0]
    assert sides(other) != before[1]
    again = snapshot(client, CSPX)
    assert sides(again) == before[0]


def test_frozen_line_says_that_it_is_frozen_though_its_market_trades(
    client: IB, gateway: RunningGateway
) -> None:
    gateway.control.ask("market_data", kind="frozen", contract="CSPX")
    ticker = stream(client, CSPX)
    quote = truth(gateway, "CSPX", datetime(2026, 11, 19, 16, 29, 55, tzinfo=UTC))
    assert ticker.marketDataType == 2
    assert sides(ticker) == (quote.bid, quote.bid_size, quote.ask, quote.ask_size)


def test_crossed_line_has_its_bid_above_its_ask(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("market_data", kind="crossed")
    ticker, quote = stream(client, CSPX), truth(gateway, "CSPX")
    assert (exact(ticker.bid), exact(ticker.ask)) == (quote.ask, quote.bid)


@pytest.mark.parametrize("missing", ["bid", "ask"])
def test_one_sided_line_lacks_one_side(client: IB, gateway: RunningGateway, missing: str) -> None:
    gateway.control.ask("market_data", kind="one_sided", missing=missing)
    ticker, quote = stream(client, CSPX), truth(gateway, "CSPX")
    expected = {"bid": (-1, 0, quote.ask, quote.ask_size), "ask": (quote.bid, quote.bid_size, -1, 0)}
    assert sides(ticker) == expected[missing]


def test_silent_line_is_never_answered(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("market_data", kind="silent", contract="CSPX")
    assert math.isnan(stream(client, CSPX).bid)
    gateway.control.ask("market_data")
    client.reqCurrentTime()
    assert exact(client.ticker(client.tickers()[0].contract).bid) == truth(gateway, "CSPX").bid


def test_every_request_is_answered_by_a_code_while_one_is_set(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("market_data", code=10090)
    with pytest.raises(RequestError) as refused:
        snapshot(client, CSPX)
    assert refused.value.code == 10090


def test_restored_line_with_data_lost_forgets_streams_and_with_data_kept_goes_on(
    client: IB, gateway: RunningGateway
) -> None:
    ticker = stream(client, CSPX)
    gateway.control.ask("system", code=1100)
    before = sides(ticker)
    settle(client, gateway, 600)
    assert sides(ticker) == before
    gateway.control.ask("system", code=1102)
    settle(client, gateway, FIVE_SECONDS)
    kept = sides(ticker)
    assert kept != before
    gateway.control.ask("system", code=1101)
    settle(client, gateway, 600)
    assert sides(ticker) == kept


def test_line_that_is_asked_for_while_the_broker_is_away_comes_when_it_is_back(
    client: IB, gateway: RunningGateway
) -> None:
    contract = named(client, CSPX)
    gateway.control.ask("system", code=1100)
    ticker = client.reqMktData(contract)
    settle(client, gateway, 60)
    assert math.isnan(ticker.bid)
    gateway.control.ask("system", code=1102)
    settle(client, gateway, FIVE_SECONDS)
    assert exact(ticker.bid) == truth(gateway, "CSPX").bid


def test_scripted_side_that_is_missing_is_told_as_no_price(client: IB, gateway: RunningGateway) -> None:
    gateway.control.ask("script", contract="EUR.USD", sizes=[], bid="1.2")
    ticker = stream(client, Forex("EURUSD"))
    assert (exact(ticker.bid), ticker.ask) == (Decimal("1.2"), -1)


# ---------------------------------------------------------------- requests that can not be served


def test_unknown_and_ambiguous_contracts_are_refused(client: IB) -> None:
    heard = errors(client)
    for contract in (Stock("NOTHING", "SMART", "USD"), Future("ES", exchange="CME")):
        client.reqMktData(contract)
    client.reqCurrentTime()
    assert [code for _, code in heard] == [200, 200]


def test_hundredth_line_is_the_last(client: IB, gateway: RunningGateway) -> None:
    known = client.reqContractDetails(Contract(secType="STK", currency="USD", symbol="CSPX"))[0].contract
    heard = errors(client)
    for number in range(101):
        client.client.reqMktData(5000 + number, known, "", False, False, [])
    client.reqCurrentTime()
    assert heard == [(5100, 101)]
    client.client.cancelMktData(5000)
    client.client.reqMktData(5100, known, "", False, False, [])
    client.reqCurrentTime()
    assert heard == [(5100, 101)]
    assert len(gateway.gateway.sessions[1].streams) == 100


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda c, known: c.reqMktData(7000, known, "236", True, False, []), 321),
        (lambda c, known: c.cancelMktData(7000), 300),
        (lambda c, known: c.reqMarketDataType(5), 321),
    ],
    ids=["generic ticks in a snapshot", "cancel of nothing", "a type that is none"],
)
def test_request_that_makes_no_sense_is_refused(client: IB, ask: Any, code: int) -> None:
    known, heard = named(client, CSPX), errors(client)
    ask(client.client, known)
    client.reqCurrentTime()
    assert [told for _, told in heard] == [code]


def test_duplicate_request_id_is_refused_and_the_first_one_goes_on(
    client: IB, gateway: RunningGateway
) -> None:
    ticker, heard = stream(client, CSPX), errors(client)
    number = next(iter(gateway.gateway.sessions[1].streams))
    client.client.reqMktData(number, ticker.contract, "", False, False, [])
    settle(client, gateway, 60)
    assert heard == [(number, 322)]
    assert exact(ticker.bid) == truth(gateway, "CSPX").bid
