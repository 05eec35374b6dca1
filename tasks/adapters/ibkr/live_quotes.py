"""Live quotes of the broker: those that pass the gate, and for each other one why it does not.

Nothing is cached: a quote is what the broker tells now, or what it told over a held line within the age that is
allowed. There is no second source (DATA-01, DATA-05).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from engine.errors import BrokerRejected, BrokerUnavailable, ConfigurationError, UnknownContract
from engine.model.market import Quote
from tasks.adapters.ibkr.contracts import ContractDesk, Qualified
from tasks.adapters.ibkr.lines import Line
from tasks.adapters.ibkr.market_lines import MarketLines
from tasks.adapters.ibkr.quote_quality import QuoteFault, QuoteQualityConfig, QuoteRefusal
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.units import WireUnits


class LiveMarketData:
    """See the module. ``refused`` says of each contract without a quote why its newest request brought none."""

    def __init__(
        self,
        session: IbkrSession,
        contracts: ContractDesk,
        lines: MarketLines,
        config: QuoteQualityConfig,
        units: WireUnits,
    ) -> None:
        self._session, self._contracts, self._lines = session, contracts, lines
        self._config, self._units = config, units
        self.refused: dict[str, QuoteRefusal] = {}

    def watch(self, contract_ids: Collection[str]) -> None:
        """Hold lines for contracts that are being worked, and end those of all others.

        Raises `ConfigurationError` for more than the broker gives lines.
        """
        self._lines.hold({name: known.wire for name, known in self.known(contract_ids).items()})

    def quote(self, contract_id: str) -> Quote | None:
        """The quote of a contract now, ``None`` when none passes the gate; `refused` has the reason."""
        return self._held_quote(contract_id) or self.quotes((contract_id,)).get(contract_id)

    def quotes(self, contract_ids: Iterable[str]) -> Mapping[str, Quote]:
        """Quotes of many contracts; one that passes no gate is absent, with its reason in `refused`."""
        known = self.known(contract_ids)
        if not self._session.is_ready:
            self._refuse_all(known, f"the connection is {self._session.state.value}")
            return {}
        wires = {name: one.wire for name, one in known.items()}
        try:
            lines = self._lines.ask(wires, _has_sides, self._config.answer_seconds)
        except BrokerUnavailable as error:
            self._refuse_all(known, str(error))
            return {}
        if not self._session.is_ready:  # the link was lost meanwhile: what came before is not known to hold
            self._refuse_all(known, f"the connection is {self._session.state.value}")
            return {}
        found = {}
        for name, line in lines.items():
            quote = self._kept(name, self._judged(known[name], line))
            if quote is not None:
                found[name] = quote
        return found

    def _held_quote(self, contract_id: str) -> Quote | None:
        """What a held line tells, where that passes; else the broker is asked anew."""
        try:
            if not self._session.is_ready:
                return None
            known = self._contracts.qualified(contract_id)
            held = self._lines.of_held(contract_id, lambda line: self._judged(known, line))
        except (BrokerUnavailable, BrokerRejected, UnknownContract, ConfigurationError):
            return None
        return self._kept(contract_id, held) if isinstance(held, Quote) else None

    def _judged(self, known: Qualified, line: Line) -> Quote | QuoteRefusal:
        name = known.contract.contract_id
        return self._config.judge(name, line, known.instrument, self._units, self._session.now())

    def _kept(self, name: str, judged: Quote | QuoteRefusal) -> Quote | None:
        if isinstance(judged, QuoteRefusal):
            self.refused[name] = judged
            return None
        self.refused.pop(name, None)
        return judged

    def known(self, contract_ids: Iterable[str]) -> dict[str, Qualified]:
        """Those of some contracts that the broker knows; the others are refused."""
        known = {}
        for name in dict.fromkeys(contract_ids):
            try:
                known[name] = self._contracts.qualified(name)
            except (UnknownContract, ConfigurationError, BrokerRejected) as error:
                self._refuse(name, QuoteFault.UNKNOWN_CONTRACT, str(error))
            except BrokerUnavailable as error:
                self._refuse(name, QuoteFault.NO_CONNECTION, str(error))
        return known

    def _refuse(self, name: str, fault: QuoteFault, text: str) -> None:
        self.refused[name] = QuoteRefusal(fault=fault, text=text, at=self._session.now())

    def _refuse_all(self, names: Iterable[str], text: str) -> None:
        for name in names:
            self._refuse(name, QuoteFault.NO_CONNECTION, text)


def _has_sides(line: Line) -> bool:
    return line.has_sides
