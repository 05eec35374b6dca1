import csv
import re
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from config.policies import fund_policy
from config.settings import load_settings
from config.universe import (
    effective_digest,
    load_catalogue,
    load_universe,
    load_venues,
    universe_of,
    with_names,
)
from engine.errors import ConfigurationError
from engine.model.instruments import CollarClass, InstrumentType, VenueGroup
from engine.model.orders import Reason, Urgency
from engine.model.venues import StyleRule
from engine.model.windows import ExecutionStyle
from tests.config.folders import copied_configuration, edit

CATEGORIES = {
    "equity_index": 9,
    "us_sector_etf": 6,
    "eu_sector_etf": 6,
    "credit_carry": 5,
    "fx_futures": 6,
    "fx_spot": 4,
    "volatility": 3,
    "sovereign_bonds": 6,
    "us_single_name": 11,
    "eu_single_name": 11,
    "index_options": 3,
    "vol_options": 1,
    "credit_options": 2,
    "bank_options": 3,
}


def test_fund_counts_76_instruments_in_14_categories() -> None:
    counted = [instrument for instrument in load_universe("fund") if instrument.counted]

    assert len(counted) == 76
    assert Counter(instrument.category for instrument in counted) == CATEGORIES


def test_fund_adds_the_proxies_without_counting_them() -> None:
    universe = load_universe("fund")

    assert [instrument.instrument_id for instrument in universe if not instrument.counted] == ["FESB", "Z"]
    assert list(universe.ids) == sorted(universe.ids)


