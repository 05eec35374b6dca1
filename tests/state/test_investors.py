"""Orders of investors on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from engine.accounting.investors import FlowKind, InvestorOrder
from engine.errors import RefusedError
from engine.model.money import Money
from state.database import Database
from state.investors import InvestorStore
from tests.state.builders import ACCOUNT, DAY, NOW

ORDER = InvestorOrder(
    order_id="S-1",
    kind=FlowKind.SUBSCRIPTION,
    investor="Pension fund",
    money=Money(amount=Decimal("250000.25"), currency="EUR"),
    value_date=DAY,
    evidence="form 7",
)


def test_order_is_kept_as_it_was_given_the_oldest_value_date_first(database: Database) -> None:
    store = InvestorStore(database)
    older = replace(ORDER, order_id="R-1", kind=FlowKind.REDEMPTION, value_date=DAY - timedelta(days=1))
    store.give(ACCOUNT, ORDER, "anna", NOW)
    store.give(ACCOUNT, older, "anna", NOW)
    assert store.standing(ACCOUNT) == (older, ORDER)
    assert [(row.operator, row.given_at) for row in store.orders(ACCOUNT)] == [("anna", NOW)] * 2
    assert store.orders("another account") == ()


def test_same_order_is_refused_the_second_time(database: Database) -> None:
    store = InvestorStore(database)
    store.give(ACCOUNT, ORDER, "anna", NOW)
    with pytest.raises(RefusedError, match="evidence of its own"):
        store.give(ACCOUNT, ORDER, "ben", NOW)
    assert len(store.orders(ACCOUNT)) == 1


def test_withdrawn_order_stands_no_more_and_is_withdrawn_once(database: Database) -> None:
    store = InvestorStore(database)
    store.give(ACCOUNT, ORDER, "anna", NOW)
    store.withdraw(ACCOUNT, "S-1", "the investor changed their mind", "ben", NOW)
    assert store.standing(ACCOUNT) == ()
    assert store.orders(ACCOUNT)[0].withdrawn_because == "the investor changed their mind"
    for unknown in ("S-1", "S-2"):
        with pytest.raises(RefusedError, match="none of the id"):
            store.withdraw(ACCOUNT, unknown, "again", "ben", NOW)
