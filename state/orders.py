"""Child orders and fills in the database: the durable side of the executor's `OrderBook`.

A child that was claimed is never sent again. A fill and its postings are booked in one transaction, once per
execution; a correction takes the earlier version back and books the new one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Row, bindparam, func, insert, or_, select, update

from engine.errors import FundError, InvariantError, SupersededError
from engine.model.context import ControlState
from engine.model.order_states import CHILD_TRANSITIONS, child_transition
from engine.model.orders import ChildOrder, ChildStatus, Fill
from engine.model.policy import TransactionTax
from engine.model.universe import ContractBook
from engine.ports import ChildRecord, GateOutcome, Permission, StatusChange
from state.control_row import ControlRecord, read_control
from state.database import Database
from state.fills import FilledParent, book_fill, fill_of, filled_quantity, take_back
from state.gate import OrderLimits, Sender, add_turnover, claim_child, counted_notional
from state.jobs import JobStore, read_intent
from state.order_reading import account_fills, child_record, order_references
from state.spent_references import keep_spent, last_spent_attempt, read_spent
from state.tables import control, fills, intents, order_events, orders

_PERMISSIONS = {
    ControlState.ACTIVE: Permission.ALL,
    ControlState.REDUCING: Permission.REDUCTIONS,
    ControlState.HALTED: Permission.HALTED,
}
_UNRESOLVED = tuple(
    status.value for status in ChildStatus if status.holds_reservation or status is ChildStatus.PLANNED
)

# Built once: they run for every order, and building a statement costs more than running it.
_ORDER = select(orders).where(orders.c.order_ref == bindparam("order_ref"))
_LOCK_ORDERS = (
    select(orders.c.order_ref)
    .where(orders.c.order_ref.in_(bindparam("order_refs", expanding=True)))
    .order_by(orders.c.order_ref)
    .with_for_update(key_share=True)
)
_LOCK_PARENTS = (
    select(intents.c.intent_id)
    .where(
        or_(
            *(
                intents.c.intent_id.in_(
                    select(parent).where(orders.c.order_ref.in_(bindparam("order_refs", expanding=True)))
                )
                for parent in (orders.c.intent_id, orders.c.near_intent_id)
            )
        )
    )
    .order_by(intents.c.intent_id)
    .with_for_update(key_share=True)
)
_THIS_ORDER = orders.c.order_ref == bindparam("this_order")
_SET_STATUS = update(orders).where(_THIS_ORDER).values(status=bindparam("new_status"))
_SET_FILLED = update(orders).where(_THIS_ORDER).values(filled=bindparam("new_filled"))
_SET_NEAR_FILLED = update(orders).where(_THIS_ORDER).values(near_filled=bindparam("new_filled"))
_SET_COUNTED = update(orders).where(_THIS_ORDER).values(counted_usd=bindparam("new_counted"))
_NEXT_EVENT = select(func.coalesce(func.max(order_events.c.sequence), 0) + 1).where(
    order_events.c.order_ref == bindparam("noted_ref")
)
_NOTE = insert(order_events).from_select(
    ["order_ref", "sequence", "status", "at", "note"],
    select(
        bindparam("noted_ref", type_=order_events.c.order_ref.type),
        _NEXT_EVENT.scalar_subquery(),
        bindparam("noted_status", type_=order_events.c.status.type),
        bindparam("noted_at", type_=order_events.c.at.type),
        bindparam("noted_text", type_=order_events.c.note.type),
    ),
)
_EPOCH = select(control.c.epoch).where(control.c.account == bindparam("account"))
_EPOCH_SHARED = _EPOCH.with_for_update(read=True)
_UNRESOLVED_ORDERS = (
    select(orders)
    .where(orders.c.account == bindparam("account"), orders.c.status.in_(_UNRESOLVED))
    .order_by(orders.c.order_ref)
)


class OrderStore(JobStore):
    """The order book of one run; implements `engine.ports.OrderBook`.

    ``epoch`` is that of the run's claim; ``None`` stands for a person's work without a run, whose gate is closed.
    """

    def __init__(
        self,
        database: Database,
        account: str,
        run_id: str,
        epoch: int | None,
        limits: OrderLimits,
        contracts: ContractBook,
        taxes: Sequence[TransactionTax] = (),
    ) -> None:
        super().__init__(database, account, run_id)
        self._sender = Sender(account=account, run_id=run_id, epoch=epoch, limits=limits)
        self._contracts = contracts
        self._taxes = taxes
        self._spent: frozenset[str] | None = None

    def claim(self, child: ChildOrder, notional_usd: Decimal, now: datetime) -> GateOutcome:
        """Plan a child and ask the send gate for it; see `state.gate`. What it answers is committed.

        A child that was planned and never claimed may be planned anew. Raises `InvariantError` when its parent is not
        committed or differs, or when it was claimed with another content.
        """
        if child.order_ref in self._spent_references():
            raise InvariantError(
                f"{child.order_ref} is the name of an order that this database has lost; a new order needs another"
            )
        with self._database.transaction() as connection:
            outcome = claim_child(connection, self._sender, child, notional_usd, now)
            if outcome is GateOutcome.CLAIMED:
                _append_event(connection, child.order_ref, ChildStatus.SENDING, now, "claimed")
        return outcome

    def record(self, fills: Sequence[Fill], changes: Sequence[StatusChange], now: datetime) -> None:
        """Journal one moment: executions, with their postings, in their order, then new states of orders.

        What can not be booked or recorded takes nothing else down: it is left out, and raised as `InvariantError`
        once the rest is committed. Raises `SupersededError`, with executions booked and no state touched, when another
        run took over.
        """
        failed: list[FundError] = []
        references = {fill.order_ref for fill in fills if fill.order_ref is not None}
        with self._database.transaction() as connection:
            try:
                self._refuse_superseded(connection, share=True)
            except SupersededError as error:
                failed, changes = [error], ()
            _lock_orders(connection, references | {change.order_ref for change in changes})
            for fill in fills:
                with _kept_apart(connection, failed):
                    self._book(connection, fill)
            for change in changes:
                with _kept_apart(connection, failed):
                    _change_status(connection, change, now)
        if failed:
            raise failed[0]

    def record_status(self, order_ref: str, status: ChildStatus, now: datetime, text: str) -> None:
        """Store a child's new state; the same state again is only noted.

        Raises `SupersededError` when another run took over: the orders are its own now.
        """
        with self._database.transaction() as connection:
            self._refuse_superseded(connection, share=True)
            _lock_orders(connection, {order_ref})
            _change_status(connection, StatusChange(order_ref, status, text), now)

    def record_fill(self, fill: Fill, booked_at: datetime | None = None) -> bool:
        """Book an execution into fills and ledger in one transaction; ``False`` when it was booked already.

        A higher correction suffix replaces the version before it, a lower one is ignored. A commission that comes
        later under the same execution id is booked then. Raises `InvariantError` for an execution of no order of
        ours, or one that comes again with other figures. It is booked at its own time unless ``booked_at`` is given.
        """
        with self._database.transaction() as connection:
            _lock_orders(connection, () if fill.order_ref is None else {fill.order_ref})
            return self._book(connection, fill, booked_at)

    def take_back_fill(self, execution_id: str, at: datetime) -> bool:
        """Take an execution back that the broker cancelled; ``False`` when no valid one is booked under the id."""
        wanted = select(fills.c.order_ref, fills.c.contract_id).where(
            fills.c.account == self._account,
            fills.c.execution_id == execution_id,
            fills.c.superseded.is_(False),
        )
        with self._database.transaction() as connection:
            booked = connection.execute(wanted).one_or_none()
            if booked is None:
                return False
            _lock_orders(connection, {booked.order_ref})
            known = _order(connection, booked.order_ref)
            take_back(connection, self._account, execution_id, at)
            _set_filled(connection, known, booked.contract_id)
        return True

    def unbooked(self, executions: Sequence[Fill]) -> tuple[Fill, ...]:
        """Those of orders of this account that are not booked, or only in an earlier version."""
        own = order_references(
            self._database,
            self._account,
            {fill.order_ref for fill in executions if fill.order_ref is not None},
        )
        asked = [fill for fill in executions if fill.order_ref in own]
        known = account_fills(self._database, self._account, {fill.root for fill in asked})
        booked = {fill.root: fill.version for fill in known}
        return tuple(fill for fill in asked if fill.version > booked.get(fill.root, -1))

    def uncharged(self, executions: Sequence[Fill]) -> tuple[Fill, ...]:
        """Those that are booked in this version without the commission that they name."""
        charged = [fill for fill in executions if fill.is_charged]
        known = account_fills(self._database, self._account, {fill.root for fill in charged})
        waiting = {fill.execution_id for fill in known if not fill.is_charged}
        return tuple(fill for fill in charged if fill.execution_id in waiting)

    def child(self, order_ref: str) -> ChildRecord:
        """One child; raises `InvariantError` when it was never planned."""
        with self._database.read() as connection:
            found = _order(connection, order_ref)
        if found is None:
            raise InvariantError(f"expected an order of ours, found none called {order_ref}")
        return child_record(found)

    def children(self, intent_id: str) -> tuple[ChildRecord, ...]:
        """Children of a parent in the order of their attempts, with the spreads whose near leg is the parent's."""
        own = or_(orders.c.intent_id == intent_id, orders.c.near_intent_id == intent_id)
        wanted = select(orders).where(own).order_by(orders.c.attempt, orders.c.order_ref)
        with self._database.read() as connection:
            return tuple(child_record(row) for row in connection.execute(wanted))

    def spend(self, order_refs: Collection[str]) -> None:
        """Keep references of ours that the broker shows and no order of this database has."""
        with self._database.transaction() as connection:
            keep_spent(connection, self._account, order_refs)
        self._spent = None

    def spent_attempts(self, intent_id: str) -> int:
        """The last attempt of a parent under whose reference the broker shows an order that this database lost."""
        return last_spent_attempt(intent_id, self._spent_references())

    def _spent_references(self) -> frozenset[str]:
        if self._spent is None:
            with self._database.read() as connection:
                self._spent = read_spent(connection, self._account)
        return self._spent

    def unresolved(self) -> tuple[ChildRecord, ...]:
        """Children of the account that hold a reservation or are PLANNED, by reference."""
        with self._database.read() as connection:
            found = connection.execute(_UNRESOLVED_ORDERS, {"account": self._account})
            return tuple(child_record(row) for row in found)

    def permission(self) -> Permission:
        """What the control state lets leave; a run that is no longer the one that sends is superseded."""
        found = self._control()
        if found is None:
            return Permission.HALTED
        if found.epoch != self._sender.epoch:
            return Permission.SUPERSEDED
        if found.stops_everything:
            return Permission.STOPPED
        return _PERMISSIONS[found.state]

    def fills(self, since: datetime | None = None, account: str | None = None) -> tuple[Fill, ...]:
        """Valid executions from a time on, in the order of their times."""
        wanted = select(fills).where(
            fills.c.account == (self._account if account is None else account), fills.c.superseded.is_(False)
        )
        if since is not None:
            wanted = wanted.where(fills.c.executed_at >= since)
        with self._database.read() as connection:
            found = connection.execute(wanted.order_by(fills.c.executed_at, fills.c.execution_id))
            return tuple(fill_of(row) for row in found)

    def blocked_contracts(self, account: str | None = None) -> frozenset[str]:
        """Contracts with a child whose fate is UNKNOWN: no other order may name them."""
        wanted = select(orders.c.contract_id, orders.c.near_contract_id).where(
            orders.c.account == (self._account if account is None else account),
            orders.c.status == ChildStatus.UNKNOWN.value,
        )
        with self._database.read() as connection:
            return frozenset(name for row in connection.execute(wanted) for name in row if name is not None)

    def attach_broker_ids(self, order_ref: str, broker_order_id: str, perm_id: str | None = None) -> None:
        """Keep the broker's own numbers of a child as attributes; they are never a key."""
        with self._database.transaction() as connection:
            connection.execute(
                update(orders)
                .where(orders.c.order_ref == order_ref)
                .values(broker_order_id=broker_order_id, perm_id=perm_id)
            )

    def _book(self, connection: Connection, fill: Fill, booked_at: datetime | None = None) -> bool:
        if fill.order_ref is None:
            raise InvariantError(
                f"{fill.execution_id}: expected an execution of our own order, found no reference"
            )
        known = _order(connection, fill.order_ref)
        is_near = fill.contract_id == known.near_contract_id
        intent = read_intent(connection, known.near_intent_id if is_near else known.intent_id)
        parent = FilledParent(intent, known.intent_id)
        if not book_fill(connection, self._account, self._contracts, parent, fill, self._taxes, booked_at):
            return False
        _set_filled(connection, known, fill.contract_id)
        return True

    def _refuse_superseded(self, connection: Connection, *, share: bool = False) -> None:
        """Stop a run that is no longer the one that sends; with ``share`` none can take over before the commit."""
        if self._sender.epoch is None:
            return
        newest = connection.execute(_EPOCH_SHARED if share else _EPOCH, {"account": self._account}).scalar()
        if newest != self._sender.epoch:
            raise SupersededError(
                f"expected the run of epoch {self._sender.epoch} to hold {self._account}, found epoch {newest}: "
                "another run took over, and this one must stop"
            )

    def _control(self) -> ControlRecord | None:
        with self._database.read() as connection:
            return read_control(connection, self._account)


