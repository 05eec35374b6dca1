"""Loans, dividends, options, depth, profit and look-ups over TCP with the real client."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_insync import IB, Contract, LimitOrder, Option, PnL, PnLSingle, Stock
from ib_insync.wrapper import RequestError

from engine.errors import FundError
from engine.model.instruments import OptionRight
from engine.model.market import Dividend, DividendInfo, OptionRange
from tasks.adapters.simulated_gateway.depth_rows import changes
from tasks.adapters.simulated_gateway.forms import names
from tasks.adapters.simulated_gateway.framing import WireError
from tasks.adapters.simulated_gateway.gateway import Gateway
from tasks.adapters.simulated_gateway.generic_ticks import dividend_text
from tasks.adapters.simulated_gateway.messages import CLIENT_MESSAGES, Request, answer
from tasks.adapters.simulated_gateway.sessions import MARKET_REQUESTS
from tasks.adapters.simulated_market import PanelMarket
from tests.tasks.adapters.gateways import (
    ACCOUNT,
    OPENED,
    RunningGateway,
    connected,
    library_loop,
    make_gateway,
    running,
    settle,
    small_world,
)
from tests.tasks.adapters.simulated_gateway.test_gateway import errors
from tests.tasks.adapters.simulated_gateway.test_market import CSPX, ES, exact, named, stream, truth

MORNING = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
TRADED = OPENED.replace(hour=15)
"""New York trades from 14:30."""

PUT = Option("SPX", "20261218", 6900, "P", "CBOE", currency="USD")


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with library_loop(), running(lambda: make_gateway(opened=TRADED)) as found:
        yield found


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[IB]:
    made = connected(gateway)
    yield made
    made.disconnect()


def published(at: datetime = TRADED) -> Any:
    universe, sessions, facts = small_world()
    market = PanelMarket(facts.panel, universe, sessions, facts)
    return market.inputs(
        at.date(), at, (), {"SPX_OPT": OptionRange(right=OptionRight.PUT, first_day=20, last_day=40)}
    )


# ---------------------------------------------------------------- loans and dividends


def test_shares_to_borrow_are_those_that_the_fund_reads_point_in_time(client: IB) -> None:
    heard: list[tuple[int, float]] = []
    contract = named(client, Stock("AAPL", "SMART", "USD"))
    ticker = client.reqMktData(contract, "236")
    ticker.updateEvent += lambda told: heard.extend((tick.tickType, tick.price) for tick in told.ticks)
    client.reqCurrentTime()
    assert exact(ticker.shortableShares) == published().borrow["AAPL"].available_shares
    assert (46, 3.0) in heard


def test_lines_that_are_not_lent_refuse_to_tell_of_loans(client: IB) -> None:
    heard = errors(client)
    client.reqMktData(named(client, ES), "236")
    client.reqMktData(named(client, CSPX), "236,nonsense")
    client.reqCurrentTime()
    assert [code for _, code in heard] == [321, 321]


def test_dividends_of_a_line_without_a_year_of_record_are_told_as_unknown(client: IB) -> None:
    dividends = stream(client, CSPX, "456").dividends
    assert dividends is not None
    assert (dividends.past12Months, dividends.nextDate) == (None, None)


def test_dividends_are_what_was_paid_what_is_expected_and_what_is_announced() -> None:
    known = DividendInfo(
        instrument_id="X", ex_date=date(2026, 12, 3), paid_annual=Decimal("0.83"), payments_annual=4
    )
    coming = Dividend(
        instrument_id="X", ex_date=date(2026, 12, 3), pay_date=date(2026, 12, 9), amount=Decimal("0.23")
    )

    inputs = replace(published(), dividend_infos={"X": known}, dividends=(coming,))
    # Four payments of 0.23 are 0.92.
    assert dividend_text("X", inputs) == "0.83,0.92,20261203,0.23"
    assert dividend_text("Y", inputs) == ",,,"


# ---------------------------------------------------------------- options


def test_option_shows_its_quote_with_the_volatility_and_delta_of_its_prices(
    client: IB, gateway: RunningGateway
) -> None:
    ticker = stream(client, PUT, "101")
    quote = truth(gateway, "SPX_OPT_20261218_P_6900")
    assert (exact(ticker.bid), exact(ticker.ask)) == (quote.bid, quote.ask)
    bid, ask, model = ticker.bidGreeks, ticker.askGreeks, ticker.modelGreeks
    assert bid is not None
    assert ask is not None
    assert model is not None
    assert bid.impliedVol < model.impliedVol < ask.impliedVol
    assert -1 < model.delta < 0
    # The index moves little between the last close and the afternoon of the next day.
    last = next(
        q for q in published().option_chains["SPX_OPT"] if q.contract.contract_id.endswith("20261218_P_6900")
    )
    assert model.undPrice == pytest.approx(float(last.underlying_price), rel=0.05)
    assert model.impliedVol == pytest.approx(last.implied_volatility, rel=0.25)
    assert exact(ticker.putOpenInterest) == last.open_interest


def test_option_before_its_venue_opens_is_told_by_the_model_of_the_last_close(
    gateway: RunningGateway,
) -> None:
    with running(lambda: make_gateway(opened=MORNING)) as closed:
        client = connected(closed)
        ticker = stream(client, PUT, "101")
        expected = next(
            q
            for q in published(MORNING).option_chains["SPX_OPT"]
            if q.contract.contract_id.endswith("20261218_P_6900")
        )
        model = ticker.modelGreeks
        assert model is not None
        assert (model.impliedVol, model.delta) == (expected.implied_volatility, expected.delta)
        assert exact(model.undPrice) == expected.underlying_price
        assert exact(ticker.putOpenInterest) == expected.open_interest
        assert (ticker.bid, ticker.bidGreeks) == (-1, None)
        client.disconnect()


def test_parameters_list_every_expiry_and_strike_that_the_fund_reads(client: IB) -> None:
    [index] = client.reqContractDetails(
        Contract(secType="IND", symbol="SPX", exchange="CBOE", currency="USD")
    )
    assert index.contract is not None
    [listed] = client.reqSecDefOptParams("SPX", "", "IND", index.contract.conId)
    assert (listed.exchange, listed.tradingClass, listed.multiplier) == ("CBOE", "SPX", "100")
    read = published().option_chains["SPX_OPT"]
    assert {f"{quote.contract.last_trade_date:%Y%m%d}" for quote in read} <= set(listed.expirations)
    assert {float(quote.contract.strike) for quote in read} <= set(listed.strikes)


def test_line_without_options_has_no_parameters_and_an_unknown_number_is_refused(client: IB) -> None:
    fund = named(client, CSPX)
    assert client.reqSecDefOptParams("CSPX", "", "STK", fund.conId) == []
    with pytest.raises(RequestError) as caught:
        client.reqSecDefOptParams("TEA", "", "STK", 77)
    assert caught.value.code == 200


def test_symbols_that_fit_a_pattern_are_listed_with_what_is_written_on_them(client: IB) -> None:
    found = client.reqMatchingSymbols("SPX")
    assert found is not None
    assert found[0].contract is not None
    assert (found[0].contract.symbol, found[0].contract.secType) == ("SPX", "IND")
    assert found[0].derivativeSecTypes == ["FUT", "OPT"]
    assert client.reqMatchingSymbols("NOTHING LIKE IT") == []


# ---------------------------------------------------------------- depth


@pytest.mark.parametrize("smart", [True, False])
def test_depth_shows_the_best_prices_and_rows_behind_them(
    client: IB, gateway: RunningGateway, smart: bool
) -> None:
    contract = named(client, CSPX)
    ticker = client.reqMktDepth(contract, 3, smart)
    client.reqCurrentTime()
    for _ in range(2):
        quote = truth(gateway, "CSPX")
        assert (exact(ticker.domBids[0].price), exact(ticker.domBids[0].size)) == (quote.bid, quote.bid_size)
        assert (exact(ticker.domAsks[0].price), exact(ticker.domAsks[0].size)) == (quote.ask, quote.ask_size)
        assert len(ticker.domBids) == len(ticker.domAsks) == 3
        assert ticker.domBids[2].price < ticker.domBids[1].price < ticker.domBids[0].price
        settle(client, gateway, 5)
    client.cancelMktDepth(contract, smart)


def test_fourth_book_is_refused(client: IB) -> None:
    heard = errors(client)
    known = named(client, CSPX)
    for number in range(4):
        client.client.reqMktDepth(8000 + number, known, 1, False, [])
    client.reqCurrentTime()
    assert heard == [(8003, 309)]


def test_rows_that_are_gone_are_taken_away_from_the_last_one_on() -> None:
    from tasks.adapters.simulated_gateway.sessions import Answer

    before = {f"1 {place}": Answer("depth", {"position": str(place), "operation": "0"}) for place in range(3)}
    told = changes(before, {"1 0": before["1 0"]})
    assert [(one.record["position"], one.record["operation"]) for one in told] == [("2", "2"), ("1", "2")]


# ---------------------------------------------------------------- profit


def test_profit_of_a_purchase_is_what_its_value_exceeds_its_price_by(
    client: IB, gateway: RunningGateway
) -> None:
    contract = named(client, CSPX)
    price = float(truth(gateway, "CSPX").ask) * 1.01  # type: ignore[arg-type]
    client.placeOrder(
        contract, LimitOrder("BUY", 10, round(price, 1), tif="DAY", account=ACCOUNT, orderRef="AF1.PNL.1")
    )
    settle(client, gateway, 30)
    single: PnLSingle = client.reqPnLSingle(ACCOUNT, "", contract.conId)
    whole: PnL = client.reqPnL(ACCOUNT)
    client.reqCurrentTime()
    told = gateway.gateway.broker.snapshot(gateway.gateway.broker.now)
    [fill] = told.executions
    mark = told.positions["CSPX"].mark
    assert mark is not None
    expected = 10 * (mark - fill.price)
    assert (single.position, exact(single.value)) == (10, 10 * mark)
    assert exact(single.dailyPnL) == expected
    assert exact(whole.dailyPnL) == expected
    assert math.isclose(single.realizedPnL, 1.7976931348623157e308)
    client.cancelPnLSingle(ACCOUNT, "", contract.conId)
    client.cancelPnL(ACCOUNT)
    before = single.value
    settle(client, gateway, 600)
    assert single.value == before


def test_profit_of_another_account_is_refused(client: IB) -> None:
    heard = errors(client)
    client.reqPnL("U999")
    client.reqCurrentTime()
    assert [code for _, code in heard] == [321]


# ---------------------------------------------------------------- bad input

_TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "1",
            "-1",
            "99999 W",
            "1 D",
            "1 day",
            "TRADES",
            "²",
            "nan",
            "20261119-08:00:00",
            "CSPX",
            "STK",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=8),
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(MARKET_REQUESTS)), texts=st.data())
def test_request_of_odd_texts_is_answered_or_refused_and_nothing_else(
    name: str, texts: st.DataObject
) -> None:
    gateway = odd_gateway()
    message = next(one for one in CLIENT_MESSAGES.values() if one.name == name)
    known = {"request_id": "7", "symbol": "CSPX", "security_type": "STK", "currency": "USD", "what": "TRADES",
             "duration": "1 D", "bar_size": "1 day", "con_id": str(gateway.listing.number("CSPX"))}  # fmt: skip
    fields = sorted(names(message.form) - {"legs", "has_delta_neutral"})
    odd = texts.draw(st.dictionaries(st.sampled_from(fields), _TEXTS, max_size=2))
    record = {field: known.get(field, "") for field in fields} | odd
    session = gateway.open_session(176)
    session.client_id = 1
    try:
        told = gateway.world.market.handle(Request(name, record), session, gateway)  # type: ignore[union-attr]
    except (WireError, FundError):
        told = []
    gateway.world.market.ticks(session, gateway)  # type: ignore[union-attr]
    gateway.close_session(session)
    for one in told:
        answer(one.name, one.record, 176)


@lru_cache(maxsize=1)
def odd_gateway() -> Gateway:
    return make_gateway()


def test_profit_of_what_is_only_shown_is_refused_and_leaves_nothing_behind(
    client: IB, gateway: RunningGateway
) -> None:
    [index] = client.reqContractDetails(
        Contract(secType="IND", symbol="SPX", exchange="CBOE", currency="USD")
    )
    assert index.contract is not None
    heard = errors(client)
    client.reqPnLSingle(ACCOUNT, "", index.contract.conId)
    client.reqCurrentTime()
    assert [code for _, code in heard] == [321]
    assert gateway.gateway.sessions[max(gateway.gateway.sessions)].streams == {}
