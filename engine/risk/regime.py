"""In which weather does the fund trade? Regimes with hysteresis, counted once per decision date.

Going into CRISIS is immediate; every other change needs the same answer on consecutive decision dates. A level
that brought the fund into a regime is not the level that lets it out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from engine.model.encoding import significant
from engine.model.policy import RegimePolicy

RECOVERY_UNTIL_DRAWDOWN = -0.03
"""RECOVERY ends in NORMAL above this drawdown (RISK-02)."""


class RiskRegime(Enum):
    """The one regime of the whole engine."""

    NORMAL = "NORMAL"
    ELEVATED = "ELEVATED"
    CRISIS = "CRISIS"
    RECOVERY = "RECOVERY"

    @property
    def gauge(self) -> int:
        """Number for metrics: 0 NORMAL, 1 ELEVATED, 2 CRISIS, 3 RECOVERY."""
        return _GAUGE[self]


_GAUGE = {RiskRegime.NORMAL: 0, RiskRegime.ELEVATED: 1, RiskRegime.CRISIS: 2, RiskRegime.RECOVERY: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeReading:
    """What the day says: VIX close (``None`` when not published), drawdown and its trough since the peak.

    Drawdowns are fractions ≤ 0. ``daily_loss_is_crisis`` marks a day whose loss alone means CRISIS.
    """

    vix: float | None
    drawdown: float
    trough: float
    daily_loss_is_crisis: bool = False

    @property
    def known_vix(self) -> float | None:
        """VIX, ``None`` also for NaN."""
        return None if self.vix is None or math.isnan(self.vix) else significant(self.vix)

    @property
    def retraced(self) -> float:
        """Part of the trough's loss that was regained, 0 to 1."""
        return 0.0 if self.trough >= 0.0 else significant((self.drawdown - self.trough) / -self.trough)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeMemory:
    """Regime in force, and a change that waits for confirmation."""

    regime: RiskRegime = RiskRegime.NORMAL
    pending: RiskRegime | None = None
    pending_days: int = 0


def raw_regime(reading: RegimeReading, current: RiskRegime, policy: RegimePolicy) -> RiskRegime:
    """Regime that this day alone points to, given the one in force.

    An unknown VIX never lets the fund out of a regime and is at least ELEVATED. CRISIS is left to ELEVATED only.
    """
    drawdown, vix = significant(reading.drawdown), reading.known_vix
    if _enters_crisis(reading, vix, drawdown, policy):
        return RiskRegime.CRISIS
    if current is RiskRegime.CRISIS:
        calm = vix is not None and vix < policy.vix_exit_crisis and drawdown > policy.drawdown_exit_crisis
        return RiskRegime.ELEVATED if calm else RiskRegime.CRISIS
    if vix is None or vix >= policy.vix_enter_elevated or drawdown <= policy.drawdown_enter_elevated:
        return RiskRegime.ELEVATED
    if current is RiskRegime.ELEVATED:
        return _leave_elevated(reading, vix, drawdown, policy)
    if current is RiskRegime.RECOVERY and drawdown <= RECOVERY_UNTIL_DRAWDOWN:
        return RiskRegime.RECOVERY
    return RiskRegime.NORMAL


def _enters_crisis(reading: RegimeReading, vix: float | None, drawdown: float, policy: RegimePolicy) -> bool:
    by_vix = vix is not None and vix >= policy.vix_enter_crisis
    return by_vix or drawdown <= policy.drawdown_enter_crisis or reading.daily_loss_is_crisis


def _leave_elevated(reading: RegimeReading, vix: float, drawdown: float, policy: RegimePolicy) -> RiskRegime:
    recovering = (
        vix < policy.recovery_vix_below
        and drawdown <= RECOVERY_UNTIL_DRAWDOWN
        and reading.retraced >= significant(policy.recovery_retrace_fraction)
    )
    if recovering:
        return RiskRegime.RECOVERY
    if vix >= policy.vix_exit_elevated or drawdown <= policy.drawdown_exit_elevated:
        return RiskRegime.ELEVATED
    return RiskRegime.NORMAL


def next_regime(reading: RegimeReading, memory: RegimeMemory, policy: RegimePolicy) -> RegimeMemory:
    """Regime after one more decision date.

    The caller passes each date once; `engine.risk.decision` sees to that. An interruption resets the count, and
    so does a switch.
    """
    raw = raw_regime(reading, memory.regime, policy)
    if raw is memory.regime:
        return RegimeMemory(regime=raw)
    days = memory.pending_days + 1 if raw is memory.pending else 1
    if raw is RiskRegime.CRISIS or days >= policy.persistence_days:
        return RegimeMemory(regime=raw)
    return RegimeMemory(regime=memory.regime, pending=raw, pending_days=days)


def regime_in_force(reading: RegimeReading, memory: RegimeMemory) -> RiskRegime:
    """Regime of the day: without a VIX at least ELEVATED at once, but only for as long as it is missing."""
    if reading.known_vix is None and memory.regime in (RiskRegime.NORMAL, RiskRegime.RECOVERY):
        return RiskRegime.ELEVATED
    return memory.regime
