"""The lives of the book: a restored backup begins a new one, which knows what the backup knows and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.simulation.account import BrokerOrder


@dataclass(frozen=True, slots=True)
class Backup:
    """The book, byte for byte, and the numbers of the orders that it has, as the broker counts them."""

    book: bytes
    sent: tuple[range, ...]


@dataclass(slots=True)
class Lives:
    """Which of the broker's orders each life of the book sent, or knows from the backup that it began with.

    Told by the broker's own numbers and not by references: a life that lost an order's fate, or was refused it at the
    gate, leaves its reference to the next one, whose order it then is, with an arrival and a count of its own.
    """

    ended: list[tuple[range, ...]] = field(default_factory=list)
    _inherited: tuple[range, ...] = ()
    _began_after: int = 0

    def sent(self, taken: int) -> tuple[range, ...]:
        """Numbers of the orders of the life that lasts, where the broker has taken so many orders in all."""
        return (*self._inherited, range(self._began_after + 1, taken + 1))

    def begin_anew(self, backup: Backup, taken: int) -> None:
        """The book is replaced by a backup, where the broker has taken so many orders in all."""
        self.ended.append(self.sent(taken))
        self._inherited, self._began_after = backup.sent, taken

    def of_each(self, orders: list[BrokerOrder], taken: int) -> Iterator[list[BrokerOrder]]:
        """Those of some of the broker's orders that are each life's, the lost ones first."""
        for life in (*self.ended, self.sent(taken)):
            yield [order for order in orders if any(int(order.broker_order_id) in part for part in life)]
