"""Orders at the broker against our own: strangers, changed, repeated, revived, vanished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from engine.accounting.break_values import Break, because, plain, unknown_break
from engine.accounting.sides import KnownOrders, OwnOrder
from engine.model.breaks import BreakKind
from engine.model.halts import HaltChoice, HaltKind
from engine.model.money import ZERO
from engine.model.orders import ChildOrder, ChildStatus, OpenOrder
from engine.model.portfolio import BrokerSnapshot

_CANCEL = "cancel it there, then retry"


def order_breaks(broker: BrokerSnapshot, known: KnownOrders) -> tuple[Break, ...]:
    """Orders that work at the broker and are not ours, or not as we sent them; one break for each order."""
    return tuple(_order_breaks(broker, known))


def _order_breaks(broker: BrokerSnapshot, known: KnownOrders) -> Iterator[Break]:
    working = {row.child.order_ref: row for row in known.working}
    live = [order for order in broker.open_orders if not order.status.is_terminal]
    times = Counter(order.order_ref for order in live)
    for order in live:
        sent = working.get(order.order_ref or "")
        if order.order_ref is None or order.order_ref not in known.order_refs:
            text = f"an order works at the broker that the fund did not send: {_CANCEL}"
            yield _break(order, "not ours", BreakKind.FOREIGN_ORDER, text)
        elif times[order.order_ref] > 1:
            text = (
                f"{times[order.order_ref]} orders work at the broker under one of our references: {_CANCEL}"
            )
            yield _break(order, "one order", BreakKind.REPEATED_ORDER, text)
        elif sent is None:
            text = f"an order that our book has ended works at the broker: {_CANCEL}"
            yield _break(order, "ended", BreakKind.REVIVED_ORDER, text)
        elif _changes(sent.child, order):
            text = (
                f"our order was changed at the broker ({'; '.join(_changes(sent.child, order))}): {_CANCEL}"
            )
            yield _break(order, _terms(sent.child), BreakKind.CHANGED_ORDER, text)


def vanished_orders(broker: BrokerSnapshot, known: KnownOrders) -> tuple[Break, ...]:
    """Orders that the broker had and lists no more, though no executions end them: its answer lacks something."""
    gone = [row for row in known.working if row.is_acknowledged and _is_absent(row, broker)]
    is_empty = not broker.open_orders and not broker.completed_orders
    return tuple(
        unknown_break(
            row.child.order_ref,
            _terms(row.child),
            "not listed",
            (
                BreakKind.VANISHED_ORDER,
                f"the broker no longer lists our order of {_terms(row.child)}: ask again; "
                f"if it stays away, its contract is blocked until it is decided: {_decide(row.child)}",
            ),
            (
                BreakKind.EMPTY_ANSWER if is_empty else BreakKind.PARTIAL_ANSWER,
                "the list of orders is empty" if is_empty else "the list of orders lacks some",
            ),
        )
        for row in gone
    )


def blocked_orders(broker: BrokerSnapshot, known: KnownOrders) -> tuple[Break, ...]:
    """Orders whose fate a restart could not find out: each blocks its own contract, and no other."""
    return tuple(
        Break(
            kind=HaltKind.UNKNOWN_ORDER,
            subject=row.child.order_ref,
            ours=_terms(row.child),
            broker="not listed",
            difference_usd=ZERO,
            explanations=(
                because(
                    BreakKind.VANISHED_ORDER,
                    f"the broker lists neither this order nor its end; {row.child.contract_id} is blocked until it is "
                    f"decided: {_decide(row.child)}",
                    ZERO,
                    choice=HaltChoice.RETRY,
                ),
            ),
        )
        for row in known.working
        if row.status is ChildStatus.UNKNOWN and not row.is_acknowledged and _is_absent(row, broker)
    )


def _decide(child: ChildOrder) -> str:
    return f"./fund orders resolve {child.order_ref} --evidence FILE --reason WHY, ./fund orders shows what a proof misses"


def _is_absent(row: OwnOrder, broker: BrokerSnapshot) -> bool:
    ref = row.child.order_ref
    if any(order.order_ref == ref for order in (*broker.open_orders, *broker.completed_orders)):
        return False
    newest = {fill.root: fill for fill in sorted(broker.executions, key=lambda x: x.execution_id) if fill.order_ref == ref}  # fmt: skip
    return any(
        sum((fill.quantity for fill in newest.values() if fill.contract_id == name), ZERO)
        < row.child.quantity
        for name in row.child.contract_ids
    )


def _changes(child: ChildOrder, order: OpenOrder) -> tuple[str, ...]:
    """What is other than we sent it, in words."""
    found = []
    if (child.contract_id, child.side) != (order.contract_id, order.side):
        found.append(f"{child.side.value} {child.contract_id} became {order.side.value} {order.contract_id}")
    near = None if child.near is None else child.near.contract_id
    if near != order.near_contract_id:
        found.append(
            f"the spread with {near or 'nothing'} became one with {order.near_contract_id or 'nothing'}"
        )
    if child.quantity != order.quantity:
        found.append(f"quantity {plain(child.quantity)} became {plain(order.quantity)}")
    if child.limit_price != order.limit_price:
        found.append(f"limit {plain(child.limit_price)} became {_price(order.limit_price)}")
    return tuple(found)


def _break(order: OpenOrder, ours: str, cause: BreakKind, text: str) -> Break:
    status = order.status.value.replace("_", " ").lower()
    return Break(
        kind=HaltKind.UNKNOWN_ORDER,
        subject=order.broker_order_id
        if cause is BreakKind.REPEATED_ORDER
        else order.order_ref or order.broker_order_id,
        ours=ours,
        broker=f"{order.side.value} {plain(order.quantity)} {order.contract_id}, {status}",
        difference_usd=ZERO,
        explanations=(because(cause, text, ZERO, choice=HaltChoice.RETRY),),
    )


def _terms(child: ChildOrder) -> str:
    return f"{child.side.value} {plain(child.quantity)} {child.contract_id} at {plain(child.limit_price)}"


def _price(limit: Decimal | None) -> str:
    return "none" if limit is None else plain(limit)
