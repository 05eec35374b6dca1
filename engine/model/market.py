"""What the market says: marks, quotes, rates, chains and history, each with its time and its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

import numpy as np

from engine.errors import InvariantError, MissingFxRate, MissingMark, NonFiniteValue
from engine.model.encoding import SPARE
from engine.model.instruments import Contract, OptionRight
from engine.model.money import require_finite

BASE_CURRENCY = "USD"


class Source(Enum):
    """Where a price comes from; live code accepts IBKR only. No order is priced from what the broker sends late."""

    IBKR = "IBKR"
    SIMULATED = "SIMULATED"
    RESEARCH = "RESEARCH"
    DELAYED = "DELAYED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Best bid and ask of a contract at one time, in quote units; absent sides are ``None``."""

    contract_id: str
    observed_at: datetime
    bid: Decimal | None
    ask: Decimal | None
    bid_size: Decimal
    ask_size: Decimal
    last: Decimal | None
    close: Decimal | None
    source: Source

    @property
    def is_two_sided(self) -> bool:
        """Both sides are numbers and not crossed; nobody need bid for something that is offered."""
        bid, ask = self.bid, self.ask
        if bid is None or ask is None or not (bid.is_finite() and ask.is_finite()):
            return False
        return 0 <= bid <= ask and ask > 0

    @property
    def mid(self) -> Decimal:
        """Midpoint; raises `MissingMark` when a side is missing."""
        if self.bid is None or self.ask is None:
            raise MissingMark(
                f"{self.contract_id}: expected a two-sided quote, found bid {self.bid} ask {self.ask}"
            )
        return (self.bid + self.ask) / 2

    @property
    def spread(self) -> Decimal:
        """Ask less bid; raises `MissingMark` when a side is missing."""
        if self.bid is None or self.ask is None:
            raise MissingMark(
                f"{self.contract_id}: expected a two-sided quote, found bid {self.bid} ask {self.ask}"
            )
        return self.ask - self.bid

    def age_seconds(self, now: datetime) -> float:
        """Seconds since the quote was observed."""
        return (now - self.observed_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Price used to value a line.

    ``session_date`` is the session that it closes; ``age_sessions`` counts the later sessions of the
    instrument's own venue that brought no price (R-105): 0 is fresh.
    """

    contract_id: str
    price: Decimal
    session_date: date
    age_sessions: int
    source: Source

    def __post_init__(self) -> None:
        require_finite(self.price, f"the mark of {self.contract_id}", subject=self.contract_id)
        if self.age_sessions < 0:
            raise InvariantError(f"{self.contract_id}: a mark can not come from the future")


@dataclass(frozen=True, slots=True, kw_only=True)
class FxRate:
    """Units of the second currency for one unit of the first (``EURUSD`` = USD per EUR)."""

    pair: str
    rate: Decimal
    observed_at: datetime
    source: str

    def __post_init__(self) -> None:
        require_finite(self.rate, f"the rate of {self.pair}", subject=self.pair)
        if self.rate <= 0:
            raise NonFiniteValue(
                f"{self.pair}: expected a positive rate, found {self.rate}", subject=self.pair
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FxRates:
    """Exchange rates at one time. A missing rate raises; it is never 1.0."""

    as_of: datetime
    rates: Mapping[str, FxRate]

    def get_rate(self, source: str, target: str) -> Decimal:
        """Units of ``target`` per unit of ``source``: direct, inverse, or by way of USD (FX-02).

        ``GBX`` is a hundredth of ``GBP``. Raises `MissingFxRate`.
        """
        if source == target:
            return Decimal(1)
        if source == "GBX":
            return self.get_rate("GBP", target) / 100
        if target == "GBX":
            return self.get_rate(source, "GBP") * 100
        rate = self._pair_rate(source, target)
        if rate is not None:
            return rate
        first, second = self._pair_rate(source, BASE_CURRENCY), self._pair_rate(BASE_CURRENCY, target)
        if first is None or second is None:
            raise MissingFxRate(source, target, tuple(sorted(self.rates)))
        return first * second

    def _pair_rate(self, source: str, target: str) -> Decimal | None:
        if source == target:
            return Decimal(1)
        direct = self.rates.get(source + target)
        if direct is not None:
            return direct.rate
        inverse = self.rates.get(target + source)
        return None if inverse is None else 1 / inverse.rate

    def convert(self, amount: Decimal, source: str, target: str) -> Decimal:
        """An amount in another currency, unrounded."""
        return amount * self.get_rate(source, target)

    def to_base(self, amount: Decimal, currency: str) -> Decimal:
        """An amount in USD, unrounded."""
        return amount * self.get_rate(currency, BASE_CURRENCY)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketHistory:
    """Causal daily history up to the decision: row t is the session ``dates[t]``, the last one is the newest.

    Attributes
    ----------
    returns : ndarray of shape (days, instruments), float64
        Total return of each instrument in its own currency; NaN where the day brought no price.
    fx_returns : ndarray of shape (days, currencies), float64
        Return of one unit of each currency in USD; 0 for USD.
    vix, v2x : ndarray of shape (days,), float64
        Closes of the volatility indices; NaN where not published.
    """

    dates: tuple[date, ...]
    instrument_ids: tuple[str, ...]
    currencies: tuple[str, ...]
    returns: np.ndarray
    fx_returns: np.ndarray
    vix: np.ndarray
    v2x: np.ndarray

    def __post_init__(self) -> None:
        days, lines, units = len(self.dates), len(self.instrument_ids), len(self.currencies)
        if self.returns.shape != (days, lines) or self.fx_returns.shape != (days, units):
            raise InvariantError("history arrays do not match their dates, instruments and currencies")

    @property
    def without_days(self) -> MarketHistory:
        """The same lines and currencies with no day: what a valuation needs of a history, which is nothing."""
        return replace(
            self,
            dates=(),
            returns=self.returns[:0],
            fx_returns=self.fx_returns[:0],
            vix=self.vix[:0],
            v2x=self.v2x[:0],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionQuote:
    """One listed option of a chain: premium quote, implied volatility (annual), delta (signed, per unit)."""

    contract: Contract
    bid: Decimal | None
    ask: Decimal | None
    implied_volatility: float
    delta: float
    open_interest: int
    underlying_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRange:
    """Options of one line that somebody may want: their right, and their calendar days to expiry, both ends included.

    Nobody asks a broker for whole chains: requests are paced, and each quote is recorded for replay.
    """

    right: OptionRight
    first_day: int
    last_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FundamentalRecord:
    """Accounts of one company as known on ``filed_on``; a figure that was not reported is ``None``.

    Ratios are fractions; ``interest_coverage`` holds EBIT/interest of the last three years, newest first;
    ``tobin_q`` = (market value of equity + debt) / assets; ``market_cap_usd`` in USD.
    """

    instrument_id: str
    period_end: date
    filed_on: date
    sector: str
    return_on_equity: float | None
    gross_profit_to_assets: float | None
    debt_to_equity: float | None
    accruals_to_assets: float | None
    market_cap_usd: float | None
    interest_coverage: tuple[float | None, ...]
    tobin_q: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BorrowInfo:
    """What lenders say of a share: how many can be borrowed, and the fee per year (basis points of collateral)."""

    instrument_id: str
    available_shares: Decimal
    fee_bps_annual: Decimal

    def __post_init__(self) -> None:
        require_finite(self.available_shares, "the shares to borrow", subject=self.instrument_id)
        require_finite(self.fee_bps_annual, "the fee of a loan", subject=self.instrument_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dividend:
    """Cash per share in the instrument's currency, owed to holders before ``ex_date``, paid on ``pay_date``."""

    instrument_id: str
    ex_date: date
    pay_date: date
    amount: Decimal

    def __post_init__(self) -> None:
        require_finite(
            self.amount, f"the amount of the dividend of {self.ex_date}", subject=self.instrument_id
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DividendInfo:
    """What a share pays: next announced ex-date (``None`` when none is), cash and payments of the last year.

    ``paid_annual`` is per share as counted on the day, before tax, in the instrument's currency.
    """

    instrument_id: str
    ex_date: date | None
    paid_annual: Decimal
    payments_annual: int

    def yield_annual(self, value: Decimal) -> Decimal:
        """Last year's dividends as a fraction of what one share is worth, in the same currency."""
        return self.paid_annual / value


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """``new_shares`` for ``old_shares`` from the open of ``ex_date``."""

    instrument_id: str
    ex_date: date
    new_shares: int
    old_shares: int

    @property
    def ratio(self) -> Decimal:
        """New shares per old share."""
        return Decimal(self.new_shares) / Decimal(self.old_shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolChange:
    """A share that trades under another id from the open of ``effective``: the same quantity of the same company."""

    instrument_id: str
    new_instrument_id: str
    effective: date


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketInputs:
    """Everything about the market that a decision may see, cut at ``as_of``; recorded for replay.

    ``marks`` are the last official closes by contract id. ``chains`` lists each future's contracts by last
    trade date, nearest first, with ``marks`` for those that have a price. ``option_chains`` holds the options that
    were asked for and those held, not all that exist. ``average_daily_volume`` is in
    contracts or shares over complete sessions. ``untold`` names instruments of whose last
    closes a broker told nothing, and why.
    ``dividend_infos`` tells of shares that paid in the last year, by instrument; a line whose record is shorter, or
    that pays none, is absent.
    """

    as_of: datetime
    trade_date: date
    marks: Mapping[str, Mark]
    fx: FxRates
    history: MarketHistory
    chains: Mapping[str, tuple[Contract, ...]]
    option_chains: Mapping[str, tuple[OptionQuote, ...]]
    fundamentals: tuple[FundamentalRecord, ...]
    borrow: Mapping[str, BorrowInfo]
    dividends: tuple[Dividend, ...]
    splits: tuple[Split, ...]
    average_daily_volume: Mapping[str, Decimal]
    data_notes: tuple[str, ...] = field(default=())
    dividend_infos: Mapping[str, DividendInfo] = field(default_factory=dict)
    untold: Mapping[str, str] = field(default_factory=dict, metadata=SPARE)

    def mark(self, contract_id: str) -> Mark:
        """Mark of a contract; raises `MissingMark`."""
        found = self.marks.get(contract_id)
        if found is None:
            raise MissingMark(
                f"expected a price for {contract_id}, found none up to {self.as_of:%Y-%m-%d %H:%M}Z"
            )
        return found
