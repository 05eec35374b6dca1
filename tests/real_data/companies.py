"""Annual accounts as the ratios that the screen reads.

The source says when a year ended, not when its accounts were filed: they count as known `FILING_DAYS` after the
period's end, the longest that a 10-K may take. Market value is not computed, for shares outstanding and prices
adjusted for later splits do not belong together; so Tobin's q is unknown as well.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.adapters.store import COVER

FILING_DAYS = 90


def company_columns(
    annual: pd.DataFrame, securities: pd.DataFrame, ids: dict[str, str]
) -> dict[str, np.ndarray]:
    """Columns of fundamentals/companies.parquet for the symbols in ``ids`` whose sector is known."""
    sectors = dict(zip(securities["Ticker Symbol"], securities["GICS Sector"], strict=True))
    rows = annual[annual["symbol"].isin(ids) & annual["symbol"].isin(sectors)]
    rows = rows.sort_values(["symbol", "period_ending"], ignore_index=True)
    period_end = rows["period_ending"].to_numpy().astype("datetime64[D]")
    assets, equity = _positive(rows["total_assets"]), _positive(rows["total_equity"])
    debt = rows["long_term_debt"] + rows["short_term_debt_current_portion_of_long_term_debt"]
    unknown = np.full(len(rows), np.nan)
    return {
        "instrument": rows["symbol"].map(ids).to_numpy(dtype=object),
        "period_end": period_end,
        "filed_on": period_end + np.timedelta64(FILING_DAYS, "D"),
        "sector": rows["symbol"].map(sectors).to_numpy(dtype=object),
        "return_on_equity": (rows["net_income"] / equity).to_numpy(),
        "gross_profit_to_assets": (rows["gross_profit"] / assets).to_numpy(),
        "debt_to_equity": (debt / equity).to_numpy(),
        "accruals_to_assets": ((rows["net_income"] - rows["net_cash_flow_operating"]) / assets).to_numpy(),
        "market_cap_usd": unknown,
        "tobin_q": unknown,
        **_interest_cover(rows),
    }


def _positive(values: pd.Series) -> pd.Series:
    """Values above zero: a ratio to negative equity says nothing."""
    return values.where(values > 0)


def _interest_cover(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """EBIT over interest of the year and the two before it; interest of 0 is not reported interest."""
    cover = rows["earnings_before_interest_and_tax"] / _positive(rows["interest_expense"].abs())
    year = rows["period_ending"].dt.year
    return {
        name: cover.groupby(rows["symbol"]).shift(back).where(year.groupby(rows["symbol"]).shift(back) == year - back)
        .to_numpy()
        for back, name in enumerate(COVER)
    }  # fmt: skip
