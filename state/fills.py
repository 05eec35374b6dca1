"""Executions: each booked once into fills and ledger, exactly split over the sleeves that asked for the trade."""

from __future__ import annotations

import json
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, and_, bindparam, func, insert, select, type_coerce, update

from engine.accounting.book import allocate
from engine.accounting.charges import transaction_tax
from engine.accounting.ledger import (
    EXPECTED_COMMISSION_PREFIX,
    REVERSAL_PREFIX,
    LedgerEntry,
    commission,
    entry_ids,
    reverse,
    trade,
)
from engine.errors import InvariantError
from engine.model.encoding import encode, from_json
from engine.model.money import ZERO, from_micros
from engine.model.orders import Fill, OrderIntent, Reason, Side
from engine.model.policy import TransactionTax
from engine.model.universe import ContractBook
from state.jobs import read_intent
from state.ledger import KEYS_A_QUERY, entries_by_id, post_entries
from state.prepared import Prepared, StoredRow
from state.tables import fills, orders

_VALID = Prepared(
    select(fills).where(
        fills.c.account == bindparam("account"),
        fills.c.root == bindparam("root"),
        fills.c.superseded.is_(False),
    )
)
_KNOWN = Prepared(
    select(fills.c.root, fills.c.execution_id).where(
        fills.c.account == bindparam("account"),
        fills.c.root.in_(bindparam("roots", expanding=True)),
        fills.c.superseded.is_(False),
    )
)
_OWN = Prepared(
    select(orders.c.order_ref).where(
        orders.c.account == bindparam("account"),
        orders.c.order_ref.in_(bindparam("order_refs", expanding=True)),
    )
)
_QUANTITIES = Prepared(
    select(
        fills.c.order_ref,
        fills.c.contract_id,
        func.sum(type_coerce(fills.c.quantity, BigInteger)).label("total"),
    )
    .where(fills.c.order_ref.in_(bindparam("order_refs", expanding=True)), fills.c.superseded.is_(False))
    .group_by(fills.c.order_ref, fills.c.contract_id)
)
_GIVEN = Prepared(
    select(fills.c.sleeves).where(
        fills.c.intent_id == bindparam("intent_id"),
        fills.c.contract_id == bindparam("contract_id"),
        fills.c.superseded.is_(False),
    )
)
_GIVEN_BY_SPREADS = Prepared(
    select(fills.c.sleeves)
    .join(orders, and_(orders.c.order_ref == fills.c.order_ref, orders.c.intent_id == fills.c.intent_id))
    .where(
        orders.c.near_intent_id == bindparam("intent_id"),
        fills.c.contract_id == bindparam("contract_id"),
        fills.c.superseded.is_(False),
    )
)
_BOOK = Prepared(insert(fills))


class ToldFill(NamedTuple):
    """An execution, the parent that it fills, the one whose order it was, and the ledger's time of it.

    The two parents differ for the near leg of a spread.
    """

    fill: Fill
    intent_id: str
    owner: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FillBooks:
    """Where executions are booked, and what a booking is made with; parents are frozen, so that one look is enough."""

    account: str
    contracts: ContractBook
    taxes: Sequence[TransactionTax]
    parents: dict[str, OrderIntent] = field(default_factory=dict)

    def parent(self, connection: Connection, intent_id: str) -> OrderIntent:
        """A committed parent; raises `InvariantError` when there is none."""
        if intent_id not in self.parents:
            self.parents[intent_id] = read_intent(connection, intent_id)
        return self.parents[intent_id]


def book_fills(
    connection: Connection, books: FillBooks, told: Sequence[ToldFill]
) -> list[bool | InvariantError]:
    """Book executions inside the caller's transaction, in their order; see `OrderStore.record_fill`.

    Answers of each whether it was booked now, or why it can not be: that leaves nothing behind.
    """
    answers: list[bool | InvariantError] = []
    for portion in _portions(connection, books.account, told):
        answers += _book_apart(connection, books, portion)
    return answers


