"""The part of the ears that hears market data: ticks go to our lines, by the number of their request.

The library's own ticker lets a size make an old price look new and shows what is delayed like what is live.
"""

from __future__ import annotations

from ib_insync import IB
from ib_insync.wrapper import Wrapper

from tasks.adapters.ibkr.lines import Computed, Lines
from tasks.adapters.ibkr.records import exact_if_set


class TickEars(Wrapper):
    """What the library calls for each message about market data."""

    def __init__(self, ib: IB, lines: Lines) -> None:
        self.lines = lines
        super().__init__(ib)

    def priceSizeTick(self, reqId: int, tickType: int, price: float, size: float) -> None:
        """A price with its size."""
        self.lines.price(reqId, tickType, price, size)

    def tickSize(self, reqId: int, tickType: int, size: float) -> None:
        """A size."""
        self.lines.size(reqId, tickType, size)

    def tickGeneric(self, reqId: int, tickType: int, value: float) -> None:
        """A number."""
        self.lines.value(reqId, tickType, value)

    def tickString(self, reqId: int, tickType: int, value: str) -> None:
        """A text."""
        self.lines.words(reqId, tickType, value)

    def marketDataType(self, reqId: int, marketDataId: int) -> None:
        """Live, frozen or delayed."""
        self.lines.data_type(reqId, marketDataId)

    def tickOptionComputation(  # noqa: PLR0913, PLR0917 - the library's own signature
        self,
        reqId: int,
        tickType: int,
        tickAttrib: int,
        impliedVol: float,
        delta: float,
        optPrice: float,
        pvDividend: float,
        gamma: float,
        vega: float,
        theta: float,
        undPrice: float,
    ) -> None:
        """What a model says of an option: −1 for a volatility or a price and −2 for a delta say nothing."""
        volatility, told_delta = exact_if_set(impliedVol), exact_if_set(delta)
        computed = Computed(
            volatility=None if volatility is None or volatility <= 0 else float(volatility),
            delta=None if told_delta is None or abs(told_delta) > 1 else float(told_delta),
            underlying=exact_if_set(undPrice) if undPrice > 0 else None,
        )
        self.lines.computation(reqId, tickType, computed)

    def tickReqParams(self, reqId: int, minTick: float, bboExchange: str, snapshotPermissions: int) -> None:
        """Facts of a request that nobody reads."""
