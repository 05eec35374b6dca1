from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from engine.errors import UnknownContract
from engine.simulation.facts import PanelFacts
from engine.simulation.panel import MarketPanel
from tests.engine.simulation import worlds

DAY = date(2026, 11, 4)
LINES = (
    "ES_20261218", "MES_20261218", "6E_20261214", "VX_20261118", "ZN_20261221", "FGBL_20261208", "CSPX", "IUKD", "FLOT",
    "AAPL", "BNP", "EUR.USD", "USD.CHF", "SPX_OPT_20261218_P_6000", "VIX_OPT_20261216_C_30",
)  # fmt: skip


def facts(panel: MarketPanel | None = None, seed: int = 7) -> PanelFacts:
    return PanelFacts(
        panel=panel or worlds.world(), universe=worlds.universe(), sessions=worlds.sessions(), seed=seed
    )


def at(hour: int, minute: int = 0, second: int = 0, day: date = DAY) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)


def close_only(panel: MarketPanel, contract_id: str) -> MarketPanel:
    """A panel like a store of real closes: no open, high, low or volume."""
    series = panel.series[contract_id]
    nothing = np.full(len(panel.dates), np.nan)
    bare = replace(series, open=nothing, high=nothing, low=nothing, volume=nothing)
    return replace(panel, series={**panel.series, contract_id: bare})


@pytest.mark.parametrize("contract_id", LINES)
def test_quotes_never_cross_and_stand_on_the_tick_grid(contract_id):
    market = facts()
    instrument = worlds.universe()[market.contract(contract_id).instrument_id]
    seen = 0
    for minute in range(0, 24 * 60, 7):
        quote = market.quote(contract_id, at(0) + timedelta(minutes=minute))
        if quote is None:
            continue
        seen += 1
        assert quote.bid is not None
        assert quote.ask is not None
        assert 0 < quote.bid < quote.ask
        assert instrument.floor_to_tick(quote.bid) == quote.bid
        assert instrument.floor_to_tick(quote.ask) == quote.ask
        assert quote.bid_size % instrument.lot == 0 < quote.bid_size
        assert quote.ask_size % instrument.lot == 0 < quote.ask_size
    assert seen > 40


@pytest.mark.parametrize("contract_id", ["ES_20261218", "CSPX", "AAPL", "EUR.USD", "VX_20261118"])
def test_the_day_ends_at_its_official_close(contract_id):
    market = facts()
    instrument = worlds.universe()[market.contract(contract_id).instrument_id]
    session = worlds.sessions().session(instrument.venue, DAY)
    last = market.quote(contract_id, session.close - timedelta(milliseconds=1))
    close = market.official_close(contract_id, DAY)
    # 5 seconds before the close the path is at most a twelfth of a minute's move away.
    assert abs(last.mid - close) <= last.spread / 2 + close * Decimal("0.0003")


def test_the_day_touches_its_recorded_high_and_low_and_leaves_them_never():
    market, series = facts(), worlds.world().series["AAPL"]
    row = worlds.world().dates.index(DAY)
    mids = [market.quote("AAPL", at(14, 30) + timedelta(minutes=m)).mid for m in range(390)]
    assert float(max(mids)) == pytest.approx(series.high[row], rel=4e-4)
    assert float(min(mids)) == pytest.approx(series.low[row], rel=4e-4)
    assert float(mids[0]) == pytest.approx(series.open[row], rel=4e-4)


def test_quotes_come_from_closes_alone_where_nothing_else_is_recorded():
    panel = close_only(worlds.world(), "ES_20261218")
    market, close = facts(panel), panel.series["ES_20261218"].close
    row = panel.dates.index(DAY)
    first = market.quote("ES_20261218", at(23, 0, day=date(2026, 11, 3)))
    assert float(first.mid) == pytest.approx(close[row - 1], rel=2e-4)
    assert float(market.quote("ES_20261218", at(21, 59, 59)).mid) == pytest.approx(close[row], rel=3e-4)
    morning = market.quote("ES_20261218", at(6))
    assert morning.mid != first.mid


def test_futures_and_currencies_move_before_six():
    market = facts()
    for contract_id in ("ES_20261218", "EUR.USD", "6E_20261214"):
        quote = market.quote(contract_id, at(6))
        assert quote.mid != quote.close, contract_id


