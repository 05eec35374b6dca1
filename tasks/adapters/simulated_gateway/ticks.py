"""Ticks: how a client is told what a contract shows, all of it at first and then what has changed.

Prices are in the unit of the quote (pence for lines that quote in pence). A side that nobody makes is told as −1, in the
quote's unit: −100 for a line that quotes in hundredths. A trade is told as one of a single lot: how large it was, nobody
recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum

from engine.model.instruments import Instrument
from engine.model.market import Quote
from tasks.adapters.simulated_gateway.sessions import Answer, plain
from tasks.adapters.simulated_gateway.tape import DayFigures, has_trades

NO_PRICE = Decimal(-1)


class DataType(IntEnum):
    """Kinds of market data, by the wire's numbers."""

    LIVE = 1
    FROZEN = 2
    DELAYED = 3
    DELAYED_FROZEN = 4

    @property
    def is_delayed(self) -> bool:
        """Whether its ticks have the numbers of delayed data."""
        return self >= DataType.DELAYED


BID_SIZE, BID, ASK, ASK_SIZE, LAST, LAST_SIZE, HIGH, LOW, VOLUME, CLOSE, OPEN = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    14,
)
LAST_TIME = 45
_DELAYED: Mapping[int, int] = {
    BID: 66, ASK: 67, LAST: 68, BID_SIZE: 69, ASK_SIZE: 70, LAST_SIZE: 71, HIGH: 72, LOW: 73, VOLUME: 74, CLOSE: 75,
    OPEN: 76, LAST_TIME: 88,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What a line shows at a time. Without a quote nobody makes a market; ``made_at`` is when it was made."""

    instrument: Instrument
    kind: DataType
    quote: Quote | None
    close: Decimal | None
    last: Decimal | None
    day: DayFigures
    at: datetime
    made_at: datetime


def ticks_of(showing: Showing, request_id: int) -> dict[str, Answer]:
    """Every tick of a line, by what it is about, in the order in which they are told."""
    return {f"{name} {number}": Answer(name, {"request_id": str(request_id), "type": str(_number(showing, number)), **said})
            for name, number, said in _ticks(showing)}  # fmt: skip


def changed(before: Mapping[str, Answer], now: Mapping[str, Answer]) -> list[Answer]:
    """Ticks that say something else than before; a price's own size alone is told by its size tick."""
    return [answer for key, answer in now.items() if key not in before or _said(before[key]) != _said(answer)]


def _said(answer: Answer) -> tuple[object, ...]:
    record = answer.record
    what = {"price": "price", "size": "size", "string": "text", "generic": "value"}.get(answer.name)
    return (record.get("type"), record.get(what)) if what is not None else tuple(record.items())


def _number(showing: Showing, number: int) -> int:
    return _DELAYED.get(number, number) if showing.kind.is_delayed else number


def _ticks(showing: Showing) -> Iterator[tuple[str, int, dict[str, str]]]:
    quote, trades = showing.quote, has_trades(showing.instrument)
    # an index has a level, and nobody bids for it
    bid, bid_size = (None, Decimal(0)) if quote is None else (quote.bid, quote.bid_size)
    ask, ask_size = (None, Decimal(0)) if quote is None else (quote.ask, quote.ask_size)
    yield from _side(showing, (BID, BID_SIZE), bid, bid_size)
    yield from _side(showing, (ASK, ASK_SIZE), ask, ask_size)
    if trades and showing.last is not None:
        lot = showing.instrument.lot
        yield "price", LAST, {"price": plain(showing.last), "size": plain(lot)}
        yield "size", LAST_SIZE, {"size": plain(lot)}
        yield "string", LAST_TIME, {"text": str(int(showing.made_at.timestamp()))}
    day = showing.day
    for number, price in ((HIGH, day.high), (LOW, day.low), (OPEN, day.open), (CLOSE, showing.close)):
        if price is not None:
            yield "price", number, {"price": plain(price)}
    if trades and day.volume is not None:
        yield "size", VOLUME, {"size": plain(day.volume)}


def _side(
    showing: Showing, numbers: tuple[int, int], price: Decimal | None, size: Decimal
) -> Iterator[tuple[str, int, dict[str, str]]]:
    """Price and size of one side; the numbers are those of their ticks."""
    if price is None:
        price, size = NO_PRICE * showing.instrument.price_magnifier, Decimal(0)
    yield "price", numbers[0], {"price": plain(price), "size": plain(size), "attributes": "1"}
    yield "size", numbers[1], {"size": plain(size)}
