"""Contracts: every line of the fund is one contract at the broker, and what is not is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.errors import ConfigurationError, UnknownContract
from engine.model.instruments import InstrumentType
from engine.model.universe import ContractBook, Universe
from tasks.adapters.ibkr.contracts import ContractDesk, wire_contract
from tasks.adapters.ibkr.errors import RequestRefused
from tasks.adapters.ibkr.pinning import pin_contracts
from tasks.adapters.ibkr.pins import Pin, load_pins, pins_path, save_pins
from tasks.adapters.ibkr.records import ContractShown
from tests.tasks.adapters.gateways import small_world
from tests.tasks.adapters.ibkr.trading import Desk, trading


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with trading() as made:
        yield made


def tradable() -> list[str]:
    """Lines without expiry, and every expiry of every future's chain that has not passed."""
    universe, _, world = small_world()
    spot = [row.instrument_id for row in universe if not row.is_future and not row.is_option]
    chains = [row for chain in world.panel.chains.values() for row in chain if not row.right]
    return spot + [
        row.contract_id
        for row in chains
        if universe[row.instrument_id].is_future and str(row.last_trade_date) >= "2026-11-20"
    ]


def test_every_line_of_the_fund_is_one_contract_at_the_broker_with_its_magnifier(desk: Desk) -> None:
    universe = small_world()[0]
    names = tradable()
    assert desk.contracts.qualify(names) == {}
    for name in names:
        known = desk.contracts.qualified(name)
        assert known.pin.con_id > 0
        assert Decimal(known.pin.price_magnifier) == known.instrument.price_magnifier
    futures = {desk.contracts.qualified(name).instrument.instrument_id for name in names}
    without_options = {row.instrument_id for row in universe if not row.is_option}
    assert futures == without_options
    numbers = [pin.con_id for pin in desk.contracts.pins.values()]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(
    ("name", "primary"),
    [("CSPX", "LSEETF"), ("CS51", "IBIS2"), ("DBK", "IBIS"), ("BNP", "SBF"), ("UCG", "BVME"), ("TEF", "BM"), ("BT.A", "LSE")],
)  # fmt: skip
def test_listing_names_the_brokers_exchange(name: str, primary: str) -> None:
    instrument = small_world()[0][name]
    wire = wire_contract(instrument, ContractBook(universe=small_world()[0], contracts={}).contract(name))
    assert (wire.secType, wire.exchange, wire.primaryExchange) == ("STK", "SMART", primary)


def test_pair_of_currencies_and_future_are_asked_at_their_own_venue() -> None:
    universe, _, world = small_world()
    book = ContractBook(universe=universe, contracts={})
    pair = wire_contract(universe["EUR.USD"], book.contract("EUR.USD"))
    assert (pair.secType, pair.symbol, pair.currency, pair.exchange) == ("CASH", "EUR", "USD", "IDEALPRO")
    future = world.panel.chains["FDXM"][0]
    wire = wire_contract(universe["FDXM"], future)
    assert (wire.secType, wire.symbol, wire.multiplier, wire.exchange) == ("FUT", "DAX", "5", "EUREX")
    assert wire.lastTradeDateOrContractMonth == f"{future.last_trade_date:%Y%m%d}"


def other_desk(desk: Desk, name: str, **changes: object) -> ContractDesk:
    """A desk whose universe has one line otherwise."""
    universe, _, world = small_world()
    lines = tuple(replace(row, **changes) if row.instrument_id == name else row for row in universe)  # type: ignore[arg-type]
    contracts = {row.contract_id: row for chain in world.panel.chains.values() for row in chain}
    book = ContractBook(universe=Universe(instruments=lines), contracts=contracts)
    return ContractDesk(desk.session, lambda: book, {})


def test_contract_that_the_broker_does_not_list_is_refused_by_name(desk: Desk) -> None:
    with pytest.raises(UnknownContract, match="CSPX: expected one contract"):
        other_desk(desk, "CSPX", ib_symbol="NOSUCH").qualified("CSPX")


def test_contract_of_another_multiplier_is_not_the_one_that_is_meant(desk: Desk) -> None:
    es = next(name for name in tradable() if name.startswith("ES_"))
    with pytest.raises(UnknownContract, match=f"{es}: expected one contract"):
        other_desk(desk, "ES", multiplier=Decimal(5)).qualified(es)


def test_contract_with_another_magnifier_is_refused_by_name(desk: Desk) -> None:
    with pytest.raises(
        ConfigurationError, match=r"IUKD: expected a quote in GBP with magnifier 1, found GBP with 100"
    ):
        other_desk(desk, "IUKD", price_magnifier=Decimal(1), price_unit="GBP").qualified("IUKD")


def test_ambiguous_contract_is_refused_with_all_that_fit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = other_desk(desk, "CSPX", lot=Decimal(1))
    [found] = mine.details(wire_contract(small_world()[0]["CSPX"], mine._book().contract("CSPX")))
    monkeypatch.setattr(mine, "details", lambda wire: (found, found))
    with pytest.raises(UnknownContract, match=r"found \d+ CSPX LSEETF, \d+ CSPX LSEETF"):
        mine.qualified("CSPX")


