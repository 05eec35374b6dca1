"""What executions without a commission are expected to cost, and that each cent of it counts once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from engine.accounting.book import fold
from engine.accounting.bridge import BridgeComponent, NavBridge, nav_bridge
from engine.accounting.ledger import LedgerEntry, commission, reverse, trade
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.accounting.uncharged import expected_commissions, nav_estimate
from engine.model.orders import Fill
from engine.model.portfolio import CashBasis, Sleeve, Valuation
from tests.engine.accounting.builders import BOOK, NOW, D, at, capital, make_fill, make_marks, make_rates
from tests.engine.accounting.policies import COSTS, NIL

BOOKED = at(1, 22), at(2)
"""The books are closed until the evening of the 1st; it is the morning of the 2nd."""


def amounts(*fills: Fill) -> dict[str, dict[str, object]]:
    """Cash of each posting, by its id."""
    return {entry.entry_id: dict(entry.cash) for entry in expected_commissions(fills, BOOK, COSTS, *BOOKED)}


def valued(*entries: LedgerEntry) -> Valuation:
    context = ValuationContext(
        trade_date=NOW.date(), as_of=at(3), basis=CashBasis.SETTLED, fx_hedges=frozenset()
    )
    return value_portfolio(fold(entries, at(3)), make_marks(AAPL="200"), make_rates(), BOOK, context)


def bridge_between(before: tuple[LedgerEntry, ...], since: tuple[LedgerEntry, ...]) -> NavBridge:
    """From the NAV of some entries to that with more of them."""
    return nav_bridge(
        valued(*before), valued(*before, *since), fold(before, at(3)), since, make_rates(), BOOK
    )


def test_order_is_expected_to_cost_what_the_cost_model_says_in_its_own_currency() -> None:
    # 300 shares × 0.005 = 1.50; 2 contracts × 2.25 = 4.50
    assert amounts(
        make_fill("CS51", "300", "50", "e1.01"), make_fill("ES_20251219", "-2", "6800", "e2.01", "AF1.B.1")
    ) == {"commission-expected:e1.01": {"EUR": D("-1.50")}, "commission-expected:e2.01": {"USD": D("-4.50")}}


@pytest.mark.parametrize(("executed", "booked"), [(at(1, 23), at(1, 23)), (at(1, 22), at(2))])
def test_posting_is_of_the_execution_s_own_time_only_while_the_books_of_that_time_are_open(
    executed: datetime, booked: datetime
) -> None:
    fill = make_fill("AAPL", "10", "200", executed_at=executed)
    [entry] = expected_commissions((fill,), BOOK, COSTS, *BOOKED)
    assert entry.booked_at == booked


def test_minimum_is_expected_once_an_order_and_what_was_told_is_not_expected_again() -> None:
    """100, 100 and 300 shares cost 1 (the minimum), still 1, then 500 × 0.005 = 2.50: 1 + 0 + 1.50."""
    fills = (
        make_fill("AAPL", "100", "200", "e1.01"),
        make_fill("AAPL", "100", "200", "e2.01"),
        make_fill("AAPL", "300", "200", "e3.01"),
    )
    first, third = "commission-expected:e1.01", "commission-expected:e3.01"
    assert amounts(*fills) == {first: {"USD": D(-1)}, third: {"USD": D("-1.50")}}
    told = replace(fills[0], commission=D("0.80"), commission_currency="USD")
    assert amounts(told, *fills[1:]) == {third: {"USD": D("-1.50")}}


def test_nothing_is_booked_where_nothing_is_expected_and_the_execution_is_still_named() -> None:
    fill = make_fill("EUR.USD", "1000", "1.17")
    free = replace(COSTS, commission_per_unit=NIL, commission_minimum=NIL)
    assert expected_commissions((fill,), BOOK, free, *BOOKED) == ()
    found = nav_estimate((fill,), {}, BOOK, make_rates())
    assert found is not None
    [row] = found.uncharged
    # 1,000 EUR at 1.17 are 1,170 USD
    assert (row.execution_id, row.notional_usd, row.expected) == ("e1.01", D("1170.00"), D(0))


def test_estimate_names_each_execution_with_what_is_taken_for_it_until_all_are_told() -> None:
    open_one = make_fill("CS51", "300", "50", "e1.01")
    told = make_fill("AAPL", "10", "200", "e2.01", "AF1.B.1", commission="1")
    [entry] = expected_commissions((open_one, told), BOOK, COSTS, *BOOKED)
    found = nav_estimate((open_one, told), {"e1.01": entry}, BOOK, make_rates())
    assert found is not None
    [row] = found.uncharged
    # 300 × 50 = 15,000 EUR at 1.17 = 17,550 USD; 1.50 EUR at 1.17 = 1.755 USD
    assert (row.order_ref, row.contract_id, row.notional_usd) == ("AF1.REF.1", "CS51", D("17550.00"))
    assert (row.expected, row.currency, row.expected_usd) == (D("1.50"), "EUR", D("1.755"))
    assert nav_estimate((told,), {}, BOOK, make_rates()) is None


def test_each_cent_counts_once_over_the_day_of_the_estimate_and_the_day_of_the_true_up() -> None:
    """1,000 shares: 5.00 expected on the first day; 3.50 told on the second, which gives 1.50 back."""
    fill = make_fill("AAPL", "1000", "200", "e1.01")
    bought = trade(fill, BOOK.instrument("AAPL"), {"core_index_rv": D(1000)}, NOW)
    [expected] = expected_commissions((fill,), BOOK, COSTS, *BOOKED)
    told = replace(fill, commission=D("3.50"), commission_currency="USD")
    first: tuple[LedgerEntry, ...] = (capital(), bought, expected)
    second = (reverse(expected, at(2)), commission(told, at(2)))
    assert fold(first, at(2)).cash["USD"] == D(10_000_000 - 200_000) - D("5.00")
    assert fold((*first, *second), at(3)).cash["USD"] == D(10_000_000 - 200_000) - D("3.50")

    on_the_first = bridge_between((capital(),), (bought, expected))
    assert on_the_first.by_component[BridgeComponent.FEES] == D("-5.00")
    assert on_the_first.residual == 0
    on_the_second = bridge_between(first, second)
    assert on_the_second.by_component[BridgeComponent.FEES] == D("1.50")
    assert on_the_second.by_sleeve == {Sleeve.CORE: D("1.50")}
    assert on_the_second.residual == 0