def _portions(connection: Connection, account: str, told: Sequence[ToldFill]) -> Iterator[list[ToldFill]]:
    """Executions that nobody booked are booked together; one that was told before comes alone, in its place."""
    if len(told) == 1:
        yield list(told)
        return
    known = set(_booked(connection, account, [one.fill for one in told]))
    together: list[ToldFill] = []
    for one in told:
        if one.fill.root not in known:
            together.append(one)
            known.add(one.fill.root)
            continue
        if together:
            yield together
        together = []
        yield [one]
    if together:
        yield together


def _book_apart(
    connection: Connection, books: FillBooks, portion: list[ToldFill]
) -> list[bool | InvariantError]:
    """Book a portion whole, or, where that breaks a contract, one by one without what does."""
    try:
        if len(portion) == 1:
            return [_book_one(connection, books, portion[0])]
        _book_new(connection, books, portion)
        return [True] * len(portion)
    except InvariantError as error:
        if len(portion) == 1:
            return [error]
    return [answer for one in portion for answer in _book_apart(connection, books, [one])]


def _book_one(connection: Connection, books: FillBooks, told: ToldFill) -> bool:
    """Book an execution, or take its earlier version back and book it anew, or see that it is booked."""
    fill = told.fill
    _check(fill, books.parent(connection, told.intent_id))
    before = _VALID.one_or_none(connection, {"account": books.account, "root": fill.root})
    if before is not None and _suffix(fill.execution_id) <= _suffix(before.execution_id):
        _repeat(connection, books.account, fill, before, told.at)
        return False
    if before is None:
        _book_new(connection, books, [told])
        return True
    with connection.begin_nested():
        take_back(connection, books.account, before.execution_id, told.at)
        _book_new(connection, books, [told])
    return True


def _book_new(connection: Connection, books: FillBooks, portion: Sequence[ToldFill]) -> None:
    """Book executions that nobody booked; what breaks a contract is raised before anything is written."""
    given: dict[tuple[str, str], dict[str, Decimal]] = {}
    rows, entries = [], list[LedgerEntry]()
    for fill, intent_id, owner, at in portion:
        intent = books.parent(connection, intent_id)
        _check(fill, intent)
        sleeves = _split(connection, fill, intent, given)
        rows.append(_row(books.account, fill, owner, sleeves))
        instrument = books.contracts.instrument(fill.contract_id)
        # A correction to nothing is how a broker takes an execution back.
        if fill.quantity != 0:
            entries.append(trade(fill, instrument, sleeves, at))
        tax = transaction_tax(fill, instrument, books.taxes, at)
        if tax is not None:
            entries.append(tax)
        if fill.is_charged:
            entries.append(commission(fill, at))
    post_entries(connection, books.account, entries)
    _BOOK.run_all(connection, rows)


def _check(fill: Fill, intent: OrderIntent) -> None:
    if (fill.contract_id, fill.side) != (intent.contract_id, intent.side):
        raise InvariantError(f"{fill.execution_id}: contract and side are not those of its order")
    if fill.price <= 0:
        raise InvariantError(f"{fill.execution_id}: expected a price above 0, found {fill.price}")


def unbooked(connection: Connection, account: str, executions: Sequence[Fill]) -> tuple[Fill, ...]:
    """Those of orders of an account that are not booked, or only in an earlier version, in the given order."""
    names, own = sorted({fill.order_ref for fill in executions if fill.order_ref is not None}), set[str]()
    for some in _portioned(names):
        own.update(row.order_ref for row in _OWN.all(connection, {"account": account, "order_refs": some}))
    asked = [fill for fill in executions if fill.order_ref in own]
    known = _booked(connection, account, asked)
    return tuple(fill for fill in asked if _suffix(fill.execution_id) > known.get(fill.root, -1))


def _booked(connection: Connection, account: str, executions: Sequence[Fill]) -> dict[str, int]:
    """Number of the correction that is booked of some executions, by their roots."""
    return {
        row.root: _suffix(row.execution_id)
        for some in _portioned(sorted({fill.root for fill in executions}))
        for row in _KNOWN.all(connection, {"account": account, "roots": some})
    }


