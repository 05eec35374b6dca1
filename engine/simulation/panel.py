"""One shape for every market history: generated worlds and stores of real data read the same way.

A `MarketPanel` holds daily facts from the first to the last known session. What a reader may see of it is cut
by date in `engine.simulation.pointintime`; the exchange draws its intraday paths from it in
`engine.simulation.paths`. NaN in an array means "no row that day", never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from engine.errors import InvariantError
from engine.model.instruments import Contract
from engine.model.market import Dividend, FundamentalRecord, Split, SymbolChange


@dataclass(frozen=True, slots=True, kw_only=True)
class DailySeries:
    """Daily bars of one contract, aligned to the panel's dates: arrays of shape (days,), float64, quote units.

    ``open``/``high``/``low``/``volume`` are NaN where they were not recorded; ``close`` is NaN where the contract
    had no price that day. Prices are unadjusted.
    """

    contract: Contract
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class DataProblem:
    """A fact about the records of an instrument, a pair or an index that a reader should know on these dates.

    ``first`` is the day from which it could be known: nobody is told before.
    """

    subject: str
    first: date
    last: date
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketPanel:
    """Daily facts of a market.

    Attributes
    ----------
    dates : tuple of date
        Every weekday of the panel, ascending: the row of all arrays.
    series : mapping contract id → DailySeries
        Shares and funds under their own id, futures under ``ROOT_YYYYMMDD``.
    returns : mapping instrument id → ndarray (days,)
        Total return in the instrument's currency on each day, NaN without a price (futures: of the held
        contract against its own previous price, so rolls make no return).
    fx : mapping pair (``EURUSD``) → ndarray (days,)
        Units of USD per unit of currency at the day's close.
    vix, v2x : ndarray (days,)
        Closes of the volatility indices.
    chains : mapping instrument id → tuple of Contract
        Every contract a future ever listed, by last trade date.
    implied_volatility : mapping option instrument id → ndarray (days,)
        At-the-money annual implied volatility of its underlying; empty where no options exist.
    total_return : frozenset of instrument id
        Lines whose prices already hold their dividends and pay none.
    problems : tuple of DataProblem
        What is wrong with recorded data, by date; nothing is wrong with generated data.
    """

    name: str
    generated: bool
    digest: str
    dates: tuple[date, ...]
    series: Mapping[str, DailySeries]
    returns: Mapping[str, np.ndarray]
    fx: Mapping[str, np.ndarray]
    vix: np.ndarray
    v2x: np.ndarray
    chains: Mapping[str, tuple[Contract, ...]]
    implied_volatility: Mapping[str, np.ndarray]
    dividends: tuple[Dividend, ...]
    splits: tuple[Split, ...]
    fundamentals: tuple[FundamentalRecord, ...]
    borrow_available: Mapping[str, bool]
    borrow_fee_bps: Mapping[str, float]
    total_return: frozenset[str]
    notes: tuple[str, ...]
    problems: tuple[DataProblem, ...] = ()
    symbol_changes: tuple[SymbolChange, ...] = ()

    def __post_init__(self) -> None:
        days = len(self.dates)
        if list(self.dates) != sorted(set(self.dates)):
            raise InvariantError("expected the panel's dates ascending, each once")
        for contract_id, series in self.series.items():
            if series.close.shape != (days,):
                raise InvariantError(f"{contract_id}: expected {days} rows, found {series.close.shape}")

    def row(self, day: date) -> int:
        """Row of the last date at or before ``day``; raises `InvariantError` before the first."""
        rows = (
            int(
                np.searchsorted(np.array(self.dates, dtype="datetime64[D]"), np.datetime64(day), side="right")
            )
            - 1
        )
        if rows < 0:
            raise InvariantError(f"{day} lies before the panel's first date {self.dates[0]}")
        return rows
