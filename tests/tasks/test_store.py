from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from engine.errors import StoreError, UnknownContract
from engine.model.instruments import Instrument
from engine.model.universe import Universe
from engine.simulation.panel import MarketPanel
from tasks.adapters.store import open_store, store_summary
from tests.engine.simulation.worlds import future, instrument, session_table
from tests.real_data.build import build_store
from tests.real_data.source_folder import (
    WEEK,
    write,
    write_actions,
    write_futures,
    write_london_share,
    write_raw_share,
)

MONDAY, FRIDAY = date(2023, 3, 6), date(2023, 3, 10)


def pence_share(name: str) -> Instrument:
    return instrument(name, currency="GBP", price_unit="GBX", price_magnifier=Decimal(100))


def world(*instruments: Instrument) -> Universe:
    return Universe(instruments=tuple(sorted(instruments, key=lambda item: item.instrument_id)))


def panel(
    store: Path,
    *instruments: Instrument,
    first: date = MONDAY,
    last: date = FRIDAY,
    only: tuple[str, ...] | None = None,
) -> MarketPanel:
    return open_store(store, world(*instruments), first, last, session_table(), only)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path, source: Path) -> Path:
    """One London share: 400, 404, 404, 505, 500 pence."""
    write_london_share(source, "VOD.L", [400.0, 404.0, 404.0, 505.0, 500.0])
    build_store(source, tmp_path / "store")
    return tmp_path / "store"


def test_share_returns_are_close_to_close(store: Path) -> None:
    returns = panel(store, pence_share("VOD.L")).returns["VOD.L"]
    assert np.isnan(returns[0])
    assert returns[1:] == pytest.approx([0.01, 0.0, 0.25, -5 / 505])


def test_line_marked_total_return_is_named_by_the_panel(store: Path) -> None:
    found = panel(store, pence_share("VOD.L"))
    assert found.total_return == {"VOD.L"}
    assert found.dividends == ()
    assert found.borrow_available == {"VOD.L": True}
    assert found.borrow_fee_bps == {}
    assert not found.generated


def test_first_day_of_a_later_range_has_the_return_from_the_day_before(store: Path) -> None:
    found = panel(store, pence_share("VOD.L"), first=date(2023, 3, 9))
    assert found.dates == (date(2023, 3, 9), date(2023, 3, 10))
    assert found.returns["VOD.L"][0] == pytest.approx(0.25)


def test_panel_beyond_the_last_row_has_no_price_there(store: Path) -> None:
    close = panel(store, pence_share("VOD.L"), last=date(2023, 3, 14)).series["VOD.L"].close
    assert close[:5].tolist() == [400.0, 404.0, 404.0, 505.0, 500.0]
    assert np.isnan(close[5:]).all()


def test_return_over_a_gap_sits_on_the_day_the_price_returns(tmp_path: Path, source: Path) -> None:
    write_london_share(source, "VOD.L", [400.0, 500.0], dates=(WEEK[0], WEEK[3]))
    build_store(source, tmp_path / "gap")
    returns = panel(tmp_path / "gap", pence_share("VOD.L")).returns["VOD.L"]
    assert returns[3] == pytest.approx(0.25)
    assert np.isnan(returns[[0, 1, 2, 4]]).all()


def test_split_and_dividend_make_no_false_return(tmp_path: Path, source: Path) -> None:
    # 100 to 51 with a split of 2:1 is +2 %; the raw fall of 49 % is no loss.
    write_raw_share(source, "AAPL", [100.0, 100.0, 51.0, 51.0, 51.0])
    write_actions(source, "AAPL", WEEK[1], split=1.999996)
    build_store(source, tmp_path / "split")
    found = panel(tmp_path / "split", instrument("AAPL"))
    assert found.returns["AAPL"][2] == pytest.approx(0.02)
    assert [(s.ex_date, s.new_shares, s.old_shares) for s in found.splits] == [(date(2023, 3, 8), 2, 1)]


