"""Options of one line that somebody may want: the broker's parameters, strikes near the money, and what each shows.

A request of whole chains is paced for minutes, so an expiry is looked at twice: first the strike at the money, whose
volatility says how far the market may go, then some strikes within that. What the broker does not tell of an option
(volatility, delta, open interest) leaves it out: nobody buys what is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from math import exp, sqrt

from ib_insync import IB
from ib_insync.contract import Contract as WireContract
from ib_insync.objects import OptionChain

from engine.errors import BrokerRejected, ConfigurationError, UnknownContract
from engine.model.instruments import Contract, Instrument, OptionRight, option_contract_id
from engine.model.market import OptionQuote, OptionRange
from tasks.adapters.ibkr.contracts import SMART, ContractDesk, Qualified
from tasks.adapters.ibkr.lines import LIVE_DATA, Line, Tick
from tasks.adapters.ibkr.market_lines import MarketLines
from tasks.adapters.ibkr.records import exact
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.units import WireUnits

OPEN_INTEREST_TICKS = "101"
_YEAR_DAYS = 365.0
_TRIED = 3
"""Strikes at the money that are asked for: not each is listed in each expiry."""

_OPEN_INTEREST = {OptionRight.CALL: Tick.CALL_OPEN_INTEREST, OptionRight.PUT: Tick.PUT_OPEN_INTEREST}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPolicy:
    """How much of a chain is looked at.

    Expiries are those nearest to the middle of the wanted days. Strikes reach from ``inside`` standard deviations in
    the money to ``outside`` out of it, and are thinned evenly to a number.
    """

    most_expiries: int = 4
    most_strikes: int = 16
    inside_deviations: float = 0.5
    outside_deviations: float = 2.5
    answer_seconds: float = 4.0


class OptionDesk:
    """Asks for option chains. ``refused`` says of each line or option that was left out why."""

    def __init__(
        self,
        session: IbkrSession,
        contracts: ContractDesk,
        lines: MarketLines,
        units: WireUnits,
        policy: ChainPolicy,
    ) -> None:
        self._session, self._contracts, self._lines = session, contracts, lines
        self._units, self._policy = units, policy
        self.refused: dict[str, str] = {}

    def chain(self, instrument: Instrument, wanted: OptionRange, as_of: datetime) -> tuple[OptionQuote, ...]:
        """Options of a line within a range, by expiry and strike; empty where the broker lists or tells none.

        Raises `ConfigurationError` when the parameters are ambiguous, `BrokerUnavailable` without an answer.
        """
        name = instrument.instrument_id
        underlying = self._underlying(instrument)
        spot = None if underlying is None else self._spot(name, underlying)
        if underlying is None or spot is None:
            self.refused.setdefault(name, "the broker tells no price of its underlying")
            return ()
        listed = self._listed(instrument, underlying)
        if listed is None:
            self.refused[name] = f"the broker lists no options of {instrument.ib_symbol}"
            return ()
        self.refused.pop(name, None)
        return self.quotes(instrument, self._near(instrument, wanted, listed, spot, as_of.date()))

    def quotes(self, instrument: Instrument, options: Iterable[Contract]) -> tuple[OptionQuote, ...]:
        """What the broker tells of some options, by expiry and strike; those of which it leaves something out are left out."""
        known = self._adopted(options)
        told = self._lines.ask(
            {name: one.wire for name, one in known.items()},
            _is_told,
            self._policy.answer_seconds,
            OPEN_INTEREST_TICKS,
        )
        found = [self._quote(known[name].contract, instrument, line) for name, line in told.items()]
        quotes = [quote for quote in found if quote is not None]
        return tuple(sorted(quotes, key=lambda quote: _order(quote.contract)))

    def _underlying(self, instrument: Instrument) -> WireContract | None:
        """The broker's underlying: the index of that symbol, else the share."""
        symbol, currency = instrument.ib_symbol, instrument.currency
        for kind, exchange in (("IND", instrument.exchange), ("STK", SMART)):
            found = self._contracts.details(
                WireContract(secType=kind, symbol=symbol, exchange=exchange, currency=currency)
            )
            if len(found) > 1:
                raise ConfigurationError(
                    f"{instrument.instrument_id}: expected one underlying {kind} {symbol} in {currency}, found {len(found)}"
                )
            if found and found[0].contract is not None:
                return found[0].contract
        return None

    def _spot(self, name: str, underlying: WireContract) -> Decimal | None:
        """The underlying's price, by which strikes are chosen; each option tells its own with its model."""
        line = self._lines.ask({name: underlying}, _has_price, self._policy.answer_seconds)[name]
        if line.code or line.data_type != LIVE_DATA:
            self.refused[name] = (
                f"its underlying has no live price: {line.code} {line.text} type {line.data_type}"
            )
            return None
        return reference_price(line)

    def _listed(self, instrument: Instrument, underlying: WireContract) -> OptionChain | None:
        """The one row of parameters that is this line: its venue, multiplier and, of several, its symbol's own class."""
        rows = self._session.call(partial(_parameters, underlying=underlying))
        fitting = [
            row
            for row in rows
            if row.exchange == instrument.exchange and exact(row.multiplier or 0) == instrument.multiplier
        ]
        own = [row for row in fitting if row.tradingClass == instrument.ib_symbol] or fitting
        if len(own) > 1:
            raise ConfigurationError(
                f"{instrument.instrument_id}: expected one class of options of {instrument.ib_symbol} at "
                f"{instrument.exchange}, found {', '.join(row.tradingClass for row in own)}"
            )
        return own[0] if own else None

    def _near(
        self, instrument: Instrument, wanted: OptionRange, listed: OptionChain, spot: Decimal, today: date
    ) -> list[Contract]:
        """Options of a range that are looked at; an expiry without a volatility at the money has none."""
        strikes = sorted(exact(strike) for strike in listed.strikes)
        expiries = near_expiries(listed.expirations, wanted, today, self._policy.most_expiries)
        at_the_money = self._at_the_money(instrument, wanted.right, expiries, strikes, spot)
        chosen = []
        for day in expiries:
            if day not in at_the_money:
                self.refused[f"{instrument.instrument_id} {day}"] = (
                    "the broker tells no volatility at the money"
                )
                continue
            deviation = at_the_money[day] * sqrt(max((day - today).days, 1) / _YEAR_DAYS)
            near = near_strikes(strikes, spot, deviation, wanted.right, self._policy)
            chosen += [option_of(instrument, day, wanted.right, strike) for strike in near]
        return chosen

    def _at_the_money(
        self,
        instrument: Instrument,
        right: OptionRight,
        expiries: Iterable[date],
        strikes: Sequence[Decimal],
        spot: Decimal,
    ) -> Mapping[date, float]:
        """Volatility of each expiry at the money: of the nearest strike that is listed and told."""
        nearest = sorted(strikes, key=lambda strike: abs(strike - spot))[:_TRIED]
        asked = [option_of(instrument, day, right, strike) for day in expiries for strike in nearest]
        found: dict[date, tuple[Decimal, float]] = {}
        for quote in self.quotes(instrument, asked):
            day, strike = quote.contract.last_trade_date, quote.contract.strike
            if day is None or strike is None:
                continue
            distance = abs(strike - spot)
            if day not in found or distance < found[day][0]:
                found[day] = (distance, quote.implied_volatility)
        return {day: volatility for day, (_, volatility) in found.items()}

    def _adopted(self, options: Iterable[Contract]) -> Mapping[str, Qualified]:
        known = {}
        for option in options:
            try:
                known[option.contract_id] = self._contracts.adopt(option)
            except (UnknownContract, ConfigurationError, BrokerRejected) as error:
                self.refused[option.contract_id] = str(error)
        return known

    def _quote(self, contract: Contract, instrument: Instrument, line: Line) -> OptionQuote | None:
        name, computed, right = contract.contract_id, line.computed, contract.right
        if line.code or line.data_type != LIVE_DATA or computed is None or right is None:
            self.refused[name] = f"no live model of the broker: {line.code} {line.text} type {line.data_type}"
            return None
        interest = line.sizes.get(_OPEN_INTEREST[right])
        if (
            computed.volatility is None
            or computed.delta is None
            or computed.underlying is None
            or interest is None
        ):
            self.refused[name] = f"the broker leaves something out: {computed}, open interest {interest}"
            return None
        self.refused.pop(name, None)
        return OptionQuote(
            contract=contract,
            bid=self._side(instrument, line, Tick.BID),
            ask=self._side(instrument, line, Tick.ASK),
            implied_volatility=computed.volatility,
            delta=computed.delta,
            open_interest=int(interest),
            underlying_price=computed.underlying,
        )

    def _side(self, instrument: Instrument, line: Line, tick: Tick) -> Decimal | None:
        told = line.side(tick)
        return None if told is None else self._units.ticked(instrument, told)


