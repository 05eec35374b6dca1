"""Orders of investors in the database: given once, withdrawn at most once, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, select, update

from engine.accounting.investors import FlowKind, InvestorOrder
from engine.errors import RefusedError
from engine.model.money import Money
from state.accounts import ensure_account
from state.database import Database
from state.investor_tables import investor_orders
from state.upsert import insert_or_keep


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenOrder:
    """An order with who gave it and when, and who withdrew it and why."""

    order: InvestorOrder
    operator: str
    given_at: datetime
    withdrawn_because: str | None


class InvestorStore:
    """Investors' orders of accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, account: str, order: InvestorOrder, operator: str, now: datetime) -> None:
        """Keep a new order; raises `RefusedError` when it was given before."""
        columns = investor_orders.c
        with self._database.transaction() as connection:
            ensure_account(connection, account)
            known = connection.execute(
                select(columns.order_id).where(columns.account == account, columns.order_id == order.order_id)
            ).first()
            if known is not None:
                raise RefusedError(
                    f"expected an order that is new, found {order.order_id} with the same investor, amount, value date "
                    "and evidence; nothing was written: a second one needs evidence of its own"
                )
            insert_or_keep(
                connection,
                investor_orders,
                [
                    {
                        "account": account,
                        "order_id": order.order_id,
                        "kind": order.kind.value,
                        "investor": order.investor,
                        "amount": order.money.amount,
                        "currency": order.money.currency,
                        "value_date": order.value_date,
                        "evidence": order.evidence,
                        "operator": operator,
                        "given_at": now,
                    }
                ],
            )

    def withdraw(self, account: str, order_id: str, reason: str, operator: str, now: datetime) -> None:
        """Take an order back; raises `RefusedError` for one that is not known or was withdrawn before."""
        columns = investor_orders.c
        with self._database.transaction() as connection:
            done = connection.execute(
                update(investor_orders)
                .where(
                    columns.account == account,
                    columns.order_id == order_id,
                    columns.withdrawn_at.is_(None),
                )
                .values(withdrawn_at=now, withdrawn_by=operator, withdrawn_because=reason)
            )
            if done.rowcount != 1:
                raise RefusedError(
                    f"expected an order of {account} that stands, found none of the id {order_id}; "
                    "`fund investors list` shows them"
                )

    def orders(self, account: str) -> tuple[GivenOrder, ...]:
        """Every order of an account, the oldest value date first."""
        columns = investor_orders.c
        wanted = (
            select(investor_orders)
            .where(columns.account == account)
            .order_by(columns.value_date, columns.given_at, columns.order_id)
        )
        with self._database.read() as connection:
            return tuple(_given(row) for row in connection.execute(wanted))

    def standing(self, account: str) -> tuple[InvestorOrder, ...]:
        """Orders that were not withdrawn, the oldest value date first."""
        return tuple(row.order for row in self.orders(account) if row.withdrawn_because is None)


def _given(row: Row[tuple[object, ...]]) -> GivenOrder:
    return GivenOrder(
        order=InvestorOrder(
            order_id=row.order_id,
            kind=FlowKind(row.kind),
            investor=row.investor,
            money=Money(amount=row.amount, currency=row.currency),
            value_date=row.value_date,
            evidence=row.evidence,
        ),
        operator=row.operator,
        given_at=row.given_at,
        withdrawn_because=row.withdrawn_because,
    )
