"""The market as the broker tells it now: quotes, rates, loans, dividends and margins over one session.

Every value is of this moment and of this broker; what is not told is absent, and nothing else is asked instead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from engine.model.instruments import Contract
from engine.model.market import BorrowInfo, DividendInfo, FxRates, OptionQuote, OptionRange, Quote
from engine.model.orders import ChildOrder
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.chains import business_calendar
from tasks.adapters.ibkr.bars import BarPrice, DailyBar, HourlyBar
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.futures_chain import listed_futures
from tasks.adapters.ibkr.history import HistoryDesk
from tasks.adapters.ibkr.lending import (
    DIVIDEND_TICKS,
    SHORTABLE_TICKS,
    are_dividends_told,
    borrow_info,
    dividend_info,
    is_lent,
    is_shortability_told,
)
from tasks.adapters.ibkr.lines import Line
from tasks.adapters.ibkr.live_quotes import LiveMarketData
from tasks.adapters.ibkr.margin import MarginChange, MarginDesk
from tasks.adapters.ibkr.market_lines import MarketLines
from tasks.adapters.ibkr.option_chain import ChainPolicy, OptionDesk
from tasks.adapters.ibkr.quote_quality import QuoteQualityConfig, QuoteRefusal
from tasks.adapters.ibkr.rates import RateDesk
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.units import WireUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTerms:
    """What the desk asks of market data. ``borrow_fee_bps_annual`` is the fund's fee of a loan whose fee nobody tells."""

    quality: QuoteQualityConfig
    borrow_fee_bps_annual: Decimal
    generic_seconds: float = 4.0
    chains: ChainPolicy = field(default_factory=ChainPolicy)
    units: WireUnits = field(default_factory=WireUnits)


class MarketDesk:
    """See the module. All questions wait with a timeout; none is repeated."""

    def __init__(
        self,
        session: IbkrSession,
        contracts: ContractDesk,
        universe: Universe,
        sessions: SessionTable,
        terms: MarketTerms,
    ) -> None:
        self._session, self._contracts, self._universe = session, contracts, universe
        self._sessions, self._terms = sessions, terms
        self._lines = MarketLines(session, terms.quality.max_lines)
        self._live = LiveMarketData(session, contracts, self._lines, terms.quality, terms.units)
        self._rates = RateDesk(session, universe, self._live.quotes)
        self._margins = MarginDesk(session, contracts, terms.units)
        self._history = HistoryDesk(session, contracts, sessions, terms.units)
        self._options = OptionDesk(session, contracts, self._lines, terms.units, terms.chains)

    @property
    def refused(self) -> Mapping[str, QuoteRefusal]:
        """Why contracts have no quote, by contract."""
        return self._live.refused

    @property
    def refused_options(self) -> Mapping[str, str]:
        """Why lines and options were left out of chains, by line or contract."""
        return self._options.refused

    def quote(self, contract_id: str) -> Quote | None:
        """The live quote of a contract, ``None`` where none passes the gate."""
        return self._live.quote(contract_id)

    def quotes(self, contract_ids: Iterable[str]) -> Mapping[str, Quote]:
        """Live quotes of many contracts; those without one are absent."""
        return self._live.quotes(contract_ids)

    def watch(self, contract_ids: Collection[str]) -> None:
        """Hold lines for exactly these contracts, so that their quotes are there when they are asked for."""
        self._live.watch(contract_ids)

    def fx(self, as_of: datetime, currencies: Iterable[str]) -> FxRates:
        """Exchange rates against the dollar; one that the broker does not tell is missing."""
        return self._rates.rates(as_of, currencies)

    def daily_bars(
        self, contract_id: str, first: date, last: date, price: BarPrice | None = None
    ) -> tuple[DailyBar, ...]:
        """Bars of sessions that are over, oldest first; errors as `HistoryDesk.daily_bars`."""
        return self._history.daily_bars(contract_id, first, last, price)

    def hourly_bars(
        self, contract_id: str, first: datetime, last: datetime, price: BarPrice | None = None
    ) -> tuple[HourlyBar, ...]:
        """Bars of hours that are over, oldest first; errors as `HistoryDesk.hourly_bars`."""
        return self._history.hourly_bars(contract_id, first, last, price)

    def futures_chain(self, instrument_id: str) -> tuple[Contract, ...]:
        """A future's contracts that still trade, nearest first; errors as `listed_futures`."""
        instrument = self._universe[instrument_id]
        calendar = business_calendar(self._sessions, instrument.venue)
        return listed_futures(self._contracts, instrument, self._session.now().date(), calendar)

    def option_chain(
        self, instrument_id: str, wanted: OptionRange, as_of: datetime
    ) -> tuple[OptionQuote, ...]:
        """Options of a line within a range, by expiry and strike; errors as `OptionDesk.chain`."""
        return self._options.chain(self._universe[instrument_id], wanted, as_of)

    def option_quotes(self, instrument_id: str, options: Iterable[Contract]) -> tuple[OptionQuote, ...]:
        """What the broker tells of some options of a line, such as those that are held."""
        return self._options.quotes(self._universe[instrument_id], options)

    def borrow(self, instrument_ids: Iterable[str]) -> Mapping[str, BorrowInfo]:
        """Shares that can be borrowed, by instrument; a line of which nothing is told is absent.

        Raises `BrokerUnavailable` when the connection does not stand.
        """
        fee = self._terms.borrow_fee_bps_annual
        told = self._generic(instrument_ids, SHORTABLE_TICKS, is_shortability_told)
        found = ((name, borrow_info(name, line, fee)) for name, line in told.items())
        return {name: info for name, info in found if info is not None}

    def dividend_infos(self, instrument_ids: Iterable[str]) -> Mapping[str, DividendInfo]:
        """What shares pay, by instrument; a line of which nothing is told is absent.

        Raises `BrokerUnavailable` when the connection does not stand.
        """
        told = self._generic(instrument_ids, DIVIDEND_TICKS, are_dividends_told)
        units = self._terms.units
        found = ((name, dividend_info(self._universe[name], line, units)) for name, line in told.items())
        return {name: info for name, info in found if info is not None}

    def margin(self, child: ChildOrder) -> MarginChange:
        """What an order would take in margin and cost; errors as `MarginDesk.margin`."""
        return self._margins.margin(child)

    def _generic(
        self, instrument_ids: Iterable[str], ticks: str, is_told: Callable[[Line], bool]
    ) -> Mapping[str, Line]:
        """Lines of shares with a generic tick, as far as the broker tells them in time."""
        shares = [name for name in dict.fromkeys(instrument_ids) if is_lent(self._universe[name])]
        wires = {name: known.wire for name, known in self._live.known(shares).items()}
        return self._lines.ask(wires, is_told, self._terms.generic_seconds, ticks)