def reference_price(line: Line) -> Decimal | None:
    """The middle of both sides, else the last trade, for an index is not quoted, else the close; what is no price counts not."""
    bid, ask = line.side(Tick.BID), line.side(Tick.ASK)
    if bid is not None and ask is not None and bid <= ask:
        return (bid + ask) / 2
    told = (line.prices.get(tick) for tick in (Tick.LAST, Tick.CLOSE))
    return next((price for price in told if price is not None and price > 0), None)


def option_of(instrument: Instrument, day: date, right: OptionRight, strike: Decimal) -> Contract:
    """The contract of an option."""
    return Contract(
        contract_id=option_contract_id(instrument.instrument_id, day, right, strike),
        instrument_id=instrument.instrument_id,
        last_trade_date=day,
        strike=strike,
        right=right,
    )


def near_expiries(told: Iterable[str], wanted: OptionRange, today: date, most: int) -> tuple[date, ...]:
    """Expiries within the wanted days, of too many those nearest to their middle; in order."""
    middle = (wanted.first_day + wanted.last_day) / 2
    first, last = (today + timedelta(days=days) for days in (wanted.first_day, wanted.last_day))
    days = sorted({datetime.strptime(text, "%Y%m%d").date() for text in told})  # noqa: DTZ007 - dates alone
    within = [day for day in days if first <= day <= last]
    return tuple(sorted(sorted(within, key=lambda day: abs((day - today).days - middle))[:most]))


