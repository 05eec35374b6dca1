"""Read a market data store as a `MarketPanel`: real past days in the shape of the generated ones.

Only the lines and the days that are asked for are read, each file verified against its checksum. What is wrong
with the data is told in the panel's notes, never mended. Dividends are paid on their ex-date, for no source records
pay dates. Facts that the records lack stay absent: fees of borrowed shares, V2X, option chains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from engine.errors import StoreError
from engine.model.instruments import Contract, Instrument, InstrumentType, spot_contract
from engine.model.market import BASE_CURRENCY, Dividend, FundamentalRecord, Split, SymbolChange
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.chains import business_calendar
from engine.simulation.panel import DailySeries, DataProblem, MarketPanel
from tasks.adapters.store_index import StoreIndex, StoreLine, read_index
from tasks.adapters.store_reading import Frame, StoreFiles, read_future, read_share

PROBLEMS = "problems.parquet"
FX = "fx/daily.parquet"
COMPANIES = "fundamentals/companies.parquet"
SYMBOLS = "symbols.parquet"
COVER = ("cover_0", "cover_1", "cover_2")
"""Columns of interest cover, newest year first."""
_RATIOS = (
    "return_on_equity", "gross_profit_to_assets", "debt_to_equity", "accruals_to_assets", "market_cap_usd", "tobin_q",
)  # fmt: skip
_BEYOND = np.timedelta64(90, "D")
"""How far beyond the panel's last day corporate actions are read: they are announced before they happen."""
_SEEN_AS_THEY_HAPPEN = frozenset({"gap", "missing_row", "stale_run"})
_QUARTERLY = frozenset({"late_rows", "noisy_rows"})
"""Kinds of problems that are found in a quarter's rows and dated at its end: nobody could know them before."""
_QUARTER = timedelta(days=91)
"""How long a reader is told of what was found in the quarter before."""
_HISTORY_KINDS = (InstrumentType.STK, InstrumentType.ETF, InstrumentType.FUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSummary:
    """What a store holds, from its store.yaml alone."""

    name: str
    first_date: date
    last_date: date
    instrument_ids: tuple[str, ...]
    digest: str
    notes: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A panel while its lines are read."""

    files: StoreFiles
    frame: Frame
    sessions: SessionTable
    series: dict[str, DailySeries] = field(default_factory=dict)
    returns: dict[str, np.ndarray] = field(default_factory=dict)
    chains: dict[str, tuple[Contract, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[DataProblem] = field(default_factory=list)
    calendars: dict[str, np.busdaycalendar] = field(default_factory=dict)

    def calendar(self, venue: str) -> np.busdaycalendar:
        """Business days of a venue; plain weekdays where the session table does not reach."""
        if venue not in self.calendars:
            self.calendars[venue] = business_calendar(self.sessions, venue)
        return self.calendars[venue]


def store_summary(path: Path, instruments: Collection[str] | None = None) -> StoreSummary:
    """Name, range, instruments and digest of a store, of chosen instruments only where some are named.

    Raises `StoreError` as `open_store`, also when the store has none of the chosen instruments.
    """
    index = read_index(path)
    ids = sorted(index.lines if instruments is None else set(instruments) & set(index.lines))
    first, last = _range([index.lines[name] for name in ids], path)
    return StoreSummary(
        name=index.name,
        first_date=first,
        last_date=last,
        instrument_ids=tuple(ids),
        digest=index.digest,
        notes=index.notes,
    )


def open_store(
    path: Path,
    universe: Universe,
    first: date,
    last: date,
    sessions: SessionTable,
    instruments: Collection[str] | None = None,
) -> MarketPanel:
    """History of a universe's instruments from ``first`` to ``last``.

    Parameters
    ----------
    path : Path
        Folder of the store.
    universe : Universe
        Says which lines are wanted, and each future's expiry rule.
    first, last : date
        Range of the panel; all its weekdays become rows. ``first`` may not lie before the first row of the
        instruments: a caller that looks back takes the later of the two, see `store_summary`.
    sessions : SessionTable
        Holidays for the last trade dates of contracts; weekdays count where it does not reach.
    instruments : collection of str, optional
        Ids to read; by default all of the universe that the store has.

    Raises
    ------
    StoreError
        When the store is missing, half written, altered, of another format, has none of the instruments, has
        other units than the universe, or does not reach the range.
    UnknownContract
        When ``instruments`` names one that the universe lacks.
    """
    index = read_index(path)
    wanted = universe.ids if instruments is None else tuple(sorted(set(instruments)))
    absent = _absent(universe, index, wanted)
    lines = [index.lines[name] for name in wanted if name in index.lines]
    _check_range(lines, first, last, path)
    draft = _Draft(
        files=StoreFiles(path=path, index=index), frame=Frame.between(first, last), sessions=sessions
    )
    draft.notes.extend(absent)
    for line in lines:
        _read_line(draft, line, universe[line.instrument_id])
    return _panel(draft, lines)


def _range(lines: list[StoreLine], path: Path) -> tuple[date, date]:
    """Dates of the first and the last row of any of the lines."""
    if not lines:
        raise StoreError(
            f"expected history of the profile's instruments in {path}, found none of them; choose another profile or store"
        )
    return min(line.first for line in lines), max(line.last for line in lines)


def _check_range(lines: list[StoreLine], first: date, last: date, path: Path) -> None:
    begins, ends = _range(lines, path)
    if first < begins:
        raise StoreError(
            f"expected a date from {begins} on, where the history in {path} begins, found {first}; choose a later date"
        )
    if first > ends or last < first:
        raise StoreError(
            f"expected a range of dates up to {ends}, where the history in {path} ends, found {first} to {last};"
            " choose an earlier date"
        )


def _absent(universe: Universe, index: StoreIndex, wanted: Iterable[str]) -> list[str]:
    missing = [name for name in wanted if universe[name].kind in _HISTORY_KINDS and name not in index.lines]
    return [f"the store has no history of {', '.join(missing)}"] if missing else []


def _read_line(draft: _Draft, line: StoreLine, instrument: Instrument) -> None:
    _check_units(line, instrument)
    if line.is_future:
        _add_future(draft, line, instrument)
    else:
        _add_share(draft, line, instrument)


def _check_units(line: StoreLine, instrument: Instrument) -> None:
    if line.is_future != instrument.is_future:
        raise StoreError(
            f"expected the store's {line.instrument_id} to be a {instrument.kind.value}, found a {line.kind};"
            " build the store with the mapping of this version"
        )
    # "USD per EUR" of a currency future is the store's USD.
    unit = instrument.price_unit.split(" ")[0]
    if line.price_unit != unit:
        raise StoreError(
            f"expected prices of {line.instrument_id} in {unit}, found {line.price_unit} in the store;"
            " correct instruments.yaml or build the store again"
        )
    if line.multiplier is not None and line.multiplier != instrument.multiplier:
        raise StoreError(
            f"expected the multiplier {instrument.multiplier} of {line.instrument_id} (instruments.yaml), found"
            f" {line.multiplier} in the store; one of the two is wrong"
        )


def _add_share(draft: _Draft, line: StoreLine, instrument: Instrument) -> None:
    rows = read_share(draft.files, line, draft.frame)
    draft.notes.extend(rows.notes)
    draft.returns[line.instrument_id] = rows.returns
    draft.series[line.instrument_id] = DailySeries(contract=spot_contract(instrument), **rows.bars)


def _add_future(draft: _Draft, line: StoreLine, instrument: Instrument) -> None:
    rows = read_future(draft.files, line, instrument, draft.frame, draft.calendar(instrument.venue))
    draft.notes.extend(rows.notes)
    draft.problems.extend(rows.problems)
    draft.returns[line.instrument_id] = rows.returns
    draft.chains[line.instrument_id] = tuple(
        sorted(rows.contracts, key=lambda item: item.last_trade_date or date.max)
    )
    unknown = np.full(len(draft.frame.days), np.nan)
    for contract, close in zip(rows.contracts, rows.closes, strict=True):
        draft.series[contract.contract_id] = DailySeries(
            contract=contract, open=unknown, high=unknown, low=unknown, close=close, volume=unknown
        )


def _panel(draft: _Draft, lines: list[StoreLine]) -> MarketPanel:
    files, frame = draft.files, draft.frame
    held_ids = {line.instrument_id for line in lines}
    fx = _fx(draft)
    vix, v2x = _volatility_index(draft, "VIX"), _volatility_index(draft, "V2X")
    dividends = [item for line in lines for item in _dividends(files, line, frame)]
    splits = [item for line in lines for item in _splits(files, line, frame)]
    renamed = _symbol_changes(files, held_ids, frame)
    problems, counts = _problems(files, {*held_ids, *fx, "VIX", "V2X"}, frame)
    return MarketPanel(
        name=files.index.name,
        generated=False,
        digest=files.index.digest,
        dates=frame.dates,
        series=draft.series,
        returns=draft.returns,
        fx=fx,
        vix=vix,
        v2x=v2x,
        chains=draft.chains,
        implied_volatility={},
        dividends=tuple(sorted(dividends, key=lambda item: (item.ex_date, item.instrument_id))),
        splits=tuple(sorted(splits, key=lambda item: (item.ex_date, item.instrument_id))),
        fundamentals=_companies(files, held_ids, frame),
        borrow_available={line.instrument_id: True for line in lines if line.borrow_available},
        borrow_fee_bps={},
        total_return=frozenset(line.instrument_id for line in lines if line.total_return),
        notes=(*files.index.notes, *draft.notes, *counts),
        problems=(*draft.problems, *problems),
        symbol_changes=renamed,
    )


def _fx(draft: _Draft) -> dict[str, np.ndarray]:
    """Rates of every pair against USD, and of each cross of two of them: it says when one of the three is wrong."""
    if not draft.files.has(FX):
        draft.notes.append("the store has no exchange rates: amounts in other currencies can not be valued")
        return {}
    table = draft.files.read(FX, ("pair", "date", "rate"))
    pairs = table["pair"].astype(str)
    usable = np.isfinite(table["rate"]) & (table["rate"] > 0)
    if not usable.all():
        draft.notes.append(f"{int((~usable).sum())} exchange rates are not positive numbers and are left out")
    names = {str(pair) for pair in np.unique(pairs)}
    return {
        pair: draft.frame.place(table["date"][rows], table["rate"][rows])
        for pair in sorted(names)
        if pair.endswith(BASE_CURRENCY) or {pair[:3] + BASE_CURRENCY, pair[3:] + BASE_CURRENCY} <= names
        for rows in [(pairs == pair) & usable]
    }


def _volatility_index(draft: _Draft, name: str) -> np.ndarray:
    file = f"indices/{name}.parquet"
    if not draft.files.has(file):
        draft.notes.append(f"the store has no {name} index")
        return np.full(len(draft.frame.days), np.nan)
    table = draft.files.read(file, ("date", "close"))
    usable = np.isfinite(table["close"]) & (table["close"] > 0)
    if not usable.all():
        draft.notes.append(
            f"{int((~usable).sum())} levels of {name} are not positive numbers and are left out"
        )
    return draft.frame.place(table["date"][usable], table["close"][usable])


def _dividends(files: StoreFiles, line: StoreLine, frame: Frame) -> list[Dividend]:
    name = f"dividends/{line.instrument_id}.parquet"
    if not files.has(name):
        return []
    table = files.read(name, ("ex_date", "amount"))
    rows = (table["ex_date"] >= frame.days[0]) & (table["ex_date"] <= frame.days[-1] + _BEYOND)
    return [
        Dividend(instrument_id=line.instrument_id, ex_date=day, pay_date=day, amount=amount)
        for day, amount in zip(table["ex_date"][rows].tolist(), table["amount"][rows].tolist(), strict=True)
    ]


def _splits(files: StoreFiles, line: StoreLine, frame: Frame) -> list[Split]:
    name = f"splits/{line.instrument_id}.parquet"
    if not files.has(name):
        return []
    table = files.read(name, ("ex_date", "new_shares", "old_shares"))
    rows = (table["ex_date"] >= frame.days[0]) & (table["ex_date"] <= frame.days[-1] + _BEYOND)
    columns = (table[column][rows].tolist() for column in ("ex_date", "new_shares", "old_shares"))
    return [
        Split(instrument_id=line.instrument_id, ex_date=day, new_shares=new, old_shares=old)
        for day, new, old in zip(*columns, strict=True)
    ]


def _symbol_changes(files: StoreFiles, wanted: set[str], frame: Frame) -> tuple[SymbolChange, ...]:
    """New ids of shares, in order of their dates; both ids must be lines that were asked for."""
    if not files.has(SYMBOLS):
        return ()
    table = files.read(SYMBOLS, ("effective", "instrument", "new_instrument"))
    rows = zip(*(table[name].tolist() for name in ("effective", "instrument", "new_instrument")), strict=True)
    changes = [
        SymbolChange(instrument_id=str(old), new_instrument_id=str(new), effective=day)
        for day, old, new in sorted(rows)
        if frame.dates[0] <= day <= frame.dates[-1]
    ]
    return tuple(row for row in changes if {row.instrument_id, row.new_instrument_id} <= wanted)


def _companies(files: StoreFiles, wanted: set[str], frame: Frame) -> tuple[FundamentalRecord, ...]:
    if not files.has(COMPANIES):
        return ()
    columns = ("instrument", "period_end", "filed_on", "sector", *_RATIOS, *COVER)
    table = files.read(COMPANIES, columns)
    keep = np.isin(table["instrument"].astype(str), sorted(wanted)) & (table["filed_on"] <= frame.days[-1])
    plain = {name: values[keep].tolist() for name, values in table.items()}
    return tuple(
        _company({name: values[row] for name, values in plain.items()}) for row in range(int(keep.sum()))
    )


def _company(fields: Mapping[str, object]) -> FundamentalRecord:
    def figure(name: str) -> float | None:
        value = fields[name]
        return value if isinstance(value, float) and np.isfinite(value) else None

    period_end, filed_on = fields["period_end"], fields["filed_on"]
    assert isinstance(period_end, date)
    assert isinstance(filed_on, date)
    return FundamentalRecord(
        instrument_id=str(fields["instrument"]),
        period_end=period_end,
        filed_on=filed_on,
        sector=str(fields["sector"]),
        return_on_equity=figure("return_on_equity"),
        gross_profit_to_assets=figure("gross_profit_to_assets"),
        debt_to_equity=figure("debt_to_equity"),
        accruals_to_assets=figure("accruals_to_assets"),
        market_cap_usd=figure("market_cap_usd"),
        interest_coverage=tuple(figure(name) for name in COVER),
        tobin_q=figure("tobin_q"),
    )


def _problems(
    files: StoreFiles, wanted: set[str], frame: Frame
) -> tuple[tuple[DataProblem, ...], tuple[str, ...]]:
    """Problems that the importer recorded for the panel's lines and days, and how many there are of each kind.

    Missing and unchanged rows are only counted: a reader sees them as they happen, in the age of the marks.
    """
    if not files.has(PROBLEMS):
        return (), ()
    table = files.read(PROBLEMS, ("instrument", "date", "kind", "detail"))
    names, kinds = table["instrument"].astype(str), table["kind"].astype(str)
    keep = np.isin(names, sorted(wanted)) & (table["date"] >= frame.days[0])
    found, counted = [], Counter[tuple[str, str]]()
    for row in np.flatnonzero(keep & (table["date"] <= frame.days[-1] + _BEYOND)).tolist():
        name, kind, day = str(names[row]), str(kinds[row]), table["date"][row].item()
        counted[(name, kind)] += day <= frame.dates[-1]
        if kind not in _SEEN_AS_THEY_HAPPEN:
            last = day + _QUARTER if kind in _QUARTERLY else day
            text = f"{name}: {kind.replace('_', ' ')} {day}: {table['detail'][row]}"
            found.append(DataProblem(subject=name, first=day, last=last, text=text))
    found.sort(key=lambda item: (item.first, item.subject, item.text))
    return tuple(found), tuple(
        f"{name}: {kind} × {n}" for (name, kind), n in sorted(counted.items()) if n and kind != "stale_run"
    )
