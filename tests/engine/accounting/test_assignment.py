"""An execution that no sleeve has goes to those that a person names: all of it, at its own price, once."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from engine.accounting.assignment import assignment, unassigned_quantity
from engine.accounting.book import apply, empty_portfolio
from engine.accounting.ledger import LedgerEntry, reverse, trade
from engine.errors import RefusedError
from engine.model.portfolio import Sleeve
from tests.engine.accounting.builders import BOOK
from tests.state.builders import NOW, later, make_child, make_fill, make_intent

D = Decimal
FILL = make_fill(make_child(make_intent()), "100", price="190")


def booked(sleeves: Mapping[str, Decimal]) -> LedgerEntry:
    return trade(FILL, BOOK.instrument(FILL.contract_id), sleeves, NOW)


LOST = booked({"unassigned": D(100)})


def test_assigned_execution_stands_in_its_sleeves_and_the_fund_is_the_same() -> None:
    shares = {"core_index_rv": D(70), "sector_rv": D(30)}
    before = apply(empty_portfolio(NOW), LOST)
    after = apply(before, *assignment(FILL.execution_id, shares, [LOST], later(1)))
    # 70 + 30 of the 100 bought at 190: nothing is left, and the cost is still 19,000.
    assert after.positions["AAPL"].sleeves == {Sleeve.CORE: D(70), Sleeve.SECTOR: D(30)}
    assert (after.cash, after.positions["AAPL"].cost) == (before.cash, D(19_000))


def test_transfer_is_at_the_price_of_the_execution() -> None:
    (entry,) = assignment(FILL.execution_id, {"core_index_rv": D(100)}, [LOST], later(1))
    assert (entry.price, entry.booked_at) == (D(190), later(1))


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"core_index_rv": "99"}, "sign and sum of 100"),
        ({"core_index_rv": "101"}, "sign and sum of 100"),
        ({"core_index_rv": "110", "sector_rv": "-10"}, "sign and sum of 100"),
        ({}, "sign and sum of 100"),
        ({"core": "100"}, "expected sleeves out of core_index_rv"),
        ({"unassigned": "100"}, "expected sleeves out of core_index_rv"),
    ],
)
def test_shares_that_are_not_the_execution_are_refused(shares: dict[str, str], told: str) -> None:
    with pytest.raises(RefusedError, match=told):
        assignment(FILL.execution_id, {name: D(part) for name, part in shares.items()}, [LOST], NOW)


@pytest.mark.parametrize(
    ("ledger", "told"),
    [
        ([], "found none under"),
        ([booked({"core_index_rv": D(100)})], "found none under"),
        ([LOST, reverse(LOST, NOW)], "taken back"),
        (
            [LOST, *assignment(FILL.execution_id, {"sector_rv": D(100)}, [LOST], NOW)],
            "assigned already",
        ),
    ],
    ids=["unknown", "of a sleeve", "taken back", "assigned"],
)
def test_execution_that_some_sleeve_has_or_nobody_is_refused(ledger: list[LedgerEntry], told: str) -> None:
    with pytest.raises(RefusedError, match=told):
        assignment(FILL.execution_id, {"core_index_rv": D(100)}, ledger, NOW)


def test_unassigned_quantity_is_that_of_the_execution() -> None:
    assert unassigned_quantity(FILL.execution_id, [LOST]) == 100
    assert unassigned_quantity("another", [LOST]) == 0
