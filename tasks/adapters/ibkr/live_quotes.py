"""Live quotes of the broker: those that pass the gate, and for each other one why it does not.

Nothing is cached: a quote is what the broker tells now, or what it told over a held line within the age that is
allowed. There is no second source (DATA-01, DATA-05).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from ib_insync.contract import Contract as WireContract

from engine.errors import BrokerRejected, BrokerUnavailable, ConfigurationError, UnknownContract
from engine.model.market import Quote
from tasks.adapters.ibkr.contracts import ContractDesk, Qualified
from tasks.adapters.ibkr.lines import Line
from tasks.adapters.ibkr.market_lines import SPARE, MarketLines
from tasks.adapters.ibkr.quote_quality import QuoteFault, QuoteQualityConfig, QuoteRefusal
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.units import WireUnits


class WorkedContracts:
    """Whose lines are held: what is watched, and what was asked for again and again, the newest of them where too many."""

    def __init__(self, config: QuoteQualityConfig) -> None:
        self._seconds, self._most = timedelta(seconds=config.hold_seconds), config.max_lines - SPARE
        self._asked_at: dict[str, datetime] = {}
        self._again: dict[str, WireContract] = {}
        self.watched: Mapping[str, WireContract] = {}

    @property
    def wires(self) -> Mapping[str, WireContract]:
        """Contracts whose lines are to be held."""
        room = max(self._most - len(self.watched), 0)
        newest = sorted(self._again, key=lambda name: self._asked_at[name], reverse=True)
        others = [name for name in newest if name not in self.watched][:room]
        return {**self.watched, **{name: self._again[name] for name in others}}

    def is_changed_by(self, name: str, wire: WireContract, now: datetime) -> bool:
        """Count a contract that is asked for; whether other lines are to be held than before."""
        if not self._seconds:
            return False
        before, seen = set(self.wires), self._asked_at.get(name)
        self._asked_at[name] = now
        if seen is not None and now - seen <= self._seconds:
            self._again[name] = wire
        for old in [old for old in self._again if now - self._asked_at[old] > self._seconds]:
            del self._again[old]
        return set(self.wires) != before


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
        self._worked = WorkedContracts(config)
        self.refused: dict[str, QuoteRefusal] = {}

    def watch(self, contract_ids: Collection[str]) -> None:
        """Hold lines for contracts that are being worked, and end those of all others.

        Raises `ConfigurationError` for more than the broker gives lines.
        """
        self._worked.watched = {name: known.wire for name, known in self.known(contract_ids).items()}
        self._lines.hold(self._worked.watched)

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
            if self._worked.is_changed_by(contract_id, known.wire, self._session.now()):
                self._lines.hold(self._worked.wires)
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