def test_dividend_is_paid_on_its_ex_date_and_counts_as_return(tmp_path: Path, source: Path) -> None:
    write_raw_share(source, "AAPL", [100.0, 100.0, 99.5, 99.5, 99.5])
    write_actions(source, "AAPL", WEEK[1], dividend=0.5)
    build_store(source, tmp_path / "dividend")
    found = panel(tmp_path / "dividend", instrument("AAPL"))
    (paid,) = found.dividends
    assert (paid.ex_date, paid.pay_date, paid.amount) == (date(2023, 3, 8), date(2023, 3, 8), Decimal("0.5"))
    assert found.returns["AAPL"][2] == pytest.approx(0.0)
    assert found.total_return == frozenset()


def test_future_returns_divide_the_adjusted_move_by_the_price(tmp_path: Path, source: Path) -> None:
    # The roll of Thursday jumps from 4000 to 4020; the adjusted price moves by 10 only.
    write_futures(
        source,
        "EUROSTX",
        [3960.0, 3980.0, 4000.0, 4020.0, 4000.0],
        contract=[20230300, 20230300, 20230300, 20230600, 20230600],
        forward=[3970.0, 3990.0, 4010.0, None, None],
        adjusted=[3970.0, 3990.0, 4010.0, 4020.0, 4000.0],
    )
    write(
        source,
        "futures/instruments.csv",
        {"instrument": ["EUROSTX"], "pointsize": [10.0], "currency": ["EUR"], "lean_multiplier": [10.0]},
    )
    build_store(source, tmp_path / "future")
    returns = panel(tmp_path / "future", future("FESX")).returns["FESX"]
    assert returns[1:] == pytest.approx([20 / 3960, 20 / 3980, 10 / 4000, -20 / 4020])


def test_future_contracts_end_with_their_record(tmp_path: Path, source: Path) -> None:
    codes = [20230300, 20230300, 20230300, 20230600, 20230600]
    write_futures(source, "EUROSTX", [3960.0, 3980.0, 4000.0, 4020.0, 4000.0], contract=codes)
    build_store(source, tmp_path / "future")
    found = panel(tmp_path / "future", future("FESX"))
    # March 2023 stops trading on the third Friday, the 17th; June on the 16th. June's record runs to the store's end.
    assert [(c.contract_id, c.first_notice_date) for c in found.chains["FESX"]] == [
        ("FESX_20230317", date(2023, 3, 8)),
        ("FESX_20230616", None),
    ]
    assert found.series["FESX_20230616"].close[3:].tolist() == [4020.0, 4000.0]
    assert np.isnan(found.series["FESX_20230616"].close[:3]).all()
    assert np.isnan(found.series["FESX_20230616"].volume).all()


def test_forward_price_is_a_price_of_its_contract(tmp_path: Path, source: Path) -> None:
    forward = [3970.0, None, 4010.0, None, None]
    write_futures(source, "EUROSTX", [3960.0, 3980.0, 4000.0, 4020.0, 4000.0], forward=forward)
    build_store(source, tmp_path / "future")
    close = panel(tmp_path / "future", future("FESX")).series["FESX_20230915"].close
    assert close[[0, 2]].tolist() == [3970.0, 4010.0]
    assert np.isnan(close[[1, 3, 4]]).all()


def test_impossible_prices_are_left_out_and_named(tmp_path: Path, source: Path) -> None:
    write_london_share(source, "VOD.L", [400.0, -1.0, 404.0, 405.0, 500.0])
    build_store(source, tmp_path / "bad")
    found = panel(tmp_path / "bad", pence_share("VOD.L"))
    assert np.isnan(found.series["VOD.L"].close[1])
    assert found.returns["VOD.L"][2] == pytest.approx(0.01)
    assert "VOD.L: 1 rows without a possible price are left out (first 2023-03-07)" in found.notes


def test_repeated_date_keeps_its_first_row_and_is_named(tmp_path: Path, source: Path) -> None:
    dates = (WEEK[0], WEEK[1], WEEK[1], WEEK[2])
    write_london_share(source, "VOD.L", [400.0, 404.0, 999.0, 404.0], dates=dates)
    build_store(source, tmp_path / "twice")
    found = panel(tmp_path / "twice", pence_share("VOD.L"))
    assert found.series["VOD.L"].close[:3].tolist() == [400.0, 404.0, 404.0]
    assert "VOD.L: 1 rows with a repeated or earlier date are left out (first 2023-03-07)" in found.notes


