from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.book import fold
from engine.accounting.ledger import LedgerEntry, commission
from engine.accounting.nav import (
    OptionRisk,
    ValuationContext,
    compute_exposures,
    compute_nav,
    option_risks,
    position_exposure,
    position_nav_value,
    value_portfolio,
)
from engine.errors import MissingFxRate, MissingMark
from engine.model.encoding import decode, encode
from engine.model.market import FxRates, OptionQuote
from engine.model.portfolio import CashBasis, Portfolio, Position, Sleeve, Valuation
from tests.engine.accounting.builders import (
    BOOK,
    CONTRACTS,
    DAY,
    NOW,
    D,
    bought,
    capital,
    make_fill,
    make_marks,
    make_rates,
)

CONTEXT = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset({"M6E"}))
RATES = make_rates()


def valued(*entries: LedgerEntry, **prices: str) -> Valuation:
    return value_portfolio(fold(entries, NOW), make_marks(**prices), RATES, BOOK, CONTEXT)


def make_position(contract_id: str, quantity: str, cost: str = "0", average: str = "0") -> Position:
    return Position(
        contract_id=contract_id,
        quantity=D(quantity),
        cost=D(cost),
        average_price=D(average),
        sleeves={Sleeve.CORE: D(quantity)},
    )


def test_purchase_changes_nav_by_its_commission_only() -> None:
    fill = make_fill("CSPX", "932", "738.48", commission="3.45")
    after = valued(capital(), bought("CSPX", "932", "738.48"), commission(fill, NOW), CSPX="738.48")
    assert after.nav == D("9999996.55")


def test_share_line_has_market_value_and_unrealised_result() -> None:
    line = valued(bought("CSPX", "932", "738.48"), CSPX="734.13").lines[0]
    assert line.value == D("684209.16")
    # 932 × (734.13 − 738.48)
    assert line.value - fold([bought("CSPX", "932", "738.48")], NOW).positions["CSPX"].cost == D("-4054.20")


def test_fx_future_has_unsettled_gain_and_full_notional() -> None:
    line = valued(bought("M6E_20251215", "-4", "1.1718"), M6E_20251215="1.1736").lines[0]
    assert line.value == D("-90.00")
    assert line.exposure == D("-58680")


@pytest.mark.parametrize(
    ("basis", "cash", "cost", "average"),
    [
        (CashBasis.COST_LEDGER, "1000000", "505000", "5000"),
        (CashBasis.SETTLED, "1005000", "505000", "5000"),
        (CashBasis.BROKER_TOTAL, "1003000", "505000", "5000"),
    ],
)
def test_three_bases_of_cash_give_one_nav(basis: CashBasis, cash: str, cost: str, average: str) -> None:
    # 10 FESX bought at 5,000, settled at 5,050, now 5,030: 1,000,000 + 10 × 30 × 10 = 1,003,000 EUR
    portfolio = Portfolio(
        as_of=NOW,
        cash={"EUR": D(cash)},
        positions={"FESX_20251219": make_position("FESX_20251219", "10", cost, average)},
        accruals={},
        units=D(1),
    )
    marks = make_marks(FESX_20251219="5030")
    valuation = value_portfolio(portfolio, marks, RATES, BOOK, replace(CONTEXT, basis=basis))
    assert valuation.currency_values["EUR"] == D(1_003_000)
    assert compute_nav(portfolio, marks, RATES, BOOK, replace(CONTEXT, basis=basis)) == D(1_003_000) * D(
        "1.17"
    )


def test_pence_line_is_valued_in_pounds() -> None:
    line = valued(bought("IUKD", "1000", "895"), IUKD="900").lines[0]
    assert (line.value, line.value_usd) == (D(9000), D(12060))


def test_accruals_count_in_nav() -> None:
    # 30 days of 4.5 % on 10,000,000 at 360 days
    portfolio = replace(fold([capital()], NOW), accruals={"USD": D(37_500)})
    assert value_portfolio(portfolio, {}, RATES, BOOK, CONTEXT).nav == D(10_037_500)


def test_exposure_splits_long_short_and_fx_hedge() -> None:
    valuation = valued(
        bought("CSPX", "932", "734.13"),
        bought("CS51", "-100", "50", "e2.01"),
        bought("M6E_20251215", "-4", "1.1736", "e3.01"),
        CSPX="734.13",
        CS51="50",
        M6E_20251215="1.1736",
    )
    exposures = compute_exposures(valuation)
    assert (exposures.long, exposures.short) == (D("684209.16"), D(5850))
    assert (exposures.gross, exposures.net) == (D("690059.16"), D("678359.16"))
    assert valuation.fx_hedge_gross == D(58_680)


