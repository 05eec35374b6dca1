"""What every source of live market data promises: the exchange in the process, the broker over the wire."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from engine.errors import MissingFxRate, UnknownContract
from engine.model.instruments import OptionRight
from engine.model.market import OptionRange, Source
from tests.contracts.conftest import Opened
from tests.contracts.lines import ExchangeMarket, Line
from tests.tasks.adapters.gateways import OPENED, small_world

TRADED = ("CSPX", "IUKD", "EXV1", "AAPL", "ES_20261218")
"""A fund in dollars, one in pence, one in euro, a share and a future: all trade when the gateway opens."""

NIGHT = datetime(2026, 11, 20, 3, tzinfo=UTC)
"""London, Frankfurt and New York are closed; index futures trade."""

SATURDAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIVE = (Source.IBKR, Source.SIMULATED)


def test_quote_of_a_contract_that_trades_is_two_sided_positive_and_of_now(line: Line) -> None:
    before = line.transport.now()
    quote = line.market.quote(line.contract_id)
    assert quote is not None
    assert quote.bid is not None
    assert quote.ask is not None
    assert 0 < quote.bid <= quote.ask
    assert quote.contract_id == line.contract_id
    assert quote.source in LIVE
    assert before - timedelta(seconds=5) <= quote.observed_at <= line.transport.now()


@pytest.mark.parametrize("name", TRADED)
def test_quote_has_the_prices_and_sizes_that_the_exchange_shows_to_the_last_digit(
    opened: Opened, name: str
) -> None:
    line = opened(OPENED)
    shown, quote = small_world()[2].quote(name, OPENED), line.market.quote(name)
    assert shown is not None
    assert quote is not None
    assert (quote.bid, quote.ask, quote.bid_size, quote.ask_size) == (
        shown.bid, shown.ask, shown.bid_size, shown.ask_size,
    )  # fmt: skip


def test_quotes_of_many_have_those_that_trade_and_leave_out_the_others(opened: Opened) -> None:
    line = opened(NIGHT)
    quotes = line.market.quotes(TRADED)
    assert set(quotes) == {name for name in TRADED if small_world()[2].quote(name, NIGHT) is not None}
    assert "ES_20261218" in quotes
    assert "CSPX" not in quotes
    assert quotes["ES_20261218"] == line.market.quote("ES_20261218")


def test_contract_that_nobody_lists_has_no_quote(line: Line) -> None:
    with suppress(UnknownContract):  # the exchange in the process says so aloud
        assert line.market.quote("NOBODY") is None
        assert line.market.quotes(["NOBODY"]) == {}


def test_nothing_has_a_quote_on_a_saturday(opened: Opened) -> None:
    line = opened(SATURDAY)
    assert line.market.quotes(TRADED) == {}
    assert line.market.quote("CSPX") is None


def test_rates_convert_both_ways_and_pence_are_hundredths(line: Line) -> None:
    rates = line.market.fx(line.transport.now(), ("EUR", "GBP"))
    for currency in ("EUR", "GBP"):
        rate = rates.get_rate(currency, "USD")
        assert Decimal("0.5") < rate < Decimal(2)
        assert abs(rate * rates.get_rate("USD", currency) - 1) < Decimal("1e-12")
    assert rates.get_rate("GBX", "USD") * 100 == rates.get_rate("GBP", "USD")
    assert rates.get_rate("USD", "USD") == 1


def test_currency_that_nobody_quotes_has_no_rate(line: Line) -> None:
    rates = line.market.fx(line.transport.now(), ("EUR", "XAU"))
    with pytest.raises(MissingFxRate):
        rates.get_rate("XAU", "USD")


def test_rates_are_those_of_the_exchange(opened: Opened) -> None:
    line = opened(OPENED)
    rates, shown = line.market.fx(OPENED, ("EUR", "GBP")), small_world()[2].fx(OPENED)
    for currency in ("EUR", "GBP"):
        assert abs(rates.get_rate(currency, "USD") / shown.get_rate(currency, "USD") - 1) < Decimal("0.0005")


def test_quotes_come_again_after_the_line_was_lost(line: Line) -> None:
    line.lose()
    quote = line.market.quote(line.contract_id)
    assert quote is not None
    assert quote.is_two_sided


def test_transport_quotes_what_the_market_quotes(opened: Opened) -> None:
    line = opened(OPENED)
    assert line.transport.quote("CSPX") == line.market.quote("CSPX")


# ---------------------------------------------------------------- the past, and what is listed


def test_closes_are_of_sessions_that_are_over_in_their_order(line: Line) -> None:
    today = line.transport.now().date()
    closes = line.market.closes(line.contract_id, today - timedelta(days=14), today + timedelta(days=3))
    assert 7 <= len(closes) <= 11  # two weeks and a day have at most eleven weekdays
    assert list(closes) == sorted(closes)
    assert max(closes) <= today
    assert all(price > 0 for price in closes.values())


@pytest.mark.parametrize("name", TRADED)
def test_closes_are_those_that_the_market_recorded(opened: Opened, name: str) -> None:
    first, last, world = date(2026, 11, 9), date(2026, 11, 19), small_world()[2]
    days = [first + timedelta(days=number) for number in range(11)]
    recorded = {day: world.official_close(name, day) for day in days}
    closes = opened(OPENED).market.closes(name, first, last)
    assert closes == {day: price for day, price in recorded.items() if price is not None}
    assert len(closes) == 9


def test_day_that_is_not_over_has_no_close(opened: Opened) -> None:
    assert opened(OPENED).market.closes("CSPX", OPENED.date(), OPENED.date()) == {}


def test_chain_of_a_future_has_what_still_trades_nearest_first(line: Line) -> None:
    chain = line.market.futures_chain("ES")
    expiries = [row.last_trade_date for row in chain if row.last_trade_date is not None]
    assert len(expiries) == len(chain) >= 2
    assert expiries == sorted(set(expiries))
    assert expiries[0] >= line.transport.now().date()
    assert {row.instrument_id for row in chain} == {"ES"}


def test_chains_are_those_of_the_exchange(opened: Opened) -> None:
    line = opened(OPENED)
    for name in ("ES", "M6E", "GC"):
        listed = small_world()[2].panel.chains.get(name)
        if listed is not None:
            alive = [row for row in listed if row.last_trade_date and row.last_trade_date >= OPENED.date()]
            assert set(line.market.futures_chain(name)) <= set(alive)
            assert line.market.futures_chain(name)[0] == min(alive, key=lambda row: str(row.last_trade_date))


PUTS = OptionRange(right=OptionRight.PUT, first_day=20, last_day=60)


def test_chain_of_options_is_of_the_range_that_was_asked_for_by_expiry_and_strike(opened: Opened) -> None:
    chain = opened(OPENED).market.option_chain("JNK_OPT", PUTS, OPENED)
    assert len(chain) > 10
    keys = [(row.contract.last_trade_date, row.contract.strike) for row in chain]
    assert keys == sorted(set(keys), key=str)
    for row in chain:
        expiry = row.contract.last_trade_date
        assert expiry is not None
        assert 20 <= (expiry - OPENED.date()).days <= 60
        assert row.contract.right is OptionRight.PUT
        assert 0 < row.implied_volatility < 5
        assert -1 <= row.delta <= 0
        assert row.open_interest >= 0
        assert row.underlying_price > 0
        assert row.bid is None or row.ask is None or row.bid <= row.ask


def test_every_line_lists_the_options_that_a_decision_sees(opened: Opened) -> None:
    seen = ExchangeMarket(small_world()[2], lambda: OPENED).option_chain("JNK_OPT", PUTS, OPENED)
    listed = opened(OPENED).market.option_chain("JNK_OPT", PUTS, OPENED)
    assert {row.contract for row in seen} <= {row.contract for row in listed}


def test_shares_to_borrow_are_those_that_lenders_have(opened: Opened) -> None:
    told = opened(OPENED).market.borrow(("AAPL", "DBK", "ES"))
    known = ExchangeMarket(small_world()[2], lambda: OPENED).borrow(("AAPL", "DBK"))
    assert {name: info.available_shares for name, info in told.items()} == {
        name: info.available_shares for name, info in known.items()
    }
    assert set(told) == {"AAPL", "DBK"}