def test_run_of_one_price_is_named(tmp_path: Path, source: Path) -> None:
    write_london_share(source, "VOD.L", [400.0] * 5)
    build_store(source, tmp_path / "stale")
    found = panel(tmp_path / "stale", pence_share("VOD.L"))
    assert "VOD.L: price unchanged for 5 rows to 2023-03-10" in found.notes


def test_what_a_quarter_s_rows_show_is_known_at_its_end(tmp_path: Path, source: Path) -> None:
    days = [
        str(day) for day in np.arange("2023-01-02", "2023-04-01", dtype="datetime64[D]") if np.is_busday(day)
    ]
    levels = [20.0 + (7 * row) % 11 for row in range(len(days))]
    write_futures(source, "VIX", [20.0, *levels[:-1]], dates=days, pointsize=1000.0, currency="USD")
    bars = {column: levels for column in ("open", "high", "low", "close", "volume")}
    write(source, "indices/indices_daily.csv.gz", {"symbol": ["VIX"] * len(days), "date": days, **bars})
    build_store(source, tmp_path / "late")
    found = panel(tmp_path / "late", future("VX"), first=date(2023, 1, 2), last=date(2023, 3, 31))
    (late,) = (problem for problem in found.problems if "late rows" in problem.text)
    assert (late.subject, late.first, late.last) == ("VX", date(2023, 3, 31), date(2023, 6, 30))


def test_absent_lines_and_indices_are_named(store: Path) -> None:
    found = panel(store, pence_share("VOD.L"), instrument("IWM"))
    assert "the store has no history of IWM" in found.notes
    assert "the store has no VIX index" in found.notes
    assert np.isnan(found.vix).all()


def test_exchange_rates_against_the_dollar_are_aligned(tmp_path: Path, source: Path) -> None:
    write_london_share(source, "VOD.L", [400.0] * 5)
    pairs = {
        "pair": ["GBPUSD", "GBPUSD", "EURGBP"],
        "date": [WEEK[0], WEEK[2], WEEK[0]],
        "rate": [1.2, 1.21, 0.88],
    }
    write(source, "fx/fx_daily_best.csv.gz", {**pairs, "source": ["a", "a", "a"]})
    build_store(source, tmp_path / "fx")
    fx = panel(tmp_path / "fx", pence_share("VOD.L")).fx
    assert set(fx) == {"GBPUSD"}
    assert fx["GBPUSD"][[0, 2]].tolist() == [1.2, 1.21]
    assert np.isnan(fx["GBPUSD"][1])


def test_cross_rate_of_two_pairs_against_the_dollar_is_kept(tmp_path: Path, source: Path) -> None:
    write_london_share(source, "VOD.L", [400.0] * 5)
    rows = {
        "pair": ["GBPUSD", "EURUSD", "EURGBP", "EURCHF"],
        "date": [WEEK[0]] * 4,
        "rate": [1.2, 1.08, 0.9, 0.95],
        "source": ["a"] * 4,
    }
    write(source, "fx/fx_daily_best.csv.gz", rows)
    build_store(source, tmp_path / "fx")
    fx = panel(tmp_path / "fx", pence_share("VOD.L")).fx
    assert set(fx) == {"GBPUSD", "EURUSD", "EURGBP"}  # 1.08 / 1.2 = 0.9; nobody tells the franc in dollars
    assert fx["EURGBP"][0] == 0.9


def test_range_before_the_store_is_refused_with_its_first_date(store: Path) -> None:
    with pytest.raises(StoreError, match=r"from 2023-03-06 on.*found 2023-03-03"):
        panel(store, pence_share("VOD.L"), first=date(2023, 3, 3))


def test_range_after_the_store_is_refused_with_its_last_date(store: Path) -> None:
    with pytest.raises(StoreError, match="up to 2023-03-10"):
        panel(store, pence_share("VOD.L"), first=date(2023, 3, 13), last=date(2023, 3, 14))


def test_unknown_instrument_is_refused(store: Path) -> None:
    with pytest.raises(UnknownContract, match="TSLA"):
        panel(store, pence_share("VOD.L"), only=("TSLA",))


def test_store_without_any_wanted_line_is_refused(store: Path) -> None:
    with pytest.raises(StoreError, match="found none of them"):
        panel(store, instrument("IWM"))


