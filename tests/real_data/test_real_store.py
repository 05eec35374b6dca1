"""Known facts of the shared market data, looked up in the store that is built from it."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.universe import load_universe
from engine.model.instruments import ExpiryRule
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.panel import MarketPanel
from tasks.adapters.calendars import FIRST_DAY, session_table
from tasks.adapters.store import PROBLEMS, open_store, store_summary
from tasks.adapters.store_index import read_index
from tasks.adapters.store_reading import RECORD_GAP
from tasks.adapters.store_world import records_begin, records_end
from tests.real_data.store_fixture import real_store

__all__ = ["real_store"]
pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def universe() -> Universe:
    return load_universe("history")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> SessionTable:
    return session_table(date(2004, 1, 1), date(2021, 12, 31), tmp_path_factory.mktemp("calendars"))


@pytest.fixture(scope="module")
def problems(real_store: Path) -> pd.DataFrame:
    return pd.read_parquet(real_store / PROBLEMS)


def read(
    store: Path, universe: Universe, sessions: SessionTable, first: date, last: date, *ids: str
) -> MarketPanel:
    return open_store(store, universe, first, last, sessions, ids)


def close_on(panel: MarketPanel, contract_id: str, day: date) -> float:
    return float(panel.series[contract_id].close[panel.dates.index(day)])


def test_store_holds_every_line_of_the_history_profile(real_store: Path, universe: Universe) -> None:
    known = set(store_summary(real_store).instrument_ids)
    history = {item.instrument_id for item in universe}
    assert history - known == set()


def test_units_and_multipliers_agree_with_the_instruments_file(real_store: Path) -> None:
    index = read_index(real_store)
    fund, history = load_universe("fund"), load_universe("history")
    futures = {item.instrument_id: item for world in (fund, history) for item in world if item.is_future}
    compared = {
        name: (line.multiplier, line.price_unit)
        for name, line in index.lines.items()
        if line.is_future and name in futures
    }
    assert {"ES", "NQ", "FESX", "DAX", "FESB", "VX", "6E", "6B", "FGBL", "FOAT"} <= set(compared)
    assert compared == {
        name: (futures[name].multiplier, futures[name].price_unit.split(" ")[0]) for name in compared
    }
    assert Decimal(str(compared["6B"][0])) == Decimal(62500)


def test_london_shares_are_in_pence(real_store: Path, universe: Universe) -> None:
    lines = read_index(real_store).lines
    london = [item for item in universe if item.instrument_id.endswith(".L")]
    assert len(london) == 54
    assert {lines[item.instrument_id].price_unit for item in london} == {"GBX"}
    assert {item.price_magnifier for item in london} == {Decimal(100)}


def test_london_share_price_is_in_hundreds_of_pence(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2019, 1, 2), date(2019, 1, 31), "ULVR.L")
    # Unilever traded near 40 pounds in January 2019; adjustment for later dividends lowers it somewhat.
    assert 3000 < np.nanmin(panel.series["ULVR.L"].close) < np.nanmax(panel.series["ULVR.L"].close) < 4300


def test_sp500_future_has_its_recorded_close_of_13_october_2008(
    real_store: Path, universe: Universe, sessions: SessionTable, shared: Path
) -> None:
    day = date(2008, 10, 13)
    source = pd.read_parquet(shared / "market_data/futures/futures_daily.parquet")
    rows = source[(source["instrument"] == "SP500") & (source["date"] == pd.Timestamp(day))]
    panel = read(real_store, universe, sessions, date(2008, 10, 1), date(2008, 10, 20), "ES", "6E", "6B")
    assert int(rows["price_contract"].iloc[0]) == 20081200
    assert close_on(panel, "ES_20081219", day) == float(rows["price"].iloc[0])


def test_currency_futures_have_no_row_on_13_october_2008(
    real_store: Path, universe: Universe, sessions: SessionTable, problems: pd.DataFrame
) -> None:
    day = date(2008, 10, 13)
    panel = read(real_store, universe, sessions, date(2008, 10, 1), date(2008, 10, 20), "ES", "6E", "6B")
    row = panel.dates.index(day)
    for name in ("6E", "6B"):
        assert all(np.isnan(panel.series[c.contract_id].close[row]) for c in panel.chains[name])
        assert np.isnan(panel.returns[name][row])
        assert np.isfinite(panel.returns[name][row + 1])
        assert ((problems["instrument"] == name) & (problems["date"] == day)).any()


def test_bund_ends_on_18_march_2020_and_its_contracts_end_with_it(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2020, 2, 3), date(2020, 4, 30), "FGBL", "ES")
    priced = np.isfinite(panel.returns["FGBL"])
    assert max(day for day, known in zip(panel.dates, priced, strict=True) if known) == date(2020, 3, 18)
    assert {c.first_notice_date for c in panel.chains["FGBL"] if c.first_notice_date} >= {date(2020, 3, 18)}
    assert all(
        c.roll_deadline is not None and c.roll_deadline <= date(2020, 3, 18) for c in panel.chains["FGBL"]
    )


def test_vix_future_begins_in_november_2005(real_store: Path) -> None:
    assert read_index(real_store).lines["VX"].first == date(2005, 11, 25)


def test_vix_index_is_the_recorded_one(real_store: Path, universe: Universe, sessions: SessionTable) -> None:
    panel = read(real_store, universe, sessions, date(2018, 2, 1), date(2018, 2, 9), "ES")
    # The index closed at 37.32 on 2018-02-05 after 17.31 on the day before.
    assert panel.vix[panel.dates.index(date(2018, 2, 5))] == 37.32
    assert panel.vix[panel.dates.index(date(2018, 2, 2))] == 17.31
    assert np.isnan(panel.v2x).all()


def test_apple_split_seven_for_one_and_paid_its_dividends(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2012, 8, 1), date(2014, 8, 29), "AAPL")
    assert [
        (s.ex_date, s.new_shares, s.old_shares) for s in panel.splits if s.ex_date < date(2014, 9, 1)
    ] == [(date(2014, 6, 9), 7, 1)]
    assert close_on(panel, "AAPL", date(2014, 6, 6)) == 645.57
    assert close_on(panel, "AAPL", date(2014, 6, 9)) == pytest.approx(93.70, abs=0.005)
    # Apple paid 2.65 a share in August 2012, with the ninth as ex-date.
    first = panel.dividends[0]
    assert first.ex_date == date(2012, 8, 9)
    assert float(first.amount) == pytest.approx(2.65, abs=1e-3)
    assert panel.total_return == frozenset()


def test_apple_total_return_is_continuous_with_the_factors_of_the_source(
    real_store: Path, universe: Universe, sessions: SessionTable, shared: Path
) -> None:
    """Total return = raw price × price factor × split factor, each of which holds up to and on its date."""
    panel = read(real_store, universe, sessions, date(2004, 1, 5), date(2020, 6, 30), "AAPL")
    folder = shared / "market_data/equities_daily"
    prices = pd.read_parquet(folder / "us_lean_daily_raw.parquet")
    prices = prices[prices["symbol"] == "AAPL"].set_index("date")["close"]
    factors = pd.read_csv(folder / "us_lean_corporate_actions.csv", parse_dates=["date"])
    factors = factors[factors["symbol"] == "AAPL"]
    until = factors["date"].to_numpy()
    rows = np.searchsorted(until, prices.index.to_numpy())
    product = (factors["price_factor"] * factors["split_factor"]).to_numpy()
    expected = (prices * product[rows]).pct_change()
    found = pd.Series(panel.returns["AAPL"], index=pd.DatetimeIndex(panel.dates)).dropna()
    assert len(found) > 4000
    assert (found - expected.reindex(found.index)).abs().max() < 5e-4


def test_apple_return_over_its_split_is_small(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2014, 6, 2), date(2014, 6, 13), "AAPL")
    # 93.70 × 7 = 655.9 against 645.57.
    assert panel.returns["AAPL"][panel.dates.index(date(2014, 6, 9))] == pytest.approx(0.0160, abs=5e-4)


def test_adjusted_etf_is_total_return_and_pays_nothing(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2015, 1, 2), date(2015, 12, 31), "LQD", "IWM", "A")
    assert panel.total_return == {"LQD", "A"}
    assert {dividend.instrument_id for dividend in panel.dividends} == {"IWM"}


def test_between_rolls_price_and_adjusted_price_move_alike_in_every_future(
    real_store: Path, problems: pd.DataFrame
) -> None:
    assert (problems["kind"] == "adjustment").sum() == 0
    for line in read_index(real_store).lines.values():
        if not line.is_future:
            continue
        rows = pd.read_parquet(real_store / f"daily/{line.instrument_id}.parquet")
        held = (rows["contract"].diff() == 0).to_numpy()
        moved = (rows["close"].diff() - rows["adj_price"].diff()).to_numpy()
        assert np.abs(moved[held]).max() < 1e-6, line.instrument_id


def test_rolls_that_differ_are_listed_per_instrument(problems: pd.DataFrame) -> None:
    differing = Counter(problems.loc[problems["kind"] == "roll_differs", "instrument"])
    without = Counter(problems.loc[problems["kind"] == "roll_without_pair", "instrument"])
    # Counted apart from the importer, on the shared file itself.
    assert {name: differing[name] for name in ("ES", "NQ", "FESX", "DAX", "FESB", "VX", "6E", "6B", "FGBL", "FOAT")} == {
        "ES": 3, "NQ": 8, "FESX": 1, "DAX": 36, "FESB": 31, "VX": 41, "6E": 2, "6B": 6, "FGBL": 0, "FOAT": 6,
    }  # fmt: skip
    assert without["FGBL"] > without["ES"] > 0


def test_contract_ids_follow_the_expiry_rules(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(
        real_store, universe, sessions, date(2016, 1, 4), date(2016, 4, 29), "ES", "VX", "6E", "FGBL"
    )
    ids = {name: {c.contract_id for c in chain} for name, chain in panel.chains.items()}
    # Third Friday of March; 30 days before the third Friday of April; two business days before the third
    # Wednesday (16th); two before the 10th.
    assert {"ES_20160318", "ES_20160617"} <= ids["ES"]
    assert "VX_20160316" in ids["VX"]
    assert "6E_20160314" in ids["6E"]
    assert "FGBL_20160308" in ids["FGBL"]
    assert universe["ES"].expiry_rule is ExpiryRule.THIRD_FRIDAY


def test_contract_has_a_price_on_the_last_day_of_its_record_and_none_in_the_next_sessions(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2015, 1, 5), date(2017, 12, 29), "ES", "NQ", "VX", "6E")
    checked = 0
    for chain in panel.chains.values():
        for contract in chain:
            day = contract.first_notice_date
            if day is None or not panel.dates[0] <= day <= panel.dates[-1]:
                continue
            close = panel.series[contract.contract_id].close
            assert np.isfinite(close[panel.dates.index(day)]), contract.contract_id
            row = panel.dates.index(day)
            assert np.isnan(close[row + 1 : row + 2 + RECORD_GAP]).all(), contract.contract_id
            checked += 1
    assert checked > 50


def test_record_of_a_contract_ends_where_a_long_gap_begins(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2015, 8, 3), date(2015, 10, 30), "VX")
    october = next(c for c in panel.chains["VX"] if c.contract_id == "VX_20151021")
    # Priced until 24 August, then the carry of November: with a price until 14 September and on two days of October.
    assert october.first_notice_date == date(2015, 9, 14)
    close = panel.series["VX_20151021"].close
    assert float(close[panel.dates.index(date(2015, 10, 1))]) == 22.5


def test_sp500_future_lacks_83_weekdays_from_september_2018_to_june_2019(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2018, 9, 3), date(2019, 6, 28), "ES")
    priced = np.isfinite(panel.returns["ES"])
    # 215 weekdays; the source's README counts 131 to 147 rows for the lines with gaps.
    assert len(panel.dates) == 215
    assert len(panel.dates) - int(priced.sum()) == 83
    assert any(note.startswith("ES: gap ×") for note in panel.notes)


def test_late_rows_of_the_vix_future_in_the_first_quarter_of_2018_are_named(problems: pd.DataFrame) -> None:
    late = problems[(problems["instrument"] == "VX") & (problems["kind"] == "late_rows")]
    assert [day for day in late["date"] if day.year == 2018] == [date(2018, 3, 28)]


def test_source_change_of_the_franc_is_named(problems: pd.DataFrame) -> None:
    found = problems[(problems["instrument"] == "CHFUSD") & (problems["kind"] == "source_change")]
    assert list(found["date"]) == [date(2019, 1, 2)]


def test_real_jump_of_sterling_is_named_for_a_second_source(problems: pd.DataFrame) -> None:
    found = problems[(problems["instrument"] == "GBPUSD") & (problems["kind"] == "jump")]
    assert date(2016, 6, 24) in set(found["date"])


def test_goog_is_not_taken_from_the_unadjusted_file(real_store: Path) -> None:
    index = read_index(real_store)
    assert "us_lean" not in index.lines["GOOG"].source
    assert any(note.startswith("GOOG is not imported") for note in index.notes)


def test_accounts_are_known_only_after_the_time_to_file(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2015, 1, 12), date(2016, 12, 30), "AAL", "MMM")
    assert panel.fundamentals
    assert {record.filed_on - record.period_end for record in panel.fundamentals} == {timedelta(days=90)}
    american = next(
        r for r in panel.fundamentals if r.instrument_id == "AAL" and r.period_end == date(2012, 12, 31)
    )
    # Gross profit 14,356 of assets 23,510 million; equity was negative, so its ratios say nothing.
    assert american.gross_profit_to_assets == pytest.approx(14356 / 23510, abs=1e-4)
    assert american.return_on_equity is None
    assert american.interest_coverage[0] == pytest.approx(-1813 / 632, abs=1e-4)
    assert american.interest_coverage[1:] == (None, None)


def test_crowded_rate_file_gives_dollar_pairs_and_their_cross(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    panel = read(real_store, universe, sessions, date(2016, 6, 1), date(2016, 6, 30), "ES")
    assert {"EURUSD", "GBPUSD", "CHFUSD"} <= set(panel.fx)
    assert [pair for pair in panel.fx if not pair.endswith("USD")] == ["EURGBP"]
    # Sterling fell by about 8 % on the day after the referendum, by the New York close.
    row = panel.dates.index(date(2016, 6, 24))
    assert panel.fx["GBPUSD"][row] / panel.fx["GBPUSD"][row - 1] - 1 == pytest.approx(-0.08, abs=0.03)


def test_panel_does_not_depend_on_its_last_day(
    real_store: Path, universe: Universe, sessions: SessionTable
) -> None:
    ids = ("ES", "VX", "FESB", "AAPL", "LQD")
    short = read(real_store, universe, sessions, date(2019, 1, 2), date(2020, 2, 24), *ids)
    long = read(real_store, universe, sessions, date(2019, 1, 2), date(2020, 3, 31), *ids)
    days = len(short.dates)
    for contract_id, series in short.series.items():
        assert long.series[contract_id].contract == series.contract
        np.testing.assert_array_equal(long.series[contract_id].close[:days], series.close)
    for name, returns in short.returns.items():
        np.testing.assert_array_equal(long.returns[name][:days], returns)
    assert set(short.dividends) <= set(long.dividends)


def test_history_ends_with_its_futures_and_rates_although_some_funds_go_on(
    real_store: Path, universe: Universe
) -> None:
    assert store_summary(real_store, universe.ids).last_date == date(2024, 3, 28)
    assert records_end(real_store, universe) == date(2020, 8, 31)


def test_history_begins_the_day_after_its_last_needed_rate_begins(
    real_store: Path, universe: Universe
) -> None:
    # Futures are recorded from 1970 on, the euro and the pound from 1999-06-15 on.
    assert records_begin(real_store, universe) == date(1999, 6, 16)
    dollars = Universe(instruments=(universe["ES"],))
    assert store_summary(real_store, dollars.ids).first_date < FIRST_DAY
    assert records_begin(real_store, dollars) == FIRST_DAY + timedelta(days=1)  # before that no calendar


def test_history_of_shares_alone_ends_with_the_rate_of_their_currency(
    real_store: Path, universe: Universe
) -> None:
    only = {
        "BIL": date(2024, 3, 28),
        "RIO.L": date(2020, 8, 31),
    }  # in pounds, whose rate ends before the share
    for name, end in only.items():
        alone = Universe(instruments=(universe[name],))
        assert records_end(real_store, alone) == end