def test_facts_are_those_of_the_requirements_list(shared: Path) -> None:
    universe = load_universe("fund")
    with (shared / "spec" / "instruments.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 76
    for row in rows:
        found = universe[row["id"]]
        if row["id"] == "CS51":
            continue  # traded as its Xetra line, see below
        assert (found.category, found.ib_symbol, found.exchange) == (
            row["category"],
            row["ib_symbol"],
            row["exchange"],
        )
        assert (found.primary_exchange or "") == row["primary_exchange"]
        assert (found.currency, found.price_unit) == (row["currency"], row["price_unit"])
        assert (found.exposure_currency, found.multiplier) == (
            row["exposure_ccy"],
            Decimal(row["multiplier"]),
        )
        assert (found.collar_class.value, found.venue_group.value) == (row["collar_class"], row["venue"])
        assert (found.yahoo or "-") == row["yahoo"]
        assert found.price_magnifier == (100 if row["price_unit"] == "GBX" else 1)
        if row["tick"] not in ("rule", "0.05/0.10", "0.01/0.05"):
            assert [band.tick for band in found.tick_bands] == [Decimal(row["tick"])]


def test_cs51_is_traded_on_xetra_in_euro() -> None:
    found = load_universe("fund")["CS51"]

    assert (found.ib_symbol, found.primary_exchange, found.currency, found.yahoo) == (
        "SXRT",
        "IBIS2",
        "EUR",
        "SXRT.DE",
    )
    assert (found.venue, found.price_unit, found.exposure_currency) == ("XETRA", "EUR", "EUR")


@pytest.mark.parametrize(
    ("name", "effective"),
    [
        ("ES", "50"),
        ("IUKD", "0.01"),
        ("BT.A", "0.01"),
        ("Z", "10"),
        ("CSPX", "1"),
        ("6E", "125000"),
        ("6B", "62500"),
        ("6S", "125000"),
        ("M6E", "12500"),
        ("M6B", "6250"),
        ("MSF", "12500"),
        ("SPX_OPT", "100"),
    ],
)
def test_effective_multiplier_is_multiplier_over_magnifier(name: str, effective: str) -> None:
    assert load_universe("fund")[name].effective_multiplier == Decimal(effective)


@pytest.mark.parametrize(
    ("name", "price", "tick"),
    [
        ("ES", "6000", "0.25"),
        ("CSPX", "734.3", "0.1"),
        ("EXV1", "49.99", "0.005"),
        ("EXV1", "50", "0.01"),
        ("DBK", "15.2", "0.005"),
        ("BT.A", "180", "0.05"),
        ("SPX_OPT", "2.95", "0.05"),
        ("SPX_OPT", "3", "0.10"),
        ("VIX_OPT", "4", "0.05"),
    ],
)
def test_tick_follows_the_table_of_the_line(name: str, price: str, tick: str) -> None:
    assert load_universe("fund")[name].tick_at(Decimal(price)) == Decimal(tick)


@pytest.mark.parametrize(
    ("name", "days", "months"),
    [
        ("ES", 5, (3, 6, 9, 12)),
        ("FGBL", 5, (3, 6, 9, 12)),
        ("M6E", 3, (3, 6, 9, 12)),
        ("VX", 3, tuple(range(1, 13))),
    ],
)
def test_roll_days_and_listed_months(name: str, days: int, months: tuple[int, ...]) -> None:
    found = load_universe("fund")[name]

    assert (found.roll_days_before, found.months) == (days, months)


def test_roll_override_reaches_the_instruments() -> None:
    universe = universe_of(load_settings("fund", ["roll.overrides.bonds=7", "roll.days_before=4"]))

    assert (universe["FGBL"].roll_days_before, universe["VX"].roll_days_before) == (7, 4)


def test_funds_are_funds_and_shares_are_shares() -> None:
    universe = load_universe("fund")

    assert universe["CSPX"].kind is InstrumentType.ETF
    assert universe["ARCC"].kind is InstrumentType.STK
    assert universe["EUR.USD"].kind is InstrumentType.CASH


def test_history_holds_the_recorded_names() -> None:
    universe = load_universe("history")
    lists = load_catalogue().name_lists

    assert (len(lists["sp500"]), len(lists["ftse100"])) == (387, 54)
    assert all(name in universe for names in lists.values() for name in names)
    assert universe["ES"].kind is InstrumentType.FUT
    assert (universe["ES.US"].kind, universe["ES.US"].yahoo) == (InstrumentType.STK, "ES")
    assert universe["AAPL"].counted
    assert not universe["ABBV"].counted


def test_pence_names_are_worth_a_hundredth() -> None:
    found = load_universe("history")["BARC.L"]

    assert (found.currency, found.price_unit, found.ib_symbol, found.venue) == ("GBP", "GBX", "BARC", "LSE")
    assert found.notional(Decimal(1000), Decimal("150.5")) == Decimal(1505)


def test_name_lists_are_the_recorded_symbols(shared: Path) -> None:
    from pyarrow import parquet

    for name, file in (("sp500", "sp500_daily_2015_2020"), ("ftse100", "ftse100_daily_adjclose")):
        table = parquet.read_table(
            shared / "market_data" / "equities_daily" / f"{file}.parquet", columns=["symbol"]
        )
        assert set(table["symbol"].to_pylist()) == set(load_catalogue().file.name_lists[name].symbols)


def test_a_store_of_other_names_extends_the_universe() -> None:
    settings = load_settings("history")

    universe = with_names(universe_of(settings), "ftse100", ["BARC.L", "VOD.L"], settings)

    assert len(universe) == len(universe_of(settings)) + 1
    assert (universe["VOD.L"].price_magnifier, universe["VOD.L"].ib_symbol) == (100, "VOD")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["portfolio.core_long=[{instruments: [ESX]}]"],
            'in "portfolio.core_long", found "ESX"; did you mean "FESX"?',
        ),
        (["hedges.candidates.vix_calls=[VIX_OPTION]"], 'did you mean "VIX_OPT"?'),
        (["universe.include=[FESB]"], 'in "portfolio.short_proxies", found "Z"'),
        (["universe.include=[FESC, Z]"], 'expected an instrument of instruments.yaml, found "FESC"'),
        (
            ["universe.name_lists=[sp50]"],
            'expected a name list of instruments.yaml, found "sp50"; did you mean "sp500"?',
        ),
        (
            ["portfolio.core_long=[{to: 2020-01-01, instruments: [ES]}, {instruments: [NQ]}]"],
            "not to overlap",
        ),
        (
            ["portfolio.core_long=[{from: 2020-01-01, to: 2019-01-01, instruments: [ES]}]"],
            "to end after it begins",
        ),
        (
            ["execution_phase2.carry_realism.financing.day_count={USD: 360}"],
            "found none for CHF, EUR, GBP, SEK",
        ),
    ],
)
def test_name_that_leads_nowhere_is_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        universe_of(load_settings("fund", overrides))

    assert words in str(failure.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  MES:\n", "  ES:\n", '"instruments.ES" a second time'),
        ("  FESB:\n", "  NQ:\n", 'expected each id once, found "NQ"'),
        ("  spx_option: {0: 0.05, 3: 0.10}", "  spx_option: {1: 0.05}", "begin at a price of 0"),
        ("tick: spx_option", "tick: spx_opt", 'did you mean "spx_option"?'),
        ('underlying: JNK, yahoo: "JNK"', 'underlying: JUNK, yahoo: "JNK"', "as the underlying of JNK_OPT"),
        ('  BAS:\n    {name: "BASF"', "  BAS:\n    {name: 5", 'expected string for "instruments.BAS.name"'),
        (
            '{name: "E-mini S&P 500", category: equity_index',
            '{name: "E-mini S&P 500", category: equity',
            "equity_index",
        ),
        ('{name: "E-mini S&P 500", category', '{nam: "E-mini S&P 500", category', 'did you mean "name"?'),
    ],
)
def test_broken_instrument_line_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    root = copied_configuration(tmp_path)
    edit(root / "instruments.yaml", old, new)

    with pytest.raises(ConfigurationError) as failure:
        load_universe("fund", root)

    assert words in str(failure.value)
    assert "instruments.yaml" in str(failure.value)


