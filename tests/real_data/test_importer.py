import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from engine.errors import StoreError
from tasks.adapters.store import PROBLEMS, store_summary
from tasks.adapters.store_index import read_index
from tests.real_data import mapping
from tests.real_data.build import build_store, main
from tests.real_data.problems import fx_problems, late_quarters, missing_rows, stamp_problems
from tests.real_data.source_folder import (
    WEEK,
    write,
    write_actions,
    write_futures,
    write_london_share,
    write_raw_share,
)
from tests.shared_data import REPOSITORY


def problems(store: Path, kind: str) -> list[tuple[str, date, str]]:
    table = pd.read_parquet(store / PROBLEMS)
    rows = table[table["kind"] == kind]
    return list(zip(rows["instrument"], rows["date"], rows["detail"], strict=True))


def test_folder_with_other_symbols_and_years_becomes_a_store(tmp_path: Path) -> None:
    write_futures(tmp_path / "in", "COCOA", [10.0, 11.0, 12.0, 13.0, 14.0])
    write_london_share(tmp_path / "in", "VOD.L", [400.0, 404.0, 404.0, 505.0, 500.0])
    write_raw_share(tmp_path / "in", "XYZ", [1.0, 2.0, 3.0, 4.0, 5.0])
    write_actions(tmp_path / "in", "XYZ", WEEK[0])
    build_store(tmp_path / "in", tmp_path / "store")
    summary = store_summary(tmp_path / "store")
    assert summary.instrument_ids == ("COCOA.FUT", "VOD.L", "XYZ")
    assert (summary.first_date, summary.last_date) == (date(2023, 3, 6), date(2023, 3, 10))
    assert "the source has no fx/fx_daily_best.csv.gz" in summary.notes


def test_unadjusted_share_without_its_actions_is_not_imported_and_named(tmp_path: Path) -> None:
    write_raw_share(tmp_path / "in", "XYZ", [1.0, 2.0, 3.0, 4.0, 5.0])
    write_london_share(tmp_path / "in", "VOD.L", [400.0] * 5)
    index = build_store(tmp_path / "in", tmp_path / "store")
    assert set(index.lines) == {"VOD.L"}
    assert any(note.startswith("XYZ is not imported") for note in index.notes)


def test_future_without_a_multiplier_is_not_imported_and_named(tmp_path: Path) -> None:
    write_futures(tmp_path / "in", "COCOA", [10.0] * 5)
    facts = {"instrument": ["OTHER"], "pointsize": [1.0], "currency": ["USD"], "lean_multiplier": [None]}
    write(tmp_path / "in", "futures/instruments.csv", facts)
    write_london_share(tmp_path / "in", "VOD.L", [400.0] * 5)
    index = build_store(tmp_path / "in", tmp_path / "store")
    assert set(index.lines) == {"VOD.L"}
    assert "future COCOA is not imported: its multiplier and currency are in no file" in index.notes


def test_folder_with_nothing_usable_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(StoreError, match="no line that can be imported"):
        build_store(tmp_path / "in", tmp_path / "out" / "store")
    assert list((tmp_path / "out").iterdir()) == []


def test_command_line_reports_a_missing_source_with_its_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--source", str(tmp_path / "nowhere"), "--store", str(tmp_path / "store")]) == 2
    assert "found none" in capsys.readouterr().err


