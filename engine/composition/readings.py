"""Single figures that stages read off the day's inputs."""

from __future__ import annotations

import numpy as np

from engine.accounting.bridge import NavBridge
from engine.model.encoding import significant
from engine.model.market import MarketInputs
from engine.model.money import ZERO
from engine.model.portfolio import Sleeve

VIX_ROWS = 3
SCALED_SLEEVES = (Sleeve.CORE, Sleeve.SECTOR, Sleeve.SINGLE_NAME, Sleeve.CREDIT)
"""Sleeves whose notionals the risk decision scales (R-27)."""


def strategy_return(bridge: NavBridge | None) -> float | None:
    """Return of the sleeves that risk scales, since the last decision, as a fraction of its NAV."""
    if bridge is None:
        return None
    gains = bridge.by_sleeve
    earned = sum((gains.get(sleeve, ZERO) for sleeve in SCALED_SLEEVES), ZERO)
    return significant(float(earned / bridge.opening_nav))


def latest_vix(market: MarketInputs) -> float | None:
    """Last official close of the VIX; ``None`` when the last three weekdays brought none.

    A US holiday publishes nothing and Friday's close still stands; a longer silence is missing data.
    """
    recent = market.history.vix[-VIX_ROWS:]
    published = recent[np.isfinite(recent)]
    return float(published[-1]) if len(published) else None
