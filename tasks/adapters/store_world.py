"""A market data store as the past of a run: how far back it is read, and what the configuration adds to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from engine.errors import StoreError
from engine.model.policy import FundPolicy
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.panel import MarketPanel
from tasks.adapters.store import open_store, store_summary

PAST = timedelta(days=365 * 2)
"""Records before the first day of a run: enough for a year's estimates and the screens."""


def past_begins(path: Path, universe: Universe, first: date) -> date:
    """First date that a run from ``first`` reads; raises `StoreError` when the records begin too late for it."""
    begins = store_summary(path, universe.ids).first_date
    if first <= begins:
        raise StoreError(
            f"expected a trade date after {begins}, where the profile's history in {path} begins, found {first};"
            " choose a later date"
        )
    return max(begins, first - PAST)


def recorded_world(
    path: Path, universe: Universe, first: date, last: date, sessions: SessionTable, policy: FundPolicy
) -> MarketPanel:
    """Panel of a store with the configured fee of share loans, which no record has.

    The fund and the simulated broker read the fee from this one panel.
    """
    panel = open_store(path, universe, first, last, sessions)
    fee = float(policy.sleeves.default_borrow_fee_bps_annual)
    fees = {name: panel.borrow_fee_bps.get(name, fee) for name in panel.borrow_available}
    return replace(panel, borrow_fee_bps=fees)
