"""Source tables as lines of a store: which file each instrument takes its prices from, and in which unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pandas as pd

from tasks.adapters.store_index import StoreLine
from tasks.adapters.store_writing import StoreDraft
from tests.real_data import mapping, readers
from tests.real_data.corporate_actions import corporate_actions
from tests.real_data.problems import (
    Problem,
    bar_problems,
    days_of,
    late_quarters,
    missing_rows,
    roll_problems,
    stamp_problems,
)
from tests.real_data.readers import Source, by_symbol

BAR = ("open", "high", "low", "close", "volume")


@dataclass(slots=True, kw_only=True)
class Import:
    """A store while it is filled from a source."""

    source: Source
    draft: StoreDraft
    lines: dict[str, StoreLine] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, line: StoreLine) -> None:
        """Take up a line whose file is written."""
        self.lines[line.instrument_id] = line


def import_futures(job: Import) -> None:
    """Every future with its facts, under the fund's id where it has one."""
    facts = job.source.table(readers.FUTURE_FACTS, "instrument")
    frames = by_symbol(job.source.table(readers.FUTURES, "instrument"), "instrument")
    if not frames:
        return
    if facts.empty:
        job.notes.append(f"no future is imported: {readers.FUTURE_FACTS} with their multipliers is missing")
        return
    known = facts.set_index("instrument")
    group: dict[str, np.ndarray] = {}
    for source_name, rows in frames.items():
        reason = mapping.NOT_IMPORTED_FUTURES.get(source_name)
        if source_name not in known.index:
            reason = "its multiplier and currency are in no file"
        if reason:
            job.notes.append(f"future {source_name} is not imported: {reason}")
            continue
        line = _future_line(source_name, rows, known.loc[source_name])
        _write_future(job, line, rows)
        group[line.instrument_id] = days_of(rows)
        job.problems.extend(_multiplier_problems(line, known.loc[source_name]))
    job.problems.extend(missing_rows(group))


def _future_line(source_name: str, rows: pd.DataFrame, facts: pd.Series) -> StoreLine:
    days = days_of(rows)
    return StoreLine(
        instrument_id=mapping.future_id(source_name),
        kind="future",
        source=f"{readers.FUTURES} {source_name}",
        price_unit=str(facts["currency"]),
        multiplier=_plain_decimal(float(facts["pointsize"])),
        total_return=False,
        borrow_available=False,
        first=days[0].item(),
        last=days[-1].item(),
    )


def _plain_decimal(value: float) -> Decimal:
    return Decimal(f"{value:.12g}")


def _write_future(job: Import, line: StoreLine, rows: pd.DataFrame) -> None:
    name, days = line.instrument_id, days_of(rows)
    absent = np.full(len(rows), np.nan)
    job.draft.write(
        f"daily/{name}.parquet",
        {
            "date": days,
            "open": absent,
            "high": absent,
            "low": absent,
            "close": rows["price"].to_numpy(dtype=np.float64),
            "volume": absent,
            "contract": _month(rows["price_contract"]),
            "carry_contract": _month(rows["carry_contract"]),
            "forward_contract": _month(rows["forward_contract"]),
            "carry": rows["carry"].to_numpy(dtype=np.float64),
            "forward": rows["forward"].to_numpy(dtype=np.float64),
            "adj_price": rows["adj_price"].to_numpy(dtype=np.float64),
        },
    )
    job.add(line)
    job.problems.extend(
        bar_problems(name, days, {"close": rows["price"].to_numpy(dtype=np.float64)}, futures=True)
    )
    job.problems.extend(roll_problems(name, rows))
    job.problems.extend(stamp_problems(name, rows))