def test_unknown_venue_of_an_instrument_is_refused(tmp_path: Path) -> None:
    root = copied_configuration(tmp_path)
    path = root / "instruments.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("venue: EURONEXT_PARIS", "venue: EURONEXT_PARI"))

    with pytest.raises(ConfigurationError, match='found "EURONEXT_PARI"; did you mean "EURONEXT_PARIS"'):
        load_universe("fund", root)


def test_pence_without_magnifier_is_refused(tmp_path: Path) -> None:
    root = copied_configuration(tmp_path)
    text = (root / "instruments.yaml").read_text(encoding="utf-8")
    broken = text.replace("price_unit: GBX, price_magnifier: 100", "price_unit: GBX, price_magnifier: 1", 1)
    assert broken != text
    (root / "instruments.yaml").write_text(broken, encoding="utf-8")

    with pytest.raises(ConfigurationError, match="price_magnifier 100 for quotes in pence"):
        load_universe("fund", root)


def test_every_instrument_trades_at_a_known_venue() -> None:
    book = load_venues()
    for profile in ("fund", "history"):
        for instrument in load_universe(profile):
            assert book.venue(instrument.venue).group is instrument.venue_group


def test_unknown_venue_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r'found "XETR"; did you mean "XETRA"\?'):
        load_venues().venue("XETR")


def test_venue_windows_are_the_ruled_ones() -> None:
    book = load_venues()

    european = [venue for venue in book.venues if venue.group is VenueGroup.EU]
    assert {(v.window.open_offset_minutes, v.window.close_offset_minutes) for v in european} == {(15, 10)}
    assert {v.window.after_new_york_open_minutes for v in european} == {15}
    assert (book.venue("FX").window.start_utc, book.venue("FX").window.end_utc) == ("07:00", "16:30")


def test_maintenance_windows_stand_in_their_own_time_zones() -> None:
    windows = {window.name: window for window in load_venues().maintenance}

    reset = windows["broker-reset-europe"]
    assert (reset.timezone, reset.start, reset.end, reset.days) == (
        "Europe/Berlin",
        "06:25",
        "07:45",
        (0, 1, 2, 3, 4, 6),
    )
    assert (windows["fx-pause"].timezone, windows["fx-pause"].start) == ("America/New_York", "16:55")


def test_effective_digest_follows_instruments_and_venues(tmp_path: Path) -> None:
    root = copied_configuration(tmp_path)
    settings = load_settings("fund", root=root)
    before = effective_digest(settings, root)
    assert before == effective_digest(load_settings("fund"))

    edit(root / "instruments.yaml", 'name: "Bund future"', 'name: "The Bund future"')

    assert effective_digest(settings, root) != before


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("{style: CLOSE_AUCTION, instruments: [ES]}", "expected shares and funds for CLOSE_AUCTION"),
        ("{style: CLOSE_AUCTION, instruments: [AAPLE]}", 'found "AAPLE"'),
        ("{style: CLOSE_AUCTION, venues: [NYSEE]}", 'found "NYSEE"'),
        ("{style: OPEN_AUCTION, venues: [CME]}", "expected venues with that auction"),
        ("{style: NOON}", "MIDDAY"),
        ("{style: CLOSE_AUCTION, reasons: [roll]}", "rebalance"),
    ],
)
def test_style_that_no_auction_can_serve_is_refused(rule: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        universe_of(load_settings("fund", [f"execution.styles=[{rule}]"]))


def test_style_reaches_the_policy() -> None:
    rule = "{style: CLOSE_AUCTION, venues: [NYSE], asset_classes: [STK], reasons: [rebalance]}"
    policy = fund_policy(load_settings("fund", [f"execution.styles=[{rule}]"]), date(2026, 6, 15))

    assert policy.execution.styles == (
        StyleRule(
            style=ExecutionStyle.CLOSE_AUCTION,
            instruments=(),
            venues=("NYSE",),
            asset_classes=(CollarClass.STK,),
            reasons=(Reason.REBALANCE,),
            urgencies=(Urgency.LOW, Urgency.NORMAL),
        ),
    )
    assert policy.windows["NYSE"].close_auction is not None
    assert policy.windows["CME"].close_auction is None
    assert [reset.name for reset in policy.resets] == [reset.name for reset in load_venues().maintenance]


def test_window_too_near_to_an_open_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leave out 30 minutes after the open"):
        universe_of(load_settings("fund", ["execution.avoid_first_minutes_after_open=30"]))


def test_auction_whose_cutoff_comes_before_its_first_minute_is_refused(tmp_path: Path) -> None:
    root = copied_configuration(tmp_path)
    venues = root / "venues.yaml"
    text = venues.read_text(encoding="utf-8")
    venues.write_text(text.replace("cutoff_minutes: -15", "cutoff_minutes: -40"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="first_minutes before cutoff_minutes"):
        load_venues(root)