def test_gross_and_net_of_the_recorded_state_are_a_quarter_of_nav() -> None:
    valuation = replace(
        valued(capital("12587099.48")), long_exposure=D("2974220.47"), short_exposure=D("223673.17")
    )
    assert valuation.gross_exposure == D("3197893.64")
    assert valuation.net_exposure == D("2750547.30")
    assert round(valuation.gross_exposure / valuation.nav, 4) == D("0.2541")
    assert round(valuation.net_exposure / valuation.nav, 4) == D("0.2185")


def test_option_is_worth_its_premium_and_exposed_by_its_delta() -> None:
    name = "SPX_20251219_P_4800"
    portfolio = fold([bought(name, "1", "20")], NOW)
    valuation = value_portfolio(
        portfolio,
        make_marks(SPX_20251219_P_4800="25"),
        RATES,
        BOOK,
        CONTEXT,
        {name: OptionRisk(delta=0.4, underlying_price=D(5000))},
    )
    assert valuation.lines[0].value == D(2500)
    assert valuation.lines[0].exposure == D(200_000)


def test_option_without_delta_is_not_valued() -> None:
    with pytest.raises(MissingMark, match="delta"):
        valued(bought("SPX_20251219_P_4800", "1", "20"), SPX_20251219_P_4800="25")


def test_option_risks_come_from_the_chain() -> None:
    name = "SPX_20251219_P_4800"
    quote = OptionQuote(
        contract=CONTRACTS[name],
        bid=D(1),
        ask=D(2),
        implied_volatility=0.2,
        delta=-0.1,
        open_interest=5,
        underlying_price=D(5000),
    )
    assert option_risks({"SPX": (quote,)}) == {name: OptionRisk(delta=-0.1, underlying_price=D(5000))}


def test_held_line_without_mark_is_not_valued() -> None:
    with pytest.raises(MissingMark, match="CSPX"):
        valued(bought("CSPX", "1", "700"))


def test_closed_future_awaiting_settlement_needs_no_mark() -> None:
    valuation = valued(bought("ES_20251219", "1", "5000"), bought("ES_20251219", "-1", "5010", "e2.01"))
    assert valuation.nav == D(500)


def test_balance_without_rate_is_not_valued() -> None:
    portfolio = fold([capital("100", "EUR")], NOW)
    with pytest.raises(MissingFxRate):
        value_portfolio(portfolio, {}, FxRates(as_of=NOW, rates={}), BOOK, CONTEXT)


def test_old_mark_is_flagged_with_its_gross() -> None:
    portfolio = fold([capital(), bought("CSPX", "-10", "100")], NOW)
    valuation = value_portfolio(portfolio, make_marks(age=2, CSPX="100"), RATES, BOOK, CONTEXT)
    assert valuation.flagged_gross == D(1000)
    assert valuation.lines[0].stale_sessions == 2


def test_valuation_survives_its_encoding() -> None:
    valuation = valued(capital(), bought("CS51", "3", "50"), CS51="51.5")
    assert encode(decode(Valuation, encode(valuation))) == encode(valuation)


def test_one_line_functions_agree_with_the_valuation() -> None:
    valuation = valued(bought("FESX_20251219", "2", "5000"), FESX_20251219="5040")
    position = fold([bought("FESX_20251219", "2", "5000")], NOW).positions["FESX_20251219"]
    instrument = BOOK.instrument("FESX_20251219")
    value = position_nav_value(position, instrument, D(5040), RATES, CashBasis.SETTLED)
    assert value == valuation.lines[0].value_usd == D(936)
    assert position_exposure(position, instrument, D(5040), RATES) == valuation.lines[0].exposure_usd


@given(
    quantity=st.integers(-1000, 1000).filter(bool),
    price=st.decimals(1, 9999, places=2),
    contract_id=st.sampled_from(["CSPX", "CS51", "IUKD", "ES_20251219", "FESX_20251219"]),
)
def test_trade_at_the_mark_never_changes_nav(quantity: int, price: Decimal, contract_id: str) -> None:
    entry = bought(contract_id, D(quantity), price)
    marks = make_marks(**{contract_id: str(price)})
    nav = value_portfolio(fold([capital(), entry], NOW), marks, RATES, BOOK, CONTEXT).nav
    assert abs(nav - D(10_000_000)) <= D("0.00001")
