"""What does the target volatility really give? The words and odds that a report prints beside the scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from scipy.special import ndtr

from engine.model.policy import RiskPolicy


class ScaleBinding(Enum):
    """What set the day's scale."""

    TARGET = "target"
    FLOOR = "floor"
    CAP = "cap"
    STATE = "state"
    SHORT_HISTORY = "short_history"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingDays:
    """Number of decision dates by what set their scale."""

    target: int = 0
    floor: int = 0
    cap: int = 0
    state: int = 0
    short_history: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        """All dates counted."""
        return self.target + self.floor + self.cap + self.state + self.short_history + self.unknown

    def plus(self, binding: ScaleBinding) -> BindingDays:
        """The counts with one more date."""
        return replace(self, **{binding.value: getattr(self, binding.value) + 1})


_CAUSE = {
    ScaleBinding.FLOOR: "the measured volatility of {measured} lies below the floor of {floor}",
    ScaleBinding.CAP: "the scale is capped at {scale_max:.2f}",
    ScaleBinding.STATE: "the risk state holds the scale at {scale:.2f}",
    ScaleBinding.SHORT_HISTORY: "there are fewer than {minimum} returns of our own, so the scale may not exceed {start:.2f}",
    ScaleBinding.UNKNOWN: "neither returns nor a covariance give a volatility",
}


def expected_volatility_words(
    scale: float, measured: float | None, binding: ScaleBinding, days: BindingDays, policy: RiskPolicy
) -> str:
    """Sentence on the volatility that the scaled sleeves run at, why it is not the target, and how often so.

    ``measured`` is their annual volatility at scale 1 before the floor; they run at ``scale · measured``. What
    protection and currency hedges add or take is no part of it: the scale does not steer them.
    """
    target = _percent(policy.volatility_target_annual)
    if measured is None:
        return f"the volatility of the fund is not known, because {_CAUSE[ScaleBinding.UNKNOWN]}"
    runs_at = _percent(scale * measured, 1)
    if binding is ScaleBinding.TARGET:
        return f"the scaled sleeves run at about {runs_at}, the target of {target}, before protection; {_shares(days)}"
    cause = _CAUSE[binding].format(
        measured=_percent(measured, 1),
        floor=_percent(policy.volatility.floor_annual),
        scale_max=policy.scale_max,
        scale=scale,
        minimum=policy.volatility.minimum_observations,
        start=policy.scale_without_history_max,
    )
    return f"the scaled sleeves run at about {runs_at} before protection, not {target}, because {cause}; {_shares(days)}"


def _percent(fraction: float, digits: int = 0) -> str:
    return f"{100.0 * fraction:.{digits}f} %"


_SHARE_WORDS = {
    "floor": "at the floor",
    "cap": "at the cap",
    "target": "at the target",
    "state": "held down by the risk state",
    "short_history": "with too short a history",
    "unknown": "without a volatility",
}


def _shares(days: BindingDays) -> str:
    total = max(1, days.total)
    parts = [
        f"{_percent(getattr(days, name) / total)} {words}"
        for name, words in _SHARE_WORDS.items()
        if getattr(days, name) > 0
    ]
    return f"of {days.total} day{'' if days.total == 1 else 's'} " + ", ".join(parts)


def drawdown_probability(
    volatility_annual: float, sharpe: float, depth: float, days: int, annualisation_days: int
) -> float:
    """Chance that a drawdown of ``depth`` (positive fraction) is seen at a daily close within ``days``.

    Daily log returns are normal with mean ``sharpe·σ/N − σ²/2N``; the drawdown is followed as a Markov chain on
    400 levels between 0 and ``depth``.
    """
    if volatility_annual <= 0.0:
        return 0.0
    levels, barrier = 400, -math.log1p(-depth)
    step = barrier / levels
    deviation = volatility_annual / math.sqrt(annualisation_days)
    drift = (sharpe * volatility_annual - volatility_annual**2 / 2.0) / annualisation_days
    centre = np.arange(levels, dtype=np.float64) * step
    edges = (np.arange(levels + 1, dtype=np.float64) - 0.5) * step
    edges[0], edges[-1] = -np.inf, barrier
    # A drawdown grows by the negative return; everything above the old peak lands on level 0.
    cumulative = ndtr((edges[None, :] - centre[:, None] + drift) / deviation)
    transition = np.diff(cumulative, axis=1)
    surviving = np.linalg.matrix_power(transition, days)[0].sum()
    return float(min(1.0, max(0.0, 1.0 - surviving)))
