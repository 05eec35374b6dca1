"""The account over TCP: the same snapshot as the broker's own, and only what really answered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from engine.accounting.average_cost import average_price
from engine.errors import BrokerUnavailable
from engine.model.instruments import Instrument
from tasks.adapters.ibkr.account import by_currency, mark_of, values_of
from tasks.adapters.ibkr.records import AccountValueShown, ContractShown, PortfolioShown
from tests.tasks.adapters.gateways import small_world
from tests.tasks.adapters.ibkr.trading import Desk, trading

FUTURE = "ES_20261218"


@pytest.fixture
def desk() -> Iterator[Desk]:
    with trading() as made:
        yield made


def buy(desk: Desk, *names: str, quantity: int = 2) -> None:
    for name in names:
        desk.transport.send(desk.child(name, quantity=quantity))
    desk.events(3)


def test_snapshot_is_that_of_the_broker_to_the_cent(desk: Desk) -> None:
    buy(desk, "CSPX", "IUKD", "EXV1", FUTURE)
    told = desk.account.snapshot(desk.transport.now())
    own = desk.gateway.call(lambda: desk.gateway.gateway.broker.snapshot(desk.gateway.gateway.now))
    assert told.answered == own.answered
    assert told.cash == own.cash
    assert told.net_liquidation == own.net_liquidation
    assert told.excess_liquidity == own.excess_liquidity
    assert {n: p.quantity for n, p in told.positions.items()} == {
        n: p.quantity for n, p in own.positions.items()
    }
    for name, held in told.positions.items():
        assert abs(held.average_cost - own.positions[name].average_cost) < Decimal("1e-9")
        assert held.mark is not None
        assert abs(held.mark / own.positions[name].mark - 1) < Decimal("1e-12")
    for currency, rate in told.fx.items():
        assert rate == own.fx[currency]
    assert {o.order_ref for o in told.completed_orders} == {o.order_ref for o in own.completed_orders}
    assert {f.execution_id: f.price for f in told.executions} == {
        f.execution_id: f.price for f in own.executions
    }


def test_average_cost_of_a_future_is_its_price_times_the_multiplier(desk: Desk) -> None:
    buy(desk, FUTURE)
    told = desk.account.snapshot(desk.transport.now())
    [fill] = told.executions
    held = told.positions[FUTURE]
    instrument = small_world()[0]["ES"]
    price = average_price(held.average_cost, instrument, held.mark)
    assert price is not None
    assert fill.commission is not None
    # Two contracts at 50: the cost is price x 50 with the commission of each in it.
    assert abs(held.average_cost - (fill.price * 50 + fill.commission / 2)) < Decimal("1e-6")
    assert abs(price / fill.price - 1) < Decimal("0.0005")


def test_pence_line_is_marked_in_pence_and_costed_in_pounds(desk: Desk) -> None:
    buy(desk, "IUKD", quantity=2000)
    told = desk.account.snapshot(desk.transport.now())
    held, quote = told.positions["IUKD"], desk.quote("IUKD")
    assert held.mark == quote.mid
    assert abs(held.average_cost * 100 / quote.mid - 1) < Decimal("0.05")


@pytest.mark.parametrize(
    ("request_name", "missing"),
    [
        ("positions", {"positions"}),
        ("executions", {"executions"}),
        ("all_open_orders", {"open_orders", "completed_orders"}),
    ],
)
def test_query_without_an_answer_is_unknown_and_not_empty(
    desk: Desk, request_name: str, missing: set[str]
) -> None:
    told = desk.account.snapshot(desk.transport.now())
    object.__setattr__(desk.session.policy, "request_timeout", 0.2)
    desk.gateway.control.ask("unanswered", request=request_name, times=1)
    silent = desk.account.snapshot(desk.transport.now())
    assert missing <= told.answered
    assert not missing & silent.answered


def test_silence_about_the_account_itself_leaves_nothing_known(desk: Desk) -> None:
    object.__setattr__(desk.session.policy, "request_timeout", 0.2)
    desk.gateway.control.ask("unanswered", request="account_updates", times=2)
    with pytest.raises(BrokerUnavailable, match="answered no question"):
        desk.account.snapshot(desk.transport.now())


def test_account_without_any_answer_is_unavailable(desk: Desk) -> None:
    desk.session.close()
    with pytest.raises(BrokerUnavailable, match="answered no question"):
        desk.account.snapshot(desk.transport.now())


def test_snapshot_after_a_new_connection_takes_little_time(desk: Desk) -> None:
    buy(desk, *(row.instrument_id for row in small_world()[0] if row.collar_class.value == "ETF"))
    began = time.perf_counter()
    told = desk.account.snapshot(desk.transport.now())
    assert len(told.positions) > 10
    assert time.perf_counter() - began < 1.5


# ---------------------------------------------------------------- what the texts say


def value(key: str, text: str, currency: str) -> AccountValueShown:
    return AccountValueShown(account="DU1234567", key=key, value=text, currency=currency)


def test_cash_of_each_currency_counts_and_the_brokers_own_sum_does_not() -> None:
    values = values_of((
        value("TotalCashBalance", "100.50", "USD"), value("TotalCashBalance", "200", "EUR"),
        value("TotalCashBalance", "320.5", "BASE"), value("CashBalance", "90", "USD"), value("AccountType", "INDIVIDUAL", ""),
        value("TotalCashBalance", "110.50", "USD"),
    ))  # fmt: skip
    assert by_currency(values, ("TotalCashBalance",)) == {"USD": Decimal("110.50"), "EUR": Decimal(200)}


def test_value_that_is_not_set_is_no_number() -> None:
    assert (
        values_of((value("NetLiquidation", "1.7976931348623157E308", "USD"), value("X", "NaN", "USD"))) == {}
    )


def pence_line() -> Instrument:
    return small_world()[0]["IUKD"]


@pytest.mark.parametrize(("price", "expected"), [("850", "850"), ("8.5", "850.0")])
def test_mark_of_a_pence_line_is_the_reading_that_makes_the_brokers_value(price: str, expected: str) -> None:
    shown = ContractShown(
        con_id=1, symbol="IUKD", security_type="STK", expiry="", strike=Decimal(0), right="", multiplier="",
        currency="GBP", local_symbol="IUKD", trading_class="IUKD",
    )  # fmt: skip
    # 10 shares at 850 pence are 85 pounds.
    row = PortfolioShown(
        account="DU1", contract=shown, quantity=Decimal(10), price=Decimal(price), value=Decimal(85)
    )
    assert mark_of(row, pence_line()) == Decimal(expected)
