from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from engine.errors import DataError
from engine.model.universe import Universe
from engine.simulation.factors import CALM, CRISIS, STRESSED, draw_factors
from engine.simulation.market import generate_panel
from engine.simulation.panel import MarketPanel
from tests.engine.simulation import worlds

FIRST, LAST = date(2023, 5, 1), date(2026, 11, 20)


def closes(panel: MarketPanel, contract_id: str) -> np.ndarray:
    return panel.series[contract_id].close


def correlation(panel: MarketPanel, one: str, other: str) -> float:
    pair = np.column_stack([panel.returns[one], panel.returns[other]])
    pair = pair[np.isfinite(pair).all(axis=1)]
    return float(np.corrcoef(pair.T)[0, 1])


def test_same_seed_makes_the_same_bytes_and_another_seed_another_world():
    again = generate_panel(worlds.universe(), worlds.sessions(), FIRST, LAST, 7)
    assert again.digest == worlds.world().digest
    assert again.series["CSPX"].volume.tobytes() == worlds.world().series["CSPX"].volume.tobytes()
    assert worlds.world(8).digest != worlds.world().digest


def test_a_later_last_day_changes_no_earlier_row():
    whole, early = worlds.world(), worlds.world(7, FIRST, date(2026, 6, 30))
    rows = len(early.dates)
    for contract_id, series in early.series.items():
        later = whole.series[contract_id]
        for name in ("open", "high", "low", "close", "volume"):
            np.testing.assert_array_equal(getattr(series, name), getattr(later, name)[:rows], contract_id)
    for instrument_id, returns in early.returns.items():
        np.testing.assert_array_equal(returns, whole.returns[instrument_id][:rows], instrument_id)
    for pair, rates in early.fx.items():
        np.testing.assert_array_equal(rates, whole.fx[pair][:rows])
    np.testing.assert_array_equal(early.vix, whole.vix[:rows])
    assert set(early.dividends) <= set(whole.dividends)
    assert early.fundamentals == tuple(r for r in whole.fundamentals if r.filed_on <= early.dates[-1])


def test_a_later_first_day_changes_no_later_row():
    whole, late = worlds.world(), worlds.world(7, date(2025, 1, 6), LAST)
    start = whole.dates.index(late.dates[0])
    for contract_id, series in late.series.items():
        np.testing.assert_array_equal(series.close, whole.series[contract_id].close[start:], contract_id)
    np.testing.assert_array_equal(late.v2x, whole.v2x[start:])


def test_every_instrument_has_three_years_of_history():
    panel = worlds.world()
    for instrument in worlds.universe():
        known = np.isfinite(panel.returns[instrument.instrument_id]).sum()
        assert known == 0 if instrument.is_option else known > 3 * 250, instrument.instrument_id


@pytest.mark.parametrize(
    ("contract_id", "low", "high"),
    [("CSPX", 400, 1200), ("CS51", 100, 320), ("IUKD", 500, 1600), ("USD.CHF", 0.6, 1.1), ("AAPL", 120, 600)],
)
def test_prices_stand_at_plausible_levels(contract_id, low, high):
    assert low < closes(worlds.world(), contract_id)[-1] < high


def test_every_price_lies_on_its_tick_grid_within_its_bar():
    panel = worlds.world()
    for contract_id in (
        "ES_20261218",
        "ZN_20261221",
        "CSPX",
        "FLOT",
        "USD.CHF",
        "6E_20261214",
        "VX_20261216",
    ):
        series = panel.series[contract_id]
        instrument = worlds.universe()[series.contract.instrument_id]
        known = np.flatnonzero(np.isfinite(series.close))
        for row in known[-100:]:
            tick = float(instrument.tick_at(worlds.Decimal(str(series.close[row]))))
            assert series.close[row] / tick == pytest.approx(round(series.close[row] / tick), abs=1e-6)
            assert series.low[row] <= min(series.open[row], series.close[row])
            assert series.high[row] >= max(series.open[row], series.close[row])


def test_closed_days_have_no_price_and_the_next_return_spans_them():
    panel = worlds.world()
    row = panel.dates.index(date(2025, 11, 27))  # Thanksgiving
    close = closes(panel, "AAPL")
    assert np.isnan(close[row])
    assert np.isnan(panel.returns["AAPL"][row])
    assert panel.returns["AAPL"][row + 1] == pytest.approx(close[row + 1] / close[row - 1] - 1)


def test_future_meets_its_spot_on_the_last_trade_date():
    panel = worlds.world()
    expired = [c for c in panel.chains["ES"] if c.last_trade_date is not None and c.last_trade_date <= LAST]
    assert len(expired) >= 13
    for contract in expired:
        row = panel.dates.index(contract.last_trade_date)
        assert closes(panel, contract.contract_id)[row] == pytest.approx(closes(panel, "SPX")[row], abs=0.25)


def test_volatility_future_meets_the_index_at_expiry_and_leans_to_its_mean_before():
    panel = worlds.world()
    row = panel.dates.index(date(2026, 10, 21))
    assert closes(panel, "VX_20261021")[row] == pytest.approx(panel.vix[row], abs=0.05)
    near, far = closes(panel, "VX_20261118")[row], closes(panel, "VX_20270317")[row]
    assert abs(far - 20.0) < abs(near - 20.0) < abs(panel.vix[row] - 20.0)


@pytest.mark.parametrize(
    ("full", "micro", "tick"),
    [
        ("ES", "MES", 0.0),
        ("NQ", "MNQ", 0.0),
        ("6E", "M6E", 0.0001),
        ("6S", "MSF", 0.0001),
        ("VX", "VXM", 0.05),
    ],
)
def test_micro_contract_costs_what_the_full_one_costs(full, micro, tick):
    panel = worlds.world()
    for contract in panel.chains[full]:
        other = contract.contract_id.replace(full, micro)
        difference = np.abs(closes(panel, contract.contract_id) - closes(panel, other))
        assert np.nanmax(difference) <= tick / 2 + 1e-9


