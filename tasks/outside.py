"""What a day asks of the outside: the broker's account, the way orders leave, the market, and what time it is there.

One port with two implementations: the simulated world, and a broker behind its gateway. Nothing else of either is
known to the tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from engine.carry.calendar import DayFacts
from engine.errors import UnknownContract
from engine.model.instruments import Contract
from engine.model.market import MarketInputs, OptionRange, Quote, Split
from engine.model.portfolio import BrokerSnapshot
from engine.ports import OrderTransport


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketLabel:
    """How a report names the market; ``notes`` say what a reader should know of it before anything else."""

    name: str
    generated: bool
    notes: tuple[str, ...] = ()


class Reading(Protocol):
    """What can be read of the outside without changing it."""

    def now(self) -> datetime:
        """Time at the broker, UTC."""

    def snapshot(self, as_of: datetime) -> BrokerSnapshot:
        """The account; raises `BrokerUnavailable`."""

    def inputs(
        self,
        day: date,
        as_of: datetime,
        held: Sequence[str],
        options: Mapping[str, OptionRange],
        given: Collection[str] = (),
    ) -> MarketInputs:
        """Market data known at a time; ``given`` are contracts whose price a person gave."""


class Outside(Reading, Protocol):
    """The outside of one account. Opened where it is asked first; close it at the end."""

    @property
    def label(self) -> MarketLabel:
        """How reports name the market."""

    def check(self) -> None:
        """Raise what would go wrong at once, before anything is written into the book."""

    def lived_until(self) -> datetime | None:
        """Up to when the account has lived, ``None`` where that bounds no date; nothing is created."""

    def advance(self, until: datetime) -> datetime:
        """Let time come to a moment, where it is not past it; the time then."""

    def connect(self) -> OrderTransport:
        """The connection for orders."""

    def alarms(self) -> tuple[str, ...]:
        """What the connection raised an alarm about and nobody kept yet, oldest first, each with its time; they stay."""

    def alarm_kept(self) -> None:
        """Let go of the oldest alarm: it stands where people read it. For the thread of the run alone."""

    def rehearsal(self, *, faults_over: bool) -> Reading:
        """The outside as a question may use it: whatever it supposes, nothing changes."""

    def contract(self, contract_id: str) -> Contract:
        """Contract of an id; raises `UnknownContract`."""

    def quote(self, contract_id: str, at: datetime) -> Quote | None:
        """Two-sided quote now, ``None`` where there is none. ``at`` is the time of who asks."""

    def splits(self, day: date) -> tuple[Split, ...]:
        """Splits whose ex-date is this date."""

    def day_facts(self, day: date, held: Iterable[str]) -> DayFacts:
        """Closes, dividends, splits and borrow fees of one calendar day, for the contracts held."""

    def strike(self, fault: str) -> None:
        """Let a fault happen, where the outside is simulated."""

    def faults(self) -> tuple[str, ...]:
        """Faults that last."""

    def end_faults(self) -> None:
        """End the faults that last."""

    def close(self) -> None:
        """Let go of files and connections."""


class Listed(Mapping[str, Contract]):
    """Contracts by id, looked up in the market when asked for; nothing is listed in advance."""

    def __init__(self, outside: Callable[[], Outside]) -> None:
        self._outside = outside

    def __getitem__(self, contract_id: str) -> Contract:
        try:
            return self._outside().contract(contract_id)
        except UnknownContract as error:
            raise KeyError(contract_id) from error

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
