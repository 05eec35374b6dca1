"""What the broker told of one request of market data, tick by tick, with the time at which each price was told.

A line keeps what was said last. What is no number (NaN, "not set") takes the place of what was said before it: an old
price is not the price of now because the new one can not be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum

from tasks.adapters.ibkr.records import exact_if_set

LIVE_DATA = 1
"""The broker's number of live market data; 2 is frozen, 3 delayed, 4 delayed and frozen."""


class Tick(IntEnum):
    """The broker's numbers of the ticks that are read. Delayed ones (66-76) have others and are never read."""

    BID_SIZE = 0
    BID = 1
    ASK = 2
    ASK_SIZE = 3
    LAST = 4
    CLOSE = 9
    MODEL_OPTION = 13
    CALL_OPEN_INTEREST = 27
    PUT_OPEN_INTEREST = 28
    SHORTABLE = 46
    DIVIDENDS = 59
    SHORTABLE_SHARES = 89


_REMARKS = frozenset({10090, *range(2100, 2200)})
"""Codes beside which the prices of a request live on: a generic tick is not subscribed, or a farm sleeps."""

_SIZE_OF: Mapping[int, int] = {Tick.BID: Tick.BID_SIZE, Tick.ASK: Tick.ASK_SIZE}
"""A price comes with its size in one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What the broker's model says of an option; ``None`` where it does not say."""

    volatility: float | None
    delta: float | None
    underlying: Decimal | None


@dataclass(slots=True, kw_only=True)
class Line:
    """One request; ``code`` and ``text`` are the error that it met last, 0 for none."""

    prices: dict[int, Decimal] = field(default_factory=dict)
    sizes: dict[int, Decimal] = field(default_factory=dict)
    values: dict[int, Decimal] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    told_at: dict[int, datetime] = field(default_factory=dict)
    computed: Computed | None = None
    data_type: int = LIVE_DATA
    code: int = 0
    text: str = ""

    def forget(self) -> None:
        """Nothing that was told counts any more."""
        for known in (self.prices, self.sizes, self.values, self.texts, self.told_at):
            known.clear()
        self.computed = None

    @property
    def priced_at(self) -> datetime | None:
        """When the newest of bid and ask was told; a size, a volume or a trade makes no quote young."""
        told = [self.told_at[side] for side in (Tick.BID, Tick.ASK) if side in self.told_at]
        return max(told) if told else None

    def side(self, tick: int) -> Decimal | None:
        """Price of bid or ask where price and size, as they were told last, are both positive; else there is no side."""
        price, size = self.prices.get(tick), self.sizes.get(_SIZE_OF[tick])
        return price if price is not None and price > 0 and size is not None and size > 0 else None

    @property
    def has_sides(self) -> bool:
        """Whether bid and ask were both told, be it that there is none."""
        return Tick.BID in self.told_at and Tick.ASK in self.told_at


class Lines:
    """Running requests by their numbers; the session's thread alone touches them."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._running: dict[int, Line] = {}
        self.changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._running)

    def running(self, number: int) -> Line | None:
        """Line of a request that goes on."""
        return self._running.get(number)

    def open(self, number: int) -> Line:
        """Listen to a request."""
        return self._running.setdefault(number, Line())

    def close(self, number: int) -> None:
        """What comes late for a request is not heard."""
        self._running.pop(number, None)

    def forget(self) -> None:
        """Nothing that was told counts any more, the requests go on."""
        for line in self._running.values():
            line.forget()

    def drop(self) -> None:
        """The connection is gone, and every request with it."""
        self.forget()
        self._running.clear()
        self.changed.set()

    # ------------------------------------------------------------ what is told

    def price(self, number: int, tick: int, price: float, size: float) -> None:
        """A price and, with bid and ask, its size; −1 says that there is none, and so does what is no number."""
        line = self._running.get(number)
        if line is None:
            return
        line.told_at[tick] = self._now()
        _keep(line.prices, tick, price)
        if tick in _SIZE_OF:
            self.size(number, _SIZE_OF[tick], size)
            line.code, line.text = 0, ""  # what met an error before tells prices again
        self.changed.set()

    def size(self, number: int, tick: int, size: float) -> None:
        """A size."""
        line = self._running.get(number)
        if line is not None:
            _keep(line.sizes, tick, size)
            self.changed.set()

    def value(self, number: int, tick: int, value: float) -> None:
        """A number without a name of its own."""
        line = self._running.get(number)
        if line is not None:
            _keep(line.values, tick, value)
            self.changed.set()

    def words(self, number: int, tick: int, text: str) -> None:
        """A text."""
        line = self._running.get(number)
        if line is not None:
            line.texts[tick] = text
            self.changed.set()

    def computation(self, number: int, tick: int, computed: Computed) -> None:
        """The model's view of an option; those of bid, ask and last trade are not read."""
        line = self._running.get(number)
        if line is not None and tick == Tick.MODEL_OPTION:
            line.computed = computed
            self.changed.set()

    def data_type(self, number: int, data_type: int) -> None:
        """Whether what follows is live, frozen or delayed."""
        line = self._running.get(number)
        if line is not None:
            if data_type != line.data_type:
                line.forget()  # what was told under another type is of another kind
            line.data_type = data_type
            self.changed.set()

    def error(self, number: int, code: int, text: str) -> None:
        """A request met an error: what was told before it does not count any more. Remarks change nothing."""
        line = self._running.get(number)
        if line is not None and code not in _REMARKS:
            line.forget()
            line.code, line.text = code, text
            self.changed.set()


def _keep(known: dict[int, Decimal], tick: int, value: float) -> None:
    """Keep what was told last, nothing where it is no number."""
    told = exact_if_set(value)
    if told is None:
        known.pop(tick, None)
    else:
        known[tick] = told
