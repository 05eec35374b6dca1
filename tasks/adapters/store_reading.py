"""Files of a market data store as arrays of a panel: verified, cut to its dates, and with what is wrong with them.

Every file is read once, and its SHA-256 is taken of the bytes that are then parsed. NaN means "no row that day".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import StoreError
from engine.model.instruments import Contract, Instrument, future_contract_id
from engine.simulation.chains import last_trade_date
from engine.simulation.panel import DataProblem
from tasks.adapters.store_index import StoreIndex, StoreLine
from tasks.adapters.store_rolls import SpreadPrice, fill_from_spreads

STALE_ROWS = 5
"""Rows with one unchanged price from which a line is called stale."""
RECORD_GAP = 3
"""Weekdays that may be missing from a contract's record without ending it: as old as a mark may become."""
_LEGS = (("carry", "carry_contract"), ("forward", "forward_contract"), ("close", "contract"))
"""Prices and the contracts that they are of; the priced contract's own column wins, so it comes last."""
BAR = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFiles:
    """Verified reads of one store."""

    path: Path
    index: StoreIndex

    def has(self, name: str) -> bool:
        """Whether the store lists a file."""
        return name in self.index.checksums

    def read(self, name: str, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of a file; dates as ``datetime64[D]``, nulls of numbers as NaN.

        Raises `StoreError` when the file is not listed, missing, altered, or lacks a column.
        """
        expected = self.index.checksums.get(name)
        if expected is None:
            raise StoreError(
                f"expected {name} among the files of {self.path}, found it not listed in store.yaml"
            )
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError:
            raise StoreError(
                f"expected {name} in {self.path}, found no such file; build the store again"
            ) from None
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise StoreError(
                f"expected the checksum {expected[:12]} of {name} in {self.path}, found {found[:12]}: the file was"
                " altered or damaged; build the store again"
            )
        try:
            table = pq.ParquetFile(pa.BufferReader(data)).read(columns=list(columns), use_threads=False)
            return {column: table.column(column).to_numpy() for column in columns}
        except (KeyError, pa.ArrowException) as error:
            raise StoreError(f"expected columns {', '.join(columns)} in {name}, found {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Weekdays of a panel."""

    days: np.ndarray

    @classmethod
    def between(cls, first: date, last: date) -> Frame:
        """All weekdays from ``first`` to ``last``."""
        days = np.arange(np.datetime64(first), np.datetime64(last + timedelta(days=1)), dtype="datetime64[D]")
        return cls(days=days[np.is_busday(days)])

    @property
    def dates(self) -> tuple[date, ...]:
        """The weekdays as dates."""
        return tuple(self.days.tolist())

    def place(self, dates: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values of ascending dates on the panel's days, NaN elsewhere; dates off the panel are left out."""
        result = np.full(len(self.days), np.nan)
        rows = np.searchsorted(self.days, dates)
        on_panel = rows < len(self.days)
        on_panel[on_panel] = self.days[rows[on_panel]] == dates[on_panel]
        result[rows[on_panel]] = values[on_panel]
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRows:
    """Bars on the panel's days, the return of each, and what was found wrong."""

    bars: Mapping[str, np.ndarray]
    returns: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FutureRows:
    """Contracts with their closes on the panel's days, by last trade date; returns of the priced contract.

    ``problems`` name the closes that were not recorded, see `fill_from_spreads`.
    """

    contracts: tuple[Contract, ...]
    closes: tuple[np.ndarray, ...]
    returns: np.ndarray
    notes: tuple[str, ...]
    problems: tuple[DataProblem, ...]


def read_share(files: StoreFiles, line: StoreLine, frame: Frame) -> ShareRows:
    """Bars of a share or fund, and its total return.

    ``r = (close·n/m + dividend) / previous close − 1`` with n new for m old shares and the dividend per old share on
    the ex-date; lines whose prices hold their dividends have neither. A return over a gap sits on its last day.
    """
    table = files.read(f"daily/{line.instrument_id}.parquet", ("date", *BAR))
    table, notes = _sane(line, table)
    dates, close = table["date"], table["close"]
    grown, paid = _actions(files, line, dates)
    returns = np.full(len(close), np.nan)
    returns[1:] = (close * grown + paid)[1:] / close[:-1] - 1.0
    bars = {column: frame.place(dates, table[column]) for column in BAR}
    return ShareRows(
        bars=bars,
        returns=frame.place(dates, returns),
        notes=(*notes, *_stale(line.instrument_id, frame, dates, close)),
    )


def _actions(files: StoreFiles, line: StoreLine, dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Growth in shares and cash per old share on each row; an action between rows falls on the next row."""
    grown, paid = np.ones(len(dates)), np.zeros(len(dates))
    name = f"splits/{line.instrument_id}.parquet"
    if files.has(name):
        split = files.read(name, ("ex_date", "new_shares", "old_shares"))
        rows = np.searchsorted(dates, split["ex_date"])
        known = rows < len(dates)
        np.multiply.at(grown, rows[known], (split["new_shares"] / split["old_shares"])[known])
    name = f"dividends/{line.instrument_id}.parquet"
    if files.has(name):
        dividend = files.read(name, ("ex_date", "amount"))
        rows = np.searchsorted(dates, dividend["ex_date"])
        known = rows < len(dates)
        np.add.at(paid, rows[known], dividend["amount"].astype(np.float64)[known])
    return grown, paid


def read_future(
    files: StoreFiles, line: StoreLine, instrument: Instrument, frame: Frame, calendar: np.busdaycalendar
) -> FutureRows:
    """Contracts of a future that have a price on the panel's days.

    Returns are ``Δadj_price / previous price``. In a store the end of a contract's record plays the part of its
    first notice, so that it is left while it still has prices; see `_record_ends`.
    """
    legs = ("close", "carry", "forward")
    codes = ("contract", "carry_contract", "forward_contract")
    table = files.read(f"daily/{line.instrument_id}.parquet", ("date", *legs, *codes, "adj_price"))
    table, notes = _sane(line, table)
    dates, close = table["date"], table["close"]
    returns = np.full(len(close), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        returns[1:] = np.where(close[:-1] > 0, np.diff(table["adj_price"]) / close[:-1], np.nan)
    ends = _record_ends(table, line, files.index)
    on_panel = (dates >= frame.days[0]) & (dates <= frame.days[-1])
    closes = {code: _recorded(table, code) for code in _recorded_codes(table, on_panel)}
    followed = list(dict.fromkeys(table["contract"].tolist()))
    made = fill_from_spreads(dates, closes, followed, ends)
    contracts = {code: _contract(instrument, code, ends[code], calendar) for code in closes}
    order = sorted(contracts, key=lambda code: contracts[code].contract_id)
    return FutureRows(
        contracts=tuple(contracts[code] for code in order),
        closes=tuple(frame.place(dates, closes[code]) for code in order),
        returns=frame.place(dates, returns),
        notes=(*notes, *_stale(line.instrument_id, frame, dates, close)),
        problems=tuple(_spread_problem(line.instrument_id, contracts[item.new], item) for item in made),
    )


def _recorded(table: Mapping[str, np.ndarray], code: int) -> np.ndarray:
    values = np.full(len(table["date"]), np.nan)
    for leg, column in _LEGS:
        values = np.where((table[column] == code) & np.isfinite(table[leg]), table[leg], values)
    return values


def _spread_problem(name: str, contract: Contract, item: SpreadPrice) -> DataProblem:
    text = (
        f"{contract.contract_id}: no price recorded on {item.day}; it is that of the contract before it and their"
        f" spread of {item.recorded}, {int(np.busday_count(item.recorded, item.day))} weekdays old"
    )
    return DataProblem(subject=name, first=item.day, last=item.day, text=text)


def _recorded_codes(table: Mapping[str, np.ndarray], rows: np.ndarray) -> list[int]:
    parts = [table[column][rows & np.isfinite(table[leg])] for leg, column in _LEGS]
    return [int(code) for code in np.unique(np.concatenate(parts))]


def _record_ends(
    table: Mapping[str, np.ndarray], line: StoreLine, index: StoreIndex
) -> dict[int, date | None]:
    """Last day of each contract's unbroken record (code YYYYMM).

    It goes on from the last day as the priced contract while no more than `RECORD_GAP` weekdays are missing. What
    is recorded after a longer gap is a price, but nobody could have traded the contract in between.

    Contracts from the last priced one on have not ended by themselves: the record of their future has. They end
    with it when other futures of the store go on, and not at all when the whole store stops there.
    """
    ends: dict[int, date | None] = {}
    for code, days in _recorded_days(table).items():
        priced = table["date"][table["contract"] == code]
        start = int(np.searchsorted(days, priced[-1])) if len(priced) else len(days) - 1
        later = days[start:]
        broken = np.flatnonzero(np.busday_count(later[:-1], later[1:]) > RECORD_GAP + 1)
        ends[code] = later[broken[0] if len(broken) else -1].item()
    current = int(table["contract"][-1])
    stops = None if line.last == index.futures_end else line.last
    return {code: stops if code >= current else end for code, end in ends.items()}


def _recorded_days(table: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
    """Days on which each contract has a price, as the priced one or as the carry or forward of another."""
    codes, days = [], []
    for leg, column in _LEGS:
        priced = np.isfinite(table[leg])
        codes.append(table[column][priced].astype(np.int64))
        days.append(table["date"][priced])
    all_codes, all_days = np.concatenate(codes), np.concatenate(days)
    order = np.lexsort((all_days, all_codes))
    all_codes, all_days = all_codes[order], all_days[order]
    starts = np.flatnonzero(np.concatenate(([True], all_codes[1:] != all_codes[:-1])))
    parts = np.split(all_days, starts[1:])
    return {int(all_codes[start]): np.unique(part) for start, part in zip(starts, parts, strict=True)}


def _contract(instrument: Instrument, code: int, ends: date | None, calendar: np.busdaycalendar) -> Contract:
    expiry = last_trade_date(instrument.expiry_rule, code // 100, code % 100, calendar)
    return Contract(
        contract_id=future_contract_id(instrument.instrument_id, expiry),
        instrument_id=instrument.instrument_id,
        last_trade_date=expiry,
        first_notice_date=ends,
    )


def _sane(line: StoreLine, table: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Rows in order of their dates, each once, with a possible price; the rest is left out and named."""
    dates, close = table["date"], table["close"]
    ordered = np.ones(len(dates), dtype=bool)
    ordered[1:] = dates[1:] > np.maximum.accumulate(dates)[:-1]
    # A future may trade below zero; a share can not.
    possible = np.isfinite(close) & ((close > 0) | line.is_future)
    weekday = np.is_busday(dates)
    notes = [
        f"{line.instrument_id}: {int(bad.sum())} rows {text} are left out (first {dates[bad][0]})"
        for bad, text in (
            (~ordered, "with a repeated or earlier date"),
            (~possible, "without a possible price"),
            (~weekday, "on weekends"),
        )
        if bad.any()
    ]
    keep = ordered & possible & weekday
    if not keep.any():
        raise StoreError(
            f"expected rows with prices of {line.instrument_id}, found none; build the store again"
        )
    return {name: values[keep] for name, values in table.items()}, notes


def _stale(name: str, frame: Frame, dates: np.ndarray, close: np.ndarray) -> list[str]:
    """Name each run of unchanged closes on the panel's days."""
    inside = (dates >= frame.days[0]) & (dates <= frame.days[-1])
    days, prices = dates[inside], close[inside]
    if len(prices) < STALE_ROWS:
        return []
    starts = np.flatnonzero(np.concatenate(([True], prices[1:] != prices[:-1])))
    lengths = np.diff(np.concatenate((starts, [len(prices)])))
    return [
        f"{name}: price unchanged for {length} rows to {days[start + length - 1]}"
        for start, length in zip(starts, lengths, strict=True)
        if length >= STALE_ROWS
    ]
