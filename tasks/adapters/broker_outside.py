"""The outside behind a broker's gateway: account, orders, quotes and time are the broker's, the past is a market's.

Nothing is asked of the broker before something is needed of it. The past (histories, accounts of companies, corporate
actions) is read point in time, from a market data store or, where the account is simulated, from its generated market.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from engine.carry.calendar import DayFacts
from engine.errors import ConfigurationError, UnknownContract
from engine.model.instruments import Contract, spot_contract
from engine.model.market import MarketInputs, OptionRange, Quote, Split
from engine.model.portfolio import BrokerSnapshot
from engine.model.universe import ContractBook
from engine.ports import OrderTransport
from engine.simulation.option_market import parse_option_id
from tasks.adapters.live_reading import LiveMarket, LiveReading
from tasks.adapters.panel_world import PanelWorld
from tasks.outside import Listed, MarketLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """Pinned contracts by our id, each as the broker describes it; those that are new; why others were refused.

    ``instruments`` counts those of the fund that have a contract now, ``path`` is the file.
    """

    pinned: Mapping[str, str]
    added: tuple[str, ...]
    refused: Mapping[str, str]
    instruments: int
    path: Path


class BrokerLine(Protocol):
    """One connection to a broker's gateway, made when it is needed first, and the clock of the broker."""

    def open(self) -> None:
        """Connect, where it is not; raises `BrokerUnavailable`, `ConfigurationError` for another account."""

    def now(self) -> datetime:
        """Time at the broker, UTC."""

    def come_to(self, until: datetime) -> datetime:
        """Let time come to a moment, where it is not past it; the time then."""

    @property
    def market(self) -> LiveMarket:
        """What the broker tells of the market."""

    @property
    def transport(self) -> OrderTransport:
        """The way orders leave."""

    def alarms(self) -> tuple[str, ...]:
        """What it raised an alarm about and nobody kept yet, oldest first, each with its time; they stay."""

    def alarm_kept(self) -> None:
        """Let go of the oldest alarm: it stands where people read it. For the thread of the run alone."""

    def snapshot(self, as_of: datetime) -> BrokerSnapshot:
        """The account now; raises `BrokerUnavailable`."""

    def quote(self, contract_id: str) -> Quote | None:
        """Live quote, ``None`` where there is none that can be used."""

    def pin_contracts(self) -> Pinned:
        """Qualify every contract of the fund but options, and keep what is new; raises `BrokerUnavailable`."""

    def close(self) -> None:
        """End the connection."""


class BrokerOutside:
    """An `Outside`. ``past`` opens the market of the past when it is asked first; ``name`` is the broker's in reports.

    ``guard`` stands between whoever sends orders and the line.
    """

    def __init__(
        self,
        line: BrokerLine,
        past: Callable[[], PanelWorld],
        name: str,
        guard: Callable[[OrderTransport], OrderTransport],
    ) -> None:
        self.line, self._past, self._name, self._guard = line, past, name, guard
        self._listed: dict[str, Contract] = {}

    @property
    def label(self) -> MarketLabel:
        """The broker, and where the past comes from."""
        panel = self._past().panel
        return MarketLabel(name=f"{self._name}, past: {panel.name}", generated=panel.generated)

    def check(self) -> None:
        """Raise what is wrong with the past or the connection."""
        _ = self._past().panel
        self.line.open()

    def lived_until(self) -> datetime:
        """Time at the broker: no day before it can be traded any more."""
        return self.line.now()

    def now(self) -> datetime:
        """Time at the broker, UTC."""
        return self.line.now()

    def advance(self, until: datetime) -> datetime:
        """Wait until a moment, where it is not past."""
        return self.line.come_to(until)

    def snapshot(self, as_of: datetime) -> BrokerSnapshot:
        """The account now."""
        return self.line.snapshot(as_of)

    def connect(self) -> OrderTransport:
        """The guarded connection for orders, the same one for everybody."""
        return self._guard(self.line.transport)

    def alarms(self) -> tuple[str, ...]:
        """What the line raised an alarm about and nobody kept yet."""
        return self.line.alarms()

    def alarm_kept(self) -> None:
        """Let go of its oldest alarm."""
        self.line.alarm_kept()

    def inputs(
        self,
        day: date,
        as_of: datetime,
        held: Sequence[str],
        options: Mapping[str, OptionRange],
        given: Collection[str] = (),
    ) -> MarketInputs:
        """Market data known at a time: the broker's, where the past is a record of other days.

        A generated past is the very market that the simulated gateway serves: it is read as the simulated mode reads it.
        """
        past = self._past()
        if past.panel.generated:
            return past.market.inputs(day, as_of, held, options)
        self.line.open()
        return self.live_reading().of(past.market.inputs(day, as_of, held, {}), held, options)

    def live_reading(self) -> LiveReading:
        """What the broker tells of the market, over the past."""
        past = self._past()
        return LiveReading(
            market=self.line.market,
            book=lambda: ContractBook(universe=past.universe, contracts=Listed(lambda: self)),
            sessions=past.sessions,
            restated=past.market.restated,
        )

    def rehearsal(self, *, faults_over: bool) -> BrokerOutside:
        """Questions change nothing at a broker."""
        return self

    def contract(self, contract_id: str) -> Contract:
        """Contract of an id; one that the past does not know is looked up at the broker. Raises `UnknownContract`."""
        try:
            return self._past().facts.contract(contract_id)
        except UnknownContract:
            if self._past().panel.generated:
                raise
            return self._listed_now(contract_id)

    def _listed_now(self, contract_id: str) -> Contract:
        """A future or an option that trades now."""
        if contract_id not in self._listed:
            universe, root = self._past().universe, contract_id.partition("_2")[0]
            if root not in universe:
                raise UnknownContract(f"expected a contract of the fund, found {contract_id!r}")
            if universe[root].is_option:
                self._listed[contract_id] = parse_option_id(contract_id)
            elif universe[root].is_future:
                self.line.open()
                chain = self.line.market.futures_chain(root)
                self._listed |= {contract.contract_id: contract for contract in chain}
            elif root == contract_id:
                self._listed[contract_id] = spot_contract(universe[root])
        found = self._listed.get(contract_id)
        if found is None:
            raise UnknownContract(f"expected a contract that trades, found {contract_id!r}")
        return found

    def quote(self, contract_id: str, at: datetime) -> Quote | None:
        """The broker's quote now."""
        return self.line.quote(contract_id)

    def splits(self, day: date) -> tuple[Split, ...]:
        """Splits whose ex-date is this date."""
        return self._past().facts.splits(day)

    def day_facts(self, day: date, held: Iterable[str]) -> DayFacts:
        """What a calendar day brought: dividends, splits and fees of the past, closes of the broker as in `inputs`."""
        past, names = self._past(), tuple(held)
        if past.panel.generated:
            return past.market.day_facts(day, names)
        self.line.open()
        recorded = tuple(name for name in names if _is_known(past, name))
        return self.live_reading().day_facts(past.market.day_facts(day, recorded), names)

    def strike(self, fault: str) -> None:
        """Refused: a fault is put into a simulated broker only."""
        raise ConfigurationError(f"expected no fault at a broker, found {fault}")

    def faults(self) -> tuple[str, ...]:
        """None that we know of."""
        return ()

    def end_faults(self) -> None:
        """There are none of ours."""

    def close(self) -> None:
        """End the connection."""
        self.line.close()


def _is_known(past: PanelWorld, contract_id: str) -> bool:
    """Whether the past lists a contract: one that was listed since is the broker's alone."""
    try:
        past.facts.contract(contract_id)
    except UnknownContract:
        return False
    return True
