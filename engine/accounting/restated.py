"""Closes of before a corporate action, per share of after it.

Holdings count in new shares, and dividends as owed, from 00:00 of the ex-date. A close of before that is restated to
the same moment: less the dividend that left the share, per new share after a split. Otherwise the morning of an
ex-date would count a dividend twice, once as money owed and once in the price.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from engine.errors import DataError
from engine.model.instruments import Instrument
from engine.model.market import Dividend, Split

STEP = Decimal("0.00000001")
"""Step of a price restated for a split, as the exchange publishes it."""

Action = Dividend | Split


def in_order(actions: Iterable[Action]) -> tuple[Action, ...]:
    """Actions by ex-date; of one date the dividend first, for it is paid on old shares."""
    return tuple(sorted(actions, key=lambda action: (action.ex_date, isinstance(action, Split))))


def restated_close(
    price: Decimal, instrument: Instrument, closed: date, counted: date, actions: Iterable[Action]
) -> Decimal:
    """Close of the session ``closed`` per share as counted from 00:00 of ``counted``, in quote units.

    ``actions`` are those of the instrument, `in_order`. Raises `DataError` when dividends leave nothing of the price.
    """
    for action in actions:
        if not closed < action.ex_date <= counted:
            continue
        if isinstance(action, Split):
            price = (price * action.old_shares / action.new_shares).quantize(STEP)
        else:
            price = _without(action, price, instrument)
    return price


def _without(dividend: Dividend, price: Decimal, instrument: Instrument) -> Decimal:
    left = price - dividend.amount / instrument.effective_multiplier
    if left <= 0:
        raise DataError(
            f"expected {dividend.instrument_id} to be worth more than its dividend of {dividend.ex_date}, found a "
            f"close of {price} and {dividend.amount} {instrument.currency} a share; check the recorded dividends"
        )
    return left
