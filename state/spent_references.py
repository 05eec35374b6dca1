"""Order references that the broker knows and our database does not: what a restored copy of it has lost.

A reference follows from the run, the contract and the attempt, so a day that is run again on a restored database would
give a new order the name of an old one. Whatever the broker or its statement shows under such a name is kept here, and
no order takes it again.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, select

from engine.model.orders import ORDER_REFERENCE_PREFIX, order_reference
from state.accounts import ensure_account
from state.prepared import Prepared
from state.statement_tables import spent_references
from state.tables import orders
from state.upsert import insert_or_keep

_SPENT = Prepared(
    select(spent_references.c.order_ref).where(spent_references.c.account == bindparam("account"))
)
_PLANNED = Prepared(
    select(orders.c.order_ref).where(orders.c.order_ref.in_(bindparam("order_refs", expanding=True)))
)


def read_spent(connection: Connection, account: str) -> frozenset[str]:
    """Every spent reference of an account; nearly always none."""
    return frozenset(row.order_ref for row in _SPENT.all(connection, {"account": account}))


def keep_spent(connection: Connection, account: str, shown: Collection[str]) -> frozenset[str]:
    """Keep those of some references that look like ours and that no order of this database has; answers them."""
    ours = sorted(name for name in set(shown) if name.startswith(ORDER_REFERENCE_PREFIX))
    if not ours:
        return frozenset()
    planned = {row.order_ref for row in _PLANNED.all(connection, {"order_refs": ours})}
    lost = [{"account": account, "order_ref": name} for name in ours if name not in planned]
    if lost:
        ensure_account(connection, account)
        insert_or_keep(connection, spent_references, lost)
    return frozenset(row["order_ref"] for row in lost)


def last_spent_attempt(intent_id: str, spent: Collection[str]) -> int:
    """The last attempt of a parent whose reference is spent, 0 when none is."""
    attempts = {int(name.rpartition(".")[2]) for name in spent if name.rpartition(".")[2].isdecimal()}
    return max((n for n in attempts if order_reference(intent_id, n) in spent), default=0)