def test_module_runs_as_a_command(tmp_path: Path) -> None:
    write_london_share(tmp_path / "in", "VOD.L", [400.0] * 5)
    command = [
        sys.executable,
        "-m",
        "tests.real_data.build",
        "--source",
        str(tmp_path / "in"),
        "--store",
        str(tmp_path / "store"),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "1 lines, 2023-03-06 to 2023-03-10" in done.stdout


def test_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    write_london_share(tmp_path / "in", "VOD.L", [400.0, 404.0, 404.0, 505.0, 500.0])
    first = build_store(tmp_path / "in", tmp_path / "first")
    second = build_store(tmp_path / "in", tmp_path / "second")
    assert first.digest == second.digest
    assert (tmp_path / "first" / "store.yaml").read_bytes() == (
        tmp_path / "second" / "store.yaml"
    ).read_bytes()


def test_new_store_takes_the_place_of_the_old_one_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    write_london_share(tmp_path / "in", "VOD.L", [400.0] * 5)
    build_store(tmp_path / "in", tmp_path / "out" / "store")
    write_london_share(tmp_path / "in", "AZN.L", [400.0] * 5)
    build_store(tmp_path / "in", tmp_path / "out" / "store")
    assert set(read_index(tmp_path / "out" / "store").lines) == {"AZN.L"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["store"]


def test_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    write_london_share(tmp_path / "in", "VOD.L", [400.0] * 5)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="nothing was changed"):
        build_store(tmp_path / "in", tmp_path / "precious")
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["letter.txt"]


def test_draft_of_a_killed_writer_is_removed_and_of_a_running_one_is_not(tmp_path: Path) -> None:
    write_london_share(tmp_path / "in", "VOD.L", [400.0] * 5)
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    (tmp_path / f".store.draft-{finished.pid}").mkdir()
    (tmp_path / f".store.draft-{os.getppid()}").mkdir()
    build_store(tmp_path / "in", tmp_path / "store")
    assert [path.name for path in tmp_path.glob(".store.*")] == [f".store.draft-{os.getppid()}"]


def test_index_names_every_file_with_its_checksum(tmp_path: Path) -> None:
    write_london_share(tmp_path / "in", "VOD.L", [400.0] * 5)
    build_store(tmp_path / "in", tmp_path / "store")
    said = yaml.safe_load((tmp_path / "store" / "store.yaml").read_text())
    files = {str(path.relative_to(tmp_path / "store")) for path in (tmp_path / "store").rglob("*.parquet")}
    assert set(said["checksums"]) == {*files, "store.yaml"}
    assert said["provenance"].keys() == {"equities_daily/ftse100_daily_adjclose.parquet"}
    assert str(tmp_path) not in (tmp_path / "store" / "store.yaml").read_text()


def test_split_put_aside_is_a_problem_and_no_split(tmp_path: Path) -> None:
    write_raw_share(tmp_path / "in", "XYZ", [100.0] * 5)
    write_actions(tmp_path / "in", "XYZ", WEEK[1], split=1.0027)
    build_store(tmp_path / "in", tmp_path / "store")
    assert problems(tmp_path / "store", "split_put_aside") == [
        ("XYZ", date(2023, 3, 8), "ratio 1.002700 is no split of whole shares")
    ]
    assert not (tmp_path / "store" / "splits").exists()


def test_action_after_the_last_row_is_left_out_and_counted(tmp_path: Path) -> None:
    write_raw_share(tmp_path / "in", "XYZ", [100.0] * 5)
    write_actions(tmp_path / "in", "XYZ", WEEK[4], dividend=1.0)
    index = build_store(tmp_path / "in", tmp_path / "store")
    assert "XYZ: 1 corporate actions after its last row are left out" in index.notes
    assert not (tmp_path / "store" / "dividends").exists()


def test_roll_that_differs_from_its_recorded_pair_is_named(tmp_path: Path) -> None:
    # June stood at 4010 on Wednesday and at 4020 on Thursday: the contract moved by 10, the adjusted price by 12.
    write_futures(
        tmp_path / "in",
        "EUROSTX",
        [3960.0, 3980.0, 4000.0, 4020.0, 4000.0],
        contract=[20230300, 20230300, 20230300, 20230600, 20230600],
        forward=[3970.0, 3990.0, 4010.0, None, None],
        adjusted=[3968.0, 3988.0, 4008.0, 4020.0, 4000.0],
    )
    # March's next contract in this folder is December by the helper's rule; the pair must be March and June.
    path = tmp_path / "in" / "futures/futures_daily.parquet"
    table = pd.read_parquet(path)
    table.loc[:2, ["carry_contract", "forward_contract"]] = 20230600
    table.to_parquet(path, index=False)
    build_store(tmp_path / "in", tmp_path / "store")
    assert problems(tmp_path / "store", "roll_differs") == [
        ("FESX", date(2023, 3, 9), "202303 to 202306: the contract moves by 10, the adjusted price by 12")
    ]


def test_roll_without_a_recorded_pair_is_named(tmp_path: Path) -> None:
    codes = [20230300, 20230300, 20230300, 20230600, 20230600]
    write_futures(tmp_path / "in", "EUROSTX", [3960.0, 3980.0, 4000.0, 4020.0, 4000.0], contract=codes)
    build_store(tmp_path / "in", tmp_path / "store")
    assert problems(tmp_path / "store", "roll_without_pair") == [
        ("FESX", date(2023, 3, 9), "202303 to 202306")
    ]


def test_adjusted_price_that_departs_between_rolls_is_named(tmp_path: Path) -> None:
    write_futures(tmp_path / "in", "EUROSTX", [1.0, 2.0, 3.0, 4.0, 5.0], adjusted=[1.0, 2.0, 3.5, 4.5, 5.5])
    build_store(tmp_path / "in", tmp_path / "store")
    assert problems(tmp_path / "store", "adjustment") == [
        ("FESX", date(2023, 3, 8), "price moves by 1, the adjusted price by 1.5")
    ]


def test_crossed_bar_is_named_and_kept(tmp_path: Path) -> None:
    write_raw_share(tmp_path / "in", "XYZ", [100.0] * 5)
    path = tmp_path / "in" / "equities_daily/us_lean_daily_raw.parquet"
    table = pd.read_parquet(path)
    table.loc[2, "high"] = 99.0
    table.to_parquet(path, index=False)
    write_actions(tmp_path / "in", "XYZ", WEEK[0])
    build_store(tmp_path / "in", tmp_path / "store")
    assert [row[:2] for row in problems(tmp_path / "store", "bar_violation")] == [("XYZ", date(2023, 3, 8))]
    assert pd.read_parquet(tmp_path / "store/daily/XYZ.parquet")["high"].tolist()[2] == 99.0


def test_line_without_a_row_where_most_trade_is_named() -> None:
    days = np.array(WEEK, dtype="datetime64[D]")
    found = list(missing_rows({"A": days, "B": days, "C": np.delete(days, 2)}))
    assert [(p.instrument, p.date, p.kind) for p in found] == [("C", date(2023, 3, 8), "missing_row")]


def test_day_without_anyone_is_a_holiday_and_no_problem() -> None:
    days = np.delete(np.array(WEEK, dtype="datetime64[D]"), 2)
    assert list(missing_rows({"A": days, "B": days})) == []


def test_gap_of_three_weekdays_is_named_even_when_all_share_it() -> None:
    days = np.array([WEEK[0], WEEK[4]], dtype="datetime64[D]")
    (found, _) = missing_rows({"A": days, "B": days})
    assert (found.kind, found.detail) == ("gap", "no row from 2023-03-07 to 2023-03-09, weekdays: 3")


def test_repeated_price_at_the_stale_hour_is_named() -> None:
    rows = pd.DataFrame(
        {
            "date": pd.to_datetime(list(WEEK)),
            "price": [1.0, 1.0, 2.0, 2.0, 2.0],
            "price_contract": [1, 1, 1, 1, 2],
            "snapshot_time": ["23:00:00", "23:00:00", "23:00:00", "21:00:00", "23:00:00"],
            "n_snapshots": [5, 5, 5, 9, 5],
        }
    )
    # Tuesday repeats Monday; Thursday is stamped earlier; Friday is another contract.
    assert [problem.date for problem in stamp_problems("ES", rows)] == [date(2023, 3, 7)]


def test_future_a_day_behind_its_index_is_named() -> None:
    days = pd.date_range("2023-01-02", "2023-03-31", freq="B")
    levels = 20 + np.cumsum(np.random.default_rng(5).standard_normal(len(days)))
    index = pd.DataFrame({"date": days, "close": levels})
    future = pd.DataFrame({"date": days[1:], "adj_price": levels[:-1]})
    (found,) = late_quarters("VX", future, index)
    assert (found.kind, found.date) == ("late_rows", date(2023, 3, 31))
    assert found.detail.endswith("1.00 on the day before")


def test_rate_that_changes_its_source_or_jumps_is_named() -> None:
    rows = pd.DataFrame(
        {
            "date": pd.to_datetime(list(WEEK)),
            "rate": [1.0, 1.01, 1.02, 1.10, 1.10],
            "source": ["a", "a", "b", "b", "b"],
        }
    )
    assert [(p.date, p.kind) for p in fx_problems("EURUSD", rows)] == [
        (date(2023, 3, 8), "source_change"),
        (date(2023, 3, 9), "jump"),
    ]


@pytest.mark.parametrize(
    ("source", "instrument_id", "reason"),
    [
        ("SP500", "ES", "the fund's id"),
        ("EU-BANKS", "FESB", "a proxy"),
        ("GOLD", "GOLD.FUT", "not the fund's: its own name, apart from shares"),
    ],
)
def test_future_of_the_source_has_its_id(source: str, instrument_id: str, reason: str) -> None:
    assert mapping.future_id(source) == instrument_id, reason


def test_share_whose_symbol_is_a_future_is_renamed() -> None:
    assert (mapping.us_share_id("ES"), mapping.us_share_id("AAPL")) == ("ES.US", "AAPL")
