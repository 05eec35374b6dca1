"""A tiny source folder with made-up numbers in the layout of the shared market data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

WEEK = ("2023-03-06", "2023-03-07", "2023-03-08", "2023-03-09", "2023-03-10")


def write(folder: Path, name: str, columns: Mapping[str, object]) -> None:
    """Write one table of equally long columns, as parquet or CSV by its name; parquet dates as timestamps."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(dict(columns))
    if name.endswith(".parquet"):
        for column in frame.columns.intersection(["date"]):
            frame[column] = pd.to_datetime(frame[column])
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)


def write_futures(
    folder: Path,
    instrument: str,
    price: Sequence[float],
    *,
    dates: Sequence[str] = WEEK,
    contract: Sequence[int] | None = None,
    forward: Sequence[float | None] | None = None,
    adjusted: Sequence[float] | None = None,
    pointsize: float = 10.0,
    currency: str = "EUR",
) -> None:
    """Write one future; by default it holds June 2023 all along, with September as carry and forward."""
    held = list(contract or [20230600] * len(price))
    other = [20230900 if code == 20230600 else 20231200 for code in held]
    spread = list(forward or [None] * len(price))
    write(
        folder,
        "futures/futures_daily.parquet",
        {
            "instrument": [instrument] * len(price),
            "date": dates,
            "price": price,
            "price_contract": held,
            "carry": spread,
            "carry_contract": other,
            "forward": spread,
            "forward_contract": other,
            "snapshot_time": ["23:00:00"] * len(price),
            "n_snapshots": [1] * len(price),
            "adj_price": adjusted or price,
        },
    )
    write(
        folder,
        "futures/instruments.csv",
        {
            "instrument": [instrument],
            "pointsize": [pointsize],
            "currency": [currency],
            "lean_multiplier": [None],
        },
    )


def write_raw_share(
    folder: Path, symbol: str, close: Sequence[float], *, dates: Sequence[str] = WEEK
) -> None:
    """Write the unadjusted bars of one share: open, high and low equal the close."""
    bars = {column: close for column in ("open", "high", "low", "close")}
    columns = {"symbol": [symbol] * len(close), "date": dates, **bars, "volume": [1000] * len(close)}
    write(folder, "equities_daily/us_lean_daily_raw.parquet", columns)


def write_actions(
    folder: Path, symbol: str, date: str, *, dividend: float | None = None, split: float | None = None
) -> None:
    """Write one corporate action that takes effect on the first traded day after ``date``."""
    columns = {
        "symbol": [symbol],
        "date": [date],
        "price_factor": [1.0],
        "split_factor": [1.0],
        "reference_close": [100.0],
        "implied_cash_dividend_next_day": [dividend],
        "implied_split_ratio_next_day": [split],
    }
    write(folder, "equities_daily/us_lean_corporate_actions.csv", columns)


def write_london_share(
    folder: Path, symbol: str, close: Sequence[float], *, dates: Sequence[str] = WEEK
) -> None:
    """Write the adjusted closes of one London share, in pence."""
    columns = {"symbol": [symbol] * len(close), "date": dates, "adjusted_close": close}
    write(folder, "equities_daily/ftse100_daily_adjclose.parquet", columns)
