"""What is wrong with the records, found and named, never mended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

STALE_ROWS = 5
MISSING_WEEKDAYS = 3
FX_JUMP = 0.05
"""Move of a rate from which a second source is asked for (R-116)."""
PRICE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fact about the records of an instrument on a date."""

    instrument: str
    date: date
    kind: str
    detail: str


def days_of(frame: pd.DataFrame) -> np.ndarray:
    """Dates of a table as ``datetime64[D]``."""
    return np.asarray(frame["date"].to_numpy().astype("datetime64[D]"))


def bar_problems(
    name: str, days: np.ndarray, bars: Mapping[str, np.ndarray], futures: bool
) -> Iterator[Problem]:
    """Repeated dates, impossible prices, runs of one price, bars that contradict themselves."""
    close = bars["close"]
    repeated = np.concatenate(([False], days[1:] <= days[:-1]))
    impossible = ~np.isfinite(close) | ((close <= 0) & (not futures))
    for kind, rows, text in (
        ("duplicate_date", repeated, "date repeated or out of order"),
        ("impossible_price", impossible, "price not positive"),
        ("weekend_row", ~np.is_busday(days), "row on a weekend"),
        ("bar_violation", _contradictory(bars), "open or close outside low and high"),
    ):
        for row in np.flatnonzero(rows):
            yield Problem(instrument=name, date=days[row].item(), kind=kind, detail=text)
    for start, length in runs(close):
        if length >= STALE_ROWS:
            last = days[start + length - 1].item()
            yield Problem(instrument=name, date=last, kind="stale_run", detail=f"one price for {length} rows")


def runs(values: np.ndarray) -> Iterator[tuple[int, int]]:
    """First row and length of each run of equal values."""
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    lengths = np.diff(np.concatenate((starts, [len(values)])))
    yield from zip(starts.tolist(), lengths.tolist(), strict=True)


def _contradictory(bars: Mapping[str, np.ndarray]) -> np.ndarray:
    if "high" not in bars or "low" not in bars:
        return np.zeros(len(bars["close"]), dtype=bool)
    slack = 1e-6 * np.abs(bars["close"])
    # A NaN compares false: an absent open is no contradiction.
    low, high = bars["low"] - slack, bars["high"] + slack
    found = (low > high) | (bars["close"] < low) | (bars["close"] > high)
    if "open" in bars:
        found |= (bars["open"] < low) | (bars["open"] > high)
    return np.asarray(found)


def missing_rows(dates: Mapping[str, np.ndarray]) -> Iterator[Problem]:
    """Days on which at least half of a group traded and one line has no row, one problem for each run of days.

    Also names gaps of `MISSING_WEEKDAYS` weekdays or more that the whole group shares.
    """
    if not dates:
        return
    first = min(days[0] for days in dates.values())
    last = max(days[-1] for days in dates.values())
    calendar = np.arange(first, last + 1, dtype="datetime64[D]")
    calendar = calendar[np.is_busday(calendar)]
    present = {name: np.isin(calendar, days) for name, days in dates.items()}
    alive = {name: (calendar >= days[0]) & (calendar <= days[-1]) for name, days in dates.items()}
    share = np.sum(list(present.values()), axis=0) / np.maximum(np.sum(list(alive.values()), axis=0), 1)
    for name in dates:
        absent = alive[name] & ~present[name]
        missed = absent & (share >= 0.5)
        for start, length in runs(absent):
            rows = slice(start, start + length)
            if absent[start] and (missed[rows].any() or length >= MISSING_WEEKDAYS):
                text = f"no row from {calendar[start]} to {calendar[start + length - 1]}, weekdays: {length}"
                kind = "missing_row" if length < MISSING_WEEKDAYS else "gap"
                yield Problem(instrument=name, date=calendar[start].item(), kind=kind, detail=text)


