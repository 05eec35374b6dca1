"""Child orders and fills in the database: the durable side of the executor's `OrderBook`.

A child that was claimed is never sent again. A fill and its postings are booked in one transaction, once per
execution; a correction takes the earlier version back and books the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, bindparam, or_, select, update

from engine.errors import InvariantError, SupersededError
from engine.model.context import ControlState
from engine.model.orders import ChildOrder, ChildStatus, Fill
from engine.model.policy import TransactionTax
from engine.model.universe import ContractBook
from engine.ports import ChildRecord, GateOutcome, Holding, Permission, StatusChange
from state.control_row import ControlRecord, read_control
from state.database import Database
from state.doubts import DoubtStore
from state.fills import FillBooks, fill_of, unbooked
from state.gate import OrderLimits, Sender, claim_child
from state.order_reading import account_fills, child_record, with_fills
from state.order_writes import append_events, record_moment, take_back_execution
from state.prepared import Prepared
from state.spent_references import keep_spent, last_spent_attempt, read_spent
from state.tables import control, fills, orders

_PERMISSIONS = {
    ControlState.ACTIVE: Permission.ALL,
    ControlState.REDUCING: Permission.REDUCTIONS,
    ControlState.HALTED: Permission.HALTED,
}
_UNRESOLVED = tuple(
    status.value for status in ChildStatus if status.holds_reservation or status is ChildStatus.PLANNED
)

# Built once: they run for every order, and building a statement costs more than running it.
_ORDER = Prepared(select(orders).where(orders.c.order_ref == bindparam("order_ref")))
_NEWEST = select(control.c.epoch).where(control.c.account == bindparam("account"))
_EPOCH, _EPOCH_SHARED = Prepared(_NEWEST), Prepared(_NEWEST.with_for_update(read=True))
_CHILDREN = Prepared(
    select(orders)
    .where(or_(*(name == bindparam("intent_id") for name in (orders.c.intent_id, orders.c.near_intent_id))))
    .order_by(orders.c.attempt, orders.c.order_ref)
)
_ATTACH = Prepared(
    update(orders)
    .where(orders.c.order_ref == bindparam("this_order"))
    .values(broker_order_id=bindparam("its_broker_id"), perm_id=bindparam("its_perm_id"))
)
_BLOCKED = Prepared(
    select(orders.c.contract_id, orders.c.near_contract_id).where(
        orders.c.account == bindparam("account"), orders.c.status == ChildStatus.UNKNOWN.value
    )
)
_UNRESOLVED_ORDERS = Prepared(
    select(orders)
    .where(orders.c.account == bindparam("account"), orders.c.status.in_(_UNRESOLVED))
    .order_by(orders.c.order_ref)
)


class OrderStore(DoubtStore):
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
        self._books = FillBooks(account=account, contracts=contracts, taxes=taxes)
        self._spent: frozenset[str] | None = None
        self._leave: Callable[[], bool] | None = None

    def passage(self) -> AbstractContextManager[Holding]:
        """Hold the account's latch while an order is claimed and written; see `state.latch`."""
        return self._database.latch(self._account).shared()

    def is_passage_free(self) -> bool:
        """Whether no process is between a claim and the line; see `state.latch`.

        Asked at every look for an order in doubt, so it does not wait: the next look asks again, and the loop has other
        orders to work.
        """
        return self._is_passage_free(patience_seconds=0)

    def over(self, client_id: int) -> OrderStore:
        """The same book, for a run that sends over the connection of a client id, which each order keeps."""
        self._sender = replace(self._sender, client_id=client_id)
        return self

    def under(self, leave: Callable[[], bool]) -> OrderStore:
        """The same book, for a run that needs leave to send: without it the gate is closed as under a halt."""
        self._leave = leave
        return self

    def claim(self, child: ChildOrder, notional_usd: Decimal, now: datetime) -> GateOutcome:
        """Plan a child and ask the send gate for it; see `state.gate`. What it answers is committed.

        A child that was planned and never claimed may be planned anew. Raises `InvariantError` when its parent is not
        committed or differs, or when it was claimed with another content.
        """
        if child.order_ref in self._spent_references():
            raise InvariantError(
                f"{child.order_ref} is the name of an order that this database has lost; a new order needs another"
            )
        sender = self._sender if self._leave is None else replace(self._sender, has_leave=self._leave())
        with self._database.transaction() as connection:
            outcome = claim_child(connection, sender, child, notional_usd, now)
            if outcome is GateOutcome.CLAIMED:
                claimed = StatusChange(child.order_ref, ChildStatus.SENDING, "claimed")
                # Nothing is noted of a child before its claim.
                append_events(connection, (claimed,), now, {child.order_ref: 0})
        return outcome

    def record(self, fills: Sequence[Fill], changes: Sequence[StatusChange], now: datetime) -> None:
        """Journal one moment: executions, with their postings, in their order, then new states of orders.

        What can not be booked or recorded takes nothing else down: it is left out, and raised as `InvariantError`
        once the rest is committed. Raises `SupersededError`, with executions booked and no state touched, when another
        run took over.
        """
        superseded: SupersededError | None = None
        with self._database.transaction() as connection:
            try:
                self._refuse_superseded(connection, share=True)
            except SupersededError as error:
                superseded, changes = error, ()
            recorded = record_moment(connection, self._books, fills, changes, now)
        if superseded is not None:
            raise superseded
        if recorded.errors:
            raise recorded.errors[0]

    def record_status(self, order_ref: str, status: ChildStatus, now: datetime, text: str) -> None:
        """Store a child's new state; the same state again is only noted.

        Raises `SupersededError` when another run took over: the orders are its own now.
        """
        with self._database.transaction() as connection:
            self._refuse_superseded(connection, share=True)
            change = StatusChange(order_ref, status, text)
            recorded = record_moment(connection, self._books, (), (change,), now)
            if recorded.errors:
                raise recorded.errors[0]

    def record_fill(self, fill: Fill, booked_at: datetime | None = None) -> bool:
        """Book an execution into fills and ledger in one transaction; ``False`` when it was booked already.

        A higher correction suffix replaces the version before it, a lower one is ignored. A commission that comes
        later under the same execution id is booked then. Raises `InvariantError` for an execution of no order of
        ours, or one that comes again with other figures. It is booked at its own time unless ``booked_at`` is given.
        """
        with self._database.transaction() as connection:
            recorded = record_moment(connection, self._books, (fill,), (), fill.executed_at, booked_at)
            if recorded.errors:
                raise recorded.errors[0]
        return recorded.booked[0]

    def take_back_fill(self, execution_id: str, at: datetime) -> bool:
        """Take an execution back that the broker cancelled; ``False`` when no valid one is booked under the id."""
        with self._database.transaction() as connection:
            return take_back_execution(connection, self._books, execution_id, at)

    def unbooked(self, executions: Sequence[Fill]) -> tuple[Fill, ...]:
        """Those of orders of this account that are not booked, or only in an earlier version."""
        with self._database.read() as connection:
            return unbooked(connection, self._account, executions)

    def uncharged(self, executions: Sequence[Fill]) -> tuple[Fill, ...]:
        """Those that are booked in this version without the commission that they name."""
        charged = [fill for fill in executions if fill.is_charged]
        known = account_fills(self._database, self._account, {fill.root for fill in charged})
        waiting = {fill.execution_id for fill in known if not fill.is_charged}
        return tuple(fill for fill in charged if fill.execution_id in waiting)

    def child(self, order_ref: str) -> ChildRecord:
        """One child; raises `InvariantError` when it was never planned."""
        with self._database.read() as connection:
            found = _ORDER.one_or_none(connection, {"order_ref": order_ref})
        if found is None:
            raise InvariantError(f"expected an order of ours, found none called {order_ref}")
        return child_record(found)

    def children(self, intent_id: str) -> tuple[ChildRecord, ...]:
        """Children of a parent in the order of their attempts, with the spreads whose near leg is the parent's.

        Each has its executions, so that one that is corrected later replaces its earlier version, and what was corrected
        before: an order's end counts what was told at first.
        """
        with self._database.read() as connection:
            records = [child_record(row) for row in _CHILDREN.all(connection, {"intent_id": intent_id})]
            return with_fills(connection, records) if records else ()

    def spend(self, order_refs: Collection[str]) -> frozenset[str]:
        """Keep references of ours that the broker shows and no order of this database has; answers them."""
        with self._database.transaction() as connection:
            lost = keep_spent(connection, self._account, order_refs)
        self._spent = None
        return lost

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
            found = _UNRESOLVED_ORDERS.all(connection, {"account": self._account})
            return tuple(child_record(row) for row in found)

    def permission(self) -> Permission:
        """What control state and leave let leave; a run that is no longer the one that sends is superseded."""
        found = self._control()
        if found is None:
            return Permission.HALTED
        if found.epoch != self._sender.epoch:
            return Permission.SUPERSEDED
        if found.stops_everything:
            return Permission.STOPPED
        if self._leave is not None and not self._leave():
            return Permission.HALTED
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
        named = {"account": self._account if account is None else account}
        with self._database.read() as connection:
            return frozenset(
                str(name) for row in _BLOCKED.all(connection, named) for name in row if name is not None
            )

    def attach_broker_ids(self, order_ref: str, broker_order_id: str, perm_id: str | None = None) -> None:
        """Keep the broker's own numbers of a child as attributes; they are never a key."""
        with self._database.transaction() as connection:
            _ATTACH.run(
                connection,
                {"this_order": order_ref, "its_broker_id": broker_order_id, "its_perm_id": perm_id},
            )

    def _refuse_superseded(self, connection: Connection, *, share: bool = False) -> None:
        """Stop a run that is no longer the one that sends; with ``share`` none can take over before the commit."""
        if self._sender.epoch is None:
            return
        row = (_EPOCH_SHARED if share else _EPOCH).one_or_none(connection, {"account": self._account})
        newest = None if row is None else row.epoch
        if newest != self._sender.epoch:
            raise SupersededError(
                f"expected the run of epoch {self._sender.epoch} to hold {self._account}, found epoch {newest}: "
                "another run took over, and this one must stop"
            )

    def _control(self) -> ControlRecord | None:
        with self._database.read() as connection:
            return read_control(connection, self._account)
