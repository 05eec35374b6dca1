"""Which dividends are known on a morning: those announced ahead, and what the last year paid per share."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

import numpy as np

from engine.model.market import Dividend, DividendInfo
from engine.model.money import ZERO, round_money
from engine.simulation.panel import MarketPanel

DIVIDEND_NOTICE_DAYS = 30
YEAR = timedelta(days=365)
_RECORD_ROWS = 30
"""Weekdays at the beginning of the year of which one has to have a price: else the line has no year of record."""


def announced_dividends(panel: MarketPanel, trade_date: date) -> tuple[Dividend, ...]:
    """Dividends from the date on that are known, in order of their ex-dates."""
    return _between(panel, trade_date, trade_date + timedelta(days=DIVIDEND_NOTICE_DAYS))


def dividend_infos(panel: MarketPanel, trade_date: date) -> Mapping[str, DividendInfo]:
    """What each share paid in the year up to the date, per share as counted on the date, and when it pays next.

    A line without a year of record, without a dividend, or with its dividends in its prices is absent.
    """
    since = trade_date - YEAR
    row = bisect_right(panel.dates, since)
    paid: dict[str, list[Decimal]] = {}
    for dividend in _between(panel, since + timedelta(days=1), trade_date):
        name = dividend.instrument_id
        known = panel.returns.get(name)
        if name in panel.total_return or known is None:
            continue
        if not np.isfinite(known[max(row - _RECORD_ROWS, 0) : row]).any():
            continue
        paid.setdefault(name, []).append(_per_share_of(dividend, panel, trade_date))
    following: dict[str, date] = {}
    for dividend in announced_dividends(panel, trade_date):
        following.setdefault(dividend.instrument_id, dividend.ex_date)
    return {
        name: DividendInfo(
            instrument_id=name,
            ex_date=following.get(name),
            paid_annual=round_money(sum(amounts, ZERO)),
            payments_annual=len(amounts),
        )
        for name, amounts in sorted(paid.items())
    }


def _per_share_of(dividend: Dividend, panel: MarketPanel, trade_date: date) -> Decimal:
    amount = dividend.amount
    for split in panel.splits:
        if split.instrument_id == dividend.instrument_id and dividend.ex_date < split.ex_date <= trade_date:
            amount = amount * split.old_shares / split.new_shares
    return amount


def _between(panel: MarketPanel, first: date, last: date) -> tuple[Dividend, ...]:
    rows = panel.dividends
    begin = bisect_left(rows, first, key=lambda row: row.ex_date)
    return rows[begin : bisect_right(rows, last, key=lambda row: row.ex_date)]
