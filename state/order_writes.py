"""What one moment does to orders, written in one transaction: executions with their postings, then new states.

Rows are read by one query and written by one statement each, however many orders the moment touches. What breaks a
contract is left out and told; it takes nothing else down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from engine.errors import InvariantError
from engine.model.money import ZERO
from engine.model.order_states import CHILD_TRANSITIONS, child_transition
from engine.model.orders import ChildStatus, Fill
from engine.ports import StatusChange
from state.fills import FillBooks, ToldFill, book_fills, filled_quantities, take_back
from state.gate import add_turnover, counted_notional
from state.jobs import free_jobs
from state.prepared import Prepared, StoredRow
from state.tables import fills, intents, order_events, orders

_AMONG = orders.c.order_ref.in_(bindparam("order_refs", expanding=True))
_LAST_EVENT = (
    select(func.coalesce(func.max(order_events.c.sequence), 0))
    .where(order_events.c.order_ref == orders.c.order_ref)
    .scalar_subquery()
)
_ORDERS = Prepared(select(orders, _LAST_EVENT.label("last_event")).where(_AMONG))
_LOCK_ORDERS = Prepared(
    select(orders.c.order_ref).where(_AMONG).order_by(orders.c.order_ref).with_for_update(key_share=True)
)
_LOCK_PARENTS = Prepared(
    select(intents.c.intent_id)
    .where(
        or_(
            *(
                intents.c.intent_id.in_(select(parent).where(_AMONG))
                for parent in (orders.c.intent_id, orders.c.near_intent_id)
            )
        )
    )
    .order_by(intents.c.intent_id)
    .with_for_update(key_share=True)
)
_SET = Prepared(
    update(orders)
    .where(orders.c.order_ref == bindparam("this_order"))
    .values(
        status=bindparam("new_status"),
        filled=bindparam("new_filled"),
        near_filled=bindparam("new_near_filled"),
        counted_usd=bindparam("new_counted"),
    )
)
_BOOKED_ORDER = Prepared(
    select(fills.c.order_ref).where(
        fills.c.account == bindparam("account"),
        fills.c.execution_id == bindparam("execution_id"),
        fills.c.superseded.is_(False),
    )
)
_NOTE = Prepared(insert(order_events))


@dataclass(slots=True)
class _Order:
    """An order as it stands in the transaction, over its row as it was found."""

    row: StoredRow
    status: ChildStatus
    filled: Decimal
    near_filled: Decimal

    @property
    def counted(self) -> Decimal | None:
        """What it counts towards the day's turnover now; of a spread its own contract does."""
        if self.row.notional_usd is None:
            return None
        return counted_notional(self.row.notional_usd, self.row.quantity, self.filled, self.status)

    @property
    def is_changed(self) -> bool:
        """Whether its row has to be written."""
        row = self.row
        return (row.status, row.filled, row.near_filled, row.counted_usd) != (
            self.status.value,
            self.filled,
            self.near_filled,
            self.counted,
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """For each execution whether it was booked now, and what could not be booked or recorded."""

    booked: tuple[bool, ...]
    errors: tuple[InvariantError, ...]


def record_moment(
    connection: Connection,
    books: FillBooks,
    executions: Sequence[Fill],
    changes: Sequence[StatusChange],
    now: datetime,
    booked_at: datetime | None = None,
) -> Recorded:
    """Book executions and record states inside the caller's transaction; see `OrderStore.record`."""
    references = {fill.order_ref for fill in executions if fill.order_ref is not None}
    found = _read(connection, references | {change.order_ref for change in changes})
    answers = _book(connection, books, found, executions, booked_at)
    events, errors = list[StatusChange](), [a for a in answers if isinstance(a, InvariantError)]
    for change in changes:
        try:
            _move(found, change)
        except InvariantError as error:
            errors.append(error)
        else:
            events.append(change)
    _write(connection, found)
    append_events(connection, events, now, {name: order.row.last_event for name, order in found.items()})
    _free_jobs(connection, found, now)
    return Recorded(tuple(answer is True for answer in answers), tuple(errors))


def status_of(connection: Connection, order_ref: str) -> ChildStatus | None:
    """State of an order, which is held until the caller commits; ``None`` where there is none."""
    found = _read(connection, {order_ref}).get(order_ref)
    return None if found is None else found.status


def end_as_absent(connection: Connection, order_ref: str, now: datetime, text: str) -> None:
    """End an order whose proof the caller keeps in the same transaction; what it reserved and counted is free."""
    found, change = _read(connection, {order_ref}), StatusChange(order_ref, ChildStatus.ABSENT, text)
    _move(found, change, proved=True)
    _write(connection, found)
    append_events(connection, (change,), now, {order_ref: found[order_ref].row.last_event})
    _free_jobs(connection, found, now)


def take_back_execution(connection: Connection, books: FillBooks, execution_id: str, at: datetime) -> bool:
    """Take an execution back inside the caller's transaction; see `OrderStore.take_back_fill`."""
    wanted = {"account": books.account, "execution_id": execution_id}
    booked = _BOOKED_ORDER.one_or_none(connection, wanted)
    if booked is None or booked.order_ref is None:
        return False
    order_ref = booked.order_ref
    found = _read(connection, {order_ref})
    take_back(connection, books.account, execution_id, at)
    _sum_up(connection, found, {order_ref})
    _write(connection, found)
    return True


def append_events(
    connection: Connection, events: Sequence[StatusChange], now: datetime, last: Mapping[str, int]
) -> None:
    """Note states of orders in the order in which they came, each after the ``last`` of its order, 0 for none."""
    if not events:
        return
    numbers = dict(last)
    rows = []
    for order_ref, status, text in events:
        numbers[order_ref] += 1
        rows.append(
            {
                "order_ref": order_ref,
                "sequence": numbers[order_ref],
                "status": status.value,
                "at": now,
                "note": text,
            }
        )
    _NOTE.run_all(connection, rows)


def _read(connection: Connection, order_refs: Collection[str]) -> dict[str, _Order]:
    """Some orders, with their parents and themselves held, each by name, so that no two writers wait for each other.

    SQLite has no locks of rows: there the transaction holds the whole database from its beginning.
    """
    if not order_refs:
        return {}
    names = {"order_refs": sorted(order_refs)}
    if connection.dialect.name == "postgresql":
        _LOCK_PARENTS.all(connection, names)
        _LOCK_ORDERS.all(connection, names)
    return {
        row.order_ref: _Order(row, ChildStatus(row.status), row.filled, row.near_filled)
        for row in _ORDERS.all(connection, names)
    }


def _book(
    connection: Connection,
    books: FillBooks,
    found: dict[str, _Order],
    executions: Sequence[Fill],
    booked_at: datetime | None,
) -> list[bool | InvariantError]:
    """Book executions of orders of ours, and keep what each order's contract sums to now."""
    answers: list[bool | InvariantError] = [_stray(fill, found) or False for fill in executions]
    told = [
        (place, _told(fill, found, booked_at))
        for place, fill in enumerate(executions)
        if answers[place] is False
    ]
    for (place, _), answer in zip(told, book_fills(connection, books, [one for _, one in told]), strict=True):
        answers[place] = answer
    booked = {fill.order_ref for fill, answer in zip(executions, answers, strict=True) if answer is True}
    _sum_up(connection, found, {name for name in booked if name is not None})
    return answers


def _sum_up(connection: Connection, found: dict[str, _Order], order_refs: Collection[str]) -> None:
    """Keep what the valid executions of each order's contracts sum to now."""
    for name in order_refs:
        found[name].filled = found[name].near_filled = ZERO
    for order_ref, contract_id, quantity in filled_quantities(connection, order_refs):
        if contract_id == found[order_ref].row.near_contract_id:
            found[order_ref].near_filled = quantity
        else:
            found[order_ref].filled = quantity


def _stray(fill: Fill, found: dict[str, _Order]) -> InvariantError | None:
    if fill.order_ref is None:
        return InvariantError(
            f"{fill.execution_id}: expected an execution of our own order, found no reference"
        )
    return None if fill.order_ref in found else _nobody(fill.order_ref)


def _nobody(order_ref: str) -> InvariantError:
    return InvariantError(f"expected an order of ours, found none called {order_ref}")


def _told(fill: Fill, found: dict[str, _Order], booked_at: datetime | None) -> ToldFill:
    row = found[fill.order_ref or ""].row
    is_near = fill.contract_id == row.near_contract_id
    parent = row.near_intent_id if is_near else row.intent_id
    return ToldFill(fill, parent, row.intent_id, fill.executed_at if booked_at is None else booked_at)


def _free_jobs(connection: Connection, found: Mapping[str, _Order], now: datetime) -> None:
    """Let the jobs go on that waited for orders whose doubt has ended."""
    for order in found.values():
        if order.row.status == ChildStatus.UNKNOWN.value and order.status.is_terminal:
            free_jobs(connection, order.row.account, {order.row.intent_id, order.row.near_intent_id}, now)


def _move(found: dict[str, _Order], change: StatusChange, *, proved: bool = False) -> None:
    """Take one arrow of the table; the same state again is only noted."""
    order_ref, status, _ = change
    order = found.get(order_ref)
    if order is None:
        raise _nobody(order_ref)
    if status is ChildStatus.SENDING and status is not order.status:
        raise InvariantError(f"order {order_ref}: only the send gate claims a child")
    if status is ChildStatus.ABSENT and not proved:
        raise InvariantError(f"order {order_ref}: only evidence ends a child as ABSENT")
    if status is not order.status or status in CHILD_TRANSITIONS[order.status]:
        child_transition(order.status, status, f"order {order_ref}")
    order.status = status


def _write(connection: Connection, found: dict[str, _Order]) -> None:
    """Write what changed of orders, by their names, and let the days' turnover follow."""
    changed = [found[name] for name in sorted(found) if found[name].is_changed]
    if not changed:
        return
    turnover: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    rows = []
    for order in changed:
        row, counted = order.row, order.counted
        if counted is not None and counted != row.counted_usd:
            turnover[(row.account, row.trade_date)] += counted - row.counted_usd
        rows.append(
            {
                "this_order": row.order_ref,
                "new_status": order.status.value,
                "new_filled": order.filled,
                "new_near_filled": order.near_filled,
                "new_counted": counted,
            }
        )
    _SET.run_all(connection, rows)
    for (account, trade_date), amount in turnover.items():
        add_turnover(connection, account, trade_date, amount)
