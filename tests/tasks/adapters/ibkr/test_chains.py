"""Chains: futures by last trade date, options near the money; what is ambiguous or not told is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from math import exp

import pytest

from engine.errors import ConfigurationError, UnknownContract
from engine.model.instruments import OptionRight
from engine.model.market import OptionQuote, OptionRange
from engine.simulation.chains import business_calendar
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.futures_chain import listed_futures
from tasks.adapters.ibkr.lines import Lines
from tasks.adapters.ibkr.option_chain import (
    ChainPolicy,
    near_expiries,
    near_strikes,
    option_of,
    reference_price,
)
from tests.tasks.adapters.gateways import small_world
from tests.tasks.adapters.ibkr.desks import NOON, MarketRig, market_rig
from tests.tasks.adapters.ibkr.market_gateway import ASK, BID, CLOSE, LAST, fails, price, two_sided
from tests.tasks.adapters.ibkr.tiny_gateway import Reply

TODAY = NOON.date()


@pytest.fixture
def one() -> Iterator[MarketRig]:
    with market_rig() as made:
        yield made


# ------------------------------------------------------------ futures


@pytest.mark.parametrize("name", ["ES", "FESX", "VX", "FDXM", "M6E"])
def test_chain_is_what_still_trades_nearest_first(one: MarketRig, name: str) -> None:
    panel = small_world()[2].panel
    expected = [row for row in panel.chains[name] if row.last_trade_date and row.last_trade_date >= TODAY]
    assert one.desk.futures_chain(name) == tuple(sorted(expected, key=lambda row: str(row.last_trade_date)))


def test_chain_of_treasury_notes_has_their_first_notice_dates(one: MarketRig) -> None:
    universe, sessions, _ = small_world()
    names = [
        row.instrument_id for row in universe if row.is_future and row.expiry_rule.value == "treasury_note"
    ]
    for name in names:
        for contract in one.desk.futures_chain(name):
            assert contract.first_notice_date is not None
            assert contract.last_trade_date is not None
            assert contract.first_notice_date < contract.last_trade_date
            assert sessions.is_session(universe[name].venue, contract.first_notice_date)


def details_of(one: MarketRig, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[ContractDesk, list]:  # type: ignore[type-arg]
    """The broker's rows of a chain, which a test may change."""
    from engine.model.instruments import Contract
    from tasks.adapters.ibkr.contracts import wire_contract

    instrument = small_world()[0][name]
    rows = list(
        one.contracts.details(wire_contract(instrument, Contract(contract_id="", instrument_id=name)))
    )
    monkeypatch.setattr(one.contracts, "details", lambda wire: tuple(rows))
    return one.contracts, rows


