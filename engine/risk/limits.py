"""May the book be this large? Gross and net exposure brought inside their limits."""

from __future__ import annotations

import numpy as np

from engine.errors import NonFiniteValue
from engine.model.policy import RiskPolicy


def limit_weights(weights: np.ndarray, fixed: np.ndarray, policy: RiskPolicy) -> np.ndarray:
    """Signed weights (fractions of NAV) inside gross ≤ ``gross_leverage_max`` and |net| ≤ ``net_leverage_max``.

    All lines shrink pro rata until the gross fits; then the dominant side shrinks until the net fits. Lines
    where ``fixed`` is true (protection that is not scaled) keep their weight unless they alone break a limit.
    Signs never flip and no line grows.
    """
    if not np.all(np.isfinite(weights)):
        raise NonFiniteValue("expected finite target weights; a NaN would pass every limit")
    gross_scaled = _limit_gross(weights, fixed, policy.gross_leverage_max)
    return _limit_net(gross_scaled, fixed, policy.net_leverage_max)


def _limit_gross(weights: np.ndarray, fixed: np.ndarray, maximum: float) -> np.ndarray:
    size = np.abs(weights)
    protected = float(size[fixed].sum())
    free = float(size[~fixed].sum())
    if protected + free <= maximum:
        return weights.copy()
    if protected >= maximum:
        return np.where(fixed, weights * (maximum / protected), 0.0)
    return np.where(fixed, weights, weights * ((maximum - protected) / free))


def _limit_net(weights: np.ndarray, fixed: np.ndarray, maximum: float) -> np.ndarray:
    net = float(weights.sum())
    excess = abs(net) - maximum
    if excess <= 0.0:
        return weights
    result = weights.copy()
    dominant = np.sign(weights) == np.sign(net)
    for side in (dominant & ~fixed, dominant & fixed):
        available = float(np.abs(result[side]).sum())
        if available == 0.0 or excess <= 0.0:
            continue
        cut = min(excess, available)
        result[side] *= 1.0 - cut / available
        excess -= cut
    return result
