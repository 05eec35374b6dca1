import math

import pytest

from engine.risk.regime import (
    RegimeMemory,
    RegimeReading,
    RiskRegime,
    next_regime,
    raw_regime,
    regime_in_force,
)
from tests.engine.fund_factory import risk_policy

POLICY = risk_policy().regime
N, E, C, R = RiskRegime.NORMAL, RiskRegime.ELEVATED, RiskRegime.CRISIS, RiskRegime.RECOVERY


def follow(
    vix: list[float], start: RiskRegime = N, drawdown: float = 0.0, trough: float = 0.0
) -> list[RiskRegime]:
    memory, seen = RegimeMemory(regime=start), []
    for level in vix:
        memory = next_regime(RegimeReading(vix=level, drawdown=drawdown, trough=trough), memory, POLICY)
        seen.append(memory.regime)
    return seen


class TestRegimeHysteresis:
    def test_no_flip_on_single_spike(self) -> None:
        assert follow([26, 26, 15, 26]) == [N, N, N, N]

    def test_switch_after_three_days(self) -> None:
        assert follow([26, 26, 26]) == [N, N, E]

    def test_crisis_immediate(self) -> None:
        assert follow([45]) == [C]


def test_way_down_from_crisis_passes_elevated() -> None:
    assert follow([34, 34, 34, 34, 19, 19, 19], start=C) == [C, C, E, E, E, E, N]


def test_elevated_stays_between_exit_and_entry_level() -> None:
    assert follow([22] * 5, start=E) == [E] * 5


def test_crisis_by_drawdown_is_left_only_above_its_exit() -> None:
    assert follow([15] * 4, start=C, drawdown=-0.085, trough=-0.11) == [C] * 4
    assert follow([15] * 3, start=C, drawdown=-0.079, trough=-0.11) == [C, C, E]


@pytest.mark.parametrize(
    ("vix", "drawdown", "expected"),
    [(40, 0, C), (39.9, -0.0999, E), (25, 0, E), (24.9, -0.0499, N), (math.nan, 0, E), (15, -0.10, C)],
)
def test_raw_regime_from_normal(vix: float, drawdown: float, expected: RiskRegime) -> None:
    assert raw_regime(RegimeReading(vix=vix, drawdown=drawdown, trough=drawdown), N, POLICY) is expected


@pytest.mark.parametrize(
    ("start", "drawdown", "trough", "expected", "reason"),
    [
        (N, -0.04, -0.04, N, "a fresh slide is no recovery"),
        (E, -0.045, -0.07, R, "36 % of the trough regained"),
        (E, -0.045, -0.06, E, "25 % of the trough regained"),
        (R, -0.035, -0.07, R, "still under water"),
        (R, -0.029, -0.07, N, "recovered"),
        (R, -0.05, -0.07, E, "fell again"),
    ],
)
def test_recovery_needs_a_way_back_from_a_trough(
    start: RiskRegime, drawdown: float, trough: float, expected: RiskRegime, reason: str
) -> None:
    assert raw_regime(RegimeReading(vix=15.0, drawdown=drawdown, trough=trough), start, POLICY) is expected, (
        reason
    )


def test_daily_loss_enters_crisis_at_calm_vix() -> None:
    reading = RegimeReading(vix=15.0, drawdown=-0.01, trough=-0.01, daily_loss_is_crisis=True)
    assert next_regime(reading, RegimeMemory(), POLICY).regime is C


def test_missing_vix_is_elevated_at_once_and_leaves_no_trace() -> None:
    reading = RegimeReading(vix=None, drawdown=0.0, trough=0.0)
    memory = next_regime(reading, RegimeMemory(), POLICY)
    assert regime_in_force(reading, memory) is E
    assert next_regime(RegimeReading(vix=15.0, drawdown=0.0, trough=0.0), memory, POLICY) == RegimeMemory()


def test_missing_vix_never_ends_a_crisis() -> None:
    assert follow([math.nan] * 5, start=C) == [C] * 5


def test_gauge_numbers() -> None:
    assert [regime.gauge for regime in (N, E, C, R)] == [0, 1, 2, 3]