def _month(codes: pd.Series) -> np.ndarray:
    """Delivery month YYYYMM of the source's YYYYMM00; 0 where it names none."""
    return np.asarray(codes.fillna(0).to_numpy(dtype=np.int32) // 100)


def _multiplier_problems(line: StoreLine, facts: pd.Series) -> Iterator[Problem]:
    other = facts["lean_multiplier"]
    if pd.notna(other) and line.multiplier is not None and float(line.multiplier) != float(other):
        text = f"multiplier {line.multiplier}, a second source says {float(other):g}"
        yield Problem(instrument=line.instrument_id, date=line.first, kind="multiplier", detail=text)


def import_shares(job: Import) -> None:
    """US and London shares and funds: unadjusted with actions where preferred, else adjusted and marked so."""
    raw = by_symbol(job.source.table(readers.RAW, "symbol"), "symbol")
    actions = by_symbol(job.source.table(readers.ACTIONS, "symbol"), "symbol")
    etf = by_symbol(job.source.table(readers.ETF, "symbol"), "symbol")
    stocks = by_symbol(job.source.table(readers.SP500, "symbol"), "symbol")
    london = by_symbol(job.source.table(readers.FTSE, "symbol"), "symbol")
    unadjusted = {s for s in raw if s in mapping.RAW_SHARES or (s not in etf and s not in stocks)}
    groups: dict[str, dict[str, np.ndarray]] = {"US": {}, "LSE": {}}
    for symbol in sorted(unadjusted - set(mapping.NOT_IMPORTED_SHARES)):
        # Without its actions a price falls at each split for no reason; such a line is not usable.
        if symbol not in actions:
            job.notes.append(
                f"{symbol} is not imported from {readers.RAW}: {readers.ACTIONS} does not name it"
            )
            continue
        _import_raw(job, symbol, raw[symbol], actions[symbol], borrow=symbol in stocks)
        groups["US"][mapping.us_share_id(symbol)] = days_of(raw[symbol])
    for symbol in sorted(set(raw) & set(mapping.NOT_IMPORTED_SHARES)):
        job.notes.append(
            f"{symbol} is not imported from {readers.RAW}: {mapping.NOT_IMPORTED_SHARES[symbol]}"
        )
    for symbol, rows in {**etf, **stocks}.items():
        name = mapping.us_share_id(symbol)
        if name in job.lines:
            continue
        borrow = symbol in stocks
        adjusted = rows if symbol not in stocks else _to_total_return(rows)
        _write_share(
            job, name, adjusted, f"{readers.SP500 if borrow else readers.ETF} {symbol}", "USD", borrow=borrow
        )
        groups["US"][name] = days_of(rows)
    for symbol, rows in london.items():
        name = mapping.london_share_id(symbol)
        adjusted = rows.rename(columns={"adjusted_close": "close"})
        _write_share(job, name, adjusted, f"{readers.FTSE} {symbol}", "GBX", borrow=True)
        groups["LSE"][name] = days_of(rows)
    for group in groups.values():
        job.problems.extend(missing_rows(group))


def _import_raw(job: Import, symbol: str, rows: pd.DataFrame, factors: pd.DataFrame, *, borrow: bool) -> None:
    name, days = mapping.us_share_id(symbol), days_of(rows)
    _write_share(job, name, rows, f"{readers.RAW} {symbol}", "USD", borrow=borrow, total_return=False)
    found = corporate_actions(name, factors, days)
    job.problems.extend(found.problems)
    if len(found.dividends["ex_date"]):
        job.draft.write(f"dividends/{name}.parquet", found.dividends)
    if len(found.splits["ex_date"]):
        job.draft.write(f"splits/{name}.parquet", found.splits)
    if found.beyond:
        job.notes.append(f"{name}: {found.beyond} corporate actions after its last row are left out")


def _to_total_return(rows: pd.DataFrame) -> pd.DataFrame:
    """Adjusted close as close; open, high and low by the same factor."""
    factor = rows["adjusted_close"] / rows["close"]
    scaled = {column: rows[column] * factor for column in ("open", "high", "low")}
    return rows.assign(**scaled, close=rows["adjusted_close"])


def _write_share(
    job: Import,
    name: str,
    rows: pd.DataFrame,
    source: str,
    unit: str,
    *,
    borrow: bool,
    total_return: bool = True,
) -> None:
    days = days_of(rows)
    absent = np.full(len(rows), np.nan)
    bars = {column: rows[column].to_numpy(dtype=np.float64) if column in rows else absent for column in BAR}
    job.draft.write(f"daily/{name}.parquet", {"date": days, **bars})
    job.add(
        StoreLine(
            instrument_id=name,
            kind="share",
            source=source,
            price_unit=unit,
            multiplier=None,
            total_return=total_return,
            borrow_available=borrow,
            first=days[0].item(),
            last=days[-1].item(),
        )
    )
    job.problems.extend(bar_problems(name, days, bars, futures=False))


def import_indices(job: Import) -> None:
    """Levels of indices, and whether the volatility future's dates agree with its index."""
    for symbol, rows in by_symbol(job.source.table(readers.INDICES, "symbol"), "symbol").items():
        bars = {column: rows[column].to_numpy(dtype=np.float64) for column in BAR}
        job.draft.write(f"indices/{symbol}.parquet", {"date": days_of(rows), **bars})
        job.problems.extend(bar_problems(symbol, days_of(rows), bars, futures=False))
        if symbol == "VIX":
            job.problems.extend(_vix_lateness(job, rows))


def _vix_lateness(job: Import, index: pd.DataFrame) -> Iterator[Problem]:
    if mapping.future_id("VIX") not in job.lines:
        return
    futures = by_symbol(job.source.table(readers.FUTURES, "instrument"), "instrument")
    yield from late_quarters(mapping.future_id("VIX"), futures["VIX"], index)
