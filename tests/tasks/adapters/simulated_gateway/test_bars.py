"""Bars over TCP with the real client, what may be asked for, and that nothing is told before it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_insync import IB, Contract, Forex, Option, Stock
from ib_insync.wrapper import RequestError

from engine.model.market import Dividend, Split
from engine.simulation.facts import PanelFacts
from engine.simulation.panel import MarketPanel
from tasks.adapters.simulated_gateway.bar_requests import BarRequest, Duration, What, is_paced, read_request
from tasks.adapters.simulated_gateway.bars import Bar, BarSource
from tasks.adapters.simulated_gateway.faults import Refusal
from tasks.adapters.simulated_gateway.showing import Line, view
from tasks.adapters.simulated_gateway.tape import Tape
from tasks.adapters.simulated_gateway.ticks import DataType, ticks_of
from tasks.adapters.simulated_market import PanelMarket
from tests.tasks.adapters.gateways import (
    OPENED,
    SEED,
    RunningGateway,
    connected,
    library_loop,
    running,
    small_world,
)
from tests.tasks.adapters.simulated_gateway.test_gateway import errors
from tests.tasks.adapters.simulated_gateway.test_market import CSPX, ES, PENCE, exact, named

LONDON = ZoneInfo("Europe/London")
TODAY = OPENED.date()


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with library_loop(), running() as found:
        yield found


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[IB]:
    made = connected(gateway)
    yield made
    made.disconnect()


def bars(client: IB, contract: Contract, **changed: Any) -> list[Any]:
    asked = {
        "endDateTime": "", "durationStr": "5 D", "barSizeSetting": "1 day", "whatToShow": "TRADES", "useRTH": True,
        "formatDate": 2,
    } | changed  # fmt: skip
    return list(client.reqHistoricalData(named(client, contract), **asked))


def refused(client: IB, contract: Contract, **changed: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        bars(client, contract, **changed)
    return caught.value


# ---------------------------------------------------------------- days


@pytest.mark.parametrize(("contract", "name"), [(CSPX, "CSPX"), (PENCE, "IUKD"), (ES, "ES_20261218")])
def test_days_that_are_over_are_the_recorded_ones_exactly(client: IB, contract: Contract, name: str) -> None:
    panel = small_world()[2].panel
    series = panel.series[name]
    told = bars(client, contract)[:-1]
    assert [bar.date for bar in told] == [date(2026, 11, day) for day in (16, 17, 18, 19)]
    for bar in told:
        row = panel.row(bar.date)
        recorded = (
            series.open[row],
            series.high[row],
            series.low[row],
            series.close[row],
            series.volume[row],
        )
        assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == recorded


def test_day_that_is_not_over_is_told_as_far_as_it_went_and_not_by_its_close(
    client: IB, gateway: RunningGateway
) -> None:
    today = bars(client, CSPX, durationStr="1 D")[0]
    quote = gateway.gateway.facts.quote("CSPX", gateway.gateway.now)
    assert quote is not None
    assert today.date == TODAY
    assert exact(today.close) == quote.last
    assert exact(today.close) != gateway.gateway.facts.official_close("CSPX", TODAY)
    ticker = client.reqMktData(named(client, CSPX))
    client.reqCurrentTime()
    assert (ticker.open, ticker.high, ticker.low) == (today.open, today.high, today.low)
    client.cancelMktData(ticker.contract)


def test_currency_has_days_of_its_middle_and_no_trades(client: IB) -> None:
    panel = small_world()[2].panel
    told = bars(client, Forex("EURUSD"), whatToShow="MIDPOINT")
    rows = [panel.row(bar.date) for bar in told[:-1]]
    assert [bar.close for bar in told[:-1]] == list(panel.series["EUR.USD"].close[rows])
    assert {bar.volume for bar in told} == {-1}
    error = refused(client, Forex("EURUSD"))
    assert (error.code, "no data" in error.message) == (162, True)


def test_option_has_bars_of_hours_but_none_of_days(client: IB) -> None:
    option = Option("SPX", "20261218", 6900, "P", "CBOE", currency="USD")
    assert refused(client, option).code == 162
    hours = bars(client, option, barSizeSetting="1 hour", durationStr="1 D")
    assert all(0 < bar.low <= bar.close <= bar.high for bar in hours)


def test_index_behind_options_has_days_and_a_level_that_nobody_bids_for(client: IB) -> None:
    [details] = client.reqContractDetails(
        Contract(secType="IND", symbol="SPX", exchange="CBOE", currency="USD")
    )
    index = details.contract
    [of_option] = client.reqContractDetails(Option("SPX", "20261218", 6900, "P", "CBOE", currency="USD"))
    assert of_option.underConId == index.conId
    assert bars(client, index, durationStr="2 D")[0].close == small_world()[2].panel.series["SPX"].close[
        small_world()[2].panel.row(date(2026, 11, 19))
    ]  # fmt: skip
    ticker = client.reqMktData(index)
    client.reqCurrentTime()
    assert (ticker.bid, ticker.ask) == (-1, -1)
    assert ticker.last > 1000
    client.cancelMktData(index)


# ---------------------------------------------------------------- hours and minutes


def test_hours_follow_one_another_within_the_sessions_and_end_now(
    client: IB, gateway: RunningGateway
) -> None:
    told = bars(client, CSPX, barSizeSetting="1 hour", durationStr="2 D")
    # London from 8:00 to 16:30: 9 bars of yesterday, and of today those from 8:00 to 14:00, the last one still running.
    yesterday = [datetime(2026, 11, 19, hour, tzinfo=UTC) for hour in range(8, 17)]
    today = [datetime(2026, 11, 20, hour, tzinfo=UTC) for hour in range(8, 15)]
    assert [bar.date for bar in told] == yesterday + today
    quote = gateway.gateway.facts.quote("CSPX", OPENED)
    assert quote is not None
    assert exact(told[-1].close) == quote.last


def test_piece_that_ends_where_another_begins_doubles_nothing(client: IB) -> None:
    whole = bars(client, CSPX, barSizeSetting="1 hour", durationStr="2 D", endDateTime="20261120-08:00:00")
    later = bars(client, CSPX, barSizeSetting="1 hour", durationStr="1 D", endDateTime="20261120-08:00:00")
    earlier = bars(client, CSPX, barSizeSetting="1 hour", durationStr="1 D", endDateTime=later[0].date)
    assert [bar.date for bar in earlier + later] == [bar.date for bar in whole]


def test_minutes_hold_the_quotes_that_were_shown(client: IB, gateway: RunningGateway) -> None:
    told = bars(
        client,
        CSPX,
        barSizeSetting="1 min",
        durationStr="600 S",
        whatToShow="BID",
        endDateTime="20261120-14:00:00",
    )
    assert [bar.date.minute for bar in told] == list(range(50, 60))
    for bar in told:
        first, last = (
            gateway.gateway.facts.quote("CSPX", at) for at in (bar.date, bar.date + timedelta(seconds=55))
        )
        assert first is not None
        assert last is not None
        assert (exact(bar.open), exact(bar.close)) == (first.bid, last.bid)


def test_bars_of_both_sides_hold_their_averages_and_extremes(client: IB) -> None:
    fixed = {"barSizeSetting": "1 min", "durationStr": "60 S", "endDateTime": "20261120-14:00:00"}
    [bid], [ask], [both] = (
        bars(client, CSPX, whatToShow=what, **fixed) for what in ("BID", "ASK", "BID_ASK")
    )
    assert (both.low, both.high) == (bid.low, ask.high)
    assert bid.low <= both.open <= bid.high
    assert ask.low <= both.close <= ask.high


# ---------------------------------------------------------------- the words of a request


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20261119-16:00:00", datetime(2026, 11, 19, 16, tzinfo=UTC)),
        ("20261119 16:00:00 America/New_York", datetime(2026, 11, 19, 21, tzinfo=UTC)),
        ("20260801 16:00:00", datetime(2026, 8, 1, 15, tzinfo=UTC)),
        ("", OPENED),
        ("20301119-16:00:00", OPENED),
    ],
)
def test_end_is_read_in_its_zone_or_the_venues_and_never_after_now(text: str, expected: datetime) -> None:
    found = read_request(wire(end=text), OPENED, LONDON)
    assert isinstance(found, BarRequest)
    assert found.end == expected


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("3600 S", datetime(2026, 11, 20, 13, 40, tzinfo=UTC)),
        ("2 W", datetime(2026, 11, 6, 14, 40, tzinfo=UTC)),
        ("9 M", datetime(2026, 2, 20, 14, 40, tzinfo=UTC)),
        ("1 Y", datetime(2025, 11, 20, 14, 40, tzinfo=UTC)),
    ],
)
def test_duration_reaches_back_by_the_calendar(text: str, first: datetime) -> None:
    found = read_request(wire(duration=text), OPENED, LONDON)
    assert isinstance(found, BarRequest)
    assert found.duration.before(OPENED) == first


def test_month_before_the_last_day_of_a_longer_month_ends_with_the_shorter_one() -> None:
    assert Duration(count=1, unit="M").before(datetime(2026, 3, 31, tzinfo=UTC)) == datetime(
        2026, 2, 28, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({"keep_up_to_date": "1"}, 321, "kept up to date"),
        ({"what": "FEE_RATE"}, 321, "what to show"),
        ({"bar_size": "7 mins"}, 321, "bar size"),
        ({"duration": "1 X"}, 321, "duration"),
        ({"duration": "0 D"}, 321, "duration"),
        ({"duration": "400 D"}, 321, "in years"),
        ({"end": "yesterday"}, 321, "yyyymmdd-hh:mm:ss"),
        ({"end": "20261340-16:00:00"}, 321, "yyyymmdd-hh:mm:ss"),
        ({"end": "20261119 16:00:00 Atlantis"}, 321, "yyyymmdd-hh:mm:ss"),
        ({"what": "ADJUSTED_LAST", "end": "20261119-16:00:00"}, 321, "adjusted last"),
        ({"bar_size": "1 min", "duration": "2 D"}, 162, "length"),
        ({"bar_size": "1 hour", "duration": "2 M"}, 162, "length"),
    ],
)
def test_request_that_can_not_be_served_says_why(changed: dict[str, str], code: int, told: str) -> None:
    found = read_request(wire(**changed), OPENED, LONDON)
    assert isinstance(found, Refusal)
    assert found.code == code
    assert told in found.text


def test_sixty_first_request_and_the_same_one_again_come_too_soon() -> None:
    asked: list[Any] = []
    for number in range(60):
        assert not is_paced(asked, wire(duration=f"{number + 1} S"), OPENED)
    assert is_paced(asked, wire(duration="90 S"), OPENED + timedelta(minutes=9))
    later = OPENED + timedelta(minutes=20)
    assert not is_paced(asked, wire(), later)
    assert is_paced(asked, wire(), later + timedelta(seconds=14))
    assert not is_paced(asked, wire(), later + timedelta(seconds=30))


def wire(**changed: str) -> dict[str, str]:
    return {"end": "", "bar_size": "1 day", "duration": "5 D", "what": "TRADES", "date_format": "2"} | changed


def test_requests_are_paced_and_days_are_not(client: IB, gateway: RunningGateway) -> None:
    minutes = {"barSizeSetting": "1 min", "durationStr": "120 S"}
    bars(client, CSPX, **minutes)
    assert "pacing violation" in refused(client, CSPX, **minutes).message
    assert bars(client, CSPX) == bars(client, CSPX)
    gateway.control.ask("pace_requests")
    assert refused(client, CSPX).code == 162
    assert bars(client, CSPX)


def test_time_without_a_zone_is_the_venues_own_and_warned_of(client: IB) -> None:
    heard = errors(client)
    told = bars(
        client,
        ES,
        barSizeSetting="1 hour",
        durationStr="7200 S",
        endDateTime="20261119 08:00:00",
        formatDate=1,
    )
    assert [code for _, code in heard] == [2174]
    assert [bar.date.astimezone(UTC).hour for bar in told] == [12, 13]


def test_first_session_is_when_history_begins(client: IB) -> None:
    head = client.reqHeadTimeStamp(named(client, CSPX), "TRADES", True, 2)
    assert head == datetime(2026, 9, 1, 7, tzinfo=UTC)
    with pytest.raises(RequestError):
        client.reqHeadTimeStamp(
            named(client, Option("SPX", "20261218", 6900, "P", "CBOE", currency="USD")), "TRADES", True, 2
        )


@pytest.mark.parametrize(
    ("kind", "told"), [("none", "permissions"), ("delayed", "permissions"), ("competing", "different IP")]
)
def test_line_that_may_not_be_seen_has_no_history_either(
    client: IB, gateway: RunningGateway, kind: str, told: str
) -> None:
    gateway.control.ask("market_data", kind=kind, contract="CSPX")
    error = refused(client, CSPX)
    assert error.code == 162
    assert told in error.message
    assert bars(client, PENCE)
    gateway.control.ask("market_data")
    assert bars(client, CSPX)


def test_unknown_contract_has_no_history(client: IB) -> None:
    with pytest.raises(RequestError) as caught:
        client.reqHistoricalData(Stock("NOTHING", "SMART", "USD"), "", "5 D", "1 day", "TRADES", True, 2)
    assert caught.value.code == 200


# ---------------------------------------------------------------- corporate actions


def source(panel: MarketPanel, name: str = "CSPX", now: datetime = OPENED) -> BarSource:
    universe, sessions, _ = small_world()
    facts = PanelFacts(panel=panel, universe=universe, sessions=sessions, seed=SEED)
    known = PanelMarket(panel, universe, sessions, facts)
    return BarSource(
        tape=Tape(panel=panel, known=known),
        facts=facts,
        instrument=universe[name],
        contract_id=name,
        now=now,
        zone=LONDON,
    )


def days(source: BarSource, what: What, count: int = 3) -> list[Bar]:
    return source.bars(
        BarRequest(
            what=what,
            size=timedelta(days=1),
            duration=Duration(count=count, unit="D"),
            end=source.now,
            in_seconds=True,
        )
    )


def test_days_before_a_split_are_told_per_share_of_today() -> None:
    panel = small_world()[2].panel
    split = Split(instrument_id="CSPX", ex_date=date(2026, 11, 19), new_shares=4, old_shares=1)
    before, after, _ = days(source(replace(panel, splits=(split,))), What.TRADES)
    plain_before, plain_after, _ = days(source(panel), What.TRADES)
    assert before.close == plain_before.close / 4
    assert before.volume is not None
    assert before.volume == plain_before.volume * 4  # type: ignore[operator]
    assert after == plain_after


def test_adjusted_days_lose_the_dividend_as_a_fraction_of_the_close_before_it() -> None:
    panel = small_world()[2].panel
    dividend = Dividend(
        instrument_id="IUKD", ex_date=date(2026, 11, 19), pay_date=date(2026, 12, 1), amount=Decimal("0.10")
    )
    paying = source(replace(panel, dividends=(dividend,)), "IUKD")
    trades, adjusted = days(paying, What.TRADES), days(paying, What.ADJUSTED_LAST)
    # 10 pence of a share that closed at so many pence the day before.
    expected = trades[0].close * (1 - 10 / trades[0].close)
    assert adjusted[0].close == expected.quantize(Decimal("0.00000001"))
    assert adjusted[1:] == trades[1:]


# ---------------------------------------------------------------- nothing later is told


def scrambled(panel: MarketPanel, after: date, factor: float) -> MarketPanel:
    """The same panel with every figure after a date changed."""
    row = panel.row(after) + 1

    def changed(values: np.ndarray) -> np.ndarray:
        later = values.copy()
        later[row:] *= factor
        return later

    series = {
        name: replace(one, open=changed(one.open), high=changed(one.high), low=changed(one.low),
                      close=changed(one.close), volume=changed(one.volume))
        for name, one in panel.series.items()
    }  # fmt: skip
    volatility = {
        name: changed(values) if len(values) else values for name, values in panel.implied_volatility.items()
    }
    return replace(
        panel, series=series, vix=changed(panel.vix), v2x=changed(panel.v2x), implied_volatility=volatility,
        returns={name: changed(values) for name, values in panel.returns.items()},
        fx={name: changed(values) for name, values in panel.fx.items()},
    )  # fmt: skip


@settings(max_examples=6, deadline=None)
@given(
    hours=st.integers(0, 47),
    name=st.sampled_from(["CSPX", "IUKD", "ES_20261218", "EUR.USD", "SPX_OPT_20261218_P_6900"]),
    factor=st.sampled_from([0.5, 3.0]),
)
def test_nothing_that_is_told_changes_with_the_market_after_it(hours: int, name: str, factor: float) -> None:
    panel, now = small_world()[2].panel, datetime(2026, 11, 18, 0, 30, tzinfo=UTC) + timedelta(hours=hours)
    # An overnight session belongs to the next date: what is later begins a day after that.
    changed = scrambled(panel, now.date() + timedelta(days=1), factor)
    assert everything(panel, name, now) == everything(changed, name, now)


def everything(panel: MarketPanel, name: str, now: datetime) -> list[object]:
    """All that is told of a contract: quotes of each type, days, hours."""
    universe = small_world()[0]
    known = source(panel, now=now)
    instrument = universe[known.facts.contract(name).instrument_id]
    known = replace(known, instrument=instrument, contract_id=name)
    shown = [
        view(
            known.tape,
            Line(facts=known.facts, instrument=instrument, contract_id=name, at=now, wanted=wanted),
            None,
        )
        for wanted in DataType
    ]
    told: list[object] = [None if one.showing is None else ticks_of(one.showing, 1) for one in shown]
    hours = BarRequest(
        what=What.BID_ASK,
        size=timedelta(hours=1),
        duration=Duration(count=2, unit="D"),
        end=now,
        in_seconds=True,
    )
    return [*told, *(days(known, what) for what in What), known.bars(hours), known.head()]


def test_day_that_is_not_over_does_not_show_its_recorded_figures() -> None:
    panel, row = small_world()[2].panel, small_world()[2].panel.row(TODAY)
    today = days(source(panel), What.TRADES, 1)[0]
    series = panel.series["CSPX"]
    assert today.volume is None
    assert float(today.close) != series.close[row]
    assert float(today.high) <= series.high[row]
    after = days(source(panel, now=OPENED.replace(hour=16, minute=30)), What.TRADES, 1)[0]
    assert (float(after.close), float(after.high)) == (series.close[row], series.high[row])