def test_other_multipliers_beside_the_own_one_are_refused_by_name(
    one: MarketRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, rows = details_of(one, "FDXM", monkeypatch)
    rows[-1].contract.multiplier = "25"
    with pytest.raises(
        ConfigurationError, match=r"FDXM: expected contracts with a multiplier of 5 alone, found \w+ with 25"
    ):
        listed_futures(desk, small_world()[0]["FDXM"], TODAY)


def test_two_contracts_of_one_month_are_refused_unless_the_rule_tells_them_apart(
    one: MarketRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    universe, sessions, _ = small_world()
    desk, rows = details_of(one, "VX", monkeypatch)
    monthly = listed_futures(desk, universe["VX"], TODAY)
    weekly = replace(
        rows[0], contract=replace_wire(rows[0].contract, "20261202", "VX49"), contractMonth="202612"
    )
    rows.append(weekly)
    with pytest.raises(
        ConfigurationError, match=r"VX: expected one contract a delivery month, found .*VX49.* of 2026-12"
    ):
        listed_futures(desk, universe["VX"], TODAY)
    found = listed_futures(desk, universe["VX"], TODAY, business_calendar(sessions, universe["VX"].venue))
    assert [row.contract_id for row in found] == [row.contract_id for row in monthly]


def replace_wire(wire, expiry: str, name: str):  # type: ignore[no-untyped-def]
    from ib_insync.contract import Contract as WireContract

    changed = WireContract(
        **{
            field: getattr(wire, field)
            for field in ("secType", "symbol", "currency", "exchange", "multiplier")
        }
    )
    changed.lastTradeDateOrContractMonth, changed.localSymbol, changed.tradingClass = expiry, name, name
    return changed


def test_months_outside_the_lines_own_cycle_are_left_out(
    one: MarketRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    universe = small_world()[0]
    desk, rows = details_of(one, "ES", monkeypatch)
    before = listed_futures(desk, universe["ES"], TODAY)
    rows.append(
        replace(rows[0], contract=replace_wire(rows[0].contract, "20270115", "ESF7"), contractMonth="202701")
    )
    assert listed_futures(desk, universe["ES"], TODAY) == before


def test_future_of_which_nothing_is_listed_is_refused_by_name(one: MarketRig) -> None:
    with pytest.raises(UnknownContract, match="ES: expected listed expiries of NOSUCH on CME"):
        listed_futures(one.contracts, replace(small_world()[0]["ES"], ib_symbol="NOSUCH"), TODAY)


# ------------------------------------------------------------ options

RANGE = OptionRange(right=OptionRight.PUT, first_day=20, last_day=60)
DECEMBER, JANUARY = date(2026, 12, 18), date(2027, 1, 15)


def parameters(*, multiplier: str = "100", exchange: str = "CBOE", trading_class: str = "SPX") -> Reply:
    record = {
        "exchange": exchange, "under_con_id": "1", "trading_class": trading_class, "multiplier": multiplier,
        "expirations": tuple({"date": text} for text in ("20261120", "20261218", "20270115", "20270618")),
        "strikes": tuple({"strike": str(strike)} for strike in range(4000, 7001, 100)),
    }  # fmt: skip
    return "option_parameters", record


def listed(one: MarketRig, *rows: Reply) -> None:
    one.gateway.replies["option_parameters"] = [[*rows, ("option_parameters_end", {})]]


def model(volatility: object = "0.2", delta: object = "-0.25", underlying: object = "5700") -> Reply:
    record = {"type": "13", "volatility": str(volatility), "delta": str(delta), "price": "40", "dividends": "0",
              "gamma": "0", "vega": "0", "theta": "0", "underlying": str(underlying)}  # fmt: skip
    return "option_computation", record


def interest(number: object = 900, kind: int = 28) -> Reply:
    return "size", {"type": str(kind), "size": str(number)}


def shown() -> list[Reply]:
    return [*two_sided(39, 41), model(), interest()]


def option(strike: int, day: date = DECEMBER) -> str:
    return option_of(small_world()[0]["SPX_OPT"], day, OptionRight.PUT, Decimal(strike)).contract_id


def test_chain_is_what_the_broker_tells_of_options_near_the_money(one: MarketRig) -> None:
    listed(one, parameters(multiplier="100", exchange="ISE"), parameters(trading_class="SPXW"), parameters())
    one.gateway.told = {"SPX": [price(LAST, "5700.5")]}
    strikes = range(4000, 7001, 100)
    one.gateway.told |= {option(strike, day): shown() for strike in strikes for day in (DECEMBER, JANUARY)}
    found = one.desk.option_chain("SPX_OPT", RANGE, NOON)
    assert found[0] == OptionQuote(
        contract=option_of(small_world()[0]["SPX_OPT"], DECEMBER, OptionRight.PUT, found[0].contract.strike or Decimal(0)),
        bid=Decimal(39), ask=Decimal(41), implied_volatility=0.2, delta=-0.25, open_interest=900,
        underlying_price=Decimal(5700),
    )  # fmt: skip
    # 28 days at 20 % a year: σ√T = 0.2·√(28/365) = 0.0554; puts from 5700.5·e^(−2.5·0.0554) to 5700.5·e^(0.5·0.0554).
    deviation = 0.2 * (28 / 365) ** 0.5
    band = [
        strike
        for strike in strikes
        if 5700.5 * exp(-2.5 * deviation) <= strike <= 5700.5 * exp(0.5 * deviation)
    ]
    december = [quote.contract.strike for quote in found if quote.contract.last_trade_date == DECEMBER]
    assert december == band
    assert band[0] == 5000
    assert band[-1] == 5800
    assert {quote.contract.last_trade_date for quote in found} == {DECEMBER, JANUARY}, (
        "56 days is within, 0 and 210 are not"
    )
    assert {row.record["generic_ticks"] for row in one.gateway.named("market_data")} == {"", "101"}


def test_option_with_nobody_to_buy_it_has_no_bid(one: MarketRig) -> None:
    contract = option_of(small_world()[0]["SPX_OPT"], DECEMBER, OptionRight.PUT, Decimal(4000))
    one.gateway.told = {contract.contract_id: [*two_sided(-1, "0.05"), model(), interest()]}
    [found] = one.desk.option_quotes("SPX_OPT", [contract])
    assert (found.bid, found.ask) == (None, Decimal("0.05"))


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([*two_sided(39, 41), model()], "open interest None"),
        ([*two_sided(39, 41), interest()], "no live model"),
        ([*two_sided(39, 41), model(volatility=-1), interest()], "volatility=None"),
        ([*two_sided(39, 41), model(delta=-2), interest()], "delta=None"),
        ([*two_sided(39, 41), model(underlying=-1), interest()], "underlying=None"),
        ([*two_sided(39, 41), model(), interest(kind=27)], "open interest None"),
        ([fails(354)], "no live model of the broker: 354"),
        ([("market_data_type", {"type": "3"}), *shown()], "type 3"),
        ([fails(200)], "no live model of the broker: 200"),
    ],
)  # fmt: skip
def test_option_of_which_something_is_not_told_is_left_out_with_the_reason(
    one: MarketRig, told: list[Reply], why: str
) -> None:
    contract = option_of(small_world()[0]["SPX_OPT"], DECEMBER, OptionRight.PUT, Decimal(5000))
    one.gateway.told = {contract.contract_id: told}
    assert one.desk.option_quotes("SPX_OPT", [contract]) == ()
    assert why in one.desk.refused_options[contract.contract_id]


def test_classes_that_can_not_be_told_apart_are_refused_by_name(one: MarketRig) -> None:
    listed(one, parameters(trading_class="A"), parameters(trading_class="B"))
    one.gateway.told = {"SPX": [price(LAST, 5700)]}
    with pytest.raises(
        ConfigurationError, match="SPX_OPT: expected one class of options of SPX at CBOE, found A, B"
    ):
        one.desk.option_chain("SPX_OPT", RANGE, NOON)


@pytest.mark.parametrize(
    ("told", "rows", "why"),
    [
        ([fails(354)], [parameters()], "its underlying has no live price: 354"),
        ([], [parameters()], "no price of its underlying"),
        ([price(LAST, -1)], [parameters()], "no price of its underlying"),
        ([price(LAST, 5700)], [], "lists no options of SPX"),
        ([price(LAST, 5700)], [parameters(multiplier="10")], "lists no options of SPX"),
    ],
)
def test_line_without_underlying_or_listing_has_no_chain_and_says_why(
    one: MarketRig, told: list[Reply], rows: list[Reply], why: str
) -> None:
    listed(one, *rows)
    one.gateway.told = {"SPX": told}
    assert one.desk.option_chain("SPX_OPT", RANGE, NOON) == ()
    assert why in one.desk.refused_options["SPX_OPT"]


@pytest.mark.parametrize(
    ("told", "expected", "why"),
    [
        ([price(BID, 99), price(ASK, 101), price(LAST, 120)], 100, "the middle of both sides"),
        ([price(BID, 101), price(ASK, 99), price(LAST, 120)], 120, "crossed sides have no middle"),
        ([price(BID, -1), price(ASK, -1), price(LAST, 120)], 120, "an index is not quoted"),
        ([price(LAST, "nan"), price(CLOSE, 119)], 119, "no number is no trade, and no truth either"),
        ([price(LAST, -1), price(CLOSE, 119)], 119, "−1 is no trade"),
        ([price(LAST, -1), price(CLOSE, "nan")], None, "nothing is left"),
    ],
)
def test_reference_price_is_the_best_of_what_is_a_price(
    told: list[Reply], expected: int | None, why: str
) -> None:
    lines = Lines(lambda: NOON)
    line = lines.open(1)
    for _, record in told:
        lines.price(1, int(record["type"]), float(record["price"]), 1.0)  # type: ignore[call-overload, arg-type]
    assert reference_price(line) == expected, why


def test_expiries_nearest_to_the_middle_of_the_range_are_looked_at() -> None:
    told = ["20261130", "20261211", "20261218", "20261231", "20270108", "20270115", "20260101"]
    # The middle of 20 to 60 days is 40: 10, 21, 28, 41, 49 and 56 days away.
    assert near_expiries(told, RANGE, TODAY, 3) == (DECEMBER, date(2026, 12, 31), date(2027, 1, 8))
    assert near_expiries(told, RANGE, TODAY, 9)[0] == date(2026, 12, 11)


def test_strikes_are_thinned_evenly_and_keep_both_ends() -> None:
    strikes = [Decimal(strike) for strike in range(1, 201)]
    policy = ChainPolicy(most_strikes=5, inside_deviations=0.5, outside_deviations=2.5)
    puts = near_strikes(strikes, Decimal(100), 0.1, OptionRight.PUT, policy)
    # From 100·e^(−0.25) = 77.9 to 100·e^(0.05) = 105.1: 78 to 105 are 28 strikes, of which every 6.75th is taken.
    assert puts == (78, 85, 92, 98, 105)
    calls = near_strikes(strikes, Decimal(100), 0.1, OptionRight.CALL, policy)
    # From 100·e^(−0.05) = 95.1 to 100·e^(0.25) = 128.4.
    assert (calls[0], calls[-1]) == (96, 128)


def test_option_that_several_classes_list_is_that_of_the_symbols_own(
    one: MarketRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = option_of(small_world()[0]["SPX_OPT"], DECEMBER, OptionRight.PUT, Decimal(5000))
    from tasks.adapters.ibkr.contracts import wire_contract

    [own] = one.contracts.details(wire_contract(small_world()[0]["SPX_OPT"], contract))
    other = replace(own, contract=replace_wire(own.contract, "20261218", "SPXW"))
    other.contract.conId, other.contract.right, other.contract.strike = own.contract.conId + 1, "P", 5000.0
    monkeypatch.setattr(one.contracts, "details", lambda wire: (other, own))
    assert one.contracts.adopt(contract).pin.con_id == own.contract.conId


def test_times_of_the_range_are_those_of_the_decision(one: MarketRig) -> None:
    listed(one, parameters())
    one.gateway.told = {"SPX": [price(LAST, 5700)]}
    later = datetime.combine(date(2027, 5, 1), NOON.timetz())
    assert one.desk.option_chain("SPX_OPT", replace(RANGE, right=OptionRight.CALL), later) == ()
    tried = [f"SPX_OPT_20270618_C_{strike}" for strike in (5700, 5600, 5800)]
    assert list(one.desk.refused_options) == [*tried, "SPX_OPT 2027-06-18"], (
        "48 days away, and nothing is told of it"
    )