def _portioned(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Names as many at once as one query takes."""
    return (names[start : start + KEYS_A_QUERY] for start in range(0, len(names), KEYS_A_QUERY))


def filled_quantities(connection: Connection, order_refs: Collection[str]) -> list[tuple[str, str, Decimal]]:
    """Sums of the valid executions of some children, by child and contract."""
    return [
        (row.order_ref, row.contract_id, from_micros(int(row.total)))
        for some in _portioned(sorted(order_refs))
        for row in _QUANTITIES.all(connection, {"order_refs": some})
    ]


def fill_of(row: StoredRow) -> Fill:
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


def _repeat(connection: Connection, account: str, fill: Fill, before: StoredRow, at: datetime) -> None:
    """A known execution again: nothing, or the commission that was missing, in the place of what was expected."""
    if fill.execution_id != before.execution_id:
        return
    if (fill.quantity, fill.price) != (before.quantity, before.price):
        raise InvariantError(
            f"{fill.execution_id} was booked with other figures; a correction has a new suffix"
        )
    if not fill.is_charged or before.commission is not None:
        return
    expected = _standing(connection, account, (EXPECTED_COMMISSION_PREFIX + fill.execution_id,))
    undone = [reverse(entry, max(at, entry.booked_at)) for entry in expected]
    post_entries(connection, account, [*undone, commission(fill, at)])
    connection.execute(
        update(fills)
        .where(fills.c.account == account, fills.c.execution_id == fill.execution_id)
        .values(commission=fill.commission, commission_currency=fill.commission_currency)
    )


def take_back(connection: Connection, account: str, execution_id: str, at: datetime) -> None:
    """Reverse an execution's postings and mark it superseded, inside the caller's transaction."""
    standing = _standing(connection, account, entry_ids(execution_id))
    post_entries(connection, account, [reverse(entry, at) for entry in standing])
    connection.execute(
        update(fills)
        .where(fills.c.account == account, fills.c.execution_id == execution_id)
        .values(superseded=True)
    )


def _standing(connection: Connection, account: str, names: Sequence[str]) -> list[LedgerEntry]:
    """Those of some entries that are booked and were not taken back, in the given order."""
    booked = entries_by_id(connection, account, [*names, *(REVERSAL_PREFIX + name for name in names)])
    return [booked[name] for name in names if name in booked and REVERSAL_PREFIX + name not in booked]


def _split(
    connection: Connection,
    fill: Fill,
    intent: OrderIntent,
    given: dict[tuple[str, str], dict[str, Decimal]],
) -> Mapping[str, Decimal]:
    """Exact share of each sleeve: the split of all that is filled, less what the valid fills have been ``given``."""
    if len(intent.sleeves) == 1:
        return dict.fromkeys(intent.sleeves, fill.signed_quantity)
    key = (intent.intent_id, intent.contract_id)
    if key not in given:
        given[key] = _given(connection, intent)
    before = given[key]
    filled = sum(before.values(), ZERO) + fill.signed_quantity
    share = allocate(filled, intent.sleeves, ZERO, intent.quantity * intent.side.sign)
    given[key] = dict(share)
    return {sleeve: share[sleeve] - before[sleeve] for sleeve in sorted(share)}


def _given(connection: Connection, intent: OrderIntent) -> dict[str, Decimal]:
    """What the valid fills of a parent gave each sleeve."""
    given: dict[str, Decimal] = dict.fromkeys(intent.sleeves, ZERO)
    wanted = {"intent_id": intent.intent_id, "contract_id": intent.contract_id}
    # Only rolls go as spreads, whose near leg stands under the order's own parent.
    for query in (_GIVEN, _GIVEN_BY_SPREADS) if intent.reason is Reason.ROLL else (_GIVEN,):
        for row in query.all(connection, wanted):
            for sleeve, quantity in _sleeves(row.sleeves).items():
                given[sleeve] += quantity
    return given


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