def _order(connection: Connection, order_ref: str) -> Row[tuple[object, ...]]:
    known = connection.execute(_ORDER, {"order_ref": order_ref}).one_or_none()
    if known is None:
        raise InvariantError(f"expected an order of ours, found none called {order_ref}")
    return known


def _lock_orders(connection: Connection, order_refs: Collection[str]) -> None:
    """Hold some orders' parents, then the orders, each by its name, so that no two writers wait for each other.

    SQLite has no locks of rows: there the transaction holds the whole database from its beginning.
    """
    if order_refs and connection.dialect.name == "postgresql":
        names = {"order_refs": sorted(order_refs)}
        connection.execute(_LOCK_PARENTS, names)
        connection.execute(_LOCK_ORDERS, names)


@contextlib.contextmanager
def _kept_apart(connection: Connection, failed: list[FundError]) -> Iterator[None]:
    """Undo what breaks a contract, and nothing else of the transaction."""
    try:
        with connection.begin_nested():
            yield
    except InvariantError as error:
        failed.append(error)


def _change_status(connection: Connection, change: StatusChange, now: datetime) -> None:
    order_ref, status, text = change
    known = _order(connection, order_ref)
    current = ChildStatus(known.status)
    if status is ChildStatus.SENDING and status is not current:
        raise InvariantError(f"order {order_ref}: only the send gate claims a child")
    if status is not current or status in CHILD_TRANSITIONS[current]:
        child_transition(current, status, f"order {order_ref}")
    if status is not current:
        connection.execute(_SET_STATUS, {"this_order": order_ref, "new_status": status.value})
    _recount(connection, known, known.filled, status)
    _append_event(connection, order_ref, status, now, text)


