from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.fx_rates import (
    FxState,
    cash_in_base_ccy,
    fx_verdict,
    open_hours_between,
    refresh_rates,
)
from engine.errors import InvariantError, MissingFxRate
from engine.model.halts import HaltKind
from engine.model.market import FxRate
from tests.engine.accounting.builders import D, make_rates
from tests.engine.accounting.policies import FX

FRIDAY = datetime(2025, 11, 28, 21, 0, tzinfo=UTC)
MONDAY = datetime(2025, 12, 1, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (FRIDAY, MONDAY, 9.0),  # one hour on Friday, eight since Sunday 22:00
        (MONDAY, MONDAY + timedelta(hours=5), 5.0),  # inside the week
        (datetime(2025, 11, 29, 12, tzinfo=UTC), datetime(2025, 11, 30, 12, tzinfo=UTC), 0.0),  # all weekend
        (FRIDAY, MONDAY + timedelta(days=7), 129.0),  # two weekends less
    ],
)
def test_age_leaves_out_the_weekend(start: datetime, end: datetime, hours: float) -> None:
    assert open_hours_between(start, end) == pytest.approx(hours)


@pytest.mark.parametrize(
    ("hours", "state"),
    [(24, FxState.VALID), (25, FxState.WARNING), (72, FxState.WARNING), (73, FxState.INVALID)],
)
def test_age_warns_after_a_day_and_is_invalid_after_three(hours: int, state: FxState) -> None:
    now = datetime(2025, 12, 5, 6, tzinfo=UTC)
    verdict = fx_verdict(make_rates(now - timedelta(hours=hours)), None, FX, now, ["EUR", "USD"])
    assert verdict.state is state
    assert verdict.may_trade is (state is not FxState.INVALID)


def test_missing_currency_is_invalid_and_named() -> None:
    verdict = fx_verdict(make_rates(MONDAY), None, FX, MONDAY, ["CHF"])
    assert verdict.halt_kind is HaltKind.STALE_FX
    assert verdict.findings[0].currency == "CHF"


@pytest.mark.parametrize(
    ("rate", "second", "state"),
    [
        ("1.2285", None, FxState.VALID),  # 5 % exactly
        ("1.24", None, FxState.INVALID),  # one source
        ("1.24", "1.235", FxState.WARNING),  # a second source agrees
        ("1.24", "1.18", FxState.INVALID),  # a second source disagrees
    ],
)
def test_jump_needs_a_second_source(rate: str, second: str | None, state: FxState) -> None:
    sources = None if second is None else {"EUR": D(second)}
    verdict = fx_verdict(make_rates(MONDAY, EURUSD=rate), make_rates(FRIDAY), FX, MONDAY, ["EUR"], sources)
    assert verdict.state is state
    assert verdict.halt_kind is (HaltKind.FX_JUMP if state is FxState.INVALID else None)


def test_refresh_prefers_spot_then_account_then_last_good() -> None:
    def rate(pair: str, value: str, source: str) -> FxRate:
        return FxRate(pair=pair, rate=D(value), observed_at=MONDAY, source=source)

    refreshed = refresh_rates(
        make_rates(FRIDAY, CHFUSD="1.25"),
        spot=[rate("EURUSD", "1.18", "spot")],
        account=[rate("EURUSD", "1.19", "account"), rate("GBPUSD", "1.35", "account")],
        as_of=MONDAY,
    )
    assert [(r.rate, r.source) for r in refreshed.rates.values()] == [
        (D("1.25"), "test"),
        (D("1.18"), "spot"),
        (D("1.35"), "account"),
    ]
    assert refreshed.rates["CHFUSD"].observed_at == FRIDAY


def test_rate_from_the_future_is_refused() -> None:
    with pytest.raises(InvariantError, match="EURUSD"):
        refresh_rates(make_rates(MONDAY), [], [], FRIDAY)


def test_borrowed_cash_counts_negative() -> None:
    # 100 − 10 × 1.17
    assert cash_in_base_ccy({"USD": D(100), "EUR": D(-10)}, make_rates()) == D("88.3")


def test_empty_balance_needs_no_rate_but_a_balance_does() -> None:
    assert cash_in_base_ccy({"CHF": D(0)}, make_rates()) == 0
    with pytest.raises(MissingFxRate):
        cash_in_base_ccy({"CHF": D(1)}, make_rates())


@given(start=st.datetimes(timezones=st.just(UTC)), hours=st.integers(0, 1000))
def test_open_hours_never_exceed_the_clock(start: datetime, hours: int) -> None:
    if start.year > 9990 or start.year < 3:
        return
    open_hours = open_hours_between(start, start + timedelta(hours=hours))
    assert hours - 48 * (hours // 168 + 2) <= open_hours <= hours


def test_cross_rate_that_contradicts_its_legs_stops_the_currencies_in_it() -> None:
    # 0.8600 x 1.3500 = 1.1610 USD per EUR by way of GBP, 1.1500 directly: 1.1610 / 1.1500 - 1 = +0.957 %
    broken = make_rates(MONDAY, EURUSD="1.1500", GBPUSD="1.3500", EURGBP="0.8600")
    verdict = fx_verdict(broken, None, FX, MONDAY, ("EUR", "GBP"))
    assert not verdict.may_trade
    assert verdict.halt_kind is HaltKind.FX_DIFFERENCE
    (found,) = verdict.findings
    assert found.move is not None
    assert round(found.move, 6) == D("0.009565")
    assert "EURGBP" in found.text


def test_cross_rate_is_held_against_a_leg_that_is_quoted_the_other_way_round() -> None:
    # A franc is 1 / 0.8 = 1.25 USD; 0.9200 CHF per EUR would make it 1.1500 USD, and the market says 1.1000: +4.55 %
    broken = make_rates(MONDAY, EURUSD="1.1000", USDCHF="0.8", EURCHF="0.9200")
    (found,) = fx_verdict(broken, None, FX, MONDAY, ("CHF",)).findings
    assert (found.kind, found.state) == (HaltKind.FX_DIFFERENCE, FxState.INVALID)
    assert found.move is not None
    assert round(found.move, 4) == D("0.0455")
    sound = make_rates(MONDAY, EURUSD="1.1000", USDCHF="0.8", EURCHF="0.8800")
    assert fx_verdict(sound, None, FX, MONDAY, ("CHF",)).findings == ()


def test_cross_rate_within_the_tolerance_or_of_nobody_s_currency_is_no_finding() -> None:
    # 0.8540 x 1.3500 = 1.1529: 0.25 % from 1.1500
    near = make_rates(MONDAY, EURUSD="1.1500", GBPUSD="1.3500", EURGBP="0.8540")
    assert fx_verdict(near, None, FX, MONDAY, ("EUR", "GBP")).findings == ()
    broken = make_rates(MONDAY, EURUSD="1.15", GBPUSD="1.35", EURGBP="0.90", CHFUSD="1.10")
    assert fx_verdict(broken, None, FX, MONDAY, ("CHF",)).findings == ()


def test_cross_rate_of_another_time_is_not_compared() -> None:
    broken = make_rates(MONDAY, EURUSD="1.1500", GBPUSD="1.3500", EURGBP="0.9000")
    old = replace(broken.rates["EURGBP"], observed_at=MONDAY - timedelta(days=3))
    mixed = replace(broken, rates={**broken.rates, "EURGBP": old})
    assert fx_verdict(mixed, None, FX, MONDAY, ("EUR", "GBP")).findings == ()
