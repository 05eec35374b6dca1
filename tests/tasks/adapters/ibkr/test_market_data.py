"""Rates, loans, dividends and margins as the broker tells them; what it does not tell is absent and never made up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import pytest

from engine.errors import BrokerUnavailable, MissingFxRate, NonFiniteValue
from engine.model.market import BorrowInfo, DividendInfo
from engine.model.orders import ChildOrder, OrderType, Side
from tasks.adapters.ibkr.errors import RequestRefused
from tasks.adapters.ibkr.margin import MarginChange
from tasks.adapters.ibkr.rates import ACCOUNT_SOURCE, SPOT_SOURCE
from tasks.adapters.ibkr.units import WireUnits
from tasks.adapters.simulated_gateway.messages import Request
from tests.tasks.adapters.gateways import ACCOUNT
from tests.tasks.adapters.ibkr.desks import FEE, NOON, MarketRig, market_rig
from tests.tasks.adapters.ibkr.market_gateway import fails, two_sided
from tests.tasks.adapters.ibkr.tiny_gateway import Reply

UNSET = "1.7976931348623157E308"


@pytest.fixture
def one() -> Iterator[MarketRig]:
    with market_rig() as made:
        yield made


def account_rates(**rates: str) -> dict[str, list[Reply]]:
    rows = [
        ("account_value", {"key": "ExchangeRate", "value": value, "currency": currency, "account": ACCOUNT})
        for currency, value in rates.items()
    ]
    return {"account_updates": rows}


# ------------------------------------------------------------ rates


def test_rate_is_the_middle_of_a_live_quote_in_the_direction_of_its_pair(one: MarketRig) -> None:
    one.gateway.told = {
        "EUR.USD": two_sided("1.10", "1.12"),
        "USD.CHF": two_sided("0.80", "0.82"),
        "GBP.USD": two_sided("1.25", "1.27"),
    }
    found = one.desk.fx(NOON, ["USD", "EUR", "CHF", "GBX"])
    assert {pair: (rate.rate, rate.source) for pair, rate in found.rates.items()} == {
        "EURUSD": (Decimal("1.11"), SPOT_SOURCE),
        "USDCHF": (Decimal("0.81"), SPOT_SOURCE),
        "GBPUSD": (Decimal("1.26"), SPOT_SOURCE),
    }
    assert found.to_base(Decimal(81), "CHF") == Decimal(81) * (1 / Decimal("0.81"))
    assert found.to_base(Decimal(100), "GBX") == Decimal("1.26")


def test_rate_without_a_quote_is_that_of_the_account_and_says_so(one: MarketRig) -> None:
    one.gateway.told = {"EUR.USD": [fails(354)], "GBP.USD": two_sided("1.25", "1.27")}
    one.gateway.rows = account_rates(USD="1.00", EUR="1.1085", GBP="9", BASE="1.00")
    found = one.desk.fx(NOON, ["EUR", "GBP"])
    assert (found.rates["EURUSD"].rate, found.rates["EURUSD"].source) == (Decimal("1.1085"), ACCOUNT_SOURCE)
    assert found.rates["GBPUSD"].rate == Decimal("1.26"), "a live quote is better than the account's rate"


def test_account_rates_are_in_its_own_base_currency(one: MarketRig) -> None:
    one.gateway.rows = account_rates(EUR="1.00", USD="0.80", GBP="1.20")
    assert (
        one.desk.fx(NOON, ["GBP"]).rates["GBPUSD"].rate == Decimal("1.20") / Decimal("0.80") == Decimal("1.5")
    )


@pytest.mark.parametrize(
    "rates", [{}, {"USD": "1.00"}, {"EUR": "1.1"}, {"USD": "1", "EUR": "0"}, {"USD": "1", "EUR": UNSET}]
)
def test_rate_that_nobody_tells_is_missing_and_never_one(one: MarketRig, rates: dict[str, str]) -> None:
    one.gateway.rows = account_rates(**rates)
    found = one.desk.fx(NOON, ["EUR"])
    assert found.rates == {}
    with pytest.raises(MissingFxRate):
        found.to_base(Decimal(1), "EUR")


def test_rates_are_not_from_after_the_time_that_they_are_of(one: MarketRig) -> None:
    one.gateway.told = {"EUR.USD": two_sided("1.10", "1.12")}
    one.clock.pass_by(2)
    found = one.desk.fx(NOON, ["EUR"])
    assert found.rates["EURUSD"].observed_at == NOON + timedelta(seconds=2) == found.as_of


# ------------------------------------------------------------ loans


def shortable(level: object = None, shares: object = None) -> list[Reply]:
    told: list[Reply] = []
    if level is not None:
        told.append(("generic", {"type": "46", "value": str(level)}))
    if shares is not None:
        told.append(("size", {"type": "89", "size": str(shares)}))
    return told


@pytest.mark.parametrize(
    ("told", "shares", "why"),
    [
        (shortable(3, 125_000), 125_000, "as many as are told"),
        (shortable(3, 0), 0, "none are left"),
        (shortable(3), 1_000, "the level says at least a thousand"),
        (shortable(2, 600), 600, "as many as can be located"),
        (shortable(2), 0, "how many can be located is not told"),
        (shortable(1, 125_000), 0, "none"),
        (shortable(None, 125_000), None, "a number without its level says nothing"),
        (shortable("nan", 125_000), None, "no number is no level"),
        ([fails(354)], None, "no permission"),
        ([], None, "no answer"),
    ],
)  # fmt: skip
def test_shares_to_borrow_are_what_is_told_and_no_more(
    one: MarketRig, told: list[Reply], shares: int | None, why: str
) -> None:
    one.gateway.told["DBK"] = told
    found = one.desk.borrow(["DBK"])
    expected = (
        {}
        if shares is None
        else {"DBK": BorrowInfo(instrument_id="DBK", available_shares=Decimal(shares), fee_bps_annual=FEE)}
    )
    assert found == expected, why
    assert [row.record["generic_ticks"] for row in one.gateway.named("market_data")] == ["236"]


def test_futures_and_currencies_are_asked_for_no_loan(one: MarketRig) -> None:
    assert one.desk.borrow(["ES", "EUR.USD"]) == {}
    assert one.gateway.named("market_data") == []


# ------------------------------------------------------------ dividends


def dividends(text: str) -> list[Reply]:
    return [("string", {"type": "59", "text": text})]


@pytest.mark.parametrize(
    ("text", "paid", "payments", "ex_date"),
    [
        ("0.83,0.92,20270215,0.23", "0.83", 4, date(2027, 2, 15)),
        ("1.00,1.00,20270215,1.00", "1", 1, date(2027, 2, 15)),
        ("0.83,0.92,20270215,0.26", "0.83", 0, date(2027, 2, 15)),
        ("0.83,,,", "0.83", 0, None),
    ],
)
def test_dividends_are_what_was_paid_and_the_next_date(
    one: MarketRig, text: str, paid: str, payments: int, ex_date: date | None
) -> None:
    one.gateway.told["DBK"] = dividends(text)
    assert one.desk.dividend_infos(["DBK"]) == {
        "DBK": DividendInfo(
            instrument_id="DBK", ex_date=ex_date, paid_annual=Decimal(paid), payments_annual=payments
        )
    }


@pytest.mark.parametrize("text", ["", ",,,", "0,0,,", "nan,0.92,20270215,0.23", "0.83;0.92", "0.83"])
def test_share_of_which_no_dividend_is_told_is_absent(one: MarketRig, text: str) -> None:
    one.gateway.told["DBK"] = dividends(text)
    assert one.desk.dividend_infos(["DBK"]) == {}


def test_dividend_of_a_line_in_pence_is_in_pounds_whichever_the_broker_tells() -> None:
    for units, text in ((WireUnits(), "0.40,,,"), (WireUnits(dividends_in_quote_units=True), "40,,,")):
        with market_rig(units) as one:
            one.gateway.told["BT.A"] = dividends(text)
            assert one.desk.dividend_infos(["BT.A"])["BT.A"].paid_annual == Decimal("0.40")


# ------------------------------------------------------------ margins


def child() -> ChildOrder:
    return ChildOrder(
        order_ref="ref 1", intent_id="intent 1", attempt=1, contract_id="CSPX", side=Side.BUY, quantity=Decimal(10),
        order_type=OrderType.LIMIT, limit_price=Decimal("700.10"), time_in_force="DAY", good_till=NOON + timedelta(minutes=20),
    )  # fmt: skip


def answered(one: MarketRig, *steps: dict[str, object]) -> None:
    """The gateway answers an order that only asks with these states, one after the other."""

    def on_order(request: Request) -> list[Reply]:
        shown = {
            "order_id": request.record["order_id"],
            "what_if": "1",
            "action": "BUY",
            "status": "PreSubmitted",
        }
        return [("open_order", {**shown, **step}) for step in steps]

    one.gateway.on_order = on_order


FIGURES = {
    "initial_change": "2100.50",
    "maintenance_change": "1750.25",
    "commission": "3.5",
    "commission_currency": "USD",
}


def test_margin_is_what_the_broker_says_of_an_order_that_it_does_not_place(one: MarketRig) -> None:
    answered(one, FIGURES)
    assert one.desk.margin(child()) == MarginChange(
        initial=Decimal("2100.5"),
        maintenance=Decimal("1750.25"),
        commission=Decimal("3.5"),
        commission_currency="USD",
    )
    [asked] = one.gateway.named("place_order")
    assert (asked.record["what_if"], asked.record["order_ref"]) == ("1", "")


def test_margin_that_comes_in_two_steps_is_the_second_one(one: MarketRig) -> None:
    answered(one, {**FIGURES, "initial_change": UNSET, "maintenance_change": UNSET}, FIGURES)
    assert one.desk.margin(child()).initial == Decimal("2100.5")


def test_upper_end_of_a_range_of_commissions_is_the_cost(one: MarketRig) -> None:
    answered(one, {**FIGURES, "commission": UNSET, "least_commission": "1", "most_commission": "4.25"})
    assert one.desk.margin(child()).commission == Decimal("4.25")


@pytest.mark.parametrize(
    "left_out",
    [
        {"maintenance_change": UNSET},
        {"maintenance_change": ""},
        {"commission": UNSET},
        {"commission_currency": ""},
    ],
)
def test_figure_that_is_not_set_is_refused_by_name(one: MarketRig, left_out: dict[str, object]) -> None:
    answered(one, {**FIGURES, **left_out})
    with pytest.raises(NonFiniteValue, match="ref 1: expected margins and a commission"):
        one.desk.margin(child())


def test_margins_that_are_never_set_are_no_answer(one: MarketRig) -> None:
    answered(one, {**FIGURES, "initial_change": UNSET})
    with pytest.raises(BrokerUnavailable, match="no answer"):
        one.desk.margin(child())


@pytest.mark.parametrize("code", [201, 110])
def test_order_that_would_be_rejected_is_refused_with_the_reason(one: MarketRig, code: int) -> None:
    one.gateway.on_order = lambda request: [
        ("error", {"request_id": request.record["order_id"], "code": str(code), "text": "Order rejected"})
    ]
    with pytest.raises(RequestRefused, match=f"{code} Order rejected"):
        one.desk.margin(child())


def test_remark_without_margins_is_no_answer_and_the_next_question_is_answered(one: MarketRig) -> None:
    one.gateway.on_order = lambda request: [
        (
            "error",
            {"request_id": request.record["order_id"], "code": "399", "text": "will not be placed until"},
        )
    ]
    with pytest.raises(BrokerUnavailable, match="no answer"):
        one.desk.margin(child())
    answered(one, FIGURES)
    assert one.desk.margin(child()).initial == Decimal("2100.5")
