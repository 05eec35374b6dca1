"""Executions: each booked once into fills and ledger, exactly split over the sleeves that asked for the trade."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, Row, and_, bindparam, insert, select, update

from engine.accounting.book import allocate
from engine.accounting.charges import transaction_tax
from engine.accounting.ledger import commission, entry_ids, reverse, trade
from engine.errors import InvariantError
from engine.model.encoding import encode, from_json
from engine.model.money import ZERO
from engine.model.orders import Fill, OrderIntent, Reason, Side
from engine.model.policy import TransactionTax
from engine.model.universe import ContractBook
from state.ledger import entries_by_id, post_entries
from state.tables import fills, orders

_VALID = select(fills).where(
    fills.c.account == bindparam("account"), fills.c.root == bindparam("root"), fills.c.superseded.is_(False)
)
_QUANTITIES = select(fills.c.quantity).where(
    fills.c.order_ref == bindparam("order_ref"),
    fills.c.contract_id == bindparam("contract_id"),
    fills.c.superseded.is_(False),
)
_GIVEN = select(fills.c.sleeves).where(
    fills.c.intent_id == bindparam("intent_id"),
    fills.c.contract_id == bindparam("contract_id"),
    fills.c.superseded.is_(False),
)
_GIVEN_BY_SPREADS = (
    select(fills.c.sleeves)
    .join(orders, and_(orders.c.order_ref == fills.c.order_ref, orders.c.intent_id == fills.c.intent_id))
    .where(
        orders.c.near_intent_id == bindparam("intent_id"),
        fills.c.contract_id == bindparam("contract_id"),
        fills.c.superseded.is_(False),
    )
)
_BOOK = insert(fills)


class FilledParent(NamedTuple):
    """The parent that an execution fills, and the one whose order it was: another's for the near leg of a spread."""

    intent: OrderIntent
    owner: str


def book_fill(
    connection: Connection,
    account: str,
    contracts: ContractBook,
    parent: FilledParent,
    fill: Fill,
    taxes: Sequence[TransactionTax] = (),
    booked_at: datetime | None = None,
) -> bool:
    """Book an execution inside the caller's transaction; see `OrderStore.record_fill`."""
    intent = parent.intent
    at = fill.executed_at if booked_at is None else booked_at
    if (fill.contract_id, fill.side) != (intent.contract_id, intent.side):
        raise InvariantError(f"{fill.execution_id}: contract and side are not those of its order")
    before = connection.execute(_VALID, {"account": account, "root": fill.root}).one_or_none()
    if before is not None and _suffix(fill.execution_id) <= _suffix(before.execution_id):
        _repeat(connection, account, fill, before, at)
        return False
    if before is not None:
        take_back(connection, account, before.execution_id, at)
    sleeves = _split(connection, fill, intent)
    connection.execute(_BOOK, _row(account, fill, parent.owner, sleeves))
    instrument = contracts.instrument(fill.contract_id)
    # A correction to nothing is how a broker takes an execution back.
    entries = [] if fill.quantity == 0 else [trade(fill, instrument, sleeves, at)]
    tax = transaction_tax(fill, instrument, taxes, at)
    if tax is not None:
        entries.append(tax)
    if fill.is_charged:
        entries.append(commission(fill, at))
    post_entries(connection, account, entries)
    return True


def filled_quantity(connection: Connection, order_ref: str, contract_id: str) -> Decimal:
    """Sum of the valid executions of a child in one of its contracts."""
    wanted = {"order_ref": order_ref, "contract_id": contract_id}
    return sum(connection.execute(_QUANTITIES, wanted).scalars(), ZERO)


def fill_of(row: Row[tuple[object, ...]]) -> Fill:
    """The execution that a row of fills holds."""
    return Fill(
        execution_id=row.execution_id,
        order_ref=row.order_ref,
        contract_id=row.contract_id,
        side=Side(row.side),
        quantity=row.quantity,
        price=row.price,
        executed_at=row.executed_at,
        commission=row.commission,
        commission_currency=row.commission_currency,
    )


def _repeat(
    connection: Connection, account: str, fill: Fill, before: Row[tuple[object, ...]], at: datetime
) -> None:
    """A known execution again: nothing, or the commission that was missing."""
    if fill.execution_id != before.execution_id:
        return
    if (fill.quantity, fill.price) != (before.quantity, before.price):
        raise InvariantError(
            f"{fill.execution_id} was booked with other figures; a correction has a new suffix"
        )
    if not fill.is_charged or before.commission is not None:
        return
    post_entries(connection, account, [commission(fill, at)])
    connection.execute(
        update(fills)
        .where(fills.c.account == account, fills.c.execution_id == fill.execution_id)
        .values(commission=fill.commission, commission_currency=fill.commission_currency)
    )


def take_back(connection: Connection, account: str, execution_id: str, at: datetime) -> None:
    """Reverse an execution's postings and mark it superseded, inside the caller's transaction."""
    names = entry_ids(execution_id)
    booked = entries_by_id(connection, account, names)
    post_entries(connection, account, [reverse(booked[name], at) for name in names if name in booked])
    connection.execute(
        update(fills)
        .where(fills.c.account == account, fills.c.execution_id == execution_id)
        .values(superseded=True)
    )


def _split(connection: Connection, fill: Fill, intent: OrderIntent) -> Mapping[str, Decimal]:
    """Exact share of each sleeve: the split of all that is filled, less what the valid fills have been given."""
    given: dict[str, Decimal] = dict.fromkeys(intent.sleeves, ZERO)
    wanted = {"intent_id": intent.intent_id, "contract_id": intent.contract_id}
    # Only rolls go as spreads, whose near leg stands under the order's own parent.
    for query in (_GIVEN, _GIVEN_BY_SPREADS) if intent.reason is Reason.ROLL else (_GIVEN,):
        for payload in connection.execute(query, wanted).scalars():
            for sleeve, quantity in _sleeves(payload).items():
                given[sleeve] += quantity
    filled = sum(given.values(), ZERO) + fill.signed_quantity
    share = allocate(filled, intent.sleeves, ZERO, intent.quantity * intent.side.sign)
    return {sleeve: share[sleeve] - given[sleeve] for sleeve in sorted(share)}


def _sleeves(payload: bytes) -> Mapping[str, Decimal]:
    return typing.cast(Mapping[str, Decimal], from_json(Mapping[str, Decimal], json.loads(payload)))


def _row(account: str, fill: Fill, intent_id: str, sleeves: Mapping[str, Decimal]) -> Mapping[str, object]:
    return {
        "account": account,
        "execution_id": fill.execution_id,
        "root": fill.root,
        "order_ref": fill.order_ref,
        "intent_id": intent_id,
        "contract_id": fill.contract_id,
        "side": fill.side.value,
        "quantity": fill.quantity,
        "price": fill.price,
        "commission": fill.commission if fill.is_charged else None,
        "commission_currency": fill.commission_currency if fill.is_charged else None,
        "executed_at": fill.executed_at,
        "sleeves": encode(sleeves),
    }


def _suffix(execution_id: str) -> int:
    """Correction number behind the last dot; an id without one is its own first version."""
    text = execution_id.rpartition(".")[2]
    return int(text) if text.isdecimal() else 0
