from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.book import apply, fold
from engine.accounting.bridge import BridgeComponent, nav_bridge
from engine.accounting.investors import (
    FlowKind,
    FlowState,
    InvestorOrder,
    candidates,
    flow_state,
    may_be_dealt,
    money_moved,
    units_dealt,
)
from engine.accounting.ledger import LedgerEntry
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.errors import InvariantError, MissingFxRate
from engine.model.money import Money
from engine.model.portfolio import CashBasis, Portfolio, Valuation
from tests.engine.accounting.builders import BOOK, DAY, NOW, D, at, bought, capital, make_marks, make_rates

IN, OUT = FlowKind.SUBSCRIPTION, FlowKind.REDEMPTION


def value(portfolio: Portfolio, price: str = "150") -> Valuation:
    context = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset())
    return value_portfolio(portfolio, make_marks(AAPL=price), make_rates(), BOOK, context)


def order(
    amount: str, kind: FlowKind = IN, currency: str = "USD", name: str = "A-1", day: date = DAY
) -> InvestorOrder:
    return InvestorOrder(
        order_id=name,
        kind=kind,
        investor="Pension fund",
        money=Money(amount=D(amount), currency=currency),
        value_date=day,
        evidence="form 7",
    )


def dealt(book: Portfolio, given: InvestorOrder) -> LedgerEntry:
    entry = units_dealt(given, value(book), make_rates(), NOW, book.units)
    assert entry is not None
    return entry


# 10,000,000 USD and 100,000 units; 10,000 AAPL bought at 100 and worth 150: NAV 10,500,000, 105 a unit.
OPEN = fold((capital(), bought("AAPL", "10000", "100")), NOW)


def test_money_that_waits_for_its_units_is_owed_and_changes_no_nav() -> None:
    after = apply(OPEN, money_moved(order("1050000"), NOW))
    assert after.cash["USD"] - OPEN.cash["USD"] == D(1_050_000)
    assert (value(after).nav, value(after).units) == (D(10_500_000), D(100_000))


def test_units_are_issued_at_the_nav_per_unit_of_the_close() -> None:
    # 1,050,000 / 105 = 10,000 units.
    received = apply(OPEN, money_moved(order("1050000"), NOW))
    entry = dealt(received, order("1050000"))
    after = value(apply(received, entry))
    assert (after.nav, after.units, after.unit_price) == (D(11_550_000), D(110_000), D(105))
    assert (entry.price, entry.quantity) == (D(105), D(10_000))


def test_subscription_in_another_currency_counts_at_its_rate() -> None:
    # 100,000 EUR x 1.17 = 117,000 USD; / 105 = 1,114.285714 units (1,114.2857142857...).
    given = order("100000", currency="EUR")
    after = apply(OPEN, money_moved(given, NOW), dealt(OPEN, given))
    assert (after.cash["EUR"], after.investors["EUR"]) == (D(100_000), 0)
    assert after.units == D("101114.285714")


def test_units_are_cancelled_at_the_close_and_the_fund_owes_the_money_until_it_is_paid() -> None:
    # 2,100,000 / 105 = 20,000 units.
    given = order("2100000", OUT)
    owing = apply(OPEN, dealt(OPEN, given))
    assert (value(owing).nav, value(owing).units, value(owing).unit_price) == (8_400_000, 80_000, 105)
    assert (owing.cash["USD"], owing.investors["USD"]) == (OPEN.cash["USD"], D(-2_100_000))
    paid = apply(owing, money_moved(given, NOW))
    assert (value(paid).nav, paid.investors["USD"]) == (8_400_000, 0)
    assert OPEN.cash["USD"] - paid.cash["USD"] == D(2_100_000)


@pytest.mark.parametrize(
    ("amount", "outstanding", "cancelled"),
    [
        ("10500000.01", "100000", None),
        ("10500000", "100000", None),  # without any unit the fund has no price at which to go on
        ("10499895", "100000", "-99999"),
        # 60,000 units each: after the first of them 40,000 are left at the same price
        ("6300000", "100000", "-60000"),
        ("6300000", "40000", None),
    ],
)
def test_more_units_than_are_left_can_not_be_cancelled(
    amount: str, outstanding: str, cancelled: str | None
) -> None:
    entry = units_dealt(order(amount, OUT), value(OPEN), make_rates(), NOW, D(outstanding))
    assert (entry.quantity if entry else None) == (D(cancelled) if cancelled else None)


