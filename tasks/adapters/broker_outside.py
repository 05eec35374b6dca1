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
from engine.errors import ConfigurationError
from engine.model.instruments import Contract
from engine.model.market import MarketInputs, OptionRange, Quote, Split
from engine.model.portfolio import BrokerSnapshot
from engine.ports import OrderTransport
from tasks.adapters.panel_world import PanelWorld
from tasks.outside import MarketLabel


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
    def transport(self) -> OrderTransport:
        """The way orders leave."""

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

    def inputs(
        self,
        day: date,
        as_of: datetime,
        held: Sequence[str],
        options: Mapping[str, OptionRange],
        given: Collection[str] = (),
    ) -> MarketInputs:
        """Market data known at a time."""
        return self._past().market.inputs(day, as_of, held, options)

    def rehearsal(self, *, faults_over: bool) -> BrokerOutside:
        """Questions change nothing at a broker."""
        return self

    def contract(self, contract_id: str) -> Contract:
        """Contract of an id; raises `UnknownContract`."""
        return self._past().facts.contract(contract_id)

    def quote(self, contract_id: str, at: datetime) -> Quote | None:
        """The broker's quote now."""
        return self.line.quote(contract_id)

    def splits(self, day: date) -> tuple[Split, ...]:
        """Splits whose ex-date is this date."""
        return self._past().facts.splits(day)

    def day_facts(self, day: date, held: Iterable[str]) -> DayFacts:
        """What a calendar day brought."""
        return self._past().market.day_facts(day, held)

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
