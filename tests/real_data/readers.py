"""Files of a source folder as tidy tables. A missing file is an empty table and is noted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FUTURES = "futures/futures_daily.parquet"
FUTURE_FACTS = "futures/instruments.csv"
FTSE = "equities_daily/ftse100_daily_adjclose.parquet"
SP500 = "equities_daily/sp500_daily_2015_2020.parquet"
ETF = "equities_daily/us_etf_daily_adjusted.parquet"
RAW = "equities_daily/us_lean_daily_raw.parquet"
ACTIONS = "equities_daily/us_lean_corporate_actions.csv"
FX = "fx/fx_daily_best.csv.gz"
INDICES = "indices/indices_daily.csv.gz"
ANNUAL = "fundamentals/us_annual_fundamentals.csv.gz"
SECURITIES = "fundamentals/us_securities.csv"

_PRICES = ("open", "high", "low", "close", "adjusted_close")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A folder laid out like the shared market data, and what was read of it."""

    folder: Path
    read: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def table(self, name: str, key: str) -> pd.DataFrame:
        """Rows of a file in the order of ``key`` and date, empty when the file is missing."""
        path = self.folder / name
        if not path.is_file():
            self.missing.append(name)
            return pd.DataFrame()
        self.read[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        frame = _parquet(path) if name.endswith(".parquet") else _csv(path)
        order = [column for column in (key, "date") if column in frame]
        return frame.sort_values(order, kind="stable", ignore_index=True)


def _parquet(path: Path) -> pd.DataFrame:
    table = pq.read_table(path)
    for column in _PRICES:
        if column in table.column_names and table.schema.field(column).type == pa.float32():
            # By way of text: 93.7 stored in 32 bits is 93.7, not 93.69999694824219.
            exact = table.column(column).cast(pa.string()).cast(pa.float64())
            table = table.set_column(table.column_names.index(column), column, exact)
    return _dated(table.to_pandas())


def _csv(path: Path) -> pd.DataFrame:
    # "NA" is a ticker and a country before it is a missing value.
    return _dated(pd.read_csv(path, keep_default_na=False, na_values=[""]))


def _dated(frame: pd.DataFrame) -> pd.DataFrame:
    for column in ("date", "period_ending"):
        if column in frame:
            frame[column] = (
                pd.to_datetime(frame[column]).to_numpy().astype("datetime64[D]").astype("datetime64[s]")
            )
    return frame


def by_symbol(frame: pd.DataFrame, key: str) -> dict[str, pd.DataFrame]:
    """Rows of each symbol, in the order of symbols."""
    if frame.empty:
        return {}
    return {str(symbol): rows for symbol, rows in frame.groupby(key, sort=True)}
