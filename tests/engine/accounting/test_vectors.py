"""Numbers that the rulings give, from our own ledger to NAV, exposure and hedge; each test names its source."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.average_cost import average_price
from engine.accounting.book import fold
from engine.accounting.differences import KnownOrders, OurPrices, Sides, quantity_differences
from engine.accounting.ledger import LedgerEntry, commission, deposit, trade
from engine.accounting.nav import OptionRisk, ValuationContext, value_portfolio
from engine.accounting.performance import drawdown, period_return, unit_price, units_for_flow
from engine.accounting.reconciliation import ReconciliationStatus, classify_difference
from engine.errors import UnknownContract
from engine.hedging.fx import compute_fx_hedge_quantities, compute_net_fx_exposure
from engine.model.instruments import Contract, Instrument, InstrumentType, OptionRight
from engine.model.portfolio import BrokerPosition, CashBasis, Portfolio, Position, Sleeve, Valuation
from engine.model.universe import ContractBook, Universe
from tests.engine.accounting.builders import (
    BOOK,
    DAY,
    NOW,
    D,
    at,
    bought,
    capital,
    make_fill,
    make_instrument,
    make_marks,
    make_rates,
)
from tests.engine.accounting.policies import RECONCILIATION
from tests.engine.accounting.test_reconciliation import broker_of, report_on

RATES = make_rates()
CONTEXT = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset({"M6E"}))
MICRO_EUR = {"EUR": D(12_500)}


def valued(*entries: LedgerEntry, **prices: str) -> Valuation:
    return value_portfolio(fold(entries, at(9)), make_marks(**prices), RATES, BOOK, CONTEXT)


# ---------------------------------------------------------------- proceeds of a short sale


@pytest.mark.parametrize(
    ("price", "exposure", "micros"),
    [
        ("50", "0", 0),  # −28,000 × 50 + 1,400,000
        ("45", "140000", -11),  # −28,000 × 45 + 1,400,000; 140,000 / 12,500 = 11.2
    ],
)
def test_short_sale_keeps_its_proceeds_in_euro_and_needs_a_hedge_of_its_gain_only(
    price: str, exposure: str, micros: int
) -> None:
    valuation = valued(capital(), bought("CS51", "-28000", "50"), CS51=price)
    found = compute_net_fx_exposure(valuation, BOOK, RATES)
    assert found.get("EUR", D(0)) == D(exposure)
    assert compute_fx_hedge_quantities(found, MICRO_EUR).get("EUR", 0) == micros


def test_short_sale_whose_proceeds_were_converted_needs_the_whole_hedge() -> None:
    # The 1,400,000 EUR are sold at 1.17: only the short remains. 1,400,000 / 12,500 = 112 micros
    sold = bought("EUR.USD", "-1400000", "1.17", "e2.01")
    valuation = valued(capital(), bought("CS51", "-28000", "50"), sold, CS51="50")
    found = compute_net_fx_exposure(valuation, BOOK, RATES)
    assert found["EUR"] == D(-1_400_000)
    assert compute_fx_hedge_quantities(found, MICRO_EUR) == {"EUR": 112}


def test_hedge_future_changes_neither_the_exposure_that_it_hedges_nor_gross() -> None:
    # 112 × 12,500 × 1.17 = 1,638,000 USD of notional, reported apart
    valuation = valued(capital(), bought("M6E_20251215", "112", "1.17"), M6E_20251215="1.17")
    assert compute_net_fx_exposure(valuation, BOOK, RATES).get("EUR", D(0)) == 0
    assert (valuation.fx_hedge_gross, valuation.gross_exposure) == (D(1_638_000), D(0))
    assert valuation.nav == D(10_000_000)


# ---------------------------------------------------------------- what is exposed to a currency


def exposed(valuation: Valuation, contracts: ContractBook = BOOK) -> dict[str, Decimal]:
    found = compute_net_fx_exposure(valuation, contracts, RATES)
    return {currency: amount for currency, amount in found.items() if amount != 0}


def with_line(line: Instrument, *contracts: Contract) -> ContractBook:
    instruments = tuple(sorted((*BOOK.universe, line), key=lambda known: known.instrument_id))
    known = {**BOOK.contracts, **{contract.contract_id: contract for contract in contracts}}
    return ContractBook(universe=Universe(instruments=instruments), contracts=known)


def test_future_in_euro_is_exposed_by_its_unsettled_gain_and_never_by_its_notional() -> None:
    # 10 × (5,030 − 5,000) × 10 EUR; its notional is 503,000
    assert exposed(valued(capital(), bought("FESX_20251219", "10", "5000"), FESX_20251219="5030")) == {
        "EUR": D(3000)
    }


def test_option_is_exposed_by_its_premium_in_the_currency_of_its_quote() -> None:
    line = make_instrument("OESX", InstrumentType.OPT, "EUR", multiplier="10", underlying="FESX")
    put = Contract(
        contract_id="OESX_20251219_P_4800",
        instrument_id="OESX",
        last_trade_date=date(2025, 12, 19),
        strike=D(4800),
        right=OptionRight.PUT,
    )
    contracts = with_line(line, put)
    portfolio = Portfolio(
        as_of=NOW,
        cash={},
        positions={
            put.contract_id: Position(
                contract_id=put.contract_id,
                quantity=D(100),
                cost=D(12_500),
                average_price=D("12.5"),
                sleeves={Sleeve.CRISIS_ALPHA: D(100)},
            )
        },
        accruals={},
        units=D(1),
    )
    valuation = value_portfolio(
        portfolio,
        make_marks(OESX_20251219_P_4800="15"),
        RATES,
        contracts,
        CONTEXT,
        {put.contract_id: OptionRisk(delta=-0.25, underlying_price=D(5000))},
    )
    # 100 × 15 × 10 EUR of premium; neither 100 × 4,800 × 10 of strike nor the delta's 1,250,000
    assert exposed(valuation, contracts) == {"EUR": D(15_000)}


def test_pence_line_of_a_euro_fund_is_euro_risk() -> None:
    line = make_instrument(
        "XEUR", InstrumentType.ETF, "GBP", magnifier="100", exposure_currency="EUR", venue="LSE"
    )
    contracts = with_line(line)
    # Bought with borrowed pounds: 1,000 × 895 pence = 8,950 GBP = 8,950 × 1.34 / 1.17 EUR = 10,250.427350
    fill = make_fill("XEUR", "1000", "895")
    entry = trade(fill, line, {"core_index_rv": D(1000)}, NOW)
    valuation = value_portfolio(fold([entry], NOW), make_marks(XEUR="895"), RATES, contracts, CONTEXT)
    assert exposed(valuation, contracts) == {"EUR": D("10250.427350"), "GBP": D(-8950)}


def test_dollar_line_in_london_is_exposed_to_nothing() -> None:
    assert exposed(valued(capital(), bought("CSPX", "932", "738.48"), CSPX="734.13")) == {}


def test_virtual_currency_position_of_the_broker_is_cash_and_no_break() -> None:
    book = fold([capital(), bought("EUR.USD", "20000", "1.17")], NOW)
    virtual = BrokerPosition(
        contract_id="EUR.USD", quantity=D(20_000), average_cost=D("1.17"), mark=D("1.17"), in_session=False
    )
    report = report_on(replace(broker_of(book), positions={"EUR.USD": virtual}), book)
    assert (report.status, report.breaks) == (ReconciliationStatus.PASS, ())


# ---------------------------------------------------------------- units


def test_currency_future_earns_dollars_per_foreign_unit() -> None:
    # 2 × 12,500 EUR × (1.1836 − 1.1736)
    valuation = valued(capital(), bought("M6E_20251215", "2", "1.1736"), M6E_20251215="1.1836")
    assert valuation.nav - D(10_000_000) == D(250)
    assert (valuation.lines[0].currency, valuation.lines[0].exposure) == ("USD", D("29590.00"))


@pytest.mark.parametrize(
    ("currency", "multiplier", "magnifier", "price", "worth"),
    [
        ("GBP", "1", "100", "52210", "522.10"),  # a fund quoted in pence
        ("GBP", "1", "100", "90", "0.90"),  # a share of 90 pence: below 100 and still in pence
        ("GBP", "1", "1", "120", "120"),  # a line of 120 pounds: above 100 and still in pounds
        ("USD", "1", "1", "734.13", "734.13"),  # a dollar line in London
        ("GBP", "1000", "100", "9000", "90000"),  # FTSE future: 10 pounds a point
    ],
)
def test_unit_comes_from_the_contract_and_never_from_the_size_of_the_price(
    currency: str, multiplier: str, magnifier: str, price: str, worth: str
) -> None:
    line = make_instrument("LINE", currency=currency, multiplier=multiplier, magnifier=magnifier)
    assert line.notional(D(1), D(price)) == D(worth)
    assert line.effective_multiplier == D(multiplier) / D(magnifier)


# ---------------------------------------------------------------- R-08, NAV-06, NAV-08: a broker's average cost


def test_average_cost_of_a_future_is_its_price_times_multiplier_with_commission() -> None:
    gold = make_instrument("GC", InstrumentType.FUT, multiplier="100")
    found = average_price(D("147732.37"), gold, D(1480))
    assert found == D("1477.3237")
    # Against our own fill of 1,477.3: 0.0237 / 1,477.3 = 0.16 bps, of the 5 allowed
    assert abs(found / D("1477.3") - 1) < D("0.0005")


def test_average_cost_that_was_multiplied_is_not_multiplied_again() -> None:
    euro = BOOK.instrument("M6E_20251215")
    assert average_price(D("14647.5"), euro, D("1.1736")) == D("1.1718")
    # −4 × (1.1736 − 1.1718) × 12,500, and not −4 × (1.1736 − 14,647.5) × 12,500
    line = valued(bought("M6E_20251215", "-4", "1.1718"), M6E_20251215="1.1736").lines[0]
    assert line.value == D("-90.00")


@pytest.mark.parametrize(
    ("raw", "mark", "price"),
    [
        ("8.95", "900", "895"),  # told in pounds
        ("895", "900", "895"),  # told in pence
        ("89500", "900", None),  # multiplied once more: not understood
        ("8.95", None, None),  # nothing to judge by
        ("8.95", "0", None),
    ],
)
def test_average_cost_of_a_pence_line_is_read_by_its_mark(
    raw: str, mark: str | None, price: str | None
) -> None:
    found = average_price(D(raw), BOOK.instrument("IUKD"), None if mark is None else D(mark))
    assert found == (None if price is None else D(price))


@pytest.mark.parametrize(
    ("name", "raw", "mark", "price"),
    [
        ("ES_20251219", "250002.05", "5010", "5000.041"),  # (5,000 × 50 + 2.05) / 50
        ("IUKD", "8.95", "900", "895"),
        ("IUKD", "89500", "900", None),
    ],
)
def test_foreign_position_is_told_at_the_price_behind_its_average_cost(
    name: str, raw: str, mark: str, price: str | None
) -> None:
    book = fold([capital()], NOW)
    held = BrokerPosition(
        contract_id=name, quantity=D(2), average_cost=D(raw), mark=D(mark), in_session=False
    )
    broker = replace(broker_of(book), positions={name: held})
    prices = OurPrices(marks=make_marks(**{name: mark}), fx=RATES, live={})
    sides = Sides(portfolio=book, broker=broker, prices=prices, contracts=BOOK)
    (found,) = quantity_differences(sides, KnownOrders(order_refs=frozenset(), booked=()))
    assert found.foreign_price == (None if price is None else D(price))


def test_pence_line_of_the_first_books_is_worth_a_hundredth() -> None:
    # 100 × 895 pence = 895 GBP × 1.34, and not 89,500 GBP
    assert valued(bought("IUKD", "100", "895"), IUKD="895").lines[0].value_usd == D("1199.30")


# ---------------------------------------------------------------- NAV-02


@pytest.mark.parametrize(
    ("security", "stock", "kind"),
    [
        ("STK", "COMMON", InstrumentType.STK),
        ("STK", "ADR", InstrumentType.STK),
        ("STK", "ETF", InstrumentType.ETF),
        ("FUT", "", InstrumentType.FUT),
        ("OPT", "", InstrumentType.OPT),
        ("FOP", "", InstrumentType.FOP),
        ("CASH", "", InstrumentType.CASH),
        ("BOND", "", InstrumentType.BOND),
        ("BAG", "", InstrumentType.BAG),
        ("IND", "", InstrumentType.IND),
    ],
)
def test_security_type_of_the_broker_and_back(security: str, stock: str, kind: InstrumentType) -> None:
    assert InstrumentType.of_broker(security, stock) is kind
    assert kind.broker_name == security


@pytest.mark.parametrize("security", ["", "ETF", "FX_SPOT", "WAR", "stk"])
def test_security_type_that_the_broker_does_not_have_is_refused(security: str) -> None:
    with pytest.raises(UnknownContract, match="security type"):
        InstrumentType.of_broker(security)


# ---------------------------------------------------------------- NAV-05, NAV-06, R-13: cash and accruals


def test_purchase_is_debited_and_its_result_is_no_phantom() -> None:
    fill = make_fill("CSPX", "932", "738.48", commission="3.45")
    entries = (capital(), bought("CSPX", "932", "738.48"), commission(fill, NOW))
    # 10,000,000 − 932 × 738.48 − 3.45
    assert fold(entries, NOW).cash == {"USD": D("9311733.19")}
    assert valued(*entries, CSPX="738.48").nav == D("9999996.55")
    # 932 × (734.13 − 738.48) and the commission
    assert valued(*entries, CSPX="734.13").nav == D("9999996.55") - D("4054.20")


def test_month_of_interest_left_out_would_halt_the_fund() -> None:
    interest = D(10_000_000) * D("0.045") * 30 / 360
    assert interest == D(37_500)
    without = valued(capital())
    accrued = replace(fold([capital()], NOW), accruals={"USD": interest})
    broker = value_portfolio(accrued, {}, RATES, BOOK, CONTEXT).nav
    # 37.5 bps, of the 25 allowed
    assert classify_difference(without.nav, broker, RECONCILIATION) is ReconciliationStatus.HALT
    assert classify_difference(broker, broker, RECONCILIATION) is ReconciliationStatus.PASS


# ---------------------------------------------------------------- NAV-09, R-15: units


def flow(amount: str, before: Valuation, reference: str) -> LedgerEntry:
    return deposit(D(amount), units_for_flow(D(amount), unit_price(before)), at(2), reference)


@pytest.mark.parametrize("amount", ["2500000", "-2500000"])
def test_subscription_and_redemption_change_units_and_neither_return_nor_drawdown(amount: str) -> None:
    entries = [capital(), bought("CSPX", "5000", "700")]
    start = valued(*entries, CSPX="700")
    fallen = valued(*entries, CSPX="690")
    entries.append(flow(amount, fallen, "flow"))
    after = valued(*entries, CSPX="690")
    later = valued(*entries, CSPX="695")
    prices = [unit_price(row) for row in (start, fallen, after, later)]
    assert after.nav - fallen.nav == D(amount)
    # −5,000 × 10 / 10,000,000, and nothing when the money moved (units are rounded to six decimals)
    assert period_return(prices[0], prices[1]) == D("-0.005")
    assert abs(period_return(prices[1], prices[2])) < D("1e-10")
    assert drawdown(prices[:3]).maximum == pytest.approx(D("-0.005"), abs=D("1e-10"))
    # 5,000 × 5 on the NAV that was left
    assert abs(period_return(prices[2], prices[3]) - D(25_000) / after.nav) < D("1e-10")


def test_result_of_the_recorded_day_net_of_its_flow() -> None:
    # 45,230.12 / (12,587,099.48 − 45,230.12) = 0.3606 %, and 0.417 % is no way to count it
    before, result = D("12587099.48") - D("45230.12"), D("45230.12")
    found = round(result / before * 100, 4)
    assert found == D("0.3606")
    opening = valued(capital(str(before)))
    earned = commission(make_fill("AAPL", "1", "200", commission=str(-result)), NOW)
    closing = valued(capital(str(before)), earned)
    assert closing.nav == Decimal("12587099.48")
    assert round(period_return(unit_price(opening), unit_price(closing)) * 100, 4) == found
