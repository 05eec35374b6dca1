"""The comparison before a window, as small as a simulated day allows: what we hold by our orders, what the broker says.

Contracts with an order whose outcome is still open are left out: they are compared once it is known. Everything that
differs is told at once, as in the fund's own comparison: what a restored book has lost may differ for the rest of the
day, and would hide for as long what somebody else did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import bindparam, select

from engine.errors import HaltError
from engine.execution.outcome import UNCHANGED, WindowVerdict
from engine.model.instruments import InstrumentType
from engine.model.orders import ChildStatus, Fill, Side
from engine.simulation.broker import SimulatedBroker
from state.database import Database
from state.prepared import Prepared
from state.tables import orders
from tests.simulation.order_days.strangers import Strangers

_ORDERS = Prepared(
    select(
        orders.c.order_ref, orders.c.contract_id, orders.c.near_contract_id, orders.c.side, orders.c.status,
        orders.c.filled, orders.c.near_filled,
    ).where(orders.c.account == bindparam("account"))
)  # fmt: skip
_OPEN = frozenset(status.value for status in ChildStatus if status.holds_reservation)


def compare(broker: SimulatedBroker, database: Database, account: str, strangers: Strangers) -> WindowVerdict:
    """Raise `HaltError` with every position that differs, and every order that works or traded and is not in the book."""
    with database.read() as connection:
        rows = _ORDERS.all(connection, {"account": account})
    held: Counter[str] = Counter()
    undecided: set[str] = set()
    for row in rows:
        sign = Side(row.side).sign
        held[row.contract_id] += row.filled * sign
        if row.near_contract_id is not None:
            held[row.near_contract_id] -= row.near_filled * sign
        if row.status in _OPEN:
            undecided |= {row.contract_id, row.near_contract_id}
    for name, quantity, side in strangers.held:
        held[name] += quantity * side.sign  # type: ignore[assignment]
    theirs = {name: position.quantity for name, position in broker.state.positions.items()}
    converted: Counter[str] = Counter()
    latest = {fill.root: fill for fill in sorted(broker.executions(), key=lambda f: f.version)}.values()
    for fill in latest:
        converted[fill.contract_id] += fill.quantity * fill.side.sign
    told: list[str] = []
    for name in sorted(held.keys() | theirs.keys() | converted.keys()):
        if broker.terms.instrument(name).kind is InstrumentType.CASH:
            theirs[name] = converted[name]  # a conversion leaves cash and no position
        if name not in undecided and held[name] != theirs.get(name, 0):
            told.append(f"{name}: book {held[name]}, broker {theirs.get(name, 0)}")
    settled = {str(fill.order_ref) for fill in strangers.settled.values()}
    told += _not_known(broker, settled | {row.order_ref for row in rows}, latest)
    if told:
        raise HaltError("difference", "; ".join(told))
    strangers.agree(broker)
    return UNCHANGED


def _not_known(broker: SimulatedBroker, known: Collection[str], executions: Iterable[Fill]) -> Iterator[str]:
    """What works or has traded under a reference that the book lacks; no doubt explains that."""
    for ref in sorted({str(fill.order_ref) for fill in executions if fill.quantity > 0} - set(known)):
        yield f"{ref} traded and is not in the book"
    for order in broker.state.open_orders():
        if order.child.order_ref not in known:
            yield f"{order.child.order_ref} works at the broker and is not in the book"