def roll_problems(name: str, rows: pd.DataFrame) -> Iterator[Problem]:
    """Rolls at which the adjusted price moves otherwise than both contracts, or no pair of prices is recorded (R-119).

    Between rolls the two must move alike; where they do not, that is named too.
    """
    days, code = days_of(rows), rows["price_contract"].to_numpy(dtype=np.int64)
    price = rows["price"].to_numpy(dtype=np.float64)
    adjusted = rows["adj_price"].to_numpy(dtype=np.float64)
    held = np.concatenate(([True], code[1:] == code[:-1]))
    moves, shown = np.diff(price, prepend=np.nan), np.diff(adjusted, prepend=np.nan)
    for row in np.flatnonzero(held & (np.abs(moves - shown) > PRICE_TOLERANCE)):
        text = f"price moves by {moves[row]:.6g}, the adjusted price by {shown[row]:.6g}"
        yield Problem(instrument=name, date=days[row].item(), kind="adjustment", detail=text)
    legs = {
        leg: (rows[f"{leg}_contract"].to_numpy(dtype=np.int64), rows[leg].to_numpy(dtype=np.float64))
        for leg in ("carry", "forward")
    }
    for row in np.flatnonzero(~held):
        old, new = code[row - 1], code[row]
        pairs = [price[row] - value[row - 1] for codes, value in legs.values() if codes[row - 1] == new]
        pairs += [value[row] - price[row - 1] for codes, value in legs.values() if codes[row] == old]
        recorded = [move for move in pairs if np.isfinite(move)]
        turn = f"{old // 100} to {new // 100}"
        if not recorded:
            yield Problem(instrument=name, date=days[row].item(), kind="roll_without_pair", detail=turn)
            continue
        nearest = min(recorded, key=lambda move: abs(move - shown[row]))
        if abs(nearest - shown[row]) > PRICE_TOLERANCE:
            text = f"{turn}: the contract moves by {nearest:.6g}, the adjusted price by {shown[row]:.6g}"
            yield Problem(instrument=name, date=days[row].item(), kind="roll_differs", detail=text)


def stamp_problems(name: str, rows: pd.DataFrame) -> Iterator[Problem]:
    """Rows stamped 23:00 that repeat the row before: at that hour the source's hourly years hold the day before's price.

    Days with one row only are the daily years, where 23:00 is the close; an equal price there is a coincidence.
    """
    unchanged = (rows["price"] == rows["price"].shift()) & (
        rows["price_contract"] == rows["price_contract"].shift()
    )
    stale = (
        (rows["snapshot_time"] == "23:00:00")
        & (rows["n_snapshots"] > 1)
        & unchanged.fillna(False).astype(bool)
    )
    for day in days_of(rows)[stale.to_numpy(dtype=bool)]:
        text = "taken at 23:00 and equal to the row before: probably its price"
        yield Problem(instrument=name, date=day.item(), kind="stale_stamp", detail=text)


def late_quarters(name: str, rows: pd.DataFrame, index: pd.DataFrame) -> Iterator[Problem]:
    """Quarters in which a volatility future follows its index with a day's delay, or hardly at all."""
    both = pd.DataFrame(
        {
            "future": rows.set_index("date")["adj_price"],
            "index": index.set_index("date")["close"],
        }
    ).dropna()
    moves = both.diff()
    moves["before"] = moves["index"].shift()
    for _, quarter in moves.dropna().groupby(pd.PeriodIndex(moves.dropna().index, freq="Q")):
        same, before = quarter["future"].corr(quarter["index"]), quarter["future"].corr(quarter["before"])
        if len(quarter) < 20 or same >= 0.70:
            continue
        kind = "late_rows" if before > same else "noisy_rows"
        text = f"correlation with its index {same:.2f} on the same day, {before:.2f} on the day before"
        yield Problem(instrument=name, date=quarter.index[-1].date(), kind=kind, detail=text)


def fx_problems(pair: str, rows: pd.DataFrame) -> Iterator[Problem]:
    """Days on which the source of a rate changes, and moves beyond `FX_JUMP`."""
    days, rate = days_of(rows), rows["rate"].to_numpy()
    source = rows["source"].to_numpy(dtype=object)
    move = np.concatenate(([0.0], rate[1:] / rate[:-1] - 1.0))
    for row in range(1, len(days)):
        if source[row] != source[row - 1]:
            text = f"{source[row - 1]} to {source[row]}, move {move[row]:+.2%} is not all the market's"
            yield Problem(instrument=pair, date=days[row].item(), kind="source_change", detail=text)
        elif abs(move[row]) > FX_JUMP:
            text = f"move {move[row]:+.2%} of one source; a second must agree"
            yield Problem(instrument=pair, date=days[row].item(), kind="jump", detail=text)
