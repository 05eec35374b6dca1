"""What a decision reads of the market, with everything that a broker tells put in the place of what the past says.

Marks, rates, chains, loans and dividends to come are the broker's own or missing: no record stands in for one that it
does not tell (DATA-01). Histories, accounts of companies and corporate actions it does not have: those stay the past's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from engine.carry.calendar import DayFacts
from engine.errors import BrokerRejected, BrokerUnavailable, ConfigurationError, UnknownContract
from engine.model.instruments import Contract, Instrument
from engine.model.market import (
    BASE_CURRENCY,
    BorrowInfo,
    DividendInfo,
    FxRates,
    Mark,
    MarketInputs,
    OptionQuote,
    OptionRange,
    Source,
)
from engine.model.universe import ContractBook
from engine.sessions import SessionTable
from engine.simulation.ages import mark_age

SEARCHED_DAYS = 15
"""Calendar days searched backwards for a last close: a longer silence is no price."""
MOST_SILENT = 3
"""So many questions of history in a row stay without an answer before no other is asked."""


class ClosingBar(Protocol):
    """A session that is over."""

    @property
    def session_date(self) -> date:
        """Its date."""

    @property
    def close(self) -> Decimal:
        """Its close in quote units."""


class LiveMarket(Protocol):
    """What a broker tells of the market now; what it does not tell is absent."""

    def daily_bars(self, contract_id: str, first: date, last: date) -> Sequence[ClosingBar]:
        """Bars of sessions that are over, oldest first; raises `UnknownContract`, `BrokerRejected`."""

    def fx(self, as_of: datetime, currencies: Iterable[str]) -> FxRates:
        """Exchange rates against the dollar."""

    def futures_chain(self, instrument_id: str) -> tuple[Contract, ...]:
        """Contracts that still trade, nearest first; raises `UnknownContract`, `ConfigurationError`."""

    def option_chain(
        self, instrument_id: str, wanted: OptionRange, as_of: datetime
    ) -> tuple[OptionQuote, ...]:
        """Options within a range."""

    def option_quotes(self, instrument_id: str, options: Iterable[Contract]) -> tuple[OptionQuote, ...]:
        """What is told of some options of a line."""

    def borrow(self, instrument_ids: Iterable[str]) -> Mapping[str, BorrowInfo]:
        """Shares that can be borrowed."""

    def dividend_infos(self, instrument_ids: Iterable[str]) -> Mapping[str, DividendInfo]:
        """What shares pay."""


class _Asking:
    """Questions of history, until `MOST_SILENT` in a row stay without an answer: each of them costs its whole wait."""

    def __init__(self, market: LiveMarket) -> None:
        self._market, self._silent = market, 0

    def bars(self, name: str, first: date, last: date) -> Sequence[ClosingBar]:
        """See `LiveMarket.daily_bars`; raises `BrokerUnavailable` without an answer, or without being asked."""
        if self._silent >= MOST_SILENT:
            raise BrokerUnavailable(f"not asked: {MOST_SILENT} questions of history stayed without an answer")
        try:
            found = self._market.daily_bars(name, first, last)
        except BrokerUnavailable:
            self._silent += 1
            raise
        except BrokerRejected:
            self._silent = 0
            raise
        self._silent = 0
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReading:
    """See the module. ``restated`` gives a close of a session per share as counted on a date."""

    market: LiveMarket
    book: Callable[[], ContractBook]
    sessions: SessionTable
    restated: Callable[[str, Decimal, date, date], Decimal]

    def of(
        self, past: MarketInputs, held: Collection[str], options: Mapping[str, OptionRange]
    ) -> MarketInputs:
        """The reading; ``past`` is what was known of the past at the same time."""
        notes: list[str] = []
        universe = self.book().universe
        shares = [row.instrument_id for row in universe if not row.is_future and not row.is_option]
        chains = {row.instrument_id: self._chain(row, notes) for row in universe if row.is_future}
        listed = {contract.contract_id for chain in chains.values() for contract in chain}
        asked = {*shares, *listed, *held}
        marks, untold = self._marks(asked, frozenset(held), past, notes)
        told = self._option_chains(options, held, past.as_of, notes)
        return replace(
            past,
            marks={**marks, **_option_marks(told, past)},
            fx=self.market.fx(past.as_of, [name for name in universe.currencies if name != BASE_CURRENCY]),
            chains={
                name: tuple(contract for contract in chain if contract.contract_id in marks)
                for name, chain in chains.items()
            },
            option_chains=told,
            borrow=self.market.borrow(shares),
            dividend_infos=self.market.dividend_infos(shares),
            data_notes=(*past.data_notes, *notes),
            untold=untold,
        )

    def day_facts(self, past: DayFacts, held: Iterable[str]) -> DayFacts:
        """Facts of a day with the broker's closes of what is held; one that it does not tell is missing."""
        book, day = self.book(), past.day
        traded = {name for name in held if not book.instrument(name).is_option}
        # What an option closed at is not told by bars of days.
        closes = {name: price for name, price in past.closes.items() if name not in traded}
        last = {name: price for name, price in past.last_closes.items() if name not in traded}
        for name in sorted(traded):
            try:
                bars = self.market.daily_bars(name, day - timedelta(days=SEARCHED_DAYS), day)
            except BrokerRejected:
                continue  # the reading of the same day says why
            if bars:
                newest = bars[-1]
                last[name] = self.restated(name, newest.close, newest.session_date, day)
                if newest.session_date == day:
                    closes[name] = newest.close
        return replace(past, closes=closes, last_closes=last)

    def _chain(self, instrument: Instrument, notes: list[str]) -> tuple[Contract, ...]:
        try:
            return self.market.futures_chain(instrument.instrument_id)
        except (UnknownContract, ConfigurationError, BrokerRejected) as error:
            notes.append(f"{instrument.instrument_id}: no chain at the broker: {error}")
            return ()

    def _marks(
        self, names: Collection[str], held: Collection[str], past: MarketInputs, notes: list[str]
    ) -> tuple[dict[str, Mark], dict[str, str]]:
        """Marks, and why there are none of instruments whose history was refused, is empty or was not answered.

        Of an expiry that is not held and has not traded yet, an empty history is no gap.
        """
        marks: dict[str, Mark] = {}
        untold: dict[str, str] = {}
        history = _Asking(self.market)
        for name in sorted(names):
            try:
                instrument = self.book().instrument(name)
            except UnknownContract as error:
                notes.append(f"{name}: no price at the broker: {error}")
                continue
            if instrument.is_option:
                continue
            is_gap = True
            try:
                mark = self._mark(name, instrument, past, history)
                why = f"expected a session in the last {SEARCHED_DAYS} days, found none"
                is_gap = not instrument.is_future or name in held
            except (UnknownContract, ConfigurationError) as error:
                mark, why, is_gap = None, str(error), False
            except (BrokerRejected, BrokerUnavailable) as error:
                mark, why = None, str(error)
            if mark is not None:
                marks[name] = mark
                continue
            notes.append(f"{name}: no price at the broker: {why}")
            if is_gap:
                untold.setdefault(instrument.instrument_id, why)
        return marks, untold

    def _mark(self, name: str, instrument: Instrument, past: MarketInputs, history: _Asking) -> Mark | None:
        last = self.sessions.last_closed(instrument.venue, past.as_of).session_date
        bars = history.bars(name, last - timedelta(days=SEARCHED_DAYS), last)
        if not bars:
            return None
        newest = bars[-1]
        return Mark(
            contract_id=name,
            price=self.restated(name, newest.close, newest.session_date, past.trade_date),
            session_date=newest.session_date,
            age_sessions=mark_age(self.sessions, instrument.venue, newest.session_date, last),
            source=Source.IBKR,
        )

    def _option_chains(
        self,
        wanted: Mapping[str, OptionRange],
        held: Collection[str],
        as_of: datetime,
        notes: list[str],
    ) -> dict[str, tuple[OptionQuote, ...]]:
        """Options that were asked for, and those that are held, by line."""
        book = self.book()
        own = [book.contract(name) for name in held if book.instrument(name).is_option]
        chains = {}
        for name in sorted({*wanted, *(contract.instrument_id for contract in own)}):
            of_line = [contract for contract in own if contract.instrument_id == name]
            try:
                found = self.market.option_chain(name, wanted[name], as_of) if name in wanted else ()
                listed = {quote.contract.contract_id for quote in found}
                more = [contract for contract in of_line if contract.contract_id not in listed]
                chains[name] = (*found, *(self.market.option_quotes(name, more) if more else ()))
            except (UnknownContract, ConfigurationError, BrokerRejected) as error:
                notes.append(f"{name}: no options at the broker: {error}")
                chains[name] = ()
        return chains


def _option_marks(chains: Mapping[str, tuple[OptionQuote, ...]], past: MarketInputs) -> dict[str, Mark]:
    """Middles of two-sided option quotes: what a model or a record says of an option is no price of it."""
    return {
        quote.contract.contract_id: Mark(
            contract_id=quote.contract.contract_id,
            price=(quote.bid + quote.ask) / 2,
            session_date=past.as_of.date(),
            age_sessions=0,
            source=Source.IBKR,
        )
        for chain in chains.values()
        for quote in chain
        if quote.bid is not None and quote.ask is not None and 0 < quote.bid <= quote.ask
    }
