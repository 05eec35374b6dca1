"""Splits and dividends out of factor files: ratios snapped to whole shares, or put aside."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.accounting.corporate_actions import snapped_split_ratio
from tests.real_data.problems import Problem, days_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """Corporate actions of one symbol as columns of the store's files, and what was put aside."""

    dividends: dict[str, np.ndarray | pa.Array]
    splits: dict[str, np.ndarray]
    problems: tuple[Problem, ...]
    beyond: int


def corporate_actions(name: str, rows: pd.DataFrame, traded: np.ndarray) -> Actions:
    """Actions that fall on a traded day: each takes effect on the first row after its factor's date.

    ``traded`` are the dates of the symbol's prices. Factors before its first or from its last row on have no such
    day; ``beyond`` counts those after the last row.
    """
    effective = np.searchsorted(traded, days_of(rows), side="right")
    inside = (effective > 0) & (effective < len(traded))
    ex_dates = traded[np.minimum(effective, len(traded) - 1)]
    ratio = rows["implied_split_ratio_next_day"].to_numpy(dtype=np.float64)
    cash = rows["implied_cash_dividend_next_day"].to_numpy(dtype=np.float64)
    splits: list[tuple[np.datetime64, int, int]] = []
    problems: list[Problem] = []
    for row in np.flatnonzero(inside & np.isfinite(ratio)):
        snapped = snapped_split_ratio(Decimal(repr(float(ratio[row]))))
        if snapped is None:
            text = f"ratio {ratio[row]:.6f} is no split of whole shares"
            problems.append(
                Problem(instrument=name, date=ex_dates[row].item(), kind="split_put_aside", detail=text)
            )
        else:
            splits.append((ex_dates[row], *snapped))
    paid = np.flatnonzero(inside & np.isfinite(cash) & (cash > 0))
    # The factors have six decimals: amounts are right to about a millionth of the price, and are not rounded to cents.
    amounts = [Decimal(f"{cash[row]:.6f}") for row in paid]
    stated = np.isfinite(ratio) | np.isfinite(cash)
    return Actions(
        dividends={"ex_date": ex_dates[paid], "amount": pa.array(amounts, pa.decimal128(18, 6))},
        splits={
            "ex_date": np.array([item[0] for item in splits], dtype="datetime64[D]"),
            "new_shares": np.array([item[1] for item in splits], dtype=np.int64),
            "old_shares": np.array([item[2] for item in splits], dtype=np.int64),
        },
        problems=tuple(problems),
        beyond=int((stated & (effective >= len(traded))).sum()),
    )