def test_pinned_number_that_changes_is_refused_by_name(desk: Desk) -> None:
    pin = desk.contracts.qualified("CSPX").pin
    book = ContractBook(universe=small_world()[0], contracts={})
    pinned = ContractDesk(desk.session, lambda: book, {"CSPX": replace(pin, con_id=pin.con_id + 1)})
    with pytest.raises(
        ConfigurationError, match=f"CSPX: expected the broker's contract that was pinned.*{pin.con_id}"
    ):
        pinned.qualified("CSPX")
    unchanged = ContractDesk(desk.session, lambda: book, {"CSPX": pin})
    assert unchanged.qualified("CSPX").pin == pin


def test_one_number_for_two_lines_of_ours_is_refused_by_name(desk: Desk) -> None:
    """Two lines that name the same contract: each execution of it would be booked on the one that was asked first."""
    cspx = small_world()[0]["CSPX"]
    same = {name: getattr(cspx, name) for name in ("ib_symbol", "venue", "exchange", "currency", "kind")}
    mine = other_desk(desk, "IUIT", **same)
    number = mine.qualified("CSPX").pin.con_id
    with pytest.raises(
        ConfigurationError,
        match=f"IUIT: expected a contract of its own at the broker, found {number}, which is CSPX",
    ):
        mine.qualified("IUIT")
    assert mine.name_of_number(number) == "CSPX"
    assert "IUIT" not in mine.pins


def test_options_are_named_by_what_the_broker_shows_of_them(desk: Desk) -> None:
    shown = ContractShown(
        con_id=1, symbol="SPX", security_type="OPT", expiry="20261218", strike=Decimal(5000), right="P", multiplier="100",
        currency="USD", local_symbol="SPX 261218P5000", trading_class="SPX",
    )  # fmt: skip
    # Number 1 is nobody's: a contract that only looks like ours is not ours.
    assert desk.contracts.name_of(shown) == "#1 SPX 261218P5000"


def test_every_kind_of_line_is_known_by_its_number(desk: Desk) -> None:
    names = tradable()
    desk.contracts.qualify(names)
    kinds = set()
    for name in names:
        known = desk.contracts.qualified(name)
        kinds.add(known.instrument.kind)
        assert desk.contracts.name_of_number(known.pin.con_id) == name
    assert kinds >= {InstrumentType.STK, InstrumentType.ETF, InstrumentType.FUT, InstrumentType.CASH}


def test_every_line_is_pinned_once_and_a_second_time_adds_nothing(desk: Desk, tmp_path: Path) -> None:
    universe = small_world()[0]
    first = pin_contracts(desk.session, universe, {}, date(2026, 11, 20))
    assert first.refused == {}
    assert set(first.added) == set(first.pins) == set(tradable())
    save_pins(tmp_path / "pins.json", first.pins)
    again = pin_contracts(desk.session, universe, load_pins(tmp_path / "pins.json"), date(2026, 11, 20))
    assert (again.added, again.refused, again.pins) == ((), {}, first.pins)


def test_line_whose_pin_changed_is_refused_and_the_others_are_kept(desk: Desk) -> None:
    universe = small_world()[0]
    first = pin_contracts(desk.session, universe, {}, date(2026, 11, 20))
    wrong = {**first.pins, "CSPX": replace(first.pins["CSPX"], multiplier="10")}
    report = pin_contracts(desk.session, universe, wrong, date(2026, 11, 20))
    assert list(report.refused) == ["CSPX"]
    assert report.pins == wrong


def test_future_that_the_broker_does_not_list_is_refused_by_name(desk: Desk) -> None:
    universe = small_world()[0]
    lines = tuple(
        replace(row, multiplier=Decimal(7)) if row.instrument_id == "ES" else row for row in universe
    )
    report = pin_contracts(desk.session, Universe(instruments=lines), {}, date(2026, 11, 20))
    assert list(report.refused) == ["ES"]
    assert "with a multiplier of 7, found none" in report.refused["ES"]


PIN = Pin(
    con_id=75776072, local_symbol="CSPX", exchange="LSEETF", primary_exchange="LSEETF", currency="USD", multiplier="",
    price_magnifier=1, long_name="iShares Core S&P 500 UCITS",
)  # fmt: skip


def test_file_of_pins_gives_back_what_was_written(tmp_path: Path) -> None:
    path = pins_path(tmp_path, "DU1234567")
    assert load_pins(path) == {}
    save_pins(path, {"CSPX": PIN})
    assert load_pins(path) == {"CSPX": PIN}


@pytest.mark.parametrize("text", ["not json", "[]", '{"CSPX": {"con_id": 1}}', '{"CSPX": 5}'])
def test_file_of_pins_that_can_not_be_read_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pins.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="expected a file of pinned contracts"):
        load_pins(path)


def test_file_of_pins_with_one_number_for_two_contracts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pins.json"
    save_pins(path, {"CSPX": PIN, "IUIT": PIN})
    with pytest.raises(ConfigurationError, match="each number once"):
        load_pins(path)


def test_refusal_of_a_request_that_is_not_about_a_missing_contract_is_no_empty_answer(desk: Desk) -> None:
    asked = wire_contract(small_world()[0]["CSPX"], desk.contracts._book().contract("CSPX"))

    def refuse(_request: object) -> object:
        raise RequestRefused(321, "expired in 200 days")

    refusing = ContractDesk(desk.session, desk.contracts._book, {})
    refusing._session = SimpleNamespace(call=refuse)  # type: ignore[assignment]
    with pytest.raises(RequestRefused, match="321"):
        refusing.details(asked)
