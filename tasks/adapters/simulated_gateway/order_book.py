"""Which client placed which order of the account, in its own words; it survives a restart of the gateway.

The broker knows an order by a reference that is never used twice; a client may use one again, or give none. An order's
permanent number follows from the broker's own.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.simulation.account import BrokerOrder
from engine.simulation.bookkeeping import sequence_key
from engine.simulation.broker import SimulatedBroker
from state.write_ahead import use_write_ahead
from tasks.adapters.simulated_account import BUSY_SECONDS
from tasks.adapters.simulated_gateway.forms import Record, text

FIRST_PERMANENT = 700_000_000
MARK = "#"
"""Between a client's reference and the permanent number, where a reference is not unique by itself."""

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS placed (permanent INTEGER PRIMARY KEY, client INTEGER NOT NULL, "
    "number INTEGER NOT NULL, reference TEXT NOT NULL, body TEXT NOT NULL)"
)


Keep = Callable[[str, Sequence[str | int]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedOrder:
    """An order as its client placed it: the record of the message, and how the broker names it."""

    permanent: int
    client_id: int
    order_id: int
    reference: str
    record: Record


class PlacedOrders:
    """All orders that clients placed."""

    def __init__(self, path: Path | None = None, keep: Keep | None = None) -> None:
        """Orders of a file, which is that of the account; without one they live in memory.

        ``keep`` stores a row beside the account, in its transaction.
        """
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=BUSY_SECONDS)
        if path is not None:
            use_write_ahead(self._connection, BUSY_SECONDS)
            self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(_SCHEMA)
        self._keep: Keep = keep or self._connection.execute
        self._by_reference: dict[str, PlacedOrder] = {}
        self._by_key: dict[tuple[int, int], PlacedOrder] = {}
        self._highest: dict[int, int] = {}

    def load(self, broker: SimulatedBroker) -> None:
        """Read what was placed, anew; what the broker never took (the program ended in between) was never placed."""
        for known in (self._by_reference, self._by_key, self._highest):
            known.clear()
        rows = self._connection.execute(
            "SELECT permanent, client, number, reference, body FROM placed ORDER BY permanent"
        )
        for permanent, client, number, reference, body in rows:
            if permanent <= FIRST_PERMANENT + broker.state.head.orders:
                self._remember(
                    PlacedOrder(
                        permanent=permanent,
                        client_id=client,
                        order_id=number,
                        reference=reference,
                        record=_record(json.loads(body)),
                    )
                )

    def place(self, broker: SimulatedBroker, client_id: int, order_id: int, record: Record) -> PlacedOrder:
        """Keep an order that is about to be given to the broker, under a reference of its own."""
        permanent = FIRST_PERMANENT + broker.state.head.orders + 1
        reference = text(record, "order_ref")
        if not reference or reference in self._by_reference:
            reference = f"{reference}{MARK}{permanent}"
        order = PlacedOrder(
            permanent=permanent, client_id=client_id, order_id=order_id, reference=reference, record=record
        )
        self._store(order)
        return order

    def change(self, order: PlacedOrder, record: Record) -> PlacedOrder:
        """Keep an order in the words of its change."""
        changed = PlacedOrder(
            permanent=order.permanent,
            client_id=order.client_id,
            order_id=order.order_id,
            reference=order.reference,
            record=record,
        )
        self._store(changed)
        return changed

    def of_client(self, client_id: int, order_id: int) -> PlacedOrder | None:
        """The newest order under a client's number."""
        return self._by_key.get((client_id, order_id))

    def of_reference(self, reference: str | None) -> PlacedOrder | None:
        """The order that the broker knows by a reference."""
        return self._by_reference.get(reference or "")

    def highest(self, client_id: int) -> int:
        """The highest number that a client ever used, 0 when none."""
        return self._highest.get(client_id, 0)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _store(self, order: PlacedOrder) -> None:
        self._keep(
            "INSERT OR REPLACE INTO placed VALUES (?, ?, ?, ?, ?)",
            (order.permanent, order.client_id, order.order_id, order.reference, json.dumps(order.record)),
        )
        self._remember(order)

    def _remember(self, order: PlacedOrder) -> None:
        self._by_reference[order.reference] = order
        self._by_key[order.client_id, order.order_id] = order
        self._highest[order.client_id] = max(self.highest(order.client_id), order.order_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOrder:
    """An order of the account with what is known of who placed it: nobody's is one of another desk."""

    order: BrokerOrder
    placed: PlacedOrder | None
    permanent: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "permanent", FIRST_PERMANENT + int(self.order.broker_order_id))

    @property
    def client_id(self) -> int:
        """Who placed it; 0 for nobody's."""
        return 0 if self.placed is None else self.placed.client_id

    @property
    def order_id(self) -> int:
        """Its client's number, 0 for nobody's."""
        return 0 if self.placed is None else self.placed.order_id

    @property
    def client_reference(self) -> str:
        """The reference as its client gave it."""
        return self.order.child.order_ref if self.placed is None else text(self.placed.record, "order_ref")


def broker_key(permanent: int) -> str:
    """The broker's key of an order by its permanent number."""
    return sequence_key(permanent - FIRST_PERMANENT)


def _record(body: dict[str, str | list[dict[str, str]]]) -> Record:
    return {name: value if isinstance(value, str) else _rows(value) for name, value in body.items()}


def _rows(rows: Iterable[dict[str, str]]) -> tuple[Record, ...]:
    return tuple(dict(row) for row in rows)