def test_flow_is_no_return_and_the_gain_after_it_is_shared() -> None:
    # 1,050,000 come in at 105; then AAPL rises from 150 to 161: 10,000 x 11 = 110,000 on 110,000 units: 1 USD each.
    given = order("1050000")
    after = apply(OPEN, money_moved(given, NOW), dealt(OPEN, given))
    assert value(after, "161").unit_price / value(OPEN).unit_price - 1 == D(106) / D(105) - 1


@pytest.mark.parametrize(("kind", "flow"), [(IN, "1050000"), (OUT, "-1050000")])
def test_bridge_has_the_units_as_its_flow_and_the_money_before_or_after_as_none(
    kind: FlowKind, flow: str
) -> None:
    given, opening = order("1050000", kind), value(OPEN)
    entries = (money_moved(given, NOW + timedelta(hours=1)), dealt(OPEN, given))
    for made, expected in (((entries[0],), "0"), (entries, flow), ((entries[1],), flow)):
        bridge = nav_bridge(opening, value(apply(OPEN, *made)), OPEN, made, make_rates(), BOOK)
        assert bridge.by_component.get(BridgeComponent.FLOWS, D(0)) == D(expected)
        assert bridge.residual == 0


def test_money_in_another_currency_that_is_owed_earns_the_fund_no_exchange_gain() -> None:
    received = apply(OPEN, money_moved(order("100000", currency="EUR"), NOW))
    opening = value(received)
    context = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset())
    dearer = make_rates(EURUSD="1.30")
    closing = value_portfolio(received, make_marks(AAPL="150"), dearer, BOOK, context)
    assert closing.nav == opening.nav
    assert nav_bridge(opening, closing, received, (), dearer, BOOK).residual == 0


@given(amount=st.decimals("0.01", 10_000_000, places=2), kind=st.sampled_from([IN, OUT]))
def test_flows_never_move_the_unit_price_by_a_cent(amount: Decimal, kind: FlowKind) -> None:
    given_order = order(str(amount), kind)
    after = apply(OPEN, dealt(OPEN, given_order), money_moved(given_order, NOW))
    assert abs(value(after).unit_price - value(OPEN).unit_price) < D("0.000001")


def test_order_goes_from_state_to_state() -> None:
    money, units = "investor-cash:A-1", "investor-units:A-1"
    cases = [
        (IN, (), FlowState.PENDING, False),
        (IN, (money,), FlowState.RECEIVED, True),
        (IN, (money, units), FlowState.DONE, False),
        (OUT, (), FlowState.PENDING, True),
        (OUT, (units,), FlowState.DEALT, False),
        (OUT, (money,), FlowState.PAID, True),
        (OUT, (money, units), FlowState.DONE, False),
    ]
    for kind, booked, state, deals in cases:
        given = order("1", kind)
        assert flow_state(given, booked) is state
        assert may_be_dealt(given, booked, DAY) is deals
        assert not may_be_dealt(given, booked, DAY - timedelta(days=1))


@pytest.mark.parametrize(
    ("more", "names", "why"),
    [
        ({"USD": "250"}, ["a"], "one order to the cent"),
        ({"USD": "250.02"}, [], "two cents apart is another sum"),
        ({"USD": "350"}, ["a", "b"], "two that came together"),
        ({"USD": "-70"}, ["c"], "one that left"),
        ({"USD": "30"}, ["b", "c"], "100 came and 70 left"),
        ({"EUR": "250"}, [], "another currency"),
        ({"USD": "0"}, [], "nothing came"),
    ],
)
def test_money_belongs_to_the_orders_that_make_exactly_its_sum(
    more: dict[str, str], names: list[str], why: str
) -> None:
    waiting = (order("250", name="a"), order("100", name="b"), order("70", OUT, name="c"))
    found = candidates(waiting, {currency: D(amount) for currency, amount in more.items()})
    assert [row.order_id for row in next(found, ())] == names, why


def test_of_two_orders_of_one_amount_the_older_one_is_taken() -> None:
    waiting = (order("250", name="old"), order("250", name="new"))
    assert [row.order_id for row in next(candidates(waiting, {"USD": D(250)}))] == ["old"]


def test_impossible_flows_are_refused() -> None:
    with pytest.raises(InvariantError, match="positive amount"):
        order("-1")
    with pytest.raises(MissingFxRate):
        units_dealt(order("1", currency="JPY"), value(OPEN), make_rates(), NOW, OPEN.units)
    with pytest.raises(InvariantError, match="fund with units"):
        units_dealt(order("1"), value(fold((), at(1))), make_rates(), NOW, D(0))
