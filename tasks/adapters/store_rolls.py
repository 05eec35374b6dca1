"""Prices of the next contract in the last days of an old one, where the record lacks them.

A roll closes the old contract at its recorded price and opens the new one at its own, or at the old one's price plus
the last spread that was recorded between the two (R-119). Without any recorded spread there is no such price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np

ROLL_ROWS = 8
"""Rows before the end of a contract's record in which it may be due: the longest roll horizon and its weekends."""
_DECIMALS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadPrice:
    """A price of ``new`` on ``day`` that is the old contract's plus their spread of ``recorded``."""

    old: int
    new: int
    day: date
    recorded: date


def fill_from_spreads(
    dates: np.ndarray,
    closes: Mapping[int, np.ndarray],
    priced: Sequence[int],
    ends: Mapping[int, date | None],
) -> tuple[SpreadPrice, ...]:
    """Fill gaps of next contracts in place; says which prices were made.

    Parameters
    ----------
    dates : ndarray of datetime64[D]
        Rows of the record.
    closes : mapping contract code → ndarray
        Recorded prices by row, NaN where there is none; filled in place.
    priced : sequence of contract code
        Contracts in the order in which the record follows them.
    ends : mapping contract code → date or None
        Last day of each contract's record.
    """
    made: list[SpreadPrice] = []
    recorded = {code: np.isfinite(values) for code, values in closes.items()}
    for old, new in pairwise(priced):
        end = ends.get(old)
        if end is None or old not in closes or new not in closes:
            continue
        last_days = np.flatnonzero(recorded[old] & (dates <= np.datetime64(end)))[-ROLL_ROWS:]
        pairs = np.flatnonzero(recorded[old] & recorded[new])
        for row in last_days[~recorded[new][last_days]].tolist():
            before = int(np.searchsorted(pairs, row))
            if before == 0:
                continue
            pair = pairs[before - 1]
            spread = closes[new][pair] - closes[old][pair]
            closes[new][row] = np.round(closes[old][row] + spread, _DECIMALS)
            made.append(SpreadPrice(old=old, new=new, day=dates[row].item(), recorded=dates[pair].item()))
    return tuple(made)
