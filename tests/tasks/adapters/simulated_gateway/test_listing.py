"""Contracts of the gateway: found by what a client knows of them, ambiguous where it knows too little."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import MappingProxyType

import pytest

from config.settings import load_configuration
from config.universe import load_venues, universe_of
from engine.errors import UnknownContract
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.facts import PanelFacts
from engine.simulation.market import generate_panel
from tasks.adapters.calendars import session_table
from tasks.adapters.simulated_gateway.listing import Listing, contract_number

TODAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def universe() -> Universe:
    return universe_of(load_configuration("fund", ()).settings)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> SessionTable:
    return session_table(date(2026, 9, 1), date(2027, 12, 31), tmp_path_factory.mktemp("sessions"))


@pytest.fixture(scope="module")
def listing(universe: Universe, sessions: SessionTable) -> Listing:
    panel = generate_panel(universe, sessions, date(2026, 9, 1), date(2026, 11, 30), 7)
    facts = PanelFacts(panel=panel, universe=universe, sessions=sessions, seed=7)
    return Listing(
        universe=universe, facts=facts, venues=load_venues(), chains=MappingProxyType(dict(panel.chains))
    )


def test_every_instrument_of_the_fund_is_found_by_its_symbol_alone_with_its_exchange(
    listing: Listing,
) -> None:
    for instrument in listing.universe:
        if instrument.is_future or instrument.is_option:
            continue
        asked = {
            "symbol": instrument.ib_symbol, "security_type": instrument.kind.broker_name,
            "exchange": instrument.exchange, "currency": instrument.currency,
            "primary_exchange": instrument.primary_exchange or "",
        }  # fmt: skip
        assert [found.contract_id for found in listing.find(asked, TODAY)] == [instrument.instrument_id]


def test_future_without_its_month_is_the_whole_chain_and_with_it_one_contract(listing: Listing) -> None:
    asked = {"symbol": "ES", "security_type": "FUT", "exchange": "CME", "currency": "USD"}
    chain = listing.find(asked, TODAY)
    assert len(chain) >= 3
    assert [c.contract_id for c in listing.find({**asked, "last_trade_date": "202612"}, TODAY)] == [
        "ES_20261218"
    ]
    assert [c.contract_id for c in listing.find({**asked, "local_symbol": "ESZ6"}, TODAY)] == ["ES_20261218"]


def test_symbol_with_three_sizes_is_told_apart_by_its_multiplier(listing: Listing) -> None:
    asked = {"symbol": "DAX", "security_type": "FUT", "exchange": "EUREX", "last_trade_date": "202612"}
    assert {c.instrument_id for c in listing.find({**asked, "multiplier": "5"}, TODAY)} == {"FDXM"}


def test_expired_contract_is_shown_only_to_who_asks_for_it(listing: Listing) -> None:
    asked = {"symbol": "ES", "security_type": "FUT", "last_trade_date": "202609"}
    assert listing.find(asked, TODAY) == ()
    assert [c.contract_id for c in listing.find({**asked, "include_expired": "1"}, TODAY)] == ["ES_20260918"]


@pytest.mark.parametrize(
    "asked",
    [
        {"symbol": "CSPX", "currency": "GBP"},
        {"symbol": "NOSUCH"},
        {"security_type": "STK"},
        {"symbol": "CSPX", "exchange": "NYSE"},
        {"con_id": "12"},
    ],
    ids=["currency", "symbol", "type alone", "exchange", "number"],
)
def test_what_does_not_fit_is_not_found(listing: Listing, asked: dict[str, str]) -> None:
    assert listing.find(asked, TODAY) == ()


def test_number_names_the_contract_that_it_came_from(listing: Listing) -> None:
    number = listing.number("CSPX")
    assert number == contract_number("CSPX")
    assert listing.contract(number).contract_id == "CSPX"
    with pytest.raises(UnknownContract, match="12"):
        listing.contract(12)


def test_option_is_listed_once_it_was_named_in_full(listing: Listing) -> None:
    asked = {"symbol": "SPX", "security_type": "OPT", "last_trade_date": "20261218", "right": "P"}
    assert listing.find(asked, TODAY) == ()
    [found] = listing.find({**asked, "strike": "5000.0"}, TODAY)
    assert found.contract_id == "SPX_OPT_20261218_P_5000"
    assert listing.contract(contract_number(found.contract_id)) == found


def test_details_tell_magnifier_ticks_and_hours_in_the_venue_s_zone(
    listing: Listing, sessions: SessionTable
) -> None:
    [pence] = listing.find({"symbol": "IUKD", "security_type": "STK"}, TODAY)
    told = listing.details(pence, NOON, sessions)
    assert (told["price_magnifier"], told["currency"], told["primary_exchange"]) == ("100", "GBP", "LSEETF")
    assert (told["time_zone"], told["stock_type"]) == ("Europe/London", "ETF")
    hours = str(told["trading_hours"]).split(";")
    # Friday, a weekend, and three days of the next week.
    assert hours[0] == "20261120:0800-20261120:1630"
    assert hours[1:3] == ["20261121:CLOSED", "20261122:CLOSED"]
    rule = listing.market_rule(listing.instrument(pence))
    assert listing.increments(rule)[0] == {"from": "0", "increment": "0.0001"}
    assert listing.increments(99) == ()
