"""May a price be made from what the broker tells of a contract? Live, two-sided, positive, not crossed, fresh: or no quote.

There is no other source to go to: what does not pass is no quote, with the reason (DATA-01, DATA-10, R-02). A side is
what was told of it last: price and size both positive numbers. No rule says how wide a quote may be: only a price that
money can not hold is refused as none, and a limit stays within the collar about the middle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum

from config.execution_sections import MarketData
from engine.errors import ConfigurationError
from engine.model.instruments import Instrument
from engine.model.market import Quote, Source
from engine.model.money import MICRO_LIMIT, ZERO, from_micros
from tasks.adapters.ibkr.lines import LIVE_DATA, Line, Tick
from tasks.adapters.ibkr.units import WireUnits


class QuoteFault(Enum):
    """Why there is no quote."""

    NO_CONNECTION = "no connection"
    UNKNOWN_CONTRACT = "unknown contract"
    NO_PERMISSION = "no permission"
    COMPETING_SESSION = "competing session"
    BROKER_ERROR = "error of the broker"
    FROZEN = "frozen"
    DELAYED = "delayed"
    SILENT = "no answer"
    ONE_SIDED = "one-sided"
    CROSSED = "crossed"
    IMPOSSIBLE = "no price"
    STALE = "stale"


_CODES = {
    200: QuoteFault.UNKNOWN_CONTRACT,
    354: QuoteFault.NO_PERMISSION,
    10089: QuoteFault.NO_PERMISSION,
    10167: QuoteFault.DELAYED,
    10168: QuoteFault.NO_PERMISSION,
    10197: QuoteFault.COMPETING_SESSION,
}
_HIGHEST = from_micros(MICRO_LIMIT)
"""The most that money can hold."""

_TYPES = {2: QuoteFault.FROZEN, 3: QuoteFault.DELAYED, 4: QuoteFault.DELAYED}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRefusal:
    """Why a contract has no quote; ``code`` is the broker's, 0 where it told none."""

    fault: QuoteFault
    text: str
    at: datetime
    code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteQualityConfig:
    """What a quote has to be, and how long to wait for one.

    ``max_age_seconds`` is since bid or ask was told last; in virtual time 0, for the venue's quote of another moment
    is another quote. ``max_lines`` are requests of market data at a time, of which the broker gives 100. A contract
    that is asked for again within ``hold_seconds`` is being worked: its line is held, where that is not 0.
    """

    max_age_seconds: float = 5.0
    answer_seconds: float = 1.5
    max_lines: int = 90
    hold_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.max_age_seconds < 0 or self.answer_seconds <= 0 or not 10 < self.max_lines <= 100:
            raise ConfigurationError(f"expected an age, a time to wait and 11 to 100 lines, found {self}")

    @classmethod
    def of_settings(cls, market: MarketData) -> QuoteQualityConfig:
        """What the settings of live market data ask for."""
        quality = market.min_quote_quality
        if not quality.require_bid_ask_for_limit_pricing:
            raise ConfigurationError(
                "expected require_bid_ask_for_limit_pricing to be true, found false: a limit is priced from two sides"
            )
        return cls(
            max_age_seconds=float(quality.max_mid_staleness_seconds),
            answer_seconds=market.live_snapshot_timeout_ms / 1000,
        )

    def in_virtual_time(self) -> QuoteQualityConfig:
        """For a venue whose clock stands while nobody moves it: a quote is of its very moment."""
        return replace(self, max_age_seconds=0.0, hold_seconds=0.0)

    def judge(
        self, contract_id: str, line: Line, instrument: Instrument, units: WireUnits, now: datetime
    ) -> Quote | QuoteRefusal:
        """The quote that a line tells, or why it tells none."""
        fault, text = self._fault(line, instrument, units, now)
        if fault is not None:
            return QuoteRefusal(fault=fault, text=text, at=now, code=line.code)
        priced_at = line.priced_at
        return Quote(
            contract_id=contract_id,
            observed_at=now if priced_at is None else priced_at,
            bid=units.ticked(instrument, line.prices[Tick.BID]),
            ask=units.ticked(instrument, line.prices[Tick.ASK]),
            bid_size=line.sizes.get(Tick.BID_SIZE, ZERO),
            ask_size=line.sizes.get(Tick.ASK_SIZE, ZERO),
            last=_positive(line, Tick.LAST, instrument, units),
            close=_positive(line, Tick.CLOSE, instrument, units),
            source=Source.IBKR,
        )

    def _fault(
        self, line: Line, instrument: Instrument, units: WireUnits, now: datetime
    ) -> tuple[QuoteFault | None, str]:
        if line.code:
            return _CODES.get(line.code, QuoteFault.BROKER_ERROR), f"{line.code} {line.text}"
        if line.data_type != LIVE_DATA:
            kind = _TYPES.get(line.data_type, QuoteFault.BROKER_ERROR)
            return kind, f"expected live data (type 1), found type {line.data_type}"
        priced_at = line.priced_at
        if priced_at is None:
            return QuoteFault.SILENT, "neither bid nor ask was told"
        bid, ask = line.side(Tick.BID), line.side(Tick.ASK)
        if bid is None or ask is None:
            return QuoteFault.ONE_SIDED, f"expected two sides of positive price and size, found {_told(line)}"
        if max(units.ticked(instrument, side) for side in (bid, ask)) > _HIGHEST:
            return QuoteFault.IMPOSSIBLE, f"expected prices up to {_HIGHEST}, found bid {bid} ask {ask}"
        if bid > ask:
            return QuoteFault.CROSSED, f"expected a bid up to the ask, found bid {bid} ask {ask}"
        age = (now - priced_at).total_seconds()
        if age > self.max_age_seconds:
            limit = self.max_age_seconds
            return QuoteFault.STALE, f"expected prices of at most {limit:g} s, found {age:g} s"
        return None, ""


def _told(line: Line) -> str:
    prices, sizes = line.prices, line.sizes
    bid, ask = prices.get(Tick.BID), prices.get(Tick.ASK)
    return f"bid {bid} × {sizes.get(Tick.BID_SIZE)} ask {ask} × {sizes.get(Tick.ASK_SIZE)}"


def _positive(line: Line, tick: Tick, instrument: Instrument, units: WireUnits) -> Decimal | None:
    """A price of a trade or a close; −1 stands for none."""
    told = line.prices.get(tick)
    return units.ticked(instrument, told) if told is not None and told > 0 else None