def _set_filled(connection: Connection, known: Row[tuple[object, ...]], contract_id: str) -> None:
    """Keep what a contract's executions of an order sum to now; the turnover of a spread follows its own contract."""
    filled = filled_quantity(connection, known.order_ref, contract_id)
    if contract_id == known.near_contract_id:
        connection.execute(_SET_NEAR_FILLED, {"this_order": known.order_ref, "new_filled": filled})
        return
    connection.execute(_SET_FILLED, {"this_order": known.order_ref, "new_filled": filled})
    _recount(connection, known, filled, ChildStatus(known.status))


def _recount(
    connection: Connection, known: Row[tuple[object, ...]], filled: Decimal, status: ChildStatus
) -> None:
    """Let the day's turnover count what this child, filled so far and in this state, may trade or has traded."""
    if known.notional_usd is None:
        return
    counted = counted_notional(known.notional_usd, known.quantity, filled, status)
    if counted != known.counted_usd:
        add_turnover(connection, known.account, known.trade_date, counted - known.counted_usd)
        connection.execute(_SET_COUNTED, {"this_order": known.order_ref, "new_counted": counted})


def _append_event(
    connection: Connection, order_ref: str, status: ChildStatus, now: datetime, text: str
) -> None:
    event = {"noted_ref": order_ref, "noted_status": status.value, "noted_at": now, "noted_text": text}
    connection.execute(_NOTE, event)
