"""What the broker's model says of an option: volatility, delta, open interest and the price of its underlying.

While its venue trades, volatilities are those of the quotes that are shown, on the underlying's price of the same moment.
Before and after, they are those of the last close.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import numpy as np

from engine.model.instruments import Contract, Instrument, OptionRight
from engine.model.market import OptionQuote, Quote, Source
from engine.model.universe import Universe
from engine.option_pricing import black_76_delta, implied_volatility
from engine.ports import MarketFacts
from engine.simulation.factors import SHORT_RATES
from engine.simulation.market import option_name
from engine.simulation.option_market import (
    has_options,
    listed_expiries,
    listed_strikes,
    option_forward,
)
from engine.simulation.option_quotes import OptionRequest, last_underlying, read_options
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.tape import Tape

_YEAR_DAYS = 365.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Model of one price: annual volatility, delta per unit (signed), the price and that of the underlying."""

    volatility: float
    delta: float
    price: Decimal
    underlying: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionDesk:
    """Model figures of options over one tape."""

    tape: Tape
    listing: Listing
    facts: MarketFacts

    def last_model(self, instrument: Instrument, contract_id: str, at: datetime) -> OptionQuote | None:
        """The model as of the last close; ``None`` without a close of its underlying."""
        if not has_options(self.tape.panel, instrument.instrument_id):
            return None
        day = self.facts.sessions.last_closed(instrument.venue, at).session_date
        board = read_options(
            self.tape.panel,
            Universe(instruments=(instrument,)),
            self.facts.sessions,
            {instrument.venue: self._calendar(instrument)},
            {instrument.instrument_id: (self.tape.panel.row(day), day)},
            OptionRequest(trade_date=at.date(), ranges={}, held=[contract_id]),
            Source.SIMULATED,
        )
        chain = board.chains.get(instrument.instrument_id, ())
        return chain[0] if chain else None

    def computed(
        self, instrument: Instrument, contract: Contract, price: Decimal | None, at: datetime
    ) -> Computed | None:
        """Model of a price that is shown now; ``None`` where no volatility gives it."""
        spot, session = self._spot(instrument, at), self.facts.sessions.in_session(instrument.venue, at)
        expiry, strike = contract.last_trade_date, contract.strike
        if spot is None or session is None or price is None or price <= 0 or expiry is None or strike is None:
            return None
        years = (expiry - session.session_date).days / _YEAR_DAYS
        if years <= 0:
            return None
        forward = option_forward(option_name(instrument), float(spot), np.array([years]))
        rate, sign = (
            SHORT_RATES[instrument.currency],
            np.array([1.0 if contract.right is OptionRight.CALL else -1.0]),
        )
        volatility = implied_volatility(np.array([float(price)]), forward, float(strike), years, rate, sign)
        if not np.isfinite(volatility).all():
            return None
        delta = black_76_delta(forward, float(strike), years, volatility, rate, sign)
        return Computed(
            volatility=round(float(volatility[0]), 6),
            delta=round(float(delta[0]), 6),
            price=price,
            underlying=spot,
        )

    def computations(
        self, instrument: Instrument, contract: Contract, quote: Quote | None, at: datetime
    ) -> Mapping[str, Computed]:
        """Models of the bid, the ask, the last trade and the middle, where there are any."""
        if quote is None:
            known = self.last_model(instrument, contract.contract_id, at)
            close = self.tape.last_close(self.facts, instrument, contract.contract_id, at)
            if known is None or close is None:
                return {}
            model = Computed(
                volatility=known.implied_volatility,
                delta=known.delta,
                price=close,
                underlying=known.underlying_price,
            )
            return {"model": model}
        mid = quote.mid if quote.is_two_sided else None
        prices = {"bid": quote.bid, "ask": quote.ask, "last": quote.last, "model": mid}
        found = {name: self.computed(instrument, contract, price, at) for name, price in prices.items()}
        return {name: one for name, one in found.items() if one is not None}

    def expiries(self, instrument: Instrument, at: datetime) -> tuple[date, ...]:
        """Monthly expiries that are listed now."""
        calendar = self._calendar(instrument)
        return listed_expiries(instrument, option_name(instrument), self.facts.sessions, calendar, at.date())

    def strikes(self, instrument: Instrument, at: datetime) -> tuple[Decimal, ...]:
        """Strikes of any listed expiry, around the last close of the underlying."""
        day = self.facts.sessions.last_closed(instrument.venue, at).session_date
        name = option_name(instrument)
        underlying = last_underlying(self.tape.panel, instrument, name, self.tape.panel.row(day), day)
        if underlying is None:
            return ()
        found: set[Decimal] = set()
        for expiry in self.expiries(instrument, at):
            years = (expiry - day).days / _YEAR_DAYS
            strikes, _ = listed_strikes(name, underlying.spot, underlying.at_the_money, years)
            found |= {Decimal(repr(strike)).normalize() for strike in strikes.tolist()}
        return tuple(sorted(found))

    def _calendar(self, instrument: Instrument) -> np.busdaycalendar:
        return self.tape.calendar(self.facts.sessions, instrument.venue)

    def _spot(self, instrument: Instrument, at: datetime) -> Decimal | None:
        """Middle of the price that the option is quoted on; on volatility, the level of the index."""
        references, name = self.tape.references, self.listing.underlying(instrument)
        if references is None or name is None:
            return None
        quote = references.facts.quote(name, at)
        return None if quote is None or not quote.is_two_sided else quote.mid
