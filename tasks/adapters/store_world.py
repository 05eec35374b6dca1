"""A market data store as the past of a run: how far it reaches, and what the configuration adds to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from engine.errors import StoreError
from engine.model.market import BASE_CURRENCY
from engine.model.policy import FundPolicy
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.panel import MarketPanel
from tasks.adapters.calendars import FIRST_DAY
from tasks.adapters.store import FX, open_store, store_summary
from tasks.adapters.store_index import read_index
from tasks.adapters.store_reading import StoreFiles

PAST = timedelta(days=365 * 2)
"""Records before the first day of a run: enough for a year's estimates and the screens."""


def past_begins(path: Path, universe: Universe, first: date) -> date:
    """First date that a run from ``first`` reads; raises `StoreError` when the records begin too late for it."""
    earliest = records_begin(path, universe)
    if first < earliest:
        raise StoreError(
            f"expected a trade date from {earliest} on, where the profile's records in {path} can value a fund, "
            f"found {first}; choose a later date"
        )
    return max(store_summary(path, universe.ids).first_date, first - PAST, FIRST_DAY)


def records_begin(path: Path, universe: Universe) -> date:
    """First trade date that the records of a universe can value: the day after its first price and all its rates.

    No date lies before the calendars. Raises `StoreError` as `store_summary`.
    """
    prices = store_summary(path, universe.ids).first_date
    rates = [first for first, _ in _rate_spans(path, universe)]
    return max(prices, FIRST_DAY, *rates) + timedelta(days=1)


def records_end(path: Path, universe: Universe) -> date:
    """Last trade date that the records of a universe reach: of its futures, its other lines and each exchange rate.

    A line may end before the others of its kind; a kind as a whole, or a rate, may not. Raises `StoreError` as
    `store_summary`.
    """
    index = read_index(path)
    lines = [index.lines[name] for name in store_summary(path, universe.ids).instrument_ids]
    ends = {
        kind: max(line.last for line in lines if line.kind == kind) for kind in {line.kind for line in lines}
    }
    rates = [last for _, last in _rate_spans(path, universe)]
    return min([*ends.values(), *rates])


def _rate_spans(path: Path, universe: Universe) -> list[tuple[date, date]]:
    """First and last recorded date of each exchange rate that a universe needs."""
    pairs = {f"{currency}{BASE_CURRENCY}" for currency in universe.currencies}
    files = StoreFiles(path=path, index=read_index(path))
    if not files.has(FX):
        return []
    table = files.read(FX, ("pair", "date"))
    spans: list[tuple[date, date]] = []
    for pair in sorted(pairs & set(table["pair"].tolist())):
        dates = table["date"][table["pair"] == pair].astype("datetime64[D]").tolist()
        spans.append((min(dates), max(dates)))
    return spans


def recorded_world(
    path: Path, universe: Universe, first: date, last: date, sessions: SessionTable, policy: FundPolicy
) -> MarketPanel:
    """Panel of a store with the configured fee of share loans, which no record has.

    The fund and the simulated broker read the fee from this one panel.
    """
    panel = open_store(path, universe, first, last, sessions)
    fee = float(policy.carry.borrow.default_fee_bps_annual)
    fees = {name: panel.borrow_fee_bps.get(name, fee) for name in panel.borrow_available}
    return replace(panel, borrow_fee_bps=fees)