def test_other_price_unit_is_refused(store: Path) -> None:
    with pytest.raises(StoreError, match=r"VOD\.L in USD, found GBX"):
        panel(store, instrument("VOD.L"))


def test_other_multiplier_is_refused(tmp_path: Path, source: Path) -> None:
    write_futures(source, "EUROSTX", [4000.0] * 5, pointsize=25.0)
    build_store(source, tmp_path / "future")
    with pytest.raises(StoreError, match=r"multiplier 10 of FESX.*found 25"):
        panel(tmp_path / "future", future("FESX"))


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="found no folder there"):
        store_summary(tmp_path / "nowhere")


def test_half_written_store_is_refused(store: Path) -> None:
    (store / "store.yaml").unlink()
    with pytest.raises(StoreError, match="half written"):
        panel(store, pence_share("VOD.L"))


def test_altered_file_is_refused_by_name(store: Path) -> None:
    file = store / "daily" / "VOD.L.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"checksum .* of daily/VOD\.L\.parquet"):
        panel(store, pence_share("VOD.L"))


def test_missing_file_is_refused_by_name(store: Path) -> None:
    (store / "daily" / "VOD.L.parquet").unlink()
    with pytest.raises(StoreError, match=r"daily/VOD\.L\.parquet .* found no such file"):
        panel(store, pence_share("VOD.L"))


def test_altered_statement_is_refused(store: Path) -> None:
    file = store / "store.yaml"
    file.write_text(file.read_text().replace("total_return: true", "total_return: false"))
    with pytest.raises(StoreError, match=r"statements of .* altered"):
        store_summary(store)


def test_other_format_is_refused(store: Path) -> None:
    file = store / "store.yaml"
    file.write_text(file.read_text().replace("format: 1", "format: 9"))
    with pytest.raises(StoreError, match="format 1, found format 9"):
        store_summary(store)


def test_unreadable_index_is_refused(store: Path) -> None:
    (store / "store.yaml").write_text("{ nothing")
    with pytest.raises(StoreError, match="expected YAML"):
        store_summary(store)


def test_file_of_another_line_is_not_needed(store: Path, source: Path, tmp_path: Path) -> None:
    dates = {"symbol": ["VOD.L", "VOD.L", "AZN.L", "AZN.L"], "date": [*WEEK[:2], *WEEK[:2]]}
    write(
        source,
        "equities_daily/ftse100_daily_adjclose.parquet",
        {**dates, "adjusted_close": [1.0, 2.0, 3.0, 4.0]},
    )
    build_store(source, tmp_path / "two")
    (tmp_path / "two" / "daily" / "AZN.L.parquet").unlink()
    both = (pence_share("VOD.L"), pence_share("AZN.L"))
    found = panel(tmp_path / "two", *both, only=("VOD.L",))
    assert set(found.series) == {"VOD.L"}


def test_summary_tells_range_lines_and_digest(store: Path) -> None:
    summary = store_summary(store)
    assert (summary.first_date, summary.last_date) == (MONDAY, FRIDAY)
    assert summary.instrument_ids == ("VOD.L",)
    assert summary.digest == panel(store, pence_share("VOD.L")).digest


def test_summary_of_chosen_lines_tells_their_range(tmp_path: Path, source: Path) -> None:
    write_london_share(source, "VOD.L", [400.0, 404.0, 404.0], dates=WEEK[:3])
    write_raw_share(source, "AAPL", [100.0] * 5)
    write_actions(source, "AAPL", WEEK[0])
    build_store(source, tmp_path / "two")
    chosen = store_summary(tmp_path / "two", {"VOD.L", "TSLA"})
    assert (chosen.instrument_ids, chosen.last_date) == (("VOD.L",), date(2023, 3, 8))
    assert store_summary(tmp_path / "two").last_date == FRIDAY


def test_range_is_that_of_the_wanted_lines_and_not_of_others(tmp_path: Path, source: Path) -> None:
    write_london_share(source, "VOD.L", [400.0, 404.0], dates=WEEK[3:])
    write_raw_share(source, "AAPL", [100.0] * 5)
    write_actions(source, "AAPL", WEEK[0])
    build_store(source, tmp_path / "two")
    with pytest.raises(StoreError, match="from 2023-03-09 on"):
        panel(tmp_path / "two", pence_share("VOD.L"), first=MONDAY)
