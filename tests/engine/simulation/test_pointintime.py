from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest

from engine.errors import DataError
from engine.model.encoding import decode, digest, encode
from engine.model.instruments import OptionRight
from engine.model.market import MarketInputs, OptionRange, Source
from engine.simulation.panel import DataProblem, MarketPanel
from engine.simulation.pointintime import HISTORY_DAYS, PointInTimeMarket, market_inputs
from tests.engine.simulation import worlds

DAY = date(2026, 11, 4)
SIX = datetime(2026, 11, 4, 6, tzinfo=UTC)
HELD = ("ES_20260619", "SPX_OPT_20261218_P_5500", "CSPX")


def read(
    panel: MarketPanel | None = None, as_of: datetime = SIX, held: tuple[str, ...] = HELD
) -> MarketInputs:
    return market_inputs(
        panel or worlds.world(),
        worlds.universe(),
        worlds.sessions(),
        as_of.date(),
        as_of,
        held,
        worlds.option_ranges(),
    )


def without_price(panel: MarketPanel, contract_id: str, days: tuple[date, ...]) -> MarketPanel:
    close = panel.series[contract_id].close.copy()
    for day in days:
        close[panel.dates.index(day)] = np.nan
    return replace(
        panel, series={**panel.series, contract_id: replace(panel.series[contract_id], close=close)}
    )


