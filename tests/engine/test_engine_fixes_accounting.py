"""The named tests of the fund's first repairs: rates, NAV against exposure, reconciliation, exposure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.accounting.book import fold
from engine.accounting.fx_rates import FXRates, FxState, fx_verdict, refresh_rates
from engine.accounting.nav import ValuationContext, compute_exposures, value_portfolio
from engine.accounting.reconciliation import PortfolioState, ReconciliationStatus, classify_difference
from engine.errors import MissingFxRate
from engine.model.market import BASE_CURRENCY, FxRate
from engine.model.portfolio import CashBasis, Portfolio, Position, Sleeve, Valuation
from tests.engine.accounting.builders import (
    BOOK,
    DAY,
    NOW,
    D,
    bought,
    capital,
    make_marks,
    make_rates,
)
from tests.engine.accounting.policies import FX, RECONCILIATION


def value(portfolio: Portfolio, basis: CashBasis = CashBasis.SETTLED, **prices: str) -> Valuation:
    context = ValuationContext(trade_date=DAY, as_of=NOW, basis=basis, fx_hedges=frozenset())
    return value_portfolio(portfolio, make_marks(**prices), make_rates(), BOOK, context)


class TestFXRates:
    def test_identity_rate(self) -> None:
        assert BASE_CURRENCY == "USD"
        assert FXRates(as_of=NOW, rates={}).get_rate("EUR", "EUR") == 1

    def test_direct_rate(self) -> None:
        assert make_rates().get_rate("EUR", "USD") == D("1.17")

    def test_inverse_rate(self) -> None:
        assert round(make_rates().get_rate("USD", "EUR"), 10) == D("0.8547008547")

    def test_cross_rate_via_usd(self) -> None:
        rates = make_rates()
        # 1.17 / 1.34
        assert round(rates.get_rate("EUR", "GBP"), 10) == D("0.8731343284")
        assert round(rates.get_rate("EUR", "GBP") * rates.get_rate("GBP", "EUR"), 20) == 1

    def test_to_base(self) -> None:
        assert make_rates().to_base(D(100), "EUR") == D(117)
        assert make_rates().to_base(D(100), "GBX") == D("1.34")

    def test_refresh_from_ib(self) -> None:
        spot = FxRate(pair="EURUSD", rate=D("1.18"), observed_at=NOW, source="IBKR")
        refreshed = refresh_rates(make_rates(NOW - timedelta(hours=9)), [spot], [], NOW)
        assert refreshed.get_rate("EUR", "USD") == D("1.18")
        assert refreshed.as_of == NOW

    def test_stale_detection(self) -> None:
        old = make_rates(NOW - timedelta(days=7))
        assert fx_verdict(old, None, FX, NOW, ["EUR"]).state is FxState.INVALID
        assert fx_verdict(make_rates(NOW), None, FX, NOW, ["EUR"]).state is FxState.VALID

    def test_missing_rate_raises(self) -> None:
        with pytest.raises(MissingFxRate, match="JPY"):
            make_rates().get_rate("JPY", "USD")


class TestNAVvsExposure:
    def test_futures_nav_is_pnl_only(self) -> None:
        valuation = value(fold([capital(), bought("ES_20251219", "2", "5000")], NOW), ES_20251219="5010")
        # 2 × 10 × 50
        assert valuation.nav == D(10_001_000)

    def test_stock_nav_is_market_value(self) -> None:
        valuation = value(fold([bought("CSPX", "932", "738.48")], NOW), CSPX="734.13")
        assert valuation.lines[0].value == D("684209.16")

    def test_exposure_is_full_notional(self) -> None:
        valuation = value(fold([bought("ES_20251219", "2", "5000")], NOW), ES_20251219="5010")
        assert valuation.lines[0].exposure == D(501_000)

    def test_futures_nav_basis_consistency(self) -> None:
        cash = {
            CashBasis.COST_LEDGER: 1_000_000,
            CashBasis.SETTLED: 1_005_000,
            CashBasis.BROKER_TOTAL: 1_003_000,
        }
        position = Position(
            contract_id="FESX_20251219",
            quantity=D(10),
            cost=D(505_000),
            average_price=D(5000),
            sleeves={Sleeve.CORE: D(10)},
        )
        values = {
            value(
                Portfolio(
                    as_of=NOW,
                    cash={"EUR": D(amount)},
                    positions={"FESX_20251219": position},
                    accruals={},
                    units=D(1),
                ),
                basis,
                FESX_20251219="5030",
            ).currency_values["EUR"]
            for basis, amount in cash.items()
        }
        assert values == {D(1_003_000)}


class TestBrokerReconciliation:
    def test_pass_within_threshold(self) -> None:
        status = classify_difference(D("1002500"), D(1_000_000), RECONCILIATION)
        assert status is ReconciliationStatus.PASS

    def test_halt_above_25bps(self) -> None:
        for nav in (D("1002500.01"), D("997499.99"), D(1_010_000)):
            assert classify_difference(nav, D(1_000_000), RECONCILIATION) is ReconciliationStatus.HALT

    def test_emergency_above_1pct(self) -> None:
        for nav in (D("1010000.01"), D("989999.99")):
            assert classify_difference(nav, D(1_000_000), RECONCILIATION) is ReconciliationStatus.EMERGENCY

    def test_can_trade_only_on_pass(self) -> None:
        assert not PortfolioState().can_trade()
        tradeable = [status for status in ReconciliationStatus if PortfolioState(status=status).can_trade()]
        assert tradeable == [ReconciliationStatus.PASS]

    def test_nan_nav_is_emergency(self) -> None:
        for liquidation in (D("NaN"), D("Infinity"), None, D(0), D(-1)):
            status = classify_difference(D(1_000_000), liquidation, RECONCILIATION)
            assert status is ReconciliationStatus.EMERGENCY
        assert classify_difference(D("NaN"), D(1), RECONCILIATION) is ReconciliationStatus.EMERGENCY


class TestExposureCalculation:
    def test_gross_and_net(self) -> None:
        portfolio = fold([bought("CSPX", "100", "700"), bought("AAPL", "-50", "200", "e2.01")], NOW)
        exposures = compute_exposures(value(portfolio, CSPX="700", AAPL="200"))
        assert (exposures.long, exposures.short) == (D(70_000), D(10_000))
        assert (exposures.gross, exposures.net) == (D(80_000), D(60_000))

    def test_multi_currency_exposure(self) -> None:
        portfolio = fold([bought("IUKD", "1000", "895"), bought("CS51", "-100", "50", "e2.01")], NOW)
        exposures = compute_exposures(value(portfolio, IUKD="895", CS51="50"))
        # 1,000 × 8.95 GBP × 1.34 and 100 × 50 EUR × 1.17
        assert (exposures.long, exposures.short) == (D("11993"), D(5850))