def test_currency_future_is_spot_and_carry():
    panel = worlds.world()
    row = panel.dates.index(date(2026, 11, 2))
    # 42 days to 2026-12-14 at 1.8 % a year: the future is 0.207 % above spot
    ratio = closes(panel, "6E_20261214")[row] / panel.fx["EURUSD"][row]
    assert ratio == pytest.approx(1.00207, abs=6e-5)
    assert closes(panel, "EUR.USD")[row] == pytest.approx(panel.fx["EURUSD"][row], abs=3e-5)
    assert closes(panel, "USD.CHF")[row] == pytest.approx(1 / panel.fx["CHFUSD"][row], abs=3e-5)


def test_equities_move_together_and_against_volatility():
    panel = worlds.world()
    assert correlation(panel, "ES", "FESX") > 0.5
    assert correlation(panel, "ES", "CSPX") > 0.95
    assert correlation(panel, "FESX", "CS51") > 0.95
    assert correlation(panel, "ES", "VX") < -0.5
    assert correlation(panel, "FGBL", "FOAT") > 0.8
    assert correlation(panel, "IHYU", "ES") > 0.3


def test_rolling_makes_no_return():
    panel = worlds.world()
    expected = np.abs(panel.returns["ES"] - panel.returns["CSPX"])
    rolls = [panel.dates.index(date(2026, 9, 11)) + step for step in range(-2, 4)]
    assert np.nanmax(expected[rolls]) < 0.006  # the calendar spread alone is 0.7 %


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_regimes_appear_and_volatility_tells_them_apart(seed):
    factors = draw_factors(seed, LAST)
    means = [factors.vix[factors.regime == regime].mean() for regime in (CALM, STRESSED, CRISIS)]
    assert means[0] < means[1] < means[2]
    assert factors.vix.max() > 40
    shares = [float((factors.regime == regime).mean()) for regime in (CALM, STRESSED, CRISIS)]
    assert shares[0] > shares[1] > shares[2] > 0.01


def test_price_falls_by_the_dividend_and_the_total_return_does_not():
    panel = worlds.world()
    dividend = next(d for d in panel.dividends if d.instrument_id == "IUKD" and d.ex_date < LAST)
    row = panel.dates.index(dividend.ex_date)
    close = closes(panel, "IUKD")
    before = close[:row][np.isfinite(close[:row])][-1]
    # The dividend is in pounds, the price in pence.
    assert panel.returns["IUKD"][row] == pytest.approx(
        (close[row] + 100 * float(dividend.amount)) / before - 1
    )
    assert 0.015 < 100 * float(dividend.amount) / before < 0.04


def test_payers_pay_on_sessions_of_their_venue_as_often_as_they_should():
    panel = worlds.world()
    in_2025 = [d for d in panel.dividends if d.ex_date.year == 2025]
    for payer, times in (("MSFT", 4), ("BNP", 1), ("IUKD", 2), ("AMZN", 0), ("CSPX", 0)):
        dates = [d.ex_date for d in in_2025 if d.instrument_id == payer]
        assert len(dates) == times, payer
        venue = worlds.universe()[payer].venue
        assert all(worlds.sessions().is_session(venue, day) for day in dates)


def test_split_divides_the_price_and_not_the_return():
    panel = worlds.world()
    split = next(s for s in panel.splits if s.instrument_id == "NVDA")
    assert (split.new_shares, split.old_shares, split.ex_date) == (10, 1, date(2024, 6, 10))
    row = panel.dates.index(split.ex_date)
    close = closes(panel, "NVDA")
    assert 8.0 < close[row - 1] / close[row] < 12.0
    assert panel.returns["NVDA"][row] == pytest.approx(10 * close[row] / close[row - 1] - 1)


def test_borrow_is_refused_where_a_future_stands_in():
    panel = worlds.world()
    refused = {name for name, available in panel.borrow_available.items() if not available}
    assert refused == {"CS51", "IUKD"}


def test_accounts_let_the_weak_names_be_seen_after_their_filing():
    panel = worlds.world()
    latest = {record.instrument_id: record for record in panel.fundamentals}
    assert len(latest) == 22
    weak = {n for n, r in latest.items() if all(c is not None and c < 1 for c in r.interest_coverage)}
    assert {"RNO", "BAS", "TEF"} <= weak
    assert not weak & {"AAPL", "MSFT", "JNJ"}
    assert all(record.filed_on > record.period_end for record in panel.fundamentals)
    assert all(len(record.interest_coverage) == 3 for record in latest.values())


def test_market_value_does_not_jump_at_a_split():
    values = [r.market_cap_usd for r in worlds.world().fundamentals if r.instrument_id == "NVDA"]
    ratios = np.array(values[1:]) / np.array(values[:-1])
    assert 0.4 < ratios.min() < ratios.max() < 2.5


def test_unknown_instruments_and_impossible_dates_are_refused():
    stranger = Universe(instruments=(worlds.instrument("NOBODY"),))
    with pytest.raises(DataError, match="NOBODY"):
        generate_panel(stranger, worlds.sessions(), FIRST, LAST, 7)
    with pytest.raises(DataError, match="2015"):
        generate_panel(worlds.universe(), worlds.sessions(), date(2014, 1, 1), LAST, 7)
    with pytest.raises(DataError, match="session table"):
        generate_panel(worlds.universe(), worlds.sessions(), FIRST, date(2030, 1, 1), 7)