def spoiled(panel: MarketPanel, first: date) -> MarketPanel:
    """The same panel with every row from a date on made nonsense."""
    row = panel.dates.index(first)

    def spoil(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[row:] = values[row:] * 3.7 + 11.0
        return values

    series = {
        name: replace(
            item,
            open=spoil(item.open),
            high=spoil(item.high),
            low=spoil(item.low),
            close=spoil(item.close),
            volume=spoil(item.volume),
        )
        for name, item in panel.series.items()
    }
    return replace(
        panel,
        series=series,
        returns={name: spoil(values) for name, values in panel.returns.items()},
        fx={pair: spoil(values) for pair, values in panel.fx.items()},
        vix=spoil(panel.vix),
        v2x=spoil(panel.v2x),
        implied_volatility={name: spoil(values) for name, values in panel.implied_volatility.items()},
        fundamentals=tuple(r for r in panel.fundamentals if r.filed_on < first),
    )


def test_nothing_of_the_day_or_later_reaches_a_morning_decision():
    assert digest(read(spoiled(worlds.world(), DAY))) == digest(read())


def test_yesterday_reaches_the_decision():
    assert digest(read(spoiled(worlds.world(), date(2026, 11, 3)))) != digest(read())


def test_a_later_panel_gives_the_same_inputs():
    early = worlds.world(7, date(2023, 5, 1), date(2026, 11, 3))
    assert digest(read(early)) == digest(read())


def test_inputs_survive_their_encoding():
    inputs = read()
    assert digest(decode(MarketInputs, encode(inputs))) == digest(inputs)


def test_marks_are_the_last_official_closes_of_every_line_and_listed_contract():
    inputs, panel = read(), worlds.world()
    row = panel.dates.index(date(2026, 11, 3))
    for instrument in worlds.universe():
        if not instrument.is_future and not instrument.is_option:
            assert inputs.mark(instrument.instrument_id).age_sessions == 0
    assert float(inputs.mark("ES_20261218").price) == panel.series["ES_20261218"].close[row]
    assert inputs.mark("CSPX").session_date == date(2026, 11, 3)
    assert inputs.mark("CSPX").source is Source.SIMULATED


def test_chain_lists_unexpired_contracts_nearest_first_each_with_a_mark():
    chain = read().chains["VX"]
    expiries = [c.last_trade_date for c in chain]
    assert len(chain) == 9
    assert expiries[0] == date(2026, 11, 18)
    assert expiries == sorted(expiries)
    assert all(c.contract_id in read().marks for c in chain)


def test_held_contract_keeps_its_last_mark_after_expiry():
    mark = read().mark("ES_20260619")
    assert mark.session_date == date(2026, 6, 19)
    assert mark.age_sessions == worlds.sessions().sessions_between(
        "CME", date(2026, 6, 19), date(2026, 11, 3)
    )


def test_stale_mark_counts_the_sessions_of_its_own_venue_and_is_noted():
    panel = without_price(worlds.world(), "CSPX", (date(2026, 11, 2), date(2026, 11, 3)))
    inputs = read(panel)
    assert (inputs.mark("CSPX").age_sessions, inputs.mark("CSPX").session_date) == (2, date(2026, 10, 30))
    assert any(
        note.startswith("CSPX: stale, last price of 2026-10-30, 2 sessions") for note in inputs.data_notes
    )


def test_a_holiday_of_the_venue_does_not_age_a_mark():
    inputs = read(as_of=datetime(2025, 11, 28, 6, tzinfo=UTC), held=())  # the day after Thanksgiving
    assert inputs.mark("AAPL").session_date == date(2025, 11, 26)
    assert inputs.mark("AAPL").age_sessions == 0
    assert inputs.mark("CSPX").session_date == date(2025, 11, 27)


def test_a_shortened_session_on_a_stock_holiday_does_not_age_a_future():
    holiday, after = date(2026, 5, 25), date(2026, 5, 26)  # Memorial Day, on which CME trades until noon
    table = worlds.sessions()
    shortened = replace(
        table,
        venues={
            **table.venues,
            "CME": tuple(replace(s, early_close=s.session_date == holiday) for s in table.venues["CME"]),
        },
    )
    contract = "ES_20260619"
    ages = {}
    for name, sessions in {"whole": table, "shortened": shortened}.items():
        for missing in ((holiday,), (holiday, after)):
            panel = without_price(worlds.world(), contract, missing)
            inputs = market_inputs(
                panel,
                worlds.universe(),
                sessions,
                date(2026, 5, 27),
                datetime(2026, 5, missing[-1].day + 1, 6, tzinfo=UTC),
                (contract,),
                worlds.option_ranges(),
            )
            ages[name, len(missing)] = inputs.mark(contract).age_sessions
    assert ages == {("whole", 1): 1, ("whole", 2): 2, ("shortened", 1): 0, ("shortened", 2): 1}


def test_an_impossible_bar_is_noted():
    panel = worlds.world()
    high = panel.series["CSPX"].high.copy()
    high[panel.dates.index(date(2026, 11, 3))] = 1.0
    spoilt = replace(panel, series={**panel.series, "CSPX": replace(panel.series["CSPX"], high=high)})
    assert "CSPX: the bar of 2026-11-03 has its close outside low to high" in read(spoilt).data_notes


def test_problem_is_told_from_the_day_it_could_be_known():
    known, later = (
        date(2026, 11, 3),
        date(2026, 11, 4),
    )  # the last session before the decision, and its own day
    problems = tuple(
        DataProblem(subject="CSPX", first=first, last=date(2026, 12, 31), text=f"CSPX: noisy since {first}")
        for first in (known, later)
    )
    panel = replace(worlds.world(), problems=problems)
    assert [note for note in read(panel).data_notes if "noisy" in note] == ["CSPX: noisy since 2026-11-03"]


def test_afternoon_sees_closed_venues_only():
    inputs = read(as_of=datetime(2026, 11, 4, 18, tzinfo=UTC), held=())
    assert inputs.mark("CSPX").session_date == DAY  # London closed at 16:30
    assert inputs.mark("AAPL").session_date == date(2026, 11, 3)
    history = inputs.history
    assert history.dates[-1] == DAY
    assert np.isfinite(history.returns[-1, worlds.universe().index("CSPX")])
    assert np.isnan(history.returns[-1, worlds.universe().index("AAPL")])
    assert np.isnan(history.vix[-1])


def test_history_has_its_length_and_ends_the_day_before():
    history = read().history
    assert len(history.dates) == HISTORY_DAYS
    assert history.dates[-1] == date(2026, 11, 3)
    assert history.fx_returns[:, history.currencies.index("USD")].tolist() == [0.0] * HISTORY_DAYS
    panel = worlds.world()
    assert history.vix[-1] == panel.vix[panel.dates.index(date(2026, 11, 3))]


def test_exchange_rates_carry_the_time_of_their_day_end():
    monday = read(as_of=datetime(2026, 11, 9, 6, tzinfo=UTC), held=())
    rate = monday.fx.rates["EURUSD"]
    assert rate.observed_at == datetime(2026, 11, 6, 22, tzinfo=UTC)
    assert float(rate.rate) == worlds.world().fx["EURUSD"][worlds.world().dates.index(date(2026, 11, 6))]


def test_volume_is_the_median_of_the_last_twenty_sessions():
    panel = worlds.world()
    volume = panel.series["AAPL"].volume[: panel.dates.index(DAY)]
    last = sorted(volume[np.isfinite(volume)][-20:])
    assert read().average_daily_volume["AAPL"] == Decimal(int((last[9] + last[10]) / 2))


def test_volume_of_a_future_counts_all_its_contracts():
    volumes = read().average_daily_volume
    assert volumes["ES"] > volumes["ES_20261218"] > volumes["ES_20270319"] > 0


def test_lines_without_volume_have_no_average():
    panel = worlds.world()
    silent = replace(panel.series["AAPL"], volume=np.full(len(panel.dates), np.nan))
    assert "AAPL" not in read(replace(panel, series={**panel.series, "AAPL": silent})).average_daily_volume


def test_accounts_are_known_from_the_day_after_their_filing():
    record = next(r for r in worlds.world().fundamentals if r.filed_on > date(2026, 7, 1))
    days = (record.filed_on, record.filed_on.replace(day=record.filed_on.day + 1))
    known = [
        record in read(as_of=datetime(day.year, day.month, day.day, 6, tzinfo=UTC), held=()).fundamentals
        for day in days
    ]
    assert known == [False, True]


def test_dividends_are_known_thirty_days_ahead_and_not_after_their_ex_date():
    dates = [dividend.ex_date for dividend in read().dividends]
    assert dates
    assert DAY <= min(dates) <= max(dates) <= date(2026, 12, 4)


def test_split_is_told_on_its_day_only():
    on_the_day = read(as_of=datetime(2026, 7, 13, 6, tzinfo=UTC), held=())
    assert [split.instrument_id for split in on_the_day.splits] == ["LLY"]
    assert read().splits == ()


def test_shares_to_borrow_are_none_where_the_panel_refuses():
    borrow = read().borrow
    assert borrow["CS51"].available_shares == 0
    assert borrow["EXV1"].available_shares > 10_000
    assert "ES" not in borrow


def test_option_chain_offers_what_the_hedges_look_for():
    inputs = read()
    for line, quotes in inputs.option_chains.items():
        assert quotes, line
        assert all(quote.bid is None or quote.ask is None or quote.bid < quote.ask for quote in quotes)
        days = {(quote.contract.last_trade_date - DAY).days for quote in quotes}
        assert any(60 <= count <= 90 for count in days) or line == "VIX_OPT"
    quarter = [
        q
        for q in inputs.option_chains["SPX_OPT"]
        if 0.20 <= -q.delta <= 0.25 and 60 <= (q.contract.last_trade_date - DAY).days <= 120
    ]
    assert quarter
    assert all(q.open_interest >= 100 and (q.ask - q.bid) / q.ask < Decimal("0.15") for q in quarter)


def test_only_the_options_that_are_asked_for_or_held_are_quoted():
    market = PointInTimeMarket(panel=worlds.world(), universe=worlds.universe(), sessions=worlds.sessions())
    asked = OptionRange(right=OptionRight.PUT, first_day=60, last_day=90)
    inputs = market.inputs(DAY, SIX, HELD, {"SPY_OPT": asked})
    spy = [q.contract for q in inputs.option_chains["SPY_OPT"]]
    assert spy
    assert {contract.right for contract in spy} == {OptionRight.PUT}
    assert all(60 <= (contract.last_trade_date - DAY).days <= 90 for contract in spy)
    assert [q.contract.contract_id for q in inputs.option_chains["SPX_OPT"]] == ["SPX_OPT_20261218_P_5500"]
    assert inputs.option_chains["VIX_OPT"] == ()


def test_low_strikes_have_the_higher_volatility():
    puts = [q for q in read().option_chains["SPX_OPT"] if q.delta < 0]
    nearest = [q for q in puts if q.contract.last_trade_date == puts[0].contract.last_trade_date]
    by_strike = sorted(nearest, key=lambda q: q.contract.strike)
    assert by_strike[0].implied_volatility > by_strike[-1].implied_volatility


def test_held_option_that_nobody_would_list_anew_is_marked_and_stays_quoted():
    inputs = read()
    listed = {q.contract.contract_id for q in inputs.option_chains["SPX_OPT"]}
    assert "SPX_OPT_20261218_P_5500" in listed
    assert 0 < inputs.mark("SPX_OPT_20261218_P_5500").price < 60


def test_one_reader_serves_many_days():
    market = PointInTimeMarket(panel=worlds.world(), universe=worlds.universe(), sessions=worlds.sessions())
    assert digest(market.inputs(DAY, SIX, HELD, worlds.option_ranges())) == digest(read())


def test_before_the_first_session_there_is_nothing_to_know():
    with pytest.raises(DataError, match="no closed session"):
        read(as_of=datetime(2023, 5, 1, 6, tzinfo=UTC))