@pytest.mark.parametrize(
    ("contract_id", "moment", "reason"),
    [
        ("CSPX", at(6), "London is closed at six"),
        ("AAPL", at(21), "the close itself is no longer open"),
        ("AAPL", at(15, day=date(2025, 11, 27)), "Thanksgiving"),
        ("ES_20260918", at(15), "expired in September"),
        ("ES_20270618", at(15, day=date(2026, 8, 3)), "listed from September on"),
        ("SPX_OPT_20261016_P_6000", at(15), "expired in October"),
        ("EUR.USD", at(12, day=date(2026, 11, 7)), "Saturday"),
    ],
)
def test_there_is_no_quote_where_nothing_trades(contract_id, moment, reason):
    assert facts().quote(contract_id, moment) is None, reason


def test_a_quote_depends_on_the_question_only():
    times = [at(15, minute) for minute in range(0, 50, 10)]
    one, other = facts(), facts()
    forward = [one.quote("CSPX", moment) for moment in times]
    backward = [other.quote("CSPX", moment) for moment in reversed(times)]
    assert forward == backward[::-1]
    assert facts(seed=8).quote("CSPX", times[0]) != forward[0]


def test_later_rows_of_the_panel_do_not_change_a_day():
    early = worlds.world(7, date(2023, 5, 1), DAY)
    for contract_id in LINES:
        assert facts(early).quote(contract_id, at(15, 30)) == facts().quote(contract_id, at(15, 30))


def test_big_and_micro_contract_quote_the_same_price():
    market = facts()
    for hour in range(1, 21):
        big, micro = market.quote("ES_20261218", at(hour)), market.quote("MES_20261218", at(hour))
        assert (big.bid, big.ask) == (micro.bid, micro.ask)


def test_rates_lie_inside_the_spot_quote():
    market = facts()
    quote, rates = market.quote("EUR.USD", at(10)), market.fx(at(10))
    assert abs(rates.get_rate("EUR", "USD") - quote.mid) <= quote.spread
    franc = market.quote("USD.CHF", at(10))
    assert abs(rates.get_rate("USD", "CHF") - franc.mid) <= franc.spread
    assert rates.rates["EURUSD"].observed_at == at(10)


def test_weekend_rates_are_those_of_friday():
    rate = facts().fx(at(12, day=date(2026, 11, 7))).rates["EURUSD"]
    assert rate.observed_at == at(22, day=date(2026, 11, 6))
    assert float(rate.rate) == worlds.world().fx["EURUSD"][worlds.world().dates.index(date(2026, 11, 6))]


def test_option_expires_at_its_intrinsic_value():
    market = facts()
    spot = worlds.world().series["SPX"].close[worlds.world().dates.index(date(2026, 10, 16))]
    strike = int(spot) + 250
    close = market.official_close(f"SPX_OPT_20261016_P_{strike}", date(2026, 10, 16))
    assert float(close) == pytest.approx(strike - spot, abs=0.05)
    assert market.official_close(f"SPX_OPT_20261016_P_{strike}", date(2026, 10, 19)) is None


def test_put_is_worth_more_when_its_index_is_lower():
    market = facts()
    moments = [at(15, minute) for minute in range(0, 60, 5)]
    index = [float(market.quote("ES_20261218", moment).mid) for moment in moments]
    puts = [float(market.quote("SPX_OPT_20261218_P_6800", moment).mid) for moment in moments]
    assert np.corrcoef(np.diff(index), np.diff(puts))[0, 1] < -0.3


def test_official_close_is_what_the_panel_recorded():
    panel = worlds.world()
    row = panel.dates.index(DAY)
    assert facts().official_close("IUKD", DAY) == Decimal(str(panel.series["IUKD"].close[row]))
    assert facts().official_close("AAPL", date(2025, 11, 27)) is None
    assert facts().official_close("AAPL", date(2026, 11, 7)) is None


def test_corporate_actions_are_told_on_their_ex_date():
    market = facts()
    dividend = worlds.world().dividends[0]
    assert dividend in market.dividends(dividend.ex_date)
    assert [split.instrument_id for split in market.splits(date(2024, 6, 10))] == ["NVDA"]
    assert market.splits(date(2024, 6, 11)) == ()


@pytest.mark.parametrize(
    "contract_id",
    ["NOPE", "ES_20261217", "SPX_OPT_20261218_X_6000", "CSPX_20261218_P_700", "SPX_OPT_20261218_P_-5"],
)
def test_contracts_that_nobody_lists_are_unknown(contract_id):
    with pytest.raises(UnknownContract):
        facts().quote(contract_id, at(15))


def test_spreads_are_wider_at_the_open():
    market = facts()
    opening, noon = market.quote("CSPX", at(8, 1)), market.quote("CSPX", at(12))
    assert opening.spread / opening.mid > noon.spread / noon.mid
