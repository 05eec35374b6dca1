"""Exchange rates of the broker: the middle of a live two-sided quote, else the rate of the account, else none (FX-05)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from engine.errors import BrokerUnavailable
from engine.model.instruments import InstrumentType
from engine.model.market import BASE_CURRENCY, FxRate, FxRates, Quote
from engine.model.universe import Universe
from tasks.adapters.ibkr.account import by_currency, values_of
from tasks.adapters.ibkr.session import IbkrSession

SPOT_SOURCE = "IBKR spot midpoint"
ACCOUNT_SOURCE = "IBKR account rate"
_PENCE, _POUND = "GBX", "GBP"
_RATE = "ExchangeRate"


class RateDesk:
    """Rates of currencies against the dollar; ``quotes`` gives live quotes of the universe's currency pairs."""

    def __init__(
        self,
        session: IbkrSession,
        universe: Universe,
        quotes: Callable[[Iterable[str]], Mapping[str, Quote]],
    ) -> None:
        self._session, self._quotes = session, quotes
        self._pairs = pairs_with_base(universe)
        self._names = {
            name: universe[pair].ib_symbol + universe[pair].currency for name, pair in self._pairs.items()
        }

    def rates(self, as_of: datetime, currencies: Iterable[str]) -> FxRates:
        """Rates of these currencies; one that the broker does not tell is missing, and asking for it raises.

        They are as of the latest moment at which one was told, which is not before ``as_of``.
        """
        wanted = sorted({_POUND if name == _PENCE else name for name in currencies} - {BASE_CURRENCY})
        found = self._spot(wanted)
        missing = [name for name in wanted if name not in found]
        if missing:
            found |= self._of_account(missing)
        rates = {rate.pair: rate for _, rate in sorted(found.items())}
        latest = max((rate.observed_at for rate in rates.values()), default=as_of)
        return FxRates(as_of=max(as_of, latest), rates=rates)

    def _spot(self, currencies: Iterable[str]) -> dict[str, FxRate]:
        asked = {name: self._pairs[name] for name in currencies if name in self._pairs}
        quotes = self._quotes(asked.values())
        return {
            name: FxRate(
                pair=self._names[name],
                rate=quotes[pair].mid,
                observed_at=quotes[pair].observed_at,
                source=SPOT_SOURCE,
            )
            for name, pair in asked.items()
            if pair in quotes
        }

    def _of_account(self, currencies: Iterable[str]) -> dict[str, FxRate]:
        """Dollars per unit by the account's rates, which are in its own base currency: that has to have one as well."""
        try:
            told = by_currency(values_of(self._session.account().values), (_RATE,))
        except BrokerUnavailable:
            return {}
        dollar, now = told.get(BASE_CURRENCY, Decimal(0)), self._session.now()
        if dollar <= 0:
            return {}
        return {
            name: FxRate(
                pair=name + BASE_CURRENCY, rate=told[name] / dollar, observed_at=now, source=ACCOUNT_SOURCE
            )
            for name in currencies
            if told.get(name, Decimal(0)) > 0
        }


def pairs_with_base(universe: Universe) -> dict[str, str]:
    """The universe's currency pair of each currency with the dollar, whichever of the two comes first."""
    pairs = {}
    for instrument in universe:
        names = (instrument.ib_symbol, instrument.currency)
        if instrument.kind in (InstrumentType.FX_SPOT, InstrumentType.CASH) and BASE_CURRENCY in names:
            other = names[0] if names[1] == BASE_CURRENCY else names[1]
            pairs[other] = instrument.instrument_id
    return pairs
