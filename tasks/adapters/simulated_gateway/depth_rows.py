"""The book of orders beyond its best prices, row by row.

The exchange trades at the best prices only. Rows behind them are shown a tick further each, with one more time the size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from engine.model.instruments import Instrument
from engine.model.market import Quote
from tasks.adapters.simulated_gateway.sessions import Answer, plain

MOST_ROWS = 10
MOST_BOOKS = 3
"""Requests of depth that one client may run."""

_INSERT, _UPDATE, _DELETE = "0", "1", "2"
_ASK, _BID = "0", "1"


def rows_of(
    instrument: Instrument, quote: Quote | None, rows: int, fixed: Mapping[str, str]
) -> dict[str, Answer]:
    """Rows by side and place; ``fixed`` holds the request and, of a book over several venues, the maker."""
    if quote is None:
        return {}
    name = "depth_smart" if "maker" in fixed else "depth"
    return {
        f"{side} {place}": Answer(
            name,
            {
                **fixed,
                "position": str(place),
                "operation": _INSERT,
                "side": side,
                "price": plain(price),
                "size": plain(size),
            },
        )
        for side, place, price, size in _levels(instrument, quote, min(max(rows, 1), MOST_ROWS))
    }


def changes(before: Mapping[str, Answer], now: Mapping[str, Answer]) -> list[Answer]:
    """What leads from one book to the next: rows that are new, that changed, and from the last on those that are gone."""
    told = []
    for key, answer in now.items():
        if key not in before:
            told.append(answer)
        elif before[key] != answer:
            told.append(Answer(answer.name, {**answer.record, "operation": _UPDATE}))
    gone = [answer for key, answer in before.items() if key not in now]
    return [Answer(one.name, {**one.record, "operation": _DELETE}) for one in reversed(gone)] + told


def _levels(instrument: Instrument, quote: Quote, rows: int) -> Iterator[tuple[str, int, Decimal, Decimal]]:
    sides = ((_BID, quote.bid, quote.bid_size, -1), (_ASK, quote.ask, quote.ask_size, 1))
    for side, best, size, away in sides:
        for place in range(rows if best is not None else 0):
            assert best is not None
            price = best + away * place * instrument.tick_at(best)
            if price > 0 or instrument.is_future:
                yield side, place, price, size * (place + 1)