def near_strikes(
    strikes: Sequence[Decimal], spot: Decimal, deviation: float, right: OptionRight, policy: ChainPolicy
) -> tuple[Decimal, ...]:
    """Strikes within a band around the money, in units of the market's deviation until expiry: evenly thinned.

    ``band = spot · exp(±deviations · σ√T)``: further on the side where a strike protects, below the money for puts.
    """
    below, above = policy.outside_deviations, policy.inside_deviations
    if right is OptionRight.CALL:
        below, above = above, below
    low, high = float(spot) * exp(-below * deviation), float(spot) * exp(above * deviation)
    within = [strike for strike in sorted(strikes) if low <= float(strike) <= high]
    if len(within) <= policy.most_strikes:
        return tuple(within)
    step = (len(within) - 1) / (policy.most_strikes - 1)
    return tuple(within[round(number * step)] for number in range(policy.most_strikes))


async def _parameters(ib: IB, underlying: WireContract) -> list[OptionChain]:
    found: list[OptionChain] = await ib.reqSecDefOptParamsAsync(
        underlying.symbol, "", underlying.secType, underlying.conId
    )
    return found


def _is_told(line: Line) -> bool:
    interest = Tick.CALL_OPEN_INTEREST in line.sizes or Tick.PUT_OPEN_INTEREST in line.sizes
    return line.has_sides and line.computed is not None and interest


def _has_price(line: Line) -> bool:
    return Tick.LAST in line.prices or line.has_sides


def _order(contract: Contract) -> tuple[str, Decimal]:
    return str(contract.last_trade_date), contract.strike or Decimal(0)
