from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest

from config.policies import fund_policy
from config.settings import load_settings
from engine.composition.cuts import is_beyond_limits, is_cut
from engine.model.portfolio import CashBasis, Valuation
from engine.risk.expectation import ScaleBinding

RISK = fund_policy(load_settings("fund"), date(2026, 3, 26)).risk
FUND = Valuation(
    trade_date=date(2026, 3, 26),
    as_of=datetime(2026, 3, 26, 6, 0, tzinfo=UTC),
    basis=CashBasis.SETTLED,
    nav=D(10_000_000),
    cash_usd=D(0),
    accruals_usd=D(0),
    lines=(),
    currency_values={},
    fx={},
    long_exposure=D(10_000_000),
    short_exposure=D(10_000_000),
    fx_hedge_gross=D(0),
    flagged_gross=D(0),
    units=D(1),
)


@pytest.mark.parametrize(
    ("before", "scale", "binding", "cut", "why"),
    [
        (None, 0.3, ScaleBinding.STATE, False, "the fund was not there yesterday"),
        (0.7, 0.3, ScaleBinding.STATE, True, "the regime became CRISIS"),
        (0.72, 0.70, ScaleBinding.STATE, True, "the regime became ELEVATED"),
        (0.3, 0.3, ScaleBinding.STATE, False, "still CRISIS"),
        (0.7, 1.0, ScaleBinding.STATE, False, "RECOVERY raises the scale"),
        (1.50, 1.45, ScaleBinding.TARGET, False, "0.05 / 1.45 = 3 % of the book"),
        (1.50, 1.25, ScaleBinding.TARGET, True, "0.25 / 1.25 = 20 % of the book"),
        (1.50, 1.26, ScaleBinding.TARGET, False, "0.24 / 1.26 = 19 % of the book"),
        (0.5, 0.0, ScaleBinding.UNKNOWN, True, "to nothing"),
    ],
)
def test_cut_is_a_fall_by_the_state_or_a_large_one(
    before: float | None, scale: float, binding: ScaleBinding, cut: bool, why: str
) -> None:
    assert is_cut(before, scale, binding, 0.20) is cut, why


@pytest.mark.parametrize(
    ("long", "short", "beyond", "why"),
    [
        (10_000_000, 10_000_000, False, "gross 2.0 of 2.0"),
        (10_000_001, 10_000_000, True, "gross above 2.0"),
        (10_000_001, 0, True, "net above 1.0"),
        (0, 10_000_001, True, "net below -1.0"),
    ],
)
def test_holdings_beyond_a_limit_are_a_breach(long: int, short: int, beyond: bool, why: str) -> None:
    held = replace(FUND, long_exposure=D(long), short_exposure=D(short))
    assert is_beyond_limits(held, RISK) is beyond, why
